package postgres

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/flowehr/flowehr"
)

// A folder of the socket may stand where everybody can make one first.
func TestSocketFolderOfSomebodyElseIsRefused(t *testing.T) {
	b := binaries(t)
	for name, put := range map[string]func(t *testing.T, path, victim string){
		"link to a folder": func(t *testing.T, path, victim string) {
			if err := os.Symlink(victim, path); err != nil {
				t.Fatal(err)
			}
		},
		"file": func(t *testing.T, path, _ string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"folder of another user": func(t *testing.T, path, _ string) {
			other := nobody(t)
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, other, -1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			victim := filepath.Join(dir, "victim")
			if err := os.Mkdir(victim, 0o777); err != nil {
				t.Fatal(err)
			}
			before, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			o := options(b, dir)
			put(t, o.SocketDir, victim)
			s, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := s.Run(ctx, cancel); !errors.Is(err, ErrSocketTaken) {
				t.Errorf("got %v, want ErrSocketTaken", err)
			}
			if after, err := os.Stat(victim); err != nil || after.Mode() != before.Mode() {
				t.Errorf("mode of the other folder became %v, %v", after.Mode(), err)
			}
		})
	}
}

// nobody is the number of a user who neither we nor the server are.
func nobody(t *testing.T) int {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to somebody else")
	}
	for _, name := range []string{"games", "daemon", "bin"} {
		if u, err := user.Lookup(name); err == nil {
			id, err := strconv.Atoi(u.Uid)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
	}
	t.Skip("no other user on this machine")
	return 0
}

// What answers on the socket need not be our server: a password is proved to it, never sent.
func TestPasswordIsNotSentToAServerThatAsksForIt(t *testing.T) {
	dir := folder(t)
	s, err := New(options(Binaries{}, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.o.SocketDir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(s.o.SocketDir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	heard := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		b := pgproto3.NewBackend(conn, conn)
		if _, err := b.ReceiveStartupMessage(); err != nil {
			return
		}
		b.Send(&pgproto3.AuthenticationCleartextPassword{})
		if err := b.Flush(); err != nil {
			return
		}
		answer := make([]byte, 1024)
		n, _ := conn.Read(answer) // nothing when the client goes
		heard <- answer[:n]
	}()
	c, err := pgx.ParseConfig(s.DSN("flowehr_features", "writer"))
	if err != nil {
		t.Fatal(err)
	}
	c.Password = "geheim"
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err == nil {
		_ = conn.Close(t.Context())
		t.Error("got nil, want a refusal to send the password")
	}
	if rest := <-heard; bytes.Contains(rest, []byte("geheim")) {
		t.Error("the password was sent")
	}
}

func TestLoginsStayOutOfTheDatabasesOfTheServer(t *testing.T) {
	s, _ := start(t, options(binaries(t), folder(t)))
	conn := connect(t, s, "postgres")
	ctx := t.Context()
	if err := EnsureRole(ctx, conn, Role{Name: "rita", Password: flowehr.NewSecret("one")}); err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{"flowehr_control", "store"} {
		if err := EnsureDatabase(ctx, conn, database, Superuser); err != nil {
			t.Fatal(err)
		}
	}
	for _, database := range []string{"postgres", "template1", "flowehr_control", "store"} {
		c, err := pgx.ParseConfig(s.DSN(database, "rita"))
		if err != nil {
			t.Fatal(err)
		}
		c.Password = "one"
		if other, err := pgx.ConnectConfig(ctx, c); !isCode(err, "28000", "42501") {
			t.Errorf("%s: got %v, want a refusal", database, err)
			if err == nil {
				_ = other.Close(ctx)
			}
		}
	}
}

func TestRolesOfOthersAreNotTakenOver(t *testing.T) {
	s, _ := start(t, options(binaries(t), folder(t)))
	conn := connect(t, s, "postgres")
	ctx := t.Context()
	for _, sql := range []string{"create role boss superuser login", "create role maker createrole login", "create role person login"} {
		mustExec(t, conn, sql)
	}
	if err := EnsureGroup(ctx, conn, "readers"); err != nil {
		t.Fatal(err)
	}
	secret := flowehr.NewSecret("one")
	for name, err := range map[string]error{
		"superuser as login":   EnsureRole(ctx, conn, Role{Name: "boss", Password: secret}),
		"superuser as group":   EnsureGroup(ctx, conn, "boss"),
		"maker as login":       EnsureRole(ctx, conn, Role{Name: "maker", Password: secret}),
		"group as login":       EnsureRole(ctx, conn, Role{Name: "readers", Password: secret}),
		"login as group":       EnsureGroup(ctx, conn, "person"),
		"member of superusers": EnsureRole(ctx, conn, Role{Name: "rita", Password: secret, MemberOf: []string{Superuser}}),
		"member of pg_":        EnsureRole(ctx, conn, Role{Name: "rita", Password: secret, MemberOf: []string{"pg_execute_server_program"}}),
		"drop superuser":       DropRole(ctx, conn, Superuser, "boss"),
	} {
		if !errors.Is(err, ErrRoleTaken) && !errors.Is(err, ErrReserved) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	var boss, login bool
	row := conn.QueryRow(ctx, "select (select rolsuper from pg_roles where rolname = 'boss'), (select rolcanlogin from pg_roles where rolname = 'readers')")
	if err := row.Scan(&boss, &login); err != nil || !boss || login {
		t.Errorf("superuser %v, login of the group %v, %v; somebody's role was changed", boss, login, err)
	}
}

// Whoever owns a database can make a schema that is called like the superuser.
func TestSuperuserDoesNotRunWhatASchemaOfItsNameHolds(t *testing.T) {
	s, _ := start(t, options(binaries(t), folder(t)))
	conn := connect(t, s, "postgres")
	ctx := t.Context()
	if err := EnsureRole(ctx, conn, Role{Name: "owner", Password: flowehr.NewSecret("one")}); err != nil {
		t.Fatal(err)
	}
	if err := EnsureDatabase(ctx, conn, "own", "owner"); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.ParseConfig(s.DSN("own", "owner"))
	if err != nil {
		t.Fatal(err)
	}
	c.Password = "one"
	owner, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(ctx) }()
	mustExec(t, owner, `create schema flowehr; create function flowehr.hashtextextended(text, int) returns bigint language plpgsql as $$
		begin execute 'alter role owner superuser'; return 1; end $$`)
	mustExec(t, connect(t, s, "own"), "select hashtextextended('x', 0)")
	if powerful, err := exists(ctx, conn, "select 1 from pg_roles where rolname = 'owner' and rolsuper"); err != nil || powerful {
		t.Errorf("the owner of a database became superuser (%v)", err)
	}
}
