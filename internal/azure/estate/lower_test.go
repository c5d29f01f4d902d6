package estate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/arm/armtest"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
	"github.com/flowehr/flowehr/internal/factory"
)

// options is the options.json of a case.
type options struct {
	Environment string      `json:"environment"`
	Suffix      string      `json:"suffix"`
	Automation  bool        `json:"automation"`
	Secrets     []string    `json:"secrets"`
	Facts       azure.Facts `json:"facts"`
	Show        []string    `json:"show"` // stacks whose whole description stands in the case
}

// secretCanary is in the value of every secret of every case. It must not turn up anywhere.
const secretCanary = "canary-0f3a9c"

// writtenCase is a case of testdata/cases: a definition and what is known of the subscription.
type writtenCase struct {
	file    string
	archive *txtar.Archive
	world   options
	files   fstest.MapFS
}

// writtenCases reads all cases. Adding one is adding a file and running the test with -update.
func writtenCases(t *testing.T) map[string]writtenCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	all := map[string]writtenCase{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := writtenCase{file: file, archive: archive, files: fstest.MapFS{}}
		for _, f := range archive.Files {
			if f.Name == "options.json" {
				dec := json.NewDecoder(bytes.NewReader(f.Data))
				dec.DisallowUnknownFields()
				if err := dec.Decode(&d.world); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
			d.files[f.Name] = &fstest.MapFile{Data: f.Data}
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = d
	}
	return all
}

// environment compiles the case as the command line does.
func (d writtenCase) environment(t *testing.T) *flowehr.Environment {
	t.Helper()
	doc, found := config.Load(d.files, config.Options{
		Environment: d.world.Environment, SuffixOverride: d.world.Suffix, InAutomation: d.world.Automation,
		Lookup: func(name string) (string, bool) { return secretCanary + name, slices.Contains(d.world.Secrets, name) },
	})
	env, more := compile.Environment(doc)
	found = append(found, more...)
	if _, err := fs.Stat(d.files, "transform/pipelines"); err == nil {
		loaded, problems := factory.Load(d.files, "transform/pipelines")
		found = append(found, problems...)
		for _, b := range loaded.Bundles {
			encoded, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			env.Pipelines = append(env.Pipelines, flowehr.Pipeline{Name: b.Pipeline.Name, Project: "main", Dir: b.Dir, Bundle: encoded, Digest: b.Digest()})
		}
	}
	env.Files = map[string]string{}
	for name, f := range d.files {
		if strings.Contains(name, "/artifacts/") {
			sum := sha256.Sum256(f.Data)
			env.Files[name] = hex.EncodeToString(sum[:])
		}
	}
	if flowehr.HasErrors(found) {
		t.Fatalf("%s is not a right definition: %v", d.file, found)
	}
	return env
}

// facts are those of the case, with what every case has.
func (d writtenCase) facts(env *flowehr.Environment) azure.Facts {
	f := d.world.Facts
	f.Subscription, f.Tenant = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	f.Deployer = azure.Deployer{ObjectID: "00000000-0000-4000-8000-000000000003", Kind: azure.PrincipalUser, Name: "ada@hospital.example"}
	if f.Automation = d.world.Automation; f.Automation {
		f.Deployer.Kind, f.Deployer.Name = azure.PrincipalService, "sp-flowehr-ci-flwr"
	}
	f.AddressSpace = env.Network.AddressSpace
	return f
}

func (d writtenCase) lower(t *testing.T) ([]flowehr.Resource, []flowehr.Diagnostic) {
	t.Helper()
	env := d.environment(t)
	return estate.Lower(env, d.facts(env))
}

// TestCases holds what definitions become to what stands in testdata: the list of resources, the diagnostics, and the templates
// of some stacks.
func TestCases(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			resources, found := d.lower(t)
			want := []txtar.File{{Name: "want.resources", Data: []byte(listOf(resources))}, {Name: "want.templates", Data: overview(t, d.facts(d.environment(t)), resources)}}
			if len(found) > 0 {
				want = append(want, txtar.File{Name: "want.diagnostics", Data: []byte(messages(found))})
			}
			for _, stack := range d.world.Show {
				want = append(want, txtar.File{Name: "want." + stack + ".json", Data: indentedJSON(t, specOf(t, resources, azure.Ref(azure.KindStack, stack)))})
			}
			if *update {
				d.archive.Files = slices.DeleteFunc(d.archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want.") })
				d.archive.Files = append(d.archive.Files, want...)
				if err := os.WriteFile(d.file, txtar.Format(d.archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, w := range want {
				have := ""
				if f := d.files[w.Name]; f != nil {
					have = string(f.Data)
				}
				if diff := cmp.Diff(have, string(w.Data)); diff != "" {
					t.Errorf("%s (-want +got; -update writes it):\n%s", w.Name, diff)
				}
			}
		})
	}
}

// listOf writes the stacks and triggers: their layer, whether they hold data, and what they need. What lives in the data planes
// has cases of its own.
func listOf(resources []flowehr.Resource) string {
	var b strings.Builder
	for _, r := range resources {
		if r.Ref.Kind != azure.KindStack && r.Ref.Kind != azure.KindTrigger {
			continue
		}
		fmt.Fprintf(&b, "%s %s", r.Layer, r.Ref)
		if r.Holds {
			b.WriteString(" (holds data)")
		}
		b.WriteString("\n")
		for _, n := range r.Needs {
			fmt.Fprintf(&b, "    %s\n", n)
		}
	}
	return b.String()
}

// overview writes what the templates of core, transform and pipelines make: by deployment, symbol, type and name.
func overview(t *testing.T, f azure.Facts, resources []flowehr.Resource) []byte {
	t.Helper()
	var b bytes.Buffer
	last := ""
	for _, p := range placedIn(t, f, resources) {
		if p.stack != "core" && p.stack != "transform" && p.stack != "pipelines" {
			continue
		}
		if at := p.stack + " " + p.deployment + " in " + p.group; at != last {
			last = at
			fmt.Fprintln(&b, at)
		}
		fmt.Fprintf(&b, "    %s: %s %s\n", p.symbol, strings.TrimPrefix(p.typ(), "Microsoft."), p.body["name"])
	}
	return b.Bytes()
}

func messages(found []flowehr.Diagnostic) string {
	var b strings.Builder
	for _, d := range found {
		fmt.Fprintf(&b, "%s: %s\n    %s\n", d.Severity, d.Summary, d.Detail)
	}
	return b.String()
}

func specOf(t *testing.T, resources []flowehr.Resource, ref flowehr.Ref) json.RawMessage {
	t.Helper()
	for _, r := range resources {
		if r.Ref == ref {
			return r.Spec
		}
	}
	t.Fatalf("there is no %s", ref)
	return nil
}

func indentedJSON(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// templateOf is the template of a stack's description.
func templateOf(t *testing.T, r flowehr.Resource) json.RawMessage {
	t.Helper()
	var s azure.StackSpec
	if err := json.Unmarshal(r.Spec, &s); err != nil {
		t.Fatalf("%s: %v", r.Ref, err)
	}
	return s.Template
}

// published opens Microsoft's descriptions, or skips the test.
func published(t *testing.T) *armtest.Types {
	t.Helper()
	dir, err := armtest.Folder(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	types, err := armtest.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return types
}

// TestTemplatesFitPublishedTypes: every body of every case is what Microsoft's description of its type allows.
func TestTemplatesFitPublishedTypes(t *testing.T) {
	types := published(t)
	var unpublished []string
	for _, typ := range arm.Types() {
		if _, ok := types.Version(typ); !ok {
			unpublished = append(unpublished, typ)
		}
	}
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			resources, _ := d.lower(t)
			for _, r := range resources {
				if r.Ref.Kind != azure.KindStack {
					continue
				}
				for _, p := range types.Template(templateOf(t, r), unpublished...) {
					t.Errorf("%s: %s", r.Ref, p)
				}
			}
		})
	}
}

// everyResource calls visit for every resource of a template, those of nested ones included, with its path.
func everyResource(raw any, path string, visit func(path string, r map[string]any)) {
	tree, _ := raw.(map[string]any)
	resources, _ := tree["resources"].(map[string]any)
	for symbol, r := range resources {
		body, _ := r.(map[string]any)
		at := path + "/" + symbol
		visit(at, body)
		if properties, ok := body["properties"].(map[string]any); ok && body["type"] == "Microsoft.Resources/deployments" {
			everyResource(properties["template"], at, visit)
		}
	}
}

func decodedJSON(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// untaggedTypes take tags that nothing would come of: nested deployments are gone when they are done, and what is in an account of
// documents is billed with it.
var untaggedTypes = map[string]bool{
	"Microsoft.Resources/deployments":                               true,
	"Microsoft.DocumentDB/databaseAccounts/sqlDatabases":            true,
	"Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": true,
}

// TestTagsOnEverything: what takes tags has those of the definition.
func TestTagsOnEverything(t *testing.T) {
	types := published(t)
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			env := d.environment(t)
			resources, _ := d.lower(t)
			for _, r := range resources {
				if r.Ref.Kind != azure.KindStack {
					continue
				}
				everyResource(decodedJSON(t, templateOf(t, r)), r.Ref.Name, func(path string, body map[string]any) {
					typ, _ := body["type"].(string)
					if untaggedTypes[typ] || !types.Takes(typ, "tags") {
						return
					}
					tags, _ := body["tags"].(map[string]any)
					for k, v := range env.Tags {
						if tags[k] != arm.Literal(v) {
							t.Errorf("%s has the tag %s=%v, want %s", path, k, tags[k], v)
						}
					}
				})
			}
		})
	}
}

// TestEveryOutputIsNeeded: a description uses outputs of what its resource needs, of resources that exist, in no later layer;
// and there is an order.
func TestEveryOutputIsNeeded(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			resources, found := d.lower(t)
			if flowehr.HasErrors(found) {
				t.Errorf("refused: %s", messages(found))
			}
			layer, needs := map[flowehr.Ref]int{}, map[flowehr.Ref][]flowehr.Ref{}
			for _, r := range resources {
				if _, twice := layer[r.Ref]; twice {
					t.Errorf("%s is there twice", r.Ref)
				}
				layer[r.Ref], needs[r.Ref] = slices.Index(flowehr.Layers(), r.Layer), r.Needs
			}
			for _, r := range resources {
				outputs, err := flowehr.OutputRefs(r.Spec)
				if err != nil {
					t.Errorf("%s: %v", r.Ref, err)
				}
				for _, o := range outputs {
					if !slices.Contains(r.Needs, o.Ref) {
						t.Errorf("%s uses %s and does not need it", r.Ref, o)
					}
				}
				for _, n := range r.Needs {
					if at, ok := layer[n]; !ok {
						t.Errorf("%s needs %s, which does not exist", r.Ref, n)
					} else if at > layer[r.Ref] {
						t.Errorf("%s needs %s of a later layer", r.Ref, n)
					}
				}
			}
			if left := leftOver(needs); len(left) > 0 {
				t.Errorf("wait for each other: %v", left)
			}
		})
	}
}

// leftOver takes away what needs nothing that is left, and returns what remains.
func leftOver(needs map[flowehr.Ref][]flowehr.Ref) []flowehr.Ref {
	left := maps.Clone(needs)
	for again := true; again; {
		again = false
		for ref, ns := range left {
			if !slices.ContainsFunc(ns, func(n flowehr.Ref) bool { _, ok := left[n]; return ok }) {
				delete(left, ref)
				again = true
			}
		}
	}
	return slices.Collect(maps.Keys(left))
}

// TestSameBytes: lowering twice gives the same, and the order of what has none in the definition makes no difference.
func TestSameBytes(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			first, _ := d.lower(t)
			for i := range 5 {
				env := d.environment(t)
				random := rand.New(rand.NewPCG(uint64(i), 1))
				random.Shuffle(len(env.Pipelines), func(a, b int) { env.Pipelines[a], env.Pipelines[b] = env.Pipelines[b], env.Pipelines[a] })
				again, _ := estate.Lower(env, d.facts(env))
				if diff := cmp.Diff(first, again); diff != "" {
					t.Fatalf("not the same:\n%s", diff)
				}
			}
		})
	}
}

// TestNoSecretIsLowered: no value of a secret stands in a description or a message, and no name of one in a template.
func TestNoSecretIsLowered(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			resources, found := d.lower(t)
			for _, r := range resources {
				if bytes.Contains(r.Spec, []byte(secretCanary)) {
					t.Errorf("%s holds the value of a secret: %s", r.Ref, r.Spec)
				}
				if r.Ref.Kind == azure.KindStack && bytes.Contains(r.Spec, []byte("${")) {
					t.Errorf("%s names a secret: a template is sent as it stands", r.Ref)
				}
			}
			if strings.Contains(messages(found), secretCanary) {
				t.Error("a message holds the value of a secret")
			}
		})
	}
}
