package local

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/demo"
)

var update = flag.Bool("update", false, "write the golden files anew")

// full is a definition that uses everything that this target knows, and some that it does not.
func full() fstest.MapFS {
	def := small()
	def["config.yaml"] = &fstest.MapFile{Data: []byte(`flowehr_id: ward
tags: {owner: data-team}
data_source_connections:
  - {name: epr, kind: postgresql, fqdn: epr.example, port: 5433, database: hospital, username: "${EPR_USER}", password: "${EPR_PASSWORD}", tls: verify}
  - {name: feed, kind: folder, path: data/fhir}
  - {name: labs, kind: sqlserver, fqdn: labs.example, database: labs, username: reader, password: "${LABS_PASSWORD}"}
transform: {datalake: {zones: [Bronze, silver, gold]}}
projects: {main: {}, stroke: {name: Stroke, owners: [a@b.example]}}
`)}
	def["transform/pipelines/nightly/at-event.json"] = &fstest.MapFile{Data: []byte(`{"name": "at-event", "properties": {"type": "BlobEventsTrigger",
	"typeProperties": {"scope": "x", "events": ["Microsoft.Storage.BlobCreated"]},
	"pipelines": [{"pipelineReference": {"referenceName": "nightly", "type": "PipelineReference"}}]}}`)}
	return def
}

func TestLowerGolden(t *testing.T) {
	files, err := demo.Files()
	if err != nil {
		t.Fatal(err)
	}
	demoEnv := definition(t, files)
	fullEnv := definition(t, full())
	fullEnv.Apps = append(fullEnv.Apps, flowehr.App{ID: "dashboard", Pos: flowehr.Pos{File: "apps/apps.yaml", Line: 1}})
	fullEnv.Store.Engine = "mssql"
	for name, env := range map[string]*flowehr.Environment{"demo": demoEnv, "full": fullEnv} {
		t.Run(name, func(t *testing.T) {
			resources, problems := (&Target{}).Lower(env)
			golden(t, name+".json", describe(t, resources, problems))
		})
	}
}

// describe writes resources as JSON for people. Of a pipeline's definition, which has tests of its own, only that it is
// there is shown.
func describe(t *testing.T, resources []flowehr.Resource, problems []flowehr.Diagnostic) []byte {
	t.Helper()
	type shown struct {
		Ref   flowehr.Ref
		Layer flowehr.Layer
		Holds bool          `json:",omitzero"`
		Needs []flowehr.Ref `json:",omitempty"`
		Spec  map[string]any
	}
	var out struct {
		Resources []shown
		Problems  []string
	}
	for _, r := range resources {
		x := shown{Ref: r.Ref, Layer: r.Layer, Holds: r.Holds, Needs: r.Needs}
		if err := json.Unmarshal(r.Spec, &x.Spec); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"bundle", "digest"} {
			if _, ok := x.Spec[key]; ok {
				x.Spec[key] = "..."
			}
		}
		out.Resources = append(out.Resources, x)
	}
	for _, p := range problems {
		out.Problems = append(out.Problems, fmt.Sprintf("%s: %s", p.Severity, p.Summary))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "lower", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

// TestLowerKeepsSecretsOut: a description names secrets and never holds one.
func TestLowerKeepsSecretsOut(t *testing.T) {
	for _, r := range lower(t, definition(t, full())) {
		if r.Ref.Name == "epr" && !bytes.Contains(r.Spec, []byte("${EPR_PASSWORD}")) {
			t.Errorf("the description of the source does not name its secret: %s", r.Spec)
		}
	}
}

func TestLowerNeedsExist(t *testing.T) {
	resources := lower(t, definition(t, full()))
	known := map[flowehr.Ref]bool{}
	for _, r := range resources {
		if known[r.Ref] {
			t.Errorf("%s is there twice", r.Ref)
		}
		known[r.Ref] = true
	}
	for _, r := range resources {
		for _, need := range r.Needs {
			if !known[need] {
				t.Errorf("%s needs %s, which nobody makes", r.Ref, need)
			}
		}
	}
}

// TestRealDataChanges: with real data there are no developers, and triggers run.
func TestRealDataChanges(t *testing.T) {
	env := definition(t, small())
	env.Local.Synthetic = nil
	before := lower(t, env)
	env.RealData = true
	after := lower(t, env)
	gone := refs(before)
	maps.DeleteFunc(gone, func(ref flowehr.Ref, _ bool) bool { return refs(after)[ref] })
	want := map[flowehr.Ref]bool{{Kind: kindGroup, Name: groupDevelopers}: true, {Kind: kindLogin, Name: developerRole}: true}
	if !maps.Equal(gone, want) || len(refs(after)) != len(refs(before))-2 {
		t.Errorf("with real data %v go, want %v", gone, want)
	}
	for _, r := range after {
		if bytes.Contains(r.Spec, []byte(groupDevelopers)) {
			t.Errorf("%s still knows developers: %s", r.Ref, r.Spec)
		}
	}
	for real, resources := range map[bool][]flowehr.Resource{false: before, true: after} {
		i := slices.IndexFunc(resources, func(r flowehr.Resource) bool { return r.Ref.Kind == kindTrigger })
		spec, err := decode[triggerSpec](resources[i])
		if err != nil || spec.Started != real {
			t.Errorf("with real data %v the trigger is started: %v (%v)", real, spec.Started, err)
		}
	}
}

func refs(resources []flowehr.Resource) map[flowehr.Ref]bool {
	out := map[flowehr.Ref]bool{}
	for _, r := range resources {
		out[r.Ref] = true
	}
	return out
}

// TestRealDataTakesRightsAway: an environment that gets real data locks developers out of what they could read before.
func TestRealDataTakesRightsAway(t *testing.T) {
	env := definition(t, small())
	env.Local.Synthetic = nil
	w := newWorld(t, env)
	w.apply(lower(t, env))
	const asked = "select count(*) from pg_roles where rolname in ('" + groupDevelopers + "', '" + developerRole + "')"
	if n := w.rows(storeDatabase, asked); n != 2 {
		t.Fatalf("%d of the developers' two roles are there", n)
	}
	if _, err := w.host.DeveloperLogin(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.RealData = true
	w.apply(lower(t, env))
	if n := w.rows(storeDatabase, asked); n != 0 {
		t.Errorf("%d roles of developers are left", n)
	}
	if n := w.rows(storeDatabase, "select count(*) from pg_namespace where array_to_string(nspacl, ',') like '%developer%'"); n != 0 {
		t.Errorf("developers have rights in %d schemas", n)
	}
	if _, err := w.host.DeveloperLogin(t.Context()); err == nil {
		t.Error("the developers' password is still in the vault")
	}
}
