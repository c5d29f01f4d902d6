package factory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Known is what the runner offers. A nil set is not known, and what it would answer is not checked.
type Known struct {
	ActivityTypes  map[string]bool // beside control flow, which the engine always has
	LinkedServices map[string]bool // built in or configured, beside those in files
	Pipelines      map[string]bool // registered names
}

// Validate reports everything that is wrong with a bundle: what the runner does not know, references to what does not
// exist, dependencies that cannot be ordered, bad expressions, bad time spans, triggers that cannot fire. Each
// diagnostic has the file and the JSON pointer of the fault; [Locate] adds lines. Limits of Azure that do not apply here
// are [AzureLimits]'s.
func Validate(b Bundle, k Known) []flowehr.Diagnostic {
	v := &validator{decoder: decoder{file: b.Pipeline.File}, bundle: b, known: k, places: map[string]string{},
		inactive: map[string]bool{}}
	v.names()
	v.body(b.Pipeline.Activities, nil, scope{})
	v.variables()
	v.connections()
	for _, t := range b.Triggers {
		v.trigger(t)
	}
	flowehr.SortDiagnostics(v.diagnostics)
	return v.diagnostics
}

type validator struct {
	decoder
	bundle   Bundle
	known    Known
	places   map[string]string // activity name -> its pointer
	inactive map[string]bool
}

// forbidden in the name of an activity.
const forbidden = `.+?/<>*%&:\`

// names checks names across all bodies.
func (v *validator) names() {
	Walk(v.bundle.Pipeline.Activities, func(a Activity, _ []Activity) {
		if a.Name == "" {
			return // reported when it was read
		}
		if _, again := v.places[a.Name]; again {
			v.fail(a.Pointer+"/name", "there are two activities %q in pipeline %q", a.Name, v.bundle.Pipeline.Name)
			return
		}
		v.places[a.Name] = a.Pointer
		v.inactive[a.Name] = a.Inactive
		if i := strings.IndexAny(a.Name, forbidden); i >= 0 {
			v.fail(a.Pointer+"/name", "the name of activity %q contains %q, which Data Factory refuses", a.Name, a.Name[i:i+1])
		}
	})
}

// scope is what an expression at a place may name.
type scope struct {
	upstream map[string]bool // activities that have finished for certain
	item     bool            // a loop's or a filter's element
	trigger  bool            // trigger() and triggerBody()
	dataset  map[string]Parameter
	service  map[string]Parameter
	setting  string // variable that is being set
}

func (s scope) with(names ...string) scope {
	upstream := make(map[string]bool, len(s.upstream)+len(names))
	for n := range s.upstream {
		upstream[n] = true
	}
	for _, n := range names {
		upstream[n] = true
	}
	s.upstream = upstream
	return s
}

// body checks the activities of one pipeline or container. around are the containers, outermost first.
func (v *validator) body(acts []Activity, around []Activity, s scope) {
	byName := map[string]Activity{}
	for _, a := range acts {
		byName[a.Name] = a
	}
	v.dependencies(acts, byName)
	for _, a := range acts {
		v.activity(a, around, s.with(ancestors(a, byName)...))
	}
}

// ancestors lists the activities of the same body that a waits for, directly or not, with those inside of them: after an
// If, a Switch or an Until, expressions may name the activities of its bodies, and real definitions do. Those of a
// ForEach, which ran many times, stay hidden.
func ancestors(a Activity, byName map[string]Activity) []string {
	seen := map[string]bool{a.Name: true}
	var all []string
	queue := []Activity{a}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		for _, d := range next.DependsOn {
			parent, ok := byName[d.Activity]
			if ok && !seen[d.Activity] {
				seen[d.Activity] = true
				all = append(all, d.Activity)
				all = append(all, visibleInside(parent)...)
				queue = append(queue, parent)
			}
		}
	}
	return all
}

// visibleInside are the activities in the bodies of a container that can be named from outside.
func visibleInside(a Activity) []string {
	var names []string
	if a.Type == "ForEach" {
		return nil
	}
	for _, b := range a.Branches {
		for _, inner := range b.Activities {
			names = append(append(names, inner.Name), visibleInside(inner)...)
		}
	}
	return names
}

func (v *validator) dependencies(acts []Activity, byName map[string]Activity) {
	for _, a := range acts {
		for i, d := range a.DependsOn {
			pointer := child(a.Pointer+"/dependsOn", i) + "/activity"
			_, here := byName[d.Activity]
			_, elsewhere := v.places[d.Activity]
			switch {
			case d.Activity == a.Name:
				v.fail(pointer, "activity %q depends on itself", a.Name)
			case here:
			case elsewhere:
				v.fail(pointer, "activity %q depends on %q, which is inside another activity or around this one", a.Name, d.Activity)
			default:
				v.fail(pointer, "activity %q depends on %q, which does not exist", a.Name, d.Activity)
			}
		}
	}
	for _, a := range acts {
		if parent := impossible(a); parent != "" {
			v.warn(a.Pointer+"/dependsOn", "activity %q never runs: no outcome of %q meets all of its conditions", a.Name, parent)
		}
	}
	if cycle := findCycle(acts, byName); len(cycle) > 0 {
		v.fail(byName[cycle[0]].Pointer+"/dependsOn", "activities wait for each other: %s", strings.Join(cycle, " waits for "))
	}
}

// impossible names an activity whose conditions, spread over several entries, exclude each other.
func impossible(a Activity) string {
	for _, d := range a.DependsOn {
		meets := func(s Status) bool {
			return !slices.ContainsFunc(a.DependsOn, func(other Dependency) bool {
				return other.Activity == d.Activity &&
					!slices.ContainsFunc(other.Conditions, func(c string) bool { return holds(c, s) })
			})
		}
		if !meets(Succeeded) && !meets(Failed) && !meets(Skipped) {
			return d.Activity
		}
	}
	return ""
}

// findCycle returns the names of a real cycle, the first repeated at the end, or nil. Self-dependencies are reported
// elsewhere and left out.
func findCycle(acts []Activity, byName map[string]Activity) []string {
	const (
		entered = 1
		left    = 2
	)
	state := map[string]int{}
	var path []string
	var enter func(name string) []string
	enter = func(name string) []string {
		state[name] = entered
		path = append(path, name)
		for _, d := range byName[name].DependsOn {
			if _, here := byName[d.Activity]; !here || d.Activity == name {
				continue
			}
			switch state[d.Activity] {
			case entered:
				start := slices.Index(path, d.Activity)
				return append(slices.Clone(path[start:]), d.Activity)
			case 0:
				if cycle := enter(d.Activity); cycle != nil {
					return cycle
				}
			}
		}
		state[name] = left
		path = path[:len(path)-1]
		return nil
	}
	for _, a := range acts {
		if state[a.Name] == 0 {
			if cycle := enter(a.Name); cycle != nil {
				return cycle
			}
		}
	}
	return nil
}

// activity checks one activity and what is inside. An inactive one never runs: people make activities inactive because
// they are not finished, and Azure does not look into them either.
func (v *validator) activity(a Activity, around []Activity, s scope) {
	if a.Inactive {
		return
	}
	v.activityType(a)
	v.nesting(a, around)
	v.policyOf(a, s)
	for i, p := range a.UserProperties {
		v.expressions(p.Value, child(a.Pointer+"/userProperties", i)+"/value", s)
	}
	v.referenced(a, s)
	v.control(a, s)
	inner := s
	inner.item = s.item || a.Type == "ForEach"
	for _, branch := range a.Branches {
		v.body(branch.Activities, append(slices.Clip(around), a), inner)
	}
}

func (v *validator) activityType(a Activity) {
	if a.Type == "" {
		return // reported when it was read
	}
	pointer := a.Pointer + "/type"
	switch kind := KindOfType(a.Type); {
	case kind == ControlType:
	case v.known.ActivityTypes != nil && v.known.ActivityTypes[a.Type]:
	case kind == UnknownType:
		hint := ""
		if near := nearType(a.Type); near != "" {
			hint = fmt.Sprintf("; is %q meant?", near)
		}
		v.fail(pointer, "activity %q has the unknown type %q%s", a.Name, a.Type, hint)
	case kind == RefusedType || v.known.ActivityTypes != nil:
		v.fail(pointer, "activity %q is of type %s, which cannot run here", a.Name, a.Type)
	}
}

// nesting warns of what Azure refuses and this engine runs.
func (v *validator) nesting(a Activity, around []Activity) {
	if len(around) == 0 || !isContainer(a.Type) {
		return
	}
	outer := around[len(around)-1]
	loop := a.Type == "ForEach" || a.Type == "Until"
	insideBranch := outer.Type == "IfCondition" || outer.Type == "Switch"
	if loop || insideBranch {
		v.warn(a.Pointer, "%s %q is inside %s %q: this runs here, Azure refuses it", a.Type, a.Name, outer.Type, outer.Name)
	}
}

func (v *validator) policyOf(a Activity, s scope) {
	v.timespan(a.Policy.Timeout, a.Pointer+"/policy/timeout", s)
	v.count(a.Policy.Retry, a.Pointer+"/policy/retry", s)
	v.count(a.Policy.RetryInterval, a.Pointer+"/policy/retryIntervalInSeconds", s)
}

// timespan checks a value that is a time span or an expression.
func (v *validator) timespan(value expr.Value, pointer string, s scope) {
	text, dynamic := v.literal(value, pointer, s)
	if dynamic || value == nil {
		return
	}
	d, err := ParseTimespan(expr.Text(text))
	switch {
	case err != nil:
		v.fail(pointer, "%v", err)
	case d <= 0:
		v.fail(pointer, "time span %q is not positive", expr.Text(text))
	}
}

// count checks a value that is a whole number, perhaps as text, or an expression.
func (v *validator) count(value expr.Value, pointer string, s scope) {
	literal, dynamic := v.literal(value, pointer, s)
	if dynamic || value == nil {
		return
	}
	n, ok := toInt(literal)
	if whole, _ := n.(int64); !ok || whole < 0 {
		v.fail(pointer, "%s is not a whole number that is not negative", expr.EncodeJSON(literal))
	}
}

// literal checks the expressions in value and returns what it is without evaluation; dynamic is true when only a run can
// tell.
func (v *validator) literal(value expr.Value, pointer string, s scope) (literal expr.Value, dynamic bool) {
	v.expressions(value, pointer, s)
	if o, ok := value.(*expr.Object); ok {
		if t, _ := o.Get("type"); t == "Expression" {
			value, _ = o.Get("value")
		}
	}
	text, ok := value.(string)
	if !ok {
		return value, false
	}
	x, err := expr.Parse(text)
	if x != nil || err != nil {
		return nil, true
	}
	return strings.TrimPrefix(text, "@"), false // only "@@..." begins so and is no expression
}
