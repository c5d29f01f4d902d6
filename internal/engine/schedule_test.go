package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
)

// hand is a clock that a test moves.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func (h *hand) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hand) set(s string) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = at
}

func (w *world) registerHourly(name string, started bool) {
	w.t.Helper()
	b := bundle(w.t, name, `{"parameters":{"when":{"type":"String"}},"activities":[{"name":"E","type":"Echo","typeProperties":{"when":"@pipeline().parameters.when"}}]}`)
	state := "Stopped"
	if started {
		state = "Started"
	}
	raw, err := decodeObject(fmt.Appendf(nil, `{"name":"hourly","properties":{"type":"ScheduleTrigger","runtimeState":%q,
		"typeProperties":{"recurrence":{"frequency":"Hour","interval":1,"startTime":"2026-01-01T00:00:00Z"}},
		"pipelines":[{"pipelineReference":{"referenceName":%q,"type":"PipelineReference"},"parameters":{"when":"@trigger().scheduledTime"}}]}}`, state, name))
	if err != nil {
		w.t.Fatal(err)
	}
	trigger, problems := factory.DecodeTrigger("hourly", "trigger.json", raw)
	if len(problems) > 0 {
		w.t.Fatal(problems)
	}
	b.Triggers = []factory.Trigger{trigger}
	if _, err := w.store.Register(context.Background(), b, "ada@ward"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fires(n int) []TriggerFire {
	w.t.Helper()
	var list []TriggerFire
	w.eventually(func() bool {
		var err error
		list, err = w.store.Fires(context.Background(), "hourly", 0)
		if err != nil {
			w.t.Fatal(err)
		}
		return len(list) >= n
	})
	if len(list) != n {
		w.t.Fatalf("%d fires, want %d: %+v", len(list), n, list)
	}
	return list
}

func TestScheduleFiresOnceWithTwoWorkers(t *testing.T) {
	clock := &hand{}
	clock.set("2026-03-01T10:30:00Z")
	w := newWorld(t, nil, func(o *Options) { o.Now = clock.now })
	w.start() // a second one
	w.registerHourly("P", true)
	list, err := w.store.Pipelines(context.Background())
	if err != nil || len(list) != 1 || list[0].NextFire == nil || list[0].NextFire.UTC().Format(time.RFC3339) != "2026-03-01T11:00:00Z" {
		t.Fatalf("pipelines %+v %v", list, err)
	}
	clock.set("2026-03-01T11:00:02Z")
	fire := w.fires(1)[0]
	r := w.end(fire.RunID)
	if fire.State != "Succeeded" || r.Trigger != "hourly" || r.Invoked != "ScheduleTrigger" || r.By != "trigger:hourly" {
		t.Errorf("fire %+v, run %+v", fire, r)
	}
	if got := encode(w.activities(r.ID)["/E"].Output); got != `{"when":"2026-03-01T11:00:00.0000000Z"}` {
		t.Errorf("got %s", got)
	}
	runs, err := w.store.Runs(context.Background(), Filter{Trigger: "hourly"})
	if err != nil || len(runs) != 1 {
		t.Errorf("%d runs, want 1 (%v)", len(runs), err)
	}
}

func TestScheduleAfterSleep(t *testing.T) {
	for _, c := range []struct {
		name, wake, state string
		fires             int
	}{
		{"within grace the newest fires once", "2026-03-01T13:40:00Z", "Succeeded", 3},
		{"nothing is due", "2026-03-01T10:59:00Z", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := &hand{}
			clock.set("2026-03-01T10:30:00Z")
			w := newWorld(t, nil, func(o *Options) { o.Now = clock.now })
			w.stop()
			w.registerHourly("P", true)
			clock.set(c.wake)
			w.start()
			list := w.fires(c.fires)
			for i, f := range list {
				want := "Missed"
				if i == 0 {
					want = c.state
				}
				if f.State != want {
					t.Errorf("%s: %s, want %s", f.At, f.State, want)
				}
			}
		})
	}
}

func TestScheduleTooLateIsMissed(t *testing.T) {
	clock := &hand{}
	clock.set("2026-03-01T10:30:00Z")
	w := newWorld(t, nil, func(o *Options) { o.Now, o.Grace = clock.now, 5*time.Minute })
	w.stop()
	w.registerHourly("P", true)
	clock.set("2026-03-01T11:30:00Z")
	w.start()
	if f := w.fires(1)[0]; f.State != "Missed" || f.RunID != "" {
		t.Errorf("got %+v", f)
	}
	clock.set("2026-03-01T12:00:00Z")
	if f := w.fires(2)[0]; f.State != "Succeeded" {
		t.Errorf("got %+v", f)
	}
}

func TestSetTriggerOutlivesRegistration(t *testing.T) {
	clock := &hand{}
	clock.set("2026-03-01T10:30:00Z")
	w := newWorld(t, nil, func(o *Options) { o.Now = clock.now })
	ctx := context.Background()
	w.registerHourly("P", false)
	if err := w.store.SetTrigger(ctx, "hourly", true, "eve"); err != nil {
		t.Fatal(err)
	}
	w.register("P", `{"activities":[]}`) // takes the trigger away
	if list, err := w.store.Triggers(ctx); err != nil || len(list) != 0 {
		t.Errorf("triggers %+v %v", list, err)
	}
	w.registerHourly("P", false)
	if list, _ := w.store.Triggers(ctx); len(list) != 1 || list[0].Started {
		t.Errorf("triggers %+v", list)
	}
	if err := w.store.SetTrigger(ctx, "hourly", true, "eve"); err != nil {
		t.Fatal(err)
	}
	if list, _ := w.store.Triggers(ctx); len(list) != 1 || !list[0].Started || list[0].By != "eve" || list[0].Next == nil {
		t.Errorf("triggers %+v", list)
	}
	if err := w.store.SetTrigger(ctx, "nightly", true, "eve"); err == nil {
		t.Error("an unknown trigger was started")
	}
}

func TestWatchAndLogs(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) {
		c.Log("line %d\nline 2\x00", 1)
		c.Progress(17)
		<-release
		return Result{}, nil
	})
	w.register("P", `{"activities":[{"name":"A","type":"Do","typeProperties":{}}]}`)
	ctx, cancel := context.WithCancel(context.Background())
	id := w.begin("P", "")
	var lines []LogLine
	changes := w.store.Watch(ctx, id)
	for range changes {
		var err error
		if lines, err = w.store.Logs(ctx, id, "/A", 1, 0); err != nil {
			t.Fatal(err)
		}
		if len(lines) == 2 && w.activities(id)["/A"].Rows == 17 {
			break
		}
	}
	if lines[0].Text != "line 1" || lines[1].Text != "line 2\uFFFD" {
		t.Errorf("lines %+v", lines)
	}
	if more, err := w.store.Logs(ctx, id, "/A", 1, lines[0].Seq); err != nil || len(more) != 1 {
		t.Errorf("after the first: %+v %v", more, err)
	}
	close(release)
	if r, err := w.store.Wait(ctx, id[:8]); err != nil || r.Status != "Succeeded" {
		t.Errorf("got %+v %v", r, err)
	}
	cancel()
	for range changes { // is closed
	}
}
