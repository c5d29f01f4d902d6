package azuresim

import (
	"slices"
	"strings"
	"time"
)

// sqlRun is one batch as it runs, by somebody in a database.
type sqlRun struct {
	server *sqlServerState
	db     *sqlDatabase
	now    time.Time

	login string          // who signed in
	user  string          // as whom, in this database
	owner bool            // dbo
	roles map[string]bool // of the user, lower case

	// resolve asks the directory for whom a name or, when given, an object id means.
	resolve func(name, objectID string) (*principal, *sqlError)

	vars    map[string]sqlVar // by lower-case name with @
	results []sqlResult
	level   int
}

// sqlVar is a variable; one without a type is a parameter of a call and takes what it is given.
type sqlVar struct {
	typ   sqlType
	value any
}

// sqlLevels is how deep batches may run batches.
const sqlLevels = 32

// batch runs a text. What was given before an error stays given.
func (r *sqlRun) batch(text string) *sqlError {
	if r.level > sqlLevels {
		return sqlFail(217, 16, "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).")
	}
	tokens, err := sqlTokens(text)
	if err != nil {
		return err
	}
	statements, err := (&sqlParser{tokens: tokens}).statements()
	if err != nil {
		return err
	}
	return r.all(statements)
}

func (r *sqlRun) all(statements []sqlStatement) *sqlError {
	for _, s := range statements {
		if err := s(r); err != nil {
			return err
		}
	}
	return nil
}

// nested is a run inside this one, with variables of its own.
func (r *sqlRun) nested() *sqlRun {
	inner := *r
	inner.vars, inner.results, inner.level = map[string]sqlVar{}, nil, r.level+1
	return &inner
}

// done notes that a statement ended that gives no rows.
func (r *sqlRun) done(count int) *sqlError {
	r.results = append(r.results, sqlResult{count: count})
	return nil
}

// may reports whether the session has what a fixed role gives.
func (r *sqlRun) may(role string) bool { return r.owner || r.roles["db_owner"] || r.roles[role] }

func (r *sqlRun) variable(name string) (any, *sqlError) {
	switch strings.ToUpper(name) {
	case "@@VERSION":
		return "Microsoft SQL Azure (RTM) - 12.0.2000.8 (simulated by FlowEHR)", nil
	case "@@SERVERNAME":
		return "simulated", nil
	case "@@ROWCOUNT":
		if n := len(r.results); n > 0 {
			return int64(max(r.results[n-1].count, len(r.results[n-1].rows))), nil
		}
		return int64(0), nil
	}
	v, ok := r.vars[strings.ToLower(name)]
	if !ok {
		return nil, sqlFail(137, 15, "Must declare the scalar variable \"%s\".", name)
	}
	return v.value, nil
}

func (r *sqlRun) assign(name string, e sqlExpr) *sqlError {
	v, ok := r.vars[strings.ToLower(name)]
	if !ok {
		return sqlFail(137, 15, "Must declare the scalar variable \"%s\".", name)
	}
	value, err := e.eval(&sqlScope{run: r})
	if err != nil {
		return err
	}
	switch {
	case v.typ.text():
		v.value = sqlCut(value, v.typ.Size)
	case v.typ.Name != "":
		if v.value, err = v.typ.convert(value); err != nil {
			return err
		}
	default:
		v.value = value
	}
	r.vars[strings.ToLower(name)] = v
	return nil
}

// databases are the names that sys.databases shows: in master all, elsewhere the database and master.
func (r *sqlRun) databases() []string {
	names := []string{"master"}
	for key, d := range r.server.Databases {
		if key != "master" && (r.db.Name == "master" || d == r.db) {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names[1:])
	return names
}
