package connect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// generic is a connection through database/sql, for the drivers whose own protocol layer offers nothing better.
type generic struct {
	conf   Config
	pool   *sql.DB
	conn   *sql.Conn
	tx     sql.TxOptions
	tables string
	typeOf func(*sql.ColumnType) (string, converter)
}

// converter turns what the driver gives into a value of the Delta type; why as in decoder.
type converter func(v any) (out any, why string)

func (g *generic) open(ctx context.Context, setup ...string) (Database, error) {
	g.pool.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := g.pool.Conn(ctx)
	if err != nil {
		g.pool.Close()
		return nil, err
	}
	g.conn = conn
	for _, s := range setup {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			g.Close()
			return nil, err
		}
	}
	return g, nil
}

func (g *generic) Tables(ctx context.Context) ([]Table, error) { return listTables(ctx, g, g.tables) }

func (g *generic) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	ctx, cancel := context.WithCancel(ctx)
	tx, err := g.conn.BeginTx(ctx, &g.tx)
	if err != nil {
		cancel()
		return nil, explain(g.conf, err)
	}
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		_ = tx.Rollback()
		cancel()
		return nil, explain(g.conf, err)
	}
	r := &genericRows{conf: g.conf, cancel: cancel, tx: tx, rows: rows}
	types, err := rows.ColumnTypes()
	if err != nil {
		r.Close()
		return nil, explain(g.conf, err)
	}
	for _, t := range types {
		name, convert := g.typeOf(t)
		r.columns = append(r.columns, Column{Name: t.Name(), Type: name})
		r.convert = append(r.convert, convert)
	}
	r.values = make([]any, len(types))
	r.places = make([]any, len(types))
	for i := range r.values {
		r.places[i] = &r.values[i]
	}
	return r, nil
}

func (g *generic) Close() error {
	if g.conn != nil {
		_ = g.conn.Close()
	}
	return g.pool.Close()
}

type genericRows struct {
	conf    Config
	cancel  context.CancelFunc
	tx      *sql.Tx
	rows    *sql.Rows
	columns []Column
	convert []converter
	values  []any
	places  []any
}

func (r *genericRows) Columns() []Column { return r.columns }

func (r *genericRows) Next(row []any) (bool, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return false, explain(r.conf, err)
		}
		return false, nil
	}
	if err := r.rows.Scan(r.places...); err != nil {
		return false, explain(r.conf, err)
	}
	for i, v := range r.values {
		if v == nil {
			row[i] = nil
			continue
		}
		out, why := r.convert[i](v)
		if why != "" {
			return true, &ValueError{Column: r.columns[i].Name, Why: why}
		}
		row[i] = out
	}
	return true, nil
}

// Close cancels first: a driver that is in the middle of a result would read it to its end.
func (r *genericRows) Close() error {
	r.cancel()
	_ = r.rows.Close()
	_ = r.tx.Rollback()
	return nil
}

func toText(v any) (any, string) {
	switch v := v.(type) {
	case []byte:
		return string(v), ""
	case string:
		return v, ""
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999999999Z"), ""
	}
	return fmt.Sprint(v), ""
}

func toTime(v any) (any, string) {
	t, ok := v.(time.Time)
	if !ok {
		return nil, "a date that is not one"
	}
	if t.IsZero() {
		return nil, "a zero date"
	}
	return bounded(t.UTC())
}

func toFloat(v any) (any, string) {
	switch v := v.(type) {
	case float64:
		return v, ""
	case float32:
		return float64(v), ""
	case int64:
		return float64(v), ""
	}
	var f float64
	if _, err := fmt.Sscan(textOf(v), &f); err != nil {
		return nil, "not a number"
	}
	return f, ""
}

func toInt(v any) (any, string) {
	switch v := v.(type) {
	case int64:
		return v, ""
	case uint64:
		if v > 1<<63-1 {
			return nil, "a number beyond 64 bits with sign"
		}
		return int64(v), ""
	case bool:
		if v {
			return int64(1), ""
		}
		return int64(0), ""
	}
	var n int64
	if _, err := fmt.Sscan(textOf(v), &n); err != nil {
		return nil, "not a whole number"
	}
	return n, ""
}

func toBytes(v any) (any, string) {
	switch v := v.(type) {
	case []byte:
		return append([]byte{}, v...), ""
	case string:
		return []byte(v), ""
	}
	return nil, "not binary"
}

func textOf(v any) string {
	s, _ := toText(v)
	return strings.TrimSpace(s.(string))
}

// decimalOf gives the type for a declared decimal; wider ones than Delta knows are kept as text.
func decimalOf(t *sql.ColumnType) string {
	precision, scale, ok := t.DecimalSize()
	if !ok || precision <= 0 || precision > maxPrecision || scale < 0 || scale > precision {
		return "string"
	}
	return decimalType(int(precision), int(scale))
}
