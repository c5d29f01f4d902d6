package azure

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/plan"
)

// part is one resource of a template, with those of nested deployments.
type part struct {
	typ, name string
	id        string
	body      map[string]any
}

const typeDeployment = "Microsoft.Resources/deployments"

// partsOf lists the resources of a template that is deployed to a subscription, in the order of their ids.
func partsOf(subscription string, template json.RawMessage) ([]part, error) {
	var tree map[string]any
	if err := decodeNumbers(template, &tree); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var out []part
	collectParts(subscription, "", tree, &out)
	slices.SortFunc(out, func(a, b part) int { return cmp.Compare(a.id, b.id) })
	return out, nil
}

func collectParts(subscription, group string, template map[string]any, out *[]part) {
	resources, _ := template["resources"].(map[string]any)
	for _, symbol := range slices.Sorted(maps.Keys(resources)) {
		body, ok := resources[symbol].(map[string]any)
		if !ok || body["existing"] == true {
			continue
		}
		p := part{typ: textAt(body, "type"), name: textAt(body, "name"), body: body}
		if p.typ == typeDeployment {
			properties, _ := body["properties"].(map[string]any)
			inner, _ := properties["template"].(map[string]any)
			collectParts(subscription, cmp.Or(textAt(body, "resourceGroup"), group), inner, out)
			continue
		}
		p.id = idOf(subscription, group, textAt(body, "scope"), p)
		*out = append(*out, p)
	}
}

// textAt is a member of a resource as text. An output that is not known yet stands as its name in angle brackets.
func textAt(body map[string]any, key string) string {
	switch v := body[key].(type) {
	case string:
		return v
	case map[string]any:
		return fmt.Sprintf("<%v of %v>", v["name"], v["$output"])
	}
	return ""
}

func idOf(subscription, group, scope string, p part) string {
	base := "/subscriptions/" + subscription
	if p.typ == "Microsoft.Resources/resourceGroups" {
		return base + "/resourceGroups/" + p.name
	}
	switch {
	case scope != "" && !strings.HasPrefix(scope, "/"):
		base = idOfPath(base, group) + "/providers/" + scope
	case scope != "":
		base = scope
	default:
		base = idOfPath(base, group)
	}
	segments, names := strings.Split(p.typ, "/"), strings.Split(p.name, "/")
	if len(names) != len(segments)-1 {
		return base + "/providers/" + p.typ + "/" + p.name
	}
	return arm.On(base, p.typ, names...)
}

func idOfPath(base, group string) string {
	if group == "" {
		return base
	}
	return base + "/resourceGroups/" + group
}

// Parts says what a step does to every resource of its stack, by the difference of the recorded and the wanted template. It
// asks nobody, so it does not see what was changed behind the product's back: see Preview. Steps of other kinds have none.
func Parts(step flowehr.Step) []flowehr.Part {
	if step.Want.Ref.Kind != azure.KindStack {
		return nil
	}
	var before, after []part
	if step.Prior != nil && step.Prior.Pending != flowehr.Create {
		before = partsOfSpec(step.Prior.Resource.Spec)
	}
	if step.Action != flowehr.Delete {
		after = partsOfSpec(step.Want.Spec)
	}
	stood := map[string]part{}
	for _, p := range before {
		stood[strings.ToLower(p.id)] = p
	}
	var out []flowehr.Part
	for _, p := range after {
		key := strings.ToLower(p.id)
		old, there := stood[key]
		delete(stood, key)
		out = append(out, compared(p, old, there, step.Action == flowehr.Replace))
	}
	for _, p := range before {
		if _, gone := stood[strings.ToLower(p.id)]; gone {
			out = append(out, flowehr.Part{Kind: p.typ, Name: p.name, Action: flowehr.Delete})
		}
	}
	return out
}

func partsOfSpec(spec json.RawMessage) []part {
	var s azure.StackSpec
	if json.Unmarshal(spec, &s) != nil || len(s.Template) == 0 {
		return nil
	}
	parts, err := partsOf("", s.Template)
	if err != nil {
		return nil
	}
	return parts
}

func compared(p, old part, there, replace bool) flowehr.Part {
	out := flowehr.Part{Kind: p.typ, Name: p.name}
	switch {
	case !there:
		out.Action = flowehr.Create
		return out
	case replace:
		out.Action = flowehr.Replace
	}
	out.Changes = bodyChanges(old.body, p.body)
	if len(out.Changes) > 0 && !replace {
		out.Action = flowehr.Update
	}
	return out
}

// bodyChanges compares two resources of a template. The order of making them is no property of theirs.
func bodyChanges(before, after map[string]any) []flowehr.Change {
	var sides [2]json.RawMessage
	for i, body := range []map[string]any{before, after} {
		body = maps.Clone(body)
		delete(body, "dependsOn")
		raw, err := flowehr.Canonical(body)
		if err != nil {
			return nil // it came from JSON, so it goes back
		}
		sides[i] = raw
	}
	return plan.Diff(sides[0], sides[1])
}
