package portal

import (
	"fmt"
	"slices"
	"strings"
)

// verdict is why a run is as it is, in sentences.
type verdict struct {
	State  RunState
	Head   string // "Why it is red."
	Why    []string
	Leaves []leaf // the activities that decided, in the order of the definition
	Causes []string
	Stands []string // what did not break
}

// leaf is an end of the graph and the activity that decided for it.
type leaf struct {
	Name, Decider string
	State         RunState
}

// explain applies Data Factory's rule to the top level of a run: every leaf counts, and a skipped leaf hands the word to
// what it depends on. It says only what follows from the activities that were read.
func explain(r Run) verdict {
	v := verdict{State: r.State, Stands: r.Unaffected}
	top := map[string]ActivityRun{}
	for _, a := range r.Activities {
		if parentPath(a.Path) == "" {
			top[a.Name] = a
		}
	}
	state := func(name string) RunState {
		if a, ok := top[name]; ok {
			return a.State
		}
		return Waiting
	}
	v.Leaves = leaves(r.Nodes, state)
	switch r.State {
	case Failed:
		v.Head = "Why it is red."
		v.red(r, top, state)
	case Succeeded:
		v.Head = "Why it is green."
		v.green(r, state)
	case Cancelled:
		v.Head = "Why it stopped."
		v.Why = append(v.Why, "Somebody cancelled it; the audit log says who.")
		if done := withState(r.Nodes, state, Succeeded); len(done) > 0 {
			v.Why = append(v.Why, "Done before that: "+list(done)+".")
		}
	case Queued:
		v.Head = "Not started yet."
		v.Why = append(v.Why, "It waits for a place to run in.")
	default:
		v.Head = "Running."
		if now := withState(r.Nodes, state, Running); len(now) > 0 {
			v.Why = append(v.Why, "At work: "+list(now)+".")
		}
		if bad := withState(r.Nodes, state, Failed); len(bad) > 0 {
			v.Why = append(v.Why, list(bad)+" failed already; the outcome is decided when everything that follows is done.")
		}
	}
	return v
}

func (v *verdict) red(r Run, top map[string]ActivityRun, state func(string) RunState) {
	told := map[string]bool{}
	for _, l := range v.Leaves {
		if l.State != Failed || told[l.Decider] {
			continue
		}
		told[l.Decider] = true
		v.Causes = append(v.Causes, l.Decider)
		reason := "."
		if e := cause(r, top[l.Decider]); e != "" {
			reason = ": " + strings.TrimSuffix(clip(firstLine(e), 400), ".") + "."
		}
		if l.Name == l.Decider {
			v.Why = append(v.Why, fmt.Sprintf("“%s” failed%s", l.Name, reason))
		} else {
			v.Why = append(v.Why, fmt.Sprintf("“%s” was skipped, so “%s” before it decides, and that failed%s", l.Name, l.Decider, reason))
		}
	}
	var after []string
	for _, n := range r.Nodes {
		if state(n.Name) == Succeeded && slices.ContainsFunc(n.DependsOn, func(d Dependency) bool { return state(d.On) == Failed }) {
			after = append(after, n.Name)
		}
	}
	if len(after) > 0 {
		v.Why = append(v.Why, list(after)+" ran after the failure and does not change the outcome.")
	}
	if len(v.Why) == 0 && r.Error != "" {
		v.Why = append(v.Why, clip(firstLine(r.Error), 400))
	}
	if len(v.Why) == 0 {
		v.Why = append(v.Why, "No activity at the end of the graph failed, and no reason was recorded.")
	}
}

func (v *verdict) green(r Run, state func(string) RunState) {
	if len(v.Leaves) == 0 {
		v.Why = append(v.Why, "It has no activities.")
		return
	}
	v.Why = append(v.Why, fmt.Sprintf("Everything that decides succeeded: %s.", list(deciders(v.Leaves))))
	if handled := withState(r.Nodes, state, Failed); len(handled) > 0 {
		v.Why = append(v.Why, list(handled)+" failed, but what follows a failure took it up.")
	}
}

// cause is the error at the bottom: a container fails because something inside it did.
func cause(r Run, a ActivityRun) string {
	for _, inner := range r.Activities {
		if inner.State == Failed && inner.Error != nil && inner.Path != a.Path && within(inner.Path, a.Path) && !hasFailedInside(r, inner) {
			return inner.Path[1:] + " failed: " + inner.Error.Message
		}
	}
	if a.Error == nil {
		return ""
	}
	return a.Error.Message
}

func hasFailedInside(r Run, a ActivityRun) bool {
	return slices.ContainsFunc(r.Activities, func(b ActivityRun) bool {
		return b.State == Failed && b.Path != a.Path && within(b.Path, a.Path)
	})
}

// leaves finds the ends of the graph and who decides for each.
func leaves(nodes []Node, state func(string) RunState) []leaf {
	byName := map[string]Node{}
	inner := map[string]bool{}
	for _, n := range nodes {
		byName[n.Name] = n
		for _, d := range n.DependsOn {
			inner[d.On] = true
		}
	}
	var out []leaf
	for _, n := range nodes {
		if inner[n.Name] {
			continue
		}
		seen := map[string]bool{}
		var decide func(string)
		decide = func(name string) {
			if seen[name] {
				return
			}
			seen[name] = true
			if state(name) != Skipped || len(byName[name].DependsOn) == 0 {
				out = append(out, leaf{n.Name, name, state(name)})
				return
			}
			for _, d := range byName[name].DependsOn {
				decide(d.On)
			}
		}
		decide(n.Name)
	}
	return out
}

func deciders(ls []leaf) []string {
	var names []string
	for _, l := range ls {
		if !slices.Contains(names, l.Decider) {
			names = append(names, l.Decider)
		}
	}
	return names
}

func withState(nodes []Node, state func(string) RunState, want RunState) []string {
	var names []string
	for _, n := range nodes {
		if state(n.Name) == want {
			names = append(names, n.Name)
		}
	}
	return names
}

// list writes names as a sentence does, the first few of many.
func list(names []string) string {
	const most = 6
	quoted := make([]string, 0, most)
	for i, n := range names {
		if i == most {
			return strings.Join(quoted, ", ") + fmt.Sprintf(" and %d more", len(names)-most)
		}
		quoted = append(quoted, "“"+n+"”")
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + " and " + quoted[n-1]
	}
	return strings.Join(quoted, "")
}
