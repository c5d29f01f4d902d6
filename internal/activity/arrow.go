package activity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/lake"
)

// arrowRows reads batches of the lake row by row.
type arrowRows struct {
	batches lake.Batches
	columns []connect.Column
	read    []func(a arrow.Array, i int) any
	batch   arrow.RecordBatch
	at      int
}

func newArrowRows(b lake.Batches) (*arrowRows, error) {
	r := &arrowRows{batches: b}
	for _, f := range b.Schema().Fields() {
		kind, get := arrowType(f.Type)
		r.columns = append(r.columns, connect.Column{Name: f.Name, Type: kind})
		r.read = append(r.read, get)
	}
	return r, nil
}

func (r *arrowRows) Columns() []connect.Column { return r.columns }

func (r *arrowRows) Next(row []any) (bool, error) {
	for r.batch == nil || r.at >= int(r.batch.NumRows()) {
		if r.batch != nil {
			r.batch.Release()
			r.batch = nil
		}
		batch, err := r.batches.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		r.batch, r.at = batch, 0
	}
	for i, get := range r.read {
		if a := r.batch.Column(i); a.IsNull(r.at) {
			row[i] = nil
		} else {
			row[i] = get(a, r.at)
		}
	}
	r.at++
	return true, nil
}

func (r *arrowRows) Close() error {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
	return r.batches.Close()
}

// arrowType maps Arrow's types to Delta's, with a reader. Values are copied: a batch's memory is the engine's. What has
// no Delta type of its own is its JSON.
func arrowType(t arrow.DataType) (string, func(arrow.Array, int) any) {
	switch t := t.(type) {
	case *arrow.BooleanType:
		return "boolean", func(a arrow.Array, i int) any { return a.(*array.Boolean).Value(i) }
	case *arrow.Int8Type:
		return "byte", func(a arrow.Array, i int) any { return int64(a.(*array.Int8).Value(i)) }
	case *arrow.Int16Type:
		return "short", func(a arrow.Array, i int) any { return int64(a.(*array.Int16).Value(i)) }
	case *arrow.Int32Type:
		return "integer", func(a arrow.Array, i int) any { return int64(a.(*array.Int32).Value(i)) }
	case *arrow.Int64Type:
		return "long", func(a arrow.Array, i int) any { return a.(*array.Int64).Value(i) }
	case *arrow.Uint8Type:
		return "short", func(a arrow.Array, i int) any { return int64(a.(*array.Uint8).Value(i)) }
	case *arrow.Uint16Type:
		return "integer", func(a arrow.Array, i int) any { return int64(a.(*array.Uint16).Value(i)) }
	case *arrow.Uint32Type:
		return "long", func(a arrow.Array, i int) any { return int64(a.(*array.Uint32).Value(i)) }
	case *arrow.Uint64Type:
		return "decimal(20,0)", func(a arrow.Array, i int) any { return fmt.Sprint(a.(*array.Uint64).Value(i)) }
	case *arrow.Float32Type:
		return "float", func(a arrow.Array, i int) any { return float64(a.(*array.Float32).Value(i)) }
	case *arrow.Float64Type:
		return "double", func(a arrow.Array, i int) any { return a.(*array.Float64).Value(i) }
	case *arrow.StringType:
		return "string", func(a arrow.Array, i int) any { return string([]byte(a.(*array.String).Value(i))) }
	case *arrow.LargeStringType:
		return "string", func(a arrow.Array, i int) any { return string([]byte(a.(*array.LargeString).Value(i))) }
	case *arrow.BinaryType:
		return "binary", func(a arrow.Array, i int) any { return append([]byte{}, a.(*array.Binary).Value(i)...) }
	case *arrow.Date32Type:
		return "date", func(a arrow.Array, i int) any { return a.(*array.Date32).Value(i).ToTime() }
	case *arrow.TimestampType:
		unit := t.Unit
		return "timestamp", func(a arrow.Array, i int) any { return a.(*array.Timestamp).Value(i).ToTime(unit).UTC() }
	case *arrow.Decimal128Type:
		if t.Precision <= 38 {
			scale := t.Scale
			return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale), func(a arrow.Array, i int) any {
				return a.(*array.Decimal128).Value(i).ToString(scale)
			}
		}
	}
	return "string", func(a arrow.Array, i int) any {
		switch v := a.GetOneForMarshal(i).(type) {
		case string:
			return v
		case time.Time:
			return v.UTC().Format(time.RFC3339Nano)
		default:
			text, err := json.Marshal(v)
			if err != nil {
				return a.ValueStr(i)
			}
			return string(text)
		}
	}
}
