package compliance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// item is one resource of Azure, as a template or as Azure itself describes it.
type item struct {
	typ, name string // name has the segments of typ, outermost first: server/database
	id        string
	version   string // api-version
	scope     string // id of what an extension is on
	body      map[string]any
	state     reading
}

// reading says what is known of an item of the deployed view.
type reading int

const (
	read   reading = iota
	unread         // it was applied; nobody asked Azure for it
	gone           // Azure says that there is none
)

// view is one side of an environment, indexed for checks. Once it is made, only answers grow.
type view struct {
	in       Input
	deployed bool
	items    []*item
	byType   map[string][]*item // by lower-case type
	byID     map[string]*item   // by lower-case id
	byScope  map[string][]*item // extensions, by the lower-case id of what they are on
	listed   map[string]bool    // collections that Azure listed, by lower-case id
	specs    []flowehr.Resource // kinds other than stacks
	answers  map[string]Finding // by check
}

func (v *view) at() time.Time { return v.in.At }

// compiledView is what the definition becomes.
func compiledView(in Input) (*view, error) {
	v := newView(in, false)
	return v, v.takeResources(in.Resources)
}

// deployedView is what was applied, with the body of each item as Azure returned it.
func deployedView(in Input) (*view, error) {
	v := newView(in, true)
	var resources []flowehr.Resource
	for _, ref := range sortedRefs(in.State.Records) {
		resources = append(resources, in.State.Records[ref].Resource)
	}
	if err := v.takeResources(resources); err != nil {
		return nil, err
	}
	for _, it := range v.items {
		it.state = unread
	}
	for _, id := range slices.Sorted(maps.Keys(in.Live)) {
		if err := v.takeLive(id, in.Live[id]); err != nil {
			return nil, fmt.Errorf("body of %s: %w", id, err)
		}
	}
	return v, nil
}

func newView(in Input, deployed bool) *view {
	return &view{in: in, deployed: deployed, byType: map[string][]*item{}, byID: map[string]*item{}, byScope: map[string][]*item{}, listed: map[string]bool{}, answers: map[string]Finding{}}
}

func sortedRefs(records map[flowehr.Ref]flowehr.Record) []flowehr.Ref {
	return slices.SortedFunc(maps.Keys(records), func(a, b flowehr.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}

// takeResources adds the items of stacks and keeps the rest as it is.
func (v *view) takeResources(resources []flowehr.Resource) error {
	for _, r := range resources {
		if r.Ref.Kind != azure.KindStack {
			v.specs = append(v.specs, r)
			continue
		}
		items, err := itemsOf(r)
		if err != nil {
			return err
		}
		for _, it := range items {
			v.add(it)
		}
	}
	return nil
}

func (v *view) add(it *item) {
	key := strings.ToLower(it.id)
	if have := v.byID[key]; have != nil {
		have.body, have.state = it.body, it.state
		return
	}
	v.items = append(v.items, it)
	v.byType[strings.ToLower(it.typ)] = append(v.byType[strings.ToLower(it.typ)], it)
	v.byID[key] = it
	scope := strings.ToLower(strings.TrimSuffix(it.scope, "/"))
	v.byScope[scope] = append(v.byScope[scope], it)
}

// takeLive adds what Azure returned for an id: a resource, a list of them, or null.
func (v *view) takeLive(id string, body json.RawMessage) error {
	id, _, _ = strings.Cut(id, "?")
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if got == nil {
		if have := v.byID[strings.ToLower(id)]; have != nil {
			have.state = gone
		}
		return nil
	}
	list, isList := got["value"].([]any)
	if !isList {
		typ, name, scope := split(id)
		v.add(&item{typ: typ, name: name, id: id, scope: scope, body: got})
		return nil
	}
	v.listed[strings.ToLower(id)] = true
	for _, one := range list {
		member, _ := one.(map[string]any)
		if memberID, _ := member["id"].(string); memberID != "" {
			typ, name, scope := split(memberID)
			v.add(&item{typ: typ, name: name, id: memberID, scope: scope, body: member})
		}
	}
	return nil
}

// split reads a type and a name off an id. The last provider counts: before it stands what an extension is on.
func split(id string) (typ, name, scope string) {
	at := strings.LastIndex(strings.ToLower(id), "/providers/")
	if at < 0 {
		parts := strings.Split(strings.Trim(id, "/"), "/")
		return "Microsoft.Resources/resourceGroups", parts[len(parts)-1], ""
	}
	parts := strings.Split(id[at+len("/providers/"):], "/")
	types, names := []string{parts[0]}, []string{}
	for i, p := range parts[1:] {
		if i%2 == 0 {
			types = append(types, p)
		} else {
			names = append(names, p)
		}
	}
	return strings.Join(types, "/"), strings.Join(names, "/"), id[:at]
}

var subscriptionPattern = regexp.MustCompile(`/subscriptions/[0-9a-fA-F-]{36}`)

// itemsOf reads the template of a stack.
func itemsOf(r flowehr.Resource) ([]*item, error) {
	var spec azure.StackSpec
	if err := json.Unmarshal(r.Spec, &spec); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Ref, err)
	}
	var out []*item
	template := spec.Named()
	if err := walk(template, string(subscriptionPattern.Find(template)), "", &out); err != nil {
		return nil, fmt.Errorf("template of %s: %w", r.Ref, err)
	}
	slices.SortFunc(out, func(a, b *item) int { return strings.Compare(a.id, b.id) })
	return out, nil
}

type templateResource struct {
	arm.Resource
	Properties json.RawMessage `json:"properties"`
}

// walk reads a template and those nested in it. scope is the subscription or the group that it is deployed to.
func walk(template json.RawMessage, subscription, group string, out *[]*item) error {
	var t struct {
		Resources map[string]json.RawMessage `json:"resources"`
	}
	if err := json.Unmarshal(template, &t); err != nil {
		return err
	}
	for _, symbol := range slices.Sorted(maps.Keys(t.Resources)) {
		var r templateResource
		if err := json.Unmarshal(t.Resources[symbol], &r); err != nil {
			return fmt.Errorf("%s: %w", symbol, err)
		}
		if r.Type == "Microsoft.Resources/deployments" {
			var nested struct {
				Template json.RawMessage `json:"template"`
			}
			if err := json.Unmarshal(r.Properties, &nested); err != nil {
				return fmt.Errorf("%s: %w", symbol, err)
			}
			if err := walk(nested.Template, subscription, cmp.Or(r.ResourceGroup, group), out); err != nil {
				return fmt.Errorf("%s: %w", symbol, err)
			}
			continue
		}
		it, err := templateItem(t.Resources[symbol], r.Resource, subscription, group)
		if err != nil {
			return fmt.Errorf("%s: %w", symbol, err)
		}
		*out = append(*out, it)
	}
	return nil
}

func templateItem(raw json.RawMessage, r arm.Resource, subscription, group string) (*item, error) {
	it := &item{typ: r.Type, name: r.Name, version: r.APIVersion, scope: r.Scope}
	if err := json.Unmarshal(raw, &it.body); err != nil {
		return nil, err
	}
	names := strings.Split(r.Name, "/")
	if len(names) != strings.Count(r.Type, "/") {
		return nil, fmt.Errorf("name %q does not fit type %s", r.Name, r.Type)
	}
	base := subscription
	if group != "" {
		base += "/resourceGroups/" + group
	}
	switch {
	case r.Type == "Microsoft.Resources/resourceGroups":
		it.id = subscription + "/resourceGroups/" + r.Name
	case r.Scope != "":
		it.id = arm.On(r.Scope, r.Type, names...)
	default:
		it.id = arm.On(base, r.Type, names...)
		it.scope = base
	}
	return it, nil
}

// of lists items of types that stand, or that nobody knows not to stand.
func (v *view) of(types ...string) []*item {
	var out []*item
	for _, t := range types {
		out = append(out, v.byType[strings.ToLower(t)]...)
	}
	return out
}

// child finds an item one level below another, by the last segment of its type and name.
func (v *view) child(of *item, kind, name string) *item {
	return v.byID[strings.ToLower(of.id+"/"+kind+"/"+name)]
}

// children lists items below another whose type ends in kind.
func (v *view) children(of *item, kind string) []*item {
	prefix := strings.ToLower(of.id + "/" + kind + "/")
	var out []*item
	for _, it := range v.byType[strings.ToLower(of.typ+"/"+kind)] {
		if strings.HasPrefix(strings.ToLower(it.id), prefix) {
			out = append(out, it)
		}
	}
	return out
}

// find is the item of an id, nil when there is none.
func (v *view) find(id string) *item { return v.byID[strings.ToLower(id)] }

// on lists extension items of a type on an id.
func (v *view) on(id, typ string) []*item {
	var out []*item
	for _, it := range v.byScope[strings.ToLower(id)] {
		if strings.EqualFold(it.typ, typ) {
			out = append(out, it)
		}
	}
	return out
}

// called is how evidence names an item.
func (it *item) called() string {
	_, short, _ := strings.Cut(it.typ, ".")
	out := short + " " + it.name
	if it.extension() {
		out += " on " + shortID(it.scope)
	}
	return out
}

// extension says whether an item is on another one, such as a lock.
func (it *item) extension() bool {
	return strings.HasPrefix(it.id, it.scope+"/providers/") && strings.Contains(it.scope, "/providers/")
}

// get is a value of an item, by a path from its body. A segment of a path does not contain a dot.
func (it *item) get(path string) (any, bool) {
	var at any = it.body
	for p := range strings.SplitSeq(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[p]; !ok || at == nil {
			return nil, false
		}
	}
	return at, true
}

// text is a property as evidence shows it. The second result is whether it is set.
func (it *item) text(property string) (string, bool) {
	path := property
	if head, _, _ := strings.Cut(property, "."); head != "sku" && head != "identity" && head != "kind" {
		path = "properties." + property
	}
	at, ok := it.get(path)
	if !ok {
		return "", false
	}
	if s, is := at.(string); is {
		return s, true
	}
	out, err := json.Marshal(at)
	return string(out), err == nil
}

// list is a property that is an array of objects.
func (it *item) list(property string) []*item {
	at, _ := it.get("properties." + property)
	values, _ := at.([]any)
	var out []*item
	for _, one := range values {
		if m, ok := one.(map[string]any); ok {
			out = append(out, &item{body: m})
		}
	}
	return out
}

// strings is a property that is an array of strings.
func (it *item) strings(property string) []string {
	at, _ := it.get("properties." + property)
	values, _ := at.([]any)
	var out []string
	for _, one := range values {
		if s, ok := one.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
