package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// bench is a fake target with a store.
type bench struct {
	fake   *targettest.Fake
	store  *targettest.Store
	mu     sync.Mutex
	events []flowehr.Event
}

func newBench() *bench {
	return &bench{fake: targettest.NewFake(), store: targettest.NewStore("test", flowehr.TargetLocal)}
}

func (b *bench) sink(e flowehr.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
}

// kinds lists the events of ref in order.
func (b *bench) kinds(ref flowehr.Ref) []flowehr.EventKind {
	var out []flowehr.EventKind
	for _, e := range b.events {
		if e.Ref == ref {
			out = append(out, e.Kind)
		}
	}
	return out
}

func (b *bench) plan(t *testing.T, want ...flowehr.Resource) flowehr.Plan {
	t.Helper()
	st, err := b.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(env, want, st, plan.Options{Replace: targettest.ReplacePointers})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *bench) run(ctx context.Context, t *testing.T, o apply.Options, want ...flowehr.Resource) (apply.Report, error) {
	t.Helper()
	o.Sink = b.sink
	return apply.Run(ctx, b.plan(t, want...), b.fake, b.store, o)
}

func thing(name string, needs ...string) flowehr.Resource {
	var refs []flowehr.Ref
	for _, n := range needs {
		refs = append(refs, targettest.Ref(n))
	}
	return targettest.Resource(name, flowehr.LayerCore, targettest.Spec{}, refs...)
}

// busyError is recognised as passing.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string { return "busy" }

func retryBusy(err error) (time.Duration, bool) {
	busy, ok := errors.AsType[*busyError](err)
	if !ok {
		return 0, false
	}
	return busy.after, true
}

func TestRetry(t *testing.T) {
	for _, c := range []struct {
		name     string
		fail     func(attempt int) error
		attempts int           // allowed
		want     int           // made
		took     time.Duration // of virtual time
		err      string
	}{
		{"waits double", func(n int) error {
			if n <= 3 {
				return &busyError{}
			}
			return nil
		}, 5, 4, 7 * time.Second, ""},
		{"waits as long as it is told to", func(n int) error {
			if n == 1 {
				return &busyError{after: 40 * time.Second}
			}
			return nil
		}, 5, 2, 40 * time.Second, ""},
		{"gives up", func(int) error { return &busyError{} }, 3, 3, 3 * time.Second, "given up after 3 attempts: busy"},
		{"waits a minute at most", func(int) error { return &busyError{} }, 9, 9, (1 + 2 + 4 + 8 + 16 + 32 + 60 + 60) * time.Second, "given up after 9"},
		{"does not retry what is not recognised", func(int) error { return errors.New("busy") }, 5, 1, 0, "busy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				n := 0
				b.fake.Hook = func(_ context.Context, m targettest.Moment) error {
					if m.After {
						return nil
					}
					n++
					return c.fail(n)
				}
				rep, err := b.run(t.Context(), t, apply.Options{Retry: retryBusy, Attempts: c.attempts}, thing("a"))
				if n != c.want || rep.Took != c.took {
					t.Errorf("%d attempts in %s, want %d in %s", n, rep.Took, c.want, c.took)
				}
				if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("got error %v, want %q", err, c.err)
				}
				retries := 0
				for _, k := range b.kinds(targettest.Ref("a")) {
					if k == flowehr.EventStepRetry {
						retries++
					}
				}
				if retries != c.want-1 {
					t.Errorf("%d events of a retry, want %d", retries, c.want-1)
				}
			})
		})
	}
}

func TestInterrupt(t *testing.T) {
	want := []flowehr.Resource{thing("first"), thing("second", "first"), thing("third", "second")}
	for _, c := range []struct {
		name       string
		grace      time.Duration
		step       time.Duration // how long each step takes
		done, half []flowehr.Ref
		left       int
		took       time.Duration
	}{
		{"the current step ends within the grace", time.Minute, 20 * time.Second,
			[]flowehr.Ref{targettest.Ref("first"), targettest.Ref("second")}, nil, 1, 40 * time.Second},
		{"the current step is cut short after the grace", 5 * time.Second, 20 * time.Second,
			[]flowehr.Ref{targettest.Ref("first")}, []flowehr.Ref{targettest.Ref("second")}, 1, 35 * time.Second},
		{"no grace", -1, 20 * time.Second, []flowehr.Ref{targettest.Ref("first")}, []flowehr.Ref{targettest.Ref("second")}, 1, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.fake.Hook = func(ctx context.Context, m targettest.Moment) error {
					if !m.After {
						return nil
					}
					select {
					case <-time.After(c.step):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				rep, err := b.run(ctx, t, apply.Options{Grace: c.grace}, want...)
				if !errors.Is(err, context.DeadlineExceeded) || !rep.Interrupted || rep.Complete() {
					t.Errorf("got %v, report %+v; want an interruption", err, rep)
				}
				if !slices.Equal(rep.Done, c.done) || !slices.Equal(rep.HalfDone, c.half) || len(rep.NotStarted) != c.left || rep.Took != c.took {
					t.Errorf("got done %v, half-done %v, not started %v in %s", rep.Done, rep.HalfDone, rep.NotStarted, rep.Took)
				}
				b.fake.Hook = nil
				if rep, err := b.run(t.Context(), t, apply.Options{}, want...); err != nil || !rep.Complete() {
					t.Errorf("going on: %v, %+v", err, rep)
				}
				for _, r := range want {
					if n := b.fake.Created(r.Ref); n != 1 {
						t.Errorf("%s was made %d times", r.Ref, n)
					}
				}
			})
		})
	}
}

func TestInterruptCutsTheWaitBeforeARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.fake.Hook = func(context.Context, targettest.Moment) error { return &busyError{after: time.Hour} }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rep, err := b.run(ctx, t, apply.Options{Retry: retryBusy}, thing("a"))
		if rep.Took != time.Second || len(rep.HalfDone) != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("took %s, report %+v, error %v; want to stop at once", rep.Took, rep, err)
		}
	})
}

func TestAFailureStopsWhatNeedsIt(t *testing.T) {
	for _, c := range []struct {
		keepGoing bool
		want      string
	}{
		{true, "done [thing/other thing/last] failed [thing/bad] skipped [thing/user] not started []"},
		{false, "done [] failed [thing/bad] skipped [thing/user] not started [thing/other thing/last]"},
	} {
		t.Run(fmt.Sprintf("keep going %t", c.keepGoing), func(t *testing.T) {
			b := newBench()
			b.fake.Hook = func(_ context.Context, m targettest.Moment) error {
				if m.Ref == targettest.Ref("bad") {
					return errors.New("no space")
				}
				return nil
			}
			rep, err := b.run(t.Context(), t, apply.Options{Parallel: 1, KeepGoing: c.keepGoing},
				thing("bad"), thing("user", "bad"), thing("other"), thing("last", "other"))
			got := fmt.Sprintf("done %v failed %v skipped %v not started %v", rep.Done, rep.Failed, rep.Skipped, rep.NotStarted)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			step, ok := errors.AsType[*apply.StepError](err)
			if !ok || step.Ref != targettest.Ref("bad") || step.Action != flowehr.Create {
				t.Errorf("got error %v, want that of thing/bad", err)
			}
			if got := b.kinds(targettest.Ref("user")); !slices.Equal(got, []flowehr.EventKind{flowehr.EventStepSkipped}) {
				t.Errorf("events of thing/user: %v", got)
			}
		})
	}
}

func TestAPanicIsAnErrorOfItsStep(t *testing.T) {
	b := newBench()
	b.fake.Hook = func(_ context.Context, m targettest.Moment) error {
		if m.Ref == targettest.Ref("bad") {
			panic("nil map")
		}
		return nil
	}
	rep, err := b.run(t.Context(), t, apply.Options{KeepGoing: true}, thing("bad"), thing("good"))
	if p, ok := errors.AsType[*apply.PanicError](err); !ok || p.Value != "nil map" || len(p.Stack) == 0 {
		t.Errorf("got %v, want the panic with its stack", err)
	}
	if !slices.Equal(rep.Done, []flowehr.Ref{targettest.Ref("good")}) {
		t.Errorf("done %v, want thing/good", rep.Done)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Run("a stale plan", func(t *testing.T) {
		b := newBench()
		old := b.plan(t, thing("a"))
		if _, err := b.run(t.Context(), t, apply.Options{}, thing("b")); err != nil {
			t.Fatal(err)
		}
		_, err := apply.Run(t.Context(), old, b.fake, b.store, apply.Options{})
		if stale, ok := errors.AsType[*apply.StaleError](err); !ok || !errors.Is(err, apply.ErrStale) || stale.Base != 0 || stale.Now != 2 {
			t.Errorf("got %v, want stale from 0 to 2", err)
		}
		if len(b.fake.World()) != 1 {
			t.Errorf("the stale plan changed the world: %v", b.fake.World())
		}
	})
	t.Run("a plan of another environment", func(t *testing.T) {
		b := newBench()
		p := b.plan(t)
		p.Environment = "other"
		if _, err := apply.Run(t.Context(), p, b.fake, b.store, apply.Options{}); err == nil || !strings.Contains(err.Error(), "plan is for other") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a locked state", func(t *testing.T) {
		b := newBench()
		if _, err := b.store.Lock(t.Context(), "colleague"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.run(t.Context(), t, apply.Options{}, thing("a")); !errors.Is(err, apply.ErrLocked) {
			t.Errorf("got %v, want locked", err)
		}
	})
	t.Run("a plan that waits for what it does not have", func(t *testing.T) {
		b := newBench()
		p := b.plan(t, thing("a"))
		p.Steps[0].After = []flowehr.Ref{targettest.Ref("ghost")}
		if _, err := apply.Run(t.Context(), p, b.fake, b.store, apply.Options{}); err == nil || !strings.Contains(err.Error(), "thing/ghost") {
			t.Errorf("got %v", err)
		}
	})
}

// A changed output reaches its users in the same run, although the plan could not know.
func TestAChangedOutputUpdatesItsUsers(t *testing.T) {
	b := newBench()
	db := func(v string) flowehr.Resource {
		return targettest.Resource("db", flowehr.LayerCore, targettest.Spec{Value: v})
	}
	app := targettest.Resource("app", flowehr.LayerCore, targettest.Spec{Uses: []flowehr.OutputRef{{Ref: targettest.Ref("db"), Name: "value"}}})
	for _, v := range []string{"1", "2"} {
		if _, err := b.run(t.Context(), t, apply.Options{}, db(v), app); err != nil {
			t.Fatal(err)
		}
		if got := b.fake.World()[app.Ref].Uses[0]; got != v {
			t.Errorf("app uses %q, want %q", got, v)
		}
	}
	if p := b.plan(t, db("2"), app); !p.Empty() {
		t.Errorf("a second plan changes something: %+v", p.Steps)
	}
}

func TestSecretsDoNotLeave(t *testing.T) {
	secrets := func(context.Context, string) (flowehr.Secret, error) { return flowehr.NewSecret("p@ss word"), nil }
	secret := targettest.Resource("db", flowehr.LayerCore, targettest.Spec{Secret: "${PASSWORD}"})
	t.Run("in errors", func(t *testing.T) {
		b := newBench()
		cause := errors.New(`cannot sign in with "p@ss word" at db://u:p%40ss%20word@host`)
		b.fake.Hook = func(_ context.Context, m targettest.Moment) error {
			if m.After {
				return cause
			}
			return nil
		}
		_, err := b.run(t.Context(), t, apply.Options{Secrets: secrets}, secret)
		want := `create thing/db: cannot sign in with "••••" at db://u:••••@host`
		if err == nil || err.Error() != want || !errors.Is(err, cause) {
			t.Errorf("got  %v\nwant %s, wrapping the cause", err, want)
		}
		for _, e := range b.events {
			if strings.Contains(fmt.Sprint(e), "p@ss") {
				t.Errorf("event %+v has the secret", e)
			}
		}
	})
	t.Run("in outputs", func(t *testing.T) {
		b := newBench()
		leak := targettest.Resource("db", flowehr.LayerCore, targettest.Spec{Secret: "${PASSWORD}", Value: "dsn with p@ss word"})
		_, err := b.run(t.Context(), t, apply.Options{Secrets: secrets}, leak)
		if err == nil || !strings.Contains(err.Error(), "output value of thing/db holds the value of a secret") {
			t.Errorf("got %v, want a refusal", err)
		}
	})
}

func TestRefresh(t *testing.T) {
	b := newBench()
	if _, err := b.run(t.Context(), t, apply.Options{}, thing("gone"), thing("changed"), thing("same")); err != nil {
		t.Fatal(err)
	}
	before, _ := b.store.Load(t.Context())
	b.fake.Tamper(targettest.Ref("gone"), nil)
	b.fake.Tamper(targettest.Ref("changed"), func(th *targettest.Thing) { th.Spec, th.Value = []byte(`{"value":"by hand"}`), "by hand" })
	b.fake.Tamper(targettest.Ref("found"), func(th *targettest.Thing) { th.ID, th.Spec = "id-9", thing("found").Spec })
	rep, err := apply.Refresh(t.Context(), b.fake, b.store, []flowehr.Resource{thing("found"), thing("never")}, apply.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range rep.Drift {
		got = append(got, fmt.Sprintf("%s gone %t found %t", d.Ref, d.Gone, d.Found))
	}
	want := []string{"thing/changed gone false found false", "thing/found gone false found true", "thing/gone gone true found false"}
	if !slices.Equal(got, want) || rep.Revision != before.Revision+1 {
		t.Errorf("got %q at revision %d, want %q at %d", got, rep.Revision, want, before.Revision+1)
	}
	actions := map[string]flowehr.Action{}
	for _, s := range b.plan(t, thing("gone"), thing("changed"), thing("same"), thing("found")).Steps {
		actions[s.Want.Ref.Name] = s.Action
	}
	if fmt.Sprint(actions) != "map[changed:update found:keep gone:create same:keep]" {
		t.Errorf("the next plan does %v", actions)
	}
}

func TestRefreshKeepsWhatCannotBeRead(t *testing.T) {
	b := newBench()
	if _, err := b.run(t.Context(), t, apply.Options{}, thing("a"), thing("b")); err != nil {
		t.Fatal(err)
	}
	b.fake.Hook = func(_ context.Context, m targettest.Moment) error {
		if m.Ref == targettest.Ref("a") {
			return errors.New("no route")
		}
		return nil
	}
	rep, err := apply.Refresh(t.Context(), b.fake, b.store, nil, apply.Options{})
	if err == nil || !strings.Contains(err.Error(), "read thing/a: no route") || len(rep.Drift) != 0 || rep.Read != 1 {
		t.Errorf("got %v, %+v", err, rep)
	}
	if st, _ := b.store.Load(t.Context()); len(st.Records) != 2 {
		t.Errorf("records %v, want both", st.Records)
	}
}

// What is seen of the world makes a plan, and the plan fits the state as it was saved.
func TestObserveSavesNothing(t *testing.T) {
	b := newBench()
	if _, err := b.run(t.Context(), t, apply.Options{}, thing("gone"), thing("same")); err != nil {
		t.Fatal(err)
	}
	before, _ := b.store.Load(t.Context())
	b.fake.Tamper(targettest.Ref("gone"), nil)
	seen, rep, err := apply.Observe(t.Context(), b.fake, before, nil, apply.Options{})
	if err != nil || len(rep.Drift) != 1 || !rep.Drift[0].Gone {
		t.Fatalf("got %+v and %v, want one thing gone", rep.Drift, err)
	}
	if _, still := seen.Records[targettest.Ref("gone")]; still || seen.Revision != before.Revision {
		t.Errorf("seen at revision %d with %d records, want %d with one", seen.Revision, len(seen.Records), before.Revision)
	}
	if after, _ := b.store.Load(t.Context()); after.Revision != before.Revision || len(after.Records) != 2 {
		t.Errorf("the state was changed to revision %d with %d records", after.Revision, len(after.Records))
	}
}

// A retry waits by the clock that it was given.
func TestRetryWaitsAsItIsTold(t *testing.T) {
	b := newBench()
	left := 2
	b.fake.Hook = func(context.Context, targettest.Moment) error {
		if left--; left >= 0 {
			return errors.New("busy")
		}
		return nil
	}
	var waited []time.Duration
	o := apply.Options{
		Retry: func(error) (time.Duration, bool) { return 7 * time.Second, true },
		Wait:  func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil },
	}
	if _, err := b.run(t.Context(), t, o, thing("a")); err != nil {
		t.Fatal(err)
	}
	if len(waited) != 2 || waited[0] != 7*time.Second {
		t.Errorf("waited %v, want twice 7s", waited)
	}
}
