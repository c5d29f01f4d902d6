package config_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/config"
)

var update = flag.Bool("update", false, "write goldens and the generated schema")

// TestShow compares the merged definition with testdata/show/*.txt in its three forms.
func TestShow(t *testing.T) {
	files, err := filepath.Glob("testdata/show/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fsys := archiveFS(archive)
			secrets, _ := config.DotEnv(fsys)
			doc, _ := config.Load(fsys, config.Options{Lookup: secrets})
			for i, f := range archive.Files {
				options, ok := map[string]config.ShowOptions{
					"want.yaml": {}, "want.origin": {Origin: true}, "want.json": {JSON: true}, "want.json.origin": {JSON: true, Origin: true},
				}[f.Name]
				if !ok {
					continue
				}
				var b bytes.Buffer
				if err := doc.Show(&b, options); err != nil {
					t.Fatal(err)
				}
				if *update {
					archive.Files[i].Data = b.Bytes()
				} else if diff := cmp.Diff(string(f.Data), b.String()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", f.Name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestShowIsReadAgainTheSame shows a definition, reads what was shown and shows that: nothing may change on the way.
func TestShowIsReadAgainTheSame(t *testing.T) {
	first := show(t, fstest.MapFS{"config.yaml": {Data: []byte(`
flowehr_id: "007"
environment: "yes"
tags: {plain: a b, colon: "a: b", hash: "a #b", empty: "", quote: 'it''s "so"', line: "a\nb", dash: "- a", star: "*a", number: "1", true: "true", "odd key:": x, unicode: Żłobek}
transform: {spark_version: 3.30, spark_config: {a.b: 1e3}, datalake: {zones: [bronze, "200"]}, repositories: [], databricks_cluster: {}}
accesses_real_data: no
`)}})
	if second := show(t, fstest.MapFS{"config.yaml": {Data: []byte(first)}}); first != second {
		t.Errorf("shown once:\n%s\nshown again:\n%s", first, second)
	}
}

func show(t *testing.T, fsys fs.FS) string {
	t.Helper()
	doc, diags := config.Load(fsys, config.Options{})
	if flowehr.HasErrors(diags) {
		t.Fatalf("unexpected diagnostics: %v", diags)
	}
	var b strings.Builder
	if err := doc.Show(&b, config.ShowOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFilesSaysWhatWasRead(t *testing.T) {
	doc, _ := config.Load(fstest.MapFS{
		"config.yaml": {Data: []byte("flowehr_id: a\nenvironment: dev\n")}, "apps/apps.dev.yaml": {Data: []byte("")}, "config.prod.yaml": {Data: []byte("{")},
	}, config.Options{Environment: "dev"})
	want := []config.File{
		{Name: "config.yaml", Found: true}, {Name: "config.dev.yaml"}, {Name: "apps/apps.yaml"}, {Name: "apps/apps.dev.yaml", Found: true},
	}
	if diff := cmp.Diff(want, doc.Files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if d, missing := doc.MissingEnvironmentFile(); !missing || d.Pos.File != "config.dev.yaml" {
		t.Errorf("missing environment file: got %v, %v", d, missing)
	}
}

func TestMissingEnvironmentFileIsFineWhenThereIsOne(t *testing.T) {
	doc, _ := config.Load(fstest.MapFS{"config.local.yaml": {}}, config.Options{})
	if d, missing := doc.MissingEnvironmentFile(); missing {
		t.Errorf("unexpected %v", d)
	}
}

func TestSecretsListsEveryPlace(t *testing.T) {
	doc, _ := config.Load(fstest.MapFS{"config.yaml": {Data: []byte(`
flowehr_id: ${ID}
environment: local
transform:
  spark_config: {a: "${A} ${B} ${A}", b: "$${C}"}
  databricks_secrets: {c: "${A}"}
`)}}, config.Options{Lookup: func(name string) (string, bool) { return "x", name != "B" }})
	var got []string
	for _, r := range doc.Secrets() {
		line := strings.Join([]string{r.Name, r.Pos.String(), r.Path}, " ")
		if r.Held {
			line += " held"
		}
		if r.Resolved {
			line += " resolved"
		}
		got = append(got, line)
	}
	want := []string{
		"ID config.yaml:2:13 flowehr_id held resolved",
		"A config.yaml:5:21 transform.spark_config.a held",
		"B config.yaml:5:21 transform.spark_config.a",
		"A config.yaml:6:27 transform.databricks_secrets.c held",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
}

func TestUnreadableFileIsSaidWithoutAPathOfThisMachine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "config.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, diags := config.Load(os.DirFS(dir), config.Options{})
	if len(diags) != 1 || diags[0].Pos.File != "config.yaml" || strings.Contains(diags[0].Summary, dir) {
		t.Errorf("got %v", diags)
	}
}

// FuzzLoad feeds any bytes as the files of a definition: reading, showing and listing must not panic, and every
// diagnostic points into the file that it names.
func FuzzLoad(f *testing.F) {
	seeds, err := filepath.Glob("../compile/testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range seeds {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		fsys := archiveFS(archive)
		read := func(name string) []byte { data, _ := fs.ReadFile(fsys, name); return data }
		f.Add(read("config.yaml"), read("config.local.yaml"), read("apps/apps.yaml"), read("apps/apps.local.yaml"), read(".env"))
	}
	f.Add([]byte("a: &a\n  <<: *a\n? [x]\n: \"\\x00\"\n"), []byte("\xff\xfe"), []byte("\ufeff- \t"), []byte("%YAML 9\n---\n"), []byte("A='\n"))
	f.Fuzz(func(t *testing.T, root, own, apps, ownApps, env []byte) {
		fsys := fstest.MapFS{
			"config.yaml": {Data: root}, "config.local.yaml": {Data: own}, "apps/apps.yaml": {Data: apps}, "apps/apps.local.yaml": {Data: ownApps}, ".env": {Data: env},
		}
		secrets, diags := config.DotEnv(fsys)
		doc, more := config.Load(fsys, config.Options{Lookup: secrets})
		for _, d := range append(diags, more...) {
			checkPosition(t, fsys, d)
		}
		for _, o := range []config.ShowOptions{{}, {Origin: true}, {JSON: true}, {JSON: true, Origin: true}} {
			if err := doc.Show(&bytes.Buffer{}, o); err != nil {
				t.Errorf("show %+v: %v", o, err)
			}
		}
	})
}

func checkPosition(t *testing.T, fsys fs.FS, d flowehr.Diagnostic) {
	t.Helper()
	data, err := fs.ReadFile(fsys, d.Pos.File)
	if err != nil {
		t.Errorf("%v names a file that was not read: %v", d, err)
		return
	}
	lines := bytes.Split(data, []byte("\n"))
	if d.Pos.Line < 1 || d.Pos.Line > len(lines) {
		t.Errorf("%v is outside of its file of %d lines", d, len(lines))
		return
	}
	if n := utf8.RuneCount(lines[d.Pos.Line-1]) + 1; d.Pos.Column < 1 || d.Pos.Column > n {
		t.Errorf("%v is outside of its line of %d characters", d, n-1)
	}
}

func archiveFS(archive *txtar.Archive) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, f := range archive.Files {
		fsys[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return fsys
}
