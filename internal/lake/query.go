package lake

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

// Result is what a query returned.
type Result struct {
	Columns []Column
	// Rows hold nil, bool, int64, float64, string, []byte and time.Time. A decimal is its text, so that no digit is
	// lost; a nested value is JSON text.
	Rows [][]any
	// Truncated tells that there were more rows than asked for.
	Truncated bool
}

// Param is a named value that a statement uses as @name or :name. It is bound, never pasted into the text.
type Param struct {
	Name  string
	Value any // nil, bool, any number, string, []byte or time.Time
}

// Query runs one SELECT over the tables of all zones and returns at most limit rows; 0 means all. Anything but a SELECT
// is [ErrRefused].
func (l *Lake) Query(ctx context.Context, text string, limit int, params ...Param) (Result, error) {
	s, body, err := l.prepare(ctx, text, params)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	return s.query(ctx, body, limit)
}

// prepare opens a session in which the SELECT in text, or the table that it names, can be run as body.
func (l *Lake) prepare(ctx context.Context, text string, params []Param) (*session, string, error) {
	if n, err := ParseName(text); err == nil {
		text = "SELECT * FROM " + n.String()
	}
	stmts, err := parseScript(text)
	if err != nil {
		return nil, "", err
	}
	if len(stmts) != 1 || stmts[0].kind != kindSelect {
		return nil, "", fmt.Errorf("%w: a query is one SELECT", ErrRefused)
	}
	var names []string
	for _, p := range params {
		names = append(names, p.Name)
	}
	body, err := sqltext.Render(stmts[0].body, names)
	if err != nil {
		return nil, "", err
	}
	s, err := l.open(ctx, sessionKind{ordered: true})
	if err != nil {
		return nil, "", err
	}
	if err = s.bind(ctx, params); err == nil {
		err = s.show(ctx, l.tables(stmts[0].tokens))
	}
	if err != nil {
		s.close()
		return nil, "", err
	}
	return s, body, nil
}

// query runs a checked SELECT.
func (s *session) query(ctx context.Context, body string, limit int, args ...any) (Result, error) {
	rows, err := s.conn.QueryContext(ctx, body, args...)
	if err != nil {
		return Result{}, engineError(ctx, err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return Result{}, err
	}
	var res Result
	for _, t := range types {
		res.Columns = append(res.Columns, Column{Name: t.Name(), Type: resultType(t.DatabaseTypeName()), Nullable: true})
	}
	places := make([]any, len(types))
	for rows.Next() {
		if limit > 0 && len(res.Rows) == limit {
			res.Truncated = true
			break
		}
		row := make([]any, len(types))
		for i := range row {
			places[i] = &row[i]
		}
		if err := rows.Scan(places...); err != nil {
			return Result{}, engineError(ctx, err)
		}
		for i, v := range row {
			if row[i], err = value(v, res.Columns[i].Type); err != nil {
				return Result{}, fmt.Errorf("column %s: %w", res.Columns[i].Name, err)
			}
		}
		res.Rows = append(res.Rows, row)
	}
	return res, engineError(ctx, rows.Err())
}

// resultType is the Delta type of a result's column; a nested one is string, as its value becomes JSON text.
func resultType(engine string) string {
	t, _, err := deltaType(engine)
	if err != nil {
		return "string"
	}
	return t
}

// value makes an engine's value one of the few kinds that [Result] promises.
func value(v any, typ string) (any, error) {
	switch x := plain(v).(type) {
	case nil, bool, int64, float64, string:
		return x, nil
	case []byte:
		if typ == "string" {
			return string(x), nil
		}
		return x, nil
	case int8, int16, int32, int, uint8, uint16, uint32:
		n, _ := toInt(x)
		return n, nil
	case uint64:
		return fmt.Sprint(x), nil
	case float32:
		return float64(x), nil
	case map[string]any, []any:
		b, err := json.Marshal(nested(x))
		return string(b), err
	default:
		return x, nil
	}
}

// nested makes what is inside a nested value fit for JSON.
func nested(v any) any {
	switch x := plain(v).(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = nested(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = nested(e)
		}
		return out
	default:
		return x
	}
}
