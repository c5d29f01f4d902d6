package azure

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/state"
)

func TestScratch(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, func(o *Options) { o.Purge = true })
	env := &flowehr.Environment{
		ID: "hosp", Name: "test", Suffix: "hosp-test", Short: "hosptest", Target: flowehr.TargetAzure, Location: "uksouth",
		Tags:    map[string]string{"environment": "dev"},
		Network: flowehr.Network{AddressSpace: "10.1.0.0/24", PublicDatabricksControl: true},
		Spark:   flowehr.Spark{Version: "3.3", Cluster: flowehr.Cluster{RuntimeEngine: "STANDARD", DataSecurityMode: "SINGLE_USER", AutoterminationMinutes: 60}},
		Store:   flowehr.FeatureStore{Engine: "mssql", SKU: "Basic", SizeGB: 2},
		Lake:    flowehr.Lake{Zones: []string{"bronze", "gold"}},
		Serve:   &flowehr.Serve{},
		Sizes:   flowehr.Sizes{LogRetentionDays: 90, VaultRetentionDays: 7, AppPlanSKU: "S1"},
	}
	f, diags, err := Discover(t.Context(), s.client, env, DiscoverOptions{PublicIP: func(context.Context) (string, error) { return "203.0.113.7", nil }})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(diags)
	want, diags := estate.Lower(env, f)
	fmt.Println(diags)
	s.o.Wanted, s.o.Facts = want, f
	s.o.SQL = SQL{Dial: s.remote.Dial, TLS: s.remote.TLS()}
	x := New(s.o)
	x.o.Wanted = want
	st := state.New(t.TempDir(), "hosp-test", flowehr.TargetAzure)
	have, _ := st.Load(t.Context())
	x.o.Outputs = func(ref flowehr.Ref) (map[string]string, bool) {
		h, _ := st.Load(t.Context())
		r, ok := h.Records[ref]
		return r.Outputs, ok
	}
	run := func(p flowehr.Plan) {
		began, _ := s.remote.Now(t.Context())
		now := time.Now()
		rep, err := apply.Run(t.Context(), p, x, st, apply.Options{Owner: "x", Parallel: 16, Retry: cloud.Passing, KeepGoing: true, Sink: func(e flowehr.Event) {
			if e.Kind == flowehr.EventStepFailed || e.Kind == flowehr.EventStepRetry {
				fmt.Println(e.Kind, e.Ref, e.Text, e.Err)
			}
		}})
		ended, _ := s.remote.Now(t.Context())
		fmt.Println("done", len(rep.Done), "failed", rep.Failed, "skipped", len(rep.Skipped), ended.Sub(began), time.Since(now), err != nil)
	}
	show := func() flowehr.Plan {
		have, _ = st.Load(t.Context())
		p, err := plan.Make(env, want, have, plan.Options{Replace: Replace, At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		p, src, err := x.Preview(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range p.Steps {
			if step.Action == flowehr.Keep || len(have.Records) == 0 {
				continue
			}
			fmt.Println(step.Action, step.Want.Ref, step.Why)
			for _, part := range step.Parts {
				if part.Action != flowehr.Keep {
					fmt.Println("   ", part.Action, part.Kind, part.Name)
					for _, c := range part.Changes {
						fmt.Println("        ", c.Path, string(c.Before), string(c.After))
					}
				}
			}
		}
		fmt.Println(src)
		return p
	}
	run(show())
	p := show()
	if !p.Empty() {
		t.Error("not empty")
	}
	rep, err := apply.Refresh(t.Context(), x, st, want, apply.Options{Owner: "x", Parallel: 16})
	fmt.Println("refresh", rep.Read, len(rep.Drift), err)
	for _, d := range rep.Drift {
		fmt.Println("drift", d.Ref, d.Gone)
		if d.Before != nil && d.Now != nil {
			for _, c := range plan.Diff(d.Before.Resource.Spec, d.Now.Resource.Spec) {
				fmt.Println("   ", c.Path, string(c.Before), string(c.After))
			}
		}
	}
	have, _ = st.Load(t.Context())
	d, err := plan.MakeDestroy(have, nil, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	run(d)
	fmt.Println("left", s.sim.Leftovers(), s.sim.Summary().Deleted)
	_ = os.Stdout
}
