package azure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr"
)

// Names derives what everything in an environment is called. No name is random, so that whatever was made can be found again
// with nothing but the definition. The suffix comes from package compile, which refuses one that does not fit.
//
// A name that a definition makes too long for its type keeps its beginning and ends in a digest of the whole.
type Names struct {
	Suffix string // {flowehr_id}-{environment}
	Short  string // the suffix without - and _, at most 17 characters
}

// NamesOf returns the names of an environment.
func NamesOf(env *flowehr.Environment) Names { return Names{Suffix: env.Suffix, Short: env.Short} }

// Group is the resource group of everything.
func (n Names) Group() string { return "rg-" + n.Suffix }

// Stack is the deployment stack of a layer or of a part of one.
func (n Names) Stack(layer string) string { return "flowehr-" + layer + "-" + n.Suffix }

// AppStack is the deployment stack of an app.
func (n Names) AppStack(appID string) string { return n.Stack("app-" + kebab(appID)) }

// Deployment is the i-th nested deployment of a stack. A name has at most 64 characters and is one of the resource group that it
// is made in, which need not be the environment's own.
func (n Names) Deployment(part string, i int) string {
	return fmt.Sprintf("%s-%d", fitted(n.Stack(part), 60), i)
}

// Network is the virtual network.
func (n Names) Network() string { return "vnet-" + n.Suffix }

// SharedSubnet is the first of the four subnets, in the order of their addresses. Private endpoints are in it.
func (n Names) SharedSubnet() string { return "subnet-core-shared-" + n.Suffix }

// DatabricksHostSubnet is the second: machines of clusters, towards the control plane.
func (n Names) DatabricksHostSubnet() string { return "subnet-dbks-host-" + n.Suffix }

// DatabricksContainerSubnet is the third: machines of clusters, among each other.
func (n Names) DatabricksContainerSubnet() string { return "subnet-dbks-container-" + n.Suffix }

// WebAppsSubnet is the fourth: what apps send from.
func (n Names) WebAppsSubnet() string { return "subnet-serve-webapps-" + n.Suffix }

// SecurityGroup is the network security group of the subnets that Databricks does not manage the rules of.
func (n Names) SecurityGroup() string { return "nsg-default-" + n.Suffix }

// DatabricksSecurityGroup is that of the two Databricks subnets.
func (n Names) DatabricksSecurityGroup() string { return "nsg-dbks-" + n.Suffix }

// RouteTable is that of the Databricks subnets.
func (n Names) RouteTable() string { return "rt-dbks-" + n.Suffix }

// FlowLog records the traffic of the network. It lives beside the network watcher, among those of others.
func (n Names) FlowLog() string { return "flow-log-" + n.Suffix }

// ZoneLink is the link of the network to a private DNS zone.
func (n Names) ZoneLink(zone string) string { return fitted("vnl-"+zone+"-flwr-"+n.Suffix, 80) }

// PrivateEndpoint is the private endpoint of a part: blob, kv, sql-feature-data, dbks-cp, dbks-fs, adls-dfs, adls-blob, cosmos.
func (n Names) PrivateEndpoint(part string) string { return "pe-" + part + "-" + n.Suffix }

// AppVaultEndpoint is the private endpoint of the serve layer's vault.
func (n Names) AppVaultEndpoint() string { return "pe-kv-" + n.Suffix + "-serve" }

// PeeringToCI joins the network with that of the build agents.
func (n Names) PeeringToCI() string { return "peer-flwr-" + n.Suffix + "-to-ci" }

// PeeringFromCI is the way back of [Names.PeeringToCI].
func (n Names) PeeringFromCI() string { return "peer-ci-to-flwr-" + n.Suffix }

// PeeringFrom is the peering that a data source's network has with ours. The older system kept 30
// characters of the other side's names; two that begin alike are told apart by a digest.
func (n Names) PeeringFrom(network, group string) string {
	return "peer-" + fitted(network+"-"+group, 30) + "-to-" + n.Suffix
}

// PeeringTo is the way back of [Names.PeeringFrom].
func (n Names) PeeringTo(network, group string) string {
	return "peer-" + n.Suffix + "-to-" + fitted(network+"-"+group, 30)
}

// Vault is the key vault of core and transform.
func (n Names) Vault() string { return "kv-" + n.Short }

// AppVault is the key vault of the apps.
func (n Names) AppVault() string { return "kv-" + n.Short + "-srv" }

// ManagementStorage is the storage account of logs, audits and the product's own state.
func (n Names) ManagementStorage() string { return "strg" + n.Short }

// Logs is the log analytics workspace.
func (n Names) Logs() string { return "log-" + n.Suffix }

// ActionGroup is told of critical alerts.
func (n Names) ActionGroup() string { return "log-critical-action-group-" + n.Suffix }

// Alert is an alert on a part of the environment.
func (n Names) Alert(part string) string { return "alert-" + part + "-" + n.Suffix }

// Diagnostics is the diagnostic setting of any resource.
func (n Names) Diagnostics() string { return "log-" + n.Suffix }

// Lake is the storage account of the data lake.
func (n Names) Lake() string { return "adls" + strings.ReplaceAll(n.Suffix, "-", "") }

// Factory is the data factory.
func (n Names) Factory() string { return "adf-" + n.Suffix }

// Workspace is the Databricks workspace.
func (n Names) Workspace() string { return "dbks-" + n.Suffix }

// WorkspaceManagedGroup is the resource group in which Databricks keeps what belongs to the workspace.
func (n Names) WorkspaceManagedGroup() string { return "rg-dbks-" + n.Suffix }

// WorkspaceStorage is the storage account that Databricks makes for the file system of the workspace.
func (n Names) WorkspaceStorage() string { return "dbfs" + n.Short }

// Connector is the identity by which Databricks reaches the lake.
func (n Names) Connector() string { return "external-access-connector-" + n.Suffix }

// MetastoreConnector is the identity by which Databricks reaches the storage of a metastore that the environment makes.
func (n Names) MetastoreConnector() string { return "metastore-access-connector" }

// SQLServer is the feature store's server.
func (n Names) SQLServer() string { return "sql-server-features-" + n.Suffix }

// SQLServerFQDN is its host name.
func (n Names) SQLServerFQDN() string { return n.SQLServer() + ".database.windows.net" }

// PostgresServer is the feature store's server when its engine is PostgreSQL.
func (n Names) PostgresServer() string { return "psql-features-" + n.Suffix }

// PostgresServerFQDN is its host name.
func (n Names) PostgresServerFQDN() string {
	return n.PostgresServer() + ".postgres.database.azure.com"
}

// SQLDatabase is the feature store's database with either engine.
func (n Names) SQLDatabase() string { return "sql-db-features" }

// TransformInsights is the telemetry of pipelines.
func (n Names) TransformInsights() string { return "transform-ai-" + n.Suffix }

// Registry is the registry of the apps' images.
func (n Names) Registry() string { return "acrserve" + n.Short }

// Plan is what the apps run on.
func (n Names) Plan() string { return "asp-serve-" + n.Suffix }

// Autoscale is the rule by which the plan grows and shrinks.
func (n Names) Autoscale() string { return "autoscale-serve-" + n.Suffix }

// Documents is the account of the apps' state.
func (n Names) Documents() string { return "cosmos-serve-" + n.Short }

// ModelRegistry is the machine learning registry.
func (n Names) ModelRegistry() string { return "aml-registry-" + n.Suffix }

// WebApp is the web app of an app and the beginning of its address.
func (n Names) WebApp(appID string) string { return "webapp-" + kebab(appID) + "-" + n.Suffix }

// AppInsights is the telemetry of an app.
func (n Names) AppInsights(appID string) string { return "ai-" + n.WebApp(appID) }

// SlotInsights is the telemetry of an app's testing slot.
func (n Names) SlotInsights(appID string) string { return "ai-" + n.WebApp(appID) + "-testing" }

// RegistryScope limits a registry token to the images of an app.
func (n Names) RegistryScope(appID string) string { return "scope-" + kebab(appID) }

// RegistryToken is that token.
func (n Names) RegistryToken(appID string) string { return "token-" + kebab(appID) }

// RegistryWebhook deploys an app when its image changes: 5 to 50 letters and digits. Ids that differ in - only do not share it.
func (n Names) RegistryWebhook(appID string) string {
	return "webhook" + strings.ReplaceAll(kebab(appID), "-", "") + digest(kebab(appID), 6)
}

// StateDatabase holds the state of an app.
func (n Names) StateDatabase(appID string) string { return appID + "-state" }

// StateContainer is the container of that database.
func (n Names) StateContainer(appID string) string { return appID }

// SQLOwner is the application that administers the feature store.
func (n Names) SQLOwner() string { return "flowehr-sql-owner-" + n.Suffix }

// DataWriter is the application by which pipelines write features.
func (n Names) DataWriter() string { return "flowehr-databricks-datawriter-" + n.Suffix }

// LakeClient is the application by which pipelines read and write the lake.
func (n Names) LakeClient() string { return "flowehr-databricks-adls-" + n.Suffix }

// ExternalClient is the application by which pipelines reach services outside.
func (n Names) ExternalClient() string { return "flowehr-external-" + n.Suffix }

// SignIn is the application by which people sign in to an app.
func (n Names) SignIn(appID string) string { return "flowehr-" + n.WebApp(appID) }

// AppCI is the application by which an app's build swaps its slots.
func (n Names) AppCI(appID string) string { return "sp-flowehr-app-" + kebab(appID) + "-" + n.Suffix }

// IdentifierURI is what tokens for an app are issued for.
func (n Names) IdentifierURI(a string) string { return "api://" + n.WebApp(a) }

// Developers is the group of those who build pipelines and apps.
func (n Names) Developers() string { return n.Suffix + " flowehr-developers" }

// DataScientists is the group of those who build on features.
func (n Names) DataScientists() string { return n.Suffix + " flowehr-data-scientists" }

// Stewards is the group of those who publish models.
func (n Names) Stewards() string { return n.Suffix + " flowehr-algorithm-stewards" }

// Apps is the group of the identities of apps.
func (n Names) Apps() string { return n.Suffix + " flowehr-apps" }

// UniqueName is the key by which Microsoft Graph finds a group or an application again. It is also a group's mail nickname,
// which allows no space and 64 characters.
func UniqueName(displayName string) string {
	return fitted(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(displayName)), 64)
}

// Catalogued is the name of a catalogue or schema of Unity Catalog that is given by a prefix.
func (n Names) Catalogued(name, prefix string) string {
	if name != "" {
		return name
	}
	return prefix + "_" + strings.NewReplacer("-", "").Replace(n.Suffix)
}

// Private DNS zones.
const (
	ZoneBlob       = "privatelink.blob.core.windows.net"
	ZoneVault      = "privatelink.vaultcore.azure.net"
	ZoneDocuments  = "privatelink.documents.azure.com"
	ZoneDatabricks = "privatelink.azuredatabricks.net"
	ZoneSQL        = "privatelink.database.windows.net"
	ZonePostgres   = "privatelink.postgres.database.azure.com"
	ZoneDFS        = "privatelink.dfs.core.windows.net"
)

// namespace is where this product's name-based identifiers live (RFC 9562, section 5.5).
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/flowehr/flowehr"))

// GUID is an identifier that follows from parts, such as the name of a role assignment from scope, role and principal.
func GUID(parts ...string) string {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00"))).String()
}

// kebab is an app's id as it stands in addresses. Package compile refuses two ids that become the same.
func kebab(appID string) string { return strings.ToLower(strings.ReplaceAll(appID, "_", "-")) }

// fitted returns name, shortened to at most limit characters with a digest of all of it at the end.
func fitted(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	return name[:limit-9] + "-" + digest(name, 8)
}

// digest is the beginning of the SHA-256 of s in hex.
func digest(s string, length int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:length]
}
