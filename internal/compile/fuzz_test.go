package compile_test

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
)

// FuzzEnvironment compiles whatever could be read of any bytes, wrong as it may be. It must not panic, and what it says
// must point at a file of the definition.
func FuzzEnvironment(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range seeds {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		files := map[string][]byte{}
		for _, a := range archive.Files {
			files[a.Name] = a.Data
		}
		f.Add(files["config.yaml"], files["config.local.yaml"], files["apps/apps.local.yaml"], option(archive, "suffix"))
	}
	f.Fuzz(func(t *testing.T, root, own, apps []byte, suffix string) {
		fsys := fstest.MapFS{"config.yaml": {Data: root}, "config.local.yaml": {Data: own}, "apps/apps.local.yaml": {Data: apps}}
		doc, _ := config.Load(fsys, config.Options{SuffixOverride: suffix, Lookup: func(string) (string, bool) { return "1", true }})
		_, diags := compile.Environment(doc)
		for _, d := range diags {
			if fsys[d.Pos.File] == nil && d.Pos.File != "" {
				t.Errorf("%v names a file that is not there", d)
			}
			if d.Pos.File != "" && (d.Pos.Line < 1 || d.Pos.Column < 1) {
				t.Errorf("%v has no line and column", d)
			}
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("%v does not say what to do", d)
			}
		}
	})
}
