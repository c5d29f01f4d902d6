package azuresim

import (
	"net/http"
	"strings"
)

// connectionsSegment is where a resource lists the private endpoints that lead to it.
const connectionsSegment = "privateEndpointConnections"

// connections are the private endpoints that lead to a resource, as it lists them. One in a network of ours is approved from
// the beginning, because whoever makes it may approve it; one in the network that Azure manages for a data factory stands in a
// subscription of Microsoft's and is pending until somebody approves it
// (learn.microsoft.com/azure/data-factory/managed-virtual-network-private-endpoint). What somebody said is kept as a resource
// of its own below the target, where the service takes it.
func (m *manager) connections(target string) []object {
	var out []object
	for _, e := range m.all(func(r *resource) bool { return r.Want != nil }) {
		switch {
		case strings.EqualFold(e.Type, "Microsoft.Network/privateEndpoints"):
			for _, v := range listAt(e.Want, "properties", "privateLinkServiceConnections") {
				if key(textAt(asObject(v), "properties", "privateLinkServiceId")) == key(target) {
					out = append(out, m.connection(target, e, e.displayName(), e.ID, "Approved"))
				}
			}
		case strings.EqualFold(e.Type, "Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints"):
			if key(textAt(e.Want, "properties", "privateLinkResourceId")) == key(target) {
				names := strings.Split(e.ID, "/")
				name := names[len(names)-5] + "." + names[len(names)-1]
				id := "/subscriptions/" + uuidOf(m.w.seed, "managed network") + "/resourceGroups/vnet-managed-rg/providers/Microsoft.Network/privateEndpoints/" + name
				out = append(out, m.connection(target, e, name, id, "Pending"))
			}
		}
	}
	return out
}

// connection describes one. An endpoint that was made anew has a connection of another name.
func (m *manager) connection(target string, endpoint *resource, name, id, status string) object {
	name += "-" + uuidOf(m.w.seed, "connection", key(endpoint.ID), stamp(endpoint.Made))
	at := target + "/" + connectionsSegment + "/" + name
	state := object{"status": status, "description": "", "actionsRequired": "None"}
	if said := m.w.Manager.Resources[key(at)]; said != nil && said.Want != nil {
		state["status"] = textAt(said.Want, "properties", "privateLinkServiceConnectionState", "status")
		state["description"] = textAt(said.Want, "properties", "privateLinkServiceConnectionState", "description")
	}
	return object{"id": at, "name": name, "properties": object{"privateEndpoint": object{"id": id}, "privateLinkServiceConnectionState": state,
		"provisioningState": "Succeeded"}}
}

// endpointConnection answers about the private endpoints that lead to a resource. Making one up by approving it is refused, as
// is approving what was decided.
func (m *manager) endpointConnection(c *call, t target) (answer, bool) {
	if strings.EqualFold(t.Rest, connectionsSegment) {
		if c.Method != http.MethodGet || m.w.Manager.Resources[key(t.ID)] == nil {
			return answer{}, false
		}
		list := []any{}
		for _, o := range m.connections(t.ID) {
			list = append(list, o)
		}
		return ok(object{"value": list}), true
	}
	segment := "/" + strings.ToLower(connectionsSegment) + "/"
	target, _, below := strings.Cut(strings.ToLower(t.ID), segment)
	if !below || c.Method == http.MethodDelete {
		return answer{}, false
	}
	for _, o := range m.connections(t.ID[:len(target)]) {
		if key(textAt(o, "id")) != key(t.ID) {
			continue
		}
		now := textAt(o, "properties", "privateLinkServiceConnectionState", "status")
		switch {
		case c.Method == http.MethodGet:
			return ok(o), true
		case c.Again == 0 && now != "Pending":
			return fail(http.StatusBadRequest, "PrivateEndpointConnectionStatusNotPending", "Private endpoint connection '%s' is %s, not Pending.", t.name(), now), true
		}
		return answer{}, false // a write like any other
	}
	return fail(http.StatusNotFound, "PrivateEndpointConnectionDoesNotExist", "Private endpoint connection '%s' does not exist.", t.name()), true
}
