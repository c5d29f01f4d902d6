//go:build cgo

package lake

import (
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"

	duckdb "github.com/duckdb/duckdb-go/v2"
)

// haveEngine tells that this binary contains the SQL engine.
const haveEngine = true

// openEngine returns a fresh engine that shares nothing with others and keeps its data in memory.
func openEngine() (*sql.DB, error) {
	c, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("start the lake engine: %w", err)
	}
	return sql.OpenDB(c), nil
}

// engineMessage returns the engine's words for an error, without the copy of the statement that it appends.
func engineMessage(err error) (string, bool) {
	var e *duckdb.Error
	if !errors.As(err, &e) {
		return "", false
	}
	return e.Msg, true
}

// engineMap reads a map value of the engine.
func engineMap(v any) map[string]any {
	out := map[string]any{}
	switch m := v.(type) {
	case duckdb.OrderedMap:
		keys, values := m.Keys(), m.Values()
		for i := range keys {
			out[fmt.Sprint(keys[i])] = values[i]
		}
	case duckdb.Map:
		for k, x := range m {
			out[fmt.Sprint(k)] = x
		}
	case map[string]any:
		return m
	}
	return out
}

// plain turns an engine's own value type into one that [Result] promises; other values are returned as they are.
func plain(v any) any {
	switch x := v.(type) {
	case duckdb.Decimal:
		return decimalText(x.Value, int(x.Scale))
	case *big.Int:
		if x.IsInt64() {
			return x.Int64()
		}
		return x.String()
	case duckdb.UUID:
		return x.String()
	case duckdb.Interval:
		return fmt.Sprintf("%d months %d days %d us", x.Months, x.Days, x.Micros)
	case duckdb.Map:
		m := map[string]any{}
		for k, e := range x {
			m[fmt.Sprint(plain(k))] = plain(e)
		}
		return m
	case duckdb.OrderedMap:
		return engineMap(x)
	}
	return v
}

// decimalText writes a decimal with all digits of its scale.
func decimalText(unscaled *big.Int, scale int) string {
	digits := new(big.Int).Abs(unscaled).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if unscaled.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

// registerRows makes src readable in SQL as a table function without arguments. Its rows are pulled while the
// statement runs; nothing is kept.
func registerRows(conn *sql.Conn, name string, src *rowFeed, threads int) error {
	infos := make([]duckdb.ColumnInfo, len(src.columns))
	for i, c := range src.columns {
		t, err := typeInfo(c.Type)
		if err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
		infos[i] = duckdb.ColumnInfo{Name: c.Name, T: t}
	}
	f := duckdb.ParallelChunkTableFunction{
		BindArguments: func(map[string]any, ...any) (duckdb.ParallelChunkTableSource, error) {
			return &chunkSource{feed: src, infos: infos, threads: threads}, nil
		},
	}
	return duckdb.RegisterTableUDF(conn, name, f)
}

func typeInfo(t string) (duckdb.TypeInfo, error) {
	if p, s, ok := decimal(t); ok {
		return duckdb.NewDecimalInfo(uint8(p), uint8(s))
	}
	kinds := map[string]duckdb.Type{
		"string": duckdb.TYPE_VARCHAR, "byte": duckdb.TYPE_TINYINT, "short": duckdb.TYPE_SMALLINT,
		"integer": duckdb.TYPE_INTEGER, "long": duckdb.TYPE_BIGINT, "float": duckdb.TYPE_FLOAT,
		"double": duckdb.TYPE_DOUBLE, "boolean": duckdb.TYPE_BOOLEAN, "date": duckdb.TYPE_DATE,
		"timestamp": duckdb.TYPE_TIMESTAMP_TZ, "binary": duckdb.TYPE_BLOB,
	}
	k, ok := kinds[t]
	if !ok {
		_, err := engineType(t)
		return nil, err
	}
	return duckdb.NewTypeInfo(k)
}

// chunkSource fills the engine's chunks from a feed. The engine asks from all of its threads: one at a time is filling,
// while the others sort, compress and write what they got.
type chunkSource struct {
	mu    sync.Mutex
	feed  *rowFeed
	infos []duckdb.ColumnInfo
	// threads is how many of the engine's threads may ask.
	threads int
}

func (s *chunkSource) ColumnInfos() []duckdb.ColumnInfo { return s.infos }
func (s *chunkSource) NewLocalState() any               { return nil }
func (s *chunkSource) Init() duckdb.ParallelTableSourceInfo {
	return duckdb.ParallelTableSourceInfo{MaxThreads: s.threads}
}
func (s *chunkSource) Cardinality() *duckdb.CardinalityInfo { return nil }

func (s *chunkSource) FillChunk(_ any, ch duckdb.DataChunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < duckdb.GetDataChunkCapacity(); n++ {
		row, err := s.feed.next()
		if err != nil {
			return err
		}
		if row == nil {
			break
		}
		for i, v := range row {
			if d, ok := v.(decimalValue); ok {
				v = duckdb.Decimal{Width: d.precision, Scale: d.scale, Value: d.unscaled}
			}
			if err := ch.SetValue(i, n, v); err != nil {
				return s.feed.fail(fmt.Errorf("column %s: %w", s.feed.columns[i].Name, err))
			}
		}
	}
	return ch.SetSize(n)
}
