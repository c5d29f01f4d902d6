//go:build cgo

package lake

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// With the least memory folders of many small files must be readable, several at once.
func TestLittleMemoryIsEnoughForSmallFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		csv, json := "id,name\n", ""
		for j := range 20 {
			csv += fmt.Sprintf("%d,file %d\n", j, i)
			json += fmt.Sprintf(`{"id":%d,"name":"file %d"}`+"\n", j, i)
		}
		for name, text := range map[string]string{"%03d.csv": csv, "%03d.ndjson": json} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf(name, i)), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := Open(Options{Dir: t.TempDir(), Zones: []string{"bronze"}, MemoryMB: 1, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	columns := []FileColumn{{Name: "id", Type: "long"}, {Name: "name"}}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			src := FileSource{Format: FormatCSV, CSV: CSV{Header: true}, Columns: columns, Paths: []string{filepath.Join(dir, "*.csv")}}
			if i%2 == 1 {
				src = FileSource{Format: FormatNDJSON, Columns: columns, Paths: []string{filepath.Join(dir, "*.ndjson")}}
			}
			w, err := l.WriteFiles(context.Background(), Name{"bronze", fmt.Sprint("t", i)}, src, Append, Commit{}, nil)
			if err != nil || w.Rows != 200*20 {
				t.Errorf("written = %+v, %v", w, err)
			}
		})
	}
	all.Wait()
}

// A lake-to-lake copy holds a reader while it writes. Many at once must not wait for each other's memory.
func TestReadersDoNotWaitForWriters(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	mustScript(t, l, "CREATE TABLE bronze.t AS SELECT 1 AS a")
	var releases []func()
	for range 3 {
		_, release, err := l.memory.writing(ctx)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	b, err := l.Export(ctx, "bronze.t")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := mustQuery(t, l, "SELECT count(*) FROM bronze.t"); got[0][0] != int64(1) {
		t.Errorf("rows = %v", got)
	}
	for _, release := range releases {
		release()
	}
}

// A line beyond the usual length is read with larger buffers.
func TestLongLineOfNDJSON(t *testing.T) {
	l := newLake(t)
	text := `{"id":1}` + "\n" + `{"id":2,"data":"` + strings.Repeat("x", usualLine+1000) + `"}` + "\n"
	w, err := l.WriteFiles(context.Background(), obs, FileSource{Format: FormatNDJSON, Paths: []string{writeFile(t, "a.ndjson", text)}, Columns: []FileColumn{{Name: "id", Type: "long"}, {Name: "data"}}}, Append, Commit{}, nil)
	if err != nil || w.Rows != 2 {
		t.Errorf("written = %+v, %v", w, err)
	}
}
