//go:build cgo

package lake

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// crashDir tells a copy of the test binary to be the writer that gets killed.
const crashDir = "FLOWEHR_LAKE_CRASH_DIR"

// crashRows is how many rows each write of that writer has.
const crashRows = 20_000

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled appends under the keys 0, 1, 2 ... and says each one that is committed.
func writeUntilKilled(dir string) error {
	l, err := Open(Options{Dir: dir, Zones: []string{"bronze"}, MemoryMB: 256, Threads: 1})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		src := peopleRows()
		for r := range crashRows {
			src.data = append(src.data, []any{r, "x"})
		}
		if _, err := l.WriteRows(context.Background(), people, src, Append, Commit{Key: strconv.Itoa(i)}, nil); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// A writer that is killed at any moment leaves whole versions only, and the next one goes on where it was.
func TestKilledWritersLoseNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	last := -1
	for round := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Repeated keys are said again, so the kill comes some commits after the last known one, each round at
		// another point of the next write.
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("writer said %q", lines.Text())
			}
			if n > last {
				last = n
				break
			}
		}
		for range round * 200_000 { // Some work, so that the kill comes at another point each time.
			runtime.Gosched()
		}
		cmd.Process.Signal(syscall.SIGKILL)
		for lines.Scan() {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				last = max(last, n)
			}
		}
		cmd.Wait()
	}
	l, err := Open(Options{Dir: dir, Zones: []string{"bronze"}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	table, err := l.Table(context.Background(), people)
	if err != nil {
		t.Fatal(err)
	}
	writes := table.Version + 1
	if writes < int64(last)+1 || writes > int64(last)+2 {
		t.Errorf("%d versions, but %d writes were said to be done", writes, last+1)
	}
	got := mustQuery(t, l, "SELECT count(*), sum(id) FROM bronze.people")[0]
	if got[0] != writes*crashRows || got[1] != writes*(crashRows*(crashRows-1)/2) {
		t.Errorf("count and sum = %v after %d writes", got, writes)
	}
	t.Logf("%d writes by 12 killed writers, all there", writes)
}

func TestConcurrentAppends(t *testing.T) {
	l := newLake(t)
	const writers, each = 4, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.WriteRows(context.Background(), people, peopleRows([]any{w*each + i, "x"}), Append, Commit{}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := mustQuery(t, l, "SELECT count(DISTINCT id), count(*) FROM bronze.people")[0]; got[0] != int64(writers*each) || got[1] != int64(writers*each) {
		t.Errorf("distinct and all = %v, want %d", got, writers*each)
	}
}

// Deletes rewrite the table; with appends between them none may take back what another did.
func TestConcurrentDeletesAndAppends(t *testing.T) {
	l := newLake(t)
	mustScript(t, l, "CREATE TABLE bronze.people AS SELECT i AS id, 'x' AS name FROM range(6) AS r(i)")
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if _, err := l.Script(context.Background(), fmt.Sprintf("DELETE FROM bronze.people WHERE id = %d", i), Commit{}, nil); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := l.Script(context.Background(), fmt.Sprintf("INSERT INTO bronze.people VALUES (%d, 'y')", 100+i), Commit{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := mustQuery(t, l, "SELECT string_agg(id, ',' ORDER BY id) FROM bronze.people")[0][0]; got != "3,4,5,100,101,102" {
		t.Errorf("ids = %v", got)
	}
}

// Any sequence of writes leaves what a list of numbers would hold.
func TestWritesAgreeWithModel(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		if n > 15 { // Each case is real files; more add time, not cases of another kind.
			return
		}
		name := Name{"bronze", fmt.Sprint("t", n)}
		var model []int64
		for range rapid.IntRange(1, 5).Draw(t, "writes") {
			values := rapid.SliceOfN(rapid.Int64Range(0, 9), 1, 5).Draw(t, "values")
			src := &rows{cols: []Column{{Name: "v", Type: "long"}}}
			for _, v := range values {
				src.data = append(src.data, []any{v})
			}
			var err error
			switch rapid.SampledFrom([]string{"append", "overwrite", "delete"}).Draw(t, "kind") {
			case "append":
				_, err = l.WriteRows(ctx, name, src, Append, Commit{}, nil)
				model = append(model, values...)
			case "overwrite":
				_, err = l.WriteRows(ctx, name, src, Overwrite, Commit{}, nil)
				model = values
			case "delete":
				if model == nil {
					continue
				}
				_, err = l.Script(ctx, "DELETE FROM "+name.String()+" WHERE v = @v", Commit{}, nil, Param{"v", values[0]})
				kept := []int64{}
				for _, v := range model {
					if v != values[0] {
						kept = append(kept, v)
					}
				}
				model = kept
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if model == nil {
			return
		}
		var sum, count int64
		for _, v := range model {
			sum, count = sum+v, count+1
		}
		res, err := l.Query(ctx, "SELECT count(*), coalesce(sum(v), 0) FROM "+name.String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Rows[0]; got[0] != count || got[1] != sum {
			t.Fatalf("count and sum = %v, want %d and %d", got, count, sum)
		}
		if table, err := l.Table(ctx, name); err != nil || table.Rows != count {
			t.Fatalf("catalogue says %d rows, %v; want %d", table.Rows, err, count)
		}
	})
}

func TestDiskFullLeavesTableUntouched(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a file system of a few megabytes can only be mounted by root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small file system to be had: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	l, err := Open(Options{Dir: dir, Zones: []string{"bronze"}, Temp: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx := context.Background()
	if _, err := l.WriteRows(ctx, people, peopleRows([]any{1, "a"}), Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	src := peopleRows()
	for i := range 300_000 {
		src.data = append(src.data, []any{i * 7919, strconv.Itoa(i * i)})
	}
	if _, err := l.WriteRows(ctx, people, src, Append, Commit{}, nil); !errors.Is(err, ErrDiskFull) {
		t.Errorf("error = %v, want %v", err, ErrDiskFull)
	}
	if got := mustQuery(t, l, "bronze.people"); len(got) != 1 {
		t.Errorf("%d rows after a full disk, want 1", len(got))
	}
	if left, _ := filepath.Glob(filepath.Join(l.Dir(people), "*.parquet")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := l.WriteRows(ctx, people, peopleRows([]any{2, "b"}), Append, Commit{}, nil); err != nil {
		t.Errorf("a small write afterwards: %v", err)
	}
}

// readByDelta is a reader that has nothing in common with ours.
const readByDelta = `
import os, sys, json
from deltalake import DeltaTable, write_deltalake
import pyarrow as pa
t = DeltaTable(sys.argv[1])
rows = t.to_pyarrow_table().to_pylist()
write_deltalake(sys.argv[1], pa.table({"id": pa.array([900], pa.int64()), "name": pa.array(["from python"])}), mode="append")
print(json.dumps({"version": t.version(), "n": len(rows), "sum": sum(r["id"] for r in rows), "types": [str(f.type) for f in t.schema().fields],
  "old": DeltaTable(sys.argv[1], version=3).to_pyarrow_table().num_rows, "adds": t.get_add_actions(flatten=True).num_rows, "all": [str(f.type) for f in DeltaTable(sys.argv[2]).schema().fields],
  "values": DeltaTable(sys.argv[2]).to_pyarrow_table().num_rows}), flush=True)
os._exit(0) # The libraries' threads may abort an ordinary exit.
`

// Tables must be readable and writable by others: here by the delta-rs library for Python. FLOWEHR_TEST_PYTHON names an
// interpreter that has it.
func TestDeltaLibraryReadsAndWritesOurTables(t *testing.T) {
	python := orElse(os.Getenv("FLOWEHR_TEST_PYTHON"), "python3")
	if err := exec.Command(python, "-c", "import deltalake, pyarrow").Run(); err != nil {
		t.Skipf("%s has no deltalake and pyarrow (pip install deltalake pyarrow): %v", python, err)
	}
	l, ctx := newLake(t), context.Background()
	for i := range 23 {
		if _, err := l.WriteRows(ctx, people, peopleRows([]any{i, "a"}), Append, Commit{Key: strconv.Itoa(i), By: "alice"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	mustScript(t, l, `DELETE FROM bronze.people WHERE id < 3;
		CREATE TABLE bronze.types AS SELECT 's' AS s, CAST(1 AS TINYINT) AS b, CAST(1 AS INT) AS i, CAST(1 AS BIGINT) AS l, CAST(1.5 AS FLOAT) AS f, CAST(1.5 AS DOUBLE) AS d, true AS t,
			DATE '2026-01-02' AS day, TIMESTAMP '2026-01-02 03:04:05.678' AS ts, CAST(1.25 AS DECIMAL(10,2)) AS de`)
	out, err := exec.Command(python, "-c", readByDelta, l.Dir(people), l.Dir(Name{"bronze", "types"})).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got struct {
		Version, N, Sum, Old, Adds, Values int
		Types, All                         []string
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got.Version != 23 || got.N != 20 || got.Sum != 22*23/2-3 || got.Old != 4 || got.Adds != 1 || got.Values != 1 {
		t.Errorf("read by the library: %+v", got)
	}
	if want := `PrimitiveType("string") PrimitiveType("byte") PrimitiveType("integer") PrimitiveType("long") PrimitiveType("float") PrimitiveType("double") PrimitiveType("boolean") PrimitiveType("date") PrimitiveType("timestamp") PrimitiveType("decimal(10,2)")`; strings.Join(got.All, " ") != want {
		t.Errorf("types = %v", got.All)
	}
	if rows := mustQuery(t, l, "SELECT name FROM bronze.people WHERE id = 900"); len(rows) != 1 || rows[0][0] != "from python" {
		t.Errorf("what the library wrote: %v", rows)
	}
}
