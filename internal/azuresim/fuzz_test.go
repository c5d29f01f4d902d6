package azuresim

import (
	"errors"
	"strings"
	"testing"
)

// FuzzExpression: whatever stands in a template is read or refused, and what was read can be evaluated.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{"[reference('a').b.c]", "[reference('a', 'full').identity['principalId']]", "[concat('it''s ', reference('a').b[0])]", "[concat(concat('a','b'),'c')]",
		"[reference(]", "[]", "[a]", "[concat('x']", "[reference('').b]", "[concat(list('/x/y', '2025-03-01').properties.scmUri, '/hook')]", "[reference('a').]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isExpression(s) || len(s) < 2 {
			return
		}
		e, err := parseExpression(s)
		if err != nil {
			return
		}
		gone := errors.New("nothing stands")
		_, err = e.value(lookup{reference: func(string, bool) (any, error) { return nil, gone }, list: func(string) (any, error) { return nil, gone }})
		if symbols := e.symbols(); len(symbols) > 0 && !errors.Is(err, gone) {
			t.Errorf("%s refers to %q and is evaluated without them: %v", s, symbols, err)
		}
	})
}

func TestExpressions(t *testing.T) {
	look := lookup{list: func(id string) (any, error) { return object{"id": id}, nil }, reference: func(symbol string, full bool) (any, error) {
		whole := object{"identity": object{"principalId": "p"}, "properties": object{"Names": []any{"x", "y"}, "n": 3.0}}
		if full {
			return whole, nil
		}
		return whole["properties"], nil
	}}
	for text, want := range map[string]any{
		"[reference('a', 'full').identity.principalId]":  "p",
		"[reference('a').names[1]]":                      "y",
		"[reference('a').n]":                             3.0,
		"[concat('it''s ', reference('a').n, '.')]":      "it's 3.",
		"[concat(list('/x', '2025-03-01').id, '/hook')]": "/x/hook",
		"[[not one]": "[not one]",
		"plain":      "plain",
	} {
		if got, err := evaluate(text, look); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"[reference('a').missing]", "[reference('a').names[2]]", "[reference('a').n.m]", "[reference('a', 'half').n]", "[parameters('x')]", "[list('/x', 'latest').id]", "[reference('a').n", "['a' 'b']"} {
		got, err := evaluate(text, look)
		if err == nil && isExpression(text) {
			t.Errorf("%s: got %v, want an error", text, got)
		}
	}
}

// FuzzTarget: the parts of an id put together again are the id.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/subscriptions/s", "/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourcegroups/g/providers/A.b/c/d/e/f",
		"/subscriptions/s/resourceGroups/g/providers/A.b/c/d/providers/M.a/locks/l", "/subscriptions/s/providers/A.b/c", "/providers//", "//", "/subscriptions//resourceGroups/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, valid := parseTarget(path)
		if !valid {
			return
		}
		if whole := strings.TrimRight(path, "/"); got.Type != "" && got.Rest == "" && key(got.ID) != key(whole) {
			t.Errorf("%q: the id is %q", path, got.ID)
		}
		if got.Rest == "" && got.Type != "" && len(got.Names) != strings.Count(got.Type, "/") {
			t.Errorf("%q: type %q with names %q", path, got.Type, got.Names)
		}
		if parent := parentID(path); parent != "" && !within(path, parent) {
			t.Errorf("%q: its parent is %q", path, parent)
		}
	})
}

// FuzzToken: only what was signed is taken for a token.
func FuzzToken(f *testing.F) {
	w := &world{state: state{Key: "k"}}
	good := w.sign(claims{ObjectID: "o", Audience: "a"})
	f.Add(good)
	f.Add("a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if c, valid := w.verify(token); valid && token != good && (c.ObjectID != "o" || c.Audience != "a") {
			t.Errorf("%q was taken for a token of %+v", token, c)
		}
	})
}

func TestInterval(t *testing.T) {
	for text, want := range map[string]string{"P7D": "168h0m0s", "PT2H": "2h0m0s", "P1DT1M30S": "24h1m30s", "PT0S": "0s"} {
		if got, err := isoInterval(text); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7D", "P1Y", "PT99999999S", "P-1D"} {
		if got, err := isoInterval(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestActionsFitRoles(t *testing.T) {
	for _, test := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "Microsoft.Web/sites/write", true}, {"*/read", "Microsoft.Web/sites/read", true}, {"*/read", "Microsoft.Web/sites/write", false},
		{"Microsoft.Authorization/*/Write", "microsoft.authorization/roleAssignments/write", true}, {"Microsoft.Web/sites/*", "Microsoft.Web/serverfarms/write", false},
		{"Microsoft.Web/sites/read", "Microsoft.Web/sites/read", true},
	} {
		if got := fitsAny([]string{test.pattern}, test.action); got != test.want {
			t.Errorf("%s and %s: got %v", test.pattern, test.action, got)
		}
	}
}
