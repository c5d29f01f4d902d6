package state_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/state"
)

// childEnv makes the test binary a process that locks the folder that it names and saves all the time.
const childEnv = "FLOWEHR_STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child holds the lock and saves, one line of output for each revision, until it is killed or its input ends.
func child(dir string) error {
	ctx := context.Background()
	s := store(dir)
	if _, err := s.Lock(ctx, "child"); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	st, err := s.Load(ctx)
	if err != nil {
		return err
	}
	fmt.Println(st.Revision)
	for rev := st.Revision; ; {
		select {
		case <-ended:
			return nil
		default:
		}
		if rev, err = s.Save(ctx, rev, put(fmt.Sprint("r", rev%40), int64(rev))); err != nil {
			return err
		}
		fmt.Println(rev)
	}
}

func store(dir string) *state.Store { return state.New(dir, "test-local", flowehr.TargetLocal) }

// put records a thing whose spec is n.
func put(name string, n int64) apply.Change {
	return apply.Change{Put: []flowehr.Record{{
		Resource: flowehr.Resource{Ref: flowehr.Ref{Kind: "thing", Name: name}, Layer: flowehr.LayerCore, Spec: json.RawMessage(fmt.Sprint(n))},
		Outputs:  map[string]string{"padding": strings.Repeat("x", 500)},
	}}}
}

func locked(t *testing.T, s *state.Store) func() error {
	t.Helper()
	unlock, err := s.Lock(t.Context(), "tester")
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// session saves n times under one lock and returns the last revision.
func session(t *testing.T, s *state.Store, n int) flowehr.Revision {
	t.Helper()
	unlock := locked(t, s)
	st, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rev := st.Revision
	for range n {
		if rev, err = s.Save(t.Context(), rev, put("a", int64(rev))); err != nil {
			t.Fatal(err)
		}
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestSaveAndLoad(t *testing.T) {
	s := store(filepath.Join(t.TempDir(), "not", "yet"))
	st, err := s.Load(t.Context())
	if err != nil || st.Revision != 0 || st.Environment != "test-local" || st.Target != flowehr.TargetLocal || len(st.Records) != 0 {
		t.Fatalf("got %+v, %v; want an empty state", st, err)
	}
	locked(t, s)
	for i := range flowehr.Revision(3) {
		rev, err := s.Save(t.Context(), i, put(fmt.Sprint("r", i), int64(i)))
		if err != nil || rev != i+1 {
			t.Fatalf("got revision %d, %v; want %d", rev, err, i+1)
		}
	}
	if _, err := s.Save(t.Context(), 3, apply.Change{Delete: []flowehr.Ref{{Kind: "thing", Name: "r1"}}}); err != nil {
		t.Fatal(err)
	}
	st, err = store(filepath.Dir(s.Path())).Load(t.Context())
	if err != nil || st.Revision != 4 || len(st.Records) != 2 || string(st.Records[flowehr.Ref{Kind: "thing", Name: "r2"}].Resource.Spec) != "2" {
		t.Errorf("got %+v, %v", st, err)
	}
	info, err := os.Stat(s.Path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file has mode %v, %v; want only the owner to read it", info.Mode(), err)
	}
}

func TestSaveRefuses(t *testing.T) {
	s := store(t.TempDir())
	if _, err := s.Save(t.Context(), 0, apply.Change{}); !errors.Is(err, state.ErrLockLost) {
		t.Errorf("without lock: got %v", err)
	}
	locked(t, s)
	_, err := s.Save(t.Context(), 5, put("a", 1))
	if stale, ok := errors.AsType[*apply.StaleError](err); !ok || stale.Base != 5 || stale.Now != 0 {
		t.Errorf("at another revision: got %v", err)
	}
	if st, _ := s.Load(t.Context()); st.Revision != 0 {
		t.Errorf("the refused save was made: %+v", st)
	}
}

func TestLoadRefusesAnotherEnvironment(t *testing.T) {
	dir := t.TempDir()
	session(t, store(dir), 1)
	if _, err := state.New(dir, "other", flowehr.TargetLocal).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to test-local") {
		t.Errorf("got %v", err)
	}
}

func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		says   string
	}{
		{"empty", func([]byte) []byte { return nil }, "the file is empty"},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, "not whole"},
		{"cut short", func(b []byte) []byte { return b[:len(b)/2] }, "not whole"},
		{"edited", func(b []byte) []byte { return bytes.Replace(b, []byte("xxx"), []byte("xyx"), 1) }, "checksum"},
		{"another file", func([]byte) []byte { return []byte("{}") }, "not a state file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store(t.TempDir())
			session(t, s, 3)
			session(t, s, 2)
			whole, err := os.ReadFile(s.Path())
			if err != nil {
				t.Fatal(err)
			}
			broken := c.damage(whole)
			if err := os.WriteFile(s.Path(), broken, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = s.Load(t.Context())
			damaged, ok := errors.AsType[*state.DamagedError](err)
			if !ok || !slices.Equal(damaged.Restore, []flowehr.Revision{4, 3}) {
				t.Fatalf("got %v, want damage with revisions 4 and 3 to go back to", err)
			}
			for _, want := range []string{c.says, s.Path(), "state restore 4", "state refresh", "nothing was changed"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			locked(t, s)
			if _, err := s.Save(t.Context(), 5, put("a", 1)); err == nil {
				t.Error("a save went over the damaged file")
			}
			st, err := s.Restore(t.Context(), 3)
			if err != nil || st.Revision <= 5 || string(st.Records[flowehr.Ref{Kind: "thing", Name: "a"}].Resource.Spec) != "2" {
				t.Errorf("restore: got %+v, %v; want the content of revision 3 as one after 5", st, err)
			}
			if again, err := s.Load(t.Context()); err != nil || again.Revision != st.Revision {
				t.Errorf("load after restore: %+v, %v", again, err)
			}
			aside, _ := filepath.Glob(s.Path() + ".damaged-*")
			if len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
			if kept, _ := os.ReadFile(aside[0]); !bytes.Equal(kept, broken) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

func TestAMissingStateIsNotAnEmptyOne(t *testing.T) {
	s := store(t.TempDir())
	session(t, s, 3)
	if err := os.Remove(s.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "the file is missing") {
		t.Errorf("got %v", err)
	}
	locked(t, s)
	if st, err := s.Restore(t.Context(), 2); err != nil || st.Revision != 4 {
		t.Errorf("restore: got revision %d, %v; want 4, later than the lost one", st.Revision, err)
	}
}

func TestResetSetsAsideTwiceUnderTwoNames(t *testing.T) {
	s := store(t.TempDir())
	s.Now = func() time.Time { return time.Unix(0, 0) }
	session(t, s, 2)
	locked(t, s)
	for n := 1; n <= 2; n++ {
		if err := os.WriteFile(s.Path(), []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := s.Reset(t.Context())
		if err != nil || st.Revision <= 2 || len(st.Records) != 0 {
			t.Fatalf("got %+v, %v; want an empty state at a later revision", st, err)
		}
		if aside, _ := filepath.Glob(s.Path() + ".damaged-*"); len(aside) != n {
			t.Errorf("set aside: %v, want %d", aside, n)
		}
	}
}

func TestANewerFileIsNotDamage(t *testing.T) {
	s := store(t.TempDir())
	if err := os.WriteFile(s.Path(), []byte(`{"flowehrState":2,"checksum":"","state":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context())
	if _, damaged := errors.AsType[*state.DamagedError](err); damaged || err == nil || !strings.Contains(err.Error(), "use the newer program") {
		t.Errorf("got %v", err)
	}
	locked(t, s)
	if _, err := s.Reset(t.Context()); err == nil {
		t.Error("a newer state was thrown away")
	}
}

func TestHistoryHasWhatEachSessionFound(t *testing.T) {
	s := store(t.TempDir())
	s.History = 2
	for _, saves := range []int{3, 2, 4, 1} { // revisions 3, 5, 9, 10
		session(t, s, saves)
	}
	if got := s.Revisions(); !slices.Equal(got, []flowehr.Revision{9, 5}) {
		t.Errorf("got %v, want 9 and 5", got)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	a, b := store(dir), store(dir)
	since := time.Date(2026, 11, 21, 20, 4, 0, 0, time.UTC)
	a.Now = func() time.Time { return since }
	if h, held, err := a.Holder(); held || err != nil {
		t.Errorf("before: %v, %t, %v", h, held, err)
	}
	unlock := locked(t, a)
	host, _ := os.Hostname()
	want := apply.Holder{Owner: "tester", Host: host, PID: os.Getpid(), Since: since}
	_, err := b.Lock(t.Context(), "other")
	if l, ok := errors.AsType[*apply.LockedError](err); !ok || l.Holder != want || !errors.Is(err, apply.ErrLocked) {
		t.Errorf("second lock: got %v, want one held by %+v", err, want)
	}
	if h, held, err := b.Holder(); !held || err != nil || h != want {
		t.Errorf("holder: got %+v, %t, %v", h, held, err)
	}
	if err := b.Unlock(false); !errors.Is(err, apply.ErrLocked) {
		t.Errorf("unlock of a living holder: got %v, want a refusal", err)
	}
	if err := errors.Join(unlock(), unlock()); err != nil {
		t.Errorf("unlock: %v", err)
	}
	if err := b.Unlock(false); err != nil {
		t.Errorf("unlock of nothing: %v", err)
	}
	locked(t, b)
}

func TestForcedUnlockStopsTheHolder(t *testing.T) {
	dir := t.TempDir()
	a, b := store(dir), store(dir)
	unlock := locked(t, a)
	if err := b.Unlock(true); err != nil {
		t.Fatal(err)
	}
	locked(t, b)
	if _, err := a.Save(t.Context(), 0, put("a", 1)); !errors.Is(err, state.ErrLockLost) {
		t.Errorf("save of the former holder: got %v", err)
	}
	if err := unlock(); err != nil {
		t.Errorf("unlock of the former holder: %v", err)
	}
	if _, err := b.Save(t.Context(), 0, put("b", 1)); err != nil {
		t.Errorf("save of the new holder: %v", err)
	}
}

// TestKill kills a process that saves as fast as it can. Whenever it dies, its lock is free, the state is whole and has at
// least what the process had reported.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		cmd.Stderr = os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var reported flowehr.Revision
		// Reading more or fewer lines, and then a part of the next save's time, makes the moments differ.
		for range 1 + round*3 {
			if !lines.Scan() {
				t.Fatal("the child ended by itself")
			}
			if _, err := fmt.Sscan(lines.Text(), &reported); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 {
			_, err := store(dir).Lock(t.Context(), "parent")
			if l, ok := errors.AsType[*apply.LockedError](err); !ok || l.Holder.Owner != "child" || l.Holder.PID != cmd.Process.Pid {
				t.Errorf("while the child lives: got %v, want its lock", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		_ = stdin.Close()
		s := store(dir)
		st, err := s.Load(t.Context())
		if err != nil || st.Revision < reported {
			t.Fatalf("round %d: got revision %d, %v; want at least %d", round, st.Revision, err, reported)
		}
		if _, held, err := s.Holder(); held || err != nil {
			t.Fatalf("round %d: the lock outlived its holder: %t, %v", round, held, err)
		}
		if len(s.Revisions()) == 0 && st.Revision > 1 {
			t.Fatalf("round %d: no revision to go back to", round)
		}
		session(t, s, 1)
	}
}

func FuzzLoad(f *testing.F) {
	s := store(f.TempDir())
	if _, err := s.Lock(f.Context(), "fuzz"); err != nil {
		f.Fatal(err)
	}
	if _, err := s.Save(f.Context(), 0, put("a", 1)); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(s.Path())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"flowehrState":1,"checksum":"sha256:","state":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := store(t.TempDir())
		if err := os.WriteFile(s.Path(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := s.Load(t.Context())
		if err == nil && (st.Environment != "test-local" || st.Records == nil) {
			t.Errorf("accepted %q as %+v", b, st)
		}
	})
}
