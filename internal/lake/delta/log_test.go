package delta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// jsonCheckpoints keeps checkpoints as the JSON lines that they are made of, so that the log is tested without an
// engine.
type jsonCheckpoints struct{}

func (jsonCheckpoints) ReadActions(_ context.Context, path string, each func([]byte) error) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if err := each([]byte(line)); err != nil {
			return err
		}
	}
	return nil
}

func (jsonCheckpoints) WriteActions(_ context.Context, ndjson, path string) error {
	b, err := os.ReadFile(ndjson)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func newLog(tb testing.TB, dir string) *Log {
	tb.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "_delta_log"), 0o700); err != nil {
		tb.Fatal(err)
	}
	return &Log{Dir: dir, Parquet: jsonCheckpoints{}, Now: time.Now}
}

func begin() []Action {
	return []Action{
		{Protocol: &Protocol{MinReaderVersion: 1, MinWriterVersion: 2}},
		{Metadata: &Metadata{ID: "x", Format: Format{Provider: "parquet"}, SchemaString: Schema{Fields: []Field{{Name: "a", Type: "long", Nullable: true}}}.String()}},
	}
}

func paths(s *Snapshot) map[string]bool {
	out := map[string]bool{}
	for _, f := range s.Files() {
		out[f.Path] = true
	}
	return out
}

// Any sequence of commits and checkpoints, read afresh or on from an earlier snapshot, gives the files that a set gives.
func TestReplayAgreesWithModel(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := os.MkdirAll(filepath.Join(dir, "_delta_log"), 0o700); err != nil {
			t.Fatal(err)
		}
		l := &Log{Dir: dir, Parquet: jsonCheckpoints{}, Now: time.Now}
		ctx := context.Background()
		model, keys := map[string]bool{}, map[string]int64{}
		var held *Snapshot
		for i := range rapid.IntRange(1, 8).Draw(t, "commits") {
			actions := []Action{}
			if i == 0 {
				actions = begin()
			}
			for range rapid.IntRange(0, 3).Draw(t, "actions") {
				p := fmt.Sprintf("f%d", rapid.IntRange(0, 9).Draw(t, "file"))
				switch {
				case model[p]:
					delete(model, p)
					actions = append(actions, Action{Remove: &Remove{Path: p, DataChange: true}})
				default:
					model[p] = true
					actions = append(actions, Action{Add: &Add{Path: p, Size: 1, PartitionValues: map[string]*string{}}})
				}
			}
			key := fmt.Sprintf("k%d", rapid.IntRange(0, 5).Draw(t, "key"))
			keys[key] = int64(i)
			actions = append(actions, Action{Txn: &Txn{AppID: key, Version: int64(i)}})
			if err := l.Commit(int64(i), actions); err != nil {
				t.Fatal(err)
			}
			if err := l.Commit(int64(i), actions); !errors.Is(err, ErrConflict) {
				t.Fatalf("a version was written twice: %v", err)
			}
			s, err := l.Load(ctx, held)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "hold") {
				held = s
			}
			if rapid.IntRange(0, 3).Draw(t, "checkpoint") == 0 {
				if err := l.Checkpoint(ctx, s); err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "clean") { // Readers need no commit before a checkpoint.
					os.Remove(l.commitPath(0))
				}
			}
		}
		for _, prev := range []*Snapshot{nil, held} {
			s, err := l.Load(ctx, prev)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(model, paths(s)); d != "" {
				t.Fatalf("files (-model +snapshot):\n%s", d)
			}
			for k, v := range keys {
				if s.Txns[k].Version != v {
					t.Fatalf("key %s at %d, want %d", k, s.Txns[k].Version, v)
				}
			}
		}
	})
}

func TestConcurrentAppendersLoseNothing(t *testing.T) {
	dir := t.TempDir()
	newLog(t, dir)
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			l := &Log{Dir: dir, Parquet: jsonCheckpoints{}, Now: time.Now}
			for i := range each {
				_, err := l.Transact(context.Background(), func(s *Snapshot) ([]Action, error) {
					add := Action{Add: &Add{Path: fmt.Sprintf("w%d-%d", w, i)}}
					if s == nil {
						return append(begin(), add), nil
					}
					return []Action{add}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, err := newLog(t, dir).Load(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Files()) != writers*each || s.Version != writers*each-1 {
		t.Errorf("%d files at version %d, want %d", len(s.Files()), s.Version, writers*each)
	}
}

func TestLoadRefusesByName(t *testing.T) {
	for name, tc := range map[string]struct {
		actions []Action
		want    string
	}{
		"newer reader":     {[]Action{{Protocol: &Protocol{MinReaderVersion: 4, MinWriterVersion: 2}}}, "reader version 4"},
		"unknown feature":  {[]Action{{Protocol: &Protocol{MinReaderVersion: 3, MinWriterVersion: 7, ReaderFeatures: []string{"typeWidening"}}}}, "typeWidening"},
		"column mapping":   {[]Action{{Metadata: &Metadata{ID: "x", SchemaString: "{}", Configuration: map[string]string{"delta.columnMapping.mode": "name"}}}}, "column mapping"},
		"deletion vector":  {[]Action{{Add: &Add{Path: "f", DeletionVector: json.RawMessage(`{"storageType":"u"}`)}}}, "deletion vector"},
		"other data files": {[]Action{{Metadata: &Metadata{ID: "x", SchemaString: "{}", Format: Format{Provider: "orc"}}}}, "orc"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, t.TempDir())
			if err := l.Commit(0, append(begin(), tc.actions...)); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Load(context.Background(), nil); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %v that names %q", err, ErrUnsupported, tc.want)
			}
		})
	}
}

func TestWritableRefusesByName(t *testing.T) {
	for name, tc := range map[string]struct {
		s       Snapshot
		removes bool
		want    string
	}{
		"newer writer": {Snapshot{Protocol: Protocol{MinWriterVersion: 7, WriterFeatures: []string{"rowTracking"}}}, false, "rowTracking"},
		"partitioned":  {Snapshot{Metadata: Metadata{PartitionColumns: []string{"day"}}}, false, "day"},
		"append-only":  {Snapshot{Metadata: Metadata{Configuration: map[string]string{"delta.appendOnly": "true"}}}, true, "append-only"},
		"invariant":    {Snapshot{Schema: Schema{Fields: []Field{{Name: "a", Metadata: map[string]json.RawMessage{"delta.invariants": nil}}}}}, false, "invariant"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.s.Writable(tc.removes); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one that names %q", err, tc.want)
			}
		})
	}
}

func TestLocalRefusesPathsOutside(t *testing.T) {
	for _, p := range []string{"../x", "/etc/passwd", "a/../../x", "file:/etc/passwd", "s3://b/x", "%2e%2e/x", "%zz", ""} {
		if got, err := (Add{Path: p}).Local("/lake/t"); err == nil {
			t.Errorf("%q became %q", p, got)
		}
	}
	if got, err := (Add{Path: "a%20b/c.parquet"}).Local("/t"); err != nil || got != filepath.FromSlash("/t/a b/c.parquet") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLoadNamesAHole(t *testing.T) {
	l := newLog(t, t.TempDir())
	for v := range 3 {
		if err := l.Commit(int64(v), begin()); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(l.commitPath(1))
	if _, err := l.Load(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "version 1 is missing") {
		t.Errorf("error = %v", err)
	}
}

func TestReplacedTableIsReadAfresh(t *testing.T) {
	dir := t.TempDir()
	l := newLog(t, dir)
	if err := l.Commit(0, append(begin(), Action{Add: &Add{Path: "old"}})); err != nil {
		t.Fatal(err)
	}
	old, err := l.Load(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	os.Rename(filepath.Join(dir, "_delta_log"), filepath.Join(dir, "gone"))
	newLog(t, dir)
	if err := l.Commit(0, append(begin(), Action{Add: &Add{Path: "new"}})); err != nil {
		t.Fatal(err)
	}
	s, err := l.Load(context.Background(), old)
	if err != nil || !paths(s)["new"] || paths(s)["old"] {
		t.Errorf("snapshot = %v, %v", s, err)
	}
}

func FuzzLog(f *testing.F) {
	b, err := EncodeCommit(append(begin(), Action{Add: &Add{Path: "a", Stats: `{"numRecords":1}`}}, Action{Remove: &Remove{Path: "b"}}, Action{Txn: &Txn{AppID: "k"}},
		Action{CommitInfo: &CommitInfo{Timestamp: 1, OperationMetrics: map[string]string{"numFiles": "1"}}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"commitInfo":{"timestamp":"1","operationMetrics":{"numFiles":1,"files":["a"]}}}`))
	f.Add([]byte(`{"add":{"path":"a","deletionVector":{"storageType":"u"}}}` + "\n\n{\"unknown\":1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		actions, err := DecodeCommit(b)
		if err != nil {
			return
		}
		s := &Snapshot{files: map[string]Add{}, Txns: map[string]Txn{}}
		s.apply(actions)
		if s.check() == nil {
			if again, err := ParseSchema(s.Schema.String()); err != nil || !again.Same(s.Schema) {
				t.Errorf("schema %q does not survive: %v", s.Schema.String(), err)
			}
		}
		for _, file := range s.Files() {
			if p, err := file.Local("/t"); err == nil && !strings.HasPrefix(p, "/t/") {
				t.Errorf("%q leads to %q", file.Path, p)
			}
		}
		out, err := EncodeCommit(actions)
		if err != nil {
			return
		}
		back, err := DecodeCommit(out)
		if err != nil {
			t.Fatalf("own encoding is refused: %v\n%s", err, out)
		}
		again, err := EncodeCommit(back)
		if err != nil || string(again) != string(out) {
			t.Errorf("encoding is not stable:\n%s\n%s", out, again)
		}
	})
}
