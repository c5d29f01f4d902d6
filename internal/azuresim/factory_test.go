package azuresim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

const factoryAPI = "?api-version=2018-06-01"

// factory makes a factory with pipelines and returns what asks Azure Resource Manager below it.
func (a *azure) factory(pipelines map[string]object) (plane, string) {
	a.t.Helper()
	a.must("PUT", a.group("g"), object{"location": "uksouth"})
	a.resource("Microsoft.DataFactory/factories/adf", object{"location": "uksouth", "properties": object{}})
	for name, properties := range pipelines {
		a.resource("Microsoft.DataFactory/factories/adf/pipelines/"+name, object{"properties": properties})
	}
	return plane{a.t, a.deployer(), cloud.ARM()}, a.id("g", "Microsoft.DataFactory/factories/adf")
}

func activity(name, typ string, needs map[string]string, props object) object {
	var on []object
	for need, condition := range needs {
		on = append(on, object{"activity": need, "dependencyConditions": []string{condition}})
	}
	return object{"name": name, "type": typ, "dependsOn": on, "typeProperties": props}
}

// run starts a pipeline and returns, when virtual time has passed, the run and its activities by name.
func run(p plane, factory, pipeline string, pass time.Duration) (object, map[string]object) {
	p.t.Helper()
	id := p.ok("POST", factory+"/pipelines/"+pipeline+"/createRun"+factoryAPI, object{})["runId"].(string)
	p.wait(pass)
	return p.ok("GET", factory+"/pipelineruns/"+id+factoryAPI, nil), activities(p, factory, id)
}

var always = object{"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00Z"}

func activities(p plane, factory, id string) map[string]object {
	p.t.Helper()
	out := map[string]object{}
	for _, v := range p.ok("POST", factory+"/pipelineruns/"+id+"/queryActivityruns"+factoryAPI, always)["value"].([]any) {
		out[v.(object)["activityName"].(string)] = v.(object)
	}
	return out
}

func TestFactoryRunWalksTheGraph(t *testing.T) {
	boom := object{"errorCode": "42", "message": "on purpose"}
	for _, test := range []struct {
		name       string
		activities []object
		status     string
		ran        string
	}{
		{"one after the other", []object{activity("b", "Copy", map[string]string{"a": "Succeeded"}, nil), activity("a", "Lookup", nil, nil)}, "Succeeded", "a b"},
		{"what needs success is skipped", []object{activity("a", "Fail", nil, boom), activity("b", "Copy", map[string]string{"a": "Succeeded"}, nil)}, "Failed", "a"},
		{"a failure that is handled", []object{activity("a", "Fail", nil, boom), activity("b", "Copy", map[string]string{"a": "Failed"}, nil)}, "Succeeded", "a b"},
		{"both ways, one skipped", []object{activity("a", "Fail", nil, boom), activity("b", "Copy", map[string]string{"a": "Succeeded"}, nil),
			activity("c", "Copy", map[string]string{"a": "Failed"}, nil)}, "Failed", "a c"},
		{"completed", []object{activity("a", "Fail", nil, boom), activity("b", "Copy", map[string]string{"a": "Completed"}, nil)}, "Succeeded", "a b"},
		{"inside", []object{activity("if", "IfCondition", nil, object{"ifTrueActivities": []object{activity("x", "Copy", nil, nil)}, "ifFalseActivities": []object{activity("y", "Copy", nil, nil)}})},
			"Succeeded", "if x"},
		{"another pipeline", []object{activity("a", "ExecutePipeline", nil, object{"pipeline": object{"referenceName": "inner"}, "waitOnCompletion": true})}, "Failed", "a"},
		{"a circle", []object{activity("a", "Copy", map[string]string{"b": "Succeeded"}, nil), activity("b", "Copy", map[string]string{"a": "Succeeded"}, nil)}, "Failed", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := start(t, azuresim.Options{Seed: 51})
			p, factory := a.factory(map[string]object{"main": {"activities": test.activities}, "inner": {"activities": []object{activity("z", "Fail", nil, boom)}}})
			got, all := run(p, factory, "main", 10*time.Minute)
			if got["status"] != test.status {
				t.Errorf("status %v (%v), want %s", got["status"], got["message"], test.status)
			}
			var ran []string
			for _, name := range []string{"a", "b", "c", "if", "x", "y"} {
				if all[name] != nil {
					ran = append(ran, name)
				}
			}
			if strings.Join(ran, " ") != test.ran {
				t.Errorf("ran %v, want %s", ran, test.ran)
			}
			for name, one := range all {
				if out, _ := one["output"].(object); out["simulated"] == nil {
					t.Errorf("the output of %s does not say that it is simulated: %v", name, out)
				}
			}
		})
	}
}

func TestFactoryRunTakesTimeAndCanBeCancelled(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 52})
	p, factory := a.factory(map[string]object{"main": {"activities": []object{activity("w", "Wait", nil, object{"waitTimeInSeconds": 600}), activity("n", "Copy", map[string]string{"w": "Succeeded"}, nil)}}})
	got, all := run(p, factory, "main", time.Minute)
	if got["status"] != "InProgress" || all["w"]["status"] != "InProgress" || all["n"] != nil {
		t.Fatalf("after a minute: %v %v", got["status"], all)
	}
	id := got["runId"].(string)
	p.ok("POST", factory+"/pipelineruns/"+id+"/cancel"+factoryAPI, nil)
	p.wait(time.Hour)
	if got := p.ok("GET", factory+"/pipelineruns/"+id+factoryAPI, nil); got["status"] != "Cancelled" {
		t.Errorf("status %v", got["status"])
	}
	if all := activities(p, factory, id); all["w"]["status"] != "Cancelled" || all["n"] != nil {
		t.Errorf("activities: %v", all)
	}
	if list := p.ok("POST", factory+"/queryPipelineRuns"+factoryAPI, always)["value"].([]any); len(list) != 1 {
		t.Errorf("%d runs", len(list))
	}
}

func TestFactoryStartedTriggersAreNotChanged(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 53})
	p, factory := a.factory(map[string]object{"main": {"activities": []object{activity("a", "Copy", nil, nil)}}})
	trigger := func(hours int) object {
		return object{"properties": object{"type": "TumblingWindowTrigger", "pipeline": object{"pipelineReference": object{"referenceName": "main", "type": "PipelineReference"}},
			"typeProperties": object{"frequency": "Hour", "interval": hours, "startTime": "2026-11-02T06:00:00Z"}}}
	}
	path := factory + "/triggers/tr"
	a.must("PUT", path+factoryAPI, trigger(1))
	if got := p.ok("GET", path+factoryAPI, nil); at(got, "properties", "runtimeState") != "Stopped" {
		t.Errorf("new: %v", at(got, "properties", "runtimeState"))
	}
	p.ok("POST", path+"/start"+factoryAPI, nil)
	p.wait(time.Minute)
	if got := p.ok("GET", path+factoryAPI, nil); at(got, "properties", "runtimeState") != "Started" {
		t.Errorf("started: %v", at(got, "properties", "runtimeState"))
	}
	if _, err := a.long("PUT", path+factoryAPI, trigger(2)); code(err) != "TriggerEnabledCannotUpdate" {
		t.Errorf("change of a started trigger: got %v", err)
	}
	a.must("PUT", path+factoryAPI, trigger(1)) // nothing changes
	runs := func() []any {
		return p.ok("POST", factory+"/queryTriggerRuns"+factoryAPI, always)["value"].([]any)
	}
	before := len(runs())
	if before < 3 {
		t.Errorf("%d windows since 06:00 at 09:00, want at least 3", before)
	}
	p.wait(2 * time.Hour)
	if after := len(runs()); after != before+2 {
		t.Errorf("%d windows two hours later, want %d", after, before+2)
	}
	first := runs()[0].(object)
	p.ok("POST", path+"/triggerRuns/"+first["triggerRunId"].(string)+"/rerun"+factoryAPI, nil)
	if after := len(runs()); after != before+3 {
		t.Errorf("%d windows after one was done again, want %d", after, before+3)
	}
	p.ok("POST", path+"/stop"+factoryAPI, nil)
	a.must("PUT", path+factoryAPI, trigger(2))
}
