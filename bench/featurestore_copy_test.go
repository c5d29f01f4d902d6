package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/flowehr/flowehr/internal/featurestore"
	pgserver "github.com/flowehr/flowehr/internal/service/postgres"
)

var observationSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "version", Type: arrow.PrimitiveTypes.Int32},
	{Name: "patient", Type: arrow.BinaryTypes.String},
	{Name: "concept", Type: arrow.BinaryTypes.String},
	{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
	{Name: "value", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
}, nil)

// generated is a stream of made-up observations; it makes one batch at a time.
type generated struct{ next, rows, version int }

func observations(rows, version int) *generated { return &generated{rows: rows, version: version} }

func (g *generated) Schema() *arrow.Schema { return observationSchema }
func (g *generated) Close() error          { return nil }
func (g *generated) Next() (arrow.RecordBatch, error) {
	const size = 64 << 10
	if g.next == g.rows {
		return nil, io.EOF
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, observationSchema)
	defer b.Release()
	end := min(g.next+size, g.rows)
	for ; g.next < end; g.next++ {
		o := observation(g.next)
		b.Field(0).(*array.Int64Builder).Append(int64(g.next))
		b.Field(1).(*array.Int32Builder).Append(int32(g.version))
		b.Field(2).(*array.StringBuilder).Append(o.patient)
		b.Field(3).(*array.StringBuilder).Append(o.concept)
		b.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(o.micros))
		if o.missing {
			b.Field(5).AppendNull()
			continue
		}
		b.Field(5).(*array.Float64Builder).Append(o.value)
	}
	return b.NewRecordBatch(), nil
}

type observed struct {
	patient, concept string
	micros           int64
	value            float64
	missing          bool
}

func observation(i int) observed {
	return observed{
		patient: "patient-" + strconv.Itoa(i%50_000), concept: "code-" + strconv.Itoa(i%300),
		micros: 1_600_000_000_000_000 + int64(i)*1_000_003, value: float64(i%10_000) / 7, missing: i%20 == 0,
	}
}

// BenchmarkFeatureStoreCopy publishes 5,000,000 rows (or as many as $FLOWEHR_BENCH_ROWS says) from Arrow, and loads the
// same rows with psql's \copy from a CSV that is there already, in turn. It reports the ratio; publishing includes
// making its batches, ANALYZE and the swap.
func BenchmarkFeatureStoreCopy(b *testing.B) {
	rows := 5_000_000
	if text := os.Getenv("FLOWEHR_BENCH_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		must(b, err)
		rows = n
	}
	server, found, pool, store := storeServer(b)
	psql := filepath.Join(found.Dir, "psql")
	if _, err := os.Stat(psql); err != nil {
		b.Skip("psql is not installed beside the server")
	}
	file := filepath.Join(b.TempDir(), "obs.csv")
	must(b, writeCSV(file, rows))
	ctx := b.Context()
	for b.Loop() {
		_, err := pool.Exec(ctx, "drop table if exists obs_csv; create table obs_csv (id bigint, version int, patient text, concept text, ts timestamp, value double precision); checkpoint")
		must(b, err)
		start := time.Now()
		cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", psqlDSN(server), "-c", `\copy obs_csv from '`+file+`' with (format csv)`)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("psql: %v: %s", err, out)
		}
		csv := time.Since(start)

		_, err = pool.Exec(ctx, "checkpoint")
		must(b, err)
		start = time.Now()
		p, err := store.Publish(ctx, featurestore.Target{Schema: "main", Table: "obs"}, observations(rows, 0), featurestore.PublishOptions{}, nil)
		must(b, err)
		arrowTime := time.Since(start)

		const summary = "select count(*), sum(id), count(value), sum(value)::numeric(20,3), min(ts), max(ts), count(distinct patient) from "
		var same bool
		must(b, pool.QueryRow(ctx, "select row(a.*) = row(b.*) from ("+summary+"main.obs) a, ("+summary+"obs_csv) b").Scan(&same))
		if !same || p.Rows != int64(rows) {
			b.Fatal("the two tables differ")
		}
		b.ReportMetric(float64(rows)/arrowTime.Seconds(), "arrow-rows/s")
		b.ReportMetric(float64(rows)/csv.Seconds(), "psql-rows/s")
		compared(b, rate(rows, arrowTime.Seconds()), "psql \\copy, "+rate(rows, csv.Seconds()), csv.Seconds()/arrowTime.Seconds(), 1)
	}
}

// psqlDSN is the server's address for psql: the settings of a session in our own addresses are none that it knows.
func psqlDSN(s *pgserver.Server) string {
	var kept []string
	for _, part := range strings.Fields(s.DSN("postgres", "")) {
		if name, _, _ := strings.Cut(part, "="); slices.Contains([]string{"host", "port", "user", "dbname"}, name) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, " ")
}

func writeCSV(path string, rows int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range rows {
		o := observation(i)
		value := ""
		if !o.missing {
			value = strconv.FormatFloat(o.value, 'g', -1, 64)
		}
		ts := time.UnixMicro(o.micros).UTC().Format("2006-01-02 15:04:05.999999")
		if _, err := fmt.Fprintf(w, "%d,0,%s,%s,%s,%s\n", i, o.patient, o.concept, ts, value); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
