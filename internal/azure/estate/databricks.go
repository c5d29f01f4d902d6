package estate

import (
	"maps"
	"regexp"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// databricks describes what is within the workspace: who may use it, the secrets of pipelines, the files that they bring along,
// the cluster and, when it is asked for, the governed catalogue. The workspace itself is in the transform stack.
func (l *lowering) databricks() {
	l.awaitWorkspace()
	l.sparkPrincipals()
	l.scope()
	files := l.uploads()
	l.unityCatalog()
	l.sparkCluster(files)
}

// workspaceURL is the address of the workspace, once it answers.
func (l *lowering) workspaceURL() azure.Value { return azure.Out(l.workspace(), azure.OutURL) }

// awaitWorkspace is the workspace as others wait for it: it answers some minutes after its stack stands.
func (l *lowering) awaitWorkspace() {
	l.add(flowehr.LayerTransform, azure.KindWorkspace, l.workspace().Name, flowehr.Pos{}, azure.WorkspaceSpec{
		Resource: l.id("Microsoft.Databricks/workspaces", l.names.Workspace()),
		URL:      azure.Out(transformStack(), outWorkspaceURL),
	})
}

// factoryIdentity looks up the application of the data factory's identity: Azure tells its object id only, and Databricks knows
// principals by their application.
func factoryIdentity() flowehr.Ref { return azure.Ref(azure.KindIdentity, "data-factory") }

func factoryAppID() azure.Value { return azure.Out(factoryIdentity(), azure.OutAppID) }

// sparkPrincipals makes the data factory administer the workspace, whose cluster runs as it, and makes the applications known
// that pipelines use from there.
func (l *lowering) sparkPrincipals() {
	l.add(flowehr.LayerTransform, azure.KindIdentity, factoryIdentity().Name, flowehr.Pos{},
		azure.IdentitySpec{Principal: azure.Out(transformStack(), outFactoryPrincipal)})
	l.sparkPrincipal(l.names.Factory(), factoryAppID(), true)
	l.sparkPrincipal(l.names.DataWriter(), appID(l.names.DataWriter()), false)
	if len(l.env.Lake.Zones) > 0 {
		l.sparkPrincipal(l.names.LakeClient(), appID(l.names.LakeClient()), false)
	}
}

func (l *lowering) sparkPrincipal(displayName string, app azure.Value, admin bool) {
	l.add(flowehr.LayerTransform, azure.KindPrincipal, sparkPrincipal(displayName).Name, flowehr.Pos{},
		azure.PrincipalSpec{Workspace: l.workspaceURL(), Application: app, DisplayName: displayName, Admin: admin})
}

func sparkPrincipal(displayName string) flowehr.Ref {
	return azure.Ref(azure.KindPrincipal, displayName)
}

// secretScope is where pipelines find secrets. Databricks holds it itself: a scope that is backed by a vault cannot be made by
// an application (https://learn.microsoft.com/azure/databricks/security/secrets/).
const secretScope = "flowehr-secrets"

// Keys of the scope (06-azure-facts). Those of data sources are made by sourceKey.
const (
	keyWriterID    = "flowehr-dbks-sql-app-id"
	keyWriter      = "flowehr-dbks-sql-app-secret"
	keyStoreFQDN   = "flowehr-dbks-sql-fqdn"
	keyStoreName   = "flowehr-dbks-sql-database"
	keyTenant      = "flowehr-azure-tenant-id"
	keyExternalID  = "flowehr-external-connection-app-id"
	keyExternal    = "flowehr-external-connection-app-secret"
	keyLakeID      = "flowehr-dbks-adls-app-id"
	keyLake        = "flowehr-dbks-adls-app-secret"
	keyLakeURI     = "flowehr-datalake-uri"
	keyCatalog     = "unity-catalog-catalog-name"
	keySchema      = "unity-catalog-schema-name"
	keyInsights    = "flowehr-applicationinsights-connection-string"
	keyConfPrefix  = "flowehr-conf-"
	keySourceStart = "flowehr-dbks-"
)

func sourceKey(source, part string) string { return keySourceStart + source + "-" + part }

// reference stands for a secret of the scope in the configuration of a cluster.
func reference(key string) string { return "{{secrets/" + secretScope + "/" + key + "}}" }

func scopeRef() flowehr.Ref { return azure.Ref(azure.KindScope, secretScope) }

func scopeSecretRef(key string) flowehr.Ref { return azure.Ref(azure.KindScopeSecret, key) }

// scope describes the secret scope and everything in it.
func (l *lowering) scope() {
	l.add(flowehr.LayerTransform, azure.KindScope, secretScope, flowehr.Pos{},
		azure.ScopeSpec{Workspace: l.workspaceURL(), Name: secretScope, Readers: []azure.Value{factoryAppID()}}, sparkPrincipal(l.names.Factory()))

	contents := l.scopeContents()
	for _, key := range slices.Sorted(maps.Keys(contents)) {
		l.scopeSecret(key, contents[key])
	}
	for _, key := range slices.Sorted(maps.Keys(l.env.Spark.Secrets)) {
		_, taken := contents[key]
		switch {
		case taken:
			l.refuse(flowehr.Pos{}, "FlowEHR keeps a secret of its own under that name. Choose another key.", "databricks_secrets cannot have the key %q", key)
		case !scopeKey.MatchString(key):
			l.refuse(flowehr.Pos{}, "Databricks allows 1 to 128 letters, digits and any of - _ . @ in it.", "databricks_secrets cannot have the key %q", key)
		default:
			l.scopeSecret(key, textSource(l.env.Spark.Secrets[key]))
		}
	}
}

// scopeKey is what Databricks allows as the key of a secret.
// https://learn.microsoft.com/azure/databricks/security/secrets/
var scopeKey = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,128}$`)

func (l *lowering) scopeSecret(key string, source azure.Source) {
	needs := []flowehr.Ref{scopeRef()}
	if v := source.Vault; v != nil {
		needs = append(needs, vaultSecret(v.Vault, v.Name))
	}
	if source.Telemetry != "" {
		needs = append(needs, transformStack()) // which makes the component
	}
	l.add(flowehr.LayerTransform, azure.KindScopeSecret, scopeSecretRef(key).Name, flowehr.Pos{},
		azure.ScopeSecretSpec{Workspace: l.workspaceURL(), Scope: secretScope, Key: key, Source: source}, needs...)
}

// textSource is a configured value. An empty one is a value as well, and no secret.
func textSource(t flowehr.Text) azure.Source {
	if t == "" {
		return literalSource("")
	}
	return azure.Source{Text: t}
}

// scopeContents lists what the product itself keeps in the scope, where it comes from by key. What a vault has is copied from
// there, so that a rotated secret is found out to be stale.
func (l *lowering) scopeContents() map[string]azure.Source {
	vault := l.names.Vault()
	contents := map[string]azure.Source{
		keyWriterID:   outputSource(appID(l.names.DataWriter())),
		keyWriter:     vaultSource(vault, secretDataWriter),
		keyStoreFQDN:  literalSource(l.storeServer()),
		keyStoreName:  literalSource(l.names.SQLDatabase()),
		keyTenant:     literalSource(l.facts.Tenant),
		keyExternalID: outputSource(appID(l.names.ExternalClient())),
		keyExternal:   vaultSource(vault, secretExternal),
		keyInsights:   {Telemetry: l.transformInsightsID()},
	}
	if len(l.env.Lake.Zones) > 0 {
		contents[keyLakeID] = outputSource(appID(l.names.LakeClient()))
		contents[keyLake] = vaultSource(vault, secretLakeClient)
		contents[keyLakeURI] = literalSource(l.lakeHost())
	}
	if u := l.env.Spark.UnityCatalog; u != nil {
		contents[keyCatalog] = literalSource(l.catalogName())
		contents[keySchema] = literalSource(l.schemaName())
	}
	for _, s := range l.env.Sources {
		if s.Kind == flowehr.SourceFolder {
			continue
		}
		contents[sourceKey(s.Name, "fqdn")] = literalSource(s.Host)
		contents[sourceKey(s.Name, "database")] = literalSource(s.Database)
		contents[sourceKey(s.Name, "username")] = l.credentialSource(s.Username, sourceUsername(s.Name))
		contents[sourceKey(s.Name, "password")] = l.credentialSource(s.Password, sourcePassword(s.Name))
	}
	for key, value := range l.env.Spark.Conf {
		if len(value.Secrets()) > 0 {
			contents[confKey(key)] = azure.Source{Text: value}
		}
	}
	return contents
}

func (l *lowering) credentialSource(value flowehr.Text, name string) azure.Source {
	if value == "" {
		return literalSource("")
	}
	return vaultSource(l.names.Vault(), name)
}

// lakeHost is the host name of the lake. Pipelines of the older system put containers and paths around it.
func (l *lowering) lakeHost() string { return l.names.Lake() + ".dfs.core.windows.net" }

func (l *lowering) catalogName() string {
	u := l.env.Spark.UnityCatalog
	return l.names.Catalogued(u.CatalogName, u.CatalogPrefix)
}

func (l *lowering) schemaName() string {
	u := l.env.Spark.UnityCatalog
	return l.names.Catalogued(u.SchemaName, u.SchemaPrefix)
}
