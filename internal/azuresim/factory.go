package azuresim

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	typeFactory  = "Microsoft.DataFactory/factories"
	typePipeline = "Microsoft.DataFactory/factories/pipelines"
	typeTrigger  = "Microsoft.DataFactory/factories/triggers"
	typeService  = "Microsoft.DataFactory/factories/linkedservices"
)

// factories is what Data Factory does besides keeping definitions: runs of pipelines, their activities, and triggers
// (learn.microsoft.com/rest/api/datafactory). A run walks the graph of its activities in virtual time and moves nothing;
// every output says so.
type factories struct {
	w *world
	m *manager
	d *databricks
}

// factoryState is what one factory keeps.
type factoryState struct {
	Runs        map[string]*factoryRun   `json:"runs"`
	Triggers    map[string]*triggerState `json:"triggers"` // by lower-case name
	TriggerRuns []*triggerRun            `json:"triggerRuns,omitempty"`
}

// factoryRun is a run of a pipeline. What will become of it is decided when it begins.
type factoryRun struct {
	ID         string            `json:"id"`
	Group      string            `json:"group"`
	Pipeline   string            `json:"pipeline"`
	Parameters map[string]string `json:"parameters"`
	By         string            `json:"by"`
	ByType     string            `json:"byType"`
	Asked      time.Time         `json:"asked"`
	Begins     time.Time         `json:"begins"`
	Ends       time.Time         `json:"ends"`
	Status     string            `json:"status"` // at the end
	Message    string            `json:"message,omitempty"`
	Stopped    time.Time         `json:"stopped,omitzero"`
	Activities []*factoryStep    `json:"activities,omitempty"`
}

// factoryStep is an activity of a run.
type factoryStep struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Iteration string    `json:"iteration,omitempty"`
	Begins    time.Time `json:"begins"`
	Ends      time.Time `json:"ends"`
	Status    string    `json:"status"`
	Input     object    `json:"input,omitempty"`
	Output    object    `json:"output,omitempty"`
	Code      string    `json:"code,omitempty"`
	Message   string    `json:"message,omitempty"`
}

func newFactories(w *world, m *manager, d *databricks) *factories {
	f := &factories{w, m, d}
	m.route(typeFactory, f.call)
	m.guard(typeTrigger, f.guard)
	m.watch(typeFactory, func(what change, r *resource) {
		if what == changeGone {
			delete(w.Factories, key(r.ID))
		}
	})
	m.watch(typeTrigger, func(what change, r *resource) {
		if what == changeGone {
			delete(f.state(m.at(typeFactory, r.ID)).Triggers, strings.ToLower(r.Name))
		}
	})
	w.on("factory-done", func(id string) {
		if o := w.Operations[id]; o != nil {
			w.finish(o, object{}, nil)
		}
	})
	return f
}

// state of a factory; of none, a state that nobody keeps.
func (f *factories) state(r *resource) *factoryState {
	if r == nil {
		return &factoryState{}
	}
	if f.w.Factories == nil {
		f.w.Factories = map[string]*factoryState{}
	}
	if f.w.Factories[key(r.ID)] == nil {
		f.w.Factories[key(r.ID)] = &factoryState{Runs: map[string]*factoryRun{}, Triggers: map[string]*triggerState{}}
	}
	return f.w.Factories[key(r.ID)]
}

func (f *factories) call(c *call, r *resource, t target) (answer, bool) {
	kinds := strings.Split(strings.ToLower(t.Type), "/")
	if len(kinds) < 2 || kinds[0] != "microsoft.datafactory" {
		return answer{}, false
	}
	f.fire(r)
	rest := strings.ToLower(t.Rest)
	switch path := strings.Join(kinds[1:], "/"); {
	case path == "factories/pipelines" && rest == "createrun" && c.Method == http.MethodPost:
		return f.createRun(c, r, t.name()), true
	case path == "factories" && rest == "querypipelineruns" && c.Method == http.MethodPost:
		return f.queryRuns(c, r), true
	case path == "factories/pipelineruns":
		return f.run(c, r, t.name(), rest), true
	case path == "factories" && rest == "querytriggerruns" && c.Method == http.MethodPost:
		return f.queryTriggerRuns(c, r), true
	case path == "factories/triggers/triggerruns" && c.Method == http.MethodPost:
		return f.triggerRun(c, r, t, rest), true
	case path == "factories/triggers":
		return f.trigger(c, r, t, rest)
	case path == "factories" && rest == "triggers" && c.Method == http.MethodGet:
		return f.listTriggers(r), true
	}
	return answer{}, false
}

func (f *factories) pipeline(r *resource, name string) *resource {
	for _, p := range f.m.below(r, typePipeline) {
		if strings.EqualFold(p.Name, name) {
			return p
		}
	}
	return nil
}

// createRun begins a run (learn.microsoft.com/rest/api/datafactory/pipelines/create-run).
func (f *factories) createRun(c *call, r *resource, name string) answer {
	p := f.pipeline(r, name)
	if p == nil {
		return fail(http.StatusNotFound, "PipelineNotFound", "The document could not be found: pipeline '%s'.", name)
	}
	told := map[string]any{}
	if len(c.Body) > 0 {
		if err := c.decode(&told); err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "The parameters of the run are not a JSON object.")
		}
	}
	run := &factoryRun{ID: f.w.newID(), Pipeline: p.Name, By: "Manual", ByType: "Manual", Asked: f.w.now()}
	run.Group = run.ID
	var kept map[string]bool
	if id := c.Query.Get("referencePipelineRunId"); id != "" {
		old := f.state(r).Runs[id]
		if old == nil || !strings.EqualFold(old.Pipeline, p.Name) {
			return fail(http.StatusBadRequest, "BadRequest", "The reference run %s is none of pipeline '%s'.", id, p.Name)
		}
		run.Group, run.Parameters = old.Group, old.Parameters
		kept = f.kept(p, old, c.Query.Get("startActivityName"), c.Query.Get("startFromFailure") == "true")
	} else if refused := run.parameters(p, told); refused != nil {
		return *refused
	}
	f.begin(r, p, run, kept)
	return ok(object{"runId": run.ID})
}

// parameters takes what was told and the defaults. One that has neither is refused.
func (run *factoryRun) parameters(p *resource, told map[string]any) *answer {
	run.Parameters = map[string]string{}
	declared := objectAt(p.Want, "properties", "parameters")
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		value, given := told[name]
		if !given {
			value, given = asObject(declared[name])["defaultValue"]
		}
		if !given {
			a := fail(http.StatusBadRequest, "ErrorCode=InvalidTemplate", "The pipeline's parameter '%s' has no value and no default.", name)
			return &a
		}
		if s, is := value.(string); is {
			run.Parameters[name] = s
			continue
		}
		run.Parameters[name] = string(mustJSON(value))
	}
	return nil
}

// begin plans a run and enters it. A pipeline with a concurrency has its runs wait for each other.
func (f *factories) begin(r, p *resource, run *factoryRun, kept map[string]bool) {
	run.Begins = run.Asked.Add(2 * time.Second)
	if most, limited := objectAt(p.Want, "properties")["concurrency"].(float64); limited && most >= 1 {
		var ends []time.Time
		for _, other := range f.state(r).Runs {
			if other.Pipeline == run.Pipeline && other.end().After(run.Begins) {
				ends = append(ends, other.end())
			}
		}
		slices.SortFunc(ends, time.Time.Compare)
		if n := len(ends) - int(most); n >= 0 {
			run.Begins = ends[n]
		}
	}
	f.state(r).Runs[run.ID] = run
	plan := &factoryPlan{f: f, r: r, run: run, kept: kept}
	if rule := f.w.doom; rule != nil {
		plan.doom = refusal(rule.Code, "%s", rule.Message)
	}
	activities := listAt(p.Want, "properties", "activities")
	run.Ends, run.Status, run.Message = plan.walk(activities, run.Begins.Add(time.Second), "", 0)
	if run.Status == "" {
		run.Status = runSucceeded
	}
}

func (run *factoryRun) end() time.Time {
	if !run.Stopped.IsZero() {
		return run.Stopped
	}
	return run.Ends
}

// Statuses of runs and activities.
const (
	runQueued     = "Queued"
	runInProgress = "InProgress"
	runSucceeded  = "Succeeded"
	runFailed     = "Failed"
	runCancelled  = "Cancelled"
	runSkipped    = "Skipped"
)

func (run *factoryRun) now(now time.Time) string {
	switch {
	case !run.Stopped.IsZero():
		return runCancelled
	case run.Begins.After(now):
		return runQueued
	case run.Ends.After(now):
		return runInProgress
	}
	return run.Status
}

func (f *factories) describeRun(st *factoryState, run *factoryRun) object {
	now := f.w.now()
	status := run.now(now)
	latest := true
	for _, other := range st.Runs {
		latest = latest && (other.Group != run.Group || !other.Asked.After(run.Asked))
	}
	out := object{"id": run.ID, "runId": run.ID, "runGroupId": run.Group, "isLatest": latest, "pipelineName": run.Pipeline, "parameters": run.Parameters,
		"invokedBy": object{"id": run.ID, "name": run.By, "invokedByType": run.ByType}, "runStart": stamp(run.Begins), "runEnd": nil, "durationInMs": nil,
		"status": status, "message": "", "lastUpdated": stamp(run.updated(now)), "runDimension": object{"simulated": simulatedRun}, "annotations": []any{}}
	if status != runQueued && status != runInProgress {
		out["runEnd"], out["durationInMs"] = stamp(run.end()), run.end().Sub(run.Begins).Milliseconds()
		if status == runFailed {
			out["message"] = run.Message
		}
	}
	return out
}

func (run *factoryRun) updated(now time.Time) time.Time {
	for _, at := range []time.Time{run.end(), run.Begins} {
		if !at.After(now) {
			return at
		}
	}
	return run.Asked
}

// run answers about one run: itself, its activities, and cancelling it.
func (f *factories) run(c *call, r *resource, id, rest string) answer {
	st := f.state(r)
	run := st.Runs[id]
	if run == nil {
		return fail(http.StatusNotFound, "RunNotFound", "The pipeline run %s does not exist.", id)
	}
	switch {
	case rest == "" && c.Method == http.MethodGet:
		return ok(f.describeRun(st, run))
	case rest == "cancel" && c.Method == http.MethodPost:
		f.cancel(st, run, c.Query.Get("isRecursive") == "true")
		return reply(http.StatusOK, nil)
	case rest == "queryactivityruns" && c.Method == http.MethodPost:
		return f.queryActivities(c, run)
	}
	return fail(http.StatusNotFound, "NotFound", "The simulated Data Factory has no %s %s.", c.Method, c.Path)
}

// cancel stops a run and, when asked, those that it began.
func (f *factories) cancel(st *factoryState, run *factoryRun, all bool) {
	if now := f.w.now(); run.Stopped.IsZero() && run.Ends.After(now) {
		run.Stopped = now
	}
	for _, other := range st.Runs {
		if all && other.ByType == "PipelineActivity" && other.By == run.ID && other.Stopped.IsZero() {
			f.cancel(st, other, true)
		}
	}
}

// runQuery is how runs are asked for.
type runQuery struct {
	After   time.Time `json:"lastUpdatedAfter"`
	Before  time.Time `json:"lastUpdatedBefore"`
	Filters []struct {
		Operand, Operator string
		Values            []string
	} `json:"filters"`
	Order []struct {
		By    string `json:"orderBy"`
		Order string `json:"order"`
	} `json:"orderBy"`
	Token string `json:"continuationToken"`
}

// query filters, orders and pages descriptions of runs. names are the properties behind the operands.
func (f *factories) query(c *call, all []object, names map[string]string) answer {
	var q runQuery
	if err := c.decode(&q); err != nil || q.After.IsZero() || q.Before.IsZero() {
		return fail(http.StatusBadRequest, "BadRequest", "lastUpdatedAfter and lastUpdatedBefore are required.")
	}
	for _, filter := range q.Filters {
		name := names[filter.Operand]
		if name == "" {
			return fail(http.StatusBadRequest, "BadRequest", "The simulated Data Factory does not filter by %s.", filter.Operand)
		}
		all = slices.DeleteFunc(all, func(o object) bool {
			among := slices.ContainsFunc(filter.Values, func(v string) bool { return sameText(o[name], v) })
			return among != (filter.Operator == "Equals" || filter.Operator == "In")
		})
	}
	all = slices.DeleteFunc(all, func(o object) bool {
		at, err := time.Parse(time.RFC3339, textAt(o, "lastUpdated"))
		delete(o, "filterOnly")
		return err == nil && (at.Before(q.After) || !at.Before(q.Before))
	})
	for _, order := range slices.Backward(q.Order) {
		name := names[order.By]
		slices.SortStableFunc(all, func(a, b object) int {
			n := cmp.Compare(sqlText(a[name]), sqlText(b[name]))
			if strings.EqualFold(order.Order, "DESC") {
				n = -n
			}
			return n
		})
	}
	const size = 100
	from, err := strconv.Atoi(q.Token)
	if err != nil || from < 0 || from > len(all) {
		from = 0
	}
	out := object{"value": append([]object{}, all[from:min(from+size, len(all))]...)}
	if from+size < len(all) {
		out["continuationToken"] = strconv.Itoa(from + size)
	}
	return ok(out)
}

func (f *factories) queryRuns(c *call, r *resource) answer {
	st := f.state(r)
	var out []object
	for _, id := range slices.Sorted(maps.Keys(st.Runs)) {
		out = append(out, f.describeRun(st, st.Runs[id]))
	}
	return f.query(c, out, map[string]string{"PipelineName": "pipelineName", "Status": "status", "RunStart": "runStart", "RunEnd": "runEnd", "RunGroupId": "runGroupId"})
}

func (f *factories) queryActivities(c *call, run *factoryRun) answer {
	var out []object
	for _, a := range run.Activities {
		if o := f.describeActivity(run, a); o != nil {
			out = append(out, o)
		}
	}
	return f.query(c, out, map[string]string{"ActivityName": "activityName", "ActivityType": "activityType", "Status": "status", "ActivityRunStart": "activityRunStart",
		"ActivityRunEnd": "activityRunEnd"})
}

// describeActivity is nil for an activity that has not begun.
func (f *factories) describeActivity(run *factoryRun, a *factoryStep) object {
	now := f.w.now()
	end := a.Ends
	status := a.Status
	switch {
	case a.Begins.After(now), !run.Stopped.IsZero() && !a.Begins.Before(run.Stopped):
		return nil
	case !run.Stopped.IsZero() && a.Ends.After(run.Stopped):
		status, end = runCancelled, run.Stopped
	case a.Ends.After(now):
		status = runInProgress
	}
	out := object{"id": a.ID, "activityRunId": a.ID, "activityName": a.Name, "activityType": a.Type, "pipelineName": run.Pipeline, "pipelineRunId": run.ID,
		"activityRunStart": stamp(a.Begins), "activityRunEnd": nil, "durationInMs": nil, "status": status, "iterationHash": a.Iteration, "retryAttempt": nil,
		"input": a.Input, "output": a.Output, "lastUpdated": stamp(a.Begins), "error": object{"errorCode": "", "message": "", "failureType": "", "target": a.Name}}
	if status == runInProgress {
		out["output"] = object{"simulated": simulatedRun}
		return out
	}
	out["activityRunEnd"], out["durationInMs"], out["lastUpdated"] = stamp(end), end.Sub(a.Begins).Milliseconds(), stamp(end)
	if status == runFailed {
		out["error"] = object{"errorCode": a.Code, "message": a.Message, "failureType": "UserError", "target": a.Name}
	}
	return out
}
