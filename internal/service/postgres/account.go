package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the server runs as.
type account struct {
	name     string
	uid, gid int
	other    bool // another user than we are, so processes need its credential and files its ownership
}

// findAccount decides who the server runs as: we ourselves, or when we are root somebody else.
func findAccount(runAs string) (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		u, err := user.LookupId(strconv.Itoa(uid))
		if err != nil {
			return account{}, fmt.Errorf("look up our own user, by whose name PostgreSQL knows us: %w", err)
		}
		return account{name: u.Username, uid: uid, gid: os.Getegid()}, nil
	}
	candidates := []string{runAs}
	if runAs == "" {
		candidates = []string{"postgres", "nobody"}
	}
	var errs []error
	for _, name := range candidates {
		a, err := lookup(name)
		if err == nil {
			return a, nil
		}
		errs = append(errs, err)
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root and needs another user: %w", errors.Join(errs...))
}

func lookup(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, err
	}
	if uid == 0 {
		return account{}, fmt.Errorf("user %s is root", name)
	}
	return account{name: name, uid: uid, gid: gid, other: true}, nil
}

// own gives an open file or folder to the account.
func (a account) own(f *os.File) error {
	if !a.other {
		return nil
	}
	return f.Chown(a.uid, a.gid)
}

// reaches checks that the account may pass through every folder above path that exists.
func (a account) reaches(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && !a.mayPass(info) {
			return fmt.Errorf("%w: user %s may not enter %s, on the way to %s; choose another folder or chmod o+x that one", ErrUnreachable, a.name, dir, path)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (a account) mayPass(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch mode := info.Mode().Perm(); {
	case int(st.Uid) == a.uid:
		return mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// owns checks that the account owns the data directory, as PostgreSQL demands.
func (a account) owns(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) != a.uid {
		return fmt.Errorf("%w: %s belongs to user id %d, the server would run as %s (%d); it was made by another user or as root. Run as that user, or give it over with chown -R %s", ErrOwner, dir, st.Uid, a.name, a.uid, a.name)
	}
	return nil
}

// command prepares a PostgreSQL program to run as the account.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/" // ours may be a folder that the account cannot enter
	cmd.Env = childEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is for us to pass on
	if s.account.other {
		id := uint32(s.account.gid)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.account.uid), Gid: id, Groups: []uint32{id}}
	}
	return cmd
}
