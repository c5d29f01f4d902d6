//go:build !(cgo && duckdb_arrow)

package lake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// batchRows is how many rows a batch has at most.
const batchRows = 8192

// rowBatches makes batches of single rows: what a build without the tag duckdb_arrow can do.
type rowBatches struct {
	ctx     context.Context
	s       *session
	rows    *sql.Rows
	types   []string
	builder *array.RecordBuilder
}

func (s *session) batches(ctx context.Context, body string) (Batches, error) {
	cols, err := s.describe(ctx, body)
	if err != nil {
		return nil, err
	}
	b := &rowBatches{ctx: ctx, s: s}
	fields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		typ := resultType(c.Type)
		b.types = append(b.types, typ)
		fields[i] = arrow.Field{Name: c.Name, Type: arrowType(typ), Nullable: true}
	}
	if b.rows, err = s.conn.QueryContext(ctx, body); err != nil {
		return nil, engineError(ctx, err)
	}
	b.builder = array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	return b, nil
}

func arrowType(typ string) arrow.DataType {
	switch typ {
	case "byte", "short", "integer", "long":
		return arrow.PrimitiveTypes.Int64
	case "float", "double":
		return arrow.PrimitiveTypes.Float64
	case "boolean":
		return arrow.FixedWidthTypes.Boolean
	case "date":
		return arrow.FixedWidthTypes.Date32
	case "timestamp":
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case "binary":
		return arrow.BinaryTypes.Binary
	}
	if p, s, ok := decimal(typ); ok {
		return &arrow.Decimal128Type{Precision: int32(p), Scale: int32(s)}
	}
	return arrow.BinaryTypes.String
}

func (b *rowBatches) Schema() *arrow.Schema { return b.builder.Schema() }

func (b *rowBatches) Next() (arrow.RecordBatch, error) {
	row, places := make([]any, len(b.types)), make([]any, len(b.types))
	for i := range row {
		places[i] = &row[i]
	}
	n := 0
	for n < batchRows && b.rows.Next() {
		if err := b.rows.Scan(places...); err != nil {
			return nil, engineError(b.ctx, err)
		}
		for i, v := range row {
			if err := b.append(i, v); err != nil {
				return nil, fmt.Errorf("column %s: %w", b.Schema().Field(i).Name, err)
			}
		}
		n++
	}
	if err := b.rows.Err(); err != nil {
		return nil, engineError(b.ctx, err)
	}
	if n == 0 {
		return nil, io.EOF
	}
	return b.builder.NewRecordBatch(), nil
}

func (b *rowBatches) append(i int, raw any) error {
	v, err := value(raw, b.types[i])
	if err != nil {
		return err
	}
	f := b.builder.Field(i)
	switch x := v.(type) {
	case nil:
		f.AppendNull()
		return nil
	case time.Time:
		switch f := f.(type) {
		case *array.Date32Builder:
			f.Append(arrow.Date32FromTime(x))
			return nil
		case *array.TimestampBuilder:
			f.Append(arrow.Timestamp(x.UnixMicro()))
			return nil
		}
	case int64:
		if f, ok := f.(*array.Int64Builder); ok {
			f.Append(x)
			return nil
		}
	case float64:
		if f, ok := f.(*array.Float64Builder); ok {
			f.Append(x)
			return nil
		}
	case bool:
		if f, ok := f.(*array.BooleanBuilder); ok {
			f.Append(x)
			return nil
		}
	case []byte:
		if f, ok := f.(*array.BinaryBuilder); ok {
			f.Append(x)
			return nil
		}
	case string:
		return f.AppendValueFromString(x)
	}
	return errors.New("the value does not fit its column")
}

func (b *rowBatches) Close() error {
	if b.rows == nil {
		return nil
	}
	err := b.rows.Close()
	b.rows = nil
	b.builder.Release()
	b.s.close()
	return err
}
