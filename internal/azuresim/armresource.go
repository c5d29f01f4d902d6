package azuresim

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/pace"
)

// resource is one that stands, or is being made or deleted.
type resource struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Name    string    `json:"name"`
	Want    object    `json:"want"`           // as it was put last, and patched since
	Body    object    `json:"body"`           // as it is read: Want and what the service adds
	Made    time.Time `json:"made"`           // when it was begun: what the service makes up stays as long as this
	Stood   time.Time `json:"stood,omitzero"` // when it was ready for the first time
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`              // object id of who made it
	Busy    bool      `json:"busy,omitempty"`  // being made, changed or deleted
	Stack   string    `json:"stack,omitempty"` // key of the stack that manages it
	Deny    string    `json:"deny,omitempty"`  // of that stack: denyDelete, denyWriteAndDelete
	Purge   time.Time `json:"purge,omitzero"`  // deleted softly: when it goes by itself
	Inline  bool      `json:"inline,omitempty"`
}

// wanted is a resource that somebody asks for.
type wanted struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Name       string `json:"name"`
	APIVersion string `json:"apiVersion"`
	Body       object `json:"body"`
	By         caller `json:"by"`
}

func (r *resource) properties() object { return objectAt(r.Body, "properties") }

// objectAt returns the object that path leads to, nil when there is none.
func objectAt(o object, path ...string) object {
	for _, p := range path {
		o, _ = o[p].(object)
	}
	return o
}

// textAt returns the string that path leads to, empty when there is none.
func textAt(o object, path ...string) string {
	last := len(path) - 1
	s, _ := objectAt(o, path[:last]...)[path[last]].(string)
	return s
}

func listAt(o object, path ...string) []any {
	last := len(path) - 1
	l, _ := objectAt(o, path[:last]...)[path[last]].([]any)
	return l
}

// clone copies JSON deeply.
func clone[T any](v T) T {
	var out T
	if err := json.Unmarshal(mustJSON(v), &out); err != nil { // what was marshalled just now
		panic("azuresim: " + err.Error())
	}
	return out
}

// pendingWrite is a resource that is being made by a request of its own.
type pendingWrite struct {
	Want      wanted        `json:"want"`
	Operation string        `json:"operation,omitempty"`
	Failure   *serviceError `json:"failure,omitempty"` // how it will end
	Done      bool          `json:"done"`
	New       bool          `json:"new"`
}

// atOnce is the longest time for which a PUT is answered when it is done rather than when it has begun.
const atOnce = 15 * time.Second

func (m *manager) generic(c *call, t target) answer {
	if t.Rest != "" && c.Method == http.MethodGet {
		return m.list(t)
	}
	if t.Rest != "" {
		return fail(http.StatusNotFound, "NotFound", "The simulation has no action %s of %s.", t.Rest, t.Type)
	}
	if !knownNamespace(t.Type) {
		return fail(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", namespace(t.Type))
	}
	r := m.w.Manager.Resources[key(t.ID)]
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		if r == nil {
			return notFound(t)
		}
		if c.Method == http.MethodHead {
			return reply(http.StatusNoContent, nil)
		}
		return ok(r.Body)
	case http.MethodPut:
		return m.put(c, t)
	case http.MethodPatch:
		if r == nil {
			return notFound(t)
		}
		return m.patch(c, r)
	case http.MethodDelete:
		return m.delete(c, t, r)
	}
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s is not for %s.", c.Method, t.Type)
}

func notFound(t target) answer {
	if t.is(typeGroup) {
		return fail(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", t.name())
	}
	return fail(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", t.Type, strings.Join(t.Names, "/"), t.Group)
}

// list answers with the resources of a type directly in a scope: all of a subscription or group, the children of a resource,
// the extensions on it.
func (m *manager) list(t target) answer {
	typ, scope := t.Type+"/"+t.Rest, t.ID
	if len(t.Names) == 0 {
		scope = t.Scope
	}
	return ok(object{"value": m.bodies(func(r *resource) bool {
		return strings.EqualFold(r.Type, typ) && within(r.ID, scope)
	})})
}

func (m *manager) put(c *call, t target) answer {
	k := key(t.ID)
	if c.Again > 0 { // the write went on while the call was held
		return m.putAnswer(c, k)
	}
	var body object
	if err := c.decode(&body); err != nil || body == nil {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	if r := m.w.Manager.Resources[k]; r != nil && r.Busy {
		return fail(http.StatusConflict, "AnotherOperationInProgress", "Another operation on this or dependent resource is in progress: %s.", t.ID)
	}
	want := wanted{ID: t.ID, Type: t.Type, Name: t.name(), APIVersion: c.Query.Get("api-version"), Body: body, By: c.Caller}
	existed := m.w.Manager.Resources[k] != nil
	if refused := m.denied(t.ID, c.Caller, true); refused != nil {
		return asAnswer(refused)
	}
	if refused := m.preflight(want); refused != nil {
		return asAnswer(refused)
	}
	d, refused := m.startWrite(want)
	if refused != nil {
		return asAnswer(refused)
	}
	p := &pendingWrite{Want: want, New: !existed}
	if rule := m.w.doom; rule != nil {
		d, p.Failure = rule.After, refusal(rule.Code, "%s", rule.Message)
	}
	m.w.Manager.Writes[k] = p
	m.w.after(d, "write", k)
	if d <= atOnce {
		return hold(m.w.now().Add(d))
	}
	o := m.w.begin(t.ID, d)
	p.Operation = o.ID
	status := http.StatusOK
	if !existed {
		status = http.StatusCreated
	}
	return reply(status, m.w.Manager.Resources[k].Body).with("Azure-AsyncOperation", m.operationURL("operationStatuses", o.ID)).with("retry-after-ms", "1")
}

func (m *manager) putAnswer(c *call, k string) answer {
	p, r := m.w.Manager.Writes[k], m.w.Manager.Resources[k]
	switch {
	case p != nil && !p.Done:
		return hold(m.w.now().Add(time.Second))
	case p != nil && p.Failure != nil:
		return asAnswer(p.Failure)
	case r == nil:
		return fail(http.StatusConflict, "ResourceDeleted", "The resource %s was deleted meanwhile.", c.Path)
	case p != nil && p.New:
		return reply(http.StatusCreated, r.Body)
	}
	return ok(r.Body)
}

func (m *manager) operationURL(kind, id string) string {
	return "https://" + armHost + "/subscriptions/" + m.o.Subscription + "/providers/Microsoft.Resources/locations/simulated/" + kind + "/" + id + "?api-version=2025-04-01"
}

// writeDue ends a write.
func (m *manager) writeDue(k string) {
	p := m.w.Manager.Writes[k]
	if p == nil || p.Done {
		return
	}
	p.Done = true
	m.endWrite(p.Want, p.Failure)
	if o := m.w.Operations[p.Operation]; o != nil {
		m.w.finish(o, nil, p.Failure)
	}
	m.w.dirty()
}

// startWrite begins to make or change a resource whose preflight passed. It returns how long that takes.
func (m *manager) startWrite(want wanted) (time.Duration, *serviceError) {
	if refused := m.check(want); refused != nil {
		return 0, refused
	}
	k, now := key(want.ID), m.w.now()
	r := m.w.Manager.Resources[k]
	typical, _, _ := pace.Of(want.Type)
	took, state := typical, "Updating"
	switch {
	case r == nil:
		r = &resource{ID: want.ID, Type: want.Type, Name: want.Name, Made: now, By: want.By.ObjectID}
		m.w.Manager.Resources[k] = r
		state = "Creating"
		m.recover(r, want)
	case reflect.DeepEqual(settled(r.Want), settled(want.Body)):
		took = min(typical, 2*time.Second) // nothing to do, and the service sees that
	default:
		took = typical / 2
	}
	r.Busy = true
	if r.Body == nil {
		r.Body = m.read(r, want.Body)
	}
	m.setState(r, state)
	m.w.dirty()
	return took, nil
}

// endWrite ends it, well or with a failure. What failed stays, as it does in Azure.
func (m *manager) endWrite(want wanted, failure *serviceError) {
	r := m.w.Manager.Resources[key(want.ID)]
	if r == nil {
		return // deleted meanwhile
	}
	r.Busy = false
	if failure != nil {
		m.setState(r, "Failed")
		return
	}
	r.Want = clone(want.Body)
	m.keepInline(r)
	r.Body = m.read(r, r.Want)
	r.Changed = m.w.now()
	if r.Stood.IsZero() {
		r.Stood = r.Changed
	}
	m.setState(r, "Succeeded")
	m.written(r)
	m.tell(changeMade, r)
}

// setState sets the provisioning state of resources that have properties.
func (m *manager) setState(r *resource, state string) {
	if r.Body == nil || !hasState(r.Type) {
		return
	}
	p := objectAt(r.Body, "properties")
	if p == nil {
		p = object{}
		r.Body["properties"] = p
	}
	p["provisioningState"] = state
}

// hasState is false for types that carry no provisioningState.
func hasState(typ string) bool {
	switch strings.ToLower(typ) {
	case strings.ToLower(typeAssignment), strings.ToLower(typeRole), strings.ToLower(typeLock), "microsoft.insights/diagnosticsettings", strings.ToLower(typeIdentity),
		"microsoft.sql/servers/databases":
		return false
	}
	return !strings.HasPrefix(strings.ToLower(typ), "microsoft.web/sites/") && !strings.HasPrefix(strings.ToLower(typ), "microsoft.datafactory/factories/")
}

// read is the body as the service answers it: what was put, and what the service makes.
func (m *manager) read(r *resource, want object) object {
	body := clone(want)
	delete(body, "dependsOn")
	delete(body, "apiVersion")
	delete(body, "scope")
	body["id"], body["name"], body["type"] = r.ID, r.Name, r.Type
	if strings.EqualFold(r.Type, "Microsoft.ContainerRegistry/registries/webhooks") {
		delete(objectAt(body, "properties"), "serviceUri") // written, never read
	}
	m.runtimeValues(r, body)
	body["systemData"] = object{"createdBy": r.By, "createdAt": stamp(r.Made), "lastModifiedAt": stamp(m.w.now())}
	return body
}

// settled is a body without what does not decide whether something changed.
func settled(o object) object {
	out := maps.Clone(o)
	for _, k := range []string{"id", "name", "type", "apiVersion", "dependsOn", "scope", "systemData"} {
		delete(out, k)
	}
	return out
}

// patch is a JSON merge patch (RFC 7396), as most providers take it.
func (m *manager) patch(c *call, r *resource) answer {
	var change object
	if err := c.decode(&change); err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	if refused := m.denied(r.ID, c.Caller, true); refused != nil {
		return asAnswer(refused)
	}
	want := wanted{ID: r.ID, Type: r.Type, Name: r.Name, Body: mergePatch(clone(r.Want), change), By: c.Caller}
	if refused := m.preflight(want); refused != nil {
		return asAnswer(refused)
	}
	if refused := m.check(want); refused != nil {
		return asAnswer(refused)
	}
	m.endWrite(want, nil)
	return ok(r.Body)
}

func mergePatch(o, change object) object {
	if o == nil {
		o = object{}
	}
	for k, v := range change {
		switch inner, isObject := v.(object); {
		case v == nil:
			delete(o, k)
		case isObject:
			below, _ := o[k].(object)
			o[k] = mergePatch(below, inner)
		default:
			o[k] = v
		}
	}
	return o
}

// asAnswer turns a refusal into a response with the status that goes with its code.
func asAnswer(e *serviceError) answer {
	return reply(statusOf(e.Code), errorBody{*e}).with("x-ms-error-code", e.Code)
}

func statusOf(code string) int {
	switch code {
	case "AuthorizationFailed", "RequestDisallowedByPolicy", "DenyAssignmentAuthorizationFailed", "LinkedAuthorizationFailed":
		return http.StatusForbidden
	case "ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "NotFound", "DeploymentStackNotFound":
		return http.StatusNotFound
	case "ScopeLocked", "Conflict", "MissingSubscriptionRegistration", "StorageAccountAlreadyTaken", "VaultAlreadyExists", "NameAlreadyExists", "AlreadyInUse", "ConflictError",
		"RoleAssignmentExists", "QuotaExceeded", "SubscriptionQuotaExceeded", "AnotherOperationInProgress", "CannotDeleteResource", "ResourceGroupDeletionBlocked",
		"DeploymentStackInNonTerminalState", "DeploymentActive", "MethodNotAllowed", "InvalidTemplateDeployment", "DeploymentStackDeleteResourcesFailed":
		return http.StatusConflict
	}
	return http.StatusBadRequest
}
