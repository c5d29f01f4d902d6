package portal

import (
	"context"
	"encoding/json"
	"errors"
)

// Errors that a reader or an actor may return; everything else is shown as a fault of the portal.
var (
	ErrNotFound = errors.New("not found") // shown as page 404
	ErrDenied   = errors.New("denied")    // shown as page 403; the adapter has written the refusal to the audit log
)

// Refusal is an action that cannot be done now, in words for the person: it is shown as it stands.
type Refusal struct{ Reason string }

// Error returns the reason.
func (r Refusal) Error() string { return r.Reason }

// Person is somebody who signed in. ID is what the audit log calls them.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // empty: ID is shown
}

// Data is everything that the portal reads and does. A nil member takes its pages out of the portal.
//
// Each method gets the person who asks, so that the implementation can decide and can write the audit log before it
// answers. All methods are called concurrently. Unknown numbers are -1, unknown times zero, unknown texts empty: the
// pages then say so or leave the fact out.
type Data struct {
	Environment  EnvironmentReader
	Resources    ResourceReader
	Pipelines    PipelineReader
	Runs         RunReader
	Logs         LogReader
	Actions      RunActor
	Lake         TableReader
	LakeProfile  Profiler
	Store        TableReader
	StoreProfile Profiler
	Sources      SourceReader
	Services     ServiceReader
	Audit        AuditReader
	SignIns      SignInRecorder
}

// EnvironmentReader tells how the environment is.
type EnvironmentReader interface {
	Overview(context.Context, Person) (Overview, error)
}

// ResourceReader lists what was deployed.
type ResourceReader interface {
	Resources(context.Context, Person) (Resources, error)
}

// PipelineReader lists and shows pipelines.
type PipelineReader interface {
	Pipelines(context.Context, Person) ([]PipelineSummary, error)
	Pipeline(ctx context.Context, by Person, name string) (Pipeline, error)
}

// RunReader lists and shows runs, newest first. Watch sends a value soon after the run or its log has changed, may
// merge several changes into one, and closes the channel when ctx ends or the run cannot change any more.
type RunReader interface {
	Runs(context.Context, Person, RunFilter) (RunPage, error)
	Run(ctx context.Context, by Person, id string) (Run, error)
	Watch(ctx context.Context, by Person, id string) (<-chan struct{}, error)
}

// LogReader returns the lines of one activity's log in order, at most Limit of them, the last ones when Tail is set.
type LogReader interface {
	Log(context.Context, Person, LogQuery) ([]LogLine, error)
}

// RunActor starts and changes runs. Start gets values that fit the declared types; what is left out takes its default.
// Resume begins a new run that keeps what succeeded in run id and does the rest; it returns that run's id, which may be
// the same id. Each method may return a [Refusal].
type RunActor interface {
	Start(ctx context.Context, by Person, pipeline string, parameters map[string]json.RawMessage) (id string, err error)
	Cancel(ctx context.Context, by Person, id string) error
	Resume(ctx context.Context, by Person, id string) (newID string, err error)
}

// TableReader lists and shows tables of the lake or of the feature store. Preview reads rows of people, so it is asked
// for only when the person asks.
type TableReader interface {
	Tables(context.Context, Person) ([]TableSummary, error)
	Table(ctx context.Context, by Person, name string) (Table, error)
	Preview(ctx context.Context, by Person, name string, rows int) (Preview, error)
}

// Profiler computes the profile of the current version of a table. It may take seconds.
type Profiler interface {
	Profile(ctx context.Context, by Person, name string) (Profile, error)
}

// SourceReader lists data sources and tests one by connecting to it.
type SourceReader interface {
	Sources(context.Context, Person) ([]Source, error)
	TestSource(ctx context.Context, by Person, name string) (SourceTest, error)
}

// ServiceReader lists the processes that make up the environment.
type ServiceReader interface {
	Services(context.Context, Person) ([]Service, error)
}

// AuditReader reads the audit log, newest first, and verifies its chain.
type AuditReader interface {
	Entries(context.Context, Person, AuditFilter) (AuditPage, error)
	Chain(context.Context, Person) (Chain, error)
}

// SignInRecorder is told before a person is let in or out. An error keeps them where they are.
type SignInRecorder interface {
	SignedIn(context.Context, Person) error
	SignedOut(context.Context, Person) error
}
