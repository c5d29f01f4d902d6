package local

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// small is a definition with every kind of resource.
func small() fstest.MapFS {
	return fstest.MapFS{
		"config.yaml": {Data: []byte(`flowehr_id: ward
data_source_connections:
  - {name: epr, kind: postgresql, fqdn: epr.example, database: hospital, username: reader, password: "${EPR_PASSWORD}"}
  - {name: feed, kind: folder, path: data/fhir}
  - {name: labs, kind: sqlserver, fqdn: labs.example, database: labs, username: reader, password: "${LABS_PASSWORD}"}
transform: {datalake: {zones: [bronze, gold]}}
projects: {main: {}, stroke: {}}
`)},
		"config.local.yaml": {Data: []byte(`environment: local
target: local
local: {memory_mb: 256, threads: 1, synthetic: {epr: {patients: 3, seed: 1}, feed: {patients: 3, seed: 1}}}
`)},
		"transform/pipelines/nightly/pipeline.json": {Data: []byte(`{"name": "nightly", "properties": {"activities": [
	{"name": "Wait", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}]}}`)},
		"transform/pipelines/nightly/trigger.json": {Data: []byte(`{"name": "at-two", "properties": {"type": "ScheduleTrigger", "runtimeState": "Started",
	"typeProperties": {"recurrence": {"frequency": "Day", "interval": 1, "startTime": "2026-01-01T02:00:00Z", "timeZone": "UTC"}},
	"pipelines": [{"pipelineReference": {"referenceName": "nightly", "type": "PipelineReference"}}]}}`)},
	}
}

// changed is the same definition after somebody worked on it: other patients, another project, another step.
func changed() fstest.MapFS {
	def := small()
	for _, c := range []struct{ file, old, new string }{
		{"config.local.yaml", "seed: 1}, feed: {patients: 3, seed: 1}", "seed: 2}, feed: {patients: 2, seed: 1}"},
		{"config.yaml", "stroke: {}", "stroke: {}, sepsis: {}"},
		{"transform/pipelines/nightly/pipeline.json", `Seconds": 1`, `Seconds": 2`},
	} {
		text := bytes.Replace(def[c.file].Data, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(text, def[c.file].Data) {
			panic("nothing replaced in " + c.file)
		}
		def[c.file] = &fstest.MapFile{Data: text}
	}
	return def
}

func TestConformance(t *testing.T) {
	env, other := definition(t, small()), definition(t, changed())
	subject := func(resources, changed []flowehr.Resource) func(t *testing.T) targettest.Subject {
		return func(t *testing.T) targettest.Subject {
			w := newWorld(t, env)
			return targettest.Subject{Target: w.host.Target(), Resources: resources, Changed: changed, Replace: Replace, Secrets: w.host.Secret, Stays: stays}
		}
	}
	all, allChanged := lower(t, env), lower(t, other)
	t.Run("all kinds", func(t *testing.T) { targettest.Suite(t, subject(all, allChanged)) })
	// A login comes with the feature store that it needs, a trigger with its pipeline.
	for _, kind := range []string{kindVault, kindAudit, kindDatabase, kindGroup, kindZone, kindLogin, kindConnectivity, kindSource, kindTrigger} {
		t.Run(kind, func(t *testing.T) {
			some := withNeeds(all, kind)
			others := withNeeds(allChanged, kind)
			if sameSpecs(some, others) {
				others = nil
			}
			targettest.Suite(t, subject(some, others))
		})
	}
}

// withNeeds returns the resources of a kind and what they need.
func withNeeds(all []flowehr.Resource, kind string) []flowehr.Resource {
	wanted := map[flowehr.Ref]bool{}
	var want func(r flowehr.Resource)
	want = func(r flowehr.Resource) {
		wanted[r.Ref] = true
		for _, need := range r.Needs {
			for _, x := range all {
				if x.Ref == need {
					want(x)
				}
			}
		}
	}
	for _, r := range all {
		if r.Ref.Kind == kind {
			want(r)
		}
	}
	var out []flowehr.Resource
	for _, r := range all {
		if wanted[r.Ref] {
			out = append(out, r)
		}
	}
	return out
}

func sameSpecs(a, b []flowehr.Resource) bool {
	for i := range a {
		if i >= len(b) || a[i].Ref != b[i].Ref || !bytes.Equal(a[i].Spec, b[i].Spec) {
			return false
		}
	}
	return len(a) == len(b)
}

// TestConformanceUnprivileged runs the same as an ordinary user.
func TestConformanceUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: TestConformance already runs as an ordinary user")
	}
	asNobody(t, "^TestConformance$/^all_kinds$")
}

// asNobody runs tests of this binary as the user nobody, with a home of its own.
func asNobody(t *testing.T, tests string) {
	t.Helper()
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	uid, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "fln")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chown(home, uid, gid); err != nil {
		t.Fatal(err)
	}
	// The binary stands where only we may look.
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(home, "tests")
	if err := os.WriteFile(own, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), own, "-test.run", tests, "-test.v")
	c.Dir = home
	c.Env = []string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("no test ran as nobody:\n%s", out)
	}
}

// TestRemovalLeavesNothing makes an environment and removes it: everything is looked for and gone.
func TestRemovalLeavesNothing(t *testing.T) {
	env := definition(t, small())
	w := newWorld(t, env)
	w.apply(lower(t, env))
	if len(w.list("select datname from pg_database where datname ~ '^(flowehr|source)_'")) != 3 {
		t.Fatal("the environment does not have its databases, so nothing can be learnt from their absence")
	}
	p := w.apply(nil)
	left, err := w.host.Left(t.Context(), p)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if got := w.list("select datname from pg_database where datname not in ('postgres', 'template0', 'template1')"); len(got) > 0 {
		t.Errorf("databases left: %v", got)
	}
	if got := w.list("select rolname from pg_roles where not rolsuper and rolname !~ '^pg_'"); len(got) > 0 {
		t.Errorf("roles left: %v", got)
	}
	for _, dir := range []string{w.host.Paths.Lake, w.host.Paths.Sources} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "_") {
				continue // the lake's own folder for work under way
			}
			t.Errorf("%s is left in %s", e.Name(), dir)
		}
	}
}

// TestLeftFinds: the proof of a removal does find what was not removed.
func TestLeftFinds(t *testing.T) {
	env := definition(t, small())
	w := newWorld(t, env)
	resources := lower(t, env)
	w.apply(resources)
	p := w.plan(nil, plan.Options{})
	left, err := w.host.Left(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, r := range resources {
		if !stays(r) {
			gone++
		}
	}
	if len(left) != gone {
		t.Errorf("%d of %d resources found that stand: %v", len(left), gone, left)
	}
}
