package azuresim

import "strings"

// The views of the system catalogue that are simulated, each with the columns that tools read.

var (
	textType = sqlType{Name: "nvarchar", Size: 4000}
	intType  = sqlType{Name: "int"}
	timeType = sqlType{Name: "datetime2"}
)

func sqlColumns(pairs ...any) []sqlColumn {
	var out []sqlColumn
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, sqlColumn{Name: pairs[i].(string), Type: pairs[i+1].(sqlType), Nullable: true})
	}
	return out
}

// source finds a table or a view of the catalogue.
func (r *sqlRun) source(name []string) (*sqlSource, *sqlError) {
	if len(name) > 1 {
		switch schema, view := strings.ToLower(name[len(name)-2]), strings.ToLower(name[len(name)-1]); {
		case schema == "sys":
			if s := r.system(view); s != nil {
				return s, nil
			}
			return nil, sqlFail(208, 16, "Invalid object name '%s'. The simulated SQL server does not have this view.", strings.Join(name, "."))
		case schema == "information_schema" && view == "tables":
			return r.informationTables(), nil
		}
	}
	t := r.db.table(name)
	if t == nil {
		return nil, sqlNoObject(name)
	}
	if !r.may("db_datareader") {
		return nil, sqlFail(229, 14, "The SELECT permission was denied on the object '%s', database '%s', schema '%s'.", t.Name, r.db.Name, t.Schema)
	}
	return t.source()
}

func (r *sqlRun) system(view string) *sqlSource {
	switch view {
	case "database_principals":
		return r.databasePrincipals()
	case "database_role_members":
		return r.roleMembers()
	case "database_permissions":
		return r.permissions()
	case "server_principals":
		return r.serverPrincipals()
	case "tables", "objects":
		return r.tables()
	case "columns":
		return r.columns()
	case "schemas":
		return &sqlSource{columns: sqlColumns("name", textType, "schema_id", intType, "principal_id", intType),
			rows: [][]any{{"dbo", int64(1), int64(1)}, {"guest", int64(2), int64(2)}, {"sys", int64(4), int64(4)}}}
	case "databases":
		s := &sqlSource{columns: sqlColumns("name", textType, "database_id", intType, "state_desc", textType)}
		for i, name := range r.databases() {
			s.rows = append(s.rows, []any{name, int64(i + 1), "ONLINE"})
		}
		return s
	}
	return nil
}

var typeNames = map[string]string{"E": "EXTERNAL_USER", "X": "EXTERNAL_GROUP", "R": "DATABASE_ROLE", "S": "SQL_USER"}

func (r *sqlRun) databasePrincipals() *sqlSource {
	s := &sqlSource{columns: sqlColumns("name", textType, "principal_id", intType, "type", textType, "type_desc", textType,
		"sid", sqlType{Name: "varbinary"}, "is_fixed_role", sqlType{Name: "bit"}, "authentication_type", intType, "authentication_type_desc", textType,
		"create_date", timeType, "owning_principal_id", intType, "default_schema_name", textType)}
	for _, p := range r.db.Principals {
		authentication, named := int64(0), "NONE"
		if p.Type == "E" || p.Type == "X" {
			authentication, named = 4, "EXTERNAL"
		}
		schema := any("dbo")
		if p.Type == "R" {
			schema = nil
		}
		s.rows = append(s.rows, []any{p.Name, p.ID, p.Type, typeNames[p.Type], sidBytes(p), p.Fixed && p.ID >= 16384, authentication, named, p.Made, int64(1), schema})
	}
	return s
}

func (r *sqlRun) roleMembers() *sqlSource {
	s := &sqlSource{columns: sqlColumns("role_principal_id", intType, "member_principal_id", intType)}
	for _, role := range r.db.Principals {
		for _, m := range role.Members {
			if member := r.db.principal(m); member != nil {
				s.rows = append(s.rows, []any{role.ID, member.ID})
			}
		}
	}
	return s
}

func (r *sqlRun) permissions() *sqlSource {
	s := &sqlSource{columns: sqlColumns("class_desc", textType, "grantee_principal_id", intType, "permission_name", textType, "state_desc", textType)}
	for _, p := range r.db.Principals {
		if p.Type == "E" || p.Type == "X" {
			s.rows = append(s.rows, []any{"DATABASE", p.ID, "CONNECT", "GRANT"})
		}
		for _, g := range p.Grants {
			state, what, _ := strings.Cut(g, " ")
			s.rows = append(s.rows, []any{"DATABASE", p.ID, what, state})
		}
	}
	return s
}

// serverPrincipals are the logins, which only master has.
func (r *sqlRun) serverPrincipals() *sqlSource {
	s := &sqlSource{columns: sqlColumns("name", textType, "principal_id", intType, "type", textType, "type_desc", textType,
		"sid", sqlType{Name: "varbinary"}, "is_disabled", sqlType{Name: "bit"}, "create_date", timeType)}
	if r.db.Name != "master" {
		return s
	}
	for _, p := range r.db.Logins {
		desc := map[string]string{"E": "EXTERNAL_LOGIN", "X": "EXTERNAL_GROUP"}[p.Type]
		s.rows = append(s.rows, []any{p.Name, p.ID, p.Type, desc, p.SID, false, p.Made})
	}
	return s
}

func (r *sqlRun) tables() *sqlSource {
	s := &sqlSource{columns: sqlColumns("name", textType, "object_id", intType, "schema_id", intType, "type", textType, "type_desc", textType, "create_date", timeType)}
	for _, t := range r.db.Tables {
		s.rows = append(s.rows, []any{t.Name, t.ID, int64(1), "U", "USER_TABLE", t.Made})
	}
	return s
}

func (r *sqlRun) columns() *sqlSource {
	s := &sqlSource{columns: sqlColumns("object_id", intType, "name", textType, "column_id", intType, "is_nullable", sqlType{Name: "bit"})}
	for _, t := range r.db.Tables {
		for i, c := range t.Columns {
			s.rows = append(s.rows, []any{t.ID, c.Name, int64(i + 1), c.Nullable})
		}
	}
	return s
}

func (r *sqlRun) informationTables() *sqlSource {
	s := &sqlSource{columns: sqlColumns("TABLE_CATALOG", textType, "TABLE_SCHEMA", textType, "TABLE_NAME", textType, "TABLE_TYPE", textType)}
	for _, t := range r.db.Tables {
		s.rows = append(s.rows, []any{r.db.Name, t.Schema, t.Name, "BASE TABLE"})
	}
	return s
}
