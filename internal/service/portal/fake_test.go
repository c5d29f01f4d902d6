package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
)

// fakeNow is the moment at which the fake hospital stands.
var fakeNow = time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)

var ada = Person{ID: "ada@ward-laptop", Name: "Ada"}

// fake is a small hospital in memory. It implements every reader and the actor.
type fake struct {
	mu      sync.Mutex
	runs    []Run
	asked   []string // who asked for what
	started map[string]json.RawMessage
	fail    error // what every reader returns
	refuse  error // what every action returns
	changed chan struct{}
	lines   []LogLine
	empty   bool
}

func newFake() *fake {
	f := &fake{changed: make(chan struct{})}
	f.runs = append(f.runs, runningRun(), failedRun(), greenRun("a90c1277-2b6f-4f0e-9d51-7a1c6b1a3e02", "ingest-epr", 40*time.Minute), loopRun(), cancelledRun())
	for i := range 60 {
		name := []string{"ingest-epr", "ingest-fhir", "conform"}[i%3]
		r := greenRun(fmt.Sprintf("%08x-0000-4000-8000-%012x", 0x51be0700+i, i), name, time.Duration(50+i*21)*time.Minute)
		if i == 17 || i == 31 {
			r.State, r.Error = Failed, "connection to epr-db refused"
			r.Activities[0].State = Failed
			r.Activities[0].Error = &ActivityError{Code: "2200", Type: "SystemError", Message: "connection to epr-db refused"}
		}
		f.runs = append(f.runs, r)
	}
	f.lines = []LogLine{
		{At: ago(31 * time.Minute), Path: "/Assert", Text: "checking 12 assertions on gold.patient_features v38"},
		{At: ago(31*time.Minute - 148*time.Millisecond), Path: "/Assert", Text: "ok    rows > 0                    48,211"},
		{At: ago(31*time.Minute - 714*time.Millisecond), Path: "/Assert", Level: "error", Text: "age between 0 and 120       3 rows"},
		{At: ago(31*time.Minute - 900*time.Millisecond), Path: "/Assert", Level: "warning", Text: "first: patient 900 000 4411, age 131"},
		{At: ago(31*time.Minute - 1157*time.Millisecond), Path: "/Assert", Text: "11 of 12 hold; publishing is refused"},
	}
	return f
}

func ago(d time.Duration) time.Time { return fakeNow.Add(-d) }

func (f *fake) data() Data {
	return Data{
		Environment: f, Resources: f, Pipelines: f, Runs: f, Logs: f, Actions: f,
		Lake: shelfFake{f, "lake"}, LakeProfile: f, Store: shelfFake{f, "store"}, StoreProfile: f,
		Sources: f, Services: f, Audit: f, SignIns: f,
	}
}

func (f *fake) note(by Person, what ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, by.ID+" "+strings.Join(what, " "))
	return f.fail
}

func (f *fake) SignedIn(_ context.Context, by Person) error  { return f.note(by, "signed in") }
func (f *fake) SignedOut(_ context.Context, by Person) error { return f.note(by, "signed out") }

func (f *fake) Overview(_ context.Context, by Person) (Overview, error) {
	if f.empty {
		return Overview{Health: Healthy}, f.note(by, "overview")
	}
	return Overview{
		Health: Degraded,
		Layers: []Layer{
			{flowehr.LayerCore, Healthy, "8 of 8", []string{"Vault, identities, audit."}},
			{flowehr.LayerTransform, Starting, "1 running", []string{"5 pipelines, 3 zones, 6 tables.", "Next trigger 21:00."}},
			{flowehr.LayerServe, Healthy, "2 of 2", []string{"Feature store 1.2 GB of 20 GB."}},
			{flowehr.LayerApps, Stopped, "none", []string{"The definition names no apps."}},
		},
		Needs: []Need{{Health: Degraded, Word: "Stale", Subject: "silver.observation", Path: "/lake/silver.observation", Text: "expected hourly, last update 2 h 10 min ago"}},
	}, f.note(by, "overview")
}

func (f *fake) Resources(_ context.Context, by Person) (Resources, error) {
	if f.empty {
		return Resources{}, f.note(by, "resources")
	}
	rec := func(kind, name string, layer flowehr.Layer, holds bool) flowehr.Record {
		return flowehr.Record{At: ago(3 * time.Hour), Resource: flowehr.Resource{
			Ref: flowehr.Ref{Kind: kind, Name: name}, Layer: layer, Holds: holds, Pos: flowehr.Pos{File: "config.yaml", Line: 12, Column: 3},
		}}
	}
	return Resources{Revision: 41, Records: []flowehr.Record{
		rec("vault", "vault", flowehr.LayerCore, false), rec("zone", "gold", flowehr.LayerTransform, true),
		rec("pipeline", "gold-features", flowehr.LayerTransform, false), rec("database", "features", flowehr.LayerServe, true),
	}}, f.note(by, "resources")
}

func (f *fake) Pipelines(_ context.Context, by Person) ([]PipelineSummary, error) {
	if f.empty {
		return nil, f.note(by, "pipelines")
	}
	var out []PipelineSummary
	for _, name := range []string{"ingest-epr", "ingest-fhir", "conform", "gold-features", "load-each-ward"} {
		s := PipelineSummary{Name: name, Project: "main", Folder: "hospital", Activities: 8, Description: "Brings the hospital's tables into the lake."}
		if i := slices.IndexFunc(f.runs, func(r Run) bool { return r.Pipeline == name }); i >= 0 {
			s.Last = &f.runs[i].RunSummary
		}
		if name == "gold-features" {
			s.Triggers, s.Next = []string{"nightly"}, fakeNow.Add(45*time.Minute)
		}
		out = append(out, s)
	}
	return out, f.note(by, "pipelines")
}

func (f *fake) Pipeline(ctx context.Context, by Person, name string) (Pipeline, error) {
	list, err := f.Pipelines(ctx, by)
	i := slices.IndexFunc(list, func(s PipelineSummary) bool { return s.Name == name })
	if err != nil || i < 0 {
		return Pipeline{}, cmpErr(err, ErrNotFound)
	}
	p := Pipeline{
		PipelineSummary: list[i], Nodes: goldNodes(),
		Parameters: []Parameter{
			{Name: "window_start", Type: "string", Description: "First day to read."},
			{Name: "batch", Type: "int", Default: json.RawMessage("5000")},
			{Name: "full", Type: "bool", Default: json.RawMessage("false"), Description: "Read everything again."},
			{Name: "wards", Type: "array", Default: json.RawMessage(`["A1","B2"]`)},
			{Name: "token", Type: "secureString", Default: json.RawMessage(`"hidden-default"`)},
		},
		Schedule: []Trigger{{
			Name: "nightly", Type: "ScheduleTrigger", Recurrence: "every day at 19:00 and 21:00", Zone: "Europe/London", Active: true,
			Last: ago(75 * time.Minute), Next: []time.Time{fakeNow.Add(45 * time.Minute), fakeNow.Add(24 * time.Hour)},
		}},
		Versions:   []PipelineVersion{{Digest: "4be1c0d9f2aa77e31f", By: "ada@ward-laptop", Note: "clean", At: ago(49 * time.Hour)}},
		Definition: `{"name":"` + name + `","properties":{"activities":[]}}`,
	}
	if name == "load-each-ward" {
		p.Nodes = loopNodes()
	}
	return p, nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func after(names ...string) (out []Dependency) {
	for _, n := range names {
		out = append(out, Dependency{n, []string{"Succeeded"}})
	}
	return out
}

func goldNodes() []Node {
	return []Node{
		{Name: "Copy patients", Type: "Copy", Path: "/Copy patients"}, {Name: "Copy encounters", Type: "Copy", Path: "/Copy encounters"},
		{Name: "Copy observations", Type: "Copy", Path: "/Copy observations"},
		{Name: "Conform", Type: "Script", Path: "/Conform", DependsOn: after("Copy patients", "Copy encounters", "Copy observations")},
		{Name: "Build features", Type: "Script", Path: "/Build features", DependsOn: after("Conform")},
		{Name: "Assert", Type: "Assertion", Path: "/Assert", DependsOn: after("Build features")},
		{Name: "Publish", Type: "Copy", Path: "/Publish", DependsOn: after("Assert")},
		{Name: "Notify", Type: "WebActivity", Path: "/Notify", DependsOn: []Dependency{{"Assert", []string{"Failed"}}}},
	}
}

func loopNodes() []Node {
	return []Node{
		{Name: "List wards", Type: "Lookup", Path: "/List wards"},
		{Name: "Each ward", Type: "ForEach", Path: "/Each ward", DependsOn: after("List wards"), Inside: []Branch{{"each", []Node{
			{Name: "Copy ward", Type: "Copy", Path: "/Each ward/Copy ward"}, {Name: "Check", Type: "Script", DependsOn: after("Copy ward")},
		}}}},
	}
}

func act(name, kind string, state RunState, from, to time.Duration, rows int64) ActivityRun {
	a := ActivityRun{Path: "/" + name, Name: name, Type: kind, State: state, Rows: rows}
	if state != Skipped && state != Waiting {
		a.Started = ago(from)
		if state.Done() {
			a.Ended = ago(to)
		}
		a.Attempts = []Attempt{{Number: 1, State: state, Started: a.Started, Ended: a.Ended}}
	}
	return a
}

func failedRun() Run {
	base := 31*time.Minute + 45*time.Second
	at := func(s float64) time.Duration { return base - time.Duration(s*float64(time.Second)) }
	obs := act("Copy observations", "Copy", Succeeded, at(0), at(21.7), 4102118)
	obs.Attempts = []Attempt{
		{1, Failed, ago(at(0)), ago(at(4)), "connection reset by epr-db"}, {2, Succeeded, ago(at(9)), ago(at(21.7)), ""},
	}
	obs.Input = `{"source":{"type":"PostgreSqlSource","query":"select * from observations where taken_at >= '2026-11-21'"},"sink":{"type":"DeltaSink"}}`
	obs.Output = `{"rowsRead":4102118,"rowsCopied":4102118,"copyDuration":21}`
	obs.Trace = []TraceStep{
		{"source.query", "@concat('select * from observations where taken_at >= ''', pipeline().parameters.window_start, '''')", "select * from observations where taken_at >= '2026-11-21'", 0},
		{"source.query", "pipeline().parameters.window_start", "2026-11-21", 1},
	}
	obs.Tables = []TableUse{{"source:epr/observations", false, 4102118, -1}, {"lake:silver.observation", true, 4102118, 201}}
	assert := act("Assert", "Assertion", Failed, at(44), at(45.2), -1)
	assert.Error = &ActivityError{Code: "2400", Type: "UserError", Message: "age between 0 and 120: 3 of 48,211 rows (ages 131, 134, 140)\nselect patient_id, age from gold.patient_features where age > 120"}
	assert.Input = `{"checks":[{"column":"age_years","between":[0,120]}]}`
	return Run{
		RunSummary: RunSummary{
			ID: "7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", Pipeline: "gold-features", Project: "main", State: Failed, By: "trigger:nightly", Trigger: "nightly",
			Queued: ago(at(0)), Started: ago(at(0)), Ended: ago(at(45.6)), Rows: 4360663, Error: "Assert: age between 0 and 120: 3 of 48,211 rows",
		},
		Version: "4be1c0d9f2aa77e31f", Nodes: goldNodes(), Resumable: true,
		Parameters: []NameValue{{"window_start", "2026-11-21"}, {"batch", "5000"}},
		Activities: []ActivityRun{
			act("Copy patients", "Copy", Succeeded, at(0), at(3.1), 48211), act("Copy encounters", "Copy", Succeeded, at(0), at(6.4), 210334), obs,
			act("Conform", "Script", Succeeded, at(21.7), at(31), -1), act("Build features", "Script", Succeeded, at(31), at(43.6), 48211),
			assert, act("Publish", "Copy", Skipped, 0, 0, -1), act("Notify", "WebActivity", Succeeded, at(45.2), at(45.6), -1),
		},
		Variables:  []VariableChange{{ago(at(31)), "rows", "48211", "/Build features"}},
		Unaffected: []string{"store.patient_features keeps version 37 of yesterday 18:04."},
	}
}

func greenRun(id, pipeline string, before time.Duration) Run {
	a := act("Copy patients", "Copy", Succeeded, before, before-9*time.Second, 48211)
	return Run{
		RunSummary: RunSummary{ID: id, Pipeline: pipeline, Project: "main", State: Succeeded, By: "ada@ward-laptop", Queued: ago(before), Started: ago(before), Ended: ago(before - 9*time.Second), Rows: 48211},
		Nodes:      []Node{{Name: "Copy patients", Type: "Copy", Path: "/Copy patients"}}, Activities: []ActivityRun{a},
	}
}

func loopRun() Run {
	r := greenRun("c0ffee00-1111-4222-8333-444455556666", "load-each-ward", 90*time.Minute)
	r.Nodes, r.Activities = loopNodes(), nil
	r.Ended = ago(90*time.Minute - 60*time.Second)
	base := 90 * time.Minute
	r.Activities = append(r.Activities, act("List wards", "Lookup", Succeeded, base, base-time.Second, -1))
	r.Activities = append(r.Activities, act("Each ward", "ForEach", Succeeded, base-time.Second, base-60*time.Second, -1))
	for i := range 40 {
		begin := base - time.Second - time.Duration(i)*1400*time.Millisecond
		for j, name := range []string{"Copy ward", "Check"} {
			a := act(name, []string{"Copy", "Script"}[j], Succeeded, begin-time.Duration(j)*time.Second, begin-time.Duration(j+1)*time.Second, 120)
			a.Path = fmt.Sprintf("/Each ward[%d]/%s", i, name)
			r.Activities = append(r.Activities, a)
		}
	}
	return r
}

func cancelledRun() Run {
	r := greenRun("dead0000-1111-4222-8333-444455556666", "ingest-fhir", 3*time.Hour)
	r.State, r.Activities[0].State = Cancelled, Cancelled
	return r
}

func runningRun() Run {
	at := func(s float64) time.Duration { return 30*time.Second - time.Duration(s*float64(time.Second)) }
	nodes := goldNodes()
	r := Run{
		RunSummary: RunSummary{ID: "0b5e55ed-61f2-4b44-9c3e-0b8a42c8e0d1", Pipeline: "gold-features", Project: "main", State: Running, By: "ada@ward-laptop", Queued: ago(at(0)), Started: ago(at(0)), Rows: 48211},
		Nodes:      nodes,
		Activities: []ActivityRun{act("Copy patients", "Copy", Succeeded, at(0), at(3.1), 48211), act("Copy encounters", "Copy", Running, at(0), 0, 90112), act("Copy observations", "Copy", Running, at(0), 0, 1200000)},
	}
	for _, n := range nodes[3:] {
		r.Activities = append(r.Activities, act(n.Name, n.Type, Waiting, 0, 0, -1))
	}
	return r
}

func (f *fake) Runs(_ context.Context, by Person, q RunFilter) (RunPage, error) {
	f.mu.Lock()
	runs := slices.Clone(f.runs)
	f.mu.Unlock()
	if f.empty {
		return RunPage{}, f.note(by, "runs")
	}
	from := 0
	_, _ = fmt.Sscanf(q.After, "%d", &from)
	var page RunPage
	slices.SortStableFunc(runs, func(a, b Run) int { return b.Started.Compare(a.Started) })
	for i, r := range runs {
		if i < from || q.Pipeline != "" && r.Pipeline != q.Pipeline || q.State != "" && r.State != q.State || r.Started.Before(q.Since) || !strings.Contains(r.By, q.By) {
			continue
		}
		if q.Limit > 0 && len(page.Runs) == q.Limit {
			page.Next = fmt.Sprint(i)
			break
		}
		page.Runs = append(page.Runs, r.RunSummary)
	}
	return page, f.note(by, "runs")
}

func (f *fake) Run(_ context.Context, by Person, id string) (Run, error) {
	if err := f.note(by, "run", id); err != nil {
		return Run{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs {
		if r.ID == id {
			r.Activities = slices.Clone(r.Activities)
			return r, nil
		}
	}
	return Run{}, ErrNotFound
}

func (f *fake) Watch(ctx context.Context, by Person, id string) (<-chan struct{}, error) {
	r, err := f.Run(ctx, by, id)
	if err != nil {
		return nil, err
	}
	if r.State.Done() {
		closed := make(chan struct{})
		close(closed)
		return closed, nil
	}
	return f.changed, nil
}

// change alters a run and tells one watcher.
func (f *fake) change(id string, do func(*Run)) {
	f.mu.Lock()
	for i := range f.runs {
		if f.runs[i].ID == id {
			f.runs[i].Activities = slices.Clone(f.runs[i].Activities)
			do(&f.runs[i])
		}
	}
	f.mu.Unlock()
	f.changed <- struct{}{}
}

func (f *fake) Log(_ context.Context, by Person, q LogQuery) ([]LogLine, error) {
	return f.lines, f.note(by, "log", q.Run, q.Path)
}

func (f *fake) Start(_ context.Context, by Person, pipeline string, values map[string]json.RawMessage) (string, error) {
	f.started = values
	return "7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", cmpErr(f.note(by, "start", pipeline), f.refuse)
}

func (f *fake) Cancel(_ context.Context, by Person, id string) error {
	return cmpErr(f.note(by, "cancel", id), f.refuse)
}

func (f *fake) Resume(_ context.Context, by Person, id string) (string, error) {
	return id, cmpErr(f.note(by, "resume", id), f.refuse)
}

// shelfFake is the fake's tables of one kind.
type shelfFake struct {
	*fake
	kind string
}

func (s shelfFake) Tables(_ context.Context, by Person) ([]TableSummary, error) {
	if s.empty {
		return nil, s.note(by, s.kind, "tables")
	}
	table := func(group, name string, rows int64) TableSummary {
		return TableSummary{
			Name: group + "." + name, Group: group, Project: "main", Rows: rows, Bytes: rows * 197, Columns: 7, Version: 38, Previous: 37,
			Updated: ago(31 * time.Minute), Run: "7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", Pipeline: "gold-features",
			Checks: []Check{{"rows > 0", "48,211 rows", true}, {"patient_id is unique", "", true}},
		}
	}
	if s.kind == "store" {
		return []TableSummary{table("main", "patient_features", 48208), table("main", "ward_occupancy", 8760)}, s.note(by, "store tables")
	}
	gold := table("gold", "patient_features", 48211)
	gold.Checks = append(gold.Checks, Check{"age between 0 and 120", "3 of 48,211 rows", false})
	raw := table("bronze", "patients", -1)
	raw.Bytes, raw.Columns, raw.Version, raw.Checks, raw.Run = -1, -1, -1, nil, ""
	return []TableSummary{raw, table("silver", "patient", 48211), table("silver", "observation", 4102118), gold}, s.note(by, "lake tables")
}

func (s shelfFake) Table(ctx context.Context, by Person, name string) (Table, error) {
	list, err := s.Tables(ctx, by)
	i := slices.IndexFunc(list, func(t TableSummary) bool { return t.Name == name })
	if err != nil || i < 0 {
		return Table{}, cmpErr(err, ErrNotFound)
	}
	return Table{
		TableSummary: list[i],
		Columns: []Column{
			{Name: "patient_id", Type: "string", Role: "identifier", Comment: "Pseudonym, stable across tables."}, {Name: "age_years", Type: "int", Nullable: true},
			{Name: "sex", Type: "string", Nullable: true}, {Name: "last_creatinine", Type: "double", Unit: "µmol/L", Nullable: true},
			{Name: "los_days_max", Type: "double", Unit: "days", Nullable: true}, {Name: "charlson", Type: "int", Nullable: true},
			{Name: "nhs_number", Type: "string", Masked: "not shown to your role"},
		},
		History: []TableVersion{
			{38, ago(31 * time.Minute), "WRITE", "pipeline:gold-features", list[i].Run, 48211, 9_400_000, ""},
			{37, ago(26 * time.Hour), "CREATE", "pipeline:gold-features", "", -1, -1, "first load"},
		},
		Lineage: Lineage{
			This: "gold.patient_features",
			Nodes: []LineageNode{
				{"silver.patient", "table", "silver.patient", "v112", "/lake/silver.patient"}, {"silver.encounter", "table", "silver.encounter", "v98", ""},
				{"silver.observation", "table", "silver.observation", "v201", "/lake/silver.observation"}, {"p", "pipeline", "gold-features", "", "/pipelines/gold-features"},
				{"gold.patient_features", "table", "gold.patient_features", "v38", ""}, {"store", "store", "main.patient_features", "published v37", "/store/main.patient_features"},
			},
			Edges: []LineageEdge{{"silver.patient", "p"}, {"silver.encounter", "p"}, {"silver.observation", "p"}, {"p", "gold.patient_features"}, {"gold.patient_features", "store"}},
		},
		Readers:  []TableReading{{"ada@ward-laptop", 3, ago(time.Hour)}, {"app:cohort-explorer", 211, ago(4 * time.Minute)}},
		Location: "/home/someone/hospitals/st-elsewhere/environments/.flowehr/local/lake/gold/patient_features",
	}, nil
}

func (s shelfFake) Preview(_ context.Context, by Person, name string, n int) (Preview, error) {
	p := Preview{More: true, Columns: []Column{{Name: "patient_id"}, {Name: "age_years"}, {Name: "comment"}, {Name: "nhs_number", Masked: "not shown to your role"}}}
	for i := range n {
		p.Rows = append(p.Rows, []Cell{{Text: fmt.Sprintf("P%05d", i)}, {Text: fmt.Sprint(30 + i), Null: i%5 == 4}, {Text: strings.Repeat("long text ", 30)}, {}})
	}
	return p, s.note(by, "preview", s.kind, name)
}

func (f *fake) Profile(_ context.Context, by Person, name string) (Profile, error) {
	bars := func(ns ...int64) (out []Bucket) {
		for i, n := range ns {
			out = append(out, Bucket{fmt.Sprintf("%d to %d", i*10, i*10+10), n})
		}
		return out
	}
	return Profile{Version: 38, Rows: 48211, Sampled: 48211, Columns: []ColumnProfile{
		{Name: "patient_id", Distinct: 48211}, {Name: "age_years", Min: "0", Max: "140", Buckets: bars(10, 30, 60, 90, 120, 160, 210, 240, 180, 60, 20, 1)},
		{Name: "sex", Distinct: 2, Buckets: bars(24300, 23911)}, {Name: "last_creatinine", Missing: .112, Min: "21", Max: "884", Buckets: bars(10, 300, 500, 220, 90, 20, 4)},
		{Name: "los_days_max", Missing: .0001, Min: "0", Max: "212", Buckets: bars(900, 220, 90, 20, 4)}, {Name: "charlson", Missing: -1, Min: "0", Max: "14"},
		{Name: "nhs_number", Hidden: "not shown to your role"},
	}}, f.note(by, "profile", name)
}

func (f *fake) Sources(_ context.Context, by Person) ([]Source, error) {
	if f.empty {
		return nil, f.note(by, "sources")
	}
	return []Source{
		{Name: "epr", Kind: flowehr.SourcePostgreSQL, Host: "epr-db", Port: 5432, Database: "epr", TLS: "require", UsedBy: []string{"ingest-epr"}, Synthetic: "1,000 made-up patients, seed 7",
			Test: &SourceTest{At: ago(time.Hour), OK: false, Took: 210 * time.Millisecond, Text: "password is wrong for user epr_reader", Fix: "Set it with: flowehr secrets set EPR_PASSWORD"}},
		{Name: "fhir", Kind: flowehr.SourceFolder, Path: "data/fhir"},
	}, f.note(by, "sources")
}

func (f *fake) TestSource(_ context.Context, by Person, name string) (SourceTest, error) {
	return SourceTest{At: fakeNow, OK: true, Took: 12 * time.Millisecond, Text: "9 tables can be read."}, f.note(by, "test source", name)
}

func (f *fake) Services(_ context.Context, by Person) ([]Service, error) {
	if f.empty {
		return nil, f.note(by, "services")
	}
	return []Service{
		{Name: "postgres", Kind: "process", Health: Healthy, Since: ago(3 * time.Hour), Restarts: 1, Memory: 41_000_000, Address: "socket", Version: "15.14"},
		{Name: "engine", Kind: "in this process", Health: Starting, Since: ago(time.Minute), Memory: -1, Text: "2 runs at work"},
	}, f.note(by, "services")
}

func (f *fake) Entries(_ context.Context, by Person, q AuditFilter) (AuditPage, error) {
	if f.empty {
		return AuditPage{}, f.note(by, "audit")
	}
	return AuditPage{Next: "12400", Entries: []AuditEntry{
		{12408, ago(time.Minute), "ada@ward-laptop", "lake.preview", "table/gold.patient_features", "main", "ok", []NameValue{{"rows", "20"}}},
		{12407, ago(31 * time.Minute), "pipeline:gold-features", "store.publish", "store/main.patient_features", "main", "refused", []NameValue{{"why", "assertion age between 0 and 120"}}},
		{12406, ago(40 * time.Minute), "ada@ward-laptop", "source.test", "source/epr", "main", "failed", nil},
	}}, f.note(by, "audit", q.Who, q.Action, q.Subject)
}

func (f *fake) Chain(_ context.Context, by Person) (Chain, error) {
	return Chain{OK: true, Records: 12408, At: ago(4 * time.Minute)}, f.note(by, "chain")
}
