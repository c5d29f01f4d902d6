package azure

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
)

var refAppSecret = azure.Ref(azure.KindVaultSecret, "writer-secret")

const (
	sqlHost     = "sql-server-features-x.database.windows.net"
	sqlDatabase = "sql-db-features"
)

// sqlServer makes an empty server that the owner administers, and lets it look into the directory.
func (p *planes) sqlServer(owner flowehr.Record) {
	p.t.Helper()
	id := p.group + "/providers/Microsoft.Sql/servers/sql-server-features-x"
	server := p.put(id, "Microsoft.Sql/servers", map[string]any{"location": "uksouth", "identity": map[string]any{"type": "SystemAssigned"}, "properties": map[string]any{
		"publicNetworkAccess": "Enabled", "administrators": map[string]any{"administratorType": "ActiveDirectory", "azureADOnlyAuthentication": true, "login": "sql-owner",
			"principalType": "Application", "sid": owner.Outputs[azure.OutAppID], "tenantId": p.sim.Tenant()}}})
	p.put(id+"/databases/"+sqlDatabase, "Microsoft.Sql/servers/databases", map[string]any{"location": "uksouth", "sku": map[string]any{"name": "Basic"},
		"properties": map[string]any{"collation": "SQL_Latin1_General_CP1_CI_AS"}})
	p.put(id+"/firewallRules/deployer", "Microsoft.Sql/servers/firewallRules", map[string]any{"properties": map[string]any{"startIpAddress": "203.0.113.7", "endIpAddress": "203.0.113.7"}})
	principal := server["identity"].(map[string]any)["principalId"].(string)
	for _, role := range []string{"User.Read.All", "GroupMember.Read.All", "Application.Read.All"} {
		makeDo(p.t, p.target(), resource(p.t, azure.KindGrant, role, azure.GrantSpec{Principal: azure.Lit(principal), Role: role}))
	}
}

// storeWorld is a subscription with a feature store, how its owner signs in, and the writer with its secret.
func storeWorld(t *testing.T, seed uint64) (p *planes, admin azure.AdminLogin, writer []flowehr.Resource) {
	t.Helper()
	p = newPlanes(t, azuresim.Options{Seed: seed})
	p.vault(vaultName)
	app := func(name string) flowehr.Resource {
		return resource(t, azure.KindApplication, name, azure.ApplicationSpec{DisplayName: name, UniqueName: name + "-x", Tags: []string{"flowehr:x"}})
	}
	secret := func(name string, of azure.Value, needs ...flowehr.Ref) flowehr.Resource {
		return resource(t, azure.KindVaultSecret, name, azure.VaultSecretSpec{Vault: vaultName, Name: name,
			Source: azure.Source{Password: &azure.AppPassword{Application: of, Days: 365}}}, needs...)
	}
	owner := makeDo(t, p.target(), app("sql-owner"))
	makeDo(t, p.target(), secret("sql-owner-secret", azure.Lit(owner.ID)))
	p.sqlServer(owner)
	admin = azure.AdminLogin{Application: azure.Lit(owner.Outputs[azure.OutAppID]), Secret: azure.VaultRef{Vault: vaultName, Name: "sql-owner-secret"}}
	return p, admin, []flowehr.Resource{app(refApp.Name), secret(refAppSecret.Name, azure.Out(refApp, azure.OutObjectID), refApp)}
}

// storeResources end with the user of the group and the proof.
func storeResources(t testing.TB, admin azure.AdminLogin, writer []flowehr.Resource, role, table string) []flowehr.Resource {
	group := resource(t, azure.KindGroup, refGroup.Name, azure.GroupSpec{DisplayName: "x [apps]", UniqueName: "x-apps"})
	user := resource(t, azure.KindSQLPrincipal, "writer", azure.SQLPrincipalSpec{Engine: "mssql", Server: sqlHost, Database: sqlDatabase, Name: refApp.Name,
		ObjectID: azure.Out(refApp, azure.OutPrincipalID), Roles: []string{"db_owner"}, Admin: admin}, refApp)
	return append(slices.Clone(writer), group, user,
		resource(t, azure.KindSQLPrincipal, "apps", azure.SQLPrincipalSpec{Engine: "mssql", Server: sqlHost, Database: sqlDatabase, Name: "x [apps]",
			ObjectID: azure.Out(refGroup, azure.OutObjectID), Group: true, Roles: []string{role}, Admin: admin}, refGroup),
		resource(t, azure.KindConnectivity, "features", azure.ConnectivitySpec{Engine: "mssql", Server: sqlHost, Database: sqlDatabase, Table: table,
			Writer: azure.AdminLogin{Application: azure.Out(refApp, azure.OutAppID), Secret: azure.VaultRef{Vault: vaultName, Name: refAppSecret.Name}}}, user.Ref, refApp, refAppSecret))
}

func TestStoreSuite(t *testing.T) {
	stays := func(r flowehr.Resource) bool { return r.Ref.Kind == azure.KindConnectivity }
	suite(t, stays, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p, admin, writer := storeWorld(t, 31)
		return p, storeResources(t, admin, writer, "db_datareader", "flowehr_connectivity_test"), storeResources(t, admin, writer, "db_datawriter", "flowehr_test_2")
	})
}

// A group that was deleted and made again has another id; the user of the old one lets nobody in.
func TestStaleUsersAreReplaced(t *testing.T) {
	p, admin, writer := storeWorld(t, 32)
	all := storeResources(t, admin, writer, "db_datareader", "probe")
	target := p.target(all...)
	made := map[flowehr.Ref]flowehr.Record{}
	for _, r := range all {
		made[r.Ref] = makeDo(t, target, filledIn(t, target, r))
	}
	group := made[refGroup]
	if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: group.Resource, Prior: &group}, &noted{}); err != nil {
		t.Fatal(err)
	}
	again := makeDo(t, target, group.Resource)
	if again.ID == group.ID {
		t.Fatal("the group has the same id")
	}
	user := filledIn(t, target, all[4])
	rec := flowehr.Record{Resource: user, ID: made[user.Ref].ID}
	if _, err := target.Read(t.Context(), rec); !isGone(err) {
		t.Errorf("the user of a group that has gone reads as standing: %v", err)
	}
	makeDo(t, target, user)
	standsAs(t, target, rec, true)
}

// What a probe that was cut short left behind is no obstacle, and nothing is left behind.
func TestProbeLeavesNothing(t *testing.T) {
	p, admin, writer := storeWorld(t, 33)
	all := storeResources(t, admin, writer, "db_datareader", "probe")
	target := p.target(all...)
	for _, r := range all[:len(all)-1] {
		makeDo(t, target, filledIn(t, target, r))
	}
	probe, err := decodeSpec[azure.ConnectivitySpec](filledIn(t, target, all[len(all)-1]))
	if err != nil {
		t.Fatal(err)
	}
	access := storeAccess{c: p.client, vaults: vaults{c: p.client, patience: accessLimit}, graph: graph{p.client}, sql: SQL{Dial: p.remote.Dial, TLS: p.remote.TLS()}}
	on := func(do func(context.Context, *sql.DB) error) {
		t.Helper()
		if err := access.with(t.Context(), sqlServer{}, sqlHost, sqlDatabase, probe.Writer, storeLimit, do); err != nil {
			t.Fatal(err)
		}
	}
	on(func(ctx context.Context, db *sql.DB) error {
		return execute(ctx, db, "CREATE TABLE [probe] (left_over INT)")
	})
	makeDo(t, target, filledIn(t, target, all[len(all)-1]))
	on(func(ctx context.Context, db *sql.DB) error {
		tables, err := column(ctx, db, "SELECT name FROM sys.tables")
		if len(tables) > 0 {
			t.Errorf("left: %v", tables)
		}
		return err
	})
}

func TestEnginesAreNamed(t *testing.T) {
	if _, err := engineOf("oracle"); err == nil || !strings.Contains(err.Error(), `"oracle"`) {
		t.Errorf("got %v", err)
	}
}
