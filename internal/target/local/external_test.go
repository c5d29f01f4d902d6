package local

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
)

// TestForeignServer makes and removes a whole environment in somebody else's server. What else is there stays.
func TestForeignServer(t *testing.T) {
	server := throwAway(t)
	conn, err := pgx.Connect(t.Context(), dsn(server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{
		"create role librarian login password 'books'", "create database library owner librarian",
		"create role flowehr_looks_like_ours", "create database source_of_something_else", "create table public.kept as select 1 as a",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	env := definition(t, small())
	w := newExternalWorld(t, env, server)
	databases := "select datname from pg_database order by 1"
	roles := "select concat(rolname, ' ', rolcanlogin, ' ', rolsuper, ' ', rolpassword) from pg_authid order by 1"
	had, hadRoles := w.list(databases), w.list(roles)

	w.apply(lower(t, env))
	if made := len(w.list(databases)) - len(had); made != 3 {
		t.Fatalf("%d databases were made, want 3", made)
	}
	p := w.apply(nil)
	if left, err := w.host.Left(t.Context(), p); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if got := w.list(databases); !slices.Equal(got, had) {
		t.Errorf("databases before %v, after %v", had, got)
	}
	if got := w.list(roles); !slices.Equal(got, hadRoles) {
		t.Errorf("roles before %v, after %v", hadRoles, got)
	}
	var kept int
	if err := conn.QueryRow(t.Context(), "select a from public.kept").Scan(&kept); err != nil || kept != 1 {
		t.Errorf("the table of somebody else: %d, %v", kept, err)
	}
}

// TestForeignRole: a stand-in's reader has the name that the definition gives to it. A role of that name that somebody
// else made keeps its password and its life.
func TestForeignRole(t *testing.T) {
	server := throwAway(t)
	conn, err := pgx.Connect(t.Context(), dsn(server))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "create role reader login password 'of somebody else'"); err != nil {
		t.Fatal(err)
	}
	w := newExternalWorld(t, ward(), server)
	roles := "select concat(rolname, ' ', rolcanlogin, ' ', rolsuper, ' ', rolpassword) from pg_authid order by 1"
	before := w.list(roles)
	all := lower(t, w.host.Environment)
	source := all[indexOf(all, flowehr.Ref{Kind: kindSource, Name: "epr"})]
	err = (sourceKeeper{w.host}).ensure(t.Context(), source, quiet{})
	if err == nil || !strings.Contains(err.Error(), `"reader"`) {
		t.Errorf("a role of somebody else was taken: %v", err)
	}
	if err := (sourceKeeper{w.host}).remove(t.Context(), source); err != nil {
		t.Error(err)
	}
	if got := w.list(roles); !slices.Equal(got, before) {
		t.Errorf("roles before %v, after %v", before, got)
	}
}
