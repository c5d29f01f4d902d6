package estate_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/rhysd/actionlint"
	"pgregory.net/rapid"
)

// environments are of all sorts.
func environments() map[string]*flowehr.Environment {
	postgres := whole()
	postgres.Store.Engine = "postgres"
	uses := whole()
	uses.Spark.Metastore = &flowehr.Metastore{ID: "4bdd3a4e-7f02-43e5-a3b0-6f6c3c9c1a11"}
	zones := whole()
	zones.Network.PrivateDNSZonesGroup, zones.Network.PublicDatabricksControl = "rg-dns", false
	long := whole()
	long.Suffix, long.Short = "flwr-0123456789abcde", "flwr0123456789abc"
	long.Apps[0].ID = "a-very-long-name-for-an-app-0123"
	workers := whole()
	workers.Spark.Cluster.Autoscale, workers.Spark.Cluster.DataSecurityMode = &flowehr.Autoscale{Min: 1, Max: 4}, "NONE"
	return map[string]*flowehr.Environment{
		"plain": plain(), "real data": real(plain()), "whole": whole(), "whole, real data": real(whole()), "postgres": postgres, "uses a metastore": uses,
		"zones of others": zones, "long names": long, "workers": workers, "50 apps": manyApps(50),
	}
}

// anyDefinition draws an environment with any apps.
func anyDefinition(t *rapid.T) *flowehr.Environment {
	e := manyApps(rapid.IntRange(0, 4).Draw(t, "apps"))
	yes := rapid.Bool()
	if e.RealData = yes.Draw(t, "real data"); e.RealData {
		real(e)
	}
	if yes.Draw(t, "no lake") {
		e.Lake, e.Spark.UnityCatalog = flowehr.Lake{}, nil
	}
	if yes.Draw(t, "no catalogue") {
		e.Spark.UnityCatalog = nil
	}
	e.Store.Engine = rapid.SampledFrom([]string{"mssql", "postgres"}).Draw(t, "engine")
	for i := range e.Apps {
		a := &e.Apps[i]
		a.TestingSlot = yes.Draw(t, "slot")
		a.Auth = bedBoard().Auth
		a.Auth.EasyAuth = yes.Draw(t, "easy auth")
		keys := rapid.SliceOfDistinct(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_.]{0,60}`), strings.ToLower).Draw(t, "settings")
		a.Env = map[string]flowehr.Text{}
		for _, k := range keys {
			a.Env[k] = rapid.SampledFrom([]flowehr.Text{"plain", "${CANARY_A}", "x${CANARY_B}y"}).Draw(t, "value")
		}
	}
	return e
}

// TestAppsFitPublishedTypes does for serve and apps of all sorts what TestTemplatesFitPublishedTypes does for the cases.
func TestAppsFitPublishedTypes(t *testing.T) {
	types := published(t)
	for name, e := range environments() {
		t.Run(name, func(t *testing.T) {
			for _, r := range lowered(t, e) {
				if r.Ref.Kind != azure.KindStack || r.Layer != flowehr.LayerServe && r.Layer != flowehr.LayerApps {
					continue
				}
				var spec azure.StackSpec
				if err := json.Unmarshal(r.Spec, &spec); err != nil {
					t.Fatal(err)
				}
				for _, p := range types.Template(spec.Template) {
					t.Errorf("%s: %s", r.Ref, p)
				}
			}
		})
	}
}

// TestPlans holds every environment to what a plan asks of its resources: names are unique, needs are there and go in no
// circle, and outputs come from what is needed.
func TestPlans(t *testing.T) {
	for name, e := range environments() {
		t.Run(name, func(t *testing.T) { planned(t, e, lowered(t, e)) })
	}
	t.Run("any", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			e := anyDefinition(t)
			resources, diagnostics := estate.Lower(e, facts())
			if flowehr.HasErrors(diagnostics) {
				t.Fatal(diagnostics)
			}
			planned(t, e, resources)
		})
	})
}

func planned(t rapid.TB, e *flowehr.Environment, resources []flowehr.Resource) {
	t.Helper()
	if _, err := plan.Make(e, resources, flowehr.State{Environment: plan.EnvironmentName(e), Target: e.Target}, plan.Options{}); err != nil {
		t.Error(err)
	}
	layers := map[flowehr.Ref]int{}
	for _, r := range resources {
		layers[r.Ref] = slices.Index(flowehr.Layers(), r.Layer)
	}
	for _, r := range resources {
		for _, need := range r.Needs {
			if layers[need] > layers[r.Ref] {
				t.Errorf("%s of layer %s needs %s of a later one", r.Ref, r.Layer, need)
			}
		}
	}
}

// TestSecretsStandBeforeTheirUse follows every mention of a secret, in configurations of clusters, settings of apps and sources,
// to what makes the secret: it has to come first.
func TestSecretsStandBeforeTheirUse(t *testing.T) {
	inScope := regexp.MustCompile(`\{\{secrets/flowehr-secrets/([^}]+)\}\}`)
	inVault := regexp.MustCompile(`SecretUri=https://([^.]+)\.vault\.azure\.net/secrets/([^)]+)\)`)
	source := regexp.MustCompile(`"vault":\{"name":"([^"]+)","vault":"([^"]+)"\}`)
	rapid.Check(t, func(t *rapid.T) {
		resources, _ := estate.Lower(anyDefinition(t), facts())
		made := map[string]flowehr.Ref{} // what makes a secret
		needs := map[flowehr.Ref][]flowehr.Ref{}
		for _, r := range resources {
			needs[r.Ref] = r.Needs
			switch r.Ref.Kind {
			case azure.KindScopeSecret:
				made["scope/"+r.Ref.Name] = r.Ref
			case azure.KindVaultSecret:
				made[r.Ref.Name] = r.Ref
			case azure.KindRegistryToken:
				s := the[azure.RegistryTokenSpec](t, resources, r.Ref.Kind, r.Ref.Name)
				made[s.Secret.Vault+"/"+s.Secret.Name] = r.Ref
			}
		}
		for _, r := range resources {
			var uses []string
			for _, m := range inScope.FindAllStringSubmatch(string(r.Spec), -1) {
				uses = append(uses, "scope/"+m[1])
			}
			for _, m := range inVault.FindAllStringSubmatch(string(r.Spec), -1) {
				uses = append(uses, m[1]+"/"+m[2])
			}
			if r.Ref.Kind != azure.KindRegistryToken { // which makes its own
				for _, m := range source.FindAllStringSubmatch(string(r.Spec), -1) {
					uses = append(uses, m[2]+"/"+m[1])
				}
			}
			for _, use := range uses {
				if by, ok := made[use]; !ok || !leads(needs, r.Ref, by) {
					t.Errorf("%s uses the secret %s, which does not stand before it", r.Ref, use)
				}
			}
		}
	})
}

// leads reports whether needs lead from one resource to another.
func leads(needs map[flowehr.Ref][]flowehr.Ref, from, to flowehr.Ref) bool {
	seen := map[flowehr.Ref]bool{}
	var walk func(flowehr.Ref) bool
	walk = func(r flowehr.Ref) bool {
		if seen[r] {
			return false
		}
		seen[r] = true
		return slices.Contains(needs[r], to) || slices.ContainsFunc(needs[r], walk)
	}
	return walk(from)
}

func TestLoweringTwiceGivesTheSame(t *testing.T) {
	first, second := lowered(t, whole()), lowered(t, whole())
	for i := range first {
		if string(first[i].Spec) != string(second[i].Spec) || first[i].Ref != second[i].Ref {
			t.Errorf("%s differs from %s", first[i].Ref, second[i].Ref)
		}
	}
}

// TestNoSecretStands looks for what names a secret: it stands as the text of a source and nowhere else. The values are not
// even known here.
func TestNoSecretStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resources, _ := estate.Lower(anyDefinition(t), facts())
		for _, r := range resources {
			var tree any
			if err := json.Unmarshal(r.Spec, &tree); err != nil {
				t.Fatal(err)
			}
			for _, path := range naming("", tree) {
				if !strings.HasSuffix(path, "/source/text") {
					t.Errorf("%s names a secret at %s", r.Ref, path)
				}
			}
		}
	})
}

// naming lists where a tree names a secret.
func naming(path string, v any) []string {
	var found []string
	switch x := v.(type) {
	case string:
		if strings.Contains(x, "CANARY") {
			found = append(found, path)
		}
	case []any:
		for i, e := range x {
			found = append(found, naming(fmt.Sprintf("%s/%d", path, i), e)...)
		}
	case map[string]any:
		for k, e := range x {
			found = append(found, naming(path+"/"+k, e)...)
		}
	}
	return found
}

func TestWorkflowsAreValid(t *testing.T) {
	resources := lowered(t, manyApps(6))
	resources = append(resources, lowered(t, func() *flowehr.Environment {
		e := manyApps(2)
		e.Name = "on"
		return e
	}())...)
	seen := 0
	for _, r := range resources {
		if r.Ref.Kind != azure.KindRepositoryFile || !strings.HasSuffix(r.Ref.Name, ".yml") {
			continue
		}
		seen++
		var file azure.RepositoryFileSpec
		if err := json.Unmarshal(r.Spec, &file); err != nil {
			t.Fatal(err)
		}
		linter, err := actionlint.NewLinter(t.Output(), &actionlint.LinterOptions{Shellcheck: "", Pyflakes: ""})
		if err != nil {
			t.Fatal(err)
		}
		problems, err := linter.Lint(file.Path, []byte(file.Content), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", r.Ref, p)
		}
	}
	if seen == 0 {
		t.Error("there are no workflows")
	}
}

func TestDiagnostics(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*flowehr.Environment)
		says   string
		wrong  bool
	}{
		{"a cluster that never stops", func(e *flowehr.Environment) { e.Spark.Cluster.AutoterminationMinutes = 0 }, "the Databricks cluster never stops by itself", false},
		{"what the platform sets", func(e *flowehr.Environment) {}, "spark_config cannot set spark.master", false},
		{"a setting in small letters", func(e *flowehr.Environment) {}, `the setting Environment of app "Bed_Board" is not used`, false},
		{"settings that differ in capitals only", func(e *flowehr.Environment) { e.Apps[0].Env["Key"] = "x" }, `app "Bed_Board" has the setting KEY twice`, true},
		{"a secret of our own", func(e *flowehr.Environment) { e.Spark.Secrets["flowehr-dbks-sql-fqdn"] = "x" }, `databricks_secrets cannot have the key "flowehr-dbks-sql-fqdn"`, true},
		{"a key that Databricks refuses", func(e *flowehr.Environment) { e.Spark.Secrets["a key"] = "x" }, `databricks_secrets cannot have the key "a key"`, true},
		{"an open app with real data", func(e *flowehr.Environment) { real(e) }, `the platform signs nobody in to app "007", which has real data`, false},
		{"a script that is not there", func(e *flowehr.Environment) { delete(e.Files, "transform/scripts/init.sh") }, "the init script ./transform/scripts/init.sh is not there", true},
		{"a jar outside", func(e *flowehr.Environment) { e.Spark.Libraries.Jar = []string{"../x.jar"} }, "the jar ../x.jar is outside of the definition", true},
		{"a small plan", func(e *flowehr.Environment) { e.Sizes.AppPlanSKU = "B1"; e.Apps = e.Apps[1:] }, "the app plan B1 does not grow with load", false},
		{"a small plan with a slot", func(e *flowehr.Environment) { e.Sizes.AppPlanSKU = "B1" }, `app "Bed_Board" cannot have a testing slot on a plan of size B1`, true},
		{"a long name with a slot", func(e *flowehr.Environment) { e.Apps[0].ID = "an-app-of-a-rather-long-name" }, `people cannot sign in to the testing slot of app "an-app-of-a-rather-long-name"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := whole()
			c.change(e)
			_, diagnostics := estate.Lower(e, facts())
			at := slices.IndexFunc(diagnostics, func(d flowehr.Diagnostic) bool { return d.Summary == c.says })
			if at < 0 {
				t.Fatalf("nothing says %q: %v", c.says, diagnostics)
			}
			if d := diagnostics[at]; (d.Severity == flowehr.SeverityError) != c.wrong || d.Detail == "" {
				t.Errorf("got %s with detail %q", d.Severity, d.Detail)
			}
			if flowehr.HasErrors(diagnostics) != c.wrong {
				t.Errorf("refused is %v: %v", !c.wrong, diagnostics)
			}
		})
	}
}

func TestOptionalParts(t *testing.T) {
	has := func(resources []flowehr.Resource, kind, part string) bool {
		return slices.ContainsFunc(resources, func(r flowehr.Resource) bool { return r.Ref.Kind == kind && strings.Contains(r.Ref.Name, part) })
	}
	serve := plain()
	serve.Serve = whole().Serve
	for _, c := range []struct {
		name       string
		env        *flowehr.Environment
		kind, part string
		want       bool
	}{
		{"no serve layer without apps or serve", plain(), azure.KindStack, "serve", false},
		{"serve layer when it is named", serve, azure.KindStack, "serve", true},
		{"no application for a lake that is not there", plain(), azure.KindApplication, "adls", false},
		{"application for the lake", whole(), azure.KindApplication, "adls", true},
		{"developers", plain(), azure.KindGroup, "developers", true},
		{"no developers with real data", real(plain()), azure.KindGroup, "developers", false},
		{"no catalogue", plain(), azure.KindCatalog, "", false},
		{"no artifacts of a pipeline that is not there", whole(), azure.KindFile, "features2", false},
		{"no repository is made for an app without managed_repo", whole(), azure.KindRepository, "007", false},
		{"but it is released from the one that it has", whole(), azure.KindGitHubDeployment, "007/dev", true},
		{"no swap identity without a slot", whole(), azure.KindApplication, "sp-flowehr-app-007", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := has(lowered(t, c.env), c.kind, c.part); got != c.want {
				t.Errorf("%s with %q: got %v, want %v", c.kind, c.part, got, c.want)
			}
		})
	}
}

// TestSettingsOfAnApp holds the settings to those that app templates read.
func TestSettingsOfAnApp(t *testing.T) {
	e := whole()
	e.Apps = e.Apps[:1]
	settings := resourceOf(t, the[azure.StackSpec](t, lowered(t, e), azure.KindStack, "app-Bed_Board"), "site_appsettings")["properties"].(map[string]any)
	for key, want := range map[string]string{
		"ENVIRONMENT":                 "dev",
		"TENANT_ID":                   facts().Tenant,
		"SUBSCRIPTION_ID":             facts().Subscription,
		"WEBSITES_PORT":               "8000",
		"ALLOWED":                     `[["ward-1","ward-2"]`, // a literal in brackets, as templates write it
		"AAD_IDENTIFIER_URI":          "api://webapp-bed-board-stelse-dev",
		"COSMOSDB_ENDPOINT":           "https://cosmos-serve-stelsedev.documents.azure.com:443/",
		"COSMOS_STATE_STORE_ENDPOINT": "https://cosmos-serve-stelsedev.documents.azure.com:443/",
		"KEY_VAULT_URI":               "https://kv-stelsedev-srv.vault.azure.net/",
		"KEY":                         "@Microsoft.KeyVault(SecretUri=https://kv-stelsedev-srv.vault.azure.net/secrets/webapp-bed-board-stelse-dev-env-key)",
	} {
		if settings[key] != want {
			t.Errorf("%s is %v, want %s", key, settings[key], want)
		}
	}
	for _, key := range []string{"APPLICATIONINSIGHTS_CONNECTION_STRING", "CLIENT_ID", "FEATURE_STORE_CONNECTION_STRING"} {
		if settings[key] == nil {
			t.Errorf("%s is not set", key)
		}
	}
	if _, set := settings["Environment"]; set {
		t.Error("a setting that differs from the platform's in capitals only is set as well")
	}
}

// resourceOf returns a resource of the nested template of a stack.
func resourceOf(t *testing.T, s azure.StackSpec, symbol string) map[string]any {
	t.Helper()
	var outer struct {
		Resources map[string]struct {
			Properties struct {
				Template struct{ Resources map[string]map[string]any }
			}
		}
	}
	if err := json.Unmarshal(s.Template, &outer); err != nil {
		t.Fatal(err)
	}
	for _, nested := range outer.Resources {
		if r, ok := nested.Properties.Template.Resources[symbol]; ok {
			return r
		}
	}
	t.Fatalf("%s has no resource %s", s.Name, symbol)
	return nil
}

func BenchmarkLower50Apps(b *testing.B) {
	e := manyApps(50)
	for b.Loop() {
		if _, diagnostics := estate.Lower(e, facts()); flowehr.HasErrors(diagnostics) {
			b.Fatal(diagnostics)
		}
	}
}
