package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/flowehr/flowehr/internal/supervise"
)

// Running tells about the process that serves an environment, for other processes of the same machine. It holds no
// secret.
type Running struct {
	PID      int           `json:"pid"`
	Who      string        `json:"who"`
	Since    time.Time     `json:"since"`
	Ready    bool          `json:"ready"`
	Portal   string        `json:"portal,omitempty"` // address
	Services []ServiceInfo `json:"services,omitempty"`
}

// ServiceInfo is a supervised service as other processes see it.
type ServiceInfo struct {
	Name      string          `json:"name"`
	Phase     supervise.Phase `json:"phase"`
	Since     time.Time       `json:"since"`
	Restarts  int             `json:"restarts"`
	LastError string          `json:"lastError,omitempty"`
}

func serviceInfos(states []supervise.State) []ServiceInfo {
	var out []ServiceInfo
	for _, s := range states {
		i := ServiceInfo{Name: s.Name, Phase: s.Phase, Since: s.Since, Restarts: s.Restarts}
		if s.LastError != nil {
			i.LastError = s.LastError.Error()
		}
		out = append(out, i)
	}
	return out
}

// AlreadyRunningError says that another process serves the environment.
type AlreadyRunningError struct{ Running Running }

// Error names the process.
func (e *AlreadyRunningError) Error() string {
	if e.Running.PID == 0 {
		return "this environment runs already"
	}
	return fmt.Sprintf("this environment runs already: process %d, started by %s at %s", e.Running.PID, e.Running.Who, e.Running.Since.Local().Format("15:04 on 2 Jan"))
}

// occupation is the lock that the serving process holds for as long as it lives: the kernel frees it whatever way the
// process ends, so a process number that was given to somebody else can never be mistaken for it.
type occupation struct {
	lock *os.File
	path string

	mu   sync.Mutex
	last Running
}

func lockPath(running string) string { return running + ".lock" }

// occupy makes this process the one that serves. The error is an *AlreadyRunningError when another does.
func occupy(path string, r Running) (*occupation, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(lockPath(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	other, held, err := tryLock(f, path, syscall.LOCK_EX)
	if err != nil || held {
		f.Close()
		if held {
			err = &AlreadyRunningError{other}
		}
		return nil, err
	}
	o := &occupation{lock: f, path: path, last: r}
	return o, o.update(func(*Running) {})
}

// update changes what others can read.
func (o *occupation) update(change func(*Running)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.last)
	b, err := json.Marshal(o.last)
	if err != nil {
		return err
	}
	staged := o.path + ".new"
	if err := os.WriteFile(staged, b, 0o600); err != nil {
		return err
	}
	return os.Rename(staged, o.path)
}

// release says that nobody serves any more.
func (o *occupation) release() {
	_ = os.Remove(o.path)
	_ = o.lock.Close()
}

// FindRunning returns the process that serves the environment, and whether there is one.
func FindRunning(p Paths) (Running, bool, error) {
	f, err := os.OpenFile(lockPath(p.Running), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return Running{}, false, nil
	}
	if err != nil {
		return Running{}, false, err
	}
	defer f.Close()
	return tryLock(f, p.Running, syscall.LOCK_SH)
}

// lingering is how long a process that was killed may keep its lock: its last thread gives it up, and a large process
// takes a moment to be taken apart.
const lingering = 10 * time.Second

// dying is how long a process that was sent a SIGKILL may still look alive.
const dying = 500 * time.Millisecond

// tryLock takes the lock unless a living process has it, and then returns what that says of itself.
func tryLock(f *os.File, running string, how int) (r Running, held bool, err error) {
	began := time.Now()
	for {
		switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); {
		case err == nil:
			return Running{}, false, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return Running{}, false, fmt.Errorf("lock %s: %w", lockPath(running), err)
		}
		r, err := readRunning(running)
		if err != nil || r.PID == 0 {
			return r, true, err
		}
		patience := lingering
		if alive(r.PID) {
			patience = 0
			if how == syscall.LOCK_EX {
				patience = dying // somebody wants to take over from a process that was just killed
			}
		}
		if time.Since(began) >= patience {
			return r, true, nil
		}
		pause := time.NewTimer(20 * time.Millisecond)
		<-pause.C
	}
}

// alive reports whether a process runs. One that was killed and not yet waited for by its parent does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // another system than Linux, or gone by now: then the lock will be, too
	}
	_, state, ok := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), ") ")
	return !ok || !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// StillRunning is FindRunning for a caller that wants to take over: it gives a process that was just killed a moment to be
// gone.
func StillRunning(p Paths) (Running, bool, error) {
	r, on, err := FindRunning(p)
	if err != nil || !on {
		return r, on, err
	}
	pause := time.NewTimer(dying)
	<-pause.C
	return FindRunning(p)
}

// WaitStopped returns when nobody serves the environment any more.
func WaitStopped(p Paths) error {
	f, err := os.OpenFile(lockPath(p.Running), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
}

func readRunning(path string) (Running, error) {
	var r Running
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}
