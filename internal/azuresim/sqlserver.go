package azuresim

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

const (
	typeSQLServer   = "Microsoft.Sql/servers"
	typeSQLDatabase = "Microsoft.Sql/servers/databases"
	typeSQLFirewall = "Microsoft.Sql/servers/firewallRules"
)

// sqlServers is Azure SQL's front door: sign-in by token, the firewall, and enough of Transact-SQL for logins, users, roles
// and a table that proves that the database can be written and read. What else comes is refused by its name.
type sqlServers struct {
	s *Sim
	w *world
	m *manager
}

func newSQLServers(s *Sim) *sqlServers {
	q := &sqlServers{s, s.w, s.manager}
	s.manager.watch(typeSQLServer, func(what change, r *resource) {
		if what == changeGone {
			delete(s.w.SQL, strings.ToLower(r.Name))
		}
	})
	s.manager.watch(typeSQLDatabase, func(what change, r *resource) {
		if st := s.w.SQL[strings.ToLower(r.serverName())]; st != nil && what == changeGone {
			delete(st.Databases, strings.ToLower(r.Name))
		}
	})
	return q
}

// serverName is the name of the SQL server that a resource stands in.
func (r *resource) serverName() string {
	t, _ := parseTarget(r.ID)
	if len(t.Names) == 0 {
		return ""
	}
	return t.Names[0]
}

func (q *sqlServers) serve(_ context.Context, host string, c net.Conn) {
	name, _, _ := strings.Cut(host, ".")
	authority := "https://" + loginHost + "/" + q.s.o.Tenant
	_ = serveTDS(c, name, authority, &sqlDoor{q: q, server: name}) // how it ended, the client knows
}

// sqlDoor lets clients in to one server.
type sqlDoor struct {
	q      *sqlServers
	server string
}

func (d *sqlDoor) signIn(l tdsLogin) (session sqlSession, refused *sqlError) {
	d.q.s.do(func() { session, refused = d.q.signIn(d.server, l) })
	return session, refused
}

// loginFailed is what a server tells whoever it does not know, which is little.
func loginFailed() *sqlError {
	return &sqlError{Number: 18456, Class: 14, State: 1, Text: "Login failed for user '<token-identified principal>'."}
}

func (q *sqlServers) signIn(name string, l tdsLogin) (sqlSession, *sqlError) {
	r := q.m.named(typeSQLServer, name)
	if r == nil {
		return nil, sqlFail(40532, 11, "Cannot open server \"%s\" requested by the login. The login failed.", name)
	}
	if refused := q.firewall(r); refused != nil {
		return nil, refused
	}
	if l.token == "" {
		return nil, &sqlError{Number: 18456, Class: 14, State: 1, Text: "Login failed for user '" + l.user + "'. Reason: Azure Active Directory only authentication is enabled."}
	}
	said, good := q.w.verify(l.token)
	if !good || strings.TrimRight(said.Audience, "/") != "https://database.windows.net" {
		return nil, loginFailed()
	}
	who := q.w.Directory.principal(said.ObjectID)
	if who == nil {
		return nil, loginFailed()
	}
	database := l.database
	if database == "" {
		database = "master"
	}
	db := q.open(r, database)
	if db == nil {
		return nil, sqlFail(4060, 11, "Cannot open database \"%s\" requested by the login. The login failed.", database)
	}
	session := &sqlGuest{q: q, server: r.Name, name: db.Name, who: who.ID}
	if user, _ := session.identity(db, r); user == "" {
		return nil, loginFailed()
	}
	return session, nil
}

// firewall lets in what the server's rules name (learn.microsoft.com/azure/azure-sql/database/firewall-configure).
func (q *sqlServers) firewall(r *resource) *sqlError {
	if q.m.private(r) {
		return nil
	}
	if strings.EqualFold(textAt(r.Want, "properties", "publicNetworkAccess"), "Disabled") {
		return sqlFail(47073, 14, "Reason: An instance-specific error occurred while establishing a connection to SQL Server. Connection was denied because Deny Public Network Access is set to Yes (https://docs.microsoft.com/azure/azure-sql/database/connectivity-settings#deny-public-network-access). To connect to this server, use the Private Endpoint from inside your virtual network.")
	}
	client := netip.MustParseAddr(publicAddress)
	for _, rule := range q.m.below(r, typeSQLFirewall) {
		from, err1 := netip.ParseAddr(textAt(rule.Want, "properties", "startIpAddress"))
		to, err2 := netip.ParseAddr(textAt(rule.Want, "properties", "endIpAddress"))
		if err1 == nil && err2 == nil && from.Compare(client) <= 0 && client.Compare(to) <= 0 {
			return nil
		}
	}
	return sqlFail(40615, 14, "Cannot open server '%s' requested by the login. Client with IP address '%s' is not allowed to access the server.  To enable access, use the Azure Management Portal or run sp_set_firewall_rule on the master database to create a firewall rule for this IP address or address range.  It may take up to five minutes for this change to take effect.", r.Name, publicAddress)
}

// state is what a server keeps, with the databases that Azure Resource Manager knows.
func (q *sqlServers) state(r *resource) *sqlServerState {
	if q.w.SQL == nil {
		q.w.SQL = map[string]*sqlServerState{}
	}
	st := q.w.SQL[strings.ToLower(r.Name)]
	if st == nil {
		st = &sqlServerState{Databases: map[string]*sqlDatabase{}}
		q.w.SQL[strings.ToLower(r.Name)] = st
	}
	if st.Databases["master"] == nil {
		st.Databases["master"] = newSQLDatabase("master", r.Made)
	}
	return st
}

// open finds a database: master, or one that is a resource.
func (q *sqlServers) open(r *resource, name string) *sqlDatabase {
	st, k := q.state(r), strings.ToLower(name)
	if k == "master" {
		return st.Databases[k]
	}
	for _, d := range q.m.below(r, typeSQLDatabase) {
		if !strings.EqualFold(d.Name, name) {
			continue
		}
		if st.Databases[k] == nil {
			st.Databases[k] = newSQLDatabase(d.Name, d.Made)
		}
		return st.Databases[k]
	}
	return nil
}

// sqlGuest is one connection's session. It looks up anew who somebody is with every batch: roles change meanwhile.
type sqlGuest struct {
	q            *sqlServers
	server, name string
	who          string // object id
}

func (g *sqlGuest) database() string { return g.name }

func (g *sqlGuest) run(text string, params []tdsParameter) (results []sqlResult) {
	g.q.s.do(func() { results = g.batch(text, params) })
	if g.q.s.saver != nil && g.q.s.saver.save() != nil {
		return []sqlResult{{err: sqlFail(40197, 17, "The simulation cannot keep its world on this machine's disk.")}}
	}
	return results
}

func (g *sqlGuest) batch(text string, params []tdsParameter) []sqlResult {
	closed := []sqlResult{{err: sqlFail(40197, 17, "The service has encountered an error processing your request. Please try again. Error code 40549.")}}
	r := g.q.m.named(typeSQLServer, g.server)
	if r == nil {
		return closed
	}
	db := g.q.open(r, g.name)
	if db == nil {
		return closed
	}
	user, owner := g.identity(db, r)
	if user == "" {
		return []sqlResult{{err: loginFailed()}}
	}
	run := &sqlRun{server: g.q.state(r), db: db, now: g.q.w.now(), user: user, owner: owner, roles: map[string]bool{}, vars: map[string]sqlVar{}}
	if p := g.q.w.Directory.principal(g.who); p != nil {
		run.login = p.Name
	}
	run.roles = db.rolesOf(g.users(db))
	run.resolve = func(name, id string) (*principal, *sqlError) { return g.q.resolve(r, g.who, name, id) }
	for _, p := range params {
		run.vars[strings.ToLower(p.name)] = sqlVar{value: p.value}
	}
	if err := run.batch(text); err != nil {
		run.results = append(run.results, sqlResult{err: err})
	}
	g.q.w.dirty()
	return run.results
}

// sids are the ways in which the directory identifies somebody: the application or the person, and the groups.
func (g *sqlGuest) sids() []sqlGUID {
	p := g.q.w.Directory.principal(g.who)
	if p == nil {
		return nil
	}
	ids := append(g.q.w.Directory.groups(p.ID), p.ID)
	if p.AppID != "" {
		ids = append(ids, p.AppID)
	}
	var out []sqlGUID
	for _, id := range ids {
		if guid, good := parseGUID(id); good {
			out = append(out, guid)
		}
	}
	return out
}

// users are the users of a database that somebody is, directly or by a group.
func (g *sqlGuest) users(db *sqlDatabase) []*sqlPrincipal {
	var out []*sqlPrincipal
	for _, sid := range g.sids() {
		if u := db.withSID(sid[:]); u != nil {
			out = append(out, u)
		}
	}
	return out
}

// identity is as whom somebody is in a database; empty for nobody. The administrator of the server is dbo everywhere. A
// member of a group needs the group's login in master, or sign-in fails (learn.microsoft.com/azure/azure-sql/database/logins-create-manage);
// a contained user needs none.
func (g *sqlGuest) identity(db *sqlDatabase, r *resource) (user string, owner bool) {
	admins := []string{textAt(r.Want, "properties", "administrators", "sid")}
	for _, a := range g.q.m.below(r, typeSQLServer+"/administrators") {
		admins = append(admins, textAt(a.Want, "properties", "sid"))
	}
	for _, id := range admins {
		if admin, good := parseGUID(id); good && slices.Contains(g.sids(), admin) {
			return "dbo", true
		}
	}
	for _, u := range g.users(db) {
		return u.Name, false
	}
	if db.Name == "master" {
		for _, sid := range g.sids() {
			for _, l := range db.Logins {
				if string(l.SID) == string(sid[:]) {
					return "guest", false
				}
			}
		}
	}
	return "", false
}

// resolve asks the directory whom a name means, as the server does: with its own identity, which needs to be allowed to
// read the directory, when an application asks (learn.microsoft.com/azure/azure-sql/database/authentication-aad-service-principal).
func (q *sqlServers) resolve(r *resource, asker, name, id string) (*principal, *sqlError) {
	if p := q.w.Directory.principal(asker); p == nil || p.Kind != "User" {
		if refused := q.mayRead(r, name); refused != nil {
			return nil, refused
		}
	}
	var found []*principal
	for _, p := range q.w.Directory.named(name) {
		if !p.Visible.After(q.w.now()) {
			found = append(found, p)
		}
	}
	if id != "" {
		p := q.w.Directory.principal(id)
		if p == nil {
			p = q.w.Directory.application(id)
		}
		if p == nil || p.Visible.After(q.w.now()) {
			return nil, sqlFail(33130, 16, "Principal '%s' could not be found or this principal type is not supported.", name)
		}
		return p, nil
	}
	switch len(found) {
	case 0:
		return nil, sqlFail(33130, 16, "Principal '%s' could not be found or this principal type is not supported.", name)
	case 1:
		return found[0], nil
	}
	return nil, sqlFail(33131, 16, "Principal '%s' has a duplicate display name. Make the display name unique in Azure Active Directory and execute this statement again.", name)
}

// mayRead refuses while the server's identity lacks the permissions of Microsoft Graph that it needs.
func (q *sqlServers) mayRead(r *resource, name string) *sqlError {
	identity := q.identityOf(r)
	if identity == nil {
		return sqlFail(33134, 16, "Principal '%s' could not be resolved. Error message: 'Server identity is not configured. Please follow the steps in \"Assign an Azure AD identity to your server and add Directory Reader permission to your identity\" (https://aka.ms/sqlaadsetup)'", name)
	}
	roles := q.w.Directory.graphRoles(identity)
	if slices.Contains(roles, "Directory.Read.All") {
		return nil
	}
	for _, needed := range []string{"User.Read.All", "GroupMember.Read.All", "Application.Read.All"} {
		if !slices.Contains(roles, needed) {
			return sqlFail(33134, 16, "Principal '%s' could not be resolved. Error message: 'Server identity does not have the required permissions. Please follow the steps here: https://docs.microsoft.com/azure/azure-sql/database/authentication-aad-service-principal'", name)
		}
	}
	return nil
}

// identityOf is the identity with which a server asks the directory: the primary one, else its own.
func (q *sqlServers) identityOf(r *resource) *principal {
	if own := q.w.Directory.principal(textAt(r.Body, "identity", "principalId")); own != nil {
		return own
	}
	assigned := objectAt(r.Body, "identity", "userAssignedIdentities")
	for _, id := range slices.Sorted(maps.Keys(assigned)) {
		if p := q.w.Directory.principal(textAt(asObject(assigned[id]), "principalId")); p != nil {
			return p
		}
	}
	return nil
}
