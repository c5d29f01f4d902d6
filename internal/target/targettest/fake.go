// Package targettest holds what tests of plans and targets share: a target in memory whose calls can be made to fail, and a
// suite that every target passes.
//
// Only tests import it. The rule that holds here: the fake keeps the contract of apply.Target as strictly as a real
// target must, so that what works on it depends on nothing else.
package targettest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
)

// Spec is what the fake makes resources of.
type Spec struct {
	Value  string              `json:"value,omitempty"`  // can be changed in place, and is output "value"
	Fixed  string              `json:"fixed,omitempty"`  // cannot
	Secret flowehr.Text        `json:"secret,omitempty"` // resolved when the resource is made
	Uses   []flowehr.OutputRef `json:"uses,omitempty"`   // resolved when the resource is made
}

// ReplacePointers tells a plan what the fake cannot change in place.
func ReplacePointers(string) []string { return []string{"/fixed"} }

// Resource makes a resource for the fake. It needs what its spec uses, and needs.
func Resource(name string, layer flowehr.Layer, spec Spec, needs ...flowehr.Ref) flowehr.Resource {
	for _, o := range spec.Uses {
		if !slices.Contains(needs, o.Ref) {
			needs = append(needs, o.Ref)
		}
	}
	b, err := flowehr.Canonical(spec)
	if err != nil {
		panic(err) // a Spec of strings always encodes
	}
	return flowehr.Resource{Ref: Ref(name), Layer: layer, Spec: b, Needs: needs}
}

// Ref names a resource of the fake.
func Ref(name string) flowehr.Ref { return flowehr.Ref{Kind: "thing", Name: name} }

// Thing is a resource as it stands in the fake's world.
type Thing struct {
	ID     string
	Spec   json.RawMessage // as wanted
	Value  string
	Fixed  string
	Secret string   // resolved
	Uses   []string // resolved
}

// Moment is a point within a call at which a fake can fail.
type Moment struct {
	Action flowehr.Action // Keep for Read
	Ref    flowehr.Ref
	Half   bool // of a Replace: the old one is gone and the new one not made
	After  bool // the world has changed already
}

// Fake is a target in memory. Hook, when set, is called at every moment of every call; the error it returns is what the call
// returns, at that moment.
type Fake struct {
	Hook func(context.Context, Moment) error

	mu      sync.Mutex
	world   map[flowehr.Ref]Thing
	next    int
	created map[flowehr.Ref]int
	done    map[flowehr.Action]int
}

var _ apply.Target = (*Fake)(nil)

// NewFake returns a fake with an empty world.
func NewFake() *Fake {
	return &Fake{world: map[flowehr.Ref]Thing{}, created: map[flowehr.Ref]int{}, done: map[flowehr.Action]int{}}
}

// World returns what stands.
func (f *Fake) World() map[flowehr.Ref]Thing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.world)
}

// Created returns how often ref was made new.
func (f *Fake) Created(ref flowehr.Ref) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.created[ref]
}

// Calls returns how many calls of Do with action a succeeded.
func (f *Fake) Calls(a flowehr.Action) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done[a]
}

// Tamper changes the world behind everybody's back. A nil change removes the thing.
func (f *Fake) Tamper(ref flowehr.Ref, change func(*Thing)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if change == nil {
		delete(f.world, ref)
		return
	}
	t := f.world[ref]
	change(&t)
	f.world[ref] = t
}

// Read implements apply.Target.
func (f *Fake) Read(ctx context.Context, rec flowehr.Record) (flowehr.Record, error) {
	ref := rec.Resource.Ref
	if err := f.at(ctx, Moment{Ref: ref}); err != nil {
		return flowehr.Record{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.world[ref]
	if !ok {
		return flowehr.Record{}, fmt.Errorf("read %s: %w", ref, apply.ErrGone)
	}
	rec.Resource.Spec = t.Spec
	rec.ID, rec.Outputs = t.ID, outputs(t)
	return rec, nil
}

// Do implements apply.Target.
func (f *Fake) Do(ctx context.Context, step flowehr.Step, in apply.Inputs) (flowehr.Record, error) {
	ref := step.Want.Ref
	m := Moment{Action: step.Action, Ref: ref}
	if err := f.at(ctx, m); err != nil {
		return flowehr.Record{}, err
	}
	var t Thing
	var err error
	switch step.Action {
	case flowehr.Delete:
		f.Tamper(ref, nil)
	case flowehr.Create, flowehr.Update:
		t, err = f.make(ctx, step, in)
	case flowehr.Replace:
		f.Tamper(ref, nil)
		if err := f.at(ctx, Moment{Action: step.Action, Ref: ref, Half: true}); err != nil {
			return flowehr.Record{}, err
		}
		t, err = f.make(ctx, step, in)
	case flowehr.Keep:
		return flowehr.Record{}, errors.New("a step that keeps must not reach the target")
	}
	if err != nil {
		return flowehr.Record{}, err
	}
	m.After = true
	if err := f.at(ctx, m); err != nil {
		return flowehr.Record{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[step.Action]++
	return flowehr.Record{Resource: step.Want, ID: t.ID, Outputs: outputs(t)}, nil
}

func outputs(t Thing) map[string]string { return map[string]string{"id": t.ID, "value": t.Value} }

func (f *Fake) at(ctx context.Context, m Moment) error {
	if f.Hook != nil {
		if err := f.Hook(ctx, m); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// make makes the thing or changes the one that stands.
func (f *Fake) make(ctx context.Context, step flowehr.Step, in apply.Inputs) (Thing, error) {
	resolved, err := apply.ResolveOutputs(step.Want.Spec, in)
	if err != nil {
		return Thing{}, err
	}
	var spec struct {
		Value, Fixed string
		Secret       flowehr.Text
		Uses         []string
	}
	if err := json.Unmarshal(resolved, &spec); err != nil {
		return Thing{}, fmt.Errorf("spec of %s: %w", step.Want.Ref, err)
	}
	secret, err := spec.Secret.Resolve(func(name string) (flowehr.Secret, error) { return in.Secret(ctx, name) })
	if err != nil {
		return Thing{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ref := step.Want.Ref
	t, stands := f.world[ref]
	if stands && t.Fixed != spec.Fixed {
		return Thing{}, fmt.Errorf("%s stands with fixed %q and cannot be changed to %q", ref, t.Fixed, spec.Fixed)
	}
	if !stands {
		f.next++
		f.created[ref]++
		t.ID = "id-" + strconv.Itoa(f.next)
	}
	t.Spec, t.Value, t.Fixed, t.Secret, t.Uses = step.Want.Spec, spec.Value, spec.Fixed, secret.Reveal(), spec.Uses
	f.world[ref] = t
	return t, nil
}
