package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
)

// PlanView is a plan and what a person needs to know beside it.
type PlanView struct {
	Plan     flowehr.Plan
	Location string   // of the target, for example "uksouth"; may be empty
	Facts    []string // more for the first line, for example "tier 1"
	All      bool     // show what is kept, too
	Next     string   // the command that goes on from here; empty when there is nothing to do
	Notes    []string // after the counts, for example "Cost: no change."
	Now      time.Time
}

// Plan writes a plan as a tree: where we are, every change by layer, the counts, and what to do next.
func Plan(w io.Writer, s Style, v PlanView) error {
	p := v.Plan
	var b strings.Builder
	facts := append([]string{p.Environment, strings.TrimSpace(string(p.Target) + " " + v.Location)}, v.Facts...)
	when := ""
	if !p.At.IsZero() {
		when = fmt.Sprintf("plan of %s, state r%d", Stamp(p.At, v.Now), p.Base)
	}
	b.WriteString(Header(s, facts, p.RealData, when) + "\n")
	shown := shownSteps(p, v.All)
	kinds, names := columns(s, shown)
	for _, layer := range layersOf(shown) {
		b.WriteString("\n  " + s.paint(bold, s.clean(string(layer))))
		for _, step := range shown {
			if step.Want.Layer == layer {
				b.WriteString("\n" + s.step(step, kinds, names))
				for _, line := range s.parts(step, v.All) {
					b.WriteString("\n" + line)
				}
			}
		}
	}
	if len(shown) > 0 {
		b.WriteString("\n")
	}
	notes := append(estimate(p.Estimate, s), v.Notes...)
	b.WriteString("\n" + s.sentences(append([]string{Summary(p)}, notes...)))
	for _, step := range p.Steps {
		if step.Want.Holds && (step.Action == flowehr.Delete || step.Action == flowehr.Replace) {
			warning := fmt.Sprintf("DATA WILL BE LOST: %s holds data and is %sd.", s.clean(step.Want.Ref.String()), step.Action)
			b.WriteString(s.paint(red, strings.Join(wrap(warning, s.width()), "\n")) + "\n")
		}
	}
	if v.Next != "" {
		b.WriteString("Apply it with: " + v.Next + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Header is the first line of every command that changes something: the facts that say where we are, whether the data is
// real, and at the right end what note says.
func Header(s Style, facts []string, realData bool, note string) string {
	kept := []string{}
	for _, f := range facts {
		if f = s.clean(f); f != "" {
			kept = append(kept, f)
		}
	}
	data := "synthetic data"
	if realData {
		data = "REAL DATA"
	}
	facts, note = append(kept, data), s.clean(note)
	line := strings.Join(facts, s.dot())
	if span(line)+2+span(note) <= s.width() {
		line = s.apart(line, note)
	} else {
		// Nothing of this line may be cut off: it is what keeps people from touching the wrong environment.
		line = strings.Join(append(wrap(line, s.width()), wrap(note, s.width())...), "\n")
	}
	if realData {
		at := strings.LastIndex(line, data)
		if at >= 0 {
			line = line[:at] + s.paint(red, data) + line[at+len(data):]
		}
	}
	return line
}

// sentences writes sentences on one line with room between them or, if they do not fit, as text.
func (s Style) sentences(all []string) string {
	line := strings.Join(all, "   ")
	if span(line) <= s.width() {
		return line + "\n"
	}
	return strings.Join(wrap(line, s.width()), "\n") + "\n"
}

// Summary counts the actions of a plan in one sentence.
func Summary(p flowehr.Plan) string {
	if len(p.Steps) == 0 {
		return "Nothing to do."
	}
	if p.Empty() {
		return fmt.Sprintf("Nothing to do: %s unchanged.", Plural(int64(len(p.Steps)), "resource", "resources"))
	}
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{
		{p.Count(flowehr.Create), "to create"}, {p.Count(flowehr.Update), "to change"}, {p.Count(flowehr.Replace), "to replace"},
		{p.Count(flowehr.Delete), "to delete"}, {p.Count(flowehr.Keep), "unchanged"},
	} {
		if c.n > 0 {
			parts = append(parts, Count(int64(c.n))+" "+c.word)
		}
	}
	return strings.Join(parts, ", ") + "."
}

func shownSteps(p flowehr.Plan, all bool) []flowehr.Step {
	var out []flowehr.Step
	for _, step := range p.Steps {
		if all || step.Action != flowehr.Keep {
			out = append(out, step)
		}
	}
	return out
}

// layersOf lists the layers of steps in deployment order, and after them any that this program does not know.
func layersOf(steps []flowehr.Step) []flowehr.Layer {
	there := map[flowehr.Layer]bool{}
	for _, step := range steps {
		there[step.Want.Layer] = true
	}
	var out []flowehr.Layer
	for _, layer := range flowehr.Layers() {
		if there[layer] {
			out = append(out, layer)
			delete(there, layer)
		}
	}
	for _, step := range steps {
		if there[step.Want.Layer] {
			out = append(out, step.Want.Layer)
			delete(there, step.Want.Layer)
		}
	}
	return out
}

// columns returns how wide kinds and names are.
func columns(s Style, steps []flowehr.Step) (kinds, names int) {
	for _, step := range steps {
		kinds = max(kinds, span(s.clean(step.Want.Ref.Kind)))
		names = max(names, span(s.clean(step.Want.Ref.Name)))
	}
	kinds = min(kinds, s.width()/4)
	return kinds, min(names, max(12, (s.width()-kinds-6)/2))
}

func (s Style) step(step flowehr.Step, kinds, names int) string {
	name := pad(s.cut(s.clean(step.Want.Ref.Name), names), names)
	lead := fmt.Sprintf("  %s %s %s ", s.action(step.Action), pad(s.cut(s.clean(step.Want.Ref.Kind), kinds), kinds), name)
	return strings.TrimRight(lead+s.cut(s.reason(step), s.width()-span(lead)), " ")
}

// mostChanges is how many properties the line of an update shows.
const mostChanges = 2

// reason says what changes when that can be said in few words, and why otherwise.
func (s Style) reason(step flowehr.Step) string {
	if n := changingParts(step); n > 0 && step.Action == flowehr.Update && len(step.Changes) > 0 {
		return Plural(n, "part changes", "parts change") // the path of a property within a template tells people nothing
	} else if n > 0 {
		return s.clean(step.Why) + " (" + Plural(n, "part", "parts") + ")"
	}
	if step.Action != flowehr.Update || len(step.Changes) == 0 || len(step.Changes) > mostChanges {
		return s.clean(step.Why)
	}
	return s.changed(step.Changes)
}

// changed writes properties with what they were and will be.
func (s Style) changed(changes []flowehr.Change) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, s.clean(pathWords(c.Path))+" "+s.value(c.Before)+" "+s.arrow()+" "+s.value(c.After))
	}
	return strings.Join(parts, "; ")
}

// pathWords writes a JSON pointer as people write a path.
func pathWords(pointer string) string {
	path := strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(path)
}

// longestValue is how many columns a value in a reason may take.
const longestValue = 24

// value writes a JSON value briefly: a string without quotes, nothing as "none".
func (s Style) value(v json.RawMessage) string {
	if len(v) == 0 || string(v) == "null" {
		return "none"
	}
	var text string
	if json.Unmarshal(v, &text) != nil {
		text = string(v)
	} else if text == "" {
		text = `""`
	} else {
		text = flowehr.Text(text).String()
	}
	return s.cut(s.clean(text), longestValue)
}
