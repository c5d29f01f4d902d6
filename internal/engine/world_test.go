package engine

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/jackc/pgx/v5/pgxpool"
)

// activityFunc is an activity for a test.
type activityFunc func(ctx context.Context, c Call) (Result, error)

func (f activityFunc) Run(ctx context.Context, c Call) (Result, error) { return f(ctx, c) }

// world is a database with a running engine.
type world struct {
	t     testing.TB
	pool  *pgxpool.Pool
	store *Store
	opts  Options
	stop  func()
}

// do calls f on success of nothing: the usual activities of the tests are Do (as the test says) and Echo.
func newWorld(t testing.TB, do activityFunc, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, pool: newPool(t)}
	w.opts = Options{Pool: w.pool, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Activities: map[string]Activity{
		"Echo": activityFunc(func(_ context.Context, c Call) (Result, error) { return Result{Output: c.Properties}, nil }),
	}}
	if do != nil {
		w.opts.Activities["Do"] = do
	}
	for _, c := range change {
		c(&w.opts)
	}
	w.store = NewStore(w.pool, w.opts.Audit, w.opts.Now)
	w.start()
	return w
}

// start starts an engine; it ends with the test, or with stop.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	e := New(w.opts)
	go func() { ended <- e.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		w.t.Fatal(err)
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.stop)
}

// bundle decodes a definition as the compiler would.
func bundle(t testing.TB, name, properties string) factory.Bundle {
	t.Helper()
	v, err := expr.DecodeJSON([]byte(`{"name":` + quote(name) + `,"properties":` + properties + `}`))
	if err != nil {
		t.Fatal(err)
	}
	raw := v.(*expr.Object)
	p, problems := factory.DecodePipeline(name, "pipeline.json", raw)
	if flowehr.HasErrors(problems) {
		t.Fatal(problems)
	}
	p.Project = "main"
	return factory.Bundle{Pipeline: p}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func (w *world) register(name, properties string) {
	w.t.Helper()
	if _, err := w.store.Register(context.Background(), bundle(w.t, name, properties), "ada@ward"); err != nil {
		w.t.Fatal(err)
	}
}

// begin starts a run.
func (w *world) begin(name, parameters string) string {
	w.t.Helper()
	var values *expr.Object
	if parameters != "" {
		v, err := expr.DecodeJSON([]byte(parameters))
		if err != nil {
			w.t.Fatal(err)
		}
		values = v.(*expr.Object)
	}
	id, err := w.store.Start(context.Background(), StartRequest{Pipeline: name, Parameters: values, By: "ada@ward"})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// end waits for the end of a run.
func (w *world) end(id string) RunInfo {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := w.store.Wait(ctx, id)
	if err != nil {
		acts, _ := w.store.Activities(context.Background(), id)
		w.t.Fatalf("run %s did not end: %v\n%+v", id, err, acts)
	}
	return r
}

// run registers a definition under the name P, runs it and waits for its end.
func (w *world) run(properties string) RunInfo {
	w.t.Helper()
	w.register("P", properties)
	return w.end(w.begin("P", ""))
}

// activities of a run by path.
func (w *world) activities(id string) map[string]ActivityRun {
	w.t.Helper()
	list, err := w.store.Activities(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	m := map[string]ActivityRun{}
	for _, a := range list {
		m[a.Path] = a
	}
	return m
}

func encode(v expr.Value) string { return string(expr.EncodeJSON(v)) }

// workerMain is an engine in a process of its own, to be killed.
func workerMain(dsn string) int {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return 1
	}
	e := New(Options{Pool: pool, WorkerID: "child", Lease: 3 * time.Second, Activities: map[string]Activity{
		"Touch": activityFunc(touch(pool, os.Getpid())),
	}})
	if err := e.Run(ctx, func() { os.Stdout.WriteString("ready\n") }); err != nil {
		return 1
	}
	return 0
}

// touch leaves a row for each call and each finished call, as a writer of data would.
func touch(pool *pgxpool.Pool, pid int) activityFunc {
	return func(ctx context.Context, c Call) (Result, error) {
		if _, err := pool.Exec(ctx, "insert into touched (run_id, path, pid) values ($1, $2, $3)", c.RunID, c.Path, pid); err != nil {
			return Result{}, err
		}
		if err := sleep(ctx, 4*time.Millisecond); err != nil {
			return Result{}, err
		}
		return Result{Rows: 1}, nil
	}
}
