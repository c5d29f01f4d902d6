package azure

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/render"
)

var update = flag.Bool("update", false, "write the golden files anew")

// planned is a definition, and a change of it.
type planned struct {
	site           *site
	file, from, to string
}

// mostSteps is how many steps a plan has at the most that is shown with all parts and taken through its life.
const mostSteps = 200

// definitions are those whose plans are kept in testdata/plans.
func definitions(t *testing.T) map[string]planned {
	minimal, whole := written(t, "minimal", "dev"), written(t, "whole", "dev")
	apps := func(n int) *site {
		s := whole.edited(t, "apps/apps.dev.yaml", "cohorts: {}", "cohorts: {}")
		one := strings.TrimPrefix(string(s.files["apps/apps.yaml"].Data), "cohorts:\n")
		var all, own strings.Builder
		for i := range n {
			fmt.Fprintf(&all, "app-%d:\n%s", i, one)
			fmt.Fprintf(&own, "app-%d: {}\n", i)
		}
		s.files["apps/apps.yaml"] = &fstest.MapFile{Data: []byte(all.String())}
		s.files["apps/apps.dev.yaml"] = &fstest.MapFile{Data: []byte(own.String())}
		return s
	}
	automated := *minimal
	automated.automation, automated.ci = true, &azure.CIFacts{Group: "rg-ci", Network: "vnet-ci"}
	out := map[string]planned{
		"minimal":          {minimal, "config.yaml", "zones: [bronze]", "zones: [bronze, gold]"},
		"minimal-from-ci":  {&automated, "config.yaml", "zones: [bronze]", "zones: [bronze, gold]"},
		"no-lake":          {minimal.edited(t, "config.yaml", "  datalake: {zones: [bronze]}\n", ""), "config.yaml", "minutes: 60", "minutes: 30"},
		"whole":            {whole, "apps/apps.yaml", "LOG_LEVEL: info", "LOG_LEVEL: warn"},
		"app-without-slot": {whole.edited(t, "apps/apps.yaml", "  add_testing_slot: true\n", ""), "apps/apps.yaml", "LOG_LEVEL: info", "LOG_LEVEL: warn"},
		"fifty-apps":       {apps(50), "apps/apps.yaml", "LOG_LEVEL: info", "LOG_LEVEL: warn"},
		"older-system":     {folder(t, filepath.Join("testdata", "definition"), "dev"), "apps/apps.dev.yaml", "LOG_LEVEL: debug", "LOG_LEVEL: warn"},
	}
	for _, name := range []string{"all-options", "postgres", "pull-request", "real-data"} {
		x := lowerable(t, name)
		if x.ci == nil { // an environment with real data is reached from its network only
			x.automation, x.ci = true, &azure.CIFacts{Group: "rg-ci", Network: "vnet-ci"}
		}
		out[name] = planned{x, "config.yaml", "location: uksouth", "location: uksouth\nlocal: {}"}
	}
	return out
}

// folder is a site in a folder.
func folder(t testing.TB, dir, name string) *site {
	t.Helper()
	archive := &txtar.Archive{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, path)
		archive.Files = append(archive.Files, txtar.File{Name: path, Data: b})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return newSite(archive, name)
}

// lowerable is a case of package estate.
func lowerable(t testing.TB, name string) *site {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("..", "..", "internal", "azure", "estate", "testdata", "cases", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Environment, Suffix string
		Automation          bool
		Facts               struct{ CI *azure.CIFacts }
	}
	for _, f := range archive.Files {
		if f.Name == "options.json" {
			if err := json.Unmarshal(f.Data, &o); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := newSite(archive, o.Environment)
	s.suffix, s.automation, s.ci = o.Suffix, o.Automation, o.Facts.CI
	return s
}

// TestPlans holds the first plan of each definition to a file, and takes it through its life: deployed without a failure, planned
// to nothing from the record and from what stands alone, changed, and destroyed with proof.
func TestPlans(t *testing.T) {
	for name, c := range definitions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.live(t, filepath.Join("testdata", "plans", name+".txt"))
		})
	}
}

func (c planned) live(t *testing.T, golden string) {
	s := simulate(t, azuresim.Options{Seed: 1, Quiet: fast})
	s.takenForGranted(t, c.site)
	before := s.worldOf(t)
	heard := &ear{}
	p := s.begin(t, c.site, heard, life{})
	if err := p.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	first, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	first.At, first.Base = morning, 0
	if err := render.Plan(&shown, render.Style{}, render.PlanView{Plan: first, Location: p.env.Location, All: len(first.Steps) < mostSteps, Now: morning}); err != nil {
		t.Fatal(err)
	}
	held(t, golden, shown.Bytes())
	switch {
	case len(first.Steps) >= mostSteps:
		return // the benchmark of deployments makes it
	case p.env.Store.Engine == "postgres":
		return // the simulation plays the server and not its databases, so its principals cannot be made
	}
	s.deployed(t, c.site, heard, true)
	all := s.again(t, c.site, heard)
	s.lost(t, c.site, heard)
	s.deployed(t, c.site.edited(t, c.file, c.from, c.to), heard, c.file != "config.yaml" || !strings.Contains(c.to, "local:"))
	s.again(t, c.site.edited(t, c.file, c.from, c.to), heard)
	p = s.begin(t, c.site, heard, life{})
	if _, err := p.destroy(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.proveEmpty(t, c.site, heard, before, all)
	heard.secretive(t)
}

// held compares with a golden file.
func held(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("differs from %s (-want +got):\n%s", file, d)
	}
}

// deployed deploys, which must not fail, and must find something to do when changed says so.
func (s *subscription) deployed(t *testing.T, x *site, heard *ear, changed bool) {
	t.Helper()
	p := s.begin(t, x, heard, life{})
	defer p.end()
	made, err := p.deploy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if made.Empty() == changed {
		t.Errorf("the plan would change: %q, want changes: %t", changes(made), changed)
	}
}

// lost plans as after the record was lost: from what stands under the names of the definition.
func (s *subscription) lost(t *testing.T, x *site, heard *ear) {
	t.Helper()
	p := s.begin(t, x, heard, life{})
	defer p.end()
	if err := p.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	p.state.Records = nil
	found, _, err := apply.Observe(t.Context(), p.target, p.state, p.want, p.options())
	if err != nil {
		t.Fatal(err)
	}
	made, err := plan.Make(p.env, p.want, found, plan.Options{At: p.now()})
	if err == nil && !made.Empty() {
		err = fmt.Errorf("a plan from what stands alone would change something:\n%s", changes(made))
	}
	if err != nil {
		t.Error(err)
	}
}
