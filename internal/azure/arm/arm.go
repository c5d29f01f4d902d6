// Package arm builds ARM templates from one generic resource and constructors for what the product uses.
//
// It knows resource types, their api-versions and the form of a template; it does not know the product's environments
// (package estate) and makes no request.
//
// The rule that holds here: templates are literal. Names and ids are written out, there are no parameters, and the only
// expressions are [Reference] and [FullReference], for values that exist at run time alone, [Prefixed] and [Ending], for what is
// made of one, and [PublishingURL], for the one secret that Resource Manager fills in by itself. So what-if is not cut short,
// and a template can be compared with the one before.
package arm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Object is a JSON object.
type Object = map[string]any

// Resource is one resource of a template, without the name that other parts of the template know it by.
type Resource struct {
	Type          string            `json:"type"`
	APIVersion    string            `json:"apiVersion"`
	Name          string            `json:"name"`
	Scope         string            `json:"scope,omitempty"`         // of an extension: the id of what it is on
	ResourceGroup string            `json:"resourceGroup,omitempty"` // of a nested deployment
	Location      string            `json:"location,omitempty"`
	Kind          string            `json:"kind,omitempty"`
	SKU           Object            `json:"sku,omitempty"`
	Identity      Object            `json:"identity,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
	Zones         []string          `json:"zones,omitempty"`
	Properties    any               `json:"properties,omitempty"`
	DependsOn     []string          `json:"dependsOn,omitempty"` // symbolic names
}

// New is a resource of a type that this package knows. It panics for another: types are written in code, not by users.
func New(typ, name string, properties Object) Resource {
	version, ok := Version(typ)
	if !ok {
		panic("arm: no api-version for " + typ)
	}
	r := Resource{Type: typ, APIVersion: version, Name: name}
	if properties != nil {
		r.Properties = properties
	}
	return r
}

// Version returns the api-version used for a type, and whether the type is known.
func Version(typ string) (string, bool) {
	if v, ok := versions[typ]; ok {
		return v, true
	}
	v, ok := unpublished[typ]
	return v, ok
}

// Types lists the known types in order, those without a published description included.
func Types() []string {
	var out []string
	for t := range versions {
		out = append(out, t)
	}
	for t := range unpublished {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// Output is a value that a template returns.
type Output struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// Template is an ARM template of language version 2.0, whose resources have symbolic names.
type Template struct {
	Schema          string              `json:"$schema"`
	LanguageVersion string              `json:"languageVersion"`
	ContentVersion  string              `json:"contentVersion"`
	Resources       map[string]Resource `json:"resources"`
	Outputs         map[string]Output   `json:"outputs,omitempty"`
}

const (
	subscriptionSchema = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
	groupSchema        = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
)

// ForSubscription is an empty template that is deployed to a subscription.
func ForSubscription() *Template { return newTemplate(subscriptionSchema) }

// ForGroup is an empty template that is deployed to a resource group.
func ForGroup() *Template { return newTemplate(groupSchema) }

func newTemplate(schema string) *Template {
	return &Template{Schema: schema, LanguageVersion: "2.0", ContentVersion: "1.0.0.0", Resources: map[string]Resource{}, Outputs: map[string]Output{}}
}

// Add puts r into the template under a symbolic name. It panics when the name is taken.
func (t *Template) Add(symbol string, r Resource) string {
	if _, taken := t.Resources[symbol]; taken {
		panic("arm: two resources are called " + symbol)
	}
	t.Resources[symbol] = r
	return symbol
}

// Return makes value an output of the template, as a string.
func (t *Template) Return(name string, value any) {
	t.Outputs[name] = Output{Type: "string", Value: value}
}

// Nest puts inner into t as a nested deployment to a resource group and returns its symbolic name, which is name with _ for -.
// Outputs of inner become outputs of t.
func (t *Template) Nest(name, group string, inner *Template, after ...string) string {
	symbol := t.Add(strings.ReplaceAll(name, "-", "_"), Resource{Type: "Microsoft.Resources/deployments", APIVersion: versions["Microsoft.Resources/deployments"], Name: name, ResourceGroup: group,
		Properties: Object{"mode": "Incremental", "expressionEvaluationOptions": Object{"scope": "inner"}, "template": inner}, DependsOn: after})
	for out := range inner.Outputs {
		t.Return(out, fmt.Sprintf("[reference('%s').outputs.%s.value]", symbol, out))
	}
	return symbol
}

// Reference is a property of a resource of the same template, known when it is deployed.
func Reference(symbol, property string) string {
	return fmt.Sprintf("[reference('%s').%s]", symbol, property)
}

// FullReference is a member of a resource outside its properties, such as identity.principalId.
func FullReference(symbol, path string) string {
	return fmt.Sprintf("[reference('%s', 'full').%s]", symbol, path)
}

// JSON writes the template.
func (t *Template) JSON() (json.RawMessage, error) { return json.Marshal(t) }

// ID is the id of a resource in a group: names are those of the segments of typ, outermost first.
func ID(subscription, group, typ string, names ...string) string {
	return GroupID(subscription, group) + "/providers/" + path(typ, names)
}

// GroupID is the id of a resource group.
func GroupID(subscription, group string) string {
	return "/subscriptions/" + subscription + "/resourceGroups/" + group
}

// SubscriptionID is the id of a resource of a subscription.
func SubscriptionID(subscription, typ string, names ...string) string {
	return "/subscriptions/" + subscription + "/providers/" + path(typ, names)
}

// On is the id of an extension resource on another.
func On(scope, typ string, names ...string) string { return scope + "/providers/" + path(typ, names) }

// path interleaves the segments of a type with names: a/b/c and [x y] become a/b/x/c/y.
func path(typ string, names []string) string {
	segments := strings.Split(typ, "/")
	var b strings.Builder
	b.WriteString(segments[0])
	for i, s := range segments[1:] {
		b.WriteString("/" + s + "/" + names[i])
	}
	return b.String()
}
