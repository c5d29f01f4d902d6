package azure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// sqlServer is Azure SQL. Names are quoted, values bound; what can be neither, such as an object id in CREATE USER, is
// parsed first.
type sqlServer struct{}

func (sqlServer) logins() string { return "master" }

// hostDialer reaches a server by name: who dials resolves it.
type hostDialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	host string
}

func (d hostDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dial(ctx, network, address)
}

// HostName has the driver leave the name as it is.
func (d hostDialer) HostName() string { return d.host }

func (sqlServer) open(_ context.Context, a storeAccess, server, database string, login storeLogin) (*sql.DB, error) {
	address := url.URL{Scheme: "sqlserver", Host: net.JoinHostPort(server, "1433"),
		RawQuery: url.Values{"database": {database}, "encrypt": {"strict"}, "app name": {"flowehr"}}.Encode()}
	config, err := msdsn.Parse(address.String())
	if err != nil {
		return nil, err
	}
	if a.sql.TLS != nil && config.TLSConfig != nil {
		config.TLSConfig.RootCAs = a.sql.TLS.RootCAs
	}
	connector, err := mssql.NewSecurityTokenConnector(config, login.token)
	if err != nil {
		return nil, err
	}
	if a.sql.Dial != nil {
		connector.Dialer = hostDialer{a.sql.Dial, server}
	}
	return sql.OpenDB(connector), nil
}

// Numbers of errors that pass (learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues): the
// database is moving, starting or busy; the firewall does not know the address yet; the server does not know the
// directory's principal yet, or may not look it up yet.
var sqlPassing = []int32{4060, 4221, 10928, 10929, 18456, 33130, 33134, 40197, 40501, 40540, 40613, 40615, 42108, 42109, 49918, 49919, 49920}

func (sqlServer) passing(err error) bool {
	e, ok := errors.AsType[mssql.Error](err)
	return ok && slices.Contains(sqlPassing, e.Number)
}

func bracketed(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// objectLiteral returns an object id as a literal.
func objectLiteral(id string) (string, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return "", fmt.Errorf("object id %q: %w", id, err)
	}
	return "'" + u.String() + "'", nil
}

// sidOf is a GUID as SQL Server stores it: the first three groups have their bytes turned round.
func sidOf(id string) []byte {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil
	}
	return []byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}

// stands reports whether a principal of the name stands, and whether it belongs to another object of the directory: one
// that was deleted and made again has another id, and its users cannot sign in with the old entry.
func (sqlServer) stands(ctx context.Context, db *sql.DB, catalogue string, p storePrincipal) (stands, stale bool, err error) {
	var sid []byte
	err = db.QueryRowContext(ctx, "SELECT sid FROM "+catalogue+" WHERE name = @p1", p.Name).Scan(&sid)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	want := sidOf(p.SID)
	// A login of Microsoft Entra carries two more bytes that say so.
	return err == nil, err == nil && want != nil && len(sid) >= len(want) && !slices.Equal(sid[:len(want)], want), err
}

const (
	sqlLogins = "sys.server_principals"
	sqlUsers  = "sys.database_principals"
)

func (s sqlServer) ensure(ctx context.Context, db, logins *sql.DB, p storePrincipal) error {
	if p.Group {
		if err := s.ensureLogin(ctx, logins, p); err != nil {
			return err
		}
	}
	if err := s.ensureUser(ctx, db, p); err != nil {
		return err
	}
	have, err := s.memberships(ctx, db, p)
	if err != nil {
		return err
	}
	for _, role := range difference(p.Roles, have) {
		if err := execute(ctx, db, "ALTER ROLE "+bracketed(role)+" ADD MEMBER "+bracketed(p.Name)); err != nil {
			return err
		}
	}
	for _, role := range difference(have, p.Roles) {
		if err := execute(ctx, db, "ALTER ROLE "+bracketed(role)+" DROP MEMBER "+bracketed(p.Name)); err != nil {
			return err
		}
	}
	return nil
}

// ensureLogin: members of a group without a login in master cannot sign in, and are told no reason.
func (s sqlServer) ensureLogin(ctx context.Context, logins *sql.DB, p storePrincipal) error {
	stands, stale, err := s.stands(ctx, logins, sqlLogins, p)
	if err != nil {
		return err
	}
	if stale {
		if err := execute(ctx, logins, "DROP LOGIN "+bracketed(p.Name)); err != nil {
			return err
		}
	}
	if stands && !stale {
		return nil
	}
	id, err := objectLiteral(p.ObjectID)
	if err != nil {
		return err
	}
	return execute(ctx, logins, "CREATE LOGIN "+bracketed(p.Name)+" FROM EXTERNAL PROVIDER WITH OBJECT_ID = "+id)
}

func (s sqlServer) ensureUser(ctx context.Context, db *sql.DB, p storePrincipal) error {
	stands, stale, err := s.stands(ctx, db, sqlUsers, p)
	if err != nil {
		return err
	}
	if stale {
		if err := execute(ctx, db, "DROP USER "+bracketed(p.Name)); err != nil {
			return err
		}
	}
	if stands && !stale {
		return nil
	}
	if p.Group {
		return execute(ctx, db, "CREATE USER "+bracketed(p.Name)+" FROM LOGIN "+bracketed(p.Name))
	}
	id, err := objectLiteral(p.ObjectID)
	if err != nil {
		return err
	}
	return execute(ctx, db, "CREATE USER "+bracketed(p.Name)+" FROM EXTERNAL PROVIDER WITH OBJECT_ID = "+id)
}

func execute(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	return err
}

// memberships returns the roles that the user is a direct member of.
func (sqlServer) memberships(ctx context.Context, db *sql.DB, p storePrincipal) ([]string, error) {
	return column(ctx, db, `SELECT r.name FROM sys.database_role_members AS m
		JOIN sys.database_principals AS r ON r.principal_id = m.role_principal_id
		JOIN sys.database_principals AS u ON u.principal_id = m.member_principal_id
		WHERE u.name = @p1`, p.Name)
}

// column returns the first column of a query.
func column(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func (s sqlServer) roles(ctx context.Context, db, logins *sql.DB, p storePrincipal) ([]string, bool, error) {
	if p.Group {
		stands, stale, err := s.stands(ctx, logins, sqlLogins, p)
		if err != nil || !stands || stale {
			return nil, false, err
		}
	}
	stands, stale, err := s.stands(ctx, db, sqlUsers, p)
	if err != nil || !stands || stale {
		return nil, false, err
	}
	have, err := s.memberships(ctx, db, p)
	return have, err == nil, err
}

func (s sqlServer) remove(ctx context.Context, db, logins *sql.DB, p storePrincipal) error {
	stands, _, err := s.stands(ctx, db, sqlUsers, p)
	if err == nil && stands {
		err = execute(ctx, db, "DROP USER "+bracketed(p.Name))
	}
	if err != nil || !p.Group {
		return err
	}
	stands, _, err = s.stands(ctx, logins, sqlLogins, p)
	if err == nil && stands {
		err = execute(ctx, logins, "DROP LOGIN "+bracketed(p.Name))
	}
	return err
}

func (sqlServer) probe(ctx context.Context, db *sql.DB, table string) error {
	name := bracketed(table)
	return probe(ctx, db, probeStatements{
		drop:   "DROP TABLE IF EXISTS " + name,
		create: "CREATE TABLE " + name + " (id INT NOT NULL PRIMARY KEY, note NVARCHAR(40) NOT NULL)",
		insert: "INSERT INTO " + name + " (id, note) VALUES (@p1, @p2), (@p3, @p4), (@p5, @p6)",
		read:   "SELECT id, note FROM " + name + " ORDER BY id",
	})
}

// probeStatements are the statements of one engine for the same proof.
type probeStatements struct{ drop, create, insert, read string }

// probeRows are what is written. They describe nobody.
var probeRows = [3]string{"written by flowehr", "to prove the path", "and dropped again"}

// probe makes a table, writes its rows by one statement, which is one transaction, reads them back and drops the table,
// whatever an earlier probe that was cut short has left.
func probe(ctx context.Context, db *sql.DB, s probeStatements) error {
	for _, statement := range []string{s.drop, s.create} {
		if err := execute(ctx, db, statement); err != nil {
			return err
		}
	}
	var values []any
	for i, note := range probeRows {
		values = append(values, i+1, note)
	}
	if _, err := db.ExecContext(ctx, s.insert, values...); err != nil {
		return err
	}
	if err := readProbe(ctx, db, s.read); err != nil {
		return err
	}
	return execute(ctx, db, s.drop)
}

func readProbe(ctx context.Context, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var id int
		var note string
		if err := rows.Scan(&id, &note); err != nil {
			return err
		}
		if n >= len(probeRows) || id != n+1 || note != probeRows[n] {
			return fmt.Errorf("the feature store gave back row %d with %q, which is not what was written", id, note)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != len(probeRows) {
		return fmt.Errorf("the feature store gave back %d rows of %d", n, len(probeRows))
	}
	return nil
}
