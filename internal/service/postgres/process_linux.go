package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// startTied starts cmd so that the kernel asks it to shut down when this process dies, however it dies. The wish hangs
// on the thread that starts the child, so that thread is kept until the child has ended. The channel gets the result of
// waiting.
func startTied(cmd *exec.Cmd) (<-chan error, error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT // PostgreSQL's fast shutdown
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return ended, nil
}

// identify looks at process pid. A postmaster works in its data directory.
func identify(pid int, dataDir string) process {
	proc := fmt.Sprintf("/proc/%d", pid)
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return processGone
	}
	if err != nil {
		return processUnknown
	}
	// "pid (name) state ...": a zombie has ended, it only was not waited for.
	if i := bytes.LastIndexByte(stat, ')'); i < 0 || i+2 >= len(stat) || stat[i+2] == 'Z' {
		return processGone
	}
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	if err != nil {
		return gone(proc)
	}
	dir, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return gone(proc)
	}
	program := filepath.Base(strings.TrimSuffix(exe, " (deleted)")) // an upgrade replaces the file under a running server
	real, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return processUnknown
	}
	if program == "postgres" && dir == real {
		return processOurs
	}
	return processOther
}

// gone tells a process that ended while it was looked at from one that may not be looked at.
func gone(proc string) process {
	if _, err := os.Stat(proc); err != nil {
		return processGone
	}
	return processUnknown
}
