// Package dbtest starts throw-away database servers for tests and benchmarks: PostgreSQL, and MariaDB. Nothing of the
// product uses it.
//
// A server lives in a temporary folder of its own, never runs as root, speaks on a Unix socket there and on a loopback
// port, and is gone after Stop, which must be called.
package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// ErrNoServer means that this machine has no such server installed.
var ErrNoServer = errors.New("server not installed")

// Server is a running server. User may do everything in Database.
type Server struct {
	Dir      string // holds the socket
	Socket   string // MariaDB: the socket itself
	Port     int
	User     string
	Password string
	Database string
	bin      string
	cmd      *exec.Cmd
	exited   chan struct{}
	errors   bytes.Buffer
}

// patience bounds how long a server may take to answer.
const patience = 30 * time.Second

// StartPostgres makes a cluster with checked passwords everywhere and starts it. settings are "name=value".
func StartPostgres(ctx context.Context, settings ...string) (*Server, error) {
	bin, err := find("initdb", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
	if err != nil {
		return nil, err
	}
	s, err := prepare("postgres", bin)
	if err != nil {
		return nil, err
	}
	s.User, s.Password, s.Database = "tester", "s3cret-of-tests", "postgres"
	secret := filepath.Join(s.Dir, "pw")
	if err := errors.Join(os.WriteFile(secret, []byte(s.Password), 0o600), own(secret, "postgres")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	data := filepath.Join(s.Dir, "data")
	if err := s.run(ctx, "postgres", "initdb", "-D", data, "-U", s.User, "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	args := []string{"-D", data, "-k", s.Dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port)}
	for _, set := range settings {
		args = append(args, "-c", set)
	}
	return s, s.start(ctx, "postgres", filepath.Join(bin, "postgres"), args...)
}

// StartMariaDB makes a data folder and starts the server.
func StartMariaDB(ctx context.Context) (*Server, error) {
	bin, err := find("mariadbd", "/usr/sbin", "/usr/bin", "/usr/libexec")
	if err != nil {
		return nil, err
	}
	s, err := prepare("mysql", bin)
	if err != nil {
		return nil, err
	}
	s.User, s.Password, s.Database = "tester", "s3cret-of-tests", "hospital"
	s.Socket = filepath.Join(s.Dir, "m.sock")
	data := filepath.Join(s.Dir, "data")
	setup := filepath.Join(s.Dir, "init.sql")
	text := fmt.Sprintf("create database %[3]s;\ncreate user '%[1]s'@'%%' identified by '%[2]s';\ngrant all on *.* to '%[1]s'@'%%' with grant option;\n"+
		"create user '%[1]s'@'localhost' identified by '%[2]s';\ngrant all on *.* to '%[1]s'@'localhost' with grant option;\n", s.User, s.Password, s.Database)
	if err := errors.Join(os.WriteFile(setup, []byte(text), 0o644), os.Chmod(setup, 0o644)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	s.bin = "/usr/bin"
	if err := s.run(ctx, "mysql", "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return s, s.start(ctx, "mysql", filepath.Join(bin, "mariadbd"), "--no-defaults", "--datadir="+data, "--socket="+s.Socket,
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.Port), "--pid-file="+filepath.Join(s.Dir, "pid"), "--init-file="+setup, "--innodb-flush-log-at-trx-commit=0")
}

// Stop ends the server at once and removes its folder.
func (s *Server) Stop() {
	if s == nil || s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	if s.Socket != "" {
		_ = s.cmd.Process.Kill()
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	_ = os.RemoveAll(s.Dir)
}

func prepare(account, bin string) (*Server, error) {
	dir, err := os.MkdirTemp("", "dbt")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), own(dir, account)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer free.Close()
	return &Server{Dir: dir, Port: free.Addr().(*net.TCPAddr).Port, bin: bin, exited: make(chan struct{})}, nil
}

func (s *Server) run(ctx context.Context, account, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.SysProcAttr = as(account)
	cmd.Dir = s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// start runs the server and waits until its port answers.
func (s *Server) start(ctx context.Context, account, path string, args ...string) error {
	s.cmd = exec.Command(path, args...)
	s.cmd.SysProcAttr = as(account)
	s.cmd.Dir = s.Dir
	s.cmd.Stderr = &s.errors
	if err := s.cmd.Start(); err != nil {
		return errors.Join(err, os.RemoveAll(s.Dir))
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.ready(ctx) {
			return nil
		}
		select {
		case <-s.exited:
			err := fmt.Errorf("%s ended: %s", filepath.Base(path), s.errors.String())
			return errors.Join(err, os.RemoveAll(s.Dir))
		case <-ctx.Done():
			s.Stop()
			return fmt.Errorf("%s does not answer: %w", filepath.Base(path), ctx.Err())
		case <-tick.C:
		}
	}
}

// ready asks for what the server says of itself: PostgreSQL in its lock file, MariaDB by answering.
func (s *Server) ready(ctx context.Context) bool {
	if s.Socket == "" {
		lock, err := os.ReadFile(filepath.Join(s.Dir, "data", "postmaster.pid"))
		return err == nil && bytes.Contains(lock, []byte("\nready"))
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// find returns the folder of a program: the last of those that match, which is the newest version.
func find(program string, folders ...string) (string, error) {
	for _, pattern := range folders {
		found, _ := filepath.Glob(filepath.Join(pattern, program))
		if len(found) > 0 {
			return filepath.Dir(slices.Max(found)), nil
		}
	}
	return "", fmt.Errorf("%s: %w", program, ErrNoServer)
}

// as runs a child as account when we are root: database servers refuse to be.
func as(account string) *syscall.SysProcAttr {
	uid, gid, ok := ids(account)
	if !ok {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func own(path, account string) error {
	if uid, gid, ok := ids(account); ok {
		return os.Chown(path, uid, gid)
	}
	return nil
}

func ids(account string) (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{account, "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gid, _ = strconv.Atoi(u.Gid)
			return uid, gid, true
		}
	}
	return 0, 0, false
}
