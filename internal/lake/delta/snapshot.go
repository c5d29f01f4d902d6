package delta

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Snapshot is the table at one version. It is not changed after it was made and may be shared.
type Snapshot struct {
	Version  int64
	Protocol Protocol
	Metadata Metadata
	Schema   Schema
	Txns     map[string]Txn

	files map[string]Add
	stamp fs.FileInfo // of the commit at Version; tells a table from one that replaced it
}

// Files returns the data files, sorted by path.
func (s *Snapshot) Files() []Add {
	out := make([]Add, 0, len(s.files))
	for _, k := range slices.Sorted(maps.Keys(s.files)) {
		out = append(out, s.files[k])
	}
	return out
}

// Rows is the sum of the files' row counts, and whether every file states its own.
func (s *Snapshot) Rows() (rows int64, exact bool) {
	exact = true
	for _, f := range s.files {
		n, ok := f.Rows()
		if !ok {
			exact = false
			continue
		}
		rows += n
	}
	return rows, exact
}

// Bytes is the size of all data files.
func (s *Snapshot) Bytes() int64 {
	var n int64
	for _, f := range s.files {
		n += f.Size
	}
	return n
}

// Rows is the number of rows that the file's statistics state.
func (a Add) Rows() (int64, bool) {
	var st struct {
		NumRecords *int64 `json:"numRecords"`
	}
	if json.Unmarshal([]byte(a.Stats), &st) != nil || st.NumRecords == nil {
		return 0, false
	}
	return *st.NumRecords, true
}

// Local returns the file's path below dir. A path that leads out of dir is refused, whoever wrote the log.
func (a Add) Local(dir string) (string, error) {
	p, err := url.PathUnescape(a.Path)
	if err != nil {
		return "", fmt.Errorf("data file %q: %w", a.Path, err)
	}
	if strings.Contains(p, "://") || strings.HasPrefix(p, "file:") || !filepath.IsLocal(filepath.FromSlash(p)) {
		return "", fmt.Errorf("data file %q: a path outside the table is %w", p, ErrUnsupported)
	}
	return filepath.Join(dir, filepath.FromSlash(p)), nil
}

func (s *Snapshot) clone() *Snapshot {
	c := *s
	c.files = maps.Clone(s.files)
	c.Txns = maps.Clone(s.Txns)
	return &c
}

func (s *Snapshot) apply(actions []Action) {
	for _, a := range actions {
		switch {
		case a.Protocol != nil:
			s.Protocol = *a.Protocol
		case a.Metadata != nil:
			s.Metadata = *a.Metadata
		case a.Txn != nil:
			s.Txns[a.Txn.AppID] = *a.Txn
		case a.Remove != nil:
			delete(s.files, a.Remove.Path)
		case a.Add != nil:
			s.files[a.Add.Path] = *a.Add
		}
	}
}

// readerFeatures are the table features that reading needs nothing special for.
var readerFeatures = []string{"timestampNtz", "vacuumProtocolCheck"}

// check finishes a replayed snapshot: it must be whole, and nothing in it may be beyond this reader.
func (s *Snapshot) check() error {
	if s.Protocol.MinReaderVersion == 0 || s.Metadata.ID == "" {
		return fmt.Errorf("log has no protocol or no metadata up to version %d", s.Version)
	}
	if s.Protocol.MinReaderVersion > 3 {
		return fmt.Errorf("reader version %d is %w", s.Protocol.MinReaderVersion, ErrUnsupported)
	}
	for _, f := range s.Protocol.ReaderFeatures {
		if f == "deletionVectors" || f == "columnMapping" {
			continue // Allowed by the protocol, perhaps not used: what is used is refused below.
		}
		if !slices.Contains(readerFeatures, f) {
			return fmt.Errorf("table feature %q is %w", f, ErrUnsupported)
		}
	}
	if m := s.Metadata.Configuration["delta.columnMapping.mode"]; m != "" && m != "none" {
		return fmt.Errorf("column mapping mode %q is %w: rewrite the table without it", m, ErrUnsupported)
	}
	if p := s.Metadata.Format.Provider; p != "" && p != "parquet" {
		return fmt.Errorf("data format %q is %w", p, ErrUnsupported)
	}
	for _, f := range s.files {
		if len(f.DeletionVector) > 0 && string(f.DeletionVector) != "null" {
			return fmt.Errorf("a deletion vector (of file %q) is %w: rewrite the table with REORG ... APPLY (PURGE)", f.Path, ErrUnsupported)
		}
	}
	schema, err := ParseSchema(s.Metadata.SchemaString)
	if err != nil {
		return err
	}
	s.Schema = schema
	return nil
}

// Writable says why this package may not write to the table, or nil. removes tells that the write takes rows away.
func (s *Snapshot) Writable(removes bool) error {
	if v := s.Protocol.MinWriterVersion; v > 2 {
		return fmt.Errorf("writing to a table of writer version %d %v is %w", v, s.Protocol.WriterFeatures, ErrUnsupported)
	}
	if len(s.Metadata.PartitionColumns) > 0 {
		return fmt.Errorf("writing to a table partitioned by %s is %w", strings.Join(s.Metadata.PartitionColumns, ", "), ErrUnsupported)
	}
	if removes && s.Metadata.Configuration["delta.appendOnly"] == "true" {
		return fmt.Errorf("the table is append-only (delta.appendOnly): taking rows away is %w", ErrUnsupported)
	}
	for _, f := range s.Schema.Fields {
		if _, ok := f.Metadata["delta.invariants"]; ok {
			return fmt.Errorf("writing to a table with an invariant (column %q) is %w", f.Name, ErrUnsupported)
		}
	}
	return nil
}
