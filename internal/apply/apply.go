// Package apply carries out a plan: it is the only place that changes the world.
//
// It orders steps by their needs, runs several at a time, retries what the target recognises as passing, and saves the
// state before and after each step. It does not decide what to change (package plan) and knows no resource type.
//
// The rule that holds here: at any moment the process may be killed, and a new plan made from the saved state carries on
// without making anything twice and without forgetting anything that was made. It holds because a step is saved as pending
// before it begins, and because a [Target] does the same thing again without harm.
package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flowehr/flowehr"
)

// ErrGone says that a resource no longer exists in the world.
var ErrGone = errors.New("resource no longer exists")

// ErrLocked says that somebody else works on the environment. The error in hand is a *[LockedError].
var ErrLocked = errors.New("state is locked")

// ErrStale says that the state moved on since a plan was made or a state was loaded.
var ErrStale = errors.New("state has moved on")

// Target makes single changes to the world. Both methods may be called for different resources at the same time, and
// again for the same one after a crash.
type Target interface {
	// Read returns rec as it stands now: Spec as far as the target can tell, ID and Outputs. A record without ID is looked
	// up by name among what is ours. The error is ErrGone when the resource does not exist.
	Read(ctx context.Context, rec flowehr.Record) (flowehr.Record, error)

	// Do makes it so and returns what is to be recorded. Doing a step that was done wholly or in part before is no error:
	// Create takes over what stands under the same name if it is ours, Update creates what is missing, Replace and Delete
	// accept that the old one has gone. It returns soon after ctx ends, with an error if the step is not finished. Outputs
	// hold no secret. For Delete the record is ignored.
	Do(ctx context.Context, step flowehr.Step, in Inputs) (flowehr.Record, error)
}

// Inputs gives a step what it could not know when it was planned, and takes word of how far it is.
type Inputs interface {
	// Output returns an output of a resource that the step's resource needs.
	Output(ref flowehr.Ref, name string) (string, error)
	// Secret returns the value of a secret of the environment.
	Secret(ctx context.Context, name string) (flowehr.Secret, error)
	// Note shows a word on how far the step is.
	Note(text string)
}

// Store keeps the state of one environment. A state that was never saved loads as one with revision 0 and no records.
type Store interface {
	// Lock makes the caller the only one to save, until unlock. It does not wait: somebody else's lock is a *LockedError.
	Lock(ctx context.Context, owner string) (unlock func() error, err error)
	// Load returns the state as last saved.
	Load(ctx context.Context) (flowehr.State, error)
	// Save changes the state, all or nothing, and returns the new revision. It fails with ErrStale, having changed
	// nothing, if the state is not at base.
	Save(ctx context.Context, base flowehr.Revision, ch Change) (flowehr.Revision, error)
}

// Change is what one save does to a state.
type Change struct {
	Put    []flowehr.Record
	Delete []flowehr.Ref
}

// Apply returns s with the change made and the next revision. It leaves the records of s untouched.
func (c Change) Apply(s flowehr.State) flowehr.State {
	records := make(map[flowehr.Ref]flowehr.Record, len(s.Records)+len(c.Put))
	maps.Copy(records, s.Records)
	for _, ref := range c.Delete {
		delete(records, ref)
	}
	for _, rec := range c.Put {
		records[rec.Resource.Ref] = rec
	}
	s.Records = records
	s.Revision++
	return s
}

// Then returns the change that does c and after it next. It leaves both as they are.
func (c Change) Then(next Change) Change {
	put := map[flowehr.Ref]flowehr.Record{}
	gone := map[flowehr.Ref]bool{}
	for _, ch := range []Change{c, next} {
		for _, ref := range ch.Delete {
			delete(put, ref)
			gone[ref] = true
		}
		for _, rec := range ch.Put {
			put[rec.Resource.Ref] = rec
			delete(gone, rec.Resource.Ref)
		}
	}
	var out Change
	for _, ref := range slices.SortedFunc(maps.Keys(put), compareRefs) {
		out.Put = append(out.Put, put[ref])
	}
	out.Delete = slices.SortedFunc(maps.Keys(gone), compareRefs)
	return out
}

// Holder is who has the lock of a state.
type Holder struct {
	Owner string    `json:"owner"`
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// String names the holder as "owner@host".
func (h Holder) String() string {
	switch {
	case h.Owner == "" && h.Host == "":
		return "an unknown process"
	case h.Host == "":
		return h.Owner
	}
	return h.Owner + "@" + h.Host
}

// LockedError is an [ErrLocked] that says by whom.
type LockedError struct{ Holder Holder }

// Error names the holder.
func (e *LockedError) Error() string {
	if e.Holder.Since.IsZero() {
		return fmt.Sprintf("%v by %s", ErrLocked, e.Holder)
	}
	return fmt.Sprintf("%v by %s (process %d) since %s", ErrLocked, e.Holder, e.Holder.PID, e.Holder.Since.Format(time.RFC3339))
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// StaleError is an [ErrStale] that says from where to where.
type StaleError struct{ Base, Now flowehr.Revision }

// Error says what to do.
func (e *StaleError) Error() string {
	return fmt.Sprintf("%v from revision %d to %d: make a new plan", ErrStale, e.Base, e.Now)
}

// Is makes errors.Is(err, ErrStale) true.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// Stale returns an error when p was not made for st: another environment or target, or, as a *[StaleError], another
// revision. Run asks the same; a command asks earlier, before it troubles anybody for a yes.
func Stale(p flowehr.Plan, st flowehr.State) error {
	if p.Environment != st.Environment || p.Target != st.Target {
		return fmt.Errorf("plan is for %s on %s, the state for %s on %s", p.Environment, p.Target, st.Environment, st.Target)
	}
	if p.Base != st.Revision {
		return &StaleError{Base: p.Base, Now: st.Revision}
	}
	return nil
}

// ResolveOutputs returns spec with every [flowehr.OutputRef] in it replaced by its value, as a JSON string.
func ResolveOutputs(spec []byte, in Inputs) ([]byte, error) {
	return flowehr.ReplaceOutputs(spec, func(o flowehr.OutputRef) (any, error) { return in.Output(o.Ref, o.Name) })
}
