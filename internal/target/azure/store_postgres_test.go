package azure

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/flowehr/flowehr/internal/activity/dbtest"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

func isGone(err error) bool { return errors.Is(err, apply.ErrGone) }

// transport answers requests by a function.
type transport func(*http.Request) (int, any)

func (f transport) Do(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	b, err := json.Marshal(body)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, err
}

// anybody is signed in as somebody.
type anybody struct{}

func (anybody) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token"}, nil
}

// standIn does what Azure's function does as far as a plain server can: it makes a role that may sign in.
const standIn = `CREATE FUNCTION pgaadauth_create_principal_with_oid(name text, id text, kind text, admin boolean, mfa boolean) RETURNS text
LANGUAGE plpgsql AS $$ BEGIN
  IF kind NOT IN ('service', 'group') OR id !~ '^[0-9a-f-]{36}$' THEN RAISE EXCEPTION 'bad principal'; END IF;
  EXECUTE format('CREATE ROLE %I LOGIN', name); RETURN 'Created role for ' || name;
END $$`

// postgresStore is a server with a database of features, and how to reach it as the service would be reached.
func postgresStore(t *testing.T) (open func(database string) *sql.DB) {
	t.Helper()
	server, err := dbtest.StartPostgres(t.Context())
	if errors.Is(err, dbtest.ErrNoServer) {
		t.Skip("no PostgreSQL on this machine: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	c := cloud.New(cloud.Options{Credential: anybody{}, Transport: transport(func(r *http.Request) (int, any) {
		if r.URL.Path != "/v1.0/servicePrincipals(appId='app')" {
			return http.StatusNotFound, nil
		}
		return http.StatusOK, map[string]string{"displayName": server.User}
	})})
	access := storeAccess{c: c, graph: graph{c}, sql: inTLS(t, fmt.Sprintf("127.0.0.1:%d", server.Port))}
	login := storeLogin{application: "app", token: func(context.Context) (string, error) { return server.Password, nil }}
	open = func(database string) *sql.DB {
		db, err := postgres{}.open(t.Context(), access, storeHost, database, login)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	admin := open("postgres")
	for _, statement := range []string{standIn, "CREATE DATABASE features"} {
		if err := execute(t.Context(), admin, statement); err != nil {
			t.Fatal(err)
		}
	}
	return open
}

// storeHost is the name that the server's certificate is for.
const storeHost = "store.example"

// inTLS reaches a server that speaks without TLS as if it were one of Azure's, which speaks with it only: it answers the
// client's request for TLS and carries on what comes of it.
func inTLS(t *testing.T, address string) SQL {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{storeHost}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	served := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return SQL{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		server, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		client, front := net.Pipe()
		go carry(front, server, served)
		return client, nil
	}}
}

// carry answers the first message of a connection, which asks for TLS, and then copies both ways until one side ends.
func carry(front, server net.Conn, config *tls.Config) {
	defer front.Close()
	defer server.Close()
	if _, err := io.ReadFull(front, make([]byte, 8)); err != nil {
		return
	}
	if _, err := front.Write([]byte("S")); err != nil {
		return
	}
	secure := tls.Server(front, config)
	go func() {
		_, _ = io.Copy(server, secure)
		_ = server.Close()
	}()
	_, _ = io.Copy(secure, server)
}

const someObject = "0e6c9d7a-2b1f-4c3d-8e5f-60718293a4b5"

func TestPostgresPrincipals(t *testing.T) {
	open := postgresStore(t)
	db, logins := open("features"), open("postgres")
	e := postgres{}
	p := storePrincipal{Name: `st-elsewhere "apps"`, ObjectID: someObject, Group: true, Roles: []string{"db_datareader"}}
	roles := func() []string {
		t.Helper()
		have, found, err := e.roles(t.Context(), db, logins, p)
		if err != nil || !found {
			t.Fatalf("roles: %v, found %v", err, found)
		}
		return have
	}
	for range 2 { // twice is once
		if err := e.ensure(t.Context(), db, logins, p); err != nil {
			t.Fatal(err)
		}
	}
	if got := roles(); !slices.Equal(got, p.Roles) {
		t.Errorf("got %v, want %v", got, p.Roles)
	}
	p.Roles = []string{"db_owner"}
	if err := e.ensure(t.Context(), db, logins, p); err != nil {
		t.Fatal(err)
	}
	if got := roles(); !slices.Equal(got, p.Roles) {
		t.Errorf("after a change: got %v, want %v", got, p.Roles)
	}
	owns(t, db, p.Name)
	p.Roles = []string{"db_datareader"}
	if err := e.ensure(t.Context(), db, logins, p); err != nil {
		t.Fatal(err)
	}
	if got := roles(); !slices.Equal(got, p.Roles) {
		t.Errorf("after the change back: got %v, want %v", got, p.Roles)
	}
	for range 2 {
		if err := e.remove(t.Context(), db, logins, p); err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := e.roles(t.Context(), db, logins, p); found || err != nil {
		t.Errorf("after removal: found %v, %v", found, err)
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM features_of_one").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("a table outlives who wrote it: got %d rows and %v", rows, err)
	}
}

// owns has the role make and fill a table.
func owns(t *testing.T, db *sql.DB, role string) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"SET LOCAL ROLE " + doubled(role), "CREATE TABLE features_of_one (id integer)", "INSERT INTO features_of_one VALUES (1)"} {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresRefusesUnknownRoles(t *testing.T) {
	if _, err := (postgres{}).parts([]string{"db_owner", "sysadmin"}); err == nil || !strings.Contains(err.Error(), "sysadmin") {
		t.Errorf("got %v", err)
	}
}

func TestPostgresProbeLeavesNothing(t *testing.T) {
	open := postgresStore(t)
	db := open("features")
	if err := execute(t.Context(), db, `CREATE TABLE "flowehr_connectivity_test" (left_over integer)`); err != nil {
		t.Fatal(err)
	}
	if err := (postgres{}).probe(t.Context(), db, "flowehr_connectivity_test"); err != nil {
		t.Fatal(err)
	}
	tables, err := column(t.Context(), db, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
	if err != nil || len(tables) > 0 {
		t.Errorf("left: %v, %v", tables, err)
	}
}

// Readers read what a publication puts in the place of a table, and tables of schemas that were made after they were: their
// right is one to all data, so no default privileges of whoever writes are needed.
func TestPostgresReadersReadReplacedTables(t *testing.T) {
	open := postgresStore(t)
	db, logins := open("features"), open("postgres")
	reader := storePrincipal{Name: "apps", ObjectID: someObject, Group: true, Roles: []string{"db_datareader"}}
	writer := storePrincipal{Name: "writer", ObjectID: someObject, Roles: []string{"db_owner"}}
	for _, p := range []storePrincipal{reader, writer} {
		if err := (postgres{}).ensure(t.Context(), db, logins, p); err != nil {
			t.Fatal(err)
		}
	}
	as := func(role string, statements ...string) error {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range append([]string{"SET LOCAL ROLE " + doubled(role)}, statements...) {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", statement, err), tx.Rollback())
			}
		}
		return tx.Commit()
	}
	if err := as(writer.Name, "CREATE SCHEMA ward", "CREATE TABLE ward.beds (id integer)"); err != nil {
		t.Fatal(err)
	}
	const read = "SELECT id FROM ward.beds"
	if err := as(reader.Name, read); err != nil {
		t.Errorf("before: %v", err)
	}
	if err := as(writer.Name, "CREATE TABLE ward.beds_loaded (id integer)", "ALTER TABLE ward.beds RENAME TO beds_before",
		"ALTER TABLE ward.beds_loaded RENAME TO beds"); err != nil {
		t.Fatal(err)
	}
	if err := as(reader.Name, read); err != nil {
		t.Errorf("after it was replaced: %v", err)
	}
	if err := as(reader.Name, "INSERT INTO ward.beds VALUES (1)"); err == nil {
		t.Error("a reader writes")
	}
}
