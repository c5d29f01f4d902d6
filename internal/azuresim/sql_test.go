package azuresim_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/flowehr/flowehr/internal/azuresim"
)

type dialer struct {
	remote *azuresim.Remote
	host   string
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.remote.Dial(ctx, network, address)
}

func (d dialer) HostName() string { return d.host }

// database signs an application in to a database with the driver that the product uses.
func (a *azure) database(server, name, clientID, secret string) *sql.DB {
	a.t.Helper()
	host := server + ".database.windows.net"
	address := url.URL{Scheme: "sqlserver", Host: net.JoinHostPort(host, "1433"), RawQuery: url.Values{"database": {name}, "encrypt": {"strict"}}.Encode()}
	config, err := msdsn.Parse(address.String())
	if err != nil {
		a.t.Fatal(err)
	}
	config.TLSConfig.RootCAs = a.remote.TLS().RootCAs
	cred, err := azidentity.NewClientSecretCredential(a.sim.Tenant(), clientID, secret, &azidentity.ClientSecretCredentialOptions{DisableInstanceDiscovery: true,
		ClientOptions: policy.ClientOptions{Transport: a.remote, Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		a.t.Fatal(err)
	}
	connector, err := mssql.NewSecurityTokenConnector(config, func(ctx context.Context) (string, error) {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://database.windows.net/.default"}})
		return token.Token, err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	connector.Dialer = dialer{a.remote, host}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	a.t.Cleanup(func() { _ = db.Close() })
	return db
}

// number is the number of the server's error.
func number(err error) int32 {
	if e, ok := errors.AsType[mssql.Error](err); ok {
		return e.Number
	}
	return 0
}

// store makes a SQL server with a database whose administrator is the application owner.
func (a *azure) store(admin string) {
	a.t.Helper()
	a.must("PUT", a.group("g"), object{"location": "uksouth"})
	a.resource("Microsoft.Sql/servers/features", object{"location": "uksouth", "identity": object{"type": "SystemAssigned"},
		"properties": object{"version": "12.0", "publicNetworkAccess": "Enabled", "administrators": object{"administratorType": "ActiveDirectory",
			"azureADOnlyAuthentication": true, "login": "owner", "principalType": "Application", "sid": admin, "tenantId": a.sim.Tenant()}}})
	a.resource("Microsoft.Sql/servers/features/databases/db", object{"location": "uksouth", "properties": object{}})
}

func (a *azure) openFirewall() {
	a.t.Helper()
	a.resource("Microsoft.Sql/servers/features/firewallRules/deployer", object{"properties": object{"startIpAddress": publicIP, "endIpAddress": publicIP}})
}

// readDirectory gives the server's identity what it needs to look up principals.
func (a *azure) readDirectory() {
	a.t.Helper()
	g := a.graph()
	_, server, _ := a.do("GET", a.id("g", "Microsoft.Sql/servers/features")+"?api-version=2025-01-01", nil)
	identity := at(server, "identity", "principalId").(string)
	ms := g.ok("GET", "/v1.0/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')?$select=id,appRoles", nil)
	for _, v := range ms["appRoles"].([]any) {
		switch role := v.(object); role["value"] {
		case "User.Read.All", "GroupMember.Read.All", "Application.Read.All":
			g.ok("POST", "/v1.0/servicePrincipals/"+identity+"/appRoleAssignments", object{"principalId": identity, "resourceId": ms["id"], "appRoleId": role["id"]})
		}
	}
}

func TestSQLServerLetsInWhomItKnows(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 3})
	owner, _, ownerPrincipal, ownerSecret := a.application("owner")
	writer, _, _, writerSecret := a.application("writer")
	a.store(ownerPrincipal)
	db := a.database("features", "db", owner, ownerSecret)
	_, err := db.ExecContext(t.Context(), "SELECT 1")
	if number(err) != 40615 || !strings.Contains(err.Error(), publicIP) {
		t.Fatalf("without a firewall rule: got %v, want error 40615 with the address", err)
	}
	a.openFirewall()
	var user, database string
	if err := db.QueryRowContext(t.Context(), "SELECT USER_NAME(), DB_NAME()").Scan(&user, &database); err != nil || user != "dbo" || database != "db" {
		t.Fatalf("administrator: got %q in %q, %v", user, database, err)
	}
	if _, err := a.database("features", "db", writer, writerSecret).ExecContext(t.Context(), "SELECT 1"); number(err) != 18456 {
		t.Errorf("stranger: got %v, want error 18456", err)
	}
	if _, err := a.database("features", "other", owner, ownerSecret).ExecContext(t.Context(), "SELECT 1"); number(err) != 4060 {
		t.Errorf("unknown database: got %v, want error 4060", err)
	}
	_, err = db.ExecContext(t.Context(), "CREATE USER [writer] FROM EXTERNAL PROVIDER")
	if number(err) != 33134 {
		t.Errorf("server without directory permissions: got %v, want error 33134", err)
	}
	a.readDirectory()
	for _, statement := range []string{"CREATE USER [writer] FROM EXTERNAL PROVIDER", "ALTER ROLE [db_owner] ADD MEMBER [writer]"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	w := a.database("features", "db", writer, writerSecret)
	if err := w.QueryRowContext(t.Context(), "SELECT USER_NAME()").Scan(&user); err != nil || user != "writer" {
		t.Errorf("writer: got %q, %v", user, err)
	}
}

func TestSQLReplicationDelayOfTheDirectory(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 4})
	owner, _, ownerPrincipal, secret := a.application("owner")
	a.store(ownerPrincipal)
	a.openFirewall()
	a.readDirectory()
	g := a.graph()
	group, _ := g.upsert("/v1.0/groups(uniqueName='scientists')", object{"displayName": "Scientists", "mailEnabled": false, "mailNickname": "scientists", "securityEnabled": true})
	master := a.database("features", "master", owner, secret)
	const create = "CREATE LOGIN [Scientists] FROM EXTERNAL PROVIDER"
	if _, err := master.ExecContext(t.Context(), create); number(err) != 33130 {
		t.Fatalf("a group that replicas do not know: got %v, want error 33130", err)
	}
	g.wait(15 * time.Second)
	if _, err := master.ExecContext(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	if _, err := master.ExecContext(t.Context(), create); number(err) != 15025 {
		t.Errorf("twice: got %v, want error 15025", err)
	}
	var typ string
	var sid []byte
	err := master.QueryRowContext(t.Context(), "SELECT type, sid FROM sys.server_principals WHERE name = @p1", "scientists").Scan(&typ, &sid)
	if err != nil || typ != "X" || len(sid) != 16 {
		t.Errorf("login: got %q %x, %v", typ, sid, err)
	}
	var named mssql.UniqueIdentifier
	if err := named.Scan(sid); err != nil || !strings.EqualFold(named.String(), group["id"].(string)) {
		t.Errorf("sid is %s, want the group's object id %s (%v)", named, group["id"], err)
	}
	if _, err := a.database("features", "db", owner, secret).ExecContext(t.Context(), create); number(err) != 5001 {
		t.Errorf("login outside master: got %v, want error 5001", err)
	}
}

func TestSQLTableRoundTripThroughTheDriver(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 5})
	owner, _, ownerPrincipal, secret := a.application("owner")
	a.store(ownerPrincipal)
	a.openFirewall()
	db := a.database("features", "db", owner, secret)
	exec := func(query string, args ...any) int64 {
		t.Helper()
		res, err := db.ExecContext(t.Context(), query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	exec("CREATE TABLE [dbo].[flowehr_connectivity_test] ([id] INT NOT NULL PRIMARY KEY, [name] NVARCHAR(20) NULL, [score] FLOAT, [big] BIGINT, [when] DATETIME2, [raw] VARBINARY(16), [yes] BIT)")
	when := time.Date(2026, 11, 2, 9, 30, 15, 120_000_000, time.UTC)
	if n := exec("INSERT INTO [dbo].[flowehr_connectivity_test] VALUES (@p1, @p2, @p3, @p4, @p5, @p6, @p7), (2, N'Zoë ]''[', NULL, NULL, NULL, NULL, NULL)",
		1, "O'Hara", 1.5, int64(1)<<40, when, []byte{1, 2, 3}, true); n != 2 {
		t.Errorf("inserted %d rows, want 2", n)
	}
	var id, big int64
	var name string
	var score float64
	var at time.Time
	var raw []byte
	var yes bool
	err := db.QueryRowContext(t.Context(), "SELECT * FROM flowehr_connectivity_test WHERE id = @id", sql.Named("id", 1)).Scan(&id, &name, &score, &big, &at, &raw, &yes)
	if err != nil || id != 1 || name != "O'Hara" || score != 1.5 || big != 1<<40 || !at.Equal(when) || string(raw) != "\x01\x02\x03" || !yes {
		t.Errorf("got %d %q %v %d %v %x %v, %v", id, name, score, big, at, raw, yes, err)
	}
	var none sql.NullFloat64
	if err := db.QueryRowContext(t.Context(), "SELECT name, score FROM flowehr_connectivity_test WHERE id = 2").Scan(&name, &none); err != nil || name != "Zoë ]'[" || none.Valid {
		t.Errorf("got %q %v, %v", name, none, err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO flowehr_connectivity_test (id) VALUES (1)"); number(err) != 2627 {
		t.Errorf("same key: got %v, want error 2627", err)
	}
	if _, err := db.ExecContext(t.Context(), "MERGE INTO x USING y ON 1=1"); err == nil || !strings.Contains(err.Error(), "MERGE") {
		t.Errorf("unsupported statement: got %v, want it refused by name", err)
	}
	long := strings.Repeat("x", 3000)
	exec("CREATE TABLE wide (v NVARCHAR(4000))")
	exec("INSERT INTO wide VALUES (@p1)", long)
	if err := db.QueryRowContext(t.Context(), "SELECT v FROM wide").Scan(&name); err != nil || name != long {
		t.Errorf("long value came back with %d characters, %v", len(name), err)
	}
	exec("DROP TABLE IF EXISTS flowehr_connectivity_test")
	if _, err := db.ExecContext(t.Context(), "SELECT 1 FROM flowehr_connectivity_test"); number(err) != 208 {
		t.Errorf("dropped table: got %v, want error 208", err)
	}
}
