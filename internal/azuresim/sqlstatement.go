package azuresim

import (
	"strings"
)

// sqlStatement runs and adds what it gives to the results of a run.
type sqlStatement func(r *sqlRun) *sqlError

// statements reads a whole batch: all of it is understood before any of it is done.
func (p *sqlParser) statements() ([]sqlStatement, *sqlError) {
	var out []sqlStatement
	for p.at < len(p.tokens) {
		if p.accept(";") {
			continue
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// statement reads one statement. What is not known is refused by its name.
func (p *sqlParser) statement() (sqlStatement, *sqlError) {
	if err := p.descend(); err != nil {
		return nil, err
	}
	defer p.ascend()
	switch first, second := p.peek(), p.ahead(1); {
	case first.is("SELECT"):
		return p.selects()
	case first.is("INSERT"):
		return p.insert()
	case first.is("UPDATE"):
		return p.update()
	case first.is("DELETE"):
		return p.deleteRows()
	case first.is("IF"):
		return p.conditional()
	case first.is("BEGIN") && !second.is("TRAN") && !second.is("TRANSACTION") && !second.is("TRY"):
		return p.block()
	case first.is("DECLARE"):
		return p.declare()
	case first.is("SET"):
		return p.set()
	case first.is("EXEC"), first.is("EXECUTE"):
		return p.execute()
	case first.is("CREATE") && second.is("TABLE"):
		return p.createTable()
	case first.is("DROP") && second.is("TABLE"):
		return p.dropTable()
	case first.is("CREATE") && (second.is("USER") || second.is("LOGIN") || second.is("ROLE")):
		return p.createPrincipal()
	case first.is("DROP") && (second.is("USER") || second.is("LOGIN") || second.is("ROLE")):
		return p.dropPrincipal()
	case first.is("ALTER") && second.is("ROLE"):
		return p.alterRole()
	case first.is("GRANT"), first.is("REVOKE"), first.is("DENY"):
		return p.grant()
	case first.is("USE"):
		return nil, sqlFail(40508, 16, "USE statement is not supported to switch between databases. Use a new connection to connect to a different database.")
	case first.kind == sqlWord && (first.is("CREATE") || first.is("ALTER") || first.is("DROP") || first.is("BEGIN")):
		return nil, sqlFail(40517, 16, "The simulated SQL server does not know the statement %s %s.", strings.ToUpper(first.text), strings.ToUpper(second.text))
	case first.kind == sqlWord:
		return nil, sqlFail(40517, 16, "The simulated SQL server does not know the statement %s.", strings.ToUpper(first.text))
	}
	return nil, p.unexpected()
}

func (p *sqlParser) selects() (sqlStatement, *sqlError) {
	q, err := p.query()
	if err != nil {
		return nil, err
	}
	return func(r *sqlRun) *sqlError {
		out, err := q.rows(&sqlScope{run: r})
		if err == nil {
			r.results = append(r.results, out)
		}
		return err
	}, nil
}

func (p *sqlParser) conditional() (sqlStatement, *sqlError) {
	p.at++
	cond, err := p.expr()
	if err != nil {
		return nil, err
	}
	then, err := p.statement()
	if err != nil {
		return nil, err
	}
	for p.peek().is(";") && p.ahead(1).is("ELSE") {
		p.at++
	}
	var otherwise sqlStatement
	if p.accept("ELSE") {
		if otherwise, err = p.statement(); err != nil {
			return nil, err
		}
	}
	return func(r *sqlRun) *sqlError {
		hit, err := holds(&cond, &sqlScope{run: r})
		switch {
		case err != nil:
			return err
		case hit:
			return then(r)
		case otherwise != nil:
			return otherwise(r)
		}
		return nil
	}, nil
}

func (p *sqlParser) block() (sqlStatement, *sqlError) {
	p.at++
	var body []sqlStatement
	for !p.accept("END") {
		if p.accept(";") {
			continue
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		body = append(body, s)
	}
	return func(r *sqlRun) *sqlError { return r.all(body) }, nil
}

func (p *sqlParser) declare() (sqlStatement, *sqlError) {
	p.at++
	type variable struct {
		name string
		typ  sqlType
		init *sqlExpr
	}
	var all []variable
	for {
		t := p.next()
		if t.kind != sqlVariable {
			p.at--
			return nil, p.unexpected()
		}
		_ = p.accept("AS")
		typ, err := p.typeName()
		if err != nil {
			return nil, err
		}
		v := variable{name: t.text, typ: typ}
		if p.accept("=") {
			e, err := p.expr()
			if err != nil {
				return nil, err
			}
			v.init = &e
		}
		all = append(all, v)
		if !p.accept(",") {
			break
		}
	}
	return func(r *sqlRun) *sqlError {
		for _, v := range all {
			r.vars[strings.ToLower(v.name)] = sqlVar{typ: v.typ}
			if v.init == nil {
				continue
			}
			if err := r.assign(v.name, *v.init); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (p *sqlParser) set() (sqlStatement, *sqlError) {
	p.at++
	if t := p.peek(); t.kind == sqlVariable {
		p.at++
		if err := p.expect("="); err != nil {
			return nil, err
		}
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		return func(r *sqlRun) *sqlError { return r.assign(t.text, e) }, nil
	}
	option := p.next()
	switch strings.ToUpper(option.text) {
	case "NOCOUNT", "XACT_ABORT", "ANSI_NULLS", "QUOTED_IDENTIFIER", "ANSI_PADDING", "ANSI_WARNINGS", "ARITHABORT":
	default:
		return nil, sqlFail(195, 15, "'%s' is not a recognized SET option.", option.text)
	}
	if !p.accept("ON") && !p.accept("OFF") {
		return nil, p.unexpected()
	}
	return func(*sqlRun) *sqlError { return nil }, nil
}

// execute reads EXEC of a text or of one of the procedures that are known.
func (p *sqlParser) execute() (sqlStatement, *sqlError) {
	p.at++
	if p.accept("(") {
		text, err := p.expr()
		if err != nil {
			return nil, err
		}
		return sqlDynamic([]sqlArgument{{value: text}}), p.expect(")")
	}
	parts, err := p.names()
	if err != nil {
		return nil, err
	}
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	switch name := strings.ToLower(parts[len(parts)-1]); {
	case name == "sp_executesql" && len(args) > 0:
		return sqlDynamic(args), nil
	case name == "sp_addrolemember" && len(args) == 2:
		return sqlRoleMember(args[0].value, args[1].value, true), nil
	case name == "sp_droprolemember" && len(args) == 2:
		return sqlRoleMember(args[0].value, args[1].value, false), nil
	default:
		return nil, sqlFail(2812, 16, "Could not find stored procedure '%s'.", strings.Join(parts, "."))
	}
}

// sqlArgument is an argument of a procedure, with a name or without.
type sqlArgument struct {
	name  string
	value sqlExpr
}

func (p *sqlParser) arguments() ([]sqlArgument, *sqlError) {
	var args []sqlArgument
	for p.peek().kind != sqlEnd && !p.peek().is(";") {
		if t := p.peek(); t.kind == sqlWord && len(args) == 0 && !p.ahead(1).is("(") {
			break // the next statement
		}
		var a sqlArgument
		if t := p.peek(); t.kind == sqlVariable && p.ahead(1).is("=") {
			a.name = t.text
			p.at += 2
		}
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		a.value = e
		args = append(args, a)
		if !p.accept(",") {
			break
		}
	}
	return args, nil
}

// sqlDynamic runs a text that is made at run time; arguments after the second are its parameters.
func sqlDynamic(args []sqlArgument) sqlStatement {
	return func(r *sqlRun) *sqlError {
		sc := &sqlScope{run: r}
		text, err := args[0].value.eval(sc)
		if err != nil {
			return err
		}
		inner := r.nested()
		for _, a := range args[min(2, len(args)):] {
			v, err := a.value.eval(sc)
			if err != nil {
				return err
			}
			inner.vars[strings.ToLower(a.name)] = sqlVar{value: v}
		}
		err = inner.batch(sqlText(text))
		r.results = append(r.results, inner.results...)
		return err
	}
}
