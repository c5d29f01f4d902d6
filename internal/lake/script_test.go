//go:build cgo

package lake

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScriptRunsTheSharedDialect(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	var lines []string
	res, err := l.Script(ctx, `
		-- a comment; with a semicolon
		CREATE TABLE bronze.obs (patient STRING COMMENT 'who', code STRING, value DOUBLE, seen TIMESTAMP) USING DELTA;
		CREATE TABLE IF NOT EXISTS bronze.obs (patient STRING);
		INSERT INTO bronze.obs VALUES ('p1', 'hr', 60, TIMESTAMP '2026-01-01 00:00:00'), ('p1', 'hr', 80, NULL), ('p2', 'it''s; fine', 1, NULL);
		INSERT INTO TABLE bronze.obs (code, patient) SELECT 'x', 'p3';
		CREATE OR REPLACE TEMPORARY VIEW hr AS SELECT * FROM bronze.obs WHERE code = 'hr';
		CREATE OR REPLACE TABLE silver.mean AS WITH v AS (SELECT patient, avg(value) AS m FROM hr GROUP BY patient) SELECT * FROM v;
		DELETE FROM bronze.obs o WHERE o.patient = 'p2';
		SELECT count(*) AS n FROM bronze.obs;
		INSERT OVERWRITE bronze.obs SELECT patient, code, value + 1, seen FROM bronze.obs WHERE code = 'hr';
		SELECT patient, value FROM bronze.obs ORDER BY value;
		SELECT * FROM silver.mean;
		CREATE TABLE silver.gone AS SELECT 1 AS a;
		DROP TABLE silver.gone;
		DROP TABLE IF EXISTS silver.gone;
	`, Commit{By: "alice"}, func(s string) { lines = append(lines, s) })
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
	}
	var got [][][]any
	for _, r := range res.ResultSets {
		got = append(got, r.Rows)
	}
	want := [][][]any{{{int64(3)}}, {{"p1", 61.0}, {"p1", 81.0}}, {{"p1", 70.0}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	if res.RecordsAffected != 3+1+1+1+2+1 {
		t.Errorf("affected %d", res.RecordsAffected)
	}
	h, _ := l.History(ctx, Name{"bronze", "obs"})
	if len(h) != 5 || h[0].Commit.Operation != "INSERT OVERWRITE" || h[0].Commit.By != "alice" {
		t.Errorf("history %+v", h)
	}
}

func TestScriptRefusesByName(t *testing.T) {
	l := newLake(t)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustScript(t, l, "CREATE TABLE bronze.t AS SELECT 1 AS a")
	files, err := l.Files(context.Background(), Name{"bronze", "t"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"PRAGMA version", "COPY bronze.t TO '/tmp/x'", "ATTACH '/tmp/x.db'", "INSTALL httpfs", "LOAD httpfs", "SET memory_limit='9GB'", "RESET memory_limit",
		"CREATE FUNCTION f() AS 1", "CREATE MACRO f() AS 1", "CREATE VIEW bronze.v AS SELECT 1", "CREATE SCHEMA x", "UPDATE bronze.t SET a = 2",
		"MERGE INTO bronze.t USING bronze.t ON true WHEN MATCHED THEN DELETE", "ALTER TABLE bronze.t ADD COLUMN b INT", "EXPLAIN SELECT 1", "CALL pragma_version()",
		"EXPORT DATABASE '/tmp/x'", "USE bronze", "CHECKPOINT", "VACUUM", "BEGIN", "EXECUTE x", "PREPARE x AS SELECT 1", "", ";", "-- nothing",
		"SELECT * FROM '" + secret + "'", "SELECT * FROM read_csv('" + secret + "')", "SELECT * FROM `read_csv`('" + secret + "')", "SELECT * FROM `" + secret + "`",
		"SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM glob('/*')", "SELECT * FROM query('SELECT 1')", "SELECT getenv('HOME')", "SELECT * FROM parquet_scan('" + files[0] + "')",
		"SELECT * FROM duckdb_settings()", "SELECT current_setting('temp_directory')", "SELECT * FROM json_execute_serialized_sql('{}')", "SELECT * FROM arrow_scan(1, 2, 3)",
		"WITH x AS (SELECT 1) INSERT INTO bronze.t SELECT * FROM x", "CREATE TABLE bronze.u USING csv AS SELECT 1", "CREATE TABLE bronze.u PARTITIONED BY (a) AS SELECT 1",
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := l.Script(context.Background(), text, Commit{}, nil); !errors.Is(err, ErrRefused) {
				t.Errorf("error = %v, want %v", err, ErrRefused)
			}
		})
	}
	for _, text := range []string{
		`SELECT "a" FROM bronze.t`, "SELECT $$x$$", "SELECT $1", "SELECT e'x'", "SELECT 'open", "SELECT /* open", "SELECT @missing", "SELECT a) FROM bronze.t; SELECT (1",
		"CREATE TABLE bronze.u AS SELECT 1 AS a) TO '/tmp/x' (FORMAT csv); --", "CREATE TABLE t AS SELECT 1", "CREATE TABLE bronze.T2.x AS SELECT 1", "INSERT INTO bronze.missing SELECT 1",
		"CREATE TABLE bronze.t AS SELECT 1 AS a", "CREATE TABLE `../x`.t AS SELECT 1 AS a", "CREATE TABLE bronze.`../../x` AS SELECT 1 AS a", "INSERT INTO bronze.t SELECT 1, 2", "INSERT INTO bronze.t SELECT 'x'",
		"INSERT INTO bronze.t (b) SELECT 1", "CREATE TABLE bronze.l AS SELECT [1, 2] AS a", "SELECT * FROM bronze.missing", "DROP TABLE bronze.missing", "DELETE FROM bronze.t WHERE", "SELECT 1; FOO",
	} {
		t.Run(text, func(t *testing.T) {
			res, err := l.Script(context.Background(), text, Commit{}, nil)
			if err == nil {
				t.Errorf("was run: %+v", res)
			}
		})
	}
	if d := cmp.Diff([][]any{{int64(1)}}, mustQuery(t, l, "bronze.t")); d != "" {
		t.Errorf("table changed: %s", d)
	}
}

// The engine's own locks must hold even for text that got past the check.
func TestSessionIsLockedWithoutTheCheck(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	mustScript(t, l, "CREATE TABLE bronze.t AS SELECT 1 AS a")
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("a\n1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(l.Dir(Name{"bronze", "t"}), "link.csv")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	s, err := l.open(ctx, sessionKind{ordered: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	target := filepath.Join(filepath.Dir(outside), "out.csv")
	for _, text := range []string{
		"SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM read_csv('" + outside + "')",
		"SELECT * FROM read_csv('" + l.dir + "/bronze/../../../" + strings.TrimPrefix(outside, "/") + "')",
		"SELECT * FROM read_csv('" + filepath.Join(l.dir, "bronze") + "/../" + "secret.csv')",
		"SELECT * FROM read_csv('" + link + "')",
		"SELECT * FROM read_text('" + filepath.Join(l.dir, "_quarantine") + "/*')",
		"SELECT * FROM glob('/etc/*')",
		"COPY (SELECT 1) TO '" + target + "'",
		"ATTACH '" + filepath.Join(filepath.Dir(outside), "x.db") + "'",
		"INSTALL httpfs", "LOAD httpfs",
		"SELECT * FROM 'https://localhost/x.parquet'",
		"SET enable_external_access = true", "SET allowed_directories = ['/']", "SET lock_configuration = false", "SET memory_limit = '99GB'",
		"RESET enable_external_access", "SET temp_directory = '/tmp'", "PRAGMA memory_limit='9GB'",
		"EXPORT DATABASE '" + filepath.Dir(outside) + "'",
	} {
		t.Run(text, func(t *testing.T) {
			rows, err := s.conn.QueryContext(ctx, text)
			if err != nil {
				return
			}
			defer rows.Close()
			if rows.Next() {
				t.Errorf("gave a row")
			}
			if rows.Err() == nil && !strings.HasPrefix(text, "SELECT * FROM glob") {
				t.Errorf("was run without an error")
			}
		})
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a file was written outside the lake")
	}
}

func TestParametersAreBoundNotPasted(t *testing.T) {
	l := newLake(t)
	evil := "x'); DROP TABLE bronze.t; --"
	params := []Param{{"name", evil}, {"n", 7}}
	res, err := l.Script(context.Background(), `
		CREATE TABLE bronze.t AS SELECT @name AS name, :n + 1 AS n;
		CREATE OR REPLACE TEMPORARY VIEW v AS SELECT * FROM bronze.t WHERE name = @NAME;
		SELECT name, n::BIGINT FROM v`, Commit{}, nil, params...)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]any{{evil, int64(8)}}, res.ResultSets[0].Rows); d != "" {
		t.Error(d)
	}
	if got := mustQuery(t, l, "SELECT count(*) FROM bronze.t WHERE name = @name", params...); got[0][0] != int64(1) {
		t.Errorf("count = %v", got)
	}
	if _, err := l.Query(context.Background(), "SELECT 1", 0, Param{"a b", 1}); err == nil {
		t.Error("a parameter's name with a blank was taken")
	}
}

func TestScriptNamesTheTablesThatItUsed(t *testing.T) {
	l := newLake(t)
	mustScript(t, l, "CREATE TABLE bronze.a AS SELECT 1 AS id; CREATE TABLE bronze.b AS SELECT i AS id FROM range(3) AS r(i); INSERT INTO bronze.b SELECT 9; CREATE TABLE silver.old AS SELECT 1 AS x")
	a, b, old := Name{"bronze", "a"}, Name{"bronze", "b"}, Name{"silver", "old"}
	made := Name{"silver", "made"}
	for _, tt := range []struct {
		name, script string
		want         []Touched
	}{
		{"select", "SELECT * FROM bronze.a, bronze.b WHERE EXISTS (SELECT 1 FROM silver.old)", []Touched{{a, Read, 1, 0}, {b, Read, 4, 1}, {old, Read, 1, 0}}},
		{"with and view", "CREATE TEMPORARY VIEW v AS WITH w AS (SELECT id FROM bronze.b) SELECT * FROM w; SELECT * FROM v", []Touched{{b, Read, 4, 1}}},
		{"a column is no table", "SELECT bronze.id FROM bronze.a AS bronze", []Touched{{a, Read, 1, 0}}},
		{"made here", "CREATE TABLE silver.made AS SELECT id FROM bronze.a; INSERT INTO silver.made SELECT id FROM bronze.b; SELECT * FROM silver.made; DROP TABLE silver.made",
			[]Touched{{a, Read, 1, 0}, {made, Wrote, 5, 1}, {b, Read, 4, 1}, {made, Dropped, 0, -1}}},
		{"itself", "INSERT OVERWRITE bronze.a SELECT id + 1 FROM bronze.a", []Touched{{a, Read, 1, 0}, {a, Wrote, 1, 1}}},
		{"values", "INSERT INTO bronze.a VALUES (1)", []Touched{{a, Wrote, 1, 2}}},
		{"delete", "DELETE FROM bronze.a WHERE id IN (SELECT id FROM bronze.b WHERE id = 1)", []Touched{{b, Read, 4, 1}, {a, Wrote, 1, 3}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, mustScript(t, l, tt.script).Tables); d != "" {
				t.Errorf("tables (-want +got):\n%s", d)
			}
		})
	}
}

func TestScriptWithKeySkipsWhatItDid(t *testing.T) {
	l, ctx := newLake(t), context.Background()
	c := Commit{Key: "run-7"}
	_, err := l.Script(ctx, "CREATE TABLE bronze.t AS SELECT 1 AS a; INSERT INTO bronze.t SELECT 2; INSERT INTO bronze.t SELECT CAST('oops' AS INT)", c, nil)
	if err == nil {
		t.Fatal("the third statement was run")
	}
	res, err := l.Script(ctx, "CREATE TABLE bronze.t AS SELECT 1 AS a; INSERT INTO bronze.t SELECT 2; INSERT INTO bronze.t SELECT CAST('3' AS INT)", c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustQuery(t, l, "SELECT count(*), sum(a) FROM bronze.t"); got[0][0] != int64(3) || got[0][1] != int64(6) {
		t.Errorf("count and sum = %v", got[0])
	}
	if res.RecordsAffected != 3 || res.Tables[0].Version != 2 {
		t.Errorf("result = %+v", res)
	}
}

func TestScriptWithKeyMayDropAndDeleteTwice(t *testing.T) {
	l := newLake(t)
	mustScript(t, l, "CREATE TABLE bronze.old AS SELECT 1 AS a; CREATE TABLE bronze.t AS SELECT i AS a FROM range(10) AS r(i)")
	text := "DROP TABLE bronze.old; DELETE FROM bronze.t WHERE a < 3; CREATE TABLE IF NOT EXISTS silver.none AS SELECT 1 AS a WHERE false"
	for round := range 2 {
		res, err := l.Script(context.Background(), text, Commit{Key: "k"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.RecordsAffected != 3 {
			t.Errorf("round %d: %d rows affected, want 3", round, res.RecordsAffected)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(l.Dir(Name{"silver", "none"}), "*.parquet")); len(left) != 0 {
		t.Errorf("files without rows: %v", left)
	}
	if got := mustQuery(t, l, "SELECT count(*) FROM silver.none"); got[0][0] != int64(0) {
		t.Errorf("rows = %v", got)
	}
}

func TestQueryTakesOneSelectOnly(t *testing.T) {
	l := newLake(t)
	mustScript(t, l, "CREATE TABLE bronze.t AS SELECT i AS a FROM range(10) AS r(i)")
	res, err := l.Query(context.Background(), "SELECT a FROM bronze.t ORDER BY a", 3)
	if err != nil || len(res.Rows) != 3 || !res.Truncated {
		t.Errorf("result = %+v, %v", res, err)
	}
	for _, text := range []string{"DROP TABLE bronze.t", "SELECT 1; SELECT 2", "CREATE TABLE bronze.u AS SELECT 1 AS a"} {
		if _, err := l.Query(context.Background(), text, 0); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSparkFunctionsMeanTheSame(t *testing.T) {
	l := newLake(t)
	for _, tc := range []struct{ expr, want string }{
		{"add_months(DATE '2026-01-31', 1)", "2026-02-28"},
		{"date_add(DATE '2026-01-31', 1)", "2026-02-01"},
		{"date_sub('2026-01-31', 31)", "2025-12-31"},
		{"datediff(DATE '2026-01-05', DATE '2026-01-01')", "4"},
		{"date_format(TIMESTAMP '2026-03-04 05:06:07', 'dd/MM/yyyy HH:mm:ss')", "04/03/2026 05:06:07"},
		{"dayofweek(DATE '2026-11-22')", "1"},
		{"weekday(DATE '2026-11-22')", "6"},
		{"from_unixtime(0)", "1970-01-01 00:00:00"},
		{"get_json_object('{\"a\":{\"b\":[1,2]}}', '$.a.b[1]')", "2"},
		{"get_json_object('not json', '$.a')", "NULL"},
		{"log(1)", "0.0"},
		{"months_between(DATE '2026-03-01', DATE '2026-01-01')", "2.0"},
		{"nvl(NULL, 'b')", "b"},
		{"nvl2('a', 'b', 'c')", "b"},
		{"pmod(-7, 3)", "2"},
		{"sha2('a', 256)", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
		{"to_date('2026-01-02')", "2026-01-02"},
		{"to_date('02/01/2026', 'dd/MM/yyyy')", "2026-01-02"},
		{"unix_timestamp(TIMESTAMP '1970-01-02 00:00:00')", "86400"},
		{"(SELECT size(collect_list(x)) FROM (VALUES (1), (1), (NULL)) AS t(x))", "2"},
		{"(SELECT size(collect_set(x)) FROM (VALUES (1), (1), (NULL)) AS t(x))", "1"},
		{"(SELECT count(*) FROM (SELECT explode([1, 2]) AS e))", "2"},
		{"(SELECT percentile(x, 0.5) FROM (VALUES (1), (3)) AS t(x))", "2.0"},
		{"(SELECT percentile_approx(x, 0.5) FROM (VALUES (3), (3)) AS t(x))", "3"},
		{"rand() BETWEEN 0 AND 1", "true"},
		{"isnotnull(1)", "true"},
	} {
		got := mustQuery(t, l, "SELECT coalesce(CAST("+tc.expr+" AS STRING), 'NULL')")[0][0]
		if got != tc.want {
			t.Errorf("%s = %v, want %s", tc.expr, got, tc.want)
		}
	}
	tested := 0
	for _, m := range macros {
		tested++
		if m.Says == "" || !strings.HasPrefix(m.Definition, m.Name+"(") {
			t.Errorf("macro %s is not described", m.Name)
		}
	}
}
