package adf

import (
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// reader reads an object of a definition that becomes part of a job. What is wrong is refused where it stands; a member that nobody
// asked for is refused by rest, so that nothing is left out in silence.
type reader struct {
	l     *lowering
	what  string // for messages
	o     *expr.Object
	at    fault
	asked map[string]bool
}

func (l *lowering) read(what string, o *expr.Object, at fault) *reader {
	return &reader{l: l, what: what, o: o, at: at, asked: map[string]bool{}}
}

func (r *reader) place(key string) fault { return fault{r.at.file, child(r.at.pointer, key)} }

// value is a member as it is written, whatever its case.
func (r *reader) value(key string) expr.Value {
	r.asked[strings.ToLower(key)] = true
	v, _ := r.o.Lookup(key)
	return v
}

func (r *reader) has(key string) bool { return r.value(key) != nil }

// known is a member that has to be known before a run, because it decides what the job is.
func (r *reader) known(key string) expr.Value {
	v := r.value(key)
	got, ok := settled(v)
	if !ok {
		r.l.refuse(r.place(key), "Write the value itself, or start pipelines of their own for the cases.",
			"%s: %s is an expression; in Azure it has to be known when the pipeline is deployed", r.what, key)
	}
	return got
}

func (r *reader) wrong(key, want string) {
	r.l.refuse(r.place(key), "", "%s: %s must be %s", r.what, key, want)
}

func (r *reader) text(key string) string {
	switch v := r.known(key).(type) {
	case nil:
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	default:
		r.wrong(key, "text")
	}
	return ""
}

func (r *reader) flag(key string, absent bool) bool {
	switch v := r.known(key).(type) {
	case nil:
		return absent
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(strings.ToLower(v)); err == nil {
			return b
		}
	}
	r.wrong(key, "true or false")
	return absent
}

func (r *reader) list(key string) []expr.Value {
	v := r.value(key)
	list, ok := v.([]expr.Value)
	if v != nil && !ok {
		r.wrong(key, "a list")
	}
	return list
}

// inner is a member that is an object; one that is not there is empty.
func (r *reader) inner(key string) *reader {
	v := r.value(key)
	o, ok := v.(*expr.Object)
	if v != nil && !ok {
		r.wrong(key, "an object")
	}
	return r.l.read(r.what+"."+key, o, r.place(key))
}

// names reads a list of texts; one text alone is a list of one.
func (r *reader) names(key string) []string {
	v := r.known(key)
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, ok := v.([]expr.Value)
	if v != nil && !ok {
		r.wrong(key, "a list of names")
	}
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			r.wrong(key, "a list of names")
			return nil
		}
		out = append(out, s)
	}
	return out
}

// rest refuses what was not asked for, except what changes only how fast Data Factory works.
func (r *reader) rest(harmless ...string) {
	for k, v := range r.o.All() {
		if v == nil || r.asked[strings.ToLower(k)] || slices.ContainsFunc(harmless, func(h string) bool { return strings.EqualFold(h, k) }) {
			continue
		}
		r.l.refuse(r.place(k), "", "%s: %q is not supported", r.what, k)
	}
}
