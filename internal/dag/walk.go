package dag

import (
	"context"
	"slices"
)

// WalkOptions bounds a walk and says what a failure does to the rest.
type WalkOptions[K comparable] struct {
	Limit     int  // nodes at a time; 0 or less means all that are ready
	KeepGoing bool // after a failure go on with what does not need the failed node; otherwise start nothing more

	// Skipped, when set, is told of each node that is left out because of a failed or left-out node that it needs. It is
	// called from the goroutine that called Walk.
	Skipped func(k, because K)
}

// WalkResult says what became of every node: each stands in exactly one of the four.
type WalkResult[K comparable] struct {
	Done       []K         // in order of completion
	Failed     map[K]error // what the function returned
	Skipped    []K         // needs a failed node, directly or through others
	NotStarted []K         // left when the walk was stopped, in order of adding
}

// finish is what a worker tells the walk.
type finish struct {
	node int
	err  error
}

// Walk calls visit for every node after all that it needs are done, several at a time. It returns when every call that
// began has returned. When ctx ends no further call begins; the calls under way get ctx itself and decide for themselves.
// The error is a *[CycleError], in which case nothing was called.
func (g *Graph[K]) Walk(ctx context.Context, o WalkOptions[K], visit func(context.Context, K) error) (WalkResult[K], error) {
	if err := g.Check(); err != nil {
		return WalkResult[K]{}, err
	}
	w := walk[K]{g: g, o: o, res: WalkResult[K]{Failed: map[K]error{}}, settled: make([]bool, g.Len())}
	w.prepare()
	ends := make(chan finish)
	for running, stopped := 0, false; ; {
		stopped = stopped || ctx.Err() != nil || (!o.KeepGoing && len(w.res.Failed) > 0)
		for !stopped && len(w.ready) > 0 && (o.Limit <= 0 || running < o.Limit) {
			i := w.ready[0]
			w.ready = w.ready[1:]
			w.settled[i] = true
			running++
			go func() { ends <- finish{i, visit(ctx, g.keys[i])} }()
		}
		if running == 0 {
			return w.rest(), nil
		}
		select {
		case f := <-ends:
			running--
			w.end(f)
		case <-w.wake(ctx, stopped):
			stopped = true
		}
	}
}

// walk is the bookkeeping of one Walk. It is used by one goroutine only.
type walk[K comparable] struct {
	g        *Graph[K]
	o        WalkOptions[K]
	res      WalkResult[K]
	waiting  []int   // per node, how many needs are not done
	neededBy [][]int // per node, who needs it
	ready    []int   // sorted, so that the order of adding decides
	settled  []bool  // begun or skipped
}

func (w *walk[K]) prepare() {
	n := w.g.Len()
	w.waiting, w.neededBy = make([]int, n), make([][]int, n)
	for i, needs := range w.g.needs {
		w.waiting[i] = len(needs)
		for _, j := range needs {
			w.neededBy[j] = append(w.neededBy[j], i)
		}
		if len(needs) == 0 {
			w.ready = append(w.ready, i)
		}
	}
}

// wake returns what ends a wait early. Once stopped there is nothing to wake for, and a closed channel would spin.
func (w *walk[K]) wake(ctx context.Context, stopped bool) <-chan struct{} {
	if stopped {
		return nil
	}
	return ctx.Done()
}

func (w *walk[K]) end(f finish) {
	if f.err != nil {
		w.res.Failed[w.g.keys[f.node]] = f.err
		w.skip(f.node)
		return
	}
	w.res.Done = append(w.res.Done, w.g.keys[f.node])
	for _, i := range w.neededBy[f.node] {
		if w.waiting[i]--; w.waiting[i] == 0 && !w.settled[i] {
			at, _ := slices.BinarySearch(w.ready, i)
			w.ready = slices.Insert(w.ready, at, i)
		}
	}
}

// skip leaves out everything that needs node.
func (w *walk[K]) skip(node int) {
	for _, i := range w.neededBy[node] {
		if w.settled[i] {
			continue
		}
		w.settled[i] = true
		w.res.Skipped = append(w.res.Skipped, w.g.keys[i])
		if w.o.Skipped != nil {
			w.o.Skipped(w.g.keys[i], w.g.keys[node])
		}
		w.skip(i)
	}
}

func (w *walk[K]) rest() WalkResult[K] {
	for i, k := range w.g.keys {
		if !w.settled[i] {
			w.res.NotStarted = append(w.res.NotStarted, k)
		}
	}
	return w.res
}
