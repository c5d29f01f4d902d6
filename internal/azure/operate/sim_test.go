package operate

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// simulated is a client of a simulation of Azure over TLS, and the time there.
func simulated(t *testing.T) (*cloud.Client, *azuresim.Remote) {
	t.Helper()
	sim, err := azuresim.New(azuresim.Options{Seed: 7, Start: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	remote, err := azuresim.Connect(l.Addr().String(), sim.CA())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		remote.Transport.CloseIdleConnections()
		stop()
		if err := errors.Join(<-ended, sim.Close()); err != nil {
			t.Errorf("end of the simulation: %v", err)
		}
	})
	who := azuresim.Deployer()
	cred, err := azidentity.NewClientSecretCredential(sim.Tenant(), who.ClientID, who.Secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: policy.ClientOptions{Transport: remote, Retry: policy.RetryOptions{MaxRetries: -1}}, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	return cloud.New(cloud.Options{Credential: cred, Subscription: sim.Subscription(), Tenant: sim.Tenant(), Transport: remote, Wait: remote.Wait}), remote
}

func TestAgainstTheSimulation(t *testing.T) {
	c, remote := simulated(t)
	group := "/subscriptions/" + c.Subscription() + "/resourceGroups/rg-t"
	factory := group + "/providers/Microsoft.DataFactory/factories/adf-t"
	put := func(path, version string, body any) {
		t.Helper()
		if _, err := c.Long(t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(path, version), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	type m = map[string]any
	wait := func(name string) m {
		return m{"name": name, "type": "Wait", "typeProperties": m{"waitTimeInSeconds": 30}}
	}
	fails := m{"name": "Stop", "type": "Fail", "dependsOn": []m{{"activity": "One", "dependencyConditions": []string{"Succeeded"}}}, "typeProperties": m{"message": "no", "errorCode": "1"}}
	put(group, "2025-04-01", m{"location": "uksouth"})
	put(factory, factoryVersion, m{"location": "uksouth", "identity": m{"type": "SystemAssigned"}, "properties": m{}})
	put(factory+"/pipelines/good", factoryVersion, m{"properties": m{"activities": []m{wait("One")}}})
	put(factory+"/pipelines/bad", factoryVersion, m{"properties": m{"activities": []m{wait("One"), fails}}})
	put(factory+"/pipelines/asks", factoryVersion, m{"properties": m{"parameters": m{"zone": m{"type": "String"}}, "activities": []m{wait("One")}}})
	put(factory+"/triggers/hourly", factoryVersion, m{"properties": m{"type": "TumblingWindowTrigger",
		"pipeline":       m{"pipelineReference": m{"referenceName": "good", "type": "PipelineReference"}},
		"typeProperties": m{"frequency": "Hour", "interval": 1, "startTime": "2026-11-02T06:00:00Z", "maxConcurrency": 1}}})
	f := NewFactory(c, factory)
	ctx := t.Context()
	now := func() time.Time {
		t.Helper()
		at, err := remote.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}

	results, err := f.Test(ctx, nil, nil)
	if !errors.Is(err, ErrTest) || len(results) != 2 || results[0].OK() || !results[1].OK() {
		t.Fatalf("%+v %v", results, err)
	}
	if results[0].Cause == nil || results[0].Cause.Name != "Stop" {
		t.Errorf("the cause is %+v", results[0].Cause)
	}
	again, err := f.Repeat(ctx, results[0].Run.ID, Repetition{Failed: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Follow(ctx, again, nil)
	if err != nil || r.Status != Failed || r.Group != results[0].Run.Group {
		t.Errorf("%+v %v", r, err)
	}
	id, err := f.Start(ctx, "asks", map[string]any{"zone": "gold"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if r, err = f.Follow(ctx, id, nil); err != nil || r.Status != Cancelled || r.Parameters["zone"] != "gold" {
		t.Errorf("%+v %v", r, err)
	}
	runs, err := f.Runs(ctx, Filter{Pipeline: "bad"}, now())
	if err != nil || len(runs) != 2 {
		t.Errorf("%+v %v", runs, err)
	}

	if err := f.StartTrigger(ctx, "hourly"); err != nil {
		t.Fatal(err)
	}
	if tr, err := f.Trigger(ctx, "hourly"); err != nil || !tr.Started() {
		t.Errorf("%+v %v", tr, err)
	}
	if err := c.Wait(ctx, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC)
	b, err := f.Backfill(ctx, "hourly", from, from.Add(2*time.Hour), true, now())
	if err != nil || len(b.Rerun) != 2 {
		t.Errorf("%+v %v", b, err)
	}
	if err := f.StopTrigger(ctx, "hourly"); err != nil {
		t.Fatal(err)
	}
	_, err = f.Start(ctx, "nothing", nil)
	if err == nil || !strings.Contains(err.Error(), "there are asks, bad, good") {
		t.Errorf("%v", err)
	}
}

func TestAppsAgainstTheSimulation(t *testing.T) {
	c, _ := simulated(t)
	group := "/subscriptions/" + c.Subscription() + "/resourceGroups/rg-t"
	sites := group + "/providers/Microsoft.Web/sites/webapp-t"
	put := func(path, version string, body any) {
		t.Helper()
		if _, err := c.Long(t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(path, version), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	type m = map[string]any
	site := func(image string) m {
		return m{"location": "uksouth", "kind": "app,linux,container", "properties": m{"serverFarmId": group + "/providers/Microsoft.Web/serverfarms/asp-t",
			"siteConfig": m{"linuxFxVersion": "DOCKER|" + image}}}
	}
	put(group, "2025-04-01", m{"location": "uksouth"})
	put(group+"/providers/Microsoft.Web/serverfarms/asp-t", webVersion, m{"location": "uksouth", "kind": "linux", "sku": m{"name": "S1"}, "properties": m{"reserved": true}})
	put(sites, webVersion, site("r.azurecr.io/t:old"))
	put(sites+"/slots/testing", webVersion, site("r.azurecr.io/t:new"))
	apps := NewApps(c, group)
	ctx := t.Context()
	put(sites+"/config/appsettings", webVersion, m{"properties": m{"LOG_LEVEL": "warn", "ENVIRONMENT": "prod"}})
	put(sites+"/slots/testing/config/appsettings", webVersion, m{"properties": m{"LOG_LEVEL": "debug", "ENVIRONMENT": "test"}})
	put(sites+"/config/slotConfigNames", webVersion, m{"properties": m{"appSettingNames": []string{"ENVIRONMENT"}}})
	_, err := apps.Rollback(ctx, "webapp-t", "")
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	pending, err := apps.Pending(ctx, "webapp-t")
	rules := map[string]string{}
	for _, d := range pending.Differences {
		rules[d.Setting] = d.Rule
	}
	if err != nil || len(rules) != 3 || rules["linuxFxVersion"] != rules["LOG_LEVEL"] || rules["ENVIRONMENT"] == rules["LOG_LEVEL"] {
		t.Errorf("%+v %v", pending, err)
	}
	settings := func(site string) m {
		t.Helper()
		var out struct{ Properties m }
		res, err := c.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: cloud.At(site+"/config/appsettings/list", webVersion), Repeats: true})
		if err == nil {
			err = json.Unmarshal(res.Body, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Properties
	}
	app, err := apps.Swap(ctx, "webapp-t")
	if err != nil {
		t.Fatal(err)
	}
	if app.Image != "r.azurecr.io/t:new" || app.Slots[0].Image != "r.azurecr.io/t:old" || app.Swapped == nil || app.Swapped.From != Testing || app.Swapped.At.IsZero() {
		t.Errorf("%+v", app)
	}
	if got := settings(sites); got["LOG_LEVEL"] != "debug" || got["ENVIRONMENT"] != "prod" {
		t.Errorf("settings after the swap: %v", got)
	}
	if all, err := apps.List(ctx); err != nil || len(all) != 1 || all[0].Image != app.Image {
		t.Errorf("%+v %v", all, err)
	}
	// A deployment of the app does not make it forget its swap, by which it is taken back.
	put(sites, webVersion, site("r.azurecr.io/t:new"))
	if app, err = apps.Rollback(ctx, "webapp-t", ""); err != nil || app.Image != "r.azurecr.io/t:old" || app.Slots[0].Image != "r.azurecr.io/t:new" {
		t.Errorf("%+v %v", app, err)
	}
	if got := settings(sites); got["LOG_LEVEL"] != "warn" || got["ENVIRONMENT"] != "prod" {
		t.Errorf("settings after the rollback: %v", got)
	}
	image := "r.azurecr.io/t@sha256:" + strings.Repeat("0a", 32)
	if app, err = apps.Rollback(ctx, "webapp-t", image); err != nil || app.Image != image {
		t.Errorf("%+v %v", app, err)
	}
	for _, slot := range []string{"", Testing} {
		lines, err := apps.Logs(ctx, "webapp-t", slot)
		if err != nil || len(lines) == 0 {
			t.Errorf("logs of %q: %v %v", slot, lines, err)
		}
		for _, line := range lines {
			if !strings.Contains(line, "SIMULATED") {
				t.Errorf("the line %q does not say that it is simulated", line)
			}
		}
	}
}
