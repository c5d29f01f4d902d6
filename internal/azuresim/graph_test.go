package azuresim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

func TestGraphUpsertMakesOnce(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 21})
	g := a.graph()
	const path = "/v1.0/applications(uniqueName='flowehr-it''s')"
	made, status := g.upsert(path, object{"displayName": "one"})
	if status != http.StatusCreated || made["uniqueName"] != "flowehr-it's" {
		t.Fatalf("got %d %v", status, made)
	}
	g.refused(404, "Request_ResourceNotFound", "GET", path, nil)
	if _, status := g.upsert(path, object{"displayName": "two"}); status != http.StatusNoContent {
		t.Errorf("again: got %d, want 204", status)
	}
	g.wait(15 * time.Second)
	if got := g.ok("GET", path+"?$select=id,displayName", nil); got["id"] != made["id"] || got["displayName"] != "two" || len(got) != 2 {
		t.Errorf("got %v", got)
	}
	g.refused(400, "Request_BadRequest", "PATCH", path, object{"displayNaem": "x"})
	g.refused(404, "Request_ResourceNotFound", "PATCH", "/v1.0/applications(uniqueName='other')", object{"displayName": "x"})
}

func TestGraphServicePrincipalNeedsItsApplication(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 22})
	g := a.graph()
	app, _ := g.upsert("/v1.0/applications(uniqueName='a')", object{"displayName": "a"})
	path := fmt.Sprintf("/v1.0/servicePrincipals(appId='%s')", app["appId"])
	_, err := g.c.Do(t.Context(), g.service, cloud.Request{Method: "PATCH", Path: path, Body: object{}, Header: map[string]string{"Prefer": "create-if-missing"}})
	if e, is := errors.AsType[*cloud.Error](err); !is || e.Code != "NoBackingApplicationObject" {
		t.Fatalf("before replicas know the application: got %v", err)
	}
	g.wait(15 * time.Second)
	sp, _ := g.upsert(path, object{})
	g.wait(15 * time.Second)
	if got := g.ok("GET", path, nil); got["id"] != sp["id"] || got["displayName"] != "a" {
		t.Errorf("got %v", got)
	}
	g.ok("DELETE", "/v1.0/applications/"+app["id"].(string), nil)
	g.refused(404, "Request_ResourceNotFound", "GET", path, nil)
	g.ok("POST", "/v1.0/directory/deletedItems/"+app["id"].(string)+"/restore", nil)
	if got := g.ok("GET", path, nil); got["id"] != sp["id"] {
		t.Errorf("restored with its application: got %v", got)
	}
	g.ok("DELETE", "/v1.0/applications/"+app["id"].(string), nil)
	g.ok("DELETE", "/v1.0/directory/deletedItems/"+app["id"].(string), nil)
	g.refused(404, "Request_ResourceNotFound", "POST", "/v1.0/directory/deletedItems/"+app["id"].(string)+"/restore", nil)
}

func TestGraphEnabledRolesCannotBeRemoved(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 23})
	g := a.graph()
	role := func(enabled bool) object {
		return object{"id": "8f1c1f1e-0000-4000-8000-000000000001", "value": "admin", "displayName": "a", "description": "a", "isEnabled": enabled, "allowedMemberTypes": []string{"User"}}
	}
	app, _ := g.upsert("/v1.0/applications(uniqueName='a')", object{"displayName": "a", "appRoles": []object{role(true)}})
	g.wait(15 * time.Second)
	path := "/v1.0/applications/" + app["id"].(string)
	g.refused(400, "CannotDeleteOrUpdateEnabledEntitlement", "PATCH", path, object{"appRoles": []object{}})
	g.ok("PATCH", path, object{"appRoles": []object{role(false)}})
	g.ok("PATCH", path, object{"appRoles": []object{}})
}

func TestGraphPasswordsSignIn(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 24})
	clientID, objectID, _, secret := a.application("a")
	as := plane{t, a.client(clientID, secret), cloud.Graph()}
	as.refused(403, "Authorization_RequestDenied", "GET", "/v1.0/applications", nil)
	g := a.graph()
	app := g.ok("GET", "/v1.0/applications/"+objectID, nil)
	credential := app["passwordCredentials"].([]any)[0].(object)
	if credential["secretText"] != nil || !strings.HasPrefix(secret, credential["hint"].(string)) {
		t.Errorf("a password can be read back: %v", credential)
	}
	g.ok("POST", "/v1.0/applications/"+objectID+"/removePassword", object{"keyId": credential["keyId"]})
	if err := a.client(clientID, secret).Get(t.Context(), cloud.Graph(), "/v1.0/applications", nil); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("with a removed password: got %v", err)
	}
}

func TestGraphMembersAndFilters(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 25})
	_, _, principal, _ := a.application("member")
	g := a.graph()
	for i := range 5 {
		name := fmt.Sprintf("flowehr-%d", i)
		g.upsert("/v1.0/groups(uniqueName='"+name+"')", object{"displayName": name, "mailEnabled": false, "mailNickname": name, "securityEnabled": true})
	}
	g.wait(15 * time.Second)
	group := g.ok("GET", "/v1.0/groups(uniqueName='flowehr-3')", nil)["id"].(string)
	ref := object{"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/" + principal}
	members := "/v1.0/groups/" + group + "/members"
	g.ok("POST", members+"/$ref", ref)
	g.refused(400, "Request_BadRequest", "POST", members+"/$ref", ref)
	if got := g.ok("GET", "/v1.0/servicePrincipals/"+principal+"/memberOf", nil)["value"].([]any); len(got) != 1 {
		t.Errorf("memberOf has %d groups, want 1", len(got))
	}
	g.ok("DELETE", members+"/"+principal+"/$ref", nil)
	g.refused(404, "Request_ResourceNotFound", "DELETE", members+"/"+principal+"/$ref", nil)
	for filter, want := range map[string]int{
		"startswith(displayName,'flowehr-')":                              5,
		"displayName eq 'flowehr-2'":                                      1,
		"displayName eq 'flowehr-2' or displayName eq 'flowehr-4'":        2,
		"startswith(displayName,'flowehr') and uniqueName eq 'flowehr-0'": 1,
		"displayName eq 'it''s'":                                          0,
		"displayName in ('flowehr-1', 'flowehr-0')":                       2,
	} {
		count := 0
		err := g.c.Pages(t.Context(), g.service, "/v1.0/groups?$top=2&$filter="+strings.ReplaceAll(filter, " ", "%20"), func(json.RawMessage) error { count++; return nil })
		if err != nil || count != want {
			t.Errorf("%s: got %d groups, %v, want %d", filter, count, err, want)
		}
	}
	g.refused(400, "Request_UnsupportedQuery", "GET", "/v1.0/groups?$filter=displayName%20gt%20'a'", nil)
}
