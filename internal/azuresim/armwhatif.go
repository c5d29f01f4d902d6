package azuresim

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// whatIf is the record of what a stack would change, kept until it is deleted or its time is over.
type whatIf struct {
	ID      string        `json:"id"`
	Body    object        `json:"body"`
	State   string        `json:"state"`
	Changes object        `json:"changes,omitempty"`
	Error   *serviceError `json:"error,omitempty"`
	Expires time.Time     `json:"expires"`
}

// whatIfTakes is how long a prediction takes.
const whatIfTakes = 8 * time.Second

func (m *manager) whatIfCall(c *call, t target) answer {
	if m.o.NoStackWhatIf {
		return fail(http.StatusBadRequest, "NoRegisteredProviderFound", "No registered resource provider found for location '' and API version '%s' for type 'deploymentStacksWhatIfResults'.", c.Query.Get("api-version"))
	}
	if c.Query.Get("api-version") < "2025-07-01" {
		return fail(http.StatusBadRequest, "InvalidResourceType", "The resource type 'deploymentStacksWhatIfResults' could not be found in the namespace 'Microsoft.Resources' for api version '%s'.", c.Query.Get("api-version"))
	}
	k := key(t.ID)
	r := m.w.Manager.WhatIfs[k]
	if r != nil && r.Expires.Before(m.w.now()) {
		delete(m.w.Manager.WhatIfs, k)
		r = nil
	}
	if r == nil && c.Method != http.MethodPut {
		if c.Method == http.MethodDelete {
			return reply(http.StatusNoContent, nil)
		}
		return fail(http.StatusNotFound, "DeploymentStackWhatIfResultNotFound", "The what-if result '%s' could not be found.", t.name())
	}
	switch c.Method + " " + strings.ToLower(t.Rest) {
	case "GET ":
		return ok(m.whatIfBody(r))
	case "PUT ":
		return m.putWhatIf(c, t)
	case "POST whatif":
		o := m.w.begin(t.ID, time.Second)
		m.w.finish(o, m.whatIfBody(r), r.Error)
		return reply(http.StatusAccepted, nil).with("Location", m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1")
	case "DELETE ":
		delete(m.w.Manager.WhatIfs, k)
		return reply(http.StatusNoContent, nil)
	}
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s %s is not for what-if results.", c.Method, t.Rest)
}

func (m *manager) putWhatIf(c *call, t target) answer {
	body, x, refused := m.stackRequest(c, t)
	if refused == nil {
		refused = m.preflightAll(x)
	}
	if refused != nil {
		return asAnswer(refused)
	}
	p := objectAt(body, "properties")
	if textAt(p, "deploymentStackResourceId") == "" || textAt(p, "retentionInterval") == "" {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "A what-if result needs deploymentStackResourceId and retentionInterval.")
	}
	s := m.w.Manager.Stacks[key(textAt(p, "deploymentStackResourceId"))]
	keep, err := isoInterval(textAt(p, "retentionInterval"))
	if err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "%v.", err)
	}
	r := &whatIf{ID: t.ID, Body: body, State: "running", Changes: m.stackChanges(s, p, x), Expires: m.w.now().Add(whatIfTakes + keep)}
	delete(p, "template")
	if s != nil {
		p["deploymentStackLastModified"] = stamp(s.Modified)
	}
	m.w.Manager.WhatIfs[key(t.ID)] = r
	o := m.w.begin(t.ID, whatIfTakes)
	m.w.after(whatIfTakes, "what-if", key(t.ID)+" "+o.ID)
	return reply(http.StatusCreated, m.whatIfBody(r)).with("Azure-AsyncOperation", m.operationURL("operationStatuses", o.ID)).with("retry-after-ms", "1")
}

// isoForm is the part of ISO 8601 durations that has no months and years.
var isoForm = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

func isoInterval(text string) (time.Duration, error) {
	parts := isoForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	var sum time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, err := strconv.Atoi(cmp.Or(parts[i+1], "0"))
		if err != nil || n > 10_000 {
			return 0, fmt.Errorf("%q is not a duration that makes sense", text)
		}
		sum += time.Duration(n) * unit
	}
	return sum, nil
}

// whatIfDue ends a prediction; the subject is its key and its operation.
func (m *manager) whatIfDue(subject string) {
	k, operation, _ := strings.Cut(subject, " ")
	if r := m.w.Manager.WhatIfs[k]; r != nil {
		r.State = "succeeded"
	}
	if o := m.w.Operations[operation]; o != nil {
		m.w.finish(o, nil, nil)
	}
}

func (m *manager) whatIfBody(r *whatIf) object {
	t, _ := parseTarget(r.ID)
	p := maps.Clone(objectAt(r.Body, "properties"))
	p["provisioningState"] = r.State
	if r.State == "succeeded" {
		p["changes"], p["diagnostics"] = r.Changes, []any{}
	}
	return object{"id": r.ID, "name": t.name(), "type": typeWhatIf, "location": r.Body["location"], "properties": p}
}

// stackChanges predicts what deploying a template to a stack would do.
func (m *manager) stackChanges(s *stack, p object, x *expansion) object {
	list, wanted := []any{}, map[string]bool{}
	before := map[string]managed{}
	if s != nil {
		before = s.Managed
	}
	for _, n := range x.resources() {
		wanted[key(n.Want.ID)] = true
		list = append(list, m.predict(x, n, before))
	}
	for _, k := range slices.Sorted(maps.Keys(before)) {
		r := m.w.Manager.Resources[k]
		if wanted[k] || r == nil {
			continue
		}
		action, what := "detach", "resources"
		if strings.EqualFold(r.Type, typeGroup) {
			what = "resourceGroups"
		}
		if textAt(p, "actionOnUnmanage", what) == "delete" && deletable(r.Type) {
			action = "delete"
		}
		list = append(list, object{"id": r.ID, "type": r.Type, "changeType": action, "changeCertainty": "definite",
			"managementStatusChange":       object{"before": "managed", "after": "unmanaged"},
			"resourceConfigurationChanges": object{"before": r.Body}})
	}
	deny := object{"after": p["denySettings"]}
	if s != nil {
		deny["before"] = s.Deny
		deny["delta"] = deltas("", s.Deny, objectAt(p, "denySettings"), objectAt(p, "denySettings"), "changeType")
	}
	return object{"resourceChanges": list, "denySettingsChange": deny}
}

func (m *manager) predict(x *expansion, n *node, before map[string]managed) object {
	was := "unmanaged"
	if _, is := before[key(n.Want.ID)]; is {
		was = "managed"
	}
	after, certain := m.foresee(x, n)
	change := object{"id": n.Want.ID, "type": n.Want.Type, "apiVersion": n.Want.APIVersion, "symbolicName": n.Key[strings.LastIndexByte(n.Key, '/')+1:],
		"changeType": "noChange", "changeCertainty": "definite", "managementStatusChange": object{"before": was, "after": "managed"}}
	if !certain {
		change["changeCertainty"] = "potential"
	}
	r := m.w.Manager.Resources[key(n.Want.ID)]
	if r == nil {
		change["changeType"] = "create"
		change["resourceConfigurationChanges"] = object{"after": after}
		return change
	}
	if d := deltas("", r.Body, r.Want, after, "changeType"); len(d) > 0 {
		change["changeType"] = "modify"
		change["resourceConfigurationChanges"] = object{"before": r.Body, "after": after, "delta": d}
	}
	return change
}

// foresee is the body that a node would put. References to what does not stand yet stay as they are written, and make the
// prediction uncertain.
func (m *manager) foresee(x *expansion, n *node) (after object, certain bool) {
	certain = true
	look := m.foreseeing(x, n.Parent)
	after = asObject(m.partly(n.Want.Body, look, &certain))
	t, _ := parseTarget(n.Want.ID)
	after["id"], after["name"], after["type"] = n.Want.ID, t.name(), n.Want.Type
	return after, certain
}

func (m *manager) foreseeing(x *expansion, parent string) lookup {
	prefix := ""
	if parent != "" {
		prefix = parent + "/"
	}
	return lookup{list: unforeseen, reference: func(symbol string, full bool) (any, error) {
		n := x.nodes[prefix+symbol]
		if n.Nested {
			outputs := object{}
			for name, o := range n.Outputs {
				value, err := evaluate(asObject(o)["value"], m.foreseeing(x, n.Key))
				if err != nil {
					return nil, err
				}
				outputs[name] = object{"value": value}
			}
			return object{"outputs": outputs}, nil
		}
		r := m.w.Manager.Resources[key(n.Want.ID)]
		if r == nil {
			return nil, fmt.Errorf("%s does not stand yet", n.Want.ID)
		}
		if full {
			return r.Body, nil
		}
		return r.properties(), nil
	}}
}

// unforeseen: what-if calls no actions (learn.microsoft.com/azure/azure-resource-manager/templates/deploy-what-if).
func unforeseen(id string) (any, error) { return nil, fmt.Errorf("%s is not listed in a what-if", id) }

// partly evaluates what can be evaluated.
func (m *manager) partly(v any, look lookup, certain *bool) any {
	switch v := v.(type) {
	case object:
		out := make(object, len(v))
		for k, inner := range v {
			out[k] = m.partly(inner, look, certain)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = m.partly(inner, look, certain)
		}
		return out
	case string:
		value, err := evaluate(v, look)
		if err != nil {
			*certain = false
			return v
		}
		return value
	}
	return v
}

// deltas compares what stands with what is wanted, property by property. was is what was wanted before: what is in it and is
// wanted no more goes, while what the service itself added stays.
func deltas(path string, stands, was, want object, kind string) []any {
	out := []any{}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		at := strings.TrimPrefix(path+"."+k, ".")
		have, has := lookupFold(stands, k)
		next := want[k]
		if ignored(at) {
			continue
		}
		below, isObject := next.(object)
		haveBelow, hadObject := have.(object)
		switch {
		case !has && next == nil:
		case !has:
			out = append(out, object{"path": at, kind: naming(kind, "create"), "after": next})
		case isObject && hadObject:
			wasBelow, _ := lookupFold(was, k)
			out = append(out, deltas(at, haveBelow, asObject(wasBelow), below, kind)...)
		case !same(have, next):
			out = append(out, arrayOrValue(at, have, next, kind))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(was)) {
		at := strings.TrimPrefix(path+"."+k, ".")
		have, has := lookupFold(stands, k)
		if _, wanted := lookupFold(want, k); wanted || !has || ignored(at) || was[k] == nil {
			continue
		}
		out = append(out, object{"path": at, kind: naming(kind, "delete"), "before": have})
	}
	return out
}

// naming writes kinds of change as the two interfaces do: modify of stacks, Modify of deployments.
func naming(kind, change string) string {
	if kind == "propertyChangeType" {
		return titled(change)
	}
	return change
}

// ignored are members that do not describe a resource.
func ignored(path string) bool {
	return slices.Contains([]string{"id", "name", "type", "apiVersion", "systemData", "dependsOn"}, path)
}

func arrayOrValue(at string, have, next any, kind string) object {
	list, isList := next.([]any)
	had, hadList := have.([]any)
	if !isList || !hadList {
		return object{"path": at, kind: naming(kind, "modify"), "before": have, "after": next}
	}
	children := []any{}
	for i := range max(len(list), len(had)) {
		index := strconv.Itoa(i)
		switch {
		case i >= len(had):
			children = append(children, object{"path": index, kind: naming(kind, "create"), "after": list[i]})
		case i >= len(list):
			children = append(children, object{"path": index, kind: naming(kind, "delete"), "before": had[i]})
		case !same(had[i], list[i]):
			child := object{"path": index, kind: naming(kind, "modify"), "before": had[i], "after": list[i]}
			if below, both := list[i].(object); both && asObject(had[i]) != nil {
				child["children"] = deltas("", asObject(had[i]), nil, below, kind)
			}
			children = append(children, child)
		}
	}
	return object{"path": at, kind: naming(kind, "array"), "before": have, "after": next, "children": children}
}

// same compares a value that stands with one that is wanted: what the service added to objects does not count, nor how ids and
// regions are written.
func same(have, want any) bool {
	switch want := want.(type) {
	case object:
		h, isObject := have.(object)
		if !isObject {
			return false
		}
		for k, v := range want {
			if inner, has := lookupFold(h, k); (!has && v != nil) || has && !same(inner, v) {
				return false
			}
		}
		return true
	case []any:
		h, isList := have.([]any)
		return isList && len(h) == len(want) && !slices.ContainsFunc(indexes(len(h)), func(i int) bool { return !same(h[i], want[i]) })
	case string:
		h, isText := have.(string)
		return isText && (h == want || strings.HasPrefix(want, "/subscriptions/") && key(h) == key(want) || flat(h) == flat(want) && slices.Contains(regions(), flat(want)))
	}
	return reflect.DeepEqual(have, want)
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// deploymentWhatIf answers what-if of a deployment, which knows no stacks and therefore of no deletions.
func (m *manager) deploymentWhatIf(c *call, t target) answer {
	_, x, refused := m.deploymentRequest(c, t)
	if refused == nil {
		refused = m.preflightAll(x)
	}
	if refused != nil {
		return asAnswer(refused)
	}
	changes := []any{}
	for _, n := range x.resources() {
		after, _ := m.foresee(x, n)
		change := object{"resourceId": n.Want.ID, "changeType": "NoChange", "after": after, "symbolicName": n.Key[strings.LastIndexByte(n.Key, '/')+1:]}
		r := m.w.Manager.Resources[key(n.Want.ID)]
		if r == nil {
			change["changeType"] = "Create"
		} else {
			change["before"] = r.Body
			if d := deltas("", r.Body, r.Want, after, "propertyChangeType"); len(d) > 0 {
				change["changeType"], change["delta"] = "Modify", d
			}
		}
		changes = append(changes, change)
	}
	o := m.w.begin(t.ID, whatIfTakes)
	m.w.after(whatIfTakes, "what-if", " "+o.ID)
	o.Result = mustJSON(object{"status": "Succeeded", "properties": object{"correlationId": o.ID, "changes": changes}})
	return reply(http.StatusAccepted, nil).with("Location", m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1")
}
