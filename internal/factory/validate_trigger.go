package factory

import (
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// trigger checks one trigger in its own file.
func (v *validator) trigger(t Trigger) {
	pipelineFile := v.file
	v.file = t.File
	defer func() { v.file = pipelineFile }()
	at := t.Pointer + "/properties/typeProperties"
	switch t.Type {
	case "ScheduleTrigger":
		v.schedule(t, at)
	case "TumblingWindowTrigger":
		v.tumbling(t, at)
	case "BlobEventsTrigger":
		v.blobEvents(t, at)
	case "CustomEventsTrigger":
		if len(oneOrMany(first(t.Properties, "events"))) == 0 {
			v.fail(at, "trigger %q names no events", t.Name)
		}
	default:
		v.fail(t.Pointer+"/properties/type", "trigger %q is of type %q, which cannot run here", t.Name, t.Type)
	}
	for i, p := range t.Pipelines {
		pointer := child(t.Pointer+"/properties/pipelines", i)
		props, _ := first(t.Raw, "properties").(*expr.Object)
		if _, several := props.Get("pipelines"); !several {
			pointer = t.Pointer + "/properties/pipeline"
		}
		v.pipelineReference(p.Name, pointer+"/pipelineReference/referenceName")
		v.triggerParameters(t, p, pointer+"/parameters")
	}
}

func (v *validator) schedule(t Trigger, at string) {
	r, err := Schedule(t.Properties)
	if err != nil {
		v.fail(at+"/recurrence", "trigger %q: %v", t.Name, err)
		return
	}
	if _, windows, _ := expr.Zone(r.ZoneName); !windows {
		v.warn(at+"/recurrence/timeZone", "time zone %q of trigger %q is known here; Azure knows Windows names only", r.ZoneName, t.Name)
	}
	if _, fires := r.Next(r.Start.Add(-1)); !fires {
		v.fail(at+"/recurrence", "trigger %q never fires", t.Name)
	}
	if r.MinutesOfEveryHour() {
		v.warn(at+"/recurrence/schedule/minutes", "trigger %q has minutes without hours: it fires in every hour, and Azure's documentation "+
			"is not of one mind about that", t.Name)
	}
}

func (v *validator) tumbling(t Trigger, at string) {
	written := expr.Text(first(t.Properties, "frequency"))
	frequency := canonical(written, "Minute", "Hour", "Month")
	if frequency == "" {
		v.fail(at+"/frequency", "frequency %q of trigger %q is not one of Minute, Hour and Month", written, t.Name)
	}
	interval, ok := toInt(first(t.Properties, "interval"))
	switch n, _ := interval.(int64); {
	case !ok || n < 1:
		v.fail(at+"/interval", "trigger %q needs an interval, a whole number from 1", t.Name)
	case frequency == "Minute" && n < 5:
		v.warn(at+"/interval", "windows of trigger %q are shorter than 5 minutes: this runs here, Azure refuses it", t.Name)
	}
	if !v.isTime(first(t.Properties, "startTime")) {
		v.fail(at+"/startTime", "trigger %q needs a startTime", t.Name)
	}
	if end := first(t.Properties, "endTime"); end != nil && !v.isTime(end) {
		v.fail(at+"/endTime", "endTime of trigger %q is not a time", t.Name)
	}
	if value := first(t.Properties, "maxConcurrency"); value != nil {
		n, ok := toInt(value)
		if limit, _ := n.(int64); !ok || limit < 1 || limit > 50 {
			v.fail(at+"/maxConcurrency", "maxConcurrency of trigger %q must be from 1 to 50", t.Name)
		}
	}
	v.optionalTimespan(t, t.Properties, "delay", at)
	retry, _ := first(t.Properties, "retryPolicy").(*expr.Object)
	v.countOnly(first(retry, "count"), at+"/retryPolicy/count")
	v.countOnly(first(retry, "intervalInSeconds"), at+"/retryPolicy/intervalInSeconds")
	v.windowDependencies(t, at+"/dependsOn")
	if len(t.Pipelines) > 1 {
		v.fail(t.Pointer+"/properties/pipelines", "tumbling window trigger %q starts %d pipelines; it can start one", t.Name, len(t.Pipelines))
	}
}

func (v *validator) isTime(value expr.Value) bool {
	_, _, ok := expr.ParseTime(expr.Text(value))
	return ok
}

// optionalTimespan returns the time span in a member, if it is there and valid.
func (v *validator) optionalTimespan(t Trigger, o *expr.Object, key, at string) (time.Duration, bool) {
	value := first(o, key)
	if value == nil {
		return 0, false
	}
	d, err := ParseTimespan(expr.Text(value))
	if err != nil {
		v.fail(child(at, key), "%s of trigger %q: %v", key, t.Name, err)
	}
	return d, err == nil
}

func (v *validator) windowDependencies(t Trigger, at string) {
	entries := oneOrMany(first(t.Properties, "dependsOn"))
	if len(entries) > 5 {
		v.fail(at, "trigger %q depends on %d triggers; it can depend on 5", t.Name, len(entries))
	}
	for i, entry := range entries {
		pointer := child(at, i)
		o, _ := entry.(*expr.Object)
		offset, hasOffset := v.optionalTimespan(t, o, "offset", pointer)
		v.optionalTimespan(t, o, "size", pointer)
		switch kind := expr.Text(first(o, "type")); kind {
		case "SelfDependencyTumblingWindowTriggerReference":
			if !hasOffset || offset >= 0 {
				v.fail(pointer+"/offset", "offset must be negative for a self dependency of trigger %q", t.Name)
			}
		case "TumblingWindowTriggerDependencyReference":
			ref, _ := first(o, "referenceTrigger").(*expr.Object)
			if name, _ := first(ref, "referenceName").(string); name == "" {
				v.fail(pointer, "a dependency of trigger %q names no trigger", t.Name)
			}
		default:
			v.fail(pointer+"/type", "a dependency of trigger %q is of the unknown type %q", t.Name, kind)
		}
	}
}

func (v *validator) blobEvents(t Trigger, at string) {
	begins, _ := first(t.Properties, "blobPathBeginsWith").(string)
	ends, _ := first(t.Properties, "blobPathEndsWith").(string)
	if begins == "" && ends == "" {
		v.fail(at, "trigger %q needs blobPathBeginsWith or blobPathEndsWith", t.Name)
	}
	if begins != "" && !strings.Contains(begins, "/blobs/") {
		v.warn(at+"/blobPathBeginsWith", "blobPathBeginsWith of trigger %q is of the form /container/blobs/folder/", t.Name)
	}
	events := oneOrMany(first(t.Properties, "events"))
	if len(events) == 0 {
		v.fail(at, "trigger %q names no events", t.Name)
	}
	for i, e := range events {
		if e != "Microsoft.Storage.BlobCreated" && e != "Microsoft.Storage.BlobDeleted" {
			v.fail(child(at+"/events", i), "trigger %q has the unknown event %s", t.Name, expr.EncodeJSON(e))
		}
	}
}

// triggerParameters checks what a trigger passes; only for this bundle's pipeline are the names known.
func (v *validator) triggerParameters(t Trigger, p TriggeredPipeline, pointer string) {
	v.expressions(p.Parameters, pointer, scope{trigger: true})
	if v.bundle.PipelineName(p.Name) != v.bundle.Pipeline.Name {
		return
	}
	for _, name := range p.Parameters.Keys() {
		if _, ok := lookup(v.bundle.Pipeline.Parameters, name); !ok {
			v.warn(child(pointer, name), "pipeline %q has no parameter %q", p.Name, name)
		}
	}
	for name, declared := range v.bundle.Pipeline.Parameters {
		if _, given := p.Parameters.Lookup(name); !given && !declared.HasDefault {
			v.fail(pointer, "trigger %q does not give pipeline %q its parameter %q, which has no default value", t.Name, p.Name, name)
		}
	}
}
