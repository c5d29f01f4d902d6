// Package postgres runs PostgreSQL from the programs that are installed on this machine as a supervised service, or
// watches over a server that somebody else runs, and makes the databases and roles that are wanted in it.
//
// The package does not install PostgreSQL, does not upgrade a data directory and knows nothing of what is stored. The
// rules that hold here: the server never runs as root; there is no superuser password, the superuser is whoever runs
// this program, on the socket; nobody else gets in without SCRAM, and on TCP without TLS; a data directory that is not
// understood is left as it was found.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr/internal/supervise"
)

// Superuser is the role of the process that runs the server.
const Superuser = "flowehr"

// Errors that callers branch on. Each comes wrapped with what to do.
var (
	ErrInUse          = errors.New("data directory is in use by another process")
	ErrOtherVersion   = errors.New("data directory belongs to another version of PostgreSQL")
	ErrNotCluster     = errors.New("folder is not a data directory of PostgreSQL")
	ErrUnreachable    = errors.New("folder cannot be reached by the user that PostgreSQL runs as")
	ErrOwner          = errors.New("data directory belongs to another user")
	ErrPortTaken      = errors.New("port is taken")
	ErrDiskFull       = errors.New("disk is full")
	ErrSocketTooLong  = errors.New("path of the socket is too long")
	ErrSocketTaken    = errors.New("folder of the socket was made by somebody else")
	ErrServerTooOld   = errors.New("server is too old")
	ErrServerNotThere = errors.New("server cannot be reached")
)

// Options of a server.
type Options struct {
	Binaries  Binaries
	DataDir   string // absolute; made on the first start
	SocketDir string // absolute and short: a socket's path has at most 103 bytes
	RunAs     string // when we are root: the user to run as; empty means postgres, else nobody. Ignored otherwise.
	ListenTCP bool   // also on 127.0.0.1, with TLS
	Port      int    // also part of the socket's name; 0 means 5432
	LogFile   string // absolute; PostgreSQL's own log
	Settings  map[string]string
}

// Server is a PostgreSQL that we run. It is a [supervise.Service].
type Server struct {
	o       Options
	account account
}

// New checks o and returns the server; nothing is started or written.
func New(o Options) (*Server, error) {
	if o.Port == 0 {
		o.Port = 5432
	}
	for _, path := range []string{o.DataDir, o.SocketDir, o.LogFile} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("path %q of the PostgreSQL server is not absolute", path)
		}
	}
	if socket := fmt.Sprintf("%s/.s.PGSQL.%d", o.SocketDir, o.Port); len(socket) > 103 {
		return nil, fmt.Errorf("%w: %s has %d bytes, 103 are allowed; choose a shorter folder", ErrSocketTooLong, socket, len(socket))
	}
	a, err := findAccount(o.RunAs)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, account: a}, nil
}

// Name returns "postgres".
func (s *Server) Name() string { return "postgres" }

// DSN addresses a database of the server on its socket. The superuser (an empty role) needs no password; for any other
// role the caller sets it in the parsed configuration. The password is never sent, only proved: what answers on the
// socket need not be our server. For the superuser no schema of its own name is searched: others may make schemas in a
// database, and what stood in that one would run as the superuser.
func (s *Server) DSN(database, role string) string {
	path := ""
	if role == "" {
		role, path = Superuser, " search_path=public"
	}
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s require_auth=none,scram-sha-256%s",
		quoteDSN(s.o.SocketDir), s.o.Port, quoteDSN(role), quoteDSN(database), path)
}

func quoteDSN(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// CertificatePath is the certificate that TCP clients verify the server with (sslmode=verify-full, host localhost).
func (s *Server) CertificatePath() string { return filepath.Join(s.o.DataDir, certFile) }

// Run makes the data directory if there is none, starts the server, calls ready when it answers, and stops it when ctx
// ends. A server of the same data directory that an earlier process left behind is stopped first.
func (s *Server) Run(ctx context.Context, ready func()) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.stopOrphan(ctx); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	return s.serve(ctx, ready)
}

// lock keeps a second process of ours away from the data directory. PostgreSQL has a lock of its own, but only for
// servers, not for making and configuring the directory.
func (s *Server) lock() (unlock func(), err error) {
	parent := filepath.Dir(s.o.DataDir)
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(parent, "."+filepath.Base(s.o.DataDir)+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, supervise.Permanent(fmt.Errorf("%w: %s", ErrInUse, s.o.DataDir))
		}
		return nil, fmt.Errorf("lock %s: %w", s.o.DataDir, err)
	}
	return func() { _ = f.Close() }, nil
}

// serve runs the postmaster. Right after a crash the old backends may hold the shared memory for some moments, which the
// new postmaster takes for a failure; that is tried again here, because it is not one.
func (s *Server) serve(ctx context.Context, ready func()) error {
	const tries, pause = 50, 100 * time.Millisecond
	for try := 1; ; try++ {
		text, err := s.postmaster(ctx, ready)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !strings.Contains(text, "pre-existing shared memory block") || try == tries {
			return explain(err, text, s.o)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// postmaster starts the server and returns when it has ended, with what it logged when that was not wanted.
func (s *Server) postmaster(ctx context.Context, ready func()) (logged string, err error) {
	log, start, err := openLog(s.o.LogFile)
	if err != nil {
		return "", err
	}
	defer func() { _ = log.Close() }()
	cmd := s.command(filepath.Join(s.o.Binaries.Dir, "postgres"), s.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	ended, err := startTied(cmd)
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	fail := func(err error) (string, error) { return readLog(s.o.LogFile, start), err }

	answers := make(chan error, 1)
	asking, stopAsking := context.WithCancel(ctx)
	defer stopAsking()
	go func() { answers <- s.awaitAnswer(asking) }()
	for {
		select {
		case err := <-answers:
			if err == nil {
				ready()
				continue
			}
			if ctx.Err() == nil {
				return fail(errors.Join(err, shutDown(cmd.Process, ended)))
			}
		case err := <-ended:
			if err == nil {
				err = errors.New("it was stopped by somebody else")
			}
			return fail(fmt.Errorf("PostgreSQL ended: %w", err))
		case <-ctx.Done():
			return "", shutDown(cmd.Process, ended)
		}
	}
}

// shutDown asks for a fast shutdown (open transactions are rolled back) and, if that takes too long, for an immediate
// one, which the next start recovers from.
func shutDown(p *os.Process, ended <-chan error) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 30 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		_ = p.Signal(step.signal) // an error means that it has ended, which the channel tells
		select {
		case <-ended: //nolint:errcheck // how it ended stands in its log
			return nil
		case <-time.After(step.wait):
		}
	}
	return errors.New("PostgreSQL does not stop")
}

// awaitAnswer returns when the superuser can run a statement.
func (s *Server) awaitAnswer(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.ask(ctx)
		if err == nil || refused(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *Server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN("postgres", ""))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "select 1")
	return errors.Join(err, conn.Close(ctx))
}

// arguments are all settings of the server. They stand on the command line, so that a start never depends on what is in
// the data directory's files.
func (s *Server) arguments() []string {
	set := map[string]string{
		"unix_socket_directories": s.o.SocketDir, "unix_socket_permissions": "0770",
		"listen_addresses": "", "port": strconv.Itoa(s.o.Port),
		"password_encryption": "scram-sha-256", "timezone": "UTC", "log_timezone": "UTC",
		"logging_collector": "off", "log_destination": "stderr", "log_line_prefix": "%m [%p] %q%u@%d %a ",
	}
	if s.o.ListenTCP {
		set["listen_addresses"] = "127.0.0.1"
		set["ssl"] = "on"
		set["ssl_cert_file"], set["ssl_key_file"] = certFile, keyFile
		set["ssl_min_protocol_version"] = "TLSv1.2"
	}
	for k, v := range s.o.Settings {
		if _, ours := set[k]; !ours {
			set[k] = v
		}
	}
	args := []string{"-D", s.o.DataDir}
	for k, v := range set {
		args = append(args, "-c", k+"="+v)
	}
	return args
}
