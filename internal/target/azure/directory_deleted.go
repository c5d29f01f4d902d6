package azure

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/flowehr/flowehr/internal/azure"
)

// deletedObject is an application or a service principal that was deleted, which the directory keeps for thirty days
// (learn.microsoft.com/graph/api/directory-deleteditems-list).
type deletedObject struct {
	ID          string   `json:"id"`
	AppID       string   `json:"appId"`
	DisplayName string   `json:"displayName"`
	UniqueName  string   `json:"uniqueName"` // of applications only
	Tags        []string `json:"tags"`
}

// deletedApplications lists the deleted applications that are ours.
func (g graph) deletedApplications(ctx context.Context, ours func(deletedObject) bool) ([]deletedObject, error) {
	return g.deleted(ctx, "application?$select=id,appId,displayName,uniqueName,tags", ours)
}

// deletedPrincipals lists the deleted service principals that are ours. Each is kept, and purged, apart from its application.
func (g graph) deletedPrincipals(ctx context.Context, ours func(deletedObject) bool) ([]deletedObject, error) {
	return g.deleted(ctx, "servicePrincipal?$select=id,appId,displayName,tags", ours)
}

func (g graph) deleted(ctx context.Context, what string, ours func(deletedObject) bool) ([]deletedObject, error) {
	var out []deletedObject
	err := g.list(ctx, "/directory/deletedItems/microsoft.graph."+what+"&$top=999", func(raw json.RawMessage) error {
		var o deletedObject
		err := json.Unmarshal(raw, &o)
		if err == nil && ours(o) {
			out = append(out, o)
		}
		return err
	})
	return out, err
}

// remove deletes the application, which takes its service principal with it, and frees both names. Cut short anywhere, it goes
// on when called again: what was deleted already is found among the deleted.
func (m applicationMinder) remove(ctx context.Context, s azure.ApplicationSpec, id string) error {
	a, found, err := m.get(ctx, s)
	if err != nil {
		return err
	}
	if !found || !ours(s, a) {
		_, err := m.purgeRemains(ctx, s, application{ID: id}, "")
		return err
	}
	principal, err := m.principalOf(ctx, a.AppID)
	if err != nil {
		return err
	}
	if err := m.discard(ctx, "applications", a.ID); err != nil {
		return err
	}
	_, err = m.purgeRemains(ctx, s, a, principal)
	return err
}

// purgeRemains purges deleted applications of the name that were ours, with their service principals, and reports whether there
// were any. a and principal are what is known of the last one, as far as it is; the list of the deleted may be behind. The
// applications go last, because their service principals are found by them.
func (m applicationMinder) purgeRemains(ctx context.Context, s azure.ApplicationSpec, a application, principal string) (purged bool, err error) {
	applications, err := m.deletedApplications(ctx, func(o deletedObject) bool {
		return o.ID == a.ID || o.UniqueName == s.UniqueName && ours(s, application{Tags: o.Tags})
	})
	if err != nil {
		return false, err
	}
	if known := func(o deletedObject) bool { return o.ID == a.ID }; a.ID != "" && !slices.ContainsFunc(applications, known) {
		applications = append(applications, deletedObject{ID: a.ID, AppID: a.AppID})
	}
	principals, err := m.deletedPrincipals(ctx, func(o deletedObject) bool {
		return o.ID == principal || belongs(o, applications) ||
			len(s.Tags) > 0 && o.DisplayName == s.DisplayName && ours(s, application{Tags: o.Tags}) // its application was purged alone
	})
	if err != nil {
		return false, err
	}
	if known := func(o deletedObject) bool { return o.ID == principal }; principal != "" && !slices.ContainsFunc(principals, known) {
		principals = append(principals, deletedObject{ID: principal})
	}
	for _, o := range slices.Concat(principals, applications) {
		if err := m.purge(ctx, o.ID); err != nil {
			return false, err
		}
	}
	return len(applications) > 0, nil
}

// belongs reports whether a service principal is that of one of the applications.
func belongs(principal deletedObject, applications []deletedObject) bool {
	return principal.AppID != "" && slices.ContainsFunc(applications, func(a deletedObject) bool { return a.AppID == principal.AppID })
}
