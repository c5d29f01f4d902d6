package operate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const oneActivity = `{"value":[{"activityRunId":"x1","activityName":"Load","activityType":"Copy","status":"STATUS","error":{"errorCode":"","message":"","target":"Load"}}]}`

func TestStartAnswersWithTheRun(t *testing.T) {
	w := newWorld(t)
	w.on("POST", factoryID+"/pipelines/two words/createRun", answer(200, `{"runId":"r1"}`))
	id, err := w.factory().Start(t.Context(), "two words", map[string]any{"zone": "gold", "n": 3})
	if err != nil || id != "r1" {
		t.Fatal(id, err)
	}
	if body := w.bodies["POST "+armHost+factoryID+"/pipelines/two words/createRun"]; body != `{"n":3,"zone":"gold"}` {
		t.Errorf("the parameters are %s", body)
	}
}

func TestStartOfAnUnknownPipelineNamesThoseThatThereAre(t *testing.T) {
	w := newWorld(t)
	w.pipelines()
	_, err := w.factory().Start(t.Context(), "dialy", nil)
	var unknown *UnknownError
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if want := []string{"asks", "daily", "ingest", "weekly"}; !cmp.Equal(unknown.Known, want) {
		t.Errorf("known are %v", unknown.Known)
	}
	if !strings.Contains(err.Error(), "flowehr deploy") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestStartThatWasLostIsNotMadeAgain(t *testing.T) {
	for name, status := range map[string]int{"lost connection": 0, "error of the service": 500, "timeout": 408} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.on("POST", factoryID+"/pipelines/daily/createRun", answer(status, `{}`))
			_, err := w.factory().Start(t.Context(), "daily", nil)
			var uncertain *UncertainError
			if !errors.As(err, &uncertain) || !strings.Contains(err.Error(), "flowehr pipelines runs daily") {
				t.Fatalf("%v", err)
			}
			if len(w.seen) != 1 {
				t.Errorf("%d requests were made", len(w.seen))
			}
		})
	}
}

func TestRefusedStartIsNotUncertain(t *testing.T) {
	w := newWorld(t)
	w.on("POST", factoryID+"/pipelines/daily/createRun", answer(403, `{"error":{"code":"AuthorizationFailed","message":"no"}}`))
	_, err := w.factory().Start(t.Context(), "daily", nil)
	var uncertain *UncertainError
	if err == nil || errors.As(err, &uncertain) {
		t.Fatal(err)
	}
}

func TestRepeat(t *testing.T) {
	for _, c := range []struct {
		name   string
		status Status
		how    Repetition
		query  string // of the request; "" for none
		fault  string
	}{
		{"whole", Succeeded, Repetition{}, "isRecovery=true&referencePipelineRunId=r1", ""},
		{"from what failed", Failed, Repetition{Failed: true}, "isRecovery=true&referencePipelineRunId=r1&startFromFailure=true", ""},
		{"from an activity", Failed, Repetition{From: "Load"}, "isRecovery=true&referencePipelineRunId=r1&startActivityName=Load", ""},
		{"from an activity that is not there", Failed, Repetition{From: "Lode"}, "", `there is no activity "Lode"; there are Load`},
		{"that goes on", InProgress, Repetition{}, "", "is still InProgress"},
		{"of what succeeded from what failed", Succeeded, Repetition{Failed: true}, "", "succeeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.run("r1", "daily", oneActivity, c.status)
			w.on("POST", factoryID+"/pipelines/daily/createRun", answer(200, `{"runId":"r2"}`))
			id, err := w.factory().Repeat(t.Context(), "r1", c.how)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) || w.made() != "" {
					t.Fatalf("%v; made %s", err, w.made())
				}
				return
			}
			if err != nil || id != "r2" || w.made() != "POST /pipelines/daily/createRun?"+c.query {
				t.Fatalf("%s %v; made %s", id, err, w.made())
			}
		})
	}
}

func TestFollowTellsEveryChangeOnceAndEnds(t *testing.T) {
	w := newWorld(t)
	w.run("r1", "daily", oneActivity, Queued, InProgress, InProgress, InProgress, Failed)
	var told []string
	r, err := w.factory().Follow(t.Context(), "r1", func(p Progress) {
		if p.Activity != nil {
			told = append(told, p.Activity.Name+" "+string(p.Activity.Status))
			return
		}
		told = append(told, string(p.Run.Status))
	})
	if err != nil || r.Status != Failed {
		t.Fatal(r, err)
	}
	want := []string{"Load Queued", "Queued", "Load InProgress", "InProgress", "Load Failed", "Failed"}
	if !cmp.Equal(told, want) {
		t.Errorf("%s", cmp.Diff(want, told))
	}
	if len(w.waited) != 4 || w.waited[0] != 2*time.Second {
		t.Errorf("waited %v", w.waited)
	}
}

func TestFollowThatIsInterruptedSaysThatTheRunGoesOn(t *testing.T) {
	w := newWorld(t)
	w.run("r1", "daily", oneActivity, InProgress)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.factory().Follow(ctx, "r1", func(Progress) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on in Azure") {
		t.Fatal(err)
	}
	if w.made() != "" {
		t.Errorf("interrupting made %s", w.made())
	}
}

func TestTestRunsWhatStandsForAll(t *testing.T) {
	w := newWorld(t)
	w.pipelines()
	for name, last := range map[string]Status{"daily": Failed, "weekly": Succeeded} {
		w.on("POST", factoryID+"/pipelines/"+name+"/createRun", answer(200, `{"runId":"`+name+`-1"}`))
		w.run(name+"-1", name, oneActivity, InProgress, last)
	}
	results, err := w.factory().Test(t.Context(), nil, nil)
	if !errors.Is(err, ErrTest) || len(results) != 2 {
		t.Fatal(results, err)
	}
	if r := results[0]; r.Pipeline != "daily" || r.OK() || r.Cause == nil || r.Cause.Name != "Load" {
		t.Errorf("%+v", r)
	}
	if r := results[1]; r.Pipeline != "weekly" || !r.OK() {
		t.Errorf("%+v", r)
	}
	if want := "POST /pipelines/daily/createRun\nPOST /pipelines/weekly/createRun"; w.made() != want {
		t.Errorf("made %s", w.made())
	}
}

func TestTestOfWhatIsNotThereRunsNothing(t *testing.T) {
	w := newWorld(t)
	w.pipelines()
	_, err := w.factory().Test(t.Context(), []string{"daily", "nothing"}, nil)
	var unknown *UnknownError
	if !errors.As(err, &unknown) || w.made() != "" {
		t.Fatal(err, w.made())
	}
}

func TestRunsFollowsContinuations(t *testing.T) {
	w := newWorld(t)
	var bodies []filterJSON
	w.on("POST", factoryID+"/queryPipelineRuns", func(_ *http.Request, body []byte) (int, any) {
		var f filterJSON
		if err := json.Unmarshal(body, &f); err != nil {
			t.Error(err)
		}
		bodies = append(bodies, f)
		if f.Token == "" {
			return 200, json.RawMessage(`{"value":[{"runId":"r2"}],"continuationToken":"next"}`)
		}
		return 200, json.RawMessage(`{"value":[{"runId":"r1"}]}`)
	})
	now := w.now
	runs, err := w.factory().Runs(t.Context(), Filter{Pipeline: "daily", Status: Failed}, now)
	if err != nil || len(runs) != 2 || runs[0].ID != "r2" || runs[1].ID != "r1" {
		t.Fatal(runs, err)
	}
	want := filterJSON{After: now.Add(time.Hour - kept), Before: now.Add(time.Hour), Order: []orderTerm{{"RunStart", "DESC"}},
		Filters: []filterTerm{{"PipelineName", "Equals", []string{"daily"}}, {"Status", "Equals", []string{"Failed"}}}}
	if !cmp.Equal(bodies[0], want) || bodies[1].Token != "next" {
		t.Errorf("%s", cmp.Diff(want, bodies[0]))
	}
	if runs, err := w.factory().Runs(t.Context(), Filter{Limit: 1}, now); err != nil || len(runs) != 1 {
		t.Error(runs, err)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.run("r1", "daily", oneActivity, InProgress)
	w.run("r2", "daily", oneActivity, Succeeded)
	w.on("POST", factoryID+"/pipelineruns/r1/cancel", answer(200, ``))
	if err := w.factory().Cancel(t.Context(), "r1"); err != nil || w.made() != "POST /pipelineruns/r1/cancel?isRecursive=true" {
		t.Fatal(err, w.made())
	}
	var refused *RefusedError
	if err := w.factory().Cancel(t.Context(), "r2"); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	var unknown *UnknownError
	if err := w.factory().Cancel(t.Context(), "r3"); !errors.As(err, &unknown) {
		t.Errorf("%v", err)
	}
}

func TestLogOfADatabricksJob(t *testing.T) {
	for _, page := range []string{"https://" + dbxHost + "/?o=1#job/77/run/5", "https://" + dbxHost + "/jobs/77/runs/5?o=1"} {
		w := newWorld(t)
		w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/get"] = answer(200, `{"run_id":5,"tasks":[{"run_id":6}]}`)
		w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/get-output"] = answer(200, `{"logs":"checking 2 assertions","logs_truncated":true,"error":"AssertionFailed: age: 1 of 2 rows","error_trace":"Traceback"}`)
		l, err := w.factory().Log(t.Context(), Activity{Name: "Check", Type: "DatabricksSparkPython", Output: json.RawMessage(`{"runPageUrl":"` + page + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if l.Text != "checking 2 assertions" || l.Trace != "AssertionFailed: age: 1 of 2 rows\nTraceback" || !l.Truncated {
			t.Errorf("%+v", l)
		}
		if !strings.HasSuffix(w.seen[1], "get-output?run_id=6") {
			t.Errorf("asked for %s", w.seen[1])
		}
	}
}

// TestLogFindsARunByItsNumber: older addresses end in the number of the run within its job, and that may be the id of another run.
func TestLogFindsARunByItsNumber(t *testing.T) {
	for name, other := range map[string]func(*http.Request, []byte) (int, any){
		"another job's run": answer(200, `{"run_id":1,"job_id":3,"tasks":[{"run_id":1}]}`),
		"no run":            answer(400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Run 1 does not exist."}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/get"] = other
			w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/list"] = answer(200, `{"runs":[{"run_id":900,"job_id":77,"number_in_job":1,"tasks":[{"run_id":901}]}]}`)
			w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/get-output"] = answer(200, `{"logs":"mine"}`)
			l, err := w.factory().Log(t.Context(), Activity{Type: "DatabricksSparkPython", Output: json.RawMessage(`{"runPageUrl":"https://` + dbxHost + `/?o=1#job/77/run/1"}`)})
			if err != nil || l.Text != "mine" || !strings.HasSuffix(w.seen[len(w.seen)-1], "run_id=901") {
				t.Errorf("%+v %v %v", l, err, w.seen)
			}
		})
	}
}

func TestLogGivesTheTokenToDatabricksOnly(t *testing.T) {
	for _, page := range []string{"https://evil.example/jobs/1/runs/5", "http://" + dbxHost + "/jobs/1/runs/5", "https://evil.example/?.azuredatabricks.net#job/1/run/5",
		"https://azuredatabricks.net.evil.example/jobs/1/runs/5", "https://" + dbxHost + "/elsewhere"} {
		w := newWorld(t)
		_, err := w.factory().Log(t.Context(), Activity{Type: "DatabricksNotebook", Output: json.RawMessage(`{"runPageUrl":"` + page + `"}`)})
		if err == nil || len(w.seen) != 0 {
			t.Errorf("%s: %v, %v", page, err, w.seen)
		}
	}
}

func TestLogOfWhatIsGoneOrNotBegun(t *testing.T) {
	w := newWorld(t)
	w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/get"] = answer(400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Run 5 does not exist."}`)
	w.handlers["GET "+dbxHost+"/api/2.1/jobs/runs/list"] = answer(200, `{}`)
	for _, output := range []string{`{"runPageUrl":"https://` + dbxHost + `/jobs/1/runs/5"}`, `{}`, ``} {
		l, err := w.factory().Log(t.Context(), Activity{Type: "DatabricksSparkPython", Output: json.RawMessage(output)})
		if err != nil || l.Missing == "" {
			t.Errorf("%q: %+v %v", output, l, err)
		}
	}
	if l, err := w.factory().Log(t.Context(), Activity{Type: "Copy"}); err != nil || l.Missing != "" {
		t.Errorf("%+v %v", l, err)
	}
}

func FuzzJobAddress(f *testing.F) {
	f.Add("https://" + dbxHost + "/?o=1#job/77/run/5")
	f.Add("https://x@evil.example/jobs/1/runs/2")
	f.Fuzz(func(t *testing.T, address string) {
		j, err := jobOf(address)
		if err == nil && (!strings.HasPrefix(j.workspace, "https://") || strings.ContainsAny(strings.TrimPrefix(j.workspace, "https://"), "/?#@")) {
			t.Errorf("%q gives the workspace %q", address, j.workspace)
		}
	})
}
