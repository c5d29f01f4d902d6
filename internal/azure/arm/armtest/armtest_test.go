package armtest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowehr/flowehr/internal/azure/arm/armtest"
)

func types(t *testing.T) *armtest.Types {
	t.Helper()
	all, err := armtest.Open("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// body is a template with one thing that has the given properties.
func body(properties string) string {
	return templateWith(fmt.Sprintf(`"a": {"type": "Microsoft.Test/things", "apiVersion": "2026-01-01", "name": "thing", "location": "here", "properties": %s}`, properties))
}

func templateWith(resources string) string {
	return fmt.Sprintf(`{"$schema": "s", "languageVersion": "2.0", "contentVersion": "1.0.0.0", "resources": {%s}}`, resources)
}

// TestProblems: each mistake is found, and said once with its place.
func TestProblems(t *testing.T) {
	all := types(t)
	mark := func(symbol, rest string) string {
		return fmt.Sprintf(`"%s": {"type": "Microsoft.Test/marks", "apiVersion": "2026-01-01", "name": "%s" %s}`, symbol, symbol, rest)
	}
	for _, c := range []struct{ name, template, want string }{
		{"right", body(`{"size": 3, "mode": "fast", "on": true, "list": [1, 2], "kindOf": {"type": "A", "a": 1, "note": "x"}, "any": {"x": []}, "code": "abc"}`), ""},
		{"expressions and outputs stand for anything", body(`{"size": "[length('abc')]", "on": {"$output": "stack/core", "name": "x"}, "code": "[concat('A')]"}`), ""},
		{"unknown property", body(`{"sise": 3}`), "a.properties.sise: unknown property, did you mean size?"},
		{"unknown property like none", body(`{"completelyElse": 3}`), "a.properties.completelyElse: unknown property"},
		{"read-only", body(`{"state": "x"}`), "a.properties.state: read-only property"},
		{"enumeration", body(`{"mode": "Medium"}`), "a.properties.mode: Medium is none of [Fast Slow]"},
		{"range", body(`{"size": 10}`), "a.properties.size: 10 is out of range"},
		{"fraction", body(`{"size": 1.5}`), "a.properties.size: 1.5 instead of a whole number"},
		{"kind of value", body(`{"on": "true"}`), "a.properties.on: text instead of a boolean"},
		{"in a list", body(`{"list": [1, 20]}`), "a.properties.list[1]: 20 is out of range"},
		{"pattern", body(`{"code": "A1"}`), `a.properties.code: "A1" does not match ^[a-z]+$`},
		{"escaped text is text", body(`{"code": "[[a]"}`), `a.properties.code: "[[a]" does not match ^[a-z]+$`},
		{"unknown variant", body(`{"kindOf": {"type": "C"}}`), `a.properties.kindOf.type: "C" is none of [A B]`},
		{"missing in a variant", body(`{"kindOf": {"type": "A"}}`), "a.properties.kindOf.a: missing"},
		{"null", body(`null`), "a.properties: null instead of an object"},
		{"missing", templateWith(`"a": {"type": "Microsoft.Test/things", "apiVersion": "2026-01-01", "name": "thing", "properties": {}}`), "a.location: missing"},
		{"length", templateWith(`"a": {"type": "Microsoft.Test/things", "apiVersion": "2026-01-01", "name": "a-thing-with-a-name", "location": "here", "properties": {}}`), `a.name: "a-thing-with-a-name" has 19 characters`},
		{"other version", templateWith(`"a": {"type": "Microsoft.Test/marks", "apiVersion": "2025-01-01", "name": "m"}`), `a.apiVersion: "2025-01-01", the description is of "2026-01-01"`},
		{"no description", templateWith(`"a": {"type": "Microsoft.Test/other", "apiVersion": "1", "name": "m"}`), "a.type: no description of Microsoft.Test/other"},
		{"parts of a name", templateWith(mark("a", "") + `, "b": {"type": "Microsoft.Test/marks", "apiVersion": "2026-01-01", "name": "x/y"}`), `b.name: "x/y" has not as many parts as Microsoft.Test/marks`},
		{"no extension", templateWith(`"a": {"type": "Microsoft.Test/things", "apiVersion": "2026-01-01", "name": "t", "location": "here", "scope": "/x", "properties": {}}`), "a.scope: Microsoft.Test/things is no extension of other resources"},
		{"depends on nothing", templateWith(mark("a", `, "dependsOn": ["b"]`)), "a.dependsOn: no resource is called b"},
		{"refers to nothing", body(`{"code": "[reference('b').x]"}`), "a: reference to b, which is no resource of this template"},
		{"circle", templateWith(mark("a", `, "dependsOn": ["b"]`) + "," + mark("b", `, "dependsOn": ["a"]`)), ": resources wait for each other: a -> b -> a"},
		{"twice", templateWith(mark("a", "") + `, "b": {"type": "Microsoft.Test/marks", "apiVersion": "2026-01-01", "name": "A"}`), "b: is the same resource as a"},
		{"symbol", templateWith(mark("a-b", "")), "a-b: is no symbolic name"},
		{"not a template", `[]`, ": not a template: json: cannot unmarshal array into Go value of type armtest.template"},
		{"language", `{"$schema": "s", "contentVersion": "1", "resources": {}}`, ": a template needs $schema, contentVersion and languageVersion 2.0"},
		{"nested", templateWith(`"d": {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "d", "properties": {"template": ` + body(`{"on": 1}`) + `}}`), "d.a.properties.on: a number instead of a boolean"},
		{"Azure's rule for a name", templateWith(`"a": {"type": "Microsoft.KeyVault/vaults", "apiVersion": "1", "name": "kv--x"}`), `a.name: "kv--x" is not allowed as the name of Microsoft.KeyVault/vaults`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range all.Template([]byte(c.template), "Microsoft.KeyVault/vaults") {
				got = append(got, p.String())
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

func TestTakes(t *testing.T) {
	all := types(t)
	if !all.Takes("Microsoft.Test/things", "tags") || all.Takes("Microsoft.Test/marks", "tags") || all.Takes("Microsoft.Test/other", "tags") {
		t.Error("things take tags, marks and unknown types do not")
	}
}

func TestFolder(t *testing.T) {
	data := func(dir string) func(string) string {
		return func(name string) string {
			if name != armtest.Variable {
				return ""
			}
			return dir
		}
	}
	empty := t.TempDir()
	if _, err := armtest.Folder(data(empty)); err == nil || !strings.Contains(err.Error(), armtest.Variable) {
		t.Errorf("error %v does not name the variable", err)
	}
	if _, err := armtest.Open(filepath.Join(empty, "azure-types")); err == nil {
		t.Error("an empty folder was opened")
	}
}
