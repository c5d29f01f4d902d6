package azuresim

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// named finds the resource of a type that has a name, whatever group it stands in: for types whose names are host names.
func (m *manager) named(typ, name string) *resource {
	for _, r := range m.w.Manager.Resources {
		if strings.EqualFold(r.Type, typ) && strings.EqualFold(r.Name, name) && r.Want != nil {
			return r
		}
	}
	return nil
}

// below lists the children of a type of a resource.
func (m *manager) below(r *resource, typ string) []*resource {
	return m.all(func(o *resource) bool { return strings.EqualFold(o.Type, typ) && within(o.ID, r.ID) && o.Want != nil })
}

// roleLag is how long a role assignment takes to count where data is kept. Microsoft says up to ten minutes; usually it is
// below one (learn.microsoft.com/azure/role-based-access-control/troubleshooting).
const roleLag = 25 * time.Second

// dataRole reports whether somebody has one of the roles, by GUID, at a scope or above it. Roles for managing resources,
// such as Owner, give no access to data.
func (m *manager) dataRole(principal, scope string, guids ...string) bool {
	who := append(m.w.Directory.groups(principal), principal)
	for _, r := range m.w.Manager.Resources {
		if !strings.EqualFold(r.Type, typeAssignment) || r.Want == nil || r.Stood.Add(roleLag).After(m.w.now()) ||
			!slices.Contains(who, textAt(r.Want, "properties", "principalId")) {
			continue
		}
		definition := textAt(r.Want, "properties", "roleDefinitionId")
		guid := strings.ToLower(definition[strings.LastIndexByte(definition, '/')+1:])
		if t, valid := parseTarget(r.ID); valid && within(scope, t.Scope) && slices.Contains(guids, guid) {
			return true
		}
	}
	return false
}

// origin is where the callers of a simulation are. Until it is said, they are taken to be wherever a peering leads to.
type origin struct {
	said    bool
	network string // id of a virtual network; empty is outside of all
}

// private reports whether callers reach a resource by a private endpoint: one that stands in their own network or in one that
// is peered with it.
func (m *manager) private(r *resource) bool {
	for _, e := range m.w.Manager.Resources {
		if !strings.EqualFold(e.Type, "Microsoft.Network/privateEndpoints") || e.Want == nil {
			continue
		}
		aimed := slices.ContainsFunc(listAt(e.Want, "properties", "privateLinkServiceConnections"), func(v any) bool {
			return key(textAt(asObject(v), "properties", "privateLinkServiceId")) == key(r.ID)
		})
		if aimed && m.near(parentID(textAt(e.Want, "properties", "subnet", "id"))) {
			return true
		}
	}
	return false
}

// near reports whether callers are in a network or in one that is peered with it, from both sides.
func (m *manager) near(network string) bool {
	switch from := m.origin.network; {
	case network == "":
		return false
	case !m.origin.said:
		return m.peered(network, "")
	case from == "":
		return false
	default:
		return key(from) == key(network) || m.peered(from, network) && m.peered(network, from)
	}
}

// peered reports whether a network has a peering with another, or with any when the other is empty.
func (m *manager) peered(network, other string) bool {
	for _, r := range m.w.Manager.Resources {
		if strings.EqualFold(r.Type, typeNetwork+"/virtualNetworkPeerings") && within(r.ID, network) && r.Want != nil &&
			(other == "" || key(textAt(r.Want, "properties", "remoteVirtualNetwork", "id")) == key(other)) {
			return true
		}
	}
	return false
}

// admits reports whether a list of addresses and ranges has the caller's public address.
func admits(rules []string) bool {
	client := netip.MustParseAddr(publicAddress)
	return slices.ContainsFunc(rules, func(rule string) bool {
		if prefix, err := netip.ParsePrefix(rule); err == nil {
			return prefix.Contains(client)
		}
		address, err := netip.ParseAddr(rule)
		return err == nil && address == client
	})
}

// obstacle is what keeps a caller from a resource with network rules.
type obstacle string

const (
	reachable      obstacle = ""
	publicDisabled obstacle = "public access is disabled"
	notInFirewall  obstacle = "the address is not allowed"
)

// reach applies publicNetworkAccess and networkAcls, as vaults and storage accounts have them.
func (m *manager) reach(r *resource) obstacle {
	if m.private(r) {
		return reachable
	}
	p := objectAt(r.Want, "properties")
	if strings.EqualFold(textAt(p, "publicNetworkAccess"), "Disabled") {
		return publicDisabled
	}
	if !strings.EqualFold(textAt(p, "networkAcls", "defaultAction"), "Deny") {
		return reachable
	}
	var rules []string
	for _, v := range listAt(p, "networkAcls", "ipRules") {
		rules = append(rules, textAt(asObject(v), "value"))
	}
	if admits(rules) {
		return reachable
	}
	return notInFirewall
}
