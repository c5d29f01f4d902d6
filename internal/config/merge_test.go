package config

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
)

var compareTrees = cmp.AllowUnexported(node{}, field{})

// trees draws mappings of a few keys, so that layers meet often. Every node has a position of its own.
func trees(layer string) *rapid.Generator[*node] {
	return rapid.Custom(func(t *rapid.T) *node {
		line := 0
		next := func() flowehr.Pos { line++; return flowehr.Pos{File: layer, Line: line, Column: 1} }
		return drawMapping(t, next, 3)
	})
}

func drawMapping(t *rapid.T, next func() flowehr.Pos, depth int) *node {
	n := &node{kind: kindMapping, pos: next()}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID[string]).Draw(t, "keys") {
		n.fields = append(n.fields, field{key: key, pos: next(), value: drawNode(t, next, depth-1)})
	}
	return n
}

func drawNode(t *rapid.T, next func() flowehr.Pos, depth int) *node {
	kinds := []kind{kindEmpty, kindNull, kindScalar, kindList, kindMapping, kindMapping}
	if depth == 0 {
		kinds = kinds[:3]
	}
	n := &node{kind: rapid.SampledFrom(kinds).Draw(t, "kind"), pos: next()}
	switch n.kind {
	case kindScalar:
		n.text = rapid.SampledFrom([]string{"1", "2"}).Draw(t, "text")
	case kindList:
		n.items = []*node{drawNode(t, next, depth-1)}
	case kindMapping:
		return drawMapping(t, next, depth)
	}
	return n
}

func TestMergeWithNothingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := trees("x").Draw(t, "x")
		for name, got := range map[string]*node{"over nothing": merge(nil, x), "under nothing": merge(x, nil), "under an empty value": merge(x, &node{kind: kindEmpty})} {
			if diff := cmp.Diff(x, got, compareTrees); diff != "" {
				t.Errorf("%s (-x +got):\n%s", name, diff)
			}
		}
	})
}

func TestMergeIsAssociative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := trees("a").Draw(t, "a"), trees("b").Draw(t, "b"), trees("c").Draw(t, "c")
		left, right := merge(merge(a, b), c), merge(a, merge(b, c))
		if diff := cmp.Diff(left, right, compareTrees); diff != "" {
			t.Errorf("(a+b)+c and a+(b+c) differ (-left +right):\n%s", diff)
		}
	})
}

func TestMergeTakesEveryLeafOfTheLaterLayer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo, hi := trees("lo").Draw(t, "lo"), trees("hi").Draw(t, "hi")
		got := leaves(merge(lo, hi))
		for path, leaf := range leaves(hi) {
			if leaf.kind == kindEmpty && got[path] != leaf {
				continue // says nothing
			}
			if got[path] != leaf {
				t.Errorf("%s: got %v, want the later layer's %v", path, got[path], leaf)
			}
		}
	})
}

func TestMergeKeepsPositionsOfLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo, hi := trees("lo").Draw(t, "lo"), trees("hi").Draw(t, "hi")
		before := map[string]map[string]*node{"lo": leaves(lo), "hi": leaves(hi)}
		for path, leaf := range leaves(merge(lo, hi)) {
			if before[leaf.pos.File][path] != leaf {
				t.Errorf("%s at %s is in neither layer", path, leaf.pos)
			}
		}
	})
}

func TestMergeChangesNeitherLayer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo, hi := trees("lo").Draw(t, "lo"), trees("hi").Draw(t, "hi")
		was := fmt.Sprint(written(lo), written(hi))
		merge(lo, hi)
		if now := fmt.Sprint(written(lo), written(hi)); now != was {
			t.Errorf("merging changed a layer:\nwas %s\nnow %s", was, now)
		}
	})
}

// leaves maps the path of everything that is not a mapping to its node.
func leaves(n *node) map[string]*node {
	out := map[string]*node{}
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		if n.kind != kindMapping {
			out[path] = n
			return
		}
		for _, f := range n.fields {
			walk(path+"/"+f.key, f.value)
		}
	}
	walk("", n)
	return out
}

// written is a tree as one line of text, with every position.
func written(n *node) string {
	s := fmt.Sprintf("%d@%s%q%v(", n.kind, n.pos, n.text, n.replaces)
	for _, f := range n.fields {
		s += f.key + "@" + f.pos.String() + ":" + written(f.value) + " "
	}
	for _, i := range n.items {
		s += written(i) + " "
	}
	return s + ")"
}
