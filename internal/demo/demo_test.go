package demo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWriteIsRepeatable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	wrote, err := Write(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"config.yaml", "config.local.yaml", ".gitignore", "apps/apps.yaml", "transform/pipelines/hospital/gold-features/pipeline.json"} {
		if !slices.Contains(wrote, want) {
			t.Errorf("%s was not written", want)
		}
	}
	again, err := Write(dir, nil)
	if err != nil || len(again) != 0 {
		t.Errorf("writing again gave %v, %v, want nothing", again, err)
	}
}

func TestWriteNeverOverwritesChanges(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Write(dir, nil)
	if e, ok := errors.AsType[*ExistsError](err); !ok || !slices.Contains(e.Paths, "config.yaml") {
		t.Fatalf("got %v, want an error that names config.yaml", err)
	}
	if b, _ := os.ReadFile(mine); string(b) != "mine" {
		t.Error("the file was overwritten")
	}
	if _, err := os.Stat(filepath.Join(dir, "apps")); err == nil {
		t.Error("other files were written although one was in the way")
	}
}
