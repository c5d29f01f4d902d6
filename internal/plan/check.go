package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/dag"
)

// checkWanted takes the wanted resources in, in canonical form, and refuses two of one name and broken specs.
func (m *maker) checkWanted(want []flowehr.Resource) {
	specs := readSpecs(want)
	for i, res := range want {
		if first, twice := m.wanted[res.Ref]; twice {
			m.refuse(later(first, res), "%s is defined twice", res.Ref)("The other one is at %s.", earlier(first, res).Pos)
			continue
		}
		read := specs[i]
		if read.err != nil {
			m.refuse(res, "the specification of %s is not JSON", res.Ref)("%v", read.err)
			continue
		}
		res.Spec = read.spec
		res.Needs = sortedRefs(res.Needs)
		m.wanted[res.Ref] = res
		if read.refsErr != nil {
			m.refuse(res, "the specification of %s refers to an output wrongly", res.Ref)("%v", read.refsErr)
			continue
		}
		for _, o := range read.outputs {
			if !slices.Contains(res.Needs, o.Ref) {
				m.refuse(res, "%s uses output %s without needing %s", res.Ref, o, o.Ref)("A resource may use outputs of what it needs.")
			}
		}
	}
}

// readSpec is a spec in canonical form, with the outputs that it refers to.
type readSpec struct {
	spec    []byte
	err     error
	outputs []flowehr.OutputRef
	refsErr error
}

// readSpecs reads all specs, on all processors: an environment may have a thousand, some of them of a hundred kilobytes.
func readSpecs(want []flowehr.Resource) []readSpec {
	out := make([]readSpec, len(want))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(want), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(want); i = int(next.Add(1)) - 1 {
				r := &out[i]
				if r.spec, r.err = canonicalSpec(want[i].Spec); r.err == nil {
					r.outputs, r.refsErr = flowehr.OutputRefs(r.spec)
				}
			}
		})
	}
	wg.Wait()
	return out
}

// canonicalSpec treats a missing spec as null. What was decoded has its members sorted and its numbers as they were written, so
// encoding it once gives what flowehr.Canonical gives.
func canonicalSpec(spec []byte) ([]byte, error) {
	if len(spec) == 0 {
		return []byte("null"), nil
	}
	tree, err := decode(spec)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// earlier and later choose by position, so that the message does not depend on the order of the input.
func earlier(a, b flowehr.Resource) flowehr.Resource {
	if comparePos(a.Pos, b.Pos) <= 0 {
		return a
	}
	return b
}

func later(a, b flowehr.Resource) flowehr.Resource {
	if comparePos(a.Pos, b.Pos) <= 0 {
		return b
	}
	return a
}

func comparePos(a, b flowehr.Pos) int {
	if c := strings.Compare(a.File, b.File); c != 0 {
		return c
	}
	if a.Line != b.Line {
		return a.Line - b.Line
	}
	return a.Column - b.Column
}

// checkNeeds refuses planned resources whose needs will not be there, and the removal of what another layer needs.
func (m *maker) checkNeeds() {
	for _, ref := range sortedKeys(m.wanted) {
		res := m.wanted[ref]
		if !m.o.includes(res.Layer) {
			continue
		}
		for _, need := range res.Needs {
			m.checkNeed(res, need)
		}
	}
	m.checkReleased()
}

func (m *maker) checkNeed(res flowehr.Resource, need flowehr.Ref) {
	other, wanted := m.wanted[need]
	rec, recorded := m.have.Records[need]
	switch {
	case !wanted:
		m.refuse(res, "%s needs %s, which the definition does not have", res.Ref, need)("Add %s, or take the use of it away.", need)
	case m.o.includes(other.Layer):
	case !recorded || rec.Pending == flowehr.Create:
		m.refuse(res, "%s needs %s, which is not deployed", res.Ref, need)(
			"It belongs to layer %s. Deploy that layer first, or all layers together.", other.Layer)
	case rec.Pending != flowehr.Keep:
		m.refuse(res, "%s needs %s, whose %s was begun and not finished", res.Ref, need, rec.Pending)(
			"It belongs to layer %s. Deploy that layer first, or all layers together.", other.Layer)
	}
}

// checkReleased refuses to delete what a record of a layer that is not planned still needs.
func (m *maker) checkReleased() {
	going := map[flowehr.Ref]bool{}
	for _, rec := range m.unwanted() {
		going[rec.Resource.Ref] = true
	}
	for _, ref := range sortedKeys(m.have.Records) {
		res := m.have.Records[ref].Resource
		if m.o.includes(res.Layer) {
			continue
		}
		for _, need := range sortedRefs(res.Needs) {
			if going[need] {
				m.refuse(res, "%s cannot be deleted: %s needs it", need, ref)(
					"%s belongs to layer %s. Take that layer down or deploy it first, or plan all layers together.", ref, res.Layer)
			}
		}
	}
}

// checkOrder refuses needs that go in a circle, among the wanted as among the recorded.
func (m *maker) checkOrder() {
	m.refuseCycle(m.graph(), "the definition")
	recorded := &dag.Graph[flowehr.Ref]{}
	for _, ref := range sortedKeys(m.have.Records) {
		recorded.Add(ref)
		for _, need := range sortedRefs(m.have.Records[ref].Resource.Needs) {
			recorded.Need(ref, need)
		}
	}
	m.refuseCycle(recorded, "the state")
}

func (m *maker) refuseCycle(g *dag.Graph[flowehr.Ref], where string) {
	cycle, ok := errors.AsType[*dag.CycleError[flowehr.Ref]](g.Check())
	if !ok {
		return
	}
	m.refuse(m.wanted[cycle.Path[0]], "resources of %s need each other", where)("%v.", cycle)
}

// graph has the wanted resources and their needs, layer by layer and sorted, whatever order they came in.
func (m *maker) graph() *dag.Graph[flowehr.Ref] {
	g := &dag.Graph[flowehr.Ref]{}
	refs := sortedKeys(m.wanted)
	layers := flowehr.Layers()
	slices.SortStableFunc(refs, func(a, b flowehr.Ref) int {
		return slices.Index(layers, m.wanted[a].Layer) - slices.Index(layers, m.wanted[b].Layer)
	})
	for _, ref := range refs {
		g.Add(ref)
	}
	for _, ref := range refs {
		for _, need := range m.wanted[ref].Needs {
			g.Need(ref, need)
		}
	}
	return g
}

// refuse adds an error; what it returns gives the error its detail.
func (m *maker) refuse(at flowehr.Resource, format string, args ...any) func(detail string, args ...any) {
	d := flowehr.Errorf(at.Pos, format, args...)
	return func(detail string, args ...any) { m.diags = append(m.diags, d.With(detail, args...)) }
}
