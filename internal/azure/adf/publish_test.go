package adf

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr/internal/activity/dbtest"
)

// statementsOf has the program of a job write statements; call is an expression of it.
func statementsOf(t *testing.T, call string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "job.py")
	if err := os.WriteFile(path, []byte(runner+"\n\nprint(json.dumps("+call+"))\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), plainPython(t), path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestFeaturesArePublishedInOneStep runs what a job does to the feature store on a real PostgreSQL, with names that need quoting.
func TestFeaturesArePublishedInOneStep(t *testing.T) {
	plainPython(t)
	server, err := dbtest.StartPostgres(t.Context(), "fsync=off")
	if errors.Is(err, dbtest.ErrNoServer) {
		t.Skip("no PostgreSQL on this machine: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	db, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=postgres", server.Dir, server.Port, server.User, server.Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	const sink = `{"schema": "it's \"odd\"", "table": "a'b"}`
	table := func(name string) string { return pgx.Identifier{`it's "odd"`, name}.Sanitize() }
	run := func(statements ...string) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
			for _, s := range statements {
				if _, err := tx.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
					return fmt.Errorf("%s: %w", s, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	values := func(name string) []int32 {
		t.Helper()
		rows, err := db.Query(t.Context(), "SELECT v FROM "+table(name)+" ORDER BY v")
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	load := func(name string, v int) {
		run(fmt.Sprintf("CREATE TABLE %s AS SELECT 'x' AS w, %d AS v", table(name), v))
	}

	run(statementsOf(t, `[schema_statement("postgresql", json.loads(r'''`+sink+`''')["schema"])]`)...)
	for i, mark := range []string{"one", "two", "three"} {
		load(mark, i)
		call := fmt.Sprintf(`lock("postgresql", json.loads(r'''%s''')) + swap("postgresql", json.loads(r'''%s'''), %q)`, sink, sink, mark)
		run(statementsOf(t, call)...)
	}
	if got := values("a'b"); !cmp.Equal(got, []int32{2}) {
		t.Errorf("published are %v", got)
	}
	if got := values("a'b__previous"); !cmp.Equal(got, []int32{1}) {
		t.Errorf("kept are %v", got)
	}
	for _, add := range []struct {
		mark string
		v    int
	}{{"r1", 7}, {"r1", 7}, {"r2", 8}} { // the second is an attempt of the first that did not hear of its success
		load("loaded", add.v)
		run(statementsOf(t, fmt.Sprintf(`insertion("postgresql", json.loads(r'''%s'''), "loaded", %q, ["w", "v"])`, sink, add.mark))...)
	}
	if got := values("a'b"); !cmp.Equal(got, []int32{2, 7, 8}) {
		t.Errorf("after adding there are %v", got)
	}
}

func TestPublishingToSQLServerQuotesNames(t *testing.T) {
	got := statementsOf(t, `swap("sqlserver", {"schema": "s]x", "table": "t'y"}, "l") + [schema_statement("sqlserver", "s'x")]`)
	want := []string{
		"DROP TABLE IF EXISTS [s]]x].[t'y__previous]",
		"IF OBJECT_ID(N'[s]]x].[t''y]') IS NOT NULL EXEC sp_rename N'[s]]x].[t''y]', N't''y__previous'",
		"EXEC sp_rename N'[s]]x].[l]', N't''y'",
		"IF SCHEMA_ID(N's''x') IS NULL EXEC(N'CREATE SCHEMA [s''x]')",
	}
	if !cmp.Equal(got, want) {
		t.Errorf("%s", cmp.Diff(want, got))
	}
	for _, s := range statementsOf(t, `insertion("sqlserver", {"schema": "s", "table": "t"}, "l", "m", ["a]b"])`) {
		if strings.Contains(s, "a]b") && !strings.Contains(s, "[a]]b]") {
			t.Errorf("%s", s)
		}
	}
}
