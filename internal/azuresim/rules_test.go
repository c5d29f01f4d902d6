package azuresim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

// TestCircumstancesThatStopADeployment: each is refused by the code that Azure gives, before anything is made.
func TestCircumstancesThatStopADeployment(t *testing.T) {
	for name, test := range map[string]struct {
		conditions azuresim.Conditions
		change     func(a *azure, resources object)
		code       string
	}{
		"name taken":           {azuresim.Conditions{Taken: []string{"kv-x"}}, nil, "VaultAlreadyExists"},
		"provider":             {azuresim.Conditions{Unregistered: []string{"Microsoft.KeyVault"}}, nil, "MissingSubscriptionRegistration"},
		"region":               {azuresim.Conditions{Unavailable: map[string][]string{"uksouth": {"Microsoft.KeyVault/vaults"}}}, nil, "LocationNotAvailableForResourceType"},
		"quota":                {azuresim.Conditions{Quotas: map[string]int{"Microsoft.KeyVault/vaults": 0}}, nil, "QuotaExceeded"},
		"policy":               {azuresim.Conditions{Policies: []azuresim.Policy{{Name: "only-west", Type: "Microsoft.KeyVault/vaults", Region: "ukwest"}}}, nil, "RequestDisallowedByPolicy"},
		"rejected":             {azuresim.Conditions{Rejected: map[string]string{"Microsoft.KeyVault/vaults": "no vaults today"}}, nil, "BadRequest"},
		"form of a name":       {azuresim.Conditions{}, func(a *azure, r object) { r["vault"] = a.vault("k") }, "VaultNameNotValid"},
		"no such region":       {azuresim.Conditions{}, func(_ *azure, r object) { r["vault"].(object)["location"] = "atlantis" }, "LocationNotAvailableForResourceType"},
		"purge protection off": {azuresim.Conditions{}, func(_ *azure, r object) { r["vault"].(object)["properties"].(object)["enablePurgeProtection"] = false }, "BadRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, azuresim.Options{})
			if err := a.remote.SetConditions(t.Context(), test.conditions); err != nil {
				t.Fatal(err)
			}
			resources := object{"vault": a.vault("kv-x")}
			if test.change != nil {
				test.change(a, resources)
			}
			_, err := a.long(http.MethodPut, a.stackPath("core"), stack(template("rg-x", resources, vaultOutput())))
			if code(err) != "DeploymentStackDeploymentFailed" || !strings.Contains(err.Error(), `"`+test.code+`"`) {
				t.Errorf("got %v, want %s", err, test.code)
			}
			if n := len(a.sim.Summary().Resources); n != 1 { // the deployer's role
				t.Errorf("something was made: %v", a.sim.Summary().Resources)
			}
		})
	}
}

func TestProviderIsRegistered(t *testing.T) {
	a := start(t, azuresim.Options{Conditions: azuresim.Conditions{Unregistered: []string{"Microsoft.Databricks"}}})
	path := "/subscriptions/" + a.sub + "/providers/Microsoft.Databricks"
	state := func() any { _, body, _ := a.do(http.MethodGet, path+armAPI, nil); return body["registrationState"] }
	if got := state(); got != "NotRegistered" {
		t.Errorf("at first it is %v", got)
	}
	a.do(http.MethodPost, path+"/register"+armAPI, nil)
	if err := a.remote.Wait(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != "Registered" {
		t.Errorf("a minute later it is %v", got)
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	a := start(t, azuresim.Options{})
	plain := func(resources object) object {
		return object{"$schema": "x", "languageVersion": "2.0", "contentVersion": "1.0.0.0", "resources": resources}
	}
	group := func(more object) object {
		g := object{"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": "rg-x", "location": "uksouth"}
		for k, v := range more {
			g[k] = v
		}
		return g
	}
	for name, test := range map[string]struct {
		resources object
		want      string
	}{
		"circle":              {object{"a": group(object{"dependsOn": []any{"b"}}), "b": group(object{"name": "rg-y", "dependsOn": []any{"a"}})}, "circular dependency"},
		"unknown dependency":  {object{"a": group(object{"dependsOn": []any{"nobody"}})}, "not defined in the template"},
		"unknown reference":   {object{"a": group(object{"tags": object{"x": "[reference('nobody').y]"}})}, "could not find template resource"},
		"unknown function":    {object{"a": group(object{"tags": object{"x": "[uniqueString('y')]"}})}, "uniqueString"},
		"the same twice":      {object{"a": group(nil), "b": group(nil)}, "defined multiple times"},
		"segments":            {object{"a": group(object{"type": "Microsoft.KeyVault/vaults", "name": "a/b"})}, "segment lengths"},
		"no api-version":      {object{"a": group(object{"apiVersion": "latest"})}, "apiVersion"},
		"a copy loop":         {object{"a": group(object{"copy": object{}})}, "does not know 'copy'"},
		"expression in names": {object{"a": group(object{"name": "[reference('a').b]"})}, "literal names"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.long(http.MethodPut, a.stackPath("core"), stack(plain(test.resources)))
			if code(err) != "InvalidTemplate" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if s := a.sim.Summary(); len(s.Stacks) != 0 {
		t.Errorf("refused stacks stand: %v", s.Stacks)
	}
}

func TestRolesDecideWhoMayDoWhat(t *testing.T) {
	contributor := azuresim.Identity{Name: "contributor", ClientID: "c2000000-0000-4000-8000-000000000002", Secret: "s", Role: "Contributor"}
	nobody := azuresim.Identity{Name: "nobody", ClientID: "c3000000-0000-4000-8000-000000000003", Secret: "s"}
	owner := azuresim.Deployer()
	a := started(t, azuresim.Options{Identities: []azuresim.Identity{owner, contributor, nobody}})
	tpl := template("rg-x", object{"vault": a.vault("kv-x")}, vaultOutput())
	denying := stack(tpl)
	denying["properties"].(object)["denySettings"] = object{"mode": "denyDelete"}
	vault := a.id("rg-x", "Microsoft.KeyVault/vaults/kv-x")

	a.as(nobody)
	if _, err := a.long(http.MethodPut, a.group("rg-y"), object{"location": "uksouth"}); code(err) != "AuthorizationFailed" || !strings.Contains(err.Error(), "Microsoft.Resources/resourceGroups/write") {
		t.Errorf("nobody makes a group: %v", err)
	}
	a.as(contributor)
	if _, err := a.long(http.MethodPut, a.stackPath("core"), denying); code(err) != "AuthorizationFailed" || !strings.Contains(err.Error(), "manageDenySetting") {
		t.Errorf("a contributor sets deny settings: %v", err)
	}
	a.must(http.MethodPut, a.stackPath("core"), stack(tpl))
	if _, err := a.long(http.MethodPut, vault+"/providers/Microsoft.Authorization/roleAssignments/5d1e1e3a-1d0e-5c3c-9a52-000000000009?api-version=2022-04-01", object{}); code(err) != "AuthorizationFailed" {
		t.Errorf("a contributor grants a role: %v", err)
	}
	a.as(owner)
	a.must(http.MethodPut, a.stackPath("core"), denying)
	if _, err := a.long(http.MethodDelete, vault+armAPI, nil); code(err) != "DenyAssignmentAuthorizationFailed" {
		t.Errorf("the owner deletes what the stack denies: %v", err)
	}
	_, me, _ := a.do(http.MethodGet, "/subscriptions/"+a.sub+"/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01", nil)
	for _, r := range me["value"].([]any) {
		if strings.HasSuffix(at(r.(object), "properties", "roleDefinitionId").(string), "8e3af657-a8ff-443c-a75c-2fe8c4bcb635") {
			denying["properties"].(object)["denySettings"] = object{"mode": "denyDelete", "excludedPrincipals": []any{at(r.(object), "properties", "principalId")}}
		}
	}
	a.must(http.MethodPut, a.stackPath("core"), denying)
	a.must(http.MethodDelete, vault+armAPI, nil)
}

func TestRoleAssignments(t *testing.T) {
	a := started(t, azuresim.Options{})
	identity := a.make("Microsoft.ManagedIdentity/userAssignedIdentities/id-x", object{})
	_, body, _ := a.do(http.MethodGet, identity+armAPI, nil)
	principal := at(body, "properties", "principalId")
	vault := a.make("Microsoft.KeyVault/vaults/kv-x", a.vault("kv-x"))
	assign := func(name, role string, p object) error {
		p["roleDefinitionId"] = "/providers/Microsoft.Authorization/roleDefinitions/" + role
		_, err := a.long(http.MethodPut, vault+"/providers/Microsoft.Authorization/roleAssignments/5d1e1e3a-1d0e-5c3c-9a52-00000000000"+name+"?api-version=2022-04-01", object{"properties": p})
		return err
	}
	const reader, user = "acdd72a7-3385-48ef-bd42-f606fba81ae7", "4633458b-17de-408a-b874-0445c86b69e6"
	fresh := a.make("Microsoft.ManagedIdentity/userAssignedIdentities/id-y", object{})
	_, body, _ = a.do(http.MethodGet, fresh+armAPI, nil)
	late := at(body, "properties", "principalId")
	for _, test := range []struct {
		what, name, role string
		p                object
		code             string
	}{
		{"somebody who does not exist", "1", reader, object{"principalId": "11111111-2222-4333-8444-555555555555"}, "PrincipalNotFound"},
		{"somebody new, of whom other services do not know yet", "1", reader, object{"principalId": late}, "PrincipalNotFound"},
		{"somebody new, named as a service principal", "1", reader, object{"principalId": late, "principalType": "ServicePrincipal"}, ""},
		{"as a group", "2", reader, object{"principalId": principal, "principalType": "Group"}, "UnmatchedPrincipalType"},
		{"a role that does not exist", "2", "11111111-2222-4333-8444-555555555555", object{"principalId": principal}, "RoleDefinitionDoesNotExist"},
		{"first", "2", user, object{"principalId": principal, "principalType": "ServicePrincipal"}, ""},
		{"again", "2", user, object{"principalId": principal, "principalType": "ServicePrincipal"}, ""},
		{"under another name", "3", user, object{"principalId": principal}, "RoleAssignmentExists"},
		{"another role under the name", "2", reader, object{"principalId": principal}, "RoleAssignmentUpdateNotPermitted"},
	} {
		if err := assign(test.name, test.role, test.p); code(err) != test.code {
			t.Errorf("%s: got %v, want %q", test.what, err, test.code)
		}
	}
	a.must(http.MethodDelete, vault+armAPI, nil)
	if n := a.sim.Summary().Resources["Microsoft.Authorization/roleAssignments"]; n != 1 {
		t.Errorf("%d role assignments are left after the vault has gone, want the deployer's", n)
	}
}

// TestIdentitiesStay: a resource that is put again keeps its principal, one that was deleted in between does not.
func TestIdentitiesStay(t *testing.T) {
	a := started(t, azuresim.Options{})
	principal := func() any {
		id := a.make("Microsoft.DataFactory/factories/adf-x", factory())
		_, body, _ := a.do(http.MethodGet, id+armAPI, nil)
		return at(body, "identity", "principalId")
	}
	first, again := principal(), principal()
	if first == nil || first != again {
		t.Errorf("the principal was %v and is %v", first, again)
	}
	a.must(http.MethodDelete, a.id("rg-x", "Microsoft.DataFactory/factories/adf-x")+armAPI, nil)
	if another := principal(); another == first {
		t.Errorf("a new factory has the principal of the old one: %v", another)
	}
}

func TestReferencesAreChecked(t *testing.T) {
	a := started(t, azuresim.Options{})
	missing := a.id("rg-x", "Microsoft.Web/serverfarms/none")
	_, err := a.long(http.MethodPut, a.id("rg-x", "Microsoft.Web/sites/app-x")+armAPI, object{"location": "uksouth", "properties": object{"serverFarmId": missing}})
	if code(err) != "InvalidResourceReference" {
		t.Errorf("an app on a plan that does not stand: %v", err)
	}
	_, err = a.long(http.MethodPut, a.id("rg-none", "Microsoft.Web/sites/app-x")+armAPI, object{"location": "uksouth"})
	if code(err) != "ResourceGroupNotFound" {
		t.Errorf("an app in a group that does not stand: %v", err)
	}
	_, err = a.long(http.MethodPut, a.id("rg-x", "Microsoft.Sql/servers/none/databases/d")+armAPI, object{"location": "uksouth"})
	if code(err) != "ParentResourceNotFound" {
		t.Errorf("a database on no server: %v", err)
	}
}

// TestSubnetsAreInline: a network's body decides on its subnets, and does not take away those in use.
func TestSubnetsAreInline(t *testing.T) {
	a := started(t, azuresim.Options{})
	net := a.make("Microsoft.Network/virtualNetworks/vnet-x", network("10.0.0.0/24", "10.0.1.0/24"))
	a.make("Microsoft.Network/privateEndpoints/pe-x", props("subnet", object{"id": net + "/subnets/subnet-1"}))
	if _, err := a.long(http.MethodPut, net+armAPI, network("10.0.0.0/24")); code(err) != "InUseSubnetCannotBeDeleted" {
		t.Errorf("a subnet in use left the body: %v", err)
	}
	bare := network()
	delete(bare["properties"].(object), "subnets")
	a.must(http.MethodPut, net+armAPI, bare)
	if status, body, _ := a.do(http.MethodGet, net+"/subnets/subnet-1"+armAPI, nil); status != http.StatusOK || at(body, "properties", "addressPrefix") != "10.0.1.0/24" {
		t.Errorf("a body that does not speak of subnets took one away: %d %v", status, body)
	}
	a.must(http.MethodPut, net+"/subnets/subnet-2"+armAPI, props("addressPrefix", "10.0.2.0/24"))
	_, body, _ := a.do(http.MethodGet, net+armAPI, nil)
	if n := len(at(body, "properties", "subnets").([]any)); n != 3 {
		t.Errorf("the network lists %d subnets, want 3", n)
	}
	_, body, _ = a.do(http.MethodGet, a.id("rg-x", "Microsoft.Network/privateEndpoints/pe-x")+armAPI, nil)
	if got := at(body, "properties", "customDnsConfigs").([]any)[0].(object)["ipAddresses"].([]any)[0]; got != "10.0.1.4" {
		t.Errorf("the endpoint has the address %v", got)
	}
}
