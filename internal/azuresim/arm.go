package azuresim

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const armHost = "management.azure.com"

// object is a JSON object.
type object = map[string]any

// manager is Azure Resource Manager: one subscription, its resource groups and what is in them.
type manager struct {
	w          *world
	o          Options
	conditions Conditions
	origin     origin
	faults     *faultPlan

	routes   []managerRoute
	watchers map[string][]watcher
	guards   map[string]guard
}

// managerState is what stands in the subscription. Keys are ids in lower case.
type managerState struct {
	Resources   map[string]*resource     `json:"-"`                 // saved apart, as are the stacks
	Deleted     map[string]*resource     `json:"deleted,omitempty"` // softly
	Stacks      map[string]*stack        `json:"-"`
	WhatIfs     map[string]*whatIf       `json:"whatIfs,omitempty"`
	Deployments map[string]*deployment   `json:"deployments,omitempty"`
	Jobs        map[string]*job          `json:"jobs,omitempty"`
	Removals    map[string]*removal      `json:"removals,omitempty"`
	Registered  map[string]bool          `json:"registered,omitempty"` // resource providers, in lower case
	Links       map[string]string        `json:"links,omitempty"`      // service association of a subnet: the plan that keeps it
	Writes      map[string]*pendingWrite `json:"writes,omitempty"`     // resources being made one by one
}

// change is what happened to a resource.
type change string

// What watchers are told.
const (
	changeMade      change = "made"      // or changed
	changeGone      change = "gone"      // deleted; softly where there is that
	changePurged    change = "purged"    // gone for good
	changeRecovered change = "recovered" // from soft deletion
)

// watcher is told what happened to resources of a type.
type watcher func(what change, r *resource)

// guard refuses a change of a resource; have is nil for a new one.
type guard func(want wanted, have *resource) *serviceError

// managerRoute has calls below resources of a type answered by another service of the simulation.
type managerRoute struct {
	typ    string // of the resource that the call is about
	handle func(c *call, r *resource, t target) (answer, bool)
}

func newManager(w *world, o Options, faults *faultPlan) *manager {
	m := &manager{w: w, o: o, conditions: o.Conditions, faults: faults, watchers: map[string][]watcher{}, guards: map[string]guard{}}
	s := &w.Manager
	stand(&s.Resources)
	stand(&s.Deleted)
	stand(&s.Stacks)
	stand(&s.WhatIfs)
	stand(&s.Deployments)
	stand(&s.Jobs)
	stand(&s.Removals)
	stand(&s.Registered)
	stand(&s.Links)
	stand(&s.Writes)
	w.on("job", m.jobDue)
	w.on("removal", m.removalDue)
	w.on("write", m.writeDue)
	w.on("purge", m.purgeDue)
	w.on("stack-refused", m.stackRefused)
	w.on("stack-deploys", m.stackDeploys)
	w.on("what-if", m.whatIfDue)
	w.on("registered", m.registeredDue)
	w.on("swap", m.swapDue)
	return m
}

// stand makes a map that was not saved, because it was empty.
func stand[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
}

// watch has f told what happens to resources of a type, whoever does it.
func (m *manager) watch(typ string, f watcher) {
	typ = strings.ToLower(typ)
	m.watchers[typ] = append(m.watchers[typ], f)
}

func (m *manager) tell(what change, r *resource) {
	for _, f := range m.watchers[strings.ToLower(r.Type)] {
		f(what, r)
	}
}

// guard has f asked before a resource of a type is made or changed.
func (m *manager) guard(typ string, f guard) { m.guards[strings.ToLower(typ)] = f }

// route has f asked first about calls whose path is below a resource of a type, with what the whole path names. It returns
// false for what it leaves to the manager.
func (m *manager) route(typ string, f func(c *call, r *resource, t target) (answer, bool)) {
	m.routes = append(m.routes, managerRoute{typ, f})
}

// apiVersion is the form of every api-version.
var apiVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d(-preview)?$`)

func (m *manager) serve(c *call) answer {
	t, valid := parseTarget(c.Path)
	switch {
	case c.Path == "/subscriptions" && c.Method == http.MethodGet:
		return ok(object{"value": []any{m.subscription()}})
	case c.Path == "/tenants":
		return ok(object{"value": []any{object{"id": "/tenants/" + m.o.Tenant, "tenantId": m.o.Tenant}}})
	case !valid:
		return fail(http.StatusNotFound, "InvalidResourceId", "The path %q names nothing.", c.Path)
	case !apiVersion.MatchString(c.Query.Get("api-version")):
		return fail(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case t.Subscription != "" && t.Subscription != m.o.Subscription:
		return fail(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", t.Subscription)
	}
	if parts := strings.Split(key(c.Path), "/"); len(parts) > 2 {
		switch id := parts[len(parts)-1]; parts[len(parts)-2] {
		case "operationstatuses", "azureasyncoperations":
			return m.w.poll(c, id)
		case "operationresults":
			return m.w.locate(c, id)
		}
	}
	if refused := m.authorize(c, t); refused != nil {
		return *refused
	}
	for _, r := range m.routes {
		if parent := m.at(r.typ, c.Path); parent != nil {
			if a, done := r.handle(c, parent, t); done {
				return a
			}
		}
	}
	return m.dispatch(c, t)
}

// at returns the resource of a type that a path is at or below.
func (m *manager) at(typ, path string) *resource {
	parts := strings.Split(key(path), "/")
	for i := len(parts); i > 2; i-- {
		if r := m.w.Manager.Resources[strings.Join(parts[:i], "/")]; r != nil && strings.EqualFold(r.Type, typ) {
			return r
		}
	}
	return nil
}

func (m *manager) dispatch(c *call, t target) answer {
	switch strings.ToLower(t.Type) {
	case "":
		return m.container(c, t)
	case "microsoft.resources/subscriptions":
		return m.container(c, t)
	case strings.ToLower(typeStack):
		return m.stackCall(c, t)
	case strings.ToLower(typeWhatIf):
		return m.whatIfCall(c, t)
	case strings.ToLower(typeDeployment):
		return m.deploymentCall(c, t)
	case "microsoft.resources":
		switch strings.ToLower(t.Rest) {
		case "deploymentstacks":
			return m.listStacks(t)
		case "deployments":
			return m.listDeployments(t)
		}
	}
	if a, done := m.special(c, t); done {
		return a
	}
	return m.generic(c, t)
}

// subscription is the answer about the only one.
func (m *manager) subscription() object {
	return object{"id": "/subscriptions/" + m.o.Subscription, "subscriptionId": m.o.Subscription, "tenantId": m.o.Tenant, "displayName": "FlowEHR simulation",
		"state": "Enabled", "authorizationSource": "RoleBased", "subscriptionPolicies": object{"quotaId": "Simulated", "spendingLimit": "Off"}}
}

// container answers about subscriptions and lists of what is in them.
func (m *manager) container(c *call, t target) answer {
	switch strings.ToLower(t.Rest) {
	case "":
		if t.is("Microsoft.Resources/subscriptions") {
			return ok(m.subscription())
		}
		if c.Method == http.MethodPost || t.Type == "" {
			break
		}
	case "resourcegroups":
		return ok(object{"value": m.bodies(func(r *resource) bool { return strings.EqualFold(r.Type, typeGroup) })})
	case "resources":
		return ok(object{"value": m.summaries(func(r *resource) bool {
			return !strings.EqualFold(r.Type, typeGroup) && !strings.EqualFold(r.Type, typeAssignment)
		})})
	case "locations":
		var out []any
		for _, l := range regions() {
			out = append(out, object{"id": t.ID + "/locations/" + l, "name": l, "displayName": l, "type": "Region"})
		}
		return ok(object{"value": out})
	case "providers":
		var out []any
		for _, p := range namespaces() {
			out = append(out, m.provider(p))
		}
		return ok(object{"value": out})
	}
	return fail(http.StatusNotFound, "NotFound", "The simulation has no %s %s.", c.Method, c.Path)
}

// all lists resources in the order of their ids.
func (m *manager) all(which func(*resource) bool) []*resource {
	var out []*resource
	for _, r := range m.w.Manager.Resources {
		if which(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *resource) int { return strings.Compare(key(a.ID), key(b.ID)) })
	return out
}

func (m *manager) bodies(which func(*resource) bool) []any {
	out := []any{}
	for _, r := range m.all(which) {
		out = append(out, r.Body)
	}
	return out
}

// summaries are what lists of all resources show: everything but the properties.
func (m *manager) summaries(which func(*resource) bool) []any {
	out := []any{}
	for _, r := range m.all(which) {
		short := object{}
		for k, v := range r.Body {
			if k != "properties" {
				short[k] = v
			}
		}
		out = append(out, short)
	}
	return out
}
