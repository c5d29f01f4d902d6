package activity

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// batchRows is how many rows are put into one batch.
const batchRows = 8192

// rowBatches puts rows into batches.
type rowBatches struct {
	rows    *mappedRows
	builder *array.RecordBuilder
	row     []any
	ended   bool
}

func newRowBatches(rows *mappedRows) (*rowBatches, error) {
	var fields []arrow.Field
	for _, c := range rows.Columns() {
		t, err := arrowTypeOf(c.Type)
		if err != nil {
			return nil, refuse(CodeUnsupported, "column %q: %s", c.Name, err)
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: t, Nullable: true})
	}
	return &rowBatches{
		rows: rows, row: make([]any, len(fields)),
		builder: array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil)),
	}, nil
}

func arrowTypeOf(kind string) (arrow.DataType, error) {
	switch kind {
	case "boolean":
		return arrow.FixedWidthTypes.Boolean, nil
	case "byte", "short":
		return arrow.PrimitiveTypes.Int16, nil
	case "integer":
		return arrow.PrimitiveTypes.Int32, nil
	case "long":
		return arrow.PrimitiveTypes.Int64, nil
	case "float":
		return arrow.PrimitiveTypes.Float32, nil
	case "double":
		return arrow.PrimitiveTypes.Float64, nil
	case "string":
		return arrow.BinaryTypes.String, nil
	case "binary":
		return arrow.BinaryTypes.Binary, nil
	case "date":
		return arrow.FixedWidthTypes.Date32, nil
	case "timestamp":
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, nil
	}
	var precision, scale int32
	if n, _ := fmt.Sscanf(kind, "decimal(%d,%d)", &precision, &scale); n == 2 {
		return &arrow.Decimal128Type{Precision: precision, Scale: scale}, nil
	}
	return nil, fmt.Errorf("type %q cannot be published", kind)
}

func (b *rowBatches) Schema() *arrow.Schema { return b.builder.Schema() }

func (b *rowBatches) Next() (arrow.RecordBatch, error) {
	n := 0
	for ; n < batchRows && !b.ended; n++ {
		more, err := b.rows.Next(b.row)
		if err != nil {
			return nil, err
		}
		if !more {
			b.ended = true
			break
		}
		for i, v := range b.row {
			if err := appendValue(b.builder.Field(i), v); err != nil {
				return nil, fail(CodeIncompatible, "row %s, column %q: %s", thousands(b.rows.count), b.rows.Columns()[i].Name, err)
			}
		}
	}
	if n == 0 {
		return nil, io.EOF
	}
	return b.builder.NewRecordBatch(), nil
}

func (b *rowBatches) Close() error {
	b.builder.Release()
	b.rows.Close()
	return nil
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// appendValue adds a value of connect's kinds to a column. Between types that are not the same it is refused: a cast
// belongs into the query.
func appendValue(to array.Builder, v any) error {
	switch v := v.(type) {
	case nil:
		to.AppendNull()
		return nil
	case bool:
		if to, ok := to.(*array.BooleanBuilder); ok {
			to.Append(v)
			return nil
		}
	case int64:
		return appendInt(to, v)
	case float64:
		switch to := to.(type) {
		case *array.Float64Builder:
			to.Append(v)
			return nil
		case *array.Float32Builder:
			to.Append(float32(v))
			return nil
		}
	case []byte:
		if to, ok := to.(*array.BinaryBuilder); ok {
			to.Append(v)
			return nil
		}
	case time.Time:
		switch to := to.(type) {
		case *array.Date32Builder:
			to.Append(arrow.Date32FromTime(v))
			return nil
		case *array.TimestampBuilder:
			to.Append(arrow.Timestamp(v.UnixMicro()))
			return nil
		}
	case string:
		switch to := to.(type) {
		case *array.StringBuilder:
			to.Append(v)
			return nil
		default:
			if to.AppendValueFromString(v) == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("a %T is no %s; cast it in the query", v, to.Type())
}

func appendInt(to array.Builder, v int64) error {
	switch to := to.(type) {
	case *array.Int64Builder:
		to.Append(v)
		return nil
	case *array.Int32Builder:
		if v == int64(int32(v)) {
			to.Append(int32(v))
			return nil
		}
	case *array.Int16Builder:
		if v == int64(int16(v)) {
			to.Append(int16(v))
			return nil
		}
	case *array.Float64Builder:
		to.Append(float64(v))
		return nil
	}
	return fmt.Errorf("a whole number does not fit %s; cast it in the query", to.Type())
}
