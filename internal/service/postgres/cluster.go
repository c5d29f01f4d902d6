package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/flowehr/flowehr/internal/durable"
	"github.com/flowehr/flowehr/internal/supervise"
)

// prepare checks the data directory, or makes it.
func (s *Server) prepare(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.o.LogFile), 0o711); err != nil {
		return err
	}
	if err := s.account.reaches(s.o.DataDir); err != nil {
		return supervise.Permanent(err)
	}
	if err := s.socketDir(); err != nil {
		return err
	}
	if err := s.removeStages(); err != nil {
		return err
	}
	version, err := os.ReadFile(filepath.Join(s.o.DataDir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return s.initialise(ctx)
	}
	if err != nil {
		return err
	}
	if have := strings.TrimSpace(string(version)); have != strconv.Itoa(s.o.Binaries.Major) {
		return supervise.Permanent(fmt.Errorf("%w: %s was made by version %s, the programs in %s are version %d; install version %s beside it, or move the data with pg_dump or pg_upgrade. Nothing was changed",
			ErrOtherVersion, s.o.DataDir, have, s.o.Binaries.Dir, s.o.Binaries.Major, have))
	}
	if err := s.account.owns(s.o.DataDir); err != nil {
		return supervise.Permanent(err)
	}
	return nil
}

// stagePattern matches the folders that initdb works in.
func (s *Server) stagePattern() string { return "." + filepath.Base(s.o.DataDir) + ".initdb-*" }

// removeStages removes what killed attempts left. What cannot be removed yet is removed by a later start.
func (s *Server) removeStages() error {
	stages, err := filepath.Glob(filepath.Join(filepath.Dir(s.o.DataDir), s.stagePattern()))
	if err != nil {
		return err
	}
	for _, stage := range stages {
		_ = os.RemoveAll(stage)
	}
	return nil
}

// socketDir makes the folder of the socket, which may stand in a folder that everybody can write to. What somebody else
// put there under its name is refused: who owns the folder could put a server of their own in the place of ours.
func (s *Server) socketDir() error {
	if err := os.MkdirAll(filepath.Dir(s.o.SocketDir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(s.o.SocketDir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.account.reaches(s.o.SocketDir); err != nil {
		return supervise.Permanent(err)
	}
	dir, err := os.OpenFile(s.o.SocketDir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return supervise.Permanent(fmt.Errorf("%w: %s is not a folder that can be opened: %w", ErrSocketTaken, s.o.SocketDir, err))
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && int(st.Uid) != s.account.uid {
		return supervise.Permanent(fmt.Errorf("%w: %s belongs to user id %d; see who made it, and remove it", ErrSocketTaken, s.o.SocketDir, st.Uid))
	}
	return errors.Join(s.account.own(dir), dir.Chmod(0o750))
}

// initialise runs initdb in a folder beside the data directory and moves it into place when it is complete: a crash at
// any moment leaves no half cluster, only a folder that the next start removes. The caller holds the lock.
func (s *Server) initialise(ctx context.Context) error {
	entries, err := os.ReadDir(s.o.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return supervise.Permanent(fmt.Errorf("%w: %s is not empty and has no PG_VERSION. Nothing was changed", ErrNotCluster, s.o.DataDir))
	}
	parent := filepath.Dir(s.o.DataDir)
	// A name of its own each time: a killed initdb may leave a child that writes to the old one for some moments.
	stage, err := os.MkdirTemp(parent, s.stagePattern())
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }() // when it was not moved into place
	if err := s.ownFolder(stage); err != nil {
		return err
	}
	locale := "C.UTF-8"
	if runtime.GOOS != "linux" {
		locale = "C"
	}
	cmd := s.command(filepath.Join(s.o.Binaries.Dir, "initdb"), "-D", stage, "-U", Superuser, "--auth-local=peer",
		"--auth-host=scram-sha-256", "--encoding=UTF8", "--locale="+locale, "--data-checksums")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	ended, err := startTied(cmd)
	if err != nil {
		return fmt.Errorf("start initdb: %w", err)
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), shutDown(cmd.Process, ended))
	}
	if err != nil {
		return explain(fmt.Errorf("initdb: %w", err), out.String(), s.o)
	}
	if err := os.Rename(stage, s.o.DataDir); err != nil {
		return fmt.Errorf("put data directory in place: %w", err)
	}
	return durable.SyncDir(parent)
}

// ownFolder gives a folder to the account.
func (s *Server) ownFolder(path string) error {
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(s.account.own(dir), dir.Close())
}

// configure writes the files that say who may connect. They are written on every start: the user that runs us may have
// another name than last time, and nobody's edit should open the server.
func (s *Server) configure() error {
	me, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		return fmt.Errorf("look up our own user, by whose name PostgreSQL knows us: %w", err)
	}
	hba := "# Written by flowehr on every start.\n" +
		"local all " + Superuser + " peer map=flowehr\n" +
		"local postgres,template1 all reject\n" + // anybody may connect to those by default, and some versions let them make things there
		"local all all scram-sha-256\n" +
		"host all " + Superuser + " all reject\n" +
		"host postgres,template1 all all reject\n" +
		"hostssl all all 127.0.0.1/32 scram-sha-256\n" +
		"hostssl all all ::1/128 scram-sha-256\n" +
		"host all all all reject\n"
	ident := "# Written by flowehr on every start.\nflowehr \"" + me.Username + "\" " + Superuser + "\n"
	if err := s.writeOwned("pg_hba.conf", []byte(hba)); err != nil {
		return err
	}
	if err := s.writeOwned("pg_ident.conf", []byte(ident)); err != nil {
		return err
	}
	if s.o.ListenTCP {
		return s.certificate()
	}
	return nil
}

// writeOwned replaces a file of the data directory, which belongs to the account.
func (s *Server) writeOwned(name string, data []byte) error {
	path := filepath.Join(s.o.DataDir, name)
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// O_EXCL: the account may write to this folder and must not choose what a link of that name makes root write to.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	// By the open file: the name may lead elsewhere by now.
	if err := errors.Join(err, s.account.own(f), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temp, path)
}
