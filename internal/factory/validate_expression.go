package factory

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// expressions checks every text in value.
func (v *validator) expressions(value expr.Value, pointer string, s scope) {
	switch value := value.(type) {
	case string:
		v.expression(value, pointer, s)
	case []expr.Value:
		for i, e := range value {
			v.expressions(e, child(pointer, i), s)
		}
	case *expr.Object:
		for k, e := range value.All() {
			v.expressions(e, child(pointer, k), s)
		}
	}
}

func (v *validator) expression(text, pointer string, s scope) {
	x, err := expr.Parse(text)
	if err != nil {
		v.fail(pointer, "%v", err)
		if e, ok := errors.AsType[*expr.Error](err); ok {
			last := &v.diagnostics[len(v.diagnostics)-1]
			*last = last.With("The fault is at character %d of the expression.", len([]rune(text[:e.Offset]))+1)
		}
		return
	}
	for _, site := range x.Calls() {
		v.callSite(site, pointer, s)
	}
}

// callSite checks what can be known of a call before a run.
func (v *validator) callSite(site expr.CallSite, pointer string, s scope) {
	argument := ""
	if len(site.LiteralArgs) > 0 {
		argument, _ = site.LiteralArgs[0].(string)
	}
	switch site.Function {
	case "pipeline":
		v.pipelineProperty(site.Path, pointer)
	case "variables":
		if argument == "" {
			return
		}
		if _, ok := lookup(v.bundle.Pipeline.Variables, argument); !ok {
			v.fail(pointer, "there is no variable %q%s", argument, available(v.bundle.Pipeline.Variables))
		}
		if argument == s.setting {
			v.fail(pointer, "variable %q cannot be used in the expression that sets it", argument)
		}
	case "activity":
		v.activityCall(argument, pointer, s)
	case "item":
		if !s.item {
			v.fail(pointer, "item() can be used inside a ForEach and in the condition of a Filter only")
		}
	case "trigger", "triggerbody":
		if !s.trigger {
			v.fail(pointer, "%s() can be used in the parameters of a trigger only", site.Function)
		}
	case "dataset":
		v.scopedParameter("dataset", s.dataset, site.Path, pointer)
	case "linkedservice":
		v.scopedParameter("linkedService", s.service, site.Path, pointer)
	}
}

func (v *validator) activityCall(name, pointer string, s scope) {
	if name == "" {
		return // computed in the run
	}
	if s.upstream[name] {
		if v.inactive[name] {
			v.warn(pointer, "activity %q is inactive and has no output", name)
		}
		return
	}
	if _, exists := v.places[name]; !exists {
		v.fail(pointer, "there is no activity %q", name)
		return
	}
	v.fail(pointer, "activity %q need not have finished here: only activities that this one depends on, directly or not, can be used", name)
}

func (v *validator) pipelineProperty(path []expr.Step, pointer string) {
	if len(path) == 0 {
		return
	}
	switch strings.ToLower(path[0].Name) {
	case "parameters":
		if len(path) > 1 && !path[1].Safe {
			if _, ok := lookup(v.bundle.Pipeline.Parameters, path[1].Name); !ok {
				v.fail(pointer, "there is no parameter %q%s", path[1].Name, available(v.bundle.Pipeline.Parameters))
			}
		}
	case "globalparameters":
		if len(path) > 1 && !path[1].Safe {
			if _, ok := lookup(v.bundle.Globals, path[1].Name); !ok {
				v.fail(pointer, "there is no global parameter %q%s", path[1].Name, available(v.bundle.Globals))
			}
		}
	case "libraryvariables", "datafactory", "pipeline", "runid", "groupid", "triggertype", "triggerid", "triggername", "triggertime",
		"triggeredbypipelinename", "triggeredbypipelinerunid", "workspaceid", "workspace", "workspacename", "pipelinename":
	default:
		if !path[0].Safe {
			v.fail(pointer, "pipeline() has no property %q", path[0].Name)
		}
	}
}

func (v *validator) scopedParameter(function string, parameters map[string]Parameter, path []expr.Step, pointer string) {
	if parameters == nil {
		v.fail(pointer, "%s() can be used in the definition of a %s only", function, strings.Replace(function, "linkedS", "linked s", 1))
		return
	}
	if len(path) == 0 || path[0].Safe {
		return
	}
	if _, ok := lookup(parameters, path[0].Name); !ok {
		v.fail(pointer, "there is no parameter %q of this %s%s", path[0].Name, function, available(parameters))
	}
}

// lookup finds a name as expressions do: exactly, else without case.
func lookup[V any](m map[string]V, name string) (V, bool) {
	if value, ok := m[name]; ok {
		return value, true
	}
	for k, value := range m {
		if strings.EqualFold(k, name) {
			return value, true
		}
	}
	var none V
	return none, false
}

// available lists what there is, for a message.
func available[V any](m map[string]V) string {
	names := slices.Sorted(maps.Keys(m))
	if len(names) == 0 {
		return ""
	}
	if len(names) > 10 {
		names = append(names[:10], "...")
	}
	return "; there are " + strings.Join(names, ", ")
}
