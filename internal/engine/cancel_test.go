package engine

import (
	"context"
	"errors"
	"testing"
)

func TestCancelReachesActivitiesAndChildren(t *testing.T) {
	entered, told := make(chan struct{}), make(chan error, 1)
	w := newWorld(t, func(ctx context.Context, _ Call) (Result, error) {
		close(entered)
		<-ctx.Done()
		told <- context.Cause(ctx)
		return Result{}, ctx.Err()
	})
	w.register("Child", `{"activities":[{"name":"A","type":"Do","typeProperties":{}},
		{"name":"B","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Failed"]}],"typeProperties":{}}]}`)
	w.register("P", `{"activities":[{"name":"X","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"}}}]}`)
	id := w.begin("P", "")
	<-entered
	if err := w.store.Cancel(context.Background(), id, "eve", true); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, errCancelled) {
		t.Errorf("cause %v", err)
	}
	r := w.end(id)
	child := w.end(w.activities(id)["/X"].Child)
	if r.Status != "Cancelled" || child.Status != "Cancelled" || r.CancelledBy != "eve" {
		t.Errorf("got %s by %s, child %s", r.Status, r.CancelledBy, child.Status)
	}
	acts := w.activities(child.ID)
	if _, begun := acts["/B"]; begun || acts["/A"].Status != "Cancelled" {
		t.Errorf("A %s, B %v", acts["/A"].Status, acts["/B"])
	}
}

func TestCancelWhileNoWorkerRuns(t *testing.T) {
	entered := make(chan struct{}, 1)
	w := newWorld(t, func(ctx context.Context, _ Call) (Result, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return Result{}, ctx.Err()
	})
	w.register("P", `{"activities":[{"name":"L","type":"ForEach","typeProperties":{"items":"@createArray(1)","activities":[{"name":"A","type":"Do","typeProperties":{}}]}}]}`)
	id := w.begin("P", "")
	<-entered
	w.stop()
	if err := w.store.Cancel(context.Background(), id, "eve", false); err != nil {
		t.Fatal(err)
	}
	w.start()
	r := w.end(id)
	acts := w.activities(id)
	if r.Status != "Cancelled" || acts["/L"].Status != "Cancelled" || acts["/L[0]/A"].Status != "Cancelled" {
		t.Errorf("got %s, loop %s, activity %s", r.Status, acts["/L"].Status, acts["/L[0]/A"].Status)
	}
}

func TestCancelInTheQueue(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	w.register("P", `{"activities":[]}`)
	id := w.begin("P", "")
	if err := w.store.Cancel(context.Background(), id, "eve", false); err != nil {
		t.Fatal(err)
	}
	if r := w.end(id); r.Status != "Cancelled" || r.Started != nil {
		t.Errorf("got %+v", r)
	}
}

func TestCancelOfNothingIsNotAudited(t *testing.T) {
	var acts acts
	w := newWorld(t, nil, func(o *Options) { o.Audit = acts.record })
	ctx := context.Background()
	r := w.run(`{"activities":[]}`)
	if err := w.store.Cancel(ctx, r.ID, "eve", true); err != nil {
		t.Errorf("a run that had ended: %v", err)
	}
	if err := w.store.Cancel(ctx, "00000000-0000-4000-8000-000000000000", "eve", true); !errors.Is(err, ErrNotFound) {
		t.Errorf("a run that does not exist: %v", err)
	}
	if err := w.store.Unregister(ctx, "Q", "eve"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a pipeline that does not exist: %v", err)
	}
	if err := w.store.SetTrigger(ctx, "nightly", true, "eve"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a trigger that does not exist: %v", err)
	}
	w.register("P", `{"activities":[]}`) // in force already
	if got := acts.String(); got != "pipeline.register pipeline.run pipeline.finish" {
		t.Errorf("audited %s", got)
	}
}

// TestCancelOfATreeAmongWriters cancels runs with their children while a worker writes events of all of them.
func TestCancelOfATreeAmongWriters(t *testing.T) {
	w := newWorld(t, nil)
	w.register("Child", `{"activities":[{"name":"L","type":"ForEach","typeProperties":{"items":"@range(0,200)","activities":[{"name":"E","type":"Echo","typeProperties":{}}]}}]}`)
	w.register("P", `{"activities":[{"name":"L","type":"ForEach","typeProperties":{"items":"@range(0,4)","activities":[
		{"name":"X","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"},"waitOnCompletion":true}}]}}]}`)
	var ids []string
	for range 4 {
		ids = append(ids, w.begin("P", ""))
	}
	w.untilEvents(300)
	for _, id := range ids {
		if err := w.store.Cancel(context.Background(), id, "eve", true); err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids {
		if r := w.end(id); r.Status != "Cancelled" && r.Status != "Succeeded" {
			t.Errorf("got %s %s", r.Status, r.Message)
		}
	}
}
