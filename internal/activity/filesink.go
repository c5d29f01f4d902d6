package activity

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/activity/folder"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// fileSinks are the sink types of files that are written here, with their format.
var fileSinks = map[string]string{"DelimitedTextSink": "csv", "JsonSink": "json"}

// rowsToFile writes one file. It appears under its name when it is complete, in the place of an older one.
func (c copyActivity) rowsToFile(ctx context.Context, job *copyJob) (copied, error) {
	array, err := job.readFileSink()
	if err != nil {
		return copied{}, err
	}
	target := job.to.files
	full, err := folder.Place(target.root, path.Join(target.container, target.folder, target.file))
	if err != nil {
		return copied{}, refuse(CodeInvalid, "sink: %s", err)
	}
	rows, err := c.openRows(ctx, job)
	if err != nil {
		return copied{}, err
	}
	defer rows.Close()
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		return copied{}, err
	}
	temp, err := os.CreateTemp(filepath.Dir(full), ".copy-*")
	if err != nil {
		return copied{}, err
	}
	defer os.Remove(temp.Name()) // nothing is there any more after the rename
	n, err := writeRows(ctx, temp, rows, target.format, array, job.call.Progress)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return copied{}, job.readingOrWriting(rows, err)
	}
	info, err := os.Stat(temp.Name())
	if err != nil {
		return copied{}, err
	}
	if err := os.Rename(temp.Name(), full); err != nil {
		return copied{}, err
	}
	return copied{rowsRead: rows.count, rowsCopied: n, rowsSkipped: rows.skipped, dataRead: rows.bytes, dataWritten: info.Size(), filesWritten: 1, version: -1}, nil
}

// readFileSink refuses what is not written here and says whether JSON becomes one array.
func (job *copyJob) readFileSink() (array bool, err error) {
	p := job.sink
	kind := p.text("type")
	format, ok := fileSinks[kind]
	if !ok {
		return false, refuse(CodeUnsupported, "sink of type %q is not supported here", kind)
	}
	if format != job.to.files.format.kind {
		return false, refuse(CodeInvalid, "sink of type %s cannot write a dataset of %s", kind, job.to.files.format.kind)
	}
	if job.to.files.file == "" {
		return false, refuse(CodeInvalid, "the sink's dataset names no file")
	}
	store, settings := p.inner("storeSettings"), p.inner("formatSettings")
	store.text("type")
	settings.text("type")
	switch pattern := settings.text("filePattern"); pattern {
	case "", "setOfObjects":
	case "arrayOfObjects":
		array = true
	default:
		return false, refuse(CodeUnsupported, "sink: filePattern %q is not supported here", pattern)
	}
	if err := settings.rest("quoteAllText", "fileExtension"); err != nil {
		return false, err
	}
	if err := store.rest("maxConcurrentConnections", "copyBehavior", "disableMetricsCollection"); err != nil {
		return false, err
	}
	if job.to.files.format.encoding != "utf-8" {
		return false, refuse(CodeUnsupported, "sink: files are written in UTF-8")
	}
	return array, p.rest(harmlessSink...)
}

// progressEvery is how many rows lie between two reports of progress.
const progressEvery = 100_000

func writeRows(ctx context.Context, to io.Writer, rows *mappedRows, format fileFormat, array bool, progress func(int64)) (int64, error) {
	var packed *gzip.Writer
	if format.gzip {
		packed = gzip.NewWriter(to)
		to = packed
	}
	out := bufio.NewWriterSize(to, 1<<18)
	w := rowWriter{out: out, format: format, columns: rows.Columns(), array: array}
	if err := w.begin(); err != nil {
		return 0, err
	}
	row := make([]any, len(w.columns))
	var n int64
	for {
		more, err := rows.Next(row)
		if err != nil {
			return n, err
		}
		if !more {
			break
		}
		if err := w.row(row); err != nil {
			return n, err
		}
		if n++; n%progressEvery == 0 {
			if ctx.Err() != nil {
				return n, context.Cause(ctx)
			}
			progress(n)
		}
	}
	err := errors.Join(w.end(), out.Flush())
	if packed != nil {
		err = errors.Join(err, packed.Close())
	}
	return n, err
}

// rowWriter writes rows as delimited text or JSON.
type rowWriter struct {
	out     *bufio.Writer
	format  fileFormat
	columns []lake.Column
	array   bool
	begun   bool
}

func (w *rowWriter) begin() error {
	if w.format.kind == "json" {
		if w.array {
			_, err := w.out.WriteString("[")
			return err
		}
		return nil
	}
	if !w.format.header {
		return nil
	}
	for i, c := range w.columns {
		w.delimit(i)
		w.field(c.Name)
	}
	_, err := w.out.WriteString("\n")
	return err
}

func (w *rowWriter) row(row []any) error {
	if w.format.kind == "json" {
		o, _ := rowObject(w.columns, row)
		if w.begun && w.array {
			_, _ = w.out.WriteString(",")
		}
		w.begun = true
		_, _ = w.out.Write(expr.EncodeJSON(o))
		return w.out.WriteByte('\n')
	}
	for i, v := range row {
		w.delimit(i)
		if v == nil {
			_, _ = w.out.WriteString(w.format.null)
			continue
		}
		w.field(csvText(v, w.columns[i].Type))
	}
	return w.out.WriteByte('\n')
}

func (w *rowWriter) end() error {
	if w.format.kind == "json" && w.array {
		_, err := w.out.WriteString("]\n")
		return err
	}
	return nil
}

func (w *rowWriter) delimit(i int) {
	if i > 0 {
		_, _ = w.out.WriteString(w.format.delimiter)
	}
}

// field quotes what would be read as something else: also the text that stands for null, and empty text.
func (w *rowWriter) field(s string) {
	f := w.format
	if s != "" && s != f.null && !strings.Contains(s, f.delimiter) && !strings.ContainsAny(s, "\r\n"+f.quote+f.escape) {
		_, _ = w.out.WriteString(s)
		return
	}
	if f.escape != f.quote {
		s = strings.ReplaceAll(s, f.escape, f.escape+f.escape)
	}
	_, _ = w.out.WriteString(f.quote + strings.ReplaceAll(s, f.quote, f.escape+f.quote) + f.quote)
}

func csvText(v any, kind string) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		if kind == "date" {
			return v.Format(time.DateOnly)
		}
		return v.UTC().Format("2006-01-02T15:04:05.999999Z")
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	}
	return cmp.Or(fmt.Sprint(v), "")
}
