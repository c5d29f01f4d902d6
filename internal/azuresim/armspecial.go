package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// special answers what is not the creating, reading, changing or deleting of a resource. It returns false for the rest.
func (m *manager) special(c *call, t target) (answer, bool) {
	if a, done := m.endpointConnection(c, t); done {
		return a, true
	}
	typ, rest := strings.ToLower(t.Type), strings.ToLower(t.Rest)
	switch {
	case strings.HasPrefix(typ, "microsoft.keyvault") && (strings.HasSuffix(typ, "/deletedvaults") || rest == "deletedvaults"):
		return m.deletedVault(c, t), true
	case typ == "microsoft.operationalinsights" && rest == "deletedworkspaces":
		return m.deletedWorkspaces(), true
	case rest == "checknameavailability" && c.Method == http.MethodPost:
		return m.checkName(c, t), true
	case typ == "microsoft.network/locations" && rest == "servicetags":
		return serviceTags(t.name()), true
	case !strings.Contains(typ, "/") && strings.Contains(typ, ".") && (rest == "" || rest == "register" || rest == "unregister"):
		return m.providerCall(c, t), true
	case t.is("Microsoft.Authorization") && rest == "roledefinitions" && c.Method == http.MethodGet:
		return m.roles(c, t), true
	case t.is(typeRole) && c.Method == http.MethodGet && builtinRoles()[strings.ToLower(t.name())].name != "":
		return ok(roleBody(strings.ToLower(t.name()))), true
	case t.is("Microsoft.Authorization") && rest == "roleassignments" && c.Method == http.MethodGet:
		return m.assignments(c, t), true
	case t.is("Microsoft.Authorization") && rest == "permissions" && c.Method == http.MethodGet:
		return m.permissions(c, t), true
	case t.is("Microsoft.Authorization") && rest == "locks" && c.Method == http.MethodGet:
		return ok(object{"value": m.bodies(func(r *resource) bool { return strings.EqualFold(r.Type, typeLock) && within(r.ID, t.Scope) })}), true
	case t.Rest == "resources" && t.is(typeGroup):
		return ok(object{"value": m.summaries(func(r *resource) bool {
			return within(r.ID, t.ID) && !strings.EqualFold(r.Type, typeGroup) && !strings.EqualFold(r.Type, typeAssignment) && strings.Count(r.Type, "/") == 1
		})}), true
	case strings.HasPrefix(typ, strings.ToLower(typeSite)) && c.Method == http.MethodPost:
		return m.siteAction(c, t)
	case strings.HasPrefix(typ, strings.ToLower(typeSite)) && strings.HasSuffix(typ, "/networkconfig"):
		return m.detach(c, t)
	case t.is(typeSite+"/config") || t.is(typeSite+"/slots/config"):
		return m.siteConfig(c, t)
	}
	return answer{}, false
}

func (m *manager) deletedWorkspaces() answer {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(m.w.Manager.Deleted)) {
		r := m.w.Manager.Deleted[k]
		if strings.EqualFold(r.Type, typeLogs) {
			out = append(out, object{"id": r.ID, "name": r.Name, "type": r.Type, "location": r.Want["location"], "properties": object{"customerId": textAt(r.Body, "properties", "customerId")}})
		}
	}
	return ok(object{"value": out})
}

// checkName answers whether a name that is unique in all of Azure can be had.
func (m *manager) checkName(c *call, t target) answer {
	var in struct{ Name, Type string }
	if err := c.decode(&in); err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid: %v.", err)
	}
	typ := in.Type
	if !strings.Contains(typ, "/") {
		typ = t.Type + "/" + typ
	}
	if refused := m.preflightNew(wanted{ID: "/", Type: typ, Name: in.Name, Body: object{}}); refused != nil {
		return ok(object{"nameAvailable": false, "reason": "AlreadyExists", "message": refused.Message})
	}
	return ok(object{"nameAvailable": true})
}

func (m *manager) providerCall(c *call, t target) answer {
	i := slices.IndexFunc(namespaces(), func(n string) bool { return strings.EqualFold(n, t.Type) })
	if i < 0 {
		return fail(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", t.Type)
	}
	ns := namespaces()[i]
	if c.Method == http.MethodPost && strings.EqualFold(t.Rest, "register") {
		m.w.after(30*time.Second, "registered", strings.ToLower(ns))
	}
	return ok(m.provider(ns))
}

func (m *manager) registeredDue(ns string) { m.w.Manager.Registered[ns] = true }

func roleBody(guid string) object {
	r := builtinRoles()[guid]
	return object{"id": "/providers/" + typeRole + "/" + guid, "name": guid, "type": typeRole, "properties": object{"roleName": r.name, "type": "BuiltInRole",
		"permissions": []any{object{"actions": r.actions, "notActions": r.except}}}}
}

// roles lists role definitions; the filter roleName eq 'NAME' is understood.
func (m *manager) roles(c *call, t target) answer {
	_, after, _ := strings.Cut(c.Query.Get("$filter"), "roleName eq '")
	name, _, _ := strings.Cut(after, "'")
	out := []any{}
	for _, guid := range slices.Sorted(maps.Keys(builtinRoles())) {
		r := builtinRoles()[guid]
		if name == "" || strings.EqualFold(r.name, name) {
			out = append(out, roleBody(guid))
		}
	}
	return ok(object{"value": append(out, m.bodies(func(r *resource) bool {
		return strings.EqualFold(r.Type, typeRole) && (name == "" || strings.EqualFold(textAt(r.Want, "properties", "roleName"), name)) && within(r.ID, t.Scope)
	})...)})
}

// assignments lists role assignments at a scope, above and below it; the filters principalId eq and assignedTo are understood.
func (m *manager) assignments(c *call, t target) answer {
	filter := c.Query.Get("$filter")
	_, after, _ := strings.Cut(filter, "'")
	principal, _, _ := strings.Cut(after, "'")
	return ok(object{"value": m.bodies(func(r *resource) bool {
		if !strings.EqualFold(r.Type, typeAssignment) || r.Want == nil {
			return false
		}
		at, _ := parseTarget(r.ID)
		inScope := within(at.Scope, t.Scope) || within(t.Scope, at.Scope)
		if strings.Contains(filter, "atScope()") {
			inScope = within(t.Scope, at.Scope)
		}
		return inScope && (principal == "" || textAt(r.Want, "properties", "principalId") == principal)
	})})
}

// permissions lists what the caller may do at a scope.
func (m *manager) permissions(c *call, t target) answer {
	who := append(m.w.Directory.groups(c.Caller.ObjectID), c.Caller.ObjectID)
	out := []any{}
	for _, r := range m.all(func(r *resource) bool { return strings.EqualFold(r.Type, typeAssignment) && r.Want != nil }) {
		at, _ := parseTarget(r.ID)
		definition := textAt(r.Want, "properties", "roleDefinitionId")
		guid := strings.ToLower(definition[strings.LastIndexByte(definition, '/')+1:])
		if !slices.Contains(who, textAt(r.Want, "properties", "principalId")) || !within(t.Scope, at.Scope) {
			continue
		}
		if b := builtinRoles()[guid]; b.name != "" {
			out = append(out, object{"actions": orEmpty(b.actions), "notActions": orEmpty(b.except)})
		} else if custom := m.customRole(guid); custom != nil {
			out = append(out, listAt(custom.Want, "properties", "permissions")...)
		}
	}
	return ok(object{"value": out})
}

func orEmpty(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// serviceTags are the address ranges of services, with ranges for documentation (RFC 5737) in place of Microsoft's.
func serviceTags(region string) answer {
	value := func(name string, prefixes ...string) object {
		return object{"id": name, "name": name, "properties": object{"region": "", "systemService": name, "addressPrefixes": prefixes}}
	}
	return ok(object{"name": "Public", "id": "Public", "type": "Microsoft.Network/serviceTags", "cloud": "Public", "changeNumber": "1", "values": []any{
		value("AzureDatabricks", "198.51.100.0/28"), value("AzureDatabricks."+region, "198.51.100.16/28"), value("Storage."+region, "198.51.100.64/26"),
		value("Sql."+region, "198.51.100.128/27"), value("EventHub."+region, "198.51.100.160/27"), value("DataFactory."+region, "198.51.100.192/27")}})
}
