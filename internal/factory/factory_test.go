package factory

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

func tree(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

const wait = `{"name": "%", "properties": {"activities": [{"name": "W", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}]}}`

func named(name string) string { return strings.Replace(wait, "%", name, 1) }

func summaries(ds []flowehr.Diagnostic) []string {
	var all []string
	for _, d := range ds {
		all = append(all, d.Pos.String()+" "+d.Pointer+" "+d.Summary)
	}
	return all
}

func TestLoadFindsEveryLayout(t *testing.T) {
	f, ds := Load(tree(
		"p/repo/ingest/pipeline.json", "\ufeff// what it does\n"+named("Inner name"),
		"p/repo/ingest/project", "cardio\n",
		"p/repo/ingest/trigger.json", `[{"name": "T", "properties": {"type": "ScheduleTrigger", "runtimeState": "Started",
			"pipelines": [{"pipelineReference": {"referenceName": "Inner name"}}],
			"typeProperties": {"recurrence": {"frequency": "Day", "startTime": "2024-01-01T00:00:00Z"}}}}]`,
		"p/repo/ingest/artifacts/pipeline.json", "not looked at",
		"p/repo/linkedService/Store.json", `{"name": "Store", "properties": {"type": "AzureBlobStorage", "typeProperties": {}}}`,
		"p/repo/dataset/Rows.json", `{"name": "Rows", "properties": {"type": "Json", "typeProperties": {},
			"linkedServiceName": {"referenceName": "Store", "type": "LinkedServiceReference"}}}`,
		"p/git/pipeline/Copy it.json", `{"name": "Copy it", "properties": {"activities": [
			{"name": "C", "type": "Copy", "inputs": [{"referenceName": "Rows", "type": "DatasetReference"}], "typeProperties": {}},
			{"name": "E", "type": "ExecutePipeline", "typeProperties": {"pipeline": {"referenceName": "Inner name", "type": "PipelineReference"}}}]}}`,
		"p/git/pipeline/settings.json", `{"indent": 2}`,
		"p/git/factory/main.json", `{"properties": {"globalParameters": {"env": {"type": "string", "value": "test"}}}}`,
		"p/fabric/Load.DataPipeline/pipeline-content.json", `{"properties": {"activities": []}}`,
	), "p")
	if len(ds) > 0 {
		t.Fatal(summaries(ds))
	}
	var names []string
	for _, b := range f.Bundles {
		names = append(names, b.Pipeline.Name)
		roundTrip(t, b)
		if b.Globals["env"] != "test" {
			t.Errorf("%s: globals %v", b.Pipeline.Name, b.Globals)
		}
	}
	if diff := cmp.Diff([]string{"Copy it", "Load", "ingest"}, names); diff != "" {
		t.Fatal(diff)
	}
	ingest, _ := f.Bundle("Inner name")
	if ingest.Pipeline.Project != "cardio" || ingest.Dir != "p/repo/ingest" || len(ingest.Triggers) != 1 || !ingest.Triggers[0].Started {
		t.Errorf("ingest: %+v", ingest)
	}
	if ingest.PipelineName("Inner name") != "ingest" || len(ingest.Datasets) != 0 {
		t.Errorf("references %v, datasets %v", ingest.References, ingest.Datasets)
	}
	copyIt, _ := f.Bundle("Copy it")
	if copyIt.Datasets["Rows"].LinkedService.Name != "Store" || copyIt.LinkedServices["Store"].Type != "AzureBlobStorage" {
		t.Errorf("the bundle is not closed: %+v", copyIt)
	}
	known := Known{ActivityTypes: map[string]bool{"Copy": true}, LinkedServices: map[string]bool{}, Pipelines: f.Pipelines()}
	for _, b := range f.Bundles {
		if ds := Validate(b, known); len(ds) > 0 {
			t.Errorf("%s: %v", b.Pipeline.Name, summaries(ds))
		}
	}
}

func TestLoadReportsEverythingTogether(t *testing.T) {
	_, ds := Load(tree(
		"a/one/pipeline.json", "{\n  \"name\": 1,,\n}",
		"a/two/pipeline.json", "{\n \"properties\": {\n  \"activities\": [\n   {\"name\": \"W\", \"dependsOn\": 3}]}}",
		"a/x/same/pipeline.json", named("x"),
		"a/y/Same/pipeline.json", named("y"),
		"a/x/dataset/D.json", `{"name": "D", "properties": {"linkedServiceName": {"referenceName": "L"}}}`,
		"a/y/dataset/D.json", `{"name": "D", "properties": {"linkedServiceName": {"referenceName": "M"}}}`,
		"a/y/trigger/T.json", `{"name": "T", "properties": {"typeProperties": {}, "pipeline": {"pipelineReference": {"referenceName": "gone"}}}}`,
	), "a")
	want := []string{
		`a/one/pipeline.json:2:13  the definition is not valid JSON: invalid character ',' looking for beginning of object key string`,
		`a/two/pipeline.json:4:4 /properties/activities/0 activity "W" has no type`,
		`a/two/pipeline.json:4:31 /properties/activities/0/dependsOn dependsOn must be an array, not Integer`,
		`a/y/Same/pipeline.json:1:1  there are two pipelines "Same"`,
		`a/y/dataset/D.json:1:1  there are two datasets "D" that differ`,
		`a/y/trigger/T.json:1:1  trigger "T" starts pipeline "gone", which does not exist`,
	}
	if diff := cmp.Diff(want, summaries(ds)); diff != "" {
		t.Error(diff)
	}
	if _, ds := Load(tree("b/x", ""), "absent"); len(ds) != 0 {
		t.Errorf("no folder means no pipelines: %v", ds)
	}
}

func TestValidate(t *testing.T) {
	activity := func(name, rest string) string {
		return `{"name": "` + name + `", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}` + rest + `}`
	}
	after := func(names ...string) string {
		var all []string
		for _, n := range names {
			all = append(all, `{"activity": "`+n+`", "dependencyConditions": ["Succeeded"]}`)
		}
		return `, "dependsOn": [` + strings.Join(all, ",") + `]`
	}
	waits := func(value string) string {
		return `{"name": "W", "type": "Wait", "typeProperties": {"waitTimeInSeconds": "` + value + `"}}`
	}
	const props = "/properties/activities/0/typeProperties"
	for _, c := range []struct{ name, activities, pointer, want string }{
		{"sound", activity("A", "") + "," + activity("B", after("A")), "", ""},
		{"unknown type", `{"name": "A", "type": "copy"}`, "/properties/activities/0/type", `unknown type "copy"; is "Copy" meant?`},
		{"refused type", `{"name": "A", "type": "ExecuteDataFlow"}`, "/properties/activities/0/type", "which cannot run here"},
		{"type without runner", `{"name": "A", "type": "Script"}`, "/properties/activities/0/type", "which cannot run here"},
		{"inactive needs no runner", `{"name": "A", "type": "Script", "state": "Inactive"}`, "", ""},
		{"output of an inactive activity", activity("A", `, "state": "Inactive"`) +
			`, {"name": "B", "type": "Wait", "typeProperties": {"waitTimeInSeconds": "@activity('A').output.x"}` + after("A") + "}",
			"/properties/activities/1/typeProperties/waitTimeInSeconds", `activity "A" is inactive`},
		{"dangling", activity("A", after("B")), "/properties/activities/0/dependsOn/0/activity", `depends on "B", which does not exist`},
		{"self", activity("A", after("A")), "/properties/activities/0/dependsOn/0/activity", "depends on itself"},
		{"cycle", activity("A", after("C")) + "," + activity("B", after("A")) + "," + activity("C", after("B")),
			"/properties/activities/0/dependsOn", "A waits for C waits for B waits for A"},
		{"duplicate across containers", activity("A", "") + `,{"name": "L", "type": "ForEach", "typeProperties": {"items": "@createArray(1)",
			"activities": [` + activity("A", "") + `]}}`, "/properties/activities/1/typeProperties/activities/0/name", `two activities "A"`},
		{"depends on an inner activity", `{"name": "L", "type": "ForEach", "typeProperties": {"items": "@createArray(1)", "activities": [` +
			activity("I", "") + `]}},` + activity("B", after("I")), "/properties/activities/1/dependsOn/0/activity", "inside another activity"},
		{"conditions that exclude each other", activity("A", "") + "," + activity("B", `, "dependsOn": [{"activity": "A",
			"dependencyConditions": ["Succeeded"]}, {"activity": "A", "dependencyConditions": ["Failed", "Skipped"]}]`),
			"/properties/activities/1/dependsOn", `activity "B" never runs`},
		{"after an Until, its inner activities", `{"name": "U", "type": "Until", "typeProperties": {"expression": "@equals(activity('I').output.x, 1)",
			"activities": [` + activity("I", "") + `]}}, {"name": "B", "type": "Wait", "typeProperties": {"waitTimeInSeconds": "@activity('I').output.x"}` +
			after("U") + "}", "", ""},
		{"after a ForEach, its inner activities are hidden", `{"name": "L", "type": "ForEach", "typeProperties": {"items": "@createArray(1)",
			"activities": [` + activity("I", "") + `]}}, {"name": "B", "type": "Wait", "typeProperties": {"waitTimeInSeconds": "@activity('I').output.x"}` +
			after("L") + "}", "/properties/activities/1/typeProperties/waitTimeInSeconds", `activity "I" need not have finished here`},
		{"forbidden character", activity("A/B", ""), "/properties/activities/0/name", `contains "/"`},
		{"bad expression", waits("@add(1,)"), props + "/waitTimeInSeconds", "expected a value or a function, found ')'"},
		{"unknown function", waits("@ad(1,1)"), props + "/waitTimeInSeconds", "'ad' is not defined"},
		{"unknown parameter", waits("@pipeline().parameters.q"), props + "/waitTimeInSeconds", `there is no parameter "q"; there are p`},
		{"parameter in another case", waits("@pipeline().Parameters.P"), "", ""},
		{"unknown property", waits("@pipeline().Nope"), props + "/waitTimeInSeconds", `pipeline() has no property "Nope"`},
		{"unknown variable", waits("@variables('w')"), props + "/waitTimeInSeconds", `there is no variable "w"`},
		{"unknown activity", waits("@activity('Z').output"), props + "/waitTimeInSeconds", `there is no activity "Z"`},
		{"activity that is not upstream", waits("@activity('B').output.x") + "," + activity("B", ""), props + "/waitTimeInSeconds",
			`activity "B" need not have finished here`},
		{"item outside of a loop", waits("@item()"), props + "/waitTimeInSeconds", "inside a ForEach"},
		{"item in a filter", `{"name": "F", "type": "Filter", "typeProperties": {"items": "@createArray(1)", "condition": "@equals(item(),1)"}}`, "", ""},
		{"trigger in a pipeline", waits("@trigger().startTime"), props + "/waitTimeInSeconds", "parameters of a trigger only"},
		{"bad timeout", activity("A", `, "policy": {"timeout": "24:00:00"}`), "/properties/activities/0/policy/timeout", "hours go to 23"},
		{"bad retry", activity("A", `, "policy": {"retry": -1}`), "/properties/activities/0/policy/retry", "not a whole number"},
		{"retry as text", activity("A", `, "policy": {"retry": "2", "timeout": "0.0:10:00"}`), "", ""},
		{"unknown dataset", `{"name": "C", "type": "Copy", "inputs": [{"referenceName": "D", "type": "DatasetReference"}]}`,
			"/properties/activities/0/inputs/0", `there is no dataset "D"`},
		{"unknown linked service", `{"name": "C", "type": "Copy", "linkedServiceName": {"referenceName": "L", "type": "LinkedServiceReference"}}`,
			"/properties/activities/0/linkedServiceName", `there is no linked service "L"`},
		{"unknown pipeline", `{"name": "E", "type": "ExecutePipeline", "typeProperties": {"pipeline": {"referenceName": "Q"}}}`,
			props + "/pipeline/referenceName", `there is no pipeline "Q"`},
		{"variable of another type", `{"name": "S", "type": "SetVariable", "typeProperties": {"variableName": "list", "value": "x"}}`,
			props + "/value", "The variable of type 'Array' cannot be initialized or updated with value of type 'String'."},
		{"variable in its own value", `{"name": "S", "type": "SetVariable", "typeProperties": {"variableName": "v", "value": "@concat(variables('v'),'x')"}}`,
			props + "/value", "in the expression that sets it"},
		{"append to a text", `{"name": "S", "type": "AppendVariable", "typeProperties": {"variableName": "v", "value": "x"}}`,
			props + "/variableName", "only an Array can be appended to"},
		{"loop without items", `{"name": "L", "type": "ForEach", "typeProperties": {"activities": []}}`, props, `ForEach "L" has no items`},
		{"nested loops", `{"name": "L", "type": "ForEach", "typeProperties": {"items": "@createArray(1)", "activities": [
			{"name": "M", "type": "ForEach", "typeProperties": {"items": "@createArray(item())", "activities": []}}]}}`,
			props + "/activities/0", "Azure refuses it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := expr.NewObject()
			definition := `{"properties": {"parameters": {"p": {"type": "string"}}, "variables": {"v": {"type": "String"}, "list": {"type": "Array"}},
				"activities": [` + c.activities + `]}}`
			if err := raw.UnmarshalJSON([]byte(definition)); err != nil {
				t.Fatal(err)
			}
			p, ds := DecodePipeline("P", "pipeline.json", raw)
			if len(ds) > 0 {
				t.Fatal(summaries(ds))
			}
			ds = Validate(Bundle{Pipeline: p}, Known{ActivityTypes: map[string]bool{"Copy": true}, LinkedServices: map[string]bool{},
				Pipelines: map[string]bool{"P": true}})
			if c.want == "" {
				if len(ds) > 0 {
					t.Errorf("unexpected: %v", summaries(ds))
				}
				return
			}
			found := slices.ContainsFunc(ds, func(d flowehr.Diagnostic) bool {
				return d.Pointer == c.pointer && strings.Contains(d.Summary, c.want)
			})
			if !found || len(ds) != 1 {
				t.Errorf("want only %s %s\ngot %v", c.pointer, c.want, summaries(ds))
			}
		})
	}
}

func TestValidateTriggers(t *testing.T) {
	for _, c := range []struct{ name, kind, properties, want string }{
		{"sound", "ScheduleTrigger", `{"recurrence": {"frequency": "Day", "startTime": "2024-01-01T00:00:00Z"}}`, ""},
		{"never", "ScheduleTrigger", `{"recurrence": {"frequency": "Month", "interval": 12, "startTime": "2024-02-01T00:00:00Z",
			"schedule": {"monthDays": [31]}}}`, "never fires"},
		{"unknown zone", "ScheduleTrigger", `{"recurrence": {"frequency": "Day", "startTime": "2024-01-01", "timeZone": "Mars"}}`, `timeZone "Mars"`},
		{"minutes alone", "ScheduleTrigger", `{"recurrence": {"frequency": "Day", "startTime": "2024-01-01", "schedule": {"minutes": [0]}}}`,
			"minutes without hours"},
		{"window", "TumblingWindowTrigger", `{"frequency": "Hour", "interval": 1, "startTime": "2024-01-01T00:00:00Z", "delay": "00:15:00",
			"dependsOn": [{"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-01:00:00"}]}`, ""},
		{"self dependency forwards", "TumblingWindowTrigger", `{"frequency": "Hour", "interval": 1, "startTime": "2024-01-01T00:00:00Z",
			"dependsOn": [{"type": "SelfDependencyTumblingWindowTriggerReference", "size": "01:00:00", "offset": "01:00:00"}]}`,
			"offset must be negative for a self dependency"},
		{"daily window", "TumblingWindowTrigger", `{"frequency": "Day", "interval": 1, "startTime": "2024-01-01T00:00:00Z"}`, `frequency "Day"`},
		{"blob without path", "BlobEventsTrigger", `{"events": ["Microsoft.Storage.BlobCreated"]}`, "needs blobPathBeginsWith"},
		{"refused", "RerunTumblingWindowTrigger", `{}`, "cannot run here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := tree("d/P/pipeline.json", named("P"), "d/P/trigger.json", `{"name": "T", "properties": {"type": "`+c.kind+
				`", "pipeline": {"pipelineReference": {"referenceName": "P"}, "parameters": {}}, "typeProperties": `+c.properties+`}}`)
			f, ds := Load(fsys, "d")
			if len(ds) > 0 {
				t.Fatal(summaries(ds))
			}
			ds = Validate(f.Bundles[0], Known{})
			Locate(fsys, ds)
			switch {
			case c.want == "" && len(ds) > 0, c.want != "" && len(ds) != 1:
				t.Errorf("want %q, got %v", c.want, summaries(ds))
			case c.want != "" && (!strings.Contains(ds[0].Summary, c.want) || ds[0].Pos.File != "d/P/trigger.json" || ds[0].Pos.Line == 0):
				t.Errorf("want %q, got %v", c.want, summaries(ds))
			}
		})
	}
}

func TestAzureLimitsWarn(t *testing.T) {
	acts := make([]Activity, 121)
	for i := range acts {
		acts[i] = Activity{Name: strings.Repeat("n", 50+i%10)}
	}
	ds := AzureLimits(Bundle{Pipeline: Pipeline{Name: strings.Repeat("p", 141), Activities: acts}})
	if flowehr.HasErrors(ds) || len(ds) != 2+4*12 {
		t.Errorf("%d diagnostics: %v", len(ds), summaries(ds)[:3])
	}
}

func TestParseTimespan(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0.12:00:00": 12 * time.Hour, "7.00:00:00": 168 * time.Hour, "0.1:00:00": time.Hour, "1:00:00": time.Hour, "00:10": 10 * time.Minute,
		"0.0:10:00": 10 * time.Minute, "-01:00:00": -time.Hour, "00:00:00.5": time.Second / 2, "00:00:30": 30 * time.Second,
	} {
		if got, err := ParseTimespan(s); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "7", "24:00:00", "00:60:00", "1.2.3", "1d", "99999999.00:00:00", "00:00:00,5"} {
		if d, err := ParseTimespan(s); err == nil {
			t.Errorf("%q was accepted as %v", s, d)
		}
	}
}

func TestCoerce(t *testing.T) {
	object := expr.NewObject()
	object.Set("a", int64(1))
	for _, c := range []struct {
		kind string
		in   expr.Value
		want expr.Value // nil: refused
	}{
		{"Int", "5", int64(5)}, {"int", 5.0, int64(5)}, {"Int", "x", nil}, {"Int", 5.5, nil}, {"Int", true, nil},
		{"Float", "1.5", 1.5}, {"float", int64(2), 2.0}, {"Bool", "True", true}, {"bool", "yes", nil}, {"Bool", int64(1), nil},
		{"String", int64(5), "5"}, {"securestring", "s", "s"}, {"Array", `[1]`, []expr.Value{int64(1)}}, {"Array", `{"a":1}`, nil},
		{"Object", `{"a":1}`, object}, {"Object", "x", nil}, {"Array", []expr.Value{"x"}, []expr.Value{"x"}}, {"Date", "x", nil},
	} {
		got, err := Coerce(c.kind, c.in)
		if (err != nil) != (c.want == nil) || err == nil && (!expr.Equal(got, c.want) || expr.TypeName(got) != expr.TypeName(c.want)) {
			t.Errorf("Coerce(%s, %v) = %v, %v; want %v", c.kind, c.in, got, err, c.want)
		}
	}
	if v, err := Coerce("Array", nil); v != nil || err != nil {
		t.Errorf("null became %v, %v", v, err)
	}
}

func TestCheckVariableHasTheServiceWords(t *testing.T) {
	want := "The variable of type 'Array' cannot be initialized or updated with value of type 'String'. The variable only supports values of types 'Array'."
	if err := CheckVariable("array", "x"); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	for kind, zero := range map[string]expr.Value{"String": "", "bool": false, "Integer": int64(0), "Array": []expr.Value{}} {
		if got := ZeroVariable(kind); !cmp.Equal(got, zero) || CheckVariable(kind, got) != nil {
			t.Errorf("an unset %s is %#v", kind, got)
		}
	}
}

// TestOutcomeLaws plays random graphs with every assignment of failures that is drawn.
func TestOutcomeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 8).Draw(t, "n")
		var acts []Activity
		outcomes := map[string]Status{}
		failures := 0
		for i := range n {
			a := Activity{Name: string(rune('A' + i))}
			for j := range i {
				if rapid.IntRange(0, 2).Draw(t, "edge") == 0 {
					conditions := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"Succeeded", "Failed", "Skipped", Completed}), 1, 3, rapid.ID).Draw(t, "conditions")
					a.DependsOn = append(a.DependsOn, Dependency{acts[j].Name, conditions})
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
				outcomes[a.Name] = Failed
			}
			acts = append(acts, a)
		}
		status := run(acts, outcomes)
		if len(status) != n {
			t.Fatalf("not every activity was decided: %v", status)
		}
		v := Outcome(acts, status)
		for _, s := range status {
			if s == Failed {
				failures++
			}
		}
		switch {
		case failures == 0 && v.Status != Succeeded:
			t.Fatalf("nothing failed and the run is %s: %s", v.Status, v.Why)
		case v.Status == Failed && (status[v.Cause] != Failed || !slices.Contains(v.Evaluated, v.Cause)):
			t.Fatalf("the cause %q did not fail: %v", v.Cause, v)
		case v.Status == Succeeded && slices.ContainsFunc(v.Evaluated, func(a string) bool { return status[a] != Succeeded }):
			t.Fatalf("an evaluated activity did not succeed: %v of %v", v, status)
		}
		if n > 0 {
			last := acts[rapid.IntRange(0, n-1).Draw(t, "open")].Name
			delete(status, last)
			if v := Outcome(acts, status); v.Status != InProgress {
				t.Fatalf("%s has not finished and the run is %s", last, v.Status)
			}
		}
	})
}

func TestOutcomeSaysWhy(t *testing.T) {
	on := func(name, parent string, conditions ...string) Activity {
		return Activity{Name: name, DependsOn: []Dependency{{parent, conditions}}}
	}
	for _, c := range []struct {
		name string
		acts []Activity
		want string
	}{
		{"skipped leaf", []Activity{{Name: "A"}, on("B", "A", "Succeeded")}, `Failed because "A" failed (leaf "B" was skipped).`},
		{"leaf itself", []Activity{{Name: "A"}}, `Failed because "A" failed.`},
		{"handled", []Activity{{Name: "A"}, on("B", "A", "Failed")},
			`Succeeded: "A" failed, but activities after it dealt with that and every activity that decides succeeded.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Outcome(c.acts, run(c.acts, map[string]Status{"A": Failed})).Why; got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCancelledStopsWhatFollows(t *testing.T) {
	deps := []Dependency{{"A", []string{"Succeeded", "Failed", "Skipped", Completed}}}
	decidable, satisfied := Ready(deps, func(string) (Status, bool) { return Cancelled, true })
	if !decidable || satisfied {
		t.Errorf("after a cancelled activity: decidable %v, satisfied %v", decidable, satisfied)
	}
	v := Outcome([]Activity{{Name: "A"}, {Name: "B"}}, map[string]Status{"A": Cancelled, "B": Failed})
	if v.Status != Cancelled || v.Cause != "A" {
		t.Errorf("got %+v", v)
	}
}
