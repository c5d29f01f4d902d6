package azure

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/state"
)

// simulatedAddress is the address from which the simulation sees its clients.
const simulatedAddress = "203.0.113.7"

// site is an environment, what it is lowered to, and the record of it.
type site struct {
	*simulated
	env   *flowehr.Environment
	want  []flowehr.Resource
	store *state.Store
}

func newSite(t *testing.T, so azuresim.Options) *site {
	t.Helper()
	x := &site{simulated: simulate(t, so, nil), store: state.New(t.TempDir(), "hosp-test", flowehr.TargetAzure)}
	x.env = &flowehr.Environment{ID: "hosp", Name: "test", Suffix: "hosp-test", Short: "hosptest", Target: flowehr.TargetAzure, Location: region,
		Network: flowehr.Network{AddressSpace: "10.1.0.0/24", PublicDatabricksControl: true},
		Spark:   flowehr.Spark{Version: "3.3", Cluster: flowehr.Cluster{RuntimeEngine: "STANDARD", DataSecurityMode: "SINGLE_USER", AutoterminationMinutes: 60}},
		Lake:    flowehr.Lake{Zones: []string{"bronze", "gold"}},
		Store:   flowehr.FeatureStore{Engine: "mssql", SKU: "Basic", SizeGB: 2},
		Sizes:   flowehr.Sizes{LogRetentionDays: 90, VaultRetentionDays: 7, AppPlanSKU: "S1"}}
	facts, diags, err := Discover(t.Context(), x.client, x.env, DiscoverOptions{PublicIP: func(context.Context) (string, error) { return simulatedAddress, nil }})
	if err != nil || len(diags) > 0 {
		t.Fatalf("discover: %v, %v", diags, err)
	}
	if x.want, diags = estate.Lower(x.env, facts); flowehr.HasErrors(diags) {
		t.Fatal(diags)
	}
	x.Target = New(Options{Client: x.client, Facts: facts, Wanted: x.want, Purge: true, SQL: SQL{Dial: x.remote.Dial, TLS: x.remote.TLS()},
		Outputs: func(ref flowehr.Ref) (map[string]string, bool) {
			rec, ok := x.state(t).Records[ref]
			return rec.Outputs, ok
		}})
	return x
}

func (x *site) state(t *testing.T) flowehr.State {
	t.Helper()
	st, err := x.store.Load(context.Background())
	if err != nil {
		t.Error(err)
	}
	return st
}

func (x *site) previewed(t *testing.T) flowehr.Plan {
	t.Helper()
	p, err := plan.Make(x.env, x.want, x.state(t), plan.Options{Replace: Replace, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if p, _, err = x.Preview(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (x *site) apply(t *testing.T, p flowehr.Plan) {
	t.Helper()
	if _, err := apply.Run(t.Context(), p, x.Target, x.store, apply.Options{Owner: "test", Parallel: 16, Retry: cloud.Passing}); err != nil {
		t.Fatal(err)
	}
}

// TestEnvironment takes a whole environment through its life: made, found as wanted by preview and by reading, found again
// without a record, put right after somebody changed it, and destroyed with proof.
func TestEnvironment(t *testing.T) {
	x := newSite(t, azuresim.Options{Seed: 1})
	x.apply(t, x.previewed(t))
	if p := x.previewed(t); !p.Empty() {
		t.Errorf("a plan of what was just made:\n%s", written(p, nil))
	}
	rep, err := apply.Refresh(t.Context(), x.Target, x.store, x.want, apply.Options{Owner: "test", Parallel: 16})
	if err != nil || len(rep.Drift) > 0 {
		t.Errorf("reading what was just made: %+v, %v", rep.Drift, err)
	}

	first := x.state(t)
	x.store = state.New(t.TempDir(), "hosp-test", flowehr.TargetAzure)
	if _, err := apply.Refresh(t.Context(), x.Target, x.store, x.want, apply.Options{Owner: "test", Parallel: 16}); err != nil {
		t.Fatal(err)
	}
	for ref, rec := range first.Records {
		if got := x.state(t).Records[ref]; got.ID != rec.ID {
			t.Errorf("%s was found again as %q, want %q", ref, got.ID, rec.ID)
		}
	}

	version, _ := arm.Version("Microsoft.DataFactory/factories")
	factory := arm.ID(x.client.Subscription(), testNames().Group(), "Microsoft.DataFactory/factories", testNames().Factory())
	if _, err := x.client.Long(t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodDelete, Path: cloud.At(factory, version)}); err != nil {
		t.Fatal(err)
	}
	p := x.previewed(t)
	if p.Empty() {
		t.Error("nobody noticed that the data factory is gone")
	}
	x.apply(t, p)
	if p := x.previewed(t); !p.Empty() {
		t.Errorf("a plan after putting it right:\n%s", written(p, nil))
	}

	destroy, err := plan.MakeDestroy(x.state(t), nil, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	x.apply(t, destroy)
	proof, err := x.Left(t.Context(), destroy, testNames())
	if err != nil || !proof.Clean() {
		t.Errorf("after destroying: %+v, %v", proof.Left, err)
	}
	if left := x.sim.Leftovers(); len(left) > 0 {
		t.Errorf("the world still has %v", left)
	}
	if held := x.sim.Summary().Deleted; len(held) > 0 {
		t.Errorf("names are still held: %v", held)
	}
}
