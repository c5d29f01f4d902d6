package portal

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzGraphLayout draws graphs made of bytes: each pair is an edge, circles and strangers included.
func FuzzGraphLayout(f *testing.F) {
	f.Add(5, []byte{0, 1, 1, 2, 2, 0})
	f.Add(8, []byte{0, 3, 1, 3, 2, 3, 3, 4, 4, 5, 5, 6, 5, 7, 0, 7})
	f.Add(0, []byte{1, 2})
	f.Add(300, []byte{1, 1, 0, 255})
	f.Fuzz(func(t *testing.T, n int, edges []byte) {
		n = min(max(n, 0), 2*maxDrawn)
		edges = edges[:min(len(edges), 400)]
		var vertices []vertex
		for i := range n {
			vertices = append(vertices, vertex{fmt.Sprint(i)})
		}
		var arcs []arc
		for i := 0; i+1 < len(edges); i += 2 {
			arcs = append(arcs, arc{From: fmt.Sprint(edges[i]), To: fmt.Sprint(edges[i+1])})
		}
		checkDrawing(t, layout(vertices, arcs), n, arcs)
	})
}

// checkDrawing holds what is true of every drawing.
func checkDrawing(t *testing.T, d drawing, n int, arcs []arc) {
	t.Helper()
	if len(d.Nodes)+d.Left != n {
		t.Fatalf("%d vertices, %d drawn and %d left out", n, len(d.Nodes), d.Left)
	}
	at := map[string]placed{}
	for i, a := range d.Nodes {
		at[a.ID] = a
		if a.X < 0 || a.Y < 0 || a.X+nodeWidth > d.Width+.5 || a.Y+nodeHeight > d.Height+.5 || math.IsNaN(a.Y) {
			t.Fatalf("%v is outside of %v by %v", a, d.Width, d.Height)
		}
		for _, b := range d.Nodes[i+1:] {
			if math.Abs(a.X-b.X) < nodeWidth && math.Abs(a.Y-b.Y) < nodeHeight {
				t.Fatalf("%v and %v overlap", a, b)
			}
		}
	}
	for _, r := range d.Routes {
		if at[r.From].X >= at[r.To].X {
			t.Fatalf("%s stands at or right of %s, which comes after it", r.From, r.To)
		}
		for i := 1; i < len(r.Points); i++ {
			if r.Points[i][0] <= r.Points[i-1][0] {
				t.Fatalf("edge %s → %s goes back: %v", r.From, r.To, r.Points)
			}
		}
		if !slices.ContainsFunc(arcs, func(a arc) bool { return a.From == r.From && a.To == r.To }) {
			t.Fatalf("edge %s → %s was not asked for", r.From, r.To)
		}
	}
}

func TestLayoutKeepsEveryEdgeOfATree(t *testing.T) {
	d := layout([]vertex{{"a"}, {"b"}, {"c"}, {"d"}}, []arc{{From: "a", To: "b"}, {From: "b", To: "c"}, {From: "a", To: "c"}, {From: "c", To: "d"}})
	if len(d.Routes) != 4 {
		t.Errorf("%d edges, want 4: %v", len(d.Routes), d.Routes)
	}
	for _, r := range d.Routes {
		if r.From == "a" && r.To == "c" && len(r.Points) != 4 {
			t.Errorf("the long edge does not pass the column between: %v", r.Points)
		}
	}
}

func TestExplain(t *testing.T) {
	run := func(state RunState, nodes []Node, states map[string]RunState) Run {
		r := Run{RunSummary: RunSummary{State: state}, Nodes: nodes}
		for _, n := range nodes {
			a := ActivityRun{Path: "/" + n.Name, Name: n.Name, State: states[n.Name]}
			if a.State == Failed {
				a.Error = &ActivityError{Message: n.Name + " broke"}
			}
			r.Activities = append(r.Activities, a)
		}
		return r
	}
	on := func(name, other, condition string) Node {
		return Node{Name: name, DependsOn: []Dependency{{other, []string{condition}}}}
	}
	for _, c := range []struct {
		name string
		run  Run
		want string
	}{
		{"a leaf failed", run(Failed, []Node{{Name: "A"}}, map[string]RunState{"A": Failed}), "“A” failed: A broke."},
		{"do, if, else", run(Failed, []Node{{Name: "A"}, on("B", "A", "Failed"), on("C", "A", "Succeeded")}, map[string]RunState{"A": Failed, "B": Succeeded, "C": Skipped}),
			"“C” was skipped, so “A” before it decides, and that failed: A broke. “B” ran after the failure and does not change the outcome."},
		{"a skipped cascade", run(Failed, []Node{{Name: "A"}, on("B", "A", "Succeeded"), on("C", "B", "Succeeded")}, map[string]RunState{"A": Failed, "B": Skipped, "C": Skipped}),
			"“C” was skipped, so “A” before it decides, and that failed: A broke."},
		{"a handled failure is green", run(Succeeded, []Node{{Name: "A"}, on("B", "A", "Failed")}, map[string]RunState{"A": Failed, "B": Succeeded}),
			"Everything that decides succeeded: “B”. “A” failed, but what follows a failure took it up."},
		{"try and catch without a failure", run(Succeeded, []Node{{Name: "A"}, on("B", "A", "Failed")}, map[string]RunState{"A": Succeeded, "B": Skipped}), "Everything that decides succeeded: “A”."},
		{"nothing is known", Run{RunSummary: RunSummary{State: Failed, Error: "time-out\nsecond line"}}, "time-out"},
		{"queued", Run{RunSummary: RunSummary{State: Queued}}, "It waits for a place to run in."},
		{"a circle ends", run(Failed, []Node{on("A", "B", "Succeeded"), on("B", "A", "Succeeded"), on("C", "A", "Succeeded")}, map[string]RunState{"A": Skipped, "B": Skipped, "C": Skipped}),
			"No activity at the end of the graph failed, and no reason was recorded."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(explain(c.run).Why, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestExplainNamesTheInnerCause(t *testing.T) {
	r := Run{RunSummary: RunSummary{State: Failed}, Nodes: []Node{{Name: "Each"}}, Activities: []ActivityRun{
		{Path: "/Each", Name: "Each", State: Failed, Error: &ActivityError{Message: "an inner activity failed"}},
		{Path: "/Each[3]/Copy", Name: "Copy", State: Failed, Error: &ActivityError{Message: "no such table"}},
	}}
	if got := strings.Join(explain(r).Why, " "); got != "“Each” failed: Each[3]/Copy failed: no such table." {
		t.Error(got)
	}
}

func TestRowsNest(t *testing.T) {
	var got []string
	for _, r := range rows([]ActivityRun{
		{Path: "/A", Name: "A"}, {Path: "/Each", Name: "Each"}, {Path: "/Each[0]/If", Name: "If"}, {Path: "/Each[0]/If/true/Copy", Name: "Copy"}, {Path: "/Each[1]/If", Name: "If"}, {Path: "/Gone[2]/Lost", Name: "Lost"},
	}, false) {
		got = append(got, fmt.Sprintf("%d %s %s", r.Depth, r.Place, r.Name))
	}
	want := []string{"0  A", "0  Each", "1 0 If", "2 true Copy", "1 1 If", "0  Lost"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRowsKeepFailures(t *testing.T) {
	runs := []ActivityRun{{Path: "/Each", Name: "Each"}}
	for i := range 500 {
		a := ActivityRun{Path: fmt.Sprintf("/Each[%d]/Copy", i), Name: "Copy", State: Succeeded}
		if i == 444 {
			a.State = Failed
		}
		runs = append(runs, a)
	}
	shown := rows(runs, false)
	if len(shown) != 1+maxInside+1 || shown[len(shown)-1].More != 500-maxInside {
		t.Errorf("%d rows, %d more", len(shown), shown[len(shown)-1].More)
	}
	if !slices.ContainsFunc(shown, func(r row) bool { return r.Place == "444" }) {
		t.Error("the failed iteration is not shown")
	}
	if got := moreWord(shown[len(shown)-1], false); got != "and 488 more runs, none of them failed or running, " {
		t.Errorf("got %q", got)
	}

	for i := range runs {
		runs[i].State = Failed
	}
	shown = rows(runs, false)
	if got := moreWord(shown[len(shown)-1], false); got != "and 488 more runs, 488 of them failed or running, " {
		t.Errorf("got %q; it hides failures", got)
	}
	if shown = rows(runs, true); len(shown) != 501 {
		t.Errorf("all of them: %d rows, want 501", len(shown))
	}
	for i := range 2000 {
		runs = append(runs, ActivityRun{Path: fmt.Sprintf("/Each[%d]/Copy", 500+i), Name: "Copy", State: Succeeded})
	}
	shown = rows(runs, true)
	if last := shown[len(shown)-1]; len(shown) != 1+maxListed+1 || last.More != 1500 || last.Busy != 0 {
		t.Errorf("a very long list: %d rows, %d more, %d of them busy", len(shown), last.More, last.Busy)
	}
}

func TestTimelineStaysInside(t *testing.T) {
	c := chrome{Now: fakeNow, Location: time.UTC}
	for _, r := range []Run{failedRun(), runningRun(), loopRun(), cancelledRun()} {
		g := timeline(c, r, rows(r.Activities, true))
		for _, b := range g.Bars {
			for _, p := range b.Parts {
				if p.X < ganttLeft || p.X+p.W > ganttRight+3 {
					t.Errorf("%s: part from %v to %v", b.Path, p.X, p.X+p.W)
				}
			}
			if !b.Left && b.LX+float64(len(b.Label))*7 > 920 {
				t.Errorf("%s: label %q at %v is cut", b.Path, b.Label, b.LX)
			}
		}
		if n := len(g.Ticks); n < 3 || n > 9 {
			t.Errorf("%s: %d ticks", r.Pipeline, n)
		}
	}
}

func TestWords(t *testing.T) {
	c := chrome{Now: fakeNow, Location: time.FixedZone("BST", 3600)}
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567", count(-1): "not known",
		size(0): "0 B", size(999): "999 B", size(1000): "1.0 kB", size(9_400_000): "9.4 MB", size(1_200_000_000): "1.2 GB", size(999_999): "1.0 MB", size(-1): "not known",
		took(400 * time.Millisecond): "400 ms", took(3100 * time.Millisecond): "3.1 s", took(161 * time.Second): "2 min 41 s", took(185 * time.Minute): "3 h 05 min", took(72 * time.Hour): "3 days",
		percent(0): "0.0 %", percent(.112): "11.2 %", percent(.0001): "< 0.1 %", percent(1): "100.0 %",
		c.when(fakeNow): "Today 21:15", c.when(ago(24 * time.Hour)): "Yesterday 21:15", c.when(fakeNow.Add(5 * time.Hour)): "Tomorrow 02:15", c.when(ago(90 * 24 * time.Hour)): "24 Aug 21:15", c.when(ago(400 * 24 * time.Hour)): "18 Oct 2025 21:15",
		to("runs", "../../x?y"): "/runs/..%2F..%2Fx%3Fy", clip("abcdef", 4): "abc…", short("7f3a9216-61f2"): "7f3a9216",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
