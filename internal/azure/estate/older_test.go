package estate_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
)

// TestDefinitionsOfOthers lowers every right definition among the cases of package compile that runs in Azure, a repository of
// the older system among them, and holds what comes of it to the published types.
func TestDefinitionsOfOthers(t *testing.T) {
	types := published(t)
	var unpublished []string
	for _, typ := range arm.Types() {
		if _, ok := types.Version(typ); !ok {
			unpublished = append(unpublished, typ)
		}
	}
	files, err := filepath.Glob("../../compile/testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	lowered := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		option := map[string]string{}
		definition := fstest.MapFS{}
		for _, f := range archive.Files {
			definition[f.Name] = &fstest.MapFile{Data: f.Data}
			if f.Name == "options" {
				for line := range strings.Lines(string(f.Data)) {
					key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
					option[key] = value
				}
			}
		}
		doc, found := config.Load(definition, config.Options{
			Environment: option["env"], SuffixOverride: option["suffix"], InAutomation: option["automation"] != "",
			Lookup: func(name string) (string, bool) { return secretCanary + name, true },
		})
		env, more := compile.Environment(doc)
		if env.Target != flowehr.TargetAzure || flowehr.HasErrors(append(found, more...)) {
			continue
		}
		lowered[name] = true
		t.Run(name, func(t *testing.T) {
			env.Files = map[string]string{}
			for _, script := range env.Spark.Cluster.InitScripts {
				env.Files[script] = strings.Repeat("0", 64)
			}
			resources, found := estate.Lower(env, azure.Facts{
				Subscription: "00000000-0000-4000-8000-000000000001", Tenant: "00000000-0000-4000-8000-000000000002",
				Deployer: azure.Deployer{ObjectID: "00000000-0000-4000-8000-000000000003", Kind: azure.PrincipalUser}, PublicIP: "198.51.100.7",
			})
			if flowehr.HasErrors(found) {
				t.Errorf("refused: %s", messages(found))
			}
			for _, r := range resources {
				if strings.Contains(string(r.Spec), secretCanary) {
					t.Errorf("%s holds the value of a secret", r.Ref)
				}
				if r.Ref.Kind != azure.KindStack {
					continue
				}
				for _, p := range types.Template(templateOf(t, r), unpublished...) {
					t.Errorf("%s: %s", r.Ref, p)
				}
			}
		})
	}
	if !lowered["old-system"] || len(lowered) < 3 {
		t.Errorf("only %v was lowered", lowered)
	}
}
