// Package state keeps the state of one environment in a folder of this machine.
//
// The folder has the state (state.json), what it was before the last save (previous.json), the state as each of the last
// sessions found it (history/), and the lock. The package does not interpret records, and it holds no secret because
// states hold none. States elsewhere have the same format ([Encode], [Decode]).
//
// The rule that holds here: whatever is killed at whatever moment, a whole state can be read afterwards, and a file that
// cannot be read is set aside, never overwritten.
package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/durable"
)

// Names within the folder of a store.
const (
	stateName    = "state.json"
	previousName = "previous.json"
	historyName  = "history"
	lockName     = "state.lock"
)

// DefaultHistory is how many sessions the history reaches back.
const DefaultHistory = 20

// Store is the state of one environment in a folder. It is safe for concurrent use, within a process and between
// processes of one machine.
type Store struct {
	dir         string
	environment string
	target      flowehr.TargetName

	// History is how many sessions the history reaches back; Now stamps locks and files that are set aside. Both may be
	// changed before first use.
	History int
	Now     flowehr.Clock

	mu   sync.Mutex
	held *lock // this store's own lock, nil if it has none
}

var _ apply.Store = (*Store)(nil)

// New returns the store of an environment in dir. The folder is made when it is first locked.
func New(dir, environment string, target flowehr.TargetName) *Store {
	return &Store{dir: dir, environment: environment, target: target, History: DefaultHistory, Now: time.Now}
}

// Path returns the file that holds the state.
func (s *Store) Path() string { return filepath.Join(s.dir, stateName) }

// Load returns the state as last saved, or an empty one at revision 0 if there never was any. A file that cannot be used,
// or that has gone while its history stands, is a *[DamagedError]. It needs no lock: saves replace the file at once.
func (s *Store) Load(ctx context.Context) (flowehr.State, error) {
	if err := ctx.Err(); err != nil {
		return flowehr.State{}, err
	}
	st, err := s.read(s.Path())
	if !errors.Is(err, fs.ErrNotExist) {
		return st, err
	}
	if len(s.Revisions()) > 0 {
		return flowehr.State{}, s.damaged(s.Path(), errors.New("the file is missing"))
	}
	return s.empty(), nil
}

func (s *Store) empty() flowehr.State {
	return flowehr.State{Environment: s.environment, Target: s.target, Records: map[flowehr.Ref]flowehr.Record{}}
}

// read reads one state file of this environment.
func (s *Store) read(path string) (flowehr.State, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return flowehr.State{}, fmt.Errorf("read state: %w", err)
	}
	st, err := Decode(b)
	if err != nil {
		return flowehr.State{}, s.damaged(path, err)
	}
	if st.Environment != s.environment || st.Target != s.target {
		return flowehr.State{}, fmt.Errorf("state %s belongs to %s on %s, not to %s on %s", path, st.Environment, st.Target, s.environment, s.target)
	}
	return st, nil
}

// Save makes ch if the state is at base. The store must hold the lock. When Save returns an error the state is either as
// before or, if the machine failed in between, as after; never in between.
func (s *Store) Save(ctx context.Context, base flowehr.Revision, ch apply.Change) (flowehr.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.heldLock(); err != nil {
		return 0, err
	}
	st, err := s.Load(ctx)
	if err != nil {
		return 0, err
	}
	if st.Revision != base {
		return 0, &apply.StaleError{Base: base, Now: st.Revision}
	}
	next := ch.Apply(st)
	if err := s.keepHistory(st); err != nil {
		return 0, err
	}
	if err := s.write(next); err != nil {
		return 0, err
	}
	return next.Revision, nil
}

func (s *Store) write(st flowehr.State) error {
	b, err := encode(st)
	if err != nil {
		return err
	}
	if err := durable.Replace(s.Path(), b); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}
