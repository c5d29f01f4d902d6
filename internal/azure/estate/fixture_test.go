package estate_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"pgregory.net/rapid"
)

// facts of a subscription that somebody deploys to from outside its network.
func facts() azure.Facts {
	return azure.Facts{
		Subscription: "11111111-1111-4111-8111-111111111111", Tenant: "22222222-2222-4222-8222-222222222222",
		Deployer: azure.Deployer{ObjectID: "33333333-3333-4333-8333-333333333333", Kind: azure.PrincipalUser, Name: "jane.doe@stelsewhere.nhs.uk"},
		PublicIP: "198.51.100.7", AddressSpace: "10.1.0.0/24", Databricks: []string{"203.0.113.0/28"},
	}
}

// plain is an environment that asks for nothing.
func plain() *flowehr.Environment {
	return &flowehr.Environment{
		ID: "stelse", Name: "dev", Suffix: "stelse-dev", Short: "stelsedev", Target: flowehr.TargetAzure, Location: "uksouth",
		Tags:    map[string]string{"environment": "dev"},
		Network: flowehr.Network{AddressSpace: "10.1.0.0/24", PublicDatabricksControl: true},
		Spark:   flowehr.Spark{Version: "3.3", Cluster: flowehr.Cluster{RuntimeEngine: "STANDARD", DataSecurityMode: "SINGLE_USER", AutoterminationMinutes: 60}},
		Store:   flowehr.FeatureStore{Engine: "mssql", SKU: "Basic", SizeGB: 2},
		Sizes:   flowehr.Sizes{LogRetentionDays: 90, VaultRetentionDays: 7, AppPlanSKU: "S1"},
	}
}

// whole is an environment that asks for everything. Its secrets are named CANARY_….
func whole() *flowehr.Environment {
	e := plain()
	e.Lake.Zones = []string{"bronze", "silver", "gold"}
	e.Sources = []flowehr.Source{
		{Name: "old-dw", Kind: flowehr.SourceSQLServer, Host: "sql.dw.internal.nhs.uk", Database: "warehouse", Username: "reader", Password: "${CANARY_DW}"},
		{Name: "drop", Kind: flowehr.SourceFolder, Path: "drop"},
	}
	e.Spark.Conf = map[string]flowehr.Text{"spark.sql.shuffle.partitions": "8", "spark.hadoop.key with space": "prefix ${CANARY_CONF}", "spark.master": "yarn"}
	e.Spark.Secrets = map[string]flowehr.Text{"terminology-key": "${CANARY_TERMS}", "plain-key": "$${not a secret}"}
	e.Spark.Libraries = flowehr.Libraries{PyPI: []flowehr.PyPILibrary{{Package: "scipy==1.14.0"}}, Jar: []string{"dbfs:/jars/extra.jar", "transform/jars/own.jar"}}
	e.Spark.Cluster.InitScripts = []string{"./transform/scripts/init.sh"}
	e.Spark.DatabricksAccountID = "8d3f0a52-0c1e-4a4e-9d5f-2f1b6c7a8e90"
	e.Spark.UnityCatalog = &flowehr.UnityCatalog{
		CatalogPrefix: "catalog", SchemaName: "patients", Zones: []string{"silver", "gold"},
		CatalogAdminGroup: "unity_catalog_admins", CatalogAdminPrivileges: []string{"ALL_PRIVILEGES"},
		ExternalStorageAdminGroup: "unity_catalog_external_storage_admins", ExternalStorageAdminPrivileges: []string{"ALL_PRIVILEGES"},
	}
	e.Spark.Metastore = &flowehr.Metastore{Name: "metastore-uksouth", StorageAccount: "strgmetastore", ResourceGroup: "rg-metastore"}
	e.Files = map[string]string{
		"transform/scripts/init.sh":                           digestOf("a"),
		"transform/jars/own.jar":                              digestOf("b"),
		"transform/pipelines/features/artifacts/entry.py":     digestOf("c"),
		"transform/pipelines/features/artifacts/lib/more.whl": digestOf("d"),
		"transform/pipelines/features2/artifacts/entry.py":    digestOf("e"),
	}
	e.Pipelines = []flowehr.Pipeline{pipeline("features", "transform/pipelines/features")}
	e.Serve = &flowehr.Serve{GitHubOwner: "st-elsewhere", GitHubAppID: "123456", GitHubAppInstallationID: "12345678"}
	e.Monitoring.Recipients = []flowehr.Recipient{{Name: "On call", Email: "oncall@stelsewhere.nhs.uk"}}
	e.Apps = []flowehr.App{bedBoard(), {ID: "007", Name: "7", Owners: map[string]string{"jdoe": "jane.doe@stelsewhere.nhs.uk"}, Branch: flowehr.Branch{Approvals: 1}}}
	return e
}

// bedBoard is an app that asks for everything.
func bedBoard() flowehr.App {
	return flowehr.App{
		ID: "Bed_Board", Name: "Bed board", Description: "Who lies where", Project: "main", TestingSlot: true,
		Owners:       map[string]string{"jdoe": "jane.doe@stelsewhere.nhs.uk", "bsmith": "b.smith@stelsewhere.nhs.uk"},
		Contributors: map[string]string{"asmith": "adam.smith@stelsewhere.nhs.uk"},
		ManagedRepo:  &flowehr.ManagedRepo{Private: true, Template: "st-elsewhere/Dash-Seedling"},
		Branch:       flowehr.Branch{Approvals: 2},
		Env: map[string]flowehr.Text{
			"WEBSITES_PORT": "8000", "ALLOWED": `["ward-1","ward-2"]`, "KEY": "${CANARY_APP}", "client.key": "x-${CANARY_OTHER}",
			"Environment": "overridden", "TENANT_ID": "${CANARY_TENANT}",
		},
		Auth: &flowehr.Auth{
			EasyAuth: true, SPA: true, AdditionalRedirects: []string{"http://localhost:3000/"},
			Roles: []flowehr.AppRole{{Value: "Admin", DisplayName: "Admins", Description: "May do everything"}},
		},
		Pos: flowehr.Pos{File: "apps/apps.dev.yaml", Line: 1, Column: 1},
	}
}

// real is e with real data.
func real(e *flowehr.Environment) *flowehr.Environment {
	e.RealData = true
	e.Monitoring = flowehr.Monitoring{
		Recipients:         []flowehr.Recipient{{Name: "On call", Email: "oncall@stelsewhere.nhs.uk"}},
		NetworkWatcherName: "nw-uksouth", NetworkWatcherGroup: "NetworkWatcherRG",
	}
	return e
}

// manyApps is an environment with n apps of all sorts.
func manyApps(n int) *flowehr.Environment {
	e := whole()
	e.Apps = nil
	for i := range n {
		a := bedBoard()
		a.ID = fmt.Sprintf("app-%d", i)
		if a.TestingSlot = i%2 == 0; i%3 == 0 {
			a.Auth = nil
		}
		if i%5 == 0 {
			a.ManagedRepo = nil
		}
		e.Apps = append(e.Apps, a)
	}
	return e
}

func digestOf(letter string) string {
	var out string
	for range 64 {
		out += letter
	}
	return out
}

func pipeline(name, dir string) flowehr.Pipeline {
	definition := fmt.Sprintf(`{"name":%q,"properties":{"activities":[]}}`, name)
	bundle := fmt.Sprintf(`{"dir":%q,"project":"main","pipeline":{"name":%q,"file":"%s/pipeline.json","definition":%s},"triggers":[],"datasets":[],"linkedServices":[],"globals":{},"references":{}}`,
		dir, name, dir, definition)
	return flowehr.Pipeline{Name: name, Project: "main", Dir: dir, Bundle: []byte(bundle), Digest: digestOf("f")}
}

// lowered is what an environment becomes, which must not be refused.
func lowered(t testing.TB, e *flowehr.Environment) []flowehr.Resource {
	t.Helper()
	resources, diagnostics := estate.Lower(e, facts())
	for _, d := range diagnostics {
		if d.Severity == flowehr.SeverityError {
			t.Fatalf("%s: %s (%s)", d.Pos, d.Summary, d.Detail)
		}
	}
	return resources
}

// the returns the description of one resource of a kind.
func the[T any](t rapid.TB, resources []flowehr.Resource, kind, name string) T {
	t.Helper()
	var spec T
	for _, r := range resources {
		if r.Ref == azure.Ref(kind, name) {
			if err := json.Unmarshal(r.Spec, &spec); err != nil {
				t.Fatalf("%s: %v", r.Ref, err)
			}
			return spec
		}
	}
	t.Fatalf("there is no %s/%s", kind, name)
	return spec
}
