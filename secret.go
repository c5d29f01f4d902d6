package flowehr

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Masked is what stands in every output for a value that came from a secret.
const Masked = "••••"

// Secret hides its value from fmt, slog and JSON; only Reveal returns it. The pointer is deliberate: fmt walks
// unexported fields and ignores methods there, so a plain string would be printed.
type Secret struct{ value *string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the value. Call it where the value is used, and nowhere else. The zero Secret is empty.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String returns [Masked].
func (Secret) String() string { return Masked }

// GoString returns [Masked].
func (Secret) GoString() string { return Masked }

// MarshalText returns [Masked].
func (Secret) MarshalText() ([]byte, error) { return []byte(Masked), nil }

// Text is a configured string that may name secrets: "user ${NAME}". It keeps the names, never the values, so it may
// stand in a plan or a state. "$${" is a literal "${".
type Text string

// tokenPattern finds an escaped opening or a named secret.
var tokenPattern = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Literal returns a Text that resolves to exactly s.
func Literal(s string) Text { return Text(strings.ReplaceAll(s, "${", "$${")) }

// Secrets lists the names of secrets in t, each once, in order of appearance.
func (t Text) Secrets() []string {
	var names []string
	seen := map[string]bool{}
	for _, m := range tokenPattern.FindAllStringSubmatch(string(t), -1) {
		if m[1] != "" && !seen[m[1]] {
			seen[m[1]] = true
			names = append(names, m[1])
		}
	}
	return names
}

// Resolve replaces each name by what lookup returns. The first error of lookup ends it.
func (t Text) Resolve(lookup func(name string) (Secret, error)) (Secret, error) {
	var failed error
	out := tokenPattern.ReplaceAllStringFunc(string(t), func(m string) string {
		if m == "$${" {
			return "${"
		}
		s, err := lookup(m[2 : len(m)-1])
		if err != nil && failed == nil {
			failed = err
		}
		return s.Reveal()
	})
	if failed != nil {
		return Secret{}, failed
	}
	return NewSecret(out), nil
}

// String shows t with every secret masked.
func (t Text) String() string {
	return tokenPattern.ReplaceAllStringFunc(string(t), func(m string) string {
		if m == "$${" {
			return "${"
		}
		return Masked
	})
}

// Format makes every fmt verb print the masked form.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// MarshalJSON keeps the names, so that a plan can be applied later. It holds no value.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(string(t)) }
