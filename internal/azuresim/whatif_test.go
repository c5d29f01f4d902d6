package azuresim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

func (a *azure) whatIfPath(name, action string) string {
	return "/subscriptions/" + a.sub + "/providers/Microsoft.Resources/deploymentStacksWhatIfResults/" + name + action + "?api-version=2025-07-01"
}

// predict asks a stack what it would change and returns "changeType name" for each resource, with the paths that differ.
func (a *azure) predict(stackName string, tpl object) []string {
	a.t.Helper()
	body := stack(tpl)
	p := body["properties"].(object)
	p["deploymentStackResourceId"], p["retentionInterval"] = strings.TrimSuffix(a.stackPath(stackName), "?api-version=2025-07-01"), "PT2H"
	a.must(http.MethodPut, a.whatIfPath("w", ""), body)
	got := a.must(http.MethodPost, a.whatIfPath("w", "/whatIf"), nil)
	var out []string
	for _, c := range at(got, "properties", "changes", "resourceChanges").([]any) {
		id := at(c.(object), "id").(string)
		line := fmt.Sprintf("%s %s", at(c.(object), "changeType"), id[strings.LastIndexByte(id, '/')+1:])
		delta, _ := at(c.(object), "resourceConfigurationChanges", "delta").([]any)
		for _, d := range delta {
			line += fmt.Sprintf(" %s:%s", at(d.(object), "path"), at(d.(object), "changeType"))
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func network(spaces ...string) object {
	subnets := []any{}
	for i, s := range spaces {
		subnets = append(subnets, object{"name": fmt.Sprintf("subnet-%d", i), "properties": object{"addressPrefix": s}})
	}
	return object{"type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": "vnet-x", "location": "uksouth",
		"properties": object{"addressSpace": object{"addressPrefixes": []any{"10.0.0.0/16"}}, "subnets": subnets}}
}

func TestWhatIfTellsPropertyByProperty(t *testing.T) {
	a := start(t, azuresim.Options{})
	tpl := template("rg-x", object{"vault": a.vault("kv-x"), "net": network("10.0.0.0/24", "10.0.1.0/24"), "factory": factory(), "grant": a.grant("[reference('factory', 'full').identity.principalId]")}, vaultOutput())
	grant := "5d1e1e3a-1d0e-5c3c-9a52-000000000001"
	if got, want := a.predict("core", tpl), []string{"create " + grant, "create adf-x", "create kv-x", "create rg-x", "create vnet-x"}; !slices.Equal(got, want) {
		t.Errorf("of nothing:\ngot  %q\nwant %q", got, want)
	}
	if left := a.sim.Leftovers(); len(left) > 0 {
		t.Errorf("asking made %v", left)
	}
	a.must(http.MethodPut, a.stackPath("core"), stack(tpl))
	if got, want := a.predict("core", tpl), []string{"noChange " + grant, "noChange adf-x", "noChange kv-x", "noChange rg-x", "noChange vnet-x"}; !slices.Equal(got, want) {
		t.Errorf("of the same:\ngot  %q\nwant %q", got, want)
	}
	inner := at(tpl, "resources", "inside", "properties", "template", "resources").(object)
	delete(inner, "grant")
	delete(inner["factory"].(object), "identity")
	inner["net"] = network("10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24")
	inner["vault"].(object)["properties"].(object)["softDeleteRetentionInDays"] = 90
	inner["vault"].(object)["tags"] = object{"a": "b"}
	want := []string{"delete " + grant, "modify adf-x identity:delete", "modify kv-x properties.softDeleteRetentionInDays:modify tags:create", "modify vnet-x properties.subnets:array", "noChange rg-x"}
	if got := a.predict("core", tpl); !slices.Equal(got, want) {
		t.Errorf("of a change:\ngot  %q\nwant %q", got, want)
	}
	if err := a.remote.Wait(t.Context(), 3*time.Hour); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := a.do(http.MethodGet, a.whatIfPath("w", ""), nil); status != http.StatusNotFound {
		t.Errorf("after its retention the result answers %d %v", status, body)
	}
}

// TestWhatIfSeesDrift: what somebody changed beside the template is a difference.
func TestWhatIfSeesDrift(t *testing.T) {
	a := start(t, azuresim.Options{})
	tpl := template("rg-x", object{"vault": a.vault("kv-x")}, vaultOutput())
	a.must(http.MethodPut, a.stackPath("core"), stack(tpl))
	vault := a.id("rg-x", "Microsoft.KeyVault/vaults/kv-x") + armAPI
	if status, body, _ := a.do(http.MethodPatch, vault, object{"properties": object{"enableRbacAuthorization": false}}); status != http.StatusOK {
		t.Fatalf("%d %v", status, body)
	}
	if got, want := a.predict("core", tpl), []string{"modify kv-x properties.enableRbacAuthorization:modify", "noChange rg-x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIfWhereItIsNotOffered(t *testing.T) {
	a := start(t, azuresim.Options{NoStackWhatIf: true})
	tpl := template("rg-x", object{"vault": a.vault("kv-x")}, vaultOutput())
	if _, err := a.long(http.MethodPut, a.whatIfPath("w", ""), stack(tpl)); code(err) != "NoRegisteredProviderFound" {
		t.Errorf("got %v", err)
	}
	got := a.must(http.MethodPost, "/subscriptions/"+a.sub+"/providers/Microsoft.Resources/deployments/d/whatIf"+groupAPI,
		object{"location": "uksouth", "properties": object{"mode": "Incremental", "template": tpl}})
	var kinds []string
	for _, c := range at(got, "properties", "changes").([]any) {
		kinds = append(kinds, at(c.(object), "changeType").(string))
	}
	if !slices.Equal(kinds, []string{"Create", "Create"}) || at(got, "status") != "Succeeded" {
		t.Errorf("what-if of the deployment: %v", got)
	}
}
