package local

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holder makes the test binary a process that holds an environment; see TestHoldsEnvironment.
const holder = "FLOWEHR_TEST_HOLD"

// TestHoldsEnvironment is not a test but the other process of those below.
func TestHoldsEnvironment(t *testing.T) {
	path := os.Getenv(holder)
	if path == "" {
		t.Skip("skipped: it is only run by other tests, as another process")
	}
	if _, err := occupy(path, Running{PID: os.Getpid(), Who: "other", Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// hold starts another process that holds the environment.
func hold(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestHoldsEnvironment$")
	c.Env = append(os.Environ(), holder+"="+path)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = c.Process.Kill(); _ = c.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	return c
}

func TestOnlyOneServes(t *testing.T) {
	p := Paths{Running: filepath.Join(t.TempDir(), "running.json")}
	if _, on, err := FindRunning(p); on || err != nil {
		t.Fatalf("found %v, %v before anything ran", on, err)
	}
	other := hold(t, p.Running)
	r, on, err := FindRunning(p)
	if err != nil || !on || r.PID != other.Process.Pid || r.Who != "other" {
		t.Errorf("found %+v, %v, %v", r, on, err)
	}
	_, err = occupy(p.Running, Running{PID: os.Getpid(), Who: "me"})
	taken, ok := errors.AsType[*AlreadyRunningError](err)
	if !ok || taken.Running.PID != other.Process.Pid || !strings.Contains(err.Error(), "started by other") {
		t.Errorf("took a place that is taken: %v", err)
	}
	if r, _, _ := FindRunning(p); r.Who != "other" {
		t.Errorf("the refused process overwrote the record: %+v", r)
	}
	// Killed and not waited for: it is gone although its number is still in use.
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, other.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	o, err := occupy(p.Running, Running{PID: os.Getpid(), Who: "me", Since: time.Now()})
	if err != nil {
		t.Fatalf("after the other was killed: %v", err)
	}
	if r, on, err := FindRunning(p); err != nil || !on || r.Who != "me" {
		t.Errorf("found %+v, %v, %v", r, on, err)
	}
	o.release()
	if _, on, err := FindRunning(p); on || err != nil {
		t.Errorf("found %v, %v after it was released", on, err)
	}
	if err := WaitStopped(p); err != nil {
		t.Error(err)
	}
}

// TestStaleRecord: the record of a process that ended means nothing, whoever has its number now.
func TestStaleRecord(t *testing.T) {
	p := Paths{Running: filepath.Join(t.TempDir(), "running.json")}
	for _, record := range []string{`{"pid": 1, "who": "x"}`, `{"pid": 999999}`, `not JSON`, ``} {
		if err := os.WriteFile(p.Running, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, on, err := FindRunning(p); on || err != nil {
			t.Errorf("record %q: found %v, %v", record, on, err)
		}
		o, err := occupy(p.Running, Running{PID: os.Getpid(), Who: "me"})
		if err != nil {
			t.Fatalf("record %q: %v", record, err)
		}
		o.release()
	}
}
