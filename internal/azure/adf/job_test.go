package adf

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

func TestStatementsAreWrittenForSpark(t *testing.T) {
	for _, c := range []struct {
		name, text string
		params     []string
		want       []any
	}{
		{"doubled quote", "SELECT 'O''Brien'", nil, []any{`SELECT 'O\'Brien'`}},
		{"backslash", `SELECT 'c:\new\'`, nil, []any{`SELECT 'c:\\new\\'`}},
		{"name in backquotes", "SELECT `a``b` FROM `x-y`.t", nil, []any{"SELECT `a``b` FROM `x-y`.t"}},
		{"comments go", "SELECT 1 -- one\n/* two */ , 2", nil, []any{"SELECT 1 , 2"}},
		{"digits", "SELECT 1_000, 1e5", nil, []any{"SELECT 1000, 1e5"}},
		{"varchar", "CREATE TABLE gold.t (a varchar, b VARCHAR(10))", nil, []any{"CREATE TABLE gold.t (a STRING, b VARCHAR(10))"}},
		{"parameters", "SELECT @A + :b, x[1:2], c::int", []string{"a", "b"}, []any{"SELECT ", bound{"a"}, " + ", bound{"b"}, ", x[1:2], c::int"}},
		{"a colon that is none", "SELECT :b", nil, []any{"SELECT :b"}},
		{"a parameter in a text is text", "SELECT '@a'", []string{"a"}, []any{"SELECT '@a'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := sparkScript(c.text, c.params)
			if err != nil || len(got) != 1 || !cmp.Equal(got[0].SQL, c.want) {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}

// sparkTokens reads what was written for Spark by Spark's rules for texts and names, as far as they differ.
func sparkTexts(t interface{ Fatalf(string, ...any) }, sql string) []string {
	var out []string
	for i := 0; i < len(sql); i++ {
		switch sql[i] {
		case '`':
			for i++; i < len(sql) && (sql[i] != '`' || i+1 < len(sql) && sql[i+1] == '`'); i++ {
				if sql[i] == '`' {
					i++
				}
			}
		case '\'':
			var b strings.Builder
			for i++; ; i++ {
				if i >= len(sql) {
					t.Fatalf("a text of %q has no end", sql)
					return nil
				}
				if sql[i] == '\'' {
					break
				}
				if sql[i] == '\\' {
					i++
				}
				b.WriteByte(sql[i])
			}
			out = append(out, b.String())
		}
	}
	return out
}

func FuzzSparkStatements(f *testing.F) {
	f.Add(`SELECT 'it''s \', "x" FROM t; DROP TABLE a.b`)
	f.Add("SELECT '\\''; -- '\nSELECT `'`, '`'")
	f.Fuzz(func(t *testing.T, text string) {
		script, err := sparkScript(text, nil)
		if err != nil {
			return
		}
		parts, err := sqltext.Split(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range script {
			var want []string
			for _, token := range parts[i].Tokens {
				if token.Kind == sqltext.Text {
					want = append(want, token.Value)
				}
			}
			sql, _ := s.SQL[0].(string)
			if got := sparkTexts(t, sql); !slices.Equal(got, want) {
				t.Errorf("%q holds the texts %q, Spark reads %q from %q", text, want, got, sql)
			}
		}
	})
}

// scope answers like a run.
type scope struct{ item expr.Value }

func (s scope) Call(function string, _ []expr.Value) (expr.Value, bool, error) {
	switch function {
	case "item":
		return s.item, true, nil
	case "pipeline":
		return object("parameters", object("n", int64(7), "s", `q"'\`, "z", nil), "RunId", "run-1"), true, nil
	}
	return nil, false, nil
}

// TestArgumentsArriveAsTheyAre: what a job gets from Data Factory is the value that the expression has on one machine.
func TestArgumentsArriveAsTheyAre(t *testing.T) {
	expressions := []string{"@item()", "@item().a", " plain", "@{item()}", "x @{pipeline().parameters.s} y", "@pipeline().parameters.n", "@pipeline().parameters.z ",
		"@concat('a', pipeline().parameters.s)", "@createArray(1, 'b', item())", "@@escaped", "@@{no} @{pipeline().RunId}", "@json('{\"k\": [1, 2.5, null]}')", "@equals(1, 1)"}
	rapid.Check(t, func(t *rapid.T) {
		env := expr.Env{Scope: scope{object("a", anyValue(t, 2))}}
		var written expr.Value = rapid.SampledFrom(expressions).Draw(t, "expression")
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			written = object("value", written, "type", "Expression")
		case 1:
			written = []expr.Value{written, int64(1)}
		case 2:
			written = object("k", written)
		}
		want, err := env.Evaluate(written)
		if err != nil {
			t.Skip(err)
		}
		args := &arguments{}
		job, err := json.Marshal(args.of(written))
		if err != nil {
			t.Fatal(err)
		}
		var argv []string
		for _, a := range args.list {
			v, err := env.Evaluate(a)
			if err != nil {
				t.Fatal(err)
			}
			argv = append(argv, expr.Text(v))
		}
		tree, err := expr.DecodeJSON(job)
		if err != nil {
			t.Fatal(err)
		}
		if got := arrive(t, tree, argv); string(canonical(got)) != string(canonical(want)) {
			t.Fatalf("%s arrives as %s, is %s", canonical(written), canonical(got), canonical(want))
		}
	})
}

// arrive puts arguments in their places as the program of a job does.
func arrive(t *rapid.T, v expr.Value, argv []string) expr.Value {
	switch v := v.(type) {
	case []expr.Value:
		for i := range v {
			v[i] = arrive(t, v[i], argv)
		}
	case *expr.Object:
		if n, ok := value(v, "$argument").(int64); ok {
			text := argv[n]
			if value(v, "form") == "text" {
				return text
			}
			list, err := expr.DecodeJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			return list.([]expr.Value)[0]
		}
		for k, e := range v.All() {
			v.Set(k, arrive(t, e, argv))
		}
	}
	return v
}

// counts is a lake that answers every counting query with the same numbers.
type counts struct {
	activity.Lake
	total, bad int64
}

func (c counts) Query(_ context.Context, sql string, _ int, _ ...lake.Param) (lake.Result, error) {
	if !strings.Contains(sql, " as total, ") {
		return lake.Result{}, nil
	}
	return lake.Result{Columns: []lake.Column{{Name: "total", Type: "long"}, {Name: "bad", Type: "long"}}, Rows: [][]any{{c.total, c.bad}}}, nil
}

// plainPython is a Python that need not have pyspark.
func plainPython(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	return path
}

// TestAssertionsFailInTheSameWords compares what a job raises with what the activity says on one machine.
func TestAssertionsFailInTheSameWords(t *testing.T) {
	python := plainPython(t)
	const assertions = `[{"table":"gold.t","rows":{"min":1}},{"table":"gold.t","rows":{"min":2,"max":1000}},{"table":"gold.t","rows":{"max":5}},{"table":"gold.t","not_null":["a","b"]},
		{"table":"gold.t","unique":["a"]},{"table":"gold.t","unique":["a","b"]},{"table":"gold.t","range":{"column":"n","min":-1,"max":2.5}},{"table":"gold.t","range":{"column":"n","min":"x"}},
		{"table":"gold.t","references":{"column":"a","table":"silver.u"}},{"table":"gold.t","references":{"columns":["a","b"],"table":"silver.u","to":["c","d"]}},
		{"name":"my own","table":"gold.t","sql":"SELECT a FROM gold.t"},{"sql":"SELECT 1 FROM gold.t","severity":"warning"},{"sql":"SELECT 2 FROM gold.t"}]`
	r, ds := Lower(bundle(t, "p", scriptOf(`"assertions":`+assertions)), options())
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	for _, n := range []counts{{total: 48211, bad: 3}, {total: 0, bad: 0}, {total: 1, bad: 1}, {total: 1234567, bad: 1000}} {
		t.Run(fmt.Sprintf("%d of %d", n.bad, n.total), func(t *testing.T) {
			local := ""
			_, err := activity.New(activity.Deps{Lake: n})["Script"].Run(t.Context(), engine.Call{
				LinkedService: &engine.LinkedService{Name: LakeService}, Properties: raw(t, `{"assertions":`+assertions+`}`), Log: func(string, ...any) {}})
			if err != nil {
				local = err.Error()
			}
			code := strings.Replace(r.Files[0].Content, "\n\nrun(json.loads(", "\n\njob = (json.loads(", 1)
			code += fmt.Sprintf(`
class Row(tuple):
    def asDict(self):
        return {}
class Spark:
    def sql(self, text):
        rows = [Row((%d, %d))] if " as total, " in text else []
        return type("Rows", (), {"collect": lambda self: rows})()
try:
    check(Spark(), job[0]["job"]["assertions"])
except AssertionFailed as e:
    sys.stderr.write(str(e))
`, n.total, n.bad)
			path := filepath.Join(t.TempDir(), "job.py")
			if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			var failed strings.Builder
			cmd := exec.CommandContext(t.Context(), python, path)
			cmd.Stderr = &failed
			if err := cmd.Run(); err != nil {
				t.Fatal(err, failed.String())
			}
			if got := failed.String(); !strings.HasSuffix(local, got) || (got == "") != (local == "") {
				t.Errorf("on one machine: %s\nin Azure:       %s", local, got)
			}
		})
	}
}

func TestJobsOfTheDemoAreOnlyTheirOwn(t *testing.T) {
	r, _ := LowerAll(demoInAzure(t), options())
	seen := map[string]bool{}
	for _, f := range r.Files {
		if seen[f.Path] {
			t.Errorf("%s is there twice", f.Path)
		}
		seen[f.Path] = true
		if !strings.HasPrefix(f.Path, "dbfs:/pipelines/") || strings.ContainsAny(f.Path, " '\"") || !strings.Contains(f.Path, f.Digest()[:12]) {
			t.Errorf("path %s", f.Path)
		}
		if strings.Contains(f.Content, "${") || strings.Contains(f.Content, "EPR_PASSWORD") {
			t.Errorf("%s names a secret", f.Path)
		}
	}
	if len(seen) == 0 {
		t.Error("there are no jobs")
	}
}
