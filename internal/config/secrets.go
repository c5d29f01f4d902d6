package config

import (
	"regexp"
	"slices"

	"github.com/flowehr/flowehr"
)

// referencePattern finds a reference to a secret in a schema's notation.
const referencePattern = `\$\{[A-Za-z_][A-Za-z0-9_]*\}`

// Lookup finds the value of a secret. It is called for names that the definition mentions, and with nothing else.
type Lookup func(name string) (value string, ok bool)

// Chain asks each lookup in turn; the first that knows the name answers. A nil lookup knows nothing.
func Chain(lookups ...Lookup) Lookup {
	return func(name string) (string, bool) {
		for _, l := range lookups {
			if l == nil {
				continue
			}
			if v, ok := l(name); ok {
				return v, true
			}
		}
		return "", false
	}
}

// Reference is one place of the definition that names a secret.
type Reference struct {
	Name string
	Pos  flowehr.Pos
	Path string // the key that needs it, for people
	Held bool   // the lookup knows it

	// Resolved says that the value itself shapes the environment (a name, a number, an address range) and is part of
	// the model. Whatever prints the model must redact it.
	Resolved bool
}

// secrets resolves references and remembers each.
type secrets struct {
	lookup  Lookup
	allowed []string // names that may be missing
	refs    []Reference
	diags   []flowehr.Diagnostic
	seen    map[Reference]bool
	said    map[flowehr.Diagnostic]bool
}

func newSecrets(o Options) secrets {
	return secrets{lookup: o.Lookup, allowed: o.AllowMissing, seen: map[Reference]bool{}, said: map[flowehr.Diagnostic]bool{}}
}

// note records the references of a text that stays as written.
func (s *secrets) note(n *node, path string) {
	for _, name := range flowehr.Text(n.text).Secrets() {
		if !s.find(Reference{Name: name, Pos: n.pos, Path: path}) && !slices.Contains(s.allowed, name) {
			s.missing(name, n.pos)
		}
	}
	s.misspelt(n)
}

// resolve returns the text with its secrets filled in. A key that shapes the environment cannot wait for a secret, so
// no name may be missing here.
func (s *secrets) resolve(n *node, path string) (string, bool) {
	s.misspelt(n)
	ok := true
	for _, name := range flowehr.Text(n.text).Secrets() {
		if !s.find(Reference{Name: name, Pos: n.pos, Path: path, Resolved: true}) {
			s.missing(name, n.pos)
			ok = false
		}
	}
	if !ok {
		return "", false
	}
	value, err := flowehr.Text(n.text).Resolve(func(name string) (flowehr.Secret, error) {
		v, _ := s.lookup(name)
		return flowehr.NewSecret(v), nil
	})
	return value.Reveal(), err == nil
}

// find records where a secret is needed and reports whether it has a value.
func (s *secrets) find(r Reference) bool {
	if s.lookup != nil {
		_, r.Held = s.lookup(r.Name)
	}
	if !s.seen[r] {
		s.seen[r] = true
		s.refs = append(s.refs, r)
	}
	return r.Held
}

func (s *secrets) missing(name string, pos flowehr.Pos) {
	s.say(flowehr.Errorf(pos, "secret %s has no value", name).
		With("Set it with: flowehr secrets set %s   (or export it, or put it in .env)", name))
}

// looksLikeReference finds what somebody may have meant as a reference.
var looksLikeReference = regexp.MustCompile(`\$?\$\{([^{}]*)\}?`)

// misspelt warns of "${" that names no secret and so stays in the text.
func (s *secrets) misspelt(n *node) {
	for _, m := range looksLikeReference.FindAllStringSubmatch(n.text, -1) {
		if len(flowehr.Text(m[0]).Secrets()) > 0 || m[0][:2] == "$$" {
			continue
		}
		s.say(flowehr.Warningf(n.pos, "%q names no secret", m[0]).
			With("A reference is ${NAME} with letters, digits and _. The text is used as it stands; write $%s to say that it is meant so.", m[0]))
	}
}

// say reports once: a value behind an alias is read at every place that uses it.
func (s *secrets) say(d flowehr.Diagnostic) {
	if !s.said[d] {
		s.said[d] = true
		s.diags = append(s.diags, d)
	}
}
