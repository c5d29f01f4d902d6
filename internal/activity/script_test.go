package activity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

func TestScriptOnTheLake(t *testing.T) {
	w := newWorld(t)
	res := must(t)(w.script(t, activity.LakeService, `{"scripts": [
		{"type": "NonQuery", "text": "create table silver.p as select 1 as id, cast(1.50 as decimal(5,2)) as n, 'x' as s union all select 2, null, 'y'; insert into silver.p select 3, 2, 'z'"},
		{"type": "Query", "text": "select id, n, s from silver.p where id >= @low order by id; select count(*) as c from silver.p", "parameters": [{"name": "low", "type": "Int32", "value": "2"}]}]}`))
	got := string(expr.EncodeJSON(res.Output))
	want := `{"resultSetCount":2,"recordsAffected":3,"resultSets":[{"rowCount":2,"rows":[{"id":2,"n":null,"s":"y"},{"id":3,"n":2,"s":"z"}]},{"rowCount":1,"rows":[{"c":3}]}],` +
		`"outputParameters":{},"outputLogs":"","outputLogsLocation":"","outputTruncated":false,"effectiveIntegrationRuntime":"local"}`
	if d := cmp.Diff(want, strings.ReplaceAll(got, "2.0", "2")); d != "" {
		t.Error(d)
	}
	if len(res.Tables) == 0 || res.Tables[0].Name != "lake:silver.p" || !res.Tables[0].Written {
		t.Errorf("tables: %+v", res.Tables)
	}
}

func TestScriptRunAgainWritesOnce(t *testing.T) {
	w := newWorld(t)
	must(t)(w.script(t, activity.LakeService, `{"scripts": [{"type": "NonQuery", "text": "create table silver.p as select 1 as id"}]}`))
	c := w.call(t, "Script", `{"scripts": [{"type": "NonQuery", "text": "insert into silver.p select 2"}, {"type": "NonQuery", "text": "insert into silver.p select 3"}]}`)
	c.LinkedService = &engine.LinkedService{Name: activity.LakeService}
	must(t)(w.run(t, c))
	must(t)(w.run(t, c))
	if got := w.rows(t, "select count(*) from silver.p"); got[0] != "3" {
		t.Errorf("got %s rows, want 3", got[0])
	}
}

func TestScriptOnADatabaseOnlyReadsAndBinds(t *testing.T) {
	w := newWorld(t)
	admin := w.withDatabase(t)
	exec(t, admin, "create table patients(id int, name text); insert into patients values (1, 'Ann'), (2, 'x'' or 1=1')")
	evil := `'; drop table patients; --`
	c := w.call(t, "Script", `{}`)
	c.Properties = object(t, `{"scripts": [{"type": "Query", "text": "select count(*) as n from patients where name = $1", "parameters": [{"name": "n", "type": "String", "value": `+string(expr.EncodeJSON(evil))+`}]}]}`)
	c.LinkedService = &engine.LinkedService{Name: "epr"}
	res := must(t)(w.run(t, c))
	if got := string(expr.EncodeJSON(res.Output)); !strings.Contains(got, `"rows":[{"n":0}]`) {
		t.Error(got)
	}
	tests := []struct{ name, properties, code, says string }{
		{"non-query", `{"scripts": [{"type": "NonQuery", "text": "delete from patients"}]}`, activity.CodeUnsupported, "only read"},
		{"write as a query", `{"scripts": [{"type": "Query", "text": "delete from patients returning id"}]}`, activity.CodeSource, "only read"},
		{"two statements", `{"scripts": [{"type": "Query", "text": "select 1; drop table patients"}]}`, activity.CodeSource, "multiple commands"},
		{"output parameter", `{"scripts": [{"type": "Query", "text": "select 1", "parameters": [{"name": "a", "type": "Int32", "direction": "Output"}]}]}`, activity.CodeUnsupported, "Output"},
		{"parameter type", `{"scripts": [{"type": "Query", "text": "select 1", "parameters": [{"name": "a", "type": "Int32", "value": "many"}]}]}`, activity.CodeInvalid, "no whole number"},
		{"assertions", `{"assertions": [{"table": "gold.x", "rows": {"min": 1}}]}`, activity.CodeUnsupported, "tables of the lake"},
		{"empty", `{}`, activity.CodeInvalid, "scripts or assertions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.script(t, "epr", tt.properties)
			wantError(t, err, tt.code, tt.says)
		})
	}
	_, err := w.script(t, "lims", `{"scripts": [{"type": "Query", "text": "select 1"}]}`)
	wantError(t, err, activity.CodeUnknown, `"lims"`)
	var n int
	if err := admin.QueryRow(t.Context(), "select count(*) from patients").Scan(&n); err != nil || n != 2 {
		t.Errorf("patients: %d, %v", n, err)
	}
}

func TestAssertions(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), `create table patients(patient_id int, age int, ward text, "odd `+"`"+`name" int);
		insert into patients select i, case when i % 400 = 0 then 130 + i / 400 else i % 100 end, 'W' || i % 5, i from generate_series(1, 1000) i;
		update patients set patient_id = 7 where patient_id = 8; update patients set patient_id = null where patient_id = 9; create table wards as select 'W' || i as code from generate_series(0, 3) i`)
	toLake := func(table, zone, to, mapping string) {
		must(t)(w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}`+mapping+`}`,
			`PostgreSqlTable@epr {"schema": "public", "table": "`+table+`"}`, `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "`+zone+`", "table": "`+to+`"}`))
	}
	toLake("patients", "gold", "f", `, "translator": {"columnMappings": "patient_id: patient_id, age: age, ward: ward"}`)
	toLake("wards", "silver", "ward", "")
	tests := []struct {
		assertion  string
		name       string
		status     string
		violations int64
		rows       int64
		sentence   string
	}{
		{`{"table": "gold.f", "rows": {"min": 1}}`, "rows > 0", "ok", 0, 1000, ""},
		{`{"table": "gold.f", "rows": {"min": 10, "max": 999}}`, "rows between 10 and 999", "failed", 1, 1000, "rows between 10 and 999: the table has 1,000 rows"},
		{`{"table": "gold.f", "not_null": ["age", "ward"]}`, "age, ward are not null", "ok", 0, 1000, ""},
		{`{"table": "GOLD.F", "not_null": "patient_id"}`, "patient_id is not null", "failed", 1, 1000, "patient_id is not null: 1 of 1,000 rows"},
		{`{"table": "gold.f", "unique": ["patient_id"]}`, "patient_id is unique", "failed", 2, 1000, "patient_id is unique: 2 of 1,000 rows"},
		{`{"table": "gold.f", "unique": ["patient_id", "age"]}`, "patient_id, age are together unique", "ok", 0, 1000, ""},
		{`{"table": "gold.f", "range": {"column": "age", "min": 0, "max": 120}}`, "age between 0 and 120", "failed", 2, 1000, "age between 0 and 120: 2 of 1,000 rows"},
		{`{"table": "gold.f", "range": {"column": "age", "min": 0}}`, "age at least 0", "ok", 0, 1000, ""},
		{`{"table": "gold.f", "range": {"column": "ward", "max": "W9'; drop"}}`, "ward at most W9'; drop", "ok", 0, 1000, ""},
		{`{"name": "wards are known", "table": "gold.f", "references": {"column": "ward", "table": "silver.ward", "to": "code"}}`, "wards are known", "failed", 200, 1000, "wards are known: 200 of 1,000 rows"},
		{`{"table": "gold.f", "references": {"columns": ["patient_id", "age"], "table": "gold.f"}}`, "patient_id, age exist in gold.f", "ok", 0, 1000, ""},
		{`{"name": "no toddlers in W3", "table": "gold.f", "sql": "select * from gold.f where ward = 'W3' and age = 3 -- why"}`, "no toddlers in W3", "failed", 10, 1000, "no toddlers in W3: 10 of 1,000 rows"},
		{`{"sql": "select 1 from gold.f where age < 0;"}`, "a query finds no violation", "ok", 0, 0, ""},
		{`{"table": "gold.f", "range": {"column": "age", "max": 90}, "severity": "warning"}`, "age at most 90", "warning", 92, 1000, ""},
	}
	for _, tt := range tests {
		t.Run(tt.assertion, func(t *testing.T) {
			res, err := w.script(t, activity.LakeService, `{"assertions": [`+tt.assertion+`]}`)
			output := res.Output
			if tt.sentence != "" {
				e := wantError(t, err, activity.CodeAssertion)
				if e.Message != tt.sentence || !e.Final {
					t.Errorf("got %q (final %v), want %q", e.Message, e.Final, tt.sentence)
				}
				output = e.Output
			} else if err != nil {
				t.Fatal(err)
			}
			list, _ := output.Get("assertions")
			got := string(expr.EncodeJSON(list))
			want := string(expr.EncodeJSON([]expr.Value{object(t, fmt.Sprintf(`{"name": %s, "table": %s, "status": %q, "violations": %d, "rows": %d}`,
				expr.EncodeJSON(tt.name), map[bool]string{true: `""`, false: `"gold.f"`}[!strings.Contains(tt.assertion, `"table": "`)], tt.status, tt.violations, tt.rows))}))
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAssertionsAreAllCheckedAndLogged(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), `create table patients as select i as patient_id, case when i % 400 = 0 then 130 else 40 end as age from generate_series(1, 1200) i`)
	must(t)(w.copy(t, fromPostgres, patients, `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "gold", "table": "f"}`))
	w.log = nil
	_, err := w.script(t, activity.LakeService, `{"assertions": [
		{"table": "gold.f", "rows": {"min": 1}}, {"table": "gold.f", "unique": "patient_id"}, {"table": "gold.f", "range": {"column": "age", "min": 0, "max": 120}},
		{"table": "gold.f", "not_null": "height"}, {"table": "gold.f", "not_null": "age"}]}`)
	e := wantError(t, err, activity.CodeAssertion, "age between 0 and 120: 3 of 1,200 rows", "height is not null")
	if list, _ := e.Output.Get("assertions"); len(list.([]expr.Value)) != 5 {
		t.Errorf("output: %s", expr.EncodeJSON(e.Output))
	}
	want := []string{
		"checking 5 assertions on gold.f",
		"ok    rows > 0                     1,200",
		"ok    patient_id is unique         1,200",
		"fail  age between 0 and 120        3 rows",
		"      first: patient_id 400", "             patient_id 800", "             patient_id 1200",
		"error height is not null",
		"ok    age is not null              1,200",
		"3 of 5 hold; what depends on them does not run",
	}
	for i := range want {
		if i >= len(w.log) || !strings.HasPrefix(w.log[i], want[i]) {
			t.Fatalf("log line %d: got %q, want it to begin %q", i, w.log, want[i])
		}
	}
	_, err = w.script(t, activity.LakeService, `{"assertions": [{"table": "gold.nothing", "rows": {"min": 1}}]}`)
	if wantError(t, err, activity.CodeQuery, "could not be checked").Final {
		t.Error("a table may come with the next attempt")
	}
}

func TestAssertionsRefuse(t *testing.T) {
	w := newWorld(t)
	tests := map[string]string{
		`{"table": "gold.f"}`: "has none of rows",
		`{"table": "gold.f", "rows": {"min": 1}, "unique": "a"}`: "both rows and unique",
		`{"table": "gold.f", "rows": {}}`:                        "neither min nor max",
		`{"table": "gold.f", "rows": {"min": "x"}}`:              "whole numbers",
		`{"unique": "a"}`:                                                                         "names no table",
		`{"table": "gold.f; drop", "unique": "a"}`:                                                "only lower-case letters",
		`{"table": "gold.f", "unique": "a", "severity": "fatal"}`:                                 `severity "fatal"`,
		`{"table": "gold.f", "range": {"column": "a"}}`:                                           "neither min nor max",
		`{"table": "gold.f", "range": {"column": "a", "max": "\\"}}`:                              "backslash",
		`{"table": "gold.f", "references": {"column": "a", "table": "x"}}`:                        "want zone.table",
		`{"table": "gold.f", "references": {"columns": ["a"], "table": "a.b", "to": []}, "x": 1}`: `"x"`,
		`{"table": "gold.f", "unique": []}`:                                                       "names no column",
		`{"sql": " ; "}`:                                                                          "sql is empty",
		`7`:                                                                                       "must be an object",
	}
	for text, says := range tests {
		t.Run(text, func(t *testing.T) {
			_, err := w.script(t, activity.LakeService, `{"assertions": [`+text+`]}`)
			e, ok := errors.AsType[*engine.Error](err)
			if !ok || !strings.Contains(e.Message, says) || !e.Final {
				t.Errorf("got %v, want it to say %q", err, says)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create table patients(id int, name text, n numeric(4,1)); insert into patients values (1, 'Ann', 1.5), (2, null, null)")
	w.withFolder(t, map[string]string{"a.csv": "id,name\n1,Ann\n2,\n", "l.ndjson": "{\"id\":1,\"o\":{\"b\":[1.0]}}\n{\"id\":2}\n", "l.json": `[{"id":1},{"id":2}]`, "e.ndjson": "\n"})
	store := w.withStore(t)
	exec(t, store, "create schema s; create table s.t as select 5 as v")
	must(t)(w.script(t, activity.LakeService, `{"scripts": [{"type": "NonQuery", "text": "create table gold.f as select 1 as id"}]}`))
	lakeSet := `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "gold", "table": "f"}`
	tests := []struct{ name, properties, from, want string }{
		{"database, first", `{"source": {"type": "PostgreSqlSource", "query": "select * from patients order by id"}}`, patients, `{"firstRow":{"id":1,"name":"Ann","n":1.5}`},
		{"database, all", `{"source": {"type": "PostgreSqlSource"}, "firstRowOnly": false}`, patients, `{"count":2,"value":[{"id":1,"name":"Ann","n":1.5},{"id":2,"name":null,"n":null}]`},
		{"no row", `{"source": {"type": "PostgreSqlSource", "query": "select 1 where false"}}`, patients, `{"effectiveIntegrationRuntime"`},
		{"lake", `{"source": {"type": "AzureDatabricksDeltaLakeSource"}}`, lakeSet, `{"firstRow":{"id":1}`},
		{"lake, query", `{"source": {"type": "AzureDatabricksDeltaLakeSource", "query": "select cast(id as string) as t from gold.f"}, "firstRowOnly": "false"}`, lakeSet, `{"count":1,"value":[{"t":"1"}]`},
		{"store", `{"source": {"type": "AzureSqlSource"}}`, `AzureSqlTable@FeatureStoreLinkedService {"schema": "s", "table": "t"}`, `{"firstRow":{"v":5}`},
		{"csv", `{"source": {"type": "DelimitedTextSource"}, "firstRowOnly": false}`, `DelimitedText@drop {"location": {"fileName": "a.csv"}, "firstRowAsHeader": true}`, `{"count":2,"value":[{"id":"1","name":"Ann"},{"id":"2","name":null}]`},
		{"csv without header", `{"source": {"type": "DelimitedTextSource"}}`, `DelimitedText@drop {"location": {"fileName": "a.csv"}}`, `{"firstRow":{"Prop_0":"id","Prop_1":"name"}`},
		{"ndjson", `{"source": {"type": "JsonSource"}}`, `Json@drop {"location": {"fileName": "l.ndjson"}}`, `{"firstRow":{"id":1,"o":{"b":[1.0]}}`},
		{"array", `{"source": {"type": "JsonSource"}, "firstRowOnly": false}`, `Json@drop {"location": {"fileName": "l.json"}}`, `{"count":2,"value":[{"id":1},{"id":2}]`},
		{"empty file", `{"source": {"type": "JsonSource"}, "firstRowOnly": false}`, `Json@drop {"location": {"fileName": "e.ndjson"}}`, `{"count":0,"value":[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := must(t)(w.lookup(t, tt.properties, tt.from))
			if got := string(expr.EncodeJSON(res.Output)); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %s, want it to begin %s", got, tt.want)
			}
		})
	}
}

func TestLookupLimits(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create view many as select generate_series(1, 6000) as id; create view wide as select repeat('x', 1000000) as t from generate_series(1, 5); create view exact as select generate_series(1, 5000) as id")
	all := func(view string) (engine.Result, error) {
		return w.lookup(t, `{"source": {"type": "PostgreSqlSource", "query": "select * from `+view+`"}, "firstRowOnly": false}`, patients)
	}
	res := must(t)(all("many"))
	if n, _ := res.Output.Get("count"); n != int64(5000) || !strings.Contains(strings.Join(w.log, "\n"), "more than 5,000 rows") {
		t.Errorf("count %v, log %q", n, w.log)
	}
	w.log = nil
	if must(t)(all("exact")); len(w.log) > 0 {
		t.Errorf("exactly 5,000 rows are said to be cut off: %q", w.log)
	}
	_, err := all("wide")
	wantError(t, err, activity.CodeResultTooBig, "4 MB")
}

func TestSupportedTypesAreThoseOfNew(t *testing.T) {
	all := activity.New(activity.Deps{})
	for _, name := range activity.SupportedTypes() {
		if all[name] == nil {
			t.Errorf("%s is said to be supported and is not there", name)
		}
		delete(all, name)
	}
	for name := range all {
		t.Errorf("%s is there and not said to be supported", name)
	}
}
