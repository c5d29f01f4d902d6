package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flowehr/flowehr/internal/factory"
	"pgregory.net/rapid"
)

// node is an activity of a random graph. It depends on earlier nodes only.
type node struct {
	fails bool
	deps  map[int][]string
}

// oracle decides statuses and outcome in document order, independently of package factory.
func oracle(nodes []node) (statuses []string, run string) {
	statuses = make([]string, len(nodes))
	leaf := make([]bool, len(nodes))
	for i, n := range nodes {
		leaf[i] = true
		statuses[i] = "Succeeded"
		if n.fails {
			statuses[i] = "Failed"
		}
		for d, conditions := range n.deps {
			leaf[d] = false
			if !slices.Contains(conditions, statuses[d]) && (statuses[d] == "Skipped" || !slices.Contains(conditions, "Completed")) {
				statuses[i] = "Skipped"
			}
		}
	}
	var bad func(i int) bool
	bad = func(i int) bool {
		if statuses[i] != "Skipped" {
			return statuses[i] == "Failed"
		}
		for d := range nodes[i].deps {
			if bad(d) {
				return true
			}
		}
		return false
	}
	for i := range nodes {
		if leaf[i] && bad(i) {
			return statuses, "Failed"
		}
	}
	return statuses, "Succeeded"
}

func definition(nodes []node) string {
	var acts []string
	for i, n := range nodes {
		outcome := "Succeeded"
		if n.fails {
			outcome = "Failed"
		}
		var deps []string
		for d := range i {
			if c := n.deps[d]; c != nil {
				deps = append(deps, fmt.Sprintf(`{"activity":"N%d","dependencyConditions":["%s"]}`, d, strings.Join(c, `","`)))
			}
		}
		acts = append(acts, fmt.Sprintf(`{"name":"N%d","type":"Do","dependsOn":[%s],"typeProperties":{"outcome":"%s"}}`, i, strings.Join(deps, ","), outcome))
	}
	slices.Reverse(acts) // the order in the document means nothing
	return `{"activities":[` + strings.Join(acts, ",") + `]}`
}

func TestRandomGraphsEndAsTheOracleSays(t *testing.T) {
	w := newWorld(t, forced)
	var count atomic.Int64
	conditions := []string{"Succeeded", "Failed", "Skipped", factory.Completed}
	rapid.Check(t, func(rt *rapid.T) {
		nodes := make([]node, rapid.IntRange(1, 8).Draw(rt, "size"))
		for i := range nodes {
			nodes[i] = node{fails: rapid.Bool().Draw(rt, "fails"), deps: map[int][]string{}}
			for d := range i {
				if rapid.IntRange(0, 2).Draw(rt, "edge") == 0 {
					nodes[i].deps[d] = rapid.SliceOfNDistinct(rapid.SampledFrom(conditions), 1, 2, rapid.ID[string]).Draw(rt, "conditions")
				}
			}
		}
		statuses, want := oracle(nodes)
		name := fmt.Sprintf("G%d", count.Add(1))
		w := &world{t: t, pool: w.pool, store: w.store}
		w.register(name, definition(nodes))
		r := w.end(w.begin(name, ""))
		if r.Status != want {
			rt.Errorf("run: got %s, want %s (%s)", r.Status, want, r.Why)
		}
		acts, err := w.store.Activities(context.Background(), r.ID)
		if err != nil {
			rt.Fatal(err)
		}
		for _, a := range acts {
			var i int
			_, _ = fmt.Sscanf(a.Name, "N%d", &i)
			if a.Status != statuses[i] {
				rt.Errorf("%s: got %s, want %s", a.Name, a.Status, statuses[i])
			}
		}
		if len(acts) != len(nodes) {
			rt.Errorf("%d activities, want %d", len(acts), len(nodes))
		}
	})
}
