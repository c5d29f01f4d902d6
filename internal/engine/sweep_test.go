package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// secretPipeline fails for as long as broken is true, and holds back a secure parameter and a secure output.
const secretPipeline = `{"parameters":{"pw":{"type":"SecureString"}},"activities":[
	{"name":"A","type":"Do","policy":{"secureOutput":true},"typeProperties":{"p":"@pipeline().parameters.pw"}},
	{"name":"B","type":"Do","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],
		"typeProperties":{"want":"@activity('A').output.patient","break":true}}]}`

// secretWorld has a run of secretPipeline that failed at 10:30.
func secretWorld(t *testing.T) (w *world, clock *hand, broken *atomic.Bool, failed RunInfo) {
	clock, broken = &hand{}, &atomic.Bool{}
	clock.set("2026-03-01T10:30:00Z")
	broken.Store(true)
	w = newWorld(t, func(_ context.Context, c Call) (Result, error) {
		c.Log("at %s", c.Path)
		if v, _ := c.Properties.Get("break"); v == true {
			if got, _ := c.Properties.Get("want"); got != "patient 900" {
				return Result{}, fmt.Errorf("B was given %v", got)
			}
			if broken.Load() {
				return Result{}, errors.New("broken")
			}
		}
		o := expr.NewObject()
		o.Set("patient", "patient 900")
		return Result{Output: o}, nil
	}, func(o *Options) { o.Now, o.KeepSecrets, o.Keep = clock.now, 24*time.Hour, 48*time.Hour })
	w.register("P", secretPipeline)
	failed = w.end(w.begin("P", `{"pw":"hunter22"}`))
	if failed.Status != "Failed" || !strings.HasSuffix(failed.Message, "broken") {
		t.Fatalf("got %s %s", failed.Status, failed.Message)
	}
	return w, clock, broken, failed
}

// secrets counts the rows that hold a secure value.
func (w *world) secrets() (n int) {
	w.t.Helper()
	if err := w.pool.QueryRow(context.Background(), `select (select count(*) from engine.run r where r::text like '%hunter22%')
		+ (select count(*) from engine.event where held is not null)`).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestSecretsGoWhenAResumeSucceeds(t *testing.T) {
	w, _, broken, failed := secretWorld(t)
	if w.secrets() == 0 {
		t.Fatal("a failed run keeps nothing to be resumed with")
	}
	ctx := context.Background()
	second, err := w.store.Resume(ctx, failed.ID, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if r := w.end(second); r.Status != "Failed" || w.secrets() == 0 {
		t.Fatalf("second run %s, %d secrets", r.Status, w.secrets())
	}
	broken.Store(false)
	third, err := w.store.Resume(ctx, second, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if r := w.end(third); r.Status != "Succeeded" {
		t.Fatalf("third run: %s %s", r.Status, r.Message)
	}
	if n := w.secrets(); n != 0 {
		t.Errorf("%d secrets are left after success", n)
	}
	if _, err := w.store.Resume(ctx, failed.ID, "ada"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "secure values were deleted") {
		t.Errorf("resumed once more: %v", err)
	}
}

func TestSecretsGoAfterAWhile(t *testing.T) {
	w, clock, _, failed := secretWorld(t)
	w.register("Plain", `{"activities":[{"name":"F","type":"Fail","typeProperties":{"message":"m","errorCode":"c"}}]}`)
	plain := w.end(w.begin("Plain", ""))
	clock.set("2026-03-02T10:29:00Z")
	if r, err := w.store.Run(context.Background(), failed.ID); err != nil || !r.Resumable() {
		t.Errorf("before the time: %+v %v", r, err)
	}
	clock.set("2026-03-02T10:45:00Z")
	w.eventually(func() bool { return w.secrets() == 0 })
	_, err := w.store.Resume(context.Background(), failed.ID, "ada")
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || refusal.Reason != "its secure values were deleted on 2026-03-02; start a new run" {
		t.Errorf("resume: %v", err)
	}
	if acts := w.activities(failed.ID); acts["/A"].Status != "Succeeded" || acts["/B"].Error == nil {
		t.Errorf("the activities went too: %+v", acts)
	}
	if id, err := w.store.Resume(context.Background(), plain.ID, "ada"); err != nil || w.end(id).Status != "Failed" {
		t.Errorf("a run without secrets is not resumed any more: %v", err)
	}
}

func TestDetailsGoAndTheSummaryStays(t *testing.T) {
	w, clock, _, failed := secretWorld(t)
	clock.set("2026-03-03T10:00:00Z")
	recent := w.end(w.begin("P", `{"pw":"other pw"}`))
	clock.set("2026-03-03T10:31:00Z")
	ctx := context.Background()
	var r RunInfo
	w.eventually(func() bool {
		var err error
		if r, err = w.store.Run(ctx, failed.ID); err != nil {
			t.Fatal(err)
		}
		return r.DetailsDeleted != nil
	})
	if r.Status != "Failed" || r.Message != failed.Message || encode(r.Parameters) != `{"pw":"••••"}` {
		t.Errorf("summary %+v", r)
	}
	for _, table := range []string{"event", "log", "progress"} {
		var old, kept int
		if err := w.pool.QueryRow(ctx, "select count(*) filter (where run_id = $1), count(*) filter (where run_id = $2) from engine."+table,
			failed.ID, recent.ID).Scan(&old, &kept); err != nil || old != 0 || (kept == 0 && table != "progress") {
			t.Errorf("%s: %d rows of the old run, %d of the recent one (%v)", table, old, kept, err)
		}
	}
	if _, err := w.store.Resume(ctx, failed.ID, "ada"); !errors.Is(err, ErrRefused) || r.Resumable() {
		t.Errorf("resume: %v", err)
	}
}

// TestSweepIsInBatches has more runs than one transaction takes.
func TestSweepIsInBatches(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if _, err := w.pool.Exec(ctx, `with r as (insert into engine.run (id, pipeline, version, project, status, shown, by, invoked, trigger_time, group_id, queued_at, ended_at)
			select gen_random_uuid(), 'P', 1, '', 'Failed', '{}', 'x', 'Manual', $1, gen_random_uuid(), $1, $1 from generate_series(1, $2) returning id)
		insert into engine.event (run_id, seq, epoch, path, kind, at, held) select id, 1, 1, '/A', 'Succeeded', $1, '{}' from r`, now, 2*sweepBatch+1); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{"secrets": sweepSecrets, "details": sweepDetails} {
		tag, err := w.pool.Exec(ctx, statement, now, now, sweepBatch) // ended not before now
		if err != nil || tag.RowsAffected() != 0 {
			t.Errorf("%s: %d runs went too early (%v)", name, tag.RowsAffected(), err)
		}
	}
	if err := sweepRuns(ctx, w.pool, sweepSecrets, now.Add(time.Second), now); err != nil || w.secrets() != 0 {
		t.Errorf("%d secrets are left (%v)", w.secrets(), err)
	}
	if err := sweepRuns(ctx, w.pool, sweepDetails, now.Add(time.Second), now); err != nil || w.events() != 0 {
		t.Errorf("%d events are left (%v)", w.events(), err)
	}
}

func TestChildWithoutItsSecretsIsNotCarriedOn(t *testing.T) {
	w := newWorld(t, forced)
	ctx := context.Background()
	w.register("Child", `{"parameters":{"pw":{"type":"SecureString"}},"activities":[{"name":"A","type":"Do","typeProperties":{"outcome":"Failed"}}]}`)
	first := w.run(`{"activities":[{"name":"X","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"},
		"parameters":{"pw":"hunter22"},"waitOnCompletion":true}}]}`)
	child := w.activities(first.ID)["/X"].Child
	later := time.Now().Add(time.Hour)
	if err := sweepRuns(ctx, w.pool, sweepSecrets, later, later); err != nil {
		t.Fatal(err)
	}
	id, err := w.store.Resume(ctx, first.ID, "ada") // has no secrets itself
	if err != nil {
		t.Fatal(err)
	}
	want := "Operation on target X failed: the run " + child + " of the child pipeline cannot be carried on: what that takes was deleted"
	if r := w.end(id); r.Message != want {
		t.Errorf("got %s %q, want %q", r.Status, r.Message, want)
	}
}
