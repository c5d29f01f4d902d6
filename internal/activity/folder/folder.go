// Package folder finds files below one folder: by name, or by Data Factory's wildcards. It does not read them.
//
// The rule that holds here: nothing outside the folder is ever found. A path with ".." is refused, and so is a symbolic
// link that leads out.
package folder

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrOutside is wrapped by every refusal to leave the folder.
var ErrOutside = errors.New("outside the folder of the data source")

// ErrNotFound is wrapped when no file matches.
var ErrNotFound = errors.New("no such file")

// File is one file that was found.
type File struct {
	Path     string // on this machine, links resolved
	Name     string // relative to the root, with slashes
	Size     int64
	Modified time.Time
}

// Pattern selects files. Paths are relative to the root, with slashes.
type Pattern struct {
	Folder    string // folder to start at; "" is the root
	File      string // name of one file in Folder; with it the rest is not used
	Folders   string // wildcards for folders below Folder, for example "2024/*"; "" is Folder itself
	Name      string // wildcard for file names; "" is every file
	Recursive bool   // also look below the folders that match

	ModifiedFrom  time.Time // zero: no limit
	ModifiedUntil time.Time // exclusive; zero: no limit
}

// Find returns the files that match, in order of name. It is an error when there is none.
func Find(root string, p Pattern) ([]File, error) {
	resolved, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, fmt.Errorf("the folder of the data source cannot be opened: %w", reason(err))
	}
	for _, part := range []string{p.Folder, p.File, p.Folders, p.Name} {
		if err := checkPath(part); err != nil {
			return nil, err
		}
	}
	if p.File != "" {
		f, err := stat(resolved, path.Join(p.Folder, p.File))
		if errors.Is(err, errIsFolder) {
			return nil, fmt.Errorf("%w: %s is a folder", ErrNotFound, shown(f.Name))
		}
		if err != nil {
			return nil, err
		}
		return []File{f}, nil
	}
	files, err := walk(resolved, p)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: nothing in %s matches %s", ErrNotFound, shown(path.Join(p.Folder, p.Folders)), cmp.Or(p.Name, "*"))
	}
	return files, nil
}

// Place resolves where a file is to be written below root, without making it. The folders above it must stay inside.
func Place(root, name string) (string, error) {
	if name == "" {
		return "", errors.New("a file to write has no name")
	}
	if err := checkPath(name); err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", fmt.Errorf("the folder of the data source cannot be opened: %w", reason(err))
	}
	full := filepath.Join(resolved, filepath.FromSlash(strings.TrimPrefix(name, "/")))
	for at := full; at != resolved && len(at) > len(resolved); at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(at); err == nil { // a link to nothing would be written through
				return "", fmt.Errorf("%q is a link: %w", name, ErrOutside)
			}
			continue
		}
		if err != nil {
			return "", reason(err)
		}
		if !inside(resolved, real) {
			return "", fmt.Errorf("%q is %w", name, ErrOutside)
		}
		break
	}
	return full, nil
}

func walk(root string, p Pattern) ([]File, error) {
	start, err := stat(root, cmp.Or(p.Folder, "."))
	if err == nil {
		return nil, fmt.Errorf("%w: %s is not a folder", ErrNotFound, shown(p.Folder))
	}
	if !errors.Is(err, errIsFolder) {
		return nil, err
	}
	var files []File
	err = filepath.WalkDir(start.Path, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return reason(err)
		}
		below, err := filepath.Rel(start.Path, full)
		if err != nil {
			return err
		}
		below = filepath.ToSlash(below)
		if d.IsDir() {
			if below != "." && p.Folders == "" && !p.Recursive {
				return fs.SkipDir
			}
			return nil
		}
		dir, name := path.Split(below)
		if !matchFolders(p, strings.TrimSuffix(dir, "/")) || !Match(cmp.Or(p.Name, "*"), name) {
			return nil
		}
		f, err := stat(root, path.Join(p.Folder, below))
		if errors.Is(err, errIsFolder) {
			return nil // a link to a folder inside: its files are found at their own place
		}
		if err != nil {
			return err
		}
		if (!p.ModifiedFrom.IsZero() && f.Modified.Before(p.ModifiedFrom)) || (!p.ModifiedUntil.IsZero() && !f.Modified.Before(p.ModifiedUntil)) {
			return nil
		}
		files = append(files, f)
		return nil
	})
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files, err
}

// matchFolders reports whether files in the folder dir, relative to the pattern's start, are wanted.
func matchFolders(p Pattern, dir string) bool {
	var parts []string
	if dir != "" {
		parts = strings.Split(dir, "/")
	}
	var want []string
	if p.Folders != "" {
		want = strings.Split(strings.Trim(p.Folders, "/"), "/")
	}
	if !p.Recursive {
		return len(parts) == len(want) && matchParts(want, parts)
	}
	return len(parts) >= len(want) && matchParts(want, parts[:len(want)])
}

func matchParts(patterns, parts []string) bool {
	for i, pattern := range patterns {
		if !Match(pattern, parts[i]) {
			return false
		}
	}
	return true
}

// Match reports whether name matches a Data Factory wildcard: * is any text, ? is one character or none, and ^ takes
// the meaning from the character after it.
func Match(pattern, name string) bool {
	// reached[i] says that the pattern so far matches the first i characters.
	text := []rune(name)
	reached := make([]bool, len(text)+1)
	reached[0] = true
	step := func(may func(from, to int) bool) {
		next := make([]bool, len(reached))
		for from, ok := range reached {
			if !ok {
				continue
			}
			for to := from; to <= len(text) && may(from, to); to++ {
				next[to] = true
			}
		}
		reached = next
	}
	one := func(r rune) {
		next := make([]bool, len(reached))
		for i, c := range text {
			next[i+1] = reached[i] && c == r
		}
		reached = next
	}
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case r == '*':
			step(func(int, int) bool { return true })
		case r == '?':
			step(func(from, to int) bool { return to <= from+1 })
		case r == '^' && i+1 < len(runes):
			i++
			one(runes[i])
		default:
			one(r)
		}
	}
	return reached[len(text)]
}

var errIsFolder = errors.New("is a folder")

// stat resolves a name below a resolved root and looks at it. A folder is returned with errIsFolder.
func stat(root, name string) (File, error) {
	name = path.Clean(strings.TrimLeft(name, "/"))
	full, err := filepath.EvalSymlinks(filepath.Join(root, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("%w: %s", ErrNotFound, shown(name))
	}
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", shown(name), reason(err))
	}
	if !inside(root, full) {
		return File{}, fmt.Errorf("%s is %w", shown(name), ErrOutside)
	}
	info, err := os.Stat(full)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", shown(name), reason(err))
	}
	f := File{Path: full, Name: name, Size: info.Size(), Modified: info.ModTime()}
	if info.IsDir() {
		return f, errIsFolder
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("%s is not an ordinary file", shown(name))
	}
	return f, nil
}

func inside(root, full string) bool {
	rel, err := filepath.Rel(root, full)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func checkPath(p string) error {
	if strings.ContainsRune(p, 0) {
		return fmt.Errorf("a path with a NUL character is %w", ErrOutside)
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(p, `\`, "/"), "/") {
		if part == ".." {
			return fmt.Errorf("%q is %w", p, ErrOutside)
		}
	}
	return nil
}

// reason drops the path that the system puts into its errors: it tells of this machine, not of the data source.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func shown(name string) string {
	if name == "" || name == "." {
		return "the folder"
	}
	return fmt.Sprintf("%q", name)
}
