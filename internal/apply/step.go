package apply

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/flowehr/flowehr"
)

// Waits between attempts double from the first to the longest. There is no random part: steps of one run are few, and
// a service that is overloaded says itself how long to wait.
const (
	firstWait   = time.Second
	longestWait = time.Minute
)

// step does one step. ctx ends when the run is stopped; stepCtx ends a grace later and is what the target gets.
func (r *run) step(ctx, stepCtx context.Context, s flowehr.Step) error {
	s = r.current(s)
	if s.Action == flowehr.Keep {
		return r.keep(ctx, s)
	}
	began := r.o.Now()
	r.emit(flowehr.Event{Kind: flowehr.EventStepStarted, Ref: s.Want.Ref, Action: s.Action, Text: s.Why})
	err := r.carryOut(ctx, stepCtx, s)
	took := r.o.Now().Sub(began)
	if err == nil {
		r.emit(flowehr.Event{Kind: flowehr.EventStepDone, Ref: s.Want.Ref, Action: s.Action, Took: took})
		return nil
	}
	err = r.veil.error(err)
	if ctx.Err() != nil {
		r.mu.Lock()
		r.half[s.Want.Ref] = true
		r.mu.Unlock()
	}
	r.emit(flowehr.Event{Kind: flowehr.EventStepFailed, Ref: s.Want.Ref, Action: s.Action, Took: took, Err: err.Error()})
	return &StepError{Ref: s.Want.Ref, Action: s.Action, Err: err}
}

// current returns s as the run has changed it: a step that keeps a resource whose inputs came out different becomes an
// update. The plan could not know.
func (r *run) current(s flowehr.Step) flowehr.Step {
	if s.Action != flowehr.Keep {
		return s
	}
	if rec, ok := r.book.record(s.Want.Ref); ok && rec.Pending == flowehr.Update {
		s.Action, s.Prior, s.Why = flowehr.Update, &rec, "an output that it uses has changed"
	}
	return s
}

// keep writes down what matters for order and nothing in the world depends on.
func (r *run) keep(ctx context.Context, s flowehr.Step) error {
	return r.book.save(ctx, func(st flowehr.State) Change {
		rec, ok := st.Records[s.Want.Ref]
		if !ok || (rec.Resource.Layer == s.Want.Layer && rec.Resource.Holds == s.Want.Holds && slices.Equal(rec.Resource.Needs, s.Want.Needs)) {
			return Change{}
		}
		rec.Resource = s.Want
		return Change{Put: []flowehr.Record{rec}}
	})
}

// carryOut marks the step as pending, does it and writes down the result.
func (r *run) carryOut(ctx, stepCtx context.Context, s flowehr.Step) error {
	if err := r.book.save(ctx, func(st flowehr.State) Change { return Change{Put: []flowehr.Record{pending(s, st)}} }); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	rec, err := r.attempts(ctx, stepCtx, s)
	if err != nil {
		return err
	}
	if err := r.fit(s, rec); err != nil {
		return err
	}
	rec.Resource, rec.Pending, rec.At = s.Want, flowehr.Keep, r.o.Now()
	if err := r.book.save(ctx, func(st flowehr.State) Change { return result(s, rec, st) }); err != nil {
		return fmt.Errorf("done, but not written down: save state: %w", err)
	}
	return nil
}

// pending is the record that stands while s is under way. Until the step is done it keeps what stood before, so that the
// next plan compares with that; a resource that did not stand is recorded as wanted, so that it is not forgotten.
func pending(s flowehr.Step, st flowehr.State) flowehr.Record {
	rec, ok := st.Records[s.Want.Ref]
	if !ok || rec.Pending == flowehr.Create {
		rec.Resource = s.Want
	}
	rec.Pending = s.Action
	return rec
}

// result is what is saved when s is done: its record, and a mark on everything that uses an output which has changed.
func result(s flowehr.Step, rec flowehr.Record, st flowehr.State) Change {
	ref := s.Want.Ref
	if s.Action == flowehr.Delete {
		return Change{Delete: []flowehr.Ref{ref}}
	}
	ch := Change{Put: []flowehr.Record{rec}}
	// The name is looked for as text first: hundreds of descriptions are asked after every step, some of them are templates of a
	// hundred resources, and hardly any refers to it.
	name, err := flowehr.Canonical(ref)
	if err != nil {
		return ch // a name is text
	}
	for _, other := range st.Records {
		if other.Pending == flowehr.Keep && other.Resource.Ref != ref && bytes.Contains(other.Resource.Spec, name) && usesChanged(other.Resource.Spec, ref, s, rec) {
			other.Pending = flowehr.Update
			ch.Put = append(ch.Put, other)
		}
	}
	slices.SortFunc(ch.Put[1:], func(a, b flowehr.Record) int { return compareRefs(a.Resource.Ref, b.Resource.Ref) })
	return ch
}

// usesChanged reports whether spec refers to an output of ref that is not what it was before s.
func usesChanged(spec json.RawMessage, ref flowehr.Ref, s flowehr.Step, rec flowehr.Record) bool {
	refs, err := flowehr.OutputRefs(spec)
	if err != nil {
		return false // it never was resolved, so nothing was made from it
	}
	return slices.ContainsFunc(refs, func(o flowehr.OutputRef) bool {
		return o.Ref == ref && (s.Prior == nil || s.Prior.Outputs[o.Name] != rec.Outputs[o.Name])
	})
}

// fit refuses a record that would put a secret into the state.
func (r *run) fit(s flowehr.Step, rec flowehr.Record) error {
	if r.veil.found(rec.ID) {
		return fmt.Errorf("the id of %s holds the value of a secret", s.Want.Ref)
	}
	for name, value := range rec.Outputs {
		if r.veil.found(value) {
			return fmt.Errorf("output %s of %s holds the value of a secret", name, s.Want.Ref)
		}
	}
	return nil
}

// attempts does s until it succeeds, fails for good or may not be tried again.
func (r *run) attempts(ctx, stepCtx context.Context, s flowehr.Step) (flowehr.Record, error) {
	wait := firstWait
	for n := 1; ; n++ {
		rec, err := r.attempt(stepCtx, s)
		if err == nil {
			return rec, nil
		}
		least, passing := r.o.Retry(err)
		if !passing || ctx.Err() != nil {
			return flowehr.Record{}, err
		}
		if n == r.o.Attempts {
			return flowehr.Record{}, fmt.Errorf("given up after %d attempts: %w", n, err)
		}
		pause := max(least, wait)
		wait = min(2*wait, longestWait)
		r.emit(flowehr.Event{Kind: flowehr.EventStepRetry, Ref: s.Want.Ref, Action: s.Action, Err: err.Error(),
			Text: fmt.Sprintf("attempt %d of %d in %s", n+1, r.o.Attempts, pause)})
		if r.o.Wait(ctx, pause) != nil {
			return flowehr.Record{}, err
		}
	}
}

// PanicError is a panic of a target, kept from taking the other steps down.
type PanicError struct {
	Value any
	Stack []byte
}

// Error shows the value. The stack is for logs.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

func (r *run) attempt(ctx context.Context, s flowehr.Step) (rec flowehr.Record, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return r.target.Do(ctx, s, &inputs{run: r, step: s})
}

// inputs is what one step gets.
type inputs struct {
	run  *run
	step flowehr.Step
}

func (in *inputs) Output(ref flowehr.Ref, name string) (string, error) {
	if !slices.Contains(in.step.Want.Needs, ref) {
		return "", fmt.Errorf("%s reads an output of %s, which it does not need", in.step.Want.Ref, ref)
	}
	rec, ok := in.run.book.record(ref)
	if !ok || rec.Pending == flowehr.Create {
		return "", fmt.Errorf("output %s of %s: it has not been created", name, ref)
	}
	value, ok := rec.Outputs[name]
	if !ok {
		return "", fmt.Errorf("%s has no output %s", ref, name)
	}
	return value, nil
}

func (in *inputs) Secret(ctx context.Context, name string) (flowehr.Secret, error) {
	s, err := in.run.o.Secrets(ctx, name)
	if err != nil {
		return flowehr.Secret{}, err
	}
	in.run.veil.add(s)
	return s, nil
}

func (in *inputs) Note(text string) {
	in.run.emit(flowehr.Event{Kind: flowehr.EventStepNote, Ref: in.step.Want.Ref, Action: in.step.Action, Text: text})
}

func compareRefs(a, b flowehr.Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}
