package azuresim

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"
)

// world is everything that stands, behind one lock, so that a snapshot is true of one instant.
type world struct {
	mu    sync.Mutex
	clock *clock
	seed  uint64
	kinds map[string]func(subject string) // what happens at an event
	dirty func()                          // a change is to be saved; never nil
	doom  *FaultRule                      // what happens to the work that the present call begins; nil for nothing

	state
}

// state is what is saved. Every service has its own part; the zero value of each must do.
type state struct {
	Now        time.Time             `json:"now"`
	Serial     uint64                `json:"serial"`
	Events     []event               `json:"events,omitempty"`
	Operations map[string]*operation `json:"operations,omitempty"`
	Key        string                `json:"key"` // with which tokens are signed

	Manager   managerState          `json:"manager"`
	Devices   map[string]deviceCode `json:"devices,omitempty"`
	Directory directoryState        `json:"directory"`

	planesState
}

// event is something that will happen in the world by itself. It is data, so that it outlives the process.
type event struct {
	At      time.Time `json:"at"`
	Serial  uint64    `json:"serial"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`
}

func newWorld(seed uint64, start time.Time, quiet time.Duration) *world {
	w := &world{seed: seed, kinds: map[string]func(string){}, dirty: func() {}}
	w.Now = start
	w.Operations = map[string]*operation{}
	w.clock = &clock{mu: &w.mu, now: start, quiet: quiet, pass: w.pass}
	return w
}

// now is the virtual time.
func (w *world) now() time.Time { return w.clock.now }

// on says what happens at events of a kind. Called before anything is served.
func (w *world) on(kind string, do func(subject string)) { w.kinds[kind] = do }

// after has an event happen when a virtual time has passed.
func (w *world) after(d time.Duration, kind, subject string) {
	w.Events = append(w.Events, event{At: w.now().Add(d), Serial: w.serial(), Kind: kind, Subject: subject})
}

// pass lets everything happen that is due until a virtual time, in order, each at its own time.
func (w *world) pass(to time.Time) {
	for len(w.Events) > 0 {
		next := slices.MinFunc(w.Events, func(a, b event) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Serial, b.Serial))
		})
		if next.At.After(to) {
			break
		}
		w.Events = slices.DeleteFunc(w.Events, func(e event) bool { return e.Serial == next.Serial })
		if next.At.After(w.clock.now) {
			w.clock.now = next.At
		}
		if do := w.kinds[next.Kind]; do != nil {
			do(next.Subject)
		}
		w.dirty()
	}
}

func (w *world) serial() uint64 {
	w.Serial++
	return w.Serial
}

// newID makes an identifier that nobody else has: the form of a UUID, the same ones for the same seed and order.
func (w *world) newID() string { return uuidOf(w.seed, "id", fmt.Sprint(w.serial())) }

// uuidOf makes the identifier that belongs to words.
func uuidOf(seed uint64, words ...string) string {
	b := digest(seed, words)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// hexOf makes n hexadecimal digits, at most 64, that belong to words.
func hexOf(seed uint64, n int, words ...string) string {
	return hex.EncodeToString(digest(seed, words))[:n]
}

// digest belongs to a seed and words. People see the first digits only, so neighbours must differ in all of them.
func digest(seed uint64, words []string) []byte {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, seed) // hashes take everything
	for _, word := range words {
		fmt.Fprintf(h, "%d:%s", len(word), word)
	}
	return h.Sum(nil)
}
