// Package plan compares what is wanted with what is recorded and says, as data, what to do.
//
// It reads no file, asks no target and changes nothing: drift is found by refreshing the state first (package apply).
//
// The rule that holds here: a plan is a pure function of its arguments. The order of the wanted resources does not
// matter, and the same arguments give the same bytes.
package plan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/dag"
)

// Lowerer turns an environment into the resources of one target. It does no I/O, and the same environment gives the
// same resources.
type Lowerer interface {
	Lower(*flowehr.Environment) ([]flowehr.Resource, []flowehr.Diagnostic)
}

// Options narrows a plan and tells it what it cannot know.
type Options struct {
	// Layers are the layers to plan for; none means all. What lies in other layers is left alone, but has to stand if
	// something planned needs it.
	Layers []flowehr.Layer

	// Replace gives the JSON pointers within the Spec of a kind that cannot be changed in place. Nil means that
	// everything can.
	Replace func(kind string) []string

	// At is the time to write into the plan.
	At time.Time
}

func (o Options) includes(l flowehr.Layer) bool {
	return len(o.Layers) == 0 || slices.Contains(o.Layers, l)
}

func (o Options) replacePointers(kind string) []string {
	if o.Replace == nil {
		return nil
	}
	return o.Replace(kind)
}

// EnvironmentName is what plans and states call an environment: unique among those of an organisation.
func EnvironmentName(env *flowehr.Environment) string { return cmp.Or(env.Suffix, env.Name) }

// Make plans the way from have to want. The error is a [flowehr.DiagnosticsError] with everything that is wrong: two
// resources of one name, a need that is nowhere, a need in a layer that is neither planned nor deployed.
//
// Steps stand in an order that respects their needs, one for every wanted resource of the planned layers, and then one
// Delete for every record that is no longer wanted.
func Make(env *flowehr.Environment, want []flowehr.Resource, have flowehr.State, o Options) (flowehr.Plan, error) {
	p := flowehr.Plan{Environment: EnvironmentName(env), Target: env.Target, RealData: env.RealData, Base: have.Revision, At: o.At}
	if err := fits(p, have); err != nil {
		return flowehr.Plan{}, err
	}
	m := &maker{have: have, o: o, wanted: map[flowehr.Ref]flowehr.Resource{}}
	m.checkWanted(want)
	if len(m.diags) == 0 {
		m.checkNeeds()
	}
	if len(m.diags) == 0 {
		m.checkOrder()
	}
	if flowehr.HasErrors(m.diags) {
		flowehr.SortDiagnostics(m.diags)
		return flowehr.Plan{}, flowehr.DiagnosticsError{Diagnostics: m.diags}
	}
	p.Steps = append(m.changes(), deletions(m.unwanted(), m.have, "no longer in the definition", m.releasedBy())...)
	return sealed(p)
}

// MakeDestroy plans to delete everything that is recorded in the layers, none meaning all, in reverse order of needs. It
// refuses to take away what a record of another layer needs. realData is carried into the plan.
func MakeDestroy(have flowehr.State, layers []flowehr.Layer, realData bool, at time.Time) (flowehr.Plan, error) {
	p := flowehr.Plan{Environment: have.Environment, Target: have.Target, RealData: realData, Base: have.Revision, At: at}
	m := &maker{have: have, o: Options{Layers: layers}, wanted: map[flowehr.Ref]flowehr.Resource{}}
	m.checkReleased()
	if len(m.diags) == 0 {
		m.checkOrder()
	}
	if flowehr.HasErrors(m.diags) {
		flowehr.SortDiagnostics(m.diags)
		return flowehr.Plan{}, flowehr.DiagnosticsError{Diagnostics: m.diags}
	}
	p.Steps = deletions(m.unwanted(), have, "destroy", nil)
	return sealed(p)
}

// fits refuses the state of something else. A state that was never saved may be anybody's.
func fits(p flowehr.Plan, have flowehr.State) error {
	if have.Environment != "" && have.Environment != p.Environment || have.Target != "" && have.Target != p.Target {
		return fmt.Errorf("definition is for %s on %s, the state for %s on %s", p.Environment, p.Target, have.Environment, have.Target)
	}
	return nil
}

// maker is one call of Make or MakeDestroy.
type maker struct {
	have   flowehr.State
	o      Options
	wanted map[flowehr.Ref]flowehr.Resource
	diags  []flowehr.Diagnostic
}

// changes returns a step for every wanted resource of the planned layers.
func (m *maker) changes() []flowehr.Step {
	graph := m.graph()
	order, _ := graph.Order() // checkOrder has seen that there is one
	remade := map[flowehr.Ref]bool{}
	var steps []flowehr.Step
	for _, ref := range order {
		res, ok := m.wanted[ref]
		if !ok || !m.o.includes(res.Layer) {
			continue
		}
		step := m.decide(res, remade)
		for _, need := range sortedRefs(res.Needs) {
			if other := m.wanted[need]; m.o.includes(other.Layer) {
				step.After = append(step.After, need)
			}
		}
		remade[ref] = step.Action == flowehr.Create || step.Action == flowehr.Replace
		steps = append(steps, step)
	}
	return steps
}

// decide compares one wanted resource with its record. remade has what the plan creates or replaces among its needs.
func (m *maker) decide(res flowehr.Resource, remade map[flowehr.Ref]bool) flowehr.Step {
	step := flowehr.Step{Want: res}
	rec, stands := m.have.Records[res.Ref]
	if !stands {
		step.Action, step.Why = flowehr.Create, "not there yet"
		return step
	}
	var changes []flowehr.Change
	var fixed []string
	if !bytes.Equal(rec.Resource.Spec, res.Spec) { // of most that stands the bytes are the same, and templates are long
		changes = Diff(rec.Resource.Spec, res.Spec)
		fixed = changedAt(m.o.replacePointers(res.Ref.Kind), rec.Resource.Spec, res.Spec)
	}
	if rec.Pending == flowehr.Create && len(fixed) == 0 {
		step.Action, step.Why = flowehr.Create, "begun before and not finished"
		return step
	}
	step.Prior, step.Changes = &rec, changes
	used := m.usedOutputs(res, remade)
	switch {
	case len(fixed) > 0:
		step.Action, step.Why = flowehr.Replace, listed(fixed)+" cannot be changed in place"
	case rec.Pending == flowehr.Replace:
		step.Action, step.Why = flowehr.Replace, "a replacement was begun before and not finished"
	case rec.Pending == flowehr.Delete:
		step.Action, step.Why = flowehr.Replace, "a deletion was begun before and not finished"
	case len(changes) > 0:
		step.Action, step.Why = flowehr.Update, listed(paths(changes))+" changed"
	case rec.Pending == flowehr.Update:
		step.Action, step.Why = flowehr.Update, "a change was begun before and not finished"
	case len(used) > 0:
		step.Action, step.Why = flowehr.Update, "uses "+strings.Join(used, ", ")+", which may come out different"
	default:
		step.Action = flowehr.Keep
	}
	if step.Action == flowehr.Replace && res.Holds {
		step.Why += "; it holds data"
	}
	return step
}

// usedOutputs names the outputs that res uses of resources that the plan creates or replaces.
func (m *maker) usedOutputs(res flowehr.Resource, remade map[flowehr.Ref]bool) []string {
	if !slices.ContainsFunc(res.Needs, func(need flowehr.Ref) bool { return remade[need] }) {
		return nil // checkWanted has seen that it uses outputs of what it needs only
	}
	refs, _ := flowehr.OutputRefs(res.Spec) // checkWanted has read them
	var used []string
	for _, o := range refs {
		if remade[o.Ref] {
			used = append(used, o.String())
		}
	}
	return used
}

// unwanted returns the records of the planned layers that are not wanted any more.
func (m *maker) unwanted() []flowehr.Record {
	var out []flowehr.Record
	for _, ref := range sortedKeys(m.have.Records) {
		rec := m.have.Records[ref]
		if _, ok := m.wanted[ref]; !ok && m.o.includes(rec.Resource.Layer) {
			out = append(out, rec)
		}
	}
	return out
}

// releasedBy says, for each recorded resource, which planned steps let go of it: they needed it when they were applied.
func (m *maker) releasedBy() map[flowehr.Ref][]flowehr.Ref {
	by := map[flowehr.Ref][]flowehr.Ref{}
	for _, ref := range sortedKeys(m.wanted) {
		if !m.o.includes(m.wanted[ref].Layer) {
			continue
		}
		for _, need := range m.have.Records[ref].Resource.Needs {
			by[need] = append(by[need], ref)
		}
	}
	return by
}

// deletions deletes gone so that each goes after all that needed it.
func deletions(gone []flowehr.Record, have flowehr.State, why string, releasedBy map[flowehr.Ref][]flowehr.Ref) []flowehr.Step {
	down := &dag.Graph[flowehr.Ref]{}
	going := map[flowehr.Ref]bool{}
	for _, rec := range gone {
		down.Add(rec.Resource.Ref)
		going[rec.Resource.Ref] = true
	}
	after := map[flowehr.Ref][]flowehr.Ref{}
	for _, rec := range gone {
		for _, need := range sortedRefs(rec.Resource.Needs) {
			if going[need] {
				down.Need(need, rec.Resource.Ref)
				after[need] = append(after[need], rec.Resource.Ref)
			}
		}
	}
	order, _ := down.Order() // checkOrder has seen that there is one
	var steps []flowehr.Step
	for _, ref := range order {
		rec := have.Records[ref]
		step := flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec, Why: why}
		step.After = sortedRefs(append(after[ref], releasedBy[ref]...))
		if rec.Resource.Holds {
			step.Why += "; it holds data"
		}
		steps = append(steps, step)
	}
	return steps
}

// Seal gives p the ID of its content, for a plan that a target has looked into further: what becomes of the parts of a step,
// what it costs, a kept resource that stands differently after all. Nothing else may be changed.
func Seal(p flowehr.Plan) (flowehr.Plan, error) { return sealed(p) }

// sealed gives p its ID.
func sealed(p flowehr.Plan) (flowehr.Plan, error) {
	id, err := identify(p)
	p.ID = id
	return p, err
}

// idLength is how many hexadecimal digits of the digest name a plan to people.
const idLength = 8

// identify returns the ID that the content of p has. When it was made does not matter.
func identify(p flowehr.Plan) (string, error) {
	p.ID, p.At = "", time.Time{}
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode plan: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:idLength], nil
}

func compareRefs(a, b flowehr.Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// sortedRefs returns refs sorted, each once.
func sortedRefs(refs []flowehr.Ref) []flowehr.Ref {
	return slices.Compact(slices.SortedFunc(slices.Values(refs), compareRefs))
}

func sortedKeys[V any](m map[flowehr.Ref]V) []flowehr.Ref {
	return slices.SortedFunc(maps.Keys(m), compareRefs)
}
