// Package lake keeps the data lake: zones of Delta tables in a directory, written and read by SQL on one machine.
//
// Tables lie in {Dir}/{zone}/{table}/ as Parquet files with a Delta log, so that Spark and other Delta readers can use
// them as they are; spark_test.go is the witness, with Spark 4.0 and delta-spark 4.0. The log is package delta's;
// Parquet, CSV, JSON and SQL are DuckDB's, which a build without cgo does not have: there [Open] says so.
//
// The package does not know pipelines, people or permissions: who made a commit is what the caller says in [Commit].
//
// Two rules hold here. A write is either wholly in the table, as one version, or not at all, whatever happens to the
// process; and text that a user wrote runs only in a session that can see nothing but views of the tables that it
// names (see session.go).
package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr/internal/lake/delta"
)

// The errors that callers branch on.
var (
	// ErrNotFound means that a table does not exist, or its zone does not.
	ErrNotFound = errors.New("table not found")
	// ErrNoEngine means that this binary was built without the SQL engine.
	ErrNoEngine = errors.New("built without cgo: no lake engine; build with CGO_ENABLED=1 and a C compiler")
	// ErrRefused means that a statement is none that the lake runs, or names something that it may not see.
	ErrRefused = errors.New("statement refused")
	// ErrDiskFull means that the disk had no room. The table is as it was.
	ErrDiskFull = errors.New("disk is full")
)

// Options say where a lake is and what it may use.
type Options struct {
	Dir      string           // one directory below it for each zone
	Zones    []string         // made when they do not exist
	MemoryMB int              // of all sessions that write, together (see memory.go); 0 means 1024, the least is 256
	Threads  int              // of one session, as far as its memory allows; 0 means one for each core
	Temp     string           // for what does not fit into memory; empty means {Dir}/_tmp
	Now      func() time.Time // nil means time.Now
}

// Lake is an open data lake. Its methods may be called concurrently, and other processes may work on the same tables.
type Lake struct {
	dir  string
	temp string
	opts Options
	now  func() time.Time

	mu     sync.Mutex
	zones  map[string]bool
	snaps  map[Name]*delta.Snapshot
	closed bool

	memory  *memoryShares
	parquet *parquetLog
}

// Open makes the zones' directories and returns the lake. It fails with [ErrNoEngine] in a build without the engine.
func Open(o Options) (*Lake, error) {
	if !haveEngine {
		return nil, ErrNoEngine
	}
	if o.Dir == "" {
		return nil, errors.New("open lake: no directory given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	// The engine compares resolved paths with the directories that it may touch.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if o.Temp == "" {
		o.Temp = filepath.Join(dir, "_tmp")
	}
	temp, err := filepath.Abs(o.Temp)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if temp, err = filepath.EvalSymlinks(temp); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if o.MemoryMB <= 0 {
		o.MemoryMB = 1024
	}
	o.MemoryMB = max(o.MemoryMB, leastMemoryMB)
	if o.Threads <= 0 {
		o.Threads = runtime.NumCPU()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Lake{dir: dir, temp: temp, opts: o, now: o.Now, zones: map[string]bool{}, snaps: map[Name]*delta.Snapshot{}, memory: newMemory(o.MemoryMB)}
	l.parquet = &parquetLog{lake: l}
	l.sweep()
	for _, z := range o.Zones {
		if err := l.AddZone(z); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// tempKept is how long leftovers in the temporary directory may still belong to a running process.
const tempKept = 24 * time.Hour

// sweep removes what processes that died left in the temporary directory. What cannot be removed does no harm.
func (l *Lake) sweep() {
	entries, err := os.ReadDir(l.temp)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		ours := strings.HasPrefix(e.Name(), "session-") || strings.HasPrefix(e.Name(), "dropped-")
		if err == nil && ours && l.now().Sub(info.ModTime()) > tempKept {
			os.RemoveAll(filepath.Join(l.temp, e.Name()))
		}
	}
}

// Close ends the lake's own engine session. Running operations finish or fail by themselves.
func (l *Lake) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.parquet.close()
}

// AddZone makes a zone. Adding one that exists does nothing.
func (l *Lake) AddZone(zone string) error {
	if err := checkZone(zone); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(l.dir, zone), 0o750); err != nil {
		return fmt.Errorf("add zone: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.zones[zone] = true
	return nil
}

// RemoveZone takes an empty zone away. A zone that still has tables is refused: they are dropped one by one, by name.
func (l *Lake) RemoveZone(zone string) error {
	if err := checkZone(zone); err != nil {
		return err
	}
	names, err := l.names(zone)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("remove zone %s: it still has %d tables, the first is %s", zone, len(names), names[0])
	}
	if err := os.Remove(filepath.Join(l.dir, zone)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove zone: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.zones, zone)
	return nil
}

// Zones returns the zones in alphabetical order.
func (l *Lake) Zones() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.zones))
}

func (l *Lake) hasZone(zone string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.zones[zone]
}

// Dir returns the directory of a table, for engines that read the lake by themselves. It need not exist.
func (l *Lake) Dir(n Name) string { return filepath.Join(l.dir, n.Zone, n.Table) }

func (l *Lake) log(n Name) *delta.Log {
	return &delta.Log{Dir: l.Dir(n), Parquet: l.parquet, Now: l.now}
}

// names returns the tables of a zone.
func (l *Lake) names(zone string) ([]Name, error) {
	entries, err := os.ReadDir(filepath.Join(l.dir, zone))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Name
	for _, e := range entries {
		n := Name{Zone: zone, Table: e.Name()}
		if n.check() != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(l.Dir(n), "_delta_log")); err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// snapshot returns a table's newest snapshot, or [ErrNotFound].
func (l *Lake) snapshot(ctx context.Context, n Name) (*delta.Snapshot, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	known, prev := l.zones[n.Zone], l.snaps[n]
	l.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%s: %w: there is no zone %q", n, ErrNotFound, n.Zone)
	}
	s, err := l.log(n).Load(ctx, prev)
	if errors.Is(err, delta.ErrNotTable) {
		l.forget(n)
		return nil, fmt.Errorf("%s: %w", n, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.snaps[n] = s
	return s, nil
}

func (l *Lake) forget(n Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.snaps, n)
}
