package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flowehr/flowehr/internal/durable"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "file"), filepath.Join(dir, "victim")
	for _, data := range []string{"one", "", "two"} {
		if err := durable.Replace(path, []byte(data)); err != nil || read(t, path) != data {
			t.Errorf("%q: got %q, %v", data, read(t, path), err)
		}
	}
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func() error{
		"half a file":  func() error { return os.WriteFile(path+".new", []byte("hal"), 0o644) },
		"link":         func() error { return os.Symlink(victim, path+".new") },
		"empty folder": func() error { return os.Mkdir(path+".new", 0o700) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if err := durable.Replace(path, []byte(name)); err != nil || read(t, path) != name {
			t.Errorf("%s: got %q, %v", name, read(t, path), err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v; want a file with 0600", name, info.Mode(), err)
		}
	}
	if read(t, victim) != "mine" {
		t.Error("the file behind the link was written to")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestFailedReplaceKeepsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := durable.Replace(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+".new", "full"), 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if err := durable.Replace(path, []byte("new")); err == nil || read(t, path) != "old" {
		t.Errorf("got %q, %v; want the old content and an error", read(t, path), err)
	}
}
