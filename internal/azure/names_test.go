package azure_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm/armtest"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
)

// named is a name, and the type whose rules it has to keep to.
type named struct{ typ, name string }

// resourceNames lists the names of everything that Resource Manager makes in the environment's own group, without those of apps,
// pipelines and other people's things. Names of the directory are in directoryNames.
func resourceNames(n azure.Names) []named {
	const network = "Microsoft.Network/"
	list := []named{
		{"Microsoft.Resources/resourceGroups", n.Group()}, {"Microsoft.Resources/resourceGroups", n.WorkspaceManagedGroup()},
		{network + "virtualNetworks", n.Network()},
		{network + "virtualNetworks/subnets", n.SharedSubnet()}, {network + "virtualNetworks/subnets", n.DatabricksHostSubnet()},
		{network + "virtualNetworks/subnets", n.DatabricksContainerSubnet()}, {network + "virtualNetworks/subnets", n.WebAppsSubnet()},
		{network + "networkSecurityGroups", n.SecurityGroup()}, {network + "networkSecurityGroups", n.DatabricksSecurityGroup()},
		{network + "routeTables", n.RouteTable()}, {network + "networkWatchers/flowLogs", n.FlowLog()},
		{network + "virtualNetworks/virtualNetworkPeerings", n.PeeringToCI()}, {network + "virtualNetworks/virtualNetworkPeerings", n.PeeringFromCI()},
		{network + "privateEndpoints", n.AppVaultEndpoint()},
		{"Microsoft.KeyVault/vaults", n.Vault()}, {"Microsoft.KeyVault/vaults", n.AppVault()},
		{"Microsoft.Storage/storageAccounts", n.ManagementStorage()}, {"Microsoft.Storage/storageAccounts", n.Lake()},
		{"Microsoft.Storage/storageAccounts", n.WorkspaceStorage()},
		{"Microsoft.OperationalInsights/workspaces", n.Logs()}, {"Microsoft.Insights/actionGroups", n.ActionGroup()},
		{"Microsoft.Insights/activityLogAlerts", n.Alert("vault")}, {"Microsoft.Insights/activityLogAlerts", n.Alert("store")},
		{"Microsoft.DataFactory/factories", n.Factory()}, {"Microsoft.Databricks/workspaces", n.Workspace()},
		{"Microsoft.Databricks/accessConnectors", n.Connector()}, {"Microsoft.Databricks/accessConnectors", n.MetastoreConnector()},
		{"Microsoft.Sql/servers", n.SQLServer()}, {"Microsoft.DBforPostgreSQL/flexibleServers", n.PostgresServer()},
		{"Microsoft.Sql/servers/databases", n.SQLDatabase()}, {"Microsoft.Insights/components", n.TransformInsights()},
		{"Microsoft.ContainerRegistry/registries", n.Registry()}, {"Microsoft.Web/serverfarms", n.Plan()},
		{"Microsoft.Insights/autoscalesettings", n.Autoscale()}, {"Microsoft.DocumentDB/databaseAccounts", n.Documents()},
		{"Microsoft.MachineLearningServices/registries", n.ModelRegistry()},
	}
	for _, part := range []string{"blob", "kv", "sql-feature-data", "dbks-cp", "dbks-fs", "dbks-auth", "adls-dfs", "adls-blob", "cosmos", "metastore-dfs", "metastore-blob"} {
		list = append(list, named{network + "privateEndpoints", n.PrivateEndpoint(part)})
	}
	for _, zone := range []string{azure.ZoneBlob, azure.ZoneVault, azure.ZoneDocuments, azure.ZoneDatabricks, azure.ZoneSQL, azure.ZonePostgres, azure.ZoneDFS} {
		list = append(list, named{network + "privateDnsZones/virtualNetworkLinks", n.ZoneLink(zone)})
	}
	for i, part := range []string{"core", "transform", "pipelines", "serve"} {
		list = append(list, named{"Microsoft.Resources/deploymentStacks", n.Stack(part)}, named{"Microsoft.Resources/deployments", n.Deployment(part, i+1)})
	}
	return list
}

func appNames(n azure.Names, id string) []named {
	return []named{
		{"Microsoft.Web/sites", n.WebApp(id)},
		{"Microsoft.Insights/components", n.AppInsights(id)}, {"Microsoft.Insights/components", n.SlotInsights(id)},
		{"Microsoft.ContainerRegistry/registries/scopeMaps", n.RegistryScope(id)},
		{"Microsoft.ContainerRegistry/registries/tokens", n.RegistryToken(id)},
		{"Microsoft.ContainerRegistry/registries/webhooks", n.RegistryWebhook(id)},
		{"Microsoft.Resources/deploymentStacks", n.AppStack(id)}, {"Microsoft.Resources/deployments", n.Deployment("app-"+id, 1)},
		{"state", n.StateDatabase(id)}, {"directory", azure.UniqueName(n.SignIn(id))}, {"directory", azure.UniqueName(n.AppCI(id))},
		{"secret", n.WebApp(id) + "-client-id"},
	}
}

func directoryNames(n azure.Names) []named {
	var list []named
	for _, name := range []string{n.SQLOwner(), n.DataWriter(), n.LakeClient(), n.ExternalClient(), n.Developers(), n.DataScientists(), n.Stewards(), n.Apps()} {
		list = append(list, named{"directory", azure.UniqueName(name)})
	}
	return list
}

// otherShapes are rules of what is not in armtest.
var otherShapes = map[string]*regexp.Regexp{
	"Microsoft.Resources/deploymentStacks":     regexp.MustCompile(`^[-\w._()]{1,90}$`),
	"Microsoft.OperationalInsights/workspaces": regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$`),
	"Microsoft.Databricks/workspaces":          regexp.MustCompile(`^[A-Za-z0-9_()-]{3,64}$`),
	"Microsoft.Databricks/accessConnectors":    regexp.MustCompile(`^[A-Za-z0-9_-]{3,64}$`),
	"state":                                    regexp.MustCompile(`^[^/\\#?]{1,255}$`),
	"secret":                                   regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`),
	"directory":                                regexp.MustCompile(`^[a-z0-9._-]{1,64}$`),
}

func fits(n named) bool {
	if shape := otherShapes[n.typ]; shape != nil {
		return shape.MatchString(n.name)
	}
	return armtest.FitsName(n.typ, n.name)
}

// compiled compiles a definition of an id, an environment and apps; ok says whether package compile accepts them.
func compiled(id, environment, override string, apps []string) (*flowehr.Environment, bool) {
	files := fstest.MapFS{"config.yaml": {Data: fmt.Appendf(nil, "flowehr_id: %q\nenvironment: %q\nlocation: uksouth\ntarget: azure\ntransform: {datalake: {zones: [bronze]}}\nserve: {github_owner: o, github_app_id: '1', github_app_installation_id: '2'}\n", id, environment)}}
	var b strings.Builder
	for _, a := range apps {
		fmt.Fprintf(&b, "%q: {name: n, owners: {a: a@example.org}, contributors: {b: b@example.org}}\n", a)
	}
	files["apps/apps.e.yaml"] = &fstest.MapFile{Data: []byte(b.String())}
	files["config.e.yaml"] = &fstest.MapFile{Data: []byte("tags: {}\n")}
	doc, found := config.Load(files, config.Options{Environment: "e", SuffixOverride: override})
	env, more := compile.Environment(doc)
	return env, !flowehr.HasErrors(append(found, more...))
}

// TestNamesAreLegalAndDistinct: whatever package compile accepts gives names that Azure allows, and no two things of one type
// get the same.
func TestNamesAreLegalAndDistinct(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.StringMatching(`[a-z0-9]{1,12}`), rapid.StringMatching(`[a-z0-9][a-z0-9_-]{0,10}[a-z0-9]`), rapid.StringMatching(`[a-z0-9_-]{1,12}`))
		override := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`flwr-[0-9a-f]{1,15}`), rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,23}[a-z0-9]`)).Draw(t, "override")
		apps := rapid.SliceOfNDistinct(rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9_-]{0,6}`), rapid.StringMatching(`[A-Za-z][A-Za-z0-9_-]{0,33}[A-Za-z0-9]`)), 0, 5, rapid.ID).Draw(t, "apps")
		env, ok := compiled(part.Draw(t, "id"), part.Draw(t, "environment"), override, apps)
		if !ok {
			t.Skip("refused by package compile")
		}
		accepted++
		n := azure.NamesOf(env)
		list := append(resourceNames(n), directoryNames(n)...)
		for _, a := range env.Apps {
			list = append(list, appNames(n, a.ID)...)
		}
		distinct(t, list)
	})
	if accepted == 0 {
		t.Error("no definition was accepted, so nothing was tested")
	}
}

// TestNamesOfOtherNetworks: peerings and links with long names of others stay legal and distinct.
func TestNamesOfOtherNetworks(t *testing.T) {
	n := azure.Names{Suffix: strings.Repeat("a", 20), Short: strings.Repeat("a", 17)}
	rapid.Check(t, func(t *rapid.T) {
		type place struct{ Network, Group, Zone string }
		var list []named
		for _, p := range rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) place {
			name := rapid.OneOf(rapid.StringMatching(`vnet-[a-z0-9]{2}`), rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9_.-]{20,60}[a-zA-Z0-9]`))
			return place{name.Draw(t, "network"), name.Draw(t, "group"), rapid.StringMatching(`[a-z]{3,30}(\.[a-z]{2,30}){1,4}`).Draw(t, "zone")}
		}), 1, 5, rapid.ID).Draw(t, "places") {
			list = append(list, named{"Microsoft.Network/virtualNetworks/virtualNetworkPeerings", n.PeeringTo(p.Network, p.Group)},
				named{"Microsoft.Network/virtualNetworks/virtualNetworkPeerings", n.PeeringFrom(p.Network, p.Group)})
			if link := (named{"Microsoft.Network/privateDnsZones/virtualNetworkLinks", n.ZoneLink(p.Zone)}); !fits(link) {
				t.Errorf("%q is not allowed as the name of %s", link.name, link.typ)
			}
		}
		for _, one := range list {
			if !fits(one) {
				t.Errorf("%q is not allowed as the name of %s", one.name, one.typ)
			}
		}
	})
}

// distinct reports illegal names and those that two things of a type share. Azure does not tell letters by their case.
func distinct(t *rapid.T, list []named) {
	t.Helper()
	seen := map[named]bool{}
	for _, one := range list {
		if !fits(one) {
			t.Errorf("%q is not allowed as the name of %s", one.name, one.typ)
		}
		key := named{one.typ, strings.ToLower(one.name)}
		if seen[key] {
			t.Errorf("two of %s are called %q", one.typ, one.name)
		}
		seen[key] = true
	}
}

// TestNamesThatPeopleRelyOn are those of the older system.
func TestNamesThatPeopleRelyOn(t *testing.T) {
	n := azure.Names{Suffix: "flwr-prod", Short: "flwrprod"}
	for _, c := range []struct{ got, want string }{
		{n.Group(), "rg-flwr-prod"},
		{n.Network(), "vnet-flwr-prod"},
		{n.Vault(), "kv-flwrprod"},
		{n.AppVault(), "kv-flwrprod-srv"},
		{n.ManagementStorage(), "strgflwrprod"},
		{n.Lake(), "adlsflwrprod"},
		{n.Logs(), "log-flwr-prod"},
		{n.Factory(), "adf-flwr-prod"},
		{n.Workspace(), "dbks-flwr-prod"},
		{n.WorkspaceManagedGroup(), "rg-dbks-flwr-prod"},
		{n.SQLServerFQDN(), "sql-server-features-flwr-prod.database.windows.net"},
		{n.Registry(), "acrserveflwrprod"},
		{n.Plan(), "asp-serve-flwr-prod"},
		{n.Documents(), "cosmos-serve-flwrprod"},
		{n.ModelRegistry(), "aml-registry-flwr-prod"},
		{n.WebApp("Cohort_Browser"), "webapp-cohort-browser-flwr-prod"},
		{n.SignIn("cohorts"), "flowehr-webapp-cohorts-flwr-prod"},
		{n.ZoneLink(azure.ZoneBlob), "vnl-privatelink.blob.core.windows.net-flwr-flwr-prod"},
		{n.PeeringFrom("vnet-trust", "rg-trust"), "peer-vnet-trust-rg-trust-to-flwr-prod"},
		{n.PeeringTo("vnet-trust", "rg-trust"), "peer-flwr-prod-to-vnet-trust-rg-trust"},
		{n.AppVaultEndpoint(), "pe-kv-flwr-prod-serve"},
		{n.Developers(), "flwr-prod flowehr-developers"},
		{n.Catalogued("", "features"), "features_flwrprod"},
		{n.Catalogued("gold", "features"), "gold"},
		{azure.UniqueName("flwr-prod flowehr-developers"), "flwr-prod-flowehr-developers"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// TestGUIDFollowsFromItsParts: the same parts give the same identifier on every machine, and where one part ends matters.
func TestGUIDFollowsFromItsParts(t *testing.T) {
	if got, want := azure.GUID("assignment", "scope", "role", "who"), "dbe7f6fd-4501-54a6-b6cc-de83a2e2a8be"; got != want {
		t.Errorf("got %s, want %s: role assignments that stand would be made again", got, want)
	}
	if azure.GUID("ab", "c") == azure.GUID("a", "bc") {
		t.Error("where a part ends makes no difference")
	}
}

// TestCustomRoles: a model reader may do less than a writer, a role for one scope is not that for another.
func TestCustomRoles(t *testing.T) {
	reader, writer := azure.ModelReaderRole(), azure.ModelWriterRole()
	if len(writer.Actions) != len(reader.Actions)+1 || strings.Contains(strings.Join(reader.Actions, " "), "write") {
		t.Errorf("reader %v, writer %v", reader.Actions, writer.Actions)
	}
	if reader.ID("a") == reader.ID("b") || reader.ID("a") == writer.ID("a") || reader.TitleFor("a") == reader.TitleFor("b") {
		t.Error("roles share an id or a name")
	}
}
