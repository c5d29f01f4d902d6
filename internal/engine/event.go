package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Kinds of event. The path of an event is that of the activity instance, or empty for the run itself.
const (
	evStarted     = "Started"       // an attempt begins
	evAttempt     = "AttemptFailed" // an attempt failed and another follows
	evInterrupted = "Interrupted"   // an attempt was cut off with its worker; it costs no retry
	evEntered     = "Entered"       // a container began, with the decision that holds for all of it
	evPass        = "Pass"          // a pass of Until ended, with whether it was the last
	evSucceeded   = "Succeeded"
	evFailed      = "Failed"
	evSkipped     = "Skipped"
	evCancelled   = "Cancelled"
	evReused      = "Reused" // a success taken over from the run that this one resumes
	evFormer      = "Former" // a container as it was entered in that run
)

// eventData is the body of an event. Empty fields are left out.
type eventData struct {
	Name     string          `json:"name,omitempty"`
	Type     string          `json:"type,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
	Output   json.RawMessage `json:"output,omitempty"`
	Error    *Failure        `json:"error,omitempty"`
	User     json.RawMessage `json:"user,omitempty"` // user properties
	Rows     int64           `json:"rows,omitempty"`
	Inactive bool            `json:"inactive,omitempty"`
	Trace    []TraceStep     `json:"trace,omitempty"`

	Items  json.RawMessage `json:"items,omitempty"`  // ForEach
	Secret bool            `json:"secret,omitempty"` // nobody may see Items
	Count  int             `json:"count,omitempty"`  // of secret Items
	Branch *string         `json:"branch,omitempty"` // If, Switch; null in "taken none"
	Child  string          `json:"child,omitempty"`  // ExecutePipeline: run id
	Pass   int             `json:"pass,omitempty"`
	Last   bool            `json:"last,omitempty"`
	Until  *time.Time      `json:"until,omitempty"`  // Wait, Until: when it is over
	Status string          `json:"status,omitempty"` // Pass: outcome of the body

	Variable *variableChange `json:"variable,omitempty"`
	Return   json.RawMessage `json:"return,omitempty"` // pipelineReturnValue

	Message   string   `json:"message,omitempty"` // of the run
	Why       string   `json:"why,omitempty"`
	Evaluated []string `json:"evaluated,omitempty"`
}

// variableChange is a value given to a variable, or appended to it.
type variableChange struct {
	Name   string          `json:"name"`
	Value  json.RawMessage `json:"value"`
	Append bool            `json:"append,omitempty"`
}

// Failure is the error of an activity as expressions and people see it.
type Failure struct {
	Code    string `json:"errorCode"`
	Message string `json:"message"`
	Type    string `json:"failureType"`
	Target  string `json:"target"`
}

// Types of failure.
const (
	userError   = "UserError"
	systemError = "SystemError"
)

// value is the failure as an object of the expression language.
func (f *Failure) value() expr.Value {
	if f == nil {
		return nil
	}
	o := expr.NewObject()
	o.Set("errorCode", f.Code)
	o.Set("message", f.Message)
	o.Set("failureType", f.Type)
	o.Set("target", f.Target)
	return o
}

// history is what the events of a run say about it, folded in order. It is all that a worker needs to carry on.
type history struct {
	seq       int // of the last event
	instances map[string]*instance
	changes   []variableChange
	returned  json.RawMessage
}

// instance is what is known of one activity instance.
type instance struct {
	status   string // final status, or empty
	data     eventData
	at       time.Time // of the final event
	started  time.Time // of the first attempt
	attempts int       // begun so far
	failed   int       // failed ones: these cost retries
	failedAt time.Time // of the last failed attempt
	open     bool      // an attempt has begun and not ended
	reused   bool
	entered  *eventData
	former   *eventData
	passes   []eventData
}

func (h *history) apply(path, kind string, attempt int, at time.Time, d eventData) {
	if d.Variable != nil && kind == evSucceeded {
		h.changes = append(h.changes, *d.Variable)
	}
	if d.Return != nil && kind == evSucceeded {
		h.returned = d.Return
	}
	if path == "" {
		return
	}
	in := h.instances[path]
	if in == nil {
		in = &instance{}
		h.instances[path] = in
	}
	switch kind {
	case evStarted:
		if in.started.IsZero() {
			in.started = at
		}
		in.attempts, in.open = attempt, true
	case evAttempt:
		in.failed++
		in.failedAt, in.open = at, false
	case evInterrupted:
		in.open = false
	case evEntered:
		in.entered = &d
		if in.started.IsZero() {
			in.started = at
		}
	case evPass:
		in.passes = append(in.passes, d)
	case evFormer:
		in.former = &d
	case evReused:
		in.reused, in.data, in.at = true, d, at
	case evSucceeded, evFailed, evSkipped, evCancelled:
		in.status, in.data, in.at, in.open, in.reused = kind, d, at, false, false
	}
}

// decodeEvent reads the body of an event; what was held back for expressions goes before what may be shown.
func decodeEvent(data, held []byte) (eventData, error) {
	var d eventData
	if held != nil {
		data = held
	}
	if len(data) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("decode event: %w", err)
	}
	return d, nil
}
