package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/dag"
)

// Defaults of [Options].
const (
	DefaultParallel = 4
	DefaultAttempts = 5
	DefaultGrace    = 30 * time.Second
)

// Options says how to run. The zero value is usable where no step asks for a secret.
type Options struct {
	Owner     string // who is shown as the holder of the lock
	Parallel  int    // steps at a time; 0 means DefaultParallel
	KeepGoing bool   // after a failure go on with what does not need the failed step

	// Retry recognises an error that passes by itself, by its type, and says how long to wait at least. Nil means that
	// nothing does.
	Retry    func(error) (wait time.Duration, retry bool)
	Attempts int // of one step, the first included; 0 means DefaultAttempts

	// Grace is how long running steps may go on after ctx ended, before their own context ends too. 0 means DefaultGrace;
	// less than 0 means none.
	Grace time.Duration

	Secrets func(ctx context.Context, name string) (flowehr.Secret, error)
	Sink    flowehr.Sink
	Now     flowehr.Clock // nil means the wall clock

	// Wait passes the time before a retry and returns early when ctx ends. Nil means a timer; who gives another Now gives
	// the Wait that belongs to it.
	Wait func(ctx context.Context, d time.Duration) error
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	if o.Attempts <= 0 {
		o.Attempts = DefaultAttempts
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Retry == nil {
		o.Retry = func(error) (time.Duration, bool) { return 0, false }
	}
	if o.Secrets == nil {
		o.Secrets = func(_ context.Context, name string) (flowehr.Secret, error) {
			return flowehr.Secret{}, fmt.Errorf("secret %s: this run was given no secrets", name)
		}
	}
	if o.Sink == nil {
		o.Sink = func(flowehr.Event) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	return o
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Report says what became of every step, in the order of the plan. A step stands in exactly one of the lists.
type Report struct {
	Done       []flowehr.Ref // as wanted, recorded
	Failed     []flowehr.Ref // ended with an error; recorded as pending
	HalfDone   []flowehr.Ref // under way when the run was stopped; recorded as pending
	Skipped    []flowehr.Ref // needs one that failed
	NotStarted []flowehr.Ref // left when the run was stopped

	Errors      map[flowehr.Ref]error // of Failed and HalfDone
	Interrupted bool                  // the context ended before everything was done
	Revision    flowehr.Revision      // of the state now
	Took        time.Duration
}

// Complete reports whether every step is done. If not, a new plan carries on from here.
func (r Report) Complete() bool {
	return len(r.Failed)+len(r.HalfDone)+len(r.Skipped)+len(r.NotStarted) == 0
}

// StepError is the failure of one step.
type StepError struct {
	Ref    flowehr.Ref
	Action flowehr.Action
	Err    error
}

// Error says which step it was.
func (e *StepError) Error() string { return fmt.Sprintf("%s %s: %v", e.Action, e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// Run carries out p. It refuses a plan that the state has moved on from and does nothing then. The error joins one
// *[StepError] for each failed step, the error of a save, and the cause when ctx ended with steps left; the report is valid in
// every case.
//
// When ctx ends no further step begins, and a wait before a retry is cut short. Calling Run again needs a new plan.
func Run(ctx context.Context, p flowehr.Plan, t Target, s Store, o Options) (rep Report, err error) {
	o = o.withDefaults()
	graph, err := stepGraph(p)
	if err != nil {
		return Report{}, err
	}
	unlock, err := s.Lock(ctx, o.Owner)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	st, err := s.Load(ctx)
	if err != nil {
		return Report{}, err
	}
	if err := Stale(p, st); err != nil {
		return Report{}, err
	}
	r := &run{plan: p, target: t, o: o, book: newBook(s, st), began: o.Now()}
	return r.walk(ctx, graph)
}

// stepGraph is the order of p. A step that is not in the plan cannot be waited for.
func stepGraph(p flowehr.Plan) (*dag.Graph[flowehr.Ref], error) {
	g := &dag.Graph[flowehr.Ref]{}
	for _, s := range p.Steps {
		if g.Has(s.Want.Ref) {
			return nil, fmt.Errorf("plan has two steps for %s", s.Want.Ref)
		}
		g.Add(s.Want.Ref)
	}
	for _, s := range p.Steps {
		for _, ref := range s.After {
			if !g.Has(ref) {
				return nil, fmt.Errorf("plan has %s after %s, which is not in the plan", s.Want.Ref, ref)
			}
			g.Need(s.Want.Ref, ref)
		}
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("plan cannot be ordered: %w", err)
	}
	return g, nil
}

// run is one call of Run.
type run struct {
	plan   flowehr.Plan
	target Target
	o      Options
	book   *book
	veil   veil
	began  time.Time

	mu        sync.Mutex
	half      map[flowehr.Ref]bool // ended with an error because the run was stopped
	unreached map[flowehr.Ref]bool // needs one of those: it was not skipped for a failure
}

func (r *run) walk(ctx context.Context, graph *dag.Graph[flowehr.Ref]) (Report, error) {
	r.half, r.unreached = map[flowehr.Ref]bool{}, map[flowehr.Ref]bool{}
	steps := make(map[flowehr.Ref]flowehr.Step, len(r.plan.Steps))
	for _, s := range r.plan.Steps {
		steps[s.Want.Ref] = s
	}
	r.emit(flowehr.Event{Kind: flowehr.EventRunStarted, Text: summary(r.plan)})
	stepCtx, release := graceful(ctx, r.o.Grace)
	defer release()
	res, err := graph.Walk(ctx, dag.WalkOptions[flowehr.Ref]{
		Limit:     r.o.Parallel,
		KeepGoing: r.o.KeepGoing,
		Skipped: func(ref, because flowehr.Ref) {
			r.skip(steps[ref], because)
		},
	}, func(ctx context.Context, ref flowehr.Ref) error { return r.step(ctx, stepCtx, steps[ref]) })
	if err != nil {
		return Report{}, err
	}
	return r.report(ctx, res)
}

// skip says that s is left out. What needs a step that was cut short is merely not reached.
func (r *run) skip(s flowehr.Step, because flowehr.Ref) {
	r.mu.Lock()
	stopped := r.half[because] || r.unreached[because]
	r.unreached[s.Want.Ref] = stopped
	r.mu.Unlock()
	if !stopped {
		r.emit(flowehr.Event{Kind: flowehr.EventStepSkipped, Ref: s.Want.Ref, Action: s.Action, Text: because.String() + " is not done"})
	}
}

// graceful returns a context that outlives ctx by grace.
func graceful(ctx context.Context, grace time.Duration) (context.Context, func()) {
	long, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if grace < 0 {
		grace = 0
	}
	var timer *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return long, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		cancel(nil)
	}
}

func (r *run) report(ctx context.Context, res dag.WalkResult[flowehr.Ref]) (Report, error) {
	rep := Report{Errors: res.Failed, Revision: r.book.revision(), Took: r.o.Now().Sub(r.began)}
	var errs []error
	for _, s := range r.plan.Steps {
		ref := s.Want.Ref
		err, failed := res.Failed[ref]
		switch {
		case failed && r.half[ref]:
			rep.HalfDone = append(rep.HalfDone, ref)
			errs = append(errs, err)
		case failed:
			rep.Failed = append(rep.Failed, ref)
			errs = append(errs, err)
		case slices.Contains(res.NotStarted, ref), r.unreached[ref]:
			rep.NotStarted = append(rep.NotStarted, ref)
		case slices.Contains(res.Skipped, ref):
			rep.Skipped = append(rep.Skipped, ref)
		default:
			rep.Done = append(rep.Done, ref)
		}
	}
	done := flowehr.Event{Kind: flowehr.EventRunDone, Took: rep.Took}
	if ctx.Err() != nil && !rep.Complete() {
		rep.Interrupted = true
		errs = append(errs, context.Cause(ctx))
	}
	err := errors.Join(errs...)
	switch {
	case rep.Interrupted:
		done.Err = "interrupted"
	case err != nil:
		done.Err = fmt.Sprintf("%d failed, %d not reached", len(rep.Failed)+len(rep.HalfDone), len(rep.Skipped)+len(rep.NotStarted))
	}
	r.emit(done)
	return rep, err
}

func (r *run) emit(e flowehr.Event) {
	e.At = r.o.Now()
	e.Text, e.Err = r.veil.text(e.Text), r.veil.text(e.Err)
	r.o.Sink(e)
}

// summary counts what a plan does, in words.
func summary(p flowehr.Plan) string {
	return fmt.Sprintf("%d to create, %d to change, %d to delete, %d unchanged",
		p.Count(flowehr.Create), p.Count(flowehr.Update)+p.Count(flowehr.Replace), p.Count(flowehr.Delete), p.Count(flowehr.Keep))
}
