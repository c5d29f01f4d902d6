package flowehr

import "time"

// EventKind says what happened.
type EventKind string

// Kinds of event that applying a plan and running services produce.
const (
	EventRunStarted  EventKind = "run-started"
	EventStepStarted EventKind = "step-started"
	EventStepNote    EventKind = "step-note" // still working, with a word on how far
	EventStepRetry   EventKind = "step-retry"
	EventStepDone    EventKind = "step-done"
	EventStepFailed  EventKind = "step-failed"
	EventStepSkipped EventKind = "step-skipped" // something that it needs failed
	EventRunDone     EventKind = "run-done"
	EventService     EventKind = "service" // a supervised service changed state
)

// Event is one piece of progress: the terminal, the JSON stream and the portal show the same ones.
type Event struct {
	At     time.Time     `json:"at"`
	Kind   EventKind     `json:"kind"`
	Ref    Ref           `json:"ref,omitzero"`
	Action Action        `json:"action,omitempty"`
	Text   string        `json:"text,omitempty"`
	Took   time.Duration `json:"took,omitempty"` // nanoseconds
	Err    string        `json:"error,omitempty"`
}

// Sink takes events. It must be quick and safe for concurrent use.
type Sink func(Event)

// Clock tells the time. Code with timers is tested in testing/synctest, not with a fake clock.
type Clock func() time.Time
