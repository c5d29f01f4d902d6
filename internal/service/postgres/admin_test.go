package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
)

func TestAdminIsIdempotent(t *testing.T) {
	s, _ := start(t, options(binaries(t), folder(t)))
	conn := connect(t, s, "postgres")
	ctx := t.Context()
	role := Role{Name: `o'brien "x"@trust.nhs.uk`, Password: flowehr.NewSecret("one"), MemberOf: []string{"readers"}, Connections: 3, LogStatements: true}
	login := func(password string) error {
		c, err := pgx.ParseConfig(s.DSN("features", role.Name))
		if err != nil {
			t.Fatal(err)
		}
		c.Password = password
		conn, err := pgx.ConnectConfig(ctx, c)
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err
	}
	for range 2 {
		for _, err := range []error{
			EnsureGroup(ctx, conn, "owners"), EnsureGroup(ctx, conn, "readers"), EnsureGroup(ctx, conn, "others"),
			EnsureDatabase(ctx, conn, "features", "owners"), EnsureRole(ctx, conn, role),
			GrantConnect(ctx, conn, "features", "readers"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := login("one"); err != nil {
			t.Fatalf("sign in: %v", err)
		}
	}

	role.Password, role.MemberOf = flowehr.NewSecret("two"), []string{"others"}
	if err := EnsureRole(ctx, conn, role); err != nil {
		t.Fatal(err)
	}
	if err := login("one"); !isCode(err, "28P01") {
		t.Errorf("old password: got %v, want 28P01", err)
	}
	if err := login("two"); !isCode(err, "42501") {
		t.Errorf("after leaving the group that may connect: got %v, want 42501", err)
	}
	for range 2 {
		if err := DropRole(ctx, conn, role.Name, "owners"); err != nil {
			t.Fatal(err)
		}
	}
	if err := login("two"); !isCode(err, "28P01", "28000") {
		t.Errorf("dropped role: got %v, want a refusal", err)
	}
	for _, name := range []string{Superuser, "pg_monitor", ""} {
		if err := EnsureGroup(ctx, conn, name); err == nil {
			t.Errorf("role %q: got nil, want a refusal", name)
		}
	}
}

func TestScramVerifierFits(t *testing.T) {
	s, _ := start(t, options(binaries(t), folder(t)))
	conn := connect(t, s, "postgres")
	for _, password := range []string{"x", " lead and trail ", `'"\$%{}`, strings.Repeat("long", 100)} {
		if err := EnsureRole(t.Context(), conn, Role{Name: "p", Password: flowehr.NewSecret(password)}); err != nil {
			t.Fatal(err)
		}
		if err := EnsureDatabase(t.Context(), conn, "own", "p"); err != nil {
			t.Fatal(err)
		}
		c, err := pgx.ParseConfig(s.DSN("own", "p"))
		if err != nil {
			t.Fatal(err)
		}
		c.Password = password
		p, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatalf("password %q: %v", password, err)
		}
		_ = p.Close(t.Context())
	}
	for _, password := range []string{"", "naïve", "tab\t"} {
		if err := EnsureRole(t.Context(), conn, Role{Name: "p", Password: flowehr.NewSecret(password)}); !errors.Is(err, ErrPassword) {
			t.Errorf("password %q: got %v, want ErrPassword", password, err)
		}
	}
}

func TestExternal(t *testing.T) {
	s, stop := start(t, options(binaries(t), folder(t)))
	run := func(dsn string) error {
		e, err := NewExternal(flowehr.NewSecret(dsn))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return e.Run(ctx, cancel)
	}
	if err := run(s.DSN("postgres", "")); err != nil {
		t.Errorf("living server: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	err := run(s.DSN("postgres", "") + " password=geheim")
	if !errors.Is(err, ErrServerNotThere) || strings.Contains(err.Error(), "geheim") {
		t.Errorf("stopped server: got %v, want ErrServerNotThere without the password", err)
	}
	if err := run("postgres://u:geheim@h:port/x"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("malformed address: got %v, want an error without the password", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	install := func(name, version string) string {
		bin := filepath.Join(dir, name, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"postgres", "initdb"} {
			if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\necho '"+program+" (PostgreSQL) "+version+"'\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return bin
	}
	find := func() (Binaries, error) { return findIn(t.Context(), []string{filepath.Join(dir, "*", "bin")}) }
	if _, err := find(); !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), "apt install postgresql") {
		t.Errorf("nothing installed: got %v, want ErrNoBinaries with the command", err)
	}
	old := install("9", "9.6.24")
	if _, err := find(); !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("old one installed: got %v, want ErrNoBinaries that names it", err)
	}
	if _, err := Find(t.Context(), old); !errors.Is(err, ErrNoBinaries) {
		t.Errorf("old one given: got %v, want ErrNoBinaries", err)
	}
	install("16", "16.4 (Debian 16.4-1)")
	want := install("100", "18beta1")
	if b, err := find(); err != nil || b.Dir != want || b.Major != 18 {
		t.Errorf("got %v, %v; want 18 in %s", b, err, want)
	}
}
