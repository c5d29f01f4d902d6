package targettest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/state"
)

// Subject is a target in an empty world of its own, and what to make in it.
type Subject struct {
	Target    apply.Target
	Resources []flowehr.Resource // needs among themselves only
	Changed   []flowehr.Resource // the same resources, at least one changed; none when nothing can change
	Replace   func(kind string) []string
	Secrets   func(ctx context.Context, name string) (flowehr.Secret, error)
	Stays     func(flowehr.Resource) bool // reports what a deletion leaves standing on purpose; nil when nothing stays
}

// Suite holds a target to the contract of apply.Target. newSubject is called once for each subtest.
func Suite(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *trial)
	}{
		{"what was applied is kept and can be read", testConverges},
		{"a step done twice is done once", testTwice},
		{"a crash after every step loses and doubles nothing", testCrash},
		{"a change is applied and then kept", testChange},
		{"what was deleted is gone and may be deleted again", testDelete},
		{"a cancelled step can be done later", testCancel},
		{"a lost state is found again", testFound},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newTrial(t, newSubject(t))) })
	}
}

// trial is one subject with a store.
type trial struct {
	Subject
	env   *flowehr.Environment
	store *state.Store
}

func newTrial(t *testing.T, s Subject) *trial {
	env := &flowehr.Environment{Name: "suite", Target: flowehr.TargetLocal}
	return &trial{Subject: s, env: env, store: state.New(t.TempDir(), env.Name, env.Target)}
}

func (tr *trial) plan(t *testing.T, want []flowehr.Resource) flowehr.Plan {
	t.Helper()
	st, err := tr.store.Load(t.Context())
	if err != nil {
		t.Fatalf("load state: %v", err)
	}
	p, err := plan.Make(tr.env, want, st, plan.Options{Replace: tr.Replace, At: time.Now()})
	if err != nil {
		t.Fatalf("make plan: %v", err)
	}
	return p
}

func (tr *trial) options() apply.Options { return apply.Options{Owner: "suite", Secrets: tr.Secrets} }

func (tr *trial) apply(t *testing.T, want []flowehr.Resource) {
	t.Helper()
	if _, err := apply.Run(t.Context(), tr.plan(t, want), tr.Target, tr.store, tr.options()); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// kept fails unless a new plan changes nothing, also after the world was read again.
func (tr *trial) kept(t *testing.T, want []flowehr.Resource) {
	t.Helper()
	rep, err := apply.Refresh(t.Context(), tr.Target, tr.store, want, tr.options())
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	for _, d := range rep.Drift {
		t.Errorf("%s differs from its record right after it was applied: before %+v, now %+v", d.Ref, d.Before, d.Now)
	}
	for _, s := range tr.plan(t, want).Steps {
		if s.Action != flowehr.Keep {
			t.Errorf("a second plan would %s %s (%s)", s.Action, s.Want.Ref, s.Why)
		}
	}
}

func (tr *trial) records(t *testing.T) map[flowehr.Ref]flowehr.Record {
	t.Helper()
	st, err := tr.store.Load(t.Context())
	if err != nil {
		t.Fatalf("load state: %v", err)
	}
	return st.Records
}

func testConverges(t *testing.T, tr *trial) {
	tr.apply(t, tr.Resources)
	tr.kept(t, tr.Resources)
}

// testTwice does every step again with the result of the first time thrown away.
func testTwice(t *testing.T, tr *trial) {
	tr.apply(t, tr.Resources)
	first := tr.records(t)
	again := state.New(t.TempDir(), tr.env.Name, tr.env.Target)
	tr.store = again
	tr.apply(t, tr.Resources)
	sameRecords(t, first, tr.records(t))
	tr.kept(t, tr.Resources)
}

func sameRecords(t *testing.T, want, got map[flowehr.Ref]flowehr.Record) {
	t.Helper()
	for ref, w := range want {
		g := got[ref]
		if g.ID != w.ID || !maps.Equal(g.Outputs, w.Outputs) {
			t.Errorf("%s became another: got id %q outputs %v, want id %q outputs %v", ref, g.ID, g.Outputs, w.ID, w.Outputs)
		}
	}
}

// errCrash stands for the end of the process.
var errCrash = errors.New("crash of the suite")

// crashing lets a number of calls of Do through and then loses the result of one.
type crashing struct {
	apply.Target
	left int
}

func (c *crashing) Do(ctx context.Context, s flowehr.Step, in apply.Inputs) (flowehr.Record, error) {
	rec, err := c.Target.Do(ctx, s, in)
	if c.left--; c.left < 0 && err == nil {
		return flowehr.Record{}, errCrash
	}
	return rec, err
}

// testCrash loses the result of the first step, then of the second, and so on, each time carrying on from the saved state.
func testCrash(t *testing.T, tr *trial) {
	o := tr.options()
	o.Parallel = 1
	for n := range tr.Resources {
		c := &crashing{Target: tr.Target, left: min(n, 1)} // from the second on, the step that crashed before is done first
		_, err := apply.Run(t.Context(), tr.plan(t, tr.Resources), c, tr.store, o)
		if !errors.Is(err, errCrash) {
			t.Fatalf("run %d: got %v, want the crash", n, err)
		}
	}
	tr.apply(t, tr.Resources)
	tr.kept(t, tr.Resources)
}

func testChange(t *testing.T, tr *trial) {
	if len(tr.Changed) == 0 {
		t.Skip("nothing of this target can change")
	}
	tr.apply(t, tr.Resources)
	if tr.plan(t, tr.Changed).Empty() {
		t.Fatal("the changed resources give an empty plan")
	}
	tr.apply(t, tr.Changed)
	tr.kept(t, tr.Changed)
	tr.apply(t, tr.Resources)
	tr.kept(t, tr.Resources)
}

func testDelete(t *testing.T, tr *trial) {
	tr.apply(t, tr.Resources)
	records := tr.records(t)
	tr.apply(t, nil)
	if left := tr.records(t); len(left) > 0 {
		t.Errorf("still recorded: %v", left)
	}
	for ref, rec := range records {
		stays := tr.Stays != nil && tr.Stays(rec.Resource)
		if _, err := tr.Target.Read(t.Context(), rec); !stays && !errors.Is(err, apply.ErrGone) {
			t.Errorf("read %s after it was deleted: got %v, want ErrGone", ref, err)
		}
		if _, err := tr.Target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}, nothing{}); err != nil {
			t.Errorf("delete %s again: %v", ref, err)
		}
	}
	tr.apply(t, tr.Resources)
	tr.kept(t, tr.Resources)
}

// nothing is the inputs of a step that has no business asking.
type nothing struct{}

func (nothing) Output(ref flowehr.Ref, name string) (string, error) {
	return "", fmt.Errorf("output %s of %s was asked for by a deletion", name, ref)
}

func (nothing) Secret(_ context.Context, name string) (flowehr.Secret, error) {
	return flowehr.Secret{}, fmt.Errorf("secret %s was asked for by a deletion", name)
}

func (nothing) Note(string) {}

// testCancel gives every step a context that has ended: it may succeed or fail, and must leave nothing that stands in the
// way of doing it later.
func testCancel(t *testing.T, tr *trial) {
	_, _ = apply.Run(t.Context(), tr.plan(t, tr.Resources), cancelled{tr.Target}, tr.store, tr.options())
	tr.apply(t, tr.Resources)
	tr.kept(t, tr.Resources)
}

type cancelled struct{ apply.Target }

func (c cancelled) Do(ctx context.Context, s flowehr.Step, in apply.Inputs) (flowehr.Record, error) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return c.Target.Do(ctx, s, in)
}

func testFound(t *testing.T, tr *trial) {
	tr.apply(t, tr.Resources)
	first := tr.records(t)
	tr.store = state.New(t.TempDir(), tr.env.Name, tr.env.Target)
	rep, err := apply.Refresh(t.Context(), tr.Target, tr.store, tr.Resources, tr.options())
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if len(rep.Drift) != len(tr.Resources) {
		t.Errorf("found %d of %d resources", len(rep.Drift), len(tr.Resources))
	}
	sameRecords(t, first, tr.records(t))
	tr.kept(t, tr.Resources)
}
