package azure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
)

var refWorkspace = azure.Ref(azure.KindWorkspace, "dbks-x")

// workspace makes a Databricks workspace and returns its resource id and address.
func (p *planes) workspace() (id, address string) {
	p.t.Helper()
	id = p.group + "/providers/Microsoft.Databricks/workspaces/dbks-x"
	w := p.put(id, "Microsoft.Databricks/workspaces", map[string]any{"location": "uksouth", "sku": map[string]any{"name": "premium"},
		"properties": map[string]any{"computeMode": "Hybrid", "managedResourceGroupId": "/subscriptions/" + p.sim.Subscription() + "/resourceGroups/rg-dbks-x"}})
	return id, "https://" + w["properties"].(map[string]any)["workspaceUrl"].(string)
}

const otherApplication = "0e6c9d7a-2b1f-4c3d-8e5f-60718293a4b5"

// bricksChange is what differs between the two sets of Databricks resources.
type bricksChange struct {
	script, conf, library string
	admin                 bool
	readers               []azure.Value
	minutes               int
}

func databricksResources(t testing.TB, p *planes, id, address string, c bricksChange) []flowehr.Resource {
	at := azure.Out(refWorkspace, azure.OutURL)
	principal := resource(t, azure.KindPrincipal, "factory", azure.PrincipalSpec{Workspace: at, Application: azure.Lit(otherApplication), DisplayName: "adf-x", Admin: c.admin}, refWorkspace)
	scope := resource(t, azure.KindScope, "flowehr-secrets", azure.ScopeSpec{Workspace: at, Name: "flowehr-secrets", Readers: c.readers}, refWorkspace, principal.Ref)
	init := resource(t, azure.KindFile, "init.sh", azure.FileSpec{Workspace: at, Path: "/flowehr/init_scripts/sub/init.sh", From: c.script, Digest: p.file(c.script, "echo "+c.script)}, refWorkspace)
	jar := resource(t, azure.KindFile, "own.jar", azure.FileSpec{Workspace: at, Path: "dbfs:/jars/own.jar", Content: "jar of " + c.script, Digest: digestOfText("jar of " + c.script)}, refWorkspace)
	epr := resource(t, azure.KindScopeSecret, "epr", azure.ScopeSecretSpec{Workspace: at, Scope: "flowehr-secrets", Key: "epr", Source: azure.Source{Text: "${EPR}"}}, scope.Ref, refWorkspace)
	return []flowehr.Resource{
		resource(t, azure.KindWorkspace, refWorkspace.Name, azure.WorkspaceSpec{Resource: id, URL: azure.Lit(address)}),
		principal, scope, init, jar, epr,
		resource(t, azure.KindCluster, "FlowEHR Cluster", azure.ClusterSpec{Workspace: at, Name: "FlowEHR Cluster", SparkVersion: "3.3",
			NodeType: flowehr.NodeType{MinCores: 4, MinMemoryGB: 14}, RuntimeEngine: "STANDARD", SecurityMode: "SINGLE_USER", SingleUser: azure.Lit(otherApplication),
			Autotermination: c.minutes, Conf: map[string]string{"spark.secret.epr": "{{secrets/flowehr-secrets/epr}}", "spark.x": c.conf},
			Env: map[string]azure.Value{"WORKSPACE": at}, InitScripts: []string{"/flowehr/init_scripts/sub/init.sh", "/Volumes/main/init/more.sh", "abfss://init@adlsx.dfs.core.windows.net/last.sh"}, LogPath: "dbfs:/cluster_logs", Tags: map[string]string{"environment": "x"},
			Libraries: flowehr.Libraries{PyPI: []flowehr.PyPILibrary{{Package: c.library}}, Maven: []flowehr.MavenLibrary{{Coordinates: "com.example:a:1", Exclusions: []string{"log4j:log4j"}}},
				Jar: []string{"dbfs:/jars/own.jar"}},
		}, refWorkspace, principal.Ref, init.Ref, jar.Ref, epr.Ref),
	}
}

func digestOfText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// stays: a workspace belongs to its stack, a group of the account to the organisation.
func workspaceStays(r flowehr.Resource) bool {
	return r.Ref.Kind == azure.KindWorkspace || r.Ref.Kind == azure.KindAccountGroup
}

func TestDatabricksSuite(t *testing.T) {
	suite(t, workspaceStays, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p := newPlanes(t, azuresim.Options{Seed: 21})
		id, address := p.workspace()
		return p, databricksResources(t, p, id, address, bricksChange{script: "a.sh", conf: "1", library: "scipy==1.14.0", minutes: 60, readers: []azure.Value{azure.Lit(otherApplication)}}),
			databricksResources(t, p, id, address, bricksChange{script: "b.sh", conf: "2", library: "numpy==2.1.0", minutes: 30, admin: true})
	})
}

// lake makes a lake with a zone, and a connector that may use it, and returns the connector's id.
func (p *planes) lake() string {
	p.t.Helper()
	account := p.group + "/providers/Microsoft.Storage/storageAccounts/adlsx"
	p.put(account, "Microsoft.Storage/storageAccounts", map[string]any{"location": "uksouth", "kind": "StorageV2", "sku": map[string]any{"name": "Standard_GRS"},
		"properties": map[string]any{"isHnsEnabled": true}})
	for _, zone := range []string{"gold", "unity-catalog-container"} {
		p.put(account+"/blobServices/default/containers/"+zone, "Microsoft.Storage/storageAccounts/blobServices/containers", map[string]any{"properties": map[string]any{}})
	}
	id := p.group + "/providers/Microsoft.Databricks/accessConnectors/connector-x"
	c := p.put(id, "Microsoft.Databricks/accessConnectors", map[string]any{"location": "uksouth", "identity": map[string]any{"type": "SystemAssigned"}, "properties": map[string]any{}})
	role := "/subscriptions/" + p.sim.Subscription() + "/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe"
	p.put(account+"/providers/Microsoft.Authorization/roleAssignments/5d3c1f8e-0000-4000-8000-0000000000ff", "Microsoft.Authorization/roleAssignments",
		map[string]any{"properties": map[string]any{"principalId": c["identity"].(map[string]any)["principalId"], "principalType": "ServicePrincipal", "roleDefinitionId": role}})
	return id
}

func catalogResources(t testing.TB, id, address, connector string, privileges ...string) []flowehr.Resource {
	at := azure.Out(refWorkspace, azure.OutURL)
	const account = "11111111-2222-4333-8444-555555555555"
	group := resource(t, azure.KindAccountGroup, "catalogue \"admins\"", azure.AccountGroupSpec{Account: account, Name: "catalogue \"admins\"", Make: true})
	workspace := resource(t, azure.KindWorkspace, refWorkspace.Name, azure.WorkspaceSpec{Resource: id, URL: azure.Lit(address)})
	metastore := resource(t, azure.KindMetastore, "m", azure.MetastoreSpec{Account: account, Name: "m", Region: "uksouth",
		StorageRoot: "abfss://unity-catalog-container@adlsx.dfs.core.windows.net/", Connector: connector})
	use := resource(t, azure.KindMetastoreUse, "m", azure.MetastoreUseSpec{Account: account, Workspace: azure.Out(refWorkspace, azure.OutWorkspaceID),
		Metastore: azure.Out(metastore.Ref, azure.OutMetastoreID)}, metastore.Ref, refWorkspace)
	credential := resource(t, azure.KindCredential, "c", azure.CredentialSpec{Workspace: at, Name: "c_x", Connector: connector}, use.Ref, refWorkspace)
	location := resource(t, azure.KindExternalLocation, "gold", azure.ExternalLocationSpec{Workspace: at, Name: "gold_x", URL: "abfss://gold@adlsx.dfs.core.windows.net", Credential: "c_x"}, credential.Ref, refWorkspace)
	catalog := resource(t, azure.KindCatalog, "cat", azure.CatalogSpec{Workspace: at, Name: "cat_x"}, use.Ref, refWorkspace)
	schema := resource(t, azure.KindSchema, "s", azure.SchemaSpec{Workspace: at, Catalog: "cat_x", Name: "s_x"}, catalog.Ref, refWorkspace)
	principal := resource(t, azure.KindPrincipal, "factory", azure.PrincipalSpec{Workspace: at, Application: azure.Lit(otherApplication), DisplayName: "adf-x"}, refWorkspace)
	return []flowehr.Resource{workspace, metastore, use, credential, location, catalog, schema, principal, group,
		resource(t, azure.KindPrivileges, "group", azure.PrivilegesSpec{Workspace: at, Securable: "catalog", Name: "cat_x", Principal: azure.Lit(group.Ref.Name),
			Privileges: []string{"ALL_PRIVILEGES"}}, catalog.Ref, refWorkspace, group.Ref),
		resource(t, azure.KindPrivileges, "admins", azure.PrivilegesSpec{Workspace: at, Securable: "catalog", Name: "cat_x", Principal: azure.Lit(otherApplication),
			Privileges: privileges}, catalog.Ref, refWorkspace, principal.Ref)}
}

func TestCatalogSuite(t *testing.T) {
	suite(t, workspaceStays, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p := newPlanes(t, azuresim.Options{Seed: 22})
		id, address := p.workspace()
		connector := p.lake()
		return p, catalogResources(t, id, address, connector, "USE CATALOG", "CREATE SCHEMA"), catalogResources(t, id, address, connector, "USE_CATALOG", "SELECT")
	})
}

// clusterWorld is a workspace that answers, with a cluster to make in it.
func clusterWorld(t *testing.T, seed uint64, change bricksChange) (p *planes, target *Target, cluster flowehr.Resource) {
	t.Helper()
	p = newPlanes(t, azuresim.Options{Seed: seed})
	id, address := p.workspace()
	all := databricksResources(t, p, id, address, change)
	target = p.target(all...)
	for _, r := range all[:len(all)-1] {
		makeDo(t, target, filledIn(t, target, r))
	}
	return p, target, filledIn(t, target, all[len(all)-1])
}

var plainChange = bricksChange{script: "a.sh", conf: "1", library: "scipy==1.14.0", minutes: 60}

func TestClusterIsStartedAgainAfterAPassingFault(t *testing.T) {
	fails := func(path, code string, times int) azuresim.FaultRule {
		return azuresim.FaultRule{Method: http.MethodPost, Path: path, Times: times, Fault: azuresim.FaultOperation, Code: code, Message: "of a test"}
	}
	const passing, lasting = "CLOUD_PROVIDER_LAUNCH_FAILURE", "AZURE_QUOTA_EXCEEDED_EXCEPTION"
	for _, c := range []struct {
		name   string
		rules  []azuresim.FaultRule
		want   string // in the error
		starts int
	}{
		{name: "once", rules: []azuresim.FaultRule{fails("clusters/create", passing, 1)}, starts: 1},
		{name: "for good", rules: []azuresim.FaultRule{fails("clusters/create", passing, 1), fails("clusters/start", passing, -1)}, want: passing, starts: clusterStarts},
		{name: "what does not pass", rules: []azuresim.FaultRule{fails("clusters/create", lasting, 1)}, want: lasting},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, target, cluster := clusterWorld(t, 23, plainChange)
			if err := p.remote.SetFaults(t.Context(), azuresim.Faults{Rules: c.rules}); err != nil {
				t.Fatal(err)
			}
			_, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: cluster}, &noted{})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if got := p.count(http.MethodPost, "/api/2.1/clusters/start"); got != c.starts {
				t.Errorf("started again %d times, want %d", got, c.starts)
			}
		})
	}
}

// A cluster that stands is not restarted for what Databricks has begun to offer since.
func TestClusterIsLeftAloneWhenItFits(t *testing.T) {
	p, target, cluster := clusterWorld(t, 24, plainChange)
	rec := makeDo(t, target, cluster)
	edits := p.count(http.MethodPost, "/api/2.1/clusters/edit")
	update(t, target, cluster, rec)
	standsAs(t, target, rec, true)
	if got := p.count(http.MethodPost, "/api/2.1/clusters/edit"); got != edits {
		t.Errorf("it was edited %d times though nothing differs", got-edits)
	}
}

func TestFileThatChangedSinceThePlanIsRefused(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 25})
	id, address := p.workspace()
	all := databricksResources(t, p, id, address, plainChange)
	target := p.target(all...)
	makeDo(t, target, all[0])
	p.file("a.sh", "something else")
	_, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: filledIn(t, target, all[3])}, &noted{})
	if err == nil || !strings.Contains(err.Error(), "a.sh has changed since the plan was made") {
		t.Errorf("got %v", err)
	}
}

// A file of several blocks comes back whole, also one that ends with a block.
func TestFilesOfSeveralBlocks(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 26})
	id, address := p.workspace()
	target := p.target()
	makeDo(t, target, resource(t, azure.KindWorkspace, refWorkspace.Name, azure.WorkspaceSpec{Resource: id, URL: azure.Lit(address)}))
	for name, size := range map[string]int{"empty": 0, "a block": dbfsBlock, "two and a bit": 2*dbfsBlock + 17} {
		content := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		r := resource(t, azure.KindFile, name, azure.FileSpec{Workspace: azure.Lit(address), Path: "dbfs:/pipelines/" + strings.ReplaceAll(name, " ", "-"), From: name, Digest: p.file(name, content)})
		standsAs(t, target, makeDo(t, target, r), true)
	}
}

// A file of the workspace has the folders above it made, is overwritten, and may not be larger than one import carries.
func TestFilesOfTheWorkspace(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 31})
	id, address := p.workspace()
	target := p.target()
	makeDo(t, target, resource(t, azure.KindWorkspace, refWorkspace.Name, azure.WorkspaceSpec{Resource: id, URL: azure.Lit(address)}))
	file := func(content string) flowehr.Resource {
		return resource(t, azure.KindFile, "s", azure.FileSpec{Workspace: azure.Lit(address), Path: "/flowehr/init_scripts/a/b/s.sh", From: "s.sh", Digest: p.file("s.sh", content)})
	}
	rec := makeDo(t, target, file("echo 1"))
	standsAs(t, target, rec, true)
	rec = update(t, target, file("echo 2"), rec)
	standsAs(t, target, rec, true)
	if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Update, Want: file(strings.Repeat("#", workspaceFileLimit+1)), Prior: &rec}, &noted{}); err == nil || !strings.Contains(err.Error(), "s.sh is larger than the 10 MB") {
		t.Errorf("a large one: %v", err)
	}
	var status struct {
		Type string `json:"object_type"`
	}
	if err := (bricks{p.client}).get(t.Context(), azure.Lit(address), workspacePath+"get-status?path=/flowehr/init_scripts/a/b/s.sh", &status); err != nil || status.Type != "FILE" {
		t.Errorf("it is a %q, %v; want a FILE", status.Type, err)
	}
}

// A group of the account that is only used must stand; nobody's group is ever removed.
func TestAccountGroups(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 32})
	target := p.target()
	group := func(name string, make bool) flowehr.Resource {
		return resource(t, azure.KindAccountGroup, name, azure.AccountGroupSpec{Account: "11111111-2222-4333-8444-555555555555", Name: name, Make: make})
	}
	_, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: group("unity_catalog_admins", false)}, &noted{})
	if err == nil || !strings.Contains(err.Error(), `has no group "unity_catalog_admins"`) {
		t.Errorf("one that does not stand: %v", err)
	}
	made := makeDo(t, target, group("unity_catalog_admins", true))
	if used := makeDo(t, target, group("Unity_Catalog_Admins", false)); used.ID != made.ID || made.Outputs[azure.OutGroupID] != made.ID {
		t.Errorf("found %q, made %q", used.ID, made.ID)
	}
	if again := makeDo(t, target, group("unity_catalog_admins", true)); again.ID != made.ID {
		t.Errorf("made twice: %q and %q", again.ID, made.ID)
	}
	if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: made.Resource, Prior: &made}, &noted{}); err != nil {
		t.Fatal(err)
	}
	standsAs(t, target, made, true)
}

// A copy of a rotated secret is seen to be stale, and the old one is not.
func TestStaleCopiesAreSeen(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 27})
	p.vault(vaultName)
	id, address := p.workspace()
	target := p.target()
	makeDo(t, target, resource(t, azure.KindWorkspace, refWorkspace.Name, azure.WorkspaceSpec{Resource: id, URL: azure.Lit(address)}))
	made := azure.VaultSecretSpec{Vault: vaultName, Name: "random", Source: azure.Source{Generated: &azure.Generated{Length: 40}}}
	makeDo(t, target, resource(t, azure.KindVaultSecret, "random", made))
	makeDo(t, target, resource(t, azure.KindScope, "s", azure.ScopeSpec{Workspace: azure.Lit(address), Name: "s"}))
	secret := resource(t, azure.KindScopeSecret, "copy", azure.ScopeSecretSpec{Workspace: azure.Lit(address), Scope: "s", Key: "copy",
		Source: azure.Source{Vault: &azure.VaultRef{Vault: vaultName, Name: "random"}}})
	rec := makeDo(t, target, secret)
	standsAs(t, target, rec, true)
	if err := p.remote.Wait(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := target.Rotate(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	standsAs(t, target, rec, false)
	update(t, target, secret, rec)
	standsAs(t, target, rec, true)
}

func TestMadePasswordsAreUsedFromTheVaultOnly(t *testing.T) {
	for _, s := range []azure.Source{{Password: &azure.AppPassword{}}, {Generated: &azure.Generated{}}, {Registry: &azure.RegistryPass{}}, {}} {
		if _, err := (secrets{}).value(context.WithoutCancel(t.Context()), s, &noted{}); err == nil {
			t.Errorf("%+v gave a value", s)
		}
	}
}

// A library that is no longer wanted leaves at once, which takes a restart.
func TestLibrariesLeave(t *testing.T) {
	p, target, cluster := clusterWorld(t, 28, plainChange)
	rec := makeDo(t, target, cluster)
	spec, err := decodeSpec[azure.ClusterSpec](cluster)
	if err != nil {
		t.Fatal(err)
	}
	spec.Libraries.PyPI = nil
	update(t, target, resource(t, azure.KindCluster, "FlowEHR Cluster", spec), rec)
	have, err := (clusterMinder{bricks{p.client}}).libraryStatuses(t.Context(), spec.Workspace, rec.ID)
	if err != nil || len(have) != 2 || slices.ContainsFunc(have, func(s libraryStatus) bool { return s.Library.PyPI != nil }) {
		t.Errorf("libraries are %+v, %v; want the one from Maven and the jar alone", have, err)
	}
}

// What somebody changed in the workspace is seen, and put right.
func TestClusterDriftIsSeen(t *testing.T) {
	p, target, r := clusterWorld(t, 29, plainChange)
	rec := makeDo(t, target, r)
	spec, err := decodeSpec[azure.ClusterSpec](r)
	if err != nil {
		t.Fatal(err)
	}
	m := clusterMinder{bricks{p.client}}
	for name, change := range map[string]func(*cluster){
		"minutes": func(c *cluster) { c.Autotermination = 11 },
		"workers": func(c *cluster) { c.Workers, c.Autoscale = 0, &clusterScale{Min: 1, Max: 3} },
		"conf":    func(c *cluster) { c.Conf["spark.x"] = "other" },
		"tags":    func(c *cluster) { c.Tags["environment"] = "other" },
		"env":     func(c *cluster) { c.Env["WORKSPACE"] = "other" },
		"scripts": func(c *cluster) { c.InitScripts = c.InitScripts[1:] },
		"runtime": func(c *cluster) { c.SparkVersion = "13.3.x-scala2.12" },
	} {
		have, found, err := m.find(t.Context(), spec)
		if err != nil || !found {
			t.Fatal(err)
		}
		other := have.cluster
		change(&other)
		if err := m.edit(t.Context(), spec, rec.ID, other); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		standsAs(t, target, rec, false)
		update(t, target, r, rec)
		standsAs(t, target, rec, true)
	}
}
