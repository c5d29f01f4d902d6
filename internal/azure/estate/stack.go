package estate

import (
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// stack is a deployment stack that is being described. Its template is deployed to the subscription and nests one template for
// each resource group; most of everything is in the environment's own.
type stack struct {
	l      *lowering
	layer  flowehr.Layer
	part   string // core, transform, pipelines, serve, app-<id>
	top    *arm.Template
	group  *arm.Template            // the environment's resource group
	others map[string]*arm.Template // those of others, by name
	first  []string                 // symbols of top that all groups come after
	last   *stack                   // see later
	names  map[string]azure.Value   // see azure.StackSpec
	holds  bool
}

// stack begins the description of a stack.
func (l *lowering) stack(layer flowehr.Layer, part string) *stack {
	return &stack{l: l, layer: layer, part: part, top: arm.ForSubscription(), group: arm.ForGroup(), others: map[string]*arm.Template{}}
}

// add puts r into the environment's resource group.
func (s *stack) add(symbol string, r arm.Resource, after ...string) string {
	r.DependsOn = append(r.DependsOn, after...)
	return s.group.Add(symbol, r)
}

// in is the template of another resource group. It is deployed after that of the environment's own, so it depends on nothing
// there by symbol.
func (s *stack) in(group string) *arm.Template {
	if strings.EqualFold(group, s.l.names.Group()) {
		return s.group
	}
	if s.others[group] == nil {
		s.others[group] = arm.ForGroup()
	}
	return s.others[group]
}

// later is for what goes into the environment's resource group after the templates of other groups.
func (s *stack) later() *stack {
	if s.last == nil {
		s.last = &stack{l: s.l, layer: s.layer, part: s.part, group: arm.ForGroup(), others: s.others}
	}
	return s.last
}

// done adds the stack to what is lowered. It needs what its template uses outputs of, and needs besides.
func (s *stack) done(pos flowehr.Pos, needs ...flowehr.Ref) flowehr.Ref {
	names := s.l.names
	name := names.Stack(s.part)
	all := []string{s.top.Nest(names.Deployment(s.part, 1), names.Group(), s.group, s.first...)}
	for _, other := range slices.Sorted(maps.Keys(s.others)) {
		all = append(all, s.top.Nest(names.Deployment(s.part, len(all)+1), other, s.others[other], all[0]))
	}
	if s.last != nil {
		s.top.Nest(names.Deployment(s.part, len(all)+1), names.Group(), s.last.group, all...)
	}
	spec := azure.StackSpec{Name: name, Location: s.l.env.Location, Deny: s.l.env.RealData, Names: s.names}
	var err error
	if spec.Template, err = s.top.JSON(); err != nil {
		s.l.refuse(pos, "", "the template of %s cannot be written: %v", name, err)
	}
	ref := s.l.add(s.layer, azure.KindStack, s.part, pos, spec, needs...)
	if s.holds {
		s.l.holds(ref)
	}
	return ref
}

// id is the id of a resource in the environment's resource group.
func (l *lowering) id(typ string, names ...string) string {
	return arm.ID(l.facts.Subscription, l.names.Group(), typ, names...)
}

// regional is a resource in the environment's region, with its tags.
func (l *lowering) regional(typ, name string, properties arm.Object) arm.Resource {
	r := arm.New(typ, name, properties)
	r.Location, r.Tags = l.env.Location, l.tags()
	return r
}

// tags are the definition's, as a template writes them.
func (l *lowering) tags() map[string]string {
	tags := make(map[string]string, len(l.env.Tags))
	for k, v := range l.env.Tags {
		tags[k] = arm.Literal(v)
	}
	return tags
}

// global is a resource of a type that is in no region.
func (l *lowering) global(typ, name string, properties arm.Object) arm.Resource {
	r := l.regional(typ, name, properties)
	r.Location = "global"
	return r
}

// roleDefinition is the id of a role as assignments name it.
func (l *lowering) roleDefinition(role string) string {
	return arm.SubscriptionID(l.facts.Subscription, "Microsoft.Authorization/roleDefinitions", role)
}

// allow gives a principal a role on the resource of an id. principal is a string, an azure.Value or an expression; who says the
// same in words that are known now, because the assignment's name follows from them.
func (l *lowering) allow(scope, role string, principal any, kind, who string) arm.Resource {
	r := arm.New("Microsoft.Authorization/roleAssignments", azure.GUID("assignment", scope, role, who), arm.Object{
		"roleDefinitionId": l.roleDefinition(role),
		"principalId":      principal,
		"principalType":    kind,
	})
	r.Scope = scope
	return r
}

// logged sends logs of the given categories, and the metrics, of the resource of an id to the log workspace.
func (l *lowering) logged(scope string, metrics bool, categories ...string) arm.Resource {
	properties := arm.Object{"workspaceId": l.id("Microsoft.OperationalInsights/workspaces", l.names.Logs())}
	var logs []arm.Object
	for _, c := range categories {
		logs = append(logs, arm.Object{"category": c, "enabled": true})
	}
	if logs != nil {
		properties["logs"] = logs
	}
	if metrics {
		properties["metrics"] = []arm.Object{{"category": "AllMetrics", "enabled": true}}
	}
	r := arm.New("Microsoft.Insights/diagnosticSettings", l.names.Diagnostics(), properties)
	r.Scope = scope
	return r
}

// locked keeps the resource of an id from being deleted, by whomever, and with it everything below it: a zone that leaves the
// definition stays until somebody takes the lock away. Stacks of an environment with real data lock what holds it; destroying
// takes the locks away first.
func (l *lowering) locked(scope, name string) arm.Resource {
	r := arm.New("Microsoft.Authorization/locks", "lock-"+name, arm.Object{
		"level": "CanNotDelete",
		"notes": "Holds real data. FlowEHR removes this lock when the environment is destroyed.",
	})
	r.Scope = scope
	return r
}
