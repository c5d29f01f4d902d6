package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/dbtest"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/service/postgres"
	"github.com/flowehr/flowehr/internal/state"
)

// TestMain stops the servers that tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	sharedServer.stop()
	os.Exit(code)
}

// sharedServer is one PostgreSQL server, supervised by the product, for all tests of this package. Each test has an
// environment of its own in it, one after another.
var sharedServer shared

type shared struct {
	once  sync.Once
	paths Paths
	err   error
	end   func()
}

func (s *shared) start(t *testing.T) Paths {
	t.Helper()
	if _, err := postgres.Find(t.Context(), ""); err != nil {
		t.Skipf("skipped: %v", err)
	}
	s.once.Do(func() {
		base, err := os.MkdirTemp(memory(), "flt")
		if err != nil {
			s.err = err
			return
		}
		s.paths = pathsIn(base)
		s.err = os.Chmod(base, 0o755)
		h, err := Open(context.Background(), Options{Environment: &flowehr.Environment{ID: "shared", Name: "test", Suffix: "shared-test"}, Paths: s.paths, Who: "test"})
		if s.err = errors.Join(s.err, err); s.err != nil {
			return
		}
		up, down, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- h.WithServer(context.Background(), func(context.Context) error {
				close(up)
				<-down
				return nil
			})
		}()
		s.end = func() {
			close(down)
			<-ended
			h.Close()
			os.RemoveAll(base)
		}
		select {
		case <-up:
		case s.err = <-ended:
			ended <- s.err
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.paths
}

// memory is a folder that is kept in memory, where the system has one: the server's waiting for the disk is not tested.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func (s *shared) stop() {
	if s.end != nil {
		s.end()
	}
}

// pathsIn are the places of an environment below a short folder.
func pathsIn(base string) Paths {
	data := filepath.Join(base, "d")
	return Paths{Root: filepath.Join(base, "def"), Data: data, State: filepath.Join(data, "state"), Vault: filepath.Join(data, "vault.age"),
		Key: filepath.Join(base, "k", "v.key"), Audit: filepath.Join(data, "audit", "audit.jsonl"), Lake: filepath.Join(data, "lake"),
		Sources: filepath.Join(data, "sources"), Logs: filepath.Join(data, "logs"), Postgres: filepath.Join(data, "postgres"),
		Sockets: filepath.Join(base, "s"), Running: filepath.Join(data, "running.json")}
}

// world is one environment in a server of its own or in the shared one.
type world struct {
	t     *testing.T
	host  *Host
	store *state.Store
}

// newWorld opens env in the shared server. What the test leaves there is removed when it ends.
func newWorld(t *testing.T, env *flowehr.Environment) *world {
	t.Helper()
	server := sharedServer.start(t)
	paths := pathsIn(t.TempDir())
	paths.Postgres, paths.Sockets = server.Postgres, server.Sockets
	w := openWorld(t, env, paths)
	t.Cleanup(w.empty)
	return w
}

// newExternalWorld opens env in a server that somebody else runs.
func newExternalWorld(t *testing.T, env *flowehr.Environment, server *dbtest.Server) *world {
	t.Helper()
	env.Local.PostgresDSN = flowehr.Text(dsn(server))
	return openWorld(t, env, pathsIn(t.TempDir()))
}

func openWorld(t *testing.T, env *flowehr.Environment, paths Paths) *world {
	t.Helper()
	h, err := Open(t.Context(), Options{Environment: env, Paths: paths, Who: "nurse@example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return &world{t, h, state.New(paths.State, env.Suffix, env.Target)}
}

// empty removes every database and role but the administrator's.
func (w *world) empty() {
	ctx := context.Background()
	for _, name := range w.list("select datname from pg_database where datname not in ('postgres', 'template0', 'template1')") {
		if err := w.host.dropDatabase(ctx, name); err != nil {
			w.t.Error(err)
		}
	}
	for _, name := range w.list("select rolname from pg_roles where not rolsuper and rolname !~ '^pg_'") {
		if err := w.host.dropRole(ctx, name); err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) list(sql string) []string {
	w.t.Helper()
	pool, err := w.host.pool(context.Background(), w.host.adminDatabase())
	if err != nil {
		w.t.Fatal(err)
	}
	rows, err := pool.Query(context.Background(), sql)
	if err != nil {
		w.t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

// lower lowers env, which must give no error.
func lower(t *testing.T, env *flowehr.Environment) []flowehr.Resource {
	t.Helper()
	resources, problems := (&Target{}).Lower(env)
	if flowehr.HasErrors(problems) {
		t.Fatal(problems)
	}
	return resources
}

func (w *world) plan(want []flowehr.Resource, o plan.Options) flowehr.Plan {
	w.t.Helper()
	st, err := w.store.Load(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	o.Replace = Replace
	p, err := plan.Make(w.host.Environment, want, st, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// apply makes the world as wanted and returns the plan.
func (w *world) apply(want []flowehr.Resource) flowehr.Plan {
	w.t.Helper()
	p := w.plan(want, plan.Options{})
	if _, err := apply.Run(w.t.Context(), p, w.host.Target(), w.store, w.applyOptions()); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) applyOptions() apply.Options {
	return apply.Options{Owner: "test", Retry: Retry, Secrets: w.host.Secret}
}

// rows asks a database a question with one number for an answer, as the administrator.
func (w *world) rows(database, sql string) int {
	w.t.Helper()
	pool, err := w.host.pool(w.t.Context(), database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer w.host.forget(database)
	var n int
	if err := pool.QueryRow(w.t.Context(), sql).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// definition reads a definition and its pipelines from fsys, as commands do.
func definition(t *testing.T, fsys fs.FS) *flowehr.Environment {
	t.Helper()
	document, problems := config.Load(fsys, config.Options{Environment: "local", Lookup: func(string) (string, bool) { return "x", true }})
	env, more := compile.Environment(document)
	found, evenMore := factory.Load(fsys, "transform/pipelines")
	if all := slices.Concat(problems, more, evenMore); flowehr.HasErrors(all) {
		t.Fatal(all)
	}
	for _, b := range found.Bundles {
		encoded, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		env.Pipelines = append(env.Pipelines, flowehr.Pipeline{Name: b.Pipeline.Name, Project: "main", Dir: b.Dir, Bundle: encoded, Digest: b.Digest(),
			Pos: flowehr.Pos{File: b.Dir + "/pipeline.json"}})
	}
	return env
}

// throwAway starts a server that has nothing to do with the product.
func throwAway(t *testing.T) *dbtest.Server {
	t.Helper()
	server, err := dbtest.StartPostgres(t.Context(), "fsync=off")
	if errors.Is(err, dbtest.ErrNoServer) {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func dsn(s *dbtest.Server) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", s.User, s.Password, s.Port, s.Database)
}
