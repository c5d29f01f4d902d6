package activity

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// assertion is one statement about a table of the lake that a Script checks. The counting query returns one row of
// (rows of the table, violations); the sampling query, which may be empty, the keys of rows that violate it.
type assertion struct {
	name    string
	table   string
	warning bool
	count   string
	sample  string
	bounds  *bounds // set for an assertion about the number of rows: it judges the first number
}

// bounds are inclusive; nil is open.
type bounds struct{ min, max expr.Value }

// kinds of assertion; each entry of the list has exactly one.
var assertionKinds = []string{"rows", "not_null", "unique", "range", "references", "sql"}

// sampled is how many violating rows are named in the log.
const sampled = 3

// readAssertions compiles typeProperties.assertions. Columns of a unique assertion are the key by which rows of the
// same table are named, unless an assertion says key itself.
func readAssertions(list []expr.Value) ([]assertion, error) {
	keys := map[string][]string{}
	for _, v := range list {
		if o, ok := v.(*expr.Object); ok {
			p := read("assertion", o)
			if columns := p.names("unique"); len(columns) > 0 && p.err == nil {
				table := strings.ToLower(p.text("table"))
				if _, known := keys[table]; !known {
					keys[table] = columns
				}
			}
		}
	}
	var out []assertion
	for i, v := range list {
		o, ok := v.(*expr.Object)
		if !ok {
			return nil, refuse(CodeInvalid, "assertion %d must be an object", i+1)
		}
		a, err := readAssertion(fmt.Sprintf("assertion %d", i+1), o, keys)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func readAssertion(where string, o *expr.Object, keys map[string][]string) (assertion, error) {
	p := read(where, o)
	kind := ""
	for _, k := range assertionKinds {
		if !p.has(k) {
			continue
		}
		if kind != "" {
			return assertion{}, refuse(CodeInvalid, "%s has both %s and %s; write two assertions", where, kind, k)
		}
		kind = k
	}
	if kind == "" {
		return assertion{}, refuse(CodeInvalid, "%s has none of %s", where, strings.Join(assertionKinds, ", "))
	}
	a := assertion{}
	switch severity := p.text("severity"); severity {
	case "", "error":
	case "warning":
		a.warning = true
	default:
		return assertion{}, refuse(CodeInvalid, "%s: severity %q is not error or warning", where, severity)
	}
	if text := p.text("table"); text != "" {
		name, err := lake.ParseName(text)
		if err != nil {
			return assertion{}, refuse(CodeInvalid, "%s: %s", where, err)
		}
		a.table = name.String()
	} else if kind != "sql" {
		return assertion{}, refuse(CodeInvalid, "%s names no table", where)
	}
	key := p.names("key")
	if len(key) == 0 {
		key = keys[a.table]
	}
	said, err := a.compile(p, kind, key)
	if err != nil {
		return assertion{}, err
	}
	a.name = cmp.Or(p.text("name"), said)
	return a, p.rest("description")
}

// compile writes the queries of one kind and returns the assertion in words.
func (a *assertion) compile(p *properties, kind string, key []string) (string, error) {
	switch kind {
	case "rows":
		return a.compileRows(p.inner("rows"))
	case "not_null":
		return a.compileNotNull(p, key)
	case "unique":
		return a.compileUnique(p)
	case "range":
		return a.compileRange(p.inner("range"), key)
	case "references":
		return a.compileReferences(p.inner("references"), key)
	}
	return a.compileQuery(p, key)
}

func (a *assertion) compileRows(p *properties) (string, error) {
	a.bounds = &bounds{min: p.value("min"), max: p.value("max")}
	if err := p.rest(); err != nil {
		return "", err
	}
	for _, v := range []expr.Value{a.bounds.min, a.bounds.max} {
		if _, ok := v.(int64); v != nil && !ok {
			return "", refuse(CodeInvalid, "%s: min and max must be whole numbers", p.where)
		}
	}
	a.count = "select count(*) as total, 0 as bad from " + a.table
	if a.bounds.max == nil && a.bounds.min == int64(1) {
		return "rows > 0", nil
	}
	return sayBounds("rows", a.bounds.min, a.bounds.max, p.where)
}

func (a *assertion) compileNotNull(p *properties, key []string) (string, error) {
	columns, err := columnList(p, "not_null")
	if err != nil {
		return "", err
	}
	a.where(joined(columns, " or ", func(c string) string { return identifier(c) + " is null" }), key)
	return join(columns) + verb(columns, " is", " are") + " not null", nil
}

// compileUnique counts every row whose key occurs more than once. A key with a null in it is not compared: that it may
// not be null is another assertion.
func (a *assertion) compileUnique(p *properties) (string, error) {
	columns, err := columnList(p, "unique")
	if err != nil {
		return "", err
	}
	list := joined(columns, ", ", identifier)
	known := joined(columns, " and ", func(c string) string { return identifier(c) + " is not null" })
	a.count = fmt.Sprintf("select coalesce(sum(n), 0) as total, coalesce(sum(case when n > 1 and %s then n else 0 end), 0) as bad "+
		"from (select %s, count(*) as n from %s group by %s) as g", known, list, a.table, list)
	a.sample = fmt.Sprintf("select %s from %s where %s group by %s having count(*) > 1 order by %s limit %d", list, a.table, known, list, list, sampled)
	return join(columns) + verb(columns, " is", " are together") + " unique", nil
}

func (a *assertion) compileRange(p *properties, key []string) (string, error) {
	column := p.text("column")
	low, high := p.value("min"), p.value("max")
	if err := p.rest(); err != nil {
		return "", err
	}
	if column == "" {
		return "", refuse(CodeInvalid, "%s names no column", p.where)
	}
	var outside []string
	for _, side := range []struct {
		operator string
		limit    expr.Value
	}{{" < ", low}, {" > ", high}} {
		if side.limit == nil {
			continue
		}
		text, err := literal(side.limit)
		if err != nil {
			return "", refuse(CodeInvalid, "%s: %s", p.where, err)
		}
		outside = append(outside, identifier(column)+side.operator+text)
	}
	said, err := sayBounds(column, low, high, p.where)
	if err != nil {
		return "", err
	}
	a.where(strings.Join(outside, " or "), key)
	return said, nil
}

// compileReferences counts rows whose key is complete and does not occur in the other table.
func (a *assertion) compileReferences(p *properties, key []string) (string, error) {
	columns := append(p.names("column"), p.names("columns")...)
	other, err := lake.ParseName(p.text("table"))
	to := p.names("to")
	if restErr := p.rest(); restErr != nil {
		return "", restErr
	}
	if err != nil {
		return "", refuse(CodeInvalid, "%s: %s", p.where, err)
	}
	if len(to) == 0 {
		to = columns
	}
	if len(columns) == 0 || len(to) != len(columns) {
		return "", refuse(CodeInvalid, "%s must name as many columns as it names in to", p.where)
	}
	var equal, known, picked []string
	for i, c := range columns {
		alias := fmt.Sprintf("k%d", i)
		equal = append(equal, "l."+identifier(c)+" = r."+alias)
		known = append(known, "l."+identifier(c)+" is not null")
		picked = append(picked, identifier(to[i])+" as "+alias)
	}
	from := fmt.Sprintf("from %s as l left join (select distinct %s, 1 as found from %s) as r on %s",
		a.table, strings.Join(picked, ", "), other, strings.Join(equal, " and "))
	missing := "r.found is null and " + strings.Join(known, " and ")
	a.count = fmt.Sprintf("select count(*) as total, coalesce(sum(case when %s then 1 else 0 end), 0) as bad %s", missing, from)
	if len(key) == 0 {
		key = columns
	}
	list := joined(key, ", ", func(c string) string { return "l." + identifier(c) })
	a.sample = fmt.Sprintf("select %s %s where %s order by %s limit %d", list, from, missing, list, sampled)
	return join(columns) + verb(columns, " exists", " exist") + " in " + other.String(), nil
}

// compileQuery wraps the user's query. Its rows are the violations; the rows of the table, when one is named, are what
// they are counted against.
func (a *assertion) compileQuery(p *properties, key []string) (string, error) {
	query := strings.TrimRight(strings.TrimSpace(p.text("sql")), "; \n\t")
	if query == "" {
		return "", refuse(CodeInvalid, "%s: sql is empty", p.where)
	}
	total := "count(*)"
	if a.table != "" {
		total = "(select count(*) from " + a.table + ")"
	}
	// The line break ends a comment that the query may end with.
	a.count = fmt.Sprintf("select %s as total, count(*) as bad from (%s\n) as violation", total, query)
	if len(key) > 0 && p.has("key") {
		list := joined(key, ", ", identifier)
		a.sample = fmt.Sprintf("select %s from (%s\n) as violation order by %s limit %d", list, query, list, sampled)
	}
	return "a query finds no violation", nil
}

// where completes an assertion that holds for each row by itself. A condition that is null is no violation.
func (a *assertion) where(bad string, key []string) {
	a.count = fmt.Sprintf("select count(*) as total, coalesce(sum(case when %s then 1 else 0 end), 0) as bad from %s", bad, a.table)
	if len(key) > 0 {
		list := joined(key, ", ", identifier)
		a.sample = fmt.Sprintf("select %s from %s where %s order by %s limit %d", list, a.table, bad, list, sampled)
	}
}

func columnList(p *properties, key string) ([]string, error) {
	columns := p.names(key)
	if p.err != nil {
		return nil, p.err
	}
	if len(columns) == 0 {
		return nil, refuse(CodeInvalid, "%s: %s names no column", p.where, key)
	}
	return columns, nil
}

// identifier quotes a column's name as the lake's dialect does, whatever is in it.
func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal writes a limit of a range. Backslashes are refused because one of the dialects gives them a meaning.
func literal(v expr.Value) (string, error) {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case string:
		if strings.ContainsAny(v, "\\\x00") {
			return "", fmt.Errorf("a limit may not hold a backslash or NUL")
		}
		return "'" + strings.ReplaceAll(v, "'", "''") + "'", nil
	}
	return "", fmt.Errorf("a limit must be a number or text")
}

func sayBounds(what string, low, high expr.Value, where string) (string, error) {
	switch {
	case low != nil && high != nil:
		return fmt.Sprintf("%s between %v and %v", what, low, high), nil
	case low != nil:
		return fmt.Sprintf("%s at least %v", what, low), nil
	case high != nil:
		return fmt.Sprintf("%s at most %v", what, high), nil
	}
	return "", refuse(CodeInvalid, "%s has neither min nor max", where)
}

// judge returns the number of violations, given what the counting query said.
func (a assertion) judge(total, bad int64) int64 {
	if a.bounds == nil {
		return bad
	}
	low, hasLow := a.bounds.min.(int64)
	high, hasHigh := a.bounds.max.(int64)
	if (hasLow && total < low) || (hasHigh && total > high) {
		return 1
	}
	return 0
}

// sentence says a failed assertion in words: "age between 0 and 120: 3 of 48,211 rows".
func (a assertion) sentence(total, violations int64) string {
	if a.bounds != nil {
		return fmt.Sprintf("%s: the table has %s rows", a.name, thousands(total))
	}
	if a.table == "" {
		return fmt.Sprintf("%s: %s rows", a.name, thousands(violations))
	}
	return fmt.Sprintf("%s: %s of %s rows", a.name, thousands(violations), thousands(total))
}

func assertionOutput(a assertion, status string, total, violations int64) *expr.Object {
	o := expr.NewObject()
	o.Set("name", a.name)
	o.Set("table", a.table)
	o.Set("status", status)
	o.Set("violations", violations)
	o.Set("rows", total)
	return o
}

func joined(list []string, by string, each func(string) string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = each(s)
	}
	return strings.Join(out, by)
}

func join(columns []string) string { return strings.Join(columns, ", ") }

func verb(list []string, one, many string) string {
	if len(list) == 1 {
		return one
	}
	return many
}

// thousands writes 48211 as 48,211.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(text) - 3; i > start; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
