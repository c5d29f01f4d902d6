package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flowehr/flowehr"
)

// DB is what runs the statements of an administrator: a connection, a pool or a transaction of pgx.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Role is one login. Each identity has its own, so that the server's log and the tables say who did what.
type Role struct {
	Name          string
	Password      flowehr.Secret
	MemberOf      []string  // groups; memberships in other groups are taken away
	Connections   int       // limit; 0 is unlimited
	ValidUntil    time.Time // zero is for ever
	LogStatements bool      // every statement goes to the server's log with this name
}

// EnsureDatabase makes the database, owned by owner, unless it is there. Only its owner and those whom [GrantConnect]
// names may connect.
func EnsureDatabase(ctx context.Context, db DB, name, owner string) error {
	there, err := exists(ctx, db, "select 1 from pg_database where datname = $1", name)
	if err != nil {
		return err
	}
	if !there {
		// template0: what somebody put into template1 is none of ours.
		err := run(ctx, db, "create database "+ident(name)+" owner "+ident(owner)+" template template0 encoding 'UTF8'")
		if err != nil && !isCode(err, "42P04", "23505") { // somebody else was faster
			return err
		}
	}
	if err := run(ctx, db, "alter database "+ident(name)+" owner to "+ident(owner)); err != nil {
		return err
	}
	return run(ctx, db, "revoke all on database "+ident(name)+" from public")
}

// GrantConnect lets role, usually a group, connect to the database.
func GrantConnect(ctx context.Context, db DB, database, role string) error {
	return run(ctx, db, "grant connect on database "+ident(database)+" to "+ident(role))
}

// EnsureGroup makes a role that nobody can sign in with, to be given rights and members.
func EnsureGroup(ctx context.Context, db DB, name string) error {
	if err := ensure(ctx, db, name); err != nil {
		return err
	}
	return run(ctx, db, "alter role "+ident(name)+" nologin "+powerless)
}

// EnsureRole makes r, or makes the role of that name as r says. The server is only given the SCRAM verifier, so the
// password is in no log of it.
func EnsureRole(ctx context.Context, db DB, r Role) error {
	verifier, err := scramVerifier(r.Password)
	if err != nil {
		return err
	}
	if err := ensure(ctx, db, r.Name); err != nil {
		return err
	}
	limit, until := -1, "infinity"
	if r.Connections > 0 {
		limit = r.Connections
	}
	if !r.ValidUntil.IsZero() {
		until = r.ValidUntil.UTC().Format(time.RFC3339)
	}
	err = run(ctx, db, fmt.Sprintf("alter role %s login %s connection limit %d valid until %s password %s",
		ident(r.Name), powerless, limit, literal(until), literal(verifier)))
	if err != nil {
		return err
	}
	setting := " reset log_statement"
	if r.LogStatements {
		setting = " set log_statement = 'all'"
	}
	if err := run(ctx, db, "alter role "+ident(r.Name)+setting); err != nil {
		return err
	}
	return setMemberships(ctx, db, r.Name, r.MemberOf)
}

// powerless are the attributes that no role of ours has.
const powerless = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls inherit"

func ensure(ctx context.Context, db DB, name string) error {
	if name == Superuser || strings.HasPrefix(name, "pg_") || name == "" {
		return fmt.Errorf("role %q is reserved", name)
	}
	there, err := exists(ctx, db, "select 1 from pg_roles where rolname = $1", name)
	if err != nil || there {
		return err
	}
	err = run(ctx, db, "create role "+ident(name)+" nologin")
	if isCode(err, "42710", "23505") { // somebody else was faster
		return nil
	}
	return err
}

func setMemberships(ctx context.Context, db DB, role string, want []string) error {
	have, err := list(ctx, db, `select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid
		join pg_roles r on r.oid = m.member where r.rolname = $1`, role)
	if err != nil {
		return err
	}
	for _, group := range have {
		if !slices.Contains(want, group) {
			if err := run(ctx, db, "revoke "+ident(group)+" from "+ident(role)); err != nil {
				return err
			}
		}
	}
	for _, group := range want {
		if !slices.Contains(have, group) {
			if err := run(ctx, db, "grant "+ident(group)+" to "+ident(role)); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropRole removes a role and ends its sessions. What it owns in the database of db goes to newOwner; a role that owns
// something in another database is not removed. A role that is not there is no error.
func DropRole(ctx context.Context, db DB, name, newOwner string) error {
	there, err := exists(ctx, db, "select 1 from pg_roles where rolname = $1", name)
	if err != nil || !there {
		return err
	}
	if name == Superuser || strings.HasPrefix(name, "pg_") {
		return fmt.Errorf("role %q is reserved", name)
	}
	for _, sql := range []string{
		"alter role " + ident(name) + " nologin",
		"select pg_terminate_backend(pid) from pg_stat_activity where usename = " + literal(name),
		"reassign owned by " + ident(name) + " to " + ident(newOwner),
		"drop owned by " + ident(name), // now only its rights
		"drop role " + ident(name),
	} {
		if err := run(ctx, db, sql); err != nil && !isCode(err, "42704") {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, db DB, sql string) error {
	_, err := db.Exec(ctx, sql)
	return err
}

func exists(ctx context.Context, db DB, sql string, args ...any) (bool, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

func list(ctx context.Context, db DB, sql string, args ...any) ([]string, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text for the statements in which PostgreSQL takes no parameters.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

func isCode(err error, codes ...string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, pg.Code)
}
