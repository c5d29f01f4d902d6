package azuresim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// stack is a deployment stack of the subscription: the record of which resources belong to a template.
// https://learn.microsoft.com/azure/azure-resource-manager/bicep/deployment-stacks, API version 2025-07-01
type stack struct {
	ID         string             `json:"id"`
	Name       string             `json:"name"`
	Location   string             `json:"location"`
	Tags       object             `json:"tags,omitempty"`
	Actions    object             `json:"actions"` // actionOnUnmanage
	Deny       object             `json:"deny"`    // denySettings
	Template   object             `json:"template"`
	State      string             `json:"state"`
	Operation  string             `json:"operation,omitempty"`
	Deployment string             `json:"deployment,omitempty"` // id
	Managed    map[string]managed `json:"managed"`
	Deleted    []string           `json:"deleted,omitempty"`
	Detached   []string           `json:"detached,omitempty"`
	Failed     map[string]managed `json:"failed,omitempty"`
	Outputs    object             `json:"outputs,omitempty"`
	Error      *serviceError      `json:"error,omitempty"`
	Made       time.Time          `json:"made"`
	Modified   time.Time          `json:"modified"`
	By         caller             `json:"by"`
	Going      bool               `json:"going,omitempty"` // being deleted
}

// managed is a resource as a stack lists it.
type managed struct {
	ID     string        `json:"id"`
	Status string        `json:"status,omitempty"`
	Error  *serviceError `json:"error,omitempty"`
}

// stackBytes is what a stack may carry. https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits
const stackBytes = 4 << 20

func (s *stack) busy() bool {
	return s.State != "succeeded" && s.State != "failed" && s.State != "canceled"
}

func (m *manager) listStacks(t target) answer {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(m.w.Manager.Stacks)) {
		if within(k, t.Scope) {
			out = append(out, m.stackBody(m.w.Manager.Stacks[k]))
		}
	}
	return ok(object{"value": out})
}

func (m *manager) stackCall(c *call, t target) answer {
	s := m.w.Manager.Stacks[key(t.ID)]
	if t.Group != "" {
		return fail(http.StatusBadRequest, "NotSupported", "The simulation has deployment stacks of subscriptions only.")
	}
	if s == nil && c.Method != http.MethodPut && !strings.EqualFold(t.Rest, "validate") {
		if c.Method == http.MethodDelete {
			return reply(http.StatusNoContent, nil)
		}
		return fail(http.StatusNotFound, "DeploymentStackNotFound", "The deployment stack '%s' could not be found.", t.name())
	}
	switch c.Method + " " + strings.ToLower(t.Rest) {
	case "GET ":
		return ok(m.stackBody(s))
	case "PUT ":
		return m.putStack(c, t, s)
	case "DELETE ":
		return m.deleteStack(c, s)
	case "POST validate":
		return m.validateStack(c, t)
	case "POST exporttemplate":
		return ok(object{"template": s.Template})
	}
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s %s is not for deployment stacks.", c.Method, t.Rest)
}

// stackRequest reads and checks the body of a PUT or a validation.
func (m *manager) stackRequest(c *call, t target) (object, *expansion, *serviceError) {
	var body object
	if err := c.decode(&body); err != nil {
		return nil, nil, refusal("InvalidRequestContent", "The request content was invalid: %v.", err)
	}
	if len(c.Body) > stackBytes {
		return nil, nil, refusal("RequestContentTooLarge", "The request content size exceeds the maximum size of 4 MB.")
	}
	p := objectAt(body, "properties")
	if textAt(body, "location") == "" {
		return nil, nil, refusal("LocationRequired", "The location property is required for deployment stacks of a subscription.")
	}
	for _, must := range []string{"actionOnUnmanage", "denySettings", "template"} {
		if objectAt(p, must) == nil {
			return nil, nil, refusal("InvalidRequestContent", "The deployment stack needs the property '%s'.", must)
		}
	}
	switch mode := strings.ToLower(textAt(p, "denySettings", "mode")); mode {
	case "none":
	case "denydelete", "denywriteanddelete":
		if len(listAt(p, "denySettings", "excludedPrincipals")) > 5 || len(listAt(p, "denySettings", "excludedActions")) > 200 {
			return nil, nil, refusal("DeploymentStackInvalidDenySettings", "At most 5 principals and 200 actions can be excluded from deny settings.")
		}
	default:
		return nil, nil, refusal("InvalidRequestContent", "'%s' is not a mode of deny settings.", mode)
	}
	x, refused := m.expand("/subscriptions/"+t.Subscription, objectAt(p, "template"))
	return body, x, refused
}

// maySetDeny checks the permission that deny settings need besides writing stacks.
func (m *manager) maySetDeny(by caller, id string, old *stack, settings object) *serviceError {
	touched := !strings.EqualFold(textAt(settings, "mode"), "none") || old != nil && !strings.EqualFold(textAt(old.Deny, "mode"), "none")
	const action = "Microsoft.Resources/deploymentStacks/manageDenySetting/action"
	if !touched || m.allowed(by.ObjectID, action, id) {
		return nil
	}
	return refusal("AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid.", by.Name, by.ObjectID, action, id)
}

func (m *manager) validateStack(c *call, t target) answer {
	_, x, refused := m.stackRequest(c, t)
	if refused == nil {
		refused = m.preflightAll(x)
	}
	if refused != nil {
		return asAnswer(refused)
	}
	ids := []any{}
	for _, n := range x.resources() {
		ids = append(ids, object{"id": n.Want.ID})
	}
	return ok(object{"id": t.ID, "name": t.name(), "type": typeStack, "properties": object{"validatedResources": ids}})
}

func (m *manager) putStack(c *call, t target, s *stack) answer {
	body, x, refused := m.stackRequest(c, t)
	if refused != nil {
		return asAnswer(refused)
	}
	p := objectAt(body, "properties")
	if refused := m.maySetDeny(c.Caller, t.ID, s, objectAt(p, "denySettings")); refused != nil {
		return asAnswer(refused)
	}
	if s != nil && s.busy() {
		return fail(http.StatusConflict, "DeploymentStackInNonTerminalState", "The deployment stack '%s' is in the non-terminal state '%s' and cannot be changed.", s.ID, s.State)
	}
	status := http.StatusOK
	if s == nil {
		status = http.StatusCreated
		s = &stack{ID: t.ID, Name: t.name(), Made: m.w.now(), Managed: map[string]managed{}}
		m.w.Manager.Stacks[key(t.ID)] = s
	}
	s.Location, s.Tags, s.By = textAt(body, "location"), objectAt(body, "tags"), c.Caller
	s.Actions, s.Deny, s.Template = objectAt(p, "actionOnUnmanage"), objectAt(p, "denySettings"), objectAt(p, "template")
	s.State, s.Modified, s.Error, s.Deleted, s.Detached, s.Failed, s.Outputs = "validating", m.w.now(), nil, nil, nil, nil, nil
	s.Deployment = ""
	o := m.w.begin(t.ID, stackIdles)
	s.Operation = o.ID
	if refused := m.preflightAll(x); refused != nil {
		s.Error = refusal("DeploymentStackDeploymentFailed", "The deployment of the stack failed validation.")
		s.Error.Details = []serviceError{*refused}
		m.w.after(stackIdles, "stack-refused", key(s.ID))
		return reply(status, m.stackBody(s)).with("Azure-AsyncOperation", m.operationURL("operationStatuses", o.ID)).with("retry-after-ms", "1")
	}
	m.w.after(stackIdles, "stack-deploys", key(s.ID))
	return reply(status, m.stackBody(s)).with("Azure-AsyncOperation", m.operationURL("operationStatuses", o.ID)).with("retry-after-ms", "1")
}

// stackIdles is the time in which a stack is validated, and has no deployment to look at yet.
const stackIdles = time.Second

// stackRefused ends a stack that its validation stopped.
func (m *manager) stackRefused(k string) {
	if s := m.w.Manager.Stacks[k]; s != nil && s.State == "validating" {
		m.stackEnds(s, s.Error)
	}
}

// stackDeploys begins the deployment of a validated stack.
func (m *manager) stackDeploys(k string) {
	s := m.w.Manager.Stacks[k]
	if s == nil || s.State != "validating" {
		return
	}
	x, refused := m.expand("/subscriptions/"+m.o.Subscription, s.Template)
	if refused != nil {
		m.stackEnds(s, refused)
		return
	}
	s.State = "deploying"
	name := s.Name + "-" + hexOf(m.w.seed, 13, "deployment", s.Operation)
	s.Deployment = "/subscriptions/" + m.o.Subscription + "/providers/" + typeDeployment + "/" + name
	j := &job{Operation: s.Operation, Owner: k, Scope: "/subscriptions/" + m.o.Subscription, Name: name, By: s.By}
	m.run(s.Deployment, j, x)
}

// stackDeployed takes over what a deployment made, and has what left the template deleted or let go.
func (m *manager) stackDeployed(s *stack, j *job) {
	m.deploymentEnds(j)
	wanted, s2 := map[string]bool{}, map[string]managed{}
	s.Failed = map[string]managed{}
	deny := textAt(s.Deny, "mode")
	for _, n := range j.Nodes {
		k := key(n.Want.ID)
		if n.Nested {
			continue
		}
		wanted[k] = true
		if n.State != "Succeeded" {
			s.Failed[k] = managed{ID: n.Want.ID, Error: n.Error}
		}
		if r := m.w.Manager.Resources[k]; r != nil {
			s2[k] = managed{ID: n.Want.ID, Status: "managed"}
			r.Stack, r.Deny = key(s.ID), ""
			if deniable(n.Want.Type) && !strings.EqualFold(deny, "none") {
				r.Deny = deny
			}
		}
	}
	gone := &removal{Stack: key(s.ID), Operation: s.Operation, Items: map[string]*going{}, Groups: map[string]*going{}, By: s.By, Until: m.w.now().Add(deleteWindow())}
	for k, old := range s.Managed {
		if wanted[k] || m.w.Manager.Resources[k] == nil {
			continue
		}
		if j.Error != nil { // nothing is deleted after a failure: it stays managed
			s2[k] = old
			continue
		}
		m.unmanage(s, old.ID, gone)
	}
	s.Managed = s2
	if j.Error != nil {
		e := refusal("DeploymentStackDeploymentFailed", "One or more resources could not be deployed. Correlation id: '%s'.", j.ID)
		e.Details = []serviceError{*j.Error}
		m.stackEnds(s, e)
		return
	}
	s.Outputs = j.Results
	m.stackRemoves(s, gone)
}

// unmanage lets a resource go as the stack was told to: delete it, or leave it.
func (m *manager) unmanage(s *stack, id string, gone *removal) {
	r := m.w.Manager.Resources[key(id)]
	r.Deny, r.Stack = "", ""
	switch {
	case strings.EqualFold(r.Type, typeGroup) && textAt(s.Actions, "resourceGroups") == "delete":
		gone.Groups[key(id)] = &going{ID: id}
	case !strings.EqualFold(r.Type, typeGroup) && textAt(s.Actions, "resources") == "delete" && (deletable(r.Type) || textAt(s.Actions, "resourcesWithoutDeleteSupport") != "detach"):
		gone.Items[key(id)] = &going{ID: id}
	default:
		s.Detached = append(s.Detached, id)
	}
}

// deletable is false for what has no DELETE of its own: it goes with what it belongs to.
func deletable(typ string) bool {
	switch strings.ToLower(typ) {
	case "microsoft.keyvault/vaults/secrets", "microsoft.web/sites/config", "microsoft.web/sites/slots/config", "microsoft.storage/storageaccounts/blobservices", "microsoft.sql/servers/auditingsettings",
		"microsoft.sql/servers/extendedauditingsettings", "microsoft.sql/servers/securityalertpolicies", "microsoft.sql/servers/encryptionprotector", "microsoft.sql/servers/databases/transparentdataencryption",
		"microsoft.web/sites/basicpublishingcredentialspolicies", "microsoft.web/sites/slots/basicpublishingcredentialspolicies":
		return false
	}
	return true
}

// deniable is false for types that deny assignments are not for.
func deniable(typ string) bool {
	return !strings.HasPrefix(strings.ToLower(typ), "microsoft.authorization/")
}

// stackRemoves starts what has to be deleted, or ends when there is nothing.
func (m *manager) stackRemoves(s *stack, gone *removal) {
	if len(gone.Items)+len(gone.Groups) == 0 {
		m.stackRemoved(gone, nil)
		return
	}
	if !s.Going {
		s.State = "deletingResources"
	}
	m.remove(gone)
}

// stackRemoved ends a change or the deletion of a stack, when all is deleted or given up.
func (m *manager) stackRemoved(rm *removal, failure *serviceError) {
	s := m.w.Manager.Stacks[rm.Stack]
	if s == nil {
		return
	}
	s.Deleted = rm.Gone
	for k, g := range rm.Failed {
		s.Managed[k] = managed{ID: g.ID, Status: "deleteFailed", Error: g.Error}
		if r := m.w.Manager.Resources[k]; r != nil {
			r.Stack = key(s.ID)
		}
	}
	if s.Going && failure == nil {
		delete(m.w.Manager.Stacks, key(s.ID))
		m.w.finish(m.w.Operations[s.Operation], nil, nil)
		return
	}
	if s.Going {
		s.Going = false
		for k := range s.Managed {
			if m.w.Manager.Resources[k] == nil {
				delete(s.Managed, k)
			}
		}
	}
	m.stackEnds(s, failure)
}

func (m *manager) stackEnds(s *stack, failure *serviceError) {
	s.State, s.Error, s.Modified = "succeeded", failure, m.w.now()
	if failure != nil {
		s.State = "failed"
	}
	if o := m.w.Operations[s.Operation]; o != nil && o.Ended.IsZero() {
		if failure != nil {
			o.Status = http.StatusConflict
		}
		m.w.finish(o, nil, failure)
	}
}

// deleteStack answers DELETE. What happens to the resources stands in the query, not in the stack.
func (m *manager) deleteStack(c *call, s *stack) answer {
	if s.busy() {
		return fail(http.StatusConflict, "DeploymentStackInNonTerminalState", "The deployment stack '%s' is in the non-terminal state '%s' and cannot be deleted.", s.ID, s.State)
	}
	if refused := m.maySetDeny(c.Caller, s.ID, s, s.Deny); refused != nil {
		return asAnswer(refused)
	}
	s.Actions = object{}
	for _, what := range []string{"Resources", "ResourceGroups", "ManagementGroups", "ResourcesWithoutDeleteSupport"} {
		action := c.Query.Get("unmanageAction." + what)
		if action != "" && action != "delete" && action != "detach" && action != "fail" {
			return fail(http.StatusBadRequest, "InvalidRequestContent", "'%s' is not an action on unmanage.", action)
		}
		s.Actions[strings.ToLower(what[:1])+what[1:]] = action
	}
	o := m.w.begin(s.ID, time.Second)
	s.State, s.Operation, s.Going, s.Error, s.By = "deleting", o.ID, true, nil, c.Caller
	s.Detached, s.Deleted = nil, nil
	gone := &removal{Stack: key(s.ID), Operation: o.ID, Items: map[string]*going{}, Groups: map[string]*going{}, By: c.Caller, Until: m.w.now().Add(deleteWindow())}
	for _, k := range slices.Sorted(maps.Keys(s.Managed)) {
		if m.w.Manager.Resources[k] != nil {
			m.unmanage(s, s.Managed[k].ID, gone)
		}
	}
	m.stackRemoves(s, gone)
	return reply(http.StatusAccepted, nil).with("Location", m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1")
}

func (m *manager) stackBody(s *stack) object {
	p := object{"provisioningState": s.State, "actionOnUnmanage": s.Actions, "denySettings": s.Deny, "correlationId": uuidOf(m.w.seed, "correlation", s.Operation)}
	list := func(in map[string]managed, full bool) []any {
		out := []any{}
		for _, k := range slices.Sorted(maps.Keys(in)) {
			e := object{"id": in[k].ID}
			if full {
				e["status"], e["denyStatus"] = in[k].Status, m.denyStatus(k)
			}
			if in[k].Error != nil {
				e["error"] = in[k].Error
			}
			out = append(out, e)
		}
		return out
	}
	ids := func(in []string) []any {
		out := []any{}
		for _, id := range in {
			out = append(out, object{"id": id})
		}
		return out
	}
	p["resources"], p["failedResources"] = list(s.Managed, true), list(s.Failed, false)
	p["deletedResources"], p["detachedResources"] = ids(s.Deleted), ids(s.Detached)
	if s.Deployment != "" {
		p["deploymentId"] = s.Deployment
	}
	if s.Outputs != nil {
		p["outputs"] = s.Outputs
	}
	if s.Error != nil {
		p["error"] = s.Error
	}
	if !s.busy() {
		p["duration"] = isoDuration(s.Modified.Sub(s.Made))
	}
	return object{"id": s.ID, "name": s.Name, "type": typeStack, "location": s.Location, "tags": s.Tags, "properties": p,
		"systemData": object{"createdAt": stamp(s.Made), "lastModifiedAt": stamp(s.Modified), "createdBy": s.By.Name, "createdByType": "Application"}}
}

func (m *manager) denyStatus(k string) string {
	r := m.w.Manager.Resources[k]
	switch {
	case r == nil:
		return "unknown"
	case !deniable(r.Type):
		return "notSupported"
	case r.Deny == "":
		return "none"
	}
	return r.Deny
}

// isoDuration writes a duration as ISO 8601 does.
func isoDuration(d time.Duration) string { return fmt.Sprintf("PT%.7fS", d.Seconds()) }
