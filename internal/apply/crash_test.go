package apply_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/target/targettest"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const password = "correct horse battery staple"

var env = &flowehr.Environment{Name: "test", Target: flowehr.TargetLocal}

// machine is an environment whose definition changes, whose process crashes and whose calls fail.
type machine struct {
	fake  *targettest.Fake
	store *targettest.Store
	want  []flowehr.Resource

	mu     sync.Mutex
	left   int // moments until the crash or failure; below 0 there is none
	crash  bool
	dead   bool
	events bytes.Buffer
	plans  bytes.Buffer
}

var (
	errCrashed = errors.New("the process is gone")
	errCall    = errors.New("call failed")
)

func newMachine() *machine {
	m := &machine{fake: targettest.NewFake(), store: targettest.NewStore("test", flowehr.TargetLocal), left: -1}
	m.fake.Hook = func(_ context.Context, at targettest.Moment) error {
		err := m.moment()
		if err != nil && at.After && at.Action != flowehr.Delete && m.fake.World()[at.Ref].Secret != "" {
			return fmt.Errorf("%w for user with password %s", err, password) // as careless drivers do
		}
		return err
	}
	m.store.Hook = func(apply.Change) error { return m.moment() }
	return m
}

// moment is one point at which things can go wrong. After a crash nothing works.
func (m *machine) moment() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errCrashed
	}
	if m.left < 0 {
		return nil
	}
	if m.left--; m.left >= 0 {
		return nil
	}
	if m.crash {
		m.dead = true
		return errCrashed
	}
	return errCall
}

func (m *machine) set(left int, crash bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left, m.crash, m.dead = left, crash, false
}

func (m *machine) sink(e flowehr.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = json.NewEncoder(&m.events).Encode(e)
}

func (m *machine) plan(t *rapid.T) flowehr.Plan {
	st, err := m.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(env, m.want, st, plan.Options{Replace: targettest.ReplacePointers})
	if err != nil {
		t.Fatal(err)
	}
	b, err := plan.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	m.plans.Write(b)
	return p
}

func (m *machine) run(t *rapid.T, keepGoing bool) error {
	_, err := apply.Run(t.Context(), m.plan(t), m.fake, m.store, apply.Options{Parallel: rapid.IntRange(1, 3).Draw(t, "parallel"),
		KeepGoing: keepGoing, Sink: m.sink, Secrets: func(context.Context, string) (flowehr.Secret, error) {
			return flowehr.NewSecret(password), nil
		}})
	m.store.Break() // what the system does when a process ends
	return err
}

// definition draws what is wanted: things that use outputs of others and secrets.
func definition(t *rapid.T) []flowehr.Resource {
	var out []flowehr.Resource
	for i := range rapid.IntRange(0, 5).Draw(t, "things") {
		spec := targettest.Spec{Value: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value"), Fixed: rapid.SampledFrom([]string{"", "x"}).Draw(t, "fixed")}
		if rapid.Bool().Draw(t, "secret") {
			spec.Secret = "user ${PASSWORD}"
		}
		var needs []flowehr.Ref
		for j := range i {
			switch rapid.IntRange(0, 3).Draw(t, "relation") {
			case 0:
				needs = append(needs, out[j].Ref)
			case 1:
				spec.Uses = append(spec.Uses, flowehr.OutputRef{Ref: out[j].Ref, Name: rapid.SampledFrom([]string{"id", "value"}).Draw(t, "output")})
			}
		}
		out = append(out, targettest.Resource(fmt.Sprint("t", i), flowehr.LayerCore, spec, needs...))
	}
	return out
}

func byName(a, b flowehr.Ref) int { return strings.Compare(a.Name, b.Name) }

// check compares the world with what is wanted.
func (m *machine) check(t *rapid.T) {
	world := m.fake.World()
	got := slices.SortedFunc(maps.Keys(world), byName)
	var want []flowehr.Ref
	for _, r := range m.want {
		want = append(want, r.Ref)
		var spec targettest.Spec
		if err := json.Unmarshal(r.Spec, &spec); err != nil {
			t.Fatal(err)
		}
		thing := world[r.Ref]
		if thing.Value != spec.Value || thing.Fixed != spec.Fixed || (spec.Secret != "" && thing.Secret != "user "+password) {
			t.Fatalf("%s stands as %+v, wanted %s", r.Ref, thing, r.Spec)
		}
		for i, o := range spec.Uses {
			used := map[string]string{"id": world[o.Ref].ID, "value": world[o.Ref].Value}[o.Name]
			if thing.Uses[i] != used {
				t.Fatalf("%s uses %q as %s, which is %q", r.Ref, thing.Uses[i], o, used)
			}
		}
	}
	slices.SortFunc(want, byName)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("world differs from what is wanted, -want +got\n%s", diff)
	}
}

// TestAnythingMayFailAndTheNextRunGetsThere changes the definition, crashes at any moment (between any two calls of target
// and store, within calls too), fails any call, and in between runs undisturbed: then the world is as wanted, nothing that was
// ever made is forgotten, and another plan changes nothing. All along no secret is written anywhere.
func TestAnythingMayFailAndTheNextRunGetsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		m.want = definition(t)
		disturb := func(crash bool) func(*rapid.T) {
			return func(t *rapid.T) {
				m.set(rapid.IntRange(0, 25).Draw(t, "moment"), crash)
				_ = m.run(t, rapid.Bool().Draw(t, "keep going"))
				m.set(-1, false)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"define": func(t *rapid.T) { m.want = definition(t) },
			"crash":  disturb(true),
			"fail":   disturb(false),
			"run": func(t *rapid.T) {
				if err := m.run(t, false); err != nil {
					t.Fatal(err)
				}
				m.check(t)
				if p := m.plan(t); !p.Empty() {
					t.Fatalf("a second plan would change something: %+v", p.Steps)
				}
			},
			"": func(t *rapid.T) {
				for name, b := range map[string][]byte{"state": m.store.Bytes(), "plans": m.plans.Bytes(), "events": m.events.Bytes()} {
					if bytes.Contains(b, []byte(password)) {
						t.Fatalf("%s have the secret", name)
					}
				}
			},
		})
	})
}

// TestACrashMakesNothingTwice crashes once at every moment of a run in turn. The next run makes only what was missing.
func TestACrashMakesNothingTwice(t *testing.T) {
	want := []flowehr.Resource{
		targettest.Resource("db", flowehr.LayerCore, targettest.Spec{Value: "1"}),
		targettest.Resource("app", flowehr.LayerCore, targettest.Spec{Uses: []flowehr.OutputRef{{Ref: targettest.Ref("db"), Name: "id"}}}),
		targettest.Resource("log", flowehr.LayerCore, targettest.Spec{}),
	}
	rapid.Check(t, func(t *rapid.T) {
		crashed := 0
		for moment := 0; ; moment++ {
			m := newMachine()
			m.want = want
			m.set(moment, true)
			first := m.run(t, false)
			m.set(-1, false)
			if err := m.run(t, false); err != nil {
				t.Fatal(err)
			}
			m.check(t)
			for _, r := range want {
				if n := m.fake.Created(r.Ref); n != 1 {
					t.Fatalf("crash at moment %d: %s was made %d times", moment, r.Ref, n)
				}
			}
			if first == nil {
				break
			}
			crashed++
		}
		// Saved as pending, called, changed, saved as done; saves of steps that run at the same time may be one.
		if most := 4 * len(want); crashed > most || crashed < most-2 {
			t.Fatalf("crashed at %d moments, want %d or up to two fewer", crashed, most)
		}
	})
}
