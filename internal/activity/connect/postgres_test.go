package connect_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/activity/dbtest"
)

// server is started once for all tests of PostgreSQL, when the first asks.
var server struct {
	once     sync.Once
	postgres *dbtest.Server
	err      error
}

func TestMain(m *testing.M) {
	code := m.Run()
	server.postgres.Stop()
	os.Exit(code)
}

// postgresServer gives a test an empty database.
func postgresServer(t testing.TB) (connect.Config, *pgx.Conn) {
	t.Helper()
	server.once.Do(func() {
		server.postgres, server.err = dbtest.StartPostgres(context.WithoutCancel(t.Context()), "fsync=off")
	})
	if errors.Is(server.err, dbtest.ErrNoServer) {
		t.Skip("no PostgreSQL on this machine: ", server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	s := server.postgres
	c := connect.Config{
		Name: "epr", Kind: flowehr.SourcePostgreSQL, Host: s.Dir, Port: s.Port, Database: strings.ToLower(t.Name()),
		Username: s.User, Password: flowehr.NewSecret(s.Password),
	}
	login := fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=", s.Dir, s.Port, s.User, s.Password)
	first, err := pgx.Connect(t.Context(), login+s.Database)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, first, "create database "+c.Database)
	first.Close(t.Context())
	admin, err := pgx.Connect(t.Context(), login+c.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
	return c, admin
}

func exec(t testing.TB, admin *pgx.Conn, sql string) {
	t.Helper()
	if _, err := admin.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// all reads a query to its end.
func all(t testing.TB, db connect.Database, sql string, args ...any) ([]connect.Column, [][]any, error) {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var out [][]any
	for {
		row := make([]any, len(rows.Columns()))
		more, err := rows.Next(row)
		if err != nil || !more {
			return rows.Columns(), out, err
		}
		out = append(out, row)
	}
}

func open(t testing.TB, c connect.Config) connect.Database {
	t.Helper()
	db, err := connect.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestPostgresTypes(t *testing.T) {
	c, _ := postgresServer(t)
	db := open(t, c)
	at := time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)
	tests := []struct {
		sql  string
		kind string
		want any
	}{
		{"true", "boolean", true},
		{"(-7)::int2", "short", int64(-7)},
		{"2147483647", "integer", int64(math.MaxInt32)},
		{"(-9223372036854775808)::int8", "long", int64(math.MinInt64)},
		{"1.5::float4", "float", 1.5},
		{"0.1::float8", "double", 0.1},
		{"123.40::numeric(10,2)", "decimal(10,2)", "123.40"},
		{"(-0.05)::numeric(5,3)", "decimal(5,3)", "-0.050"},
		{"10000.0001::numeric", "decimal(38,18)", "10000.0001"},
		{"100000000::numeric(12,0)", "decimal(12,0)", "100000000"},
		{"0::numeric", "decimal(38,18)", "0"},
		{"1e-10::numeric", "decimal(38,18)", "0.0000000001"},
		{"1.23456789012345678900::numeric", "decimal(38,18)", "1.234567890123456789"},
		{"12300::numeric(3,-2)", "decimal(5,0)", "12300"},
		{"0.00012::numeric(3,5)", "decimal(5,5)", "0.00012"},
		{"repeat('9', 45)::numeric(45,0)", "string", strings.Repeat("9", 45)},
		{"'Zoë'::text", "string", "Zoë"},
		{"''::text", "string", ""},
		{`'{"a": [1, 2]}'::jsonb`, "string", `{"a": [1, 2]}`},
		{`'{"a":1}'::json`, "string", `{"a":1}`},
		{"'6F9619FF-8B86-D011-B42D-00C04FC964FF'::uuid", "string", "6f9619ff-8b86-d011-b42d-00c04fc964ff"},
		{`'\x00ff'::bytea`, "binary", []byte{0, 255}},
		{"date '1900-02-28'", "date", time.Date(1900, 2, 28, 0, 0, 0, 0, time.UTC)},
		{"timestamp '2024-02-29 23:59:58.123456'", "timestamp", at},
		{"timestamptz '2024-03-01 01:59:58.123456+02'", "timestamp", at},
		{"timestamp '1969-12-31 23:59:59.999999'", "timestamp", time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{"time '08:30:00'", "string", "08:30:00"},
		{"interval '1 day 2 hours'", "string", "1 day 02:00:00"},
		{"array['a','b,c']", "string", `{a,"b,c"}`},
		{"'192.168.0.1'::inet", "string", "192.168.0.1"},
		{"null::int4", "integer", nil},
	}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			columns, rows, err := all(t, db, "select "+tt.sql+" as v")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]connect.Column{{Name: "v", Type: tt.kind}}, columns); d != "" {
				t.Errorf("columns (-want +got):\n%s", d)
			}
			if d := cmp.Diff([][]any{{tt.want}}, rows); d != "" {
				t.Errorf("rows (-want +got):\n%s", d)
			}
		})
	}
}

func TestPostgresValuesThatDoNotFitNameTheColumnAndReadingGoesOn(t *testing.T) {
	c, _ := postgresServer(t)
	db := open(t, c)
	tests := map[string]string{
		"'infinity'::date":                 "infinite date",
		"'-infinity'::timestamptz":         "infinite timestamp",
		"'NaN'::numeric":                   "NaN",
		"'Infinity'::numeric":              "infinite number",
		"0.1234567890123456789::numeric":   "more than 18 decimal places",
		"123456789012345678901::numeric":   "21 digits before the point",
		"date '4000-01-01 BC'":             "outside the years",
		"timestamp '12000-01-01 00:00:00'": "outside the years",
	}
	for sql, want := range tests {
		t.Run(sql, func(t *testing.T) {
			rows, err := db.Query(t.Context(), "select "+sql+" as v union all select null")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			row := make([]any, 1)
			_, err = rows.Next(row)
			misfit, ok := errors.AsType[*connect.ValueError](err)
			if !ok || misfit.Column != "v" || !strings.Contains(misfit.Why, want) {
				t.Fatalf("got %v, want a ValueError of column v saying %q", err, want)
			}
			if more, err := rows.Next(row); !more || err != nil || row[0] != nil {
				t.Errorf("the next row: %v %v %v, want null", more, err, row[0])
			}
		})
	}
}

func TestPostgresTrouble(t *testing.T) {
	good, admin := postgresServer(t)
	exec(t, admin, "create role nobody_may login password 'pw-of-nobody'")
	exec(t, admin, "create table private(id int)")
	change := func(f func(*connect.Config)) connect.Config { c := good; f(&c); return c }
	overTCP := func(c *connect.Config) { c.Host = "127.0.0.1" }
	tests := []struct {
		name   string
		config connect.Config
		sql    string
		reason connect.Reason
		says   string
	}{
		{"wrong password", change(func(c *connect.Config) { c.Password = flowehr.NewSecret("guess-1234") }), "", connect.Login, `user "tester" was refused`},
		{"wrong user", change(func(c *connect.Config) { c.Username = "mallory" }), "", connect.Login, `user "mallory" was refused`},
		{"unknown database", change(func(c *connect.Config) { c.Database = "nowhere" }), "", connect.UnknownDatabase, `no database "nowhere"`},
		{"unknown host", change(func(c *connect.Config) { c.Host = "epr.invalid" }), "", connect.UnknownHost, `host "epr.invalid" is not known`},
		{"refused", change(func(c *connect.Config) { overTCP(c); c.Port = 1 }), "", connect.Unreachable, "refuses connections"},
		{"no socket", change(func(c *connect.Config) { c.Host = "/nowhere" }), "", connect.Unreachable, "no socket"},
		{"no encryption offered", change(overTCP), "", connect.Encryption, "offers no encryption"},
		{"tls setting", change(func(c *connect.Config) { c.TLS = "maybe" }), "", connect.Refused, "not require, verify or disable"},
		{"kind", change(func(c *connect.Config) { c.Kind = flowehr.SourceFolder }), "", connect.Refused, "not a SQL database"},
		{"missing table", good, "select * from no_such_table", connect.UnknownTable, "no_such_table"},
		{"not allowed", change(func(c *connect.Config) { c.Username = "nobody_may"; c.Password = flowehr.NewSecret("pw-of-nobody") }), "select * from private", connect.Refused, "may not read"},
		{"write", good, "create table x(a int)", connect.Refused, "only read"},
		{"write after leaving the transaction", good, "commit; drop table private", connect.Other, "multiple commands"},
		{"syntax", good, "selec 1", connect.Other, "syntax error"},
		{"division in the middle", good, "select 1/(3-i) from generate_series(1,5) i", connect.Other, "division by zero"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db, err := connect.Open(t.Context(), tt.config)
			if err == nil {
				defer db.Close()
				_, _, err = all(t, db, tt.sql)
			}
			e, ok := errors.AsType[*connect.Error](err)
			if !ok || e.Reason != tt.reason || !strings.Contains(e.Message, tt.says) || !strings.Contains(e.Message, `data source "epr"`) {
				t.Errorf("got %#v (%v), want %s saying %q", e, err, tt.reason, tt.says)
			}
			for _, secret := range []string{good.Password.Reveal(), "guess-1234", "pw-of-nobody"} {
				if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), secret) {
					t.Errorf("the message holds a password: %v", err)
				}
			}
		})
	}
}

func TestPostgresReadsOverTCPWithoutEncryptionOnlyWhenAsked(t *testing.T) {
	c, _ := postgresServer(t)
	c.Host, c.TLS = "127.0.0.1", "disable"
	version, err := connect.Test(t.Context(), c)
	if err != nil || !strings.HasPrefix(version, "PostgreSQL ") {
		t.Errorf("got %q, %v", version, err)
	}
}

func TestPostgresTables(t *testing.T) {
	c, admin := postgresServer(t)
	exec(t, admin, `create schema "odd ""name"; create table "odd ""name"."t;drop" (a int); create table patients(id int); create view adults as select * from patients`)
	got, err := open(t, c).Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []connect.Table{{Schema: `odd "name`, Name: "t;drop"}, {Schema: "public", Name: "adults", View: true}, {Schema: "public", Name: "patients"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPostgresBindsValuesAndQuotesNames(t *testing.T) {
	c, admin := postgresServer(t)
	evil := `x"; drop table patients; --`
	exec(t, admin, "create table patients(id int); insert into patients values (1), (2)")
	db := open(t, c)
	_, rows, err := all(t, db, "select $1::text as a, $2::int8 as b, $3::bool as c", evil, int64(5), true)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]any{{evil, int64(5), true}}, rows); d != "" {
		t.Error(d)
	}
	query, err := connect.SelectTable(flowehr.SourcePostgreSQL, "public", evil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = all(t, db, query)
	if e, ok := errors.AsType[*connect.Error](err); !ok || e.Reason != connect.UnknownTable {
		t.Errorf("got %v, want an unknown table", err)
	}
	if _, rows, err = all(t, db, "select count(*) from patients"); err != nil || rows[0][0] != int64(2) {
		t.Errorf("patients: %v %v", rows, err)
	}
}

func TestPostgresClosingEarlyStopsTheQuery(t *testing.T) {
	c, admin := postgresServer(t)
	db := open(t, c)
	rows, err := db.Query(t.Context(), "select generate_series(1, 200000000), repeat('x', 100)")
	if err != nil {
		t.Fatal(err)
	}
	row := make([]any, 2)
	if more, err := rows.Next(row); !more || err != nil {
		t.Fatal(more, err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	var running int
	if err := admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where application_name = 'flowehr' and state = 'active'").Scan(&running); err != nil || running != 0 {
		t.Errorf("%d queries still run, %v", running, err)
	}
}

func TestPostgresKilledInTheMiddle(t *testing.T) {
	c, admin := postgresServer(t)
	db := open(t, c)
	rows, err := db.Query(t.Context(), "select generate_series(1, 100000000), repeat('x', 1000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	row := make([]any, 2)
	for n := 0; ; n++ {
		more, err := rows.Next(row)
		if err != nil {
			if e, ok := errors.AsType[*connect.Error](err); !ok || e.Reason != connect.Lost {
				t.Errorf("got %v, want that the connection was lost", err)
			}
			return
		}
		if !more {
			t.Fatal("the result ended as if it were complete")
		}
		if n == 1000 {
			exec(t, admin, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'flowehr'")
		}
	}
}

func TestPostgresEndsWithItsContext(t *testing.T) {
	c, _ := postgresServer(t)
	db := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := db.Query(ctx, "select generate_series(1, 100000000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	row := make([]any, 1)
	if _, err := rows.Next(row); err != nil {
		t.Fatal(err)
	}
	cancel()
	for {
		more, err := rows.Next(row)
		if errors.Is(err, context.Canceled) {
			return
		}
		if err != nil || !more {
			t.Fatalf("got %v %v, want context.Canceled", more, err)
		}
	}
}
