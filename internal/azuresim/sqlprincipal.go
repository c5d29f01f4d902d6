package azuresim

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// sqlServerState is the data plane of one SQL server; what Azure Resource Manager knows of it stands there.
type sqlServerState struct {
	Databases map[string]*sqlDatabase `json:"databases"` // by lower-case name, with master
}

// sqlDatabase is one database.
type sqlDatabase struct {
	Name       string          `json:"name"`
	Made       string          `json:"made,omitempty"` // mark of the resource it belongs to: a database made anew is empty
	Principals []*sqlPrincipal `json:"principals"`     // users and own roles
	Logins     []*sqlPrincipal `json:"logins,omitempty"`
	Tables     []*sqlTable     `json:"tables,omitempty"`
	Objects    int64           `json:"objects"` // counts ids
}

// sqlPrincipal is a user, a role or, in master, a login.
type sqlPrincipal struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`
	Type    string    `json:"type"`          // E external user or application, X external group, R role, S of the system
	SID     []byte    `json:"sid,omitempty"` // of a directory principal: its GUID
	Members []string  `json:"members,omitempty"`
	Grants  []string  `json:"grants,omitempty"`
	Fixed   bool      `json:"fixed,omitempty"`
	Made    time.Time `json:"made"`
}

// newSQLDatabase has what every database begins with, with the documented numbers.
func newSQLDatabase(name string, now time.Time) *sqlDatabase {
	d := &sqlDatabase{Name: name}
	add := func(id int64, typ string, names ...string) {
		for i, n := range names {
			d.Principals = append(d.Principals, &sqlPrincipal{ID: id + int64(i), Name: n, Type: typ, Fixed: true, Made: now})
		}
	}
	add(0, "R", "public")
	add(1, "S", "dbo", "guest", "INFORMATION_SCHEMA", "sys")
	add(16384, "R", "db_owner", "db_accessadmin", "db_securityadmin", "db_ddladmin")
	add(16389, "R", "db_backupoperator", "db_datareader", "db_datawriter", "db_denydatareader", "db_denydatawriter")
	if name == "master" {
		add(5, "R", "dbmanager", "loginmanager")
	}
	return d
}

func (d *sqlDatabase) principal(name string) *sqlPrincipal {
	for _, p := range d.Principals {
		if sqlFold(p.Name) == sqlFold(name) {
			return p
		}
	}
	return nil
}

func (d *sqlDatabase) loginNamed(name string) *sqlPrincipal {
	for _, p := range d.Logins {
		if sqlFold(p.Name) == sqlFold(name) {
			return p
		}
	}
	return nil
}

func (d *sqlDatabase) table(name []string) *sqlTable {
	for _, t := range d.Tables {
		if strings.EqualFold(t.Name, name[len(name)-1]) && strings.EqualFold(t.Schema, schemaOf(name)) {
			return t
		}
	}
	return nil
}

// nextID is the lowest number of a user that nobody has.
func nextID(all []*sqlPrincipal, from int64) int64 {
	for id := from; ; id++ {
		if !slices.ContainsFunc(all, func(p *sqlPrincipal) bool { return p.ID == id }) {
			return id
		}
	}
}

// rolesOf are the roles that principals are in, directly or by another role, lower case.
func (d *sqlDatabase) rolesOf(of []*sqlPrincipal) map[string]bool {
	roles := map[string]bool{}
	var names []string
	for _, p := range of {
		names = append(names, sqlFold(p.Name))
	}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		for _, r := range d.Principals {
			folded := sqlFold(r.Name)
			if r.Type == "R" && !roles[folded] && slices.ContainsFunc(r.Members, func(m string) bool { return sqlFold(m) == name }) {
				roles[folded] = true
				names = append(names, folded)
			}
		}
	}
	return roles
}

// sqlOrigin says where a new user or login comes from.
type sqlOrigin struct {
	external bool
	objectID string
	login    string
	sid      []byte
	typ      string
}

// createPrincipal reads CREATE USER, CREATE LOGIN and CREATE ROLE.
func (p *sqlParser) createPrincipal() (sqlStatement, *sqlError) {
	p.at++
	kind := strings.ToUpper(p.next().text)
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	if kind == "ROLE" {
		return func(r *sqlRun) *sqlError { return r.createRole(name) }, nil
	}
	o, err := p.origin()
	if err != nil {
		return nil, err
	}
	if kind == "LOGIN" {
		return func(r *sqlRun) *sqlError { return r.createLogin(name, o) }, nil
	}
	return func(r *sqlRun) *sqlError { return r.createUser(name, o) }, nil
}

func (p *sqlParser) origin() (sqlOrigin, *sqlError) {
	var o sqlOrigin
	switch {
	case p.accept("FROM", "EXTERNAL", "PROVIDER"):
		o.external = true
	case p.accept("FROM", "LOGIN"), p.accept("FOR", "LOGIN"):
		var err *sqlError
		if o.login, err = p.name(); err != nil {
			return o, err
		}
	}
	if !p.accept("WITH") {
		if !o.external && o.login == "" {
			return o, p.unexpected()
		}
		return o, nil
	}
	for {
		option := strings.ToUpper(p.next().text)
		if err := p.expect("="); err != nil {
			return o, err
		}
		v := p.next()
		switch {
		case option == "OBJECT_ID" && v.kind == sqlString && o.external:
			o.objectID = v.text
		case option == "SID" && v.kind == sqlBinary:
			e, err := (&sqlParser{tokens: []sqlToken{v}}).primary()
			if err != nil {
				return o, err
			}
			sid, err := e.eval(nil)
			if err != nil {
				return o, err
			}
			o.sid = sid.([]byte)
		case option == "TYPE" && (v.is("E") || v.is("X")):
			o.typ = strings.ToUpper(v.text)
		case option == "DEFAULT_SCHEMA":
		case option == "PASSWORD":
			return o, sqlFail(33170, 16, "SQL authentication is not supported: the server accepts Microsoft Entra authentication only.")
		default:
			return o, sqlFail(102, 15, "Incorrect syntax near '%s'.", option)
		}
		if !p.accept(",") {
			break
		}
	}
	if o.sid != nil && (o.typ == "" || len(o.sid) != 16) {
		return o, sqlFail(33160, 16, "The SID must be 16 bytes long and come with TYPE = E or X.")
	}
	if o.sid == nil && !o.external && o.login == "" {
		return o, p.unexpected()
	}
	return o, nil
}

// identify finds the directory principal that a name or an object id means.
func (r *sqlRun) identify(name string, o sqlOrigin) (*sqlPrincipal, *sqlError) {
	if o.sid != nil {
		return &sqlPrincipal{Name: name, Type: o.typ, SID: o.sid, Made: r.now}, nil
	}
	who, err := r.resolve(name, o.objectID)
	if err != nil {
		return nil, err
	}
	id, typ := who.ID, "E"
	switch who.Kind {
	case "ServicePrincipal":
		id = who.AppID
	case "Group":
		typ = "X"
	}
	guid, ok := parseGUID(id)
	if !ok {
		return nil, sqlFail(33134, 16, "Principal '%s' could not be resolved.", name)
	}
	return &sqlPrincipal{Name: name, Type: typ, SID: guid[:], Made: r.now}, nil
}

func (r *sqlRun) createUser(name string, o sqlOrigin) *sqlError {
	if !r.may("db_accessadmin") {
		return sqlFail(15247, 16, "User does not have permission to perform this action.")
	}
	if r.db.principal(name) != nil {
		return sqlFail(15023, 16, "User, group, or role '%s' already exists in the current database.", name)
	}
	var u *sqlPrincipal
	var err *sqlError
	if o.login != "" {
		login := r.server.Databases["master"].loginNamed(o.login)
		if login == nil {
			return sqlFail(15007, 16, "'%s' is not a valid login or you do not have permission.", o.login)
		}
		u = &sqlPrincipal{Name: name, Type: login.Type, SID: login.SID, Made: r.now}
	} else if u, err = r.identify(name, o); err != nil {
		return err
	}
	if other := r.db.withSID(u.SID); other != nil {
		return sqlFail(15063, 16, "The login already has an account under a different user name: '%s'.", other.Name)
	}
	u.ID = nextID(r.db.Principals, 5)
	r.db.Principals = append(r.db.Principals, u)
	return r.done(-1)
}

func (d *sqlDatabase) withSID(sid []byte) *sqlPrincipal {
	for _, p := range d.Principals {
		if p.SID != nil && string(p.SID) == string(sid) {
			return p
		}
	}
	return nil
}

func (r *sqlRun) createLogin(name string, o sqlOrigin) *sqlError {
	switch {
	case r.db.Name != "master":
		return sqlFail(5001, 16, "User must be in the master database.")
	case !r.owner && !r.roles["loginmanager"]:
		return sqlFail(15247, 16, "User does not have permission to perform this action.")
	case r.db.loginNamed(name) != nil:
		return sqlFail(15025, 16, "The server principal '%s' already exists.", name)
	case o.login != "":
		return sqlFail(102, 15, "Incorrect syntax near 'LOGIN'.")
	}
	l, err := r.identify(name, o)
	if err != nil {
		return err
	}
	l.ID = nextID(r.db.Logins, 270)
	r.db.Logins = append(r.db.Logins, l)
	return r.done(-1)
}

func (r *sqlRun) createRole(name string) *sqlError {
	if !r.may("db_securityadmin") {
		return sqlFail(15247, 16, "User does not have permission to perform this action.")
	}
	if r.db.principal(name) != nil {
		return sqlFail(15023, 16, "User, group, or role '%s' already exists in the current database.", name)
	}
	r.db.Principals = append(r.db.Principals, &sqlPrincipal{ID: nextID(r.db.Principals, 5), Name: name, Type: "R", Made: r.now})
	return r.done(-1)
}

// dropPrincipal reads DROP USER, DROP LOGIN and DROP ROLE.
func (p *sqlParser) dropPrincipal() (sqlStatement, *sqlError) {
	p.at++
	kind := strings.ToLower(p.next().text)
	lenient := p.accept("IF", "EXISTS")
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	return func(r *sqlRun) *sqlError {
		absent := sqlFail(15151, 16, "Cannot drop the %s '%s', because it does not exist or you do not have permission.", kind, name)
		if kind == "login" {
			l := r.db.loginNamed(name)
			switch {
			case l == nil && lenient:
				return r.done(-1)
			case l == nil, !r.owner && !r.roles["loginmanager"], r.db.Name != "master":
				return absent
			}
			r.db.Logins = slices.DeleteFunc(r.db.Logins, func(x *sqlPrincipal) bool { return x == l })
			return r.done(-1)
		}
		u := r.db.principal(name)
		isRole := u != nil && u.Type == "R"
		switch {
		case (u == nil || isRole != (kind == "role")) && lenient:
			return r.done(-1)
		case u == nil, isRole != (kind == "role"), u.Fixed, !r.may("db_accessadmin"):
			return absent
		case isRole && len(u.Members) > 0:
			return sqlFail(15144, 16, "The role has members. It must be empty before it can be dropped.")
		}
		r.db.drop(u)
		return r.done(-1)
	}, nil
}

func (d *sqlDatabase) drop(u *sqlPrincipal) {
	d.Principals = slices.DeleteFunc(d.Principals, func(x *sqlPrincipal) bool { return x == u })
	for _, role := range d.Principals {
		role.Members = slices.DeleteFunc(role.Members, func(m string) bool { return sqlFold(m) == sqlFold(u.Name) })
	}
}

// alterRole reads ALTER ROLE … ADD MEMBER … and … DROP MEMBER ….
func (p *sqlParser) alterRole() (sqlStatement, *sqlError) {
	p.at += 2
	role, err := p.name()
	if err != nil {
		return nil, err
	}
	add := p.accept("ADD", "MEMBER")
	if !add && !p.accept("DROP", "MEMBER") {
		return nil, p.unexpected()
	}
	member, err := p.name()
	return sqlRoleMember(sqlConst(role), sqlConst(member), add), err
}

func sqlRoleMember(role, member sqlExpr, add bool) sqlStatement {
	return func(r *sqlRun) *sqlError {
		sc := &sqlScope{run: r}
		a, err := role.eval(sc)
		if err != nil {
			return err
		}
		b, err := member.eval(sc)
		if err != nil {
			return err
		}
		return r.alterRole(sqlText(a), sqlText(b), add)
	}
}

func (r *sqlRun) alterRole(role, member string, add bool) *sqlError {
	to, who := r.db.principal(role), r.db.principal(member)
	if to == nil || to.Type != "R" || to.Name == "public" || !r.may("db_securityadmin") || to.Fixed && !r.owner {
		return sqlFail(15151, 16, "Cannot alter the role '%s', because it does not exist or you do not have permission.", role)
	}
	verb := "add"
	if !add {
		verb = "drop"
	}
	if who == nil || who == to || who.Fixed && who.Type == "R" {
		return sqlFail(15151, 16, "Cannot %s the principal '%s', because it does not exist or you do not have permission.", verb, member)
	}
	to.Members = slices.DeleteFunc(to.Members, func(m string) bool { return sqlFold(m) == sqlFold(member) })
	if add {
		to.Members = append(to.Members, who.Name)
	}
	return r.done(-1)
}

// grant reads GRANT, REVOKE and DENY of permissions on the whole database. They are kept, and count for nothing but what
// the catalogue shows: what a session may do follows from its roles.
func (p *sqlParser) grant() (sqlStatement, *sqlError) {
	verb := strings.ToUpper(p.next().text)
	var permission []string
	for !p.peek().is("TO") && !p.peek().is("FROM") {
		t := p.next()
		if t.kind != sqlWord || t.is("ON") {
			p.at--
			return nil, p.unexpected()
		}
		permission = append(permission, strings.ToUpper(t.text))
	}
	p.at++
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	if len(permission) == 0 {
		return nil, p.unexpected()
	}
	what := strings.Join(permission, " ")
	return func(r *sqlRun) *sqlError {
		u := r.db.principal(name)
		if u == nil || !r.may("db_securityadmin") {
			return sqlFail(15151, 16, "Cannot find the user '%s', because it does not exist or you do not have permission.", name)
		}
		u.Grants = slices.DeleteFunc(u.Grants, func(g string) bool { return strings.HasSuffix(g, " "+what) })
		if verb != "REVOKE" {
			u.Grants = append(u.Grants, verb+" "+what)
		}
		return r.done(-1)
	}, nil
}

// sidBytes is how a number of the system stands where others have a GUID.
func sidBytes(p *sqlPrincipal) []byte {
	if p.SID != nil {
		return p.SID
	}
	return binary.BigEndian.AppendUint32(nil, uint32(p.ID))
}
