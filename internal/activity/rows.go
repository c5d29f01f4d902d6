package activity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/lake"
)

// stream is rows from anywhere; connect.Rows is one.
type stream interface {
	Columns() []connect.Column
	Next(row []any) (bool, error)
	Close() error
}

// mappedRows is a stream with a mapping on it, as the lake takes it. It remembers the error of its stream, so that a
// failed copy knows which side failed, and counts.
type mappedRows struct {
	stream  stream
	also    []func() error // closed after the stream
	columns []lake.Column
	from    []int // place in the stream's row of each column
	row     []any
	skip    bool
	log     func(string, ...any)

	count   int64 // rows read
	skipped int64
	bytes   int64
	err     error
}

// skippedShown is how many skipped rows are named in the log; all are counted.
const skippedShown = 20

func newMappedRows(s stream, m mapping, skip bool, log func(string, ...any)) (*mappedRows, error) {
	r := &mappedRows{stream: s, skip: skip, log: log}
	have := s.Columns()
	r.row = make([]any, len(have))
	if m.collection != "" {
		return nil, refuse(CodeInvalid, "translator: collectionReference is for files of JSON")
	}
	if len(m.columns) == 0 {
		for i, c := range have {
			r.columns = append(r.columns, lake.Column{Name: c.Name, Type: c.Type, Nullable: true})
			r.from = append(r.from, i)
		}
		return r, nil
	}
	for _, c := range m.columns {
		i, err := c.find(have)
		if err != nil {
			return nil, err
		}
		kind := c.kind
		if kind == "" {
			kind = have[i].Type
		}
		r.columns = append(r.columns, lake.Column{Name: c.sink, Type: kind, Nullable: true})
		r.from = append(r.from, i)
	}
	return r, nil
}

// find returns the place of a mapped column: by name as written, then by name without case, or by ordinal.
func (c mapped) find(have []connect.Column) (int, error) {
	if c.path != "" && c.source == "" {
		return 0, refuse(CodeInvalid, "translator: %q is a path, and this source has columns; use name", c.path)
	}
	if c.source == "" {
		if c.ordinal > len(have) {
			return 0, refuse(CodeInvalid, "translator: there is no column %d; the source has %d", c.ordinal, len(have))
		}
		return c.ordinal - 1, nil
	}
	if i := slices.IndexFunc(have, func(h connect.Column) bool { return h.Name == c.source }); i >= 0 {
		return i, nil
	}
	if i := slices.IndexFunc(have, func(h connect.Column) bool { return strings.EqualFold(h.Name, c.source) }); i >= 0 {
		return i, nil
	}
	var names []string
	for _, h := range have {
		names = append(names, h.Name)
	}
	return 0, refuse(CodeInvalid, "translator: the source has no column %q; it has %s", c.source, clip(strings.Join(names, ", ")))
}

// Columns are those of the sink.
func (r *mappedRows) Columns() []lake.Column { return r.columns }

// Next reads the next row that fits.
func (r *mappedRows) Next(row []any) (bool, error) {
	for {
		more, err := r.stream.Next(r.row)
		if misfit, ok := errors.AsType[*connect.ValueError](err); ok {
			r.count++
			if r.skip {
				if r.skipped++; r.skipped <= skippedShown {
					r.log("row %s skipped: %s", thousands(r.count), misfit)
				}
				continue
			}
			r.err = fail(CodeIncompatible, "row %s does not fit: %s; enableSkipIncompatibleRow would skip it", thousands(r.count), misfit)
			return false, r.err
		}
		if err != nil {
			r.err = err
			return false, err
		}
		if !more {
			return false, nil
		}
		r.count++
		for i, at := range r.from {
			row[i] = r.row[at]
			r.bytes += size(row[i])
		}
		return true, nil
	}
}

// Close closes the stream and what it came from.
func (r *mappedRows) Close() {
	_ = r.stream.Close()
	for _, f := range r.also {
		_ = f()
	}
}

// size is about how many bytes a value has on its way.
func size(v any) int64 {
	switch v := v.(type) {
	case nil:
		return 0
	case string:
		return int64(len(v))
	case []byte:
		return int64(len(v))
	case bool:
		return 1
	case time.Time:
		return 8
	}
	return 8
}

// harmlessSource are keys of a source that change only how fast Azure reads.
var harmlessSource = []string{"partitionOption", "maxConcurrentConnections", "disableMetricsCollection", "sourceRetryCount", "sourceRetryWait"}

// query says what is read from a place that speaks SQL: the source's own query, or all of the dataset's table.
func (p place) query(source *properties) (string, error) {
	kind := source.text("type")
	switch {
	case p.lake != nil:
		if kind != "AzureDatabricksDeltaLakeSource" {
			return "", refuse(CodeUnsupported, "source of type %q cannot read %s; use AzureDatabricksDeltaLakeSource", kind, p)
		}
		q := source.text("query")
		if q == "" && p.lake.Table == "" {
			return "", refuse(CodeInvalid, "neither the source has a query nor the dataset a table")
		}
		if q == "" {
			q = "select * from " + p.lake.String()
		}
		if err := source.plainSettings("exportSettings"); err != nil {
			return "", err
		}
		return q, source.rest(harmlessSource...)
	case p.store != nil:
		if kind != "AzureSqlSource" {
			return "", refuse(CodeUnsupported, "source of type %q cannot read %s; use AzureSqlSource", kind, p)
		}
		return selection(source, "sqlReaderQuery", flowehr.SourcePostgreSQL, p.store.schema, p.store.table)
	}
	known, ok := factory.SQLSourceOf(kind)
	if !ok {
		return "", refuse(CodeUnsupported, "source of type %q is not supported here", kind)
	}
	if known.Kind != p.database.config.Kind {
		return "", refuse(CodeInvalid, "source of type %s cannot read %q, a %s database", kind, p.service, p.database.config.Kind)
	}
	return selection(source, known.Query, known.Kind, p.database.schema, p.database.table)
}

func selection(source *properties, key string, kind flowehr.SourceKind, schema, table string) (string, error) {
	q := source.text(key)
	if strings.Contains(q, "?Adf") {
		return "", refuse(CodeUnsupported, "source: the query has a placeholder for reading in parts, which is not supported here")
	}
	if err := source.rest(harmlessSource...); err != nil {
		return "", err
	}
	if q != "" {
		return q, nil
	}
	if table == "" {
		return "", refuse(CodeInvalid, "neither the source has a query nor the dataset a table")
	}
	q, err := connect.SelectTable(kind, schema, table)
	if err != nil {
		return "", refuse(CodeInvalid, "%s", err)
	}
	return q, nil
}

// openRows starts reading the source of a copy.
func (c copyActivity) openRows(ctx context.Context, job *copyJob) (*mappedRows, error) {
	query, err := job.from.query(job.source)
	if err != nil {
		return nil, err
	}
	s, also, err := c.deps.open(ctx, job.from, query)
	if err != nil {
		return nil, explainSource(err, "cannot read "+job.from.String())
	}
	rows, err := newMappedRows(s, job.mapping, job.skip, job.call.Log)
	if err != nil {
		_ = s.Close()
		if also != nil {
			_ = also()
		}
		return nil, err
	}
	if also != nil {
		rows.also = append(rows.also, also)
	}
	return rows, nil
}

// open runs a query on a place that speaks SQL. also, when not nil, is to be called after the stream was closed.
func (d Deps) open(ctx context.Context, p place, query string, args ...any) (s stream, also func() error, err error) {
	if p.lake != nil {
		batches, err := d.Lake.Export(ctx, query)
		if err != nil {
			return nil, nil, err
		}
		rows, err := newArrowRows(batches)
		return rows, nil, err
	}
	conf, err := d.database(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	db, err := connect.Open(ctx, conf)
	if err != nil {
		return nil, nil, err
	}
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return rows, db.Close, nil
}

// database is the connection of a place that is a database. The store is read as one.
func (d Deps) database(ctx context.Context, p place) (connect.Config, error) {
	if p.database != nil {
		return p.database.config, nil
	}
	s, err := d.source(ctx, StoreService)
	return s.Database, err
}
