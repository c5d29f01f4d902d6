// Package connect reads SQL databases that data comes from: PostgreSQL, SQL Server, and MySQL or MariaDB. It tests a
// connection, lists tables and streams the rows of a query with their types translated to those of a Delta table.
//
// It never writes: a query runs in a read-only transaction where the server has one and in a transaction that is rolled
// back where it has not. It holds no pool and keeps no rows: memory does not grow with the size of a result. The rule
// that holds here: identifiers are quoted for their dialect, values are bound, and no message holds a password.
package connect

import (
	"context"
	"fmt"
	"time"

	"github.com/flowehr/flowehr"
)

// Config says how a database is reached.
type Config struct {
	Name     string // of the data source, for messages
	Kind     flowehr.SourceKind
	Host     string // PostgreSQL: a path is the folder of its Unix socket
	Port     int    // 0 means the kind's own default
	Database string
	Username string
	Password flowehr.Secret
	TLS      string // "require" (default: encrypted), "verify" (and the server proves who it is) or "disable"
}

// Database is one open connection. It is not safe for concurrent use: one query at a time, and its rows are closed
// before the next.
type Database interface {
	// Tables lists the tables and views that the user may read, ordered by schema and name.
	Tables(ctx context.Context) ([]Table, error)
	// Query runs one statement that returns rows. Args are bound in order; the placeholder is that of the server.
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
	// Close ends the connection.
	Close() error
}

// Rows streams a result.
type Rows interface {
	// Columns describes the result. It may be called before the first Next.
	Columns() []Column
	// Next fills row, which has one place per column, and reports whether there was one. Bytes and strings in row
	// belong to the caller. A value that its column's type cannot hold gives a *ValueError; reading may go on after it.
	Next(row []any) (bool, error)
	// Close releases the result. Calling it early stops the query.
	Close() error
}

// Column of a result. Type is the name of a Delta type: boolean, short, integer, long, float, double, decimal(p,s),
// string, binary, date or timestamp. Values are bool, int64, float64, string (also for decimals, in plain notation),
// []byte and time.Time in UTC; nil is null.
type Column struct {
	Name string
	Type string
}

// Table that can be read.
type Table struct {
	Schema string
	Name   string
	View   bool
}

// connectTimeout bounds reaching and greeting a server. Queries have no limit of their own.
const connectTimeout = 15 * time.Second

// application is what the server's administrator sees.
const application = "flowehr"

// Open connects. The error is an *Error that says in a user's words what is wrong.
func Open(ctx context.Context, c Config) (Database, error) {
	switch c.TLS {
	case "", "require", "verify", "disable":
	default:
		return nil, &Error{Reason: Refused, Message: fmt.Sprintf("data source %q: tls %q is not require, verify or disable", c.Name, c.TLS)}
	}
	var db Database
	var err error
	switch c.Kind {
	case flowehr.SourcePostgreSQL:
		db, err = openPostgres(ctx, c)
	case flowehr.SourceSQLServer:
		db, err = openSQLServer(ctx, c)
	case flowehr.SourceMySQL:
		db, err = openMySQL(ctx, c)
	default:
		return nil, &Error{Reason: Refused, Message: fmt.Sprintf("data source %q of kind %q is not a SQL database", c.Name, c.Kind)}
	}
	if err != nil {
		return nil, explain(c, err)
	}
	return db, nil
}

// Test connects, asks the server one question and returns its version. The error is an *Error.
func Test(ctx context.Context, c Config) (version string, err error) {
	db, err := Open(ctx, c)
	if err != nil {
		return "", err
	}
	defer db.Close()
	rows, err := db.Query(ctx, versionQuery(c.Kind))
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]any, 1)
	if _, err := rows.Next(row); err != nil {
		return "", err
	}
	version, _ = row[0].(string)
	return version, nil
}

func versionQuery(kind flowehr.SourceKind) string {
	switch kind {
	case flowehr.SourcePostgreSQL:
		return "select 'PostgreSQL ' || current_setting('server_version')"
	case flowehr.SourceMySQL:
		return "select version()"
	}
	return "select 'SQL Server ' + cast(serverproperty('ProductVersion') as nvarchar(128))"
}

func (c Config) port() int {
	if c.Port != 0 {
		return c.Port
	}
	switch c.Kind {
	case flowehr.SourcePostgreSQL:
		return 5432
	case flowehr.SourceMySQL:
		return 3306
	}
	return 1433
}
