package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// TraceStep is the value that an expression of an activity had, or a part of one. A whole expression comes before its
// parts. Values that nobody may see are masked, long ones are cut.
type TraceStep struct {
	Property   string `json:"property"` // where the expression stands: "source.query"
	Expression string `json:"expression"`
	Value      string `json:"value"` // text as it is, anything else as JSON; "error: ..." when there is none
	Depth      int    `json:"depth"` // 0 is the whole expression
}

// Limits of what is kept of the expressions of one attempt.
const (
	maxTrace      = 50
	maxTraceValue = 2 << 10 // bytes
)

// tracer collects the values of an instance's expressions until the next event takes them along.
type tracer struct {
	property string // being evaluated
	source   expr.Value
	leaves   []leaf // texts in source, in order; nil when not looked for yet
	pending  []expr.TraceStep
	secret   bool // the expression has read what nobody may see
	tainted  bool // as secret, of any expression of the property
	steps    []TraceStep
	dropped  int
}

// tracing says which property is evaluated next. What was collected of an earlier time is forgotten.
func (in *instanceRun) tracing(property string, source expr.Value) {
	t := &in.trace
	t.property, t.source, t.leaves, t.pending, t.secret, t.tainted = property, source, nil, nil, false, false
	if len(t.steps) > 0 {
		t.steps = withoutProperty(t.steps, property)
	}
}

// evaluate gives v as it is where frame f stands, and traces it.
func (in *instanceRun) evaluate(f *frame, v expr.Value) (expr.Value, error) {
	return in.env(f, f).Evaluate(v)
}

// evaluateProperty is evaluate for a named part of the definition.
func (in *instanceRun) evaluateProperty(f *frame, property string, v expr.Value) (expr.Value, error) {
	in.tracing(property, v)
	return in.evaluate(f, v)
}

// env is for evaluating in scope, which is frame f or stands for it.
func (in *instanceRun) env(f *frame, scope expr.Scope) expr.Env {
	return expr.Env{Scope: tracedScope{Scope: scope, frame: f, trace: &in.trace}, Now: in.Now, Trace: in.collect}
}

// tracedScope notices when an expression reads what nobody may see.
type tracedScope struct {
	expr.Scope
	frame *frame
	trace *tracer
}

// Call is that of the scope.
func (s tracedScope) Call(function string, args []expr.Value) (expr.Value, bool, error) {
	if s.frame.secure(strings.ToLower(function), args) {
		s.trace.secret, s.trace.tainted = true, true
	}
	return s.Scope.Call(function, args)
}

// secure reports whether a function gives what its definition calls secure: the output of an activity, or a variable or
// item that came of one. Secure parameters are known by their values.
func (f *frame) secure(function string, args []expr.Value) bool {
	if function == "item" {
		return f.secretItem
	}
	if len(args) != 1 {
		return false
	}
	name, _ := args[0].(string)
	switch function {
	case "activity":
		o := f.lookup(name)
		return o != nil && o.activity.Policy.SecureOutput
	case "variables":
		return f.run.secureVariables[name]
	}
	return false
}

// secureVariables are those that an activity with secure input or output sets.
func secureVariables(acts []factory.Activity, found map[string]bool) map[string]bool {
	for _, a := range acts {
		if a.Policy.SecureInput || a.Policy.SecureOutput {
			if name, _ := a.Properties.Lookup("variableName"); name != nil {
				found[expr.Text(name)] = true
			}
		}
		for _, b := range a.Branches {
			secureVariables(b.Activities, found)
		}
	}
	return found
}

// collect takes a step; the whole expression comes last.
func (in *instanceRun) collect(s expr.TraceStep) {
	t := &in.trace
	if s.Depth > 0 {
		if len(t.pending) < 4*maxTrace {
			t.pending = append(t.pending, s)
		}
		return
	}
	steps := outerFirst(append(t.pending, s))
	property := t.place(s.Text)
	hide := t.secret || in.a.Policy.SecureInput || in.readsSecret(steps)
	t.pending, t.secret = nil, false
	for _, s := range steps {
		if len(t.steps) >= maxTrace {
			t.dropped++
			continue
		}
		t.steps = append(t.steps, in.traceStep(property, s, hide))
	}
}

// readsSecret reports whether a part of an expression is the value of a secure parameter. What the expression makes of it
// cannot be masked by looking for that value.
func (in *instanceRun) readsSecret(steps []expr.TraceStep) bool {
	return slices.ContainsFunc(steps, func(s expr.TraceStep) bool {
		text, isText := s.Value.(string)
		_, found := in.maskText(text)
		return isText && found
	})
}

func (in *instanceRun) traceStep(property string, s expr.TraceStep, hide bool) TraceStep {
	step := TraceStep{Property: property, Expression: cutText(s.Text, maxTraceValue), Depth: s.Depth}
	if s.Depth == 0 {
		step.Expression = "@" + step.Expression
	}
	step.Expression, _ = in.maskText(step.Expression)
	switch {
	case hide:
		step.Value = flowehr.Masked
	case s.Err != nil:
		text, _ := in.maskText(s.Err.Error())
		step.Value = cutText("error: "+text, maxTraceValue)
	default:
		shown, _ := in.mask(s.Value)
		step.Value = brief(shown, maxTraceValue)
	}
	return step
}

// outerFirst puts a step before its parts, which come before it in post. A part that is only the beginning of a selection
// (pipeline() in pipeline().parameters.x) says nothing new and is left out.
func outerFirst(post []expr.TraceStep) []expr.TraceStep {
	root := post[len(post)-1]
	out := []expr.TraceStep{root}
	begin := 0
	for i, s := range post[:len(post)-1] {
		if s.Depth != root.Depth+1 {
			continue
		}
		inner := outerFirst(post[begin : i+1])
		begin = i + 1
		if strings.HasPrefix(root.Text, s.Text) {
			inner = inner[1:]
			for j := range inner {
				inner[j].Depth--
			}
		}
		out = append(out, inner...)
	}
	return out
}

// leaf is a text somewhere in a property.
type leaf struct{ path, text string }

// place names where in the property the expression stands. Expressions are evaluated in the order of the document.
func (t *tracer) place(expression string) string {
	if t.leaves == nil {
		t.leaves = appendLeaves([]leaf{}, t.property, t.source)
	}
	for i, l := range t.leaves {
		if strings.Contains(l.text, expression) {
			t.leaves = t.leaves[i:]
			return l.path
		}
	}
	return t.property
}

func appendLeaves(list []leaf, path string, v expr.Value) []leaf {
	switch v := v.(type) {
	case string:
		return append(list, leaf{path, v})
	case []expr.Value:
		for i, e := range v {
			list = appendLeaves(list, fmt.Sprintf("%s[%d]", path, i), e)
		}
	case *expr.Object:
		if kind, _ := v.Get("type"); v.Len() == 2 && kind == "Expression" {
			inner, _ := v.Get("value")
			return appendLeaves(list, path, inner)
		}
		for key, e := range v.All() {
			list = appendLeaves(list, path+"."+key, e)
		}
	}
	return list
}

// take returns what was collected since the last time.
func (t *tracer) take() []TraceStep {
	steps := t.steps
	if t.dropped > 0 {
		steps = append(steps, TraceStep{Expression: "…", Value: fmt.Sprintf("%d more parts are not kept", t.dropped)})
	}
	t.steps, t.dropped = nil, 0
	return steps
}

// mergeTrace replaces the steps of properties that were evaluated anew.
func mergeTrace(old, more []TraceStep) []TraceStep {
	for i, s := range more {
		if i == 0 || s.Property != more[i-1].Property {
			old = withoutProperty(old, s.Property)
		}
	}
	return append(old, more...)
}

func withoutProperty(steps []TraceStep, property string) []TraceStep {
	var kept []TraceStep
	for _, s := range steps {
		if s.Property != property && !strings.HasPrefix(s.Property, property+".") && !strings.HasPrefix(s.Property, property+"[") {
			kept = append(kept, s)
		}
	}
	return kept
}
