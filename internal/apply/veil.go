package apply

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/flowehr/flowehr"
)

// shortestVeiled is the length from which the value of a secret is looked for in texts. Hiding shorter ones would punch
// holes into ordinary words and show by where they are what the value is.
const shortestVeiled = 4

// veil hides, in texts that leave the run, the values of the secrets that it has handed out. It is the second line:
// targets are not to put them there in the first place.
type veil struct {
	mu     sync.Mutex
	values []string // longest first, each once: a shorter one may be part of a longer one and must not leave its rest
}

func (v *veil) add(s flowehr.Secret) {
	value := s.Reveal()
	if len(value) < shortestVeiled {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values = append(v.values, value, url.QueryEscape(value), url.PathEscape(value), url.User(value).String())
	slices.SortFunc(v.values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	v.values = slices.Compact(v.values)
}

// text returns s with every value masked.
func (v *veil) text(s string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, value := range v.values {
		s = strings.ReplaceAll(s, value, flowehr.Masked)
	}
	return s
}

// found reports whether s holds a value.
func (v *veil) found(s string) bool { return v.text(s) != s }

// veiledError shows the masked text of an error and keeps the chain for errors.Is and errors.AsType.
type veiledError struct {
	text string
	err  error
}

func (e veiledError) Error() string { return e.text }
func (e veiledError) Unwrap() error { return e.err }

// error returns err, masked if need be.
func (v *veil) error(err error) error {
	if masked := v.text(err.Error()); masked != err.Error() {
		return veiledError{text: masked, err: err}
	}
	return err
}
