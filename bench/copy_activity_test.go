//go:build cgo

package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
	pgserver "github.com/flowehr/flowehr/internal/service/postgres"
)

// sqlToLakeRows is how many rows a second a Copy from PostgreSQL to the lake has to move.
const sqlToLakeRows = 1_000_000.0

// hospitalObservations is a table of the shape that hospital systems have, made by the server itself.
const hospitalObservations = `select 'patient-' || i %% 50000 as patient, 'code-' || i %% 300 as concept, timestamptz '2020-09-13 12:26:40+00' + i * interval '1 second' as ts,
	case when i %% 20 = 0 then null else (i %% 10000) / 7.0::float8 end as value, 'mmol/L' as unit from generate_series(1, %d) as i`

// copyCall is a Copy with everything that a run would hand over.
func copyCall(b *testing.B, number int, source, sink string, from, to engine.Dataset) engine.Call {
	b.Helper()
	return engine.Call{
		RunID: "run-" + strconv.Itoa(number), Path: "/Copy", Attempt: 1, Name: "Copy", Type: "Copy",
		Properties: jsonObject(b, `{"source": {"type": "`+source+`"}, "sink": {"type": "`+sink+`", "writeBehavior": "overwrite"}}`),
		Inputs:     []engine.Dataset{from}, Outputs: []engine.Dataset{to},
		Log: func(string, ...any) {}, Progress: func(int64) {},
	}
}

func jsonObject(b *testing.B, text string) *expr.Object {
	b.Helper()
	v, err := expr.DecodeJSON([]byte(text))
	must(b, err)
	return v.(*expr.Object)
}

func benchDataset(b *testing.B, kind, service, properties string) engine.Dataset {
	b.Helper()
	return engine.Dataset{Name: kind, Type: kind, Properties: jsonObject(b, properties), LinkedService: engine.LinkedService{Name: service}}
}

// oneSource is the only data source there is.
type oneSource struct{ config connect.Config }

func (s oneSource) Source(_ context.Context, name string) (activity.Source, bool, error) {
	return activity.Source{Kind: s.config.Kind, Database: s.config}, name == "epr", nil
}

// hospital makes a database with what the statements say, and a login that may read it.
func hospital(b *testing.B, server *pgserver.Server, pool *pgxpool.Pool, statements string) connect.Config {
	b.Helper()
	_, err := pool.Exec(b.Context(), "create database hospital")
	must(b, err)
	conn, err := pgx.Connect(b.Context(), server.DSN("hospital", ""))
	must(b, err)
	defer conn.Close(b.Context())
	_, err = conn.Exec(b.Context(), statements+"; create role bench_reader login password 'bench-reader' in role pg_read_all_data; grant connect on database hospital to bench_reader")
	must(b, err)
	_, err = conn.Exec(b.Context(), "vacuum analyze")
	must(b, err)
	_, err = conn.Exec(b.Context(), "checkpoint")
	must(b, err)
	return connect.Config{
		Kind: flowehr.SourcePostgreSQL, Host: conn.Config().Host, Port: int(conn.Config().Port), Database: "hospital",
		Username: "bench_reader", Password: flowehr.NewSecret("bench-reader"),
	}
}

// BenchmarkCopySQLToLake copies a table of PostgreSQL to the lake. It reports the rate against its limit, and how much
// the most memory in use grew over ten times the rows: the copy streams, so that should be close to nothing.
func BenchmarkCopySQLToLake(b *testing.B) {
	rows := sized(3_000_000)
	server, _, pool, _ := storeServer(b)
	source := hospital(b, server, pool, "create table small as "+fmt.Sprintf(hospitalObservations, rows/10)+"; create table big as "+fmt.Sprintf(hospitalObservations, rows))
	l := openLake(b)
	copies := activity.New(activity.Deps{Lake: l, Sources: oneSource{source}})["Copy"]
	number := 0
	run := func(table string) time.Duration {
		number++
		call := copyCall(b, number, "PostgreSqlV2Source", "AzureDatabricksDeltaLakeSink",
			benchDataset(b, "PostgreSqlV2Table", "epr", `{"schema": "public", "table": "`+table+`"}`),
			benchDataset(b, "AzureDatabricksDeltaLakeDataset", activity.LakeService, `{"database": "bronze", "table": "`+table+`"}`))
		start := time.Now()
		res, err := copies.Run(b.Context(), call)
		must(b, err)
		took := time.Since(start)
		if want := int64(map[string]int{"small": rows / 10, "big": rows}[table]); res.Rows != want {
			b.Fatalf("copied %d rows, want %d", res.Rows, want)
		}
		return took
	}
	run("small")
	resetPeak(b)
	run("small")
	small := peak(b)
	best := 0.0
	for b.Loop() {
		for range rounds {
			best = max(best, float64(rows)/run("big").Seconds())
		}
	}
	b.ReportMetric(best, "rows/s")
	big := peak(b)
	b.ReportMetric(big, "peak-MB")
	compared(b, fmt.Sprintf("%.2f million rows/s, %.0f MB; %.0f MB for a tenth", best/1e6, big, small), "1 million rows/s", best/sqlToLakeRows, 1)
}

// BenchmarkCopyLakeToStore publishes a table of the lake, and loads the same rows with psql's \copy from a CSV that is
// there already, by turns.
func BenchmarkCopyLakeToStore(b *testing.B) {
	rows := sized(5_000_000)
	server, found, pool, store := storeServer(b)
	psql := filepath.Join(found.Dir, "psql")
	if _, err := os.Stat(psql); err != nil {
		b.Skip("psql is not installed beside the server")
	}
	l := openLake(b)
	file := filepath.Join(b.TempDir(), "obs.csv")
	must(b, writeCSV(file, rows))
	_, err := l.WriteFiles(b.Context(), lake.Name{Zone: "bronze", Table: "obs"}, lake.FileSource{Format: lake.FormatCSV, Paths: []string{file}, Columns: []lake.FileColumn{
		{Name: "id", Type: "long"}, {Name: "version", Type: "integer"}, {Name: "patient"}, {Name: "concept"}, {Name: "ts", Type: "timestamp"}, {Name: "value", Type: "double"},
	}}, lake.Overwrite, lake.Commit{}, nil)
	must(b, err)
	copies := activity.New(activity.Deps{Lake: l, Store: store})["Copy"]
	ctx := b.Context()
	bestCopy, bestPsql := time.Duration(1<<62), time.Duration(1<<62)
	number := 0
	for b.Loop() {
		for range rounds {
			_, err := pool.Exec(ctx, "drop table if exists obs_csv; create table obs_csv (id bigint, version int, patient text, concept text, ts timestamptz, value double precision); checkpoint")
			must(b, err)
			start := time.Now()
			cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", psqlDSN(server), "-c", `set timezone = 'UTC'`, "-c", `\copy obs_csv from '`+file+`' with (format csv)`)
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("psql: %v: %s", err, out)
			}
			bestPsql = min(bestPsql, time.Since(start))
			_, err = pool.Exec(ctx, "checkpoint")
			must(b, err)
			number++
			call := copyCall(b, number, "AzureDatabricksDeltaLakeSource", "AzureSqlSink",
				benchDataset(b, "AzureDatabricksDeltaLakeDataset", activity.LakeService, `{"database": "bronze", "table": "obs"}`),
				benchDataset(b, "AzureSqlTable", activity.StoreService, `{"schema": "main", "table": "obs"}`))
			start = time.Now()
			res, err := copies.Run(ctx, call)
			must(b, err)
			bestCopy = min(bestCopy, time.Since(start))
			const summary = "select count(*), sum(id), count(value), sum(value)::numeric(20,3), min(ts), max(ts), count(distinct patient) from "
			var same bool
			must(b, pool.QueryRow(ctx, "select row(a.*) = row(b.*) from ("+summary+"main.obs) a, ("+summary+"obs_csv) b").Scan(&same))
			if !same || res.Rows != int64(rows) {
				b.Fatal("the two tables differ")
			}
		}
	}
	b.ReportMetric(float64(rows)/bestCopy.Seconds(), "copy-rows/s")
	b.ReportMetric(float64(rows)/bestPsql.Seconds(), "psql-rows/s")
	b.ReportMetric(peak(b), "peak-MB")
	compared(b, rate(rows, bestCopy.Seconds()), "psql \\copy, "+rate(rows, bestPsql.Seconds()), bestPsql.Seconds()/bestCopy.Seconds(), 1)
}

// resetPeak makes the kernel forget the most memory that this process had.
func resetPeak(b *testing.B) {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Log("the peak of memory includes what was before: ", err)
	}
}

// peak is the most memory that this process had, in MB, or 0 where the system does not tell.
func peak(b *testing.B) float64 {
	b.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if text, ok := strings.CutPrefix(in.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 64)
			must(b, err)
			return kb / 1024
		}
	}
	return 0
}
