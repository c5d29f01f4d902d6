package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flowehr/flowehr/internal/lake/delta"
)

// Column is a column of a table. Type is a Delta type: string, byte, short, integer, long, float, double, boolean,
// date, timestamp (an instant, UTC), timestamp_ntz, binary, decimal(p,s); a nested type of another writer is its JSON.
type Column struct {
	Name     string
	Type     string
	Nullable bool
	Comment  string
}

// Table describes a table at its newest version.
type Table struct {
	Name    Name
	Version int64
	Columns []Column
	Rows    int64 // -1 when another writer did not record it
	Bytes   int64
	Files   int
	Updated time.Time
	Last    Commit
	Comment string
}

// Commit says who writes and why. Key, when not empty, makes the write idempotent: a second write with the same key to
// the same table changes nothing and returns what the first one did.
type Commit struct {
	Key       string
	Operation string
	Pipeline  string
	RunID     string
	By        string
}

// Version is one entry of a table's history.
type Version struct {
	Version int64
	At      time.Time
	Commit  Commit
	Rows    int64 // written by this commit
	Bytes   int64
	Files   int
}

// List returns all tables of all zones, by name. A table that cannot be read ends it with an error that names it.
func (l *Lake) List(ctx context.Context) ([]Table, error) {
	var out []Table
	for _, z := range l.Zones() {
		names, err := l.names(z)
		if err != nil {
			return nil, fmt.Errorf("list zone %s: %w", z, err)
		}
		for _, n := range names {
			t, err := l.Table(ctx, n)
			if errors.Is(err, ErrNotFound) {
				continue // Dropped meanwhile, or not yet committed for the first time.
			}
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// Table describes one table. The error is [ErrNotFound] when there is none of that name.
func (l *Lake) Table(ctx context.Context, n Name) (Table, error) {
	s, err := l.snapshot(ctx, n)
	if err != nil {
		return Table{}, err
	}
	t := Table{Name: n, Version: s.Version, Columns: columns(s.Schema), Bytes: s.Bytes(), Files: len(s.Files()), Comment: s.Metadata.Description}
	rows, exact := s.Rows()
	if t.Rows = rows; !exact {
		t.Rows = -1
	}
	h, err := l.log(n).History(1)
	if err != nil {
		return Table{}, fmt.Errorf("%s: %w", n, err)
	}
	if len(h) == 1 {
		v := version(h[0])
		t.Updated, t.Last = v.At, v.Commit
	}
	return t, nil
}

// History returns a table's commits, newest first.
func (l *Lake) History(ctx context.Context, n Name) ([]Version, error) {
	if _, err := l.snapshot(ctx, n); err != nil {
		return nil, err
	}
	entries, err := l.log(n).History(0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	out := make([]Version, len(entries))
	for i, e := range entries {
		out[i] = version(e)
	}
	return out, nil
}

// Files returns the data files of a table's newest version, as absolute paths.
func (l *Lake) Files(ctx context.Context, n Name) ([]string, error) {
	s, err := l.snapshot(ctx, n)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range s.Files() {
		p, err := f.Local(l.Dir(n))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// Drop takes a table away, with its history and its files. It leaves the lake in one step: a reader sees the whole
// table or none. The error is [ErrNotFound] when there is none of that name, unless a drop with the same key took it.
// The log goes with the table, so who dropped it is the caller's to record elsewhere.
func (l *Lake) Drop(ctx context.Context, n Name, c Commit) error {
	_, err := l.snapshot(ctx, n)
	if errors.Is(err, ErrNotFound) && l.dropped(n, c.Key) {
		return nil
	}
	if err != nil && !errors.Is(err, delta.ErrUnsupported) {
		return err
	}
	if err := l.markDropped(n, c.Key); err != nil {
		return fmt.Errorf("drop %s: %w", n, err)
	}
	trash, err := os.MkdirTemp(l.temp, "dropped-")
	if err != nil {
		return fmt.Errorf("drop %s: %w", n, err)
	}
	if err := os.Rename(l.Dir(n), filepath.Join(trash, n.Table)); err != nil {
		os.Remove(trash)
		return fmt.Errorf("drop %s: %w", n, err)
	}
	l.forget(n)
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("drop %s: the table is gone, its files not all: %w", n, err)
	}
	return nil
}

// dropMark is the file that remembers a drop's key, as the table's own log cannot.
func (l *Lake) dropMark(n Name, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(l.dir, "_dropped", n.String(), hex.EncodeToString(sum[:]))
}

func (l *Lake) dropped(n Name, key string) bool {
	if key == "" || n.check() != nil {
		return false
	}
	_, err := os.Stat(l.dropMark(n, key))
	return err == nil
}

func (l *Lake) markDropped(n Name, key string) error {
	if key == "" {
		return nil
	}
	path := l.dropMark(n, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return diskError(err)
	}
	return diskError(os.WriteFile(path, nil, 0o600))
}

// Vacuum deletes what no version from the newest back to keep ago needs: files of overwritten versions and leftovers
// of writers that died. keep must exceed the longest write and the longest read. It returns how many files went.
func (l *Lake) Vacuum(ctx context.Context, n Name, keep time.Duration) (int, error) {
	if _, err := l.snapshot(ctx, n); err != nil {
		return 0, err
	}
	gone, err := l.log(n).Vacuum(ctx, keep)
	if err != nil {
		return len(gone), fmt.Errorf("vacuum %s: %w", n, err)
	}
	return len(gone), nil
}

// LeastKept is the least that [Lake.VacuumAll] keeps: no write or read lasts so long, and people who look for what went
// wrong last week still find it.
const LeastKept = 7 * 24 * time.Hour

// VacuumAll does the same for every table of every zone, and may run beside all other work. A keep below [LeastKept]
// is refused. A table that cannot be cleaned does not stop the others; the error names each of them.
func (l *Lake) VacuumAll(ctx context.Context, keep time.Duration) (int, error) {
	if keep < LeastKept {
		return 0, fmt.Errorf("vacuum: want to keep at least %s, not %s", LeastKept, keep)
	}
	gone := 0
	var errs []error
	for _, z := range l.Zones() {
		names, err := l.names(z)
		if err != nil {
			errs = append(errs, fmt.Errorf("vacuum zone %s: %w", z, err))
			continue
		}
		for _, n := range names {
			if ctx.Err() != nil {
				return gone, context.Cause(ctx)
			}
			went, err := l.Vacuum(ctx, n, keep)
			gone += went
			if err != nil && !errors.Is(err, ErrNotFound) { // Dropped meanwhile.
				errs = append(errs, err)
			}
		}
	}
	return gone, errors.Join(errs...)
}

func columns(s delta.Schema) []Column {
	out := make([]Column, len(s.Fields))
	for i, f := range s.Fields {
		out[i] = Column{Name: f.Name, Type: f.Type, Nullable: f.Nullable, Comment: f.Comment}
	}
	return out
}

func version(e delta.Entry) Version {
	i := e.Info
	return Version{
		Version: e.Version,
		At:      time.UnixMilli(i.Timestamp).UTC(),
		Commit:  Commit{Key: i.Key, Operation: i.Operation, Pipeline: i.Pipeline, RunID: i.RunID, By: i.UserName},
		Rows:    i.Metric("numOutputRows"),
		Bytes:   i.Metric("numOutputBytes"),
		Files:   int(i.Metric("numFiles")),
	}
}
