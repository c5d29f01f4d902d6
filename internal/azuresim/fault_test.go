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

func (a *azure) faults(f azuresim.Faults) {
	a.t.Helper()
	if err := a.remote.SetFaults(a.t.Context(), f); err != nil {
		a.t.Fatal(err)
	}
}

func (a *azure) group(name string) string {
	return "/subscriptions/" + a.sub + "/resourcegroups/" + name + groupAPI
}

func TestFaults(t *testing.T) {
	put := func(a *azure) (int, http.Header, error) {
		req, err := a.request(http.MethodPut, a.group("rg-x"), object{"location": "uksouth"})
		if err != nil {
			t.Fatal(err)
		}
		res, err := a.pl.Do(req)
		if err != nil {
			return 0, nil, err
		}
		status, _, header := read(t, res)
		return status, header, nil
	}
	for name, test := range map[string]struct {
		rule    azuresim.FaultRule
		status  int // 0 when no answer comes
		effect  bool
		retries bool
	}{
		"throttled":           {azuresim.FaultRule{Fault: azuresim.FaultThrottle, After: 7 * time.Second}, 429, false, true},
		"unavailable":         {azuresim.FaultRule{Fault: azuresim.FaultUnavailable, After: 7 * time.Second}, 503, false, true},
		"error":               {azuresim.FaultRule{Fault: azuresim.FaultServerError}, 500, false, false},
		"refused":             {azuresim.FaultRule{Fault: azuresim.FaultRefuse, Status: 403, Code: "RequestDisallowedByPolicy", Message: "no"}, 403, false, false},
		"connection broken":   {azuresim.FaultRule{Fault: azuresim.FaultDrop}, 0, false, false},
		"answer lost":         {azuresim.FaultRule{Fault: azuresim.FaultLost}, 0, true, false},
		"error after success": {azuresim.FaultRule{Fault: azuresim.FaultErrorAfter}, 500, true, false},
		"late":                {azuresim.FaultRule{Fault: azuresim.FaultDelay, After: time.Hour}, 201, true, false},
		"failing later":       {azuresim.FaultRule{Fault: azuresim.FaultOperation, After: time.Minute, Code: "OperationFailed", Message: "no"}, 201, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, azuresim.Options{})
			test.rule.Path, test.rule.Method = "/resourcegroups/rg-x", http.MethodPut
			a.faults(azuresim.Faults{Rules: []azuresim.FaultRule{test.rule}})
			began := a.now()
			status, header, err := put(a)
			if (err != nil) != (test.status == 0) || status != test.status {
				t.Errorf("got %d, %v; want %d", status, err, test.status)
			}
			if test.retries && header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After: %q", header.Get("Retry-After"))
			}
			if test.rule.Fault == azuresim.FaultDelay && a.now().Sub(began) < time.Hour {
				t.Errorf("only %v passed", a.now().Sub(began))
			}
			if got := a.sim.Summary().Resources["Microsoft.Resources/resourceGroups"] == 1; got != test.effect {
				t.Errorf("the call had an effect: %v", got)
			}
			if err := a.remote.Wait(t.Context(), 2*time.Minute); err != nil {
				t.Fatal(err)
			}
			if status, _, err := put(a); err != nil || status > 201 {
				t.Errorf("the second call is not hit: %d, %v", status, err)
			}
		})
	}
}

// TestChanceIsReproducible: the same seed hits the same calls, another one others, about as many as asked for, and whoever goes on trying
// gets through.
func TestChanceIsReproducible(t *testing.T) {
	hits := func(seed uint64) string {
		a := start(t, azuresim.Options{Seed: seed, Faults: azuresim.Faults{Rate: 0.3}})
		var b strings.Builder
		for i := range 40 {
			for try := 0; ; try++ {
				req, err := a.request(http.MethodGet, a.group(fmt.Sprintf("rg-%d", i)), nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := a.pl.Do(req)
				if err == nil && res.StatusCode == http.StatusNotFound {
					res.Body.Close()
					break
				}
				if try == 2 {
					t.Fatalf("call %d is hit three times in a row", i)
				}
				if err != nil {
					b.WriteByte('d')
					continue
				}
				res.Body.Close()
				fmt.Fprintf(&b, "%d ", res.StatusCode)
			}
		}
		return b.String()
	}
	one, again, other := hits(5), hits(5), hits(6)
	if one != again {
		t.Errorf("the same seed gave\n%s\n%s", one, again)
	}
	if one == other || one == "" {
		t.Errorf("another seed gave the same: %s", one)
	}
}

func TestFailedOperationStaysAndIsRepaired(t *testing.T) {
	a := start(t, azuresim.Options{Faults: azuresim.Faults{Rules: []azuresim.FaultRule{{Path: "vaults/kv-x", Fault: azuresim.FaultOperation, After: 4 * time.Minute, Code: "InternalServerError", Message: "no luck"}}}})
	tpl := template("rg-x", object{"vault": a.vault("kv-x"), "factory": factory(), "grant": a.grant("[reference('factory', 'full').identity.principalId]")}, vaultOutput())
	began := a.now()
	_, err := a.long(http.MethodPut, a.stackPath("core"), stack(tpl))
	if code(err) != "DeploymentStackDeploymentFailed" || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("got %v", err)
	}
	if passed := a.now().Sub(began); passed < 4*time.Minute || passed > 5*time.Minute {
		t.Errorf("it failed after %v", passed)
	}
	_, got, _ := a.do(http.MethodGet, a.stackPath("core"), nil)
	var failed []string
	for _, f := range at(got, "properties", "failedResources").([]any) {
		id := f.(object)["id"].(string)
		failed = append(failed, id[strings.LastIndexByte(id, '/')+1:])
	}
	slices.Sort(failed)
	if want := []string{"5d1e1e3a-1d0e-5c3c-9a52-000000000001", "kv-x"}; !slices.Equal(failed, want) || at(got, "properties", "provisioningState") != "failed" {
		t.Errorf("state %v, failed %v; want the vault and the grant on it", at(got, "properties", "provisioningState"), failed)
	}
	got = a.must(http.MethodPut, a.stackPath("core"), stack(tpl))
	if n := len(at(got, "properties", "resources").([]any)); n != 4 || len(a.sim.Troubles()) > 0 {
		t.Errorf("after the repair %d resources, troubles %v", n, a.sim.Troubles())
	}
}
