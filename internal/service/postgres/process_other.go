//go:build !linux

package postgres

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// startTied starts cmd. Without Linux's parent-death signal a server may outlive us; the next start finds and stops it.
func startTied(cmd *exec.Cmd) (<-chan error, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended, nil
}

// identify looks at process pid by its command line, which names the data directory.
func identify(pid int, dataDir string) process {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return processGone
	}
	out, err := exec.Command("/bin/ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return processUnknown
	}
	program, args, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if filepath.Base(program) != "postgres" {
		return processOther
	}
	if strings.Contains(args, dataDir) {
		return processOurs
	}
	return processUnknown
}
