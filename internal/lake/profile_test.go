//go:build cgo

package lake

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"
)

func TestProfile(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	mustScript(t, l, `CREATE TABLE bronze.t AS SELECT i AS n, CASE WHEN i % 4 = 0 THEN NULL ELSE 'abc'[i % 4] END AS few, 'v' || i AS many,
		DATE '2026-01-01' + CAST(i AS INT) AS day, CAST(NULL AS DOUBLE) AS nothing, CAST('NaN' AS DOUBLE) AS nan, i % 2 = 0 AS even, CAST(i AS DECIMAL(5,1)) AS de FROM range(1000) AS r(i);
		CREATE TABLE bronze.empty (a INT, b STRING)`)
	got, err := l.Profile(ctx, Name{"bronze", "t"})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]ColumnProfile{}
	for _, p := range got {
		by[p.Column.Name] = p
		var sum int64
		for _, b := range p.Buckets {
			sum += b.Count
		}
		if len(p.Buckets) > 0 && sum != p.Rows-p.Missing {
			t.Errorf("%s: buckets hold %d of %d values", p.Column.Name, sum, p.Rows-p.Missing)
		}
	}
	if p := by["n"]; p.Min != int64(0) || p.Max != int64(999) || len(p.Buckets) != histogramBuckets || p.Missing != 0 || p.Buckets[0].Count != 50 {
		t.Errorf("n = %+v", p)
	}
	if p := by["few"]; p.Missing != 250 || p.Share != 0.25 || cmp.Diff([]ValueCount{{"a", 250}, {"b", 250}, {"c", 250}}, p.Top) != "" {
		t.Errorf("few = %+v", p)
	}
	if p := by["many"]; p.Top != nil || p.Distinct < 800 || p.Distinct > 1000 {
		t.Errorf("many = %+v", p)
	}
	if p := by["day"]; p.Min != time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) || p.Buckets[0].From != any(p.Min) {
		t.Errorf("day = %+v", p)
	}
	if p := by["nothing"]; p.Share != 1 || p.Min != nil || p.Buckets != nil {
		t.Errorf("nothing = %+v", p)
	}
	if p := by["even"]; len(p.Top) != 2 {
		t.Errorf("even = %+v", p)
	}
	empty, err := l.Profile(ctx, Name{"bronze", "empty"})
	if err != nil || len(empty) != 2 || empty[0].Rows != 0 {
		t.Errorf("empty = %+v, %v", empty, err)
	}
}

func TestExportGivesAllRows(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	mustScript(t, l, "CREATE TABLE bronze.t AS SELECT i AS n, 'v' || i AS s, CAST(i AS DOUBLE) AS d, TIMESTAMP '2026-01-01 00:00:00' AS ts, DATE '2026-01-01' AS day, CAST(1.5 AS DECIMAL(5,2)) AS de FROM range(20000) AS r(i)")
	for _, text := range []string{"bronze.t", "SELECT * FROM bronze.t WHERE n >= @from"} {
		b, err := l.Export(ctx, text, Param{"from", 0})
		if err != nil {
			t.Fatal(err)
		}
		var rows, sum int64
		for {
			rec, err := b.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows += rec.NumRows()
			for _, v := range rec.Column(0).(*array.Int64).Int64Values() {
				sum += v
			}
			if rows == rec.NumRows() && (rec.Column(1).ValueStr(7) != "v7" || rec.Column(5).ValueStr(0) != "1.5") {
				t.Errorf("values = %v, %v", rec.Column(1).ValueStr(7), rec.Column(5).ValueStr(0))
			}
			rec.Release()
		}
		if rows != 20000 || sum != 20000*19999/2 {
			t.Errorf("%s: %d rows, sum %d", text, rows, sum)
		}
		var names []string
		for _, f := range b.Schema().Fields() {
			names = append(names, f.Name)
		}
		if d := cmp.Diff([]string{"n", "s", "d", "ts", "day", "de"}, names); d != "" {
			t.Error(d)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := l.Export(ctx, "bronze.missing"); err == nil {
		t.Error("a table that does not exist was exported")
	}
	if _, err := l.Export(ctx, "DROP TABLE bronze.t"); !errors.Is(err, ErrRefused) {
		t.Errorf("error = %v", err)
	}
}
