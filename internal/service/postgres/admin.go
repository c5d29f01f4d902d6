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

// EnsureGroup makes a role that nobody can sign in with, to be given rights and members. A login is not made a group.
func EnsureGroup(ctx context.Context, db DB, name string) error {
	if err := ensure(ctx, db, name); err != nil {
		return err
	}
	login, err := exists(ctx, db, "select 1 from pg_roles where rolname = $1 and rolcanlogin", name)
	if err != nil {
		return err
	}
	if login {
		return fmt.Errorf("%w: %q is a login, it cannot be a group", ErrRoleTaken, name)
	}
	if err := run(ctx, db, "alter role "+ident(name)+" nologin "+powerless); err != nil {
		return err
	}
	return run(ctx, db, "comment on role "+ident(name)+" is "+literal(groupMark))
}

// groupMark is the comment that tells groups from logins that are not finished.
const groupMark = "group of flowehr"

// EnsureRole makes r, or makes the role of that name as r says. The server is only given the SCRAM verifier, so the
// password is in no log of it. A group is not made a login.
func EnsureRole(ctx context.Context, db DB, r Role) error {
	verifier, err := scramVerifier(r.Password)
	if err != nil {
		return err
	}
	for _, group := range r.MemberOf {
		if reserved(group) {
			return fmt.Errorf("role %q cannot be a member of %q: %w", r.Name, group, ErrReserved)
		}
	}
	if err := ensure(ctx, db, r.Name); err != nil {
		return err
	}
	group, err := exists(ctx, db, "select 1 from pg_roles r where r.rolname = $1 and shobj_description(r.oid, 'pg_authid') = $2", r.Name, groupMark)
	if err != nil {
		return err
	}
	if group {
		return fmt.Errorf("%w: %q is a group, it cannot be a login", ErrRoleTaken, r.Name)
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

// Errors of names that somebody else has.
var (
	ErrReserved  = errors.New("name is reserved")
	ErrRoleTaken = errors.New("role is somebody else's")
)

// reserved reports whether a role of that name is the server's or that of the program.
func reserved(name string) bool {
	return name == "" || name == Superuser || name == "public" || name == "none" || strings.HasPrefix(name, "pg_")
}

// ensure makes a role of that name. One with powers is not one of ours, and on a server that somebody else runs it may
// be the only one that has them, so it is left as it is.
func ensure(ctx context.Context, db DB, name string) error {
	if reserved(name) {
		return fmt.Errorf("role %q: %w", name, ErrReserved)
	}
	powerful, err := exists(ctx, db, `select 1 from pg_roles where rolname = $1 and
		(rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)`, name)
	if err != nil {
		return err
	}
	if powerful {
		return fmt.Errorf("%w: %q can make roles or databases or do more; choose another name", ErrRoleTaken, name)
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
	if reserved(name) {
		return fmt.Errorf("role %q: %w", name, ErrReserved)
	}
	there, err := exists(ctx, db, "select 1 from pg_roles where rolname = $1", name)
	if err != nil || !there {
		return err
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
