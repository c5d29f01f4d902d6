package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// describe is a principal as Microsoft Graph shows it.
func (g *graph) describe(p *principal) object {
	out := object{"id": p.ID, "deletedDateTime": nil, "displayName": p.Name}
	switch p.Kind {
	case "Group":
		maps.Copy(out, object{"@odata.type": "#microsoft.graph.group", "description": nil, "mailEnabled": false, "securityEnabled": true, "groupTypes": []any{}, "mail": nil})
	case "User":
		upn := p.Name
		if !strings.Contains(upn, "@") {
			upn = strings.ReplaceAll(strings.ToLower(upn), " ", ".") + "@simulated.example"
		}
		maps.Copy(out, object{"@odata.type": "#microsoft.graph.user", "userPrincipalName": upn, "mail": upn, "givenName": nil, "surname": nil})
	default:
		maps.Copy(out, object{"@odata.type": "#microsoft.graph.servicePrincipal", "appId": p.AppID, "servicePrincipalType": "Application", "accountEnabled": true,
			"appDisplayName": p.Name, "appOwnerOrganizationId": g.tenant, "appRoleAssignmentRequired": false, "tags": []any{}, "servicePrincipalNames": []any{p.AppID},
			"appRoles": []any{}, "oauth2PermissionScopes": []any{}, "alternativeNames": []any{}})
		if p.Of != "" {
			out["servicePrincipalType"], out["alternativeNames"] = "ManagedIdentity", []any{"isExplicit=False", p.Of}
		}
		if a := g.w.Directory.applicationOf(p.AppID); a != nil {
			out["appRoles"] = a.Body["appRoles"]
			api, _ := a.Body["api"].(object)
			out["oauth2PermissionScopes"] = api["oauth2PermissionScopes"]
		}
	}
	maps.Copy(out, p.Body)
	out["displayName"] = p.Name
	if p.Kind == "Group" {
		out["uniqueName"] = nil
		if p.Unique != "" {
			out["uniqueName"] = p.Unique
		}
	}
	return out
}

// kind lists the principals of a kind that replicas know.
func (g *graph) kind(kind string) []object {
	var out []object
	for _, id := range slices.Sorted(maps.Keys(g.w.Directory.Principals)) {
		if p := g.w.Directory.Principals[id]; p.Kind == kind && g.seen(p.Visible) {
			out = append(out, g.describe(p))
		}
	}
	return out
}

var servicePrincipalProperties = []string{"appId", "displayName", "accountEnabled", "appRoleAssignmentRequired", "tags", "notes", "description", "homepage", "loginUrl",
	"preferredSingleSignOnMode", "servicePrincipalNames"}

func (g *graph) servicePrincipals(c *call, p graphPath) answer {
	if p.key == "" {
		switch c.Method {
		case http.MethodGet:
			return g.page(c, g.kind("ServicePrincipal"))
		case http.MethodPost:
			body, refused := g.body(c, servicePrincipalProperties)
			if refused != nil {
				return *refused
			}
			appID, _ := body["appId"].(string)
			return g.makePrincipal(c, appID, body)
		}
		return g.unknown(c)
	}
	sp := g.w.Directory.principal(p.key)
	if p.alternate == "appId" {
		sp = g.w.Directory.application(p.key)
	}
	if sp != nil && sp.Kind != "ServicePrincipal" {
		sp = nil
	}
	if c.Method == http.MethodPatch && len(p.rest) == 0 {
		body, refused := g.body(c, servicePrincipalProperties)
		switch {
		case refused != nil:
			return *refused
		case sp == nil && p.alternate == "appId" && prefersCreation(c):
			return g.makePrincipal(c, p.key, body)
		case sp == nil || p.alternate == "" && !g.seen(sp.Visible):
			return g.absent(p.key)
		}
		sp.tell(body)
		return reply(http.StatusNoContent, nil)
	}
	if sp == nil || !g.seen(sp.Visible) {
		return g.absent(p.key)
	}
	return g.servicePrincipal(c, sp, p.rest)
}

// tell puts told properties into a principal.
func (p *principal) tell(body object) {
	if name, told := body["displayName"].(string); told {
		p.Name = name
	}
	if p.Body == nil {
		p.Body = object{}
	}
	merge(p.Body, body)
}

func (g *graph) servicePrincipal(c *call, sp *principal, rest []string) answer {
	switch {
	case len(rest) == 0 && c.Method == http.MethodGet:
		return ok(selected(c, g.describe(sp)))
	case len(rest) == 0 && c.Method == http.MethodDelete:
		if sp.Of != "" {
			return graphFail(http.StatusForbidden, "Authorization_RequestDenied", "Managed identities are deleted with their resource.")
		}
		g.bury(sp.ID, &gone{Principal: sp})
		return reply(http.StatusNoContent, nil)
	case len(rest) == 0:
		return g.unknown(c)
	case rest[0] == "owners":
		return g.references(c, rest[1:], "owners", &sp.Owners)
	case rest[0] == "appRoleAssignments":
		return g.assignments(c, sp, rest[1:])
	case rest[0] == "appRoleAssignedTo":
		return g.assignedTo(c, sp, rest[1:])
	case (rest[0] == "memberOf" || rest[0] == "transitiveMemberOf") && c.Method == http.MethodGet:
		return g.memberOf(c, sp.ID, rest[0] == "transitiveMemberOf")
	case rest[0] == "oauth2PermissionGrants" && c.Method == http.MethodGet:
		var out []object
		for _, d := range g.w.Directory.Delegated {
			if d.Client == sp.ID {
				out = append(out, d.describe())
			}
		}
		return g.page(c, out)
	}
	return g.unknown(c)
}

func (g *graph) makePrincipal(c *call, appID string, body object) answer {
	a := g.w.Directory.applicationOf(appID)
	switch {
	case a == nil || !g.seen(a.Visible):
		return graphFail(http.StatusBadRequest, "NoBackingApplicationObject", "The appId '%s' of the service principal does not reference a valid application object.", appID)
	case g.w.Directory.application(appID) != nil:
		return graphFail(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue",
			"The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", appID)
	}
	delete(body, "appId")
	p := &principal{ID: g.w.newID(), Kind: "ServicePrincipal", AppID: appID, Name: sqlText(a.Body["displayName"])}
	p.Visible = g.w.now().Add(lag(p.ID))
	p.tell(body)
	if g.w.Directory.principal(c.Caller.ObjectID) != nil {
		p.Owners = []string{c.Caller.ObjectID}
	}
	g.w.Directory.addIdentity(p)
	return reply(http.StatusCreated, g.describe(p))
}

// assignments answers about the app roles that a principal has
// (learn.microsoft.com/graph/api/serviceprincipal-post-approleassignments).
func (g *graph) assignments(c *call, p *principal, rest []string) answer {
	switch {
	case c.Method == http.MethodGet && len(rest) == 0:
		var out []object
		for _, a := range p.Granted {
			out = append(out, g.describeAssignment(p, a))
		}
		return g.page(c, out)
	case c.Method == http.MethodPost && len(rest) == 0:
		return g.assign(c)
	case c.Method == http.MethodDelete && len(rest) == 1:
		return g.unassign(rest[0])
	}
	return g.unknown(c)
}

// assignedTo answers the same from the side of the resource.
func (g *graph) assignedTo(c *call, resource *principal, rest []string) answer {
	if c.Method != http.MethodGet {
		return g.assignments(c, resource, rest)
	}
	var out []object
	for _, id := range slices.Sorted(maps.Keys(g.w.Directory.Principals)) {
		p := g.w.Directory.Principals[id]
		for _, a := range p.Granted {
			if a.Resource == resource.ID {
				out = append(out, g.describeAssignment(p, a))
			}
		}
	}
	return g.page(c, out)
}

func (g *graph) describeAssignment(p *principal, a *assignment) object {
	name := ""
	if r := g.w.Directory.principal(a.Resource); r != nil {
		name = r.Name
	}
	return object{"id": a.ID, "appRoleId": a.Role, "principalId": p.ID, "principalType": p.Kind, "principalDisplayName": p.Name,
		"resourceId": a.Resource, "resourceDisplayName": name, "createdDateTime": stamp(a.Made)}
}

func (g *graph) assign(c *call) answer {
	var body struct{ PrincipalID, ResourceID, AppRoleID string }
	if err := c.decode(&body); err != nil {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload.")
	}
	p, r := g.w.Directory.principal(body.PrincipalID), g.w.Directory.principal(body.ResourceID)
	switch {
	case p == nil || !g.seen(p.Visible):
		return g.absent(body.PrincipalID)
	case r == nil || !g.seen(r.Visible):
		return g.absent(body.ResourceID)
	}
	roles, _ := g.describe(r)["appRoles"].([]any)
	if !slices.ContainsFunc(roles, func(e any) bool { o, _ := e.(object); return sameText(o["id"], body.AppRoleID) }) {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Permission being assigned was not found on application '%s'.", r.AppID)
	}
	for _, a := range p.Granted {
		if a.Role == body.AppRoleID && a.Resource == r.ID {
			return graphFail(http.StatusBadRequest, "InvalidUpdate", "Permission being assigned already exists on the object")
		}
	}
	a := &assignment{ID: g.w.newID(), Role: body.AppRoleID, Resource: r.ID, Made: g.w.now()}
	p.Granted = append(p.Granted, a)
	return reply(http.StatusCreated, g.describeAssignment(p, a))
}

func (g *graph) unassign(id string) answer {
	for _, p := range g.w.Directory.Principals {
		if i := slices.IndexFunc(p.Granted, func(a *assignment) bool { return a.ID == id }); i >= 0 {
			p.Granted = slices.Delete(p.Granted, i, i+1)
			return reply(http.StatusNoContent, nil)
		}
	}
	return g.absent(id)
}

func (d *delegated) describe() object {
	out := object{"id": d.ID, "clientId": d.Client, "resourceId": d.Resource, "consentType": d.Consent, "principalId": nil, "scope": d.Scope}
	if d.Principal != "" {
		out["principalId"] = d.Principal
	}
	return out
}

// grants answers about delegated permissions (learn.microsoft.com/graph/api/resources/oauth2permissiongrant).
func (g *graph) grants(c *call, p graphPath) answer {
	d := &g.w.Directory
	if p.key == "" && c.Method == http.MethodGet {
		var out []object
		for _, one := range d.Delegated {
			out = append(out, one.describe())
		}
		return g.page(c, out)
	}
	var body struct{ ClientID, ResourceID, ConsentType, PrincipalID, Scope string }
	if c.Method != http.MethodGet && c.Method != http.MethodDelete {
		if err := c.decode(&body); err != nil {
			return graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload.")
		}
	}
	if p.key == "" && c.Method == http.MethodPost {
		switch {
		case d.principal(body.ClientID) == nil:
			return g.absent(body.ClientID)
		case d.principal(body.ResourceID) == nil:
			return g.absent(body.ResourceID)
		}
		for _, other := range d.Delegated {
			if other.Client == body.ClientID && other.Resource == body.ResourceID && other.Principal == body.PrincipalID {
				return graphFail(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
			}
		}
		one := &delegated{ID: g.w.newID(), Client: body.ClientID, Resource: body.ResourceID, Consent: body.ConsentType, Principal: body.PrincipalID, Scope: body.Scope}
		d.Delegated = append(d.Delegated, one)
		return reply(http.StatusCreated, one.describe())
	}
	i := slices.IndexFunc(d.Delegated, func(x *delegated) bool { return x.ID == p.key })
	switch {
	case i < 0:
		return g.absent(p.key)
	case c.Method == http.MethodGet:
		return ok(d.Delegated[i].describe())
	case c.Method == http.MethodPatch:
		d.Delegated[i].Scope = body.Scope
	case c.Method == http.MethodDelete:
		d.Delegated = slices.Delete(d.Delegated, i, i+1)
	default:
		return g.unknown(c)
	}
	return reply(http.StatusNoContent, nil)
}

func (g *graph) memberOf(c *call, id string, transitive bool) answer {
	var out []object
	for _, group := range g.w.Directory.groups(id) {
		p := g.w.Directory.principal(group)
		if transitive || slices.Contains(p.Members, id) {
			out = append(out, g.describe(p))
		}
	}
	return g.page(c, out)
}

// users answers about people, who are in the directory from the beginning.
func (g *graph) users(c *call, p graphPath) answer {
	if c.Method != http.MethodGet {
		return g.unknown(c)
	}
	if p.key == "" {
		return g.page(c, g.kind("User"))
	}
	for _, o := range g.kind("User") {
		if !sameText(o["id"], p.key) && !sameText(o["userPrincipalName"], p.key) {
			continue
		}
		switch {
		case len(p.rest) == 0:
			return ok(selected(c, o))
		case p.rest[0] == "memberOf" || p.rest[0] == "transitiveMemberOf":
			return g.memberOf(c, o["id"].(string), p.rest[0] == "transitiveMemberOf")
		}
		return g.unknown(c)
	}
	return g.absent(p.key)
}

// me answers a person about herself; an application has no me.
func (g *graph) me(c *call) answer {
	if !c.Caller.User {
		return graphFail(http.StatusBadRequest, "BadRequest", "/me request is only valid with delegated authentication flow.")
	}
	p := g.w.Directory.principal(c.Caller.ObjectID)
	if p == nil {
		return g.absent(c.Caller.ObjectID)
	}
	return ok(selected(c, g.describe(p)))
}

// directoryObjects answers about objects of any kind.
func (g *graph) directoryObjects(c *call, p graphPath) answer {
	if p.key == "getByIds" && c.Method == http.MethodPost {
		var body struct{ IDs []string }
		if err := c.decode(&body); err != nil {
			return graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload.")
		}
		var out []object
		for _, id := range body.IDs {
			if o := g.object(id); o != nil {
				out = append(out, o)
			}
		}
		return g.page(c, out)
	}
	if o := g.object(p.key); o != nil && c.Method == http.MethodGet && len(p.rest) == 0 {
		return ok(selected(c, o))
	}
	return g.absent(p.key)
}

func (g *graph) object(id string) object {
	if p := g.w.Directory.principal(id); p != nil && g.seen(p.Visible) {
		return g.describe(p)
	}
	if a := g.w.Directory.Applications[id]; a != nil && g.seen(a.Visible) {
		o := g.describeApplication(a)
		o["@odata.type"] = "#microsoft.graph.application"
		return o
	}
	return nil
}

// graphGrave is how long deleted objects can be brought back.
const graphGrave = 30 * 24 * time.Hour

// bury puts an object aside (learn.microsoft.com/graph/api/resources/directory). The names it has stay free.
func (g *graph) bury(id string, what *gone) {
	what.At = g.w.now()
	if g.w.Directory.Gone == nil {
		g.w.Directory.Gone = map[string]*gone{}
	}
	g.w.Directory.remove(id)
	g.w.Directory.Gone[id] = what
	g.w.after(graphGrave, "graph-purge", id)
}

// purge ends what was put aside thirty days before.
func (g *graph) purge(id string) {
	if dead := g.w.Directory.Gone[id]; dead != nil && !dead.At.Add(graphGrave).After(g.w.now()) {
		delete(g.w.Directory.Gone, id)
	}
}

func (g *graph) deletedItems(c *call, p graphPath) answer {
	if p.key != "deletedItems" {
		return g.unknown(c)
	}
	d := &g.w.Directory
	if len(p.rest) == 1 && strings.HasPrefix(p.rest[0], "microsoft.graph.") && c.Method == http.MethodGet {
		var out []object
		for _, id := range slices.Sorted(maps.Keys(d.Gone)) {
			if o := g.describeGone(d.Gone[id]); sameText(o["@odata.type"], "#"+p.rest[0]) {
				out = append(out, o)
			}
		}
		return g.page(c, out)
	}
	if len(p.rest) == 0 {
		return g.unknown(c)
	}
	dead := d.Gone[p.rest[0]]
	switch {
	case dead == nil:
		return g.absent(p.rest[0])
	case len(p.rest) == 1 && c.Method == http.MethodGet:
		return ok(selected(c, g.describeGone(dead)))
	case len(p.rest) == 1 && c.Method == http.MethodDelete:
		delete(d.Gone, p.rest[0])
		return reply(http.StatusNoContent, nil)
	case len(p.rest) == 2 && p.rest[1] == "restore" && c.Method == http.MethodPost:
		return g.restore(p.rest[0], dead)
	}
	return g.unknown(c)
}

func (g *graph) describeGone(dead *gone) object {
	var o object
	if dead.Application != nil {
		o = g.describeApplication(dead.Application)
		o["@odata.type"] = "#microsoft.graph.application"
	} else {
		o = g.describe(dead.Principal)
	}
	o["deletedDateTime"] = stamp(dead.At)
	return o
}

func (g *graph) restore(id string, dead *gone) answer {
	d := &g.w.Directory
	if a := dead.Application; a != nil {
		if a.Unique != "" && g.application(graphPath{alternate: "uniqueName", key: a.Unique}) != nil {
			return conflicting("uniqueName")
		}
		delete(d.Gone, id)
		d.Applications[id] = a
		for other, x := range d.Gone { // its service principal comes back with it
			if x.Principal != nil && x.Principal.AppID == a.AppID {
				delete(d.Gone, other)
				d.addIdentity(x.Principal)
			}
		}
		return ok(g.describeApplication(a))
	}
	delete(d.Gone, id)
	d.addIdentity(dead.Principal)
	return ok(g.describe(dead.Principal))
}
