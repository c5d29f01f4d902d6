package automation

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// IdentityResult is what stands after Make, and what somebody else has to do still.
type IdentityResult struct {
	Name        string         `json:"name"`
	ClientID    string         `json:"clientId"`
	ObjectID    string         `json:"objectId"`    // of the application
	PrincipalID string         `json:"principalId"` // object id of the service principal
	Federations []Federation   `json:"federations,omitempty"`
	Granted     []string       `json:"granted,omitempty"`
	Missing     []Missing      `json:"missing,omitempty"`
	Settings    []Setting      `json:"settings"` // for the repository
	Expires     time.Time      `json:"expires,omitzero"`
	Secret      flowehr.Secret `json:"-"` // of a client secret that was made just now, which is shown once
}

// Missing is a right that the person could not give.
type Missing struct {
	What string `json:"what"`
	Who  string `json:"who"` // may give it
	How  string `json:"how"` // an address to open or a command to run
}

// secretName tells our client secrets from those that somebody added by hand.
const secretName = "flowehr auth"

// Make makes everything that is wanted. It may be repeated, also after it was cut short: what stands is kept. Rights that the
// person may not give are listed as missing, and are no error.
func (i *Identity) Make(ctx context.Context) (IdentityResult, error) {
	if _, err := i.person(ctx); err != nil {
		return IdentityResult{}, err
	}
	w, err := i.look(ctx)
	if err != nil {
		return IdentityResult{}, err
	}
	if err := i.makeApplication(ctx, &w); err != nil {
		return IdentityResult{}, fmt.Errorf("application %s: %w", i.Name(), err)
	}
	if err := i.makePrincipal(ctx, &w); err != nil {
		return IdentityResult{}, fmt.Errorf("service principal of %s: %w", i.Name(), err)
	}
	r := IdentityResult{Name: i.Name(), ClientID: w.app.AppID, ObjectID: w.app.ID, PrincipalID: w.principal, Federations: i.Federations()}
	if err := i.makeFederations(ctx, w); err != nil {
		return r, err
	}
	if err := i.makeOwner(ctx, w, &r); err != nil {
		return r, fmt.Errorf("role Owner: %w", err)
	}
	if err := i.grant(ctx, w, &r); err != nil {
		return r, err
	}
	if s := w.secret(); s != nil {
		r.Expires = s.End
	}
	if i.o.SecretDays > 0 && w.secret() == nil {
		if err := i.addSecret(ctx, w.app.ID, i.o.SecretDays, &r); err != nil {
			return r, err
		}
	}
	r.Settings = i.settings(r)
	return r, nil
}

// settings of the repository. A client secret that was made earlier cannot be read again and is not among them.
func (i *Identity) settings(r IdentityResult) []Setting {
	s := []Setting{
		{Name: ClientID, Kind: Secret, Value: r.ClientID},
		{Name: TenantID, Kind: Secret, Value: i.c.Tenant()},
		{Name: SubscriptionID, Kind: Secret, Value: i.c.Subscription()},
	}
	if r.Secret.Reveal() != "" {
		s = append(s, Setting{Name: ClientSecret, Kind: Secret, Secret: r.Secret})
	}
	return s
}

// makeApplication also tells the consent page what is asked for.
func (i *Identity) makeApplication(ctx context.Context, w *world) error {
	want := access{ResourceAppID: graphApplication}
	for _, p := range permissions {
		id, err := w.graph.role(p.Name)
		if err != nil {
			return err
		}
		want.ResourceAccess = append(want.ResourceAccess, accessRole{id, "Role"})
	}
	if w.app != nil && slices.ContainsFunc(w.app.Access, func(a access) bool { return a.ResourceAppID == graphApplication && covers(a, want) }) {
		return nil
	}
	body := map[string]any{"displayName": i.Name(), "signInAudience": "AzureADMyOrg", "requiredResourceAccess": []access{want}}
	if err := i.upsert(ctx, "/v1.0/applications(uniqueName='"+i.uniqueName()+"')", body); err != nil {
		return err
	}
	return i.settle(ctx, func() (err error) {
		if w.app, err = i.application(ctx); err == nil && w.app == nil {
			return errNotYet
		}
		return err
	})
}

func covers(have, want access) bool {
	return !slices.ContainsFunc(want.ResourceAccess, func(r accessRole) bool { return !slices.Contains(have.ResourceAccess, r) })
}

func (i *Identity) makePrincipal(ctx context.Context, w *world) error {
	if w.principal != "" {
		return nil
	}
	err := i.settle(ctx, func() error {
		return i.upsert(ctx, "/v1.0/servicePrincipals(appId='"+w.app.AppID+"')", map[string]any{"displayName": i.Name()})
	})
	if err != nil {
		return err
	}
	return i.settle(ctx, func() (err error) {
		if w.principal, err = i.servicePrincipal(ctx, w.app.AppID); err == nil && w.principal == "" {
			return errNotYet
		}
		return err
	})
}

// makeFederations makes the wanted ones and takes away those that we made once and that are not wanted any more: each is a
// way in.
func (i *Identity) makeFederations(ctx context.Context, w world) error {
	below := "/v1.0/applications/" + w.app.ID + "/federatedIdentityCredentials"
	kept := map[string]bool{}
	for _, s := range i.planFederations(w) {
		kept[s.Name] = s.Action == flowehr.Keep
		if s.Action != flowehr.Delete {
			continue
		}
		if err := i.c.Call(ctx, cloud.Graph(), http.MethodDelete, below+"/"+s.Name, nil, nil); err != nil && !cloud.NotFound(err) {
			return fmt.Errorf("federated credential %s: %w", s.Name, err)
		}
	}
	for _, f := range i.Federations() {
		if kept[f.Name] {
			continue
		}
		body := federation{Name: f.Name, Issuer: issuer, Subject: f.Subject, Audiences: []string{audience}}
		err := i.settle(ctx, func() error { return i.upsert(ctx, below+"(name='"+f.Name+"')", body) })
		if err != nil {
			return fmt.Errorf("federated credential %s: %w", f.Name, err)
		}
	}
	return nil
}

func same(have federation, want Federation) bool {
	return have.Subject == want.Subject && have.Issuer == issuer && slices.Equal(have.Audiences, []string{audience})
}

// ours reports whether a federated credential has a name that [Identity.Federations] gives.
func ours(name string) bool { return strings.HasPrefix(name, "github-") }

// assignmentNames is the namespace of the role assignment's id, which follows from what it assigns: made twice, it is the same.
var assignmentNames = uuid.MustParse("5d0a4f2e-6b1e-5c38-9d0c-6a1d7b2f4c10")

func (i *Identity) makeOwner(ctx context.Context, w world, r *IdentityResult) error {
	if w.owner {
		return nil
	}
	name := uuid.NewSHA1(assignmentNames, []byte(i.scope()+w.principal+ownerRole)).String()
	body := map[string]any{"properties": map[string]any{
		"roleDefinitionId": i.scope() + "/providers/Microsoft.Authorization/roleDefinitions/" + ownerRole,
		"principalId":      w.principal,
		"principalType":    "ServicePrincipal", // without it a principal made just now is not found
	}}
	err := i.settle(ctx, func() error {
		return i.c.Call(ctx, cloud.ARM(), http.MethodPut, i.scope()+roleAssignments+"/"+name+roleAssignmentsVersion, body, nil)
	})
	switch cloud.Status(err) {
	case http.StatusConflict: // it stands, perhaps under another id
		err = nil
	case http.StatusForbidden:
		r.Missing = append(r.Missing, Missing{
			What: "role Owner on subscription " + i.c.Subscription(),
			Who:  "an owner or a user access administrator of the subscription",
			How:  "az role assignment create --role Owner --assignee-object-id " + w.principal + " --assignee-principal-type ServicePrincipal --scope " + i.scope(),
		})
		return nil
	}
	if err != nil {
		return err
	}
	return i.settle(ctx, func() error {
		id, err := i.ownerAssignment(ctx, w.principal)
		if err == nil && id == "" {
			err = errNotYet
		}
		return err
	})
}

// grant gives the permissions one by one, as administrators consent to them.
func (i *Identity) grant(ctx context.Context, w world, r *IdentityResult) error {
	for _, p := range permissions {
		role, err := w.graph.role(p.Name)
		if err != nil {
			return err
		}
		if w.granted[role] == "" {
			err = i.settle(ctx, func() error {
				return i.c.Call(ctx, cloud.Graph(), http.MethodPost, "/v1.0/servicePrincipals/"+w.principal+"/appRoleAssignments",
					map[string]string{"principalId": w.principal, "resourceId": w.graph.ID, "appRoleId": role}, nil)
			})
		}
		switch {
		case cloud.Status(err) == http.StatusForbidden:
			r.Missing = append(r.Missing, Missing{
				What: "permission " + p.Name + " of Microsoft Graph",
				Who:  "a global administrator or a privileged role administrator of the directory",
				How:  i.ConsentURL(w.app.AppID),
			})
		case err != nil && !alreadyGranted(err):
			return fmt.Errorf("permission %s: %w", p.Name, err)
		default:
			r.Granted = append(r.Granted, p.Name)
		}
	}
	return nil
}

// ConsentURL is where an administrator agrees to all permissions at once.
func (i *Identity) ConsentURL(clientID string) string {
	return "https://login.microsoftonline.com/" + i.c.Tenant() + "/adminconsent?client_id=" + clientID
}

// upsert makes or changes an object that is addressed by a name of our choice,
// https://learn.microsoft.com/graph/api/application-upsert.
func (i *Identity) upsert(ctx context.Context, path string, body any) error {
	_, err := i.c.Do(ctx, cloud.Graph(), cloud.Request{Method: http.MethodPatch, Path: path, Body: body, Repeats: true,
		Header: map[string]string{"Prefer": "create-if-missing"}})
	return err
}
