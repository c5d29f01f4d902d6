package apply

import (
	"context"
	"sync"

	"github.com/flowehr/flowehr"
)

// book is the state during a run: one copy in memory and every change saved at once. A save is not cut short when the
// run is interrupted, because what was done must be written down.
type book struct {
	store Store
	mu    sync.Mutex
	state flowehr.State
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

// save makes the change that change returns for the state at hand.
func (b *book) save(ctx context.Context, change func(flowehr.State) Change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch := change(b.state)
	if len(ch.Put)+len(ch.Delete) == 0 {
		return nil
	}
	rev, err := b.store.Save(context.WithoutCancel(ctx), b.state.Revision, ch)
	if err != nil {
		return err
	}
	b.state = ch.Apply(b.state)
	b.state.Revision = rev
	return nil
}
