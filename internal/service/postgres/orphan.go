package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/flowehr/flowehr/internal/supervise"
)

// stopOrphan stops a server of our data directory that outlived the process which started it. The caller holds our lock,
// so no living process of ours answers for that server. It is stopped rather than adopted: its settings are those of
// another start, and a process that is not our child cannot be waited for.
func (s *Server) stopOrphan(ctx context.Context) error {
	pid, err := s.recordedPID()
	if err != nil || pid == 0 {
		return err
	}
	switch identify(pid, s.o.DataDir) {
	case processGone:
		return nil // PostgreSQL replaces the file itself
	case processOther:
		// The number was given to another program since. PostgreSQL would refuse to start if that belongs to the same user.
		if err := os.Remove(filepath.Join(s.o.DataDir, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case processUnknown:
		return supervise.Permanent(fmt.Errorf("%w: %s names process %d, which cannot be looked at; stop it first", ErrInUse, filepath.Join(s.o.DataDir, "postmaster.pid"), pid))
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}} {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return supervise.Permanent(fmt.Errorf("%w: process %d is a PostgreSQL that was left behind and cannot be stopped: %w", ErrInUse, pid, err))
		}
		if gone, err := s.awaitGone(ctx, pid, step.wait); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: process %d is a PostgreSQL that was left behind and does not stop", ErrInUse, pid)
}

func (s *Server) awaitGone(ctx context.Context, pid int, wait time.Duration) (bool, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(wait)
	for identify(pid, s.o.DataDir) == processOurs {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-limit:
			return false, nil
		case <-tick.C:
		}
	}
	return true, nil
}

// recordedPID is the first line of postmaster.pid, or 0 when there is none.
func (s *Server) recordedPID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.o.DataDir, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, nil // cut off by a crash of the machine; PostgreSQL decides
	}
	return pid, nil
}

// process says what is known of a process number.
type process int

const (
	processGone    process = iota
	processOurs            // a postmaster of our data directory
	processOther           // certainly something else
	processUnknown         // it exists, and that is all
)
