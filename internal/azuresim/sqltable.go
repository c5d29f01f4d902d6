package azuresim

import (
	"slices"
	"strings"
	"time"
)

// sqlTable is a table that somebody made.
type sqlTable struct {
	ID      int64       `json:"id"`
	Schema  string      `json:"schema"`
	Name    string      `json:"name"`
	Columns []sqlColumn `json:"columns"`
	Rows    [][]*string `json:"rows,omitempty"` // values as text, nil for NULL
	Made    time.Time   `json:"made"`
}

// source gives the rows with their types.
func (t *sqlTable) source() (*sqlSource, *sqlError) {
	s := &sqlSource{columns: t.Columns}
	for _, kept := range t.Rows {
		row := make([]any, len(kept))
		for i, v := range kept {
			if v == nil {
				continue
			}
			value, err := sqlUnpack(t.Columns[i].Type, *v)
			if err != nil {
				return nil, err
			}
			row[i] = value
		}
		s.rows = append(s.rows, row)
	}
	return s, nil
}

// sqlUnpack reads a value as it is kept.
func sqlUnpack(t sqlType, s string) (any, *sqlError) {
	if t.Name == "varbinary" {
		tokens, err := sqlTokens(s)
		if err != nil {
			return nil, err
		}
		e, err := (&sqlParser{tokens: tokens}).primary()
		if err != nil {
			return nil, err
		}
		return e.eval(nil)
	}
	return t.convert(s)
}

func sqlPack(v any) *string {
	if v == nil {
		return nil
	}
	s := sqlText(v)
	return &s
}

// check brings a row to the types of the table and holds it to NOT NULL and the primary key. but is the row's own place
// when it stands already, -1 otherwise.
func (t *sqlTable) check(row []any, but int) ([]*string, *sqlError) {
	out := make([]*string, len(row))
	key := ""
	for i, c := range t.Columns {
		v, err := c.Type.convert(row[i])
		if err != nil {
			return nil, err
		}
		if v == nil && !c.Nullable {
			return nil, sqlFail(515, 16, "Cannot insert the value NULL into column '%s', table '%s'; column does not allow nulls. INSERT fails.", c.Name, t.Name)
		}
		out[i] = sqlPack(v)
		if c.Key {
			key += sqlFold(*out[i]) + "\x00"
		}
	}
	if key == "" {
		return out, nil
	}
	for i, other := range t.Rows {
		if i != but && t.key(other) == key {
			return nil, sqlFail(2627, 14, "Violation of PRIMARY KEY constraint 'PK_%s'. Cannot insert duplicate key in object '%s.%s'.", t.Name, t.Schema, t.Name)
		}
	}
	return out, nil
}

func (t *sqlTable) key(row []*string) string {
	key := ""
	for i, c := range t.Columns {
		if c.Key {
			key += sqlFold(*row[i]) + "\x00"
		}
	}
	return key
}

// createTable reads CREATE TABLE.
func (p *sqlParser) createTable() (sqlStatement, *sqlError) {
	p.at += 2
	name, err := p.names()
	if err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var columns []sqlColumn
	for {
		switch {
		case p.peek().is("CONSTRAINT"), p.peek().is("PRIMARY"):
			err = p.tableKey(columns)
		default:
			var c sqlColumn
			c, err = p.column()
			columns = append(columns, c)
		}
		if err != nil {
			return nil, err
		}
		if !p.accept(",") {
			break
		}
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	return func(r *sqlRun) *sqlError {
		if !r.may("db_ddladmin") {
			return sqlFail(262, 14, "CREATE TABLE permission denied in database '%s'.", r.db.Name)
		}
		if r.db.table(name) != nil {
			return sqlFail(2714, 16, "There is already an object named '%s' in the database.", name[len(name)-1])
		}
		r.db.Objects++
		r.db.Tables = append(r.db.Tables, &sqlTable{ID: 1000 + r.db.Objects, Schema: schemaOf(name), Name: name[len(name)-1],
			Columns: slices.Clone(columns), Made: r.now})
		return r.done(-1)
	}, nil
}

func schemaOf(name []string) string {
	if len(name) > 1 {
		return name[len(name)-2]
	}
	return "dbo"
}

func (p *sqlParser) column() (sqlColumn, *sqlError) {
	name, err := p.name()
	if err != nil {
		return sqlColumn{}, err
	}
	typ, err := p.typeName()
	c := sqlColumn{Name: name, Type: typ, Nullable: true}
	for err == nil {
		switch {
		case p.accept("NOT", "NULL"):
			c.Nullable = false
		case p.accept("NULL"):
		case p.accept("PRIMARY", "KEY"):
			c.Key, c.Nullable = true, false
		case p.accept("CONSTRAINT"):
			_, err = p.name()
		case p.accept("CLUSTERED"), p.accept("NONCLUSTERED"):
		default:
			return c, nil
		}
	}
	return c, err
}

func (p *sqlParser) tableKey(columns []sqlColumn) *sqlError {
	if p.accept("CONSTRAINT") {
		if _, err := p.name(); err != nil {
			return err
		}
	}
	if err := p.expect("PRIMARY", "KEY"); err != nil {
		return err
	}
	_ = p.accept("CLUSTERED") || p.accept("NONCLUSTERED")
	if err := p.expect("("); err != nil {
		return err
	}
	for {
		name, err := p.name()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(columns, func(c sqlColumn) bool { return strings.EqualFold(c.Name, name) })
		if i < 0 {
			return sqlFail(1911, 16, "Column name '%s' does not exist in the target table or view.", name)
		}
		columns[i].Key, columns[i].Nullable = true, false
		if !p.accept(",") {
			return p.expect(")")
		}
	}
}

func (p *sqlParser) dropTable() (sqlStatement, *sqlError) {
	p.at += 2
	lenient := p.accept("IF", "EXISTS")
	name, err := p.names()
	return func(r *sqlRun) *sqlError {
		t := r.db.table(name)
		switch {
		case t == nil && lenient:
			return r.done(-1)
		case t == nil, !r.may("db_ddladmin"):
			return sqlFail(3701, 11, "Cannot drop the table '%s', because it does not exist or you do not have permission.", strings.Join(name, "."))
		}
		r.db.Tables = slices.DeleteFunc(r.db.Tables, func(x *sqlTable) bool { return x == t })
		return r.done(-1)
	}, err
}

// writable finds a table that the session may change.
func (r *sqlRun) writable(name []string, verb string) (*sqlTable, *sqlError) {
	t := r.db.table(name)
	if t == nil {
		return nil, sqlNoObject(name)
	}
	if !r.may("db_datawriter") {
		return nil, sqlFail(229, 14, "The %s permission was denied on the object '%s', database '%s', schema '%s'.", verb, t.Name, r.db.Name, t.Schema)
	}
	return t, nil
}

func sqlNoObject(name []string) *sqlError {
	return sqlFail(208, 16, "Invalid object name '%s'.", strings.Join(name, "."))
}

func (p *sqlParser) insert() (sqlStatement, *sqlError) {
	p.at++
	_ = p.accept("INTO")
	name, err := p.names()
	if err != nil {
		return nil, err
	}
	var columns []string
	if p.accept("(") {
		for {
			c, err := p.name()
			if err != nil {
				return nil, err
			}
			columns = append(columns, c)
			if !p.accept(",") {
				break
			}
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
	}
	if err := p.expect("VALUES"); err != nil {
		return nil, err
	}
	var rows [][]sqlExpr
	for {
		if err := p.expect("("); err != nil {
			return nil, err
		}
		values, err := p.list()
		if err != nil {
			return nil, err
		}
		rows = append(rows, values)
		if !p.accept(",") {
			break
		}
	}
	return func(r *sqlRun) *sqlError { return r.insert(name, columns, rows) }, nil
}

// insert adds all rows or none.
func (r *sqlRun) insert(name, columns []string, rows [][]sqlExpr) *sqlError {
	t, err := r.writable(name, "INSERT")
	if err != nil {
		return err
	}
	if columns == nil {
		for _, c := range t.Columns {
			columns = append(columns, c.Name)
		}
	}
	before := t.Rows
	for _, values := range rows {
		if len(values) != len(columns) {
			t.Rows = before
			return sqlFail(213, 16, "Column name or number of supplied values does not match table definition.")
		}
		row, err := r.newRow(t, columns, values)
		if err == nil {
			var kept []*string
			if kept, err = t.check(row, -1); err == nil {
				t.Rows = append(slices.Clip(t.Rows), kept)
				continue
			}
		}
		t.Rows = before
		return err
	}
	return r.done(len(rows))
}

func (r *sqlRun) newRow(t *sqlTable, columns []string, values []sqlExpr) ([]any, *sqlError) {
	row := make([]any, len(t.Columns))
	for i, name := range columns {
		at := t.column(name)
		if at < 0 {
			return nil, sqlFail(207, 16, "Invalid column name '%s'.", name)
		}
		v, err := values[i].eval(&sqlScope{run: r})
		if err != nil {
			return nil, err
		}
		row[at] = v
	}
	return row, nil
}

func (t *sqlTable) column(name string) int {
	return slices.IndexFunc(t.Columns, func(c sqlColumn) bool { return strings.EqualFold(c.Name, name) })
}

func (p *sqlParser) update() (sqlStatement, *sqlError) {
	p.at++
	name, err := p.names()
	if err != nil {
		return nil, err
	}
	if err := p.expect("SET"); err != nil {
		return nil, err
	}
	set := map[string]sqlExpr{}
	for {
		column, err := p.name()
		if err != nil {
			return nil, err
		}
		if err := p.expect("="); err != nil {
			return nil, err
		}
		if set[column], err = p.expr(); err != nil {
			return nil, err
		}
		if !p.accept(",") {
			break
		}
	}
	where, err := p.where()
	return func(r *sqlRun) *sqlError {
		return r.touch(name, "UPDATE", where, func(t *sqlTable, i int, sc *sqlScope) *sqlError {
			row := slices.Clone(sc.rows[0].row)
			for column, e := range set {
				at := t.column(column)
				if at < 0 {
					return sqlFail(207, 16, "Invalid column name '%s'.", column)
				}
				v, err := e.eval(sc)
				if err != nil {
					return err
				}
				row[at] = v
			}
			kept, err := t.check(row, i)
			if err == nil {
				t.Rows[i] = kept
			}
			return err
		})
	}, err
}

func (p *sqlParser) deleteRows() (sqlStatement, *sqlError) {
	p.at++
	_ = p.accept("FROM")
	name, err := p.names()
	if err != nil {
		return nil, err
	}
	where, err := p.where()
	return func(r *sqlRun) *sqlError {
		return r.touch(name, "DELETE", where, func(t *sqlTable, i int, _ *sqlScope) *sqlError {
			t.Rows[i] = nil
			return nil
		})
	}, err
}

func (p *sqlParser) where() (*sqlExpr, *sqlError) {
	if !p.accept("WHERE") {
		return nil, nil
	}
	e, err := p.expr()
	return &e, err
}

// touch changes the rows that a condition names, all or none; a row that is made nil is taken away.
func (r *sqlRun) touch(name []string, verb string, where *sqlExpr, change func(t *sqlTable, i int, sc *sqlScope) *sqlError) *sqlError {
	t, err := r.writable(name, verb)
	if err != nil {
		return err
	}
	source, err := t.source()
	if err != nil {
		return err
	}
	before, n := slices.Clone(t.Rows), 0
	for i, row := range source.rows {
		sc := &sqlScope{run: r, rows: []sqlBound{{alias: name[len(name)-1], source: source, row: row}}}
		hit, err := holds(where, sc)
		if err == nil && hit {
			n++
			err = change(t, i, sc)
		}
		if err != nil {
			t.Rows = before
			return err
		}
	}
	t.Rows = slices.DeleteFunc(t.Rows, func(row []*string) bool { return row == nil })
	return r.done(n)
}
