package lake

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/lake/delta"
)

// longestStat is the longest text that is written down as a bound. A shorter prefix would be a wrong upper bound.
const longestStat = 32

// fileStats turns the engine's account of a file into the statistics of an add action. A bound that has no exact form
// there is left out: readers skip files by these.
func fileStats(rows int64, engine any, schema delta.Schema) string {
	types := map[string]string{}
	for _, f := range schema.Fields {
		types[f.Name] = f.Type
	}
	low, high, nulls := map[string]any{}, map[string]any{}, map[string]int64{}
	for col, st := range engineMap(engine) {
		if s, ok := strings.CutPrefix(col, `"`); ok {
			col = strings.ReplaceAll(strings.TrimSuffix(s, `"`), `""`, `"`)
		}
		typ, ok := types[col]
		if !ok {
			continue
		}
		m := engineMap(st)
		if n, err := strconv.ParseInt(fmt.Sprint(m["null_count"]), 10, 64); err == nil {
			nulls[col] = n
		}
		lo, okLo := m["min"].(string)
		hi, okHi := m["max"].(string)
		if !okLo || !okHi || fmt.Sprint(m["has_nan"]) == "true" {
			continue
		}
		a, okLo := bound(typ, lo, false)
		b, okHi := bound(typ, hi, true)
		if okLo && okHi {
			low[col], high[col] = a, b
		}
	}
	b, err := json.Marshal(map[string]any{"numRecords": rows, "minValues": low, "maxValues": high, "nullCount": nulls})
	if err != nil { // Every value above has a JSON form.
		return fmt.Sprintf(`{"numRecords":%d}`, rows)
	}
	return string(b)
}

// bound gives the smallest or largest value of a column its JSON form.
func bound(typ, text string, upper bool) (any, bool) {
	switch typ {
	case "byte", "short", "integer", "long":
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case "float", "double":
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	case "string":
		return text, len(text) <= longestStat
	case "date":
		_, err := time.Parse(time.DateOnly, text)
		return text, err == nil
	case "timestamp":
		t, err := time.Parse("2006-01-02 15:04:05.999999-07", text)
		if err != nil {
			return nil, false
		}
		ms := t.UTC().Truncate(time.Millisecond)
		if upper && ms.Before(t) { // The protocol has milliseconds; the bound must not be too low.
			ms = ms.Add(time.Millisecond)
		}
		return ms.Format("2006-01-02T15:04:05.000Z"), true
	}
	return nil, false
}
