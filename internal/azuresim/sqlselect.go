package azuresim

import (
	"slices"
	"strings"
)

// sqlSource is a table or a view of the catalogue, with its rows.
type sqlSource struct {
	columns []sqlColumn
	rows    [][]any
}

// sqlQuery is a SELECT.
type sqlQuery struct {
	top      *sqlExpr
	distinct bool
	items    []sqlItem
	from     []sqlFrom
	where    *sqlExpr
	group    []sqlExpr
	order    []sqlOrder
	grouped  bool
}

// sqlItem is a column of the result: an expression, or * with an optional alias of a source.
type sqlItem struct {
	expr sqlExpr
	name string
	star bool
	of   string
}

// sqlFrom is a source and how it is joined to those before it.
type sqlFrom struct {
	name  []string
	alias string
	outer bool
	on    *sqlExpr // nil for the first one and for a cross join
}

type sqlOrder struct {
	expr sqlExpr
	desc bool
}

// query reads a SELECT.
func (p *sqlParser) query() (*sqlQuery, *sqlError) {
	before := p.aggregates
	p.aggregates = 0
	defer func() { p.aggregates = before }()
	if err := p.expect("SELECT"); err != nil {
		return nil, err
	}
	q := &sqlQuery{distinct: p.accept("DISTINCT")}
	if p.accept("TOP") {
		paren := p.accept("(")
		e, err := p.primary()
		if err != nil {
			return nil, err
		}
		if paren {
			if err := p.expect(")"); err != nil {
				return nil, err
			}
		}
		q.top = &e
	}
	for {
		item, err := p.item()
		if err != nil {
			return nil, err
		}
		q.items = append(q.items, item)
		if !p.accept(",") {
			break
		}
	}
	if p.accept("FROM") {
		if err := p.sources(q); err != nil {
			return nil, err
		}
	}
	return q, p.clauses(q)
}

func (p *sqlParser) item() (sqlItem, *sqlError) {
	if p.accept("*") {
		return sqlItem{star: true}, nil
	}
	if p.ahead(1).is(".") && p.ahead(2).is("*") {
		of, err := p.name()
		p.at += 2
		return sqlItem{star: true, of: of}, err
	}
	e, err := p.expr()
	if err != nil {
		return sqlItem{}, err
	}
	item := sqlItem{expr: e}
	if n := len(e.column); n > 0 {
		item.name = e.column[n-1]
	}
	if p.accept("AS") || p.peek().kind == sqlQuoted || p.plainAlias() {
		if t := p.peek(); t.kind == sqlString {
			p.at++
			item.name = t.text
			return item, nil
		}
		item.name, err = p.name()
	}
	return item, err
}

// sqlClauses are words that go on with a statement and so are no alias.
var sqlClauses = []string{"FROM", "WHERE", "GROUP", "ORDER", "INNER", "LEFT", "CROSS", "JOIN", "ON", "UNION", "END", "ELSE", "BEGIN", "IF", "SELECT", "INSERT", "UPDATE", "DELETE",
	"CREATE", "ALTER", "DROP", "EXEC", "EXECUTE", "DECLARE", "SET", "GRANT", "REVOKE", "HAVING", "OPTION", "FOR", "WITH", "AND", "OR", "VALUES", "THROW", "PRINT", "RETURN"}

func (p *sqlParser) plainAlias() bool {
	t := p.peek()
	return t.kind == sqlWord && !slices.ContainsFunc(sqlClauses, t.is)
}

func (p *sqlParser) sources(q *sqlQuery) *sqlError {
	first, err := p.source()
	if err != nil {
		return err
	}
	q.from = []sqlFrom{first}
	for {
		cross, outer := p.accept("CROSS", "JOIN") || p.accept(","), false
		switch {
		case cross, p.accept("JOIN"), p.accept("INNER", "JOIN"):
		case p.accept("LEFT", "JOIN"), p.accept("LEFT", "OUTER", "JOIN"):
			outer = true
		default:
			return nil
		}
		next, err := p.source()
		if err != nil {
			return err
		}
		next.outer = outer
		if !cross {
			if err := p.expect("ON"); err != nil {
				return err
			}
			on, err := p.expr()
			if err != nil {
				return err
			}
			next.on = &on
		}
		q.from = append(q.from, next)
	}
}

func (p *sqlParser) source() (sqlFrom, *sqlError) {
	parts, err := p.names()
	if err != nil {
		return sqlFrom{}, err
	}
	f := sqlFrom{name: parts, alias: parts[len(parts)-1]}
	if p.accept("AS") || p.peek().kind == sqlQuoted || p.plainAlias() {
		f.alias, err = p.name()
	}
	return f, err
}

func (p *sqlParser) clauses(q *sqlQuery) *sqlError {
	if p.accept("WHERE") {
		e, err := p.expr()
		if err != nil {
			return err
		}
		q.where = &e
	}
	if p.accept("GROUP", "BY") {
		for {
			e, err := p.expr()
			if err != nil {
				return err
			}
			q.group = append(q.group, e)
			if !p.accept(",") {
				break
			}
		}
	}
	q.grouped = p.aggregates > 0 || q.group != nil
	if !p.accept("ORDER", "BY") {
		return nil
	}
	for {
		e, err := p.expr()
		if err != nil {
			return err
		}
		o := sqlOrder{expr: e, desc: p.accept("DESC")}
		if !o.desc {
			_ = p.accept("ASC")
		}
		q.order = append(q.order, o)
		if !p.accept(",") {
			return nil
		}
	}
}

// rows runs the query inside an outer scope.
func (q *sqlQuery) rows(outer *sqlScope) (sqlResult, *sqlError) {
	scopes, sources, err := q.joined(outer)
	if err != nil {
		return sqlResult{}, err
	}
	if q.grouped {
		if scopes, err = q.gather(outer, scopes); err != nil {
			return sqlResult{}, err
		}
	}
	if scopes, err = q.sorted(scopes); err != nil {
		return sqlResult{}, err
	}
	if scopes, err = q.limited(outer, scopes); err != nil {
		return sqlResult{}, err
	}
	return q.project(scopes, sources)
}

// sqlRows is how many rows a join may have on the way: what needs more is not asked of a simulation.
const sqlRows = 100_000

// joined gives a scope for every combination of rows that the joins and WHERE let through.
func (q *sqlQuery) joined(outer *sqlScope) ([]*sqlScope, []sqlBound, *sqlError) {
	scopes := []*sqlScope{{run: outer.run, outer: outer}}
	var sources []sqlBound
	for _, f := range q.from {
		source, err := outer.run.source(f.name)
		if err != nil {
			return nil, nil, err
		}
		bound := sqlBound{alias: f.alias, source: source}
		sources = append(sources, bound)
		var next []*sqlScope
		for _, sc := range scopes {
			matched := false
			for _, row := range source.rows {
				bound.row = row
				joined := &sqlScope{run: sc.run, outer: outer, rows: append(slices.Clip(sc.rows), bound)}
				hit, err := holds(f.on, joined)
				if err != nil {
					return nil, nil, err
				}
				if hit {
					matched, next = true, append(next, joined)
				}
			}
			if f.outer && !matched {
				bound.row = nil
				next = append(next, &sqlScope{run: sc.run, outer: outer, rows: append(slices.Clip(sc.rows), bound)})
			}
		}
		if scopes = next; len(scopes) > sqlRows {
			return nil, nil, sqlFail(701, 17, "There is insufficient system memory to run this query.")
		}
	}
	var kept []*sqlScope
	for _, sc := range scopes {
		hit, err := holds(q.where, sc)
		if err != nil {
			return nil, nil, err
		}
		if hit {
			kept = append(kept, sc)
		}
	}
	return kept, sources, nil
}

// holds reports whether a condition is true; none is.
func holds(cond *sqlExpr, sc *sqlScope) (bool, *sqlError) {
	if cond == nil {
		return true, nil
	}
	v, err := cond.eval(sc)
	return v == true, err
}

// gather makes one scope of each group.
func (q *sqlQuery) gather(outer *sqlScope, scopes []*sqlScope) ([]*sqlScope, *sqlError) {
	var keys []string
	groups := map[string]*sqlScope{}
	for _, sc := range scopes {
		var key strings.Builder
		for _, g := range q.group {
			v, err := g.eval(sc)
			if err != nil {
				return nil, err
			}
			key.WriteString(sqlFold(sqlText(v)) + "\x00")
		}
		group := groups[key.String()]
		if group == nil {
			group = &sqlScope{run: sc.run, outer: outer, rows: sc.rows}
			groups[key.String()] = group
			keys = append(keys, key.String())
		}
		group.groups = append(group.groups, sc)
	}
	if len(keys) == 0 && q.group == nil {
		return []*sqlScope{{run: outer.run, outer: outer}}, nil
	}
	out := make([]*sqlScope, len(keys))
	for i, k := range keys {
		out[i] = groups[k]
	}
	return out, nil
}

func (q *sqlQuery) sorted(scopes []*sqlScope) ([]*sqlScope, *sqlError) {
	if q.order == nil {
		return scopes, nil
	}
	var failed *sqlError
	slices.SortStableFunc(scopes, func(a, b *sqlScope) int {
		for _, o := range q.order {
			n, err := q.compare(o, a, b)
			if err != nil {
				failed = err
			}
			if n != 0 {
				return n
			}
		}
		return 0
	})
	return scopes, failed
}

func (q *sqlQuery) compare(o sqlOrder, a, b *sqlScope) (int, *sqlError) {
	e := o.expr
	for _, item := range q.items { // a name may be that of a column of the result
		if len(e.column) == 1 && !item.star && strings.EqualFold(item.name, e.column[0]) {
			e = item.expr
			break
		}
	}
	x, err := e.eval(a)
	if err != nil {
		return 0, err
	}
	y, err := e.eval(b)
	if err != nil {
		return 0, err
	}
	var n int
	switch {
	case x == nil || y == nil: // NULL comes first
		n = btoi(x != nil) - btoi(y != nil)
	default:
		if n, err = sqlCompare(x, y); err != nil {
			return 0, err
		}
	}
	if o.desc {
		n = -n
	}
	return n, nil
}

func (q *sqlQuery) limited(outer *sqlScope, scopes []*sqlScope) ([]*sqlScope, *sqlError) {
	if q.top == nil {
		return scopes, nil
	}
	v, err := q.top.eval(outer)
	if err != nil {
		return nil, err
	}
	n, ok := v.(int64)
	if !ok || n < 0 {
		return nil, sqlFail(1060, 15, "The number of rows provided for a TOP clause must be an integer.")
	}
	return scopes[:min(int(n), len(scopes))], nil
}

// project evaluates the columns of the result.
func (q *sqlQuery) project(scopes []*sqlScope, sources []sqlBound) (sqlResult, *sqlError) {
	empty := &sqlScope{rows: sources}
	var out sqlResult
	var exprs []sqlExpr
	for _, item := range q.items {
		if !item.star {
			out.columns = append(out.columns, sqlColumn{Name: item.name, Type: q.typeOf(item.expr, empty), Nullable: true})
			exprs = append(exprs, item.expr)
			continue
		}
		for _, s := range sources {
			if item.of != "" && !strings.EqualFold(item.of, s.alias) {
				continue
			}
			for _, c := range s.source.columns {
				name := []string{s.alias, c.Name}
				out.columns = append(out.columns, c)
				exprs = append(exprs, sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
					v, _, err := sc.lookup(name)
					return v, err
				}})
			}
		}
	}
	for _, sc := range scopes {
		row := make([]any, len(exprs))
		for i, e := range exprs {
			v, err := e.eval(sc)
			if err != nil {
				return out, err
			}
			row[i] = v
		}
		if !q.distinct || !slices.ContainsFunc(out.rows, func(r []any) bool { return sqlSame(r, row) }) {
			out.rows = append(out.rows, row)
		}
	}
	return out, out.settle()
}

// typeOf is the type that an expression says it has; the zero type when only its values will tell.
func (q *sqlQuery) typeOf(e sqlExpr, sources *sqlScope) sqlType {
	if e.column == nil {
		return e.typ
	}
	if _, c, err := sources.lookup(e.column); err == nil {
		return c.Type
	}
	return sqlType{}
}

// settle gives every column a type and brings the values to it.
func (r *sqlResult) settle() *sqlError {
	for i := range r.columns {
		c := &r.columns[i]
		for _, row := range r.rows {
			if row[i] == nil {
				continue
			}
			if t := typeOf(row[i]); c.Type.Name == "" || c.Type.Name == "int" && t.Name == "bigint" {
				c.Type = t
			}
		}
		if c.Type.Name == "" {
			c.Type = typeOf("")
		}
		for _, row := range r.rows {
			v, err := sqlType{Name: c.Type.Name}.convert(row[i])
			if err != nil {
				return err
			}
			row[i] = v
		}
	}
	return nil
}

func sqlSame(a, b []any) bool {
	return slices.EqualFunc(a, b, func(x, y any) bool {
		if x == nil || y == nil {
			return x == nil && y == nil
		}
		n, err := sqlCompare(x, y)
		return err == nil && n == 0
	})
}
