package adf

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
        exec(compile(code, job["path"], "exec"), {"__name__": "__main__"})
        out.append("")
    except Exception as e:
        out.append(type(e).__name__ + ": " + str(e))
print("OUTCOMES", out)
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

func runSpark(t *testing.T, jobs []sparkJob, queries []string) sparkOutcome {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out.json")
	input, err := json.Marshal(map[string]any{"warehouse": filepath.Join(dir, "warehouse"), "jobs": jobs, "queries": queries, "out": out})
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
	got := runSpark(t, sorted, []string{"select id, who, nothing, n from silver.stay order by id", "select key, name from gold.copied order by key"})
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
