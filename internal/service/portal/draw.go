package portal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// graphView is a graph ready to be drawn.
type graphView struct {
	Label         string
	Width, Height float64
	Nodes         []nodeView
	Routes        []routeView
	Left          int
}

type nodeView struct {
	X, Y                    float64
	Name, Note, Label, Path string
	Kind, Icon              string // of the status, or ""
}

type routeView struct{ D, Class, Title string }

func (g graphView) viewBox() string { return "-2 -2 " + px(g.Width+4) + " " + px(g.Height+4) }

// draw lays the graph out; describe tells what stands in each node.
func draw(label string, vertices []vertex, arcs []arc, describe func(id string) nodeView) graphView {
	d := layout(vertices, arcs)
	g := graphView{Label: label, Width: d.Width, Height: d.Height, Left: d.Left}
	for _, n := range d.Nodes {
		v := describe(n.ID)
		v.X, v.Y = n.X, n.Y
		if v.Label == "" {
			v.Label = v.Name
		}
		g.Nodes = append(g.Nodes, v)
	}
	for _, r := range d.Routes {
		v := routeView{D: curve(r.Points), Title: r.From + " → " + r.To}
		if r.Condition != "" {
			v.Title += ", " + r.Condition
			v.Class = "on-" + r.Condition
		}
		g.Routes = append(g.Routes, v)
	}
	return g
}

// curve leads through points with level tangents.
func curve(points [][2]float64) string {
	var b []byte
	add := func(command byte, numbers ...float64) {
		for i, n := range numbers {
			b = strconv.AppendFloat(append(b, command), n, 'f', -1, 64)
			if i == 0 {
				command = ' '
			}
		}
	}
	for i, p := range points {
		if i == 0 {
			add('M', p[0], p[1])
			continue
		}
		middle := (points[i-1][0] + p[0]) / 2
		add('C', middle, points[i-1][1], middle, p[1], p[0], p[1])
	}
	return string(b)
}

// activityGraph draws one level of a definition; state and path may be nil when there is no run.
func activityGraph(label string, nodes []Node, state func(Node) RunState, path func(Node) string) graphView {
	byName := map[string]Node{}
	var vertices []vertex
	var arcs []arc
	for _, n := range nodes {
		byName[n.Name] = n
		vertices = append(vertices, vertex{n.Name})
		for _, d := range n.DependsOn {
			arcs = append(arcs, arc{d.On, n.Name, edgeClass(d.Conditions)})
		}
	}
	return draw(label, vertices, arcs, func(id string) nodeView {
		n := byName[id]
		v := nodeView{Name: n.Name, Note: n.Type, Label: n.Name + ", " + n.Type}
		if inside := inner(n); inside > 0 {
			v.Note += fmt.Sprintf(", %d inside", inside)
		}
		if state != nil {
			s := state(n)
			v.Kind, v.Icon, v.Label = stateKind(s), icon(stateKind(s)), v.Label+", "+strings.ToLower(stateWord(s))
		}
		if path != nil {
			v.Path = path(n)
		}
		return v
	})
}

func inner(n Node) int {
	sum := 0
	for _, b := range n.Inside {
		sum += len(b.Nodes)
	}
	return sum
}

// edgeClass sums up when an edge is followed: success is the plain case.
func edgeClass(conditions []string) string {
	if len(conditions) == 1 {
		switch strings.ToLower(conditions[0]) {
		case "succeeded":
			return ""
		case "failed":
			return "failure"
		case "skipped":
			return "skipped"
		}
	}
	if len(conditions) == 0 {
		return ""
	}
	return "completion"
}

// lineageGraph draws where a table comes from and goes.
func lineageGraph(l Lineage) graphView {
	byID := map[string]LineageNode{}
	var vertices []vertex
	var arcs []arc
	for _, n := range l.Nodes {
		byID[n.ID] = n
		vertices = append(vertices, vertex{n.ID})
	}
	for _, e := range l.Edges {
		arcs = append(arcs, arc{From: e.From, To: e.To})
	}
	return draw("Lineage", vertices, arcs, func(id string) nodeView {
		n := byID[id]
		note := n.Kind
		if n.Note != "" {
			note += ", " + n.Note
		}
		v := nodeView{Name: n.Name, Note: note, Path: n.Path, Label: n.Name + ", " + note}
		if id == l.This {
			v.Kind, v.Path, v.Label = "this", "", n.Name+", this table"
		}
		return v
	})
}

func (b bar) label() string {
	if b.Place != "" {
		return b.Place + " · " + b.Name
	}
	return b.Name
}

func (b bar) title(p part) string {
	s := b.label() + ": " + strings.ToLower(stateWord(p.State)) + ", " + b.Label
	if len(b.Parts) > 1 {
		s += fmt.Sprintf(", attempt %d", p.Attempt)
	}
	return s
}

// A failed bar is taller as well as red.
func barTop(s RunState) float64 {
	if s == Failed {
		return 4
	}
	return 6
}

func barHeight(s RunState) float64 {
	if s == Failed {
		return 20
	}
	return 16
}

// dayChart is the last 24 hours, one bar for each half hour and pipeline.
type dayChart struct {
	Label, From string
	Height      float64
	Rows        []dayRow
}

type dayRow struct {
	Name  string
	Y     float64
	Slots []slot
}

type slot struct {
	X           float64
	Kind, Title string
}

const (
	slots   = 48
	dayRows = 12
)

// lastDay draws runs that started within a day before now. Pipelines stand in the order of their latest run.
func lastDay(c chrome, runs []RunSummary) dayChart {
	const each = 30 * time.Minute
	begin := c.Now.Add(-slots * each)
	type tally struct{ ok, bad, run, other int }
	counts := map[string]*[slots]tally{}
	var names []string
	var all tally
	for _, r := range runs {
		at := r.Started
		if at.IsZero() {
			at = r.Queued
		}
		i := int(at.Sub(begin) / each)
		if at.Before(begin) || i < 0 || i >= slots {
			if i != slots {
				continue
			}
			i = slots - 1
		}
		if counts[r.Pipeline] == nil {
			if len(names) == dayRows {
				continue
			}
			counts[r.Pipeline] = new([slots]tally)
			names = append(names, r.Pipeline)
		}
		for _, t := range []*tally{&counts[r.Pipeline][i], &all} {
			switch stateKind(r.State) {
			case "ok":
				t.ok++
			case "bad":
				t.bad++
			case "run":
				t.run++
			default:
				t.other++
			}
		}
	}
	d := dayChart{From: c.when(begin), Height: float64(len(names))*30 + 26}
	d.Label = fmt.Sprintf("Runs by pipeline in the last 24 hours: %d succeeded, %d failed, %d running, %d other", all.ok, all.bad, all.run, all.other)
	for y, name := range names {
		row := dayRow{Name: name, Y: float64(y)*30 + 2}
		for i, t := range counts[name] {
			s := slot{X: 186 + float64(i)*15.2}
			switch {
			case t.bad > 0:
				s.Kind = "bad"
			case t.run > 0:
				s.Kind = "run"
			case t.ok > 0:
				s.Kind = "ok"
			case t.other > 0:
				s.Kind = "skip" // cancelled or queued
			}
			s.Title = fmt.Sprintf("%s, %s: %d succeeded, %d failed, %d running, %d other", name, c.when(begin.Add(time.Duration(i)*each)), t.ok, t.bad, t.run, t.other)
			row.Slots = append(row.Slots, s)
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

func slotTop(kind string) float64 {
	if kind == "bad" {
		return 0
	}
	return 2
}

func slotHeight(kind string) float64 {
	if kind == "bad" {
		return 20
	}
	return 16
}

// spreadBar is a bar of a small distribution.
type spreadBar struct {
	X, W, H float64
	Label   string
}

func spread(p ColumnProfile) []spreadBar {
	var most int64
	for _, b := range p.Buckets {
		most = max(most, b.Count)
	}
	if most == 0 {
		return nil
	}
	width := 120 / float64(len(p.Buckets))
	gap := math.Min(1, width/4)
	var out []spreadBar
	for i, b := range p.Buckets {
		h := 0.0
		if b.Count > 0 {
			h = max(1, math.Round(25*float64(b.Count)/float64(most)))
		}
		out = append(out, spreadBar{X: round2(float64(i) * width), W: round2(width - gap), H: h, Label: b.Label + ": " + count(b.Count)})
	}
	return out
}

func round2(f float64) float64 { return math.Round(f*100) / 100 }

// spreadLabel tells a screen reader what the bars show.
func spreadLabel(p ColumnProfile) string {
	top := p.Buckets[0]
	for _, b := range p.Buckets {
		if b.Count > top.Count {
			top = b
		}
	}
	return fmt.Sprintf("%d groups of values, the largest is %s with %s", len(p.Buckets), top.Label, plural(top.Count, "row", "rows"))
}
