package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

const (
	typeLock        = "Microsoft.Authorization/locks"
	typeDiagnostics = "Microsoft.Insights/diagnosticSettings"
)

// locks are those of the environment's own stacks. With real data the role assignments of one stack stand on what another has
// locked, and a lock forbids to delete them, too (learn.microsoft.com/azure/azure-resource-manager/management/lock-resources).
//
// A lock whose stack goes in the same plan is taken away for good. One that stays is away only while role assignments and
// diagnostic settings are deleted, one by one and not by a stack, which would use the moment to delete data. When the process
// dies in between, the next plan finds the lock missing and puts it back. What is in no template of ours is never touched.
type locks struct {
	target *Target
	known  []lock // in the order of their ids

	turn chan struct{} // holds one: a lock that one step has put away is not put back by another
}

type lock struct {
	id, scope string
	stays     bool // once the plan is carried out
}

func (l lock) covers(id string) bool {
	return !strings.EqualFold(id, l.id) && strings.HasPrefix(strings.ToLower(id), strings.ToLower(l.scope)+"/")
}

// locksDuring lists the locks of stacks that the plan has, before and after, and of those that are wanted beside it.
func (t *Target) locksDuring(p flowehr.Plan) *locks {
	out := &locks{target: t, turn: make(chan struct{}, 1)}
	planned := map[flowehr.Ref]bool{}
	for _, step := range p.Steps {
		if step.Want.Ref.Kind != azure.KindStack {
			continue
		}
		planned[step.Want.Ref] = true
		if step.Prior != nil {
			out.add(step.Prior.Resource.Spec, false)
		}
		out.add(step.Want.Spec, step.Action != flowehr.Delete)
	}
	for _, r := range t.o.Wanted {
		if r.Ref.Kind == azure.KindStack && !planned[r.Ref] {
			out.add(r.Spec, true)
		}
	}
	slices.SortFunc(out.known, func(a, b lock) int { return cmp.Compare(a.id, b.id) })
	return out
}

// add takes the locks out of a stack's template. One that cannot be read has none: its own step says why.
func (l *locks) add(spec json.RawMessage, stays bool) {
	var s azure.StackSpec
	if json.Unmarshal(spec, &s) != nil || len(s.Template) == 0 {
		return
	}
	parts, err := partsOf(l.target.o.Client.Subscription(), s.Named())
	if err != nil {
		return
	}
	for _, p := range parts {
		at := strings.LastIndex(strings.ToLower(p.id), "/providers/"+strings.ToLower(typeLock)+"/")
		if at < 0 {
			continue
		}
		i := slices.IndexFunc(l.known, func(o lock) bool { return strings.EqualFold(o.id, p.id) })
		if i < 0 {
			i = len(l.known)
			l.known = append(l.known, lock{id: p.id, scope: p.id[:at]})
		}
		l.known[i].stays = l.known[i].stays || stays
	}
}

// clear prepares a step of a stack: what it deletes is in nobody's way any more, as far as locks of ours are concerned.
func (l *locks) clear(ctx context.Context, step flowehr.Step, in apply.Inputs) error {
	if len(l.known) == 0 || step.Prior == nil || step.Want.Ref.Kind != azure.KindStack {
		return nil
	}
	ids, err := l.leaving(ctx, step, in)
	if err != nil || len(ids) == 0 {
		return err
	}
	var put []lock
	var bare []string
	for _, one := range l.known {
		if step.Action != flowehr.Update && slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, one.id) }) {
			continue // goes with its own stack, which sees to it
		}
		covered := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !one.covers(id) })
		if one.stays { // only what holds no data
			covered = slices.DeleteFunc(covered, func(id string) bool { return !dataless(id) })
			bare = append(bare, covered...)
		}
		if len(covered) > 0 {
			put = append(put, one)
		}
	}
	if len(put) == 0 {
		return nil
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	slices.Sort(bare)
	if err := l.without(ctx, put, slices.Compact(bare), in); err != nil {
		return fmt.Errorf("clear the way for %s: %w", step.Want.Ref, err)
	}
	return nil
}

// dataless has the types that stand on what another stack made and hold nothing themselves.
func dataless(id string) bool {
	typ := typeOf(id)
	return strings.EqualFold(typ, typeRoleAssignment) || strings.EqualFold(typ, typeDiagnostics)
}

// leaving lists what the step takes out of the stack as it stands.
func (l *locks) leaving(ctx context.Context, step flowehr.Step, in apply.Inputs) ([]string, error) {
	t := l.target
	prior := step.Prior.Resource
	s, err := stackSpec(prior)
	if err != nil {
		return nil, err
	}
	staying := map[string]bool{}
	switch step.Action {
	case flowehr.Delete, flowehr.Replace:
	case flowehr.Update:
		want := step.Want
		if want.Spec, err = apply.ResolveOutputs(want.Spec, in); err != nil {
			return nil, err
		}
		next, err := stackSpec(want)
		if err != nil {
			return nil, err
		}
		parts, err := partsOf(t.o.Client.Subscription(), next.Template)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			staying[strings.ToLower(p.id)] = true
		}
	default:
		return nil, nil
	}
	now, stands, err := t.stack(ctx, s.Name)
	if err != nil || !stands {
		return nil, err
	}
	var out []string
	for _, r := range now.Properties.Resources {
		if !staying[strings.ToLower(r.ID)] {
			out = append(out, r.ID)
		}
	}
	return out, nil
}

// without takes locks away, deletes what has been in their way, and puts back those that stay. Azure goes on for a while to
// enforce a lock that is gone.
func (l *locks) without(ctx context.Context, away []lock, ids []string, in apply.Inputs) (err error) {
	t := l.target
	was := map[string]json.RawMessage{} // of those to put back
	defer func() {
		for _, one := range away {
			if body := was[one.id]; body != nil {
				in.Note("locking " + nameOf(one.scope) + " again")
				// Even when the run was stopped in between.
				err = errors.Join(err, t.lock(context.WithoutCancel(ctx), one, body))
			}
		}
	}()
	for n := 1; ; n++ {
		for _, one := range away {
			body, err := t.lockedWith(ctx, one)
			if err != nil {
				return err
			}
			if body == nil {
				continue
			}
			if one.stays {
				in.Note("taking the lock of " + nameOf(one.scope) + " away for a moment")
				was[one.id] = body
			} else {
				in.Note("taking the lock of " + nameOf(one.scope) + " away; it goes in the same plan")
			}
			if err := t.deleteResource(ctx, typeLock, one.id); err != nil {
				return fmt.Errorf("take lock %s away: %w", nameOf(one.id), err)
			}
		}
		err := t.deleteAll(ctx, ids)
		if err == nil || n == removeAttempts || !scopeLocked(err) {
			return err
		}
		if err := t.o.Client.Wait(ctx, removePause); err != nil {
			return err
		}
	}
}

func scopeLocked(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	_, is := e.Because("ScopeLocked")
	return is
}

func (t *Target) deleteAll(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := t.deleteResource(ctx, typeOf(id), id); err != nil {
			return fmt.Errorf("delete %s %s: %w", typeOf(id), nameOf(id), err)
		}
	}
	return nil
}

// lockedWith returns the properties of a lock, none when it does not stand.
func (t *Target) lockedWith(ctx context.Context, one lock) (json.RawMessage, error) {
	version, _ := arm.Version(typeLock)
	var out struct{ Properties json.RawMessage }
	err := t.o.Client.Get(ctx, cloud.ARM(), cloud.At(one.id, version), &out)
	if cloud.NotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lock %s: %w", nameOf(one.id), err)
	}
	return out.Properties, nil
}

func (t *Target) lock(ctx context.Context, one lock, properties json.RawMessage) error {
	version, _ := arm.Version(typeLock)
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(one.id, version), Body: arm.Object{"properties": properties}})
	if err != nil {
		return fmt.Errorf("put lock %s of %s back, which the next deployment does: %w", nameOf(one.id), nameOf(one.scope), err)
	}
	return nil
}
