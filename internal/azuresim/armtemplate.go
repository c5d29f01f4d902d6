package azuresim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// node is one resource of a template, with its place in the run.
type node struct {
	Key     string   `json:"key"`              // symbolic names from the outermost template, joined by /
	Parent  string   `json:"parent,omitempty"` // key of the nested deployment that it is in
	After   []string `json:"after,omitempty"`  // keys
	Want    wanted   `json:"want"`             // expressions not yet resolved
	Nested  bool     `json:"nested,omitempty"` // a deployment: its resources are nodes of their own
	Outputs object   `json:"outputs,omitempty"`
	Results object   `json:"results,omitempty"` // of a nested deployment

	State   string        `json:"state,omitempty"` // empty while it waits, else Running, Succeeded, Failed, Skipped
	Started stampTime     `json:"started,omitzero"`
	Due     stampTime     `json:"due,omitzero"`
	Doom    *serviceError `json:"doom,omitempty"` // how it will fail
	Error   *serviceError `json:"error,omitempty"`
}

// limits of templates: https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices#template-limits
const (
	templateBytes     = 4 << 20
	templateResources = 800
	templateOutputs   = 64
)

// expansion is a template taken apart.
type expansion struct {
	nodes   map[string]*node
	outputs object
}

// expand takes a template apart that is deployed to a scope: a subscription or a resource group.
func (m *manager) expand(scope string, template object) (*expansion, *serviceError) {
	if n := len(mustJSON(template)); n > templateBytes {
		return nil, invalidTemplate("the template has %d bytes, more than the limit of %d", n, templateBytes)
	}
	x := &expansion{nodes: map[string]*node{}}
	if err := m.expandInto(x, scope, "", template); err != nil {
		return nil, invalidTemplate("%v", err)
	}
	if len(x.nodes) > templateResources {
		return nil, invalidTemplate("the number of resources %d exceeds the limit of %d", len(x.nodes), templateResources)
	}
	x.outputs = objectAt(template, "outputs")
	if len(x.outputs) > templateOutputs {
		return nil, invalidTemplate("the number of outputs %d exceeds the limit of %d", len(x.outputs), templateOutputs)
	}
	if cycle := x.cycle(); cycle != "" {
		return nil, invalidTemplate("circular dependency detected on resource '%s'", cycle)
	}
	if twice := x.twice(); twice != "" {
		return nil, invalidTemplate("the resource '%s' is defined multiple times in a template", twice)
	}
	return x, nil
}

func invalidTemplate(format string, args ...any) *serviceError {
	return refusal("InvalidTemplate", "Deployment template validation failed: '%s.'.", fmt.Sprintf(format, args...))
}

func (m *manager) expandInto(x *expansion, scope, prefix string, template object) error {
	resources, symbolic := template["resources"].(object)
	if !symbolic || textAt(template, "languageVersion") == "" {
		return fmt.Errorf("the simulation reads templates of language version 2.0, whose resources have symbolic names")
	}
	if len(objectAt(template, "parameters")) > 0 || len(objectAt(template, "variables")) > 0 {
		return fmt.Errorf("the simulation reads literal templates, without parameters and variables")
	}
	symbols := map[string]bool{}
	for s := range resources {
		symbols[s] = true
	}
	for _, symbol := range slices.Sorted(maps.Keys(resources)) {
		r, isObject := resources[symbol].(object)
		if !isObject {
			return fmt.Errorf("the resource '%s' is not an object", symbol)
		}
		n, err := m.nodeOf(scope, prefix, symbol, r, symbols)
		if err != nil {
			return fmt.Errorf("the resource '%s': %w", prefix+symbol, err)
		}
		x.nodes[n.Key] = n
		if !n.Nested {
			continue
		}
		inner := scope
		if group := textAt(r, "resourceGroup"); group != "" {
			inner = "/subscriptions/" + m.o.Subscription + "/resourceGroups/" + group
		}
		below := objectAt(r, "properties", "template")
		n.Outputs = objectAt(below, "outputs")
		if err := m.expandInto(x, inner, n.Key+"/", below); err != nil {
			return err
		}
	}
	return nil
}

// templateMembers are what a resource of a template has besides what becomes the body of its request.
var templateMembers = []string{"type", "name", "apiVersion", "dependsOn", "scope", "resourceGroup", "subscriptionId", "comments"}

func (m *manager) nodeOf(scope, prefix, symbol string, r object, symbols map[string]bool) (*node, error) {
	typ, name, version := textAt(r, "type"), unescape(textAt(r, "name")), textAt(r, "apiVersion")
	for _, refused := range []string{"copy", "condition", "existing", "import", "extension"} {
		if _, has := r[refused]; has {
			return nil, fmt.Errorf("the simulation does not know '%s'", refused)
		}
	}
	if typ == "" || name == "" || !apiVersion.MatchString(version) {
		return nil, fmt.Errorf("type, name and apiVersion are needed, there are %q, %q and %q", typ, name, version)
	}
	if isExpression(name) {
		return nil, fmt.Errorf("the simulation reads literal names, not %s", name)
	}
	if on := textAt(r, "scope"); on != "" {
		scope = on
	}
	n := &node{Key: prefix + symbol, Parent: strings.TrimSuffix(prefix, "/"), Nested: strings.EqualFold(typ, typeDeployment)}
	if n.Nested {
		if mode := textAt(r, "properties", "mode"); mode != "Incremental" {
			return nil, fmt.Errorf("nested deployments have mode Incremental, not %q", mode)
		}
		if textAt(r, "properties", "expressionEvaluationOptions", "scope") != "inner" {
			return nil, fmt.Errorf("nested deployments evaluate expressions in the scope inner")
		}
		if group := textAt(r, "resourceGroup"); group != "" {
			scope = "/subscriptions/" + m.o.Subscription + "/resourceGroups/" + group
		}
	}
	id, fits := resourceIDOf(scope, typ, name)
	if !fits {
		return nil, fmt.Errorf("incorrect segment lengths for resource '%s' of type '%s'", name, typ)
	}
	body := object{}
	for k, v := range r {
		if !slices.Contains(templateMembers, k) && !(n.Nested && k == "properties") {
			body[k] = v
		}
	}
	n.Want = wanted{ID: id, Type: typ, Name: name[strings.LastIndexByte(name, '/')+1:], APIVersion: version, Body: body}
	needs := map[string]bool{}
	for _, d := range listAt(r, "dependsOn") {
		on, isText := d.(string)
		if !isText || !symbols[on] {
			return nil, fmt.Errorf("it depends on '%v', which is not defined in the template", d)
		}
		needs[prefix+on] = true
	}
	err := walkExpressions(body, func(e expression) error {
		for _, s := range e.symbols() {
			if !symbols[s] {
				return fmt.Errorf("the template reference '%s' is not valid: could not find template resource or resource copy with this name", s)
			}
			needs[prefix+s] = true
		}
		return nil
	})
	n.After = slices.Sorted(maps.Keys(needs))
	return n, err
}

// cycle returns a resource that depends on itself.
func (x *expansion) cycle() string {
	const open, closed = 1, 2
	state := map[string]int{}
	var visit func(k string) string
	visit = func(k string) string {
		if state[k] == open {
			return k
		}
		if state[k] == closed {
			return ""
		}
		state[k] = open
		for _, d := range x.nodes[k].After {
			if c := visit(d); c != "" {
				return c
			}
		}
		state[k] = closed
		return ""
	}
	for _, k := range slices.Sorted(maps.Keys(x.nodes)) {
		if c := visit(k); c != "" {
			return c
		}
	}
	return ""
}

// twice returns an id that two resources have.
func (x *expansion) twice() string {
	seen := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(x.nodes)) {
		id := key(x.nodes[k].Want.ID)
		if seen[id] {
			return x.nodes[k].Want.ID
		}
		seen[id] = true
	}
	return ""
}

// resources lists the nodes that are resources, not deployments, in the order of their keys.
func (x *expansion) resources() []*node {
	var out []*node
	for _, k := range slices.Sorted(maps.Keys(x.nodes)) {
		if !x.nodes[k].Nested {
			out = append(out, x.nodes[k])
		}
	}
	return out
}
