package factory

import (
	"fmt"
	"slices"
	"strings"
)

// Status of a run or an activity, spelled as the service spells it.
type Status string

// Statuses. Runs have all but Skipped and Inactive.
const (
	Queued     Status = "Queued"
	InProgress Status = "InProgress"
	Succeeded  Status = "Succeeded"
	Failed     Status = "Failed"
	Skipped    Status = "Skipped"
	Cancelling Status = "Canceling" // sic
	Cancelled  Status = "Cancelled"
)

// Finished reports whether a status is final.
func (s Status) Finished() bool {
	switch s {
	case Succeeded, Failed, Skipped, Cancelled:
		return true
	}
	return false
}

// Completed is the condition that holds after success and after failure, not after a skip.
const Completed = "Completed"

// Ready decides about an activity by the activities it depends on. It is decidable once all of them have finished, and
// satisfied if of every entry at least one condition holds. A decidable activity that is not satisfied is skipped; after
// a cancelled one nothing starts. status gives false for an activity without a status.
func Ready(deps []Dependency, status func(name string) (Status, bool)) (decidable, satisfied bool) {
	satisfied = true
	for _, d := range deps {
		s, ok := status(d.Activity)
		if !ok || !s.Finished() {
			return false, false
		}
		if !slices.ContainsFunc(d.Conditions, func(c string) bool { return holds(c, s) }) {
			satisfied = false
		}
	}
	return true, satisfied
}

func holds(condition string, s Status) bool {
	if condition == Completed {
		return s == Succeeded || s == Failed
	}
	return condition == string(s) && s != Cancelled
}

// Verdict is the outcome of a run or of one pass through a container's body.
type Verdict struct {
	Status    Status
	Evaluated []string // activities that decided, in the order of the definition
	Cause     string   // the activity that made the outcome Failed or Cancelled
	Why       string   // one sentence for the reader
}

// Outcome applies the leaf rule (adf.md section 1.5): activities on which nothing depends decide; of a skipped one the
// activities before it decide in its place. All of them must have succeeded. acts are the activities of one body, status
// is by name; an activity without a final status makes the outcome InProgress. An empty body has succeeded.
func Outcome(acts []Activity, status map[string]Status) Verdict {
	for _, a := range acts {
		switch s := status[a.Name]; {
		case s == Cancelled:
			return Verdict{Status: Cancelled, Evaluated: []string{a.Name}, Cause: a.Name,
				Why: fmt.Sprintf("Cancelled while %q had not finished.", a.Name)}
		case !s.Finished():
			return Verdict{Status: InProgress, Why: fmt.Sprintf("%q has not finished.", a.Name)}
		}
	}
	j := judge{status: status, parents: map[string][]string{}, cameFrom: map[string]string{}}
	hasChild := map[string]bool{}
	for _, a := range acts {
		for _, d := range a.DependsOn {
			j.parents[a.Name] = append(j.parents[a.Name], d.Activity)
			hasChild[d.Activity] = true
		}
	}
	for _, a := range acts {
		if !hasChild[a.Name] {
			j.evaluate(a.Name, a.Name)
		}
	}
	return j.verdict(acts)
}

// judge walks from the leaves to the activities that decide.
type judge struct {
	status   map[string]Status
	parents  map[string][]string
	cameFrom map[string]string // activity -> the leaf in whose place it was evaluated
}

func (j judge) evaluate(name, leaf string) {
	if _, seen := j.cameFrom[name]; seen {
		return
	}
	j.cameFrom[name] = leaf
	if j.status[name] == Skipped {
		for _, parent := range j.parents[name] {
			j.evaluate(parent, leaf)
		}
	}
}

func (j judge) verdict(acts []Activity) Verdict {
	v := Verdict{Status: Succeeded}
	var causes, handled []string
	for _, a := range acts {
		leaf, evaluated := j.cameFrom[a.Name]
		s := j.status[a.Name]
		if evaluated && s != Skipped {
			v.Evaluated = append(v.Evaluated, a.Name)
		}
		if s != Failed {
			continue
		}
		if !evaluated {
			handled = append(handled, fmt.Sprintf("%q", a.Name))
			continue
		}
		if v.Cause == "" {
			v.Cause = a.Name
		}
		reason := fmt.Sprintf("%q failed", a.Name)
		if leaf != a.Name {
			reason += fmt.Sprintf(" (leaf %q was skipped)", leaf)
		}
		causes = append(causes, reason)
	}
	switch {
	case len(causes) > 0:
		v.Status = Failed
		v.Why = "Failed because " + strings.Join(causes, ", and ") + "."
	case len(handled) > 0:
		v.Why = fmt.Sprintf("Succeeded: %s failed, but activities after it dealt with that and every activity that decides succeeded.",
			strings.Join(handled, ", "))
	case len(v.Evaluated) == 0:
		v.Why = "Succeeded: there was nothing to do."
	default:
		v.Why = "Succeeded: every activity that decides succeeded."
	}
	return v
}
