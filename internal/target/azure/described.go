package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// minder looks after resources that an S describes. Its methods keep the contract of keeper.
type minder[S any] interface {
	ensure(ctx context.Context, s S, t task) (made, error)
	read(ctx context.Context, s S, id string) (S, made, error)
	remove(ctx context.Context, s S, id string) error
}

// task is what a minder gets besides the description.
type task struct {
	prior *flowehr.Record // what was recorded, nil when nothing was
	in    apply.Inputs
}

// described makes a keeper of a minder: it decodes the description and encodes what was read.
type described[S any] struct{ minder minder[S] }

func keep[S any](m minder[S]) keeper { return described[S]{m} }

func (d described[S]) ensure(ctx context.Context, r flowehr.Resource, prior *flowehr.Record, in apply.Inputs) (made, error) {
	s, err := decodeSpec[S](r)
	if err != nil {
		return made{}, err
	}
	return d.minder.ensure(ctx, s, task{prior: prior, in: in})
}

// read: what refers to a thing that is not known to stand cannot stand itself.
func (d described[S]) read(ctx context.Context, r flowehr.Resource, id string) (json.RawMessage, made, error) {
	if unknown, err := refersToUnknown(r); err != nil || unknown {
		return nil, made{}, cmpErr(err, fmt.Errorf("%s: %w", r.Ref, apply.ErrGone))
	}
	s, err := decodeSpec[S](r)
	if err != nil {
		return nil, made{}, err
	}
	now, m, err := d.minder.read(ctx, s, id)
	if err != nil {
		return nil, made{}, err
	}
	b, err := flowehr.Canonical(now)
	return b, m, err
}

// remove has nothing to do where an output that the description refers to was never recorded: the thing is made after the
// one it refers to, and that one was not made.
func (d described[S]) remove(ctx context.Context, r flowehr.Resource, id string) error {
	if unknown, err := refersToUnknown(r); err != nil || unknown {
		return err
	}
	s, err := decodeSpec[S](r)
	if err != nil {
		return err
	}
	if err := d.minder.remove(ctx, s, id); err != nil && !errors.Is(err, apply.ErrGone) {
		return err
	}
	return nil
}

func cmpErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// refersToUnknown reports whether an output in the description of r has not been filled in.
func refersToUnknown(r flowehr.Resource) (bool, error) {
	refs, err := flowehr.OutputRefs(r.Spec)
	if err != nil {
		return false, fmt.Errorf("description of %s: %w", r.Ref, err)
	}
	return len(refs) > 0, nil
}

func decodeSpec[S any](r flowehr.Resource) (S, error) {
	var s S
	dec := json.NewDecoder(bytes.NewReader(r.Spec))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("description of %s: %w", r.Ref, err)
	}
	return s, nil
}

// text returns a value that has been filled in.
func text(v azure.Value) string { return v.String() }

func texts(vs []azure.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.String()
	}
	return out
}

// gone says that what something describes does not stand.
func gone(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, apply.ErrGone)...)
}

// asWanted returns want when have holds the same elements in any order, else have in sorted order. It keeps the order in
// which a service lists things from looking like a change.
func asWanted(want, have []string) []string {
	if sameSet(want, have) {
		return want
	}
	return slices.Sorted(slices.Values(have))
}

func sameSet(a, b []string) bool {
	return maps.Equal(setOf(a), setOf(b))
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}

// difference returns what is in a and not in b, in the order of a.
func difference(a, b []string) []string {
	in := setOf(b)
	var out []string
	for _, v := range a {
		if !in[v] {
			out = append(out, v)
		}
	}
	return out
}

// versioned is the path of a resource of a type, or of something below it, with the api-version that templates use.
func versioned(path, typ string) string {
	version, _ := arm.Version(typ)
	return path + "?api-version=" + version
}

// until asks done again and again, with every between, until it reports true or fails. After limit of waiting it fails and
// says what was waited for. Time is counted in waits, so that it holds for a client whose time is not the clock's.
func until(ctx context.Context, c *cloud.Client, what string, every, limit time.Duration, done func() (bool, error)) error {
	for waited := time.Duration(0); ; waited += every {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		if waited >= limit {
			return fmt.Errorf("%s: still not so after %s", what, limit)
		}
		if err := c.Wait(ctx, every); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
