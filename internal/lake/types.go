package lake

import (
	"fmt"
	"strconv"
	"strings"
)

// primitives pairs Delta's types with the engine's.
var primitives = []struct{ delta, engine string }{
	{"string", "VARCHAR"},
	{"byte", "TINYINT"},
	{"short", "SMALLINT"},
	{"integer", "INTEGER"},
	{"long", "BIGINT"},
	{"float", "FLOAT"},
	{"double", "DOUBLE"},
	{"boolean", "BOOLEAN"},
	{"date", "DATE"},
	{"timestamp", "TIMESTAMP WITH TIME ZONE"},
	{"timestamp_ntz", "TIMESTAMP"},
	{"binary", "BLOB"},
}

// engineType returns the engine's type for a Delta type that this package writes. Unknown ones are refused by name.
func engineType(t string) (string, error) {
	for _, p := range primitives {
		if p.delta == t && t != "timestamp_ntz" {
			return p.engine, nil
		}
	}
	if p, s, ok := decimal(t); ok {
		return fmt.Sprintf("DECIMAL(%d,%d)", p, s), nil
	}
	if t == "timestamp_ntz" {
		return "", fmt.Errorf("type timestamp_ntz cannot be written: it needs a newer table protocol; use timestamp")
	}
	return "", fmt.Errorf("type %q is none of string, byte, short, integer, long, float, double, boolean, date, timestamp, decimal(p,s), binary", t)
}

// readType is engineType for columns that are only read, where more is known.
func readType(t string) (string, bool) {
	if t == "timestamp_ntz" {
		return "TIMESTAMP", true
	}
	e, err := engineType(t)
	return e, err == nil
}

// decimal reads decimal(p,s).
func decimal(t string) (precision, scale int, ok bool) {
	body, found := strings.CutPrefix(t, "decimal(")
	if !found || !strings.HasSuffix(body, ")") {
		return 0, 0, false
	}
	ps, ss, _ := strings.Cut(strings.TrimSuffix(body, ")"), ",")
	p, err := strconv.Atoi(strings.TrimSpace(ps))
	if err != nil {
		return 0, 0, false
	}
	s := 0
	if ss != "" {
		if s, err = strconv.Atoi(strings.TrimSpace(ss)); err != nil {
			return 0, 0, false
		}
	}
	return p, s, p >= 1 && p <= 38 && s >= 0 && s <= p
}

// deltaType returns the Delta type that a value of an engine type is stored as, and the engine type to cast it to
// first, which is empty when none is needed. Nested values have no place in a table of the lake.
func deltaType(t string) (typ, cast string, err error) {
	for _, p := range primitives {
		if p.engine == t && p.delta != "timestamp_ntz" {
			return p.delta, "", nil
		}
	}
	switch t {
	case "TIMESTAMPTZ": // As the types of a result are spelt.
		return "timestamp", "", nil
	case "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S": // Taken as UTC.
		return "timestamp", "TIMESTAMP WITH TIME ZONE", nil
	case "UTINYINT":
		return "short", "SMALLINT", nil
	case "USMALLINT":
		return "integer", "INTEGER", nil
	case "UINTEGER":
		return "long", "BIGINT", nil
	case "UBIGINT":
		return "decimal(20,0)", "DECIMAL(20,0)", nil
	case "HUGEINT", "UHUGEINT": // What sum() of whole numbers gives; Spark's gives long. Too large is an error.
		return "long", "BIGINT", nil
	case "UUID", "JSON", "TIME", "TIME WITH TIME ZONE", "INTERVAL", "BIT", "BIGNUM":
		return "string", "VARCHAR", nil
	case `"NULL"`, "NULL":
		return "string", "VARCHAR", nil
	}
	switch {
	case strings.HasPrefix(t, "ENUM("):
		return "string", "VARCHAR", nil
	case strings.HasPrefix(t, "DECIMAL("):
		return strings.ToLower(strings.ReplaceAll(t, " ", "")), "", nil
	case strings.HasSuffix(t, "]"):
		return "", "", fmt.Errorf("a list (%s) cannot be stored: use to_json(x), array_to_string(x, ',') or one row for each element", t)
	}
	return "", "", fmt.Errorf("a value of type %s cannot be stored: use its fields as columns, or to_json(x)", t)
}

// quoteName makes an identifier of s, whatever is in it.
func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// quoteText makes a text literal of s. It serves paths and options of our own; a user's value is bound instead.
func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteTexts(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quoteText(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
