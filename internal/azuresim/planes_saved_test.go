package azuresim_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-github/v88/github"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// TestEveryServiceOutlivesARestart makes something in each service, ends the simulation, begins it again in the same folder,
// and goes on working with what was made: saved lists that are empty must not come back as none.
func TestEveryServiceOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	var group, workspaceURL string
	live := func(do func(a *azure)) {
		t.Helper()
		sim, err := azuresim.New(azuresim.Options{Dir: dir, Seed: 71})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- sim.Serve(ctx, l) }()
		a := connect(t, sim, l.Addr().String(), azuresim.Deployer())
		do(a)
		a.remote.Transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	}
	live(func(a *azure) {
		c := a.secrets(nil)
		a.vaultRole()
		if _, err := c.SetSecret(t.Context(), "s", secretParameters("v"), nil); err != nil {
			t.Fatal(err)
		}
		p := a.warmWorkspace()
		workspaceURL = p.service.Base
		p.ok("POST", "/api/2.0/secrets/scopes/create", object{"scope": "s"})
		g, _ := a.graph().upsert("/v1.0/groups(uniqueName='g')", object{"displayName": "g", "mailEnabled": false, "mailNickname": "g", "securityEnabled": true})
		group = g["id"].(string)
		a.factory(map[string]object{"main": {"activities": []object{activity("a", "Copy", nil, nil)}}})
		a.repository(a.hub())
	})
	live(func(a *azure) {
		g := a.graph()
		g.ok("GET", "/v1.0/groups/"+group, nil)
		p := plane{t, a.deployer(), cloud.Databricks(workspaceURL)}
		p.ok("POST", "/api/2.0/secrets/put", object{"scope": "s", "key": "k", "string_value": "v"})
		p.ok("POST", "/api/2.0/dbfs/put", object{"path": "/a", "contents": "YQ=="})
		p.ok("POST", "/api/2.1/clusters/create", clusterBody(nil))
		p.ok("POST", "/api/2.0/preview/scim/v2/ServicePrincipals", object{"applicationId": "11111111-0000-4000-8000-000000000000"})
		arm := plane{t, a.deployer(), cloud.ARM()}
		if got, _ := run(arm, a.id("g", "Microsoft.DataFactory/factories/adf"), "main", 1e12); got["status"] != "Succeeded" {
			t.Errorf("run after the restart: %v", got)
		}
		vault := plane{t, a.deployer(), cloud.Vault("kv-test")}
		if got := vault.ok("GET", "/secrets/s?api-version=7.4", nil); got["value"] != "v" {
			t.Errorf("secret after the restart: %v", got["value"])
		}
		hub := a.hub()
		if _, _, err := hub.Repositories.CreateUpdateEnvironment(t.Context(), "trust", "app", "dev", &github.CreateUpdateEnvironment{}); err != nil {
			t.Error(err)
		}
		if _, _, err := hub.Teams.CreateTeam(t.Context(), "trust", github.NewTeam{Name: "t"}); err != nil {
			t.Error(err)
		}
		if _, _, err := hub.Repositories.Get(t.Context(), "trust", "none"); gitStatus(err) != http.StatusNotFound {
			t.Errorf("got %v, want 404", err)
		}
	})
}
