package compile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
)

var update = flag.Bool("update", false, "write what the cases in testdata give now")

// TestCases runs each testdata/*.txt: a definition goes in, want.json (the model, or the parts of it that the file
// "options" names after "show") and want.diag (the diagnostics) come out. Adding a case is adding a file with the
// layers and an empty want.json or want.diag, and running the test with -update.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			env, diags := run(t, archive)
			got := map[string]string{"want.diag": diagnosticText(diags), "want.json": modelText(t, env, option(archive, "show"))}
			compared := 0
			for i, f := range archive.Files {
				text, ok := got[f.Name]
				if !ok {
					continue
				}
				compared++
				if *update {
					archive.Files[i].Data = []byte(text)
				} else if diff := cmp.Diff(string(f.Data), text); diff != "" {
					t.Errorf("%s (-want +got):\n%s", f.Name, diff)
				}
				delete(got, f.Name)
			}
			if compared == 0 {
				t.Error("the case wants nothing: add want.json or want.diag")
			}
			if text := got["want.diag"]; text != "" {
				t.Errorf("diagnostics without want.diag:\n%s", text)
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// run loads and compiles the definition in an archive.
func run(t *testing.T, archive *txtar.Archive) (*flowehr.Environment, []flowehr.Diagnostic) {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, f := range archive.Files {
		fsys[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	secrets, diags := config.DotEnv(fsys)
	doc, more := config.Load(fsys, config.Options{
		Environment: option(archive, "env"), SuffixOverride: option(archive, "suffix"), InAutomation: option(archive, "automation") != "",
		AllowMissing: strings.Fields(option(archive, "allow")), Lookup: secrets,
	})
	env, last := compile.Environment(doc)
	all := slices.Concat(diags, more, last)
	flowehr.SortDiagnostics(all)
	return env, all
}

// option returns the value of a "name value" line of the file "options".
func option(archive *txtar.Archive, name string) string {
	for _, f := range archive.Files {
		if f.Name != "options" {
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
				return value
			}
		}
	}
	return ""
}

func diagnosticText(diags []flowehr.Diagnostic) string {
	var b strings.Builder
	for _, d := range diags {
		fmt.Fprintf(&b, "%s %s: %s\n", d.Pos, d.Severity, d.Summary)
		if d.Detail != "" {
			fmt.Fprintf(&b, "    %s\n", d.Detail)
		}
	}
	return b.String()
}

// modelText writes the environment, or only the fields in show.
func modelText(t *testing.T, env *flowehr.Environment, show string) string {
	t.Helper()
	full, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	if show != "" {
		all, some := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		if err := json.Unmarshal(full, &all); err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(show) {
			value, ok := all[key]
			if !ok {
				t.Fatalf("options show %q, which the model does not have", key)
			}
			some[key] = value
		}
		if full, err = json.Marshal(some); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := json.Indent(&b, full, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}
