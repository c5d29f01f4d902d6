package adf

import (
	"slices"
	"time"

	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// triggerTypes are those that can be made. The others of the published types belong to the service itself or are retired.
var triggerTypes = []string{"ScheduleTrigger", "TumblingWindowTrigger", "BlobEventsTrigger", "CustomEventsTrigger"}

func (l *lowering) triggers() {
	for _, t := range l.b.Triggers {
		l.trigger(t)
	}
}

// trigger makes a trigger. Data Factory makes every trigger stopped and refuses to change one that is started, so whether it
// is started is kept beside the resource.
func (l *lowering) trigger(t factory.Trigger) {
	props, rel := definition(t.Raw, "typeProperties")
	at := fault{t.File, t.Pointer + rel}
	name := t.Name
	if own, _ := value(t.Raw, "name").(string); own == "" && t.Type == "TumblingWindowTrigger" {
		name = TumblingName(l.b.Pipeline.Name)
	}
	l.name(fault{t.File, t.Pointer}, "trigger", name)
	if !slices.Contains(triggerTypes, t.Type) {
		l.refuse(fault{t.File, child(at.pointer, "type")}, "", "trigger %q is of type %q, which is not deployed", name, t.Type)
		return
	}
	sym := symbol(triggerPrefix, name)
	if _, twice := l.result.Resources[sym]; twice {
		l.refuse(at, "Give each a name of its own.", "two triggers of pipeline %q are called %q", l.b.Pipeline.Name, name)
		return
	}
	needs := map[string]bool{}
	out := expr.NewObject()
	for k, v := range props.All() {
		if k == "runtimeState" || rel == "" && slices.Contains([]string{"name", "id", "etag", "$schema"}, k) {
			continue
		}
		out.Set(k, l.follow(v, fault{t.File, child(at.pointer, k)}, needs))
	}
	if x, _ := value(props, "typeProperties").(*expr.Object); t.Type == "ScheduleTrigger" {
		l.schedule(x, name, fault{t.File, child(at.pointer, "typeProperties")})
	} else if t.Type == "TumblingWindowTrigger" {
		l.tumbling(x, name, fault{t.File, child(at.pointer, "typeProperties")})
	}
	// A trigger starts this pipeline also when its definition calls it by another name.
	if target, _ := l.pipelineOf(t); target != "" {
		needs[symbol(pipelinePrefix, target)] = true
	}
	r := l.resource(typeTrigger, name, out, at)
	delete(needs, sym)
	r.DependsOn = sorted(needs)
	l.result.Resources[sym] = r
	l.result.Triggers = append(l.result.Triggers, Trigger{Name: name, Type: t.Type, Started: t.Started && l.o.RealData,
		Digest: digest(canonical(arm.Object{"name": name, "properties": r.Properties}))})
}

// pipelineOf is the pipeline of ours that a trigger starts.
func (l *lowering) pipelineOf(t factory.Trigger) (string, bool) {
	for _, p := range t.Pipelines {
		if name := l.b.PipelineName(p.Name); name == l.b.Pipeline.Name {
			return name, true
		}
	}
	return "", false
}

// schedule refuses what a schedule may say here and not in Azure.
func (l *lowering) schedule(props *expr.Object, name string, at fault) {
	recurrence, _ := value(props, "recurrence").(*expr.Object)
	where := fault{at.file, child(at.pointer, "recurrence")}
	if zone, ok := value(recurrence, "timeZone").(string); ok {
		if _, windows, found := expr.Zone(zone); !found || !windows {
			l.refuse(fault{at.file, child(where.pointer, "timeZone")}, `For example "GMT Standard Time" for London with summer time.`,
				"trigger %q has the time zone %q; Azure knows the names of Windows only", name, zone)
		}
	}
	if _, ok := recurrence.Get("startTime"); !ok {
		l.refuse(where, "Write the time from which it counts.", "trigger %q has no startTime, which Azure wants", name)
	}
}

// tumblingMinimum is the shortest window that the service's schema speaks of; its documentation has five minutes.
const tumblingMinimum = 5 * time.Minute

func (l *lowering) tumbling(props *expr.Object, name string, at fault) {
	n, ok := value(props, "interval").(int64)
	if frequency, _ := value(props, "frequency").(string); ok && frequency == "Minute" && time.Duration(n)*time.Minute < tumblingMinimum {
		l.refuse(fault{at.file, child(at.pointer, "interval")}, "Use an interval of 5 minutes or more.",
			"trigger %q has windows of %d minutes, which Azure refuses", name, n)
	}
}
