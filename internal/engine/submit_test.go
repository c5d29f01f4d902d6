package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// offline is a world without a worker, with pipeline P in force.
func offline(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.stop()
	w.register("P", `{"activities":[]}`)
	return w
}

func (w *world) submission(ctx context.Context, by string, version int) *submission {
	w.t.Helper()
	b, _, err := loadBundle(context.Background(), w.pool, "P", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := newRun(b, version, StartRequest{By: by}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return &submission{ctx: ctx, row: n, ifCurrent: true, done: make(chan struct{})}
}

func TestOneBadSubmissionSpoilsNoOther(t *testing.T) {
	w := offline(t)
	ctx := context.Background()
	group := []*submission{w.submission(ctx, "ada", 1), w.submission(ctx, "no\x00text", 1), w.submission(ctx, "eve", 1),
		w.submission(ctx, "bob", 7)}
	w.store.submitter.write(ctx, group)
	for i, want := range []string{"true <nil>", "false E", "true <nil>", "false <nil>"} {
		<-group[i].done
		got := fmt.Sprint(group[i].inserted, group[i].err)
		if group[i].err != nil {
			got = fmt.Sprint(group[i].inserted, " E")
		}
		if got != want {
			t.Errorf("%d: got %s, want %s", i, got, want)
		}
	}
	runs, err := w.store.Runs(ctx, Filter{})
	if err != nil || len(runs) != 2 {
		t.Errorf("%d runs, want 2 (%v)", len(runs), err)
	}
}

// TestSubmissionsKeepTheirOrder submits from many goroutines while no group can be written, so that they gather.
func TestSubmissionsKeepTheirOrder(t *testing.T) {
	w := offline(t)
	ctx := context.Background()
	s := w.store.submitter
	s.busy = true // as while another group is on its way
	gone, cancel := context.WithCancel(ctx)
	var callers sync.WaitGroup
	var want []string
	for i := range 20 {
		sub := w.submission(ctx, "ada", 1)
		from := ctx
		if i == 7 {
			from = gone
		} else {
			want = append(want, sub.row.id)
		}
		callers.Go(func() {
			inserted, err := s.submit(from, sub.row, true)
			if inserted != (i != 7) || (err == nil) != (i != 7) {
				t.Errorf("%d: got %v %v", i, inserted, err)
			}
		})
		w.eventually(func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.waiting) == i+1 })
	}
	cancel() // the eighth caller goes away before its turn
	s.drain(ctx)
	callers.Wait()
	rows, err := w.pool.Query(ctx, "select id::text from engine.run order by ordinal")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d runs %v, want %v (%v)", len(got), got, want, err)
	}
}
