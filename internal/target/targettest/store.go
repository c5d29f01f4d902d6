package targettest

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
)

// Store is a state in memory. It keeps the bytes that a file would have, so that tests can look into them.
type Store struct {
	// Hook, when set, is called before each save; what it returns is what Save returns.
	Hook func(apply.Change) error

	mu     sync.Mutex
	locked bool
	bytes  []byte
	saves  int
}

var _ apply.Store = (*Store)(nil)

// NewStore returns the store of an environment that was never saved.
func NewStore(environment string, target flowehr.TargetName) *Store {
	s := &Store{}
	s.bytes, _ = json.Marshal(flowehr.State{Environment: environment, Target: target}) // plain strings always encode
	return s
}

// Bytes returns the state as it would stand in a file.
func (s *Store) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.bytes...)
}

// Saves returns how often the state was saved.
func (s *Store) Saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

// Break takes the lock away from a holder that has gone.
func (s *Store) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = false
}

// Lock implements apply.Store.
func (s *Store) Lock(_ context.Context, owner string) (func() error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked {
		return nil, &apply.LockedError{Holder: apply.Holder{Owner: owner}}
	}
	s.locked = true
	return func() error { s.Break(); return nil }, nil
}

// Load implements apply.Store.
func (s *Store) Load(context.Context) (flowehr.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state()
}

func (s *Store) state() (flowehr.State, error) {
	var st flowehr.State
	err := json.Unmarshal(s.bytes, &st)
	return st, err
}

// Save implements apply.Store.
func (s *Store) Save(_ context.Context, base flowehr.Revision, ch apply.Change) (flowehr.Revision, error) {
	if s.Hook != nil {
		if err := s.Hook(ch); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.state()
	if err != nil {
		return 0, err
	}
	if st.Revision != base {
		return 0, &apply.StaleError{Base: base, Now: st.Revision}
	}
	st = ch.Apply(st)
	if s.bytes, err = json.Marshal(st); err != nil {
		return 0, err
	}
	s.saves++
	return st.Revision, nil
}
