package azure

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/flowehr/flowehr"
)

// StackSpec describes a [KindStack] at subscription scope. Template is the JSON of an arm.Template; outputs of other
// resources may stand anywhere in it.
type StackSpec struct {
	Name     string          `json:"name"`
	Location string          `json:"location"`       // where Azure keeps the stack's own record
	Deny     bool            `json:"deny,omitempty"` // deny deletion from outside the stack
	Template json.RawMessage `json:"template"`

	// Names are parts of names in the template that are known only when it is sent, by what stands for them there. Everything
	// else that is known later stands in the template itself, as an output.
	Names map[string]Value `json:"names,omitempty"`
}

// Named returns the template with the names filled in that are known.
func (s StackSpec) Named() json.RawMessage {
	template := s.Template
	for _, stand := range slices.Sorted(maps.Keys(s.Names)) {
		known, ok := s.Names[stand].Known()
		written, err := json.Marshal(known)
		if ok && err == nil {
			template = bytes.ReplaceAll(template, []byte(stand), written[1:len(written)-1])
		}
	}
	return template
}

// GroupSpec describes a [KindGroup]. Output: objectId.
type GroupSpec struct {
	DisplayName string  `json:"displayName"`
	UniqueName  string  `json:"uniqueName"`
	Description string  `json:"description"`
	Owners      []Value `json:"owners,omitempty"` // object ids
}

// ApplicationSpec describes a [KindApplication]. Outputs: appId, objectId (of the application), principalId (of its service
// principal).
type ApplicationSpec struct {
	DisplayName   string    `json:"displayName"`
	UniqueName    string    `json:"uniqueName"`
	Description   string    `json:"description,omitempty"`
	IdentifierURI string    `json:"identifierUri,omitempty"`
	Impersonation bool      `json:"impersonation,omitempty"` // exposes the scope user_impersonation
	Roles         []AppRole `json:"roles,omitempty"`
	WebRedirects  []string  `json:"webRedirects,omitempty"`
	SPARedirects  []string  `json:"spaRedirects,omitempty"`
	IDTokens      bool      `json:"idTokens,omitempty"` // the front channel may return id tokens
	Owners        []Value   `json:"owners,omitempty"`
	Permissions   []string  `json:"permissions,omitempty"` // delegated permissions of Microsoft Graph, for example User.Read
	Tags          []string  `json:"tags,omitempty"`
}

// AppRole is a role of an application. ID follows from the application and the value, so that it stays the same.
type AppRole struct {
	ID          string `json:"id"`
	Value       string `json:"value"`
	DisplayName string `json:"displayName"`
	Description string `json:"description"`
}

// FederationSpec describes a [KindFederation].
type FederationSpec struct {
	Application Value  `json:"application"` // object id
	Name        string `json:"name"`
	Issuer      string `json:"issuer"`
	Subject     Value  `json:"subject"`
}

// MemberSpec describes a [KindMember]. Both are object ids.
type MemberSpec struct {
	Group  Value `json:"group"`
	Member Value `json:"member"`
}

// GrantSpec describes a [KindGrant]: an app role of Microsoft Graph given to a service principal.
type GrantSpec struct {
	Principal Value  `json:"principal"` // object id of the service principal
	Role      string `json:"role"`      // for example User.Read.All
}

// IdentitySpec describes a [KindIdentity]. Outputs: appId, principalId.
type IdentitySpec struct {
	Principal Value `json:"principal"`
}

// VaultSecretSpec describes a [KindVaultSecret]. Output: uri. A secret that stands is not made again: see Source.
type VaultSecretSpec struct {
	Vault  string `json:"vault"`
	Name   string `json:"name"`
	Source Source `json:"source"`
}

// WorkspaceSpec describes a [KindWorkspace]. Outputs: url, workspaceId.
type WorkspaceSpec struct {
	Resource string `json:"resource"` // resource id
	URL      Value  `json:"url"`      // https://adb-….azuredatabricks.net
}

// PrincipalSpec describes a [KindPrincipal]: a service principal that may use the workspace.
type PrincipalSpec struct {
	Workspace   Value  `json:"workspace"` // url, as in all that follow
	Application Value  `json:"application"`
	DisplayName string `json:"displayName"`
	Admin       bool   `json:"admin,omitempty"`
}

// ScopeSpec describes a [KindScope].
type ScopeSpec struct {
	Workspace Value   `json:"workspace"`
	Name      string  `json:"name"`
	Readers   []Value `json:"readers,omitempty"` // application ids that may read
}

// ScopeSecretSpec describes a [KindScopeSecret].
type ScopeSecretSpec struct {
	Workspace Value  `json:"workspace"`
	Scope     string `json:"scope"`
	Key       string `json:"key"`
	Source    Source `json:"source"`
}

// FileSpec describes a [KindFile]: a file of the definition, uploaded, or one that was generated from it.
type FileSpec struct {
	Workspace Value  `json:"workspace"`
	Path      string `json:"path"`              // dbfs:/…, or /… for a file of the workspace
	From      string `json:"from,omitempty"`    // relative to the definition
	Content   string `json:"content,omitempty"` // of a generated file, which has no From
	Digest    string `json:"digest"`            // SHA-256 in hex
}

// ClusterSpec describes a [KindCluster]. Output: clusterId. Node type and runtime are searched when it is made.
type ClusterSpec struct {
	Workspace       Value              `json:"workspace"`
	Name            string             `json:"name"`
	SparkVersion    string             `json:"sparkVersion"` // "3.3": the newest long-term runtime with it
	NodeType        flowehr.NodeType   `json:"nodeType"`
	RuntimeEngine   string             `json:"runtimeEngine"`
	SecurityMode    string             `json:"securityMode"`
	SingleUser      Value              `json:"singleUser,omitzero"` // application id
	Autotermination int                `json:"autotermination"`     // minutes; 0 means never
	Workers         int                `json:"workers"`             // 0 means a single node
	Autoscale       *flowehr.Autoscale `json:"autoscale,omitempty"`
	Conf            map[string]string  `json:"conf,omitempty"` // {{secrets/scope/key}} stands for secrets
	Env             map[string]Value   `json:"env,omitempty"`
	InitScripts     []string           `json:"initScripts,omitempty"` // /… in the workspace, /Volumes/…, abfss://…
	Libraries       flowehr.Libraries  `json:"libraries"`
	LogPath         string             `json:"logPath"`
	Tags            map[string]string  `json:"tags,omitempty"`
}

// MetastoreSpec describes a [KindMetastore]: made when Name is set, else looked up by ID. Output: metastoreId.
type MetastoreSpec struct {
	Account     string `json:"account"` // Databricks account id
	Name        string `json:"name,omitempty"`
	ID          string `json:"id,omitempty"`
	Region      string `json:"region"`
	StorageRoot string `json:"storageRoot,omitempty"` // abfss://…
	Connector   string `json:"connector,omitempty"`   // resource id of the access connector
}

// MetastoreUseSpec describes a [KindMetastoreUse].
type MetastoreUseSpec struct {
	Account   string `json:"account"`
	Workspace Value  `json:"workspace"` // its number
	Metastore Value  `json:"metastore"`
}

// AccountGroupSpec describes a [KindAccountGroup]: a group of the Databricks account, found by its name, whose members are
// managed there. Output: groupId.
type AccountGroupSpec struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Make    bool   `json:"make,omitempty"` // otherwise it must stand
}

// CredentialSpec describes a [KindCredential].
type CredentialSpec struct {
	Workspace Value  `json:"workspace"`
	Name      string `json:"name"`
	Connector string `json:"connector"`
}

// ExternalLocationSpec describes a [KindExternalLocation].
type ExternalLocationSpec struct {
	Workspace  Value  `json:"workspace"`
	Name       string `json:"name"`
	URL        string `json:"url"`
	Credential string `json:"credential"`
}

// CatalogSpec describes a [KindCatalog].
type CatalogSpec struct {
	Workspace   Value  `json:"workspace"`
	Name        string `json:"name"`
	StorageRoot string `json:"storageRoot,omitempty"`
}

// SchemaSpec describes a [KindSchema].
type SchemaSpec struct {
	Workspace Value  `json:"workspace"`
	Catalog   string `json:"catalog"`
	Name      string `json:"name"`
}

// PrivilegesSpec describes a [KindPrivileges]: what one principal may do with one securable.
type PrivilegesSpec struct {
	Workspace  Value    `json:"workspace"`
	Securable  string   `json:"securable"` // catalog, schema, external_location, storage_credential
	Name       string   `json:"name"`
	Principal  Value    `json:"principal"` // group name or application id
	Privileges []string `json:"privileges"`
}

// SQLPrincipalSpec describes a [KindSQLPrincipal].
type SQLPrincipalSpec struct {
	Engine   string     `json:"engine"` // mssql or postgres
	Server   string     `json:"server"` // host name
	Database string     `json:"database"`
	Name     string     `json:"name"` // display name in the directory
	ObjectID Value      `json:"objectId"`
	Group    bool       `json:"group,omitempty"` // a group also has a login in master
	Roles    []string   `json:"roles"`           // db_owner or db_datareader
	Admin    AdminLogin `json:"admin"`
}

// AdminLogin is the application that administers the SQL server.
type AdminLogin struct {
	Application Value    `json:"application"` // client id
	Secret      VaultRef `json:"secret"`
}

// ConnectivitySpec describes a [KindConnectivity]: a small table is written and read back, then dropped.
type ConnectivitySpec struct {
	Engine   string     `json:"engine"`
	Server   string     `json:"server"`
	Database string     `json:"database"`
	Table    string     `json:"table"`
	Writer   AdminLogin `json:"writer"`
}

// ApprovalSpec describes a [KindApproval].
type ApprovalSpec struct {
	Target   string `json:"target"`   // resource id of what the endpoint leads to
	Factory  string `json:"factory"`  // name of the data factory
	Endpoint string `json:"endpoint"` // name of its managed private endpoint
}

// TriggerSpec describes a [KindTrigger].
type TriggerSpec struct {
	Factory string `json:"factory"` // resource id
	Name    string `json:"name"`
	Started bool   `json:"started"`
	Digest  string `json:"digest"` // of the trigger's definition: a changed one is stopped and started again
}

// RegistryTokenSpec describes a [KindRegistryToken]: a password of the token, kept in the vault.
type RegistryTokenSpec struct {
	Registry string   `json:"registry"` // resource id
	Token    string   `json:"token"`
	Secret   VaultRef `json:"secret"`
	Days     int      `json:"days"`
}

// RepositorySpec describes a [KindRepository]. All environments of an app share its repository: removing it leaves it alone
// while it has a GitHub environment that somebody else releases to, which is one with the secret that Marker names. The same
// holds for its teams and for the files that all of them need.
type RepositorySpec struct {
	Owner       string `json:"owner"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Private     bool   `json:"private"`
	Template    string `json:"template"`             // OWNER/NAME
	Disposable  bool   `json:"disposable,omitempty"` // removing it deletes it; otherwise it is archived
	Marker      string `json:"marker,omitempty"`     // see [RepositorySpec]
}

// TeamSpec describes a [KindTeam] and what it may do in one repository.
type TeamSpec struct {
	Owner       string   `json:"owner"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Members     []string `json:"members"`               // GitHub user names
	Maintainers bool     `json:"maintainers,omitempty"` // members maintain the team
	Repository  string   `json:"repository"`
	Permission  string   `json:"permission"`       // push, maintain
	Marker      string   `json:"marker,omitempty"` // see [RepositorySpec]
}

// BranchSpec describes a [KindBranch] and its protection.
type BranchSpec struct {
	Owner        string   `json:"owner"`
	Repository   string   `json:"repository"`
	Name         string   `json:"name"`
	Approvals    int      `json:"approvals"`
	CodeOwners   bool     `json:"codeOwners"`
	DismissStale bool     `json:"dismissStale"`
	Strict       bool     `json:"strict"` // status checks must be up to date
	Checks       []string `json:"checks"`
}

// GitHubDeploymentSpec describes a [KindGitHubDeployment]: a GitHub environment with its secrets. Output: subject.
type GitHubDeploymentSpec struct {
	Owner      string            `json:"owner"`
	Repository string            `json:"repository"`
	Name       string            `json:"name"`
	Branches   []string          `json:"branches"`
	Secrets    map[string]Source `json:"secrets"`
}

// RepositoryFileSpec describes a [KindRepositoryFile].
type RepositoryFileSpec struct {
	Owner      string `json:"owner"`
	Repository string `json:"repository"`
	Branch     string `json:"branch"`
	Path       string `json:"path"`
	Content    string `json:"content"`
	Marker     string `json:"marker,omitempty"` // of a file that all environments of the app share; see [RepositorySpec]
}
