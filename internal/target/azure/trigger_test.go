package azure

import (
	"net/http"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// trigger makes a data factory with a trigger that is stopped, and returns the factory's id.
func (p *planes) trigger(name string) string {
	p.t.Helper()
	id := p.group + "/providers/Microsoft.DataFactory/factories/adf-x"
	p.factoryIdentity()
	p.put(id+"/pipelines/nightly", "Microsoft.DataFactory/factories/pipelines", map[string]any{"properties": map[string]any{"activities": []any{
		map[string]any{"name": "wait", "type": "Wait", "typeProperties": map[string]any{"waitTimeInSeconds": 1}}}}})
	p.put(id+"/triggers/"+name, "Microsoft.DataFactory/factories/triggers", map[string]any{"properties": map[string]any{"type": "ScheduleTrigger",
		"pipelines":      []any{map[string]any{"pipelineReference": map[string]any{"type": "PipelineReference", "referenceName": "nightly"}}},
		"typeProperties": map[string]any{"recurrence": map[string]any{"frequency": "Day", "interval": 1, "startTime": "2026-01-01T00:00:00Z", "timeZone": "UTC"}}}})
	return id
}

func TestTriggerSuite(t *testing.T) {
	stays := func(flowehr.Resource) bool { return true } // the trigger belongs to its stack
	suite(t, stays, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p := newPlanes(t, azuresim.Options{Seed: 51})
		factory := p.trigger("daily")
		trigger := func(started bool, digest string) []flowehr.Resource {
			return []flowehr.Resource{resource(t, azure.KindTrigger, "daily", azure.TriggerSpec{Factory: factory, Name: "daily", Started: started, Digest: digest})}
		}
		return p, trigger(true, "a"), trigger(false, "b")
	})
}

// A started trigger goes by the definition that it was started with, so a changed one is stopped and started.
func TestTriggerIsRestartedWhenItsDefinitionChanged(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 52})
	factory := p.trigger("daily")
	target := p.target()
	trigger := func(digest string) flowehr.Resource {
		return resource(t, azure.KindTrigger, "daily", azure.TriggerSpec{Factory: factory, Name: "daily", Started: true, Digest: digest})
	}
	rec := makeDo(t, target, trigger("a"))
	rec.Resource = trigger("a")
	start, stop := factory+"/triggers/daily/start", factory+"/triggers/daily/stop"
	update(t, target, trigger("a"), rec)
	if p.count(http.MethodPost, start) != 1 || p.count(http.MethodPost, stop) != 0 {
		t.Errorf("started %d and stopped %d times though nothing changed", p.count(http.MethodPost, start)-1, p.count(http.MethodPost, stop))
	}
	update(t, target, trigger("b"), rec)
	if p.count(http.MethodPost, start) != 2 || p.count(http.MethodPost, stop) != 1 {
		t.Errorf("after a change: started %d times and stopped %d times, want 2 and 1", p.count(http.MethodPost, start), p.count(http.MethodPost, stop))
	}
	if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}, &noted{}); err != nil {
		t.Fatal(err)
	}
	if started, err := (triggerMinder{p.client}).started(t.Context(), azure.TriggerSpec{Factory: factory, Name: "daily"}); started || err != nil {
		t.Errorf("after removal: started %v, %v", started, err)
	}
}
