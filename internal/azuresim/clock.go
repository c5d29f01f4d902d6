package azuresim

import (
	"context"
	"slices"
	"sync"
	"time"
)

// clock is virtual time. It stands still while anybody has something to do, and jumps when everybody waits: that is when
// every request in flight is held and, for a short real while, no other came. So what takes an hour in Azure takes
// seconds, and the virtual time that passes is the time along the longest chain of waiting.
//
// Its lock is the world's: everything but hold and the timer's function is called with it held.
type clock struct {
	mu    *sync.Mutex
	now   time.Time
	quiet time.Duration
	pass  func(to time.Time) // moves the world's own events along; called before sleepers wake

	busy  int // requests in flight that are not held
	held  []*sleeper
	timer *time.Timer
	turn  int       // a timer that was set in another turn has nothing to say
	since time.Time // really, when the sleepers were last other ones
}

type sleeper struct {
	until time.Time
	wake  chan struct{}
}

// quietUsual is how long, really, nothing must come before time jumps. Longer jumps take more, in proportion to their length, so
// that a client that thinks between two requests is not overtaken by an hour.
const (
	quietUsual = 3 * time.Millisecond
	quietFor   = 6 * time.Second // of virtual time
	quietMost  = 13              // times as long
)

// After so many pauses without a jump only the shortest is made, and after many more none, so that calls that come all the
// time, such as the renewal of a lease or a poll without a pause, do not stop virtual time for good.
const (
	patience     = 4
	lostPatience = 50
)

// pause is the real time before a jump.
func (c *clock) pause(jump time.Duration) time.Duration {
	long := c.quiet * min(max(jump/quietFor, 1), quietMost)
	switch stuck := time.Since(c.since); {
	case stuck > lostPatience*long:
		return 0
	case stuck > patience*long:
		return c.quiet
	}
	return long
}

// enter says that a request came in or goes on.
func (c *clock) enter() {
	c.busy++
	c.turn++
}

// leave says that a request is answered or waits.
func (c *clock) leave() {
	c.busy--
	c.settle()
}

// settle sets the timer of the next jump, when all wait.
func (c *clock) settle() {
	if c.busy > 0 || len(c.held) == 0 {
		return
	}
	c.turn++
	turn, to := c.turn, c.earliest()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(c.pause(to.Sub(c.now)), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if turn == c.turn {
			c.jump(to)
		}
	})
}

func (c *clock) earliest() time.Time {
	return slices.MinFunc(c.held, func(a, b *sleeper) int { return a.until.Compare(b.until) }).until
}

func (c *clock) jump(to time.Time) {
	c.pass(to)
	c.since = time.Now()
	if to.After(c.now) {
		c.now = to
	}
	c.wake(func(s *sleeper) bool { return !s.until.After(c.now) })
}

// wake lets go of the sleepers that which names; they count as busy at once, so that time does not run on before they are
// scheduled.
func (c *clock) wake(which func(*sleeper) bool) {
	c.held = slices.DeleteFunc(c.held, func(s *sleeper) bool {
		if !which(s) {
			return false
		}
		c.enter()
		close(s.wake)
		return true
	})
	c.settle()
}

// hold makes the caller, who has entered, wait for a virtual time. It is called with the lock and returns with it. When ctx
// ends first it returns false.
func (c *clock) hold(ctx context.Context, until time.Time) bool {
	s := &sleeper{until: until, wake: make(chan struct{})}
	c.held = append(c.held, s)
	c.since = time.Now()
	c.leave()
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-s.wake:
		return true
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.held, s); i >= 0 {
		c.held = slices.Delete(c.held, i, i+1)
		c.enter()
	}
	return false
}

// stop ends the clock's timer.
func (c *clock) stop() {
	c.turn++
	if c.timer != nil {
		c.timer.Stop()
	}
}
