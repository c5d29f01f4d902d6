package azure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// postgres is Azure Database for PostgreSQL with sign-in by Microsoft Entra: the password is a token, roles of the
// directory are made by functions of the service (learn.microsoft.com/azure/postgresql/flexible-server, "Manage Microsoft
// Entra users"). The names of roles are those of Azure SQL and are translated here.
type postgres struct{}

// logins: the functions that make roles of the directory exist in this database only.
func (postgres) logins() string { return "postgres" }

func (postgres) open(ctx context.Context, a storeAccess, server, database string, login storeLogin) (*sql.DB, error) {
	user, err := a.displayName(ctx, login.application)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig("sslmode=verify-full host=" + server)
	if err != nil {
		return nil, err
	}
	config.Database, config.User, config.Fallbacks = database, user, nil
	if a.sql.TLS != nil {
		config.TLSConfig = a.sql.TLS.Clone()
		config.TLSConfig.ServerName = server
	}
	if a.sql.Dial != nil {
		config.DialFunc = a.sql.Dial
		config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	return stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(func(ctx context.Context, c *pgx.ConnConfig) (err error) {
		c.Password, err = login.token(ctx)
		return err
	})), nil
}

// displayName is the name under which an application signs in to PostgreSQL.
func (a storeAccess) displayName(ctx context.Context, application string) (string, error) {
	var sp struct {
		Name string `json:"displayName"`
	}
	err := a.graph.call(ctx, "GET", keyed("servicePrincipals", "appId", application)+"?$select=id,displayName", nil, &sp)
	if cloud.NotFound(err) {
		return "", fmt.Errorf("the directory has no application %s to sign in to the feature store with", application)
	}
	return sp.Name, err
}

// passing recognises a server that is starting or full, and a principal that it does not know yet.
func (postgres) passing(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return slices.Contains([]string{"57P03", "53300", "57P01", "28000", "28P01", "08006"}, e.Code)
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		_, network := errors.AsType[net.Error](e)
		return network
	}
	return false
}

func doubled(name string) string { return pgx.Identifier{name}.Sanitize() }

func (s postgres) stands(ctx context.Context, db *sql.DB, name string) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM pg_roles WHERE rolname = $1", name).Scan(&n)
	return n > 0, err
}

// Roles of PostgreSQL that make up those of Azure SQL.
const (
	readAll  = "pg_read_all_data"
	writeAll = "pg_write_all_data"
)

// parts returns what PostgreSQL calls the roles.
func (postgres) parts(roles []string) ([]string, error) {
	var out []string
	for _, role := range roles {
		switch role {
		case "db_owner":
			out = append(out, readAll, writeAll)
		case "db_datareader":
			out = append(out, readAll)
		default:
			return nil, fmt.Errorf("PostgreSQL has nothing like the role %q", role)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (s postgres) memberships(ctx context.Context, db *sql.DB, name string) ([]string, error) {
	return column(ctx, db, `SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
		JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = $1 AND r.rolname IN ($2, $3) ORDER BY 1`, name, readAll, writeAll)
}

func (s postgres) ensure(ctx context.Context, db, logins *sql.DB, p storePrincipal) error {
	want, err := s.parts(p.Roles)
	if err != nil {
		return err
	}
	stands, err := s.stands(ctx, logins, p.Name)
	if err != nil {
		return err
	}
	if !stands {
		kind := "service"
		if p.Group {
			kind = "group"
		}
		var made string
		err := logins.QueryRowContext(ctx, "SELECT pgaadauth_create_principal_with_oid($1, $2, $3, false, false)", p.Name, p.ObjectID, kind).Scan(&made)
		if err != nil {
			return err
		}
	}
	have, err := s.memberships(ctx, db, p.Name)
	if err != nil {
		return err
	}
	for _, role := range difference(want, have) {
		if err := execute(ctx, db, "GRANT "+doubled(role)+" TO "+doubled(p.Name)); err != nil {
			return err
		}
	}
	for _, role := range difference(have, want) {
		if err := execute(ctx, db, "REVOKE "+doubled(role)+" FROM "+doubled(p.Name)); err != nil {
			return err
		}
	}
	return s.own(ctx, db, p.Name, slices.Contains(want, writeAll))
}

// own lets an owner make tables, or takes that right.
func (s postgres) own(ctx context.Context, db *sql.DB, name string, owner bool) error {
	var database string
	if err := db.QueryRowContext(ctx, "SELECT current_database()").Scan(&database); err != nil {
		return err
	}
	verb, to := "REVOKE", "FROM"
	if owner {
		verb, to = "GRANT", "TO"
	}
	for _, on := range []string{"CREATE ON DATABASE " + doubled(database), "CREATE ON SCHEMA public"} {
		if err := execute(ctx, db, strings.Join([]string{verb, on, to, doubled(name)}, " ")); err != nil {
			return err
		}
	}
	return nil
}

func (s postgres) roles(ctx context.Context, db, logins *sql.DB, p storePrincipal) ([]string, bool, error) {
	stands, err := s.stands(ctx, logins, p.Name)
	if err != nil || !stands {
		return nil, false, err
	}
	have, err := s.memberships(ctx, db, p.Name)
	switch {
	case slices.Contains(have, writeAll):
		return []string{"db_owner"}, true, err
	case slices.Contains(have, readAll):
		return []string{"db_datareader"}, true, err
	}
	return nil, err == nil, err
}

// remove hands what the role owns to whoever administers before it drops the role, because tables of features outlive who
// wrote them.
func (s postgres) remove(ctx context.Context, db, logins *sql.DB, p storePrincipal) error {
	stands, err := s.stands(ctx, logins, p.Name)
	if err != nil || !stands {
		return err
	}
	name := doubled(p.Name)
	for _, statement := range []string{"GRANT " + name + " TO CURRENT_USER", "REASSIGN OWNED BY " + name + " TO CURRENT_USER", "DROP OWNED BY " + name} {
		if err := execute(ctx, db, statement); err != nil {
			return err
		}
	}
	return execute(ctx, logins, "DROP ROLE "+name)
}

func (postgres) probe(ctx context.Context, db *sql.DB, table string) error {
	name := doubled(table)
	return probe(ctx, db, probeStatements{
		drop:   "DROP TABLE IF EXISTS " + name,
		create: "CREATE TABLE " + name + " (id integer NOT NULL PRIMARY KEY, note text NOT NULL)",
		insert: "INSERT INTO " + name + " (id, note) VALUES ($1, $2), ($3, $4), ($5, $6)",
		read:   "SELECT id, note FROM " + name + " ORDER BY id",
	})
}
