package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a service made of functions.
type fake struct {
	name string
	run  func(ctx context.Context, ready func()) error
}

func (f fake) Name() string                                { return f.name }
func (f fake) Run(ctx context.Context, ready func()) error { return f.run(ctx, ready) }

// steady is ready after delay and runs until it is stopped.
func steady(name string, delay time.Duration) fake {
	return fake{name, func(ctx context.Context, ready func()) error {
		select {
		case <-time.After(delay):
			ready()
			<-ctx.Done()
		case <-ctx.Done():
		}
		return nil
	}}
}

// failing ends with err after life, ready or not.
func failing(name string, becomesReady bool, life time.Duration, err error) fake {
	return fake{name, func(ctx context.Context, ready func()) error {
		if becomesReady {
			ready()
		}
		select {
		case <-time.After(life):
			return err
		case <-ctx.Done():
			return nil
		}
	}}
}

// journal notes changes as "name phase".
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(c Change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, c.Name+" "+string(c.Phase))
}

func (j *journal) count(line string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, l := range j.lines {
		if l == line {
			n++
		}
	}
	return n
}

func (j *journal) before(t *testing.T, first, second string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	a, b := slices.Index(j.lines, first), slices.Index(j.lines, second)
	if a < 0 || b < 0 || a > b {
		t.Errorf("%q is not before %q in:\n%s", first, second, strings.Join(j.lines, "\n"))
	}
}

// run starts g and returns functions to wait until it is ready and to stop it.
func run(t *testing.T, g *Group) (isReady func() bool, stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.Run(ctx, func() { close(ready) }) }()
	isReady = func() bool {
		synctest.Wait()
		select {
		case <-ready:
			return true
		default:
			return false
		}
	}
	return isReady, func() error { cancel(); return <-ended }
}

func state(t *testing.T, g *Group, name string) State {
	t.Helper()
	synctest.Wait()
	for _, s := range g.States() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no service %s", name)
	return State{}
}

func TestOrderOfStartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := NewGroup(Options{OnChange: j.note})
		g.Add(steady("portal", time.Second), "engine", "database")
		g.Add(steady("engine", time.Second), "database")
		g.Add(steady("database", 3*time.Second))
		isReady, stop := run(t, g)
		time.Sleep(4500 * time.Millisecond)
		if isReady() || state(t, g, "portal").Phase != PhaseStarting {
			t.Errorf("portal is %v before its time", state(t, g, "portal"))
		}
		time.Sleep(time.Second)
		if !isReady() {
			t.Error("group is not ready")
		}
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		j.before(t, "database ready", "engine starting")
		j.before(t, "engine ready", "portal starting")
		j.before(t, "portal stopped", "engine stopping")
		j.before(t, "engine stopped", "database stopping")
		for _, s := range g.States() {
			if s.Phase != PhaseStopped || s.LastError != nil || s.Restarts != 0 {
				t.Errorf("got %+v, want it stopped cleanly", s)
			}
		}
	})
}

func TestWrongGroupsAreRefused(t *testing.T) {
	for name, add := range map[string]func(*Group){
		"nothing":   func(*Group) {},
		"unknown":   func(g *Group) { g.Add(steady("a", 0), "b") },
		"circle":    func(g *Group) { g.Add(steady("a", 0), "b"); g.Add(steady("b", 0), "a") },
		"same name": func(g *Group) { g.Add(steady("a", 0)); g.Add(steady("a", 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewGroup(Options{})
			add(g)
			if err := g.Run(t.Context(), func() { t.Error("ready") }); err == nil {
				t.Error("got nil, want an error")
			}
		})
	}
}

func TestFailingServiceIsRestartedAndShownAsCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		broken := errors.New("broken")
		g := NewGroup(Options{OnChange: j.note, LoopAfter: 3})
		g.Add(failing("bad", true, time.Second, broken))
		g.Add(steady("good", 0))
		isReady, stop := run(t, g)
		if !isReady() {
			t.Fatal("not ready")
		}
		time.Sleep(10 * time.Minute)
		s := state(t, g, "bad")
		if !errors.Is(s.LastError, broken) || s.Restarts < 40 || s.Restarts > 150 {
			t.Errorf("got %+v, want about one restart in eight seconds", s)
		}
		if j.count("bad backoff") != 2 || j.count("bad crash-loop") < 40 {
			t.Errorf("%d backoff and %d crash-loop, want the third failure to be a loop", j.count("bad backoff"), j.count("bad crash-loop"))
		}
		if j.count("good ready") != 1 {
			t.Error("the other service was disturbed")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRecoveryForgetsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := NewGroup(Options{OnChange: j.note, LoopAfter: 2, Stable: time.Minute})
		g.Add(failing("rare", true, time.Hour, errors.New("rare")))
		_, stop := run(t, g)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if j.count("rare crash-loop") != 0 || j.count("rare backoff") < 9 {
			t.Errorf("%d backoff, %d crash-loop; want only backoff", j.count("rare backoff"), j.count("rare crash-loop"))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStartThatCannotSucceed(t *testing.T) {
	refused := errors.New("port is taken")
	for _, test := range []struct {
		name  string
		bad   fake
		want  error
		after time.Duration
	}{
		{"permanent error", failing("bad", false, time.Second, Permanent(refused)), refused, time.Second},
		{"errors until the time is over", failing("bad", false, time.Second, refused), refused, time.Minute},
		{"never ready", failing("bad", false, time.Hour, nil), ErrNotReady, time.Minute},
		{"panic", fake{"bad", func(context.Context, func()) error { panic("oh") }}, nil, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				g := NewGroup(Options{})
				g.Add(steady("good", 0))
				g.Add(test.bad, "good")
				g.Add(steady("later", 0), "bad")
				err := g.Run(t.Context(), func() { t.Error("ready") })
				if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), "service bad") {
					t.Errorf("got %v, want %v of service bad", err, test.want)
				}
				if took := time.Since(start); took < test.after || took > test.after+15*time.Second {
					t.Errorf("it took %v, want about %v", took, test.after)
				}
				if got := fmt.Sprint(state(t, g, "good").Phase, state(t, g, "bad").Phase, state(t, g, "later").Phase); got != "stoppedfailedstopped" {
					t.Errorf("phases %s", got)
				}
			})
		})
	}
}

func TestServiceThatDoesNotStopIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := NewGroup(Options{StopTimeout: time.Second})
		g.Add(fake{"stuck", func(_ context.Context, ready func()) error { ready(); <-release; return nil }})
		g.Add(steady("good", 0))
		isReady, stop := run(t, g)
		if !isReady() {
			t.Fatal("not ready")
		}
		if err := stop(); !errors.Is(err, ErrNotStopped) || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("got %v, want ErrNotStopped of stuck", err)
		}
		close(release)
	})
}

func TestServiceWithNothingLeftToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(Options{})
		g.Add(fake{"once", func(context.Context, func()) error { return nil }})
		g.Add(steady("after", 0), "once")
		isReady, stop := run(t, g)
		if !isReady() || state(t, g, "once").Phase != PhaseStopped {
			t.Errorf("got %+v, want it stopped and the group ready", state(t, g, "once"))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Whatever services do and whenever the group is stopped: Run returns, no service runs twice at once, and none is left.
func TestStress(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			running := map[string]int{}
			g := NewGroup(Options{ReadyTimeout: 20 * time.Second})
			for i := range 12 {
				name := fmt.Sprint("s", i)
				var after []string
				if i > 0 && rng.IntN(2) == 0 {
					after = append(after, fmt.Sprint("s", rng.IntN(i)))
				}
				lives := make([]time.Duration, 8)
				for k := range lives {
					lives[k] = time.Duration(rng.IntN(60)) * time.Second
				}
				turn := 0
				g.Add(fake{name, func(ctx context.Context, ready func()) error {
					mu.Lock()
					running[name]++
					if running[name] > 1 {
						t.Errorf("seed %d: %s runs twice", seed, name)
					}
					life := lives[turn%len(lives)]
					turn++
					mu.Unlock()
					defer func() { mu.Lock(); running[name]--; mu.Unlock() }()
					if life > 5*time.Second {
						ready()
					}
					select {
					case <-time.After(life):
						return errors.New("end of life")
					case <-ctx.Done():
						return ctx.Err()
					}
				}}, after...)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(300))*time.Second)
			defer cancel()
			_ = g.Run(ctx, func() {}) // whether it could be started depends on the lives
			for name, n := range running {
				if n != 0 {
					t.Errorf("seed %d: %s was left running", seed, name)
				}
			}
		})
	}
}
