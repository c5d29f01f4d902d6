package azuresim_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

// TestWhoeverGoesOnGetsThrough: with faults of every kind, whoever repeats a deployment until it stands and a deletion until it is
// gone ends in the same world as without faults.
func TestWhoeverGoesOnGetsThrough(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			a := start(t, azuresim.Options{Seed: seed})
			a.faults(azuresim.Faults{Rate: 0.25, Operations: 0.4})
			tpl := template("rg-x", object{"vault": a.vault("kv-x"), "net": network("10.0.0.0/24"), "factory": factory(), "grant": a.grant("[reference('factory', 'full').identity.principalId]")}, vaultOutput())
			a.until("deployed", func() bool {
				status, got := a.try(http.MethodGet, a.stackPath("core"), nil)
				state := at(got, "properties", "provisioningState")
				if status == http.StatusNotFound || status == http.StatusOK && state == "failed" {
					a.try(http.MethodPut, a.stackPath("core"), stack(tpl))
				}
				return status == http.StatusOK && state == "succeeded"
			})
			if troubles := a.sim.Troubles(); len(troubles) > 0 {
				t.Errorf("troubles: %v", troubles)
			}
			if n := len(a.sim.Leftovers()); n != 7 { // group, vault, network, subnet, factory, grant, and the stack itself
				t.Errorf("%d things stand: %v", n, a.sim.Leftovers())
			}
			a.until("gone", func() bool {
				status, got := a.try(http.MethodGet, a.stackPath("core"), nil)
				if state := at(got, "properties", "provisioningState"); status == http.StatusOK && (state == "succeeded" || state == "failed") {
					a.try(http.MethodDelete, a.stackPath("core")+"&unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete", nil)
				}
				return status == http.StatusNotFound
			})
			if left := a.sim.Leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// try makes a request whose answer may be lost; the status is 0 then.
func (a *azure) try(method, path string, body any) (int, object) {
	a.t.Helper()
	req, err := a.request(method, path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	res, err := a.pl.Do(req)
	if err != nil {
		return 0, nil
	}
	status, out, _ := read(a.t, res)
	return status, out
}

// until lets half a minute of virtual time pass between attempts.
func (a *azure) until(what string, done func() bool) {
	a.t.Helper()
	for range 300 {
		if done() {
			return
		}
		if err := a.remote.Wait(a.t.Context(), 30*time.Second); err != nil {
			a.t.Fatal(err)
		}
	}
	a.t.Fatalf("not %s after 300 attempts", what)
}

// TestWhatTheOrganisationHas: what is put there from outside stands, is referred to, and is nobody's leftover.
func TestWhatTheOrganisationHas(t *testing.T) {
	a := started(t, azuresim.Options{})
	zone := "/subscriptions/" + a.sub + "/resourceGroups/rg-dns/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"
	if err := a.remote.Stand(t.Context(), zone, object{"location": "global"}); err != nil {
		t.Fatal(err)
	}
	net := a.make("Microsoft.Network/virtualNetworks/vnet-x", network("10.0.0.0/24"))
	a.must(http.MethodPut, zone+"/virtualNetworkLinks/l"+armAPI, object{"location": "global", "properties": object{"virtualNetwork": object{"id": net}}})
	a.must(http.MethodDelete, zone+"/virtualNetworkLinks/l"+armAPI, nil)
	a.must(http.MethodDelete, a.group("rg-x"), nil)
	if left := a.sim.Leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if err := a.remote.Stand(t.Context(), "/subscriptions/other/resourceGroups/rg", object{}); err == nil {
		t.Error("something stands in a subscription that is not simulated")
	}
}

func TestSlotsAreSwapped(t *testing.T) {
	a := started(t, azuresim.Options{})
	plan := a.make("Microsoft.Web/serverfarms/asp-x", object{"sku": object{"name": "S1"}})
	image := func(name string) object {
		return props("serverFarmId", plan, "siteConfig", object{"linuxFxVersion": "DOCKER|" + name})
	}
	site := a.make("Microsoft.Web/sites/app-x", image("old"))
	slot := a.make("Microsoft.Web/sites/app-x/slots/testing", image("new"))
	a.must(http.MethodPost, slot+"/slotsswap"+armAPI, object{"targetSlot": "production"})
	for id, want := range map[string]string{site: "DOCKER|new", slot: "DOCKER|old"} {
		_, body, _ := a.do(http.MethodGet, id+armAPI, nil)
		if got := at(body, "properties", "siteConfig", "linuxFxVersion"); got != want {
			t.Errorf("%s runs %v, want %s", id, got, want)
		}
	}
	_, first, _ := a.do(http.MethodPost, site+"/config/publishingcredentials/list"+armAPI, object{})
	_, again, _ := a.do(http.MethodPost, site+"/config/publishingcredentials/list"+armAPI, object{})
	if p := at(first, "properties", "publishingPassword"); p == nil || p != at(again, "properties", "publishingPassword") {
		t.Errorf("publishing password: %v, then %v", p, at(again, "properties", "publishingPassword"))
	}
}
