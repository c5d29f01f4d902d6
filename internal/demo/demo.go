// Package demo holds the environment that `flowehr init` writes: the definition of a made-up hospital with two data
// sources and the pipelines that bring them to the feature store. It is a complete definition that runs as it stands and
// is meant to be changed into one's own.
//
// The package only writes files. The rule that holds here: it never overwrites a file that somebody has changed.
package demo

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The prefix "all:" takes in files whose names begin with a dot or an underscore.
//
//go:embed all:files
var embedded embed.FS

// renamed are files that cannot stand in this repository under their own names, because tools would take them as meant
// for it.
var renamed = map[string]string{"gitignore": ".gitignore"}

// Files returns the definition as a file system, with the names that Write gives.
func Files() (fs.FS, error) { return fs.Sub(embedded, "files") }

// ExistsError says that files are in the way.
type ExistsError struct{ Paths []string }

// Error lists the files.
func (e *ExistsError) Error() string {
	return fmt.Sprintf("%d files exist already with other content: %s", len(e.Paths), strings.Join(e.Paths, ", "))
}

// Write writes the definition into dir, which is made when absent, and more files by their paths. It returns the paths that it
// wrote, relative to dir. Files that stand there with the same content are left alone. When a file has other content nothing is written
// and the error is an *ExistsError.
func Write(dir string, more map[string][]byte) ([]string, error) {
	files, err := Files()
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{}
	var order, clash []string
	add := func(name string, b []byte) {
		switch have, err := os.ReadFile(filepath.Join(dir, name)); {
		case err == nil && !bytes.Equal(have, b):
			clash = append(clash, name)
		case err != nil:
			content[name] = b
			order = append(order, name)
		}
	}
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		name := path
		if to, ok := renamed[path]; ok {
			name = to
		}
		add(name, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		add(name, more[name])
	}
	if len(clash) > 0 {
		return nil, &ExistsError{clash}
	}
	for _, name := range order {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, content[name], 0o644); err != nil {
			return nil, err
		}
	}
	return order, nil
}
