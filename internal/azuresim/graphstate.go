package azuresim

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
)

// application is the definition of an application; who acts is its service principal.
type application struct {
	ID        string        `json:"id"`
	AppID     string        `json:"appId"`
	Unique    string        `json:"unique,omitempty"`
	Body      object        `json:"body"` // what was told
	Owners    []string      `json:"owners,omitempty"`
	Passwords []*password   `json:"passwords,omitempty"`
	Federated []*federation `json:"federated,omitempty"`
	Made      time.Time     `json:"made"`
	Visible   time.Time     `json:"visible"` // when every replica knows of it
}

// password is a client secret of an application.
type password struct {
	secret
	KeyID string    `json:"keyId"`
	Name  string    `json:"name,omitempty"`
	From  time.Time `json:"from"`
}

// federation is a federated credential of an application.
type federation struct {
	trust
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// assignment is an app role that somebody was given.
type assignment struct {
	ID       string    `json:"id"`
	Role     string    `json:"role"`     // id of the role
	Resource string    `json:"resource"` // service principal whose role it is
	Made     time.Time `json:"made"`
}

// delegated is what an application may do as a person.
type delegated struct {
	ID        string `json:"id"`
	Client    string `json:"client"` // service principals
	Resource  string `json:"resource"`
	Consent   string `json:"consent"` // AllPrincipals or Principal
	Principal string `json:"principal,omitempty"`
	Scope     string `json:"scope"`
}

// gone is what was deleted and can be brought back for thirty days.
type gone struct {
	At          time.Time    `json:"at"`
	Principal   *principal   `json:"principal,omitempty"`
	Application *application `json:"application,omitempty"`
}

func (d *directoryState) applicationOf(appID string) *application {
	if appID == "" {
		return nil
	}
	for _, a := range d.Applications {
		if a.AppID == appID {
			return a
		}
	}
	return nil
}

// remove forgets an object and every mention of it.
func (d *directoryState) remove(id string) {
	d.removePrincipal(id)
	delete(d.Applications, id)
	without := func(list []string) []string {
		return slices.DeleteFunc(list, func(x string) bool { return x == id })
	}
	for _, p := range d.Principals {
		p.Members, p.Owners = without(p.Members), without(p.Owners)
		p.Granted = slices.DeleteFunc(p.Granted, func(a *assignment) bool { return a.Resource == id })
	}
	for _, a := range d.Applications {
		a.Owners = without(a.Owners)
	}
	d.Delegated = slices.DeleteFunc(d.Delegated, func(g *delegated) bool {
		return g.Client == id || g.Resource == id || g.Principal == id
	})
}

// lag is how long replicas take to know of a new object: between 2 and 12 seconds, the same for the same object.
func lag(id string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // hashes take everything
	return 2*time.Second + time.Duration(binary.BigEndian.Uint16(h.Sum(nil))%10_000)*time.Millisecond
}

// graphApp is Microsoft Graph as an application, the same in every tenant.
const graphApp = "00000003-0000-0000-c000-000000000000"

func (d *directoryState) isGraph(id string) bool {
	p := d.principal(id)
	return p != nil && p.AppID == graphApp
}

// graphPermissions are the application permissions of Microsoft Graph that matter here, with their published ids
// (learn.microsoft.com/graph/permissions-reference).
func graphPermissions() map[string]string {
	return map[string]string{
		"Application.ReadWrite.All":       "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
		"Application.ReadWrite.OwnedBy":   "18a4783c-866b-4cc7-a460-3d5e5662c884",
		"Application.Read.All":            "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
		"AppRoleAssignment.ReadWrite.All": "06b708a9-e830-4db3-a914-8e69da51d44f",
		"Directory.Read.All":              "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
		"Directory.ReadWrite.All":         "19dbc75e-c2e2-444c-a770-ec69d8559fc7",
		"Group.Read.All":                  "5b567255-7703-4780-807c-7be8301ae99b",
		"Group.ReadWrite.All":             "62a82d76-70ea-41e2-9197-370581804d09",
		"Group.Create":                    "bf7b1a76-6e77-406b-b258-bf5c7720e98f",
		"GroupMember.Read.All":            "98830695-27a2-44f7-8c18-0c3ebc9698f6",
		"GroupMember.ReadWrite.All":       "dbaae8cf-10b5-4b86-a4a1-f871c94c6695",
		"User.Read.All":                   "df021288-bdef-4463-88db-98f22de89214",
	}
}

// graphScopes are the delegated permissions of Microsoft Graph that matter here.
func graphScopes() map[string]string {
	return map[string]string{
		"User.Read":      "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
		"openid":         "37f7f235-527c-4136-accd-4a02d197296e",
		"profile":        "14dad69e-099b-42c9-810b-d002981feec1",
		"email":          "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
		"offline_access": "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
	}
}

// seedGraph makes what every tenant has: the service principal of Microsoft Graph.
func (d *directoryState) seedGraph(seed uint64, now time.Time) {
	if d.application(graphApp) != nil {
		return
	}
	body := object{"appRoles": graphRoleList(), "oauth2PermissionScopes": graphScopeList(), "servicePrincipalNames": []any{graphApp, "https://" + graphHost}}
	d.addIdentity(&principal{ID: uuidOf(seed, "principal", graphApp), Kind: "ServicePrincipal", AppID: graphApp, Name: "Microsoft Graph", Visible: now, Body: body})
}

func graphRoleList() []any {
	out := []any{}
	all := graphPermissions()
	for _, value := range slices.Sorted(maps.Keys(all)) {
		out = append(out, object{"id": all[value], "value": value, "displayName": value, "description": value, "isEnabled": true,
			"allowedMemberTypes": []any{"Application"}})
	}
	return out
}

func graphScopeList() []any {
	out := []any{}
	all := graphScopes()
	for _, value := range slices.Sorted(maps.Keys(all)) {
		out = append(out, object{"id": all[value], "value": value, "type": "User", "adminConsentDisplayName": value, "isEnabled": true})
	}
	return out
}

// named finds the principals that have a display name, in any case.
func (d *directoryState) named(name string) []*principal {
	var out []*principal
	for _, p := range d.Principals {
		if strings.EqualFold(p.Name, name) {
			out = append(out, p)
		}
	}
	return out
}
