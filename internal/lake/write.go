package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr/internal/lake/delta"
)

// Mode says what becomes of the rows that a table has.
type Mode int

// The modes.
const (
	Append    Mode = iota // they stay; the new rows' columns must fit the table's
	Overwrite             // they go, and with them columns that the new rows do not have
)

// Written tells what a write did.
type Written struct {
	Version int64
	Rows    int64
	Bytes   int64
	// Read is the number of records that were read, and Skipped how many of them were put aside as unreadable.
	Read, Skipped int64
	// Quarantine is the file that the skipped records are in, when there are any.
	Quarantine string
	// Repeated tells that the commit's key was known: the numbers are those of the first write.
	Repeated bool
}

// staged is data files that no version refers to yet.
type staged struct {
	dir    string
	made   bool // the directory did not exist before
	schema delta.Schema
	adds   []delta.Add
	rows   int64
	bytes  int64
}

// discard removes the files; the table never knew them.
func (st *staged) discard() {
	for _, a := range st.adds {
		if p, err := a.Local(st.dir); err == nil {
			os.Remove(p)
		}
	}
	if st.made {
		os.Remove(st.dir) // Fails when somebody else has made a table there: then it is theirs.
	}
}

// engineInfo is what other readers of the log see as our name.
const engineInfo = "flowehr"

// repeated looks for an earlier write with the same key.
func (l *Lake) repeated(ctx context.Context, n Name, key string) (Written, bool, error) {
	if key == "" {
		return Written{}, false, nil
	}
	s, err := l.snapshot(ctx, n)
	if errors.Is(err, ErrNotFound) && l.hasZone(n.Zone) {
		return Written{}, false, nil
	}
	if err != nil {
		return Written{}, false, err
	}
	t, ok := s.Txns[key]
	if !ok {
		return Written{}, false, nil
	}
	w, err := l.firstResult(n, t)
	return w, err == nil, err
}

// firstResult reads what the commit that set t did. Without its file, which a clean-up may have taken, the version is
// all that is known.
func (l *Lake) firstResult(n Name, t delta.Txn) (Written, error) {
	w := Written{Version: t.Version, Repeated: true}
	actions, err := l.log(n).ReadCommit(t.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return Written{}, err
	}
	for _, a := range actions {
		if i := a.CommitInfo; i != nil {
			w.Rows, w.Bytes = i.Metric("numOutputRows"), i.Metric("numOutputBytes")
			w.Read, w.Skipped = i.Metric("flowehrRead"), i.Metric("flowehrSkipped")
			if n := i.Metric("numDeletedRows"); n > 0 { // What a DELETE reports, not the rows that it rewrote.
				w.Rows = n
			}
		}
	}
	return w, nil
}

// stage runs query and writes its rows to new files of table n. fit, when not nil, is the schema that the rows must
// have; columns are matched by name.
func (l *Lake) stage(ctx context.Context, s *session, n Name, query string, fit *delta.Schema) (*staged, error) {
	cols, err := s.describe(ctx, query)
	if err != nil {
		return nil, err
	}
	list, schema, err := project(cols, fit)
	if err != nil {
		return nil, err
	}
	st := &staged{dir: l.Dir(n), schema: schema}
	if _, err := os.Stat(st.dir); errors.Is(err, fs.ErrNotExist) {
		st.made = true
	}
	if err := os.MkdirAll(st.dir, 0o750); err != nil {
		return nil, diskError(err)
	}
	base := "part-00000-" + uuid.NewString() + "-c000.snappy.parquet"
	path := filepath.Join(st.dir, base)
	st.adds = []delta.Add{{Path: base}}
	text := "COPY (SELECT " + list + " FROM (" + query + ")) TO " + quoteText(path) + " (FORMAT parquet, COMPRESSION snappy, RETURN_STATS)"
	rows, err := s.conn.QueryContext(ctx, text)
	if err != nil {
		st.discard()
		return nil, engineError(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var file string
		var footer int64
		var stats, keys any
		if err := rows.Scan(&file, &st.rows, &st.bytes, &footer, &stats, &keys); err != nil {
			st.discard()
			return nil, err
		}
		st.adds[0].Stats = fileStats(st.rows, stats, schema)
	}
	if err := rows.Err(); err != nil {
		st.discard()
		return nil, engineError(ctx, err)
	}
	if err := syncFile(path); err != nil {
		st.discard()
		return nil, diskError(err)
	}
	st.adds[0].Size = st.bytes
	st.adds[0].ModificationTime = l.now().UnixMilli()
	st.adds[0].DataChange = true
	st.adds[0].PartitionValues = map[string]*string{}
	return st, nil
}

// syncFile waits until a file and its name are on the disk.
func syncFile(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		err = f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// change is a commit to be made.
type change struct {
	mode   Mode
	commit Commit
	read   int64
	skip   int64
	gone   int64 // rows that a DELETE takes away
	// base, when not nil, is the version that the rows were made from: any later one is a conflict.
	base *int64
}

// errMoved means that the table changed after the rows of a rewrite were read.
var errMoved = errors.New("the table was changed by someone else meanwhile")

// commit makes the staged files a version of table n.
func (l *Lake) commit(ctx context.Context, n Name, st *staged, ch change) (Written, error) {
	known := Written{}
	log := l.log(n)
	build := func(snap *delta.Snapshot) ([]delta.Action, error) {
		if snap != nil && ch.commit.Key != "" {
			if t, ok := snap.Txns[ch.commit.Key]; ok {
				w, err := l.firstResult(n, t)
				known = w
				return nil, err
			}
		}
		if err := st.present(); err != nil {
			return nil, err
		}
		if ch.base != nil && (snap == nil || snap.Version != *ch.base) {
			return nil, errMoved
		}
		return l.actions(snap, st, ch)
	}
	if err := os.MkdirAll(filepath.Join(st.dir, "_delta_log"), 0o750); err != nil {
		st.discard()
		return Written{}, diskError(err)
	}
	v, err := log.Transact(ctx, build)
	if err != nil || known.Repeated {
		st.discard()
		if err != nil {
			os.Remove(filepath.Join(st.dir, "_delta_log")) // Only an empty one goes: then there is no table.
			os.Remove(st.dir)
			return Written{}, diskError(err)
		}
		return known, nil
	}
	if st.rows == 0 {
		st.discard() // A file without rows is not part of the table.
	}
	if delta.CheckpointDue(v) {
		if snap, err := l.snapshot(ctx, n); err == nil {
			// The version is written; without its checkpoint readers are a little slower until the next one.
			_ = log.Checkpoint(ctx, snap)
		}
	}
	return Written{Version: v, Rows: st.rows, Bytes: st.bytes, Read: ch.read, Skipped: ch.skip}, nil
}

// present checks that the staged files are still there. They are not when the table was dropped while they were
// written, and then a commit would make a table of lost files.
func (st *staged) present() error {
	for _, a := range st.adds {
		p, err := a.Local(st.dir)
		if err != nil {
			return err
		}
		if _, err := os.Stat(p); err != nil {
			return errors.New("the table was dropped while it was written")
		}
	}
	return nil
}

// actions are the lines of the commit that takes snap to the wanted content. snap is nil for a new table.
func (l *Lake) actions(snap *delta.Snapshot, st *staged, ch change) ([]delta.Action, error) {
	now := l.now().UnixMilli()
	mode, blind := "Append", true
	if ch.mode == Overwrite {
		mode, blind = "Overwrite", false
	}
	op := ch.commit.Operation
	if op == "" {
		op = "WRITE"
	}
	metrics := map[string]string{
		"numFiles":       strconv.Itoa(len(st.adds)),
		"numOutputRows":  strconv.FormatInt(st.rows, 10),
		"numOutputBytes": strconv.FormatInt(st.bytes, 10),
	}
	if ch.read > 0 {
		metrics["flowehrRead"], metrics["flowehrSkipped"] = strconv.FormatInt(ch.read, 10), strconv.FormatInt(ch.skip, 10)
	}
	if ch.gone > 0 {
		metrics["numDeletedRows"] = strconv.FormatInt(ch.gone, 10)
	}
	out := []delta.Action{{CommitInfo: &delta.CommitInfo{
		Timestamp: now, Operation: op, OperationParameters: map[string]any{"mode": mode, "partitionBy": "[]"},
		OperationMetrics: metrics, EngineInfo: engineInfo, IsBlindAppend: &blind,
		UserName: ch.commit.By, Pipeline: ch.commit.Pipeline, RunID: ch.commit.RunID, Key: ch.commit.Key,
	}}}
	switch {
	case snap == nil:
		out = append(out,
			delta.Action{Protocol: &delta.Protocol{MinReaderVersion: 1, MinWriterVersion: 2}},
			delta.Action{Metadata: &delta.Metadata{
				ID: uuid.NewString(), Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
				SchemaString: st.schema.String(), PartitionColumns: []string{}, Configuration: map[string]string{}, CreatedTime: now,
			}})
	default:
		if err := snap.Writable(ch.mode == Overwrite); err != nil {
			return nil, err
		}
		if ch.mode == Append && !st.schema.Same(snap.Schema) {
			return nil, fmt.Errorf("the table's columns were changed meanwhile to (%s)", schemaText(snap.Schema))
		}
		if ch.mode == Overwrite {
			if !st.schema.Same(snap.Schema) {
				m := snap.Metadata
				m.SchemaString = st.schema.String()
				out = append(out, delta.Action{Metadata: &m})
			}
			for _, f := range snap.Files() {
				out = append(out, delta.Action{Remove: &delta.Remove{
					Path: f.Path, DeletionTimestamp: now, DataChange: true,
					ExtendedFileMetadata: true, PartitionValues: f.PartitionValues, Size: f.Size,
				}})
			}
		}
	}
	if ch.commit.Key != "" {
		out = append(out, delta.Action{Txn: &delta.Txn{AppID: ch.commit.Key, LastUpdated: now}})
	}
	for i := range st.adds {
		if st.rows > 0 {
			out = append(out, delta.Action{Add: &st.adds[i]})
		}
	}
	return out, nil
}

func schemaText(s delta.Schema) string {
	out := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		out[i] = f.Name + " " + f.Type
	}
	return strings.Join(out, ", ")
}

// project returns the select list that makes cols, in the engine's types, storable: in the order and types of fit, or
// in types of their own.
func project(cols []Column, fit *delta.Schema) (string, delta.Schema, error) {
	have := map[string]Column{}
	var schema delta.Schema
	list := make([]string, 0, len(cols))
	for _, c := range cols {
		typ, cast, err := deltaType(c.Type)
		if err != nil {
			return "", delta.Schema{}, fmt.Errorf("column %s: %w", c.Name, err)
		}
		lower := strings.ToLower(c.Name)
		if _, twice := have[lower]; twice {
			return "", delta.Schema{}, fmt.Errorf("column %s: the name occurs twice (case does not count)", c.Name)
		}
		if c.Name == "" || strings.ContainsAny(c.Name, " ,;{}()\n\t=") {
			return "", delta.Schema{}, fmt.Errorf("column %q: a name must not be empty or contain any of blank , ; { } ( ) =: give it another with AS", c.Name)
		}
		have[lower] = Column{Name: c.Name, Type: typ}
		schema.Fields = append(schema.Fields, delta.Field{Name: c.Name, Type: typ, Nullable: true})
		item := quoteName(c.Name)
		if cast != "" {
			item = "CAST(" + item + " AS " + cast + ") AS " + item
		}
		list = append(list, item)
	}
	if len(cols) == 0 {
		return "", delta.Schema{}, errors.New("there are no columns to write")
	}
	if fit == nil {
		return strings.Join(list, ", "), schema, nil
	}
	list = list[:0]
	for _, f := range fit.Fields {
		typ, err := engineType(f.Type)
		if err != nil {
			return "", delta.Schema{}, fmt.Errorf("column %s of the table: %w", f.Name, err)
		}
		c, ok := have[strings.ToLower(f.Name)]
		delete(have, strings.ToLower(f.Name))
		switch {
		case !ok && !f.Nullable:
			return "", delta.Schema{}, fmt.Errorf("column %s is not in the new rows, and the table does not take nothing for it", f.Name)
		case !ok:
			list = append(list, "CAST(NULL AS "+typ+") AS "+quoteName(f.Name))
		case c.Type == f.Type:
			list = append(list, quoteName(c.Name)+" AS "+quoteName(f.Name))
		case fits(c.Type, f.Type):
			list = append(list, "CAST("+quoteName(c.Name)+" AS "+typ+") AS "+quoteName(f.Name))
		default:
			return "", delta.Schema{}, fmt.Errorf("column %s is %s in the table and %s in the new rows: cast it, or overwrite the table", f.Name, f.Type, c.Type)
		}
	}
	for _, c := range cols {
		if _, extra := have[strings.ToLower(c.Name)]; extra {
			return "", delta.Schema{}, fmt.Errorf("column %s is not in the table, which has (%s)", c.Name, schemaText(*fit))
		}
	}
	return strings.Join(list, ", "), *fit, nil
}

// fits reports whether every value of type from is kept as it is, or refused aloud, when stored as type to.
func fits(from, to string) bool {
	whole := map[string]bool{"byte": true, "short": true, "integer": true, "long": true}
	_, fromScale, fromDecimal := decimal(from)
	_, toScale, toDecimal := decimal(to)
	switch {
	case to == "string":
		return true
	case whole[from]:
		return whole[to] || to == "double" || toDecimal
	case fromDecimal:
		return to == "double" || toDecimal && toScale >= fromScale
	case from == "float":
		return to == "double"
	case from == "date":
		return to == "timestamp"
	}
	return false
}
