package estate

import (
	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// transform describes the second layer as far as Resource Manager makes it: the lake, Databricks, the data factory, the feature
// store's server and the telemetry of pipelines. What runs there is in the pipeline stack, because its linked services name a
// cluster that Databricks makes in between.
func (l *lowering) transform() {
	s := l.stack(flowehr.LayerTransform, "transform")
	l.transformInsights(s)
	l.lake(s)
	l.metastoreStorage(s)
	l.databricksWorkspace(s)
	l.dataFactory(s)
	if l.env.Store.Engine == "postgres" {
		l.postgresServer(s)
	} else {
		l.sqlServer(s)
	}
	l.alert(s, "store", "Somebody changed a firewall rule of the feature store", []string{l.storeFirewallType() + "/write", l.storeFirewallType() + "/delete"})
	l.peerings(s)
	s.holds = true
	s.done(flowehr.Pos{}, coreStack())
}

func (l *lowering) transformInsights(s *stack) {
	s.add("transformInsights", l.applicationInsights(l.names.TransformInsights()))
}

func (l *lowering) transformInsightsID() string {
	return l.id("Microsoft.Insights/components", l.names.TransformInsights())
}

// applicationInsights is telemetry that is kept in the log workspace.
func (l *lowering) applicationInsights(name string) arm.Resource {
	r := l.regional("Microsoft.Insights/components", name, arm.Object{
		"Application_Type":    "web",
		"Flow_Type":           "Bluefield",
		"Request_Source":      "rest",
		"IngestionMode":       "LogAnalytics",
		"RetentionInDays":     l.insightsRetention(),
		"WorkspaceResourceId": l.logsID(),
	})
	r.Kind = "web"
	return r
}

// insightsRetention is how long telemetry is kept: the shortest time that Application Insights offers and that is no shorter than
// that of logs.
// https://learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure
func (l *lowering) insightsRetention() int {
	for _, days := range []int{30, 60, 90, 120, 180, 270, 365, 550} {
		if days >= l.env.Sizes.LogRetentionDays {
			return days
		}
	}
	return 730
}

func (l *lowering) lakeID() string {
	return l.id("Microsoft.Storage/storageAccounts", l.names.Lake())
}

// lake makes the storage account of the lake, with a container for each zone.
func (l *lowering) lake(s *stack) {
	if len(l.env.Lake.Zones) == 0 {
		return
	}
	account := l.dataLake(s, s.group, lakeAccount{
		symbol: "lake", name: l.names.Lake(), id: l.lakeID(), containers: l.env.Lake.Zones, connector: l.env.Spark.UnityCatalog != nil, connectorName: l.names.Connector(),
		connectorGroup: l.names.Group(), endpoint: "adls",
	})
	s.add("lakeClient", l.allow(l.lakeID(), azure.RoleBlobDataContributor,
		azure.Out(application(l.names.LakeClient()), azure.OutPrincipalID), azure.PrincipalService, l.names.LakeClient()), account)
	if l.env.Spark.UnityCatalog != nil {
		s.add("lakeConnector", l.allow(l.lakeID(), azure.RoleBlobDataContributor,
			azure.Out(coreStack(), outConnectorPrincipal), azure.PrincipalService, l.names.Connector()), account)
	}
}

// lakeAccount describes a storage account with a hierarchical namespace.
type lakeAccount struct {
	symbol, name, id string
	containers       []string
	connector        bool // whether a Databricks connector passes the firewall
	connectorName    string
	connectorGroup   string
	endpoint         string // part in the names of its private endpoints
}

// dataLake adds such an account to template t and returns its symbol. Nobody needs its keys, so they are switched off.
func (l *lowering) dataLake(s *stack, t *arm.Template, a lakeAccount) string {
	firewall := l.storageNetwork()
	if a.connector {
		firewall["resourceAccessRules"] = []arm.Object{{
			"tenantId":   l.facts.Tenant,
			"resourceId": arm.ID(l.facts.Subscription, a.connectorGroup, "Microsoft.Databricks/accessConnectors", a.connectorName),
		}}
	}
	account := t.Add(a.symbol, l.storageAccount(a.name, "Standard_GRS", arm.Object{
		"isHnsEnabled": true, "allowSharedKeyAccess": false, "networkAcls": firewall,
	}))
	settings := arm.New("Microsoft.Storage/storageAccounts/blobServices", a.name+"/default", softDeleted())
	settings.DependsOn = []string{account}
	blobs := t.Add(a.symbol+"Blobs", settings)
	for _, name := range a.containers {
		c := container(a.name, name)
		c.DependsOn = []string{blobs}
		t.Add(a.symbol+"Container_"+symbolic(name), c)
	}
	if t != s.group {
		deployer := l.allowDeployer(a.id, azure.RoleBlobDataContributor)
		deployer.DependsOn = []string{account}
		t.Add(a.symbol+"Deployer", deployer)
	}
	logs := l.logged(a.id+"/blobServices/default", true, blobAudit...)
	logs.DependsOn = []string{blobs}
	t.Add(a.symbol+"Diagnostics", logs)
	if l.env.RealData {
		lock := l.locked(a.id, a.name)
		lock.DependsOn = []string{account}
		t.Add(a.symbol+"Lock", lock)
	}
	if t == s.group {
		l.lakeEndpoints(s, a, account)
	}
	return account
}

// lakeEndpoints gives an account addresses in the network, for both protocols that Databricks speaks to it.
func (l *lowering) lakeEndpoints(s *stack, a lakeAccount, after ...string) {
	// One after the other: an account takes one change of its connections at a time.
	first := l.privateEndpoint(s, a.symbol+"EndpointDFS", l.names.PrivateEndpoint(a.endpoint+"-dfs"), a.id, "dfs", []string{azure.ZoneDFS}, after...)
	l.privateEndpoint(s, a.symbol+"EndpointBlob", l.names.PrivateEndpoint(a.endpoint+"-blob"), a.id, "blob", []string{azure.ZoneBlob}, first)
}

// metastoreContainer is where a metastore that the environment makes keeps managed tables.
const metastoreContainer = "unity-catalog-container"

// metastoreStorage makes the storage of a metastore, when the environment makes one. It may be in a resource group of its own;
// its private endpoints are in ours and come after it.
func (l *lowering) metastoreStorage(s *stack) {
	if !l.createsMetastore() {
		return
	}
	group := l.metastoreGroup()
	a := lakeAccount{
		symbol: "metastore", name: l.env.Spark.Metastore.StorageAccount, containers: []string{metastoreContainer}, connector: true,
		connectorName: l.names.MetastoreConnector(), connectorGroup: group, endpoint: "metastore",
	}
	a.id = arm.ID(l.facts.Subscription, group, "Microsoft.Storage/storageAccounts", a.name)
	t := s.in(group)
	account := l.dataLake(s, t, a)
	access := l.allow(a.id, azure.RoleBlobDataContributor, azure.Out(coreStack(), outMetastoreConnectorPrincipal), azure.PrincipalService, l.names.MetastoreConnector())
	access.DependsOn = []string{account}
	t.Add("metastoreConnector", access)
	if t != s.group {
		l.lakeEndpoints(s.later(), a)
	}
}

// databricksWorkspace makes the workspace in our network, with private addresses for its control plane and its file system.
func (l *lowering) databricksWorkspace(s *stack) {
	value := func(v any) arm.Object { return arm.Object{"value": v} }
	public, rules := "Disabled", "NoAzureDatabricksRules"
	if l.publicWorkspace() {
		public, rules = "Enabled", "AllRules"
	}
	managed := arm.GroupID(l.facts.Subscription, l.names.WorkspaceManagedGroup())
	workspace := l.regional("Microsoft.Databricks/workspaces", l.names.Workspace(), arm.Object{
		"computeMode":            "Hybrid", // clusters in our network; Serverless would have none
		"managedResourceGroupId": managed,
		"publicNetworkAccess":    public,
		"requiredNsgRules":       rules,
		"parameters": arm.Object{
			"customVirtualNetworkId":          value(l.networkID()),
			"customPublicSubnetName":          value(l.names.DatabricksHostSubnet()),
			"customPrivateSubnetName":         value(l.names.DatabricksContainerSubnet()),
			"enableNoPublicIp":                value(true),
			"requireInfrastructureEncryption": value(true),
			"storageAccountName":              value(l.names.WorkspaceStorage()),
		},
	})
	workspace.SKU = arm.Object{"name": "premium"}
	made := s.add("workspace", workspace)
	s.group.Return(outWorkspaceURL, arm.Prefixed("https://", arm.Reference(made, "workspaceUrl")))
	s.add("workspaceDiagnostics", l.logged(l.workspaceID(), false,
		"accounts", "clusters", "dbfs", "jobs", "notebook", "secrets", "sqlPermissions", "unityCatalog", "workspace"), made)
	control := l.privateEndpoint(s, "workspaceEndpoint", l.names.PrivateEndpoint("dbks-cp"), l.workspaceID(), "databricks_ui_api", []string{azure.ZoneDatabricks}, made)
	if !l.publicWorkspace() && l.env.Network.PrivateDNSZonesGroup == "" {
		// People sign in through an address that all workspaces of a region share. A zone can have it once, so where the zones
		// are the organisation's, it is there that the organisation keeps it.
		// https://learn.microsoft.com/azure/databricks/security/network/front-end/front-end-private-connect
		l.privateEndpoint(s, "workspaceSignInEndpoint", l.names.PrivateEndpoint("dbks-auth"), l.workspaceID(), "browser_authentication", []string{azure.ZoneDatabricks}, control)
	}
	l.privateEndpoint(s, "workspaceFilesEndpoint", l.names.PrivateEndpoint("dbks-fs"),
		managed+"/providers/Microsoft.Storage/storageAccounts/"+l.names.WorkspaceStorage(), "blob", []string{azure.ZoneBlob}, made)
	if l.env.RealData {
		s.add("workspaceLock", l.locked(l.workspaceID(), l.names.Workspace()), made)
	}
}

func (l *lowering) workspaceID() string {
	return l.id("Microsoft.Databricks/workspaces", l.names.Workspace())
}

// symbolic makes a part of a symbolic name of a container's.
func symbolic(name string) string {
	out := []rune(name)
	for i, r := range out {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			out[i] = '_'
		}
	}
	return string(out)
}
