package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// typeSecureString is the type of a parameter whose value nobody is shown.
const typeSecureString = "SecureString"

// timeFormat is how the service writes instants: seven digits of the second.
const timeFormat = "2006-01-02T15:04:05.0000000Z"

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// evaluate gives v as it is where frame f stands.
func (r *run) evaluate(f *frame, v expr.Value) (expr.Value, error) {
	return expr.Env{Scope: f, Now: r.Now}.Evaluate(v)
}

func objectIn(env expr.Env, o *expr.Object) (*expr.Object, error) {
	out := expr.NewObject()
	for key, v := range o.All() {
		value, err := env.Evaluate(v)
		if err != nil {
			return nil, err
		}
		out.Set(key, value)
	}
	return out, nil
}

// Call answers the functions that know the run.
func (f *frame) Call(function string, args []expr.Value) (expr.Value, bool, error) {
	switch strings.ToLower(function) {
	case "pipeline":
		return f.run.system, true, nil
	case "item":
		return f.item, f.hasItem, nil
	case "variables":
		name, err := oneName(function, args)
		if err != nil {
			return nil, true, err
		}
		v, err := f.run.variable(name)
		return v, true, err
	case "activity":
		name, err := oneName(function, args)
		if err != nil {
			return nil, true, err
		}
		v, err := f.activity(name)
		return v, true, err
	}
	return nil, false, nil
}

func oneName(function string, args []expr.Value) (string, error) {
	if len(args) == 1 {
		if s, ok := args[0].(string); ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("the function '%s' expects one name", function)
}

// activity is what activity('name') returns.
func (f *frame) activity(name string) (expr.Value, error) {
	o := f.lookup(name)
	switch {
	case o == nil:
		return nil, fmt.Errorf("the activity '%s' is referenced, but it has not run here", name)
	case o.inactive:
		return nil, fmt.Errorf("the activity '%s' is referenced, but it is inactive and has no output", name)
	case o.status == "Skipped":
		return nil, fmt.Errorf("the activity '%s' is referenced, but it was skipped", name)
	}
	return f.run.describe(o), nil
}

func (r *run) describe(o *outcome) *expr.Object {
	d := expr.NewObject()
	d.Set("PipelineName", r.pipeline)
	d.Set("PipelineRunId", r.id)
	d.Set("JobId", r.id)
	d.Set("ActivityRunId", activityID(r.id, o.path))
	d.Set("ActivityType", o.activity.Type)
	d.Set("Status", string(o.status))
	d.Set("StatusCode", nil)
	d.Set("Output", o.output)
	d.Set("Error", o.failure.value())
	d.Set("ExecutionStartTime", o.started.UTC().Format(timeFormat))
	d.Set("ExecutionEndTime", o.ended.UTC().Format(timeFormat))
	d.Set("Duration", timespan(o.ended.Sub(o.started)))
	place := expr.NewObject()
	place.Set("name", "Local")
	place.Set("type", "SelfHosted")
	details := expr.NewObject()
	details.Set("integrationRuntime", []expr.Value{place})
	d.Set("ExecutionDetails", details)
	user := o.user
	if user == nil {
		user = expr.NewObject()
	}
	d.Set("UserProperties", user)
	return d
}

// timespan writes a duration as the service does.
func timespan(d time.Duration) string {
	d = max(d, 0)
	days := d / (24 * time.Hour)
	text := fmt.Sprintf("%02d:%02d:%02d.%07d", d/time.Hour%24, d/time.Minute%60, d/time.Second%60, d%time.Second/100)
	if days > 0 {
		return fmt.Sprintf("%d.%s", days, text)
	}
	return text
}

// systemVariables is what pipeline() returns.
func (r *run) systemVariables() *expr.Object {
	o := expr.NewObject()
	o.Set("DataFactory", r.Factory)
	o.Set("Pipeline", r.pipeline)
	o.Set("RunId", r.id)
	o.Set("GroupId", r.group)
	o.Set("TriggerType", r.invoked)
	o.Set("TriggerId", r.trigger)
	o.Set("TriggerName", r.trigger)
	o.Set("TriggerTime", r.triggerTime.UTC().Format(timeFormat))
	o.Set("TriggeredByPipelineName", orNull(r.parentName))
	o.Set("TriggeredByPipelineRunId", orNull(r.claimed.parent))
	o.Set("parameters", r.params)
	globals := expr.NewObject()
	for _, name := range sortedKeys(r.def.Globals) {
		globals.Set(name, r.def.Globals[name])
	}
	o.Set("globalParameters", globals)
	return o
}

func orNull(s string) expr.Value {
	if s == "" {
		return nil
	}
	return s
}
