package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/lake/delta"
)

// RowSource gives rows one by one. Next fills row, which has one place for each column, and returns false after the
// last. It is called from one goroutine at a time. Values are nil, bool, any Go number, string, []byte, time.Time or
// something with a String method; what does not fit its column's type is refused with the column's name.
type RowSource interface {
	Columns() []Column
	Next(row []any) (ok bool, err error)
}

// progressEvery is how many rows lie between two reports of progress.
const progressEvery = 100_000

// WriteRows writes all rows of src to table n as one version. Rows are streamed: memory does not grow with their
// number. An error of the source ends the write and leaves the table as it was. progress, which may be nil, is called
// with the number of rows read so far.
func (l *Lake) WriteRows(ctx context.Context, n Name, src RowSource, mode Mode, c Commit, progress func(int64)) (Written, error) {
	w, err := l.writeRows(ctx, n, src, mode, c, progress)
	if err != nil {
		return Written{}, fmt.Errorf("write %s: %w", n, err)
	}
	return w, nil
}

func (l *Lake) writeRows(ctx context.Context, n Name, src RowSource, mode Mode, c Commit, progress func(int64)) (Written, error) {
	fit, err := l.fit(ctx, n, mode)
	if err != nil {
		return Written{}, err
	}
	if w, ok, err := l.repeated(ctx, n, c.Key); ok || err != nil {
		return w, err
	}
	feed, err := newRowFeed(ctx, src, progress)
	if err != nil {
		return Written{}, err
	}
	s, err := l.open(ctx, sessionKind{writes: true})
	if err != nil {
		return Written{}, err
	}
	defer s.close()
	if err := registerRows(s.conn, "source_rows", feed, l.opts.Threads); err != nil {
		return Written{}, err
	}
	st, err := l.stage(ctx, s, n, "SELECT * FROM source_rows()", fit)
	if feed.err != nil {
		if st != nil {
			st.discard()
		}
		return Written{}, feed.err
	}
	if err != nil {
		return Written{}, err
	}
	if progress != nil {
		progress(feed.count)
	}
	return l.commit(ctx, n, st, change{mode: mode, commit: c, read: feed.count})
}

// fit returns the schema that appended rows must have, or nil when they may have any.
func (l *Lake) fit(ctx context.Context, n Name, mode Mode) (*delta.Schema, error) {
	snap, err := l.snapshot(ctx, n)
	if errors.Is(err, ErrNotFound) && l.hasZone(n.Zone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := snap.Writable(mode == Overwrite); err != nil {
		return nil, err
	}
	if mode == Overwrite {
		return nil, nil
	}
	return &snap.Schema, nil
}

// rowFeed checks and converts the rows of a source.
type rowFeed struct {
	ctx      context.Context
	src      RowSource
	columns  []Column
	convert  []func(any) (any, error)
	row      []any
	count    int64
	done     bool
	err      error // the first error; the engine would only keep its text
	progress func(int64)
}

func newRowFeed(ctx context.Context, src RowSource, progress func(int64)) (*rowFeed, error) {
	f := &rowFeed{ctx: ctx, src: src, columns: src.Columns(), progress: progress}
	if len(f.columns) == 0 {
		return nil, errors.New("the source has no columns")
	}
	seen := map[string]bool{}
	for _, c := range f.columns {
		if seen[strings.ToLower(c.Name)] {
			return nil, fmt.Errorf("column %s: the name occurs twice (case does not count)", c.Name)
		}
		seen[strings.ToLower(c.Name)] = true
		if _, err := engineType(c.Type); err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		f.convert = append(f.convert, converter(c.Type))
	}
	f.row = make([]any, len(f.columns))
	return f, nil
}

// next returns the next row with values as the engine takes them, or nil after the last.
func (f *rowFeed) next() ([]any, error) {
	if f.done {
		return nil, nil
	}
	ok, err := f.src.Next(f.row)
	if err != nil {
		return nil, f.fail(err)
	}
	if !ok {
		f.done = true
		return nil, nil
	}
	f.count++
	for i, v := range f.row {
		if v == nil {
			continue
		}
		if f.row[i], err = f.convert[i](v); err != nil {
			return nil, f.fail(fmt.Errorf("row %d, column %s: %w", f.count, f.columns[i].Name, err))
		}
	}
	if f.count%progressEvery == 0 {
		if err := f.ctx.Err(); err != nil {
			return nil, f.fail(context.Cause(f.ctx))
		}
		if f.progress != nil {
			f.progress(f.count)
		}
	}
	return f.row, nil
}

func (f *rowFeed) fail(err error) error {
	f.done = true
	if f.err == nil {
		f.err = err
	}
	return err
}

// decimalValue is a decimal for the engine.
type decimalValue struct {
	precision, scale uint8
	unscaled         *big.Int
}

// errMisfit has no value in it: values are patients' data and errors end in logs.
func errMisfit(v any, typ string) error { return fmt.Errorf("a %T that is no %s", v, typ) }

// converter returns the function that makes a value fit for a column of type typ.
func converter(typ string) func(any) (any, error) {
	switch typ {
	case "string":
		return toText
	case "byte":
		return whole(math.MinInt8, math.MaxInt8, typ, func(n int64) any { return int8(n) })
	case "short":
		return whole(math.MinInt16, math.MaxInt16, typ, func(n int64) any { return int16(n) })
	case "integer":
		return whole(math.MinInt32, math.MaxInt32, typ, func(n int64) any { return int32(n) })
	case "long":
		return whole(math.MinInt64, math.MaxInt64, typ, func(n int64) any { return n })
	case "float":
		return func(v any) (any, error) {
			f, ok := toFloat(v)
			if !ok {
				return nil, errMisfit(v, typ)
			}
			return float32(f), nil
		}
	case "double":
		return func(v any) (any, error) {
			if _, ok := v.(float64); ok {
				return v, nil
			}
			if f, ok := toFloat(v); ok {
				return f, nil
			}
			return nil, errMisfit(v, typ)
		}
	case "boolean":
		return toBool
	case "date", "timestamp":
		return func(v any) (any, error) {
			if t, ok := v.(time.Time); ok && t.Location() == time.UTC {
				return v, nil
			}
			if t, ok := toTime(v); ok {
				return t, nil
			}
			return nil, errMisfit(v, typ)
		}
	case "binary":
		return func(v any) (any, error) {
			switch x := v.(type) {
			case []byte:
				return x, nil
			case string:
				return []byte(x), nil
			}
			return nil, errMisfit(v, typ)
		}
	}
	p, s, _ := decimal(typ)
	return func(v any) (any, error) { return toDecimal(v, p, s, typ) }
}

func toText(v any) (any, error) {
	switch x := v.(type) {
	case string:
		return v, nil // As it is: putting x into an interface again would cost an allocation.
	case []byte:
		return string(x), nil
	case time.Time:
		return x.Format(time.RFC3339Nano), nil
	case fmt.Stringer:
		return x.String(), nil
	case map[string]any, []any:
		b, err := json.Marshal(x)
		return string(b), err
	}
	return fmt.Sprint(v), nil
}

func whole(low, high int64, typ string, make func(int64) any) func(any) (any, error) {
	return func(v any) (any, error) {
		if _, ok := v.(int64); ok && typ == "long" {
			return v, nil
		}
		n, ok := toInt(v)
		if !ok || n < low || n > high {
			return nil, errMisfit(v, typ)
		}
		return make(n), nil
	}
}

func toInt(v any) (int64, bool) {
	switch x := v.(type) {
	case int64:
		return x, true
	case int32:
		return int64(x), true
	case int16:
		return int64(x), true
	case int8:
		return int64(x), true
	case int:
		return int64(x), true
	case uint8:
		return int64(x), true
	case uint16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case uint64:
		return int64(x), x <= math.MaxInt64
	case uint:
		return int64(x), uint64(x) <= math.MaxInt64
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case float64:
		return int64(x), x == math.Trunc(x) && math.Abs(x) < 1<<62
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(x), 10, 64)
		return n, err == nil
	case []byte:
		return toInt(string(x))
	case fmt.Stringer:
		return toInt(x.String())
	}
	return 0, false
}

func toFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		return f, err == nil
	case []byte:
		return toFloat(string(x))
	}
	if n, ok := toInt(v); ok {
		return float64(n), true
	}
	if s, ok := v.(fmt.Stringer); ok {
		return toFloat(s.String())
	}
	return 0, false
}

func toBool(v any) (any, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case string:
		if b, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(x))); err == nil {
			return b, nil
		}
	case []byte:
		return toBool(string(x))
	default:
		if n, ok := toInt(v); ok && (n == 0 || n == 1) {
			return n == 1, nil
		}
	}
	return nil, errMisfit(v, "boolean")
}

// timeForms are the texts that are taken as a time. One without a zone is UTC.
var timeForms = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly}

func toTime(v any) (time.Time, bool) {
	switch x := v.(type) {
	case time.Time:
		return x.UTC(), true
	case string:
		for _, form := range timeForms {
			if t, err := time.Parse(form, x); err == nil {
				return t.UTC(), true
			}
		}
	case []byte:
		return toTime(string(x))
	}
	return time.Time{}, false
}

func toDecimal(v any, precision, scale int, typ string) (any, error) {
	text, err := toText(v)
	if err != nil {
		return nil, err
	}
	r, ok := new(big.Rat).SetString(strings.TrimSpace(text.(string)))
	if !ok || strings.Contains(text.(string), "/") {
		return nil, errMisfit(v, typ)
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	if !r.IsInt() {
		return nil, fmt.Errorf("a %T with more than %d digits after the point", v, scale)
	}
	if limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil); r.Num().CmpAbs(limit) >= 0 {
		return nil, errMisfit(v, typ)
	}
	return decimalValue{precision: uint8(precision), scale: uint8(scale), unscaled: r.Num()}, nil
}
