//go:build cgo

package lake

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// besideSpark reads the tables in the first directory, changes them, makes one of its own in the second, and
// writes what it read to the third, a file.
const besideSpark = `
import datetime, decimal, json, sys
from delta import configure_spark_with_delta_pip
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
b = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").config("spark.sql.session.timeZone", "UTC")
  .config("spark.sql.shuffle.partitions", "1").config("spark.databricks.delta.snapshotPartitions", "1")
  .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
  .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"))
s = configure_spark_with_delta_pip(b).getOrCreate()
s.sparkContext.setLogLevel("ERROR")
zone, own = sys.argv[1], sys.argv[2]
load = lambda t: s.read.format("delta").load(zone + "/" + t)
out = {}
people = load("people")
out["people"] = [people.count(), people.selectExpr("sum(id)").first()[0]]
out["old"] = s.read.format("delta").option("versionAsOf", 12).load(zone + "/people").count()
out["types"] = [f"{f.name} {f.dataType.simpleString()}" for f in load("types").schema]
out["rows"] = [list(r) for r in load("types").selectExpr(*["cast(" + ("hex(bin)" if c == "bin" else c) + " as string)" for c in load("types").columns]).orderBy("i").collect()]
out["replaced"] = [r.asDict() for r in load("replaced").collect()]
out["empty"] = load("empty").count()
out["pruned"] = people.where("id = 20").count()
people.limit(1).selectExpr("CAST(900 AS BIGINT) AS id", "'from spark' AS name").write.format("delta").mode("append").save(zone + "/people")
DeltaTable.forPath(s, zone + "/people").delete("id = 5")
DeltaTable.forPath(s, zone + "/people").update("id = 6", {"name": "'changed'"})
out["history"] = [r.operation for r in DeltaTable.forPath(s, zone + "/people").history(4).select("operation").collect()]
d = s.sql("""SELECT CAST(1 AS TINYINT) b, CAST(2 AS SMALLINT) sh, 3 i, CAST(4 AS BIGINT) l, CAST(1.5 AS FLOAT) f, CAST(2.5 AS DOUBLE) d, true t, 'ünï' s,
  DATE '1066-10-14' day, TIMESTAMP '2026-01-02 03:04:05.678901' ts, CAST(-1.25 AS DECIMAL(38,10)) de, X'00FF' bin, array(1, 2) list, named_struct('a', 'x') st
  UNION ALL SELECT null, null, null, null, null, null, null, null, null, null, null, null, null, null""")
for i in range(11): # the eleventh commit makes a checkpoint
  d.write.format("delta").mode("append").save(own)
s.range(3).selectExpr("id", "id % 2 AS part").write.format("delta").partitionBy("part").save(own + "_parts")
json.dump(out, open(sys.argv[3], "w"))
`

// Spark with delta-spark is what runs these tables in the cloud. Here it reads what the lake wrote, with all types,
// from a checkpoint and after an overwrite; changes it; and writes tables that the lake reads and goes on with.
// FLOWEHR_TEST_PYTHON names an interpreter that has pyspark and delta-spark (tried with 4.0); Java and the jars of Delta
// come on top.
func TestSparkReadsAndWritesOurTables(t *testing.T) {
	python := orElse(os.Getenv("FLOWEHR_TEST_PYTHON"), "python3")
	if err := exec.Command(python, "-c", "import pyspark, delta").Run(); err != nil {
		t.Skipf("%s has no pyspark and delta-spark (pip install pyspark delta-spark, and Java): %v", python, err)
	}
	l, ctx := newLake(t), context.Background()
	for i := range 23 {
		if _, err := l.WriteRows(ctx, people, peopleRows([]any{i, "a"}), Append, Commit{Key: fmt.Sprint(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	mustScript(t, l, `DELETE FROM bronze.people WHERE id < 3; CREATE TABLE bronze.empty (a INT, b STRING);
		CREATE TABLE bronze.replaced AS SELECT 1 AS a, 'x' AS gone; CREATE OR REPLACE TABLE bronze.replaced AS SELECT 'new' AS b`)
	types := &rows{cols: []Column{{Name: "i", Type: "integer"}, {Name: "b", Type: "byte"}, {Name: "sh", Type: "short"}, {Name: "l", Type: "long"}, {Name: "f", Type: "float"}, {Name: "d", Type: "double"},
		{Name: "t", Type: "boolean"}, {Name: "s", Type: "string"}, {Name: "day", Type: "date"}, {Name: "ts", Type: "timestamp"}, {Name: "de", Type: "decimal(38,10)"}, {Name: "small", Type: "decimal(9,2)"}, {Name: "bin", Type: "binary"}}}
	types.data = [][]any{
		{1, 127, -32768, int64(math.MaxInt64), 1.5, -0.25, true, "ünï, \"'\n", time.Date(1066, 10, 14, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), "-1234567890123456789012345678.0123456789", "1.25", []byte{0, 255}},
		{2, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
	}
	if _, err := l.WriteRows(ctx, Name{"bronze", "types"}, types, Append, Commit{}, nil); err != nil {
		t.Fatal(err)
	}
	own, report := Name{"silver", "own"}, filepath.Join(t.TempDir(), "report.json")
	out, err := exec.Command(python, "-c", besideSpark, filepath.Join(l.dir, "bronze"), l.Dir(own), report).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-3000):])
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"people": []any{20.0, 22.0*23/2 - 3}, "old": 13.0, "empty": 0.0, "pruned": 1.0,
		"replaced": []any{map[string]any{"b": "new"}},
		"types":    []any{"i int", "b tinyint", "sh smallint", "l bigint", "f float", "d double", "t boolean", "s string", "day date", "ts timestamp", "de decimal(38,10)", "small decimal(9,2)", "bin binary"},
		"rows": []any{
			[]any{"1", "127", "-32768", "9223372036854775807", "1.5", "-0.25", "true", "ünï, \"'\n", "1066-10-14", "2026-01-02 03:04:05.678901", "-1234567890123456789012345678.0123456789", "1.25", "00FF"},
			[]any{"2", nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
		},
		"history": []any{"UPDATE", "DELETE", "WRITE", "DELETE"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("read by Spark (-want +got):\n%s", d)
	}

	if got := mustQuery(t, l, "SELECT count(*), count(*) FILTER (WHERE id = 5), max(name) FILTER (WHERE id = 6), max(name) FILTER (WHERE id = 900) FROM bronze.people"); fmt.Sprint(got[0]) != "[20 0 changed from spark]" {
		t.Errorf("what Spark changed: %v", got[0])
	}
	if _, err := l.WriteRows(ctx, people, peopleRows([]any{901, "after"}), Append, Commit{}, nil); err != nil {
		t.Error(err)
	}
	wantOwn := []any{int64(1), int64(2), int64(3), int64(4), 1.5, 2.5, true, "ünï", time.Date(1066, 10, 14, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), "-1.2500000000", []byte{0, 255}, "[1,2]", `{"a":"x"}`}
	rows := mustQuery(t, l, "SELECT * FROM silver.own ORDER BY i")
	if len(rows) != 22 {
		t.Fatalf("%d rows of Spark's own table, want 22", len(rows))
	}
	if d := cmp.Diff(wantOwn, rows[0]); d != "" {
		t.Errorf("Spark's own types (-want +got):\n%s", d)
	}
	if got := mustQuery(t, l, "SELECT part, count(*) FROM silver.own_parts GROUP BY part ORDER BY 1"); fmt.Sprint(got) != "[[0 2] [1 1]]" {
		t.Errorf("Spark's partitions: %v", got)
	}
}
