package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/pace"
)

// deployment is the record of a job, or of a nested deployment in it.
type deployment struct {
	ID  string `json:"id"`
	Job string `json:"job"`
	Key string `json:"key,omitempty"` // of the nested deployment's node
}

func deleteWindow() time.Duration {
	d, _, _ := pace.Of(pace.DeleteRetries)
	return d
}

// record makes the records of a job and of the deployments nested in it.
func (m *manager) record(id string, j *job) {
	m.w.Manager.Deployments[key(id)] = &deployment{ID: id, Job: j.ID}
	for k, n := range j.Nodes {
		if n.Nested {
			m.w.Manager.Deployments[key(n.Want.ID)] = &deployment{ID: n.Want.ID, Job: j.ID, Key: k}
		}
	}
}

func (m *manager) deploymentEnds(j *job) {
	if o := m.w.Operations[j.Operation]; o != nil && !strings.Contains(j.Owner, "deploymentstacks") {
		m.w.finish(o, nil, j.Error)
	}
}

func (m *manager) listDeployments(t target) answer {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(m.w.Manager.Deployments)) {
		d := m.w.Manager.Deployments[k]
		at, _ := parseTarget(d.ID)
		if key(at.Scope) == key(t.Scope) {
			out = append(out, m.deploymentBody(d))
		}
	}
	return ok(object{"value": out})
}

func (m *manager) deploymentCall(c *call, t target) answer {
	d := m.w.Manager.Deployments[key(t.ID)]
	switch c.Method + " " + strings.ToLower(t.Rest) {
	case "PUT ":
		return m.putDeployment(c, t)
	case "POST whatif":
		return m.deploymentWhatIf(c, t)
	case "POST validate":
		_, x, refused := m.deploymentRequest(c, t)
		if refused == nil {
			refused = m.preflightAll(x)
		}
		if refused != nil {
			return asAnswer(refused)
		}
		return ok(object{"id": t.ID, "name": t.name(), "type": typeDeployment, "properties": object{"provisioningState": "Succeeded", "mode": "Incremental"}})
	}
	if d == nil {
		if c.Method == http.MethodDelete {
			return reply(http.StatusNoContent, nil)
		}
		return fail(http.StatusNotFound, "DeploymentNotFound", "Deployment '%s' could not be found.", t.name())
	}
	switch c.Method + " " + strings.ToLower(t.Rest) {
	case "GET ":
		return ok(m.deploymentBody(d))
	case "GET operations":
		return ok(object{"value": m.deploymentOperations(d)})
	case "DELETE ":
		delete(m.w.Manager.Deployments, key(t.ID))
		return reply(http.StatusNoContent, nil)
	}
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s %s is not for deployments.", c.Method, t.Rest)
}

func (m *manager) deploymentRequest(c *call, t target) (object, *expansion, *serviceError) {
	var body object
	if err := c.decode(&body); err != nil {
		return nil, nil, refusal("InvalidRequestContent", "The request content was invalid: %v.", err)
	}
	template := objectAt(body, "properties", "template")
	if template == nil || textAt(body, "properties", "mode") != "Incremental" {
		return nil, nil, refusal("InvalidRequestContent", "The simulation deploys templates that are given, in the mode Incremental.")
	}
	x, refused := m.expand(t.Scope, template)
	return body, x, refused
}

func (m *manager) putDeployment(c *call, t target) answer {
	_, x, refused := m.deploymentRequest(c, t)
	if refused == nil {
		refused = m.preflightAll(x)
	}
	if refused != nil {
		return asAnswer(refused)
	}
	if d := m.w.Manager.Deployments[key(t.ID)]; d != nil && m.w.Manager.Jobs[d.Job] != nil && m.w.Manager.Jobs[d.Job].Ended.IsZero() {
		return fail(http.StatusConflict, "DeploymentActive", "The deployment with name '%s' cannot be saved, because this would overwrite an existing deployment which is still active.", t.name())
	}
	o := m.w.begin(t.ID, time.Second)
	j := &job{Operation: o.ID, Owner: key(t.ID), Scope: t.Scope, Name: t.name(), By: c.Caller}
	m.run(t.ID, j, x)
	return reply(http.StatusCreated, m.deploymentBody(m.w.Manager.Deployments[key(t.ID)])).
		with("Azure-AsyncOperation", m.operationURL("operationStatuses", o.ID)).with("retry-after-ms", "1")
}

func (m *manager) deploymentBody(d *deployment) object {
	j := m.w.Manager.Jobs[d.Job]
	t, _ := parseTarget(d.ID)
	p := object{"mode": "Incremental", "correlationId": d.Job}
	body := object{"id": d.ID, "name": t.name(), "type": typeDeployment, "properties": p}
	if j == nil {
		p["provisioningState"] = "Accepted"
		return body
	}
	p["timestamp"] = stamp(j.Started)
	if d.Key != "" {
		n := j.Nodes[d.Key]
		p["provisioningState"] = deploymentState(n.State)
		if n.Results != nil {
			p["outputs"] = n.Results
		}
		if n.Error != nil {
			p["error"] = n.Error
		}
		return body
	}
	state := "Running"
	switch {
	case j.Error != nil:
		state, p["error"] = "Failed", j.Error
	case !j.Ended.IsZero():
		state, p["outputs"] = "Succeeded", j.Results
	}
	p["provisioningState"] = state
	if !j.Ended.IsZero() {
		p["duration"] = isoDuration(j.Ended.Sub(j.Started))
	}
	return body
}

func deploymentState(node string) string {
	switch node {
	case "":
		return "Accepted"
	case "Skipped":
		return "Canceled"
	}
	return node
}

// deploymentOperations lists what a deployment has begun: progress is read from it.
func (m *manager) deploymentOperations(d *deployment) []any {
	out := []any{}
	j := m.w.Manager.Jobs[d.Job]
	if j == nil {
		return out
	}
	for _, k := range slices.Sorted(maps.Keys(j.Nodes)) {
		n := j.Nodes[k]
		if n.Parent != d.Key || n.State == "" || n.State == "Skipped" {
			continue
		}
		until := m.w.now()
		if n.State != "Running" && !n.Due.IsZero() {
			until = n.Due
		}
		id := hexOf(m.w.seed, 16, "operation", j.ID, k)
		p := object{"provisioningOperation": "Create", "provisioningState": n.State, "timestamp": stamp(until), "duration": isoDuration(until.Sub(n.Started)),
			"targetResource": object{"id": n.Want.ID, "resourceType": n.Want.Type, "resourceName": n.Want.Name, "symbolicName": n.Key[strings.LastIndexByte(n.Key, '/')+1:]}}
		if n.Error != nil {
			p["statusCode"], p["statusMessage"] = "Conflict", object{"status": "Failed", "error": n.Error}
		} else if n.State == "Succeeded" {
			p["statusCode"] = "OK"
		}
		out = append(out, object{"id": d.ID + "/operations/" + strings.ToUpper(id), "operationId": strings.ToUpper(id), "properties": p})
	}
	return out
}
