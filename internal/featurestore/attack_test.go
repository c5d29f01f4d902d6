package featurestore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/flowehr/flowehr/internal/featurestore"
)

// A publisher may make schemas and functions. Those must not run with the rights of whoever sets the store up.
func TestPublisherCannotLendItselfTheRightsOfSetup(t *testing.T) {
	e := setup(t)
	ctx := t.Context()
	writer := pool(t, e.database, "writer")
	for _, sql := range []string{
		"set role owners",
		"create schema flowehr", // named like the superuser, whose search path begins with its own name
		`create function flowehr.hashtextextended(text, int) returns bigint language plpgsql as $$
			begin execute 'alter role writer superuser'; return 1; end $$`,
		"create function flowehr.current_database() returns text language sql as $$ select 'trap'::text $$",
	} {
		if _, err := writer.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	// A pool as somebody else may have made it, without a search path of its own.
	if _, err := e.admin.Exec(ctx, `alter role flowehr set search_path = "$user", public`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := e.admin.Exec(context.WithoutCancel(ctx), "alter role flowehr reset search_path"); err != nil {
			t.Error(err)
		}
	})
	fresh := pool(t, e.database, "")
	check(t, featurestore.Setup(ctx, fresh, roles))
	asSuperuser := featurestore.New(fresh, roles)
	_, err := asSuperuser.Publish(ctx, target, rows(1, 3), featurestore.PublishOptions{Key: "k"}, nil)
	check(t, err)
	_, err = asSuperuser.Publish(ctx, target, rows(2, 3), featurestore.PublishOptions{Key: "l"}, nil)
	check(t, err)
	_, _, err = asSuperuser.Profile(ctx, target, "")
	check(t, err)
	if query[bool](t, e.admin, "select rolsuper from pg_catalog.pg_roles where rolname = 'writer'") {
		t.Error("the publisher is a superuser now")
	}
}

// A version that was taken back may hold what nobody should have seen. Which condition runs first, the reader's or the
// view's, must not be left to the planner's costs.
func TestReaderLearnsNothingOfOtherVersionsFromErrors(t *testing.T) {
	e := setup(t)
	ctx := t.Context()
	for _, v := range []int{41, 1} {
		_, err := e.Publish(ctx, target, rows(v, 3), featurestore.PublishOptions{}, nil)
		check(t, err)
	}
	check(t, e.Grant(ctx, "main", "readers"))
	if !query[bool](t, e.admin, "select reloptions @> '{security_barrier=true}' from pg_class where oid = '"+view+"'::regclass") {
		t.Error("the view has no barrier")
	}
	conn, err := pool(t, e.database, "rita").Acquire(ctx)
	check(t, err)
	defer conn.Release()
	_, err = conn.Exec(ctx, "set enable_partition_pruning = off") // so that the old version is looked at
	check(t, err)
	var n int
	if err := conn.QueryRow(ctx, "select count(*) from "+view+" where 1 / (v - 41) < 5").Scan(&n); err != nil || n != 3 {
		t.Errorf("got %d rows, %v; the condition ran on a row that is not shown", n, err)
	}
}

func TestRightsAreNotGivenToEverybody(t *testing.T) {
	e := setup(t)
	ctx := t.Context()
	_, err := e.Publish(ctx, target, rows(1, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	for _, group := range []string{"public", "none", "pg_monitor", ""} {
		if err := e.Grant(ctx, "main", group); !errors.Is(err, featurestore.ErrName) {
			t.Errorf("grant to %q: got %v, want ErrName", group, err)
		}
		if err := featurestore.Setup(ctx, e.admin, featurestore.Roles{Owner: "owners", Readers: []string{group}}); !errors.Is(err, featurestore.ErrName) {
			t.Errorf("set up for %q: got %v, want ErrName", group, err)
		}
	}
	for _, right := range []string{"CONNECT", "TEMP", "CREATE"} {
		if query[bool](t, e.admin, "select has_database_privilege('public', current_database(), '"+right+"')") {
			t.Errorf("everybody has %s", right)
		}
	}
	if query[bool](t, e.admin, "select has_table_privilege('sam', '"+view+"', 'SELECT')") {
		t.Error("a stranger can read")
	}
}
