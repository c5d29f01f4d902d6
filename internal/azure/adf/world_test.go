package adf

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/arm/armtest"
	"github.com/flowehr/flowehr/internal/demo"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// options are those of an environment with everything.
func options() Options {
	return Options{
		FactoryName: "adf-test", FactoryID: "/subscriptions/s/resourceGroups/rg-test/providers/Microsoft.DataFactory/factories/adf-test",
		Location: "uksouth", Tags: map[string]string{"environment": "test"},
		LinkedServices: map[string]string{SparkService: "spark", VaultService: "vault", StorageService: "storage"},
		Zones:          []string{"bronze", "silver", "gold"},
		StoreEngine:    "mssql", StoreServer: "sql-test.database.windows.net", StoreDatabase: "sql-db-features",
		Sources: []flowehr.Source{
			{Name: "epr", Kind: flowehr.SourcePostgreSQL, Host: "epr.test", Database: "hospital", Username: "reader", Password: "${EPR}"},
			{Name: "dw", Kind: flowehr.SourceSQLServer, Host: "dw.test", Port: 1444, Database: "dw", Username: "reader", Password: "${DW}", TLS: "verify"},
			{Name: "ward", Kind: flowehr.SourceMySQL, Host: "ward.test", Database: "ward", Username: "${WARD_USER}", Password: "${WARD}"},
			{Name: "fhir-feed", Kind: flowehr.SourceFolder, Path: "data/fhir"},
		},
		Runtime:   "FlowEHRIntegrationRuntime",
		Workspace: "https://adb-1.2.azuredatabricks.net", WorkspaceID: "/subscriptions/s/resourceGroups/rg-test/providers/Microsoft.Databricks/workspaces/dbks-test",
		Cluster: "0101-000000-abc", AppInsightsID: "/subscriptions/s/resourceGroups/rg-test/providers/Microsoft.Insights/components/transform-ai-test",
	}
}

// raw decodes a definition.
func raw(t testing.TB, text string) *expr.Object {
	t.Helper()
	v, err := expr.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v.(*expr.Object)
}

// datasets that the tests' pipelines use.
var datasets = map[string]string{
	"Lake": `{"properties":{"type":"AzureDatabricksDeltaLakeDataset","linkedServiceName":{"referenceName":"LakeLinkedService","type":"LinkedServiceReference"},
		"parameters":{"zone":{"type":"String"},"table":{"type":"String"}},
		"typeProperties":{"database":{"value":"@dataset().zone","type":"Expression"},"table":{"value":"@dataset().table","type":"Expression"}}}}`,
	"Features": `{"properties":{"type":"AzureSqlTable","linkedServiceName":{"referenceName":"FeatureStoreLinkedService","type":"LinkedServiceReference"},
		"parameters":{"table":{"type":"String"}},"typeProperties":{"schema":"features","table":"@dataset().table"}}}`,
	"Epr": `{"properties":{"type":"PostgreSqlV2Table","linkedServiceName":{"referenceName":"epr","type":"LinkedServiceReference"},
		"parameters":{"table":{"type":"String"}},"typeProperties":{"schema":"public","table":"@{dataset().table}"}}}`,
	"Dw":   `{"properties":{"type":"SqlServerTable","linkedServiceName":{"referenceName":"dw","type":"LinkedServiceReference"},"typeProperties":{"schema":"dbo","table":"beds"}}}`,
	"Ward": `{"properties":{"type":"MySqlTable","linkedServiceName":{"referenceName":"ward","type":"LinkedServiceReference"},"typeProperties":{"tableName":"stays"}}}`,
	"Folder": `{"properties":{"type":"Json","linkedServiceName":{"referenceName":"fhir-feed","type":"LinkedServiceReference"},
		"typeProperties":{"location":{"type":"FileServerLocation"}}}}`,
	"Lines": `{"properties":{"type":"Json","linkedServiceName":{"referenceName":"ADLSLinkedServiceViaMSI","type":"LinkedServiceReference"},
		"typeProperties":{"location":{"type":"AzureBlobFSLocation","fileSystem":"landing","folderPath":"fhir"}}}}`,
	"Csv": `{"properties":{"type":"DelimitedText","linkedServiceName":{"referenceName":"ADLSLinkedServiceViaMSI","type":"LinkedServiceReference"},
		"typeProperties":{"location":{"type":"AzureBlobFSLocation","fileSystem":"landing","fileName":"a.csv"},"columnDelimiter":";","firstRowAsHeader":true}}}`,
}

// bundle makes a pipeline of activities, written as JSON, with every dataset of the tests.
func bundle(t testing.TB, name, activities string, triggers ...string) factory.Bundle {
	t.Helper()
	return decode(t, name, `{"name":"`+name+`","properties":{"parameters":{"from":{"type":"Int","defaultValue":1},"secret":{"type":"SecureString"}},"activities":[`+activities+`]}}`, triggers...)
}

func decode(t testing.TB, name, definition string, triggers ...string) factory.Bundle {
	t.Helper()
	p, ds := factory.DecodePipeline(name, name+"/pipeline.json", raw(t, definition))
	if flowehr.HasErrors(ds) {
		t.Fatal(ds)
	}
	b := factory.Bundle{Pipeline: p, Datasets: map[string]factory.Dataset{}}
	for name, text := range datasets {
		b.Datasets[name], _ = factory.DecodeDataset(name, "dataset/"+name+".json", raw(t, text))
	}
	for _, text := range triggers {
		tr, ds := factory.DecodeTrigger(name, name+"/trigger.json", raw(t, text))
		if flowehr.HasErrors(ds) {
			t.Fatal(ds)
		}
		b.Triggers = append(b.Triggers, tr)
	}
	return b
}

// lowered lowers one pipeline that has no problems.
func lowered(t testing.TB, b factory.Bundle, o Options) Result {
	t.Helper()
	r, ds := Lower(b, o)
	if flowehr.HasErrors(ds) {
		t.Fatalf("%+v", ds)
	}
	return r
}

// demoBundles are the pipelines that flowehr init writes.
func demoBundles(t testing.TB) []factory.Bundle {
	t.Helper()
	files, err := demo.Files()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(files, "transform/pipelines")
	if err != nil {
		t.Fatal(err)
	}
	f, ds := factory.Load(sub, ".")
	if flowehr.HasErrors(ds) {
		t.Fatal(ds)
	}
	return f.Bundles
}

// validate holds resources to the published descriptions, or skips when these are not here.
func validate(t testing.TB, r Result) []string {
	t.Helper()
	dir, err := armtest.Folder(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	types, err := armtest.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	template := arm.ForGroup()
	for symbol, resource := range r.Resources {
		template.Add(symbol, resource)
	}
	for _, s := range options().LinkedServices {
		template.Add(s, arm.New(typeService, "adf-test/"+s, arm.Object{"type": "AzureKeyVault", "typeProperties": arm.Object{"baseUrl": "https://v"}}))
	}
	text, err := template.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range types.Template(text, typeDataset) {
		out = append(out, p.String())
	}
	return out
}

// collection is the folder of definitions from other people's repositories.
func collection(t testing.TB) string {
	t.Helper()
	root := os.Getenv(armtest.Variable)
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "adf", "pipelines")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the collection of definitions is not here: %v", err)
	}
	return dir
}

// collected reads the collection: each of its folders is a factory.
func collected(t testing.TB) map[string][]factory.Bundle {
	t.Helper()
	dir := collection(t)
	all := map[string][]factory.Bundle{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			all[e.Name()] = readFactory(t, filepath.Join(dir, e.Name()))
		}
	}
	return all
}

func readFactory(t testing.TB, dir string) []factory.Bundle {
	t.Helper()
	objects := func(sub string) map[string]*expr.Object {
		out := map[string]*expr.Object{}
		paths, err := filepath.Glob(filepath.Join(dir, sub, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			v, err := expr.DecodeJSON(data)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			out[strings.TrimSuffix(filepath.Base(path), ".json")], _ = v.(*expr.Object)
		}
		return out
	}
	sets, services := map[string]factory.Dataset{}, map[string]factory.LinkedService{}
	for name, o := range objects("_dataset") {
		d, _ := factory.DecodeDataset(name, name+".json", o)
		sets[d.Name] = d
	}
	for name, o := range objects("_linkedService") {
		s, _ := factory.DecodeLinkedService(name, name+".json", o)
		services[s.Name] = s
	}
	var out []factory.Bundle
	for name, o := range objects("") {
		if own, ok := value(o, "name").(string); ok {
			name = own
		}
		p, _ := factory.DecodePipeline(name, name+".json", o)
		out = append(out, factory.Bundle{Pipeline: p, Datasets: sets, LinkedServices: services})
	}
	for name, o := range objects("_trigger") {
		tr, _ := factory.DecodeTrigger(name, name+".json", o)
		for i := range out {
			if len(tr.Pipelines) > 0 && tr.Pipelines[0].Name == out[i].Pipeline.Name {
				out[i].Triggers = append(out[i].Triggers, tr)
			}
		}
	}
	return out
}

// text is JSON for comparing.
func text(t testing.TB, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
