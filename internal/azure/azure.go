// Package azure is the vocabulary of the azure target: the kinds of resource that an environment becomes there, what each
// is described by, how things are called, which roles there are, and what has to be known of the subscription beforehand.
//
// It makes no request and compiles nothing: package estate lowers an environment to these kinds, target/azure keeps them.
//
// The rule that holds here: every description is complete without a secret. Where a value is secret the description says
// where it comes from ([Source]), and where it is known only after something else stands it is a [Value] that names the
// output.
package azure

import "github.com/flowehr/flowehr"

// Kinds of resource. All of them are made by requests that may be repeated.
const (
	KindStack = "stack" // an ARM deployment stack and everything in its template

	KindGroup       = "entra-group"
	KindApplication = "entra-app"        // an application and its service principal
	KindFederation  = "entra-federation" // a federated credential of an application
	KindMember      = "entra-member"     // membership of a group
	KindGrant       = "entra-grant"      // an app role given to a service principal
	KindIdentity    = "entra-identity"   // looks up a managed identity's application; makes nothing

	KindVaultSecret = "vault-secret"

	KindWorkspace        = "databricks-workspace" // waits until the workspace answers; makes nothing
	KindPrincipal        = "databricks-principal"
	KindScope            = "databricks-scope"
	KindScopeSecret      = "databricks-secret"
	KindFile             = "databricks-file"
	KindCluster          = "databricks-cluster"
	KindMetastore        = "uc-metastore"
	KindMetastoreUse     = "uc-assignment" // of the metastore to the workspace
	KindAccountGroup     = "uc-group"      // of the Databricks account
	KindCredential       = "uc-credential"
	KindExternalLocation = "uc-location"
	KindCatalog          = "uc-catalog"
	KindSchema           = "uc-schema"
	KindPrivileges       = "uc-privileges"

	KindSQLPrincipal = "sql-principal" // login, user and roles of a directory group or application
	KindConnectivity = "connectivity"  // proof that the feature store can be written and read

	KindApproval = "endpoint-approval" // that a private endpoint of the data factory may be used; the endpoint is in the stack

	KindTrigger = "adf-trigger" // whether a trigger is started; the trigger itself is in the stack

	KindRegistryToken = "registry-token"

	KindRepository       = "github-repository"
	KindTeam             = "github-team"
	KindBranch           = "github-branch"
	KindGitHubDeployment = "github-environment"
	KindRepositoryFile   = "github-file"
)

// Ref names a resource of a kind.
func Ref(kind, name string) flowehr.Ref { return flowehr.Ref{Kind: kind, Name: name} }

// Names of outputs that others use. A stack has, besides, the outputs of its template.
const (
	OutObjectID    = "objectId"    // of a directory group or application
	OutAppID       = "appId"       // client id of an application
	OutPrincipalID = "principalId" // object id of a service principal
	OutURI         = "uri"         // of a vault secret, without a version
	OutURL         = "url"         // of a Databricks workspace
	OutWorkspaceID = "workspaceId" // its number
	OutClusterID   = "clusterId"
	OutMetastoreID = "metastoreId"
	OutGroupID     = "groupId"  // of a group of the Databricks account
	OutUsername    = "username" // of a registry token
	OutAddress     = "address"  // of a repository
	OutSubject     = "subject"  // of the tokens that jobs of a GitHub environment get
)
