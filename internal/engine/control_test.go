package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dataFile opens a file of the shared conformance material.
func dataFile(t *testing.T, name string) *os.File {
	t.Helper()
	dir := os.Getenv("FLOWEHR_TEST_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("needs the shared data: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPipelineCases(t *testing.T) {
	type kase struct {
		ID, Title  string
		Activities []map[string]any
		Outcomes   map[string]string
		Status     map[string]string `json:"expected_activity_status"`
		Run        string            `json:"expected_pipeline_status"`
	}
	w := newWorld(t, forced)
	lines := bufio.NewScanner(dataFile(t, "adf/pipeline_cases.jsonl"))
	lines.Buffer(nil, 1<<20)
	ran := 0
	for lines.Scan() {
		var c kase
		if json.Unmarshal(lines.Bytes(), &c) != nil || c.Status == nil {
			continue
		}
		ran++
		t.Run(c.ID+" "+c.Title, func(t *testing.T) {
			for _, a := range c.Activities {
				a["type"] = "Do"
				a["typeProperties"] = map[string]any{"outcome": c.Outcomes[a["name"].(string)]}
			}
			body, _ := json.Marshal(map[string]any{"activities": c.Activities})
			w.register(c.ID, string(body))
			r := w.end(w.begin(c.ID, ""))
			if r.Status != c.Run {
				t.Errorf("run: got %s, want %s (%s)", r.Status, c.Run, r.Why)
			}
			got := w.activities(r.ID)
			for name, want := range c.Status {
				if got["/"+name].Status != want {
					t.Errorf("%s: got %s, want %s", name, got["/"+name].Status, want)
				}
			}
		})
	}
	if ran == 0 {
		t.Error("no case was read")
	}
}

// forced ends as its property says.
func forced(_ context.Context, c Call) (Result, error) {
	if v, _ := c.Properties.Get("outcome"); v == "Failed" {
		return Result{}, &Error{Code: "Forced", Message: "forced to fail", Type: "UserError"}
	}
	return Result{}, nil
}

// controlCase is a pipeline and what it leaves behind.
type controlCase struct {
	name, properties string
	status           string            // of the run
	message          string            // of the run
	want             map[string]string // path -> status, or status and output, or status and error text
}

func TestControlActivities(t *testing.T) {
	w := newWorld(t, forced)
	for i, c := range controlCases {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprintf("C%d", i)
			w := &world{t: t, pool: w.pool, store: w.store}
			w.register(name, c.properties)
			r := w.end(w.begin(name, ""))
			if r.Status != c.status || (c.message != "" && r.Message != c.message) {
				t.Errorf("run: got %s %q, want %s %q", r.Status, r.Message, c.status, c.message)
			}
			got := w.activities(r.ID)
			for path, want := range c.want {
				a := got[path]
				text := a.Status
				if strings.Contains(want, "{") {
					text += " " + encode(a.Output)
				} else if a.Error != nil && strings.Contains(want, " ") {
					text += " " + a.Error.Code + ": " + a.Error.Message
				}
				if text != want {
					t.Errorf("%s:\n got %s\nwant %s", path, text, want)
				}
			}
		})
	}
}

var controlCases = []controlCase{
	{"for each does not stop at a failing iteration (P031)", `{"activities":[{"name":"Loop","type":"ForEach","typeProperties":{
		"isSequential":true,"items":{"value":"@createArray(1,2,3)","type":"Expression"},
		"activities":[{"name":"Inner","type":"Do","typeProperties":{"outcome":"@if(equals(item(),2),'Failed','')"}}]}}]}`,
		"Failed", "Operation on target Loop failed: Activity failed because an inner activity failed; Inner activity name: Inner, Error: forced to fail",
		map[string]string{"/Loop[0]/Inner": "Succeeded", "/Loop[1]/Inner": "Failed", "/Loop[2]/Inner": "Succeeded", "/Loop": "Failed"}},
	{"a failure caught inside an iteration is success (P032)", `{"activities":[{"name":"Loop","type":"ForEach","typeProperties":{
		"items":"@createArray(1,2)","activities":[{"name":"Inner","type":"Do","typeProperties":{"outcome":"Failed"}},
		{"name":"OnErr","type":"Wait","dependsOn":[{"activity":"Inner","dependencyConditions":["Failed"]}],"typeProperties":{"waitTimeInSeconds":0}}]}},
		{"name":"After","type":"Wait","dependsOn":[{"activity":"Loop","dependencyConditions":["Succeeded"]}],"typeProperties":{"waitTimeInSeconds":0}}]}`,
		"Succeeded", "", map[string]string{"/Loop": "Succeeded", "/After": "Succeeded", "/Loop[1]/Inner": "Failed"}},
	{"for each over null (P033)", `{"parameters":{"p":{"type":"Array","defaultValue":null}},"activities":[
		{"name":"ForEach","type":"ForEach","typeProperties":{"items":"@pipeline().parameters.p","activities":[]}}]}`,
		"Failed", "", map[string]string{"/ForEach": "Failed InvalidTemplate: The function 'length' expects its parameter to be an array or a string. The provided value is of type 'Null'."}},
	{"until goes on after an inner failure (P034)", `{"variables":{"n":{"type":"Integer"},"h":{"type":"Integer"}},"activities":[
		{"name":"U","type":"Until","typeProperties":{"expression":"@equals(variables('n'),3)","timeout":"0.00:10:00","activities":[
		{"name":"Copy","type":"SetVariable","typeProperties":{"variableName":"h","value":"@add(variables('n'),1)"}},
		{"name":"Back","type":"SetVariable","dependsOn":[{"activity":"Copy","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"variableName":"n","value":"@variables('h')"}},
		{"name":"Bad","type":"Do","typeProperties":{"outcome":"Failed"}}]}}]}`,
		"Failed", "", map[string]string{"/U{0}/Bad": "Failed", "/U{2}/Back": "Succeeded", "/U{3}/Back": "", "/U": "Failed"}},
	{"until over a number (P037)", `{"activities":[{"name":"U","type":"Until","typeProperties":{"expression":"@int('1')","activities":[]}}]}`,
		"Failed", "", map[string]string{"/U": "Failed InvalidTemplate: The expression of an Until must be of type 'Boolean'. The provided value is of type 'Integer'."}},
	{"filter (P035)", `{"activities":[{"name":"F","type":"Filter","typeProperties":{"items":"@createArray(3,4,5,6)","condition":"@lessOrEquals(item(),3)"}}]}`,
		"Succeeded", "", map[string]string{"/F": `Succeeded {"ItemsCount":4,"FilteredItemsCount":1,"Value":[3]}`}},
	{"filter over text (P036)", `{"activities":[{"name":"F","type":"Filter","typeProperties":{"items":"abc","condition":"@true"}}]}`,
		"Failed", "", map[string]string{"/F": "Failed"}},
	{"switch takes a case (P038)", `{"activities":[{"name":"S","type":"Switch","typeProperties":{"on":"@concat('case','/1')","cases":[
		{"value":"case/1","activities":[{"name":"Hit","type":"Echo","typeProperties":{"v":1}}]}],
		"defaultActivities":[{"name":"Other","type":"Echo","typeProperties":{}}]}}]}`,
		"Succeeded", "", map[string]string{"/S?=case%2F1/Hit": `Succeeded {"v":1}`, "/S?default/Other": "", "/S": "Succeeded"}},
	{"switch takes the default, spelled expression", `{"activities":[{"name":"S","type":"Switch","typeProperties":{"expression":"Case_1","cases":[
		{"value":"case_1","activities":[]}],"defaultActivities":[{"name":"Other","type":"Echo","typeProperties":{}}]}}]}`,
		"Succeeded", "", map[string]string{"/S?default/Other": "Succeeded"}},
	{"if with interpolated text, missing branch", `{"activities":[{"name":"I","type":"IfCondition","typeProperties":{"expression":"@{equals(1,2)}",
		"ifTrueActivities":[{"name":"T","type":"Echo","typeProperties":{}}]}}]}`, "Succeeded", "", map[string]string{"/I": "Succeeded", "/I?true/T": ""}},
	{"append (P039)", `{"variables":{"l":{"type":"Array","defaultValue":[1,2]}},"activities":[
		{"name":"A","type":"AppendVariable","typeProperties":{"variableName":"l","value":3}},
		{"name":"E","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"typeProperties":{"l":"@variables('l')"}}]}`,
		"Succeeded", "", map[string]string{"/E": `Succeeded {"l":[1,2,3]}`}},
	{"set of the wrong type", `{"variables":{"l":{"type":"Array"}},"activities":[{"name":"A","type":"SetVariable","typeProperties":{"variableName":"l","value":"x"}}]}`,
		"Failed", "Operation on target A failed: The variable of type 'Array' cannot be initialized or updated with value of type 'String'. The variable only supports values of types 'Array'.", nil},
	{"set that reads itself", `{"variables":{"n":{"type":"Integer"}},"activities":[{"name":"A","type":"SetVariable","typeProperties":{"variableName":"n","value":"@add(variables('n'),1)"}}]}`,
		"Failed", "Operation on target A failed: The expression contains self referencing variable. A variable cannot reference itself in the expression.", nil},
	{"output of a failed activity", `{"activities":[{"name":"F","type":"Fail","typeProperties":{"message":"no","errorCode":"42"}},
		{"name":"E","type":"Echo","dependsOn":[{"activity":"F","dependencyConditions":["Failed"]}],
		"typeProperties":{"m":"@activity('F').output.message","c":"@activity('F').error.errorCode","t":"@activity('F').Error.Target","s":"@activity('F').status","n":"@activity('F')?.error?.nothing"}}]}`,
		"Succeeded", "", map[string]string{"/E": `Succeeded {"m":"no","c":"42","t":"F","s":"Failed","n":null}`}},
	{"an unknown type fails by name", `{"activities":[{"name":"X","type":"HDInsightHive","typeProperties":{}}]}`,
		"Failed", "Operation on target X failed: The activity 'X' has the type 'HDInsightHive', which is not supported here.", nil},
	{"item is seen in nested bodies, outer activities inside", `{"activities":[{"name":"Pre","type":"Echo","typeProperties":{"v":"p"}},
		{"name":"L","type":"ForEach","dependsOn":[{"activity":"Pre","dependencyConditions":["Succeeded"]}],"typeProperties":{"items":"@createArray('a','b')","activities":[
		{"name":"I","type":"IfCondition","typeProperties":{"expression":"@equals(item(),'a')","ifTrueActivities":[
		{"name":"M","type":"ForEach","typeProperties":{"items":"@createArray(concat(item(),'1'))","activities":[
		{"name":"E","type":"Echo","typeProperties":{"v":"@concat(activity('Pre').output.v,item())"}}]}}]}}]}}]}`,
		"Succeeded", "", map[string]string{"/L[0]/I?true/M[0]/E": `Succeeded {"v":"pa1"}`, "/L[1]/I": "Succeeded"}},
	{"inactive marks", `{"activities":[{"name":"A","type":"Do","state":"Inactive","onInactiveMarkAs":"Skipped","typeProperties":{}},
		{"name":"B","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Skipped"]}],"typeProperties":{}}]}`,
		"Succeeded", "", map[string]string{"/A": "Skipped", "/B": "Succeeded"}},
}

// Cases of the Fail activity (P040), as the service's table has them.
func TestFailTexts(t *testing.T) {
	w := newWorld(t, nil)
	for i, c := range []struct{ properties, message, code string }{
		{`{"message":"m","errorCode":"c"}`, "m", "c"},
		{`{"message":"@activity('none').output","errorCode":"@activity('none').output"}`, "Failed to interpret X fail message or error code", "ErrorCodeNotString"},
		{`{"message":5,"errorCode":"c"}`, "X fail message parameter could not be interpreted as a string", "c"},
		{`{"message":" ","errorCode":"c"}`, "Failed to interpret X fail message or error code", "c"},
		{`{"message":null,"errorCode":"c"}`, "Failed to interpret X fail message or error code", "c"},
		{`{"message":"m","errorCode":7}`, "m", "ErrorCodeNotString"},
		{`{"message":"m","errorCode":""}`, "m", "ErrorCodeNotString"},
		{`{"message":"m"}`, "m", "ErrorCodeNotString"},
		{`{"errorCode":"c"}`, "Fail message wasn't provided", "c"},
	} {
		t.Run(c.properties, func(t *testing.T) {
			name := fmt.Sprintf("F%d", i)
			w := &world{t: t, pool: w.pool, store: w.store}
			w.register(name, `{"activities":[{"name":"X","type":"Fail","typeProperties":`+c.properties+`}]}`)
			a := w.activities(w.end(w.begin(name, "")).ID)["/X"]
			if a.Error == nil || a.Error.Message != c.message || a.Error.Code != c.code {
				t.Errorf("got %+v, want %q %q", a.Error, c.message, c.code)
			}
		})
	}
}

// TestValueCases runs the cases of the shared material that are one activity and a list of values.
func TestValueCases(t *testing.T) {
	w := newWorld(t, nil)
	lines := bufio.NewScanner(dataFile(t, "adf/pipeline_cases.jsonl"))
	lines.Buffer(nil, 1<<20)
	ran := map[string]int{}
	for lines.Scan() {
		var c struct {
			ID     string
			Script struct {
				Values []json.RawMessage
				Cases  [][]json.RawMessage
			}
		}
		if json.Unmarshal(lines.Bytes(), &c) != nil {
			continue
		}
		check := func(value json.RawMessage, activity, status, output string) {
			ran[c.ID]++
			name := fmt.Sprintf("%s-%d", c.ID, ran[c.ID])
			t.Run(name+" "+string(value), func(t *testing.T) {
				w := &world{t: t, pool: w.pool, store: w.store}
				quoted := "@json('" + strings.ReplaceAll(string(value), "'", "''") + "')"
				w.register(name, `{"variables":{"l":{"type":"Array","defaultValue":`+arrayOr(value)+`}},"activities":[`+
					strings.ReplaceAll(activity, "VALUE", strings.Trim(quote(quoted), `"`))+`]}`)
				acts := w.activities(w.end(w.begin(name, "")).ID)
				if a := acts["/X"]; a.Status != status || (output != "" && encode(a.Output) != output) {
					t.Errorf("got %s %s, want %s %s", a.Status, encode(a.Output), status, output)
				}
			})
		}
		for _, pair := range c.Script.Cases {
			switch c.ID {
			case "P035":
				check(pair[0], `{"name":"F","type":"Filter","typeProperties":{"items":"VALUE","condition":"@lessOrEquals(item(), 3)"}},
					{"name":"X","type":"Echo","dependsOn":[{"activity":"F","dependencyConditions":["Succeeded"]}],"typeProperties":{"v":"@activity('F').output.value"}}`,
					"Succeeded", `{"v":`+compact(pair[1])+`}`)
			case "P039":
				check(pair[0], `{"name":"A","type":"AppendVariable","typeProperties":{"variableName":"l","value":`+string(pair[1])+`}},
					{"name":"X","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"typeProperties":{"v":"@variables('l')"}}`,
					"Succeeded", `{"v":`+compact(pair[2])+`}`)
			}
		}
		for _, value := range c.Script.Values {
			switch c.ID {
			case "P036":
				check(value, `{"name":"X","type":"Filter","typeProperties":{"items":"VALUE","condition":"@true"}}`, "Failed", "")
			case "P037":
				check(value, `{"name":"X","type":"Until","typeProperties":{"expression":"VALUE","activities":[]}}`, "Failed", "")
			}
		}
	}
	if got := fmt.Sprint(ran); got != "map[P035:6 P036:6 P037:6 P039:3]" {
		t.Errorf("ran %s", got)
	}
}

func arrayOr(value json.RawMessage) string {
	if strings.HasPrefix(string(value), "[") {
		return string(value)
	}
	return "[]"
}

func compact(value json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return err.Error()
	}
	return b.String()
}
