package portal

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	runsPerPage = 50
	logTail     = 200   // lines on the page
	logAll      = 20000 // lines of the log as text
	textCut     = 4000  // characters of an input or output on the page
)

// runsView is the list of runs with its filter.
type runsView struct {
	RunPage
	Filter    RunFilter
	Pipelines []string
	Since     string
}

// filtered reports whether anything narrows the list.
func (v runsView) filtered() bool {
	f := v.Filter
	return f.Pipeline != "" || f.By != "" || f.State != "" || !f.Since.IsZero()
}

func (p *Portal) runs(w http.ResponseWriter, r *http.Request, v visit) error {
	q := r.URL.Query()
	view := runsView{Filter: RunFilter{
		Pipeline: q.Get("pipeline"), By: q.Get("by"), State: RunState(q.Get("state")), After: q.Get("after"), Limit: runsPerPage,
	}, Since: q.Get("since")}
	for _, s := range sinces {
		if s.key == view.Since {
			view.Filter.Since = p.Now().Add(-s.ago)
		}
	}
	var err error
	if view.RunPage, err = p.Data.Runs.Runs(r.Context(), v.Person, view.Filter); err != nil {
		return err
	}
	if p.Data.Pipelines != nil {
		list, err := p.Data.Pipelines.Pipelines(r.Context(), v.Person)
		if err != nil {
			return err
		}
		for _, pl := range list {
			view.Pipelines = append(view.Pipelines, pl.Name)
		}
	}
	return p.show(w, r, runsPage(p.chrome(v, "Runs", "/runs"), view))
}

// sinces are the periods that a list can be narrowed to.
var sinces = []struct {
	key, name string
	ago       time.Duration
}{{"hour", "the last hour", time.Hour}, {"day", "the last 24 hours", 24 * time.Hour}, {"week", "the last 7 days", 7 * 24 * time.Hour}}

// runStates are the states that a list can be narrowed to.
func runStates() []RunState { return []RunState{Queued, Running, Succeeded, Failed, Cancelled} }

// runView is a run as it stands, with one activity opened.
type runView struct {
	Run
	Verdict verdict
	Graph   graphView
	Rows    []row
	Gantt   gantt
	At      string       // path of the opened activity, "" for none
	Open    *ActivityRun // it
	Chosen  bool         // by the person
	All     bool         // every iteration is listed
	Log     []LogLine
	HasLog  bool
}

// readRun reads everything that the page of a run shows. It is used for the page and for each of its live updates.
func (p *Portal) readRun(r *http.Request, v visit, c chrome) (runView, error) {
	run, err := p.Data.Runs.Run(r.Context(), v.Person, r.PathValue("id"))
	if err != nil {
		return runView{}, err
	}
	q := r.URL.Query()
	view := runView{Run: run, Verdict: explain(run), At: q.Get("at"), All: q.Has("all"), Chosen: q.Get("at") != ""}
	view.Rows = rows(run.Activities, view.All)
	view.Gantt = timeline(c, run, view.Rows)
	if view.At == "" {
		view.At = worthReading(view)
	}
	if i := slices.IndexFunc(run.Activities, func(a ActivityRun) bool { return a.Path == view.At }); i >= 0 {
		view.Open = &run.Activities[i]
	} else if view.At != "" {
		return runView{}, ErrNotFound
	}
	view.Graph = runGraph(run)
	if p.Data.Logs != nil {
		view.HasLog = true
		view.Log, err = p.Data.Logs.Log(r.Context(), v.Person, LogQuery{Run: run.ID, Path: view.At, Limit: logTail, Tail: true})
		if err != nil {
			return runView{}, err
		}
	}
	return view, nil
}

// worthReading is the activity that a person wants to see first: what broke the run, else what is at work.
func worthReading(v runView) string {
	for _, want := range []RunState{Failed, Running} {
		best := ""
		for _, a := range v.Activities {
			if a.State == want && (best == "" || within(a.Path, best)) {
				best = a.Path
			}
		}
		if best != "" {
			return best
		}
	}
	return ""
}

func runGraph(run Run) graphView {
	top := map[string]ActivityRun{}
	for _, a := range run.Activities {
		if parentPath(a.Path) == "" {
			top[a.Name] = a
		}
	}
	state := func(n Node) RunState {
		if a, ok := top[n.Name]; ok {
			return a.State
		}
		return Waiting
	}
	return activityGraph("Activities of this run", run.Nodes, state, func(n Node) string {
		if a, ok := top[n.Name]; ok {
			return with(to("runs", run.ID), "at", a.Path) + "#activity"
		}
		return ""
	})
}

func (p *Portal) run(w http.ResponseWriter, r *http.Request, v visit) error {
	c := p.chrome(v, "Run "+short(r.PathValue("id")), "/runs")
	view, err := p.readRun(r, v, c)
	if err != nil {
		return err
	}
	return p.show(w, r, runPage(c, view))
}

func (p *Portal) cancelRun(w http.ResponseWriter, r *http.Request, v visit) error {
	id := r.PathValue("id")
	if err := p.Data.Actions.Cancel(r.Context(), v.Person, id); err != nil {
		return err
	}
	http.Redirect(w, r, to("runs", id), http.StatusSeeOther)
	return nil
}

func (p *Portal) resumeRun(w http.ResponseWriter, r *http.Request, v visit) error {
	id, err := p.Data.Actions.Resume(r.Context(), v.Person, r.PathValue("id"))
	if err != nil {
		return err
	}
	http.Redirect(w, r, to("runs", id), http.StatusSeeOther)
	return nil
}

// runLog is the log as plain text.
func (p *Portal) runLog(w http.ResponseWriter, r *http.Request, v visit) error {
	lines, err := p.Data.Logs.Log(r.Context(), v.Person, LogQuery{
		Run: r.PathValue("id"), Path: r.URL.Query().Get("at"), Limit: logAll, Tail: true,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.At.In(p.Location).Format("2006-01-02 15:04:05.000 ") + l.Path + " " + l.Text + "\n")
	}
	_, _ = w.Write([]byte(b.String()))
	return nil
}

// runText is an input, output or error in full, as plain text.
func (p *Portal) runText(w http.ResponseWriter, r *http.Request, v visit) error {
	run, err := p.Data.Runs.Run(r.Context(), v.Person, r.PathValue("id"))
	if err != nil {
		return err
	}
	q := r.URL.Query()
	i := slices.IndexFunc(run.Activities, func(a ActivityRun) bool { return a.Path == q.Get("at") })
	if i < 0 {
		return ErrNotFound
	}
	a, text := run.Activities[i], ""
	switch q.Get("of") {
	case "input":
		text = a.Input
	case "output":
		text = a.Output
	case "error":
		if a.Error != nil {
			text = a.Error.Message
		}
	default:
		return ErrNotFound
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(indent(text) + "\n"))
	return nil
}
