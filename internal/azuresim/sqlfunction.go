package azuresim

import (
	"slices"
	"strings"
)

// function reads the arguments of a function; the opening parenthesis is read.
func (p *sqlParser) function(name string) (sqlExpr, *sqlError) {
	switch name {
	case "CONVERT":
		typ, err := p.typeName()
		if err != nil {
			return sqlExpr{}, err
		}
		if err := p.expect(","); err != nil {
			return sqlExpr{}, err
		}
		args, err := p.list()
		if err != nil {
			return sqlExpr{}, err
		}
		return sqlCast(args[0], typ, false), nil
	case "CAST", "TRY_CAST":
		value, err := p.expr()
		if err != nil {
			return value, err
		}
		if err := p.expect("AS"); err != nil {
			return value, err
		}
		typ, err := p.typeName()
		if err != nil {
			return value, err
		}
		return sqlCast(value, typ, name == "TRY_CAST"), p.expect(")")
	case "COUNT", "MIN", "MAX", "SUM", "STRING_AGG":
		return p.aggregate(name)
	}
	var args []sqlExpr
	if !p.accept(")") {
		var err *sqlError
		if args, err = p.list(); err != nil {
			return sqlExpr{}, err
		}
	}
	return sqlCall(name, args)
}

func sqlCast(value sqlExpr, typ sqlType, try bool) sqlExpr {
	return sqlExpr{typ: typ, eval: func(sc *sqlScope) (any, *sqlError) {
		v, err := value.eval(sc)
		if err != nil {
			return nil, err
		}
		if typ.text() && typ.Size > 0 { // CAST cuts text off where an insert refuses it
			v = sqlCut(v, typ.Size)
			return v, nil
		}
		out, err := typ.convert(v)
		if err != nil && try {
			return nil, nil
		}
		return out, err
	}}
}

func sqlCut(v any, size int) any {
	if v == nil {
		return nil
	}
	r := []rune(sqlText(v))
	return string(r[:min(len(r), size)])
}

// typeName reads a data type.
func (p *sqlParser) typeName() (sqlType, *sqlError) {
	name, err := p.name()
	if err != nil {
		return sqlType{}, err
	}
	t := sqlType{Name: strings.ToLower(name)}
	var args []string
	if p.accept("(") {
		for {
			args = append(args, p.next().text)
			if p.accept(")") {
				break
			}
			if err := p.expect(","); err != nil {
				return t, err
			}
		}
	}
	switch t.Name {
	case "nvarchar", "varchar", "nchar", "char", "sysname":
		t.Size = 1
		if t.Name == "sysname" {
			t.Size = 128
		}
		if len(args) == 1 {
			t.Size = sqlSize(args[0])
		}
		t.Name = "nvarchar"
	case "int", "smallint", "tinyint":
		t.Name = "int"
	case "bigint", "bit", "uniqueidentifier":
	case "float", "real", "decimal", "numeric":
		t.Name = "float"
	case "datetime2", "datetime", "datetimeoffset", "date":
		t.Name = "datetime2"
	case "varbinary", "binary":
		t.Name = "varbinary"
		t.Size = 8000
	default:
		return t, sqlFail(2715, 16, "Column, parameter, or variable: Cannot find data type %s.", name)
	}
	return t, nil
}

// sqlSize is the length of a text type; what is longer than a page counts as a page, which is as much as is kept.
func sqlSize(s string) int {
	n := 0
	for _, r := range s {
		if r < '0' || r > '9' {
			return 4000 // max
		}
		n = min(n*10+int(r-'0'), 4000)
	}
	return n
}

// aggregate reads COUNT and its kin and marks the query as one that groups.
func (p *sqlParser) aggregate(name string) (sqlExpr, *sqlError) {
	p.aggregates++
	if name == "COUNT" && p.accept("*") {
		return sqlExpr{typ: sqlType{Name: "int"}, eval: func(sc *sqlScope) (any, *sqlError) {
			return int64(len(sc.groups)), nil
		}}, p.expect(")")
	}
	distinct := p.accept("DISTINCT")
	args, err := p.list()
	if err != nil {
		return sqlExpr{}, err
	}
	out := sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) { return sqlAggregate(sc, name, distinct, args) }}
	if name == "COUNT" {
		out.typ = sqlType{Name: "int"}
	}
	if p.accept("WITHIN", "GROUP", "(", "ORDER", "BY") { // members are in order of their names in any case
		if _, err := p.expr(); err != nil {
			return out, err
		}
		_ = p.accept("ASC")
		return out, p.expect(")")
	}
	return out, nil
}

func sqlAggregate(sc *sqlScope, name string, distinct bool, args []sqlExpr) (any, *sqlError) {
	var values []any
	for _, row := range sc.groups {
		v, err := args[0].eval(row)
		if err != nil {
			return nil, err
		}
		if v != nil && (!distinct || !slices.ContainsFunc(values, func(w any) bool { n, e := sqlCompare(v, w); return e == nil && n == 0 })) {
			values = append(values, v)
		}
	}
	switch {
	case name == "COUNT":
		return int64(len(values)), nil
	case len(values) == 0:
		return nil, nil
	case name == "STRING_AGG":
		separator := ""
		if len(args) > 1 {
			v, err := args[1].eval(sc)
			if err != nil {
				return nil, err
			}
			separator = sqlText(v)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = sqlText(v)
		}
		return strings.Join(texts, separator), nil
	}
	best := values[0]
	for _, v := range values[1:] {
		if name == "SUM" {
			sum, err := sqlArithmetic("+", sqlConst(best), sqlConst(v)).eval(sc)
			if err != nil {
				return nil, err
			}
			best = sum
			continue
		}
		n, err := sqlCompare(v, best)
		if err != nil {
			return nil, err
		}
		if n < 0 == (name == "MIN") && n != 0 {
			best = v
		}
	}
	return best, nil
}

// sqlCall makes a call of a scalar function.
func sqlCall(name string, args []sqlExpr) (sqlExpr, *sqlError) {
	f, ok := sqlFunctions[name]
	if !ok {
		return sqlExpr{}, sqlFail(195, 15, "'%s' is not a function that the simulated SQL server knows.", name)
	}
	if len(args) < f.min || len(args) > f.max {
		return sqlExpr{}, sqlFail(174, 15, "The %s function requires %d argument(s).", strings.ToLower(name), f.min)
	}
	return sqlExpr{eval: func(sc *sqlScope) (any, *sqlError) {
		values := make([]any, len(args))
		for i, a := range args {
			v, err := a.eval(sc)
			if err != nil {
				return nil, err
			}
			values[i] = v
		}
		return f.do(sc.run, values)
	}}, nil
}

type sqlFunction struct {
	min, max int
	do       func(r *sqlRun, args []any) (any, *sqlError)
}

// sqlFunctions are the scalar functions that are known.
var sqlFunctions = map[string]sqlFunction{
	"QUOTENAME":             {1, 2, sqlQuoteName},
	"DB_NAME":               {0, 0, func(r *sqlRun, _ []any) (any, *sqlError) { return r.db.Name, nil }},
	"SUSER_SNAME":           {0, 0, sqlWho},
	"SUSER_NAME":            {0, 0, sqlWho},
	"ORIGINAL_LOGIN":        {0, 0, sqlWho},
	"SYSTEM_USER":           {0, 0, sqlWho},
	"USER_NAME":             {0, 0, sqlUserName},
	"CURRENT_USER":          {0, 0, sqlUserName},
	"OBJECT_ID":             {1, 2, sqlObjectID},
	"DATABASE_PRINCIPAL_ID": {1, 1, sqlPrincipalID},
	"USER_ID":               {1, 1, sqlPrincipalID},
	"IS_ROLEMEMBER":         {1, 2, sqlIsMember},
	"IS_MEMBER":             {1, 1, sqlIsMember},
	"LOWER":                 {1, 1, sqlTextual(strings.ToLower)},
	"UPPER":                 {1, 1, sqlTextual(strings.ToUpper)},
	"LTRIM":                 {1, 1, sqlTextual(func(s string) string { return strings.TrimLeft(s, " ") })},
	"RTRIM":                 {1, 1, sqlTextual(func(s string) string { return strings.TrimRight(s, " ") })},
	"LEN": {1, 1, func(_ *sqlRun, a []any) (any, *sqlError) {
		if a[0] == nil {
			return nil, nil
		}
		return int64(len([]rune(strings.TrimRight(sqlText(a[0]), " ")))), nil
	}},
	"CONCAT": {2, 254, func(_ *sqlRun, a []any) (any, *sqlError) {
		var b strings.Builder
		for _, v := range a {
			b.WriteString(sqlText(v))
		}
		return b.String(), nil
	}},
	"COALESCE":          {2, 254, sqlFirst},
	"ISNULL":            {2, 2, sqlFirst},
	"GETDATE":           {0, 0, sqlNow},
	"GETUTCDATE":        {0, 0, sqlNow},
	"SYSUTCDATETIME":    {0, 0, sqlNow},
	"SYSDATETIME":       {0, 0, sqlNow},
	"CURRENT_TIMESTAMP": {0, 0, sqlNow},
	"SCHEMA_NAME":       {0, 1, func(*sqlRun, []any) (any, *sqlError) { return "dbo", nil }},
}

func sqlTextual(f func(string) string) func(*sqlRun, []any) (any, *sqlError) {
	return func(_ *sqlRun, a []any) (any, *sqlError) {
		if a[0] == nil {
			return nil, nil
		}
		return f(sqlText(a[0])), nil
	}
}

func sqlFirst(_ *sqlRun, args []any) (any, *sqlError) {
	for _, a := range args {
		if a != nil {
			return a, nil
		}
	}
	return nil, nil
}

func sqlNow(r *sqlRun, _ []any) (any, *sqlError) { return r.now, nil }

func sqlWho(r *sqlRun, _ []any) (any, *sqlError) { return r.login, nil }

func sqlUserName(r *sqlRun, _ []any) (any, *sqlError) { return r.user, nil }

func sqlQuoteName(_ *sqlRun, args []any) (any, *sqlError) {
	if args[0] == nil {
		return nil, nil
	}
	s, mark := sqlText(args[0]), "["
	if len(args) == 2 {
		mark = sqlText(args[1])
	}
	if len([]rune(s)) > 128 {
		return nil, nil
	}
	switch mark {
	case "'", `"`:
		return mark + strings.ReplaceAll(s, mark, mark+mark) + mark, nil
	case "[", "]":
		return "[" + strings.ReplaceAll(s, "]", "]]") + "]", nil
	}
	return nil, nil
}

func sqlObjectID(r *sqlRun, args []any) (any, *sqlError) {
	if args[0] == nil {
		return nil, nil
	}
	if len(args) == 2 && !strings.EqualFold(sqlText(args[1]), "U") {
		return nil, nil
	}
	tokens, err := sqlTokens(sqlText(args[0]))
	if err != nil {
		return nil, nil
	}
	parts, err := (&sqlParser{tokens: tokens}).names()
	if err != nil {
		return nil, nil
	}
	if t := r.db.table(parts); t != nil {
		return t.ID, nil
	}
	return nil, nil
}

func sqlPrincipalID(r *sqlRun, args []any) (any, *sqlError) {
	if u := r.db.principal(sqlText(args[0])); u != nil {
		return u.ID, nil
	}
	return nil, nil
}

// sqlIsMember tells whether somebody, by default the session's user, is in a role; nil when there is no such role.
func sqlIsMember(r *sqlRun, args []any) (any, *sqlError) {
	role := r.db.principal(sqlText(args[0]))
	if role == nil || role.Type != "R" {
		return nil, nil
	}
	if len(args) == 1 {
		return int64(btoi(r.owner || r.roles[strings.ToLower(role.Name)])), nil
	}
	user := r.db.principal(sqlText(args[1]))
	if user == nil {
		return nil, nil
	}
	return int64(btoi(r.db.rolesOf([]*sqlPrincipal{user})[strings.ToLower(role.Name)])), nil
}
