package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// fast makes waiting take no time, and remembers what was waited for.
func fast(waited *[]time.Duration) func(*Options) {
	var mu sync.Mutex
	return func(o *Options) {
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			*waited = append(*waited, d.Round(time.Second))
			return ctx.Err()
		}
	}
}

func TestRetriesAsThePolicySays(t *testing.T) {
	var waited []time.Duration
	var calls atomic.Int64
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) {
		calls.Add(1)
		if c.Attempt < 3 {
			return Result{}, fmt.Errorf("no luck at attempt %d", c.Attempt)
		}
		return Result{Rows: 5, Tables: []Table{{Name: "lake:silver.patient", Written: true, Rows: 5, Version: 2}}}, nil
	}, fast(&waited))
	r := w.run(`{"activities":[{"name":"A","type":"Do","policy":{"retry":"@add(1,1)","retryIntervalInSeconds":45},"typeProperties":{}}]}`)
	a := w.activities(r.ID)["/A"]
	if r.Status != "Succeeded" || len(a.Attempts) != 3 || a.Rows != 5 {
		t.Fatalf("got %s, %d attempts, %d rows", r.Status, len(a.Attempts), a.Rows)
	}
	if f := a.Attempts[1].Error; f == nil || f.Message != "no luck at attempt 2" || f.Type != "SystemError" {
		t.Errorf("attempt 2: %+v", f)
	}
	long := 0
	for _, d := range waited {
		if d == 45*time.Second {
			long++
		}
	}
	if long != 2 {
		t.Errorf("waited %v, want 45s twice", waited)
	}
	uses, err := w.store.TableUses(context.Background(), "lake:silver.patient", 0)
	if err != nil || len(uses) != 1 || uses[0].RunID != r.ID || !uses[0].Written || uses[0].Version != 2 {
		t.Errorf("uses: %+v %v", uses, err)
	}
}

func TestNoRetryOfAFinalError(t *testing.T) {
	var waited []time.Duration
	w := newWorld(t, func(context.Context, Call) (Result, error) {
		return Result{}, &Error{Code: "Refused", Message: "never", Final: true}
	}, fast(&waited))
	r := w.run(`{"activities":[{"name":"A","type":"Do","policy":{"retry":5},"typeProperties":{}}]}`)
	if n := len(w.activities(r.ID)["/A"].Attempts); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

func TestAttemptEndsAtItsTimeout(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, c Call) (Result, error) {
		if c.Attempt == 1 {
			<-ctx.Done()
			return Result{}, ctx.Err()
		}
		return Result{}, nil
	})
	r := w.run(`{"activities":[{"name":"A","type":"Do","policy":{"timeout":"0.00:00:00.02","retry":1,"retryIntervalInSeconds":0},"typeProperties":{}}]}`)
	a := w.activities(r.ID)["/A"]
	if r.Status != "Succeeded" || len(a.Attempts) != 2 || a.Attempts[0].Error == nil || a.Attempts[0].Error.Code != "ActivityTimeout" {
		t.Errorf("got %s %+v", r.Status, a.Attempts)
	}
}

func TestUntilEndsAtItsTimeout(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, _ Call) (Result, error) { <-ctx.Done(); return Result{}, ctx.Err() })
	r := w.run(`{"activities":[{"name":"U","type":"Until","typeProperties":{"expression":"@false","timeout":"0.00:00:00.05",
		"activities":[{"name":"A","type":"Do","typeProperties":{}}]}}]}`)
	acts := w.activities(r.ID)
	if r.Status != "Failed" || acts["/U"].Error.Code != "ActivityTimeout" || acts["/U{0}/A"].Status != "Cancelled" {
		t.Errorf("got %s, %+v, %s", r.Status, acts["/U"].Error, acts["/U{0}/A"].Status)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	w := newWorld(t, func(context.Context, Call) (Result, error) { panic("oh") })
	r := w.run(`{"activities":[{"name":"A","type":"Do","typeProperties":{}}]}`)
	if want := "Operation on target A failed: panic in activity type Do: oh"; r.Message != want {
		t.Errorf("got %q, want %q", r.Message, want)
	}
}

func TestManyParentsOneSlot(t *testing.T) {
	w := newWorld(t, nil, func(o *Options) { o.MaxRuns = 1 })
	w.register("Leaf", `{"activities":[{"name":"E","type":"Echo","typeProperties":{}}]}`)
	w.register("Mid", `{"activities":[{"name":"X","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Leaf","type":"PipelineReference"},"waitOnCompletion":true}}]}`)
	w.register("P", `{"activities":[{"name":"X","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Mid","type":"PipelineReference"},"waitOnCompletion":"true"}}]}`)
	var ids []string
	for range 5 {
		ids = append(ids, w.begin("P", ""))
	}
	for _, id := range ids {
		if r := w.end(id); r.Status != "Succeeded" {
			t.Error(r.Message)
		}
	}
}

func TestChildFailureText(t *testing.T) {
	w := newWorld(t, forced)
	w.register("Child", `{"parameters":{"l":{"type":"Array"}},"activities":[{"name":"X","type":"Do","typeProperties":{"outcome":"Failed","by":"@pipeline()?.TriggeredByPipelineName"}}]}`)
	r := w.run(`{"activities":[{"name":"Call","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"},
		"parameters":{"l":"[1,2]"},"waitOnCompletion":true}}]}`)
	a := w.activities(r.ID)["/Call"]
	want := Failure{"BadRequest", "Operation on target X failed: forced to fail", "UserError", "Call"}
	if a.Error == nil || *a.Error != want {
		t.Errorf("got %+v, want %+v", a.Error, want)
	}
	if want := "Operation on target Call failed: Operation on target X failed: forced to fail"; r.Message != want {
		t.Errorf("got %q", r.Message)
	}
	child, err := w.store.Run(context.Background(), a.Child)
	if err != nil || child.Parent != r.ID || child.ParentPath != "/Call" || child.GroupID != r.GroupID || child.Invoked != InvokedPipeline {
		t.Errorf("child %+v %v", child, err)
	}
	if got := encode(w.activities(a.Child)["/X"].Input); !strings.Contains(got, `"by":"P"`) {
		t.Errorf("input %s", got)
	}
}

func TestSecretsAreNotWritten(t *testing.T) {
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) {
		c.Log("token is hunter22")
		o := expr.NewObject()
		o.Set("token", "pw hunter22!")
		return Result{Output: o}, nil
	})
	w.register("P", `{"parameters":{"pw":{"type":"securestring"}},"activities":[
		{"name":"A","type":"Do","typeProperties":{"p":"@pipeline().parameters.pw"}},
		{"name":"S","type":"Do","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"policy":{"secureInput":true,"secureOutput":true},"typeProperties":{"k":"patient 900"}},
		{"name":"B","type":"IfCondition","dependsOn":[{"activity":"S","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"expression":"@equals(activity('A').output.token,'pw hunter22!')","ifTrueActivities":[{"name":"Yes","type":"Echo","typeProperties":{}}]}},
		{"name":"V","type":"Fail","dependsOn":[{"activity":"B","dependencyConditions":["Succeeded"]}],"typeProperties":{"message":"@{pipeline().parameters.pw} leaked","errorCode":"1"}},
		{"name":"W","type":"Echo","dependsOn":[{"activity":"V","dependencyConditions":["Failed"]}],"typeProperties":{"m":"@activity('V').error.message"}}]}`)
	r := w.end(w.begin("P", `{"pw":"hunter22"}`))
	acts := w.activities(r.ID)
	if r.Status != "Succeeded" || acts["/B?true/Yes"].Status != "Succeeded" {
		t.Fatalf("expressions did not see the value: %s %s", r.Status, r.Message)
	}
	for _, c := range []struct{ where, query string }{
		{"events", "select count(*) from engine.event where concat(data, held) like '%hunter22%' or concat(data, held) like '%patient 900%'"},
		{"runs", "select count(*) from engine.run r where r::text like '%hunter22%'"},
		{"log", "select count(*) from engine.log where line like '%hunter22%'"},
		{"log is empty", "select 1 - least(1, count(*)) from engine.log"},
	} {
		var n int
		if err := w.pool.QueryRow(context.Background(), c.query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d %v", c.where, n, err)
		}
	}
	if got := encode(acts["/S"].Output); got != `"••••"` {
		t.Errorf("output %s", got)
	}
}

func TestResumeKeepsWhatSucceeded(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	var mu sync.Mutex
	calls := map[string]int{}
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) {
		mu.Lock()
		calls[c.Path]++
		mu.Unlock()
		if v, _ := c.Properties.Get("break"); v == true && broken.Load() {
			return Result{}, errors.New("broken")
		}
		return Result{Output: c.Properties}, nil
	})
	w.register("Child", `{"activities":[{"name":"C1","type":"Do","typeProperties":{}},
		{"name":"C2","type":"Do","dependsOn":[{"activity":"C1","dependencyConditions":["Succeeded"]}],"typeProperties":{"break":true}}]}`)
	w.register("P", `{"variables":{"v":{"type":"String"}},"activities":[
		{"name":"A","type":"Do","typeProperties":{"x":41}},
		{"name":"L","type":"ForEach","typeProperties":{"items":"@createArray(1,2)","activities":[{"name":"I","type":"Do","typeProperties":{"break":"@equals(item(),2)"}}]}},
		{"name":"S","type":"SetVariable","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"typeProperties":{"variableName":"v","value":"@string(activity('A').output.x)"}},
		{"name":"X","type":"ExecutePipeline","dependsOn":[{"activity":"S","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"pipeline":{"referenceName":"Child","type":"PipelineReference"},"waitOnCompletion":true}},
		{"name":"E","type":"Echo","dependsOn":[{"activity":"X","dependencyConditions":["Succeeded"]}],"typeProperties":{"v":"@variables('v')"}}]}`)
	first := w.end(w.begin("P", ""))
	if first.Status != "Failed" {
		t.Fatal(first.Status)
	}
	broken.Store(false)
	id, err := w.store.Resume(context.Background(), first.ID, "ada@ward")
	if err != nil {
		t.Fatal(err)
	}
	r := w.end(id)
	acts := w.activities(id)
	if r.Status != "Succeeded" || r.GroupID != first.GroupID || r.ResumedFrom != first.ID || !acts["/A"].Reused || encode(acts["/E"].Output) != `{"v":"41"}` {
		t.Errorf("got %s %s, A %+v, E %s", r.Status, r.Message, acts["/A"], encode(acts["/E"].Output))
	}
	want := map[string]int{"/A": 1, "/L[0]/I": 1, "/L[1]/I": 2, "/C1": 1, "/C2": 2}
	for path, n := range want {
		if calls[path] != n {
			t.Errorf("%s was called %d times, want %d", path, calls[path], n)
		}
	}
	if _, err := w.store.Resume(context.Background(), id, "x"); err == nil {
		t.Error("a run that succeeded was resumed")
	}
}

func TestCleanStopCarriesOn(t *testing.T) {
	entered := make(chan int, 4)
	w := newWorld(t, func(ctx context.Context, c Call) (Result, error) {
		entered <- c.Attempt
		if c.Attempt == 1 {
			<-ctx.Done()
			return Result{}, ctx.Err()
		}
		return Result{}, nil
	})
	w.register("P", `{"activities":[{"name":"A","type":"Do","typeProperties":{}}]}`)
	id := w.begin("P", "")
	<-entered
	w.stop()
	if a := w.activities(id)["/A"]; len(a.Attempts) != 1 || a.Attempts[0].Status != "Interrupted" {
		t.Errorf("after the stop: %+v", a.Attempts)
	}
	w.start()
	if r := w.end(id); r.Status != "Succeeded" || len(w.activities(id)["/A"].Attempts) != 2 {
		t.Errorf("got %s", r.Status)
	}
}

func TestAppendsInParallelAreNotLost(t *testing.T) {
	w := newWorld(t, nil)
	r := w.run(`{"variables":{"l":{"type":"Array"}},"activities":[
		{"name":"L","type":"ForEach","typeProperties":{"items":"@range(0,3000)","batchCount":50,"activities":[
			{"name":"A","type":"AppendVariable","typeProperties":{"variableName":"l","value":"@item()"}}]}},
		{"name":"E","type":"Echo","dependsOn":[{"activity":"L","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"n":"@length(variables('l'))","u":"@length(union(variables('l'),variables('l')))"}}]}`)
	if got := encode(w.activities(r.ID)["/E"].Output); got != `{"n":3000,"u":3000}` {
		t.Errorf("got %s (%s)", got, r.Message)
	}
}

func TestVersionsArePinned(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(context.Context, Call) (Result, error) { close(entered); <-release; return Result{}, nil })
	w.register("P", `{"activities":[{"name":"A","type":"Do","typeProperties":{}},{"name":"Old","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"typeProperties":{}}]}`)
	id := w.begin("P", "")
	<-entered
	w.register("P", `{"activities":[{"name":"New","type":"Echo","typeProperties":{}}]}`)
	close(release)
	if r := w.end(id); r.Version != 1 || w.activities(id)["/Old"].Status != "Succeeded" {
		t.Errorf("run of version %d lost its definition", r.Version)
	}
	next := w.end(w.begin("P", ""))
	if next.Version != 2 || w.activities(next.ID)["/New"].Status != "Succeeded" {
		t.Errorf("got version %d", next.Version)
	}
	ctx := context.Background()
	if err := w.store.Unregister(ctx, "P", "ada"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Start(ctx, StartRequest{Pipeline: "P", By: "x"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestDatasetsAreResolved(t *testing.T) {
	got := make(chan Call, 1)
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) { got <- c; return Result{}, nil })
	b := bundle(t, "P", `{"activities":[{"name":"A","type":"Do","typeProperties":{},
		"inputs":[{"referenceName":"D","type":"DatasetReference","parameters":{"table":"@concat('pat','ients')"}}]}]}`)
	raw, _ := decodeObject([]byte(`{"name":"D","properties":{"type":"AzureSqlTable","linkedServiceName":{"referenceName":"S","type":"LinkedServiceReference","parameters":{"db":"@dataset().table"}},
		"parameters":{"table":{"type":"String"}},"typeProperties":{"name":{"value":"@{dataset().table}_x","type":"Expression"}}}}`))
	d, problems := factory.DecodeDataset("D", "d.json", raw)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	ls, _ := decodeObject([]byte(`{"name":"S","properties":{"type":"AzureSqlDatabase","parameters":{"db":{"type":"String"}},"typeProperties":{"database":"@{linkedService().db}"}}}`))
	s, problems := factory.DecodeLinkedService("S", "s.json", ls)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	b.Datasets, b.LinkedServices = map[string]factory.Dataset{"D": d}, map[string]factory.LinkedService{"S": s}
	if _, err := w.store.Register(context.Background(), b, "ada"); err != nil {
		t.Fatal(err)
	}
	if r := w.end(w.begin("P", "")); r.Status != "Succeeded" {
		t.Fatal(r.Message)
	}
	c := <-got
	if len(c.Inputs) != 1 || encode(c.Inputs[0].Properties) != `{"name":"patients_x"}` || encode(c.Inputs[0].LinkedService.Properties) != `{"database":"patients"}` {
		t.Errorf("inputs %+v", c.Inputs)
	}
}

func TestHundredThousandItems(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	w := newWorld(t, nil)
	r := w.run(`{"activities":[{"name":"L","type":"ForEach","typeProperties":{"items":"@range(0,100000)","batchCount":50,"activities":[
		{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":0}}]}}]}`)
	if r.Status != "Succeeded" {
		t.Fatal(r.Message)
	}
	var n int
	if err := w.pool.QueryRow(context.Background(), "select count(*) from engine.event where run_id = $1 and path like '%/W'", r.ID).Scan(&n); err != nil || n != 100_000 {
		t.Errorf("%d iterations (%v)", n, err)
	}
}
