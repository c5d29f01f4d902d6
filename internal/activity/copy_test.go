package activity_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/engine"
)

const (
	fromPostgres = `{"source": {"type": "PostgreSqlV2Source"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`
	patients     = `PostgreSqlV2Table@epr {"schema": "public", "table": "patients"}`
	toBronze     = `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "bronze", "table": "patients"}`
	fromCSV      = `{"source": {"type": "DelimitedTextSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`
)

func TestCopyFromPostgresToTheLake(t *testing.T) {
	w := newWorld(t)
	admin := w.withDatabase(t)
	exec(t, admin, `create table patients(id uuid, name text, born date, weight numeric(5,1), seen timestamptz, dead boolean, extra jsonb);
		insert into patients select gen_random_uuid(), 'p' || i, date '1950-01-01' + i, i / 10.0, '2024-01-01 12:00+00', i % 7 = 0, '{"a":1}' from generate_series(1, 1000) i`)
	res := must(t)(w.copy(t, fromPostgres, patients, toBronze))
	if res.Rows != 1000 {
		t.Errorf("rows: %d", res.Rows)
	}
	for key, want := range map[string]any{"rowsRead": int64(1000), "rowsCopied": int64(1000), "rowsSkipped": int64(0), "usedParallelCopies": int64(1)} {
		if got, _ := res.Output.Get(key); got != want {
			t.Errorf("output.%s: got %v, want %v", key, got, want)
		}
	}
	if _, has := res.Output.Get("filesRead"); has {
		t.Error("filesRead is for files only")
	}
	wantTables := []engine.Table{{Name: "source:epr/public.patients", Rows: 1000, Version: -1}, {Name: "lake:bronze.patients", Written: true, Rows: 1000, Version: 0}}
	if d := cmp.Diff(wantTables, res.Tables); d != "" {
		t.Error(d)
	}
	got := w.rows(t, "select count(*), sum(weight), min(born), count(distinct id), sum(case when dead then 1 else 0 end) from bronze.patients")
	if d := cmp.Diff([]string{"1000 50050.0 1950-01-02 00:00:00 +0000 UTC 1000 142"}, got); d != "" {
		t.Error(d)
	}
}

func TestCopyAddsUnlessTheSinkIsEmptied(t *testing.T) {
	tests := []struct {
		sink string
		want string
	}{
		{`{"type": "AzureDatabricksDeltaLakeSink"}`, "4"},
		{`{"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "append"}`, "4"},
		{`{"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "overwrite"}`, "2"},
		{`{"type": "AzureDatabricksDeltaLakeSink", "preCopyScript": "TRUNCATE TABLE bronze.patients;"}`, "2"},
		{"{\"type\": \"AzureDatabricksDeltaLakeSink\", \"preCopyScript\": \"delete from `bronze`.`patients`\"}", "2"},
	}
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create table patients(id int); insert into patients values (1), (2)")
	for _, tt := range tests {
		t.Run(tt.sink, func(t *testing.T) {
			must(t)(w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "overwrite"}}`, patients, toBronze))
			must(t)(w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": `+tt.sink+`}`, patients, toBronze))
			if got := w.rows(t, "select count(*) from bronze.patients"); got[0] != tt.want {
				t.Errorf("got %s rows, want %s", got[0], tt.want)
			}
		})
	}
}

func TestCopyTwiceWithTheSameKeyWritesOnce(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create table patients(id int); insert into patients values (1), (2)")
	store := w.withStore(t)
	for name, to := range map[string]string{"lake": toBronze, "store": `AzureSqlTable@FeatureStoreLinkedService {"schema": "main", "table": "patients"}`} {
		t.Run(name, func(t *testing.T) {
			sink := map[string]string{"lake": "AzureDatabricksDeltaLakeSink", "store": "AzureSqlSink"}[name]
			c := w.call(t, "Copy", `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "`+sink+`", "writeBehavior": "insert"}}`)
			c.Inputs, c.Outputs = []engine.Dataset{*dataset(t, patients)}, []engine.Dataset{*dataset(t, to)}
			first := must(t)(w.run(t, c))
			c.Attempt = 2
			second := must(t)(w.run(t, c))
			if first.Rows != 2 || second.Rows != 2 {
				t.Errorf("rows: %d then %d, want 2 and 2", first.Rows, second.Rows)
			}
		})
	}
	if got := w.rows(t, "select count(*) from bronze.patients"); got[0] != "2" {
		t.Errorf("the lake has %s rows", got[0])
	}
	var n int
	if err := store.QueryRow(t.Context(), "select count(*) from main.patients").Scan(&n); err != nil || n != 2 {
		t.Errorf("the store has %d rows, %v", n, err)
	}
}

func TestCopyMapsColumns(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), `create table patients("First Name" text, age int, code text, unused text); insert into patients values ('Ann', 40, '7', 'x')`)
	must(t)(w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}, "translator": {"type": "TabularTranslator", "mappings": [
		{"source": {"name": "First Name", "type": "String"}, "sink": {"name": "first_name"}},
		{"source": {"ordinal": 2}, "sink": {"name": "age", "type": "Int64"}},
		{"source": {"name": "CODE"}, "sink": {"name": "code", "type": "Decimal"}}]}}`, patients, toBronze))
	table, err := w.lake.Table(t.Context(), mustName(t, "bronze.patients"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range table.Columns {
		got = append(got, c.Name+" "+c.Type)
	}
	if d := cmp.Diff([]string{"first_name string", "age long", "code decimal(38,18)"}, got); d != "" {
		t.Error(d)
	}
}

func TestCopyRefuses(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create table patients(id int, name text)")
	w.withFolder(t, map[string]string{"a.csv": "id\n1\n"})
	w.withStore(t)
	csv := `DelimitedText@drop {"location": {"type": "FileServerLocation", "fileName": "a.csv"}, "firstRowAsHeader": true}`
	inStore := `AzureSqlTable@FeatureStoreLinkedService {"schema": "main", "table": "p"}`
	with := func(extra string) string {
		return strings.Replace(fromPostgres, `{"source"`, `{`+extra+`, "source"`, 1)
	}
	tests := []struct {
		name, properties, from, to, code, says string
	}{
		{"unknown linked service", fromPostgres, `PostgreSqlTable@lims {"table": "x"}`, toBronze, activity.CodeUnknown, `"lims"`},
		{"unknown sink service", fromPostgres, patients, `AzureSqlTable@warehouse {"table": "x"}`, activity.CodeUnknown, `"warehouse"`},
		{"vault", fromPostgres, `AzureSqlTable@KVLinkedServiceViaMSI {}`, toBronze, activity.CodeUnsupported, "holds no data"},
		{"source type", `{"source": {"type": "OracleSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, patients, toBronze, activity.CodeUnsupported, `"OracleSource"`},
		{"source of another server", `{"source": {"type": "MySqlSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, patients, toBronze, activity.CodeInvalid, "postgresql database"},
		{"dataset of another server", fromPostgres, `MySqlTable@epr {"table": "x"}`, toBronze, activity.CodeInvalid, "postgresql database"},
		{"dataset type", fromPostgres, `OracleTable@epr {"table": "x"}`, toBronze, activity.CodeUnsupported, `"OracleTable"`},
		{"sink type", `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "SnowflakeSink"}}`, patients, toBronze, activity.CodeUnsupported, `"SnowflakeSink"`},
		{"unknown key", `{"source": {"type": "PostgreSqlSource", "fetchSize": 5}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, patients, toBronze, activity.CodeUnsupported, `"fetchSize"`},
		{"staging", with(`"enableStaging": true`), patients, toBronze, activity.CodeUnsupported, "enableStaging"},
		{"pre-copy script", `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink", "preCopyScript": "delete from silver.other"}}`, patients, toBronze, activity.CodeUnsupported, "preCopyScript"},
		{"upsert", `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "AzureSqlSink", "writeBehavior": "upsert"}}`, patients, inStore, activity.CodeUnsupported, `"upsert"`},
		{"missing table", fromPostgres, `PostgreSqlTable@epr {"schema": "public", "table": "nowhere"}`, toBronze, activity.CodeSource, "does not exist"},
		{"no table", fromPostgres, `PostgreSqlTable@epr {}`, toBronze, activity.CodeInvalid, "neither"},
		{"mapping of a missing column", with(`"translator": {"mappings": [{"source": {"name": "age"}, "sink": {"name": "a"}}]}`), patients, toBronze, activity.CodeInvalid, `no column "age"; it has id, name`},
		{"mapping of a missing ordinal", with(`"translator": {"mappings": [{"source": {"ordinal": 3}, "sink": {"name": "a"}}]}`), patients, toBronze, activity.CodeInvalid, "no column 3"},
		{"mapping twice", with(`"translator": {"mappings": [{"source": {"name": "id"}, "sink": {"name": "a"}}, {"source": {"name": "name"}, "sink": {"name": "A"}}]}`), patients, toBronze, activity.CodeInvalid, "two source columns"},
		{"mapping to an unknown type", with(`"translator": {"mappings": [{"source": {"name": "id"}, "sink": {"name": "a", "type": "Money"}}]}`), patients, toBronze, activity.CodeUnsupported, `"Money"`},
		{"unknown zone", fromPostgres, patients, `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "copper", "table": "p"}`, activity.CodeSink, "copper"},
		{"bad table name", fromPostgres, patients, `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "bronze", "table": "p; drop table x"}`, activity.CodeInvalid, "only lower-case letters"},
		{"files to the store", `{"source": {"type": "DelimitedTextSource"}, "sink": {"type": "AzureSqlSink"}}`, csv, inStore, activity.CodeUnsupported, "to the lake first"},
		{"parquet sink", `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "ParquetSink"}}`, patients, `Parquet@drop {"location": {"fileName": "x.parquet"}}`, activity.CodeUnsupported, `"ParquetSink"`},
		{"missing file", fromCSV, `DelimitedText@drop {"location": {"fileName": "b.csv"}}`, toBronze, activity.CodeSource, `no such file: "b.csv"`},
		{"path out of the folder", fromCSV, `DelimitedText@drop {"location": {"folderPath": "../..", "fileName": "passwd"}}`, toBronze, activity.CodeInvalid, "outside the folder"},
		{"wildcard out of the folder", strings.Replace(fromCSV, `"DelimitedTextSource"`, `"DelimitedTextSource", "storeSettings": {"wildcardFolderPath": "../*"}`, 1), csv, toBronze, activity.CodeSource, "outside the folder"},
		{"excel", fromCSV, `Excel@drop {"location": {"fileName": "a.xlsx"}}`, toBronze, activity.CodeUnsupported, `"Excel"`},
		{"collection reference", `{"source": {"type": "JsonSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}, "translator": {"collectionReference": "$['rows']"}}`, `Json@drop {"location": {"fileName": "a.csv"}}`, toBronze, activity.CodeUnsupported, "collectionReference"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.copy(t, tt.properties, tt.from, tt.to)
			wantError(t, err, tt.code, tt.says)
		})
	}
	if _, err := w.lake.Table(t.Context(), mustName(t, "bronze.patients")); err == nil {
		t.Error("a refused copy made the table")
	}
}

func TestCopyWithAWrongPasswordNeverShowsIt(t *testing.T) {
	w := newWorld(t)
	w.withDatabase(t)
	s := w.sources["epr"]
	s.Database.Password = flowehr.NewSecret("guess-1234")
	w.sources["epr"] = s
	_, err := w.copy(t, fromPostgres, patients, toBronze)
	e := wantError(t, err, activity.CodeSource, `user "tester" was refused`, `"epr"`)
	if strings.Contains(e.Message, "guess-1234") {
		t.Errorf("the password is shown: %s", e.Message)
	}
}

func TestCopyOfASourceThatDisappearsLeavesTheSink(t *testing.T) {
	w := newWorld(t)
	admin := w.withDatabase(t)
	exec(t, admin, "create table patients(id int); insert into patients values (1), (2); create view long as select generate_series(1, 200000000) as id")
	must(t)(w.copy(t, fromPostgres, patients, toBronze))
	c := w.call(t, "Copy", `{"source": {"type": "PostgreSqlSource", "query": "select id from long"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`)
	c.Inputs, c.Outputs = []engine.Dataset{*dataset(t, patients)}, []engine.Dataset{*dataset(t, toBronze)}
	var once sync.Once
	c.Progress = func(rows int64) {
		once.Do(func() {
			exec(t, admin, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'flowehr' and datname = current_database()")
		})
	}
	_, err := w.run(t, c)
	e := wantError(t, err, activity.CodeSourceLost, "source:epr/public.patients failed after ", " rows; ", "lake:bronze.patients is unchanged", "connection was lost")
	if e.Final || e.Type != "SystemError" {
		t.Errorf("a lost source should be tried again: %+v", e)
	}
	if got := w.rows(t, "select count(*) from bronze.patients"); got[0] != "2" {
		t.Errorf("the table has %s rows, want the 2 of before", got[0])
	}
}

func TestCopyEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create view patients as select generate_series(1, 200000000) as id")
	c := w.call(t, "Copy", fromPostgres)
	c.Inputs, c.Outputs = []engine.Dataset{*dataset(t, patients)}, []engine.Dataset{*dataset(t, toBronze)}
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(int64) { cancel() }
	_, err := activity.New(w.deps)["Copy"].Run(ctx, c)
	if err == nil || ctx.Err() == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestCopyOfRowsThatDoNotFit(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create table patients(id int, born date); insert into patients values (1, '1980-01-01'), (2, 'infinity'), (3, null)")
	_, err := w.copy(t, fromPostgres, patients, toBronze)
	wantError(t, err, activity.CodeIncompatible, "row 2", `column "born"`, "infinite date")
	res := must(t)(w.copy(t, strings.Replace(fromPostgres, "{", `{"enableSkipIncompatibleRow": true, `, 1), patients, toBronze))
	if got, _ := res.Output.Get("rowsSkipped"); got != int64(1) || res.Rows != 2 {
		t.Errorf("skipped %v, copied %d, want 1 and 2", got, res.Rows)
	}
	if !strings.Contains(strings.Join(w.log, "\n"), "row 2 skipped") {
		t.Errorf("the log does not name the row: %q", w.log)
	}
}

func TestCopyNamesThatTryToBeSQLAreOnlyNames(t *testing.T) {
	w := newWorld(t)
	admin := w.withDatabase(t)
	exec(t, admin, `create table patients(id int); insert into patients values (1); create table "x""; drop table patients; --"("a""b" int); insert into "x""; drop table patients; --" values (5)`)
	evil := `PostgreSqlTable@epr {"schema": "public", "table": "x\"; drop table patients; --"}`
	must(t)(w.copy(t, strings.Replace(fromPostgres, "{", `{"translator": {"mappings": [{"source": {"name": "a\"b"}, "sink": {"name": "a"}}]}, `, 1), evil, toBronze))
	if got := w.rows(t, "select a from bronze.patients"); got[0] != "5" {
		t.Errorf("got %q", got)
	}
	for _, schema := range []string{`public\" ; drop table patients; --`, `public'; drop table patients; --`} {
		_, err := w.copy(t, fromPostgres, `PostgreSqlTable@epr {"schema": "`+schema+`", "table": "patients"}`, toBronze)
		wantError(t, err, activity.CodeSource, "does not exist")
	}
	_, err := w.copy(t, `{"source": {"type": "PostgreSqlSource", "query": "select 1 as id; drop table patients"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, patients, toBronze)
	wantError(t, err, activity.CodeSource, "multiple commands")
	var n int
	if err := admin.QueryRow(t.Context(), "select count(*) from patients").Scan(&n); err != nil || n != 1 {
		t.Errorf("patients: %d, %v", n, err)
	}
}

func TestCopyPublishesToTheStore(t *testing.T) {
	w := newWorld(t)
	store := w.withStore(t)
	must(t)(w.script(t, activity.LakeService, `{"scripts": [{"type": "NonQuery", "text": "create table gold.f as select 1 as id, 2.5 as score, cast('2024-05-06' as date) as d union all select 2, null, null"}]}`))
	from := `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "gold", "table": "f"}`
	to := `AzureSqlTable@FeatureStoreLinkedService {"schema": "main", "table": "features"}`
	publish := `{"source": {"type": "AzureDatabricksDeltaLakeSource"}, "sink": {"type": "AzureSqlSink"}}`
	count := func() (n int) {
		t.Helper()
		if err := store.QueryRow(t.Context(), "select count(*) from main.features").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	res := must(t)(w.copy(t, publish, from, to))
	if res.Rows != 2 || count() != 2 {
		t.Errorf("published %d, the store has %d", res.Rows, count())
	}
	must(t)(w.copy(t, publish, from, to))
	if count() != 2 {
		t.Errorf("a second publish leaves %d rows, want 2", count())
	}
	must(t)(w.copy(t, `{"source": {"type": "AzureDatabricksDeltaLakeSource", "query": "select id + 10 as id, score, d from gold.f"}, "sink": {"type": "AzureSqlSink", "writeBehavior": "insert"}}`, from, to))
	if count() != 4 {
		t.Errorf("after an insert there are %d rows, want 4", count())
	}
	_, err := w.copy(t, `{"source": {"type": "AzureDatabricksDeltaLakeSource", "query": "select id, 1/0 as x, error from gold.f"}, "sink": {"type": "AzureSqlSink"}}`, from, to)
	if err == nil || count() != 4 {
		t.Errorf("a failed publish: %v, rows %d", err, count())
	}
	back := must(t)(w.copy(t, `{"source": {"type": "AzureSqlSource", "sqlReaderQuery": "select id from main.features where id > 10"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, to, toBronze))
	if back.Rows != 2 {
		t.Errorf("read back %d rows, want 2", back.Rows)
	}
	mapped := must(t)(w.copy(t, strings.Replace(publish, "{", `{"translator": {"mappings": [{"source": {"name": "id"}, "sink": {"name": "patient", "type": "String"}}]}, `, 1), from, `AzureSqlTable@FeatureStoreLinkedService {"schema": "main", "table": "mapped"}`))
	var text string
	if err := store.QueryRow(t.Context(), "select patient from main.mapped order by 1 limit 1").Scan(&text); err != nil || text != "1" || mapped.Rows != 2 {
		t.Errorf("mapped publish: %q %v %d", text, err, mapped.Rows)
	}
}

func TestCopyFilesToTheLake(t *testing.T) {
	w := newWorld(t)
	w.withFolder(t, map[string]string{
		"in/2024/a.csv": "id,name\n1,\"An, \"\"n\"\"\"\n2,\n", "in/2024/b.csv": "id,name\n3,Bo\n", "in/2023/a.csv": "id,name\n4,Di\n", "in/readme.txt": "no",
		"obs.ndjson": "{\"id\":\"a\",\"code\":{\"coding\":[{\"code\":\"x\"}]},\"value\":1.5}\n{\"id\":\"b\",\"code\":{\"coding\":[]}}\n",
		"list.json":  `[{"id": 1}, {"id": 2}]`,
		"bundle.json": `{"resourceType": "Bundle", "entry": [
			{"resource": {"resourceType": "Patient", "id": "p1", "name": [{"family": "Fox"}]}}, {"resource": {"resourceType": "Observation", "id": "o1"}}]}`,
		"plain.csv": "1;x\n2;y\n",
	})
	sink := `"sink": {"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "overwrite"}`
	tests := []struct {
		name, named, properties, from, query string
		want                                 []string
	}{
		{"one csv", "file:drop/in/2024/a.csv", `{"source": {"type": "DelimitedTextSource"}, ` + sink + `}`,
			`DelimitedText@drop {"location": {"folderPath": "in/2024", "fileName": "a.csv"}, "firstRowAsHeader": true}`,
			"select id, name from bronze.patients order by 1", []string{`1 An, "n"`, "2 <nil>"}},
		{"folder, recursive", "file:drop/in/*.csv", `{"source": {"type": "DelimitedTextSource", "storeSettings": {"type": "FileServerReadSettings", "recursive": true, "wildcardFileName": "*.csv"}}, ` + sink + `}`,
			`DelimitedText@drop {"location": {"folderPath": "in"}, "firstRowAsHeader": true}`,
			"select id from bronze.patients order by 1", []string{"1", "2", "3", "4"}},
		{"wildcards", "file:drop/in/2*4/?.csv", `{"source": {"type": "DelimitedTextSource", "storeSettings": {"recursive": false, "wildcardFolderPath": "2*4", "wildcardFileName": "?.csv"}}, ` + sink + `}`,
			`DelimitedText@drop {"location": {"fileSystem": "in"}, "firstRowAsHeader": true}`,
			"select id from bronze.patients order by 1", []string{"1", "2", "3"}},
		{"typed mapping", "file:drop/in/2024/b.csv", `{"source": {"type": "DelimitedTextSource"}, ` + sink + `, "translator": {"type": "TabularTranslator", "mappings": [{"source": {"name": "id"}, "sink": {"name": "patient_id", "type": "Int32"}}]}}`,
			`DelimitedText@drop {"location": {"folderPath": "in/2024", "fileName": "b.csv"}, "firstRowAsHeader": true}`,
			"select patient_id + 1 from bronze.patients", []string{"4"}},
		{"no header, ordinals", "file:drop/plain.csv", `{"source": {"type": "DelimitedTextSource"}, ` + sink + `, "translator": {"type": "TabularTranslator", "mappings": [{"source": {"ordinal": 2}, "sink": {"name": "b"}}, {"source": {"ordinal": 1}, "sink": {"name": "a"}}]}}`,
			`DelimitedText@drop {"location": {"fileName": "plain.csv"}, "columnDelimiter": ";"}`,
			"select a, b from bronze.patients order by 1", []string{"1 x", "2 y"}},
		{"ndjson with paths", "file:drop/obs.ndjson", `{"source": {"type": "JsonSource"}, ` + sink + `, "translator": {"mappings": [{"source": {"path": "['id']"}, "sink": {"name": "id"}}, {"source": {"path": "$['code']['coding'][0]['code']"}, "sink": {"name": "code"}}, {"source": {"path": "$.value"}, "sink": {"name": "value", "type": "Double"}}]}}`,
			`Json@drop {"location": {"fileName": "obs.ndjson"}}`,
			"select id, code, value from bronze.patients order by 1", []string{"a x 1.5", "b <nil> <nil>"}},
		{"array", "file:drop/list.json", `{"source": {"type": "JsonSource"}, ` + sink + `}`, `Json@drop {"location": {"fileName": "list.json"}}`,
			"select sum(id) from bronze.patients", []string{"3"}},
		{"bundle", "file:drop/bundle.json", `{"source": {"type": "JsonSource"}, ` + sink + `, "translator": {"collectionReference": "$['entry']", "mappings": [{"source": {"path": "['resource']['resourceType']"}, "sink": {"name": "kind"}}, {"source": {"path": "['resource']['name'][0]['family']"}, "sink": {"name": "family"}}, {"source": {"path": "['resource']"}, "sink": {"name": "raw"}}]}}`,
			`Json@drop {"location": {"fileName": "bundle.json"}}`,
			"select kind, family, length(raw) > 20 from bronze.patients order by 1", []string{"Observation <nil> true", "Patient Fox true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := must(t)(w.copy(t, tt.properties, tt.from, toBronze))
			if d := cmp.Diff(tt.want, w.rows(t, tt.query)); d != "" {
				t.Error(d)
			}
			if name := res.Tables[0].Name; name != tt.named {
				t.Errorf("source is named %s, want %s", name, tt.named)
			}
			if n, _ := res.Output.Get("filesRead"); n == nil || n == int64(0) {
				t.Errorf("filesRead: %v", n)
			}
		})
	}
}

func TestCopyOfMalformedLines(t *testing.T) {
	w := newWorld(t)
	w.withFolder(t, map[string]string{
		"bad.ndjson": "{\"id\":\"a\"}\n{\"id\":\"b\",\n{\"id\":\"c\"}\n",
		"bad.csv":    "id,n\n1,5\n2,many\n3,7\n",
	})
	tests := []struct{ name, source, from, mapping, file string }{
		{"ndjson", "JsonSource", `Json@drop {"location": {"fileName": "bad.ndjson"}}`, `[{"source": {"path": "$.id"}, "sink": {"name": "id"}}]`, `file "bad.ndjson", line 2`},
		{"csv", "DelimitedTextSource", `DelimitedText@drop {"location": {"fileName": "bad.csv"}, "firstRowAsHeader": true}`, `[{"source": {"name": "id"}, "sink": {"name": "id"}}, {"source": {"name": "n"}, "sink": {"name": "n", "type": "Int32"}}]`, `file "bad.csv", line 3`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			properties := `{"source": {"type": "` + tt.source + `"}, "sink": {"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "overwrite"}, "translator": {"mappings": ` + tt.mapping + `}}`
			_, err := w.copy(t, properties, tt.from, toBronze)
			e := wantError(t, err, activity.CodeIncompatible, tt.file, "unchanged")
			if strings.Contains(e.Message, "many") {
				t.Errorf("the message holds a value: %s", e.Message)
			}
			res := must(t)(w.copy(t, strings.Replace(properties, "{", `{"enableSkipIncompatibleRow": true, "redirectIncompatibleRowSettings": {"path": "x"}, `, 1), tt.from, toBronze))
			got := []any{}
			for _, key := range []string{"rowsRead", "rowsCopied", "rowsSkipped"} {
				v, _ := res.Output.Get(key)
				got = append(got, v)
			}
			if d := cmp.Diff([]any{int64(3), int64(2), int64(1)}, got); d != "" {
				t.Error(d)
			}
			if path, _ := res.Output.Get("redirectRowPath"); path == nil {
				t.Error("the output does not say where the row is kept")
			}
			if d := cmp.Diff([]string{map[string]string{"ndjson": "a", "csv": "1"}[tt.name], map[string]string{"ndjson": "c", "csv": "3"}[tt.name]}, w.rows(t, "select id from bronze.patients order by 1")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCopyToFilesAndBack(t *testing.T) {
	w := newWorld(t)
	dir := w.withFolder(t, nil)
	exec(t, w.withDatabase(t), `create table patients(id int, name text, seen timestamptz, d date, b bytea, n numeric(6,2));
		insert into patients values (1, 'a,"b"'||chr(10)||'c', '2024-01-02 03:04:05.6+00', '2024-01-02', '\x01', 1.50), (2, '', null, null, null, null), (3, null, null, null, null, -0.01)`)
	query := "select id, name, cast(seen as timestamp) as seen, d, n from bronze.patients order by id"
	must(t)(w.copy(t, fromPostgres, patients, toBronze))
	want := w.rows(t, query)
	mapping := `, "translator": {"mappings": [{"source": {"name": "id", "path": "$.id"}, "sink": {"name": "id", "type": "Int32"}}, {"source": {"name": "name", "path": "$.name"}, "sink": {"name": "name"}},
		{"source": {"name": "seen", "path": "$.seen"}, "sink": {"name": "seen", "type": "DateTime"}}, {"source": {"name": "d", "path": "$.d"}, "sink": {"name": "d", "type": "Date"}}, {"source": {"name": "n", "path": "$.n"}, "sink": {"name": "n", "type": "decimal(6,2)"}}]}`
	tests := []struct{ name, sink, source, dataset string }{
		{"csv", `{"type": "DelimitedTextSink"}`, "DelimitedTextSource", `DelimitedText@drop {"location": {"folderPath": "out/x", "fileName": "p.csv"}, "firstRowAsHeader": true, "nullValue": "\\N"}`},
		{"csv, packed", `{"type": "DelimitedTextSink"}`, "DelimitedTextSource", `DelimitedText@drop {"location": {"folderPath": "out/x", "fileName": "p.csv.gz"}, "firstRowAsHeader": true, "nullValue": "NULL", "columnDelimiter": ";", "compressionCodec": "gzip"}`},
		{"ndjson", `{"type": "JsonSink", "formatSettings": {"type": "JsonWriteSettings", "filePattern": "setOfObjects"}}`, "JsonSource", `Json@drop {"location": {"fileName": "p.json"}}`},
		{"array", `{"type": "JsonSink", "formatSettings": {"type": "JsonWriteSettings", "filePattern": "arrayOfObjects"}}`, "JsonSource", `Json@drop {"location": {"fileName": "q.json"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := must(t)(w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": `+tt.sink+`}`, patients, tt.dataset))
			if res.Rows != 3 {
				t.Errorf("wrote %d rows", res.Rows)
			}
			must(t)(w.copy(t, `{"source": {"type": "`+tt.source+`"}, "sink": {"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "overwrite"}`+mapping+`}`, tt.dataset, toBronze))
			if d := cmp.Diff(want, w.rows(t, query)); d != "" {
				t.Error(d)
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "out", "x", ".copy-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	_, err := w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "JsonSink"}}`, patients, `Json@drop {"location": {"folderPath": "link", "fileName": "p.json"}}`)
	wantError(t, err, activity.CodeInvalid, "outside the folder")
}
