package azure

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// hospital has files of every kind that a cluster and its jobs need, and Unity Catalog: METASTORE stands for the metastore.
const hospital = `
-- config.yaml --
flowehr_id: ward
location: uksouth
core_address_space: 10.20.0.0/22
data_source_connections:
  - {name: epr, fqdn: epr.trust.example, database: epr, username: "${EPR_USER}", password: "${EPR_PASSWORD}"}
transform:
  spark_version: 3.5
  datalake: {zones: [bronze, gold]}
  databricks_libraries: {jar: [transform/jars/own.jar]}
  databricks_cluster:
    node_type: {min_memory_gb: 14, min_cores: 4}
    autotermination_minutes: 30
    init_scripts: [transform/scripts/init.sh]
  databricks_account_id: 8d3f0a52-0c1e-4a4e-9d5f-2f1b6c7a8e90
  unity_catalog: {catalog_name_prefix: hospital, schema_name: features, datalake_zones: [gold]}
  unity_catalog_metastore: {METASTORE, storage_account_name: metauk, resource_group_name: rg-metastore}
-- config.dev.yaml --
environment: dev
-- transform/scripts/init.sh --
echo "ready"
-- transform/jars/own.jar --
not really
-- transform/pipelines/nightly/pipeline.json --
{"name": "nightly", "properties": {"activities": [{"name": "Build features", "type": "Script", "policy": {"timeout": "0.01:00:00"},
  "linkedServiceName": {"referenceName": "LakeLinkedService", "type": "LinkedServiceReference"},
  "typeProperties": {"scripts": [{"type": "NonQuery", "text": "create or replace table gold.n as select 1 as n"}]}}]}}
`

const metastoreInUse = "0f6c9d7a-2b1f-4c3d-8e5f-60718293a4b5"

// standing puts into the account of Databricks what somebody else made there: the metastore when no group is named, else the groups.
func (s *subscription) standing(t *testing.T, p *process, groups ...string) {
	t.Helper()
	const account = "/api/2.0/accounts/8d3f0a52-0c1e-4a4e-9d5f-2f1b6c7a8e90"
	if err := p.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	post := func(path string, body any) {
		if err := p.client.Call(t.Context(), cloud.DatabricksAccount(), http.MethodPost, account+path, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(groups) == 0 {
		post("/metastores", map[string]any{"metastore_info": map[string]string{"metastore_id": metastoreInUse, "name": "uk", "region": "uksouth",
			"storage_root": "abfss://tables@metauk.dfs.core.windows.net/"}})
	}
	for _, name := range groups {
		post("/scim/v2/Groups", map[string]string{"displayName": name})
	}
}

// TestUnityCatalog deploys with a metastore that the environment makes, and with one that it only uses: all of it stands after
// one deployment, a plan of it is empty, a generated job finds its file, and destroyed it leaves nothing but the groups.
func TestUnityCatalog(t *testing.T) {
	for name, metastore := range map[string]string{"made": "metastore_name: uk", "used": "metastore_id: " + metastoreInUse} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newSite(txtar.Parse([]byte(strings.Replace(hospital, "METASTORE", metastore, 1))), "dev")
			s, heard := simulate(t, azuresim.Options{Seed: 3, Quiet: fast}), &ear{}
			s.takenForGranted(t, x)
			p := s.begin(t, x, heard, life{})
			if name == "used" {
				s.standing(t, p)
				if _, err := p.deploy(t.Context()); err == nil || !strings.Contains(err.Error(), `has no group "unity_catalog_admins"`) {
					t.Fatalf("without the groups of the account: %v", err)
				}
				s.standing(t, p, "unity_catalog_admins", "unity_catalog_external_storage_admins")
			}
			before := s.metastores(t)
			if _, err := p.deploy(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.again(t, x, heard) // a plan of what stands changes nothing
			s.runs(t, p, "nightly")
			p = s.begin(t, x, heard, life{})
			all, err := p.destroy(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			proof, err := p.target.Left(t.Context(), all, p.names())
			if err != nil || !proof.Clean() {
				t.Errorf("left: %+v, %v", proof.Left, err)
			}
			if after := s.metastores(t); after != before {
				t.Errorf("metastores before: %s; after: %s", before, after)
			}
			heard.secretive(t)
		})
	}
}

// metastores lists those of all accounts, which outlive an environment that only uses one.
func (s *subscription) metastores(t *testing.T) string {
	t.Helper()
	var kept []string
	for line := range strings.SplitSeq(s.worldOf(t), "\n") {
		if strings.HasPrefix(line, "databricks metastores ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "; ")
}

// runs has a pipeline run to its end, which must be good.
func (s *subscription) runs(t *testing.T, p *process, pipeline string) {
	t.Helper()
	factory := p.id("Microsoft.DataFactory/factories", azure.NamesOf(p.env).Factory())
	const version = "?api-version=2018-06-01"
	var run struct{ RunID, Status, Message string }
	if err := p.client.Call(t.Context(), cloud.ARM(), http.MethodPost, factory+"/pipelines/"+pipeline+"/createRun"+version, map[string]any{}, &run); err != nil {
		t.Fatal(err)
	}
	id := run.RunID
	for range 100 {
		if err := p.client.Get(t.Context(), cloud.ARM(), factory+"/pipelineruns/"+id+version, &run); err != nil {
			t.Fatal(err)
		}
		if run.Status == "Succeeded" {
			return
		}
		if run.Status == "Failed" {
			break
		}
		if err := p.network.wait(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("run of %s: %s %s", pipeline, run.Status, run.Message)
}
