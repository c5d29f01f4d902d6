package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Format is how files are written.
type Format string

// The formats.
const (
	FormatCSV     Format = "csv"
	FormatParquet Format = "parquet"
	FormatNDJSON  Format = "ndjson" // one JSON object on each line
	FormatJSON    Format = "json"   // an array of objects, or one object
	FormatBundle  Format = "fhir-bundle"
)

// BadRows says what becomes of records that cannot be read.
type BadRows int

// The policies.
const (
	// Fail ends the write with a [BadRowError] for the first bad record.
	Fail BadRows = iota
	// Quarantine writes bad records, whole and with file, line and reason, to a file of their own and goes on.
	Quarantine
)

// FileSource is files to be read. All have the same format.
type FileSource struct {
	Format Format
	// Paths are files or patterns with * and ?. A name that ends in .gz is unpacked.
	Paths []string
	// Columns are what is read, in order. None means everything: from CSV all columns as string (see InferTypes), from
	// JSON the top-level fields with nested values as JSON text, from a bundle resource_type, id and resource.
	Columns []FileColumn
	CSV     CSV
	BadRows BadRows
	// ResourceType takes only resources of this type from a FHIR bundle.
	ResourceType string
	// InferTypes guesses the types of a CSV's columns from all of its rows.
	InferTypes bool
}

// FileColumn is one column to read. Type is a Delta type; empty means string.
type FileColumn struct {
	Name string
	Type string
	// Path is where the value is: a JSON path such as $.subject.reference, $.code.coding[0].code or $ for the whole
	// object; in CSV and Parquet the column's name there. Empty means the same name.
	Path string
}

// BadRowError is a record that cannot be read. Its text has no value of the record in it.
type BadRowError struct {
	File   string
	Line   int64 // 1 is the first; 0 when the format has no lines
	Reason string
}

func (e *BadRowError) Error() string {
	return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Reason)
}

// badRecord is a record for the quarantine.
type badRecord struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
	Record string `json:"record"`
}

// WriteFiles reads files and writes their records to table n as one version. An unreadable record is dealt with as
// src.BadRows says; in no case is one lost silently: Read = Rows + Skipped. progress, which may be nil, is called with
// the number of rows once they are written.
func (l *Lake) WriteFiles(ctx context.Context, n Name, src FileSource, mode Mode, c Commit, progress func(int64)) (Written, error) {
	w, err := l.writeFiles(ctx, n, src, mode, c)
	if err != nil {
		return Written{}, fmt.Errorf("write %s: %w", n, err)
	}
	if progress != nil {
		progress(w.Rows)
	}
	return w, nil
}

func (l *Lake) writeFiles(ctx context.Context, n Name, src FileSource, mode Mode, c Commit) (Written, error) {
	fit, err := l.fit(ctx, n, mode)
	if err != nil {
		return Written{}, err
	}
	if w, ok, err := l.repeated(ctx, n, c.Key); ok || err != nil {
		return w, err
	}
	paths, err := expand(src.Paths)
	if err != nil {
		return Written{}, err
	}
	for _, col := range src.Columns {
		if _, err := engineType(col.typ()); err != nil {
			return Written{}, fmt.Errorf("column %s: %w", col.Name, err)
		}
	}
	s, err := l.open(ctx, sessionKind{writes: true, inputs: paths})
	if err != nil {
		return Written{}, err
	}
	defer s.close()
	var r reader
	switch src.Format {
	case FormatCSV:
		r = &csvReader{s: s, src: src, paths: paths}
	case FormatParquet:
		r = &parquetReader{s: s, src: src, paths: paths}
	case FormatNDJSON, FormatJSON, FormatBundle:
		r = &jsonReader{s: s, src: src, paths: paths}
	default:
		return Written{}, fmt.Errorf("format %q is none of csv, parquet, ndjson, json, fhir-bundle", src.Format)
	}
	st, bad, err := r.stage(ctx, n, fit)
	if err != nil {
		return Written{}, err
	}
	var file string
	if len(bad) > 0 {
		if file, err = l.quarantine(n, c, bad); err != nil {
			st.discard()
			return Written{}, err
		}
	}
	skipped := int64(len(bad))
	w, err := l.commit(ctx, n, st, change{mode: mode, commit: c, read: st.rows + skipped, skip: skipped})
	if (err != nil || w.Repeated) && file != "" {
		os.Remove(file)
	}
	if err == nil && !w.Repeated {
		w.Quarantine = file
	}
	return w, err
}

// reader turns files into staged rows. Bad records are returned only under the policy Quarantine.
type reader interface {
	stage(ctx context.Context, n Name, fit schemaFit) (*staged, []badRecord, error)
}

func (c FileColumn) typ() string {
	if c.Type == "" {
		return "string"
	}
	return c.Type
}

// path is where the value is in a flat format.
func (c FileColumn) path() string {
	if c.Path == "" {
		return c.Name
	}
	return c.Path
}

// expand turns patterns into the files that they match, absolute and without symbolic links.
func expand(patterns []string) ([]string, error) {
	var out []string
	for _, p := range patterns {
		matches := []string{p}
		if _, err := os.Stat(p); err != nil {
			if matches, err = filepath.Glob(p); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", p, err)
			}
		}
		if len(matches) == 0 {
			return nil, fmt.Errorf("%s: no such file", p)
		}
		slices.Sort(matches)
		for _, m := range matches {
			abs, err := filepath.Abs(m)
			if err != nil {
				return nil, err
			}
			if abs, err = filepath.EvalSymlinks(abs); err != nil {
				return nil, err
			}
			info, err := os.Stat(abs)
			if err != nil {
				return nil, err
			}
			if !info.Mode().IsRegular() {
				return nil, fmt.Errorf("%s: is not a file; name its files with a pattern such as %s", m, filepath.Join(m, "*"))
			}
			if strings.ContainsAny(abs, "*?[]") {
				return nil, fmt.Errorf("%s: the engine takes * ? [ ] in a name for a pattern: rename the file", abs)
			}
			if ext := filepath.Ext(abs); ext == ".zst" || ext == ".zip" || ext == ".bz2" || ext == ".xz" {
				return nil, fmt.Errorf("%s: only .gz files are unpacked, not %s", abs, ext)
			}
			if !slices.Contains(out, abs) {
				out = append(out, abs)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there are no files to read")
	}
	return out, nil
}

// parquetReader reads Parquet files.
type parquetReader struct {
	s     *session
	src   FileSource
	paths []string
}

func (r *parquetReader) stage(ctx context.Context, n Name, fit schemaFit) (*staged, []badRecord, error) {
	from := " FROM read_parquet(" + quoteTexts(r.paths) + ", union_by_name = true, hive_partitioning = false)"
	have, err := r.s.describe(ctx, "SELECT *"+from)
	if err != nil {
		return nil, nil, err
	}
	var list []string
	if len(r.src.Columns) == 0 {
		for _, c := range have {
			item := quoteName(c.Name)
			if _, _, err := deltaType(c.Type); err != nil { // Nested values are kept as JSON text.
				item = "CAST(to_json(" + item + ") AS VARCHAR) AS " + item
			}
			list = append(list, item)
		}
	}
	for _, c := range r.src.Columns {
		i := slices.IndexFunc(have, func(h Column) bool { return strings.EqualFold(h.Name, c.path()) })
		if i < 0 {
			return nil, nil, fmt.Errorf("column %s is not in the files", c.path())
		}
		item := quoteName(have[i].Name)
		if _, _, err := deltaType(have[i].Type); err != nil {
			item = "to_json(" + item + ")"
		}
		typ := "VARCHAR"
		if c.Type != "" {
			if typ, err = engineType(c.Type); err != nil {
				return nil, nil, err
			}
		} else if _, _, err := deltaType(have[i].Type); err == nil {
			typ = have[i].Type
		}
		list = append(list, "CAST("+item+" AS "+typ+") AS "+quoteName(c.Name))
	}
	st, err := r.s.lake.stage(ctx, r.s, n, "SELECT "+strings.Join(list, ", ")+from, fit)
	return st, nil, err
}
