package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits of the engine on two cores, each run being three no-op activities one after another.
const (
	engineRunsPerSecond = 1500.0
	engineSequentialP50 = 5 * time.Millisecond
)

// BenchmarkEngineThroughput runs 1,000 pipelines with 100 in flight, five times over: submitted, run and seen to have
// ended. The statements are prepared and the caches warm by then, as they are in a worker that has been up for a second.
func BenchmarkEngineThroughput(b *testing.B) {
	store, watch, _ := startEngine(b)
	watch.runMany(b, store, 300, 100)
	var rates []float64
	for b.Loop() {
		for range 5 {
			began := time.Now()
			watch.runMany(b, store, 1000, 100)
			rates = append(rates, 1000/time.Since(began).Seconds())
		}
	}
	slices.Sort(rates)
	best, median := rates[len(rates)-1], rates[len(rates)/2]
	b.ReportMetric(best, "best-runs/s")
	b.ReportMetric(median, "median-runs/s")
	compared(b, fmt.Sprintf("median %.0f, best %.0f runs/s", median, best), fmt.Sprintf("%d runs/s", int(engineRunsPerSecond)), median/engineRunsPerSecond, 1)
}

// BenchmarkEngineSequential runs pipelines one after another, in five series of a hundred.
func BenchmarkEngineSequential(b *testing.B) {
	store, watch, pool := startEngine(b)
	watch.runMany(b, store, 30, 1)
	var p50s []time.Duration
	for b.Loop() {
		for range 5 {
			times := make([]time.Duration, 100)
			for i := range times {
				began := time.Now()
				watch.run(b, store)
				times[i] = time.Since(began)
			}
			slices.Sort(times)
			p50s = append(p50s, times[len(times)/2])
		}
	}
	slices.Sort(p50s)
	best, median := p50s[0], p50s[len(p50s)/2]
	b.ReportMetric(float64(best.Microseconds())/1000, "best-p50-ms")
	b.ReportMetric(float64(median.Microseconds())/1000, "median-p50-ms")
	b.ReportMetric(commitTime(b, pool), "commit-p50-ms") // a run is five durable commits one after another
	compared(b, fmt.Sprintf("p50 median %s, best %s", median, best), engineSequentialP50.String(), float64(engineSequentialP50)/float64(median), 1)
}

// commitTime is what one durable commit takes on this machine at this time, in milliseconds.
func commitTime(b *testing.B, pool *pgxpool.Pool) float64 {
	ctx := context.Background()
	if _, err := pool.Exec(ctx, "create table if not exists commits (at timestamptz)"); err != nil {
		b.Fatal(err)
	}
	times := make([]time.Duration, 100)
	for i := range times {
		began := time.Now()
		if _, err := pool.Exec(ctx, "insert into commits values (now())"); err != nil {
			b.Fatal(err)
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return float64(times[len(times)/2].Microseconds()) / 1000
}

// ends tells who waits for a run that it has ended.
type ends struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
	early   map[string]bool
}

// runMany runs n pipelines, so many of them at once.
func (e *ends) runMany(b *testing.B, store *engine.Store, n, inFlight int) {
	next := make(chan struct{})
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for range next {
				e.run(b, store)
			}
		})
	}
	for range n {
		next <- struct{}{}
	}
	close(next)
	workers.Wait()
}

func (e *ends) run(b *testing.B, store *engine.Store) {
	id, err := store.Start(context.Background(), engine.StartRequest{Pipeline: "three", By: "bench"})
	if err != nil {
		b.Error(err)
		return
	}
	done := make(chan struct{})
	e.mu.Lock()
	if e.early[id] {
		delete(e.early, id)
		close(done)
	} else {
		e.waiting[id] = done
	}
	e.mu.Unlock()
	<-done
}

func (e *ends) ended(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if done, ok := e.waiting[id]; ok {
		delete(e.waiting, id)
		close(done)
		return
	}
	e.early[id] = true
}

type noop struct{}

func (noop) Run(context.Context, engine.Call) (engine.Result, error) { return engine.Result{}, nil }

const threeActivities = `{"name":"three","properties":{"activities":[
	{"name":"A","type":"Noop","typeProperties":{}},
	{"name":"B","type":"Noop","typeProperties":{},"dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}]},
	{"name":"C","type":"Noop","typeProperties":{},"dependsOn":[{"activity":"B","dependencyConditions":["Succeeded"]}]}]}}`

func startEngine(b *testing.B) (*engine.Store, *ends, *pgxpool.Pool) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	config, err := pgxpool.ParseConfig(postgres(b))
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = 24
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	if err := engine.Migrate(ctx, pool); err != nil {
		b.Fatal(err)
	}
	watch := &ends{waiting: map[string]chan struct{}{}, early: map[string]bool{}}
	e := engine.New(engine.Options{Pool: pool, Activities: map[string]engine.Activity{"Noop": noop{}}, Ended: watch.ended})
	ready, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		if err := e.Run(ctx, func() { close(ready) }); err != nil {
			b.Error(err)
		}
	}()
	<-ready
	b.Cleanup(func() { cancel(); <-stopped; pool.Close() })
	v, err := expr.DecodeJSON([]byte(threeActivities))
	if err != nil {
		b.Fatal(err)
	}
	p, problems := factory.DecodePipeline("three", "pipeline.json", v.(*expr.Object))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	if _, err := e.Store().Register(ctx, factory.Bundle{Pipeline: p}, "bench"); err != nil {
		b.Fatal(err)
	}
	return e.Store(), watch, pool
}

// postgres returns the DSN of an empty database: of the server that FLOWEHR_TEST_DSN names, else of one started here,
// which is as durable as in earnest.
func postgres(b *testing.B) string {
	b.Helper()
	if dsn := os.Getenv("FLOWEHR_TEST_DSN"); dsn != "" {
		return dsn
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		b.Skip("needs PostgreSQL, or FLOWEHR_TEST_DSN")
	}
	bin := slices.Max(found)
	dir, err := os.MkdirTemp("", "fb")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			b.Skip("needs a user postgres when run as root")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			b.Fatal(err)
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, attributes
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "-D", data, "-U", "postgres", "-A", "trust").CombinedOutput(); err != nil {
		b.Fatalf("initdb: %v\n%s", err, out)
	}
	server := command("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Process.Signal(syscall.SIGQUIT); _ = server.Wait() })
	dsn := fmt.Sprintf("host=%s user=postgres dbname=postgres sslmode=disable", dir)
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			_ = conn.Close(context.Background())
			return dsn
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
