package engine

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// cluster is a throw-away PostgreSQL server on a socket, durable as in earnest.
type cluster struct {
	bin, dir string
	owner    *syscall.Credential // nil when we are not root
	cmd      *exec.Cmd
	exited   chan struct{}
}

var (
	shared    *cluster // of this test binary
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv("ENGINE_TEST_WORKER"); dsn != "" {
		os.Exit(workerMain(dsn))
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	c, err := newCluster()
	if err != nil {
		log.Print("no PostgreSQL for the tests: ", err)
		return m.Run() // tests that need it skip
	}
	defer c.remove()
	shared = c
	if err := c.template(); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

func newCluster() (*cluster, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return nil, errors.New("initdb not found")
	}
	dir, err := os.MkdirTemp("", "fe")
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: filepath.Dir(slices.Max(found)), dir: dir}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		c.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	out, err := c.command("initdb", "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return c, c.start()
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner, Setpgid: true}
	return cmd
}

// start starts the server and waits until it answers. After a crash the first tries may fail: the new server waits for
// the old one's processes to notice.
func (c *cluster) start() (err error) {
	for range 20 {
		if err = c.startOnce(); err == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return err
}

func (c *cluster) startOnce() error {
	c.cmd = c.command("postgres", "-D", filepath.Join(c.dir, "data"), "-k", c.dir, "-c", "listen_addresses=",
		"-c", "max_connections=200", "-c", "fsync=on", "-c", "restart_after_crash=off")
	if err := c.cmd.Start(); err != nil {
		return err
	}
	cmd, exited := c.cmd, make(chan struct{})
	c.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := pgx.Connect(context.Background(), c.dsn("postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("server does not answer: %w", err)
		}
		select {
		case <-exited:
			return fmt.Errorf("server ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends the server as a crash of the machine would, for its processes.
func (c *cluster) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.exited
}

func (c *cluster) remove() {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	<-c.exited
	_ = os.RemoveAll(c.dir)
}

func (c *cluster) dsn(database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s sslmode=disable", c.dir, database)
}

// template makes the database that those of the tests are copied from.
func (c *cluster) template() error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.dsn("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create database engine_template"); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, c.dsn("engine_template"))
	if err != nil {
		return err
	}
	defer pool.Close()
	return Migrate(ctx, pool)
}

// database returns the DSN of a fresh, migrated database.
func (c *cluster) database(t testing.TB) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := fmt.Sprintf("t%d", databases.Add(1))
	if _, err := conn.Exec(ctx, "create database "+name+" template engine_template strategy file_copy"); err != nil {
		t.Fatal(err)
	}
	return c.dsn(name)
}

func newPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	if shared == nil {
		t.Skip("needs PostgreSQL: initdb was not found")
	}
	return openPool(t, shared.database(t))
}

func openPool(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
