package azure

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// directoryResources are one of each kind. The identity is that of a data factory.
func directoryResources(t testing.TB, p *planes, identity string, s azure.ApplicationSpec, group azure.GroupSpec, subject string) []flowehr.Resource {
	app := resource(t, azure.KindApplication, refApp.Name, s)
	return []flowehr.Resource{
		resource(t, azure.KindGroup, refGroup.Name, group), app,
		resource(t, azure.KindFederation, "github", azure.FederationSpec{Application: azure.Out(refApp, azure.OutObjectID), Name: "github",
			Issuer: azuresim.GitHubIssuer, Subject: azure.Lit(subject)}, refApp),
		resource(t, azure.KindMember, "writer in apps", azure.MemberSpec{Group: azure.Out(refGroup, azure.OutObjectID), Member: azure.Out(refApp, azure.OutPrincipalID)}, refApp, refGroup),
		resource(t, azure.KindGrant, "writer reads users", azure.GrantSpec{Principal: azure.Out(refApp, azure.OutPrincipalID), Role: "User.Read.All"}, refApp),
		resource(t, azure.KindIdentity, "factory", azure.IdentitySpec{Principal: azure.Lit(identity)}),
	}
}

func webApplication(owner string) azure.ApplicationSpec {
	return azure.ApplicationSpec{DisplayName: "flowehr-webapp", UniqueName: "flowehr-webapp-x", Description: "Signs people in", IdentifierURI: "api://flowehr-webapp-x",
		Impersonation: true, IDTokens: true, WebRedirects: []string{"https://b.example/cb", "https://a.example/cb"}, SPARedirects: []string{"https://a.example"},
		Roles: []azure.AppRole{{ID: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Value: "admin", DisplayName: "Administrator", Description: "May do all"},
			{ID: "1b4e28ba-2fa1-11d2-883f-0016d3cca427", Value: "reader", DisplayName: "Reader", Description: "May look"}},
		Owners: []azure.Value{azure.Lit(owner)}, Permissions: []string{"User.Read"}, Tags: []string{"flowehr:x"}}
}

// factoryIdentity makes a data factory and returns the object id of its identity.
func (p *planes) factoryIdentity() string {
	p.t.Helper()
	f := p.put(p.group+"/providers/Microsoft.DataFactory/factories/adf-x", "Microsoft.DataFactory/factories",
		map[string]any{"location": "uksouth", "identity": map[string]any{"type": "SystemAssigned"}, "properties": map[string]any{}})
	return f["identity"].(map[string]any)["principalId"].(string)
}

func TestDirectorySuite(t *testing.T) {
	identity := func(r flowehr.Resource) bool { return r.Ref.Kind == azure.KindIdentity }
	suite(t, identity, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p := newPlanes(t, azuresim.Options{Seed: 7})
		identity, me := p.factoryIdentity(), p.me()
		group := azure.GroupSpec{DisplayName: "x flowehr-apps", UniqueName: "x-flowehr-apps", Description: "Apps", Owners: []azure.Value{azure.Lit(me)}}
		other, app := group, webApplication(me)
		other.Description = "All apps"
		app.Roles, app.WebRedirects, app.Impersonation, app.Permissions = app.Roles[1:], nil, false, nil
		app.Roles[0].Description, app.DisplayName = "May only look", "flowehr-webapp (renamed)"
		return p, directoryResources(t, p, identity, webApplication(me), group, "repo:trust/a:environment:dev"),
			directoryResources(t, p, identity, app, other, "repo:trust/a:environment:prod")
	})
}

// The namesake of an application that is not ours stays as it is, and is neither read nor removed as ours.
func TestForeignApplicationIsRefused(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 3})
	theirs := webApplication(p.me())
	theirs.Tags = []string{"flowehr:other"}
	makeDo(t, p.target(), resource(t, azure.KindApplication, "theirs", theirs))
	ours := resource(t, azure.KindApplication, "ours", webApplication(p.me()))
	target := p.target(ours)
	_, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: ours}, &noted{})
	if err == nil || !strings.Contains(err.Error(), `application "flowehr-webapp" has the unique name flowehr-webapp-x`) {
		t.Errorf("got %v, want it refused by name", err)
	}
	rec := flowehr.Record{Resource: ours}
	if _, err := target.Read(t.Context(), rec); !isGone(err) {
		t.Errorf("read: got %v, want gone", err)
	}
	if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: ours, Prior: &rec}, &noted{}); err != nil {
		t.Fatal(err)
	}
	standsAs(t, target, flowehr.Record{Resource: resource(t, azure.KindApplication, "theirs", theirs)}, true)
}

// What people add (owners, members) is left alone; what they change is seen.
func TestGroupKeepsOtherOwners(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 4})
	identity := p.factoryIdentity()
	g := resource(t, azure.KindGroup, "g", azure.GroupSpec{DisplayName: "g", UniqueName: "g-x", Owners: []azure.Value{azure.Lit(p.me())}})
	target := p.target(g)
	rec := makeDo(t, target, g)
	api := graph{p.client}
	if err := api.refer(t.Context(), "/groups/"+rec.ID+"/owners", []string{identity}); err != nil {
		t.Fatal(err)
	}
	standsAs(t, target, rec, true)
	if err := api.call(t.Context(), http.MethodPatch, "/groups/"+rec.ID, map[string]string{"displayName": "renamed"}, nil); err != nil {
		t.Fatal(err)
	}
	standsAs(t, target, rec, false)
	update(t, target, g, rec)
	standsAs(t, target, rec, true)
	owners, err := api.listed(t.Context(), "/groups/"+rec.ID+"/owners")
	if err != nil || !slices.Contains(owners, identity) {
		t.Errorf("owners are %v, %v: the one that somebody added has gone", owners, err)
	}
}

func TestUnknownPermissionsAreNamed(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 5})
	s := webApplication(p.me())
	s.Permissions = []string{"User.Reed"}
	for _, r := range []flowehr.Resource{
		resource(t, azure.KindApplication, "a", s),
		resource(t, azure.KindGrant, "g", azure.GrantSpec{Principal: azure.Lit(p.me()), Role: "User.Reed"}),
	} {
		_, err := p.target().Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: r}, &noted{})
		if err == nil || !strings.Contains(err.Error(), `"User.Reed"`) {
			t.Errorf("%s: got %v", r.Ref, err)
		}
	}
}

// An application that was deleted and not purged may hold the name: ours is purged, another's is not.
func TestDeletedNamesakesArePurgedWhenOurs(t *testing.T) {
	for _, c := range []struct{ name, tag, calls string }{
		{"ours", "flowehr:x", "PATCH GET GET DELETE /v1.0/directory/deletedItems/theirs DELETE /v1.0/directory/deletedItems/dead PATCH"},
		{"another's", "flowehr:y", "PATCH GET GET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls []string
			purged := false
			m := applicationMinder{graph{cloud.New(cloud.Options{Credential: anybody{}, Transport: transport(func(r *http.Request) (int, any) {
				calls = append(calls, r.Method)
				switch r.Method {
				case http.MethodGet:
					if strings.HasSuffix(r.URL.Path, "servicePrincipal") {
						return http.StatusOK, map[string]any{"value": []any{map[string]any{"id": "theirs", "appId": "1"}, map[string]any{"id": "other", "appId": "2"}}}
					}
					return http.StatusOK, map[string]any{"value": []any{map[string]any{"id": "dead", "appId": "1", "uniqueName": "writer-x", "tags": []string{c.tag}},
						map[string]any{"id": "other", "uniqueName": "other", "tags": []string{"flowehr:x"}}}}
				case http.MethodDelete:
					calls[len(calls)-1] += " " + r.URL.Path
					purged = true
					return http.StatusNoContent, nil
				}
				if purged {
					return http.StatusCreated, map[string]any{}
				}
				return http.StatusConflict, map[string]any{"error": map[string]string{"code": "ObjectConflict", "message": "uniqueName is taken"}}
			})})}}
			err := m.make(t.Context(), writerApplication(), application{DisplayName: "writer"})
			if (err == nil) != purged || strings.Join(calls, " ") != c.calls {
				t.Errorf("got %v after %v, want %s", err, calls, c.calls)
			}
		})
	}
}
