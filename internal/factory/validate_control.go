package factory

import (
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// control checks the properties of one activity: all their expressions, and what a control activity needs.
func (v *validator) control(a Activity, s scope) {
	at := a.Pointer + "/typeProperties"
	for key, value := range a.Properties.All() {
		inner := s
		switch {
		case a.Type == "Filter" && key == "condition":
			inner.item = true
		case a.Type == "Until" && key == "expression":
			inner = s.with(visibleInside(a)...)
		case a.Type == "SetVariable" && key == "value":
			inner.setting = expr.Text(first(a.Properties, "variableName"))
		}
		v.expressions(value, child(at, key), inner)
	}
	switch a.Type {
	case "ForEach":
		v.require(a, "items")
		if n, ok := toInt(first(a.Properties, "batchCount")); ok && (n.(int64) < 1 || n.(int64) > 50) {
			v.fail(at+"/batchCount", "batchCount of ForEach %q must be between 1 and 50", a.Name)
		}
	case "Filter":
		v.require(a, "items")
		v.require(a, "condition")
	case "IfCondition":
		v.require(a, "expression")
	case "Switch":
		v.require(a, "on", "expression")
		v.cases(a)
	case "Until":
		v.require(a, "expression")
		if value, ok := a.Properties.Get("timeout"); ok {
			v.timespanOnly(value, at+"/timeout")
		}
	case "Wait":
		v.require(a, "waitTimeInSeconds")
		v.countOnly(first(a.Properties, "waitTimeInSeconds"), at+"/waitTimeInSeconds")
	case "SetVariable", "AppendVariable":
		v.variable(a, at)
	case "ExecutePipeline":
		v.executePipeline(a, at)
	}
}

// timespanOnly and countOnly check a literal whose expressions have been checked already.
func (v *validator) timespanOnly(value expr.Value, pointer string) {
	quiet := &validator{decoder: decoder{file: v.file}, bundle: v.bundle}
	if _, dynamic := quiet.literal(value, pointer, scope{}); !dynamic {
		v.timespan(value, pointer, scope{})
	}
}

func (v *validator) countOnly(value expr.Value, pointer string) {
	quiet := &validator{decoder: decoder{file: v.file}, bundle: v.bundle}
	if _, dynamic := quiet.literal(value, pointer, scope{}); !dynamic {
		v.count(value, pointer, scope{})
	}
}

func first(o *expr.Object, keys ...string) expr.Value {
	for _, key := range keys {
		if v, ok := o.Get(key); ok {
			return v
		}
	}
	return nil
}

// require reports the absence of all of keys.
func (v *validator) require(a Activity, keys ...string) {
	if first(a.Properties, keys...) == nil {
		v.fail(a.Pointer+"/typeProperties", "%s %q has no %s", a.Type, a.Name, strings.Join(keys, " or "))
	}
}

func (v *validator) cases(a Activity) {
	seen := map[string]bool{}
	for _, b := range a.Branches {
		if b.Default {
			continue
		}
		if seen[b.Name] {
			v.fail(a.Pointer+"/typeProperties/cases", "Switch %q has two cases %q", a.Name, b.Name)
		}
		seen[b.Name] = true
	}
}

func (v *validator) variable(a Activity, at string) {
	name, _ := first(a.Properties, "variableName").(string)
	if name == "" {
		v.fail(at, "%s %q has no variableName", a.Type, a.Name)
		return
	}
	value := first(a.Properties, "value")
	if system, _ := toBool(first(a.Properties, "setSystemVariable")); system == true {
		if name != "pipelineReturnValue" {
			v.fail(at+"/variableName", "the only system variable that can be set is pipelineReturnValue, not %q", name)
		}
		return
	}
	declared, ok := v.bundle.Pipeline.Variables[name]
	if !ok {
		v.fail(at+"/variableName", "there is no variable %q%s", name, available(v.bundle.Pipeline.Variables))
		return
	}
	if a.Type == "AppendVariable" {
		if declared.Type != "Array" {
			v.fail(at+"/variableName", "only an Array can be appended to; variable %q is of type %s", name, declared.Type)
		}
		return
	}
	quiet := &validator{decoder: decoder{file: v.file}, bundle: v.bundle}
	literal, dynamic := quiet.literal(value, at, scope{})
	if dynamic || isNested(literal) {
		return
	}
	if err := CheckVariable(declared.Type, literal); err != nil {
		v.fail(at+"/value", "%v", err)
	}
}

// isNested reports whether a value may have expressions deeper inside.
func isNested(v expr.Value) bool {
	o, ok := v.(*expr.Object)
	return ok && o.Len() > 0
}

func (v *validator) executePipeline(a Activity, at string) {
	ref, _ := first(a.Properties, "pipeline").(*expr.Object)
	name, _ := first(ref, "referenceName").(string)
	if name == "" {
		v.fail(at, "ExecutePipeline %q names no pipeline", a.Name)
		return
	}
	v.pipelineReference(name, at+"/pipeline/referenceName")
}

func (v *validator) pipelineReference(name, pointer string) {
	registered := v.bundle.PipelineName(name)
	if v.known.Pipelines == nil || v.known.Pipelines[registered] || registered == v.bundle.Pipeline.Name {
		return
	}
	v.fail(pointer, "there is no pipeline %q", name)
}

// variables checks that defaults are of their variable's type.
func (v *validator) variables() {
	for name, declared := range v.bundle.Pipeline.Variables {
		if _, err := InitialVariable(declared); err != nil {
			v.fail(child("/properties/variables", name)+"/defaultValue", "default value of variable %q: %v", name, err)
		}
	}
	for name, p := range v.bundle.Pipeline.Parameters {
		if _, err := Coerce(p.Type, p.Default); err != nil {
			v.fail(child("/properties/parameters", name)+"/defaultValue", "default value of parameter %q: %v", name, err)
		}
	}
}
