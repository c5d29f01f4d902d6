package apply

import (
	"context"
	"sync"

	"github.com/flowehr/flowehr"
)

// book is the state during a run: one copy in memory, and every change saved before the step that made it goes on. Changes
// that come while a save is under way are saved together by the next, because a store that is far away takes a tenth of a
// second for each. A save is not cut short when the run is interrupted: what was done must be written down.
type book struct {
	store Store

	mu      sync.Mutex
	state   flowehr.State // with changes that are not saved yet; at the revision last saved
	next    *entry        // what the next save writes, nil when nothing waits
	unsaved Change        // of saves that failed: the next one carries them along, because state has them
	writing bool
}

// entry is one save, and who waits for it.
type entry struct {
	change Change
	saved  chan struct{} // closed when err is known
	err    error
}

func newBook(s Store, st flowehr.State) *book { return &book{store: s, state: st} }

func (b *book) record(ref flowehr.Ref) (flowehr.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rec, ok := b.state.Records[ref]
	return rec, ok
}

func (b *book) revision() flowehr.Revision {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Revision
}

// save makes the change that change returns for the state at hand, and returns when it is written down.
func (b *book) save(ctx context.Context, change func(flowehr.State) Change) error {
	b.mu.Lock()
	ch := change(b.state)
	if len(ch.Put)+len(ch.Delete) == 0 {
		b.mu.Unlock()
		return nil
	}
	saved := b.state.Revision
	b.state = ch.Apply(b.state)
	b.state.Revision = saved
	if b.next == nil {
		b.next = &entry{saved: make(chan struct{})}
	}
	mine := b.next
	mine.change = mine.change.Then(ch)
	if !b.writing {
		b.writing = true
		go b.write(context.WithoutCancel(ctx))
	}
	b.mu.Unlock()
	<-mine.saved
	return mine.err
}

// write saves what waits until nothing does.
func (b *book) write(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.next != nil {
		e, base := b.next, b.state.Revision
		b.next = nil
		e.change, b.unsaved = b.unsaved.Then(e.change), Change{}
		b.mu.Unlock()
		rev, err := b.store.Save(ctx, base, e.change)
		b.mu.Lock()
		if e.err = err; err != nil {
			b.unsaved = e.change
		} else {
			b.state.Revision = rev
		}
		close(e.saved)
	}
	b.writing = false
}
