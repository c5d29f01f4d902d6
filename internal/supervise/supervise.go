// Package supervise keeps long-running services alive: it starts them in the order of their dependencies, waits until
// each is ready, restarts one that ends with an error, stops them in reverse order and tells every change of state.
//
// The package does not know what a service does and starts no process itself. A service that restarts does not restart
// those that need it: they have to survive its absence, as they would on any network. The rule that holds here: a
// service that keeps failing is shown as failing, it is never quietly given up or quietly retried.
package supervise

import (
	"context"
	"errors"
	"time"
)

// Service runs until ctx ends, and then returns soon. It calls ready once, when it can take work. Run may be called
// again after it returned, never while it runs. An error while ctx is live makes the group restart it; returning nil
// means that the service has nothing more to do.
type Service interface {
	Name() string
	Run(ctx context.Context, ready func()) error
}

// Phase is what a service is doing.
type Phase string

// Phases in the order of a life.
const (
	PhaseWaiting   Phase = "waiting"  // for what it needs
	PhaseStarting  Phase = "starting" // running, not ready yet
	PhaseReady     Phase = "ready"
	PhaseBackoff   Phase = "backoff"    // ended with an error, will be restarted
	PhaseCrashLoop Phase = "crash-loop" // as backoff, and it has failed several times without staying ready
	PhaseStopping  Phase = "stopping"
	PhaseStopped   Phase = "stopped"
	PhaseFailed    Phase = "failed" // a restart cannot help
)

// State is one service as it stands now.
type State struct {
	Name      string
	Phase     Phase
	Since     time.Time // of this phase
	Restarts  int       // since the group was started
	LastError error     // of the last run that ended with one; it stays after a successful restart
}

// Change is what a group reports: the new state and the phase before it.
type Change struct {
	State
	From Phase
}

// Permanent marks an error that a restart cannot mend, such as a refused configuration.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func isPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

// Errors that callers branch on.
var (
	// ErrNotReady is the failure of a service that did not become ready in time.
	ErrNotReady = errors.New("not ready in time")
	// ErrNotStopped is the failure of a service that did not return after its context ended.
	ErrNotStopped = errors.New("did not stop in time")
)

// Options of a group. A zero field takes the default.
type Options struct {
	ReadyTimeout time.Duration // for each service, over all its attempts, while the group starts; 60 s
	StopTimeout  time.Duration // for each service; 45 s
	MinBackoff   time.Duration // before the first restart; 100 ms, then doubled
	MaxBackoff   time.Duration // 10 s
	Stable       time.Duration // ready for so long, a service counts as recovered; 30 s
	LoopAfter    int           // failures without recovery that make a crash loop; 5

	// OnChange is told every change of state, one call at a time and in order for each service. It must be quick and
	// must not call back into the group.
	OnChange func(Change)
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.ReadyTimeout, time.Minute)
	set(&o.StopTimeout, 45*time.Second)
	set(&o.MinBackoff, 100*time.Millisecond)
	set(&o.MaxBackoff, 10*time.Second)
	set(&o.Stable, 30*time.Second)
	if o.LoopAfter <= 0 {
		o.LoopAfter = 5
	}
	return o
}
