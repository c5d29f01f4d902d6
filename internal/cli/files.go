package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/flowehr/flowehr"
)

// artifactsDir is where a pipeline's Makefile leaves what the pipeline needs (spec 03-pipelines "Build").
const artifactsDir = "artifacts"

// loadFiles looks up the files of the definition that a target uploads and puts their digests into env: init scripts, jars and
// the artifacts of pipelines. One that is named and not there is told when the environment is lowered.
func loadFiles(fsys fs.FS, env *flowehr.Environment) error {
	env.Files = map[string]string{}
	for _, named := range append(append([]string{}, env.Spark.Cluster.InitScripts...), env.Spark.Libraries.Jar...) {
		name := path.Clean(named)
		if strings.Contains(named, ":/") || !fs.ValidPath(name) {
			continue // an address of the workspace, or nothing beside the definition
		}
		if err := addFile(fsys, env, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, p := range env.Pipelines {
		dir := path.Join(p.Dir, artifactsDir)
		err := fs.WalkDir(fsys, dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			return addFile(fsys, env, name)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func addFile(fsys fs.FS, env *flowehr.Environment, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file that can be uploaded", name)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	env.Files[name] = hex.EncodeToString(sum.Sum(nil))
	return nil
}
