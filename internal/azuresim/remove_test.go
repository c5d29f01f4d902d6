package azuresim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

// make puts a resource into rg-x and waits until it stands.
func (a *azure) make(typeAndName string, body object) string {
	a.t.Helper()
	id := a.id("rg-x", typeAndName)
	if _, located := body["location"]; !located && !strings.Contains(typeAndName, "virtualNetworkLinks") {
		body["location"] = "uksouth"
	}
	a.must(http.MethodPut, id+armAPI, body)
	return id
}

func started(t *testing.T, o azuresim.Options) *azure {
	a := start(t, o)
	a.must(http.MethodPut, a.group("rg-x"), object{"location": "uksouth"})
	return a
}

func props(kv ...any) object {
	p := object{}
	for i := 0; i < len(kv); i += 2 {
		p[kv[i].(string)] = kv[i+1]
	}
	return object{"properties": p}
}

// TestWhatKeepsWhatFromBeingDeleted: each case makes a pair, fails to delete the first, removes the second, and then can.
func TestWhatKeepsWhatFromBeingDeleted(t *testing.T) {
	nets := func(a *azure) string {
		return a.make("Microsoft.Network/virtualNetworks/vnet-x", network("10.0.0.0/24", "10.0.1.0/24"))
	}
	for name, test := range map[string]struct {
		make func(a *azure) (used, user string)
		code string
	}{
		"subnet and private endpoint": {func(a *azure) (string, string) {
			net := nets(a)
			return net, a.make("Microsoft.Network/privateEndpoints/pe-x", props("subnet", object{"id": net + "/subnets/subnet-0"}))
		}, "InUseSubnetCannotBeDeleted"},
		"subnet and app": {func(a *azure) (string, string) {
			net := nets(a)
			return net + "/subnets/subnet-1", a.make("Microsoft.Web/sites/app-x", props("virtualNetworkSubnetId", net+"/subnets/subnet-1"))
		}, "InUseSubnetCannotBeDeleted"},
		"subnet and workspace": {func(a *azure) (string, string) {
			net := nets(a)
			return net, a.make("Microsoft.Databricks/workspaces/dbks-x", props("managedResourceGroupId", "/subscriptions/"+a.sub+"/resourceGroups/rg-dbks-x",
				"parameters", object{"customVirtualNetworkId": object{"value": net}}))
		}, "InUseSubnetCannotBeDeleted"},
		"connector and workspace": {func(a *azure) (string, string) {
			connector := a.make("Microsoft.Databricks/accessConnectors/ac-x", object{"identity": object{"type": "SystemAssigned"}})
			return connector, a.make("Microsoft.Databricks/workspaces/dbks-x", props("managedResourceGroupId", "/subscriptions/"+a.sub+"/resourceGroups/rg-dbks-x",
				"accessConnector", object{"id": connector, "identityType": "SystemAssigned"}))
		}, "Conflict"},
		"plan and app": {func(a *azure) (string, string) {
			plan := a.make("Microsoft.Web/serverfarms/asp-x", object{"sku": object{"name": "S1"}})
			return plan, a.make("Microsoft.Web/sites/app-x", props("serverFarmId", plan))
		}, "Conflict"},
		"zone and link": {func(a *azure) (string, string) {
			net := nets(a)
			zone := a.make("Microsoft.Network/privateDnsZones/x.example", object{"location": "global"})
			return zone, a.make("Microsoft.Network/privateDnsZones/x.example/virtualNetworkLinks/l", object{"location": "global", "properties": object{"virtualNetwork": object{"id": net}}})
		}, "CannotDeleteResource"},
		"route table and subnet": {func(a *azure) (string, string) {
			table := a.make("Microsoft.Network/routeTables/rt-x", object{})
			net := network("10.0.0.0/24")
			net["properties"].(object)["subnets"].([]any)[0].(object)["properties"].(object)["routeTable"] = object{"id": table}
			return table, a.make("Microsoft.Network/virtualNetworks/vnet-x", net)
		}, "InUseRouteTableCannotBeDeleted"},
		"lock": {func(a *azure) (string, string) {
			plan := a.make("Microsoft.Web/serverfarms/asp-x", object{"sku": object{"name": "S1"}})
			lock := plan + "/providers/Microsoft.Authorization/locks/keep"
			a.must(http.MethodPut, lock+armAPI, props("level", "CanNotDelete"))
			return plan, lock
		}, "ScopeLocked"},
	} {
		t.Run(name, func(t *testing.T) {
			a := started(t, azuresim.Options{})
			used, user := test.make(a)
			if _, err := a.long(http.MethodDelete, used+armAPI, nil); code(err) != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
			a.must(http.MethodDelete, user+armAPI, nil)
			a.must(http.MethodDelete, used+armAPI, nil)
			if status, _, _ := a.do(http.MethodGet, used+armAPI, nil); status != http.StatusNotFound {
				t.Errorf("it still answers %d", status)
			}
			a.must(http.MethodDelete, a.group("rg-x"), nil)
			if left := a.sim.Leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// TestAppsLinkOutlivesTheApp: the link of an app's plan to a subnet goes with the plan, or when the app is detached first.
func TestAppsLinkOutlivesTheApp(t *testing.T) {
	a := started(t, azuresim.Options{})
	net := a.make("Microsoft.Network/virtualNetworks/vnet-x", network("10.0.0.0/24"))
	plan := a.make("Microsoft.Web/serverfarms/asp-x", object{"sku": object{"name": "S1"}})
	app := func() string {
		return a.make("Microsoft.Web/sites/app-x", props("serverFarmId", plan, "virtualNetworkSubnetId", net+"/subnets/subnet-0"))
	}
	a.must(http.MethodDelete, app()+armAPI, nil)
	if _, err := a.long(http.MethodDelete, net+armAPI, nil); code(err) != "InUseSubnetCannotBeDeleted" {
		t.Errorf("with the app deleted but not detached: %v", err)
	}
	id := app()
	a.must(http.MethodDelete, id+"/networkConfig/virtualNetwork"+armAPI, nil)
	a.must(http.MethodDelete, net+armAPI, nil)
}

func TestVaultsAreDeletedSoftly(t *testing.T) {
	for name, protected := range map[string]bool{"purged": false, "protected": true} {
		t.Run(name, func(t *testing.T) {
			a := started(t, azuresim.Options{})
			vault := a.vault("kv-x")
			if protected {
				vault["properties"].(object)["enablePurgeProtection"] = true
			}
			id := a.make("Microsoft.KeyVault/vaults/kv-x", vault)
			a.must(http.MethodDelete, id+armAPI, nil)
			if _, err := a.long(http.MethodPut, id+armAPI, vault); code(err) != "ConflictError" {
				t.Errorf("a new vault of the name: %v", err)
			}
			_, deleted, _ := a.do(http.MethodGet, "/subscriptions/"+a.sub+"/providers/Microsoft.KeyVault/deletedVaults"+armAPI, nil)
			list := deleted["value"].([]any)
			if len(list) != 1 {
				t.Fatalf("deleted vaults: %v", list)
			}
			handle := list[0].(object)["id"].(string)
			status, _, _ := a.do(http.MethodPost, handle+"/purge"+armAPI, nil)
			if want := map[bool]int{false: http.StatusOK, true: http.StatusConflict}[protected]; status != want {
				t.Errorf("purge: %d, want %d", status, want)
			}
			if protected {
				vault["properties"].(object)["createMode"] = "recover"
				a.must(http.MethodPut, id+armAPI, vault)
				return
			}
			a.must(http.MethodPut, id+armAPI, vault)
			a.must(http.MethodDelete, id+armAPI, nil)
			if err := a.remote.Wait(t.Context(), 8*24*time.Hour); err != nil {
				t.Fatal(err)
			}
			if s := a.sim.Summary(); len(s.Deleted) != 0 {
				t.Errorf("after its seven days it is still kept: %v", s.Deleted)
			}
		})
	}
}

// TestStackGivesUpDeletingAfterAnHour: a lock from outside keeps what the stack should delete.
func TestStackGivesUpDeletingAfterAnHour(t *testing.T) {
	a := start(t, azuresim.Options{})
	a.must(http.MethodPut, a.stackPath("core"), stack(template("rg-x", object{"vault": a.vault("kv-x"), "factory": factory()}, vaultOutput())))
	lock := a.id("rg-x", "Microsoft.KeyVault/vaults/kv-x/providers/Microsoft.Authorization/locks/keep") + armAPI
	a.must(http.MethodPut, lock, props("level", "CanNotDelete"))
	began := a.now()
	remove := a.stackPath("core") + "&unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete"
	if _, err := a.long(http.MethodDelete, remove, nil); code(err) != "DeploymentStackDeleteResourcesFailed" || !strings.Contains(err.Error(), "ScopeLocked") {
		t.Errorf("got %v", err)
	}
	if passed := a.now().Sub(began); passed < time.Hour || passed > 62*time.Minute {
		t.Errorf("it gave up after %v", passed)
	}
	_, got, _ := a.do(http.MethodGet, a.stackPath("core"), nil)
	if n := len(at(got, "properties", "resources").([]any)); n != 2 || at(got, "properties", "provisioningState") != "failed" {
		t.Errorf("state %v with %d resources, want the group and the vault", at(got, "properties", "provisioningState"), n)
	}
	a.must(http.MethodDelete, lock, nil)
	a.must(http.MethodDelete, remove, nil)
	if left := a.sim.Leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestConnectorAndWorkspaceInOneStack is the known fault of stacks (github.com/Azure/deployment-stacks issue 183).
func TestConnectorAndWorkspaceInOneStack(t *testing.T) {
	a := start(t, azuresim.Options{})
	resources := object{
		"connector": object{"type": "Microsoft.Databricks/accessConnectors", "apiVersion": "2026-01-01", "name": "ac-x", "location": "uksouth", "identity": object{"type": "SystemAssigned"}},
		"workspace": object{"type": "Microsoft.Databricks/workspaces", "apiVersion": "2026-01-01", "name": "dbks-x", "location": "uksouth", "sku": object{"name": "premium"},
			"properties": object{"managedResourceGroupId": "/subscriptions/" + a.sub + "/resourceGroups/rg-dbks-x"}}}
	tpl := template("rg-x", resources, nil)
	delete(tpl, "outputs")
	a.must(http.MethodPut, a.stackPath("t"), stack(tpl))
	if got := a.sim.Summary().Resources["Microsoft.Resources/resourceGroups"]; got != 2 {
		t.Errorf("%d groups, want ours and the workspace's own", got)
	}
	_, err := a.long(http.MethodDelete, a.stackPath("t")+"&unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete", nil)
	if code(err) != "DeploymentStackDeleteResourcesFailed" || !strings.Contains(err.Error(), "ac-x") {
		t.Errorf("got %v", err)
	}
}
