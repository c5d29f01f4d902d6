// Package featurestore is the SQL feature store: tables in a PostgreSQL database that pipelines replace as a whole while
// others read them. A published table is a view; behind it stand the versions of the table as partitions and one row that
// points to the version that is shown. Publishing loads a new version aside and then moves the pointer, so a reader sees
// the old rows or the new ones and never waits.
//
// The package does not decide who may publish and opens no connection of its own; it is given a pool. The rules that
// hold here: what a reader's statement began with is what it ends with; a crash at any moment leaves the old version
// readable and the rest is cleaned up by the next publish; readers reach nothing but the views of schemas granted to them.
package featurestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Errors that callers branch on.
var (
	ErrName       = errors.New("not a usable name")
	ErrNotFound   = errors.New("table is not published")
	ErrNothingOld = errors.New("there is no older version to go back to")
	ErrTaken      = errors.New("name is taken by something that was not published")
	ErrDependents = errors.New("other views depend on the table")
)

// Roles are the groups that share the store. Logins are members of them.
type Roles struct {
	Owner   string   // owns everything in the store and publishes
	Readers []string // may connect; what they may read is granted by [Store.Grant]
}

// Target names a published table. Schema is usually the project.
type Target struct{ Schema, Table string }

// String returns schema.table.
func (t Target) String() string { return t.Schema + "." + t.Table }

func (t Target) check() error {
	if err := checkName("schema", t.Schema); err != nil {
		return err
	}
	for _, prefix := range []string{"pg_", "flowehr_"} {
		if strings.HasPrefix(strings.ToLower(t.Schema), prefix) {
			return fmt.Errorf("%w: schema %q begins with %s, which is reserved", ErrName, t.Schema, prefix)
		}
	}
	if t.Schema == "information_schema" || t.Schema == "public" {
		return fmt.Errorf("%w: schema %q is reserved", ErrName, t.Schema)
	}
	return checkName("table", t.Table)
}

// checkName refuses what PostgreSQL would cut off or a person could not tell apart. Everything else is only quoted.
func checkName(what, name string) error {
	if name == "" || len(name) > 63 || !utf8.ValidString(name) {
		return fmt.Errorf("%w: %s %q has to have 1 to 63 bytes of text", ErrName, what, name)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%w: %s %q has a character that cannot be printed", ErrName, what, name)
		}
	}
	return nil
}

// checkGroup refuses what PostgreSQL takes for everybody, even in quotes, and its own groups, which people are members of
// for other reasons.
func checkGroup(group string) error {
	if err := checkName("group", group); err != nil {
		return err
	}
	if group == "public" || group == "none" || strings.HasPrefix(group, "pg_") {
		return fmt.Errorf("%w: group %q is reserved", ErrName, group)
	}
	return nil
}

// Store is the feature store in one database. Its pool signs in as a member of the owner group, or as a superuser; the
// login is recorded with everything that it publishes. Store is safe for concurrent use.
type Store struct {
	pool  *pgxpool.Pool
	owner string
}

// New returns the store in the database of pool. See [Setup].
func New(pool *pgxpool.Pool, r Roles) *Store { return &Store{pool: pool, owner: r.Owner} }

// bookkeeping is what the store knows of itself. Members of the owner group alone can see it.
const bookkeeping = `
create table if not exists flowehr_store.layout (version int primary key);
create table if not exists flowehr_store.target (
	id           bigint generated always as identity primary key,
	schema_name  text not null,
	table_name   text not null,
	next_version bigint not null default 1,
	unique (schema_name, table_name)
);
create table if not exists flowehr_store.pointer (
	target  bigint primary key references flowehr_store.target,
	version bigint not null
) with (fillfactor = 10);
create table if not exists flowehr_store.version (
	target       bigint not null references flowehr_store.target,
	version      bigint not null,
	family       bigint not null,
	columns      jsonb not null,
	comments     jsonb not null default '{}',
	rows         bigint not null,
	live         boolean not null,
	published_at timestamptz not null default now(),
	published_by text not null,
	login        text not null default session_user,
	pipeline     text not null,
	run_id       text not null,
	primary key (target, version)
);
create table if not exists flowehr_store.publication (
	id       bigint generated always as identity primary key,
	target   bigint not null references flowehr_store.target,
	kind     text not null check (kind in ('publish', 'append', 'rollback')),
	key      text,
	version  bigint not null,
	rows     bigint not null,
	at       timestamptz not null default now(),
	by       text not null,
	login    text not null default session_user,
	pipeline text not null,
	run_id   text not null,
	unique (target, key)
);
create table if not exists flowehr_store.reader (
	schema_name text not null,
	role        text not null,
	primary key (schema_name, role)
);
insert into flowehr_store.layout values (1) on conflict do nothing;
`

// Setup prepares the database of pool, which signs in as a superuser or as the database's owner. It may be called again
// at any time. The roles exist already.
func Setup(ctx context.Context, pool *pgxpool.Pool, r Roles) error {
	for _, group := range append([]string{r.Owner}, r.Readers...) {
		if err := checkGroup(group); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ownPath+"; select pg_advisory_xact_lock(hashtextextended('flowehr store setup', 0))"); err != nil {
			return err
		}
		var database string
		if err := tx.QueryRow(ctx, "select current_database()").Scan(&database); err != nil {
			return err
		}
		owner, db := ident(r.Owner), ident(database)
		statements := []string{
			"revoke all on database " + db + " from public",
			"revoke all on schema public from public",
			"grant connect, create on database " + db + " to " + owner,
			"create schema if not exists flowehr_store authorization " + owner,
			"create schema if not exists flowehr_data authorization " + owner,
		}
		for _, reader := range r.Readers {
			statements = append(statements, "grant connect on database "+db+" to "+ident(reader))
		}
		statements = append(statements, "set local role "+owner)
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("set up feature store: %w", err)
			}
		}
		if _, err := tx.Exec(ctx, bookkeeping); err != nil {
			return fmt.Errorf("set up feature store: %w", err)
		}
		var newest int
		if err := tx.QueryRow(ctx, "select max(version) from flowehr_store.layout").Scan(&newest); err != nil {
			return fmt.Errorf("set up feature store: %w", err)
		}
		if newest > 1 {
			return fmt.Errorf("feature store has layout %d, this program knows 1; use the newer program", newest)
		}
		return nil
	})
}

// Grant lets the group read all tables of a schema, those that are published later too.
func (s *Store) Grant(ctx context.Context, schema, group string) error {
	if err := (Target{schema, "-"}).check(); err != nil {
		return err
	}
	if err := checkGroup(group); err != nil {
		return err
	}
	return s.asOwner(ctx, func(tx pgx.Tx) error {
		if err := s.ensureSchema(ctx, tx, schema); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "insert into flowehr_store.reader values ($1, $2) on conflict do nothing", schema, group); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "grant usage on schema "+ident(schema)+" to "+ident(group)); err != nil {
			return err
		}
		return eachView(ctx, tx, schema, func(view string) string { return "grant select on " + view + " to " + ident(group) })
	})
}

// Revoke takes back what [Store.Grant] gave.
func (s *Store) Revoke(ctx context.Context, schema, group string) error {
	if err := (Target{schema, "-"}).check(); err != nil {
		return err
	}
	return s.asOwner(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "delete from flowehr_store.reader where schema_name = $1 and role = $2", schema, group)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if err := eachView(ctx, tx, schema, func(view string) string { return "revoke select on " + view + " from " + ident(group) }); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "revoke usage on schema "+ident(schema)+" from "+ident(group))
		return err
	})
}

// eachView runs a statement for every published table of the schema.
func eachView(ctx context.Context, tx pgx.Tx, schema string, statement func(view string) string) error {
	rows, err := tx.Query(ctx, `select table_name from flowehr_store.target join flowehr_store.pointer on target = id where schema_name = $1`, schema)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, table := range tables {
		if _, err := tx.Exec(ctx, statement(ident(schema, table))); err != nil {
			return err
		}
	}
	return nil
}

// ensureSchema makes a schema unless it is there. It is only made when missing, because making one needs a right on the
// database that using one does not.
func (s *Store) ensureSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	var there bool
	if err := tx.QueryRow(ctx, "select exists (select from pg_namespace where nspname = $1)", schema).Scan(&there); err != nil || there {
		return err
	}
	_, err := tx.Exec(ctx, "create schema if not exists "+ident(schema)+" authorization "+ident(s.owner))
	return err
}

// ownPath keeps the names in our statements to PostgreSQL's own functions and operators. Publishers may make schemas, and
// one that is called like the login that we signed in with would otherwise be searched: what stands in it would run with
// our rights.
const ownPath = "set local search_path = pg_catalog"

// asOwner runs do in a transaction whose statements act as the owner group, so that everything belongs to the group
// whoever signed in; session_user stays the login.
func (s *Store) asOwner(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.become(ctx, tx, do) })
}

func (s *Store) become(ctx context.Context, tx pgx.Tx, do func(pgx.Tx) error) error {
	if _, err := tx.Exec(ctx, ownPath+"; set local role "+ident(s.owner)); err != nil {
		return err
	}
	return do(tx)
}

func ident(names ...string) string { return pgx.Identifier(names).Sanitize() }

func hasCode(err error, codes ...string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if pg.Code == code {
			return true
		}
	}
	return false
}
