package azuresim

import "strings"

// target is what a path of Azure Resource Manager names, taken apart. Ids are compared without regard to case.
type target struct {
	ID           string // the path of the resource, or of what a collection or action belongs to
	Subscription string
	Group        string   // resource group
	Scope        string   // what it stands in or, of an extension, on: a subscription, a group or another resource
	Type         string   // Microsoft.Network/virtualNetworks/subnets; with Rest for a collection
	Names        []string // one for each segment of Type but the first
	Rest         string   // last segment without a name: a collection or an action
}

const (
	typeGroup      = "Microsoft.Resources/resourceGroups"
	typeDeployment = "Microsoft.Resources/deployments"
	typeStack      = "Microsoft.Resources/deploymentStacks"
	typeWhatIf     = "Microsoft.Resources/deploymentStacksWhatIfResults"
	typeAssignment = "Microsoft.Authorization/roleAssignments"
	typeRole       = "Microsoft.Authorization/roleDefinitions"
	typeLock       = "Microsoft.Authorization/locks"
	typeVault      = "Microsoft.KeyVault/vaults"
	typeNetwork    = "Microsoft.Network/virtualNetworks"
	typeSubnet     = "Microsoft.Network/virtualNetworks/subnets"
	typeSite       = "Microsoft.Web/sites"
	typePlan       = "Microsoft.Web/serverfarms"
	typeDatabricks = "Microsoft.Databricks/workspaces"
	typeConnector  = "Microsoft.Databricks/accessConnectors"
	typeLogs       = "Microsoft.OperationalInsights/workspaces"
	typeIdentity   = "Microsoft.ManagedIdentity/userAssignedIdentities"
)

// parseTarget reads a path. It returns false for one that is not of Azure Resource Manager.
func parseTarget(path string) (target, bool) {
	path = strings.TrimRight(path, "/")
	at := lastFold(path, "/providers/")
	if at < 0 {
		return parseContainer(path)
	}
	t := target{Scope: path[:at]}
	t.Subscription, t.Group = containers(t.Scope)
	parts := strings.Split(path[at+len("/providers/"):], "/")
	if parts[0] == "" {
		return t, false
	}
	t.Type = parts[0]
	id := t.Scope + "/providers/" + parts[0]
	for i := 1; i < len(parts); i += 2 {
		if parts[i] == "" {
			return t, false
		}
		if i+1 == len(parts) {
			t.Rest = parts[i]
			break
		}
		if parts[i+1] == "" {
			return t, false
		}
		t.Type += "/" + parts[i]
		t.Names = append(t.Names, parts[i+1])
		id += "/" + parts[i] + "/" + parts[i+1]
	}
	t.ID = id
	return t, true
}

// lastFold is strings.LastIndex without regard to case. Lower case has another length than upper case in some scripts, so
// that an index of the one is none of the other.
func lastFold(s, sub string) int {
	for i := len(s) - len(sub); i >= 0; i-- {
		if strings.EqualFold(s[i:i+len(sub)], sub) {
			return i
		}
	}
	return -1
}

// parseContainer reads a path of a subscription, a resource group, or their collections.
func parseContainer(path string) (target, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if !strings.EqualFold(parts[0], "subscriptions") {
		return target{}, false
	}
	t := target{}
	switch n := len(parts); {
	case n == 1:
		t.Rest = "subscriptions"
	case n == 2:
		t.Subscription, t.ID, t.Type, t.Names = parts[1], path, "Microsoft.Resources/subscriptions", parts[1:2]
	case n >= 3 && n <= 5 && strings.EqualFold(parts[2], "resourceGroups"):
		t.Subscription, t.Scope = parts[1], "/subscriptions/"+parts[1]
		if n == 3 {
			t.ID, t.Rest = t.Scope, "resourceGroups"
			break
		}
		t.Group, t.Type, t.Names = parts[3], typeGroup, parts[3:4]
		t.ID = t.Scope + "/resourceGroups/" + parts[3]
		if n == 5 {
			t.Rest = parts[4]
		}
	case n == 3:
		t.Subscription, t.ID, t.Rest = parts[1], "/subscriptions/"+parts[1], parts[2]
	default:
		return t, false
	}
	return t, true
}

// containers reads the subscription and the resource group out of an id.
func containers(id string) (subscription, group string) {
	parts := strings.Split(strings.Trim(id, "/"), "/")
	if len(parts) >= 2 && strings.EqualFold(parts[0], "subscriptions") {
		subscription = parts[1]
	}
	if len(parts) >= 4 && strings.EqualFold(parts[2], "resourceGroups") {
		group = parts[3]
	}
	return subscription, group
}

// name is the last part of the name.
func (t target) name() string {
	if len(t.Names) == 0 {
		return ""
	}
	return t.Names[len(t.Names)-1]
}

// is compares types, which are written in different cases by different people.
func (t target) is(typ string) bool { return strings.EqualFold(t.Type, typ) }

func key(id string) string { return strings.ToLower(strings.TrimRight(id, "/")) }

// within reports whether an id is of a resource in or on another, or of that itself.
func within(id, scope string) bool {
	id, scope = key(id), key(scope)
	return id == scope || strings.HasPrefix(id, scope+"/")
}

// parentID is the id of what a child resource belongs to, empty when it is not a child.
func parentID(id string) string {
	t, ok := parseTarget(id)
	if !ok || len(t.Names) < 2 || !strings.Contains(strings.ToLower(id), "/providers/") {
		return ""
	}
	i := strings.LastIndexByte(id, '/')
	return id[:strings.LastIndexByte(id[:i], '/')]
}

// resourceIDOf builds the id of a resource of a template: name has a part for each segment of the type.
func resourceIDOf(scope, typ, name string) (string, bool) {
	if strings.EqualFold(typ, typeGroup) {
		return scope + "/resourceGroups/" + name, name != "" && !strings.Contains(name, "/")
	}
	kinds, names := strings.Split(typ, "/"), strings.Split(name, "/")
	if len(kinds) != len(names)+1 {
		return "", false
	}
	id := scope + "/providers/" + kinds[0]
	for i, n := range names {
		if n == "" {
			return "", false
		}
		id += "/" + kinds[i+1] + "/" + n
	}
	return id, true
}
