package azuresim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sqlTest is a database with an administrator signed in and a directory of three.
func sqlTest() *sqlRun {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	master, db := newSQLDatabase("master", now), newSQLDatabase("db", now)
	who := map[string]*principal{
		"app":     {ID: "a0000000-0000-4000-8000-000000000001", AppID: "a0000000-0000-4000-8000-0000000000aa", Kind: "ServicePrincipal", Name: "app"},
		"group":   {ID: "a0000000-0000-4000-8000-000000000002", Kind: "Group", Name: "group"},
		"a]b'c;d": {ID: "a0000000-0000-4000-8000-000000000003", Kind: "User", Name: "a]b'c;d"},
	}
	return &sqlRun{server: &sqlServerState{Databases: map[string]*sqlDatabase{"master": master, "db": db}}, db: db, now: now, login: "admin", user: "dbo", owner: true,
		roles: map[string]bool{}, vars: map[string]sqlVar{}, resolve: func(name, _ string) (*principal, *sqlError) {
			if p := who[name]; p != nil {
				return p, nil
			}
			return nil, sqlFail(33130, 16, "Principal '%s' could not be found.", name)
		}}
}

// again is a batch after another one in the same database.
func (r *sqlRun) again(text string, params map[string]any) (string, *sqlError) {
	next := r.nested()
	next.level = 0
	for name, v := range params {
		next.vars[name] = sqlVar{value: v}
	}
	err := next.batch(text)
	var out []string
	for _, res := range next.results {
		for _, row := range res.rows {
			var cells []string
			for _, v := range row {
				cells = append(cells, sqlText(v))
			}
			out = append(out, strings.Join(cells, ","))
		}
	}
	return strings.Join(out, "|"), err
}

func TestSQLStatements(t *testing.T) {
	const people = "CREATE USER app FROM EXTERNAL PROVIDER; CREATE USER [group] FROM EXTERNAL PROVIDER WITH OBJECT_ID = 'a0000000-0000-4000-8000-000000000002'; ALTER ROLE db_datareader ADD MEMBER app; ALTER ROLE db_owner ADD MEMBER app; "
	for _, test := range []struct {
		name, text string
		want       string
		number     int32
	}{
		{"literals", "SELECT 1, N'it''s', NULL, 2 + 3 * 1, 'a' + 'b'", "1,it's,,5,ab", 0},
		{"comments nest", "SELECT /* a /* b */ c */ 1 -- end", "1", 0},
		{"unknown is not true", "SELECT 1 WHERE NULL = NULL", "", 0},
		{"not of unknown", "SELECT 1 WHERE NOT (NULL = 1)", "", 0},
		{"in with null", "SELECT 1 WHERE 1 NOT IN (2, NULL)", "", 0},
		{"collation", "SELECT 1 WHERE 'ABC  ' = 'abc'", "1", 0},
		{"like", "SELECT 1 WHERE 'flowehr_x' LIKE 'FLOW%_x' AND 'a' NOT LIKE 'b%'", "1", 0},
		{"case", "SELECT CASE WHEN 1 = 2 THEN 'a' ELSE 'b' END, CASE 3 WHEN 3 THEN 'c' END", "b,c", 0},
		{"top and order", "CREATE TABLE t (a int); INSERT t VALUES (2),(3),(1); SELECT TOP (2) a FROM t ORDER BY a DESC", "3|2", 0},
		{"roles of a user", people + `SELECT r.name FROM sys.database_role_members m JOIN sys.database_principals r ON r.principal_id = m.role_principal_id
			JOIN sys.database_principals u ON u.principal_id = m.member_principal_id WHERE u.name = 'APP' ORDER BY r.name`, "db_datareader|db_owner", 0},
		{"types", people + "SELECT name, type FROM sys.database_principals WHERE authentication_type_desc = 'EXTERNAL' ORDER BY name", "app,E|group,X", 0},
		{"sid of an application is its client id", people + "SELECT CAST(sid AS uniqueidentifier) FROM sys.database_principals WHERE name = 'app'", "A0000000-0000-4000-8000-0000000000AA", 0},
		{"group by", people + "SELECT type, COUNT(*) FROM sys.database_principals WHERE authentication_type = 4 GROUP BY type ORDER BY type", "E,1|X,1", 0},
		{"string_agg", people + "SELECT STRING_AGG(name, ';') FROM sys.database_principals WHERE authentication_type = 4", "app;group", 0},
		{"if not exists", people + "IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = 'app') CREATE USER app FROM EXTERNAL PROVIDER ELSE SELECT 'there'", "there", 0},
		{"if object_id", "IF OBJECT_ID(N'dbo.t', N'U') IS NULL BEGIN CREATE TABLE dbo.t (a int) END; SELECT COUNT(*) FROM sys.tables", "1", 0},
		{"dynamic", "DECLARE @n sysname = N'a]b''c;d', @s nvarchar(max); SET @s = N'CREATE USER ' + QUOTENAME(@n) + N' FROM EXTERNAL PROVIDER'; EXEC sp_executesql @s; SELECT name FROM sys.database_principals WHERE name = @n", "a]b'c;d", 0},
		{"dynamic with parameters", "EXEC sp_executesql N'SELECT @x + 1', N'@x int', @x = 4", "5", 0},
		{"sid and type", "CREATE USER x WITH SID = 0x00112233445566778899AABBCCDDEEFF, TYPE = E; SELECT sid FROM sys.database_principals WHERE name = 'x'", "0x00112233445566778899AABBCCDDEEFF", 0},
		{"twice", people + "CREATE USER app FROM EXTERNAL PROVIDER", "", 15023},
		{"nobody", "CREATE USER ghost FROM EXTERNAL PROVIDER", "", 33130},
		{"member that is not there", "ALTER ROLE db_owner ADD MEMBER ghost", "", 15151},
		{"role that is not there", people + "ALTER ROLE nothing ADD MEMBER app", "", 15151},
		{"drop absent", "DROP USER ghost", "", 15151},
		{"drop absent, if exists", "DROP USER IF EXISTS ghost; SELECT 1", "1", 0},
		{"dropped users leave roles", people + "DROP USER app; SELECT COUNT(*) FROM sys.database_role_members", "0", 0},
		{"login outside master", "CREATE LOGIN app FROM EXTERNAL PROVIDER", "", 5001},
		{"unknown table", "SELECT * FROM nowhere", "", 208},
		{"unknown column", "SELECT x FROM sys.tables WHERE x = 1; SELECT 1", "1", 0},
		{"unknown column of a row", "SELECT x FROM sys.schemas", "", 207},
		{"syntax", "SELECT FROM", "", 102},
		{"nothing of a batch with a mistake is done", "CREATE TABLE t (a int); SELEC 1", "", 40517},
		{"use", "USE master", "", 40508},
		{"unclosed", "SELECT 'a", "", 105},
		{"null refused", "CREATE TABLE t (a int NOT NULL); INSERT t VALUES (NULL)", "", 515},
		{"too long", "CREATE TABLE t (a nvarchar(2)); INSERT t VALUES ('abc')", "", 2628},
		{"update and delete", "CREATE TABLE t (a int); INSERT t VALUES (1),(2),(3); UPDATE t SET a = a + 10 WHERE a > 1; DELETE FROM t WHERE a = 12; SELECT a FROM t", "1|13", 0},
		{"nesting", "SELECT " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000), "", 191},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := sqlTest().again(test.text, nil)
			var number int32
			if err != nil {
				number = err.Number
			}
			if number != test.number || err == nil && got != test.want {
				t.Errorf("got %q, %v; want %q, %d", got, err, test.want, test.number)
			}
		})
	}
}

func TestSQLRolesDecide(t *testing.T) {
	r := sqlTest()
	if _, err := r.again("CREATE TABLE t (a int); INSERT t VALUES (1)", nil); err != nil {
		t.Fatal(err)
	}
	r.owner = false
	for _, test := range []struct {
		role, text string
		number     int32
	}{
		{"", "SELECT * FROM t", 229}, {"db_datareader", "SELECT * FROM t", 0}, {"db_datareader", "INSERT t VALUES (2)", 229},
		{"db_datawriter", "INSERT t VALUES (2)", 0}, {"db_datawriter", "CREATE TABLE u (a int)", 262}, {"db_ddladmin", "CREATE TABLE u (a int)", 0},
		{"db_datareader", "CREATE USER app FROM EXTERNAL PROVIDER", 15247}, {"db_owner", "CREATE USER app FROM EXTERNAL PROVIDER", 0},
	} {
		r.roles = map[string]bool{test.role: true}
		var number int32
		if _, err := r.again(test.text, nil); err != nil {
			number = err.Number
		}
		if number != test.number {
			t.Errorf("%s: %s gave %d, want %d", test.role, test.text, number, test.number)
		}
	}
}

func TestSQLQuotedNamesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[ -~äß€]{1,40}`).Draw(t, "name")
		if strings.TrimRight(name, " ") != name {
			t.Skip("names end without spaces")
		}
		r := sqlTest()
		r.resolve = func(asked, _ string) (*principal, *sqlError) {
			if asked != name {
				t.Fatalf("asked for %q, want %q", asked, name)
			}
			return &principal{ID: "a0000000-0000-4000-8000-000000000009", Kind: "Group", Name: name}, nil
		}
		text := "CREATE USER [" + strings.ReplaceAll(name, "]", "]]") + "] FROM EXTERNAL PROVIDER"
		if _, err := r.again(text, nil); err != nil {
			if r.db.principal(name) != nil && err.Number == 15023 {
				return // the name of one that every database has
			}
			t.Fatal(err)
		}
		got, err := r.again("SELECT name, QUOTENAME(@p1) FROM sys.database_principals WHERE name = @p1 AND type = 'X'", map[string]any{"@p1": name})
		if want := name + ",[" + strings.ReplaceAll(name, "]", "]]") + "]"; err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestTDSValuesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Filter(func(s string) bool { return strings.ToValidUTF8(s, "") == s && len(s) < 2000 }).Draw(t, "text")
		typ := sqlType{Name: "nvarchar"}
		r := &tdsReader{b: typ.appendValue(typ.appendType(nil), text)}
		if got, err := r.value(); err != nil || got != text {
			t.Fatalf("got %q, %v, want %q", got, err, text)
		}
		n := rapid.Int64().Draw(t, "n")
		typ = sqlType{Name: "bigint"}
		r = &tdsReader{b: typ.appendValue(typ.appendType(nil), n)}
		if got, err := r.value(); err != nil || got != n {
			t.Fatalf("got %v, %v, want %d", got, err, n)
		}
	})
}

// FuzzSQL holds batches to ending without a panic, whatever they say.
func FuzzSQL(f *testing.F) {
	for _, s := range []string{"SELECT 1", "CREATE USER [a]]b] FROM EXTERNAL PROVIDER WITH OBJECT_ID = 'x'", "IF EXISTS (SELECT * FROM sys.tables) DROP TABLE t",
		"DECLARE @a int = 1; SELECT CASE @a WHEN 1 THEN 0x01 END", "SELECT STRING_AGG(name, ',') WITHIN GROUP (ORDER BY name) FROM sys.database_principals GROUP BY type", "EXEC (N'SELECT 1')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 400 {
			t.Skip("long inputs only take time")
		}
		r := sqlTest()
		if err := r.batch(s); err != nil && (err.Number == 0 || err.Text == "") {
			t.Errorf("%q: an error without a number or a text: %v", s, err)
		}
		for _, res := range r.results {
			appendResults(nil, []sqlResult{res}, "s", tokenDone)
		}
	})
}

// FuzzTDS holds the readers of messages to ending without a panic.
func FuzzTDS(f *testing.F) {
	f.Add(byte(packetLogin), make([]byte, 94))
	f.Add(byte(packetPrelogin), []byte{0, 0, 6, 0, 6, 0xff, 1, 2, 3, 4, 5, 6})
	f.Add(byte(packetRPC), append([]byte{4, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0}, 0, 0, wireNVarChar, 0xff, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, kind byte, message []byte) {
		switch kind {
		case packetLogin:
			_, _ = parseLogin(message)
		case packetPrelogin:
			_, _ = parsePrelogin(message)
		case packetFedAuth:
			_, _ = parseFedAuth(message)
		default:
			_ = tdsAnswer(kind, message, "s", fuzzSession{})
		}
	})
}

type fuzzSession struct{}

func (fuzzSession) database() string                       { return "db" }
func (fuzzSession) run(string, []tdsParameter) []sqlResult { return nil }

// FuzzGraph holds paths and filters of Microsoft Graph to ending without a panic, and alternate keys to coming back.
func FuzzGraph(f *testing.F) {
	f.Add("it's", "startswith(displayName,'a') and tags/any(t:t eq 'x') or id in ('1','2')")
	f.Fuzz(func(t *testing.T, key, filter string) {
		p, good := parseGraphPath("/v1.0/applications(uniqueName='" + strings.ReplaceAll(key, "'", "''") + "')/owners")
		if !good || p.key != key || fmt.Sprint(p.rest) != "[owners]" {
			t.Errorf("key %q came back as %q %v", key, p.key, p.rest)
		}
		_, _ = parseGraphPath("/v1.0/" + filter)
		if keep, err := parseFilter(filter); err == nil {
			keep(object{"displayName": "a", "tags": []any{"x"}})
		}
	})
}
