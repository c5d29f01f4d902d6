package hospital

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr/internal/activity/dbtest"
)

// TestSynthea runs the demo's pipelines as they are on other people's data: a record system and a FHIR feed that hold
// the same patients, in the forms in which the Synthea project and its users publish them. What comes out is compared
// with what this file computes from the records itself.
func TestSynthea(t *testing.T) {
	tables := readRecords(t, data(t, "health", "demo-hospital-csv"))
	feed := data(t, "health", "smart-fhir-r4", "ndjson")
	server := startServer(t)
	loadRecords(t, server, tables)

	s := newSite(t, 0)
	s.configure(0, fmt.Sprintf(`data_source_connections:
  - {name: epr, kind: postgresql, fqdn: 127.0.0.1, port: %d, database: %s, username: %s, password: "${EPR_PASSWORD}", tls: disable}
  - {name: fhir-feed, kind: folder, path: %s}`, server.Port, server.Database, server.User, feed))
	s.input(server.Password, "secrets", "set", "EPR_PASSWORD")
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")

	t.Run("every record is there once", func(t *testing.T) {
		s := s.in(t)
		for silver, from := range map[string]struct{ records, key, resources string }{
			"patient":     {"patients", "patient_id", "Patient"},
			"encounter":   {"encounters", "encounter_id", "Encounter"},
			"condition":   {"conditions", "condition_id", "Condition"},
			"observation": {"observations", "observation_id", "Observation"},
			"medication":  {"medications", "medication_request_id", "MedicationRequest"},
			"procedure":   {"procedures", "procedure_id", "Procedure"},
		} {
			ids := resourceIDs(t, filepath.Join(feed, from.resources+".ndjson.gz"))
			for _, r := range tables[from.records] {
				ids[r[from.key]] = true
			}
			if got := s.value("SELECT count(*) FROM silver." + silver); got != float64(len(ids)) {
				t.Errorf("silver.%s has %v rows, the sources together have %d", silver, got, len(ids))
			}
		}
	})
	t.Run("features are what the records say", func(t *testing.T) {
		s := s.in(t)
		want := featuresOf(t, tables)
		got := s.features()
		if len(want) != 152 || len(got) != len(want) {
			t.Fatalf("%d patients published, the records have %d, and should have 152", len(got), len(want))
		}
		differ := 0
		for id, w := range want {
			if g := got[id]; !w.equal(g) {
				if differ++; differ <= 5 {
					t.Errorf("patient %s: published %+v, the records say %+v", id, g, w)
				}
			}
		}
		t.Logf("%d patients compared, %d differ", len(want), differ)
	})
}

// features are those of a patient that this file computes a second time.
type features struct {
	age, encounters, comorbidities int
	systolic                       float64 // NaN when it was never measured
}

func (f features) equal(g features) bool {
	same := f.systolic == g.systolic || math.IsNaN(f.systolic) && math.IsNaN(g.systolic) || math.Abs(f.systolic-g.systolic) < 1e-9
	return f.age == g.age && f.encounters == g.encounters && f.comorbidities == g.comorbidities && same
}

// features reads what is published, as a reader.
func (s *site) features() map[string]features {
	s.t.Helper()
	out := map[string]features{}
	printed := s.output("store", "psql", "--", "-AtX", "-F,", "-c",
		"select patient_id, age_years, encounters_total, comorbidities, coalesce(last_systolic_mmhg, 'NaN') from features.patient_features")
	for line := range strings.Lines(printed) {
		var f features
		cells := strings.Split(strings.TrimSpace(line), ",")
		if len(cells) != 5 {
			s.t.Fatalf("psql printed %q", line)
		}
		var errs [4]error
		f.age, errs[0] = strconv.Atoi(cells[1])
		f.encounters, errs[1] = strconv.Atoi(cells[2])
		f.comorbidities, errs[2] = strconv.Atoi(cells[3])
		f.systolic, errs[3] = strconv.ParseFloat(cells[4], 64)
		if err := errors.Join(errs[:]...); err != nil {
			s.t.Fatal(err)
		}
		out[cells[0]] = f
	}
	return out
}

// featuresOf computes features of each patient from the records. It shares nothing with the pipelines.
func featuresOf(t *testing.T, tables map[string][]record) map[string]features {
	out := map[string]features{}
	encounters, codes := map[string]int{}, map[string]map[string]bool{}
	var asOf time.Time
	for _, e := range tables["encounters"] {
		encounters[e["patient_id"]]++
		if ended := e.time(t, "ended_at"); ended.After(asOf) {
			asOf = ended
		}
	}
	for _, c := range tables["conditions"] {
		if id := c["patient_id"]; c["status"] == "active" {
			if codes[id] == nil {
				codes[id] = map[string]bool{}
			}
			codes[id][c["code"]] = true
		}
	}
	last := map[string]record{}
	for _, o := range tables["observations"] {
		if o["code"] != "8480-6" || o["value_num"] == "" {
			continue
		}
		before, ok := last[o["patient_id"]]
		// The newest counts; of two at the same time the one with the smaller number.
		if !ok || cmp.Or(o.time(t, "observed_at").Compare(before.time(t, "observed_at")), cmp.Compare(before["observation_id"], o["observation_id"])) > 0 {
			last[o["patient_id"]] = o
		}
	}
	for _, p := range tables["patients"] {
		id := p["patient_id"]
		born, err := time.Parse(time.DateOnly, p["birth_date"])
		if err != nil {
			t.Fatal(err)
		}
		at := asOf
		if p["deceased_at"] != "" {
			at = p.time(t, "deceased_at")
		}
		f := features{age: at.Year() - born.Year(), encounters: encounters[id], comorbidities: len(codes[id]), systolic: math.NaN()}
		if born.AddDate(f.age, 0, 0).After(at) {
			f.age--
		}
		if o, ok := last[id]; ok {
			if f.systolic, err = strconv.ParseFloat(o["value_num"], 64); err != nil {
				t.Fatal(err)
			}
		}
		out[id] = f
	}
	return out
}

// record is a row of one of the files, by column.
type record map[string]string

func (r record) time(t *testing.T, column string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05-07", r[column])
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// readRecords reads every CSV file of dir.
func readRecords(t *testing.T, dir string) map[string][]record {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(paths) != 9 {
		t.Fatalf("%d record files in %s (%v), want 9", len(paths), dir, err)
	}
	out := map[string][]record{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".csv")
		for _, row := range rows[1:] {
			r := record{}
			for i, column := range rows[0] {
				r[column] = row[i]
			}
			out[name] = append(out[name], r)
		}
	}
	return out
}

// loadRecords makes a hospital database of the records, with the types that such a database has.
func loadRecords(t *testing.T, server *dbtest.Server, tables map[string][]record) {
	t.Helper()
	conn := connect(t, server)
	for name, rows := range tables {
		columns := make([]string, 0, len(rows[0]))
		for column := range rows[0] {
			columns = append(columns, column)
		}
		var defs []string
		for _, column := range columns {
			defs = append(defs, pgx.Identifier{column}.Sanitize()+" "+columnType(column))
		}
		table := pgx.Identifier{name}.Sanitize()
		if _, err := conn.Exec(t.Context(), "create table "+table+" ("+strings.Join(defs, ", ")+")"); err != nil {
			t.Fatal(err)
		}
		read, write := io.Pipe()
		go func() {
			w := csv.NewWriter(write)
			for _, r := range rows {
				cells := make([]string, len(columns))
				for i, column := range columns {
					cells[i] = r[column]
				}
				_ = w.Write(cells)
			}
			w.Flush()
			write.CloseWithError(w.Error())
		}()
		sql := "copy " + table + " (" + strings.Join(columns, ", ") + ") from stdin (format csv)"
		if _, err := conn.PgConn().CopyFrom(t.Context(), read, sql); err != nil {
			t.Fatalf("load %s: %v", name, err)
		}
	}
}

func columnType(column string) string {
	switch {
	case strings.HasSuffix(column, "_at"):
		return "timestamptz"
	case strings.HasSuffix(column, "_date"):
		return "date"
	case column == "value_num":
		return "double precision"
	case column == "n_results":
		return "integer"
	}
	return "text"
}

// resourceIDs lists the ids of the resources in a compressed NDJSON file.
func resourceIDs(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r struct{ ID string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		ids[r.ID] = true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// data is something of the shared test data, or a skipped test.
func data(t *testing.T, parts ...string) string {
	t.Helper()
	root := os.Getenv("FLOWEHR_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	path, err := filepath.Abs(filepath.Join(append([]string{root}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: no shared test data (set FLOWEHR_TEST_DATA): %v", err)
	}
	return path
}

// startServer starts a throw-away PostgreSQL server for the test.
func startServer(t *testing.T, settings ...string) *dbtest.Server {
	t.Helper()
	server, err := dbtest.StartPostgres(t.Context(), append([]string{"fsync=off"}, settings...)...)
	if errors.Is(err, dbtest.ErrNoServer) {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// connect signs in to a throw-away server as who may do everything there.
func connect(t *testing.T, server *dbtest.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	return conn
}

func address(server *dbtest.Server) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", server.User, server.Password, server.Port, server.Database)
}
