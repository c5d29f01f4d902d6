package adf

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// harness runs the jobs that it is given one after the other in one Spark session, as Databricks would run each in its own.
// Tables are Parquet: a Spark without Delta's library is enough to see what statements do.
const harness = `
import json, sys, traceback
from pyspark.sql import SparkSession
jobs = json.load(open(sys.argv[1]))
spark = (SparkSession.builder.master("local[1]").config("spark.sql.warehouse.dir", jobs["warehouse"])
    .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "1").getOrCreate())
spark.sparkContext.setLogLevel("OFF")
out = []
for job in jobs["jobs"]:
    sys.argv = [job["path"]] + job["arguments"]
    code = open(job["path"]).read().replace('FORMAT = "delta"', 'FORMAT = "parquet"')
    try:
        definitions, _, call = code.partition("\n\nrun(")
        names = {"__name__": "__main__"}
        exec(compile(definitions, job["path"], "exec"), names)
        names["container"] = lambda spark, name: jobs["containers"] + "/" + name
        exec(compile("run(" + call, job["path"], "exec"), names)
        out.append("")
    except Exception as e:
        out.append(type(e).__name__ + ": " + str(e))
parser = spark._jsparkSession.sessionState().sqlParser()
for sql in jobs["parse"]:
    try:
        parser.parsePlan(sql)
    except Exception as e:
        out.append("cannot parse " + sql + ": " + str(e))
answers = [[[str(v) for v in row] for row in spark.sql(q).collect()] for q in jobs["queries"]]
json.dump({"outcomes": out, "answers": answers}, open(jobs["out"], "w"))
`

type sparkJob struct {
	Path      string   `json:"path"`
	Arguments []string `json:"arguments"`
}

type sparkOutcome struct {
	Outcomes []string     `json:"outcomes"`
	Answers  [][][]string `json:"answers"`
}

// python is the interpreter of FLOWEHR_TEST_PYSPARK, one that has pyspark.
func python(t testing.TB) string {
	t.Helper()
	path := os.Getenv("FLOWEHR_TEST_PYSPARK")
	if path == "" {
		t.Skip("FLOWEHR_TEST_PYSPARK names no Python with pyspark")
	}
	return path
}

func runSpark(t *testing.T, containers string, jobs []sparkJob, queries, parse []string) sparkOutcome {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out.json")
	input, err := json.Marshal(map[string]any{"warehouse": filepath.Join(dir, "warehouse"), "jobs": jobs, "queries": queries, "parse": parse, "containers": containers, "out": out})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"harness.py": harness, "jobs.json": string(input)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python(t), "harness.py", "jobs.json")
	cmd.Dir = dir
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var o sparkOutcome
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", printed)
	return o
}

// TestJobsDoOnSparkWhatTheDefinitionSays runs generated files on a real Spark.
func TestJobsDoOnSparkWhatTheDefinitionSays(t *testing.T) {
	python(t)
	dir := t.TempDir()
	const lake = `"type":"Script","linkedServiceName":{"referenceName":"LakeLinkedService","type":"LinkedServiceReference"}`
	b := bundle(t, "p", `
		{"name":"Make",`+lake+`,"typeProperties":{"scripts":[{"type":"NonQuery",
			"text":"CREATE TABLE silver.stay AS SELECT CAST(@id AS INT) AS id, 'O''Brien \\ c:\\new' AS who, CAST(@nothing AS STRING) AS nothing, 1_000 AS n; INSERT INTO silver.stay SELECT 2, 'x', NULL, 5 WHERE @flag; SELECT * FROM silver.stay",
			"parameters":[{"name":"id","type":"Int32","value":"@pipeline().parameters.from"},{"name":"flag","type":"Boolean","value":"true"},{"name":"nothing","type":"String","value":null}]}]}},
		{"name":"Check",`+lake+`,"typeProperties":{"assertions":[
			{"table":"silver.stay","rows":{"min":1}},
			{"table":"silver.stay","unique":["id"]},
			{"table":"silver.stay","not_null":["nothing"],"severity":"warning"},
			{"name":"known","table":"silver.stay","references":{"column":"id","table":"silver.stay"}},
			{"name":"n between 0 and 9","table":"silver.stay","range":{"column":"n","min":0,"max":9}},
			{"name":"no big ids","sql":"SELECT id FROM silver.stay WHERE id > 1"},
			{"name":"few","table":"silver.stay","rows":{"max":1}},
			{"name":"a text","table":"silver.stay","range":{"column":"who","min":"O'B"}}]}},
		{"name":"Copy","type":"Copy","inputs":[{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"silver","table":"@item().t"}}],
			"outputs":[{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"gold","table":"copied"}}],
			"typeProperties":{"source":{"type":"AzureDatabricksDeltaLakeSource"},"sink":{"type":"AzureDatabricksDeltaLakeSink","writeBehavior":"overwrite"},
				"translator":{"type":"TabularTranslator","mappings":[{"source":{"name":"ID"},"sink":{"name":"key","type":"Int64"}},{"source":{"ordinal":2},"sink":{"name":"name"}}]}}}`)
	var jobs []sparkJob
	r := lowered(t, b, options())
	byName := map[string]File{}
	for _, f := range r.Files {
		name := strings.Split(filepath.Base(f.Path), "-")[0]
		byName[name] = f
	}
	for name, arguments := range map[string][]string{"Make": {"run", "[7]"}, "Check": {"run"}, "Copy": {"run", `["stay"]`}} {
		path := filepath.Join(dir, name+".py")
		if err := os.WriteFile(path, []byte(byName[name].Content), 0o600); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, sparkJob{path, arguments})
	}
	order := map[string]int{"Make.py": 0, "Check.py": 1, "Copy.py": 2}
	sorted := make([]sparkJob, 3)
	for _, j := range jobs {
		sorted[order[filepath.Base(j.Path)]] = j
	}
	got := runSpark(t, dir, sorted, []string{"select id, who, nothing, n from silver.stay order by id", "select key, name from gold.copied order by key"}, []string{})
	want := []string{"",
		"AssertionFailed: n between 0 and 9: 1 of 2 rows; no big ids: 2 rows; few: the table has 2 rows",
		""}
	for i := range want {
		if got.Outcomes[i] != want[i] {
			t.Errorf("job %d ended with %q, want %q", i, got.Outcomes[i], want[i])
		}
	}
	if s := text(t, got.Answers); !strings.Contains(s, `O'Brien \\ c:\\new`) || !strings.Contains(s, `"1000"`) || len(got.Answers[1]) != 2 {
		t.Errorf("tables hold %s", s)
	}
}

// TestDemoIsInSparksDialect has Spark parse every statement of the demo, as it is lowered.
func TestDemoIsInSparksDialect(t *testing.T) {
	python(t)
	r, ds := LowerAll(demoInAzure(t), options())
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	var statements []string
	for _, f := range r.Files {
		d := describe(t, f)
		for _, b := range d.Job.Scripts {
			for _, s := range b.Statements {
				statements = append(statements, fmt.Sprint(s.SQL...))
			}
		}
		for _, a := range d.Job.Assertions {
			statements = append(statements, a.Count)
			if a.Sample != "" {
				statements = append(statements, a.Sample)
			}
		}
	}
	if len(statements) < 20 {
		t.Fatalf("there are only %d statements", len(statements))
	}
	got := runSpark(t, "", []sparkJob{}, []string{}, statements)
	for _, o := range got.Outcomes {
		t.Error(o)
	}
	t.Logf("%d statements", len(statements))
}

// described is the description of a job that runs a script.
type described struct {
	Job scriptJob `json:"job"`
}

// describe reads the description of a job out of its file.
func describe(t testing.TB, f File) described {
	t.Helper()
	_, call, ok := strings.Cut(f.Content, "\n\nrun(json.loads(")
	if !ok {
		t.Fatalf("%s runs nothing", f.Path)
	}
	var inner string
	if err := json.NewDecoder(strings.NewReader(call)).Decode(&inner); err != nil {
		t.Fatal(err)
	}
	var d described
	if err := json.Unmarshal([]byte(inner), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestFilesAreCopiedOnSpark copies lines of JSON and delimited text, with rows that do not fit.
func TestFilesAreCopiedOnSpark(t *testing.T) {
	python(t)
	dir := t.TempDir()
	for path, content := range map[string]string{
		"landing/fhir/Patient.ndjson": `{"id":"1","name":[{"given":["Ann","B"],"family":"O'Neil"}],"born":"1970-01-02"}` + "\n" +
			`not json` + "\n\n" + `{"id":"2","name":[],"born":"later"}` + "\n" + `{"id":"3","born":null}` + "\n",
		"landing/fhir/Other.ndjson": `{"id":"9"}` + "\n",
		"landing/a.csv":             "id;text;n\n1;\"a \"\"b\"\"; c\";5\n2;;6\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(name, table, skip string) string {
		return `{"name":"` + name + `","type":"Copy",` + input("Lines") + `,"outputs":[{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"bronze","table":"` + table + `"}}],
			"typeProperties":{"source":{"type":"JsonSource","storeSettings":{"type":"AzureBlobFSReadSettings","recursive":true,"wildcardFileName":"Patient*"},"formatSettings":{"type":"JsonReadSettings"}},` +
			lakeSink + `,"enableSkipIncompatibleRow":` + skip + `,"translator":{"type":"TabularTranslator","mappings":[
			{"source":{"path":"$['id']"},"sink":{"name":"id","type":"String"}},{"source":{"path":"$['name'][0]['given'][0]"},"sink":{"name":"given"}},
			{"source":{"path":"$.born"},"sink":{"name":"born","type":"Date"}}]}}}`
	}
	b := bundle(t, "p", lines("Skip", "patient", "true")+","+lines("Strict", "strict", "false")+
		`,{"name":"Csv","type":"Copy",`+input("Csv")+`,"outputs":[{"referenceName":"Lake","type":"DatasetReference","parameters":{"zone":"bronze","table":"csv"}}],
			"typeProperties":{"source":{"type":"DelimitedTextSource"},"sink":{"type":"AzureDatabricksDeltaLakeSink","preCopyScript":"TRUNCATE TABLE bronze.csv"}}}`)
	var jobs []sparkJob
	for _, f := range lowered(t, b, options()).Files {
		path := filepath.Join(dir, filepath.Base(f.Path))
		if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, sparkJob{path, []string{"run-1"}})
	}
	got := runSpark(t, dir, jobs, []string{"select id, given, born from bronze.patient order by id", "select * from bronze.csv order by id"}, []string{})
	if got.Outcomes[0] != "" || got.Outcomes[2] != "" || got.Outcomes[1] == "" {
		t.Errorf("outcomes %q: the second meets a line that is no JSON and must fail", got.Outcomes)
	}
	if want := [][][]string{{{"1", "Ann", "1970-01-02"}, {"3", "None", "None"}}, {{"1", `a "b"; c`, "5"}, {"2", "None", "6"}}}; !reflect.DeepEqual(got.Answers, want) {
		t.Errorf("tables hold %v", got.Answers)
	}
	aside, err := filepath.Glob(filepath.Join(dir, "bronze/_quarantine/patient/run-1/*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var kept string
	for _, path := range aside {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept += string(data)
	}
	if !strings.Contains(kept, "not json") || !strings.Contains(kept, "later") || strings.Contains(kept, "Ann") {
		t.Errorf("set aside are %q", kept)
	}
}
