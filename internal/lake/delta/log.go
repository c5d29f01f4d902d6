package delta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkpointEvery is how many commits lie between two checkpoints. Opening a table reads at most so many small files.
const checkpointEvery = 10

// txnKept is how long a checkpoint remembers an idempotency key. Nobody repeats a run after so long.
const txnKept = 90 * 24 * time.Hour

// commitTries bounds how often a writer looks again after it lost a race. Each loss means that somebody else won, so
// this many losses in a row need that many commits by others during one short commit of ours.
const commitTries = 200

// Parquet reads and writes checkpoint files. A checkpoint's row is an [Action] in JSON form.
type Parquet interface {
	// ReadActions calls each with every row of a checkpoint file as a JSON object. Absent structs may be null.
	ReadActions(ctx context.Context, path string, each func(line []byte) error) error
	// WriteActions turns a file of one JSON object a line into a checkpoint file.
	WriteActions(ctx context.Context, ndjson, path string) error
}

// Log is the transaction log of the table in Dir. It holds no state, so that any number of Logs in any number of
// processes may work on the same table.
type Log struct {
	Dir     string
	Parquet Parquet
	Now     func() time.Time
}

func (l *Log) logDir() string { return filepath.Join(l.Dir, "_delta_log") }

func (l *Log) commitPath(v int64) string {
	return filepath.Join(l.logDir(), fmt.Sprintf("%020d.json", v))
}

// Load returns the newest snapshot. When prev is an earlier snapshot of the same table only later commits are read.
func (l *Log) Load(ctx context.Context, prev *Snapshot) (*Snapshot, error) {
	if prev != nil {
		if s, err := l.advance(prev); err == nil {
			return s, nil
		}
		// The earlier snapshot is of no use, for instance because the table was replaced: read it afresh.
	}
	list, err := l.list()
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Version: -1, files: map[string]Add{}, Txns: map[string]Txn{}}
	if cp, ok := list.newest(); ok {
		if err := l.readCheckpoint(ctx, cp, s); err != nil {
			return nil, fmt.Errorf("checkpoint %d: %w", cp.version, err)
		}
		s.Version = cp.version
	}
	for _, v := range list.commits {
		if v <= s.Version {
			continue
		}
		if v != s.Version+1 {
			return nil, fmt.Errorf("log of %s has a hole: version %d is missing", filepath.Base(l.Dir), s.Version+1)
		}
		if err := l.replay(s, v); err != nil {
			return nil, err
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// advance replays the commits after prev.
func (l *Log) advance(prev *Snapshot) (*Snapshot, error) {
	if prev.stamp == nil {
		return nil, fs.ErrNotExist
	}
	stamp, err := os.Stat(l.commitPath(prev.Version))
	if err != nil || !os.SameFile(stamp, prev.stamp) {
		return nil, fs.ErrNotExist
	}
	s := prev
	for {
		if _, err := os.Stat(l.commitPath(s.Version + 1)); err != nil {
			break
		}
		if s == prev {
			s = prev.clone()
		}
		if err := l.replay(s, s.Version+1); err != nil {
			return nil, err
		}
	}
	if s == prev {
		return s, nil
	}
	return s, s.check()
}

func (l *Log) replay(s *Snapshot, v int64) error {
	f, err := os.Open(l.commitPath(v))
	if err != nil {
		return err
	}
	defer f.Close()
	stamp, err := f.Stat()
	if err != nil {
		return err
	}
	actions, err := l.ReadCommit(v)
	if err != nil {
		return err
	}
	s.apply(actions)
	s.Version, s.stamp = v, stamp
	return nil
}

// ReadCommit returns the actions of one version.
func (l *Log) ReadCommit(v int64) ([]Action, error) {
	b, err := os.ReadFile(l.commitPath(v))
	if err != nil {
		return nil, err
	}
	actions, err := DecodeCommit(b)
	if err != nil {
		return nil, fmt.Errorf("commit %d of %s: %w", v, filepath.Base(l.Dir), err)
	}
	return actions, nil
}

// listing is what a log directory holds.
type listing struct {
	commits     []int64
	checkpoints []checkpoint
}

type checkpoint struct {
	version int64
	of      int
	parts   []string
}

func (l *Log) list() (listing, error) {
	entries, err := os.ReadDir(l.logDir())
	if errors.Is(err, fs.ErrNotExist) {
		return listing{}, ErrNotTable
	}
	if err != nil {
		return listing{}, err
	}
	var out listing
	for _, e := range entries {
		parts := strings.Split(e.Name(), ".")
		v, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil || len(parts[0]) != 20 || v < 0 {
			continue
		}
		switch {
		case len(parts) == 2 && parts[1] == "json":
			out.commits = append(out.commits, v)
		case len(parts) == 3 && parts[1] == "checkpoint" && parts[2] == "parquet":
			out.checkpoints = append(out.checkpoints, checkpoint{version: v, of: 1, parts: []string{e.Name()}})
		case len(parts) == 5 && parts[1] == "checkpoint" && parts[4] == "parquet":
			out.addPart(v, parts[3], e.Name())
		}
	}
	if len(out.commits) == 0 && len(out.checkpoints) == 0 {
		return listing{}, ErrNotTable
	}
	slices.Sort(out.commits)
	return out, nil
}

func (l *listing) addPart(v int64, of, name string) {
	n, err := strconv.Atoi(of)
	if err != nil {
		return
	}
	for i := range l.checkpoints {
		if c := &l.checkpoints[i]; c.version == v && c.of == n {
			c.parts = append(c.parts, name)
			return
		}
	}
	l.checkpoints = append(l.checkpoints, checkpoint{version: v, of: n, parts: []string{name}})
}

// newest returns the last checkpoint that is complete.
func (l *listing) newest() (checkpoint, bool) {
	best := checkpoint{version: -1}
	for _, c := range l.checkpoints {
		if c.version > best.version && len(c.parts) == c.of {
			best = c
		}
	}
	return best, best.version >= 0
}

// Commit writes version v, or returns [ErrConflict] when it exists. After an error nothing of it is visible.
func (l *Log) Commit(v int64, actions []Action) error {
	b, err := EncodeCommit(actions)
	if err != nil {
		return err
	}
	tmp, err := writeTemp(l.logDir(), b)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, l.commitPath(v)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrConflict
		}
		return err
	}
	return syncDir(l.logDir())
}

// Transact commits what build makes of the newest snapshot, and again of a newer one while others win the race. build
// gets nil when the table does not exist and may refuse with an error. No actions means nothing to commit; then the
// returned version is the snapshot's.
func (l *Log) Transact(ctx context.Context, build func(*Snapshot) ([]Action, error)) (int64, error) {
	var snap *Snapshot
	for range commitTries {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		next, err := l.Load(ctx, snap)
		if err != nil && !errors.Is(err, ErrNotTable) {
			return 0, err
		}
		snap = next
		actions, err := build(snap)
		if err != nil {
			return 0, err
		}
		v := int64(0)
		if snap != nil {
			v = snap.Version + 1
		}
		if len(actions) == 0 {
			return v - 1, nil
		}
		for i := range actions {
			if t := actions[i].Txn; t != nil {
				t.Version = v
			}
		}
		err = l.Commit(v, actions)
		if errors.Is(err, ErrConflict) {
			continue
		}
		return v, err
	}
	return 0, fmt.Errorf("commit to %s: other writers won %d times in a row: %w", filepath.Base(l.Dir), commitTries, ErrConflict)
}

// Entry is one line of a table's history.
type Entry struct {
	Version int64
	Info    CommitInfo
}

// History returns the commits whose files are still there, newest first.
func (l *Log) History(limit int) ([]Entry, error) {
	list, err := l.list()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, v := range slices.Backward(list.commits) {
		if limit > 0 && len(out) == limit {
			break
		}
		actions, err := l.ReadCommit(v)
		if err != nil {
			return nil, err
		}
		e := Entry{Version: v}
		for _, a := range actions {
			if a.CommitInfo != nil {
				e.Info = *a.CommitInfo
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// writeTemp writes b to a new file in dir and waits until it is on the disk.
func writeTemp(dir string, b []byte) (string, error) {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return "", err
	}
	name := f.Name()
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(name)
		return "", err
	}
	return name, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lastCheckpoint is the content of the file _last_checkpoint, a hint for readers that do not list the directory.
type lastCheckpoint struct {
	Version int64 `json:"version"`
	Size    int   `json:"size"`
}

func encodeLast(c lastCheckpoint) []byte {
	b, _ := json.Marshal(c) // Two numbers always have a JSON form.
	return b
}
