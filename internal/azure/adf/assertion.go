package adf

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// assertion is one statement about a table of the lake, as a job checks it. The counting query gives the number of rows and the number
// of those that violate it; the sampling query, which may be empty, the keys of some of them. The words are those that
// package activity uses on one machine.
type assertion struct {
	Name    string `json:"name"`
	Table   string `json:"table"`
	Warning bool   `json:"warning,omitempty"`
	Count   string `json:"count"`
	Sample  string `json:"sample,omitempty"`
	Bounds  bool   `json:"bounds,omitempty"` // judges the number of rows
	Min     *int64 `json:"min,omitempty"`
	Max     *int64 `json:"max,omitempty"`
}

// assertionKinds: each entry of the list has exactly one.
var assertionKinds = []string{"rows", "not_null", "unique", "range", "references", "sql"}

// sampled is how many violating rows are named.
const sampled = 3

// tableName is a table of the lake.
var tableName = regexp.MustCompile(`^[a-z0-9_-]+\.[a-z0-9_-]+$`)

// table reads a table as zone.table and writes it for Spark.
func (r *reader) table(key string) (name, quoted string) {
	name = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(r.text(key)), "`", ""))
	if name == "" {
		return "", ""
	}
	if !tableName.MatchString(name) {
		r.wrong(key, "a table as zone.table")
		return "", ""
	}
	zone, table, _ := strings.Cut(name, ".")
	return name, sparkName(zone) + "." + sparkName(table)
}

// assertions reads a list. Columns of a unique assertion are the key by which rows of the same table are named, unless an
// assertion says key itself.
func (l *lowering) assertions(around *reader, list []expr.Value) []assertion {
	keys := map[string][]string{}
	var readers []*reader
	for i, v := range list {
		o, ok := v.(*expr.Object)
		at := fault{around.at.file, child(child(around.at.pointer, "assertions"), i)}
		if !ok {
			l.refuse(at, "", "%s: assertion %d must be an object", around.what, i+1)
			continue
		}
		r := l.read(fmt.Sprintf("%s: assertion %d", around.what, i+1), o, at)
		readers = append(readers, r)
		quiet := &lowering{} // what is wrong is said once, when the assertion itself is read
		first := quiet.read("", o, at)
		if columns := first.names("unique"); len(columns) > 0 {
			if name, _ := first.table("table"); keys[name] == nil {
				keys[name] = columns
			}
		}
	}
	var out []assertion
	for _, r := range readers {
		out = append(out, l.assertion(r, keys))
	}
	return out
}

func (l *lowering) assertion(r *reader, keys map[string][]string) assertion {
	kind := ""
	for _, k := range assertionKinds {
		switch {
		case !r.has(k):
		case kind != "":
			l.refuse(r.at, "Write two assertions.", "%s has both %s and %s", r.what, kind, k)
		default:
			kind = k
		}
	}
	a := assertion{}
	switch severity := r.text("severity"); severity {
	case "", "error":
	case "warning":
		a.Warning = true
	default:
		r.wrong("severity", "error or warning")
	}
	var quoted string
	a.Table, quoted = r.table("table")
	if a.Table == "" && kind != "sql" {
		l.refuse(r.at, "", "%s names no table", r.what)
	}
	key := r.names("key")
	ownKey := len(key) > 0
	if !ownKey {
		key = keys[a.Table]
	}
	var said string
	switch kind {
	case "rows":
		said = a.rows(r.inner("rows"), quoted)
	case "not_null":
		said = a.notNull(r, quoted, key)
	case "unique":
		said = a.unique(r, quoted)
	case "range":
		said = a.within(r.inner("range"), quoted, key)
	case "references":
		said = a.references(r.inner("references"), quoted, key)
	case "sql":
		said = a.query(r, quoted, key, ownKey)
	default:
		l.refuse(r.at, "", "%s has none of %s", r.what, strings.Join(assertionKinds, ", "))
	}
	a.Name = cmp.Or(r.text("name"), said)
	r.rest("description")
	return a
}

func (a *assertion) rows(r *reader, table string) string {
	number := func(key string) *int64 {
		v := r.known(key)
		n, ok := v.(int64)
		if v == nil {
			return nil
		}
		if !ok {
			r.wrong(key, "a whole number")
		}
		return &n
	}
	a.Bounds, a.Min, a.Max = true, number("min"), number("max")
	r.rest()
	a.Count = "select count(*) as total, 0 as bad from " + table
	if a.Max == nil && a.Min != nil && *a.Min == 1 {
		return "rows > 0"
	}
	return r.bounds("rows")
}

func (a *assertion) notNull(r *reader, table string, key []string) string {
	columns := r.columns("not_null")
	a.each(joined(columns, " or ", func(c string) string { return sparkName(c) + " is null" }), table, key)
	return strings.Join(columns, ", ") + verb(columns, " is", " are") + " not null"
}

// unique counts every row whose key occurs more than once. A key with a null in it is not compared.
func (a *assertion) unique(r *reader, table string) string {
	columns := r.columns("unique")
	list := joined(columns, ", ", sparkName)
	whole := joined(columns, " and ", func(c string) string { return sparkName(c) + " is not null" })
	a.Count = fmt.Sprintf("select coalesce(sum(n), 0) as total, coalesce(sum(case when n > 1 and %s then n else 0 end), 0) as bad "+
		"from (select %s, count(*) as n from %s group by %s) as g", whole, list, table, list)
	a.Sample = fmt.Sprintf("select %s from %s where %s group by %s having count(*) > 1 order by %s limit %d", list, table, whole, list, list, sampled)
	return strings.Join(columns, ", ") + verb(columns, " is", " are together") + " unique"
}

func (a *assertion) within(r *reader, table string, key []string) string {
	column := r.text("column")
	if column == "" {
		r.wrong("column", "the name of a column")
	}
	var outside []string
	for _, side := range []struct{ key, operator string }{{"min", " < "}, {"max", " > "}} {
		switch v := r.known(side.key).(type) {
		case nil:
		case int64:
			outside = append(outside, sparkName(column)+side.operator+strconv.FormatInt(v, 10))
		case float64:
			outside = append(outside, sparkName(column)+side.operator+strconv.FormatFloat(v, 'f', -1, 64))
		case string:
			outside = append(outside, sparkName(column)+side.operator+sparkText(v))
		default:
			r.wrong(side.key, "a number or text")
		}
	}
	said := r.bounds(column)
	r.rest()
	a.each(strings.Join(outside, " or "), table, key)
	return said
}

// references counts rows whose key is complete and does not occur in the other table.
func (a *assertion) references(r *reader, table string, key []string) string {
	columns := append(r.names("column"), r.names("columns")...)
	name, other := r.table("table")
	to := r.names("to")
	r.rest()
	if len(to) == 0 {
		to = columns
	}
	if len(columns) == 0 || len(to) != len(columns) || other == "" {
		r.l.refuse(r.at, "", "%s must name a table and as many columns as it names in to", r.what)
		return ""
	}
	var same, whole, picked []string
	for i, c := range columns {
		alias := fmt.Sprintf("k%d", i)
		same = append(same, "l."+sparkName(c)+" = r."+alias)
		whole = append(whole, "l."+sparkName(c)+" is not null")
		picked = append(picked, sparkName(to[i])+" as "+alias)
	}
	from := fmt.Sprintf("from %s as l left join (select distinct %s, 1 as found from %s) as r on %s",
		table, strings.Join(picked, ", "), other, strings.Join(same, " and "))
	missing := "r.found is null and " + strings.Join(whole, " and ")
	a.Count = fmt.Sprintf("select count(*) as total, coalesce(sum(case when %s then 1 else 0 end), 0) as bad %s", missing, from)
	if len(key) == 0 {
		key = columns
	}
	list := joined(key, ", ", func(c string) string { return "l." + sparkName(c) })
	a.Sample = fmt.Sprintf("select %s %s where %s order by %s limit %d", list, from, missing, list, sampled)
	return strings.Join(columns, ", ") + verb(columns, " exists", " exist") + " in " + name
}

// query counts the rows of the definition's own query; they are the violations.
func (a *assertion) query(r *reader, table string, key []string, ownKey bool) string {
	if dynamic(r.value("sql")) {
		r.l.refuse(r.place("sql"), "", "%s: the query is put together in the run", r.what)
		return ""
	}
	query, err := sparkQuery(r.text("sql"))
	if err != nil {
		r.l.refuse(r.place("sql"), "", "%s: %v", r.what, err)
		return ""
	}
	total := "count(*)"
	if table != "" {
		total = "(select count(*) from " + table + ")"
	}
	a.Count = fmt.Sprintf("select %s as total, count(*) as bad from (%s) as violation", total, query)
	if ownKey {
		list := joined(key, ", ", sparkName)
		a.Sample = fmt.Sprintf("select %s from (%s) as violation order by %s limit %d", list, query, list, sampled)
	}
	return "a query finds no violation"
}

// each completes an assertion that holds for each row by itself. A condition that is null is no violation.
func (a *assertion) each(bad, table string, key []string) {
	a.Count = fmt.Sprintf("select count(*) as total, coalesce(sum(case when %s then 1 else 0 end), 0) as bad from %s", bad, table)
	if len(key) > 0 {
		list := joined(key, ", ", sparkName)
		a.Sample = fmt.Sprintf("select %s from %s where %s order by %s limit %d", list, table, bad, list, sampled)
	}
}

// columns is a list of column names that is not empty.
func (r *reader) columns(key string) []string {
	columns := r.names(key)
	if len(columns) == 0 {
		r.wrong(key, "at least one column")
	}
	return columns
}

// bounds says min and max in words.
func (r *reader) bounds(what string) string {
	low, high := r.known("min"), r.known("max")
	switch {
	case low != nil && high != nil:
		return fmt.Sprintf("%s between %v and %v", what, low, high)
	case low != nil:
		return fmt.Sprintf("%s at least %v", what, low)
	case high != nil:
		return fmt.Sprintf("%s at most %v", what, high)
	}
	r.l.refuse(r.at, "", "%s has neither min nor max", r.what)
	return ""
}

func joined(list []string, by string, each func(string) string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = each(s)
	}
	return strings.Join(out, by)
}

func verb(list []string, one, many string) string {
	if len(list) == 1 {
		return one
	}
	return many
}
