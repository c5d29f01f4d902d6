package azuresim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/flowehr/flowehr/internal/durable"
)

// saver keeps the world in a file. Whatever happens, the file holds the world as it was at one instant, and once a change
// was answered to a client it is in the file.
type saver struct {
	w    *world
	path string

	mu    sync.Mutex // one writer
	stale bool       // under the world's lock: something is not in the file
	timer *time.Timer
}

// saveDelay is how long changes that nobody waits for are gathered.
const saveDelay = 50 * time.Millisecond

func openSaver(dir string, w *world) (s *saver, fresh bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, err
	}
	s = &saver{w: w, path: filepath.Join(dir, "world.json")}
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh = true
	case err != nil:
		return nil, false, err
	default:
		if err := json.Unmarshal(data, &w.state); err != nil {
			return nil, false, fmt.Errorf("%s is not a simulated world: %w", s.path, err)
		}
		w.clock.now = w.Now
		stand(&w.Operations)
	}
	w.dirty = func() { s.stale = true }
	return s, fresh, nil
}

// save writes what is not in the file yet.
func (s *saver) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.mu.Lock()
	if !s.stale {
		s.w.mu.Unlock()
		return nil
	}
	s.w.Now = s.w.clock.now
	data, err := json.Marshal(&s.w.state)
	s.stale = false
	s.w.mu.Unlock()
	if err != nil {
		return err
	}
	return durable.Replace(s.path, data)
}

func (s *saver) close() error { return s.save() }
