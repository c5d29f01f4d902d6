//go:build cgo

// Package bench measures the product against what it is built on, in the same run on the same machine.
package bench

import (
	"bufio"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/flowehr/flowehr/internal/lake"
)

// lakeRows makes the inputs of the lake's benchmarks smaller or larger than their own size.
var lakeRows = flag.Int("rows", 0, "rows of the lake benchmarks' inputs; 0 means each benchmark's own number")

func sized(own int) int {
	if *lakeRows > 0 {
		return *lakeRows
	}
	return own
}

// rounds is how often both sides are measured, by turns; the best of each counts.
const rounds = 3

func generate(b *testing.B, name string, n int, line func(w *bufio.Writer, i int)) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		line(w, i)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

func openLake(b *testing.B) *lake.Lake {
	b.Helper()
	l, err := lake.Open(lake.Options{Dir: filepath.Join(b.TempDir(), "lake"), Zones: []string{"bronze"}, Threads: 2})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// bare runs one COPY in an engine of its own, with the same number of threads, and waits until the file is on the disk
// as the lake does.
func bare(b *testing.B, query string) time.Duration {
	b.Helper()
	out := filepath.Join(b.TempDir(), "bare.parquet")
	start := time.Now()
	db, err := sql.Open("duckdb", "?threads=2")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	// Delta's timestamp is an instant, so both sides have to read one.
	if _, err := db.Exec("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; COPY (" + query + ") TO '" + out + "' (FORMAT parquet)"); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	os.Remove(out)
	return took
}

// compare reports the lake's speed and its ratio to the engine alone.
func compare(b *testing.B, rows int, query string, src lake.FileSource) {
	b.Helper()
	l := openLake(b)
	best := func(old, d time.Duration) time.Duration {
		if old == 0 || d < old {
			return d
		}
		return old
	}
	for b.Loop() {
		var alone, ours time.Duration
		write := func() {
			start := time.Now()
			w, err := l.WriteFiles(context.Background(), lake.Name{Zone: "bronze", Table: "t"}, src, lake.Overwrite, lake.Commit{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			ours = best(ours, time.Since(start))
			if w.Rows != int64(rows) {
				b.Fatalf("%d rows written, want %d", w.Rows, rows)
			}
		}
		for i := range rounds { // Each goes first in turn.
			if i%2 == 1 {
				write()
			}
			alone = best(alone, bare(b, query))
			if i%2 == 0 {
				write()
			}
		}
		b.ReportMetric(float64(rows)/ours.Seconds(), "rows/s")
		compared(b, fmt.Sprintf("%s (%.2f s)", rate(rows, ours.Seconds()), ours.Seconds()), fmt.Sprintf("bare engine, %.2f s", alone.Seconds()), alone.Seconds()/ours.Seconds(), 0.85)
	}
}

func BenchmarkLakeCSV(b *testing.B) {
	rows := sized(10_000_000)
	path := generate(b, "obs.csv", rows, func(w *bufio.Writer, i int) {
		if i == 0 {
			w.WriteString("patient_id,concept,ts,value,unit\n")
		}
		fmt.Fprintf(w, "P%07d,LOINC-%d,2026-%02d-%02d %02d:00:00,%d.%d,mmol/L\n", i*7919%1_000_000, i%10, i%12+1, i%28+1, i%24, i%200, i%10)
	})
	compare(b, rows, "SELECT * FROM read_csv('"+path+"', header = true, auto_detect = false, columns = {patient_id: VARCHAR, concept: VARCHAR, ts: TIMESTAMPTZ, value: DOUBLE, unit: VARCHAR})", lake.FileSource{
		Format: lake.FormatCSV, Paths: []string{path}, CSV: lake.CSV{Header: true},
		Columns: []lake.FileColumn{{Name: "patient_id"}, {Name: "concept"}, {Name: "ts", Type: "timestamp"}, {Name: "value", Type: "double"}, {Name: "unit"}},
	})
}

func BenchmarkLakeFHIR(b *testing.B) {
	rows := sized(1_000_000)
	path := generate(b, "Observation.ndjson", rows, func(w *bufio.Writer, i int) {
		fmt.Fprintf(w, `{"resourceType":"Observation","id":"o%d","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"Vital signs"}]}],`+
			`"code":{"coding":[{"system":"http://loinc.org","code":"%d-4","display":"Heart rate"}],"text":"Heart rate"},"subject":{"reference":"Patient/p%d"},"encounter":{"reference":"Encounter/e%d"},`+
			`"effectiveDateTime":"2026-%02d-%02dT%02d:00:00+00:00","issued":"2026-01-01T00:00:00.000+00:00","valueQuantity":{"value":%d.%d,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}`+"\n",
			i, 8000+i%50, i%50_000, i%200_000, i%12+1, i%28+1, i%24, 50+i%100, i%10)
	})
	compare(b, rows, `SELECT id, status, category[1].coding[1].code AS category, code.coding[1].code AS code, code.coding[1].display AS display, subject.reference AS patient,
		encounter.reference AS encounter, effectiveDateTime::TIMESTAMPTZ AS at, valueQuantity."value" AS value, valueQuantity.unit AS unit FROM read_json('`+path+`', format = 'newline_delimited')`, lake.FileSource{
		Format: lake.FormatNDJSON, Paths: []string{path},
		Columns: []lake.FileColumn{
			{Name: "id"}, {Name: "status"}, {Name: "category", Path: "$.category[0].coding[0].code"}, {Name: "code", Path: "$.code.coding[0].code"},
			{Name: "display", Path: "$.code.coding[0].display"}, {Name: "patient", Path: "$.subject.reference"}, {Name: "encounter", Path: "$.encounter.reference"},
			{Name: "at", Type: "timestamp", Path: "$.effectiveDateTime"}, {Name: "value", Type: "double", Path: "$.valueQuantity.value"}, {Name: "unit", Path: "$.valueQuantity.unit"},
		},
	})
}

// fixedRows gives the same few values again and again, so that the lake alone is measured.
type fixedRows struct{ n, at int }

func (f *fixedRows) Columns() []lake.Column {
	return []lake.Column{{Name: "patient", Type: "string"}, {Name: "concept", Type: "string"}, {Name: "at", Type: "timestamp"}, {Name: "value", Type: "double"}, {Name: "unit", Type: "string"}}
}

var (
	fixedTime   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fixedPeople = []any{"P0000001", "P0000002", "P0000003", "P0000004"}
)

func (f *fixedRows) Next(row []any) (bool, error) {
	if f.at == f.n {
		return false, nil
	}
	row[0], row[1], row[2], row[3], row[4] = fixedPeople[f.at%4], "LOINC-1", fixedTime, float64(f.at), "mmol/L"
	f.at++
	return true, nil
}

func BenchmarkLakeRows(b *testing.B) {
	rows := sized(5_000_000)
	l := openLake(b)
	for b.Loop() {
		start := time.Now()
		if _, err := l.WriteRows(context.Background(), lake.Name{Zone: "bronze", Table: "t"}, &fixedRows{n: rows}, lake.Overwrite, lake.Commit{}, nil); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		b.ReportMetric(float64(rows)/took.Seconds(), "rows/s")
		compared(b, rate(rows, took.Seconds()), "1 million rows/s", float64(rows)/took.Seconds()/1e6, 1)
	}
}
