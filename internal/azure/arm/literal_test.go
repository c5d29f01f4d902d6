package arm_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr/internal/azure/arm"
)

func TestLiteral(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"plain", "plain"},
		{"[a]", "[[a]"},
		{`["ward-1"]`, `[["ward-1"]`},
		{"[a] and b", "[a] and b"},
		{"a [b]", "a [b]"},
		{"[", "["},
	} {
		if got := arm.Literal(c.text); got != c.want {
			t.Errorf("%q became %q, want %q", c.text, got, c.want)
		}
	}
}

// TestLiteralIsNoExpression: whatever the text, Resource Manager does not evaluate it and reads it back as it was.
func TestLiteralIsNoExpression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`\[{0,2}[a-z'()]{0,5}\]{0,2}`).Draw(t, "text")
		got := arm.Literal(text)
		bracketed := strings.HasPrefix(got, "[") && strings.HasSuffix(got, "]") && len(got) > 1
		if bracketed && !strings.HasPrefix(got, "[[") {
			t.Errorf("%q became the expression %q", text, got)
		}
		back := got
		if bracketed {
			back = got[1:]
		}
		if back != text {
			t.Errorf("%q is read back as %q", text, back)
		}
	})
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"address with credentials", arm.PublishingURL("/sites/x", "/hook"), "[concat(list('/sites/x/config/publishingcredentials', '2025-03-01').properties.scmUri, '/hook')]"},
		{"prefix", arm.Prefixed("https://", arm.Reference("w", "workspaceUrl")), "[concat('https://', reference('w').workspaceUrl)]"},
		{"prefix with a quote", arm.Prefixed("it's ", arm.Reference("w", "x")), "[concat('it''s ', reference('w').x)]"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
}
