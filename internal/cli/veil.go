package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/flowehr/flowehr"
)

// shortestSecret is the length from which a value is looked for in what is written: shorter ones stand in ordinary words.
const shortestSecret = 4

// veil knows the values of secrets and keeps them out of whatever is written through its writers. Values are meant not to
// get there in the first place; the veil is for those that shape a name, and for the words of other programs. It is safe
// for concurrent use.
type veil struct {
	mu    sync.Mutex
	words []string // longest first, so that a value within another does not leave the rest of it
}

// Hide adds values, with the forms that they take in JSON and in addresses.
func (v *veil) Hide(values ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, value := range values {
		for _, form := range []string{value, quoted(value), url.QueryEscape(value), url.PathEscape(value)} {
			// The words of JSON are nobody's password, and an answer without them could not be read.
			if len(value) < shortestSecret || form == "true" || form == "false" || form == "null" || slices.Contains(v.words, form) {
				continue
			}
			v.words = append(v.words, form)
		}
	}
	slices.SortFunc(v.words, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
}

// quoted is value as it stands between the quotes of a JSON text.
func quoted(value string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // a string can always be encoded
	text := strings.TrimSuffix(b.String(), "\n")
	return text[1 : len(text)-1]
}

// mask returns text with every value masked, but for an end that is to wait for what comes after it: it may be the
// beginning of a value. With last nothing comes any more.
func (v *veil) mask(text string, last bool) (masked, rest string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	end := len(text)
	if !last {
		end -= v.unfinished(text)
	}
	var b strings.Builder
	for i := 0; i < end; {
		w := v.at(text[i:])
		if i+len(w) > end {
			return b.String(), text[i:] // a value must not be cut in two
		}
		if w != "" {
			b.WriteString(flowehr.Masked)
			i += len(w)
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String(), text[end:]
}

// at returns the longest value that text begins with.
func (v *veil) at(text string) string {
	for _, w := range v.words {
		if strings.HasPrefix(text, w) {
			return w
		}
	}
	return ""
}

// unfinished returns how many bytes at the end of text may be the beginning of a value.
func (v *veil) unfinished(text string) int {
	longest := 0
	for _, w := range v.words {
		for n := min(len(w)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, w[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// Over returns a writer that masks what goes to w. Close it to have the last bytes.
func (v *veil) Over(w io.Writer) *veiled { return &veiled{veil: v, to: w} }

// veiled masks values on their way to a writer, also those that come in two pieces.
type veiled struct {
	veil *veil
	to   io.Writer

	mu   sync.Mutex
	rest string // may be the beginning of a value
}

// Write passes p on, masked, but for an end that may be the beginning of a value: that waits for what comes next.
func (w *veiled) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, rest := w.veil.mask(w.rest+string(p), false)
	w.rest = rest
	if _, err := io.WriteString(w.to, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was kept back. It does not close what is below.
func (w *veiled) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, _ := w.veil.mask(w.rest, true)
	w.rest = ""
	_, err := io.WriteString(w.to, text)
	return err
}

// file is what a stream is to the system, beneath the veil: a terminal, for example.
func file(stream any) (*os.File, bool) {
	if w, ok := stream.(io.Writer); ok {
		stream = beneath(w)
	}
	f, ok := stream.(*os.File)
	return f, ok
}

// beneath is the stream beneath the veil.
func beneath(w io.Writer) io.Writer {
	if v, ok := w.(*veiled); ok {
		return v.to
	}
	return w
}
