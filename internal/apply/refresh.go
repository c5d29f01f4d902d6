package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/dag"
)

// Drift is one difference between the world and the state that was found by Refresh.
type Drift struct {
	Ref    flowehr.Ref
	Gone   bool            // recorded, and no longer there
	Found  bool            // there, and not recorded
	Before *flowehr.Record // nil if Found
	Now    *flowehr.Record // nil if Gone
}

// RefreshReport says what Refresh found.
type RefreshReport struct {
	Read     int
	Drift    []Drift // sorted by resource
	Errors   map[flowehr.Ref]error
	Revision flowehr.Revision
}

// Refresh reads the world and rewrites the state to match. It reads every recorded resource and, so that a lost state can
// be rebuilt, every one of expect that is not recorded: those are found by name among what is ours. Nothing in the world
// changes. A resource that cannot be read keeps its record, and the error joins a *[StepError] for each.
func Refresh(ctx context.Context, t Target, s Store, expect []flowehr.Resource, o Options) (rep RefreshReport, err error) {
	o = o.withDefaults()
	unlock, err := s.Lock(ctx, o.Owner)
	if err != nil {
		return RefreshReport{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	st, err := s.Load(ctx)
	if err != nil {
		return RefreshReport{}, err
	}
	f := &refresher{target: t, o: o, state: st, now: map[flowehr.Ref]*flowehr.Record{}}
	rep, ch, err := f.observe(ctx, expect)
	if err != nil {
		return RefreshReport{}, err
	}
	if len(rep.Drift) > 0 {
		if rep.Revision, err = s.Save(context.WithoutCancel(ctx), st.Revision, ch); err != nil {
			return rep, fmt.Errorf("save state: %w", err)
		}
	}
	return rep, f.joined(ctx)
}

// Observe is Refresh without writing anything down: it returns st as the world is, still at the revision of st, so that a
// plan made from it fits the state as saved.
func Observe(ctx context.Context, t Target, st flowehr.State, expect []flowehr.Resource, o Options) (flowehr.State, RefreshReport, error) {
	f := &refresher{target: t, o: o.withDefaults(), state: st, now: map[flowehr.Ref]*flowehr.Record{}}
	rep, ch, err := f.observe(ctx, expect)
	if err != nil {
		return st, RefreshReport{}, err
	}
	seen := ch.Apply(st)
	seen.Revision = st.Revision
	return seen, rep, f.joined(ctx)
}

// observe reads everything and says what differs, and the change that makes the state as the world is.
func (f *refresher) observe(ctx context.Context, expect []flowehr.Resource) (RefreshReport, Change, error) {
	if err := f.read(ctx, candidates(f.state, expect)); err != nil {
		return RefreshReport{}, Change{}, err
	}
	rep := RefreshReport{Read: len(f.now), Errors: f.errs, Revision: f.state.Revision}
	var ch Change
	for _, ref := range slices.SortedFunc(maps.Keys(f.now), compareRefs) {
		d, differs := f.drift(ref)
		if !differs {
			continue
		}
		rep.Drift = append(rep.Drift, d)
		if d.Gone {
			ch.Delete = append(ch.Delete, ref)
			continue
		}
		ch.Put = append(ch.Put, *d.Now)
	}
	return rep, ch, nil
}

// candidates returns a record to read for every resource that stands or may stand.
func candidates(st flowehr.State, expect []flowehr.Resource) map[flowehr.Ref]flowehr.Record {
	all := make(map[flowehr.Ref]flowehr.Record, len(st.Records)+len(expect))
	for _, res := range expect {
		all[res.Ref] = flowehr.Record{Resource: res}
	}
	maps.Copy(all, st.Records)
	return all
}

// refresher is one call of Refresh.
type refresher struct {
	target Target
	o      Options
	state  flowehr.State

	mu   sync.Mutex
	now  map[flowehr.Ref]*flowehr.Record // what was read; nil means gone
	errs map[flowehr.Ref]error
}

// read reads all, in parallel: they do not depend on each other.
func (f *refresher) read(ctx context.Context, all map[flowehr.Ref]flowehr.Record) error {
	g := &dag.Graph[flowehr.Ref]{}
	for _, ref := range slices.SortedFunc(maps.Keys(all), compareRefs) {
		g.Add(ref)
	}
	o := dag.WalkOptions[flowehr.Ref]{Limit: f.o.Parallel, KeepGoing: true}
	res, err := g.Walk(ctx, o, func(ctx context.Context, ref flowehr.Ref) error {
		rec, err := f.target.Read(ctx, all[ref])
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err == nil:
			f.now[ref] = &rec
		case errors.Is(err, ErrGone):
			f.now[ref] = nil
		default:
			return err
		}
		return nil
	})
	f.errs = res.Failed
	return err
}

// drift compares what was read of ref with its record. Time and place of the definition are no property of the world, and
// an action that was begun stays begun.
func (f *refresher) drift(ref flowehr.Ref) (Drift, bool) {
	before, recorded := f.state.Records[ref]
	now := f.now[ref]
	switch {
	case now == nil:
		return Drift{Ref: ref, Gone: true, Before: &before}, recorded
	case !recorded:
		found := *now
		found.At = f.o.Now()
		return Drift{Ref: ref, Found: true, Now: &found}, true
	}
	after := before
	after.Resource.Spec, after.ID, after.Outputs = now.Resource.Spec, now.ID, now.Outputs
	if sameJSON(before.Resource.Spec, after.Resource.Spec) && before.ID == after.ID && maps.Equal(before.Outputs, after.Outputs) {
		return Drift{}, false
	}
	return Drift{Ref: ref, Before: &before, Now: &after}, true
}

func (f *refresher) joined(ctx context.Context) error {
	var errs []error
	for _, ref := range slices.SortedFunc(maps.Keys(f.errs), compareRefs) {
		errs = append(errs, fmt.Errorf("read %s: %w", ref, f.errs[ref]))
	}
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// sameJSON compares in canonical form; what is not JSON compares as it is.
func sameJSON(a, b []byte) bool {
	x, xErr := flowehr.ReplaceOutputs(a, keepOutput)
	y, yErr := flowehr.ReplaceOutputs(b, keepOutput)
	if xErr != nil || yErr != nil {
		return string(a) == string(b)
	}
	return string(x) == string(y)
}

func keepOutput(o flowehr.OutputRef) (any, error) { return o, nil }
