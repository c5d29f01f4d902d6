package azuresim

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// triggerState is what is known of a trigger besides its definition.
type triggerState struct {
	Started    bool      `json:"started"`
	Since      time.Time `json:"since,omitzero"` // when it was started
	Fired      time.Time `json:"fired,omitzero"` // up to when it has fired
	Subscribed bool      `json:"subscribed,omitempty"`
}

// triggerRun is one firing of a trigger.
type triggerRun struct {
	ID        string            `json:"id"`
	Trigger   string            `json:"trigger"`
	Type      string            `json:"type"`
	At        time.Time         `json:"at"`
	From      time.Time         `json:"from,omitzero"` // of a window
	To        time.Time         `json:"to,omitzero"`
	Pipelines map[string]string `json:"pipelines,omitempty"` // name to run
}

// guard refuses to change a trigger that is started, unless nothing changes
// (learn.microsoft.com/azure/data-factory/continuous-integration-delivery-sample-script).
func (f *factories) guard(want wanted, have *resource) *serviceError {
	st := f.state(f.m.at(typeFactory, want.ID)).Triggers[strings.ToLower(want.Name)]
	if st == nil || !st.Started || have == nil || reflect.DeepEqual(settled(have.Want)["properties"], settled(want.Body)["properties"]) {
		return nil
	}
	return refusal("TriggerEnabledCannotUpdate", "Cannot update enabled Trigger; the trigger needs to be disabled first. (Trigger: %s)", want.Name)
}

func (f *factories) trigger(c *call, r *resource, t target, rest string) (answer, bool) {
	var tr *resource
	for _, one := range f.m.below(r, typeTrigger) {
		if strings.EqualFold(one.Name, t.name()) {
			tr = one
		}
	}
	if rest == "" && (c.Method != http.MethodGet || tr == nil) {
		if c.Method == http.MethodDelete && tr != nil && f.started(r, tr.Name).Started {
			return fail(http.StatusBadRequest, "TriggerEnabledCannotUpdate", "Cannot delete enabled Trigger; the trigger needs to be disabled first. (Trigger: %s)", tr.Name), true
		}
		return answer{}, false // what is kept is the manager's
	}
	if tr == nil {
		return fail(http.StatusNotFound, "TriggerNotFound", "The document could not be found: trigger '%s'.", t.name()), true
	}
	if rest == "" {
		return ok(f.describeTrigger(r, tr)), true
	}
	if c.Method != http.MethodPost {
		return answer{}, false
	}
	return f.turn(r, tr, rest)
}

func (f *factories) started(r *resource, name string) *triggerState {
	all := f.state(r).Triggers
	name = strings.ToLower(name)
	if all[name] == nil {
		all[name] = &triggerState{}
	}
	return all[name]
}

func eventType(typ string) bool { return typ == "BlobEventsTrigger" || typ == "CustomEventsTrigger" }

// turn starts, stops and subscribes a trigger.
func (f *factories) turn(r, tr *resource, action string) (answer, bool) {
	st, now := f.started(r, tr.Name), f.w.now()
	status := object{"triggerName": tr.Name, "status": "Disabled"}
	switch action {
	case "start":
		if eventType(textAt(tr.Want, "properties", "type")) && !st.Subscribed {
			return fail(http.StatusBadRequest, "TriggerNotSubscribed", "The trigger %s is not subscribed to its events.", tr.Name), true
		}
		for _, name := range triggerPipelines(tr) {
			if f.pipeline(r, name) == nil {
				return fail(http.StatusBadRequest, "BadRequest", "The pipeline '%s' of trigger '%s' does not exist.", name, tr.Name), true
			}
		}
		if !st.Started {
			*st = triggerState{Started: true, Since: now, Fired: now, Subscribed: st.Subscribed}
			if begin, told := recurrenceStart(tr); told && textAt(tr.Want, "properties", "type") == "TumblingWindowTrigger" {
				st.Fired = begin // it makes up for the windows since then
			}
		}
	case "stop":
		f.fire(r)
		st.Started = false
	case "subscribetoevents":
		st.Subscribed = true
		status["status"] = "Enabled"
	case "unsubscribefromevents":
		st.Subscribed = false
	case "geteventsubscriptionstatus":
		if st.Subscribed {
			status["status"] = "Enabled"
		}
		return ok(status), true
	default:
		return answer{}, false
	}
	const takes = 4 * time.Second
	o := f.w.begin(tr.ID, takes)
	f.w.after(takes, "factory-done", o.ID)
	return reply(http.StatusAccepted, nil).with("Location", f.m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1"), true
}

func (f *factories) describeTrigger(r, tr *resource) object {
	out := clone(tr.Body)
	state := "Stopped"
	if f.started(r, tr.Name).Started {
		state = "Started"
	}
	if p := objectAt(out, "properties"); p != nil {
		p["runtimeState"] = state
	}
	return out
}

func (f *factories) listTriggers(r *resource) answer {
	out := []object{}
	for _, tr := range f.m.below(r, typeTrigger) {
		out = append(out, f.describeTrigger(r, tr))
	}
	return ok(object{"value": out})
}

func triggerPipelines(tr *resource) []string {
	var out []string
	for _, v := range append(listAt(tr.Want, "properties", "pipelines"), objectAt(tr.Want, "properties")["pipeline"]) {
		if name := textAt(asObject(v), "pipelineReference", "referenceName"); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// recurrence is where a trigger says how often it fires.
func recurrence(tr *resource) object {
	p := objectAt(tr.Want, "properties", "typeProperties")
	if inner := objectAt(p, "recurrence"); inner != nil {
		return inner
	}
	return p
}

func recurrenceStart(tr *resource) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, textAt(recurrence(tr), "startTime")); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// next is when a trigger fires after a time. Finer schedules within a recurrence (hours, week days) are not simulated: it
// fires once in each.
func next(tr *resource, after time.Time) (time.Time, bool) {
	rec := recurrence(tr)
	n, told := rec["interval"].(float64)
	if !told || n < 1 {
		n = 1
	}
	start, known := recurrenceStart(tr)
	if !known {
		start = after
	}
	var step time.Duration
	switch strings.ToLower(textAt(rec, "frequency")) {
	case "minute":
		step = time.Minute
	case "hour":
		step = time.Hour
	case "day":
		step = 24 * time.Hour
	case "week":
		step = 7 * 24 * time.Hour
	case "month":
		at := start
		for !at.After(after) {
			at = at.AddDate(0, int(n), 0)
		}
		return at, true
	default:
		return time.Time{}, false
	}
	step *= time.Duration(n)
	if start.After(after) {
		return start, true
	}
	return start.Add(after.Sub(start).Truncate(step) + step), true
}

// backlog is how many firings are made up for when somebody looks: what is left comes with the next look.
const backlog = 50

// fire has the triggers of a factory fire as often as they should have until now.
func (f *factories) fire(r *resource) {
	now := f.w.now()
	for _, tr := range f.m.below(r, typeTrigger) {
		st := f.started(r, tr.Name)
		typ := textAt(tr.Want, "properties", "type")
		if !st.Started || typ != "ScheduleTrigger" && typ != "TumblingWindowTrigger" {
			continue
		}
		for range backlog {
			at, fires := next(tr, st.Fired)
			if !fires || at.After(now) {
				break
			}
			run := &triggerRun{ID: f.w.newID(), Trigger: tr.Name, Type: typ, At: at}
			if typ == "TumblingWindowTrigger" {
				run.From, run.To = st.Fired, at // a window ends when it fires
				run.At = at
				if at.Before(st.Since) {
					run.At = st.Since
				}
			}
			st.Fired = at
			f.launch(r, tr, run)
		}
	}
}

// launch begins the pipelines of a firing.
func (f *factories) launch(r, tr *resource, run *triggerRun) {
	run.Pipelines = map[string]string{}
	for _, name := range triggerPipelines(tr) {
		p := f.pipeline(r, name)
		if p == nil {
			continue
		}
		one := &factoryRun{ID: f.w.newID(), Pipeline: p.Name, By: tr.Name, ByType: run.Type, Asked: run.At, Parameters: map[string]string{}}
		one.Group = one.ID
		if one.parameters(p, map[string]any{}) != nil {
			one.Parameters = map[string]string{} // the trigger's expressions would have given them
		}
		f.begin(r, p, one, nil)
		run.Pipelines[name] = one.ID
	}
	st := f.state(r)
	st.TriggerRuns = append(st.TriggerRuns, run)
	f.w.dirty()
}

func (f *factories) describeTriggerRun(st *factoryState, run *triggerRun) object {
	status, at := "Succeeded", run.At
	for _, id := range run.Pipelines {
		one := st.Runs[id]
		if one == nil {
			continue
		}
		switch s := one.now(f.w.now()); {
		case s == runFailed || s == runCancelled:
			status = "Failed"
		case s != runSucceeded && status == "Succeeded" && run.Type == "TumblingWindowTrigger":
			status = "Inprogress"
		}
		if run.Type != "TumblingWindowTrigger" {
			status = "Succeeded" // a schedule has done its part when the run has begun
		}
	}
	properties := object{"TriggerTime": stamp(run.At), "ScheduleTime": stamp(run.At)}
	if !run.From.IsZero() {
		properties["windowStartTime"], properties["windowEndTime"] = stamp(run.From), stamp(run.To)
	}
	return object{"triggerRunId": run.ID, "triggerName": run.Trigger, "triggerType": run.Type, "triggerRunTimestamp": stamp(at), "status": status, "message": nil,
		"properties": properties, "triggeredPipelines": run.Pipelines, "lastUpdated": stamp(at)}
}

func (f *factories) queryTriggerRuns(c *call, r *resource) answer {
	st := f.state(r)
	var out []object
	for _, run := range st.TriggerRuns {
		out = append(out, f.describeTriggerRun(st, run))
	}
	return f.query(c, out, map[string]string{"TriggerName": "triggerName", "Status": "status", "TriggerRunTimestamp": "triggerRunTimestamp", "RunGroupId": "triggerRunId"})
}

// triggerRun does a firing again.
func (f *factories) triggerRun(c *call, r *resource, t target, rest string) answer {
	st := f.state(r)
	i := slices.IndexFunc(st.TriggerRuns, func(x *triggerRun) bool { return x.ID == t.name() })
	if i < 0 || rest != "rerun" {
		return fail(http.StatusNotFound, "TriggerRunNotFound", "The simulated Data Factory has no %s %s.", c.Method, c.Path)
	}
	old := st.TriggerRuns[i]
	for _, tr := range f.m.below(r, typeTrigger) {
		if !strings.EqualFold(tr.Name, old.Trigger) {
			continue
		}
		if old.Type != "TumblingWindowTrigger" {
			return fail(http.StatusBadRequest, "BadRequest", "Only runs of tumbling windows can be done again.")
		}
		f.launch(r, tr, &triggerRun{ID: f.w.newID(), Trigger: tr.Name, Type: old.Type, At: f.w.now(), From: old.From, To: old.To})
		return reply(http.StatusOK, nil)
	}
	return fail(http.StatusNotFound, "TriggerNotFound", "The trigger '%s' does not exist.", old.Trigger)
}
