package estate_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/estate"
)

// runnerFile is the program of generated jobs, which reads settings of the cluster that this package writes.
const runnerFile = "../adf/runner.py"

// Ways in which it reads them.
var (
	readsSetting  = regexp.MustCompile(`spark\.conf\.get\("spark\.secret\.([^"]+)"(, None)?`)
	readsOfSource = regexp.MustCompile(`setting\("([^"]+)"\)`)
	readsVariable = regexp.MustCompile(`os\.environ(?:\.get\(|\[)"([A-Z_]+)"`)
	readsAny      = regexp.MustCompile(`spark\.conf\.get\(|os\.environ`)
)

// read returns the settings and the variables that the runner reads; %s of a source's stands for the name of the source.
func read(t *testing.T) (settings, variables []string) {
	t.Helper()
	b, err := os.ReadFile(runnerFile)
	if err != nil {
		t.Fatal(err)
	}
	code := string(b)
	understood := 0
	for _, m := range readsSetting.FindAllStringSubmatch(code, -1) {
		understood++
		if m[1] == "%s-%s" { // of a source
			for _, part := range readsOfSource.FindAllStringSubmatch(code, -1) {
				settings = append(settings, "old-dw-"+part[1])
			}
			continue
		}
		settings = append(settings, m[1])
	}
	for _, m := range readsVariable.FindAllStringSubmatch(code, -1) {
		understood++
		variables = append(variables, m[1])
	}
	if all := len(readsAny.FindAllString(code, -1)); all != understood {
		t.Fatalf("the runner reads settings in %d places, of which this test understands %d", all, understood)
	}
	return settings, variables
}

// Every setting that a generated job reads is on the cluster, and the secret behind it is in the scope before the cluster starts.
func TestClusterHasWhatJobsRead(t *testing.T) {
	settings, variables := read(t)
	for _, must := range []string{"feature-store-app-id", "feature-store-fqdn", "azure-tenant-id", "datalake-uri", "old-dw-fqdn", "old-dw-username", "old-dw-password"} {
		if !slices.Contains(settings, must) {
			t.Errorf("the runner was not seen to read %s: %v", must, settings)
		}
	}
	for name, env := range map[string]*flowehr.Environment{"whole": whole(), "real data": real(whole()), "no catalogue": withoutCatalogue(whole())} {
		resources := lowered(t, env)
		cluster := the[azure.ClusterSpec](t, resources, azure.KindCluster, "FlowEHR Cluster")
		for _, s := range settings {
			held(t, resources, name+": spark.secret."+s, cluster.Conf["spark.secret."+s])
		}
		for _, v := range variables {
			value, _ := cluster.Env[v].Known()
			held(t, resources, name+": "+v, value)
		}
		const at = ".adlsstelsedev.dfs.core.windows.net"
		for key, want := range map[string]string{
			"auth.type": "OAuth", "oauth.provider.type": "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider",
			"oauth2.client.endpoint": "https://login.microsoftonline.com/" + facts().Tenant + "/oauth2/token",
		} {
			if got := cluster.Conf["spark.hadoop.fs.azure.account."+key+at]; got != want {
				t.Errorf("%s: %s of the lake is %q, want %q", name, key, got, want)
			}
		}
		for key, secret := range map[string]string{"oauth2.client.id": "flowehr-dbks-adls-app-id", "oauth2.client.secret": "flowehr-dbks-adls-app-secret"} {
			if got := held(t, resources, name+": "+key, cluster.Conf["spark.hadoop.fs.azure.account."+key+at]); got != secret {
				t.Errorf("%s: %s of the lake is secret %q, want %q", name, key, got, secret)
			}
		}
	}
}

func withoutCatalogue(e *flowehr.Environment) *flowehr.Environment {
	e.Spark.UnityCatalog, e.Spark.Metastore = nil, nil
	return e
}

var secretOfScope = regexp.MustCompile(`^\{\{secrets/flowehr-secrets/([^}]+)\}\}$`)

// held fails unless a value is a secret of the scope that the cluster waits for, and returns its key.
func held(t *testing.T, resources []flowehr.Resource, what, value string) string {
	t.Helper()
	m := secretOfScope.FindStringSubmatch(value)
	if m == nil {
		t.Errorf("%s is %q, which is no secret of the scope", what, value)
		return ""
	}
	secret := the[azure.ScopeSecretSpec](t, resources, azure.KindScopeSecret, m[1])
	if s := secret.Source; s.Text == "" && s.Value == nil && s.Vault == nil && s.Telemetry == "" {
		t.Errorf("%s comes from nowhere", what)
	}
	i := slices.IndexFunc(resources, func(r flowehr.Resource) bool { return r.Ref.Kind == azure.KindCluster })
	if !slices.Contains(resources[i].Needs, azure.Ref(azure.KindScopeSecret, m[1])) {
		t.Errorf("the cluster does not wait for secret %s", m[1])
	}
	return m[1]
}

// Scripts are files of the workspace or stand where clusters still run them from.
func TestInitScripts(t *testing.T) {
	e := whole()
	e.Spark.Cluster.InitScripts = []string{"./transform/scripts/init.sh", "/Volumes/main/init/more.sh", "/Shared/x.sh", "abfss://init@adlsx.dfs.core.windows.net/last.sh"}
	got := the[azure.ClusterSpec](t, lowered(t, e), azure.KindCluster, "FlowEHR Cluster").InitScripts
	want := []string{"/flowehr/init_scripts/transform/scripts/init.sh", "/Volumes/main/init/more.sh", "/Shared/x.sh", "abfss://init@adlsx.dfs.core.windows.net/last.sh"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	file := the[azure.FileSpec](t, lowered(t, e), azure.KindFile, want[0])
	if file.Path != want[0] || file.From != "transform/scripts/init.sh" || file.Digest != digestOf("a") {
		t.Errorf("file %+v", file)
	}
	for _, script := range []string{"dbfs:/init/a.sh", "file:/a.sh", "s3://bucket/a.sh"} {
		e.Spark.Cluster.InitScripts = []string{script}
		_, diagnostics := estate.Lower(e, facts())
		if !slices.ContainsFunc(diagnostics, func(d flowehr.Diagnostic) bool {
			return d.Severity == flowehr.SeverityError && strings.HasSuffix(d.Summary, "any more: "+script)
		}) {
			t.Errorf("%s was not refused: %v", script, diagnostics)
		}
	}
}

// Runtimes with Spark 3.5 install libraries from the workspace's file system only when they are told to.
func TestLibrariesOfNewRuntimes(t *testing.T) {
	for version, want := range map[string]string{"3.2": "", "3.3": "", "3.4.1": "", "3.5": "true", "3.5.2": "true", "4.0": "true", "3.10": "true", "": "", "x": ""} {
		e := plain()
		e.Spark.Version = version
		got := the[azure.ClusterSpec](t, lowered(t, e), azure.KindCluster, "FlowEHR Cluster").Conf["spark.databricks.driver.dbfsLibraryInstallationAllowed"]
		if got != want {
			t.Errorf("Spark %q: %q, want %q", version, got, want)
		}
	}
}

// Groups of the account are made with the metastore, must stand with one that is only used, and come before their privileges.
func TestAccountGroups(t *testing.T) {
	groups := func(e *flowehr.Environment) map[string]bool {
		out := map[string]bool{}
		resources := lowered(t, e)
		for _, r := range resources {
			if r.Ref.Kind == azure.KindAccountGroup {
				spec := the[azure.AccountGroupSpec](t, resources, r.Ref.Kind, r.Ref.Name)
				if spec.Name != r.Ref.Name || spec.Account != e.Spark.DatabricksAccountID {
					t.Errorf("%s: %+v", r.Ref, spec)
				}
				out[spec.Name] = spec.Make
			}
		}
		for _, r := range resources {
			if r.Ref.Kind != azure.KindPrivileges {
				continue
			}
			spec := the[azure.PrivilegesSpec](t, resources, r.Ref.Kind, r.Ref.Name)
			who, known := spec.Principal.Known()
			if _, described := out[who]; known && (!described || !slices.Contains(r.Needs, azure.Ref(azure.KindAccountGroup, who))) {
				t.Errorf("%s does not wait for group %q", r.Ref, who)
			}
		}
		return out
	}
	if got, want := groups(whole()), map[string]bool{"unity_catalog_admins": true, "unity_catalog_external_storage_admins": true}; !maps.Equal(got, want) {
		t.Errorf("made: %v, want %v", got, want)
	}
	used := whole()
	used.Spark.Metastore = &flowehr.Metastore{ID: "0f6c9d7a-2b1f-4c3d-8e5f-60718293a4b5"}
	used.Spark.UnityCatalog.ExternalStorageAdminGroup = "unity_catalog_admins"
	if got, want := groups(used), map[string]bool{"unity_catalog_admins": false}; !maps.Equal(got, want) {
		t.Errorf("used: %v, want %v", got, want)
	}
	if got := groups(plain()); len(got) > 0 {
		t.Errorf("without a catalogue: %v", got)
	}
}
