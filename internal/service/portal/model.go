package portal

import (
	"encoding/json"
	"time"

	"github.com/flowehr/flowehr"
)

// Health says how a service or a layer is.
type Health string

// Healths.
const (
	Healthy       Health = "healthy"
	Starting      Health = "starting"
	Degraded      Health = "degraded"
	Down          Health = "down"
	Stopped       Health = "stopped"
	HealthUnknown Health = "unknown"
)

// RunState says how far a run, an activity or an attempt is.
type RunState string

// States of runs. Skipped and Waiting are of activities only.
const (
	Queued     RunState = "queued"
	Running    RunState = "running"
	Succeeded  RunState = "succeeded"
	Failed     RunState = "failed"
	Cancelling RunState = "cancelling"
	Cancelled  RunState = "cancelled"
	Skipped    RunState = "skipped"
	Waiting    RunState = "waiting" // for what it depends on
)

// Done reports whether the state is final.
func (s RunState) Done() bool {
	return s == Succeeded || s == Failed || s == Cancelled || s == Skipped
}

// NameValue is one named text.
type NameValue struct{ Name, Value string }

// Overview is the first page: how each layer is and what needs somebody.
type Overview struct {
	Health Health
	Layers []Layer // in the order of deployment
	Needs  []Need  // most urgent first, besides failed runs, which the portal finds itself
}

// Layer is one part of the environment.
type Layer struct {
	Layer  flowehr.Layer
	Health Health
	Word   string   // "8 of 8", "2 running"
	Facts  []string // one sentence each
}

// Need is something that a person should look at. Path is a page of the portal.
type Need struct {
	Health  Health // Down is shown as a failure, everything else as a warning
	Word    string // "Failed", "Stale"
	Subject string
	Path    string
	Text    string
}

// Resources is the state of the environment.
type Resources struct {
	Revision flowehr.Revision
	Records  []flowehr.Record
}

// PipelineSummary is a line of the list of pipelines.
type PipelineSummary struct {
	Name, Project, Folder, Description string
	Activities                         int
	Triggers                           []string
	Next                               time.Time // next fire of any trigger
	Last                               *RunSummary
}

// Pipeline is a definition and what starts it.
type Pipeline struct {
	PipelineSummary
	Parameters []Parameter
	Nodes      []Node
	Schedule   []Trigger
	Versions   []PipelineVersion // newest first
	Definition string            // JSON, indented
	Refused    []string          // why it cannot be run here
}

// Parameter is a parameter of a pipeline. Type is one of Data Factory's names: string, int, float, bool, array, object,
// secureString. Default is JSON; nil means none.
type Parameter struct {
	Name, Type, Description string
	Default                 json.RawMessage
}

// Node is an activity of a definition. Path is how activity runs at this place begin, e.g. "/Load each".
type Node struct {
	Name, Type, Path, Description string
	DependsOn                     []Dependency
	Inside                        []Branch // of ForEach, Until, IfCondition, Switch
}

// Branch is one list of activities inside a container: "each", "true", "false", a case.
type Branch struct {
	Name  string
	Nodes []Node
}

// Dependency is an edge: Conditions are "Succeeded", "Failed", "Completed", "Skipped", any of which holds.
type Dependency struct {
	On         string
	Conditions []string
}

// Trigger starts a pipeline by time.
type Trigger struct {
	Name, Type, Recurrence, Zone string
	Active                       bool
	Last                         time.Time
	Next                         []time.Time
}

// PipelineVersion is a definition that was deployed.
type PipelineVersion struct {
	Digest, By, Note string
	At               time.Time
}

// RunFilter chooses runs. Zero members do not filter. After is the Next of an earlier page.
type RunFilter struct {
	Pipeline, By string
	State        RunState
	Since        time.Time
	After        string
	Limit        int
}

// RunPage is one page of runs. Next is empty on the last.
type RunPage struct {
	Runs []RunSummary
	Next string
}

// RunSummary is a line of the list of runs.
type RunSummary struct {
	ID, Pipeline, Project string
	State                 RunState
	By, Trigger           string // who started it, and the trigger when one did
	Parent                string // run that started this one
	Queued, Started       time.Time
	Ended                 time.Time
	Rows                  int64  // written
	Error                 string // first line
}

// Run is one run with everything that happened in it.
type Run struct {
	RunSummary
	Version    string // digest of the definition
	Parameters []NameValue
	Nodes      []Node        // definition of the top level, with branches
	Activities []ActivityRun // in the order in which they began, containers before what is inside
	Variables  []VariableChange
	Unaffected []string // sentences: what stands although the run failed
	Resumable  bool
	ResumedOf  string // run that this one goes on from
}

// ActivityRun is one instance of an activity. Path is unique and stable in the run: "/Load each[17]/Copy".
type ActivityRun struct {
	Path, Name, Type string
	State            RunState
	Started, Ended   time.Time
	Attempts         []Attempt
	Rows             int64
	Note             string // one line of result or progress
	Input, Output    string // JSON, indented; empty when there is none
	Error            *ActivityError
	Trace            []TraceStep
	Tables           []TableUse
	ChildRun         string
}

// Attempt is one try.
type Attempt struct {
	Number         int
	State          RunState
	Started, Ended time.Time
	Error          string
}

// ActivityError is why an activity failed.
type ActivityError struct{ Code, Message, Type string }

// TraceStep is one expression of an activity with the values of its parts. Depth 0 is the whole expression.
type TraceStep struct {
	Property, Expression, Value string
	Depth                       int
}

// TableUse is a table that an activity read or wrote. Name is the engine's: "lake:gold.features".
type TableUse struct {
	Name    string
	Written bool
	Rows    int64
	Version int64
}

// VariableChange is one setting of a variable.
type VariableChange struct {
	At                time.Time
	Name, Value, Path string
}

// LogQuery chooses lines of one activity, or of the whole run when Path is empty. Attempt 0 means all.
type LogQuery struct {
	Run, Path string
	Attempt   int
	Limit     int
	Tail      bool
}

// LogLine is one line. Level is "error", "warning" or empty.
type LogLine struct {
	At    time.Time
	Path  string
	Level string
	Text  string
}

// TableSummary is a line of a list of tables. Name identifies it; Group is its zone or schema.
type TableSummary struct {
	Name, Group, Project string
	Rows, Bytes          int64
	Columns              int
	Version              int64
	Previous             int64 // feature store: the version that was published before
	Updated              time.Time
	Run                  string // that wrote it
	Pipeline             string
	Checks               []Check
	Comment              string
}

// Check is an assertion about a table.
type Check struct {
	Name, Text string
	OK         bool
}

// Table is one table.
type Table struct {
	TableSummary
	Columns  []Column
	History  []TableVersion // newest first
	Lineage  Lineage
	Readers  []TableReading // nil when reading is not recorded
	Location string
}

// Column is a column of a table. Masked says why its values are not shown.
type Column struct {
	Name, Type, Comment, Unit, Role, Masked string
	Nullable                                bool
}

// TableVersion is one commit.
type TableVersion struct {
	Version     int64
	At          time.Time
	Operation   string
	By, Run     string
	Rows, Bytes int64
	Note        string
}

// TableReading is how often somebody read the table lately.
type TableReading struct {
	Who   string
	Count int
	Last  time.Time
}

// Lineage is where a table comes from and goes. This is the ID of the table itself.
type Lineage struct {
	This  string
	Nodes []LineageNode
	Edges []LineageEdge
}

// LineageNode is a table, file, source, pipeline or app.
type LineageNode struct{ ID, Kind, Name, Note, Path string }

// LineageEdge says that data went from one node to the other.
type LineageEdge struct{ From, To string }

// Preview is a few rows. Masked columns hold cells without text.
type Preview struct {
	Columns []Column
	Rows    [][]Cell
	More    bool
}

// Cell is one value as text.
type Cell struct {
	Text string
	Null bool
}

// Profile describes the values of each column of one version.
type Profile struct {
	Version int64
	Rows    int64
	Sampled int64 // rows looked at; equal to Rows when all were
	Columns []ColumnProfile
}

// ColumnProfile describes the values of a column. Hidden says why nothing is told.
type ColumnProfile struct {
	Name     string
	Missing  float64 // share of rows, 0 to 1; -1 unknown
	Distinct int64
	Min, Max string
	Buckets  []Bucket
	Hidden   string
}

// Bucket is one bar of a distribution.
type Bucket struct {
	Label string
	Count int64
}

// Source is a place that data comes from. It holds no password.
type Source struct {
	Name      string
	Kind      flowehr.SourceKind
	Host      string
	Port      int
	Database  string
	Path      string
	TLS       string
	Synthetic string // "1,000 made-up patients, seed 7" when made-up data stands in
	UsedBy    []string
	Test      *SourceTest // the last one
}

// SourceTest is the outcome of connecting to a source.
type SourceTest struct {
	At   time.Time
	OK   bool
	Took time.Duration
	Text string
	Fix  string // what to do
}

// Service is one supervised process or part of the host process.
type Service struct {
	Name, Kind, Text, Address, Version string
	Health                             Health
	Since                              time.Time
	Restarts                           int
	Memory                             int64
}

// AuditFilter chooses entries. Texts match anywhere, without case. After is the Next of an earlier page.
type AuditFilter struct {
	Who, Action, Subject string
	Since, Until         time.Time
	After                string
	Limit                int
}

// AuditPage is one page of the audit log. Next is empty on the last.
type AuditPage struct {
	Entries []AuditEntry
	Next    string
}

// AuditEntry is one thing that somebody did.
type AuditEntry struct {
	Seq                                    int64
	At                                     time.Time
	Who, Action, Subject, Project, Outcome string
	Detail                                 []NameValue
}

// Chain is whether the audit log is whole.
type Chain struct {
	OK      bool
	Records int64
	At      time.Time // when it was verified
	Problem string
}
