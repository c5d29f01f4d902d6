package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ColumnProfile describes the values of one column.
type ColumnProfile struct {
	Column   Column
	Rows     int64
	Missing  int64   // rows without a value
	Share    float64 // Missing / Rows; 0 for an empty table
	Distinct int64   // approximate, some percent off for large numbers
	Min, Max any     // as in [Result]; nil when there is no value
	Buckets  []Bucket
	Top      []ValueCount
}

// Bucket is one bar of a histogram of numbers or times: values from From up to, but without, To; the last has both ends.
type Bucket struct {
	From, To any // float64 or time.Time
	Count    int64
}

// ValueCount is how often a value occurs.
type ValueCount struct {
	Value string
	Count int64
}

const (
	histogramBuckets = 20
	// fewValued is how many different texts a column may have for its most frequent ones to be counted.
	fewValued = 50
	topValues = 10
)

// Preview returns the first n rows of a table; which these are is not defined.
func (l *Lake) Preview(ctx context.Context, n Name, rows int) (Result, error) {
	if _, err := l.snapshot(ctx, n); err != nil {
		return Result{}, err
	}
	if rows <= 0 {
		return Result{}, errors.New("preview: want at least one row")
	}
	return l.Query(ctx, fmt.Sprintf("SELECT * FROM %s LIMIT %d", n, rows), rows)
}

// Profile describes every column of a table. It reads the whole table once, and each column that gets a histogram or
// a count of values once more.
func (l *Lake) Profile(ctx context.Context, n Name) ([]ColumnProfile, error) {
	snap, err := l.snapshot(ctx, n)
	if err != nil {
		return nil, err
	}
	s, err := l.open(ctx, sessionKind{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.show(ctx, []Name{n}); err != nil {
		return nil, err
	}
	list := []string{"count(*)"}
	cols := columns(snap.Schema)
	for _, c := range cols {
		q := quoteName(c.Name)
		bounds := "min(" + q + "), max(" + q + ")"
		if !ordered(c.Type) {
			bounds = "NULL, NULL"
		}
		list = append(list, "count("+q+"), approx_count_distinct("+q+"), "+bounds)
	}
	res, err := s.query(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+quoteTable(n), 1)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", n, err)
	}
	row := res.Rows[0]
	total := row[0].(int64)
	out := make([]ColumnProfile, len(cols))
	for i, c := range cols {
		cell := row[1+4*i : 5+4*i]
		p := ColumnProfile{Column: c, Rows: total, Missing: total - cell[0].(int64), Distinct: cell[1].(int64), Min: cell[2], Max: cell[3]}
		if total > 0 {
			p.Share = float64(p.Missing) / float64(total)
		}
		if p.Distinct > total-p.Missing { // An estimate may exceed what is possible.
			p.Distinct = total - p.Missing
		}
		if err := s.shape(ctx, n, &p); err != nil {
			return nil, fmt.Errorf("profile %s, column %s: %w", n, c.Name, err)
		}
		out[i] = p
	}
	return out, nil
}

// ordered reports whether a type has a smallest and a largest value that say something.
func ordered(typ string) bool {
	t, ok := readType(typ)
	return ok && t != "BLOB"
}

// shape adds the histogram or the frequent values.
func (s *session) shape(ctx context.Context, n Name, p *ColumnProfile) error {
	if p.Rows == p.Missing {
		return nil
	}
	_, _, isDecimal := decimal(p.Column.Type)
	switch p.Column.Type {
	case "byte", "short", "integer", "long", "float", "double":
		return s.histogram(ctx, n, p, false)
	case "date", "timestamp", "timestamp_ntz":
		return s.histogram(ctx, n, p, true)
	case "string", "boolean":
		if p.Distinct <= fewValued {
			return s.top(ctx, n, p)
		}
		return nil
	}
	if isDecimal {
		return s.histogram(ctx, n, p, false)
	}
	return nil
}

func (s *session) histogram(ctx context.Context, n Name, p *ColumnProfile, times bool) error {
	x := "CAST(" + quoteName(p.Column.Name) + " AS DOUBLE)"
	if times {
		x = "epoch(CAST(" + quoteName(p.Column.Name) + " AS TIMESTAMP))"
	}
	res, err := s.query(ctx, fmt.Sprintf(`WITH v AS (SELECT %s AS x FROM %s WHERE %s IS NOT NULL), f AS (SELECT x FROM v WHERE isfinite(x)), b AS (SELECT min(x) AS lo, max(x) AS hi FROM f)
		SELECT lo, hi, CAST(CASE WHEN hi = lo THEN 0 ELSE least(floor((x / 2 - lo / 2) / (hi / 2 - lo / 2) * %d), %d) END AS BIGINT) AS bucket, count(*)
		FROM f, b GROUP BY ALL ORDER BY bucket`, x, quoteTable(n), quoteName(p.Column.Name), histogramBuckets, histogramBuckets-1), 0)
	if err != nil || len(res.Rows) == 0 {
		return err
	}
	lo, hi := res.Rows[0][0].(float64), res.Rows[0][1].(float64)
	buckets := histogramBuckets
	if lo == hi {
		buckets = 1
	}
	edge := func(i int) any {
		share := float64(i) / float64(buckets)
		at := lo*(1-share) + hi*share
		if times {
			return time.UnixMicro(int64(at * 1e6)).UTC()
		}
		return at
	}
	p.Buckets = make([]Bucket, buckets)
	for i := range p.Buckets {
		p.Buckets[i] = Bucket{From: edge(i), To: edge(i + 1)}
	}
	for _, r := range res.Rows {
		p.Buckets[r[2].(int64)].Count = r[3].(int64)
	}
	return nil
}

func (s *session) top(ctx context.Context, n Name, p *ColumnProfile) error {
	q := quoteName(p.Column.Name)
	res, err := s.query(ctx, fmt.Sprintf("SELECT CAST(%s AS VARCHAR) AS value, count(*) FROM %s WHERE %s IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d", q, quoteTable(n), q, topValues), 0)
	if err != nil {
		return err
	}
	for _, r := range res.Rows {
		p.Top = append(p.Top, ValueCount{Value: r[0].(string), Count: r[1].(int64)})
	}
	return nil
}
