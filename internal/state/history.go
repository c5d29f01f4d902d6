package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/flowehr/flowehr"
)

// DamagedError says that a kept state cannot be used. Nothing was changed.
type DamagedError struct {
	Place   string             // the path of a file, or an address
	Restore []flowehr.Revision // that can be put in its place, newest first
	Err     error
}

// Error says what is wrong and what to do.
func (e *DamagedError) Error() string {
	todo := "rebuild it from what stands with \"flowehr state refresh\""
	if len(e.Restore) > 0 {
		todo = fmt.Sprintf("go back to revision %d with \"flowehr state restore %d\", or %s", e.Restore[0], e.Restore[0], todo)
	}
	return fmt.Sprintf("state %s cannot be used: %v; nothing was changed; %s", e.Place, e.Err, todo)
}

// Unwrap returns what is wrong with it.
func (e *DamagedError) Unwrap() error { return e.Err }

// damaged makes the error for a file that does not decode. One of a newer program is whole and is not to be replaced.
func (s *Store) damaged(path string, err error) error {
	if newer, ok := errors.AsType[*NewerError](err); ok {
		return fmt.Errorf("state %s cannot be read: %w", path, newer)
	}
	return &DamagedError{Place: path, Restore: s.Revisions(), Err: err}
}

// Revisions lists the revisions that Restore can go back to, newest first. Files that cannot be read are left out.
func (s *Store) Revisions() []flowehr.Revision {
	var out []flowehr.Revision
	for rev := range s.readable() {
		out = append(out, rev)
	}
	slices.SortFunc(out, func(a, b flowehr.Revision) int { return int(b - a) })
	return out
}

// readable returns the whole states of the past by revision.
func (s *Store) readable() map[flowehr.Revision]flowehr.State {
	found := map[flowehr.Revision]flowehr.State{}
	for _, path := range append(s.sessions(), filepath.Join(s.dir, previousName)) {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		st, err := Decode(b)
		if err == nil && st.Environment == s.environment && st.Target == s.target {
			found[st.Revision] = st
		}
	}
	return found
}

// sessions lists the files of the history, oldest first: their names sort by revision.
func (s *Store) sessions() []string {
	paths, _ := filepath.Glob(filepath.Join(s.dir, historyName, "r*.json")) // the pattern is well-formed
	slices.Sort(paths)
	return paths
}

// keepHistory keeps the state that is about to be replaced: as the previous one always, and in the history when it is the
// one that this session found. Links cost no copy, and a replaced file is never written to again.
func (s *Store) keepHistory(st flowehr.State) error {
	if st.Revision == 0 {
		s.held.recorded = true
		return nil
	}
	if err := s.link(filepath.Join(s.dir, previousName)); err != nil {
		return err
	}
	if s.held.recorded {
		return nil
	}
	dir := filepath.Join(s.dir, historyName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep history of state: %w", err)
	}
	if err := s.link(filepath.Join(dir, fmt.Sprintf("r%012d.json", st.Revision))); err != nil {
		return err
	}
	s.held.recorded = true
	paths := s.sessions()
	for len(paths) > s.History {
		if err := os.Remove(paths[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep history of state: %w", err)
		}
		paths = paths[1:]
	}
	return nil
}

// link makes path another name of the present state file.
func (s *Store) link(path string) error {
	tmp := path + ".new"
	_ = os.Remove(tmp) // left by a process that was killed here
	if err := os.Link(s.Path(), tmp); err != nil {
		return fmt.Errorf("keep history of state: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("keep history of state: %w", err)
	}
	_ = os.Remove(tmp) // renaming onto another name of the same file leaves both
	return nil
}

// Restore puts an earlier revision in the place of the state, as a new revision, and returns the state. A damaged file is
// set aside first. The store must hold the lock. What happened since then is not in the state any more: refresh next.
func (s *Store) Restore(ctx context.Context, rev flowehr.Revision) (flowehr.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.heldLock(); err != nil {
		return flowehr.State{}, err
	}
	st, ok := s.readable()[rev]
	if !ok {
		return flowehr.State{}, fmt.Errorf("state has no readable revision %d: there are %v", rev, s.Revisions())
	}
	next, err := s.clear(ctx)
	if err != nil {
		return flowehr.State{}, err
	}
	st.Revision = next
	return st, s.write(st)
}

// Reset begins anew with an empty state. A damaged file is set aside first, a whole one goes to the history. The store
// must hold the lock. Nothing in the world changes: refresh next, to find what stands.
func (s *Store) Reset(ctx context.Context) (flowehr.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.heldLock(); err != nil {
		return flowehr.State{}, err
	}
	next, err := s.clear(ctx)
	if err != nil {
		return flowehr.State{}, err
	}
	st := s.empty()
	st.Revision = next
	return st, s.write(st)
}

// clear makes room for a state that does not follow from the present one, and returns the revision that it must have: a
// later one than any plan can have been made for.
func (s *Store) clear(ctx context.Context) (flowehr.Revision, error) {
	st, err := s.Load(ctx)
	if err == nil {
		return st.Revision + 1, s.keepHistory(st)
	}
	if _, ok := errors.AsType[*DamagedError](err); !ok {
		return 0, err
	}
	if err := s.setAside(); err != nil {
		return 0, err
	}
	// The lost state came after the previous one by one save.
	var last flowehr.Revision
	if known := s.Revisions(); len(known) > 0 {
		last = known[0]
	}
	return last + 2, nil
}

// setAside gives the state file a second name, one that is not taken. The next write puts another file in the place of the
// first name, so there is no moment without a file.
func (s *Store) setAside() error {
	base := s.Path() + ".damaged-" + s.Now().UTC().Format("20060102T150405Z")
	for n := 1; ; n++ {
		path := base
		if n > 1 {
			path = fmt.Sprintf("%s-%d", base, n)
		}
		err := os.Link(s.Path(), path)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("set damaged state aside: %w", err)
		}
	}
}
