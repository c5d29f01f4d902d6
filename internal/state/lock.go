package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flowehr/flowehr/internal/apply"
)

// ErrLockLost says that the store does not hold the lock: it was never taken, or it was taken away by force.
var ErrLockLost = errors.New("this process does not hold the lock of the state")

// lock is the lock of a store while it is held. The operating system lets go of it when the process ends however it ends,
// so the lock of a dead process is free. The file's content only tells people who it is.
type lock struct {
	file     *os.File
	recorded bool // the state that this session found is in the history
}

// Lock begins again when the file was replaced while it was being locked, or when its holder has no name yet.
const (
	lockAttempts = 10
	lockPause    = 10 * time.Millisecond
)

// Lock makes this store the only one that may save. It does not wait: a lock held by anybody, this store included, is an
// *[apply.LockedError]. Unlocking twice does no harm.
func (s *Store) Lock(ctx context.Context, owner string) (func() error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock state: %w", err)
	}
	f, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // only shown
	b, err := json.Marshal(apply.Holder{Owner: owner, Host: host, PID: os.Getpid(), Since: s.Now()})
	if err == nil {
		err = rewrite(f, b)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock state: %w", err), f.Close())
	}
	held := &lock{file: f}
	s.held = held
	return func() error { return s.release(held) }, nil
}

// acquire opens and locks the file that has the lock's name at the end. A lock without a holder's name is about to be
// named, or somebody only looks whether it is free: that is waited out.
func (s *Store) acquire(ctx context.Context) (*os.File, error) {
	path := filepath.Join(s.dir, lockName)
	var holder apply.Holder
	for range lockAttempts {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock state: %w", err)
		}
		free, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock state: %w", err), f.Close())
		}
		if !free {
			holder = readHolder(f)
			_ = f.Close()
			if holder != (apply.Holder{}) {
				return nil, &apply.LockedError{Holder: holder}
			}
			select {
			case <-time.After(lockPause):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			continue
		}
		if named(f, path) {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, &apply.LockedError{Holder: holder}
}

// named reports whether path still leads to f.
func named(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(mine, now)
}

// heldLock returns ErrLockLost unless the store holds the lock. The caller holds s.mu.
func (s *Store) heldLock() error {
	if s.held == nil || !named(s.held.file, filepath.Join(s.dir, lockName)) {
		return ErrLockLost
	}
	return nil
}

func (s *Store) release(held *lock) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != held {
		return nil
	}
	s.held = nil
	return errors.Join(rewrite(held.file, nil), held.file.Close())
}

// Holder returns who holds the lock, and false when nobody does.
func (s *Store) Holder() (apply.Holder, bool, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return apply.Holder{}, false, nil
	}
	if err != nil {
		return apply.Holder{}, false, fmt.Errorf("look at lock of state: %w", err)
	}
	defer f.Close()
	free, err := tryLock(f)
	if err != nil {
		return apply.Holder{}, false, fmt.Errorf("look at lock of state: %w", err)
	}
	if free {
		return apply.Holder{}, false, nil
	}
	return readHolder(f), true, nil
}

// Unlock clears a lock that somebody left. It refuses with an *[apply.LockedError] while the holder lives, unless force: then
// the lock is taken away, and the holder's next save fails with [ErrLockLost].
func (s *Store) Unlock(force bool) error {
	holder, locked, err := s.Holder()
	if err != nil {
		return err
	}
	if locked && !force {
		return &apply.LockedError{Holder: holder}
	}
	if !locked {
		return nil
	}
	// Without the name the file that the holder has locked is no lock any more.
	if err := os.Remove(filepath.Join(s.dir, lockName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unlock state: %w", err)
	}
	return nil
}

func readHolder(f *os.File) apply.Holder {
	var h apply.Holder
	b := make([]byte, 4096)
	n, _ := f.ReadAt(b, 0)
	_ = json.Unmarshal(b[:n], &h) // the holder may be about to write it; an unknown holder is shown as such
	return h
}

func rewrite(f *os.File, b []byte) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(b, 0)
	return err
}
