package flowehr

import (
	"encoding/json"
	"fmt"
	"time"
)

// Action is what a step does to a resource.
type Action int

// Actions. Replace deletes and creates, because the target cannot change the thing in place.
const (
	Keep Action = iota
	Create
	Update
	Replace
	Delete
)

// Actions lists every action.
func Actions() []Action { return []Action{Keep, Create, Update, Replace, Delete} }

// String returns the action's lower-case name.
func (a Action) String() string {
	switch a { //exhaustive:enforce
	case Keep:
		return "keep"
	case Create:
		return "create"
	case Update:
		return "update"
	case Replace:
		return "replace"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("action(%d)", int(a))
}

// MarshalText writes the name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a name; an unknown one is an error.
func (a *Action) UnmarshalText(b []byte) error {
	for _, known := range Actions() {
		if known.String() == string(b) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("unknown action %q", b)
}

// Step is one planned change. It is data: print it, store it, compare it.
type Step struct {
	Action  Action   `json:"action"`
	Want    Resource `json:"want"`            // for Delete: the resource as recorded
	Prior   *Record  `json:"prior,omitempty"` // what stands now, when something does
	After   []Ref    `json:"after,omitempty"` // steps of the same plan that must be done first
	Changes []Change `json:"changes,omitempty"`
	Parts   []Part   `json:"parts,omitempty"` // when Want stands for many things: what happens to each
	Why     string   `json:"why,omitempty"`   // one short clause for people

	// Expected is how long the step usually takes, in nanoseconds; 0 when that is not known or no time at all.
	Expected time.Duration `json:"expected,omitempty"`
}

// Part is one of the many things that a resource such as a deployment stack stands for.
type Part struct {
	Kind    string   `json:"kind"` // the target's own type of it
	Name    string   `json:"name"`
	Action  Action   `json:"action"`
	Changes []Change `json:"changes,omitempty"` // Path is a JSON pointer within the part
}

// Estimate says what a plan will cost and how long it will take, as far as that can be told beforehand.
type Estimate struct {
	Currency string        `json:"currency"`           // ISO 4217
	Before   float64       `json:"before"`             // per month of what stands
	After    float64       `json:"after"`              // per month of what is wanted
	Prices   string        `json:"prices"`             // whose prices, of which day
	Unpriced []string      `json:"unpriced,omitempty"` // what is not in the sum, and why
	Took     time.Duration `json:"took"`               // nanoseconds that applying is expected to take
}

// Change is one property that a step changes. Before and After are JSON; null means absent. Values that come from
// secrets stand in a Spec as references, so a Change never holds one.
type Change struct {
	Path   string          `json:"path"` // JSON pointer within Spec
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Plan takes an environment from its state at Base to the wanted state. It is complete: nothing else is needed to
// show, store, approve or apply it. It must not be used when the state has moved on from Base.
type Plan struct {
	ID          string     `json:"id"` // first characters of the digest of its content
	Environment string     `json:"environment"`
	Target      TargetName `json:"target"`
	RealData    bool       `json:"realData,omitempty"`
	Base        Revision   `json:"base"`
	At          time.Time  `json:"at"`
	Steps       []Step     `json:"steps"`
	Estimate    *Estimate  `json:"estimate,omitempty"`
}

// Count returns how many steps do a.
func (p Plan) Count(a Action) int {
	n := 0
	for _, s := range p.Steps {
		if s.Action == a {
			n++
		}
	}
	return n
}

// Empty reports whether every step keeps what stands.
func (p Plan) Empty() bool { return p.Count(Keep) == len(p.Steps) }
