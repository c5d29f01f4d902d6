package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// tokenAudience is what a token must be for to be exchanged for one of the directory.
const tokenAudience = "api://AzureADTokenExchange"

// federation is a federated credential (learn.microsoft.com/graph/api/resources/federatedidentitycredential).
type federation struct {
	ID        string   `json:"id,omitempty"`
	Name      string   `json:"name,omitempty"`
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

// federationMinder looks after federated credentials, found by their name within the application.
type federationMinder struct{ graph }

func (m federationMinder) path(s azure.FederationSpec) string {
	return "/applications/" + text(s.Application) + "/federatedIdentityCredentials"
}

func (m federationMinder) get(ctx context.Context, s azure.FederationSpec) (f federation, found bool, err error) {
	err = m.list(ctx, m.path(s), func(raw json.RawMessage) error {
		var one federation
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		if one.Name == s.Name {
			f, found = one, true
		}
		return nil
	})
	return f, found, err
}

func (m federationMinder) ensure(ctx context.Context, s azure.FederationSpec, _ task) (made, error) {
	want := federation{Name: s.Name, Issuer: s.Issuer, Subject: text(s.Subject), Audiences: []string{tokenAudience}}
	err := m.eventually(ctx, "make federated credential "+s.Name, func() error {
		f, found, err := m.get(ctx, s)
		if err != nil {
			return err
		}
		if !found {
			err := m.call(ctx, http.MethodPost, m.path(s), want, nil)
			if cloud.Status(err) != http.StatusConflict {
				return err
			}
			if f, found, _ = m.get(ctx, s); !found {
				return err
			}
		}
		change := want
		change.Name = ""
		if f.Issuer == want.Issuer && f.Subject == want.Subject && slices.Equal(f.Audiences, want.Audiences) {
			return nil
		}
		return m.call(ctx, http.MethodPatch, m.path(s)+"/"+f.ID, change, nil)
	})
	return made{id: text(s.Application) + "/" + s.Name}, err
}

func (m federationMinder) read(ctx context.Context, s azure.FederationSpec, _ string) (azure.FederationSpec, made, error) {
	f, found, err := m.get(ctx, s)
	if cloud.NotFound(err) {
		err = nil
	}
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("federated credential %s", s.Name))
	}
	s.Issuer, s.Subject = f.Issuer, azure.Lit(f.Subject)
	return s, made{id: text(s.Application) + "/" + s.Name}, nil
}

func (m federationMinder) remove(ctx context.Context, s azure.FederationSpec, _ string) error {
	f, found, err := m.get(ctx, s)
	if err == nil && found {
		err = m.call(ctx, http.MethodDelete, m.path(s)+"/"+f.ID, nil, nil)
	}
	if cloud.NotFound(err) {
		return nil
	}
	return err
}

// memberMinder looks after single memberships.
type memberMinder struct{ graph }

func memberID(s azure.MemberSpec) string { return text(s.Group) + "/" + text(s.Member) }

func (m memberMinder) ensure(ctx context.Context, s azure.MemberSpec, _ task) (made, error) {
	return made{id: memberID(s)}, m.refer(ctx, "/groups/"+text(s.Group)+"/members", []string{text(s.Member)})
}

func (m memberMinder) read(ctx context.Context, s azure.MemberSpec, _ string) (azure.MemberSpec, made, error) {
	ids, err := m.listed(ctx, "/groups/"+text(s.Group)+"/members")
	if err != nil && !cloud.NotFound(err) {
		return s, made{}, err
	}
	if !slices.Contains(ids, text(s.Member)) {
		return s, made{}, gone("membership of %s in %s", text(s.Member), text(s.Group))
	}
	return s, made{id: memberID(s)}, nil
}

func (m memberMinder) remove(ctx context.Context, s azure.MemberSpec, _ string) error {
	err := m.call(ctx, http.MethodDelete, "/groups/"+text(s.Group)+"/members/"+text(s.Member)+"/$ref", nil, nil)
	if cloud.NotFound(err) {
		return nil
	}
	return err
}

// grantMinder gives app roles of Microsoft Graph to service principals. It needs AppRoleAssignment.ReadWrite.All or a
// privileged role administrator.
type grantMinder struct{ graph }

type assignment struct {
	ID        string `json:"id,omitempty"`
	Principal string `json:"principalId"`
	Resource  string `json:"resourceId"`
	Role      string `json:"appRoleId"`
}

// wanted is the assignment that is described, without its id.
func (m grantMinder) wanted(ctx context.Context, s azure.GrantSpec) (assignment, error) {
	var sp struct {
		ID    string
		Roles []struct{ ID, Value string } `json:"appRoles"`
	}
	if err := m.call(ctx, http.MethodGet, keyed("servicePrincipals", "appId", graphAppID)+"?$select=id,appRoles", nil, &sp); err != nil {
		return assignment{}, err
	}
	for _, r := range sp.Roles {
		if r.Value == s.Role {
			return assignment{Principal: text(s.Principal), Resource: sp.ID, Role: r.ID}, nil
		}
	}
	return assignment{}, fmt.Errorf("there is no application permission %q of Microsoft Graph", s.Role)
}

func (m grantMinder) path(s azure.GrantSpec) string {
	return "/servicePrincipals/" + text(s.Principal) + "/appRoleAssignments"
}

// get returns the assignment that gives what is wanted.
func (m grantMinder) get(ctx context.Context, s azure.GrantSpec) (want, have assignment, err error) {
	if want, err = m.wanted(ctx, s); err != nil {
		return want, have, err
	}
	err = m.list(ctx, m.path(s), func(raw json.RawMessage) error {
		var one assignment
		err := json.Unmarshal(raw, &one)
		if one.Resource == want.Resource && one.Role == want.Role {
			have = one
		}
		return err
	})
	return want, have, err
}

func (m grantMinder) ensure(ctx context.Context, s azure.GrantSpec, _ task) (made, error) {
	var id string
	err := m.eventually(ctx, "give "+s.Role+" to "+text(s.Principal), func() error {
		want, have, err := m.get(ctx, s)
		if id = have.ID; err != nil || id != "" {
			return err
		}
		err = m.call(ctx, http.MethodPost, m.path(s), want, &have)
		if cloud.Status(err) == http.StatusBadRequest { // given by an earlier request whose answer was lost, perhaps
			if _, given, gerr := m.get(ctx, s); gerr == nil && given.ID != "" {
				have, err = given, nil
			}
		}
		id = have.ID
		return err
	})
	return made{id: id}, err
}

func (m grantMinder) read(ctx context.Context, s azure.GrantSpec, _ string) (azure.GrantSpec, made, error) {
	_, have, err := m.get(ctx, s)
	if err != nil && !cloud.NotFound(err) {
		return s, made{}, err
	}
	if have.ID == "" {
		return s, made{}, gone("grant of %s to %s", s.Role, text(s.Principal))
	}
	return s, made{id: have.ID}, nil
}

func (m grantMinder) remove(ctx context.Context, s azure.GrantSpec, _ string) error {
	_, have, err := m.get(ctx, s)
	if err == nil && have.ID != "" {
		err = m.call(ctx, http.MethodDelete, m.path(s)+"/"+have.ID, nil, nil)
	}
	if cloud.NotFound(err) {
		return nil
	}
	return err
}

// identityMinder looks up the application of a managed identity, which Azure Resource Manager does not tell. It makes and
// removes nothing.
type identityMinder struct{ graph }

type servicePrincipal struct {
	ID    string `json:"id"`
	AppID string `json:"appId"`
}

func identityMade(sp servicePrincipal) made {
	return made{id: sp.ID, outputs: map[string]string{azure.OutAppID: sp.AppID, azure.OutPrincipalID: sp.ID}}
}

func (m identityMinder) path(s azure.IdentitySpec) string {
	return "/servicePrincipals/" + text(s.Principal) + "?$select=id,appId"
}

func (m identityMinder) ensure(ctx context.Context, s azure.IdentitySpec, _ task) (made, error) {
	var sp servicePrincipal
	err := m.known(ctx, "managed identity "+text(s.Principal), m.path(s), &sp)
	return identityMade(sp), err
}

func (m identityMinder) read(ctx context.Context, s azure.IdentitySpec, _ string) (azure.IdentitySpec, made, error) {
	var sp servicePrincipal
	err := m.call(ctx, http.MethodGet, m.path(s), nil, &sp)
	if cloud.NotFound(err) {
		return s, made{}, gone("managed identity %s", text(s.Principal))
	}
	return s, identityMade(sp), err
}

func (m identityMinder) remove(context.Context, azure.IdentitySpec, string) error { return nil }
