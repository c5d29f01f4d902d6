package portal

import (
	"net/http"
	"time"
)

// overviewView is the first page.
type overviewView struct {
	Overview
	Needs   []Need
	Active  []RunSummary
	Day     dayChart
	Runs    int
	Cut     bool // more runs in the day than were read
	HasRuns bool
	Store   []TableSummary
	HasShop bool
}

// dayLimit is how many runs of a day the overview reads.
const dayLimit = 2000

func (p *Portal) overview(w http.ResponseWriter, r *http.Request, v visit) error {
	c := p.chrome(v, "Overview", "/")
	view := overviewView{HasRuns: p.Data.Runs != nil, HasShop: p.Data.Store != nil}
	var err error
	if p.Data.Environment != nil {
		if view.Overview, err = p.Data.Environment.Overview(r.Context(), v.Person); err != nil {
			return err
		}
	}
	view.Needs = view.Overview.Needs
	if view.HasRuns {
		day, err := p.Data.Runs.Runs(r.Context(), v.Person, RunFilter{Since: c.Now.Add(-24 * time.Hour), Limit: dayLimit})
		if err != nil {
			return err
		}
		view.Runs, view.Cut = len(day.Runs), day.Next != ""
		view.Day = lastDay(c, day.Runs)
		view.Needs = append(stillFailed(day.Runs), view.Needs...)
		for _, run := range day.Runs {
			if !run.State.Done() && run.Parent == "" {
				view.Active = append(view.Active, run)
			}
		}
	}
	if view.HasShop {
		if view.Store, err = p.Data.Store.Tables(r.Context(), v.Person); err != nil {
			return err
		}
	}
	return p.show(w, r, overviewPage(c, view))
}

// stillFailed finds pipelines whose latest finished run failed. Runs come newest first.
func stillFailed(runs []RunSummary) []Need {
	seen := map[string]bool{}
	var needs []Need
	for _, r := range runs {
		if !r.State.Done() || r.Parent != "" || seen[r.Pipeline] {
			continue
		}
		seen[r.Pipeline] = true
		if r.State != Failed {
			continue
		}
		text := clip(firstLine(r.Error), 240)
		if text == "" {
			text = "open the run to see why"
		}
		needs = append(needs, Need{Health: Down, Word: "Failed", Subject: r.Pipeline, Path: to("runs", r.ID), Text: text})
	}
	return needs
}
