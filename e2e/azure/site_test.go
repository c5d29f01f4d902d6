package azure

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
	"github.com/flowehr/flowehr/internal/factory"
)

// secretMark is in the value of every secret of every site. It may stand in the vaults of the simulation, in Databricks and in
// GitHub, where it is needed, and nowhere else.
const secretMark = "canary-7d1e"

// site is a definition and who deploys it from where.
type site struct {
	files      fstest.MapFS
	name       string // of the environment
	suffix     string // SUFFIX_OVERRIDE
	automation bool
	ci         *azure.CIFacts
	who        azuresim.Identity
}

// newSite reads a definition: files of a txtar archive.
func newSite(archive *txtar.Archive, name string) *site {
	s := &site{files: fstest.MapFS{}, name: name, who: azuresim.Deployer()}
	for _, f := range archive.Files {
		s.files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return s
}

// written is a site of testdata/sites.
func written(t testing.TB, file, name string) *site {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", "sites", file+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return newSite(archive, name)
}

// edited is the site with text in one of its files replaced.
func (s *site) edited(t testing.TB, file, from, to string) *site {
	t.Helper()
	f := s.files[file]
	if f == nil || !strings.Contains(string(f.Data), from) {
		t.Fatalf("%s has no %q", file, from)
	}
	next := *s
	next.files = maps.Clone(s.files)
	next.files[file] = &fstest.MapFile{Data: []byte(strings.Replace(string(f.Data), from, to, 1)), Mode: 0o644}
	return &next
}

// secret is the value of a secret of the definition.
func (s *site) secret(name string) string { return secretMark + "-" + strings.ToLower(name) }

// environment compiles the definition as the command line does.
func (s *site) environment(t testing.TB) *flowehr.Environment {
	t.Helper()
	doc, problems := config.Load(s.files, config.Options{Environment: s.name, SuffixOverride: s.suffix, InAutomation: s.automation,
		Lookup: func(name string) (string, bool) { return s.secret(name), true }})
	env, more := compile.Environment(doc)
	problems = append(problems, more...)
	if _, err := fs.Stat(s.files, "transform/pipelines"); err == nil {
		found, more := factory.Load(s.files, "transform/pipelines")
		problems = append(problems, more...)
		for _, b := range found.Bundles {
			encoded, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			env.Pipelines = append(env.Pipelines, flowehr.Pipeline{Name: b.Pipeline.Name, Project: "main", Dir: b.Dir, Bundle: encoded, Digest: b.Digest()})
		}
	}
	env.Files = map[string]string{}
	for name, f := range s.files {
		if strings.Contains(name, "/artifacts/") || slices.Contains(env.Spark.Cluster.InitScripts, name) || slices.Contains(env.Spark.Libraries.Jar, name) {
			sum := sha256.Sum256(f.Data)
			env.Files[name] = hex.EncodeToString(sum[:])
		}
	}
	if flowehr.HasErrors(problems) {
		t.Fatalf("not a right definition: %v", flowehr.DiagnosticsError{Diagnostics: problems})
	}
	return env
}
