package lake

import (
	"context"
	"fmt"
	"strings"
)

// macro is a function of Spark SQL that the engine lacks, or has with another meaning.
type macro struct {
	Name       string
	Definition string // what follows CREATE MACRO
	Says       string // what it does, for the documentation
}

// macros is the whole table of functions that are added to a session. A function that is not here and that both
// engines have under the same name is taken to mean the same.
var macros = []macro{
	{"add_months", "add_months(d, n) AS CAST(CAST(d AS DATE) + to_months(CAST(n AS INTEGER)) AS DATE)", "date n months later"},
	{"collect_list", "collect_list(x) AS list(x) FILTER (WHERE x IS NOT NULL)", "list of the values that are not null"},
	{"collect_set", "collect_set(x) AS list(DISTINCT x) FILTER (WHERE x IS NOT NULL)", "the same, each value once"},
	{"date_add", "date_add(d, n) AS CAST(d AS DATE) + CAST(n AS INTEGER)", "date n days later"},
	{"date_format", "date_format(d, f) AS " + formatted("CAST(d AS TIMESTAMP)", "f"), "date as text by a pattern of yyyy MM dd HH mm ss"},
	{"date_sub", "date_sub(d, n) AS CAST(d AS DATE) - CAST(n AS INTEGER), (p, a, b) AS datesub(p, a, b)", "date n days earlier"},
	{"datediff", "datediff(a, b) AS date_diff('day', CAST(b AS DATE), CAST(a AS DATE)), (p, a, b) AS date_diff(p, a, b)", "days from b to a; Spark's order, end first"},
	{"dayofweek", "dayofweek(d) AS CAST(date_part('dow', CAST(d AS DATE)) + 1 AS INTEGER)", "1 for Sunday to 7 for Saturday"},
	{"weekday", "weekday(d) AS CAST(date_part('isodow', CAST(d AS DATE)) - 1 AS INTEGER)", "0 for Monday to 6 for Sunday"},
	{"explode", "explode(x) AS unnest(x)", "one row for each element"},
	{"from_unixtime", "from_unixtime(s) AS strftime(make_timestamp(CAST(s AS BIGINT) * 1000000), '%Y-%m-%d %H:%M:%S')", "seconds since 1970 as text, UTC"},
	{"get_json_object", "get_json_object(j, p) AS CASE WHEN json_valid(CAST(j AS VARCHAR)) THEN json_extract_string(CAST(j AS VARCHAR), p) END", "value at a path of JSON text; null when there is none"},
	{"isnotnull", "isnotnull(x) AS (x IS NOT NULL)", "whether x is not null"},
	{"log", "log(x) AS ln(x), (b, x) AS ln(x) / ln(b)", "natural logarithm, or to base b"},
	{"months_between", "months_between(a, b) AS date_diff('month', CAST(b AS DATE), CAST(a AS DATE)) + (date_part('day', CAST(a AS DATE)) - date_part('day', CAST(b AS DATE))) / 31.0", "months from b to a with a fraction of 31 days"},
	{"nvl", "nvl(a, b) AS coalesce(a, b)", "b when a is null"},
	{"nvl2", "nvl2(a, b, c) AS CASE WHEN a IS NOT NULL THEN b ELSE c END", "b when a is not null, else c"},
	{"percentile", "percentile(x, p) AS quantile_cont(x, p)", "exact percentile"},
	{"percentile_approx", "percentile_approx(x, p) AS approx_quantile(x, p)", "approximate percentile"},
	{"pmod", "pmod(a, b) AS ((a % b) + b) % b", "remainder that is not negative"},
	{"rand", "rand() AS random()", "random number from 0 to 1"},
	{"sha2", "sha2(x, bits) AS CASE WHEN bits IN (0, 256) THEN sha256(CAST(x AS VARCHAR)) ELSE error('sha2 is here only for 256 bits') END", "SHA-256 in hex"},
	{"size", "size(x) AS len(x)", "number of elements"},
	{"to_date", "to_date(x) AS CAST(x AS DATE), (x, f) AS make_date(CAST(substr(x, instr(f, 'yyyy'), 4) AS BIGINT), CAST(substr(x, instr(f, 'MM'), 2) AS BIGINT), CAST(substr(x, instr(f, 'dd'), 2) AS BIGINT))", "text as a date, by a pattern of yyyy MM dd in fixed places"},
	{"unix_timestamp", "unix_timestamp(t) AS CAST(floor(epoch(CAST(t AS TIMESTAMP))) AS BIGINT)", "seconds since 1970, UTC"},
}

// formatted replaces each letter group of a Spark pattern by its value. The engine's own function wants a constant.
func formatted(value, pattern string) string {
	for _, p := range []struct{ spark, engine string }{{"yyyy", "%Y"}, {"MM", "%m"}, {"dd", "%d"}, {"HH", "%H"}, {"mm", "%M"}, {"ss", "%S"}} {
		pattern = "replace(" + pattern + ", '" + p.spark + "', strftime(" + value + ", '" + p.engine + "'))"
	}
	return pattern
}

// addMacros makes the table's functions known to a session that runs a user's text.
func (s *session) addMacros(ctx context.Context) error {
	all := make([]string, len(macros))
	for i, m := range macros {
		all[i] = "CREATE MACRO " + m.Definition
	}
	if err := s.exec(ctx, strings.Join(all, ";\n")); err != nil {
		return fmt.Errorf("set up the lake engine: %w", err)
	}
	return nil
}
