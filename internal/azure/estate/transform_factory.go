package estate

import (
	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/adf"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/factory"
)

// integrationRuntime is what activities of the data factory run on, in a network that Azure manages for it.
const integrationRuntime = "FlowEHRIntegrationRuntime"

func (l *lowering) factoryID() string {
	return l.id("Microsoft.DataFactory/factories", l.names.Factory())
}

// dataFactory makes the data factory and what its identity may do. Its pipelines are in the pipeline stack.
func (l *lowering) dataFactory(s *stack) {
	properties := arm.Object{"publicNetworkAccess": "Enabled"}
	if l.env.RealData {
		properties["publicNetworkAccess"] = "Disabled"
	}
	if globals := l.pipelineResources().Globals; len(globals) > 0 {
		properties["globalParameters"] = globals
	}
	r := l.regional("Microsoft.DataFactory/factories", l.names.Factory(), properties)
	r.Identity = arm.Object{"type": "SystemAssigned"}
	made := s.add("factory", r)
	s.group.Return(outFactoryPrincipal, arm.FullReference(made, "identity.principalId"))
	s.add("factoryDiagnostics", l.logged(l.factoryID(), true, "PipelineRuns", "ActivityRuns"), made)

	network := s.add("factoryNetwork", arm.New("Microsoft.DataFactory/factories/managedVirtualNetworks", l.names.Factory()+"/default", arm.Object{}), made)
	s.add("factoryRuntime", arm.New("Microsoft.DataFactory/factories/integrationRuntimes", l.names.Factory()+"/"+integrationRuntime, arm.Object{
		"type":                  "Managed",
		"managedVirtualNetwork": arm.Object{"type": "ManagedVirtualNetworkReference", "referenceName": "default"},
		"typeProperties": arm.Object{"computeProperties": arm.Object{
			"location":           l.env.Location,
			"dataFlowProperties": arm.Object{"computeType": "General", "coreCount": 8, "timeToLive": 5},
		}},
	}), network)
	l.managedEndpoints(s, network)

	identity := arm.FullReference(made, "identity.principalId")
	s.add("factoryUsesWorkspace", l.allow(l.workspaceID(), azure.RoleContributor, identity, azure.PrincipalService, l.names.Factory()), made, "workspace")
	vault := l.id("Microsoft.KeyVault/vaults", l.names.Vault())
	s.add("factoryUsesVault", l.allow(vault, azure.RoleVaultSecretsUser, identity, azure.PrincipalService, l.names.Factory()), made)
	if len(l.env.Lake.Zones) > 0 {
		s.add("factoryUsesLake", l.allow(l.lakeID(), azure.RoleBlobDataContributor, identity, azure.PrincipalService, l.names.Factory()), made, "lake")
	}
}

// managedEndpoints let activities reach, from the network that Azure manages for them, what has no public access for them: a
// closed Databricks, and the feature store when Data Factory itself reads it. They stay pending until they are approved, which is
// a resource of its own. Vault and lake need none, since their firewalls let Data Factory's identity pass as a trusted service.
func (l *lowering) managedEndpoints(s *stack, network string) {
	add := func(name, target, group, after string) {
		s.add("factoryEndpoint_"+name, arm.New("Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints",
			l.names.Factory()+"/default/"+name, arm.Object{"privateLinkResourceId": target, "groupId": group}), network, after)
		l.add(flowehr.LayerTransform, azure.KindApproval, name, flowehr.Pos{},
			azure.ApprovalSpec{Target: target, Factory: l.names.Factory(), Endpoint: name}, transformStack())
	}
	if !l.publicWorkspace() {
		add("databricks", l.workspaceID(), "databricks_ui_api", "workspace")
	}
	if l.factoryUsesStore() {
		add("store", l.sqlServerID(), "sqlServer", "sqlServer")
	}
}

// factoryUsesStore says whether a pipeline has an activity on the feature store that Data Factory runs itself, which it can on
// Azure SQL only.
func (l *lowering) factoryUsesStore() bool {
	for _, r := range l.pipelineResources().Resources {
		if r.Name == l.names.Factory()+"/"+adf.StoreService {
			return true
		}
	}
	return false
}

// Symbols of the linked services that every environment has, in the pipeline stack.
const (
	sparkService   = "linkedServiceSpark"
	vaultService   = "linkedServiceVault"
	storageService = "linkedServiceLake"
)

// pipelines describes the stack of everything that runs in the data factory, and whether its triggers are started.
func (l *lowering) pipelines() {
	s := l.stack(flowehr.LayerTransform, "pipelines")
	l.linkedServices(s)
	r := l.pipelineResources()
	for symbol, resource := range r.Resources {
		s.add(symbol, resource)
	}
	s.done(flowehr.Pos{}, transformStack())
	workspace := azure.Out(l.workspace(), azure.OutURL)
	for _, f := range r.Files {
		l.add(flowehr.LayerTransform, azure.KindFile, f.Path, flowehr.Pos{}, azure.FileSpec{Workspace: workspace, Path: f.Path, Content: f.Content, Digest: f.Digest()})
	}
	needs := []flowehr.Ref{pipelineStack()}
	for _, made := range l.resources {
		if made.Ref.Kind == azure.KindFile || made.Ref.Kind == azure.KindApproval { // what a pipeline runs, and how it gets there
			needs = append(needs, made.Ref)
		}
	}
	for _, t := range r.Triggers {
		l.add(flowehr.LayerTransform, azure.KindTrigger, t.Name, flowehr.Pos{},
			azure.TriggerSpec{Factory: l.factoryID(), Name: t.Name, Started: t.Started && l.env.RealData, Digest: t.Digest}, needs...)
	}
}

// linkedServices adds the linked services that every environment has, under the names that definitions use.
func (l *lowering) linkedServices(s *stack) {
	add := func(symbol, name, typ string, properties arm.Object, runtime bool) {
		body := arm.Object{"type": typ, "typeProperties": properties}
		if runtime {
			body["connectVia"] = arm.Object{"type": "IntegrationRuntimeReference", "referenceName": integrationRuntime}
		}
		s.add(symbol, arm.New("Microsoft.DataFactory/factories/linkedservices", l.names.Factory()+"/"+name, body))
	}
	add(vaultService, adf.VaultService, "AzureKeyVault", arm.Object{"baseUrl": "https://" + l.names.Vault() + ".vault.azure.net/"}, false)
	add(sparkService, adf.SparkService, "AzureDatabricks", arm.Object{
		"authentication":      "MSI",
		"domain":              azure.Out(l.workspace(), azure.OutURL),
		"workspaceResourceId": l.workspaceID(),
		"existingClusterId":   azure.Out(l.cluster(), azure.OutClusterID),
	}, true)
	if len(l.env.Lake.Zones) > 0 {
		add(storageService, adf.StorageService, "AzureBlobFS", arm.Object{"url": "https://" + l.names.Lake() + ".dfs.core.windows.net"}, true)
	}
}

// pipelineResources lowers all pipelines together, once.
func (l *lowering) pipelineResources() adf.Result {
	if l.lowered != nil {
		return *l.lowered
	}
	var bundles []factory.Bundle
	for _, p := range l.env.Pipelines {
		b, err := factory.DecodeBundle(p.Bundle)
		if err != nil {
			l.refuse(p.Pos, "", "pipeline %q cannot be read: %v", p.Name, err)
			continue
		}
		bundles = append(bundles, b)
	}
	services := map[string]string{adf.VaultService: vaultService, adf.SparkService: sparkService}
	if len(l.env.Lake.Zones) > 0 {
		services[adf.StorageService] = storageService
	}
	catalog := ""
	if u := l.env.Spark.UnityCatalog; u != nil {
		catalog = l.names.Catalogued(u.CatalogName, u.CatalogPrefix)
	}
	r, found := adf.LowerAll(bundles, adf.Options{
		FactoryName: l.names.Factory(), FactoryID: l.factoryID(), Location: l.env.Location, Tags: l.tags(),
		LinkedServices: services, Runtime: integrationRuntime,
		Zones: l.env.Lake.Zones, Catalog: catalog, Sources: l.env.Sources,
		StoreEngine: l.storeEngine(), StoreServer: l.storeServer(), StoreDatabase: l.names.SQLDatabase(), StoreUser: l.storeUser(),
		Workspace: azure.Out(l.workspace(), azure.OutURL), WorkspaceID: l.workspaceID(), Cluster: azure.Out(l.cluster(), azure.OutClusterID),
		AppInsightsID: l.transformInsightsID(), RealData: l.env.RealData,
	})
	l.diagnostics = append(l.diagnostics, found...)
	l.lowered = &r
	return r
}
