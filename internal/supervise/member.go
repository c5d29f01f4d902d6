package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// member is one service of a group. Its fields are used by the goroutine of run alone, except state, which the group's
// mutex guards, and the channels.
type member struct {
	group   *Group
	service Service
	after   []string
	needs   []<-chan struct{}

	ready  chan struct{} // closed when the service is ready for the first time
	once   sync.Once
	cancel context.CancelFunc
	ended  chan struct{} // closed when run returned

	state    State
	restarts int
}

func newMember(g *Group, s Service, after []string) *member {
	return &member{
		group: g, service: s, after: after,
		ready: make(chan struct{}), ended: make(chan struct{}),
		state: State{Name: s.Name(), Phase: PhaseWaiting, Since: time.Now()},
	}
}

// start runs the member in the background until stop. Its context is its own: the end of the group's context must not
// reach all services at once.
func (m *member) start(ctx context.Context) {
	ctx, m.cancel = context.WithCancel(ctx)
	go func() {
		defer close(m.ended)
		m.run(ctx)
	}()
}

func (m *member) stop(timeout time.Duration) error {
	select {
	case <-m.ended:
		return nil
	default:
	}
	m.group.set(m, PhaseStopping, nil)
	m.cancel()
	select {
	case <-m.ended:
		return nil
	case <-time.After(timeout):
		err := fmt.Errorf("service %s: %w", m.service.Name(), ErrNotStopped)
		m.group.set(m, PhaseFailed, err)
		return err
	}
}

// run starts the service again and again until it is stopped, done, or beyond help.
func (m *member) run(ctx context.Context) {
	for _, need := range m.needs {
		select {
		case <-need:
		case <-ctx.Done():
			m.group.set(m, PhaseStopped, nil)
			return
		}
	}
	deadline := time.Now().Add(m.group.opts.ReadyTimeout)
	failures := 0 // since it last stayed ready
	var before error
	for {
		stable, err := m.attempt(ctx, deadline)
		if before != nil && errors.Is(err, ErrNotReady) {
			err = fmt.Errorf("%w; the attempt before ended with: %w", err, before) // that says more than the clock
		}
		switch {
		case ctx.Err() != nil || err == nil:
			m.once.Do(func() { close(m.ready) }) // a service without more to do does not hold up the others
			m.group.set(m, PhaseStopped, stopError(ctx, err))
			return
		case isPermanent(err), !m.wasReady() && !time.Now().Before(deadline):
			m.group.set(m, PhaseFailed, err)
			m.group.failures <- fmt.Errorf("service %s: %w", m.service.Name(), err)
			return
		}
		if stable {
			failures = 0
		}
		failures++
		if !errors.Is(err, ErrNotReady) {
			before = err
		}
		phase := PhaseBackoff
		if failures >= m.group.opts.LoopAfter {
			phase = PhaseCrashLoop
		}
		m.group.set(m, phase, err)
		select {
		case <-time.After(m.backoff(failures)):
		case <-ctx.Done():
			m.group.set(m, PhaseStopped, nil)
			return
		}
		m.restarts++
	}
}

// stopError keeps an error that a stopped service returned of its own, not the echo of its ended context.
func stopError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}

// attempt runs the service once. It reports whether the service stayed ready long enough to count as recovered.
func (m *member) attempt(ctx context.Context, deadline time.Time) (stable bool, err error) {
	m.group.set(m, PhaseStarting, nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var readyAt time.Time
	var once sync.Once
	readied := make(chan struct{})
	ready := func() { once.Do(func() { close(readied) }) }
	ended := make(chan error, 1)
	go func() { ended <- m.protected(ctx, ready) }()

	timer := time.NewTimer(m.patience(deadline))
	defer timer.Stop()
	for {
		select {
		case err := <-ended:
			stable = !readyAt.IsZero() && time.Since(readyAt) >= m.group.opts.Stable
			return stable, err
		case <-readied:
			readied = nil
			timer.Stop()
			readyAt = time.Now()
			if ctx.Err() == nil {
				m.group.set(m, PhaseReady, nil)
				m.once.Do(func() { close(m.ready) })
			}
		case <-timer.C:
			cancel(ErrNotReady)
			return false, m.abandon(ended)
		}
	}
}

// patience is how long an attempt may take to become ready: what is left of the first start, or the whole time-out for
// a restart.
func (m *member) patience(deadline time.Time) time.Duration {
	if m.wasReady() {
		return m.group.opts.ReadyTimeout
	}
	return max(time.Until(deadline), 0)
}

// abandon waits for an attempt that was cancelled because it did not become ready. One that does not even stop must not
// be started a second time beside itself.
func (m *member) abandon(ended <-chan error) error {
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%w: %w", ErrNotReady, err)
		}
		return ErrNotReady
	case <-time.After(m.group.opts.StopTimeout):
		return Permanent(fmt.Errorf("%w and %w", ErrNotReady, ErrNotStopped))
	}
}

// protected turns a panic of the service into its error: one broken service must not take the others down.
func (m *member) protected(ctx context.Context, ready func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return m.service.Run(ctx, ready)
}

func (m *member) wasReady() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

// backoff doubles with every failure. Up to half of it is chance, so that services that failed together do not come back
// together.
func (m *member) backoff(failures int) time.Duration {
	d := m.group.opts.MinBackoff
	for range failures - 1 {
		if d *= 2; d >= m.group.opts.MaxBackoff {
			d = m.group.opts.MaxBackoff
			break
		}
	}
	return d - rand.N(d/2+1)
}
