package local

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
)

// Kinds of resource on this machine.
const (
	kindVault    = "vault"
	kindAudit    = "audit-log"
	kindGroup    = "group"
	kindDatabase = "database"
	kindZone     = "zone"
	kindStore    = "feature-store"
	kindLogin    = "login"
	kindSource   = "source"
	kindPipeline = "pipeline"
	kindTrigger  = "trigger"

	kindConnectivity = "connectivity-test"
)

// Logins to the feature store: pipelines write with one, people look with the other; their passwords are in the vault.
const (
	developerRole     = "flowehr-developer"
	developerPassword = "feature-store-developer-password"
	writerRole        = "flowehr-databricks-datawriter"
	writerPassword    = "feature-store-writer-password"
)

// Databases of an environment in its PostgreSQL server.
const (
	controlDatabase = "flowehr_control"
	storeDatabase   = "flowehr_features"
)

// storeSchema is where features of a project are published. The default project has the name that definitions of the
// older system used.
const storeSchema = "features"

type groupSpec struct {
	Role string `json:"role"`
	For  string `json:"for"`
}

type databaseSpec struct {
	Name string `json:"name"`
	For  string `json:"for"`
}

type zoneSpec struct {
	Zone string `json:"zone"`
}

type storeSpec struct {
	Database string   `json:"database"`
	Schemas  []string `json:"schemas"`
	Owner    string   `json:"owner"`
	Readers  []string `json:"readers"`
}

type loginSpec struct {
	Role     string   `json:"role"`
	MemberOf []string `json:"memberOf"`
	Password string   `json:"password"` // name of the secret in the vault
	For      string   `json:"for"`
}

type sourceSpec struct {
	Kind      flowehr.SourceKind `json:"kind"`
	Host      string             `json:"host,omitempty"`
	Port      int                `json:"port,omitempty"`
	Database  string             `json:"database,omitempty"`
	Username  flowehr.Text       `json:"username,omitempty"`
	Password  flowehr.Text       `json:"password,omitempty"`
	TLS       string             `json:"tls,omitempty"`
	Path      string             `json:"path,omitempty"`
	Synthetic *syntheticSpec     `json:"synthetic,omitempty"`
}

type syntheticSpec struct {
	Patients int    `json:"patients"`
	Seed     uint64 `json:"seed"`
}

type pipelineSpec struct {
	Project string          `json:"project"`
	Dir     string          `json:"dir,omitempty"`
	Digest  string          `json:"digest"`
	Bundle  json.RawMessage `json:"bundle"`
}

type triggerSpec struct {
	Pipeline string `json:"pipeline"`
	Type     string `json:"type"`
	Started  bool   `json:"started"`
}

// roleName is the database role of a group or identity of spec 02-layers: "{suffix} flowehr-apps" in a directory is
// "flowehr-apps" in a server that serves one environment.
const (
	groupDevelopers     = "flowehr-developers"
	groupDataScientists = "flowehr-data-scientists"
	groupStewards       = "flowehr-algorithm-stewards"
	groupApps           = "flowehr-apps"
	groupWriters        = "flowehr-feature-writers"
)

// Lower turns env into the resources of this machine. It does no I/O. What this version does not do is refused or
// warned of by name.
func (t *Target) Lower(env *flowehr.Environment) ([]flowehr.Resource, []flowehr.Diagnostic) {
	l := lowering{env: env}
	l.core()
	l.transform()
	for _, app := range env.Apps {
		l.warn(app.Pos, "app %q is left out: this version does not host apps on this machine", app.ID).
			Detail = "Everything else of the definition runs. The app's definition has been checked."
	}
	if env.Store.Engine == "mssql" && env.Target == flowehr.TargetLocal {
		l.warn(flowehr.Pos{}, "the feature store runs on PostgreSQL here, feature_store.engine mssql is for azure")
	}
	return l.resources, l.diagnostics
}

type lowering struct {
	env         *flowehr.Environment
	resources   []flowehr.Resource
	diagnostics []flowehr.Diagnostic
}

func (l *lowering) warn(pos flowehr.Pos, format string, args ...any) *flowehr.Diagnostic {
	l.diagnostics = append(l.diagnostics, flowehr.Warningf(pos, format, args...))
	return &l.diagnostics[len(l.diagnostics)-1]
}

func (l *lowering) add(layer flowehr.Layer, kind, name string, pos flowehr.Pos, spec any, needs ...flowehr.Ref) *flowehr.Resource {
	raw, err := flowehr.Canonical(spec)
	if err != nil {
		// A spec is made of strings, numbers and JSON that was decoded before.
		l.diagnostics = append(l.diagnostics, flowehr.Errorf(pos, "%s %q cannot be described: %v", kind, name, err))
		raw = json.RawMessage("null")
	}
	l.resources = append(l.resources, flowehr.Resource{Ref: flowehr.Ref{Kind: kind, Name: name}, Layer: layer, Needs: needs, Spec: raw, Pos: pos})
	return &l.resources[len(l.resources)-1]
}

var (
	refVault   = flowehr.Ref{Kind: kindVault, Name: "main"}
	refControl = flowehr.Ref{Kind: kindDatabase, Name: controlDatabase}
	refStore   = flowehr.Ref{Kind: kindStore, Name: "main"}
)

func (l *lowering) core() {
	l.add(flowehr.LayerCore, kindVault, "main", flowehr.Pos{}, struct{}{})
	l.add(flowehr.LayerCore, kindAudit, "main", flowehr.Pos{}, struct {
		RetentionDays int `json:"retentionDays"`
	}{l.env.Sizes.LogRetentionDays})
	l.add(flowehr.LayerCore, kindDatabase, controlDatabase, flowehr.Pos{}, databaseSpec{controlDatabase, "pipelines, runs, schedules"})
	groups := []groupSpec{
		{groupDataScientists, "people who read features and the lake"},
		{groupStewards, "people who approve algorithms"},
		{groupApps, "apps"},
		{groupWriters, "pipelines that publish features"},
	}
	if !l.env.RealData {
		groups = append(groups, groupSpec{groupDevelopers, "people who build pipelines and apps"})
	}
	for _, g := range groups {
		l.add(flowehr.LayerCore, kindGroup, g.Role, flowehr.Pos{}, g)
	}
}

func (l *lowering) transform() {
	for _, z := range l.env.Lake.Zones {
		l.add(flowehr.LayerTransform, kindZone, z, flowehr.Pos{}, zoneSpec{z}).Holds = true
	}
	readers := []string{groupApps, groupDataScientists}
	needs := []flowehr.Ref{{Kind: kindGroup, Name: groupWriters}, {Kind: kindGroup, Name: groupApps}, {Kind: kindGroup, Name: groupDataScientists}}
	if !l.env.RealData {
		readers = append(readers, groupDevelopers)
		needs = append(needs, flowehr.Ref{Kind: kindGroup, Name: groupDevelopers})
	}
	store := l.add(flowehr.LayerTransform, kindStore, "main", flowehr.Pos{}, storeSpec{storeDatabase, l.schemas(), groupWriters, readers}, needs...)
	store.Holds = true
	l.add(flowehr.LayerTransform, kindLogin, writerRole, flowehr.Pos{},
		loginSpec{writerRole, []string{groupWriters}, writerPassword, "pipelines write features"}, refVault, refStore)
	if !l.env.RealData {
		l.add(flowehr.LayerTransform, kindLogin, developerRole, flowehr.Pos{},
			loginSpec{developerRole, []string{groupDevelopers}, developerPassword, "a developer's SQL client"}, refVault, refStore)
	}
	l.add(flowehr.LayerTransform, kindConnectivity, "feature-store", flowehr.Pos{}, struct {
		As string `json:"as"`
	}{writerRole}, refStore, flowehr.Ref{Kind: kindLogin, Name: writerRole})
	for i := range l.env.Sources {
		l.source(&l.env.Sources[i])
	}
	for i := range l.env.Pipelines {
		l.pipeline(&l.env.Pipelines[i])
	}
}

// schemas of the feature store: one for each project.
func (l *lowering) schemas() []string {
	schemas := []string{storeSchema}
	for _, p := range l.env.Projects {
		if p.ID != "main" {
			schemas = append(schemas, p.ID)
		}
	}
	return schemas
}

func (l *lowering) source(s *flowehr.Source) {
	spec := sourceSpec{Kind: s.Kind, Host: s.Host, Port: s.Port, Database: s.Database, Username: s.Username, Password: s.Password, TLS: s.TLS, Path: s.Path}
	needs := []flowehr.Ref{refVault}
	if made, ok := l.env.Local.Synthetic[s.Name]; ok {
		spec.Synthetic = &syntheticSpec{made.Patients, made.Seed}
		if reservedLogin(string(s.Username)) {
			l.diagnostics = append(l.diagnostics, flowehr.Errorf(s.Pos, "source %q has the user name %s, which FlowEHR itself uses on this machine", s.Name, s.Username).
				With("Made-up data stands in for it in a database of this machine, with a login of that name. Give the source another user name."))
		}
		if s.Kind != flowehr.SourceFolder {
			needs = append(needs, refControl)
		}
	}
	l.add(flowehr.LayerTransform, kindSource, s.Name, s.Pos, spec, needs...)
}

// reservedLogin reports whether a role of that name is ours already: a stand-in's login would take its password over.
func reservedLogin(name string) bool {
	return slices.Contains([]string{writerRole, developerRole, groupDataScientists, groupStewards, groupApps, groupWriters, groupDevelopers,
		"flowehr", "postgres", "public", "none"}, name) || strings.HasPrefix(name, "pg_")
}

func (l *lowering) pipeline(p *flowehr.Pipeline) {
	bundle, err := factory.DecodeBundle(p.Bundle)
	if err != nil {
		l.diagnostics = append(l.diagnostics, flowehr.Errorf(p.Pos, "pipeline %q cannot be read: %v", p.Name, err))
		return
	}
	needs := []flowehr.Ref{refControl, refStore}
	for _, d := range bundle.Datasets {
		ref := flowehr.Ref{Kind: kindSource, Name: d.LinkedService.Name}
		if !slices.Contains(needs, ref) && slices.ContainsFunc(l.env.Sources, func(s flowehr.Source) bool { return s.Name == ref.Name }) {
			needs = append(needs, ref)
		}
	}
	for _, z := range l.env.Lake.Zones {
		needs = append(needs, flowehr.Ref{Kind: kindZone, Name: z})
	}
	slices.SortFunc(needs, func(a, b flowehr.Ref) int { return compareRefs(a, b) })
	l.add(flowehr.LayerTransform, kindPipeline, p.Name, p.Pos, pipelineSpec{p.Project, p.Dir, p.Digest, p.Bundle}, needs...)
	for _, trigger := range bundle.Triggers {
		if trigger.Type != "ScheduleTrigger" {
			l.warn(p.Pos, "trigger %q of pipeline %q is left out: this version runs schedule triggers, not %s", trigger.Name, p.Name, trigger.Type)
			continue
		}
		// Spec 01-config "Real data": elsewhere triggers are deployed but stopped.
		started := trigger.Started && l.env.RealData
		l.add(flowehr.LayerTransform, kindTrigger, trigger.Name, p.Pos, triggerSpec{p.Name, trigger.Type, started}, flowehr.Ref{Kind: kindPipeline, Name: p.Name})
	}
}

func compareRefs(a, b flowehr.Ref) int {
	return slices.Compare([]string{a.Kind, a.Name}, []string{b.Kind, b.Name})
}

// decode reads the spec of a resource. A spec that does not fit its kind was written by another version.
func decode[T any](r flowehr.Resource) (T, error) {
	var spec T
	if err := json.Unmarshal(r.Spec, &spec); err != nil {
		return spec, fmt.Errorf("description of %s: %w", r.Ref, err)
	}
	return spec, nil
}
