// Package dag orders and walks things that need each other.
//
// It knows nothing of what the nodes are. It does not retry, report progress or recover panics: that is for the function
// that a walk calls. The rule that holds here: the same additions in the same order give the same results, so nothing
// depends on map iteration.
package dag

import (
	"fmt"
	"slices"
	"strings"
)

// Graph is a set of nodes and of needs between them. The zero value is empty and ready. It is not safe for concurrent
// changes; reading and walking do not change it.
type Graph[K comparable] struct {
	keys  []K
	index map[K]int
	needs [][]int // per node, what it needs, each once
}

// Add puts k into the graph. Adding it again changes nothing.
func (g *Graph[K]) Add(k K) { g.at(k) }

// Need says that k needs on, which is walked first. Nodes that are new are added.
func (g *Graph[K]) Need(k, on K) {
	i, j := g.at(k), g.at(on)
	if !slices.Contains(g.needs[i], j) {
		g.needs[i] = append(g.needs[i], j)
	}
}

// Has reports whether k is a node.
func (g *Graph[K]) Has(k K) bool {
	_, ok := g.index[k]
	return ok
}

// Len returns the number of nodes.
func (g *Graph[K]) Len() int { return len(g.keys) }

// Nodes returns the nodes in the order in which they were added.
func (g *Graph[K]) Nodes() []K { return slices.Clone(g.keys) }

// Needs returns what k needs directly, in the order in which it was said.
func (g *Graph[K]) Needs(k K) []K {
	i, ok := g.index[k]
	if !ok {
		return nil
	}
	return g.name(g.needs[i])
}

// Reverse returns the graph in which every need points the other way: the order for taking things down.
func (g *Graph[K]) Reverse() *Graph[K] {
	r := &Graph[K]{}
	for _, k := range g.keys {
		r.Add(k)
	}
	for i, needs := range g.needs {
		for _, j := range needs {
			r.Need(g.keys[j], g.keys[i])
		}
	}
	return r
}

func (g *Graph[K]) at(k K) int {
	if i, ok := g.index[k]; ok {
		return i
	}
	if g.index == nil {
		g.index = map[K]int{}
	}
	g.index[k] = len(g.keys)
	g.keys = append(g.keys, k)
	g.needs = append(g.needs, nil)
	return len(g.keys) - 1
}

func (g *Graph[K]) name(nodes []int) []K {
	out := make([]K, len(nodes))
	for n, i := range nodes {
		out[n] = g.keys[i]
	}
	return out
}

// CycleError says that nodes need each other. Path is a real walk along needs that begins and ends at the same node.
type CycleError[K comparable] struct{ Path []K }

// Error shows the path.
func (e *CycleError[K]) Error() string {
	words := make([]string, len(e.Path))
	for i, k := range e.Path {
		words[i] = fmt.Sprint(k)
	}
	return "these need each other: " + strings.Join(words, " needs ")
}

// Check returns a *[CycleError] when the nodes cannot be ordered.
func (g *Graph[K]) Check() error {
	_, err := g.order()
	return err
}

// Order returns the nodes so that each comes after all that it needs. Among the orders that respect the needs it stays
// close to the order of adding: nodes that were added in a valid order keep it.
func (g *Graph[K]) Order() ([]K, error) {
	nodes, err := g.order()
	if err != nil {
		return nil, err
	}
	return g.name(nodes), nil
}

// order visits depth first. A node on the way that is met again closes a cycle, and the way is its path.
func (g *Graph[K]) order() ([]int, error) {
	const (
		onTheWay = 1
		placed   = 2
	)
	mark := make([]byte, len(g.keys))
	placedNodes := make([]int, 0, len(g.keys))
	var way []int
	var visit func(i int) error
	visit = func(i int) error {
		switch mark[i] {
		case placed:
			return nil
		case onTheWay:
			start := slices.Index(way, i)
			return &CycleError[K]{Path: g.name(append(slices.Clone(way[start:]), i))}
		}
		mark[i] = onTheWay
		way = append(way, i)
		for _, j := range g.needs[i] {
			if err := visit(j); err != nil {
				return err
			}
		}
		way = way[:len(way)-1]
		mark[i] = placed
		placedNodes = append(placedNodes, i)
		return nil
	}
	for i := range g.keys {
		if err := visit(i); err != nil {
			return nil, err
		}
	}
	return placedNodes, nil
}
