package azuresim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// saver keeps the world in a file. Whatever happens, the file holds the world as it was at one instant. While the file is
// no larger than [small], a change is in it before it is answered. Of a larger world writes are grouped so that they take about a
// tenth of the time: what was answered within the last [behind] times the duration of a write is lost with a killed process. The record of what was deployed is in the same world, so that both are of one instant then too.
//
// The file has two JSON values: the state, and the parts of it that are many and change one at a time, which are not encoded
// anew while they stay as they are.
type saver struct {
	w    *world
	path string

	mu      sync.Mutex // one writer
	last    time.Time  // when the last write ended
	took    time.Duration
	size    int   // of the file
	waiting bool  // a write will come by itself
	failed  error // of that write; the next call is told
	closed  bool

	stale bool // under the world's lock: something is not in the file

	seed   maphash.Seed
	chunks map[string]chunk
}

// chunk is one encoded part, and what it was made from.
type chunk struct {
	print uint64
	text  []byte
}

// parts is the second value of the file.
type parts struct {
	Resources map[string]*resource `json:"resources"`
	Stacks    map[string]*stack    `json:"stacks"`
}

func openSaver(dir string, w *world) (s *saver, fresh bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, err
	}
	s = &saver{w: w, path: filepath.Join(dir, "world.json"), seed: maphash.MakeSeed(), chunks: map[string]chunk{}}
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh = true
	case err != nil:
		return nil, false, err
	default:
		var p parts
		dec := json.NewDecoder(bytes.NewReader(data))
		if err := errors.Join(dec.Decode(&w.state), dec.Decode(&p)); err != nil {
			return nil, false, fmt.Errorf("%s is not a simulated world: %w", s.path, err)
		}
		w.Manager.Resources, w.Manager.Stacks = p.Resources, p.Stacks
		w.clock.now = w.Now
		stand(&w.Operations)
	}
	w.dirty = func() { s.stale = true }
	return s, fresh, nil
}

const (
	small  = 1 << 20 // bytes of a file that is written at every change
	behind = 10      // times the duration of a write pass between two of a larger one
)

// save writes what is not in the file yet, or sees to it that it is written soon.
func (s *saver) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failed; err != nil {
		s.failed = nil
		return err
	}
	if wait := behind*s.took - time.Since(s.last); s.size > small && wait > 0 {
		s.saveIn(wait)
		return nil
	}
	return s.flush()
}

func (s *saver) saveIn(wait time.Duration) {
	if s.waiting {
		return
	}
	s.waiting = true
	time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting = false
		if !s.closed {
			s.failed = s.flush()
		}
	})
}

// flush writes what is not in the file yet.
func (s *saver) flush() error {
	began := time.Now()
	data, err := s.take()
	if err != nil || data == nil {
		return err
	}
	// The rename is what a killed process needs. The disk is not waited for: a simulated world need not outlive a power cut.
	temp := s.path + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	err = os.Rename(temp, s.path)
	s.last, s.size = time.Now(), len(data)
	s.took = s.last.Sub(began)
	return err
}

// take encodes the world as it is at this instant, nil when the file has it already.
func (s *saver) take() ([]byte, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if !s.stale {
		return nil, nil
	}
	data, err := s.encode()
	s.stale = err != nil
	return data, err
}

// longKept is for how long it can be asked what came of an operation.
const longKept = 24 * time.Hour

func (s *saver) encode() ([]byte, error) {
	w := s.w
	w.Now = w.clock.now
	maps.DeleteFunc(w.Operations, func(_ string, o *operation) bool { return !o.Ended.IsZero() && w.Now.Sub(o.Ended) > longKept })
	first, err := json.Marshal(&w.state)
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(first)
	b.WriteString("\n{\"resources\":{")
	for i, k := range slices.Sorted(maps.Keys(w.Manager.Resources)) {
		r := w.Manager.Resources[k]
		if err := s.write(b, i, k, r, s.print(object{"want": r.Want, "body": r.Body}, r.Busy, r.Stack, r.Deny, r.Purge, r.Made, r.Changed)); err != nil {
			return nil, err
		}
	}
	b.WriteString("},\"stacks\":{")
	for i, k := range slices.Sorted(maps.Keys(w.Manager.Stacks)) {
		// A stack changes only when it is deployed, and while it is busy.
		st := w.Manager.Stacks[k]
		if err := s.write(b, i, k, st, s.print(nil, st.State, st.Operation, st.Modified, len(st.Managed), st.Going)); err != nil {
			return nil, err
		}
	}
	b.WriteString("}}\n")
	return b.Bytes(), nil
}

// write appends a member, encoded anew only when it differs from before.
func (s *saver) write(b *bytes.Buffer, i int, k string, v any, print uint64) error {
	c := s.chunks[k]
	if c.text == nil || c.print != print {
		text, err := json.Marshal(map[string]any{k: v})
		if err != nil {
			return err
		}
		c = chunk{print, text[1 : len(text)-1]}
		s.chunks[k] = c
	}
	if i > 0 {
		b.WriteByte(',')
	}
	b.Write(c.text)
	return nil
}

// print is a number that differs, but for a chance in 2⁶⁴, where the values do. It is much cheaper than encoding them.
func (s *saver) print(o object, scalars ...any) uint64 {
	sum := s.hash(o)
	for _, v := range scalars {
		if t, isTime := v.(time.Time); isTime {
			v = t.UnixNano()
		}
		sum = sum*31 + maphash.Comparable(s.seed, v)
	}
	return sum
}

func (s *saver) hash(v any) uint64 {
	switch v := v.(type) {
	case object:
		sum := uint64(len(v)) + 1
		for k, inner := range v { // in any order
			pair := [2]uint64{maphash.String(s.seed, k), s.hash(inner)}
			sum += maphash.Comparable(s.seed, pair)
		}
		return sum
	case []any:
		sum := uint64(len(v)) + 2
		for _, inner := range v {
			sum = sum*31 + s.hash(inner)
		}
		return sum
	case string:
		return maphash.String(s.seed, v)
	case float64, bool, nil:
		return maphash.Comparable(s.seed, v)
	}
	// Values that the simulation itself put in and that are not JSON's own kinds.
	return maphash.Bytes(s.seed, mustJSON(v))
}

// close writes what is left. Nothing is written after it.
func (s *saver) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return errors.Join(s.failed, s.flush())
}
