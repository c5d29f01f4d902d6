package activity_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/activity/dbtest"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/lake"
)

// servers are started once for all tests, when the first asks.
var servers struct {
	once     sync.Once
	postgres *dbtest.Server
	err      error
	next     int
}

func TestMain(m *testing.M) {
	code := m.Run()
	servers.postgres.Stop()
	os.Exit(code)
}

// database makes an empty database of its own on the shared server.
func database(t testing.TB) (connect.Config, *pgx.Conn) {
	t.Helper()
	servers.once.Do(func() {
		servers.postgres, servers.err = dbtest.StartPostgres(context.WithoutCancel(t.Context()), "fsync=off")
	})
	if errors.Is(servers.err, dbtest.ErrNoServer) {
		t.Skip("no PostgreSQL on this machine: ", servers.err)
	}
	if servers.err != nil {
		t.Fatal(servers.err)
	}
	s := servers.postgres
	servers.next++
	name := fmt.Sprintf("d%d", servers.next)
	dsn := func(database string) string {
		return fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s", s.Dir, s.Port, s.User, s.Password, database)
	}
	admin, err := pgx.Connect(t.Context(), dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, admin, "create database "+name)
	admin.Close(t.Context())
	if admin, err = pgx.Connect(t.Context(), dsn(name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
	return connect.Config{Kind: flowehr.SourcePostgreSQL, Host: s.Dir, Port: s.Port, Database: name, Username: s.User, Password: flowehr.NewSecret(s.Password)}, admin
}

func exec(t testing.TB, admin *pgx.Conn, sql string) {
	t.Helper()
	if _, err := admin.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// world is an environment with a real lake and, when a test asks, real databases.
type world struct {
	lake    *lake.Lake
	sources sources
	deps    activity.Deps
	log     []string
	mu      sync.Mutex
	calls   int
}

type sources map[string]activity.Source

func (s sources) Source(_ context.Context, name string) (activity.Source, bool, error) {
	found, ok := s[name]
	return found, ok, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	l, err := lake.Open(lake.Options{Dir: t.TempDir(), Zones: []string{"bronze", "silver", "gold"}, MemoryMB: 1024, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &world{lake: l, sources: sources{}}
	w.deps = activity.Deps{Lake: l, Sources: w.sources}
	return w
}

// withDatabase adds a PostgreSQL source named epr.
func (w *world) withDatabase(t testing.TB) *pgx.Conn {
	t.Helper()
	c, admin := database(t)
	w.sources["epr"] = activity.Source{Kind: flowehr.SourcePostgreSQL, Database: c}
	return admin
}

// withFolder adds a folder source named drop and writes files into it.
func (w *world) withFolder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.sources["drop"] = activity.Source{Kind: flowehr.SourceFolder, Folder: dir}
	return dir
}

// withStore adds the feature store.
func (w *world) withStore(t testing.TB) *pgx.Conn {
	t.Helper()
	c, admin := database(t)
	exec(t, admin, "do $$ begin create role store_owner; exception when duplicate_object then null; end $$")
	pool, err := pgxpool.New(t.Context(), fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s", c.Host, c.Port, c.Username, c.Password.Reveal(), c.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	roles := featurestore.Roles{Owner: "store_owner"}
	if err := featurestore.Setup(t.Context(), pool, roles); err != nil {
		t.Fatal(err)
	}
	w.deps.Store = featurestore.New(pool, roles)
	w.sources[activity.StoreService] = activity.Source{Kind: flowehr.SourcePostgreSQL, Database: c}
	return admin
}

// object reads JSON.
func object(t testing.TB, text string) *expr.Object {
	t.Helper()
	v, err := expr.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	o, ok := v.(*expr.Object)
	if !ok {
		t.Fatalf("%s is no object", text)
	}
	return o
}

// dataset is written as "Type@service {typeProperties}".
func dataset(t testing.TB, text string) *engine.Dataset {
	t.Helper()
	head, properties, _ := strings.Cut(text, " ")
	kind, service, _ := strings.Cut(head, "@")
	return &engine.Dataset{Name: "ds", Type: kind, Properties: object(t, properties), LinkedService: engine.LinkedService{Name: service}}
}

// call makes a call of its own run.
func (w *world) call(t testing.TB, kind, properties string) engine.Call {
	w.calls++
	return engine.Call{
		RunID: fmt.Sprintf("run-%d", w.calls), Pipeline: "ingest", By: "tester@example.org", Path: "/" + kind, Attempt: 1, Name: kind, Type: kind,
		Properties: object(t, properties),
		Log: func(format string, args ...any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.log = append(w.log, fmt.Sprintf(format, args...))
		},
		Progress: func(int64) {},
	}
}

func (w *world) run(t testing.TB, c engine.Call) (engine.Result, error) {
	t.Helper()
	return activity.New(w.deps)[c.Type].Run(t.Context(), c)
}

// copy runs a Copy.
func (w *world) copy(t testing.TB, properties, from, to string) (engine.Result, error) {
	t.Helper()
	c := w.call(t, "Copy", properties)
	c.Inputs, c.Outputs = []engine.Dataset{*dataset(t, from)}, []engine.Dataset{*dataset(t, to)}
	return w.run(t, c)
}

func (w *world) lookup(t testing.TB, properties, from string) (engine.Result, error) {
	t.Helper()
	c := w.call(t, "Lookup", properties)
	c.Dataset = dataset(t, from)
	return w.run(t, c)
}

func (w *world) script(t testing.TB, service, properties string) (engine.Result, error) {
	t.Helper()
	c := w.call(t, "Script", properties)
	c.LinkedService = &engine.LinkedService{Name: service}
	return w.run(t, c)
}

// rows reads the lake as text.
func (w *world) rows(t testing.TB, sql string) []string {
	t.Helper()
	res, err := w.lake.Query(t.Context(), sql, 0)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for _, r := range res.Rows {
		out = append(out, strings.TrimSuffix(fmt.Sprintln(r...), "\n"))
	}
	return out
}

func must(t testing.TB) func(engine.Result, error) engine.Result {
	return func(r engine.Result, err error) engine.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// wantError checks the code of an error and what it says.
func wantError(t testing.TB, err error, code string, says ...string) *engine.Error {
	t.Helper()
	e, ok := errors.AsType[*engine.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *engine.Error of code %s", err, code)
	}
	if e.Code != code {
		t.Errorf("got code %s (%s), want %s", e.Code, e.Message, code)
	}
	for _, s := range says {
		if !strings.Contains(e.Message, s) {
			t.Errorf("got %q, want it to say %q", e.Message, s)
		}
	}
	return e
}

// data is a folder of the shared data, or a skipped test.
func data(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("FLOWEHR_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no shared data: ", err)
	}
	return path
}

func mustName(t testing.TB, s string) lake.Name {
	t.Helper()
	n, err := lake.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
