// Package durable replaces files so that they survive a crash at any moment: whoever reads the path afterwards finds the
// old content or the new one, whole.
//
// The package does not lock: a path has one writer at a time, which its user sees to. The rule that holds here: when
// [Replace] returns nil, the content and the name are on the disk, for their owner alone.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts data in the place of the file at path. What a crash left of an earlier attempt stands at path with .new
// behind it, and is removed.
func Replace(path string, data []byte) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// O_EXCL: what was put there must decide neither the mode of the file nor, as a link, which file is written.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(temp) // half a file is of no use, and a full disk needs the room
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes changes of names in dir last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
