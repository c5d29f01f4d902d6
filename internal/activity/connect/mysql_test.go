package connect_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/activity/dbtest"
)

// TestMySQL runs against MariaDB: one server for all, because starting it takes seconds.
func TestMySQL(t *testing.T) {
	s, err := dbtest.StartMariaDB(t.Context())
	if errors.Is(err, dbtest.ErrNoServer) {
		t.Skip("no MariaDB on this machine: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	good := connect.Config{
		Name: "lab", Kind: flowehr.SourceMySQL, Host: "127.0.0.1", Port: s.Port, Database: s.Database,
		Username: s.User, Password: flowehr.NewSecret(s.Password), TLS: "disable",
	}
	conf := mysql.NewConfig()
	conf.Net, conf.Addr, conf.User, conf.Passwd, conf.DBName, conf.MultiStatements = "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port), s.User, s.Password, s.Database, true
	connector, err := mysql.NewConnector(conf)
	if err != nil {
		t.Fatal(err)
	}
	admin := sql.OpenDB(connector)
	t.Cleanup(func() { admin.Close() })
	run := func(text string) {
		t.Helper()
		if _, err := admin.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	t.Run("types", func(t *testing.T) { mysqlTypes(t, good, run) })
	t.Run("trouble", func(t *testing.T) { mysqlTrouble(t, good, run) })
	t.Run("names and values", func(t *testing.T) { mysqlInjection(t, good, run) })
	t.Run("killed in the middle", func(t *testing.T) { mysqlKilled(t, good, admin) })
	t.Run("socket and tables", func(t *testing.T) {
		c := good
		c.Host = s.Socket
		version, err := connect.Test(t.Context(), c)
		if err != nil || !strings.Contains(version, "MariaDB") {
			t.Errorf("got %q, %v", version, err)
		}
		tables, err := open(t, c).Tables(t.Context())
		if err != nil || len(tables) == 0 || tables[0].Schema != s.Database {
			t.Errorf("got %v, %v", tables, err)
		}
	})
}

func mysqlTypes(t *testing.T, c connect.Config, run func(string)) {
	run(`create table kinds(a tinyint, b smallint unsigned, c int, d int unsigned, e bigint, f bigint unsigned, g float, h double, i decimal(12,3), j date, k datetime(6), l timestamp(3) null,
		m time, n year, o char(3), p text, q json, r varbinary(4), s blob, u enum('x','y'), v bit(10), w boolean)`)
	run(`set time_zone = '+02:00'; insert into kinds values (-1, 65535, -5, 4294967295, -9223372036854775808, 18446744073709551615, 1.5, 0.1, -123.450, '2024-02-29', '2024-02-29 23:59:58.123456',
		'2024-03-01 02:00:00.5', '08:30:00', 2024, 'abc', 'Zoë', '{"a": 1}', x'00ff', x'01', 'y', b'1000000001', true), (null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null)`)
	db := open(t, c)
	columns, rows, err := all(t, db, "select * from kinds order by a is null")
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		kind  string
		value any
	}{
		{"short", int64(-1)}, {"integer", int64(65535)}, {"integer", int64(-5)}, {"long", int64(4294967295)}, {"long", int64(-9223372036854775808)}, {"decimal(20,0)", "18446744073709551615"},
		{"float", 1.5}, {"double", 0.1}, {"decimal(12,3)", "-123.450"}, {"date", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"timestamp", time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)}, {"timestamp", time.Date(2024, 3, 1, 0, 0, 0, 500000000, time.UTC)},
		{"string", "08:30:00"}, {"short", int64(2024)}, {"string", "abc"}, {"string", "Zoë"}, {"string", `{"a": 1}`}, {"binary", []byte{0, 255}}, {"binary", []byte{1}}, {"string", "y"}, {"long", int64(513)}, {"short", int64(1)},
	}
	for i, w := range want {
		if columns[i].Type != w.kind {
			t.Errorf("column %s: got type %s, want %s", columns[i].Name, columns[i].Type, w.kind)
		}
		if d := cmp.Diff(w.value, rows[0][i]); d != "" {
			t.Errorf("column %s: %s", columns[i].Name, d)
		}
		if rows[1][i] != nil {
			t.Errorf("column %s: got %v for null", columns[i].Name, rows[1][i])
		}
	}
	_, bound, err := all(t, db, "select f, e, j, v from kinds where a = ?", int64(-1))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]any{{"18446744073709551615", int64(-9223372036854775808), want[9].value, int64(513)}}, bound); d != "" {
		t.Errorf("the same values by a bound query: %s", d)
	}
}

func mysqlTrouble(t *testing.T, good connect.Config, run func(string)) {
	run("create table private(id int); create user 'guest'@'%' identified by 'pw-of-guest', 'guest'@'localhost' identified by 'pw-of-guest'; create table open_table(id int); grant select on hospital.open_table to 'guest'@'localhost'; grant select on hospital.open_table to 'guest'@'%'")
	change := func(f func(*connect.Config)) connect.Config { c := good; f(&c); return c }
	tests := []struct {
		name   string
		config connect.Config
		sql    string
		reason connect.Reason
		says   string
	}{
		{"wrong password", change(func(c *connect.Config) { c.Password = flowehr.NewSecret("guess-1234") }), "", connect.Login, `user "tester" was refused`},
		{"unknown database", change(func(c *connect.Config) { c.Database = "nowhere" }), "", connect.UnknownDatabase, `no database "nowhere"`},
		{"refused", change(func(c *connect.Config) { c.Port = 1 }), "", connect.Unreachable, "refuses connections"},
		{"unknown host", change(func(c *connect.Config) { c.Host = "lab.invalid" }), "", connect.UnknownHost, "not known"},
		{"no encryption offered", change(func(c *connect.Config) { c.TLS = "require" }), "", connect.Encryption, "offers no encryption"},
		{"missing table", good, "select * from no_such_table", connect.UnknownTable, "no_such_table"},
		{"not allowed", change(func(c *connect.Config) { c.Username = "guest"; c.Password = flowehr.NewSecret("pw-of-guest") }), "select * from private", connect.Refused, "may not read"},
		{"write", good, "insert into private values (1)", connect.Refused, "only read"},
		{"two statements", good, "select 1; drop table private", connect.Other, "syntax"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db, err := connect.Open(t.Context(), tt.config)
			if err == nil {
				defer db.Close()
				_, _, err = all(t, db, tt.sql)
			}
			e, ok := errors.AsType[*connect.Error](err)
			if !ok || e.Reason != tt.reason || !strings.Contains(e.Message, tt.says) {
				t.Errorf("got %#v (%v), want %s saying %q", e, err, tt.reason, tt.says)
			}
			for _, secret := range []string{good.Password.Reveal(), "guess-1234", "pw-of-guest"} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the message holds a password: %v", err)
				}
			}
		})
	}
}

func mysqlInjection(t *testing.T, c connect.Config, run func(string)) {
	evil := "x`; drop table private; -- '\""
	query, err := connect.SelectTable(flowehr.SourceMySQL, c.Database, evil)
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, c)
	if _, _, err = all(t, db, query); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("got %v, want an unknown table", err)
	}
	_, rows, err := all(t, db, "select ? as v, (select count(*) from private) as n", evil)
	if err != nil || rows[0][0] != evil || rows[0][1] != int64(0) {
		t.Errorf("got %v, %v", rows, err)
	}
}

func mysqlKilled(t *testing.T, c connect.Config, admin *sql.DB) {
	db := open(t, c)
	rows, err := db.Query(t.Context(), "select seq, repeat('x', 1000) from seq_1_to_100000000")
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
			var id int64
			if err := admin.QueryRowContext(t.Context(), "select id from information_schema.processlist where info like 'select seq%'").Scan(&id); err != nil {
				t.Fatal(err)
			}
			if _, err := admin.ExecContext(t.Context(), fmt.Sprintf("kill connection %d", id)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
