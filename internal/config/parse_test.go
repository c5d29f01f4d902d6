package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", 'b'+i, 'b'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"tab", "a:\n  b: 1\n\tc: 2\n", "f:3:1: a tab stands where spaces belong"},
		{"tab after spaces", "a:\n  b: 1\n  \tc: {\n", "f:3:3: a tab stands where spaces belong"},
		{"two colons", "a: b: c", `f:1:5: unexpected ": "`},
		{"open bracket", "a: [b\n", "f:2:1: not valid YAML"},
		{"unknown alias", "a: *b", "f:1:4: not valid YAML: unknown anchor"},
		{"at sign", "a: @b", "f:1:4: not valid YAML: found character that cannot start"},
		{"alias in its own anchor", "a: &a\n  b: *a\n", "f:2:6: the alias *a stands inside its own anchor"},
		{"merge key in its own anchor", "a: &a\n  <<: *a\n", "f:2:7: the alias *a stands inside its own anchor"},
		{"merge key of a text", "<<: x", `f:1:5: "<<" needs a group of keys`},
		{"alias bomb", bomb, "too large or nested too deeply"},
		{"deep nesting", "a: " + strings.Repeat("[", 90) + strings.Repeat("]", 90), "too large or nested too deeply"},
		{"list at the top", "- a", "f:1:1: the file holds a list instead of keys"},
		{"text at the top", "hello", "f:1:1: the file holds a single value instead of keys"},
		{"second document", "a: 1\n---\nb: 2\n", "f:3:1: a second document starts here"},
		{"twice", "a: 1\nb: 2\na: 3\n", `f:3:1: key "a" is here twice`},
		{"twice, quoted", "a: 1\n'a': 3\n", `f:2:1: key "a" is here twice`},
		{"key is a list", "? [a]\n: b\n", "f:1:3: a key must be a single word"},
		{"no key", "'': b\n", "f:1:1: a key is missing"},
		{"own tag", "a: !env NAME", "f:1:4: the tag !env is not supported"},
		{"binary", "a: !!binary aGk=", "f:1:4: the tag !!binary is not supported"},
		{"UTF-16", "\xff\xfea\x00", "f:1:1: the file is saved as UTF-16"},
		{"Latin-1", "a: b\nc: caf\xe9", "f:2:7: the file is not UTF-8 text"},
		{"control character", "a: \x07", "f:1:4: an invisible control character"},
		{"lone carriage return", "a: 1\rb: 2\n", "f:1:5: an unusual line break"},
		{"line separator", "a: 1\nb: 'x\u2028'", "f:2:6: an unusual line break"},
		{"larger than any definition", "# " + strings.Repeat("x", maxBytes), "f:1:1: the file is larger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, diags := parse("f", []byte(c.text))
			if len(diags) != 1 {
				t.Fatalf("got %d diagnostics, want one: %v", len(diags), diags)
			}
			if got := diags[0].Pos.String() + ": " + diags[0].Summary; !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty file", "", "<nil>"},
		{"remarks only", "# a\n\n# b\n", "<nil>"},
		{"a mark only", "---\n", "<nil>"},
		{"null", "~\n", "<nil>"},
		{"byte order mark", "\ufeffa: 1", "a=1@1:4"},
		{"carriage returns", "a: 1\r\nb: 2\r\n", "a=1@1:4 b=2@2:4"},
		{"a mark at both ends", "---\na: 1\n...\n", "a=1@2:4"},
		{"written text of scalars", "a: 3.30\nb: 0x1F\nc: 007\nd: yes\ne: 2027-03-31\nf: 1e3", "a=3.30@1:4 b=0x1F@2:4 c=007@3:4 d=yes@4:4 e=2027-03-31@5:4 f=1e3@6:4"},
		{"text over several lines", "a: |\n  b\n  c\nd: >\n  e\n  f\n", "a=b\nc\n@1:4 d=e f\n@4:4"},
		{"alias", "a: &x 1\nb: *x", "a=1@1:4 b=1@1:4"},
		{"alias as a key", "a: &x k\n*x : 2", "a=k@1:4 k=2@2:6"},
		{"merge key gives way", "a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}", "a/k=1@1:11 a/l=2@1:17 b/k=3@2:16 b/l=2@1:17"},
		{"first of several merge keys wins", "a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc: {<<: [*x, *y]}", "a/k=1@1:11 b/k=2@2:11 b/l=3@2:17 c/k=1@1:11 c/l=3@2:17"},
		{"explicit tags", "a: !!str 1\nb: !!int 2", "a=1@1:4 b=2@2:4"},
		{"column counts characters", "ü: {é: x}", "ü/é=x@1:8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, diags := parse("f", []byte(c.text))
			if len(diags) > 0 {
				t.Fatalf("unexpected diagnostics: %v", diags)
			}
			got := "<nil>"
			if n != nil {
				got = strings.Join(flat("", n), " ")
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// flat writes each scalar as path=text@line:column.
func flat(path string, n *node) []string {
	if n.kind != kindMapping {
		return []string{fmt.Sprintf("%s=%s@%d:%d", path, n.text, n.pos.Line, n.pos.Column)}
	}
	var out []string
	for _, f := range n.fields {
		out = append(out, flat(strings.TrimPrefix(path+"/"+f.key, "/"), f.value)...)
	}
	return out
}
