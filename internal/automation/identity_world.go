package automation

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// graphApplication is the application of Microsoft Graph itself, the same in every tenant.
const graphApplication = "00000003-0000-0000-c000-000000000000"

// ownerRole is the built-in role Owner.
const ownerRole = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

// world is what stands of an identity.
type world struct {
	app         *application // nil when there is none
	principal   string       // object id of the service principal
	federations map[string]federation
	graph       graphPrincipal
	granted     map[string]string // app role id -> id of the assignment
	owner       bool              // of the subscription
	namesakes   []string          // client ids of other applications with the same display name
}

type application struct {
	ID        string     `json:"id"`
	AppID     string     `json:"appId"`
	Passwords []password `json:"passwordCredentials"`
	Access    []access   `json:"requiredResourceAccess"`
}

type password struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName"`
	Start       time.Time `json:"startDateTime"`
	End         time.Time `json:"endDateTime"`
}

// access is what an application asks for; the consent page shows it.
type access struct {
	ResourceAppID  string       `json:"resourceAppId"`
	ResourceAccess []accessRole `json:"resourceAccess"`
}

type accessRole struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type federation struct {
	Name      string   `json:"name"`
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

// graphPrincipal is the service principal of Microsoft Graph in the tenant.
type graphPrincipal struct {
	ID       string `json:"id"`
	AppRoles []struct {
		ID    string `json:"id"`
		Value string `json:"value"`
	} `json:"appRoles"`
}

// role is the id of an application permission.
func (g graphPrincipal) role(value string) (string, error) {
	for _, r := range g.AppRoles {
		if r.Value == value {
			return r.ID, nil
		}
	}
	return "", fmt.Errorf("Microsoft Graph has no application permission %s in this tenant", value)
}

// look reads what stands. It changes nothing.
func (i *Identity) look(ctx context.Context) (w world, err error) {
	w.federations, w.granted = map[string]federation{}, map[string]string{}
	if err := i.c.Get(ctx, cloud.Graph(), "/v1.0/servicePrincipals(appId='"+graphApplication+"')?$select=id,appRoles", &w.graph); err != nil {
		return w, err
	}
	if w.app, err = i.application(ctx); err != nil {
		return w, err
	}
	if w.namesakes, err = i.namesakes(ctx, w.app); err != nil || w.app == nil {
		return w, err
	}
	err = each(ctx, i.c, cloud.Graph(), "/v1.0/applications/"+w.app.ID+"/federatedIdentityCredentials", func(f federation) {
		w.federations[f.Name] = f
	})
	if err != nil {
		return w, err
	}
	if w.principal, err = i.servicePrincipal(ctx, w.app.AppID); err != nil || w.principal == "" {
		return w, err
	}
	err = each(ctx, i.c, cloud.Graph(), "/v1.0/servicePrincipals/"+w.principal+"/appRoleAssignments", func(a struct {
		ID         string `json:"id"`
		AppRoleID  string `json:"appRoleId"`
		ResourceID string `json:"resourceId"`
	}) {
		if a.ResourceID == w.graph.ID {
			w.granted[a.AppRoleID] = a.ID
		}
	})
	if err != nil {
		return w, err
	}
	assignment, err := i.ownerAssignment(ctx, w.principal)
	w.owner = assignment != ""
	return w, err
}

// application finds the application by its unique name; nil when there is none.
func (i *Identity) application(ctx context.Context) (*application, error) {
	var a application
	err := i.c.Get(ctx, cloud.Graph(), "/v1.0/applications(uniqueName='"+i.uniqueName()+"')?$select=id,appId,passwordCredentials,requiredResourceAccess", &a)
	if cloud.NotFound(err) {
		return nil, nil
	}
	return &a, err
}

// PrincipalOf finds the service principal of the identity of CI, so that [BootstrapOptions] can name it; empty when there is none.
func PrincipalOf(ctx context.Context, c *cloud.Client, flowehrID string) (string, error) {
	i := &Identity{c: c, o: IdentityOptions{FlowEHRID: flowehrID}}
	app, err := i.application(ctx)
	if err != nil || app == nil {
		return "", err
	}
	return i.servicePrincipal(ctx, app.AppID)
}

// servicePrincipal finds the service principal of an application; empty when there is none.
func (i *Identity) servicePrincipal(ctx context.Context, appID string) (string, error) {
	var p struct {
		ID string `json:"id"`
	}
	err := i.c.Get(ctx, cloud.Graph(), "/v1.0/servicePrincipals(appId='"+appID+"')?$select=id", &p)
	if cloud.NotFound(err) {
		return "", nil
	}
	return p.ID, err
}

// namesakes finds applications that only look like ours, such as one that the older system made: it had no unique name, and
// one cannot be added.
func (i *Identity) namesakes(ctx context.Context, ours *application) (others []string, err error) {
	filter := url.QueryEscape("displayName eq '" + i.Name() + "'")
	err = each(ctx, i.c, cloud.Graph(), "/v1.0/applications?$select=id,appId,displayName&$filter="+filter, func(a struct {
		ID, AppID   string
		DisplayName string
	}) {
		if a.DisplayName == i.Name() && (ours == nil || a.ID != ours.ID) {
			others = append(others, a.AppID)
		}
	})
	return others, err
}

const roleAssignments = "/providers/Microsoft.Authorization/roleAssignments"

const roleAssignmentsVersion = "?api-version=2022-04-01"

// ownerAssignment finds the assignment that makes a principal an owner of the subscription; empty when there is none.
func (i *Identity) ownerAssignment(ctx context.Context, principal string) (id string, err error) {
	filter := url.QueryEscape("principalId eq '" + principal + "'")
	err = each(ctx, i.c, cloud.ARM(), i.scope()+roleAssignments+roleAssignmentsVersion+"&$filter="+filter, func(a struct {
		ID         string `json:"id"`
		Properties struct {
			Scope            string `json:"scope"`
			RoleDefinitionID string `json:"roleDefinitionId"`
			PrincipalID      string `json:"principalId"`
		} `json:"properties"`
	}) {
		p := a.Properties
		if p.PrincipalID == principal && strings.EqualFold(p.Scope, i.scope()) && strings.HasSuffix(strings.ToLower(p.RoleDefinitionID), ownerRole) {
			id = a.ID
		}
	})
	return id, err
}

func (i *Identity) scope() string { return "/subscriptions/" + i.c.Subscription() }

// person returns the address of who is signed in, and refuses anything but a person.
func (i *Identity) person(ctx context.Context) (string, error) {
	if i.o.Automation {
		return "", ErrAutomation
	}
	var me struct {
		UserPrincipalName string `json:"userPrincipalName"`
	}
	err := i.c.Get(ctx, cloud.Graph(), "/v1.0/me?$select=id,userPrincipalName", &me)
	// Microsoft Graph knows no "me" for an application: 400, and for some tokens 404 or 403.
	switch cloud.Status(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusForbidden:
		return "", fmt.Errorf("%w: whoever is signed in is no person (%w)", ErrAutomation, err)
	}
	return me.UserPrincipalName, err
}

// each decodes every element of a list.
func each[T any](ctx context.Context, c *cloud.Client, s cloud.Service, path string, f func(T)) error {
	return c.Pages(ctx, s, path, func(raw json.RawMessage) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("answer of %s to GET %s: %w", s.Name, path, err)
		}
		f(v)
		return nil
	})
}
