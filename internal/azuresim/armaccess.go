package azuresim

import (
	"net/http"
	"slices"
	"strings"
)

// Roles of Azure that decide in the control plane, by the GUID of their definitions.
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
const (
	roleOwner       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	roleContributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	roleReader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	roleAccess      = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
	roleStackOwner  = "adb29209-aa1d-457b-a786-c913953d2891"
)

// builtinRole is a role that every tenant has.
type builtinRole struct {
	name            string
	actions, except []string
}

// builtinRoles by GUID. Roles for data alone have no actions here: the services that keep the data decide on them.
func builtinRoles() map[string]builtinRole {
	nobody := []string{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action", "Microsoft.Resources/deploymentStacks/manageDenySetting/action"}
	return map[string]builtinRole{
		roleOwner:                              {name: "Owner", actions: []string{"*"}},
		roleContributor:                        {name: "Contributor", actions: []string{"*"}, except: nobody},
		roleReader:                             {name: "Reader", actions: []string{"*/read"}},
		roleAccess:                             {name: "User Access Administrator", actions: []string{"*/read", "Microsoft.Authorization/*"}},
		roleStackOwner:                         {name: "Azure Deployment Stack Owner", actions: []string{"*/read", "Microsoft.Resources/*"}},
		"f58310d9-a9f6-439a-9e8d-f62e7b41a168": {name: "Role Based Access Control Administrator", actions: []string{"*/read", "Microsoft.Authorization/roleAssignments/*"}},
		"4d97b98b-1d4f-4787-a291-c67834d212e7": {name: "Network Contributor", actions: []string{"Microsoft.Network/*"}},
		"b12aa53e-6015-4669-85d0-8515ebb3ae7f": {name: "Private DNS Zone Contributor", actions: []string{"Microsoft.Network/privateDnsZones/*"}},
		"de139f84-1756-47ae-9be6-808fbbe84772": {name: "Website Contributor", actions: []string{"Microsoft.Web/sites/*"}},
		"673868aa-7521-48a0-acc6-0f60742d39f5": {name: "Data Factory Contributor", actions: []string{"Microsoft.DataFactory/factories/*"}},
		"00482a5a-887f-4fb3-b363-3b7fe8e74483": {name: "Key Vault Administrator"},
		"b86a8fe4-44ce-4948-aee5-eccb2c155cd7": {name: "Key Vault Secrets Officer"},
		"4633458b-17de-408a-b874-0445c86b69e6": {name: "Key Vault Secrets User"},
		"ba92f5b4-2d11-453d-a403-e96b0029c9fe": {name: "Storage Blob Data Contributor"},
		"b7e6dc6d-f1e8-4753-8033-0f276bb0955b": {name: "Storage Blob Data Owner"},
		"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": {name: "Storage Blob Data Reader"},
		"7f951dda-4ed3-4680-a7ca-43fe172d538d": {name: "AcrPull"},
		"8311e382-0749-4cb8-b61a-304f252e45ec": {name: "AcrPush"},
	}
}

// grant gives a principal one of the roles of the subscription by name.
func (m *manager) grant(principal, role string) {
	for guid, r := range builtinRoles() {
		if r.name != role {
			continue
		}
		scope := "/subscriptions/" + m.o.Subscription
		id := scope + "/providers/" + typeAssignment + "/" + uuidOf(m.w.seed, "first grant", principal, guid)
		res := &resource{ID: id, Type: typeAssignment, Name: id[strings.LastIndexByte(id, '/')+1:], Made: m.w.now(), Changed: m.w.now(), By: principal}
		res.Want = object{"properties": object{"roleDefinitionId": scope + "/providers/" + typeRole + "/" + guid, "principalId": principal}}
		res.Body = m.read(res, res.Want)
		m.w.Manager.Resources[key(id)] = res
	}
}

// actionOf is the permission that a call needs.
func actionOf(c *call, t target) string {
	typ := t.Type
	if typ == "" {
		typ = "Microsoft.Resources/subscriptions"
	}
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		return typ + "/read"
	case http.MethodPut, http.MethodPatch:
		return typ + "/write"
	case http.MethodDelete:
		return typ + "/delete"
	}
	return typ + "/" + t.Rest + "/action"
}

// authorize refuses callers that no role allows what they call. Polls of operations come before it.
func (m *manager) authorize(c *call, t target) *answer {
	action, scope := actionOf(c, t), t.ID
	if t.Subscription == "" || t.Rest == "subscriptions" {
		return nil
	}
	if scope == "" {
		scope = "/subscriptions/" + t.Subscription
	}
	if m.allowed(c.Caller.ObjectID, action, scope) {
		return nil
	}
	kind := "client"
	if c.Caller.User {
		kind = "user"
	}
	a := fail(http.StatusForbidden, "AuthorizationFailed", "The %s '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		kind, c.Caller.Name, c.Caller.ObjectID, action, scope)
	return &a
}

// allowed reports whether a role assignment at the scope or above it lets a principal do something.
func (m *manager) allowed(principal, action, scope string) bool {
	who := append(m.w.Directory.groups(principal), principal)
	for _, r := range m.w.Manager.Resources {
		if !strings.EqualFold(r.Type, typeAssignment) || r.Want == nil || !slices.Contains(who, textAt(r.Want, "properties", "principalId")) {
			continue
		}
		if t, valid := parseTarget(r.ID); valid && within(scope, t.Scope) && m.permits(textAt(r.Want, "properties", "roleDefinitionId"), action) {
			return true
		}
	}
	return false
}

// permits reports whether a role has a permission.
func (m *manager) permits(definition, action string) bool {
	guid := strings.ToLower(definition[strings.LastIndexByte(definition, '/')+1:])
	if b, known := builtinRoles()[guid]; known {
		return fitsAny(b.actions, action) && !fitsAny(b.except, action)
	}
	custom := m.customRole(guid)
	if custom == nil {
		return false
	}
	for _, p := range listAt(custom.Want, "properties", "permissions") {
		if fitsAny(texts(listAt(asObject(p), "actions")), action) && !fitsAny(texts(listAt(asObject(p), "notActions")), action) {
			return true
		}
	}
	return false
}

func (m *manager) customRole(guid string) *resource {
	for _, r := range m.w.Manager.Resources {
		if strings.EqualFold(r.Type, typeRole) && strings.EqualFold(r.Name, guid) {
			return r
		}
	}
	return nil
}

func texts(l []any) []string {
	var out []string
	for _, v := range l {
		if s, isText := v.(string); isText {
			out = append(out, s)
		}
	}
	return out
}

func fitsAny(patterns []string, action string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(strings.ToLower(p), strings.ToLower(action)) })
}

// fits compares an action with a pattern in which * stands for anything.
func fits(pattern, action string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == action
	}
	if !strings.HasPrefix(action, head) {
		return false
	}
	for i := len(head); i <= len(action); i++ {
		if fits(rest, action[i:]) {
			return true
		}
	}
	return false
}

// checkAssignment holds a role assignment to the rules of Microsoft.Authorization. The directory's replicas know a new principal only
// after a while; whoever says what kind of principal it is need not wait for them.
// https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
func (m *manager) checkAssignment(want wanted, t target) *serviceError {
	p := objectAt(want.Body, "properties")
	definition, principal := textAt(p, "roleDefinitionId"), textAt(p, "principalId")
	guid := strings.ToLower(definition[strings.LastIndexByte(definition, '/')+1:])
	if _, builtin := builtinRoles()[guid]; !builtin && m.customRole(guid) == nil {
		return refusal("RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", guid)
	}
	who := m.w.Directory.principal(principal)
	late := who != nil && who.Visible.After(m.w.now())
	if who == nil || late && textAt(p, "principalType") == "" {
		return refusal("PrincipalNotFound", "Principal %s does not exist in the directory %s. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
			strings.ReplaceAll(principal, "-", ""), m.o.Tenant)
	}
	if kind := textAt(p, "principalType"); kind != "" && kind != who.Kind {
		return refusal("UnmatchedPrincipalType", "The PrincipalId '%s' has type '%s', which is different from specified PrincipalType '%s'.", principal, who.Kind, kind)
	}
	for _, r := range m.w.Manager.Resources {
		if !strings.EqualFold(r.Type, typeAssignment) || r.Want == nil {
			continue
		}
		other, _ := parseTarget(r.ID)
		same := strings.EqualFold(textAt(r.Want, "properties", "principalId"), principal) && strings.HasSuffix(strings.ToLower(textAt(r.Want, "properties", "roleDefinitionId")), guid)
		switch {
		case key(r.ID) == key(want.ID) && !same:
			return refusal("RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
		case key(r.ID) != key(want.ID) && same && key(other.Scope) == key(t.Scope):
			return refusal("RoleAssignmentExists", "The role assignment already exists. The ID of the existing role assignment is %s.", strings.ReplaceAll(r.Name, "-", ""))
		}
	}
	return nil
}

// denied refuses what a deny assignment of a stack, or of Databricks on its managed group, or a lock, forbids. write is false
// for deletions.
func (m *manager) denied(id string, by caller, write bool) *serviceError {
	for _, r := range m.w.Manager.Resources {
		if r.Deny != "" && key(id) == key(r.ID) && (!write || r.Deny == "denyWriteAndDelete") && !m.excluded(r, by) {
			return denyAssignment(by, id, "the deployment stack "+r.Stack)
		}
		// A workspace that is being made for the first time has no group yet, and everything is within "".
		if managed := textAt(r.Want, "properties", "managedResourceGroupId"); managed != "" && strings.EqualFold(r.Type, typeDatabricks) && within(id, managed) {
			return denyAssignment(by, id, "Azure Databricks")
		}
		if write && strings.EqualFold(r.Type, typeLock) && textAt(r.Want, "properties", "level") == "ReadOnly" {
			if t, _ := parseTarget(r.ID); within(id, t.Scope) && key(id) != key(r.ID) {
				return refusal("ScopeLocked", "The scope '%s' cannot perform write operation because following scope(s) are locked: '%s'. Please remove the lock and try again.", id, t.Scope)
			}
		}
	}
	return nil
}

// excluded reports whether the stack that denies lets somebody do what it denies to others.
func (m *manager) excluded(r *resource, by caller) bool {
	s := m.w.Manager.Stacks[r.Stack]
	if s == nil {
		return true
	}
	out := texts(listAt(s.Deny, "excludedPrincipals"))
	return slices.ContainsFunc(append(m.w.Directory.groups(by.ObjectID), by.ObjectID), func(who string) bool { return slices.Contains(out, who) })
}

func denyAssignment(by caller, id, owner string) *serviceError {
	return refusal("DenyAssignmentAuthorizationFailed", "The client '%s' with object id '%s' has permission to perform the action on scope '%s'; however, the access is denied because of the deny assignment of %s.", by.Name, by.ObjectID, id, owner)
}
