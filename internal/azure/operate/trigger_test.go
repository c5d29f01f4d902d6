package operate

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func trigger(typ, state string) string {
	return `{"name":"t","properties":{"type":"` + typ + `","runtimeState":"` + state + `","pipeline":{"pipelineReference":{"referenceName":"daily","type":"PipelineReference"}}}}`
}

func TestTriggersAreStartedAndStopped(t *testing.T) {
	for _, c := range []struct{ name, typ, state, act, made string }{
		{"started", "ScheduleTrigger", "Stopped", "start", "POST /triggers/t/start"},
		{"already started", "ScheduleTrigger", "Started", "start", ""},
		{"subscribed first", "BlobEventsTrigger", "Stopped", "start", "POST /triggers/t/subscribeToEvents\nPOST /triggers/t/start"},
		{"stopped", "TumblingWindowTrigger", "Started", "stop", "POST /triggers/t/stop"},
		{"already stopped", "TumblingWindowTrigger", "Stopped", "stop", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.on("GET", factoryID+"/triggers/t", answer(200, trigger(c.typ, c.state)))
			for _, act := range []string{"start", "stop", "subscribeToEvents"} {
				key := "POST " + armHost + factoryID + "/triggers/t/" + act
				w.on("POST", factoryID+"/triggers/t/"+act, answer(202, `{}`))
				w.headers[key] = http.Header{"Location": {"https://management.azure.com" + factoryID + "/operations/1?api-version=2018-06-01"}}
			}
			looks := 0
			w.on("GET", factoryID+"/operations/1", func(*http.Request, []byte) (int, any) {
				if looks++; looks%2 == 1 {
					return 202, nil
				}
				return 200, nil
			})
			f := w.factory()
			act := f.StartTrigger
			if c.act == "stop" {
				act = f.StopTrigger
			}
			if err := act(t.Context(), "t"); err != nil || w.made() != c.made {
				t.Fatalf("%v; made %s", err, w.made())
			}
		})
	}
}

func TestUnknownTriggerNamesThoseThatThereAre(t *testing.T) {
	w := newWorld(t)
	w.on("GET", factoryID+"/triggers", answer(200, `{"value":[`+trigger("ScheduleTrigger", "Stopped")+`]}`))
	err := w.factory().StartTrigger(t.Context(), "nightly")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || !cmp.Equal(unknown.Known, []string{"t"}) {
		t.Fatal(err)
	}
	all, err := w.factory().Triggers(t.Context())
	if want := []Trigger{{"t", "ScheduleTrigger", "Stopped", []string{"daily"}}}; err != nil || !cmp.Equal(all, want) {
		t.Errorf("%v %v", all, err)
	}
}

func TestBackfillDoesWindowsAgainThatDidNotSucceed(t *testing.T) {
	w := newWorld(t)
	w.on("GET", factoryID+"/triggers/t", answer(200, trigger("TumblingWindowTrigger", "Started")))
	w.on("POST", factoryID+"/queryTriggerRuns", answer(200, `{"value":[
		{"triggerRunId":"e","status":"Inprogress","properties":{"windowStartTime":"2026-10-05T00:00:00Z"}},
		{"triggerRunId":"d","status":"Succeeded","properties":{"windowStartTime":"10/4/2026 12:00:00 AM"}},
		{"triggerRunId":"c","status":"Cancelled","properties":{"windowStartTime":"2026-10-03T00:00:00.0000000Z"}},
		{"triggerRunId":"b2","status":"Failed","properties":{"windowStartTime":"2026-10-02T00:00:00Z","windowEndTime":"2026-10-03T00:00:00Z"}},
		{"triggerRunId":"b1","status":"Succeeded","properties":{"windowStartTime":"2026-10-02T00:00:00Z"}},
		{"triggerRunId":"a","status":"Failed","properties":{"windowStartTime":"2026-10-01T00:00:00Z"}},
		{"triggerRunId":"s","status":"Failed","properties":{"ScheduleTime":"2026-10-02T00:00:00Z"}}]}`))
	for _, id := range []string{"b2", "c", "d"} {
		w.on("POST", factoryID+"/triggers/t/triggerRuns/"+id+"/rerun", answer(200, ``))
	}
	from, until := time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 6, 0, 0, 0, 0, time.UTC)
	b, err := w.factory().Backfill(t.Context(), "t", from, until, false, w.now)
	if err != nil || len(b.Rerun) != 2 || len(b.Done) != 1 || len(b.Busy) != 1 {
		t.Fatalf("%+v %v", b, err)
	}
	if want := "POST /triggers/t/triggerRuns/b2/rerun\nPOST /triggers/t/triggerRuns/c/rerun"; w.made() != want {
		t.Errorf("made %s", w.made())
	}
	w.seen = nil
	if b, err = w.factory().Backfill(t.Context(), "t", from, until, true, w.now); err != nil || len(b.Rerun) != 3 {
		t.Errorf("%+v %v", b, err)
	}
}

func TestBackfillIsRefusedWithWhatToDo(t *testing.T) {
	from, until := time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 6, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ typ, state, runs, says string }{
		{"ScheduleTrigger", "Started", `[]`, "flowehr pipelines run daily"},
		{"TumblingWindowTrigger", "Stopped", `[]`, "flowehr triggers start t"},
		{"TumblingWindowTrigger", "Started", `[]`, "startTime"},
	} {
		w := newWorld(t)
		w.on("GET", factoryID+"/triggers/t", answer(200, trigger(c.typ, c.state)))
		w.on("POST", factoryID+"/queryTriggerRuns", answer(200, `{"value":`+c.runs+`}`))
		_, err := w.factory().Backfill(t.Context(), "t", from, until, false, w.now)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || w.made() != "" {
			t.Errorf("%s %s: %v; made %s", c.typ, c.state, err, w.made())
		}
	}
}
