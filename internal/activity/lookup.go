package activity

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/flowehr/flowehr/internal/activity/folder"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// lookupActivity reads a few rows into the run: the first, or up to 5,000 rows and 4 MB. As in Data Factory more rows
// are cut off, and more bytes are an error.
type lookupActivity struct{ deps Deps }

// Run reads.
func (l lookupActivity) Run(ctx context.Context, call engine.Call) (engine.Result, error) {
	p := read("Lookup", call.Properties)
	firstOnly := p.flag("firstRowOnly", true)
	source := p.inner("source")
	source.where = "source"
	p.value("dataset")
	if err := p.rest(); err != nil {
		return engine.Result{}, err
	}
	if call.Dataset == nil {
		return engine.Result{}, refuse(CodeInvalid, "a Lookup has a dataset")
	}
	from, err := l.deps.resolve(ctx, *call.Dataset)
	if err != nil {
		return engine.Result{}, err
	}
	ctx, cancel, err := source.limited(ctx, "queryTimeout")
	if err != nil {
		return engine.Result{}, err
	}
	defer cancel()
	limit := maxRows
	if firstOnly {
		limit = 1
	}
	var found []*expr.Object
	var more bool
	if from.files != nil {
		found, more, err = readFiles(from.files, source, limit)
	} else {
		found, more, err = l.readTable(ctx, from, source, limit)
	}
	if err != nil {
		if ctx.Err() != nil {
			return engine.Result{}, context.Cause(ctx)
		}
		return engine.Result{}, explainSource(err, "cannot look up in "+from.String())
	}
	if more && !firstOnly {
		call.Log("there are more than %s rows; the rest is left out", thousands(maxRows))
	}
	return engine.Result{
		Output: lookupOutput(found, firstOnly),
		Tables: []engine.Table{{Name: from.String(), Rows: int64(len(found)), Version: -1}},
	}, nil
}

func lookupOutput(rows []*expr.Object, firstOnly bool) *expr.Object {
	o := expr.NewObject()
	switch {
	case firstOnly && len(rows) > 0:
		o.Set("firstRow", rows[0])
	case !firstOnly:
		list := []expr.Value{}
		for _, r := range rows {
			list = append(list, r)
		}
		o.Set("count", int64(len(rows)))
		o.Set("value", list)
	}
	o.Set("effectiveIntegrationRuntime", localRuntime)
	return o
}

// collector keeps rows up to the limits.
type collector struct {
	limit int
	rows  []*expr.Object
	bytes int
	more  bool
}

var errTooBig = refuse(CodeResultTooBig, "the rows are more than %d MB; look up less", maxBytes>>20)

// add reports whether another row is wanted.
func (c *collector) add(o *expr.Object, size int) (bool, error) {
	if len(c.rows) == c.limit {
		c.more = true
		return false, nil
	}
	if c.bytes += size; c.bytes > maxBytes {
		return false, errTooBig
	}
	c.rows = append(c.rows, o)
	return c.limit > 1 || len(c.rows) < c.limit, nil
}

// readTable reads from what speaks SQL.
func (l lookupActivity) readTable(ctx context.Context, from place, source *properties, limit int) ([]*expr.Object, bool, error) {
	query, err := from.query(source)
	if err != nil {
		return nil, false, err
	}
	s, also, err := l.deps.open(ctx, from, query)
	if err != nil {
		return nil, false, err
	}
	defer func() {
		_ = s.Close()
		if also != nil {
			_ = also()
		}
	}()
	var columns []lake.Column
	for _, c := range s.Columns() {
		columns = append(columns, lake.Column{Name: c.Name, Type: c.Type})
	}
	c := collector{limit: limit}
	row := make([]any, len(columns))
	for {
		more, err := s.Next(row)
		if err != nil || !more {
			return c.rows, c.more, err
		}
		if wanted, err := c.add(rowObject(columns, row)); err != nil || !wanted {
			return c.rows, c.more, err
		}
	}
}

// readFiles reads delimited text, whose values are text, and JSON, whose values keep their types.
func readFiles(f *filePlace, source *properties, limit int) ([]*expr.Object, bool, error) {
	files, err := f.find(source)
	if err != nil {
		return nil, false, err
	}
	if f.format.kind == "parquet" {
		return nil, false, refuse(CodeUnsupported, "a Lookup in Parquet files is not supported here; copy them to the lake first")
	}
	c := &collector{limit: limit}
	for _, file := range files {
		wanted, err := readFile(f.format, file, c)
		if err != nil {
			if _, ok := errors.AsType[*engine.Error](err); ok {
				return nil, false, err
			}
			return nil, false, fmt.Errorf("file %q: %w", file.Name, err)
		}
		if !wanted {
			break
		}
	}
	return c.rows, c.more, nil
}

func readFile(format fileFormat, file folder.File, c *collector) (bool, error) {
	in, err := os.Open(file.Path)
	if err != nil {
		return false, err
	}
	defer in.Close()
	var r io.Reader = bufio.NewReader(in)
	if strings.HasSuffix(file.Path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return false, err
		}
	}
	if format.kind == "csv" {
		return readCSV(r, format, c)
	}
	return readJSON(r, c)
}

func readCSV(r io.Reader, format fileFormat, c *collector) (bool, error) {
	if format.quote != `"` || format.escape != `"` || len([]rune(format.delimiter)) != 1 || format.encoding != "utf-8" {
		return false, refuse(CodeUnsupported, `a Lookup reads delimited text in UTF-8 with " as quote and escape; copy other files to the lake first`)
	}
	in := csv.NewReader(r)
	in.Comma = []rune(format.delimiter)[0]
	var names []string
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if names == nil {
			for i, v := range record {
				if !format.header {
					v = fmt.Sprintf("Prop_%d", i)
				}
				names = append(names, strings.TrimPrefix(v, "\ufeff"))
			}
			if format.header {
				continue
			}
		}
		o, size := expr.NewObject(), 2
		for i, v := range record {
			size += len(names[i]) + len(v) + 6
			if v == format.null {
				o.Set(names[i], nil)
				continue
			}
			o.Set(names[i], v)
		}
		if wanted, err := c.add(o, size); err != nil || !wanted {
			return false, err
		}
	}
}

// readJSON reads objects one after the other, or those of one array.
func readJSON(r io.Reader, c *collector) (bool, error) {
	b := bufio.NewReader(r)
	first, err := skipSpace(b)
	if err != nil {
		return errors.Is(err, io.EOF), ignoreEnd(err)
	}
	in := json.NewDecoder(b)
	if first == '[' {
		if _, err := in.Token(); err != nil {
			return false, err
		}
	}
	for in.More() {
		var raw json.RawMessage
		if err := in.Decode(&raw); err != nil {
			return false, err
		}
		v, err := expr.DecodeJSON(raw)
		if err != nil {
			return false, err
		}
		o, ok := v.(*expr.Object)
		if !ok {
			return false, errors.New("a value is not an object")
		}
		if wanted, err := c.add(o, len(raw)); err != nil || !wanted {
			return false, err
		}
	}
	return true, nil
}

// skipSpace returns the first character that is no white space, without taking it.
func skipSpace(b *bufio.Reader) (byte, error) {
	for {
		head, err := b.Peek(1)
		if err != nil {
			return 0, err
		}
		if head[0] > ' ' {
			return head[0], nil
		}
		_, _ = b.ReadByte()
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
