package azuresim_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

const publicIP = "203.0.113.7"

// client is the product's own client, signed in as somebody.
func (a *azure) client(clientID, secret string) *cloud.Client {
	a.t.Helper()
	cred, err := azidentity.NewClientSecretCredential(a.sim.Tenant(), clientID, secret, &azidentity.ClientSecretCredentialOptions{DisableInstanceDiscovery: true,
		ClientOptions: policy.ClientOptions{Transport: a.remote, Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		a.t.Fatal(err)
	}
	return cloud.New(cloud.Options{Credential: cred, Subscription: a.sub, Tenant: a.sim.Tenant(), Transport: a.remote, Wait: a.remote.Wait})
}

func (a *azure) deployer() *cloud.Client {
	who := azuresim.Deployer()
	return a.client(who.ClientID, who.Secret)
}

// plane is one service of the simulation as a test asks it.
type plane struct {
	t       testing.TB
	c       *cloud.Client
	service cloud.Service
}

func (p plane) call(method, path string, body, into any) error {
	return p.c.Call(p.t.Context(), p.service, method, path, body, into)
}

func (p plane) ok(method, path string, body any) object {
	p.t.Helper()
	var out object
	if err := p.call(method, path, body, &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// refused holds a call to being refused with a status and a code.
func (p plane) refused(status int, code, method, path string, body any) {
	p.t.Helper()
	err := p.call(method, path, body, nil)
	e, is := errors.AsType[*cloud.Error](err)
	if !is || e.Status != status || e.Code != code {
		p.t.Errorf("%s %s: got %v, want %d %s", method, path, err, status, code)
	}
}

func (p plane) wait(d time.Duration) {
	p.t.Helper()
	if err := p.c.Wait(p.t.Context(), d); err != nil {
		p.t.Fatal(err)
	}
}

// resource makes a resource in the group g.
func (a *azure) resource(path string, body object) {
	a.t.Helper()
	a.must("PUT", a.id("g", path)+"?api-version=2025-01-01", body)
}

// role gives the deployer, or whom else, a role on a scope and lets it take effect.
func (a *azure) role(scope, guid, principal string) {
	a.t.Helper()
	id := scope + "/providers/Microsoft.Authorization/roleAssignments/" + guid[:8] + "-0000-4000-8000-" + principal[:8] + "0000"
	a.must("PUT", id+"?api-version=2022-04-01", object{"properties": object{"principalId": principal, "principalType": "ServicePrincipal",
		"roleDefinitionId": "/subscriptions/" + a.sub + "/providers/Microsoft.Authorization/roleDefinitions/" + guid}})
	if err := a.remote.Wait(a.t.Context(), time.Minute); err != nil {
		a.t.Fatal(err)
	}
}

// me is the object id of the deployer.
func (a *azure) me() string {
	a.t.Helper()
	var out struct {
		Value []struct{ ID string }
	}
	who := azuresim.Deployer()
	if err := a.deployer().Get(a.t.Context(), cloud.Graph(), "/v1.0/servicePrincipals?$filter=appId%20eq%20'"+who.ClientID+"'", &out); err != nil {
		a.t.Fatal(err)
	}
	if len(out.Value) != 1 {
		a.t.Fatalf("the deployer is %d times in the directory", len(out.Value))
	}
	return out.Value[0].ID
}

func (a *azure) graph() plane { return plane{a.t, a.deployer(), cloud.Graph()} }

func (p plane) upsert(path string, body any) (created object, status int) {
	p.t.Helper()
	res, err := p.c.Do(p.t.Context(), p.service, cloud.Request{Method: http.MethodPatch, Path: path, Body: body, Header: map[string]string{"Prefer": "create-if-missing"}})
	if err != nil {
		p.t.Fatal(err)
	}
	return decode(p.t, res.Body), res.Status
}

// application makes an application with a service principal and a secret, and waits until everybody knows of it.
func (a *azure) application(name string) (clientID, objectID, principal, secret string) {
	a.t.Helper()
	g := a.graph()
	app, _ := g.upsert("/v1.0/applications(uniqueName='"+name+"')", object{"displayName": name})
	g.wait(15 * time.Second)
	clientID, objectID = app["appId"].(string), app["id"].(string)
	sp, _ := g.upsert("/v1.0/servicePrincipals(appId='"+clientID+"')", object{})
	g.wait(15 * time.Second)
	password := g.ok("POST", "/v1.0/applications/"+objectID+"/addPassword", object{"passwordCredential": object{"displayName": "t"}})
	return clientID, objectID, sp["id"].(string), password["secretText"].(string)
}

func decode(t testing.TB, data []byte) object {
	t.Helper()
	var out object
	if len(data) == 0 {
		return out
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return out
}
