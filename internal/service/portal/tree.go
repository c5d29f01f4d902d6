package portal

import (
	"strings"
	"time"
)

// Paths of activity runs nest: "/Load each[17]/Copy" is Copy in iteration 17 of Load each, "/Wait for it{2}/Poll" is Poll in
// the second pass of a loop, "/Check?true/Stop" is Stop in the branch "true" of Check, "/Kind?=csv/Read" is Read in the case
// "csv" of a switch.

// parentPath is the container of path: what stands before the last part, without its iteration, pass or branch.
func parentPath(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return ""
	}
	return strings.TrimSuffix(path[:i], instance(path[:i]))
}

// instance is the "[17]", "{2}" or "?true" at the end of a path, or nothing. No name of an activity has a question mark.
func instance(path string) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	if i := strings.IndexByte(last, '?'); i >= 0 {
		return last[i:]
	}
	for _, pair := range []string{"[]", "{}"} {
		i := strings.LastIndexByte(last, pair[0])
		if i >= 0 && strings.HasSuffix(last, pair[1:]) && strings.Trim(last[i:], pair+"0123456789") == "" {
			return last[i:]
		}
	}
	return ""
}

// within reports whether path is inside the container, at any depth.
func within(path, container string) bool {
	rest, ok := strings.CutPrefix(path, container)
	return ok && rest != "" && strings.IndexByte("/[{?", rest[0]) >= 0
}

// row is a line of the table of activities and of the timeline.
type row struct {
	ActivityRun
	Depth int
	Place string // iteration or branch within its container: "17", "true"
	More  int    // instead of an activity: so many are not shown
	Busy  int    // of these, so many failed or are running
	Under string // for More: the container
}

// maxInside is how many instances a container shows before it sums up, what failed or runs first. maxListed is the same
// for a person who wants to see every one: a page of tens of thousands of lines helps nobody.
const maxInside, maxListed = 12, 1000

// rows puts activity runs in the order of the tree. An instance whose container is not in the run stands at the top.
func rows(runs []ActivityRun, all bool) []row {
	known := make(map[string]bool, len(runs))
	for i := range runs {
		known[runs[i].Path] = true
	}
	children := map[string][]*ActivityRun{}
	place := map[string]string{}
	for i := range runs {
		a := &runs[i]
		container, where := "", ""
		for p := parentPath(a.Path); p != ""; p = parentPath(p) {
			if known[p] {
				container = p
				where = a.Path[len(p):]
				where = strings.Trim(strings.TrimSuffix(where, "/"+lastPart(a.Path)), "/")
				break
			}
		}
		place[a.Path] = strings.TrimLeft(strings.Trim(where, "[]{}"), "?=")
		children[container] = append(children[container], a)
	}
	var out []row
	var add func(container string, depth int)
	add = func(container string, depth int) {
		most := maxInside
		if all || container == "" {
			most = maxListed
		}
		shown := choose(children[container], most)
		for _, a := range shown {
			out = append(out, row{ActivityRun: *a, Depth: depth, Place: place[a.Path]})
			if depth < 8 {
				add(a.Path, depth+1)
			}
		}
		if more := len(children[container]) - len(shown); more > 0 {
			out = append(out, row{Depth: depth, More: more, Busy: busy(children[container]) - busy(shown), Under: container})
		}
	}
	add("", 0)
	return out
}

func lastPart(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// choose keeps at most so many runs: first what failed or is at work, then the first ones.
func choose(runs []*ActivityRun, most int) []*ActivityRun {
	if len(runs) <= most {
		return runs
	}
	others := most - min(busy(runs), most)
	shown := make([]*ActivityRun, 0, most)
	for _, a := range runs {
		switch {
		case len(shown) == most:
			return shown
		case isBusy(a):
			shown = append(shown, a)
		case others > 0:
			others--
			shown = append(shown, a)
		}
	}
	return shown
}

func isBusy(a *ActivityRun) bool { return a.State == Failed || a.State == Running }

// busy counts what failed or is at work.
func busy(runs []*ActivityRun) (n int) {
	for _, a := range runs {
		if isBusy(a) {
			n++
		}
	}
	return n
}

// gantt is a timeline with a place for everything in it.
type gantt struct {
	Height float64
	Bars   []bar
	Ticks  []tick
}

// bar is a row of the timeline. One activity has several parts when it was tried several times.
type bar struct {
	row
	Y     float64
	Parts []part
	Label string
	LX    float64
	Left  bool // the label stands left of the bar, because there is no room on the right
}

type part struct {
	X, W    float64
	State   RunState
	Attempt int
}

type tick struct {
	X     float64
	Label string
}

// Sizes of the timeline.
const (
	ganttLeft, ganttRight = 210.0, 850.0
	ganttRow              = 28.0
	maxBars               = 120
)

// timeline draws the rows of a run between its start and its end, or now.
func timeline(c chrome, r Run, rs []row) gantt {
	from, until := r.Started, r.Ended
	if until.IsZero() {
		until = c.Now
	}
	if from.IsZero() {
		return gantt{}
	}
	for _, a := range rs {
		if a.Ended.After(until) {
			until = a.Ended
		}
	}
	total := max(until.Sub(from), time.Millisecond)
	x := func(t time.Time) float64 {
		share := float64(t.Sub(from)) / float64(total)
		return ganttLeft + min(max(share, 0), 1)*(ganttRight-ganttLeft)
	}
	var g gantt
	for i, a := range rs {
		if i == maxBars {
			rest := len(rs) - maxBars
			g.Bars = append(g.Bars, bar{row: row{More: rest}, Y: g.Height})
			g.Height += ganttRow
			break
		}
		b := bar{row: a, Y: g.Height}
		for _, t := range tries(a.ActivityRun) {
			end := t.Ended
			if end.IsZero() {
				end = c.Now
			}
			b.Parts = append(b.Parts, part{X: x(t.Started), W: max(3, x(end)-x(t.Started)), State: t.State, Attempt: t.Number})
		}
		if n := len(b.Parts); n > 0 {
			b.Label = c.span(a.Started, a.Ended)
			b.LX = b.Parts[n-1].X + b.Parts[n-1].W + 6
			if first := b.Parts[0].X; b.LX > ganttRight-10 && first > ganttLeft+80 {
				b.Left, b.LX = true, first-6
			}
		} else {
			b.Label, b.LX = string(a.State), ganttLeft
		}
		g.Bars = append(g.Bars, b)
		g.Height += ganttRow
	}
	for step, t := tickStep(total), time.Duration(0); t <= total; t += step {
		g.Ticks = append(g.Ticks, tick{X: x(from.Add(t)), Label: tickLabel(t)})
	}
	return g
}

// tries are the attempts of an activity, or the activity itself when they were not recorded.
func tries(a ActivityRun) []Attempt {
	var out []Attempt
	for _, t := range a.Attempts {
		if !t.Started.IsZero() {
			out = append(out, t)
		}
	}
	if len(out) == 0 && !a.Started.IsZero() && a.State != Skipped {
		out = append(out, Attempt{Number: 1, State: a.State, Started: a.Started, Ended: a.Ended})
	}
	return out
}

// tickStep gives four to eight ticks.
func tickStep(total time.Duration) time.Duration {
	steps := []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500} // milliseconds
	for i := range steps {
		steps[i] *= time.Millisecond
	}
	for _, s := range []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200} {
		steps = append(steps, time.Duration(s)*time.Second)
	}
	for _, s := range steps {
		if total/s <= 7 {
			return s
		}
	}
	return max(total/6, time.Hour).Round(time.Hour)
}

func tickLabel(d time.Duration) string {
	switch {
	case d == 0:
		return "0 s"
	case d < time.Second:
		return took(d)
	case d%time.Second != 0:
		return took(d)
	case d < time.Minute:
		return px(d.Seconds()) + " s"
	case d%time.Minute != 0:
		return took(d)
	case d < time.Hour:
		return px(d.Minutes()) + " min"
	}
	return took(d)
}
