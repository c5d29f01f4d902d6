package render

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
)

// PlanJSON is what "--output json" writes for a plan.
type PlanJSON struct {
	ID          string            `json:"id"`
	Environment string            `json:"environment"`
	Target      string            `json:"target"`
	RealData    bool              `json:"realData"`
	Base        int64             `json:"base"` // revision of the state that it is for
	At          time.Time         `json:"at"`
	Counts      CountsJSON        `json:"counts"`
	Estimate    *flowehr.Estimate `json:"estimate,omitempty"`
	Steps       []StepJSON        `json:"steps"`          // in an order that respects their needs
	Next        string            `json:"next,omitempty"` // command that goes on
}

// CountsJSON counts the steps of a plan by action.
type CountsJSON struct {
	Keep    int `json:"keep"`
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
}

// StepJSON is one step of a plan. Specs are left out: they are the target's own business and stand in the plan file.
type StepJSON struct {
	Action   flowehr.Action   `json:"action"`
	Resource flowehr.Ref      `json:"resource"`
	Layer    flowehr.Layer    `json:"layer"`
	Why      string           `json:"why,omitempty"`
	Holds    bool             `json:"holdsData,omitempty"`
	After    []flowehr.Ref    `json:"after,omitempty"`
	Changes  []flowehr.Change `json:"changes,omitempty"`
	Parts    []flowehr.Part   `json:"parts,omitempty"`
	Pos      flowehr.Pos      `json:"pos,omitzero"`
}

// NewPlanJSON returns the JSON form of v. Kept resources are there whatever v.All says.
func NewPlanJSON(v PlanView) PlanJSON {
	p := v.Plan
	out := PlanJSON{
		ID: p.ID, Environment: p.Environment, Target: string(p.Target), RealData: p.RealData, Base: int64(p.Base), At: p.At,
		Counts: CountsJSON{Keep: p.Count(flowehr.Keep), Create: p.Count(flowehr.Create), Update: p.Count(flowehr.Update),
			Replace: p.Count(flowehr.Replace), Delete: p.Count(flowehr.Delete)},
		Estimate: p.Estimate, Steps: []StepJSON{}, Next: v.Next,
	}
	for _, s := range p.Steps {
		out.Steps = append(out.Steps, StepJSON{Action: s.Action, Resource: s.Want.Ref, Layer: s.Want.Layer, Why: s.Why,
			Holds: s.Want.Holds, After: s.After, Changes: s.Changes, Parts: s.Parts, Pos: s.Want.Pos})
	}
	return out
}

// EventJSON is one line of "--output json" while a plan is applied.
type EventJSON struct {
	At       time.Time         `json:"at"`
	Kind     flowehr.EventKind `json:"kind"`
	Resource *flowehr.Ref      `json:"resource,omitempty"`
	Action   string            `json:"action,omitempty"`
	Text     string            `json:"text,omitempty"`
	Seconds  float64           `json:"seconds,omitempty"`
	Error    string            `json:"error,omitempty"`
}

// Events returns a sink that writes each event as one line of JSON. A write that fails is not reported.
func Events(w io.Writer) flowehr.Sink {
	var mu sync.Mutex
	return func(e flowehr.Event) {
		line := EventJSON{At: e.At, Kind: e.Kind, Text: e.Text, Seconds: e.Took.Seconds(), Error: e.Err}
		if e.Ref != (flowehr.Ref{}) {
			line.Resource, line.Action = &e.Ref, e.Action.String()
		}
		mu.Lock()
		defer mu.Unlock()
		_ = encoder(w).Encode(line)
	}
}

// DiagnosticsJSON is what "--output json" writes for diagnostics.
type DiagnosticsJSON struct {
	Errors      int                  `json:"errors"`
	Warnings    int                  `json:"warnings"`
	Diagnostics []flowehr.Diagnostic `json:"diagnostics"` // sorted by place
}

// NewDiagnosticsJSON returns the JSON form of ds.
func NewDiagnosticsJSON(ds []flowehr.Diagnostic) DiagnosticsJSON {
	out := DiagnosticsJSON{Diagnostics: append([]flowehr.Diagnostic{}, ds...)}
	flowehr.SortDiagnostics(out.Diagnostics)
	for _, d := range ds {
		if d.Severity == flowehr.SeverityError {
			out.Errors++
			continue
		}
		out.Warnings++
	}
	return out
}

// JSON writes v as one indented value.
func JSON(w io.Writer, v any) error {
	e := encoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}
