// Package compliance judges an environment control by control: against the CIS Microsoft Azure Foundations Benchmark, of which
// every number stands beside the version that it belongs to, and against the statements of SATRE that software can meet.
//
// It computes from what an environment is compiled to and, when it is given, from what stands: the recorded state and the
// bodies that Azure returns. It makes no request, decides nothing for an organisation and accredits nobody. Titles and
// sentences are this product's own; the numbers are those of the published documents.
//
// The rule that holds here: a control is met only by what is in force. A rule that is attached to nothing, a log that watches
// nothing and an alert that reaches nobody count as absent, and what the files cannot show is "cannot tell" together with who
// can.
package compliance

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/flowehr/flowehr"
)

// Status is what a control comes to.
type Status string

// The statuses, in the order in which they ask for attention.
const (
	NotMet        Status = "not met"
	CannotTell    Status = "cannot tell"
	Met           Status = "met"
	NotApplicable Status = "not applicable"
)

// Statuses lists every status in that order.
func Statuses() []Status { return []Status{NotMet, CannotTell, Met, NotApplicable} }

// Control is one requirement of one version of a standard.
type Control struct {
	Standard string `json:"standard"`
	Version  string `json:"version"`
	ID       string `json:"id"`
	Title    string `json:"title"`           // in our words
	Level    string `json:"level,omitempty"` // SATRE: mandatory, or recommended or optional
	Check    string `json:"check"`           // the check that answers it; one may answer several controls
}

// Evidence is one fact that a finding rests on: a property of a resource, or the result of a probe, or a document.
type Evidence struct {
	Resource string `json:"resource,omitempty"` // type and name, or the id of a resource of another kind
	Property string `json:"property,omitempty"`
	Value    string `json:"value,omitempty"`
	Source   string `json:"source,omitempty"` // a probe, a command or a document
}

// Finding is what one view of an environment, the compiled or the deployed one, says to a control.
type Finding struct {
	Status   Status     `json:"status"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Why      string     `json:"why"`
	Next     string     `json:"next,omitempty"` // what to do, or who can tell
}

// Result is a control with its findings. Deployed is nil when nothing is known of what stands.
type Result struct {
	Control
	Status     Status   `json:"status"` // see [Result.settle]
	Compiled   Finding  `json:"compiled"`
	Deployed   *Finding `json:"deployed,omitempty"`
	Difference string   `json:"difference,omitempty"`
}

// Agrees reports whether what stands says just what the definition says, so that it need not be told twice.
func (r Result) Agrees() bool {
	return r.Deployed != nil && r.Deployed.Status == r.Compiled.Status && r.Deployed.Why == r.Compiled.Why && r.Deployed.Next == r.Compiled.Next &&
		slices.Equal(r.Deployed.Evidence, r.Compiled.Evidence)
}

// settle derives the status of the whole: what stands counts, and a definition that would break it with the next deployment
// counts as well.
func (r *Result) settle() {
	r.Status = r.Compiled.Status
	if r.Deployed == nil {
		return
	}
	if r.Status = r.Deployed.Status; r.Compiled.Status == NotMet {
		r.Status = NotMet
	}
	if r.Compiled.Status == r.Deployed.Status {
		return
	}
	r.Difference = "The definition says " + string(r.Compiled.Status) + ", what stands says " + string(r.Deployed.Status) + "."
	switch {
	case r.Compiled.Status == Met && r.Deployed.Status == NotMet:
		r.Difference += " Either it was changed by hand or the definition is not deployed yet; flowehr plan shows which."
	case r.Compiled.Status == NotMet && r.Deployed.Status == Met:
		r.Difference += " The next deployment would take it away."
	case r.Deployed.Status == CannotTell:
		r.Difference += " What stands could not be read."
	}
}

// Probe is a forbidden thing that was tried, or a required one that was.
type Probe struct {
	Name   string    `json:"name"` // one of the Probe… constants
	Held   bool      `json:"held"` // what is forbidden was refused, what is required worked
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

// Names of probes. A probe outweighs the files: it saw what is in force.
const (
	ProbeOutbound  = "outbound-internet" // reaching an address outside from inside is refused
	ProbeIsolation = "project-isolation" // one project's identity cannot read another project's data
	ProbeAudit     = "audit-chain"       // the audit log verifies from the first entry to the last
	ProbeEgress    = "egress"            // data does not leave but through the airlock
	ProbeRestore   = "restore"           // a backup was restored
	ProbeAtRest    = "encryption-at-rest"
)

// Facts are what is known besides the definition and the resources. A nil pointer means that nobody looked.
type Facts struct {
	SignInRequired *bool    // the portal refuses who has not signed in
	TLS            *bool    // the portal is reached over TLS, or from this machine only
	AuditLog       *bool    // events are written to the hash-chained log
	MultiFactor    *bool    // tokens carry proof of a second factor
	CodeReviewed   *bool    // the definition's branch takes changes through reviewed pull requests only
	Features       []string // parts of the product that are in use: see the Feature… constants; nil when nobody looked
}

// Parts of the product that statements of SATRE ask for. A caller names those that the environment has.
const (
	FeatureAirlock     = "airlock"
	FeatureDatasets    = "datasets" // the record of data held
	FeatureGrants      = "grants"   // per person, per data set, with an end
	FeatureUsage       = "usage"
	FeatureLineage     = "lineage"
	FeatureDisclosure  = "disclosure" // recorded checks of outputs
	FeatureBackup      = "backup"
	FeatureTraining    = "training"
	FeatureFreeze      = "freeze"
	FeatureDependency  = "dependency-report"
	FeatureRetention   = "retention"
	FeatureDestroy     = "destroy-proof"
	FeatureDrift       = "drift"
	FeatureScheduledCI = "scheduled-plan"
)

// Input is what is judged. Environment is always given; Resources are what a target lowers it to.
type Input struct {
	Environment *flowehr.Environment
	Resources   []flowehr.Resource

	// State is what was applied, nil when it is not known. Live has the body of each thing that [Wanted] asks for, by its id as
	// it stands there; null means that Azure says there is none, an id that is missing that nobody asked.
	State *flowehr.State
	Live  map[string]json.RawMessage

	Facts  Facts
	Probes []Probe

	Simulation bool // State and Live are of a simulation of Azure

	Benchmarks []string // versions of the CIS benchmark; all of [Benchmarks] when empty
	At         time.Time
	Product    string // version of this product
}

// Section is one version of one standard.
type Section struct {
	Standard string         `json:"standard"`
	Version  string         `json:"version"`
	Note     string         `json:"note,omitempty"`
	Counts   map[Status]int `json:"counts"` // of all controls, also when only problems are shown
	Results  []Result       `json:"results"`
}

// Report is the answer to every control.
type Report struct {
	Environment  string             `json:"environment"`
	Target       flowehr.TargetName `json:"target"`
	RealData     bool               `json:"realData"`
	At           time.Time          `json:"at"`
	Product      string             `json:"product"`
	Deployed     bool               `json:"deployed"`             // what stands was judged as well
	Simulation   bool               `json:"simulation,omitempty"` // what stands was simulated
	ProblemsOnly bool               `json:"problemsOnly,omitempty"`
	Disclaimer   string             `json:"disclaimer"`
	Sections     []Section          `json:"sections"`
}

const disclaimer = "This is evidence, not an accreditation. It says what the definition and the deployed resources show on the day of the report; " +
	"the organisation remains answerable for each control, and neither the Center for Internet Security nor the authors of SATRE have assessed it."

// Benchmarks lists the versions of the CIS benchmark that are known, oldest first.
func Benchmarks() []string { return []string{"v2.0.0", "v3.0.0", "v5.0.0"} }

// SATREVersion is the version of SATRE whose statements are judged.
const SATREVersion = "v2.0.1"

// Standards, as reports name them.
const (
	StandardCIS   = "CIS Microsoft Azure Foundations Benchmark"
	StandardSATRE = "SATRE"
)

// Evaluate judges every control. The CIS benchmark is about Azure: an environment that runs on this machine gets SATRE alone.
func Evaluate(in Input) (Report, error) {
	report := Report{
		Environment: in.Environment.Suffix, Target: in.Environment.Target, RealData: in.Environment.RealData,
		At: in.At.UTC().Truncate(time.Second), Product: in.Product, Simulation: in.Simulation, Disclaimer: disclaimer,
	}
	compiled, err := compiledView(in)
	if err != nil {
		return Report{}, err
	}
	views := []*view{compiled}
	if in.State != nil {
		deployed, err := deployedView(in)
		if err != nil {
			return Report{}, err
		}
		views, report.Deployed = append(views, deployed), true
	}
	if in.Environment.Target == flowehr.TargetAzure {
		wanted := in.Benchmarks
		if len(wanted) == 0 {
			wanted = Benchmarks()
		}
		for i, version := range Benchmarks() {
			if slices.Contains(wanted, version) {
				report.Sections = append(report.Sections, judged(Section{Standard: StandardCIS, Version: version, Note: benchmarkNotes[i]}, benchmark(i), views))
			}
		}
	}
	report.Sections = append(report.Sections, judged(Section{Standard: StandardSATRE, Version: SATREVersion, Note: satreNote}, satre(), views))
	return report, nil
}

// asked is a control with the check that answers it.
type asked struct {
	Control
	judge check
}

// check answers a control from one view.
type check func(*view) Finding

func judged(s Section, controls []asked, views []*view) Section {
	s.Counts = map[Status]int{}
	for _, c := range controls {
		r := Result{Control: c.Control, Compiled: views[0].judge(c)}
		if len(views) > 1 {
			deployed := views[1].judge(c)
			r.Deployed = &deployed
		}
		r.settle()
		s.Counts[r.Status]++
		s.Results = append(s.Results, r)
	}
	return s
}

// judge answers a control. A check that several controls share runs once.
func (v *view) judge(c asked) Finding {
	f, known := v.answers[c.Check]
	if !known {
		f = c.judge(v)
		v.answers[c.Check] = f
	}
	return f
}

// Problems is the report with only what needs somebody: controls that are not met and those whose two views differ. Counts
// remain those of the whole.
func (r Report) Problems() Report {
	r.ProblemsOnly = true
	r.Sections = slices.Clone(r.Sections)
	for i := range r.Sections {
		r.Sections[i].Results = slices.DeleteFunc(slices.Clone(r.Sections[i].Results), func(x Result) bool {
			return x.Status != NotMet && x.Difference == ""
		})
	}
	return r
}

// JSON is the report for programs.
func (r Report) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(r, "", "  ")
	return append(out, '\n'), err
}
