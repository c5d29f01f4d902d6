package engine

import (
	"context"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestZombieAbandonsItsRuns stops a worker as a hung machine would be, takes its lock and its runs away, and lets it go
// on. It must notice, write nothing more of these runs, and do no harm.
func TestZombieAbandonsItsRuns(t *testing.T) {
	if shared == nil {
		t.Skip("needs PostgreSQL")
	}
	w, dsn := crashWorld(t, shared)
	ctx := context.Background()
	zombie := worker(t, dsn)
	ids := w.beginMany(6)
	w.untilEvents(60)
	if err := zombie.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var first, cut int
	if err := w.pool.QueryRow(ctx, "select id from engine.worker").Scan(&first); err != nil {
		t.Fatal(err)
	}
	if err := w.pool.QueryRow(ctx, "select count(*) from engine.run where owner = $1", first).Scan(&cut); err != nil || cut == 0 {
		t.Fatalf("the worker was stopped with %d runs in its hands (%v)", cut, err)
	}
	if _, err := w.pool.Exec(ctx, `select pg_terminate_backend(pid) from pg_locks
		where locktype = 'advisory' and classid = $1::int8::oid and objid = $2::int8::oid and granted`, lockWorker, first); err != nil {
		t.Fatal(err)
	}
	worker(t, dsn)
	w.checkOnce(ids)
	before := w.events()

	if err := zombie.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// It has noticed when it has given up its lock and taken another one.
	w.eventually(func() bool {
		var workers int
		if err := w.pool.QueryRow(ctx, "select count(*) from engine.worker where id <> $1", first).Scan(&workers); err != nil {
			t.Fatal(err)
		}
		return workers == 2
	})
	w.checkOnce(ids)
	if n := w.events(); n != before {
		t.Errorf("%d events were written after the runs had ended", n-before)
	}
	var late int
	if err := w.pool.QueryRow(ctx, `select count(*) from engine.event a join engine.event b using (run_id)
		where a.seq > b.seq and a.epoch < b.epoch`).Scan(&late); err != nil || late != 0 {
		t.Errorf("%d events of an owner follow those of a later one (%v)", late, err)
	}
	w.checkOnce(w.beginMany(4)) // both workers work on
	t.Logf("%d runs were taken over", cut)
}

// TestOneConnectionIsEnough has a pool that can never lend two connections at once.
func TestOneConnectionIsEnough(t *testing.T) {
	if shared == nil {
		t.Skip("needs PostgreSQL")
	}
	ctx := context.Background()
	c, err := pgxpool.ParseConfig(shared.database(t))
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, "drop schema engine cascade"); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, forced, func(o *Options) { o.Pool = pool; o.Audit = new(acts).record })
	w.stop()
	defer w.stop()
	w.pool, w.store = pool, NewStore(pool, w.opts.Audit, nil)
	w.start()
	defer w.stop()
	w.register("Child", `{"concurrency":1,"activities":[{"name":"C","type":"Do","typeProperties":{"outcome":"Failed"}}]}`)
	r := w.run(`{"activities":[{"name":"L","type":"ForEach","typeProperties":{"items":"@range(0,4)","activities":[
		{"name":"X","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"},"waitOnCompletion":true}}]}}]}`)
	if r.Status != "Failed" {
		t.Errorf("got %s", r.Status)
	}
	w.register("Child", `{"activities":[{"name":"C","type":"Do","typeProperties":{}}]}`)
	id, err := w.store.Resume(ctx, r.ID, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if r := w.end(id); r.Status != "Succeeded" {
		t.Errorf("resumed: %s %s", r.Status, r.Message)
	}
}
