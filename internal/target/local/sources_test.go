package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/synth"
)

// ward is an environment with a source of every way to name one.
func ward() *flowehr.Environment {
	return &flowehr.Environment{ID: "ward", Name: "local", Suffix: "ward-local", Target: flowehr.TargetLocal,
		Sources: []flowehr.Source{
			{Name: "labs", Kind: flowehr.SourceSQLServer, Host: "labs.example", Port: 1444, Database: "l", Username: "reader", Password: "${LABS_PASSWORD}", TLS: "verify"},
			{Name: "near", Kind: flowehr.SourceFolder, Path: "data/fhir"},
			{Name: "far", Kind: flowehr.SourceFolder, Path: "/srv/fhir"},
			{Name: "epr", Kind: flowehr.SourcePostgreSQL, Host: "epr.example", Database: "hospital", Username: "reader", Password: "${EPR_PASSWORD}"},
			{Name: "feed", Kind: flowehr.SourceFolder, Path: "data/feed"},
		},
		Local: flowehr.Local{MemoryMB: 256, Threads: 1,
			Synthetic: map[string]flowehr.Synthetic{"epr": {Patients: 4, Seed: 1}, "feed": {Patients: 2, Seed: 1}},
			LinkedServices: map[string]flowehr.LocalLinkedService{
				"Archive":   {Kind: flowehr.SourceMySQL, Host: "archive.example", Database: "a", Username: "reader", Password: "${ARCHIVE_PASSWORD}", TLS: "require"},
				"DropBox":   {Kind: flowehr.SourceFolder, Path: "drop"},
				"Unguarded": {Kind: flowehr.SourcePostgreSQL, Host: "127.0.0.1", Database: "u", Username: "u", Password: "plain"},
			}},
	}
}

func TestSource(t *testing.T) {
	w := newWorld(t, ward())
	for _, name := range []string{"LABS_PASSWORD", "ARCHIVE_PASSWORD"} {
		if err := w.host.Vault().Set(t.Context(), name, flowehr.NewSecret("value of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	root := w.host.Paths.Root
	for _, c := range []struct{ name, folder, host, database, user, password, tls string }{
		{name: "labs", host: "labs.example", database: "l", user: "reader", password: "value of LABS_PASSWORD", tls: "verify"},
		{name: "near", folder: filepath.Join(root, "data", "fhir")},
		{name: "far", folder: "/srv/fhir"},
		{name: "feed", folder: filepath.Join(w.host.Paths.Sources, "feed")},
		{name: "epr", host: w.host.Paths.Sockets, database: "source_epr", user: "reader", password: "*", tls: "disable"},
		{name: "Archive", host: "archive.example", database: "a", user: "reader", password: "value of ARCHIVE_PASSWORD", tls: "require"},
		{name: "DropBox", folder: filepath.Join(root, "drop")},
		{name: activity.StorageService, folder: w.host.Paths.Lake},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ok, err := w.host.Source(t.Context(), c.name)
			if err != nil || !ok {
				t.Fatalf("found %v: %v", ok, err)
			}
			d := s.Database
			if s.Folder != c.folder || d.Host != c.host || d.Database != c.database || d.Username != c.user || d.TLS != c.tls {
				t.Errorf("got %+v", s)
			}
			if got := d.Password.Reveal(); c.password == "*" && got == "" || c.password != "*" && got != c.password {
				t.Errorf("the password is another one")
			}
		})
	}
	for _, name := range []string{"nobody-knows", activity.LakeService} {
		if _, ok, err := w.host.Source(t.Context(), name); ok || err != nil {
			t.Errorf("%s: found %v, %v", name, ok, err)
		}
	}
	known := LinkedServices(w.host.Environment)
	for _, name := range []string{"labs", "feed", "Archive", activity.LakeService, activity.StoreService, activity.StorageService} {
		if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") {
			t.Errorf("pipelines may not name %s: %v", name, known)
		}
	}
}

func TestMissingSecretSaysHowToSetIt(t *testing.T) {
	w := newWorld(t, ward())
	_, ok, err := w.host.Source(t.Context(), "labs")
	if !ok || err == nil || !strings.Contains(err.Error(), "flowehr secrets set LABS_PASSWORD") {
		t.Errorf("got %v, %v", ok, err)
	}
	if _, err := w.host.Vault().Get("LABS_PASSWORD"); err == nil {
		t.Error("a password was made up for a real server")
	}
	h, err := Open(t.Context(), Options{Environment: ward(), Paths: pathsIn(t.TempDir()), Who: "me",
		Lookup: func(name string) (string, bool) { return "given", name == "LABS_PASSWORD" }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s, _, err := h.Source(t.Context(), "labs")
	if err != nil || s.Database.Password.Reveal() != "given" {
		t.Errorf("what the command was given does not count: %v", err)
	}
}

// TestTestSource holds what a person is told about a source that does not work, and what to do.
func TestTestSource(t *testing.T) {
	server := throwAway(t)
	env := ward()
	at := func(name, host, database, password string) flowehr.Source {
		return flowehr.Source{Name: name, Kind: flowehr.SourcePostgreSQL, Host: host, Port: server.Port, Database: database,
			Username: flowehr.Text(server.User), Password: flowehr.Text(password), TLS: "disable"}
	}
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "Patient.ndjson"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := at("unencrypted-server", "127.0.0.1", server.Database, server.Password)
	encrypted.TLS = "require"
	closed := at("nobody-listens", "127.0.0.1", server.Database, server.Password)
	closed.Port = 1
	env.Sources = append(env.Sources, encrypted, closed,
		at("works", "127.0.0.1", server.Database, server.Password),
		at("unknown-host", "no-such-host.invalid", server.Database, server.Password),
		at("wrong-password", "127.0.0.1", server.Database, "wrong-guess"),
		at("unknown-database", "127.0.0.1", "nowhere", server.Password),
		flowehr.Source{Name: "folder", Kind: flowehr.SourceFolder, Path: empty},
		flowehr.Source{Name: "missing-folder", Kind: flowehr.SourceFolder, Path: "not/there"})
	w := newWorld(t, env)
	for _, c := range []struct {
		name string
		ok   bool
		says []string
		fix  string
	}{
		{"works", true, []string{"PostgreSQL", "tables can be read"}, ""},
		{"folder", true, []string{"1 files in", empty}, ""},
		{"unknown-host", false, []string{`"unknown-host"`, "no-such-host.invalid"}, "fqdn"},
		{"wrong-password", false, []string{`"wrong-password"`, server.User}, "flowehr secrets set"},
		{"unknown-database", false, []string{"nowhere"}, "database"},
		{"unencrypted-server", false, []string{`"unencrypted-server"`}, "tls"},
		{"nobody-listens", false, []string{"127.0.0.1"}, "port"},
		{"missing-folder", false, []string{filepath.Join(w.host.Paths.Root, "not", "there")}, ""},
		{"labs", false, []string{"LABS_PASSWORD"}, ""},
		{"unheard-of", false, []string{`"unheard-of"`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := w.host.TestSource(t.Context(), c.name)
			if err != nil {
				t.Fatal(err)
			}
			if got.OK != c.ok || got.Name != c.name || got.At.IsZero() {
				t.Errorf("got %+v", got)
			}
			for _, text := range c.says {
				if !strings.Contains(got.Text, text) {
					t.Errorf("%q does not say %q", got.Text, text)
				}
			}
			if !strings.Contains(got.Fix, c.fix) || c.fix != "" && got.Fix == "" {
				t.Errorf("what to do is %q, want it to speak of %q", got.Fix, c.fix)
			}
			for _, secret := range []string{server.Password, "wrong-guess"} {
				if strings.Contains(got.Text+got.Fix, secret) {
					t.Errorf("the password is told: %+v", got)
				}
			}
		})
	}
}

// standIn applies the made-up database of env and what it needs.
func (w *world) standIn() {
	w.t.Helper()
	w.apply(withNeeds(lower(w.t, w.host.Environment), kindSource))
}

func TestStandIn(t *testing.T) {
	env := ward()
	w := newWorld(t, env)
	w.standIn()
	const database = "source_epr"
	count := func() int { return w.rows(database, "select count(*) from patients") }
	if n := count(); n != 4 {
		t.Fatalf("%d patients, want 4", n)
	}
	// Work that nobody may lose shows whether the tables were made anew.
	mark := func() { w.exec(database, "create table if not exists public.mark ()") }
	marked := func() bool {
		return w.rows(database, "select count(*) from pg_tables where tablename = 'mark'") == 1
	}
	res := lower(t, env)
	source := res[indexOf(res, flowehr.Ref{Kind: kindSource, Name: "epr"})]
	again := func() {
		t.Helper()
		if err := (sourceKeeper{w.host}).ensure(t.Context(), source, quiet{}); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("a reader can read", func(t *testing.T) {
		s, _, err := w.host.Source(t.Context(), "epr")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := connect.Test(t.Context(), s.Database); err != nil {
			t.Error(err)
		}
	})
	t.Run("unchanged, it is not filled again", func(t *testing.T) {
		mark()
		again()
		if !marked() {
			t.Error("the database was made anew")
		}
	})
	t.Run("half filled, it is filled again", func(t *testing.T) {
		mark()
		w.exec(database, "delete from patients where ctid in (select ctid from patients limit 2)")
		w.exec(w.host.adminDatabase(), "comment on database source_epr is null") // as a kill before the last statement leaves it
		again()
		if n := count(); n != 4 || marked() {
			t.Errorf("%d patients, made anew %v", n, !marked())
		}
	})
	t.Run("removed by somebody, it is found missing and made again", func(t *testing.T) {
		if err := w.host.dropDatabase(t.Context(), database); err != nil {
			t.Fatal(err)
		}
		report, err := apply.Refresh(t.Context(), w.host.Target(), w.store, nil, w.applyOptions())
		if err != nil || len(report.Drift) != 1 || !report.Drift[0].Gone {
			t.Fatalf("found %+v, %v", report.Drift, err)
		}
		w.standIn()
		if n := count(); n != 4 {
			t.Errorf("%d patients", n)
		}
	})
	t.Run("another number of patients replaces it", func(t *testing.T) {
		env.Local.Synthetic["epr"] = flowehr.Synthetic{Patients: 7, Seed: 1}
		w.standIn()
		if n := count(); n != 7 {
			t.Errorf("%d patients, want 7", n)
		}
	})
	t.Run("without it, it goes", func(t *testing.T) {
		delete(env.Local.Synthetic, "epr")
		w.standIn()
		if there, err := w.host.databaseExists(t.Context(), database); there || err != nil {
			t.Errorf("the made-up database is there: %v, %v", there, err)
		}
	})
}

func (w *world) exec(database, sql string) {
	w.t.Helper()
	pool, err := w.host.pool(w.t.Context(), database)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := pool.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatal(err)
	}
	if database != w.host.adminDatabase() {
		w.host.forget(database)
	}
}

func indexOf(resources []flowehr.Resource, ref flowehr.Ref) int {
	for i, r := range resources {
		if r.Ref == ref {
			return i
		}
	}
	return -1
}

// quiet is the inputs of a step that only makes notes.
type quiet struct{ apply.Inputs }

func (quiet) Note(string) {}

// TestStandInFolder: the files of a made-up feed are replaced as a whole.
func TestStandInFolder(t *testing.T) {
	w := newWorld(t, ward())
	r := lower(t, w.host.Environment)
	source := r[indexOf(r, flowehr.Ref{Kind: kindSource, Name: "feed"})]
	dir := w.host.standInFolder("feed")
	for range 2 {
		if err := (sourceKeeper{w.host}).ensure(t.Context(), source, quiet{}); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) < 5 {
			t.Fatalf("%d files, %v", len(entries), err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := os.WriteFile(filepath.Join(dir, "half-written"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	hospital, err := synth.New(synth.Options{Patients: 2000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := fillFolder(stopped, dir, hospital); err == nil {
		t.Error("written although it was to stop")
	}
	if _, err := os.Stat(filepath.Join(dir, "half-written")); err != nil {
		t.Errorf("stopped half way, and what was there before is gone: %v", err)
	}
}

func TestFillDatabase(t *testing.T) {
	server := throwAway(t)
	hospital, err := synth.New(synth.Options{Patients: 5, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := FillDatabase(t.Context(), dsn(server), hospital); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn(server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	count := func(table string) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count("patients"); n != 5 {
		t.Fatalf("%d patients, want 5", n)
	}
	// One of its tables being there already is enough to leave everything alone.
	tables := hospital.Tables()
	for _, table := range tables[:len(tables)-1] {
		if _, err := conn.Exec(t.Context(), "drop table "+pgx.Identifier{table.Name}.Sanitize()); err != nil {
			t.Fatal(err)
		}
	}
	last := tables[len(tables)-1].Name
	rows := count(last)
	err = FillDatabase(t.Context(), dsn(server), hospital)
	if err == nil || !strings.Contains(err.Error(), last) {
		t.Errorf("filled over an existing table: %v", err)
	}
	if n := count("pg_tables where schemaname = 'public'"); n != 1 || count(last) != rows {
		t.Errorf("%d tables after a refused filling, %s had %d rows", n, last, rows)
	}
}
