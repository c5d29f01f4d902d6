package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options of an engine. Pool and Activities are needed, everything else has a default.
type Options struct {
	Pool          *pgxpool.Pool
	Activities    map[string]Activity
	Audit         AuditFunc
	Now           flowehr.Clock
	Sleep         func(ctx context.Context, d time.Duration) error // Wait, retry intervals; returns early when ctx ends
	Logger        *slog.Logger
	MaxRuns       int                // runs in progress at once, 100; a run that waits for a child does not count
	MaxActivities int                // attempts of handed-in activities at once, 64
	WorkerID      string             // shown with the worker; needs not be unique
	Factory       string             // pipeline().DataFactory
	Grace         time.Duration      // how late a schedule may fire, 1 h
	Ended         func(runID string) // called when this worker has ended a run, durably; must return soon; may be nil
	Lease         time.Duration      // a worker that is silent for so long is replaced, 15 s

	// KeepSecrets is how long the secure values of a run that did not succeed are kept for resuming it, 7 days. They go
	// earlier when a resumed run succeeds. Keep is how long the activities, variables, logs and tables of a run, and the
	// fires of triggers, are kept, 90 days; what Store.Run returns of a run stays.
	KeepSecrets, Keep time.Duration
}

// Engine is a worker. Run may be called once.
type Engine struct {
	Options
	store *Store
	slots chan struct{} // one for each attempt that runs
	wake  chan struct{} // there may be runs to claim
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// New returns a worker on a migrated database.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxRuns <= 0 {
		o.MaxRuns = 100
	}
	if o.MaxActivities <= 0 {
		o.MaxActivities = 64
	}
	if o.Factory == "" {
		o.Factory = "flowehr"
	}
	if o.Grace <= 0 {
		o.Grace = time.Hour
	}
	if o.Lease <= 0 {
		o.Lease = 15 * time.Second
	}
	if o.KeepSecrets <= 0 {
		o.KeepSecrets = 7 * 24 * time.Hour
	}
	if o.Keep <= 0 {
		o.Keep = 90 * 24 * time.Hour
	}
	e := &Engine{Options: o, store: NewStore(o.Pool, o.Audit, o.Now), slots: make(chan struct{}, o.MaxActivities), wake: make(chan struct{}, 1)}
	e.store.wake = e.poke
	return e
}

// Store returns a store on the engine's database.
func (e *Engine) Store() *Store { return e.store }

// Run claims runs and carries them on until ctx ends; ready is called once, when the first runs may be claimed. At the
// end of ctx running activities are cancelled, and their runs go on when a worker starts again. When the database goes
// away Run waits for it, for as long as it takes.
func (e *Engine) Run(ctx context.Context, ready func()) error {
	var once sync.Once
	wait := 50 * time.Millisecond
	for {
		began := time.Now()
		err := e.session(ctx, func() { once.Do(ready) })
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > 10*time.Second {
			wait = 50 * time.Millisecond
		}
		e.Logger.Warn("engine lost its session, starting another", "error", err, "wait", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// session is the life of one worker identity: from taking the lock to losing it.
func (e *Engine) session(ctx context.Context, ready func()) error {
	s, err := openSession(ctx, e)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	ready()
	return s.loop(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errLost is the cause with which runs end when their worker lost its lock or lease.
var errLost = errors.New("the worker lost its session")
