package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/flowehr/flowehr/internal/audit"
)

// acts remembers what was audited.
type acts struct {
	mu   sync.Mutex
	list []string
}

func (a *acts) record(_ context.Context, e audit.Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Who == "mallory" {
		return errors.New("the audit disk is full")
	}
	a.list = append(a.list, e.Action)
	return nil
}

func (a *acts) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.list, " ")
}

func TestConcurrencyQueuesInOrder(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	var order []string
	release := make(chan struct{}, 10)
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) {
		mu.Lock()
		running++
		most = max(most, running)
		order = append(order, c.RunID)
		mu.Unlock()
		<-release
		mu.Lock()
		running--
		mu.Unlock()
		return Result{}, nil
	})
	w.register("P", `{"concurrency":1,"activities":[{"name":"A","type":"Do","typeProperties":{}}]}`)
	var ids []string
	for range 4 {
		ids = append(ids, w.begin("P", ""))
	}
	for range 4 {
		release <- struct{}{}
	}
	for _, id := range ids {
		w.end(id)
	}
	if most != 1 || strings.Join(order, " ") != strings.Join(ids, " ") {
		t.Errorf("%d at once, order %v, want %v", most, order, ids)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.register("P", `{"concurrency":1,"activities":[]}`)
	for range maxQueued {
		w.begin("P", "")
	}
	if _, err := w.store.Start(context.Background(), StartRequest{Pipeline: "P", By: "x"}); !errors.Is(err, ErrRefused) {
		t.Error("run 101 was accepted")
	}
}

func TestAuditRefusesAStart(t *testing.T) {
	var acts acts
	w := newWorld(t, nil, func(o *Options) { o.Audit = acts.record })
	r := w.run(`{"activities":[]}`)
	if _, err := w.store.Start(context.Background(), StartRequest{Pipeline: "P", By: "mallory"}); err == nil {
		t.Error("a run started without audit")
	}
	runs, err := w.store.Runs(context.Background(), Filter{})
	if err != nil || len(runs) != 1 || runs[0].ID != r.ID {
		t.Errorf("runs %+v %v", runs, err)
	}
	if got := acts.String(); got != "pipeline.register pipeline.run pipeline.finish" {
		t.Errorf("audited %s", got)
	}
}

func TestStartRefuses(t *testing.T) {
	w := newWorld(t, nil)
	w.register("P", `{"parameters":{"n":{"type":"Int"}},"activities":[]}`)
	for _, c := range []struct{ name, pipeline, parameters, want string }{
		{"unknown pipeline", "Q", `{}`, "pipeline Q: not found"},
		{"missing", "P", `{}`, `parameter "n" has no value`},
		{"unknown", "P", `{"n":1,"m":1}`, `has no parameter "m"`},
		{"wrong type", "P", `{"n":"x"}`, `parameter "n": a value of type String cannot be used as Int`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := decodeObject([]byte(c.parameters))
			_, err := w.store.Start(context.Background(), StartRequest{Pipeline: c.pipeline, Parameters: o, By: "x"})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want the refusal %s", err, c.want)
			}
			if refusal, ok := errors.AsType[*Refusal](err); !ok || !strings.HasSuffix(err.Error(), refusal.Reason) {
				t.Errorf("no reason in %v", err)
			}
			if errors.Is(err, ErrNotFound) != (c.pipeline == "Q") {
				t.Errorf("%v is taken for ErrNotFound, or is not", err)
			}
		})
	}
	if _, err := w.store.Run(context.Background(), "00"); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if _, err := w.store.Run(context.Background(), "00000000-0000-4000-8000-000000000000"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
