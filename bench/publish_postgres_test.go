package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowehr/flowehr/internal/featurestore"
	pgserver "github.com/flowehr/flowehr/internal/service/postgres"
)

// storeServer runs a PostgreSQL of its own for one benchmark and returns it with a store in its database "postgres".
func storeServer(b *testing.B) (*pgserver.Server, pgserver.Binaries, *pgxpool.Pool, *featurestore.Store) {
	b.Helper()
	found, err := pgserver.Find(b.Context(), "")
	if errors.Is(err, pgserver.ErrNoBinaries) {
		b.Skip(err)
	}
	must(b, err)
	dir, err := os.MkdirTemp("", "fbs")
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(b, os.Chmod(dir, 0o711))
	s, err := pgserver.New(pgserver.Options{Binaries: found, DataDir: filepath.Join(dir, "data"), SocketDir: filepath.Join(dir, "run"), LogFile: filepath.Join(dir, "log")})
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		b.Fatal(err)
	}
	b.Cleanup(func() { cancel(); <-ended })
	config, err := pgxpool.ParseConfig(s.DSN("postgres", ""))
	must(b, err)
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	must(b, err)
	b.Cleanup(pool.Close)
	roles := featurestore.Roles{Owner: "owners"}
	must(b, pgserver.EnsureGroup(b.Context(), pool, roles.Owner))
	must(b, featurestore.Setup(b.Context(), pool, roles))
	return s, found, pool, featurestore.New(pool, roles)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkPublishSwap publishes 200,000 rows again and again while six readers count them and one transaction stays
// open. It reports the longest step that readers could notice, against the goal of 25 ms, and the reads that saw
// anything but one whole version.
func BenchmarkPublishSwap(b *testing.B) {
	const rows, readers, publications = 200_000, 6, 8
	_, _, pool, store := storeServer(b)
	target := featurestore.Target{Schema: "main", Table: "obs"}
	ctx := b.Context()
	publish := func(version int) time.Duration {
		p, err := store.Publish(ctx, target, observations(rows, version), featurestore.PublishOptions{Indexes: [][]string{{"id"}}}, nil)
		must(b, err)
		return p.Swap
	}
	publish(0)
	for b.Loop() {
		var swaps []time.Duration
		var mu sync.Mutex
		var reads, torn int
		var all sync.WaitGroup
		stop := make(chan struct{})
		stopped := func() bool {
			select {
			case <-stop:
				return true
			default:
				return false
			}
		}
		for range readers {
			all.Go(func() {
				for !stopped() {
					var n, low, high int
					err := pool.QueryRow(ctx, "select count(*), min(version), max(version) from main.obs").Scan(&n, &low, &high)
					mu.Lock()
					reads++
					if err != nil || n != rows || low != high {
						torn++
					}
					mu.Unlock()
				}
			})
		}
		all.Go(func() {
			for !stopped() {
				tx, err := pool.Begin(ctx)
				if err != nil {
					b.Error(err)
					return
				}
				_, err = tx.Exec(ctx, "select count(*) from main.obs where id < 10")
				if err == nil {
					_, err = tx.Exec(ctx, "select pg_sleep(1.5)")
				}
				if err := errors.Join(err, tx.Rollback(ctx)); err != nil {
					b.Error(err)
					return
				}
			}
		})
		for v := range publications {
			swaps = append(swaps, publish(v+1))
		}
		close(stop)
		all.Wait()
		slowest := slices.Max(swaps)
		b.ReportMetric(float64(slowest.Microseconds())/1000, "max-swap-ms")
		compared(b, fmt.Sprintf("longest swap %.1f ms, %d of %d reads torn", float64(slowest.Microseconds())/1000, torn, reads), "25 ms", 0.025/slowest.Seconds(), 1)
		b.ReportMetric(float64(torn), "torn-reads")
		b.ReportMetric(float64(reads), "reads")
		if torn > 0 {
			b.Errorf("%d of %d reads were torn", torn, reads)
		}
	}
}
