//go:build cgo

package activity_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/engine"
)

func TestTimeLimitsOfTheDefinition(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create view patients as select i as id, pg_sleep(10)::text as s from generate_series(1, 1000) i")
	endless := "select count(*) from (values (1),(2),(3),(4)) a(x)"
	for _, name := range []string{"b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"} {
		endless += ", (values (1),(2),(3),(4),(5),(6),(7),(8)) " + name + "(x)"
	}
	lookup := func(properties string) error {
		c := w.call(t, "Lookup", properties)
		c.Dataset = dataset(t, patients)
		_, err := w.run(t, c)
		return err
	}
	tests := []struct {
		name string
		run  func(limit string) error
	}{
		{"script on the lake", func(limit string) error {
			_, err := w.script(t, activity.LakeService, `{"scripts": [{"type": "Query", "text": "`+endless+`"}], "scriptBlockExecutionTimeout": "`+limit+`"}`)
			return err
		}},
		{"script on a database", func(limit string) error {
			_, err := w.script(t, "epr", `{"scripts": [{"type": "Query", "text": "select pg_sleep(30)"}], "scriptBlockExecutionTimeout": "`+limit+`"}`)
			return err
		}},
		{"lookup", func(limit string) error {
			return lookup(`{"source": {"type": "PostgreSqlSource", "queryTimeout": "` + limit + `"}}`)
		}},
		{"copy", func(limit string) error {
			_, err := w.copy(t, `{"source": {"type": "PostgreSqlSource", "queryTimeout": "`+limit+`"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, patients, toBronze)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if e := wantError(t, tt.run("00:00:00.0500000"), activity.CodeTimeout, "00:00:00.0500000", "imeout"); e.Final {
				t.Error("what took too long may be tried again")
			}
			wantError(t, tt.run("soon"), activity.CodeInvalid, "must be a time span")
			wantError(t, tt.run("00:00:00"), activity.CodeInvalid, "must be a time span")
		})
	}
}

func TestSettingsThatWouldBeIgnoredAreRefused(t *testing.T) {
	w := newWorld(t)
	exec(t, w.withDatabase(t), "create table patients(id int)")
	_, err := w.copy(t, `{"source": {"type": "PostgreSqlSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink", "importSettings": {"type": "AzureDatabricksDeltaLakeImportCommand", "dateFormat": "dd/MM/yyyy"}}}`, patients, toBronze)
	wantError(t, err, activity.CodeUnsupported, "dateFormat")
	_, err = w.copy(t, `{"source": {"type": "AzureDatabricksDeltaLakeSource", "query": "select 1 as a", "exportSettings": {"timestampFormat": "x"}}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}}`, toBronze, toBronze)
	wantError(t, err, activity.CodeUnsupported, "timestampFormat")
	must(t)(w.copy(t, `{"source": {"type": "PostgreSqlSource", "queryTimeout": "02:00:00"}, "sink": {"type": "AzureDatabricksDeltaLakeSink", "importSettings": {"type": "AzureDatabricksDeltaLakeImportCommand"}}}`, patients, toBronze))
}

func TestScriptTellsWhatItReadAndWrote(t *testing.T) {
	w := newWorld(t)
	must(t)(w.script(t, activity.LakeService, `{"scripts": [{"type": "NonQuery", "text": "create table bronze.a as select 1 as id; create table bronze.b as select 2 as id union all select 3"}]}`))
	res := must(t)(w.script(t, activity.LakeService, `{"scripts": [
		{"type": "NonQuery", "text": "create table silver.s as select id from bronze.a"},
		{"type": "NonQuery", "text": "insert into silver.s select id from bronze.b; create table gold.g as select * from silver.s"},
		{"type": "Query", "text": "select * from bronze.b, gold.g"}],
		"assertions": [{"table": "gold.g", "rows": {"min": 1}}, {"table": "bronze.a", "rows": {"min": 1}}]}`))
	want := []engine.Table{
		{Name: "lake:bronze.a", Rows: 1}, {Name: "lake:silver.s", Written: true, Rows: 3, Version: 1},
		{Name: "lake:bronze.b", Rows: 2}, {Name: "lake:gold.g", Written: true, Rows: 3},
	}
	if d := cmp.Diff(want, res.Tables); d != "" || res.Rows != 6 {
		t.Errorf("%d rows written; tables (-want +got):\n%s", res.Rows, d)
	}
}
