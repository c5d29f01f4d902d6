package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
)

// TestMain lets the test binary play a process that runs a server, so that it can be killed and run as another user.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FLOWEHR_TEST_SERVER"); dir != "" {
		os.Exit(serverProcess(dir))
	}
	os.Exit(m.Run())
}

func serverProcess(dir string) int {
	ctx := context.Background()
	b, err := Find(ctx, "")
	if err == nil {
		var s *Server
		if s, err = New(options(b, dir)); err == nil {
			err = s.Run(ctx, func() { fmt.Println("ready") })
		}
	}
	fmt.Println("error:", err)
	return 1
}

func options(b Binaries, dir string) Options {
	return Options{Binaries: b, DataDir: filepath.Join(dir, "data"), SocketDir: filepath.Join(dir, "run"), LogFile: filepath.Join(dir, "log", "postgres.log")}
}

// folder is a short folder that every user can pass.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func binaries(t testing.TB) Binaries {
	t.Helper()
	b, err := Find(t.Context(), "")
	if errors.Is(err, ErrNoBinaries) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs a server until the returned function is called, which returns what Run returned.
func start(t testing.TB, o Options) (*Server, func() error) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("server: %v", err)
	}
	var result error
	stop := func() error {
		if ctx.Err() == nil {
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return s, stop
}

func connect(t testing.TB, s *Server, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN(database, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t testing.TB, db DB, sql string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func TestServerKeepsDataOverRestart(t *testing.T) {
	o := options(binaries(t), folder(t))
	s, stop := start(t, o)
	conn := connect(t, s, "postgres")
	mustExec(t, conn, "create table kept as select 42 as n")
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	s, _ = start(t, o)
	var n int
	if err := connect(t, s, "postgres").QueryRow(t.Context(), "select n from kept").Scan(&n); err != nil || n != 42 {
		t.Fatalf("got %d, %v; want 42", n, err)
	}
	info, err := os.Stat(o.SocketDir)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("socket folder has mode %v, %v; want 0750", info.Mode(), err)
	}
}

func TestServerOnTCPWantsTLSAndPassword(t *testing.T) {
	o := options(binaries(t), folder(t))
	o.ListenTCP, o.Port = true, freePort(t)
	s, _ := start(t, o)
	conn := connect(t, s, "postgres")
	password := flowehr.NewSecret("pa$$word 'quoted' \\")
	if err := EnsureRole(t.Context(), conn, Role{Name: "ada@example.org", Password: password}); err != nil {
		t.Fatal(err)
	}
	if err := EnsureDatabase(t.Context(), conn, "own", "ada@example.org"); err != nil {
		t.Fatal(err)
	}
	dial := func(user, password, sslmode string) error {
		c, err := pgx.ParseConfig(fmt.Sprintf("host=localhost port=%d dbname=own sslmode=%s sslrootcert=%s", o.Port, sslmode, s.CertificatePath()))
		if err != nil {
			t.Fatal(err)
		}
		c.User, c.Password = user, password
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err == nil {
			_ = conn.Close(t.Context())
		}
		return err
	}
	if err := dial("ada@example.org", password.Reveal(), "verify-full"); err != nil {
		t.Errorf("with TLS and password: %v", err)
	}
	for name, err := range map[string]error{
		"plain text":     dial("ada@example.org", password.Reveal(), "disable"),
		"wrong password": dial("ada@example.org", "guess", "verify-full"),
		"superuser":      dial(Superuser, "", "verify-full"),
	} {
		if !isCode(err, "28000", "28P01") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	logged, err := os.ReadFile(o.LogFile)
	if err != nil || strings.Contains(string(logged), "pa$$word") {
		t.Errorf("log has the password, or cannot be read: %v", err)
	}
}

func TestServerRefuses(t *testing.T) {
	b := binaries(t)
	run := func(t *testing.T, o Options) error {
		s, err := New(o)
		if err != nil {
			return err
		}
		return s.Run(t.Context(), func() { t.Error("it became ready") })
	}
	t.Run("data of another version, untouched", func(t *testing.T) {
		o := options(b, folder(t))
		if err := os.Mkdir(o.DataDir, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(o.DataDir, "PG_VERSION")
		if err := os.WriteFile(file, []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(t, o); !errors.Is(err, ErrOtherVersion) {
			t.Errorf("got %v, want ErrOtherVersion", err)
		}
		entries, err := os.ReadDir(o.DataDir)
		if err != nil || len(entries) != 1 {
			t.Errorf("folder has %v, %v; want PG_VERSION alone", entries, err)
		}
	})
	t.Run("folder with something else", func(t *testing.T) {
		o := options(b, folder(t))
		if err := os.MkdirAll(filepath.Join(o.DataDir, "thesis"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := run(t, o); !errors.Is(err, ErrNotCluster) {
			t.Errorf("got %v, want ErrNotCluster", err)
		}
	})
	t.Run("second process", func(t *testing.T) {
		o := options(b, folder(t))
		start(t, o)
		if err := run(t, o); !errors.Is(err, ErrInUse) {
			t.Errorf("got %v, want ErrInUse", err)
		}
	})
	t.Run("taken port", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		o := options(b, folder(t))
		o.ListenTCP, o.Port = true, l.Addr().(*net.TCPAddr).Port
		err = run(t, o)
		if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), strconv.Itoa(o.Port)) {
			t.Errorf("got %v, want ErrPortTaken with the port", err)
		}
	})
	t.Run("long socket path", func(t *testing.T) {
		o := options(b, folder(t))
		o.SocketDir = "/" + strings.Repeat("x", 100)
		if err := run(t, o); !errors.Is(err, ErrSocketTooLong) {
			t.Errorf("got %v, want ErrSocketTooLong", err)
		}
	})
	t.Run("folder that the user cannot enter", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root runs the server as somebody else")
		}
		dir := folder(t)
		closed := filepath.Join(dir, "closed")
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		err := run(t, options(b, filepath.Join(closed, "env")))
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "may not enter "+closed) {
			t.Errorf("got %v, want ErrUnreachable that names %s", err, closed)
		}
	})
}

// helper starts this test binary as a process that runs a server in dir.
func helper(t *testing.T, dir string, credential *syscall.Credential) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if credential != nil { // the test binary stands in a folder of ours alone
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		program = filepath.Join(folder(t), "helper")
		if err := os.WriteFile(program, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "FLOWEHR_TEST_SERVER="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

func TestServerRunsForOrdinaryUser(t *testing.T) {
	binaries(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	for _, name := range []string{"postgres", "nobody"} {
		t.Run(name, func(t *testing.T) {
			a, err := lookup(name)
			if err != nil {
				t.Skip(err)
			}
			dir := folder(t)
			if err := os.Chown(dir, a.uid, a.gid); err != nil {
				t.Fatal(err)
			}
			_, out := helper(t, dir, &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)})
			if !out.Scan() || out.Text() != "ready" {
				t.Fatalf("got %q, want ready", out.Text())
			}
		})
	}
}

func TestServerSurvivesKillOfSupervisor(t *testing.T) {
	b := binaries(t)
	dir := folder(t)
	o := options(b, dir)
	cmd, out := helper(t, dir, nil)
	if !out.Scan() || out.Text() != "ready" {
		t.Fatalf("got %q, want ready", out.Text())
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, connect(t, s, "postgres"), "create table kept as select generate_series(1, 1000) as n")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	s, _ = start(t, o) // at once: the old server may still be there
	var n int
	if err := connect(t, s, "postgres").QueryRow(t.Context(), "select count(*) from kept").Scan(&n); err != nil || n != 1000 {
		t.Fatalf("got %d rows, %v; want 1000", n, err)
	}
}

func TestServerStopsOrphan(t *testing.T) {
	o := options(binaries(t), folder(t))
	s, stop := start(t, o)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	orphan := s.command(filepath.Join(o.Binaries.Dir, "postgres"), s.arguments()...) // nobody ties it to us
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	if err := s.awaitAnswer(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, o)
	if err := <-ended; err != nil {
		t.Errorf("orphan ended with %v, want a clean stop", err)
	}
}

func TestServerReplacesForeignPID(t *testing.T) {
	o := options(binaries(t), folder(t))
	s, stop := start(t, o)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%d\n%s\n1\n5432\n", os.Getpid(), o.DataDir)
	f, err := os.Create(filepath.Join(o.DataDir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, s.account.own(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	start(t, o)
}

func TestServerRecoversFromKilledPostmaster(t *testing.T) {
	o := options(binaries(t), folder(t))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(t.Context(), func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	conn := connect(t, s, "postgres")
	mustExec(t, conn, "create table kept (n int)")
	mustExec(t, conn, "insert into kept select generate_series(1, 100000)")
	mustExec(t, conn, "begin")
	mustExec(t, conn, "insert into kept select generate_series(1, 7)")
	pid, err := s.recordedPID()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("Run returned nil after its postmaster was killed")
	}
	s, _ = start(t, o) // at once: old backends hold the shared memory
	var n int
	if err := connect(t, s, "postgres").QueryRow(t.Context(), "select count(*) from kept").Scan(&n); err != nil || n != 100000 {
		t.Fatalf("got %d rows, %v; want the 100000 that were committed", n, err)
	}
}

func TestKilledInitdbLeavesNoHalfCluster(t *testing.T) {
	b := binaries(t)
	dir := folder(t)
	o := options(b, dir)
	cmd, _ := helper(t, dir, nil)
	pattern := filepath.Join(dir, ".data.initdb-*")
	begun := func() []string {
		found, err := filepath.Glob(filepath.Join(pattern, "PG_VERSION"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	deadline := time.Now().Add(time.Minute)
	for {
		if len(begun()) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("initdb has not begun")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(o.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("data directory is there after the kill: %v", err)
	}
	_, stop := start(t, o)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	start(t, o) // by now nothing writes to the left-overs any more
	if left := begun(); len(left) > 0 {
		t.Errorf("left-overs are still there: %v", left)
	}
}

func TestExplain(t *testing.T) {
	failure := errors.New("exit status 1")
	for _, test := range []struct {
		name, logged string
		want         error
	}{
		{"port", "LOG: could not bind IPv4 address \"127.0.0.1\": Address already in use", ErrPortTaken},
		{"disk", "FATAL: could not write lock file \"postmaster.pid\": No space left on device", ErrDiskFull},
		{"other", "FATAL: something else", failure},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := explain(failure, test.logged, Options{Port: 1, DataDir: "/d"}); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
