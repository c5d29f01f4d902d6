package azure

import (
	"context"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
)

// describe returns a in the form of s.
func (m applicationMinder) describe(ctx context.Context, s azure.ApplicationSpec, a application) (azure.ApplicationSpec, error) {
	s.DisplayName, s.IDTokens, s.Description, s.IdentifierURI = a.DisplayName, a.Web.Implicit.IDTokens, "", ""
	if a.Description != nil {
		s.Description = *a.Description
	}
	s.IdentifierURI = strings.Join(a.IdentifierURIs, " ")
	s.WebRedirects, s.SPARedirects = asWanted(s.WebRedirects, a.Web.Redirects), asWanted(s.SPARedirects, a.SPA.Redirects)
	s.Tags = asWanted(s.Tags, a.Tags)
	s.Impersonation = slices.ContainsFunc(a.API.Scopes, func(x appScope) bool { return x.Value == impersonation && x.Enabled })
	s.Roles = describeRoles(s.Roles, a.AppRoles)
	var err error
	if s.Permissions, err = m.describePermissions(ctx, s.Permissions, a.Required); err != nil {
		return s, err
	}
	s.Owners, err = m.stillListed(ctx, "/applications/"+a.ID+"/owners", s.Owners)
	return s, err
}

// describeRoles lists the roles in the order of want, others behind.
func describeRoles(want []azure.AppRole, have []appRole) []azure.AppRole {
	place := func(id string) int {
		if i := slices.IndexFunc(want, func(r azure.AppRole) bool { return r.ID == id }); i >= 0 {
			return i
		}
		return len(want)
	}
	var out []azure.AppRole
	for _, r := range have {
		if r.Enabled {
			out = append(out, azure.AppRole{ID: r.ID, Value: r.Value, DisplayName: r.DisplayName, Description: r.Description})
		}
	}
	slices.SortStableFunc(out, func(x, y azure.AppRole) int { return place(x.ID) - place(y.ID) })
	return out
}

func (m applicationMinder) describePermissions(ctx context.Context, want []string, have []requiredAccess) ([]string, error) {
	if len(have) == 0 {
		return nil, nil
	}
	ids, err := m.delegated(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for name, id := range ids {
		names[id] = name
	}
	var out []string
	for _, r := range have {
		for _, access := range r.Access {
			name := names[access.ID]
			if r.Resource != graphAppID || name == "" {
				name = r.Resource + "/" + access.ID
			}
			out = append(out, name)
		}
	}
	return asWanted(want, out), nil
}
