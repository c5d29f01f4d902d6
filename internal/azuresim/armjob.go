package azuresim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// stampTime is a virtual time.
type stampTime = time.Time

// job is the deployment of a template: its resources are made as soon as what they depend on stands, all at once where
// nothing is in the way.
type job struct {
	ID        string           `json:"id"`
	Operation string           `json:"operation"`
	Owner     string           `json:"owner"` // key of the stack or deployment
	Scope     string           `json:"scope"`
	Name      string           `json:"name"` // of the deployment
	By        caller           `json:"by"`
	Nodes     map[string]*node `json:"nodes"`
	Outputs   object           `json:"outputs,omitempty"`
	Results   object           `json:"results,omitempty"`
	Started   stampTime        `json:"started"`
	Ended     stampTime        `json:"ended,omitzero"`
	Error     *serviceError    `json:"error,omitempty"`
}

// run starts a job for an expanded template, whose deployment has an id.
func (m *manager) run(id string, j *job, x *expansion) {
	j.ID, j.Nodes, j.Outputs, j.Started = m.w.newID(), x.nodes, x.outputs, m.w.now()
	for _, n := range j.Nodes {
		n.Want.By = j.By
	}
	m.forget(j.Owner)
	m.w.Manager.Jobs[j.ID] = j
	m.record(id, j)
	m.jobDue(j.ID)
}

// forget drops the records of an owner's earlier deployments.
func (m *manager) forget(owner string) {
	for id, j := range m.w.Manager.Jobs {
		if j.Owner == owner && !j.Ended.IsZero() {
			delete(m.w.Manager.Jobs, id)
			maps.DeleteFunc(m.w.Manager.Deployments, func(_ string, d *deployment) bool { return d.Job == id })
		}
	}
}

// preflightAll is Azure's check of a whole template before anything is made.
func (m *manager) preflightAll(x *expansion) *serviceError {
	var details []serviceError
	for _, n := range x.resources() {
		if refused := m.preflight(n.Want); refused != nil {
			refused.Target = n.Want.ID
			details = append(details, *refused)
		}
	}
	if details == nil {
		return nil
	}
	e := refusal("InvalidTemplateDeployment", "The template deployment failed with multiple errors. Please see details.")
	e.Details = details
	return e
}

// jobDue brings a job forward.
func (m *manager) jobDue(id string) {
	j := m.w.Manager.Jobs[id]
	if j == nil || !j.Ended.IsZero() {
		return
	}
	for again := true; again; {
		again = false
		for _, k := range slices.Sorted(maps.Keys(j.Nodes)) {
			again = m.advance(j, j.Nodes[k]) || again
		}
	}
	next := stampTime{}
	for _, n := range j.Nodes {
		if n.State == "Running" && !n.Nested && (next.IsZero() || n.Due.Before(next)) {
			next = n.Due
		}
	}
	if next.IsZero() {
		m.jobEnds(j)
		return
	}
	if o := m.w.Operations[j.Operation]; o != nil {
		m.w.progress(o, next)
	}
	m.w.after(next.Sub(m.w.now()), "job", j.ID)
}

// advance takes one node a step further, and reports whether it did.
func (m *manager) advance(j *job, n *node) bool {
	switch n.State {
	case "":
		return m.startNode(j, n)
	case "Running":
		if n.Nested {
			return m.endNested(j, n)
		}
		if n.Due.After(m.w.now()) {
			return false
		}
		m.endWrite(n.Want, n.Doom)
		n.State, n.Error = "Succeeded", n.Doom
		if n.Doom != nil {
			n.State = "Failed"
		}
		return true
	}
	return false
}

func (m *manager) startNode(j *job, n *node) bool {
	if n.Parent != "" && j.Nodes[n.Parent].State != "Running" {
		if s := j.Nodes[n.Parent].State; s == "Skipped" || s == "Failed" {
			n.State = "Skipped"
			return true
		}
		return false
	}
	for _, k := range n.After {
		switch j.Nodes[k].State {
		case "Succeeded":
		case "Failed", "Skipped":
			n.State = "Skipped"
			return true
		default:
			return false
		}
	}
	n.State, n.Started = "Running", m.w.now()
	if n.Nested {
		return true
	}
	body, err := evaluate(n.Want.Body, m.lookup(j, n.Parent))
	if err != nil {
		n.State, n.Error = "Failed", invalidTemplate("%v", err)
		return true
	}
	n.Want.Body = asObject(body)
	r := m.w.Manager.Resources[key(n.Want.ID)]
	if r != nil && r.Busy {
		n.State, n.Error = "Failed", refusal("AnotherOperationInProgress", "Another operation on this or dependent resource is in progress: %s.", n.Want.ID)
		return true
	}
	fresh := r == nil
	took, refused := m.startWrite(n.Want)
	if refused != nil {
		n.State, n.Error = "Failed", refused
		return true
	}
	n.Due = m.w.now().Add(took)
	if rule := m.fault(n, fresh); rule != nil {
		n.Due, n.Doom = m.w.now().Add(rule.After), refusal(rule.Code, "%s", rule.Message)
	}
	return true
}

// fault is how the making of a node goes wrong, nil when it does not.
func (m *manager) fault(n *node, fresh bool) *FaultRule {
	if rule := m.faults.operation(n.Want.ID); rule != nil {
		return rule
	}
	again := "operation " + key(n.Want.ID)
	if m.faults.Operations == 0 || !fresh || m.faults.met[again] > 0 {
		return nil
	}
	m.faults.met[again]++
	if m.faults.chance(again, 1) >= m.faults.Operations {
		return nil
	}
	return &FaultRule{After: time.Minute, Code: "InternalServerError", Message: "An unexpected error occurred while processing the request. Tracking ID: '" + uuidOf(m.w.seed, again) + "'"}
}

// endNested ends a nested deployment when all in it has ended.
func (m *manager) endNested(j *job, n *node) bool {
	var failed *node
	for _, k := range slices.Sorted(maps.Keys(j.Nodes)) {
		inner := j.Nodes[k]
		if inner.Parent != n.Key {
			continue
		}
		switch inner.State {
		case "", "Running":
			return false
		case "Failed":
			failed = inner
		}
	}
	if failed != nil {
		n.State, n.Error = "Failed", refusal("DeploymentFailed", "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.")
		return true
	}
	results, err := m.results(j, n.Outputs, n.Key)
	n.State, n.Results = "Succeeded", results
	if err != nil {
		n.State, n.Error = "Failed", invalidTemplate("%v", err)
	}
	return true
}

func (m *manager) results(j *job, outputs object, parent string) (object, error) {
	out := object{}
	for name, v := range outputs {
		o := asObject(v)
		value, err := evaluate(o["value"], m.lookup(j, parent))
		if err != nil {
			return nil, fmt.Errorf("the template output '%s' is not valid: %w", name, err)
		}
		out[name] = object{"type": titled(textAt(o, "type")), "value": value}
	}
	return out, nil
}

// lookup resolves references of the template that a node is the nested deployment of; empty means the outermost.
func (m *manager) lookup(j *job, parent string) lookup {
	prefix := ""
	if parent != "" {
		prefix = parent + "/"
	}
	return lookup{list: m.listed, reference: func(symbol string, full bool) (any, error) {
		n := j.Nodes[prefix+symbol]
		if n == nil || n.State != "Succeeded" {
			return nil, fmt.Errorf("the template reference '%s' is not valid", symbol)
		}
		if n.Nested {
			props := object{"outputs": n.Results, "provisioningState": "Succeeded"}
			if full {
				return object{"properties": props}, nil
			}
			return props, nil
		}
		r := m.w.Manager.Resources[key(n.Want.ID)]
		if r == nil {
			return nil, fmt.Errorf("the resource '%s' was not found", n.Want.ID)
		}
		if full {
			return r.Body, nil
		}
		return r.properties(), nil
	}}
}

func (m *manager) jobEnds(j *job) {
	j.Ended = m.w.now()
	var details []serviceError
	for _, k := range slices.Sorted(maps.Keys(j.Nodes)) {
		n := j.Nodes[k]
		if n.State == "" {
			n.State = "Skipped"
		}
		if n.State == "Failed" && !n.Nested {
			e := *n.Error
			e.Target = n.Want.ID
			details = append(details, e)
		}
	}
	results, err := m.results(j, j.Outputs, "")
	switch {
	case details != nil:
		j.Error = refusal("DeploymentFailed", "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.")
		j.Error.Details = details
	case err != nil:
		j.Error = invalidTemplate("%v", err)
	default:
		j.Results = results
	}
	for _, n := range j.Nodes {
		n.Want.Body = nil // what stands has it
	}
	if s := m.w.Manager.Stacks[j.Owner]; s != nil && strings.Contains(j.Owner, "deploymentstacks") {
		m.stackDeployed(s, j)
		return
	}
	m.deploymentEnds(j)
}
