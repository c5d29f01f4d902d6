package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/azure/pace"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/plan"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// Limits of the Azure target, with an environment of fifty apps.
const (
	azureApps      = 50
	azurePlanTime  = 200 * time.Millisecond // definition to plan, without the network
	azureDeployTo  = 1.1                    // times the longest chain of what must wait for each other
	azureMostBytes = 150 << 20

	// unhurried lets virtual time jump only when this process has really nothing to do: what it takes to think must not count as
	// minutes of Azure.
	unhurried = 25 * time.Millisecond
	parallel  = 128 // steps at a time: nearly all of them wait
)

// hospitalOf is the definition of a whole environment with n apps.
func hospitalOf(n int) fstest.MapFS {
	var all, own strings.Builder
	for i := range n {
		fmt.Fprintf(&all, `app-%d:
  name: App %d
  project: main
  add_testing_slot: true
  owners: {ada: ada@hospital.example}
  contributors: {bob: bob@hospital.example}
  managed_repo: {private: true, template: hospital/template}
  branch: {num_of_approvals: 2}
  env: {WEBSITES_PORT: 8000, LOG_LEVEL: info, TOKEN: "${TOKEN}"}
  auth: {easy_auth: true, app_roles: [{value: admin, display_name: Admin, description: All}], single_page_application: {}}
`, i, i)
		fmt.Fprintf(&own, "app-%d: {}\n", i)
	}
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"config.yaml": `flowehr_id: stelse
location: uksouth
core_address_space: 10.20.0.0/22
tags: {owner: informatics}
data_source_connections:
  - {name: epr, fqdn: epr.trust.example, database: epr, username: "${USER}", password: "${PASSWORD}",
     peering: {virtual_network_name: vnet-trust, resource_group_name: rg-trust, dns_zones: [trust.example]}}
transform:
  spark_version: 3.4
  datalake: {zones: [Bronze, silver, gold]}
  spark_config: {spark.sql.shuffle.partitions: 8}
  databricks_secrets: {api-token: "${TOKEN}"}
  databricks_libraries: {pypi: [{package: scipy==1.14.0}]}
  databricks_cluster: {autotermination_minutes: 30}
  databricks_account_id: 8d3f0a52-0c1e-4a4e-9d5f-2f1b6c7a8e90
  unity_catalog: {catalog_name_prefix: hospital, schema_name: features, datalake_zones: [gold]}
  unity_catalog_metastore: {metastore_name: uk, storage_account_name: metauk, resource_group_name: rg-metastore}
serve: {github_owner: hospital, github_app_id: 1, github_app_installation_id: 2}
monitoring:
  alert_recipients: [{name: On call, email: oncall@hospital.example}]
  network_watcher: {name: NetworkWatcher_uksouth, resource_group_name: NetworkWatcherRG}
`,
		"config.dev.yaml":                           "environment: dev\n",
		"apps/apps.yaml":                            all.String(),
		"apps/apps.dev.yaml":                        own.String(),
		"transform/pipelines/nightly/pipeline.json": `{"name": "nightly", "properties": {"activities": [{"name": "Rest", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}]}}`,
		"transform/pipelines/nightly/trigger.json": `{"name": "Nightly", "properties": {"type": "ScheduleTrigger", "runtimeState": "Started",
  "typeProperties": {"recurrence": {"frequency": "Day", "interval": 1, "startTime": "2026-01-01T00:00:00Z", "timeZone": "UTC"}},
  "pipelines": [{"pipelineReference": {"referenceName": "nightly", "type": "PipelineReference"}}]}}`,
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

// compiled reads a definition as the command line does.
func compiled(b *testing.B, files fs.FS) *flowehr.Environment {
	b.Helper()
	doc, problems := config.Load(files, config.Options{Environment: "dev", Lookup: func(name string) (string, bool) { return "value of " + name, true }})
	env, more := compile.Environment(doc)
	found, bad := factory.Load(files, "transform/pipelines")
	if problems = slices.Concat(problems, more, bad); flowehr.HasErrors(problems) {
		b.Fatal(flowehr.DiagnosticsError{Diagnostics: problems})
	}
	for _, x := range found.Bundles {
		encoded, err := x.Encode()
		if err != nil {
			b.Fatal(err)
		}
		env.Pipelines = append(env.Pipelines, flowehr.Pipeline{Name: x.Pipeline.Name, Project: "main", Dir: x.Dir, Bundle: encoded, Digest: x.Digest()})
	}
	env.Files = map[string]string{}
	return env
}

// lowered is what an environment becomes.
func lowered(b *testing.B, env *flowehr.Environment, f azure.Facts) []flowehr.Resource {
	b.Helper()
	want, problems := estate.Lower(env, f)
	if flowehr.HasErrors(problems) {
		b.Fatal(flowehr.DiagnosticsError{Diagnostics: problems})
	}
	return want
}

// planned compares it with a record.
func planned(b *testing.B, env *flowehr.Environment, want []flowehr.Resource, have flowehr.State) flowehr.Plan {
	b.Helper()
	p, err := plan.Make(env, want, have, plan.Options{Replace: azuretarget.Replace})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkAzurePlan goes from the files of a definition with fifty apps to the plan of what changed since it was deployed,
// which is slower than the first plan because every resource is compared with its record.
func BenchmarkAzurePlan(b *testing.B) {
	files := hospitalOf(azureApps)
	f := azure.Facts{Subscription: "11111111-1111-4111-8111-111111111111", Tenant: "22222222-2222-4222-8222-222222222222", AddressSpace: "10.20.0.0/22",
		Deployer: azure.Deployer{ObjectID: "33333333-3333-4333-8333-333333333333", Kind: azure.PrincipalUser, Name: "jane.doe"}, PublicIP: "198.51.100.7"}
	have := flowehr.State{Environment: "stelse-dev", Target: flowehr.TargetAzure, Revision: 1, Records: map[flowehr.Ref]flowehr.Record{}}
	for _, r := range lowered(b, compiled(b, files), f) {
		have.Records[r.Ref] = flowehr.Record{Resource: r, ID: "id"}
	}
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		env := compiled(b, files)
		p := planned(b, env, lowered(b, env, f), have)
		times = append(times, time.Since(began))
		if !p.Empty() || len(p.Steps) < 10*azureApps {
			b.Fatalf("a plan of %d steps", len(p.Steps))
		}
	}
	slices.Sort(times)
	median := times[len(times)/2]
	compared(b, fmt.Sprintf("median %s, best %s", median.Round(time.Millisecond), times[0].Round(time.Millisecond)), azurePlanTime.String(), float64(azurePlanTime)/float64(median), 1)
}

// BenchmarkAzureDeploy deploys an environment with fifty apps to the simulation, and compares the virtual time that it took with
// the longest chain of steps that must wait for each other. What a stack takes is worked out from its template and the typical
// times of its resources; a step outside the stacks takes what it took.
func BenchmarkAzureDeploy(b *testing.B) {
	var took, longest time.Duration
	for b.Loop() {
		d := deployedHospital(b)
		took, longest = d.took, d.longest(b)
	}
	b.ReportMetric(took.Seconds(), "virtual-s")
	compared(b, took.Round(time.Second).String(), fmt.Sprintf("%.1f x %s", azureDeployTo, longest.Round(time.Second)), azureDeployTo*longest.Seconds()/took.Seconds(), 1)
}

// BenchmarkAzureMemory deploys the same and takes the most heap and stack that were in use, the simulation included.
func BenchmarkAzureMemory(b *testing.B) {
	var got uint64
	for b.Loop() {
		runtime.GC()
		d := deployedHospital(b)
		got = d.most
	}
	compared(b, fmt.Sprintf("%d MB with the simulation in it", got>>20), fmt.Sprintf("%d MB", azureMostBytes>>20), float64(azureMostBytes)/float64(got), 1)
}

// deployment is one that came to its end.
type deployment struct {
	plan  flowehr.Plan
	took  time.Duration
	each  map[flowehr.Ref]time.Duration
	most  uint64 // bytes of heap in use, at the most
	facts azure.Facts
}

func deployedHospital(b *testing.B) deployment {
	b.Helper()
	ctx := b.Context()
	sim, err := azuresim.New(azuresim.Options{Seed: 1, Start: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), Quiet: unhurried})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(serving, l) }()
	defer func() {
		stop()
		if err := errors.Join(<-ended, sim.Close()); err != nil {
			b.Error(err)
		}
	}()
	remote, err := azuresim.Connect(l.Addr().String(), sim.CA())
	if err != nil {
		b.Fatal(err)
	}
	who := azuresim.Deployer()
	cred, me, err := cloud.Credential(ctx, cloud.CredentialOptions{Tenant: sim.Tenant(), ClientID: who.ClientID, Secret: flowehr.NewSecret(who.Secret), Transport: remote, Offline: true})
	if err != nil {
		b.Fatal(err)
	}
	client := cloud.New(cloud.Options{Credential: cred, Subscription: sim.Subscription(), Tenant: me.Tenant, Transport: remote, Wait: remote.Wait})
	layGround(b, remote, client, sim.Subscription())
	env := compiled(b, hospitalOf(azureApps))
	facts, problems, err := azuretarget.Discover(ctx, client, env, azuretarget.DiscoverOptions{PublicIP: func(context.Context) (string, error) { return "203.0.113.7", nil }})
	if err != nil || flowehr.HasErrors(problems) {
		b.Fatal(err, problems)
	}
	want := lowered(b, env, facts)
	store := targettest.NewStore("stelse-dev", flowehr.TargetAzure)
	target := azuretarget.New(azuretarget.Options{Client: client, Facts: facts, Wanted: want, SQL: azuretarget.SQL{Dial: remote.Dial, TLS: remote.TLS()},
		GitHub: azuretarget.GitHubApp{Token: flowehr.NewSecret("ghp_simulated"), Owner: "hospital"},
		Outputs: func(ref flowehr.Ref) (map[string]string, bool) {
			st, err := store.Load(context.WithoutCancel(ctx))
			return st.Records[ref].Outputs, err == nil
		}})
	now := func() time.Time {
		at, err := remote.Now(context.WithoutCancel(ctx))
		if err != nil {
			b.Error(err)
		}
		return at
	}
	d := deployment{plan: planned(b, env, want, flowehr.State{Environment: "stelse-dev", Target: flowehr.TargetAzure}), each: map[flowehr.Ref]time.Duration{}, facts: facts}
	var mu sync.Mutex
	rep, err := apply.Run(ctx, d.plan, target, store, apply.Options{Owner: "bench", Parallel: parallel, Attempts: 12, Retry: cloud.Passing, Now: now, Wait: remote.Wait,
		Secrets: func(context.Context, string) (flowehr.Secret, error) { return flowehr.NewSecret("value"), nil },
		Sink: func(e flowehr.Event) {
			if e.Kind != flowehr.EventStepDone {
				return
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			mu.Lock()
			defer mu.Unlock()
			d.each[e.Ref], d.most = e.Took, max(d.most, m.HeapInuse+m.StackInuse)
		}})
	if err != nil {
		b.Fatal(err)
	}
	d.took = rep.Took
	return d
}

// layGround puts into the world what the definition takes for granted.
func layGround(b *testing.B, remote *azuresim.Remote, client *cloud.Client, subscription string) {
	b.Helper()
	here := map[string]any{"location": "uksouth"}
	for _, x := range []struct {
		id   string
		body map[string]any
	}{
		{"rg-trust", here}, {"rg-metastore", here}, {"NetworkWatcherRG", here},
		{"rg-trust/providers/Microsoft.Network/virtualNetworks/vnet-trust", map[string]any{"location": "uksouth",
			"properties": map[string]any{"addressSpace": map[string]any{"addressPrefixes": []string{"172.16.0.0/24"}}}}},
		{"rg-trust/providers/Microsoft.Network/privateDnsZones/trust.example", map[string]any{"location": "global"}},
		{"NetworkWatcherRG/providers/Microsoft.Network/networkWatchers/NetworkWatcher_uksouth", here},
	} {
		if err := remote.Stand(b.Context(), "/subscriptions/"+subscription+"/resourceGroups/"+x.id, x.body); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"unity_catalog_admins", "unity_catalog_external_storage_admins"} {
		body := map[string]any{"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true}
		if _, err := client.Do(b.Context(), cloud.Graph(), cloud.Request{Method: http.MethodPost, Path: "/v1.0/groups", Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}

// longest is the time along the longest chain of steps.
func (d deployment) longest(b *testing.B) time.Duration {
	b.Helper()
	ends := map[flowehr.Ref]time.Duration{}
	var most time.Duration
	for _, s := range d.plan.Steps { // in an order that respects needs
		begin := time.Duration(0)
		for _, ref := range s.After {
			begin = max(begin, ends[ref])
		}
		took := d.each[s.Want.Ref]
		if s.Want.Ref.Kind == azure.KindStack {
			var spec azure.StackSpec
			if err := json.Unmarshal(s.Want.Spec, &spec); err != nil {
				b.Fatal(err)
			}
			took = templateTime(b, spec.Template)
		}
		ends[s.Want.Ref] = begin + took
		most = max(most, ends[s.Want.Ref])
	}
	return most
}

// templateTime is the time along the longest chain of dependsOn in a template, nested deployments taking what is in them.
func templateTime(b *testing.B, template json.RawMessage) time.Duration {
	b.Helper()
	var t struct {
		Resources map[string]struct {
			Type       string
			Existing   bool
			DependsOn  []string
			Properties struct{ Template json.RawMessage }
		}
	}
	if err := json.Unmarshal(template, &t); err != nil {
		b.Fatal(err)
	}
	ends := map[string]time.Duration{}
	var end func(name string) time.Duration
	end = func(name string) time.Duration {
		if d, known := ends[name]; known {
			return d
		}
		r := t.Resources[name]
		took, _, _ := pace.Of(r.Type)
		if r.Existing {
			took = 0
		} else if len(r.Properties.Template) > 0 {
			took = templateTime(b, r.Properties.Template)
		}
		begin := time.Duration(0)
		for _, other := range r.DependsOn {
			begin = max(begin, end(other))
		}
		ends[name] = begin + took
		return ends[name]
	}
	var most time.Duration
	for name := range t.Resources {
		most = max(most, end(name))
	}
	return most
}
