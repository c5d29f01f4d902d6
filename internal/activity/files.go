package activity

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/activity/folder"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// fileSources are the source types of files, with the format that each reads.
var fileSources = map[string]string{"DelimitedTextSource": "csv", "ParquetSource": "parquet", "JsonSource": "json"}

// find selects the files of a source and refuses settings that would be left out.
func (f *filePlace) find(source *properties) ([]folder.File, error) {
	kind := source.text("type")
	if want := fileSources[kind]; want != f.format.kind {
		return nil, refuse(CodeInvalid, "source of type %q cannot read a dataset of %s", kind, f.format.kind)
	}
	pattern, err := f.readStore(source)
	if err != nil {
		return nil, err
	}
	f.selected = path.Join(pattern.Folder, pattern.Folders, cmp.Or(pattern.File, pattern.Name))
	settings := source.inner("formatSettings")
	settings.text("type")
	if n, _ := settings.integer("skipLineCount"); n > 0 {
		return nil, refuse(CodeUnsupported, "source: skipLineCount is not supported here")
	}
	if err := settings.rest("compressionProperties"); err != nil {
		return nil, err
	}
	if err := source.rest("maxConcurrentConnections", "disableMetricsCollection", "sourceRetryCount", "sourceRetryWait"); err != nil {
		return nil, err
	}
	files, err := folder.Find(f.root, pattern)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if f.format.gzip && !strings.HasSuffix(file.Name, ".gz") {
			return nil, refuse(CodeUnsupported, "file %q is said to be compressed, but its name does not end in .gz", file.Name)
		}
	}
	return files, nil
}

// filesToLake lets the lake's engine read the files itself.
func (c copyActivity) filesToLake(ctx context.Context, job *copyJob) (copied, error) {
	name, mode, err := lakeSink(job)
	if err != nil {
		return copied{}, err
	}
	files, err := job.from.files.find(job.source)
	if err != nil {
		return copied{}, explainSource(err, "cannot read "+job.from.String())
	}
	src, err := job.fileSource(files)
	if err != nil {
		return copied{}, err
	}
	names := map[string]string{}
	out := copied{files: true, filesRead: int64(len(files))}
	for _, f := range files {
		src.Paths = append(src.Paths, f.Path)
		names[f.Path] = f.Name
		out.dataRead += f.Size
	}
	job.call.Log("reading %d files, %s bytes", len(files), thousands(out.dataRead))
	written, err := c.deps.Lake.WriteFiles(ctx, name, src, mode, job.commit(), job.call.Progress)
	if bad, ok := errors.AsType[*lake.BadRowError](err); ok {
		return copied{}, fail(CodeIncompatible, "file %q, line %d: %s; %s is unchanged; enableSkipIncompatibleRow would put such rows aside", shortName(names, bad.File), bad.Line, bad.Reason, job.to)
	}
	if err != nil {
		return copied{}, err
	}
	if written.Skipped > 0 && !written.Repeated {
		job.call.Log("%s rows could not be read and are kept in %s", thousands(written.Skipped), filepath.Base(written.Quarantine))
	}
	out.rowsRead, out.rowsCopied, out.rowsSkipped = written.Read, written.Rows, written.Skipped
	out.dataWritten, out.version = written.Bytes, written.Version
	if written.Quarantine != "" {
		out.quarantine = filepath.Base(written.Quarantine)
	}
	return out, nil
}

// shortName is a file's name within the data source.
func shortName(names map[string]string, full string) string {
	if name, ok := names[full]; ok {
		return name
	}
	return filepath.Base(full)
}

// fileSource says to the lake how the files are read.
func (job *copyJob) fileSource(files []folder.File) (lake.FileSource, error) {
	format := job.from.files.format
	src := lake.FileSource{}
	if job.skip {
		src.BadRows = lake.Quarantine
	}
	var err error
	switch format.kind {
	case "csv":
		src.Format = lake.FormatCSV
		src.CSV = lake.CSV{Delimiter: format.delimiter, Quote: format.quote, Escape: format.escape, Header: format.header, NullValue: format.null, Encoding: format.encoding}
		src.Columns, err = job.csvColumns(format.header)
	case "parquet":
		src.Format = lake.FormatParquet
		src.Columns, err = job.namedColumns()
	default:
		src.Format, src.Columns, err = job.jsonColumns(files)
	}
	return src, err
}

// namedColumns are those of a mapping by name.
func (job *copyJob) namedColumns() ([]lake.FileColumn, error) {
	if job.mapping.collection != "" {
		return nil, refuse(CodeInvalid, "translator: collectionReference is for files of JSON")
	}
	var out []lake.FileColumn
	for _, m := range job.mapping.columns {
		if m.source == "" {
			return nil, refuse(CodeUnsupported, "translator: the files have named columns; use name for %q", m.sink)
		}
		out = append(out, lake.FileColumn{Name: m.sink, Type: m.kind, Path: m.source})
	}
	return out, nil
}

// csvColumns are those of the mapping, or of the dataset's schema when that knows more than text. Files without a header
// have columns by ordinal.
func (job *copyJob) csvColumns(header bool) ([]lake.FileColumn, error) {
	if len(job.mapping.columns) == 0 {
		return schemaColumns(job.call.Inputs[0].Schema)
	}
	if header {
		return job.namedColumns()
	}
	columns := slices.Clone(job.mapping.columns)
	slices.SortStableFunc(columns, func(a, b mapped) int { return a.ordinal - b.ordinal })
	var out []lake.FileColumn
	for i, m := range columns {
		if m.ordinal != i+1 {
			return nil, refuse(CodeUnsupported, "translator: files without a header are mapped by ordinal, each column from 1 to the last; %q breaks the row", m.sink)
		}
		out = append(out, lake.FileColumn{Name: m.sink, Type: m.kind})
	}
	return out, nil
}

// schemaColumns reads the schema of a dataset, a list of {name, type}. One that has only text adds nothing.
func schemaColumns(schema expr.Value) ([]lake.FileColumn, error) {
	list, _ := schema.([]expr.Value)
	var out []lake.FileColumn
	typed := false
	for _, v := range list {
		o, ok := v.(*expr.Object)
		if !ok {
			return nil, nil
		}
		p := read("dataset: schema", o)
		c := lake.FileColumn{Name: p.text("name")}
		kind, err := deltaType(p.text("type"))
		if err != nil || c.Name == "" {
			return nil, err
		}
		c.Type = kind
		typed = typed || kind != "string" && kind != ""
		out = append(out, c)
	}
	if !typed {
		return nil, nil
	}
	return out, nil
}

// entries is the collectionReference of a FHIR bundle: its rows are the resources of the entries.
const entries = "$.entry"

// jsonColumns are those of a mapping by path. A FHIR bundle is read when the rows are its entries.
func (job *copyJob) jsonColumns(files []folder.File) (lake.Format, []lake.FileColumn, error) {
	format := lake.FormatBundle
	switch collection := job.mapping.collection; collection {
	case "", "$":
		var err error
		if format, err = jsonFormat(files[0]); err != nil {
			return "", nil, err
		}
	case entries, entries + "[*]":
	default:
		return "", nil, refuse(CodeUnsupported, "translator: collectionReference %q is not supported here; $['entry'], the resources of a FHIR bundle, is", collection)
	}
	var out []lake.FileColumn
	for _, m := range job.mapping.columns {
		path := m.path
		if path == "" {
			path = normalPath("['" + m.source + "']")
		}
		if format == lake.FormatBundle {
			below, ok := strings.CutPrefix(path, "$.resource")
			if !ok || below != "" && below[0] != '.' && below[0] != '[' {
				return "", nil, refuse(CodeUnsupported, "translator: %q is not a path in a bundle's entry; they begin with $['resource']", path)
			}
			path = "$" + below
		}
		out = append(out, lake.FileColumn{Name: m.sink, Type: m.kind, Path: path})
	}
	return format, out, nil
}

// jsonFormat tells by name and beginning whether a file has an object on each line, or is one document.
func jsonFormat(f folder.File) (lake.Format, error) {
	name := strings.TrimSuffix(strings.ToLower(f.Name), ".gz")
	if strings.HasSuffix(name, ".ndjson") || strings.HasSuffix(name, ".jsonl") {
		return lake.FormatNDJSON, nil
	}
	head, err := beginning(f)
	if err != nil {
		return "", fmt.Errorf("file %q: %w", f.Name, err)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 || text[0] != '{' {
		return lake.FormatJSON, nil
	}
	first, rest, more := bytes.Cut(text, []byte("\n"))
	// A first line that is whole makes it lines; so does a second line that begins an object at its very start.
	if json.Valid(first) || !more && !json.Valid(text) && len(head) >= headSize || bytes.HasPrefix(rest, []byte("{")) {
		return lake.FormatNDJSON, nil
	}
	return lake.FormatJSON, nil
}

// headSize is how much of a file is looked at. A first line longer than that is taken as a line of many.
const headSize = 1 << 20

func beginning(f folder.File) ([]byte, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(f.Path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(bufio.NewReader(in), headSize))
}
