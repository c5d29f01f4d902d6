package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMain lets the test binary play a process that appends until it is killed or has appended enough.
func TestMain(m *testing.M) {
	if path := os.Getenv("FLOWEHR_TEST_AUDIT"); path != "" {
		os.Exit(appendProcess(path, os.Getenv("FLOWEHR_TEST_AUDIT_COUNT")))
	}
	os.Exit(m.Run())
}

// appendProcess prints the number of each record that Append returned.
func appendProcess(path, count string) int {
	limit, err := strconv.Atoi(count)
	if err != nil {
		return 2
	}
	l, err := Open(path)
	if err != nil {
		return 2
	}
	for range limit {
		r, err := l.Append(context.Background(), entry("process"))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(r.Seq)
	}
	return 0
}

func entry(who string) Entry {
	return Entry{Who: who, Action: "lake.preview", Subject: "silver.patient", Outcome: "ok", Detail: map[string]string{"b": "2", "a": "<1> & \u2028"}}
}

func open(t testing.TB) (*Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, path
}

func fill(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := range n {
		if _, err := l.Append(context.Background(), entry(fmt.Sprint("who", i))); err != nil {
			t.Fatal(err)
		}
	}
}

func verified(t testing.TB, path string, known ...Head) Result {
	t.Helper()
	r, err := Verify(path, known...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAppendRefusesIncompleteEntries(t *testing.T) {
	l, path := open(t)
	for name, e := range map[string]Entry{
		"no who":        {Action: "a", Outcome: "ok"},
		"no action":     {Who: "w", Outcome: "ok"},
		"odd outcome":   {Who: "w", Action: "a", Outcome: "fine"},
		"empty outcome": {Who: "w", Action: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := l.Append(t.Context(), e); !errors.Is(err, ErrIncomplete) {
				t.Errorf("got %v, want ErrIncomplete", err)
			}
		})
	}
	if r := verified(t, path); r.Records != 0 || r.Problem != nil {
		t.Errorf("got %+v, want an empty log", r)
	}
}

func TestVerifyFinds(t *testing.T) {
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n"))[:bytes.Count(b, []byte("\n"))] }
	join := func(l [][]byte) []byte { return bytes.Join(l, nil) }
	tests := []struct {
		name string
		edit func([]byte) []byte
		line int64
	}{
		{"change", func(b []byte) []byte { return bytes.Replace(b, []byte(`"who2"`), []byte(`"whoX"`), 1) }, 3},
		{"added space", func(b []byte) []byte { return bytes.Replace(b, []byte(`{"seq":2`), []byte(`{ "seq":2`), 1) }, 2},
		{"removal", func(b []byte) []byte { return join(slices.Delete(lines(b), 1, 2)) }, 2},
		{"insertion", func(b []byte) []byte { l := lines(b); return join(slices.Insert(l, 2, l[0])) }, 3},
		{"exchange", func(b []byte) []byte { l := lines(b); l[1], l[2] = l[2], l[1]; return join(l) }, 2},
		{"lost end", func(b []byte) []byte { return join(lines(b)[:3]) }, 4},
		{"lost last newline", func(b []byte) []byte { return b[:len(b)-1] }, 5},
		{"emptied", func([]byte) []byte { return nil }, 1},
		{"forged record at the end", func(b []byte) []byte {
			line, r, err := encode(Record{Seq: 6, Entry: entry("mallory"), Prev: "00"})
			if err != nil {
				panic(err)
			}
			_ = r
			return append(b, line...)
		}, 6},
		{"garbage", func(b []byte) []byte { return append(b, "hello\n"...) }, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, path := open(t)
			fill(t, l, 5)
			if r := verified(t, path); r.Problem != nil || r.Records != 5 {
				t.Fatalf("before: %+v", r)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, test.edit(b), 0o600); err != nil {
				t.Fatal(err)
			}
			r := verified(t, path)
			if r.Problem == nil || r.Problem.Line != test.line {
				t.Errorf("got %v, want a problem in line %d", r.Problem, test.line)
			}
		})
	}
}

func TestVerifyAgainstKnownHeadFindsARewrittenLog(t *testing.T) {
	l, path := open(t)
	fill(t, l, 3)
	seen := verified(t, path).Head
	fill(t, l, 2)
	if r := verified(t, path, seen); r.Problem != nil {
		t.Fatalf("grown log: %v", r.Problem)
	}
	forged, forgedPath := open(t)
	fill(t, forged, 6)
	if r := verified(t, forgedPath, seen); r.Problem == nil || r.Problem.Line != 3 {
		t.Errorf("written anew: got %v, want a problem in line 3", r.Problem)
	}
	shorter, shorterPath := open(t)
	fill(t, shorter, 1)
	if r := verified(t, shorterPath, seen); r.Problem == nil {
		t.Error("written anew and shorter: got no problem")
	}
}

func TestAppendRefusesBrokenLog(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"lost end":     func(path string) error { return os.Truncate(path, 0) },
		"lost head":    func(path string) error { return os.Remove(HeadPath(path)) },
		"damaged head": func(path string) error { return os.WriteFile(HeadPath(path), []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			l, path := open(t)
			fill(t, l, 3)
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), entry("w")); !errors.Is(err, ErrBroken) {
				t.Errorf("got %v, want ErrBroken", err)
			}
			if r := verified(t, path); r.Problem == nil {
				t.Error("Verify found nothing")
			}
		})
	}
}

func TestAppendRepairsTornLine(t *testing.T) {
	l, path := open(t)
	fill(t, l, 2)
	line, _, err := encode(Record{Seq: 3, Entry: entry("torn"), Prev: verified(t, path).Head.Hash})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(line); cut += 7 {
		if err := os.WriteFile(path, append(slices.Clone(whole), line[:cut]...), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := verified(t, path); r.Problem != nil {
			t.Fatalf("torn after %d bytes: %v", cut, r.Problem)
		}
		if got, err := Read(path, Filter{}); err != nil || len(got) != 2 {
			t.Fatalf("torn after %d bytes: read %d records, %v", cut, len(got), err)
		}
	}
	r, err := l.Append(t.Context(), entry("next"))
	if err != nil || r.Seq != 4 {
		t.Fatalf("got record %d, %v; want 4 after the repair", r.Seq, err)
	}
	got, err := Read(path, Filter{Action: "audit.repair"})
	if err != nil || len(got) != 1 || got[0].Seq != 3 || got[0].Entry.Detail["removed_bytes"] == "" {
		t.Errorf("repair is recorded as %+v, %v", got, err)
	}
	if r := verified(t, path); r.Problem != nil || r.Records != 4 {
		t.Errorf("got %+v", r)
	}
}

func TestCrashBeforeHeadIsWritten(t *testing.T) {
	l, path := open(t)
	fill(t, l, 2)
	head, err := os.ReadFile(HeadPath(path))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1)
	if err := os.WriteFile(HeadPath(path), head, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verified(t, path); r.Problem != nil {
		t.Fatal(r.Problem)
	}
	fill(t, l, 1)
	if r := verified(t, path); r.Problem != nil || r.Records != 4 {
		t.Errorf("got %+v", r)
	}
}

func TestSeveralProcesses(t *testing.T) {
	l, path := open(t)
	const processes, each = 4, 25
	var all sync.WaitGroup
	for range processes {
		cmd := process(t, path, each)
		all.Go(func() {
			if out, err := cmd.Output(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Go(func() {
		for range each {
			if _, err := l.Append(context.Background(), entry("we")); err != nil {
				t.Error(err)
			}
			if r, err := Verify(path); err != nil || r.Problem != nil {
				t.Errorf("while others write: %v, %v", r.Problem, err)
			}
		}
	})
	all.Wait()
	if r := verified(t, path); r.Problem != nil || r.Records != (processes+1)*each {
		t.Errorf("got %+v, want %d records", r, (processes+1)*each)
	}
}

func process(t *testing.T, path string, n int) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "FLOWEHR_TEST_AUDIT="+path, "FLOWEHR_TEST_AUDIT_COUNT="+strconv.Itoa(n))
	return cmd
}

func TestKilledProcessLosesNothingItReturned(t *testing.T) {
	l, path := open(t)
	var returned int64
	for round := range 10 {
		cmd := process(t, path, 1_000_000)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for i := 0; i < 3+5*round && in.Scan(); i++ {
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for in.Scan() { // what was printed before the kill
		}
		_ = cmd.Wait()
		r := verified(t, path)
		if r.Problem != nil {
			t.Fatalf("round %d: %v", round, r.Problem)
		}
		if r.Records < returned+int64(3+5*round) {
			t.Fatalf("round %d: %d records, but at least %d were returned", round, r.Records, returned+int64(3+5*round))
		}
		returned = r.Records
		fill(t, l, 1)
	}
}

func TestAppendWaitsOnlyAsLongAsItsContext(t *testing.T) {
	l, path := open(t)
	holder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close() }()
	if err := lock(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, entry("w")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

func TestReadFilters(t *testing.T) {
	l, path := open(t)
	start := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	step := 0
	l.now = func() time.Time { step++; return start.Add(time.Duration(step) * time.Minute) }
	for i := range 2000 { // more than one block
		e := entry([]string{"ada", "bob"}[i%2])
		e.Action = []string{"pipeline.run", "pipeline.cancel", "secret.set"}[i%3]
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	l.now = func() time.Time { return start.Add(-time.Hour) } // a clock that was set back
	fill(t, l, 1)
	for _, test := range []struct {
		name        string
		f           Filter
		count       int
		first, last int64
	}{
		{"all", Filter{}, 2001, 2001, 1},
		{"limit", Filter{Limit: 3}, 3, 2001, 1999},
		{"who", Filter{Who: "ada"}, 1000, 1999, 1},
		{"action", Filter{Action: "secret.set"}, 666, 1998, 3},
		{"family of actions", Filter{Action: "pipeline.*", Limit: 2}, 2, 2000, 1999},
		{"subject", Filter{Subject: "nothing"}, 0, 0, 0},
		{"from is inside", Filter{From: start.Add(1999 * time.Minute)}, 3, 2001, 1999},
		{"to is outside", Filter{To: start.Add(2 * time.Minute)}, 1, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Read(path, test.f)
			if err != nil || len(got) != test.count {
				t.Fatalf("got %d records, %v; want %d", len(got), err, test.count)
			}
			if test.count > 0 && (got[0].Seq != test.first || got[len(got)-1].Seq != test.last) {
				t.Errorf("from %d to %d, want %d to %d", got[0].Seq, got[len(got)-1].Seq, test.first, test.last)
			}
		})
	}
	if got, err := Read(filepath.Join(t.TempDir(), "none"), Filter{}); err != nil || got != nil {
		t.Errorf("no log: got %v, %v", got, err)
	}
}

// Any record comes back as it was, and any single changed byte of it is noticed.
func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Filter(func(s string) bool { return strings.ToValidUTF8(s, "") == s })
		r := Record{Seq: rapid.Int64Min(1).Draw(t, "seq"), At: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), 0).UTC(), Prev: genesis,
			Entry: Entry{Who: text.Draw(t, "who"), Action: text.Draw(t, "action"), Outcome: "ok", Detail: rapid.MapOfN(text, text, 1, 4).Draw(t, "detail")}}
		line, r, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		line = line[:len(line)-1]
		got, err := decode(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(r)
		if !bytes.Equal(a, b) {
			t.Fatalf("got %s, want %s", a, b)
		}
		at := rapid.IntRange(0, len(line)-1).Draw(t, "byte")
		line[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if got, err := decode(line); err == nil {
			t.Fatalf("changed byte %d was not noticed: %+v", at, got)
		}
	})
}

func FuzzVerify(f *testing.F) {
	var good []byte
	prev := genesis
	for seq := range int64(3) {
		line, r, err := encode(Record{Seq: seq + 1, Entry: entry("fuzz"), Prev: prev})
		if err != nil {
			f.Fatal(err)
		}
		good, prev = append(good, line...), r.Hash
	}
	f.Add(good)
	f.Add(good[:len(good)-10])
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := verify(bytes.NewReader(b), nil)
		if err != nil {
			t.Fatal(err)
		}
		if lines := int64(bytes.Count(b, []byte("\n"))); r.Problem == nil && r.Records != lines || r.Records > lines {
			t.Fatalf("%d records in %d lines, problem %v", r.Records, lines, r.Problem)
		}
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path, Filter{}); err == nil && r.Problem == nil && int64(len(got)) != r.Records {
			t.Fatalf("Read found %d records, Verify %d", len(got), r.Records)
		}
	})
}

// A full disk may let the line through and not the head, again and again. Afterwards the log must still be whole.
func TestHeadThatCannotBeWrittenDoesNotBreakTheLog(t *testing.T) {
	l, path := open(t)
	fill(t, l, 2)
	block := HeadPath(path) + ".new"
	if err := os.MkdirAll(filepath.Join(block, "full"), 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Append(t.Context(), entry("ada")); err == nil {
			t.Fatal("got nil; the head cannot be written")
		}
	}
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(t.Context(), entry("ada"))
	if err != nil || r.Seq != 4 {
		t.Errorf("got record %d, %v; want record 4, after the one whose head was missing", r.Seq, err)
	}
	if res := verified(t, path); res.Problem != nil || res.Records != 4 {
		t.Errorf("got %d records and %v, want 4 and nothing wrong", res.Records, res.Problem)
	}
}

func TestAppendRefusesLogThatWasMovedAway(t *testing.T) {
	for name, harm := range map[string]func(string) error{
		"moved":    func(path string) error { return os.Rename(path, path+".1") },
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, path := open(t)
			fill(t, l, 1)
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), entry("ada")); !errors.Is(err, ErrBroken) {
				t.Errorf("got %v, want ErrBroken: the record would be in no log", err)
			}
		})
	}
}
