package featurestore

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Batches is a stream of rows. Next returns io.EOF after the last batch; a batch is only valid until the next call. The
// store does not close it.
type Batches interface {
	Schema() *arrow.Schema
	Next() (arrow.RecordBatch, error)
	Close() error
}

// Column of a published table.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // PostgreSQL's name
}

// ErrColumns is returned for columns that cannot be published, or that do not fit the table they are appended to.
var ErrColumns = errors.New("columns do not fit")

// loadColumn marks the version of a row inside the store. Readers never see it.
const loadColumn = "flowehr_load"

// columnsOf maps the schema of batches to columns.
func columnsOf(s *arrow.Schema) ([]Column, error) {
	if s.NumFields() == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrColumns)
	}
	if s.NumFields() > 1500 {
		return nil, fmt.Errorf("%w: there are %d, 1500 are allowed", ErrColumns, s.NumFields())
	}
	seen := map[string]bool{loadColumn: true, "tableoid": true, "ctid": true, "xmin": true, "xmax": true, "cmin": true, "cmax": true}
	columns := make([]Column, 0, s.NumFields())
	for _, f := range s.Fields() {
		if err := checkName("column", f.Name); err != nil {
			return nil, err
		}
		if seen[f.Name] {
			return nil, fmt.Errorf("%w: name %q is there twice or reserved", ErrColumns, f.Name)
		}
		seen[f.Name] = true
		t, err := sqlType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%w: column %q: %w", ErrColumns, f.Name, err)
		}
		columns = append(columns, Column{f.Name, t})
	}
	return columns, nil
}

// sqlType is the type of PostgreSQL that holds every value of t. A type without one is refused by name.
func sqlType(t arrow.DataType) (string, error) {
	switch t := t.(type) {
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Uint8Type:
		return "smallint", nil
	case *arrow.Int32Type, *arrow.Uint16Type:
		return "integer", nil
	case *arrow.Int64Type, *arrow.Uint32Type:
		return "bigint", nil
	case *arrow.Uint64Type:
		return "numeric(20,0)", nil
	case *arrow.Float32Type:
		return "real", nil
	case *arrow.Float64Type:
		return "double precision", nil
	case *arrow.BooleanType:
		return "boolean", nil
	case *arrow.StringType, *arrow.LargeStringType, *arrow.StringViewType, *arrow.NullType:
		return "text", nil
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.BinaryViewType, *arrow.FixedSizeBinaryType:
		return "bytea", nil
	case *arrow.Date32Type:
		return "date", nil
	case *arrow.TimestampType:
		if t.TimeZone == "" {
			return "timestamp without time zone", nil
		}
		return "timestamp with time zone", nil
	case *arrow.Time64Type:
		return "time without time zone", nil
	case *arrow.Decimal128Type:
		if t.Scale < 0 || t.Scale > t.Precision {
			return "", fmt.Errorf("type %s has no counterpart in PostgreSQL", t)
		}
		return fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale), nil
	case *arrow.DictionaryType:
		return sqlType(t.ValueType)
	}
	return "", fmt.Errorf("type %s has no counterpart in PostgreSQL; cast it to a text or split it", t)
}

// sameColumns reports whether a row of a is a row of b.
func sameColumns(a, b []Column) bool { return len(a) == len(b) && extends(a, b) }

// extends reports whether longer begins with the columns of base.
func extends(longer, base []Column) bool {
	if len(longer) < len(base) {
		return false
	}
	for i := range base {
		if longer[i] != base[i] {
			return false
		}
	}
	return true
}

// fitsInto checks that every column of rows is in table with the same type.
func fitsInto(rows, table []Column) error {
	types := map[string]string{}
	for _, c := range table {
		types[c.Name] = c.Type
	}
	var wrong []string
	for _, c := range rows {
		switch have, ok := types[c.Name]; {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%q is not in the table", c.Name))
		case have != c.Type:
			wrong = append(wrong, fmt.Sprintf("%q is %s in the table and %s in the rows", c.Name, have, c.Type))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrColumns, strings.Join(wrong, "; "))
	}
	return nil
}

// copyStream is the binary COPY data of batches as a reader. A goroutine encodes ahead of whoever reads.
type copyStream struct {
	full  chan []byte
	free  chan []byte
	stop  chan struct{}
	done  chan struct{}
	err   error // of the goroutine, valid when full is closed
	rest  []byte
	whole []byte
}

// chunk is the size of the pieces that are handed from the encoder to the connection.
const chunk = 256 << 10

var copyHeader = []byte("PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00")

// newCopyStream starts encoding. progress is told the number of rows encoded so far.
func newCopyStream(b Batches, progress func(int64)) *copyStream {
	s := &copyStream{full: make(chan []byte, 4), free: make(chan []byte, 6), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer close(s.full)
		s.err = s.encode(b, progress)
	}()
	return s
}

func (s *copyStream) encode(b Batches, progress func(int64)) error {
	buf := append(make([]byte, 0, chunk+chunk/4), copyHeader...)
	var rows int64
	for {
		batch, err := b.Next()
		if errors.Is(err, io.EOF) {
			s.send(append(buf, 0xff, 0xff))
			return nil
		}
		if err != nil {
			return err
		}
		columns := make([]encoder, batch.NumCols())
		for i := range columns {
			if columns[i], err = newEncoder(batch.Column(i)); err != nil {
				return fmt.Errorf("column %q: %w", batch.ColumnName(i), err)
			}
		}
		for row := range int(batch.NumRows()) {
			buf = append(buf, byte(len(columns)>>8), byte(len(columns)))
			for i, encode := range columns {
				if buf, err = encode(buf, row); err != nil {
					return fmt.Errorf("column %q, row %d: %w", batch.ColumnName(i), rows+int64(row)+1, err)
				}
			}
			if len(buf) >= chunk {
				if !s.send(buf) {
					return nil
				}
				buf = s.buffer()
			}
		}
		rows += batch.NumRows()
		progress(rows)
	}
}

func (s *copyStream) send(buf []byte) bool {
	select {
	case s.full <- buf:
		return true
	case <-s.stop:
		return false
	}
}

func (s *copyStream) buffer() []byte {
	select {
	case b := <-s.free:
		return b[:0]
	default:
		return make([]byte, 0, chunk+chunk/4)
	}
}

// Read implements io.Reader.
func (s *copyStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.whole != nil {
			select {
			case s.free <- s.whole:
			default:
			}
			s.whole = nil
		}
		next, ok := <-s.full
		if !ok {
			if s.err != nil {
				return 0, s.err
			}
			return 0, io.EOF
		}
		s.rest, s.whole = next, next
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// close ends the encoder and waits for it, so that the batches are not used any more. It returns the encoder's error.
func (s *copyStream) close() error {
	close(s.stop)
	<-s.done
	return s.err
}
