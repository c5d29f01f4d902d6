package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// graphAppID is the application that is Microsoft Graph, the same in every tenant.
const graphAppID = "00000003-0000-0000-c000-000000000000"

// ownerTag begins the tags of an application that say whose it is.
const ownerTag = "flowehr:"

// application is what is used of a directory application (learn.microsoft.com/graph/api/resources/application).
type application struct {
	ID             string           `json:"id,omitempty"`
	AppID          string           `json:"appId,omitempty"`
	DisplayName    string           `json:"displayName"`
	Description    *string          `json:"description"`
	SignInAudience string           `json:"signInAudience,omitempty"`
	IdentifierURIs []string         `json:"identifierUris"`
	AppRoles       []appRole        `json:"appRoles"`
	API            appAPI           `json:"api"`
	Web            appWeb           `json:"web"`
	SPA            appSPA           `json:"spa"`
	Required       []requiredAccess `json:"requiredResourceAccess"`
	Tags           []string         `json:"tags"`
}

type appRole struct {
	ID          string   `json:"id"`
	Value       string   `json:"value"`
	DisplayName string   `json:"displayName"`
	Description string   `json:"description"`
	Members     []string `json:"allowedMemberTypes"`
	Enabled     bool     `json:"isEnabled"`
}

type appAPI struct {
	Scopes []appScope `json:"oauth2PermissionScopes"`
}

type appScope struct {
	ID               string `json:"id"`
	Value            string `json:"value"`
	Type             string `json:"type"`
	AdminDisplayName string `json:"adminConsentDisplayName"`
	AdminDescription string `json:"adminConsentDescription"`
	Enabled          bool   `json:"isEnabled"`
}

type appWeb struct {
	Redirects []string `json:"redirectUris"`
	Implicit  struct {
		IDTokens bool `json:"enableIdTokenIssuance"`
	} `json:"implicitGrantSettings"`
}

type appSPA struct {
	Redirects []string `json:"redirectUris"`
}

type requiredAccess struct {
	Resource string           `json:"resourceAppId"`
	Access   []resourceAccess `json:"resourceAccess"`
}

type resourceAccess struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

const applicationFields = "id,appId,uniqueName,displayName,description,identifierUris,appRoles,api,web,spa,requiredResourceAccess,tags"

// impersonation is the scope that lets an application act as the person who is signed in.
const impersonation = "user_impersonation"

// applicationMinder looks after an application and its service principal. Passwords, federated credentials and grants are
// resources of their own, owners are only added.
type applicationMinder struct{ graph }

func (m applicationMinder) ensure(ctx context.Context, s azure.ApplicationSpec, _ task) (made, error) {
	want, err := m.wanted(ctx, s)
	if err != nil {
		return made{}, err
	}
	have, found, err := m.get(ctx, s)
	if err != nil {
		return made{}, err
	}
	if found && !ours(s, have) {
		return made{}, fmt.Errorf("application %q has the unique name %s but none of the tags that say it is this environment's (%s): "+
			"rename or delete it, or give the environment another suffix", have.DisplayName, s.UniqueName, strings.Join(ownerTags(s.Tags), ", "))
	}
	if !found {
		if err := m.make(ctx, s, want); err != nil {
			return made{}, err
		}
		path := keyed("applications", "uniqueName", s.UniqueName) + "?$select=" + applicationFields
		if err := m.known(ctx, "application "+s.DisplayName, path, &have); err != nil {
			return made{}, err
		}
	}
	if err := m.change(ctx, have, want); err != nil {
		return made{}, err
	}
	principal, err := m.principal(ctx, have, want.Tags)
	if err != nil {
		return made{}, err
	}
	return applicationMade(have, principal), m.refer(ctx, "/applications/"+have.ID+"/owners", texts(s.Owners))
}

// make makes the application. One that was deleted and not purged may still hold the name: ours is purged.
func (m applicationMinder) make(ctx context.Context, s azure.ApplicationSpec, want application) error {
	err := m.upsert(ctx, "applications", "uniqueName", s.UniqueName, want)
	if status := cloud.Status(err); status != http.StatusBadRequest && status != http.StatusConflict {
		return err
	}
	purged, perr := m.purgeRemains(ctx, s, application{}, "")
	if perr != nil || !purged {
		return errors.Join(err, perr)
	}
	return m.upsert(ctx, "applications", "uniqueName", s.UniqueName, want)
}

func (m applicationMinder) get(ctx context.Context, s azure.ApplicationSpec) (a application, found bool, err error) {
	found, err = m.find(ctx, "applications", "uniqueName", s.UniqueName, applicationFields, &a)
	return a, found, err
}

// ours reports whether an application carries a tag that says whose it is. Without such tags its unique name says it.
func ours(s azure.ApplicationSpec, a application) bool {
	want := ownerTags(s.Tags)
	return len(want) == 0 || slices.ContainsFunc(want, func(tag string) bool { return slices.Contains(a.Tags, tag) })
}

func ownerTags(tags []string) []string {
	var own []string
	for _, tag := range tags {
		if strings.HasPrefix(tag, ownerTag) {
			own = append(own, tag)
		}
	}
	if own == nil {
		return tags
	}
	return own
}

// wanted is the application as described. Empty lists stand as such, so that an update empties what should be empty.
func (m applicationMinder) wanted(ctx context.Context, s azure.ApplicationSpec) (application, error) {
	a := application{DisplayName: s.DisplayName, SignInAudience: "AzureADMyOrg", IdentifierURIs: []string{}, AppRoles: []appRole{},
		API: appAPI{Scopes: []appScope{}}, Web: appWeb{Redirects: append([]string{}, s.WebRedirects...)},
		SPA: appSPA{Redirects: append([]string{}, s.SPARedirects...)}, Required: []requiredAccess{}, Tags: append([]string{}, s.Tags...)}
	if s.Description != "" {
		a.Description = &s.Description
	}
	if s.IdentifierURI != "" {
		a.IdentifierURIs = []string{s.IdentifierURI}
	}
	a.Web.Implicit.IDTokens = s.IDTokens
	for _, r := range s.Roles {
		a.AppRoles = append(a.AppRoles, appRole{ID: r.ID, Value: r.Value, DisplayName: r.DisplayName, Description: r.Description,
			Members: []string{"User"}, Enabled: true})
	}
	if s.Impersonation {
		a.API.Scopes = []appScope{{ID: scopeID(s.UniqueName), Value: impersonation, Type: "User", Enabled: true,
			AdminDisplayName: "Access " + s.DisplayName, AdminDescription: "Allow the application to access " + s.DisplayName + " on behalf of the signed-in user."}}
	}
	if len(s.Permissions) == 0 {
		return a, nil
	}
	ids, err := m.delegated(ctx)
	if err != nil {
		return a, err
	}
	need := requiredAccess{Resource: graphAppID}
	for _, p := range s.Permissions {
		if ids[p] == "" {
			return a, fmt.Errorf("there is no delegated permission %q of Microsoft Graph", p)
		}
		need.Access = append(need.Access, resourceAccess{ID: ids[p], Type: "Scope"})
	}
	a.Required = append(a.Required, need)
	return a, nil
}

// scopeID follows from the application, so that it stays the same.
func scopeID(uniqueName string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://flowehr.org/scope/"+uniqueName+"/"+impersonation)).String()
}

// delegated returns the ids of Microsoft Graph's delegated permissions by name.
func (m applicationMinder) delegated(ctx context.Context) (map[string]string, error) {
	var sp struct {
		Scopes []struct{ ID, Value string } `json:"oauth2PermissionScopes"`
	}
	if err := m.call(ctx, http.MethodGet, keyed("servicePrincipals", "appId", graphAppID)+"?$select=id,oauth2PermissionScopes", nil, &sp); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, s := range sp.Scopes {
		ids[s.Value] = s.ID
	}
	return ids, nil
}

// change makes have what is wanted. A role or scope can be deleted only after it was disabled, so those that leave are
// disabled in a change of their own.
func (m applicationMinder) change(ctx context.Context, have, want application) error {
	if sameApplication(have, want) {
		return nil
	}
	roles, rolesLeave := retiredRoles(have.AppRoles, want.AppRoles)
	scopes, scopesLeave := retiredScopes(have.API.Scopes, want.API.Scopes)
	if rolesLeave || scopesLeave {
		if err := m.patch(ctx, have, map[string]any{"appRoles": roles, "api": appAPI{Scopes: scopes}}); err != nil {
			return err
		}
	}
	return m.patch(ctx, have, want)
}

// retiredRoles returns have with those disabled that are not in want, and whether that changes any.
func retiredRoles(have, want []appRole) (out []appRole, changed bool) {
	out = append([]appRole{}, have...)
	for i, r := range out {
		if r.Enabled && !slices.ContainsFunc(want, func(w appRole) bool { return w.ID == r.ID }) {
			out[i].Enabled, changed = false, true
		}
	}
	return out, changed
}

func retiredScopes(have, want []appScope) (out []appScope, changed bool) {
	out = append([]appScope{}, have...)
	for i, s := range out {
		if s.Enabled && !slices.ContainsFunc(want, func(w appScope) bool { return w.ID == s.ID }) {
			out[i].Enabled, changed = false, true
		}
	}
	return out, changed
}

func (m applicationMinder) patch(ctx context.Context, have application, body any) error {
	return m.eventually(ctx, "change application "+have.DisplayName, func() error {
		return m.call(ctx, http.MethodPatch, "/applications/"+have.ID, body, nil)
	})
}

// sameApplication compares what is described, whatever the order in which the directory lists it.
func sameApplication(have, want application) bool {
	have.ID, have.AppID, have.SignInAudience = "", "", want.SignInAudience
	if have.Description != nil && *have.Description == "" {
		have.Description = nil
	}
	return sameDocument(ordered(have), ordered(want))
}

func ordered(a application) application {
	a.IdentifierURIs, a.Tags = sorted(a.IdentifierURIs), sorted(a.Tags)
	a.Web.Redirects, a.SPA.Redirects = sorted(a.Web.Redirects), sorted(a.SPA.Redirects)
	a.AppRoles = slices.SortedFunc(slices.Values(a.AppRoles), func(x, y appRole) int { return strings.Compare(x.ID, y.ID) })
	a.API.Scopes = slices.SortedFunc(slices.Values(a.API.Scopes), func(x, y appScope) int { return strings.Compare(x.ID, y.ID) })
	a.Required = slices.Clone(a.Required)
	for i, r := range a.Required {
		r.Access = slices.SortedFunc(slices.Values(r.Access), func(x, y resourceAccess) int { return strings.Compare(x.ID, y.ID) })
		a.Required[i] = r
	}
	return a
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// sameDocument compares as JSON, in which an empty list and none are told apart by nobody here.
func sameDocument(a, b any) bool {
	x, xerr := json.Marshal(a)
	y, yerr := json.Marshal(b)
	return xerr == nil && yerr == nil && strings.ReplaceAll(string(x), "[]", "null") == strings.ReplaceAll(string(y), "[]", "null")
}

// principal returns the object id of the application's service principal, which it makes when there is none. It carries the
// tags, too, so that it can be told whose it was when its application is no more.
func (m applicationMinder) principal(ctx context.Context, a application, tags []string) (string, error) {
	id, err := m.principalOf(ctx, a.AppID)
	if err != nil || id != "" {
		return id, err
	}
	if err := m.upsert(ctx, "servicePrincipals", "appId", a.AppID, map[string]any{"displayName": a.DisplayName, "tags": tags}); err != nil {
		return "", err
	}
	var sp struct{ ID string }
	err = m.known(ctx, "service principal of "+a.DisplayName, keyed("servicePrincipals", "appId", a.AppID)+"?$select=id", &sp)
	return sp.ID, err
}

func (m applicationMinder) principalOf(ctx context.Context, appID string) (string, error) {
	var sp struct{ ID string }
	_, err := m.find(ctx, "servicePrincipals", "appId", appID, "id", &sp)
	return sp.ID, err
}

func applicationMade(a application, principal string) made {
	return made{id: a.ID, outputs: map[string]string{azure.OutObjectID: a.ID, azure.OutAppID: a.AppID, azure.OutPrincipalID: principal}}
}

// read: an application without its service principal is as good as gone, and making it again makes what is missing.
func (m applicationMinder) read(ctx context.Context, s azure.ApplicationSpec, _ string) (azure.ApplicationSpec, made, error) {
	a, found, err := m.get(ctx, s)
	if err != nil || !found || !ours(s, a) {
		return s, made{}, cmpErr(err, gone("application %s", s.UniqueName))
	}
	principal, err := m.principalOf(ctx, a.AppID)
	if err != nil || principal == "" {
		return s, made{}, cmpErr(err, gone("service principal of application %s", s.UniqueName))
	}
	now, err := m.describe(ctx, s, a)
	return now, applicationMade(a, principal), err
}
