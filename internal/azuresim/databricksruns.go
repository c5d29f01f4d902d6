package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sparkRun is a one-time run. Nothing is executed: it takes its time and says so.
type sparkRun struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`
	Tasks   []any     `json:"tasks,omitempty"`
	Begun   time.Time `json:"begun"`
	Ends    time.Time `json:"ends"`
	Stopped time.Time `json:"stopped,omitzero"`
	Fails   string    `json:"fails,omitempty"`
}

// runTakes is how long a run takes.
const runTakes = 90 * time.Second

// simulatedRun stands in every result.
const simulatedRun = "SIMULATED: no code was executed and no data was moved"

func (c *brickCall) submitRun() answer {
	var body struct {
		Name  string `json:"run_name"`
		Tasks []any  `json:"tasks"`
	}
	if err := c.decode(&body); err != nil {
		return badBrick("The body is not JSON.")
	}
	for _, t := range body.Tasks {
		id := textAt(asObject(t), "existing_cluster_id")
		if id != "" && c.ws.Clusters[id] == nil {
			return badBrick("Cluster %s does not exist", id)
		}
	}
	c.ws.Serial++
	r := &sparkRun{ID: c.ws.Serial, Name: body.Name, Tasks: body.Tasks, Begun: c.d.w.now(), Ends: c.d.w.now().Add(runTakes)}
	if rule := c.d.w.doom; rule != nil {
		r.Fails = rule.Message
	}
	c.ws.Runs[r.ID] = r
	return ok(object{"run_id": r.ID})
}

func (c *brickCall) run() (*sparkRun, *answer) {
	var id int64
	if c.Method == http.MethodGet {
		id, _ = strconv.ParseInt(c.Query.Get("run_id"), 10, 64) // 0 is nobody's
	} else {
		var body struct {
			ID int64 `json:"run_id"`
		}
		if c.decode(&body) == nil {
			id = body.ID
		}
	}
	if r := c.ws.Runs[id]; r != nil {
		return r, nil
	}
	a := badBrick("Run %d does not exist.", id)
	return nil, &a
}

func (c *brickCall) describeRun(r *sparkRun) object {
	state := object{"life_cycle_state": "RUNNING", "state_message": simulatedRun}
	out := object{"run_id": r.ID, "run_name": r.Name, "start_time": r.Begun.UnixMilli(), "tasks": r.Tasks}
	switch now := c.d.w.now(); {
	case !r.Stopped.IsZero():
		state["life_cycle_state"], state["result_state"] = "TERMINATED", "CANCELED"
		out["end_time"] = r.Stopped.UnixMilli()
	case !r.Ends.After(now) && r.Fails != "":
		state["life_cycle_state"], state["result_state"], state["state_message"] = "INTERNAL_ERROR", "FAILED", r.Fails
		out["end_time"] = r.Ends.UnixMilli()
	case !r.Ends.After(now):
		state["life_cycle_state"], state["result_state"] = "TERMINATED", "SUCCESS"
		out["end_time"] = r.Ends.UnixMilli()
	}
	out["state"] = state
	return out
}

func (c *brickCall) getRun() answer {
	r, refused := c.run()
	if refused != nil {
		return *refused
	}
	return ok(c.describeRun(r))
}

func (c *brickCall) runOutput() answer {
	r, refused := c.run()
	if refused != nil {
		return *refused
	}
	out := object{"metadata": c.describeRun(r), "notebook_output": object{"result": simulatedRun, "truncated": false}, "logs": simulatedRun}
	if r.Fails != "" && !r.Ends.After(c.d.w.now()) {
		out["error"] = r.Fails
	}
	return ok(out)
}

func (c *brickCall) listRuns() answer {
	out := []object{}
	ids := slices.Sorted(maps.Keys(c.ws.Runs))
	slices.Reverse(ids)
	for _, id := range ids {
		out = append(out, c.describeRun(c.ws.Runs[id]))
	}
	return ok(object{"runs": out, "has_more": false})
}

func (c *brickCall) cancelRun() answer {
	r, refused := c.run()
	if refused != nil {
		return *refused
	}
	if r.Ends.After(c.d.w.now()) && r.Stopped.IsZero() {
		r.Stopped = c.d.w.now()
	}
	return ok(object{})
}

// missingProgram says that the file that a job of Python runs does not exist. A path that only the run knows is not looked for.
func (w *workspace) missingProgram(props object) string {
	path, dbfs := strings.CutPrefix(textAt(props, "pythonFile"), "dbfs:")
	if !dbfs || strings.Contains(path, "@") || w.Files[path] != nil {
		return ""
	}
	return "Cannot read the python file dbfs:" + path + ". Please check driver logs for more details."
}
