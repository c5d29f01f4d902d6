package activity_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
)

// hospital is how many rows the shared hospital has, by table.
var hospital = map[string]int64{
	"observations": 18434, "encounters": 2913, "immunizations": 1815, "procedures": 1426, "diagnostic_reports": 1114,
	"conditions": 1008, "medications": 671, "patients": 152, "allergies": 59,
}

func TestHospitalFromFilesAndFromADatabase(t *testing.T) {
	dir := data(t, "health", "demo-hospital-csv")
	w := newWorld(t)
	w.sources["drop"] = activity.Source{Kind: flowehr.SourceFolder, Folder: dir}
	admin := w.withDatabase(t)
	for table, want := range hospital {
		t.Run(table, func(t *testing.T) {
			res := must(t)(w.copy(t, fromCSV, fmt.Sprintf(`DelimitedText@drop {"location": {"fileName": "%s.csv"}, "firstRowAsHeader": true}`, table),
				fmt.Sprintf(`AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "bronze", "table": "%s"}`, table)))
			if res.Rows != want {
				t.Errorf("from files: %d rows, want %d", res.Rows, want)
			}
			load(t, filepath.Join(dir, table+".csv"), table, func(sql string) { exec(t, admin, sql) })
			res = must(t)(w.copy(t, fromPostgres, fmt.Sprintf(`PostgreSqlV2Table@epr {"schema": "public", "table": "%s"}`, table),
				fmt.Sprintf(`AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "silver", "table": "%s"}`, table)))
			if res.Rows != want {
				t.Errorf("from the database: %d rows, want %d", res.Rows, want)
			}
			for _, pair := range [][2]string{{"bronze", "silver"}, {"silver", "bronze"}} {
				query := fmt.Sprintf("select count(*) from (select * from %[1]s.%[3]s except select * from %[2]s.%[3]s) as d", pair[0], pair[1], table)
				if d := cmp.Diff([]string{"0"}, w.rows(t, query)); d != "" {
					t.Errorf("rows of %s that %s does not have: %s", pair[0], pair[1], d)
				}
			}
		})
	}
}

// load makes a table of text columns from a CSV file.
func load(t *testing.T, path, table string, run func(string)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	run("create table " + table + " (" + strings.Join(records[0], " text, ") + " text)")
	for start := 1; start < len(records); start += 500 {
		var values []string
		for _, r := range records[start:min(start+500, len(records))] {
			var fields []string
			for _, v := range r {
				if v == "" {
					fields = append(fields, "null")
					continue
				}
				fields = append(fields, "'"+strings.ReplaceAll(v, "'", "''")+"'")
			}
			values = append(values, "("+strings.Join(fields, ",")+")")
		}
		run("insert into " + table + " values " + strings.Join(values, ","))
	}
}

func TestFHIRFromSharedData(t *testing.T) {
	dir := data(t, "health", "smart-fhir-r4")
	w := newWorld(t)
	w.sources["drop"] = activity.Source{Kind: flowehr.SourceFolder, Folder: dir}
	mapping := `, "translator": {"mappings": [{"source": {"path": "$['id']"}, "sink": {"name": "id"}}, {"source": {"path": "$['resourceType']"}, "sink": {"name": "kind"}}, {"source": {"path": "$['subject']['reference']"}, "sink": {"name": "patient"}}]}`
	for file, want := range map[string]int64{"Patient": 152, "Observation": 17153, "Encounter": 2913, "Condition": 1008, "MedicationRequest": 671} {
		t.Run(file, func(t *testing.T) {
			res := must(t)(w.copy(t, `{"source": {"type": "JsonSource"}, "sink": {"type": "AzureDatabricksDeltaLakeSink"}`+mapping+`}`,
				`Json@drop {"location": {"folderPath": "ndjson", "fileName": "`+file+`.ndjson.gz"}, "compression": {"type": "gzip"}}`,
				`AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "bronze", "table": "`+strings.ToLower(file)+`"}`))
			if res.Rows != want {
				t.Errorf("%d rows, want %d", res.Rows, want)
			}
			if got := w.rows(t, "select count(distinct id), min(kind), max(kind) from bronze."+strings.ToLower(file)); got[0] != fmt.Sprintf("%d %s %s", want, file, file) {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("bundles", func(t *testing.T) {
		res := must(t)(w.copy(t, `{"source": {"type": "JsonSource", "storeSettings": {"wildcardFileName": "*.json"}}, "sink": {"type": "AzureDatabricksDeltaLakeSink"},
			"translator": {"collectionReference": "$['entry']"}}`,
			`Json@drop {"location": {"folderPath": "bundles"}}`, `AzureDatabricksDeltaLakeDataset@LakeLinkedService {"database": "bronze", "table": "bundles"}`))
		if n, _ := res.Output.Get("filesRead"); n != int64(10) {
			t.Errorf("filesRead: %v, want 10", n)
		}
		if got := w.rows(t, "select count(*) from bronze.bundles where resource_type = 'Patient'"); got[0] != "10" {
			t.Errorf("patients: %s, want one in each of 10 bundles", got[0])
		}
	})
}
