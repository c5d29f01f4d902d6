package azuresim_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

const groupAPI, armAPI = "?api-version=2025-04-01", "?api-version=2024-01-01"

// template is a stack's template: a group, and in it what resources says.
func template(group string, resources object, outputs object) object {
	return object{"$schema": "x", "languageVersion": "2.0", "contentVersion": "1.0.0.0",
		"resources": object{
			"group": object{"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": group, "location": "uksouth"},
			"inside": object{"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "inside", "resourceGroup": group, "dependsOn": []any{"group"},
				"properties": object{"mode": "Incremental", "expressionEvaluationOptions": object{"scope": "inner"},
					"template": object{"$schema": "x", "languageVersion": "2.0", "contentVersion": "1.0.0.0", "resources": resources, "outputs": outputs}}}},
		"outputs": object{"vaultUri": object{"type": "string", "value": "[reference('inside').outputs.vaultUri.value]"}}}
}

func (a *azure) vault(name string) object {
	return object{"type": "Microsoft.KeyVault/vaults", "apiVersion": "2026-02-01", "name": name, "location": "uksouth",
		"properties": object{"tenantId": a.sim.Tenant(), "sku": object{"family": "A", "name": "standard"}, "enableRbacAuthorization": true, "softDeleteRetentionInDays": 7}}
}

func factory() object {
	return object{"type": "Microsoft.DataFactory/factories", "apiVersion": "2018-06-01", "name": "adf-x", "location": "uksouth", "identity": object{"type": "SystemAssigned"}, "properties": object{}}
}

func (a *azure) grant(principal string) object {
	return object{"type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01", "name": "5d1e1e3a-1d0e-5c3c-9a52-000000000001",
		"scope":      a.id("rg-x", "Microsoft.KeyVault/vaults/kv-x"),
		"dependsOn":  []any{"vault"},
		"properties": object{"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6", "principalId": principal, "principalType": "ServicePrincipal"}}
}

func stack(tpl object) object {
	return object{"location": "uksouth", "tags": object{"flowehr": "x"}, "properties": object{"template": tpl,
		"actionOnUnmanage": object{"resources": "delete", "resourceGroups": "delete"}, "denySettings": object{"mode": "none"}}}
}

func vaultOutput() object {
	return object{"vaultUri": object{"type": "string", "value": "[reference('vault').vaultUri]"}}
}

func TestStackIsMadeChangedAndDestroyed(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 1})
	began, really := a.now(), time.Now()
	tpl := template("rg-x", object{"vault": a.vault("kv-x"), "factory": factory(), "grant": a.grant("[reference('factory', 'full').identity.principalId]")}, vaultOutput())
	got := a.must(http.MethodPut, a.stackPath("core"), stack(tpl))
	if state, uri := at(got, "properties", "provisioningState"), at(got, "properties", "outputs", "vaultUri", "value"); state != "succeeded" || uri != "https://kv-x.vault.azure.net/" {
		t.Fatalf("got state %v, vault %v", state, uri)
	}
	if n := len(at(got, "properties", "resources").([]any)); n != 4 {
		t.Errorf("the stack manages %d resources, want 4: group, vault, factory, grant", n)
	}
	if passed := a.now().Sub(began); passed < time.Minute || passed > 5*time.Minute {
		t.Errorf("virtual time that passed: %v", passed)
	}
	t.Logf("%v of virtual time in %v", a.now().Sub(began), time.Since(really))

	_, operations, _ := a.do(http.MethodGet, a.id("rg-x", "Microsoft.Resources/deployments/inside/operations")+groupAPI, nil)
	var seen []string
	for _, o := range operations["value"].([]any) {
		seen = append(seen, at(o.(object), "properties", "targetResource", "symbolicName").(string)+" "+at(o.(object), "properties", "provisioningState").(string))
	}
	slices.Sort(seen)
	if want := []string{"factory Succeeded", "grant Succeeded", "vault Succeeded"}; !slices.Equal(seen, want) {
		t.Errorf("operations: got %v, want %v", seen, want)
	}

	resources := at(tpl, "resources", "inside", "properties", "template", "resources").(object)
	delete(resources, "grant")
	got = a.must(http.MethodPut, a.stackPath("core"), stack(tpl))
	if gone := at(got, "properties", "deletedResources").([]any); len(gone) != 1 || !strings.Contains(gone[0].(object)["id"].(string), "roleAssignments") {
		t.Errorf("deleted: %v, want the grant", gone)
	}

	a.must(http.MethodDelete, a.stackPath("core")+"&unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete", nil)
	if status, _, _ := a.do(http.MethodGet, a.stackPath("core"), nil); status != http.StatusNotFound {
		t.Errorf("the deleted stack answers %d", status)
	}
	if left := a.sim.Leftovers(); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	if s := a.sim.Summary(); len(s.Deleted) != 1 || !strings.HasSuffix(s.Deleted[0], "vaults/kv-x") {
		t.Errorf("softly deleted: %v, want the vault", s.Deleted)
	}
}
