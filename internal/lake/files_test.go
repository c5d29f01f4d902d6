//go:build cgo

package lake

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeFile makes a file of the test's own; one that ends in .gz is packed.
func writeFile(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	b := []byte(text)
	if strings.HasSuffix(name, ".gz") {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		z.Write(b)
		z.Close()
		b = buf.Bytes()
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

var obs = Name{"bronze", "obs"}

func TestWriteFilesReadsEachFormat(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	header := CSV{Header: true}
	bundle := `{"resourceType":"Bundle","entry":[
		{"resource":{"resourceType":"Patient","id":"p1","name":[{"family":"A"}]}},
		{"resource":{"resourceType":"Observation","id":"o1"}}]}`
	for name, tc := range map[string]struct {
		file, text string
		src        FileSource
		want       [][]any
	}{
		"csv, all text":      {"a.csv", "id,day\n1,x\n2,\n", FileSource{Format: FormatCSV, CSV: header}, [][]any{{"1", "x"}, {"2", nil}}},
		"csv, declared":      {"a.csv", "day,id\r\n2026-01-02,1\r\n", FileSource{Format: FormatCSV, CSV: header, Columns: []FileColumn{{Name: "n", Type: "long", Path: "ID"}, {Name: "day", Type: "date"}}}, [][]any{{int64(1), day}}},
		"csv, inferred":      {"a.csv", "id,day\n1,2026-01-02\n", FileSource{Format: FormatCSV, CSV: header, InferTypes: true}, [][]any{{int64(1), day}}},
		"csv, no header":     {"a.csv", "1;'a;''b'\n2;NA\n", FileSource{Format: FormatCSV, CSV: CSV{Delimiter: ";", Quote: "'", NullValue: "NA"}, Columns: []FileColumn{{Name: "a", Type: "long"}, {Name: "b"}}}, [][]any{{int64(1), "a;'b"}, {int64(2), nil}}},
		"csv, packed":        {"a.csv.gz", "id\n1\n", FileSource{Format: FormatCSV, CSV: header}, [][]any{{"1"}}},
		"csv, latin-1":       {"a.csv", "n\xe4me\n\xe9\n", FileSource{Format: FormatCSV, CSV: CSV{Header: true, Encoding: "latin-1"}}, [][]any{{"é"}}},
		"csv, byte order":    {"a.csv", "\xef\xbb\xbfid\n1\n", FileSource{Format: FormatCSV, CSV: header, Columns: []FileColumn{{Name: "id", Type: "long"}}}, [][]any{{int64(1)}}},
		"csv, lines inside":  {"a.csv", "a,b\n\"x\ny\",1\n", FileSource{Format: FormatCSV, CSV: header}, [][]any{{"x\ny", "1"}}},
		"ndjson, detected":   {"a.ndjson", "{\"id\":1,\"n\":{\"a\":[1]},\"day\":\"2026-01-02\"}\n{\"id\":2,\"l\":[\"x\"]}\n", FileSource{Format: FormatNDJSON}, [][]any{{int64(1), `{"a":[1]}`, day, nil}, {int64(2), nil, nil, `["x"]`}}},
		"ndjson, paths":      {"a.ndjson.gz", "{\"id\":\"1\",\"s\":{\"r\":\"P/1\"},\"c\":{\"coding\":[{\"code\":\"x\"},{\"code\":\"y\"}]}}\n{\"id\":\"2\"}\n", FileSource{Format: FormatNDJSON, Columns: []FileColumn{{Name: "id"}, {Name: "ref", Path: "$.s.r"}, {Name: "code", Path: "$.c.coding[1].code"}}}, [][]any{{"1", "P/1", "y"}, {"2", nil, nil}}},
		"ndjson, whole":      {"a.ndjson", "{\"id\":\"1\",\"s\":{\"r\":2}}\n", FileSource{Format: FormatNDJSON, Columns: []FileColumn{{Name: "all", Path: "$"}, {Name: "r", Type: "long", Path: "$.s.r"}}}, [][]any{{`{"id":"1","s":{"r":2}}`, int64(2)}}},
		"ndjson, one inside": {"a.ndjson", "{\"s\":{\"r\":2}}\n", FileSource{Format: FormatNDJSON, Columns: []FileColumn{{Name: "s"}, {Name: "r", Type: "long", Path: "$.s.r"}}}, [][]any{{`{"r":2}`, int64(2)}}},
		"json, array":        {"a.json", `[{"id":1},{"id":2}]`, FileSource{Format: FormatJSON}, [][]any{{int64(1)}, {int64(2)}}},
		"json, one object":   {"a.json", "{\n \"id\":1\n}", FileSource{Format: FormatJSON, Columns: []FileColumn{{Name: "id", Type: "double"}}}, [][]any{{1.0}}},
		"bundle, everything": {"b.json", bundle, FileSource{Format: FormatBundle, Columns: []FileColumn{{Name: "resourceType"}, {Name: "id"}}}, [][]any{{"Observation", "o1"}, {"Patient", "p1"}}},
		"bundle, patients":   {"b.json", bundle, FileSource{Format: FormatBundle, ResourceType: "Patient", Columns: []FileColumn{{Name: "family", Path: "$.name[0].family"}}}, [][]any{{"A"}}},
		"bundle, raw":        {"b.json", bundle, FileSource{Format: FormatBundle, ResourceType: "Observation"}, [][]any{{"Observation", "o1", `{"resourceType":"Observation","id":"o1"}`}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t)
			tc.src.Paths = []string{writeFile(t, tc.file, tc.text)}
			w, err := l.WriteFiles(context.Background(), obs, tc.src, Append, Commit{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if w.Rows != int64(len(tc.want)) || w.Read != w.Rows || w.Skipped != 0 {
				t.Errorf("written = %+v", w)
			}
			if d := cmp.Diff(tc.want, mustQuery(t, l, "SELECT * FROM bronze.obs ORDER BY ALL")); d != "" {
				t.Errorf("rows (-want +got):\n%s", d)
			}
		})
	}
}

func TestWriteFilesMatchesHeadersByName(t *testing.T) {
	l := newLake(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"1.csv": "a,b\n1,x\n", "2.csv": "b,a\ny,2\n", "3.csv": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := FileSource{Format: FormatCSV, Paths: []string{filepath.Join(dir, "*.csv")}, CSV: CSV{Header: true}, Columns: []FileColumn{{Name: "a", Type: "long"}, {Name: "b"}}}
	if _, err := l.WriteFiles(context.Background(), obs, src, Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]any{{int64(1), "x"}, {int64(2), "y"}}, mustQuery(t, l, "SELECT a, b FROM bronze.obs ORDER BY a")); d != "" {
		t.Error(d)
	}
	src.Columns = []FileColumn{{Name: "c"}}
	if _, err := l.WriteFiles(context.Background(), obs, src, Overwrite, Commit{}, nil); err == nil || !strings.Contains(err.Error(), "column c is not in the header") {
		t.Errorf("error = %v", err)
	}
}

func TestParquetRoundTrip(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	mustScript(t, l, "CREATE TABLE bronze.a AS SELECT i AS id, i / 2 AS half FROM range(100) AS r(i)")
	paths, err := l.Files(ctx, Name{"bronze", "a"})
	if err != nil {
		t.Fatal(err)
	}
	src := FileSource{Format: FormatParquet, Paths: paths, Columns: []FileColumn{{Name: "half"}, {Name: "text", Path: "id", Type: "string"}}}
	if _, err := l.WriteFiles(ctx, obs, src, Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]any{{int64(100), 2475.0, "99"}}, mustQuery(t, l, "SELECT count(*), sum(half), max(text) FROM bronze.obs")); d != "" {
		t.Error(d)
	}
}

func TestBadRowsAreNamedOrPutAside(t *testing.T) {
	many := strings.Builder{}
	for i := range 5000 {
		fmt.Fprintf(&many, "{\"id\":%d,\"d\":{\"x\":1}}\n", i)
	}
	good := many.String()
	cols := []FileColumn{{Name: "id", Type: "long"}, {Name: "x", Type: "double", Path: "$.d.x"}}
	csvCols := []FileColumn{{Name: "a", Type: "long"}, {Name: "b"}}
	for name, tc := range map[string]struct {
		file, text string
		src        FileSource
		lines      []int64
		reason     string
		records    []string
		rows       int64
	}{
		"ndjson, not json":     {"a.ndjson", good + "{oops\n{\"id\":1}\n", FileSource{Format: FormatNDJSON, Columns: cols}, []int64{5001}, "not JSON", []string{"{oops"}, 5001},
		"ndjson, first line":   {"a.ndjson", "nope\n" + good, FileSource{Format: FormatNDJSON, Columns: cols}, []int64{1}, "not JSON", []string{"nope"}, 5000},
		"ndjson, cut off":      {"a.ndjson", good + "{\"id\":1,\"d\":", FileSource{Format: FormatNDJSON, Columns: cols}, []int64{5001}, "not JSON", []string{`{"id":1,"d":`}, 5000},
		"ndjson, wrong type":   {"a.ndjson.gz", good + "{\"id\":\"Smith\"}\n\n{\"d\":7}\n", FileSource{Format: FormatNDJSON, Columns: cols}, []int64{5001, 5003}, "not of its column's type", []string{`{"id":"Smith"}`, `{"d":7}`}, 5000},
		"ndjson, not object":   {"a.ndjson", good + "[1]\n", FileSource{Format: FormatNDJSON, Columns: cols}, []int64{5001}, "not a JSON object", []string{"[1]"}, 5000},
		"ndjson, detected":     {"a.ndjson", good + "{oops\n", FileSource{Format: FormatNDJSON}, []int64{5001}, "not JSON", []string{"{oops"}, 5000},
		"ndjson, with whole":   {"a.ndjson", good + "{oops\n{\"id\":\"Smith\"}\n", FileSource{Format: FormatNDJSON, Columns: append([]FileColumn{{Name: "all", Path: "$"}}, cols...)}, []int64{5001, 5002}, "not JSON", []string{"{oops", `{"id":"Smith"}`}, 5000},
		"csv, wrong type":      {"a.csv", "a,b\n1,x\nSmith,y\n3,z\n", FileSource{Format: FormatCSV, CSV: CSV{Header: true}, Columns: csvCols}, []int64{3}, "column a: the value is not of its type", []string{"Smith,y"}, 2},
		"csv, too many fields": {"a.csv", "a,b\n1,x,y\n2,z\n", FileSource{Format: FormatCSV, CSV: CSV{Header: true}, Columns: csvCols}, []int64{2}, "more fields", []string{"1,x,y"}, 1},
		"csv, too few fields":  {"a.csv", "a,b\n1\n2,z\n", FileSource{Format: FormatCSV, CSV: CSV{Header: true}, Columns: csvCols}, []int64{2}, "fewer fields", []string{"1"}, 1},
		"csv, open quote":      {"a.csv", "a,b\n2,z\n1,\"x\n", FileSource{Format: FormatCSV, CSV: CSV{Header: true}, Columns: csvCols}, []int64{3}, "quote has no end", []string{"1,\"x"}, 1},
		"bundle, cut off":      {"a.json", "{\"entry\":\n[{\"resource\"", FileSource{Format: FormatBundle}, []int64{2}, "not JSON", []string{"{\"entry\":\n[{\"resource\""}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, ctx := newLake(t), context.Background()
			path := writeFile(t, tc.file, tc.text)
			tc.src.Paths = []string{path}
			_, err := l.WriteFiles(ctx, obs, tc.src, Append, Commit{}, nil)
			bad, ok := errors.AsType[*BadRowError](err)
			if !ok {
				t.Fatalf("error = %v, want a BadRowError", err)
			}
			if bad.File != path || bad.Line != tc.lines[0] || !strings.Contains(bad.Reason, tc.reason) {
				t.Errorf("error = %v, want line %d and %q", bad, tc.lines[0], tc.reason)
			}
			if strings.Contains(err.Error(), "Smith") {
				t.Errorf("error %q has the value in it", err)
			}
			if _, err := l.Table(ctx, obs); !errors.Is(err, ErrNotFound) {
				t.Fatalf("table after a bad row: %v", err)
			}

			if tc.src.Format == FormatBundle { // Alone it leaves nothing to read.
				other := writeFile(t, "good.json", `{"resourceType":"Bundle","entry":[]}`)
				tc.src.Paths = append(tc.src.Paths, other)
			}
			tc.src.BadRows = Quarantine
			w, err := l.WriteFiles(ctx, obs, tc.src, Append, Commit{RunID: "run/1"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if w.Rows != tc.rows || w.Skipped != int64(len(tc.lines)) || w.Read != w.Rows+w.Skipped {
				t.Errorf("written = %+v, want %d rows and %d skipped", w, tc.rows, len(tc.lines))
			}
			if want := filepath.Join(l.dir, "_quarantine", "bronze.obs", "run_1.ndjson"); w.Quarantine != want {
				t.Errorf("quarantine = %s, want %s", w.Quarantine, want)
			}
			b, err := os.ReadFile(w.Quarantine)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
				var r badRecord
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				if r.File != path || r.Line != tc.lines[i] || strings.TrimSpace(r.Record) != tc.records[i] || r.Reason == "" {
					t.Errorf("record %d = %+v", i, r)
				}
			}
		})
	}
}

func TestFHIRSample(t *testing.T) {
	root := os.Getenv("FLOWEHR_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "health", "smart-fhir-r4")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no shared data: set FLOWEHR_TEST_DATA to the folder that has health/smart-fhir-r4")
	}
	l, ctx := newLake(t), context.Background()
	src := FileSource{Format: FormatNDJSON, Paths: []string{filepath.Join(dir, "ndjson", "Observation*.ndjson.gz")}, Columns: []FileColumn{
		{Name: "id"}, {Name: "patient", Path: "$.subject.reference"}, {Name: "code", Path: "$.code.coding[0].code"}, {Name: "value", Type: "double", Path: "$.valueQuantity.value"}, {Name: "at", Type: "timestamp", Path: "$.effectiveDateTime"},
	}}
	w, err := l.WriteFiles(ctx, obs, src, Append, Commit{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.Rows != 17153 {
		t.Errorf("observations = %d, want 17153", w.Rows)
	}
	for _, kind := range []string{"Patient", "Observation"} {
		n := Name{"bronze", strings.ToLower(kind) + "_bundle"}
		src := FileSource{Format: FormatBundle, Paths: []string{filepath.Join(dir, "bundles", "*.json")}, ResourceType: kind}
		w, err := l.WriteFiles(ctx, n, src, Append, Commit{}, nil)
		if err != nil || w.Rows == 0 || kind == "Patient" && w.Rows != 10 {
			t.Errorf("%s: %+v, %v", kind, w, err)
		}
	}
	all, err := filepath.Glob(filepath.Join(dir, "ndjson", "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		w, err := l.WriteFiles(ctx, Name{"silver", fmt.Sprint("detected_", i)}, FileSource{Format: FormatNDJSON, Paths: []string{p}}, Append, Commit{}, nil)
		if err != nil || w.Rows == 0 {
			t.Errorf("%s: %+v, %v", filepath.Base(p), w, err)
		}
	}
}
