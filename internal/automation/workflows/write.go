package workflows

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"

	"github.com/rogpeppe/go-internal/diff"
)

// State is what became of a file.
type State string

// States of a file.
const (
	Written   State = "written"   // it was not there
	Updated   State = "updated"   // it was as an earlier version of the program had made it
	Unchanged State = "unchanged" // it is as wanted
	Kept      State = "kept"      // people changed it, so it was left alone; see Diff
	Replaced  State = "replaced"  // people had changed it, and it was overwritten all the same; see Diff
)

// Outcome is what became of one file.
type Outcome struct {
	Path  string `json:"path"`
	State State  `json:"state"`
	Diff  string `json:"diff,omitempty"` // from what stood to what was to be written
}

// signature opens every file that is made. The digest of the rest tells whether somebody changed it since.
var signature = regexp.MustCompile(`^# Made by "flowehr ci init", digest ([0-9a-f]{16})\. `)

const signatureFormat = "# Made by \"flowehr ci init\", digest %s. Change it as you like: a changed file is not overwritten unasked.\n"

func signed(body []byte) []byte {
	return append(fmt.Appendf(nil, signatureFormat, digest(body)), body...)
}

// digest overlooks how lines end: git may change that.
func digest(body []byte) string {
	sum := sha256.Sum256(plain(body))
	return hex.EncodeToString(sum[:8])
}

func plain(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// untouched reports whether content is as some version of the program made it.
func untouched(content []byte) bool {
	content = plain(content)
	m := signature.FindSubmatch(content)
	if m == nil {
		return false
	}
	_, body, _ := bytes.Cut(content, []byte("\n"))
	return string(m[1]) == digest(body)
}

// Write puts files into the repository at dir. A file that people changed, or that is not ours, is left alone unless force is
// set; either way its outcome shows the difference. No file outside dir is touched, whatever links stand in it.
func Write(dir string, files []File, force bool) ([]Outcome, error) {
	return each(dir, files, force, replace)
}

// Preview says what Write would do.
func Preview(dir string, files []File, force bool) ([]Outcome, error) {
	return each(dir, files, force, func(*os.Root, File) error { return nil })
}

// each calls put for the files that are to be written.
func each(dir string, files []File, force bool, put func(*os.Root, File) error) ([]Outcome, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var outcomes []Outcome
	for _, f := range files {
		o, err := compare(root, f, force)
		if err != nil {
			return outcomes, err
		}
		if o.State != Unchanged && o.State != Kept {
			if err := put(root, f); err != nil {
				return outcomes, err
			}
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

func compare(root *os.Root, f File, force bool) (Outcome, error) {
	o := Outcome{Path: f.Path, State: Written}
	have, err := root.ReadFile(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o, nil
	case err != nil:
		return o, err
	case bytes.Equal(plain(have), plain(f.Content)):
		o.State = Unchanged
		return o, nil
	case untouched(have):
		o.State = Updated
		return o, nil
	}
	o.State = Kept
	if force {
		o.State = Replaced
	}
	o.Diff = string(diff.Diff(f.Path, plain(have), f.Path+" (made anew)", f.Content))
	return o, nil
}

// replace writes beside the file and renames, so that there is always the old file or the new one.
func replace(root *os.Root, f File) error {
	if err := root.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return err
	}
	temp := f.Path + ".new"
	w, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write(f.Content)
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return root.Rename(temp, f.Path)
}
