// Package armtest holds ARM templates to Microsoft's published descriptions of resource types. Tests use it; the product does
// not.
//
// It reads the descriptions from a folder, which is not part of this repository, and it makes no request: that a template is
// right by its description does not say that Azure takes it.
//
// The rule that holds here: what the description does not allow is a problem, an enumeration that is left open upstream
// included. An expression and an output of another resource may stand for any value.
package armtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Variable names the environment variable with the folder of test data that is not committed.
const Variable = "FLOWEHR_TEST_DATA"

// Folder is where the descriptions are: below what the variable says, else beside the module. It is an error, and a reason to
// skip a test, when they are not there.
func Folder(getenv func(string) string) (string, error) {
	if dir := getenv(Variable); dir != "" {
		return existing(filepath.Join(dir, "azure-types"))
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return existing(filepath.Join(dir, "..", "shared", "data", "azure-types"))
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}

func existing(dir string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("descriptions of Azure's resource types are not here (set %s): %w", Variable, err)
	}
	return dir, nil
}

// Types are the descriptions of resource types.
type Types struct{ byName map[string]*description }

// Problem is something in a template that its description does not allow.
type Problem struct {
	Path string // symbolic names of nested deployments and the resource, then the property
	Text string
}

// String puts path and text together.
func (p Problem) String() string { return p.Path + ": " + p.Text }

// Open reads all descriptions of a folder.
func Open(dir string) (*Types, error) {
	files, err := filepath.Glob(filepath.Join(dir, "Microsoft.*.json"))
	if err != nil {
		return nil, err
	}
	t := &Types{byName: map[string]*description{}}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		d := &description{}
		if err := json.Unmarshal(data, d); err != nil {
			return nil, fmt.Errorf("read %s: %w", f, err)
		}
		if err := d.prepare(); err != nil {
			return nil, fmt.Errorf("read %s: %w", f, err)
		}
		t.byName[strings.ToLower(d.Type)] = d
	}
	if len(t.byName) == 0 {
		return nil, fmt.Errorf("%s has no descriptions of resource types", dir)
	}
	return t, nil
}

// Version returns the api-version of the description of a type, and whether there is one.
func (t *Types) Version(typ string) (string, bool) {
	if d := t.byName[strings.ToLower(typ)]; d != nil {
		return d.APIVersion, true
	}
	return "", false
}

// Takes reports whether resources of a type have a property of a name beside their properties, such as tags. It is false for a
// type without description.
func (t *Types) Takes(typ, property string) bool {
	d := t.byName[strings.ToLower(typ)]
	if d == nil {
		return false
	}
	p, ok := d.Types[0].Props[property]
	return ok && p.Flags&readOnly == 0
}

// template is as much of a template as has to be understood to check it.
type template struct {
	Schema          string                    `json:"$schema"`
	LanguageVersion string                    `json:"languageVersion"`
	ContentVersion  string                    `json:"contentVersion"`
	Resources       map[string]map[string]any `json:"resources"`
	Outputs         map[string]any            `json:"outputs"`
}

// Limits of templates.
// https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices#template-limits
const (
	maxBytes     = 4 << 20
	maxResources = 800
	maxOutputs   = 64
)

// Template returns the problems of a template and of those nested in it, in order of their paths. unpublished are types that
// need no description: only their names are checked.
func (t *Types) Template(raw json.RawMessage, unpublished ...string) []Problem {
	c := &checker{types: t, unpublished: unpublished}
	if len(raw) > maxBytes {
		c.bad("", "the template has %d bytes", len(raw))
	}
	c.template("", raw)
	if c.resources > maxResources {
		c.bad("", "the template has %d resources", c.resources)
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return c.problems
}

type checker struct {
	types       *Types
	unpublished []string
	resources   int
	problems    []Problem
}

func (c *checker) bad(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{path, fmt.Sprintf(format, args...)})
}

// symbolName is what language version 2.0 allows as a symbolic name.
var symbolName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *checker) template(path string, raw []byte) {
	var t template
	if err := json.Unmarshal(raw, &t); err != nil {
		c.bad(path, "not a template: %v", err)
		return
	}
	if t.LanguageVersion != "2.0" || t.ContentVersion == "" || t.Schema == "" {
		c.bad(path, "a template needs $schema, contentVersion and languageVersion 2.0")
	}
	if len(t.Outputs) > maxOutputs {
		c.bad(path, "%d outputs", len(t.Outputs))
	}
	symbols := sorted(t.Resources)
	seen := map[string]string{}
	for _, symbol := range symbols {
		at := join(path, symbol)
		r := t.Resources[symbol]
		c.resources++
		if !symbolName.MatchString(symbol) {
			c.bad(at, "is no symbolic name")
		}
		for _, need := range strs(r["dependsOn"]) {
			if _, ok := t.Resources[need]; !ok {
				c.bad(at+".dependsOn", "no resource is called %s", need)
			}
		}
		for _, need := range referred(r) {
			if _, ok := t.Resources[need]; !ok {
				c.bad(at, "reference to %s, which is no resource of this template", need)
			}
		}
		name, _ := r["name"].(string)
		scope, _ := r["scope"].(string)
		group, _ := r["resourceGroup"].(string)
		typ, _ := r["type"].(string)
		key := strings.ToLower(strings.Join([]string{typ, name, scope, group}, "|"))
		if first, twice := seen[key]; twice {
			c.bad(at, "is the same resource as %s", first)
		}
		seen[key] = symbol
		c.resource(at, r)
	}
	for _, need := range referred(map[string]any{"outputs": t.Outputs}) {
		if _, ok := t.Resources[need]; !ok {
			c.bad(join(path, "outputs"), "reference to %s, which is no resource of this template", need)
		}
	}
	if cycle := circle(t.Resources); cycle != nil {
		c.bad(path, "resources wait for each other: %s", strings.Join(cycle, " -> "))
	}
}

// resource checks one resource, and the template within a nested deployment.
func (c *checker) resource(path string, r map[string]any) {
	typ, _ := r["type"].(string)
	c.name(path, typ, r["name"])
	if strings.EqualFold(typ, "Microsoft.Resources/deployments") {
		properties, _ := r["properties"].(map[string]any)
		inner, err := json.Marshal(properties["template"])
		if err != nil {
			c.bad(path, "%v", err)
			return
		}
		c.template(path, inner)
	}
	d := c.types.byName[strings.ToLower(typ)]
	if d == nil {
		if !slices.Contains(c.unpublished, typ) {
			c.bad(path+".type", "no description of %s", typ)
		}
		return
	}
	if version, _ := r["apiVersion"].(string); version != d.APIVersion {
		c.bad(path+".apiVersion", "%q, the description is of %q", version, d.APIVersion)
	}
	if _, scoped := r["scope"]; scoped && d.Scopes&extensionScope == 0 {
		c.bad(path+".scope", "%s is no extension of other resources", typ)
	}
	body := map[string]any{}
	for k, v := range r {
		if !ofTemplate[k] {
			body[k] = v
		}
	}
	if name, ok := body["name"].(string); ok && !isExpression(name) {
		body["name"] = name[strings.LastIndexByte(name, '/')+1:]
	}
	w := &walker{d: d, bad: c.bad}
	w.walk(path, 0, body)
}

// ofTemplate are members of a resource that belong to the template and not to the body that is sent to Azure.
var ofTemplate = map[string]bool{"type": true, "apiVersion": true, "dependsOn": true, "scope": true, "resourceGroup": true}

// isExpression reports whether s is an expression of the template language rather than text.
func isExpression(s string) bool {
	return len(s) > 2 && s[0] == '[' && s[1] != '[' && s[len(s)-1] == ']'
}

// reference finds the symbolic names that expressions refer to.
var reference = regexp.MustCompile(`reference\('([^']+)'`)

// referred lists the symbolic names that expressions within v refer to, but not those of a template nested in it.
func referred(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		if isExpression(v) {
			for _, m := range reference.FindAllStringSubmatch(v, -1) {
				out = append(out, m[1])
			}
		}
	case []any:
		for _, e := range v {
			out = append(out, referred(e)...)
		}
	case map[string]any:
		if _, nested := v["languageVersion"]; nested {
			return nil
		}
		for _, k := range sorted(v) {
			out = append(out, referred(v[k])...)
		}
	}
	return out
}

// circle returns symbols that wait for each other, if any do.
func circle(resources map[string]map[string]any) []string {
	const entered, left = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(symbol string) []string
	visit = func(symbol string) []string {
		state[symbol] = entered
		path = append(path, symbol)
		for _, next := range append(strs(resources[symbol]["dependsOn"]), referred(resources[symbol])...) {
			if state[next] == entered {
				return append(slices.Clone(path[slices.Index(path, next):]), next)
			}
			if _, ok := resources[next]; ok && state[next] == 0 {
				if found := visit(next); found != nil {
					return found
				}
			}
		}
		path = path[:len(path)-1]
		state[symbol] = left
		return nil
	}
	for _, symbol := range sorted(resources) {
		if state[symbol] == 0 {
			if found := visit(symbol); found != nil {
				return found
			}
		}
	}
	return nil
}

func strs(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
