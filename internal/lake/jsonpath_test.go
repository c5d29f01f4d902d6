//go:build cgo

package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Objects are read in two ways: through a structure, and whole when a column is the object itself or a file is a
// bundle. What is in the columns must not depend on the way.
var jsonWays = map[string]func(objects []string, columns []FileColumn) (FileSource, string, string){
	"structure": func(objects []string, columns []FileColumn) (FileSource, string, string) {
		return FileSource{Format: FormatNDJSON, Columns: columns}, "a.ndjson", strings.Join(objects, "\n")
	},
	"whole": func(objects []string, columns []FileColumn) (FileSource, string, string) {
		return FileSource{Format: FormatNDJSON, Columns: append(columns[:len(columns):len(columns)], FileColumn{Name: "everything", Path: "$"})}, "a.ndjson", strings.Join(objects, "\n")
	},
	"array": func(objects []string, columns []FileColumn) (FileSource, string, string) {
		return FileSource{Format: FormatJSON, Columns: columns}, "a.json", "[" + strings.Join(objects, ",\n") + "]"
	},
	"bundle": func(objects []string, columns []FileColumn) (FileSource, string, string) {
		text := `{"resourceType": "Bundle", "type": "searchset", "entry": [{"response": {"status": "204"}}`
		for _, o := range objects {
			text += `, {"fullUrl": "urn:x", "resource": ` + o + `}`
		}
		return FileSource{Format: FormatBundle, Columns: columns}, "a.json", text + "]}"
	},
}

func TestFieldsThatMayBeMissing(t *testing.T) {
	family := []FileColumn{{Name: "id"}, {Name: "family", Path: "$.name[0].family"}}
	tests := []struct {
		name    string
		objects []string
		columns []FileColumn
		want    [][]any
	}{
		{"missing", []string{`{"id":"1"}`}, family, [][]any{{"1", nil}}},
		{"null", []string{`{"id":"1","name":null}`, `{"id":"2","name":[null]}`, `{"id":null,"name":[{"family":null}]}`}, family, [][]any{{"1", nil}, {"2", nil}, {nil, nil}}},
		{"in some only", []string{`{"id":"1","name":[{"family":"A"},{"family":"B"}]}`, `{"id":"2","name":[]}`, `{"id":"3","name":[{"given":["x"]}]}`, `{"name":[{"family":"D"}]}`}, family,
			[][]any{{"1", "A"}, {"2", nil}, {"3", nil}, {nil, "D"}}},
		{"in none", []string{`{"x":1}`}, family, [][]any{{nil, nil}}},
		{"later elements", []string{`{"c":[{"v":1},{"v":2}]}`, `{"c":[{"v":3}]}`}, []FileColumn{{Name: "a", Type: "long", Path: "$.c[0].v"}, {Name: "b", Type: "long", Path: "$.c[1].v"}}, [][]any{{int64(1), int64(2)}, {int64(3), nil}}},
		{"lists in lists", []string{`{"r":[[1,2],[3]]}`, `{"r":[[4]]}`}, []FileColumn{{Name: "v", Type: "integer", Path: "$.r[1][0]"}}, [][]any{{int64(3)}, {nil}}},
		{"objects as text", []string{`{"v":{"a":[1,"x"]}}`, `{"v":[true]}`, `{"v":"s"}`, `{"v":1.5}`, `{"v":false}`, `{}`}, []FileColumn{{Name: "v"}},
			[][]any{{`{"a":[1,"x"]}`}, {`[true]`}, {"s"}, {"1.5"}, {"false"}, {nil}}},
		{"numbers and text", []string{`{"v":7}`, `{"v":"8"}`, `{"v":null}`}, []FileColumn{{Name: "v", Type: "long"}}, [][]any{{int64(7)}, {int64(8)}, {nil}}},
		{"names with blanks", []string{`{"a b":{"c.d":1}}`, `{"a b":{}}`}, []FileColumn{{Name: "v", Type: "long", Path: "$['a b']['c.d']"}}, [][]any{{int64(1)}, {nil}}},
	}
	for way, make := range jsonWays {
		for _, tt := range tests {
			t.Run(way+"/"+tt.name, func(t *testing.T) {
				l := newLake(t)
				src, file, text := make(tt.objects, tt.columns)
				src.Paths = []string{writeFile(t, file, text)}
				w, err := l.WriteFiles(context.Background(), obs, src, Append, Commit{}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if w.Rows != int64(len(tt.objects)) || w.Skipped != 0 {
					t.Errorf("written = %+v, want %d rows", w, len(tt.objects))
				}
				var list []string
				for _, c := range tt.columns {
					list = append(list, c.Name)
				}
				// A table has no order: rows are compared as a set.
				got := mustQuery(t, l, "SELECT "+strings.Join(list, ", ")+" FROM bronze.obs")
				if d := cmp.Diff(sortedRows(tt.want), sortedRows(got)); d != "" {
					t.Errorf("rows (-want +got):\n%s", d)
				}
			})
		}
	}
}

// What has another type than its column, or is no object or list where a path goes on, is not taken for missing.
func TestMixedTypesAreNotLost(t *testing.T) {
	columns := []FileColumn{{Name: "n", Type: "long"}, {Name: "code", Path: "$.code.coding[0].code"}, {Name: "at", Type: "timestamp"}}
	for _, bad := range []string{`{"n":"Smith"}`, `{"n":{"x":1}}`, `{"n":[1]}`, `{"n":99999999999999999999}`, `{"code":"Smith"}`, `{"code":{"coding":{"code":"x"}}}`, `{"code":{"coding":["Smith"]}}`, `{"at":"yesterday"}`} {
		for way, make := range jsonWays {
			t.Run(way+"/"+bad, func(t *testing.T) {
				l, ctx := newLake(t), context.Background()
				src, file, text := make([]string{`{"n":1,"code":{"coding":[{"code":"x"}]}}`, bad}, columns)
				src.Paths = []string{writeFile(t, file, text)}
				_, err := l.WriteFiles(ctx, obs, src, Append, Commit{}, nil)
				e, ok := errors.AsType[*BadRowError](err)
				if !ok || e.Reason == "" || strings.Contains(e.Reason, "Smith") {
					t.Fatalf("error = %v, want a BadRowError without the value", err)
				}
				if src.Format != FormatNDJSON {
					return // One file is one record there.
				}
				src.BadRows = Quarantine
				w, err := l.WriteFiles(ctx, obs, src, Append, Commit{}, nil)
				if err != nil || w.Rows != 1 || w.Skipped != 1 {
					t.Errorf("written = %+v, %v, want 1 row and 1 skipped", w, err)
				}
			})
		}
	}
}

func TestBundleMustBeOne(t *testing.T) {
	l := newLake(t)
	for _, text := range []string{`{"resourceType":"Patient","id":"1"}`, `{"entry":[{"resource":{"id":"1"}}]}`} {
		src := FileSource{Format: FormatBundle, Paths: []string{writeFile(t, "a.json", text)}}
		_, err := l.WriteFiles(context.Background(), obs, src, Append, Commit{}, nil)
		if e, ok := errors.AsType[*BadRowError](err); !ok || !strings.Contains(e.Reason, "not a FHIR bundle") {
			t.Errorf("%s: error = %v", text, err)
		}
	}
}

func FuzzJSONPath(f *testing.F) {
	for _, s := range []string{"$", "$.a.b[0].c", "$['a b'][2]['c.d']", "$.", "$[", "$['", "$[0]", `$."a"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		steps, err := parsePath(path)
		if err != nil {
			return
		}
		var again strings.Builder
		again.WriteByte('$')
		for _, s := range steps {
			if s.index >= 0 {
				fmt.Fprintf(&again, "[%d]", s.index)
				continue
			}
			again.WriteString("['" + s.field + "']")
		}
		back, err := parsePath(again.String())
		if err != nil || fmt.Sprint(back) != fmt.Sprint(steps) {
			t.Errorf("%q is read as %v, and that, written out, as %v, %v", path, steps, back, err)
		}
	})
}

// sortedRows puts rows into one order, whatever order they came in.
func sortedRows(rows [][]any) [][]any {
	return slices.SortedFunc(slices.Values(rows), func(a, b []any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}
