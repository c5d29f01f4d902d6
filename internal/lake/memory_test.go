package lake

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

func TestSharesStayBelowTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1000)
		var releases []func()
		for _, want := range []int{500, 250, 250} {
			got, release, err := m.writing(t.Context())
			if err != nil || got != want {
				t.Fatalf("share = %d, %v, want %d", got, err, want)
			}
			releases = append(releases, release)
		}
		if got := m.reading(); got != 250 {
			t.Errorf("a reader's share = %d, want 250 without waiting", got)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := errors.New("the run was cancelled")
		waited := make(chan error)
		go func() {
			_, _, err := m.writing(ctx)
			waited <- err
		}()
		synctest.Wait()
		cancel(ended)
		if err := <-waited; !errors.Is(err, ended) {
			t.Errorf("who waits in vain gets %v", err)
		}
		releases[1]()
		if got, _, err := m.writing(t.Context()); err != nil || got != 250 {
			t.Errorf("share after a release = %d, %v, want 250", got, err)
		}
	})
}

func TestSharesOfAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.IntRange(256, 4096).Draw(rt, "total")
		m := newMemory(total)
		var mu sync.Mutex
		used, most := 0, 0
		var all sync.WaitGroup
		for range rapid.IntRange(1, 20).Draw(rt, "sessions") {
			all.Go(func() {
				share, release, err := m.writing(context.Background())
				if err != nil || share < total/4 {
					t.Errorf("share = %d, %v", share, err)
					return
				}
				mu.Lock()
				used += share
				most = max(most, used)
				mu.Unlock()
				mu.Lock()
				used -= share
				mu.Unlock()
				release()
			})
		}
		all.Wait()
		if most > total {
			rt.Fatalf("%d MB were used at once of %d", most, total)
		}
	})
}
