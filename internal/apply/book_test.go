package apply_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// slowStore lets the first save wait until the others are ready to be saved.
type slowStore struct {
	*targettest.Store
	begun sync.Once
	hold  chan struct{}
	saves atomic.Int32
}

func (s *slowStore) Save(ctx context.Context, base flowehr.Revision, ch apply.Change) (flowehr.Revision, error) {
	s.begun.Do(func() { <-s.hold })
	s.saves.Add(1)
	return s.Store.Save(ctx, base, ch)
}

// Steps that are ready at the same time share a save, and each goes on only when it is saved.
func TestSavesAreShared(t *testing.T) {
	const steps = 40
	b := newBench()
	s := &slowStore{Store: b.store, hold: make(chan struct{})}
	var started atomic.Int32
	b.fake.Hook = func(_ context.Context, m targettest.Moment) error {
		st, err := b.store.Load(t.Context())
		if err != nil {
			return err
		}
		if st.Records[m.Ref].Pending != flowehr.Create {
			return fmt.Errorf("%s was begun before that was saved", m.Ref)
		}
		return nil
	}
	var want []flowehr.Resource
	for i := range steps {
		want = append(want, thing(fmt.Sprintf("t%02d", i)))
	}
	sink := func(e flowehr.Event) {
		if e.Kind == flowehr.EventStepStarted && started.Add(1) == steps {
			close(s.hold)
		}
	}
	if _, err := apply.Run(t.Context(), b.plan(t, want...), b.fake, s, apply.Options{Parallel: steps, Sink: sink}); err != nil {
		t.Fatal(err)
	}
	if n := s.saves.Load(); n > steps {
		t.Errorf("%d saves for %d steps", n, steps)
	}
	if st, _ := b.store.Load(t.Context()); len(st.Records) != steps {
		t.Errorf("%d records, want %d", len(st.Records), steps)
	}
}

// What a failed save was to write down is written down by the next one.
func TestAFailedSaveIsCarriedAlong(t *testing.T) {
	b := newBench()
	failed := false
	b.store.Hook = func(ch apply.Change) error {
		if !failed && len(ch.Put) > 0 && ch.Put[0].Pending == flowehr.Keep {
			failed = true
			return errors.New("no network")
		}
		return nil
	}
	if _, err := b.run(t.Context(), t, apply.Options{Parallel: 1, KeepGoing: true}, thing("a"), thing("b")); err == nil {
		t.Fatal("the failed save was not told")
	}
	st, _ := b.store.Load(t.Context())
	for _, name := range []string{"a", "b"} {
		if rec := st.Records[targettest.Ref(name)]; rec.Pending != flowehr.Keep || rec.ID == "" {
			t.Errorf("%s is recorded as %+v, want it done", name, rec)
		}
	}
}
