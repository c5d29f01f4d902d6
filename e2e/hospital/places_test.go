package hospital

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestForeignServer runs the demo in a database server that somebody else runs, and removes it from there again.
func TestForeignServer(t *testing.T) {
	server := startServer(t)
	conn := connect(t, server)
	if _, err := conn.Exec(t.Context(), "create role librarian login"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "create database library owner librarian"); err != nil {
		t.Fatal(err)
	}
	before := serverHas(t, conn)

	s := newSite(t, patients)
	s.configure(patients, "", `postgres_dsn: "${SERVER_ADDRESS}"`)
	s.refused([]string{"SERVER_ADDRESS"}, "up", "-d")
	s.input(address(server), "secrets", "set", "SERVER_ADDRESS")
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")
	if got := s.published()["patient_features"]; got != strconv.Itoa(patients) {
		t.Errorf("a reader of the feature store sees %s patients, want %d", got, patients)
	}
	s.run("down")
	s.run("up", "-d")
	if got := s.published()["patient_features"]; got != strconv.Itoa(patients) {
		t.Errorf("after down and up a reader sees %s patients, want %d", got, patients)
	}
	s.run("down")
	if has := serverHas(t, conn); len(has) <= len(before) {
		t.Fatalf("nothing of the environment is in the server: %v", has)
	}
	if strings.Contains(s.log(), server.Password) {
		t.Error("the server's password is in the log")
	}
	s.run("destroy", "--yes")
	if after := serverHas(t, conn); !slices.Equal(before, after) {
		t.Errorf("the server had %v, after the environment was removed it has %v", before, after)
	}
}

// serverHas lists databases and roles of a server.
func serverHas(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "select 'database ' || datname from pg_database union all select 'role ' || rolname from pg_roles order by 1")
	if err != nil {
		t.Fatal(err)
	}
	has, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// TestOrdinaryUser runs the demo as somebody who may do nothing special on this machine.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: the other tests already run as an ordinary user")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	s := newSiteAs(t, patients, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)})
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")
	if got := s.published()["patient_features"]; got != strconv.Itoa(patients) {
		t.Errorf("a reader of the feature store sees %s patients, want %d", got, patients)
	}
	s.run("down")
	data := filepath.Join(s.dir, ".flowehr")
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uint32(uid) {
			t.Errorf("%s belongs to user %d", path, owner)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	s.run("clean", "--yes")
	if _, err := os.Stat(filepath.Join(data, "local")); !os.IsNotExist(err) {
		t.Errorf("clean left the data: %v", err)
	}
	keys, err := filepath.Glob(filepath.Join(s.home, ".config", "flowehr", "keys", "*"))
	if err != nil || len(keys) > 0 {
		t.Errorf("clean left keys: %v, %v", keys, err)
	}
}
