package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/pace"
)

// removal is the deletion of one resource or of many. Like Azure it does not know in which order they must go: what cannot
// be deleted yet is tried again until the removal gives up.
type removal struct {
	ID        string            `json:"id"`
	Operation string            `json:"operation,omitempty"`
	Stack     string            `json:"stack,omitempty"` // that wants it
	Items     map[string]*going `json:"items"`           // by key
	Groups    map[string]*going `json:"groups,omitempty"`
	Until     time.Time         `json:"until"` // when it gives up; before its start for a single try
	Gone      []string          `json:"gone,omitempty"`
	Failed    map[string]*going `json:"failed,omitempty"`
	By        caller            `json:"by"`
	Ended     bool              `json:"ended"`
	Force     bool              `json:"force,omitempty"` // for good
}

// going is a resource on its way out.
type going struct {
	ID    string        `json:"id"`
	Ready time.Time     `json:"ready,omitzero"` // when it is gone; zero while it cannot be deleted
	Error *serviceError `json:"error,omitempty"`
}

// retryDelete is how long a deletion that was refused waits.
const retryDelete = time.Minute

// delete answers DELETE of one resource.
func (m *manager) delete(c *call, t target, r *resource) answer {
	switch {
	case r == nil && c.Again > 0:
		return ok(nil)
	case r == nil:
		return reply(http.StatusNoContent, nil)
	case c.Again > 0: // being deleted while the call is held
		return hold(m.w.now().Add(time.Second))
	}
	if refused := m.denied(t.ID, c.Caller, false); refused != nil {
		return asAnswer(refused)
	}
	if refused := m.blocker(r, false); refused != nil {
		return asAnswer(refused)
	}
	took := m.deleteTime(r)
	o := m.w.begin(t.ID, took)
	force := strings.EqualFold(c.Query.Get("force"), "true") && strings.EqualFold(r.Type, typeLogs)
	m.remove(&removal{Operation: o.ID, Items: map[string]*going{key(r.ID): {ID: r.ID}}, By: c.Caller, Force: force})
	if took <= atOnce {
		return hold(m.w.now().Add(took))
	}
	return reply(http.StatusAccepted, nil).with("Location", m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1")
}

// deleteTime is half of what making takes; of a group it is that of the slowest in it.
func (m *manager) deleteTime(r *resource) time.Duration {
	typical, _, _ := pace.Of(r.Type)
	if strings.EqualFold(r.Type, typeGroup) {
		for _, in := range m.w.Manager.Resources {
			if within(in.ID, r.ID) && in != r {
				d, _, _ := pace.Of(in.Type)
				typical = max(typical, d)
			}
		}
	}
	return max(typical/2, time.Second)
}

// remove starts a removal.
func (m *manager) remove(rm *removal) {
	rm.ID = m.w.newID()
	m.w.Manager.Removals[rm.ID] = rm
	m.removalDue(rm.ID)
}

// removalDue brings a removal forward: what is due is gone, what can go goes, and when nothing is left it ends.
func (m *manager) removalDue(id string) {
	rm := m.w.Manager.Removals[id]
	if rm == nil || rm.Ended {
		return
	}
	m.removeStep(rm, rm.Items)
	if len(rm.Items) == 0 { // groups last: what is in them has been given its chance
		m.removeStep(rm, rm.Groups)
	}
	left := len(rm.Items) + len(rm.Groups)
	if left == 0 || !rm.Until.After(m.w.now()) && !rm.moving() {
		m.removalEnds(rm)
		return
	}
	next := m.w.now().Add(retryDelete)
	for _, g := range rm.items() {
		if !g.Ready.IsZero() && g.Ready.Before(next) {
			next = g.Ready
		}
	}
	if o := m.w.Operations[rm.Operation]; o != nil {
		m.w.progress(o, next)
	}
	m.w.after(next.Sub(m.w.now()), "removal", rm.ID)
}

func (rm *removal) items() []*going {
	return slices.Concat(slices.Collect(maps.Values(rm.Items)), slices.Collect(maps.Values(rm.Groups)))
}

// moving reports whether something is being deleted at the moment.
func (rm *removal) moving() bool {
	return slices.ContainsFunc(rm.items(), func(g *going) bool { return !g.Ready.IsZero() })
}

func (m *manager) removeStep(rm *removal, items map[string]*going) {
	now := m.w.now()
	for _, k := range slices.Sorted(maps.Keys(items)) {
		g, r := items[k], m.w.Manager.Resources[k]
		if r != nil && (g.Ready.IsZero() || g.Ready.After(now)) {
			continue
		}
		if r != nil {
			m.erase(r)
		}
		if soft := m.w.Manager.Deleted[k]; soft != nil && rm.Force {
			m.purge(soft)
		}
		rm.Gone = append(rm.Gone, g.ID)
		delete(items, k)
	}
	for _, k := range slices.Sorted(maps.Keys(items)) {
		g, r := items[k], m.w.Manager.Resources[k]
		if r == nil || !g.Ready.IsZero() {
			continue
		}
		if g.Error = m.blocker(r, rm.together(r)); g.Error == nil && rm.Stack != "" && !deletable(r.Type) {
			g.Error = refusal("ResourceDeleteNotSupported", "Resources of type '%s' cannot be deleted.", r.Type)
		}
		if g.Error == nil {
			g.Ready = now.Add(m.deleteTime(r))
			r.Busy = true
			m.setState(r, "Deleting")
		}
	}
}

// together reports whether a connector is deleted with the workspace that uses it, which Azure does not manage within one
// stack (github.com/Azure/deployment-stacks issue 183).
func (rm *removal) together(r *resource) bool {
	if rm.Stack == "" || !strings.EqualFold(r.Type, typeConnector) {
		return false
	}
	inStack := func(id string) bool {
		t, valid := parseTarget(id)
		return valid && t.is(typeDatabricks)
	}
	return slices.ContainsFunc(rm.items(), func(g *going) bool { return inStack(g.ID) }) || slices.ContainsFunc(rm.Gone, inStack)
}

func (m *manager) removalEnds(rm *removal) {
	rm.Ended, rm.Failed = true, map[string]*going{}
	var failure *serviceError
	for _, g := range rm.items() {
		rm.Failed[key(g.ID)] = g
		if failure == nil {
			failure = refusal("DeploymentStackDeleteResourcesFailed", "One or more resources could not be deleted. Correlation id: '%s'.", rm.ID)
		}
		if g.Error != nil {
			detail := *g.Error
			detail.Target = g.ID
			failure.Details = append(failure.Details, detail)
		}
	}
	if rm.Stack != "" {
		m.stackRemoved(rm, failure)
	} else if o := m.w.Operations[rm.Operation]; o != nil {
		if failure != nil && len(failure.Details) == 1 {
			failure = &failure.Details[0]
		}
		if failure != nil {
			o.Status = statusOf(failure.Code)
		}
		m.w.finish(o, nil, failure)
	}
	delete(m.w.Manager.Removals, rm.ID)
	m.w.dirty()
}

// blocker says what stands against deleting a resource. pair means that a stack deletes a connector together with its workspace.
func (m *manager) blocker(r *resource, pair bool) *serviceError {
	inUse := func(code, format string, args ...any) *serviceError { return refusal(code, format, args...) }
	if l := m.lockOn(r); l != nil {
		t, _ := parseTarget(l.ID)
		return inUse("ScopeLocked", "The scope '%s' cannot perform delete operation because following scope(s) are locked: '%s'. Please remove the lock and try again.", r.ID, t.Scope)
	}
	if pair {
		return inUse("Conflict", "The access connector '%s' cannot be deleted in the same operation as the workspace that uses it.", r.Name)
	}
	for _, other := range m.all(func(o *resource) bool { return !within(o.ID, r.ID) }) {
		if code, text := uses(other, r); code != "" {
			return inUse(code, text, r.ID, other.ID)
		}
	}
	for subnet, plan := range m.w.Manager.Links {
		if within(subnet, r.ID) && m.w.Manager.Resources[plan] != nil && !within(plan, r.ID) {
			return inUse("InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s/serviceAssociationLinks/AppServiceLink and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet.", subnet, subnet)
		}
	}
	if strings.EqualFold(r.Type, "Microsoft.Network/privateDnsZones") {
		for _, link := range m.all(func(o *resource) bool {
			return strings.EqualFold(o.Type, "Microsoft.Network/privateDnsZones/virtualNetworkLinks") && within(o.ID, r.ID)
		}) {
			return inUse("CannotDeleteResource", "Can not delete resource '%s' before nested resource '%s' is deleted.", r.ID, link.ID)
		}
	}
	return nil
}

func (m *manager) lockOn(r *resource) *resource {
	for _, l := range m.all(func(o *resource) bool { return strings.EqualFold(o.Type, typeLock) }) {
		t, _ := parseTarget(l.ID)
		if key(l.ID) != key(r.ID) && (within(r.ID, t.Scope) || within(l.ID, r.ID) && strings.EqualFold(r.Type, typeGroup)) {
			return l
		}
	}
	return nil
}

// uses says how one resource keeps another from being deleted; the code is empty when it does not.
func uses(user, used *resource) (code, text string) {
	at := func(path ...string) bool {
		id := textAt(user.Want, append([]string{"properties"}, path...)...)
		return id != "" && within(id, used.ID)
	}
	subnet := "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet."
	switch strings.ToLower(user.Type) {
	case "microsoft.network/privateendpoints":
		if at("subnet", "id") {
			return "InUseSubnetCannotBeDeleted", subnet
		}
	case strings.ToLower(typeSite), strings.ToLower(typeSite + "/slots"):
		if at("virtualNetworkSubnetId") {
			return "InUseSubnetCannotBeDeleted", subnet
		}
		if at("serverFarmId") {
			return "Conflict", "Server farm '%s' cannot be deleted because it has web app(s) assigned to it: %s."
		}
	case strings.ToLower(typeDatabricks):
		if at("parameters", "customVirtualNetworkId", "value") {
			return "InUseSubnetCannotBeDeleted", subnet
		}
		if at("accessConnector", "id") {
			return "Conflict", "The access connector %s is in use by %s."
		}
	case strings.ToLower(typeSubnet):
		if at("networkSecurityGroup", "id") {
			return "InUseNetworkSecurityGroupCannotBeDeleted", "Network security group %s cannot be deleted because it is in use by the following resources: %s."
		}
		if at("routeTable", "id") {
			return "InUseRouteTableCannotBeDeleted", "Route table %s is in use and cannot be deleted. In order to delete the route table, remove the association with the subnet %s."
		}
	}
	return "", ""
}

// erase takes a resource away, with all that is in it and on it.
func (m *manager) erase(r *resource) {
	inside := m.all(func(o *resource) bool { return within(o.ID, r.ID) && o != r })
	slices.Reverse(inside) // children before their parents
	for _, o := range append(inside, r) {
		m.eraseOne(o)
	}
	m.w.dirty()
}

func (m *manager) eraseOne(r *resource) {
	if m.w.Manager.Resources[key(r.ID)] == nil {
		return
	}
	delete(m.w.Manager.Resources, key(r.ID))
	delete(m.w.Manager.Writes, key(r.ID))
	r.Busy = false
	if id := textAt(r.Body, "identity", "principalId"); id != "" {
		m.w.Directory.removePrincipal(id)
	}
	switch strings.ToLower(r.Type) {
	case strings.ToLower(typeIdentity):
		m.w.Directory.removePrincipal(textAt(r.Body, "properties", "principalId"))
	case strings.ToLower(typeVault), strings.ToLower(typeLogs):
		m.softDelete(r)
	case strings.ToLower(typePlan):
		maps.DeleteFunc(m.w.Manager.Links, func(_, plan string) bool { return plan == key(r.ID) })
	case strings.ToLower(typeDatabricks):
		if g := m.w.Manager.Resources[key(textAt(r.Want, "properties", "managedResourceGroupId"))]; g != nil {
			m.erase(g)
		}
	case strings.ToLower(typeSubnet):
		m.dropInline(r)
	}
	m.tell(changeGone, r)
}
