package adf

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

var update = flag.Bool("update", false, "write golden files")

// unheld are problems that come from descriptions which are cut down or narrower than the service: of linked services only five
// types are described here, of a dashboard's tiles one.
var unheld = regexp.MustCompile(`^linkedService_\w+\.properties\.type: |^dashboard_\w+\.properties\.lenses\[\d\]\.parts\[\d\]\.metadata\.type: `)

// asWritten are problems that collected definitions bring with them: Data Factory wrote these properties itself.
var asWritten = regexp.MustCompile(`(?:policy\.cancelAfter|\.policy\.retry|\.policy\.retryIntervalInSeconds|\.snapshot|\.Single'Quote): unknown property$`)

// problems are those of the resources that nothing explains.
func problems(t testing.TB, r Result, allowed ...*regexp.Regexp) []string {
	t.Helper()
	return slices.DeleteFunc(validate(t, r), func(p string) bool {
		return slices.ContainsFunc(append(allowed, unheld), func(x *regexp.Regexp) bool { return x.MatchString(p) })
	})
}

// namedRules are the ways in which a definition of the collection can be refused. One that is refused otherwise is a fault of ours.
var namedRules = regexp.MustCompile(`^(?:there is no dataset "|linked service ".*" has no definition|linked service ".*" holds a secret in clear text|` +
	`.* is a placeholder of another template|activity ".*" runs a data flow|activity ".*" is of type ".*", which Data Factory does not have|` +
	`integration runtime ".*" is not made here|a CredentialReference to ".*" cannot be resolved|trigger ".*" has the time zone|` +
	`a reference is an expression: |the name of activity |".*" is of type ".*", which Data Factory does not have here|pipeline ".*": Data Factory does not take this name)`)

func TestCollectionIsLoweredOrRefusedByARule(t *testing.T) {
	whole, refused := 0, 0
	for dir, bundles := range collected(t) {
		for _, b := range bundles {
			t.Run(dir+"/"+b.Pipeline.Name, func(t *testing.T) {
				r, ds := Lower(b, options())
				if flowehr.HasErrors(ds) {
					refused++
					for _, d := range ds {
						if d.Severity == flowehr.SeverityError && !namedRules.MatchString(d.Summary) {
							t.Errorf("refused by no known rule: %s %s", d.Pointer, d.Summary)
						}
						if d.Pos.File == "" {
							t.Errorf("%q names no file", d.Summary)
						}
					}
					return
				}
				whole++
				again(t, b, r)
				present := Result{Resources: map[string]arm.Resource{}}
				for symbol, resource := range r.Resources {
					resource.DependsOn = slices.DeleteFunc(slices.Clone(resource.DependsOn), func(n string) bool {
						_, here := r.Resources[n]
						return !here && strings.HasPrefix(n, pipelinePrefix) // calls pipelines of the same factory
					})
					present.Resources[symbol] = resource
				}
				for _, p := range problems(t, present, asWritten) {
					t.Error(p)
				}
			})
		}
	}
	t.Logf("%d lowered, %d refused", whole, refused)
	if whole < 15 || refused == 0 {
		t.Errorf("%d were lowered and %d refused: the collection is not what it was", whole, refused)
	}
}

// again decodes what was lowered and compares it with what it came from: nothing was lost and nothing changed.
func again(t *testing.T, b factory.Bundle, r Result) {
	t.Helper()
	data, err := json.Marshal(r.Resources[symbol(pipelinePrefix, b.Pipeline.Name)].Properties)
	if err != nil {
		t.Fatal(err)
	}
	properties := unescaped(t, data)
	got, ds := factory.DecodePipeline(b.Pipeline.Name, b.Pipeline.File, object("properties", properties))
	if flowehr.HasErrors(ds) {
		t.Fatal(ds)
	}
	want := b.Pipeline
	if diff := cmp.Diff(clean(want), clean(got), cmpopts.EquateEmpty(), equalObjects); diff != "" {
		t.Errorf("the lowered pipeline is another one (-written +lowered):\n%s", diff)
	}
}

// equalObjects compares JSON objects whatever the order of their keys: a template has none.
var equalObjects = cmp.Comparer(func(a, b *expr.Object) bool {
	return string(canonical(a)) == string(canonical(b))
})

// clean leaves out what a lowered pipeline need not share with the written one.
func clean(p factory.Pipeline) factory.Pipeline {
	p.Raw = nil
	p.Activities = slices.Clone(p.Activities)
	for i := range p.Activities {
		p.Activities[i].Pointer = strings.TrimPrefix(p.Activities[i].Pointer, "/properties")
		for j := range p.Activities[i].Branches {
			p.Activities[i].Branches[j].Activities = clean(factory.Pipeline{Activities: p.Activities[i].Branches[j].Activities}).Activities
		}
	}
	return p
}

// unescaped reads a template's JSON as the service does, for values that hold no expression.
func unescaped(t testing.TB, data []byte) *expr.Object {
	t.Helper()
	v, err := expr.DecodeJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	var walk func(v expr.Value) expr.Value
	walk = func(v expr.Value) expr.Value {
		switch v := v.(type) {
		case string:
			if strings.HasPrefix(v, "[[") && strings.HasSuffix(v, "]") {
				return v[1:]
			}
			if strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]") {
				t.Fatalf("%q is an expression of the template", v)
			}
			return v
		case []expr.Value:
			for i := range v {
				v[i] = walk(v[i])
			}
		case *expr.Object:
			for k, e := range v.All() {
				v.Set(k, walk(e))
			}
		}
		return v
	}
	return walk(v).(*expr.Object)
}

func TestAnythingIsPassedThrough(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := anyValue(rt, 3)
		activity := object("name", "Wait", "type", "Wait", "typeProperties", object("waitTimeInSeconds", int64(1), "later", value), "unheard", value)
		raw := object("name", "p", "properties", object("activities", []expr.Value{activity}, "annotations", []expr.Value{value}, "unknown", value))
		p, _ := factory.DecodePipeline("p", "p.json", raw)
		r, ds := Lower(factory.Bundle{Pipeline: p}, options())
		if flowehr.HasErrors(ds) {
			rt.Skip(ds)
		}
		data, err := json.Marshal(r.Resources["pipeline_p"].Properties)
		if err != nil {
			rt.Fatal(err)
		}
		props, _ := definition(raw, "activities")
		if got := unescaped(t, data); string(canonical(got)) != string(canonical(props)) {
			rt.Fatalf("passed through as %s, was %s", canonical(got), canonical(props))
		}
	})
}

func anyValue(t *rapid.T, depth int) expr.Value {
	kinds := 5
	if depth == 0 {
		kinds = 3
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"", "[", "[x]", "[[x]", "[x", "x]", "[]", "@{1}", "@pipeline().RunId", `"'\`}).Draw(t, "text")
	case 1:
		return rapid.Int64Range(-1<<50, 1<<50).Draw(t, "number")
	case 2:
		return nil
	case 3:
		return rapid.Bool().Draw(t, "bool")
	case 4:
		list := []expr.Value{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, anyValue(t, depth-1))
		}
		return list
	}
	o := expr.NewObject()
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		o.Set(rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "key"), anyValue(t, depth-1))
	}
	return o
}

// demoInAzure are the demo's pipelines with the FHIR feed in a container of the lake, as its refusal advises.
func demoInAzure(t testing.TB) []factory.Bundle {
	t.Helper()
	bundles := demoBundles(t)
	for i := range bundles {
		d, ok := bundles[i].Datasets["FhirResources"]
		if !ok {
			continue
		}
		text := strings.NewReplacer(`"fhir-feed"`, `"`+StorageService+`"`, `"type":"FileServerLocation"`, `"type":"AzureBlobFSLocation","fileSystem":"landing"`).
			Replace(string(expr.EncodeJSON(d.Raw)))
		bundles[i].Datasets["FhirResources"], _ = factory.DecodeDataset("FhirResources", d.File, raw(t, text))
	}
	return bundles
}

func TestDemoIsRefusedForItsFolderOnly(t *testing.T) {
	_, ds := LowerAll(demoBundles(t), options())
	if len(ds) != 1 || !strings.Contains(ds[0].Summary, `"fhir-feed" is a folder of this machine`) || ds[0].Pointer == "" || !strings.Contains(ds[0].Detail, StorageService) {
		t.Errorf("%+v", ds)
	}
}

func TestDemoStandsInAzure(t *testing.T) {
	o := options()
	o.RealData = true
	r, ds := LowerAll(demoInAzure(t), o)
	if len(ds) > 0 {
		t.Fatalf("%+v", ds)
	}
	if len(r.Triggers) != 1 || r.Triggers[0].Name != "nightly" || !r.Triggers[0].Started || r.Triggers[0].Digest == "" {
		t.Errorf("triggers %+v", r.Triggers)
	}
	needs := r.Resources[symbol(pipelinePrefix, "hospital-daily")].DependsOn
	for _, p := range []string{"ingest-epr", "ingest-fhir", "conform", "gold-features"} {
		if !slices.Contains(needs, symbol(pipelinePrefix, p)) {
			t.Errorf("hospital-daily is not made after %s", p)
		}
	}
	golden(t, "demo.json", text(t, struct {
		Resources map[string]arm.Resource
		Files     []string
	}{r.Resources, paths(r.Files)}))
	for _, p := range problems(t, r) {
		t.Error(p)
	}
}

func paths(files []File) []string {
	var out []string
	for _, f := range files {
		out = append(out, regexp.MustCompile(`-[0-9a-f]{12}\.py$`).ReplaceAllString(f.Path, "-DIGEST.py"))
	}
	return out
}

// digests are those of generated files, which change with the program in them.
var digests = regexp.MustCompile(`-[0-9a-f]{12}\.py`)

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = digests.ReplaceAllString(got, "-DIGEST.py") + "\n"
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-golden +got):\n%s", name, diff)
	}
}

func TestLoweringDoesNotDependOnAnyOrder(t *testing.T) {
	bundles := demoInAzure(t)
	a, _ := LowerAll(bundles, options())
	slices.Reverse(bundles)
	b, _ := LowerAll(bundles, options())
	if text(t, a) != text(t, b) {
		t.Error("the order of pipelines changes the result")
	}
}

func TestLowerAllFindsWhatOnePipelineCannotShow(t *testing.T) {
	call := func(target string) string {
		return `{"name":"Call","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"` + target + `","type":"PipelineReference"}}}`
	}
	_, ds := LowerAll([]factory.Bundle{bundle(t, "a", call("b")), bundle(t, "b", call("c")), bundle(t, "c", call("a"))}, options())
	if len(ds) != 1 || ds[0].Summary != "pipelines call each other: a calls b calls c calls a" {
		t.Errorf("%+v", ds)
	}
	if _, ds := LowerAll([]factory.Bundle{bundle(t, "a", call("a"))}, options()); len(ds) != 0 {
		t.Errorf("a pipeline may start itself: %+v", ds)
	}
	if _, ds := LowerAll([]factory.Bundle{bundle(t, "a", call("gone"))}, options()); len(ds) != 1 || !strings.Contains(ds[0].Summary, "starts a pipeline that is not here") {
		t.Errorf("%+v", ds)
	}
	lookup := `{"name":"L","type":"Lookup","typeProperties":{"source":{"type":"SqlServerSource"},"dataset":{"referenceName":"Dw","type":"DatasetReference"}}}`
	one, other := bundle(t, "a", lookup), bundle(t, "b", lookup)
	changed := strings.Replace(datasets["Dw"], "beds", "wards", 1)
	other.Datasets["Dw"], _ = factory.DecodeDataset("Dw", "dataset/Dw.json", raw(t, changed))
	if _, ds := LowerAll([]factory.Bundle{one, other}, options()); len(ds) != 1 || !strings.Contains(ds[0].Summary, `different definitions of dataset "Dw"`) {
		t.Errorf("%+v", ds)
	}
}

func TestRegisteredNamesAreUsed(t *testing.T) {
	b := bundle(t, "folder", `{"name":"Call","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"inner name","type":"PipelineReference"}}}`)
	b.References = map[string]string{"inner name": "other"}
	r := lowered(t, b, options())
	p := r.Resources["pipeline_folder"]
	if p.Name != "adf-test/folder" || !slices.Contains(p.DependsOn, "pipeline_other") || !strings.Contains(text(t, p.Properties), `"referenceName": "other"`) {
		t.Errorf("%s", text(t, p))
	}
}

func TestGlobalsAreTyped(t *testing.T) {
	b := bundle(t, "p", `{"name":"W","type":"Wait","typeProperties":{"waitTimeInSeconds":1}}`)
	b.Globals = map[string]expr.Value{"a": int64(1), "b": "[x]", "c": true, "d": []expr.Value{}, "e": 1.5}
	r := lowered(t, b, options())
	want := `{"a":{"type":"Int","value":1},"b":{"type":"String","value":"[[x]"},"c":{"type":"Bool","value":true},"d":{"type":"Array","value":[]},"e":{"type":"Float","value":1.5}}`
	if got := string(canonical(r.Globals)); got != want {
		t.Errorf("%s", got)
	}
}
