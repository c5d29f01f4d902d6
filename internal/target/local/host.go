// Package local is the target that runs a whole environment on this machine: it lowers a definition to resources, makes
// and removes them, and serves the environment with the processes that it needs: PostgreSQL, the pipeline engine and the
// portal.
//
// A [Host] is one environment on this machine. Commands open it, with or without a running environment; what needs the
// database server connects to the running one, or starts it for as long as the command takes. The package holds the
// wiring of its parts and no logic of theirs. The rule that holds here: nothing outside the environment's own places
// (see [Paths]) is written, and only what carries the environment's mark is removed.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/service/postgres"
	"github.com/flowehr/flowehr/internal/supervise"
	"github.com/flowehr/flowehr/internal/vault"
)

// ErrNotRunning says that the environment's database server does not answer.
var ErrNotRunning = errors.New("the environment is not running on this machine")

// Options of a host.
type Options struct {
	Environment *flowehr.Environment
	Paths       Paths
	Who         string // the person who works with it, for the audit log
	Lookup      func(name string) (string, bool)
	State       func(context.Context) (flowehr.State, error) // what was deployed, for the portal
	Now         flowehr.Clock
	Logger      *slog.Logger
	Version     string // of the program, shown in the portal
}

// Host is one environment on this machine. Open it, then Connect or Serve, then Close. It is safe for concurrent use.
type Host struct {
	Options
	vault  *vault.Vault
	audit  *audit.Log
	lake   *lake.Lake
	server server

	live     atomic.Pointer[deployed]
	dropping sync.Mutex // held while a database or a role is removed

	mu       sync.Mutex
	pools    map[string]*pgxpool.Pool // by database
	store    *featurestore.Store
	services func() []supervise.State // nil unless serving
}

// deployed is the part of a definition that may change while the environment is served.
type deployed struct {
	sources   []flowehr.Source
	services  map[string]flowehr.LocalLinkedService
	synthetic map[string]flowehr.Synthetic
	lookup    func(name string) (string, bool)
}

// Adopt makes the host work with the sources, linked services, secrets and zones of a definition that was deployed
// while it serves. What runs already keeps what it began with.
func (h *Host) Adopt(env *flowehr.Environment, lookup func(name string) (string, bool)) error {
	h.live.Store(&deployed{env.Sources, env.Local.LinkedServices, env.Local.Synthetic, lookup})
	for _, zone := range env.Lake.Zones {
		if err := h.lake.AddZone(zone); err != nil {
			return err
		}
	}
	return nil
}

// server is a PostgreSQL server, ours or somebody else's.
type server interface {
	supervise.Service
	config(database string) (*pgxpool.Config, error)
}

// Open opens what is needed without any process: folders, vault, audit log and lake.
func Open(ctx context.Context, o Options) (*Host, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Host{Options: o, pools: map[string]*pgxpool.Pool{}}
	h.live.Store(&deployed{o.Environment.Sources, o.Environment.Local.LinkedServices, o.Environment.Local.Synthetic, o.Lookup})
	if err := o.Paths.Prepare(); err != nil {
		return nil, err
	}
	var err error
	if h.vault, err = vault.Open(ctx, vault.Options{Path: o.Paths.Vault, KeyPath: o.Paths.Key}); err != nil {
		return nil, err
	}
	if h.server, err = h.newServer(ctx); err != nil {
		return nil, err
	}
	if h.audit, err = audit.Open(o.Paths.Audit); err != nil {
		return nil, err
	}
	local := o.Environment.Local
	zones, err := zonesOf(o.Paths.Lake)
	if err != nil {
		return nil, errors.Join(err, h.audit.Close())
	}
	if h.lake, err = lake.Open(lake.Options{Dir: o.Paths.Lake, Zones: zones, MemoryMB: local.MemoryMB, Threads: local.Threads, Now: o.Now}); err != nil {
		return nil, errors.Join(err, h.audit.Close())
	}
	return h, nil
}

// zonesOf lists the zones that were made: the folders of the lake that are not its own.
func zonesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var zones []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), "_") && !strings.HasPrefix(e.Name(), ".") {
			zones = append(zones, e.Name())
		}
	}
	return zones, nil
}

// Close releases what Open and Connect opened. It stops no process.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pools {
		p.Close()
	}
	clear(h.pools)
	h.store = nil
	return errors.Join(h.lake.Close(), h.audit.Close())
}

// Audit records an entry of the person who opened the host, before whatever it is about is answered.
func (h *Host) Audit(ctx context.Context, e audit.Entry) error {
	if e.Who == "" {
		e.Who = h.Who
	}
	_, err := h.audit.Append(ctx, e)
	return err
}

// Vault returns the environment's vault.
func (h *Host) Vault() *vault.Vault { return h.vault }

// Lake returns the environment's lake.
func (h *Host) Lake() *lake.Lake { return h.lake }

// Secret returns the value of a secret of the definition: what the command was given, else what the vault holds.
func (h *Host) Secret(ctx context.Context, name string) (flowehr.Secret, error) {
	if lookup := h.live.Load().lookup; lookup != nil {
		if v, ok := lookup(name); ok {
			return flowehr.NewSecret(v), nil
		}
	}
	s, err := h.vault.Get(name)
	if errors.Is(err, vault.ErrNotFound) {
		return s, fmt.Errorf("secret %s has no value: set it with flowehr secrets set %s", name, name)
	}
	return s, err
}

// resolve replaces the names of secrets in t by their values.
func (h *Host) resolve(ctx context.Context, t flowehr.Text) (flowehr.Secret, error) {
	return t.Resolve(func(name string) (flowehr.Secret, error) { return h.Secret(ctx, name) })
}

// newServer returns the server that the definition asks for. Nothing is started.
func (h *Host) newServer(ctx context.Context) (server, error) {
	if dsn := h.Environment.Local.PostgresDSN; dsn != "" {
		address, err := h.resolve(ctx, dsn)
		if err != nil {
			return nil, err
		}
		external, err := postgres.NewExternal(address)
		if err != nil {
			return nil, err
		}
		return externalServer{external, address}, nil
	}
	binaries, err := postgres.Find(ctx, "")
	if err != nil {
		return missingServer{err}, nil
	}
	s, err := postgres.New(postgres.Options{Binaries: binaries, DataDir: h.Paths.Postgres, SocketDir: h.Paths.Sockets,
		LogFile: filepath.Join(filepath.Dir(h.Paths.Postgres), "postgres.log")})
	if err != nil {
		return nil, err
	}
	return supervisedServer{s, h.Paths}, nil
}

// missingServer stands for a server that is not installed: what needs none, such as looking into the lake, works.
type missingServer struct{ err error }

// Name returns "postgres".
func (missingServer) Name() string { return "postgres" }

// Run fails with the reason.
func (m missingServer) Run(context.Context, func()) error { return supervise.Permanent(m.err) }

func (m missingServer) config(string) (*pgxpool.Config, error) { return nil, m.err }

type supervisedServer struct {
	*postgres.Server
	paths Paths
}

func (s supervisedServer) config(database string) (*pgxpool.Config, error) {
	if err := ownSockets(s.paths); err != nil {
		return nil, err
	}
	return pgxpool.ParseConfig(s.DSN(database, ""))
}

// ownSockets refuses to talk to a server whose socket stands in a folder that is not of the account which owns the
// server's data: in a folder that everybody may write to, such as /tmp, somebody else could have put one there.
func ownSockets(p Paths) error {
	folder, err := os.Lstat(p.Sockets)
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing to talk to; the server makes it
	}
	if err != nil {
		return err
	}
	data, err := os.Stat(p.Postgres)
	if err != nil {
		return fmt.Errorf("%w: its data directory is not there: %w", ErrNotRunning, err)
	}
	theirs, ours := folder.Sys().(*syscall.Stat_t), data.Sys().(*syscall.Stat_t)
	if !folder.IsDir() || theirs.Uid != ours.Uid || folder.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not the socket folder of this environment: it belongs to another account or others may write to it; remove it", p.Sockets)
	}
	return nil
}

type externalServer struct {
	*postgres.External
	dsn flowehr.Secret
}

func (s externalServer) config(database string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(s.dsn.Reveal())
	if err != nil {
		return nil, errors.New("local.postgres_dsn is not the address of a PostgreSQL server, such as postgres://user@host/database")
	}
	if database != "" {
		c.ConnConfig.Database = database
	}
	// Nothing that somebody else put into a schema of that server is found by an unqualified name of ours.
	c.ConnConfig.RuntimeParams["search_path"] = "public"
	return c, nil
}

// adminDatabase is where statements about the server as a whole are run.
func (h *Host) adminDatabase() string {
	if h.Environment.Local.PostgresDSN != "" {
		return "" // the one that the address names
	}
	return "postgres"
}

// pool returns connections to a database as the one who administers the server. They are made when first needed.
func (h *Host) pool(ctx context.Context, database string) (*pgxpool.Pool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.pools[database]; ok {
		return p, nil
	}
	c, err := h.server.config(database)
	if err != nil {
		return nil, err
	}
	c.MaxConns = 24
	c.ConnConfig.RuntimeParams["application_name"] = "flowehr"
	p, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	h.pools[database] = p
	return p, nil
}

// forget closes the connections to a database, so that it can be dropped.
func (h *Host) forget(database string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.pools[database]; ok {
		p.Close()
		delete(h.pools, database)
	}
	if database == storeDatabase {
		h.store = nil
	}
}

// Ping reports whether the database server answers.
func (h *Host) Ping(ctx context.Context) error {
	c, err := h.server.config(h.adminDatabase())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return conn.Close(ctx)
}

// WithServer calls f while the database server runs: the one that runs already, or one that is started for it and
// stopped after it.
func (h *Host) WithServer(ctx context.Context, f func(ctx context.Context) error) error {
	if h.Ping(ctx) == nil {
		return f(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group := supervise.NewGroup(supervise.Options{})
	group.Add(h.server)
	ready, ended := make(chan struct{}), make(chan error, 1)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() { ended <- group.Run(serving, func() { close(ready) }) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		stop()
		return errors.Join(ctx.Err(), <-ended)
	case <-ready:
	}
	err := f(ctx)
	h.mu.Lock()
	for name, p := range h.pools {
		p.Close()
		delete(h.pools, name)
	}
	h.store = nil
	h.mu.Unlock()
	stop()
	return errors.Join(err, <-ended)
}

// Pipelines returns the store of pipelines and runs. The environment must be running.
func (h *Host) Pipelines(ctx context.Context) (*engine.Store, error) {
	if err := h.Ping(ctx); err != nil {
		return nil, err
	}
	return h.pipelines(ctx)
}

func (h *Host) pipelines(ctx context.Context) (*engine.Store, error) {
	pool, err := h.pool(ctx, controlDatabase)
	if err != nil {
		return nil, err
	}
	return engine.NewStore(pool, h.Audit, h.Now), nil
}

// FindPostgres says which PostgreSQL of this machine would be used.
func FindPostgres(ctx context.Context) (string, error) {
	b, err := postgres.Find(ctx, "")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("version %d in %s", b.Major, b.Dir), nil
}
