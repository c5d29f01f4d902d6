package azuresim

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// sqlExpr is an expression, ready to be evaluated. Predicates give true, false or nil for unknown.
type sqlExpr struct {
	eval   func(*sqlScope) (any, *sqlError)
	column []string // the parts of a name, when the expression is nothing but a column
	typ    sqlType  // when the expression says its type
}

// sqlScope is what an expression sees: the rows that are joined at this point, variables, and outer queries.
type sqlScope struct {
	run    *sqlRun
	rows   []sqlBound
	outer  *sqlScope
	groups []*sqlScope // the rows that an aggregate works on
}

// sqlBound is one row of a source, under its alias.
type sqlBound struct {
	alias  string
	source *sqlSource
	row    []any
}

// lookup finds a column, here or further out.
func (sc *sqlScope) lookup(parts []string) (any, sqlColumn, *sqlError) {
	name, qualifier := parts[len(parts)-1], ""
	if len(parts) > 1 {
		qualifier = parts[len(parts)-2]
	}
	for at := sc; at != nil; at = at.outer {
		for _, b := range at.rows {
			if qualifier != "" && !strings.EqualFold(qualifier, b.alias) {
				continue
			}
			for i, c := range b.source.columns {
				if !strings.EqualFold(c.Name, name) {
					continue
				}
				if b.row == nil { // the empty side of an outer join
					return nil, c, nil
				}
				return b.row[i], c, nil
			}
		}
	}
	return nil, sqlColumn{}, sqlFail(207, 16, "Invalid column name '%s'.", name)
}

func sqlConst(v any) sqlExpr {
	return sqlExpr{eval: func(*sqlScope) (any, *sqlError) { return v, nil }, typ: typeOf(v)}
}

// expr reads an expression or a predicate.
func (p *sqlParser) expr() (sqlExpr, *sqlError) {
	left, err := p.conjunction()
	for err == nil && p.accept("OR") {
		var right sqlExpr
		if right, err = p.conjunction(); err == nil {
			left = sqlLogic(left, right, true)
		}
	}
	return left, err
}

func (p *sqlParser) conjunction() (sqlExpr, *sqlError) {
	left, err := p.negation()
	for err == nil && p.accept("AND") {
		var right sqlExpr
		if right, err = p.negation(); err == nil {
			left = sqlLogic(left, right, false)
		}
	}
	return left, err
}

// sqlLogic is OR when ends is true, else AND: the value that ends wins, then unknown.
func sqlLogic(left, right sqlExpr, ends bool) sqlExpr {
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		a, err := left.eval(sc)
		if err != nil || a == ends {
			return a, err
		}
		b, err := right.eval(sc)
		if err != nil || b == ends || a != nil {
			return b, err
		}
		return nil, nil
	}}
}

func (p *sqlParser) negation() (sqlExpr, *sqlError) {
	if err := p.descend(); err != nil {
		return sqlExpr{}, err
	}
	defer p.ascend()
	if !p.accept("NOT") {
		return p.predicate()
	}
	inner, err := p.negation()
	return sqlNot(inner), err
}

func sqlNot(inner sqlExpr) sqlExpr {
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		v, err := inner.eval(sc)
		if b, ok := v.(bool); ok && err == nil {
			return !b, nil
		}
		return nil, err
	}}
}

func (p *sqlParser) predicate() (sqlExpr, *sqlError) {
	if p.accept("EXISTS") {
		return p.exists()
	}
	left, err := p.sum()
	if err != nil {
		return left, err
	}
	if p.accept("IS") {
		not := p.accept("NOT")
		if err := p.expect("NULL"); err != nil {
			return left, err
		}
		return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
			v, err := left.eval(sc)
			return (v == nil) != not, err
		}}, nil
	}
	negated := p.peek().is("NOT") && (p.ahead(1).is("IN") || p.ahead(1).is("LIKE") || p.ahead(1).is("BETWEEN"))
	if negated {
		p.at++
	}
	out := left
	switch {
	case p.accept("IN"):
		out, err = p.in(left)
	case p.accept("LIKE"):
		out, err = p.like(left)
	case p.accept("BETWEEN"):
		out, err = p.between(left)
	default:
		for _, op := range []string{"=", "<>", "!=", "<=", ">=", "<", ">"} {
			if p.accept(op) {
				right, err := p.sum()
				return sqlComparison(op, left, right), err
			}
		}
	}
	if negated {
		out = sqlNot(out)
	}
	return out, err
}

func sqlComparison(op string, left, right sqlExpr) sqlExpr {
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		a, err := left.eval(sc)
		if err != nil || a == nil {
			return nil, err
		}
		b, err := right.eval(sc)
		if err != nil || b == nil {
			return nil, err
		}
		n, err := sqlCompare(a, b)
		if err != nil {
			return nil, err
		}
		switch op {
		case "=":
			return n == 0, nil
		case "<":
			return n < 0, nil
		case ">":
			return n > 0, nil
		case "<=":
			return n <= 0, nil
		case ">=":
			return n >= 0, nil
		}
		return n != 0, nil
	}}
}

func (p *sqlParser) between(left sqlExpr) (sqlExpr, *sqlError) {
	low, err := p.sum()
	if err != nil {
		return left, err
	}
	if err := p.expect("AND"); err != nil {
		return left, err
	}
	high, err := p.sum()
	return sqlLogic(sqlComparison(">=", left, low), sqlComparison("<=", left, high), false), err
}

func (p *sqlParser) like(left sqlExpr) (sqlExpr, *sqlError) {
	pattern, err := p.sum()
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		a, err := left.eval(sc)
		if err != nil || a == nil {
			return nil, err
		}
		b, err := pattern.eval(sc)
		if err != nil || b == nil {
			return nil, err
		}
		return sqlLike(sqlText(a), sqlText(b)), nil
	}}, err
}

func (p *sqlParser) in(left sqlExpr) (sqlExpr, *sqlError) {
	if err := p.expect("("); err != nil {
		return left, err
	}
	if p.peek().is("SELECT") {
		query, err := p.query()
		if err != nil {
			return left, err
		}
		return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
			r, err := query.rows(sc)
			if err != nil {
				return nil, err
			}
			values := make([]sqlExpr, len(r.rows))
			for i, row := range r.rows {
				values[i] = sqlConst(row[0])
			}
			return sqlAmong(sc, left, values)
		}}, p.expect(")")
	}
	values, err := p.list()
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) { return sqlAmong(sc, left, values) }}, err
}

func sqlAmong(sc *sqlScope, left sqlExpr, values []sqlExpr) (any, *sqlError) {
	var out any = false
	for _, v := range values {
		same, err := sqlComparison("=", left, v).eval(sc)
		if err != nil || same == true {
			return same, err
		}
		if same == nil {
			out = nil
		}
	}
	return out, nil
}

// list reads expressions up to a closing parenthesis.
func (p *sqlParser) list() ([]sqlExpr, *sqlError) {
	var out []sqlExpr
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		if !p.accept(",") {
			return out, p.expect(")")
		}
	}
}

func (p *sqlParser) exists() (sqlExpr, *sqlError) {
	if err := p.expect("("); err != nil {
		return sqlExpr{}, err
	}
	query, err := p.query()
	if err != nil {
		return sqlExpr{}, err
	}
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		r, err := query.rows(sc)
		return len(r.rows) > 0, err
	}}, p.expect(")")
}

func (p *sqlParser) sum() (sqlExpr, *sqlError) {
	left, err := p.primary()
	for err == nil {
		op := p.peek().text
		if t := p.peek(); t.kind != sqlSymbol || op != "+" && op != "-" && op != "*" {
			return left, nil
		}
		p.at++
		var right sqlExpr
		if right, err = p.primary(); err == nil {
			left = sqlArithmetic(op, left, right)
		}
	}
	return left, err
}

func sqlArithmetic(op string, left, right sqlExpr) sqlExpr {
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		a, err := left.eval(sc)
		if err != nil || a == nil {
			return nil, err
		}
		b, err := right.eval(sc)
		if err != nil || b == nil {
			return nil, err
		}
		s, first := a.(string)
		t, second := b.(string)
		if first && second && op == "+" {
			return s + t, nil
		}
		number := sqlType{Name: "bigint"}
		x, err := number.convert(a)
		if err != nil {
			return nil, err
		}
		y, err := number.convert(b)
		if err != nil {
			return nil, err
		}
		switch op {
		case "+":
			return x.(int64) + y.(int64), nil
		case "-":
			return x.(int64) - y.(int64), nil
		}
		return x.(int64) * y.(int64), nil
	}}
}

func (p *sqlParser) primary() (sqlExpr, *sqlError) {
	if err := p.descend(); err != nil {
		return sqlExpr{}, err
	}
	defer p.ascend()
	switch t := p.peek(); t.kind {
	case sqlString:
		p.at++
		return sqlConst(t.text), nil
	case sqlNumber:
		p.at++
		if n, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return sqlConst(n), nil
		}
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return sqlExpr{}, sqlFail(102, 15, "Incorrect syntax near '%s'.", t.text)
		}
		return sqlConst(f), nil
	case sqlBinary:
		p.at++
		b, err := hex.DecodeString(strings.Repeat("0", len(t.text)%2) + t.text)
		if err != nil {
			return sqlExpr{}, sqlFail(102, 15, "Incorrect syntax near '0x%s'.", t.text)
		}
		return sqlConst(b), nil
	case sqlVariable:
		p.at++
		return sqlVariableExpr(t.text), nil
	case sqlWord, sqlQuoted:
		return p.word(t)
	}
	if p.accept("(") {
		if p.peek().is("SELECT") {
			return p.scalarQuery()
		}
		inner, err := p.expr()
		if err != nil {
			return inner, err
		}
		return inner, p.expect(")")
	}
	if p.accept("-") {
		inner, err := p.primary()
		return sqlArithmetic("-", sqlConst(int64(0)), inner), err
	}
	return sqlExpr{}, p.unexpected()
}

func sqlVariableExpr(name string) sqlExpr {
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) { return sc.run.variable(name) }}
}

func (p *sqlParser) scalarQuery() (sqlExpr, *sqlError) {
	query, err := p.query()
	if err != nil {
		return sqlExpr{}, err
	}
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		r, err := query.rows(sc)
		switch {
		case err != nil || len(r.rows) == 0:
			return nil, err
		case len(r.rows) > 1:
			return nil, sqlFail(512, 16, "Subquery returned more than 1 value.")
		}
		return r.rows[0][0], nil
	}}, p.expect(")")
}

// reserved words that cannot begin an expression.
var sqlReserved = []string{"FROM", "WHERE", "GROUP", "ORDER", "AND", "OR", "INNER", "LEFT", "JOIN", "ON", "AS", "BEGIN", "END", "SELECT", "THEN", "ELSE", "WHEN", "UNION"}

// word reads what begins with a name: NULL, CASE, a function or a column.
func (p *sqlParser) word(t sqlToken) (sqlExpr, *sqlError) {
	switch {
	case p.accept("NULL"):
		return sqlConst(nil), nil
	case p.accept("CASE"):
		return p.cases()
	case t.kind == sqlWord && p.ahead(1).is("("):
		p.at += 2
		return p.function(strings.ToUpper(t.text))
	case t.is("CURRENT_USER") || t.is("SYSTEM_USER") || t.is("CURRENT_TIMESTAMP"):
		p.at++
		return sqlCall(strings.ToUpper(t.text), nil)
	}
	if t.kind == sqlWord {
		for _, word := range sqlReserved {
			if t.is(word) {
				return sqlExpr{}, p.unexpected()
			}
		}
	}
	parts, err := p.names()
	if err != nil {
		return sqlExpr{}, err
	}
	return sqlExpr{column: parts, eval: func(sc *sqlScope) (any, *sqlError) {
		v, _, err := sc.lookup(parts)
		return v, err
	}}, nil
}

// cases reads CASE WHEN … THEN … ELSE … END, or the form that compares one value.
func (p *sqlParser) cases() (sqlExpr, *sqlError) {
	var subject *sqlExpr
	if !p.peek().is("WHEN") {
		e, err := p.expr()
		if err != nil {
			return e, err
		}
		subject = &e
	}
	type branch struct{ when, then sqlExpr }
	var branches []branch
	otherwise := sqlConst(nil)
	for p.accept("WHEN") {
		when, err := p.expr()
		if err != nil {
			return when, err
		}
		if subject != nil {
			when = sqlComparison("=", *subject, when)
		}
		if err := p.expect("THEN"); err != nil {
			return when, err
		}
		then, err := p.expr()
		if err != nil {
			return then, err
		}
		branches = append(branches, branch{when, then})
	}
	if p.accept("ELSE") {
		var err *sqlError
		if otherwise, err = p.expr(); err != nil {
			return otherwise, err
		}
	}
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		for _, b := range branches {
			hit, err := b.when.eval(sc)
			if err != nil {
				return nil, err
			}
			if hit == true {
				return b.then.eval(sc)
			}
		}
		return otherwise.eval(sc)
	}}, p.expect("END")
}
