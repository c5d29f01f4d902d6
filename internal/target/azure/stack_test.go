package azure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// TestStackKeepsTheContract holds stacks to what every target promises.
func TestStackKeepsTheContract(t *testing.T) {
	targettest.Suite(t, func(t *testing.T) targettest.Subject {
		s := simulate(t, azuresim.Options{Seed: 7}, func(o *Options) { o.Purge = true })
		core := s.coreStack(t, "one", false)
		wanted := []flowehr.Resource{s.serveStack(t, "one", core.Ref), core}
		s.o.Wanted = wanted
		return targettest.Subject{Target: s.Target, Resources: wanted,
			Changed: []flowehr.Resource{s.serveStack(t, "two", core.Ref), s.coreStack(t, "two", true)}}
	})
}

func TestStackIsMadeWithProgressAndOutputs(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	in := &notes{}
	rec := s.do(t, flowehr.Create, s.coreStack(t, "one", true), nil, in)
	if rec.Outputs["vaultUri"] != "https://kv-hosptest.vault.azure.net/" {
		t.Errorf("got outputs %v", rec.Outputs)
	}
	if !strings.HasSuffix(rec.ID, "/deploymentStacks/flowehr-core-hosp-test") {
		t.Errorf("got id %s", rec.ID)
	}
	if !in.has("of 3, waiting for ") {
		t.Errorf("said nothing of how far it is: %q", in.said)
	}
	now, _, err := s.stack(t.Context(), "flowehr-core-hosp-test")
	if err != nil {
		t.Fatal(err)
	}
	if d := now.Properties.DenySettings; d.Mode != "denyDelete" || !slices.Equal(d.Excluded, []string{s.o.Facts.Deployer.ObjectID}) {
		t.Errorf("got deny settings %+v", d)
	}
}

// TestStackResumesADeploymentThatGoesOn: a deployer that was stopped finds its own deployment and waits for it.
func TestStackResumesADeploymentThatGoesOn(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	core := s.coreStack(t, "one", false)
	ctx, stop := context.WithCancel(t.Context())
	_, err := s.Do(ctx, flowehr.Step{Action: flowehr.Create, Want: core}, stopping{&notes{}, stop})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on") {
		t.Fatalf("got %v, want an error that says that Azure goes on", err)
	}
	in := &notes{}
	rec := s.do(t, flowehr.Create, core, nil, in)
	if !in.has("still busy") || rec.Outputs["vaultUri"] == "" {
		t.Errorf("said %q, outputs %v", in.said, rec.Outputs)
	}
	if n := s.count("PUT", "/deploymentStacks/"); n != 1 {
		t.Errorf("the stack was deployed %d times, want once", n)
	}
	// Another template has to wait for the first and then follow.
	ctx, stop = context.WithCancel(t.Context())
	changed := s.coreStack(t, "two", false)
	if _, err := s.Do(ctx, flowehr.Step{Action: flowehr.Update, Want: changed, Prior: &rec}, stopping{&notes{}, stop}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the interruption", err)
	}
	s.do(t, flowehr.Update, core, &rec, &notes{})
	now, err := s.Read(t.Context(), rec)
	if err != nil || string(now.Resource.Spec) != string(core.Spec) {
		t.Errorf("the stack is not as wanted last: %v", err)
	}
}

// stopping ends the run at the first word of progress.
type stopping struct {
	*notes
	stop func()
}

func (s stopping) Note(text string) { s.stop() }

func TestStackSaysWhatFailed(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	if err := s.remote.SetConditions(t.Context(), azuresim.Conditions{Taken: []string{"kv-hosptest"}}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: s.coreStack(t, "one", false)}, &notes{})
	what, next, ok := cloud.Explain(err)
	if !ok || !strings.Contains(what, "somebody else in Azure has this name") || !strings.Contains(next, "flowehr_id") {
		t.Errorf("got %v, explained as %q, %q", err, what, next)
	}
	if err := s.remote.SetConditions(t.Context(), azuresim.Conditions{Policies: []azuresim.Policy{{Name: "No factories", Type: "Microsoft.DataFactory/factories"}}}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: s.coreStack(t, "one", false)}, &notes{})
	if what, _, _ := cloud.Explain(err); !strings.Contains(what, `the policy "No factories"`) {
		t.Errorf("got %v, explained as %q", err, what)
	}
}

func TestStackFailureOfAResourceIsNamed(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	rule := azuresim.FaultRule{Path: "/factories/adf-", Fault: azuresim.FaultOperation, Code: "QuotaExceeded", Message: "10 of 10 used"}
	if err := s.remote.SetFaults(t.Context(), azuresim.Faults{Rules: []azuresim.FaultRule{rule}}); err != nil {
		t.Fatal(err)
	}
	core := s.coreStack(t, "one", false)
	_, err := s.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: core}, &notes{})
	failed, ok := errors.AsType[*StackError](err)
	if !ok || len(failed.Failed) != 1 || !strings.HasSuffix(failed.Failed[0].Target, "/factories/adf-hosp-test") {
		t.Fatalf("got %v (%+v), want the factory named", err, failed)
	}
	if want := "stack flowehr-core-hosp-test: adf-hosp-test: QuotaExceeded: 10 of 10 used"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if _, passes := cloud.Passing(err); passes {
		t.Error("a quota passes by itself")
	}
	// What stands of it is taken over, and the state says that it is not as wanted until then.
	if rec, err := s.Read(t.Context(), flowehr.Record{Resource: core}); err != nil || string(rec.Resource.Spec) == string(core.Spec) {
		t.Errorf("a failed stack reads as wanted (%v)", err)
	}
	s.do(t, flowehr.Create, core, nil, &notes{})
}

func TestStackNamesHeldByWhatWasDeleted(t *testing.T) {
	for _, c := range []struct {
		name   string
		choice Choice
		err    string
	}{
		{"refused", Refuse, "kv-hosptest was deleted and its name is still held"},
		{"recovered", Recover, ""},
		{"purged", Purge, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			s := simulate(t, azuresim.Options{Seed: 1}, func(o *Options) {
				o.Recover = func(_ context.Context, d SoftDeleted) (Choice, error) {
					asked = append(asked, d.Name)
					return c.choice, nil
				}
			})
			core := s.coreStack(t, "one", false)
			rec := s.do(t, flowehr.Create, core, nil, &notes{})
			s.do(t, flowehr.Delete, core, &rec, &notes{})
			if deleted := s.sim.Summary().Deleted; len(deleted) != 1 {
				t.Fatalf("deleted softly: %v, want the vault", deleted)
			}
			_, err := s.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: core}, &notes{})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if !slices.Equal(asked, []string{"kv-hosptest"}) {
				t.Errorf("asked about %v", asked)
			}
			if c.choice != Refuse && len(s.sim.Summary().Deleted) != 0 {
				t.Errorf("still held: %v", s.sim.Summary().Deleted)
			}
		})
	}
}

func TestStackReadFindsAnotherTemplate(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	core := s.coreStack(t, "one", false)
	rec := s.do(t, flowehr.Create, core, nil, &notes{})
	s.do(t, flowehr.Update, s.coreStack(t, "two", false), &rec, &notes{})
	now, err := s.Read(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(now.Resource.Spec); got == string(core.Spec) || !strings.Contains(got, `"mark":"two"`) {
		t.Errorf("the other template is not told: %s", got)
	}
	gone := rec
	gone.Resource = s.serveStack(t, "one", core.Ref)
	if _, err := s.Read(t.Context(), flowehr.Record{Resource: gone.Resource}); !errors.Is(err, apply.ErrGone) {
		t.Errorf("a stack that is not there: got %v, want ErrGone", err)
	}
}

// Whatever goes wrong, and wherever the deployer is stopped: done again often enough the same stands, made once, and it can be
// destroyed wholly.
func TestStackUnderRandomFaults(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := simulate(t, azuresim.Options{Seed: seed}, func(o *Options) { o.Purge = true })
			if err := s.remote.SetFaults(t.Context(), azuresim.Faults{Rate: 0.15, Operations: 0.3}); err != nil {
				t.Fatal(err)
			}
			a := &stubborn{simulated: s, chance: rand.New(rand.NewPCG(seed, 7))}
			core := s.coreStack(t, "one", true)
			rec := a.do(t, flowehr.Step{Action: flowehr.Create, Want: core}, &notes{})
			serve := s.serveStack(t, "one", core.Ref)
			rec2 := a.do(t, flowehr.Step{Action: flowehr.Create, Want: serve}, &notes{outputs: rec.Outputs})
			s.o.Client = s.client
			if got, err := s.Read(t.Context(), rec); err != nil || string(got.Resource.Spec) != string(core.Spec) {
				t.Errorf("not as wanted: %v", err)
			}
			sum := s.sim.Summary()
			for _, typ := range []string{"Microsoft.KeyVault/vaults", "Microsoft.DataFactory/factories", "Microsoft.OperationalInsights/workspaces"} {
				if sum.Resources[typ] != 1 {
					t.Errorf("%d of %s stand", sum.Resources[typ], typ)
				}
			}
			a.do(t, flowehr.Step{Action: flowehr.Delete, Want: serve, Prior: &rec2}, &notes{})
			a.do(t, flowehr.Step{Action: flowehr.Delete, Want: core, Prior: &rec}, &notes{})
			if left, held := s.sim.Leftovers(), s.sim.Summary().Deleted; len(left)+len(held) > 0 {
				t.Errorf("left %v, held %v", left, held)
			}
		})
	}
}

// stubborn does a step again and again, being stopped at a random wait each time, until it succeeds.
type stubborn struct {
	*simulated
	chance *rand.Rand
}

func (a *stubborn) do(t *testing.T, step flowehr.Step, in *notes) flowehr.Record {
	t.Helper()
	var last error
	for range 60 {
		ctx, stop := context.WithCancel(t.Context())
		left := 1 + a.chance.IntN(12)
		a.o.Client = cloud.New(cloud.Options{Credential: a.client.Credential(), Subscription: a.client.Subscription(), Tenant: a.client.Tenant(), Transport: a.client.Transport(),
			Wait: func(ctx context.Context, d time.Duration) error {
				if left--; left == 0 {
					stop()
					return context.Cause(ctx)
				}
				return a.client.Wait(ctx, d)
			}})
		rec, err := a.Do(ctx, step, in)
		stop()
		if err == nil {
			return rec
		}
		last = err
	}
	t.Fatalf("%s %s never succeeds: %v", step.Action, step.Want.Ref, last)
	return flowehr.Record{}
}
