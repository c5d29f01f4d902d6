package dag_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowehr/flowehr/internal/dag"
	"pgregory.net/rapid"
)

// graph draws any graph, with or without cycles, and its needs.
func graph(t *rapid.T) (*dag.Graph[int], map[int][]int) {
	n := rapid.IntRange(1, 12).Draw(t, "nodes")
	g := &dag.Graph[int]{}
	needs := map[int][]int{}
	for i := range n {
		g.Add(i)
	}
	for range rapid.IntRange(0, 2*n).Draw(t, "needs") {
		a, b := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
		g.Need(a, b)
		needs[a] = append(needs[a], b)
	}
	return g, needs
}

// acyclic draws a graph without cycles: nodes need only smaller ones.
func acyclic(t *rapid.T) (*dag.Graph[int], map[int][]int) {
	n := rapid.IntRange(1, 12).Draw(t, "nodes")
	g := &dag.Graph[int]{}
	needs := map[int][]int{}
	for _, i := range rapid.Permutation(seq(n)).Draw(t, "order of adding") {
		g.Add(i)
	}
	for i := 1; i < n; i++ {
		for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 3), rapid.ID[int]).Draw(t, "needs") {
			g.Need(i, j)
			needs[i] = append(needs[i], j)
		}
	}
	return g, needs
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestOrderRespectsNeedsOrTheCycleIsReal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, needs := graph(t)
		order, err := g.Order()
		if err != nil {
			cycle, ok := errors.AsType[*dag.CycleError[int]](err)
			if !ok {
				t.Fatalf("got %v, want a cycle", err)
			}
			path := cycle.Path
			if len(path) < 2 || path[0] != path[len(path)-1] {
				t.Fatalf("path %v does not close", path)
			}
			for i := range len(path) - 1 {
				if !slices.Contains(needs[path[i]], path[i+1]) {
					t.Fatalf("path %v: %d does not need %d", path, path[i], path[i+1])
				}
			}
			return
		}
		if len(order) != g.Len() {
			t.Fatalf("order %v has %d of %d nodes", order, len(order), g.Len())
		}
		for k, on := range needs {
			for _, j := range on {
				if slices.Index(order, j) > slices.Index(order, k) {
					t.Fatalf("order %v: %d needs %d", order, k, j)
				}
			}
		}
	})
}

func TestOrderKeepsAValidOrderOfAdding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, _ := acyclic(t)
		order, err := g.Order()
		if err != nil {
			t.Fatal(err)
		}
		again := &dag.Graph[int]{}
		for _, k := range order {
			again.Add(k)
		}
		for _, k := range order {
			for _, j := range g.Needs(k) {
				again.Need(k, j)
			}
		}
		if got, _ := again.Order(); !slices.Equal(got, order) {
			t.Fatalf("got %v, want %v", got, order)
		}
	})
}

func TestReverseTakesDownInTheOtherDirection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, needs := acyclic(t)
		order, err := g.Reverse().Order()
		if err != nil {
			t.Fatal(err)
		}
		for k, on := range needs {
			for _, j := range on {
				if slices.Index(order, j) < slices.Index(order, k) {
					t.Fatalf("order %v takes %d down before %d, which needs it", order, j, k)
				}
			}
		}
	})
}

var errNode = errors.New("node failed")

func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, needs := acyclic(t)
		failing := rapid.SliceOfNDistinct(rapid.IntRange(0, g.Len()-1), 0, 2, rapid.ID[int]).Draw(t, "failing")
		limit := rapid.IntRange(0, 3).Draw(t, "limit")
		keepGoing := rapid.Bool().Draw(t, "keep going")
		var mu sync.Mutex
		var done []int
		running := 0
		told := map[int]int{}
		res, err := g.Walk(t.Context(), dag.WalkOptions[int]{Limit: limit, KeepGoing: keepGoing,
			Skipped: func(k, because int) { told[k] = because }}, func(_ context.Context, k int) error {
			mu.Lock()
			defer mu.Unlock()
			if running++; limit > 0 && running > limit {
				t.Errorf("%d at a time, limit %d", running, limit)
			}
			mu.Unlock()
			runtime.Gosched() // let others overlap
			mu.Lock()
			running--
			for _, j := range needs[k] {
				if !slices.Contains(done, j) {
					t.Errorf("%d began before %d, which it needs", k, j)
				}
			}
			if slices.Contains(failing, k) {
				return errNode
			}
			done = append(done, k)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if total := len(res.Done) + len(res.Failed) + len(res.Skipped) + len(res.NotStarted); total != g.Len() {
			t.Fatalf("%+v accounts for %d of %d nodes", res, total, g.Len())
		}
		if keepGoing && len(res.NotStarted) > 0 {
			t.Fatalf("not started although going on: %v", res.NotStarted)
		}
		for _, k := range res.Skipped {
			because, ok := told[k]
			_, failed := res.Failed[because]
			if !ok || !slices.Contains(needs[k], because) || (!failed && !slices.Contains(res.Skipped, because)) {
				t.Fatalf("%d skipped because of %d (told: %t)", k, because, ok)
			}
		}
	})
}

func TestWalkRefusesACycleBeforeItCallsAnything(t *testing.T) {
	g := &dag.Graph[string]{}
	g.Need("a", "b")
	g.Need("b", "a")
	g.Add("c")
	_, err := g.Walk(t.Context(), dag.WalkOptions[string]{}, func(context.Context, string) error {
		t.Error("called")
		return nil
	})
	if want := "these need each other: a needs b needs a"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWalkStopsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &dag.Graph[string]{}
		g.Need("second", "first")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		res, err := g.Walk(ctx, dag.WalkOptions[string]{}, func(context.Context, string) error {
			time.Sleep(time.Minute) // a step that goes on
			return nil
		})
		if err != nil || !slices.Equal(res.Done, []string{"first"}) || !slices.Equal(res.NotStarted, []string{"second"}) {
			t.Errorf("got %+v, %v; want first done and second not started", res, err)
		}
	})
}
