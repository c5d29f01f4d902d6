//go:build cgo

package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newLake opens a lake with the zones bronze, silver and gold in a directory of the test's own.
func newLake(tb testing.TB) *Lake {
	tb.Helper()
	l, err := Open(Options{Dir: filepath.Join(tb.TempDir(), "lake"), Zones: []string{"bronze", "silver", "gold"}, MemoryMB: 512, Threads: 2})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// rows is a source of literal rows.
type rows struct {
	cols []Column
	data [][]any
	fail error // after the last row
	at   int
}

func (r *rows) Columns() []Column { return r.cols }

func (r *rows) Next(row []any) (bool, error) {
	if r.at == len(r.data) {
		return false, r.fail
	}
	copy(row, r.data[r.at])
	r.at++
	return true, nil
}

var people = Name{"bronze", "people"}

func peopleRows(data ...[]any) *rows {
	return &rows{cols: []Column{{Name: "id", Type: "long"}, {Name: "name", Type: "string"}}, data: data}
}

func mustQuery(tb testing.TB, l *Lake, text string, params ...Param) [][]any {
	tb.Helper()
	res, err := l.Query(context.Background(), text, 0, params...)
	if err != nil {
		tb.Fatalf("query %s: %v", text, err)
	}
	return res.Rows
}

func mustScript(tb testing.TB, l *Lake, text string) ScriptResult {
	tb.Helper()
	res, err := l.Script(context.Background(), text, Commit{}, nil)
	if err != nil {
		tb.Fatalf("script: %v", err)
	}
	return res
}

func TestWriteRowsKeepsEveryType(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	at := time.Date(2026, 2, 3, 4, 5, 6, 789000, time.FixedZone("", 3600))
	src := &rows{
		cols: []Column{
			{Name: "s", Type: "string"}, {Name: "by", Type: "byte"}, {Name: "sh", Type: "short"}, {Name: "i", Type: "integer"}, {Name: "l", Type: "long"},
			{Name: "f", Type: "float"}, {Name: "d", Type: "double"}, {Name: "b", Type: "boolean"}, {Name: "da", Type: "date"}, {Name: "ts", Type: "timestamp"},
			{Name: "bi", Type: "binary"}, {Name: "de", Type: "decimal(10,2)"}, {Name: "big", Type: "decimal(38,0)"},
		},
		data: [][]any{
			{"it's ✓", 1, int16(2), "3", int64(1) << 60, 1.5, "2.25", "TRUE", at, at, []byte{0, 255}, "12.5", "99999999999999999999999999999999999999"},
			{nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
		},
	}
	n := Name{"bronze", "types"}
	w, err := l.WriteRows(ctx, n, src, Append, Commit{By: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.Rows != 2 || w.Version != 0 || w.Read != 2 {
		t.Errorf("written = %+v", w)
	}
	got, err := l.Preview(ctx, n, 10)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)
	want := []any{"it's ✓", int64(1), int64(2), int64(3), int64(1) << 60, 1.5, 2.25, true, day, at.UTC(), []byte{0, 255}, "12.50", "99999999999999999999999999999999999999"}
	if d := cmp.Diff([][]any{want, make([]any, 13)}, got.Rows); d != "" {
		t.Errorf("rows differ (-want +got):\n%s", d)
	}
	table, err := l.Table(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range table.Columns {
		if c.Type != src.cols[i].Type || got.Columns[i].Type != src.cols[i].Type {
			t.Errorf("column %s: type %s, in a result %s, want %s", c.Name, c.Type, got.Columns[i].Type, src.cols[i].Type)
		}
	}
	if table.Rows != 2 || table.Files != 1 || table.Last.By != "alice" {
		t.Errorf("table = %+v", table)
	}
}

func TestWriteRowsRefusesWhatDoesNotFit(t *testing.T) {
	l := newLake(t)
	for name, tc := range map[string]struct {
		typ   string
		value any
	}{
		"text in a long":         {"long", "secret name"},
		"fraction in a long":     {"long", 1.5},
		"too large for a byte":   {"byte", 128},
		"too many digits":        {"decimal(4,2)", "123.45"},
		"too many after point":   {"decimal(4,2)", "1.234"},
		"text in a date":         {"date", "yesterday"},
		"two in a boolean":       {"boolean", 2},
		"a struct in a double":   {"double", struct{}{}},
		"a number that is large": {"long", uint64(1) << 63},
	} {
		t.Run(name, func(t *testing.T) {
			src := &rows{cols: []Column{{Name: "x", Type: tc.typ}}, data: [][]any{{tc.value}}}
			_, err := l.WriteRows(context.Background(), Name{"bronze", "bad"}, src, Append, Commit{}, nil)
			if err == nil || !strings.Contains(err.Error(), "row 1, column x") {
				t.Fatalf("error = %v, want one that names row and column", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q has the value in it", err)
			}
			if _, err := l.Table(context.Background(), Name{"bronze", "bad"}); !errors.Is(err, ErrNotFound) {
				t.Errorf("table after a refused write: %v, want %v", err, ErrNotFound)
			}
		})
	}
}

func TestSourceErrorLeavesTableUntouched(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	if _, err := l.WriteRows(ctx, people, peopleRows([]any{1, "a"}), Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	before, _ := l.Table(ctx, people)
	gone := errors.New("connection lost")
	for _, mode := range []Mode{Append, Overwrite} {
		src := peopleRows()
		for i := range 5000 {
			src.data = append(src.data, []any{i, "x"})
		}
		src.fail = gone
		if _, err := l.WriteRows(ctx, people, src, mode, Commit{}, nil); !errors.Is(err, gone) {
			t.Fatalf("error = %v, want the source's", err)
		}
	}
	after, _ := l.Table(ctx, people)
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("table changed (-before +after):\n%s", d)
	}
	files, _ := filepath.Glob(filepath.Join(l.Dir(people), "*.parquet"))
	if len(files) != 1 {
		t.Errorf("%d data files, want 1: %v", len(files), files)
	}
}

func TestCancelEndsWrite(t *testing.T) {
	l := newLake(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("stopped by alice")
	src := peopleRows()
	endless := endlessRows{rows: src, after: 300_000, then: func() { cancel(why) }}
	_, err := l.WriteRows(ctx, people, &endless, Append, Commit{}, nil)
	if !errors.Is(err, why) {
		t.Errorf("error = %v, want %v", err, why)
	}
	if _, err := l.Table(context.Background(), people); !errors.Is(err, ErrNotFound) {
		t.Errorf("table exists after a cancelled write: %v", err)
	}
}

type endlessRows struct {
	*rows
	n, after int
	then     func()
}

func (e *endlessRows) Next(row []any) (bool, error) {
	if e.n++; e.n == e.after {
		e.then()
	}
	row[0], row[1] = e.n, "x"
	return true, nil
}

func TestKeyMakesWriteIdempotent(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	first, err := l.WriteRows(ctx, people, peopleRows([]any{1, "a"}, []any{2, "b"}), Append, Commit{Key: "run-1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 25 { // Over two checkpoints.
		if _, err := l.WriteRows(ctx, people, peopleRows([]any{10 + i, "c"}), Append, Commit{Key: fmt.Sprint("other-", i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := Open(l.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	for _, lake := range []*Lake{l, fresh} {
		again, err := lake.WriteRows(ctx, people, peopleRows([]any{3, "never read"}), Overwrite, Commit{Key: "run-1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := first
		want.Repeated = true
		if d := cmp.Diff(want, again); d != "" {
			t.Errorf("second write (-want +got):\n%s", d)
		}
	}
	if got := mustQuery(t, fresh, "SELECT count(*), sum(id) FROM bronze.people")[0]; got[0] != int64(27) || got[1] != int64(3+25*10+300) {
		t.Errorf("count and sum = %v", got)
	}
}

func TestAppendRefusesOtherColumns(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	if _, err := l.WriteRows(ctx, people, peopleRows([]any{1, "a"}), Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cols []Column
		want string
	}{
		"new column":   {[]Column{{Name: "id", Type: "long"}, {Name: "age", Type: "long"}}, "column age is not in the table"},
		"other type":   {[]Column{{Name: "id", Type: "double"}}, "column id is long in the table and double"},
		"fewer":        {[]Column{{Name: "id", Type: "long"}}, ""},
		"narrower":     {[]Column{{Name: "id", Type: "integer"}}, ""},
		"other order":  {[]Column{{Name: "name", Type: "string"}, {Name: "id", Type: "long"}}, ""},
		"upper case":   {[]Column{{Name: "ID", Type: "long"}}, ""},
		"twice":        {[]Column{{Name: "id", Type: "long"}, {Name: "Id", Type: "long"}}, "twice"},
		"blank inside": {[]Column{{Name: "a b", Type: "long"}}, "must not"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := l.WriteRows(ctx, people, &rows{cols: tc.cols}, Append, Commit{}, nil)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestOverwriteMayChangeColumns(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	if _, err := l.WriteRows(ctx, people, peopleRows([]any{1, "a"}), Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	src := &rows{cols: []Column{{Name: "age", Type: "double"}}, data: [][]any{{1.5}}}
	if _, err := l.WriteRows(ctx, people, src, Overwrite, Commit{Pipeline: "p", RunID: "r"}, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]any{{1.5}}, mustQuery(t, l, "bronze.people")); d != "" {
		t.Error(d)
	}
	h, err := l.History(ctx, people)
	if err != nil || len(h) != 2 || h[0].Version != 1 || h[0].Commit.Pipeline != "p" || h[0].Rows != 1 {
		t.Errorf("history = %+v, %v", h, err)
	}
}

func TestDropTakesTableAway(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	if err := l.Drop(ctx, people, Commit{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("drop of nothing: %v", err)
	}
	for range 2 {
		if _, err := l.WriteRows(ctx, people, peopleRows([]any{1, "a"}), Append, Commit{Key: "k"}, nil); err != nil {
			t.Fatal(err)
		}
		if got := mustQuery(t, l, "bronze.people"); len(got) != 1 {
			t.Errorf("rows = %v", got)
		}
		if err := l.Drop(ctx, people, Commit{}); err != nil {
			t.Fatal(err)
		}
		if list, err := l.List(ctx); err != nil || len(list) != 0 {
			t.Errorf("list = %v, %v", list, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(l.temp, "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestZones(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	for _, bad := range []string{"", "Main", "main", "../x", "a/b", "1a", "a-b", strings.Repeat("a", 64)} {
		if err := l.AddZone(bad); err == nil {
			t.Errorf("zone %q was accepted", bad)
		}
	}
	if _, err := l.WriteRows(ctx, Name{"nowhere", "t"}, peopleRows(), Append, Commit{}, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("write to an unknown zone: %v", err)
	}
	if _, err := l.WriteRows(ctx, people, peopleRows(), Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.RemoveZone("bronze"); err == nil {
		t.Error("a zone with a table was removed")
	}
	if err := l.RemoveZone("gold"); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"bronze", "silver"}, l.Zones()); d != "" {
		t.Error(d)
	}
}

func TestVacuumKeepsWhatIsUsed(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	for i := range 3 {
		if _, err := l.WriteRows(ctx, people, peopleRows([]any{i, "a"}), Overwrite, Commit{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	orphan := filepath.Join(l.Dir(people), "part-orphan.parquet")
	if err := os.WriteFile(orphan, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Vacuum(ctx, people, time.Hour); err != nil || n != 0 {
		t.Errorf("vacuum of an hour = %d, %v; want nothing gone", n, err)
	}
	l.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if n, err := l.Vacuum(ctx, people, time.Hour); err != nil || n != 3 {
		t.Errorf("vacuum later = %d, %v; want 2 old files and the orphan gone", n, err)
	}
	if got := mustQuery(t, l, "bronze.people"); len(got) != 1 || got[0][0] != int64(2) {
		t.Errorf("rows = %v", got)
	}
}

func TestVacuumAllKeepsAWeek(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	for _, zone := range []string{"bronze", "gold"} {
		mustScript(t, l, "CREATE TABLE "+zone+".t AS SELECT 1 AS a; INSERT OVERWRITE "+zone+".t SELECT 2; INSERT OVERWRITE "+zone+".t SELECT 3")
	}
	broken := filepath.Join(l.dir, "silver", "broken", "_delta_log")
	if err := os.MkdirAll(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "00000000000000000000.json"), []byte("{oops"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.VacuumAll(ctx, LeastKept-time.Second); err == nil {
		t.Error("less than a week was kept")
	}
	for _, tt := range []struct {
		later time.Duration
		gone  int
	}{{LeastKept - time.Hour, 0}, {LeastKept + time.Hour, 4}, {LeastKept + time.Hour, 0}} {
		l.now = func() time.Time { return time.Now().Add(tt.later) }
		n, err := l.VacuumAll(ctx, LeastKept)
		if err == nil || !strings.Contains(err.Error(), "silver.broken") || n != tt.gone {
			t.Errorf("after %s: %d files went, %v; want %d and the broken table named", tt.later, n, err, tt.gone)
		}
	}
	if got := mustQuery(t, l, "SELECT b.a, g.a FROM bronze.t b, gold.t g"); len(got) != 1 || got[0][0] != int64(3) || got[0][1] != int64(3) {
		t.Errorf("rows = %v", got)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.VacuumAll(ctx, LeastKept); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled vacuum: %v", err)
	}
}

func TestOpenSweepsOldLeftovers(t *testing.T) {
	l := newLake(t)
	fresh, old := filepath.Join(l.temp, "session-fresh"), filepath.Join(l.temp, "session-old")
	for _, d := range []string{fresh, old} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * tempKept)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	again, err := Open(l.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := os.Stat(old); err == nil {
		t.Error("an old leftover is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a fresh one, which may be in use, is gone")
	}
}
