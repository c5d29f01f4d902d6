package activity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Codes of errors, as expressions and the portal see them.
const (
	CodeUnsupported   = "Unsupported"           // the definition asks for what this product does not do
	CodeInvalid       = "InvalidDefinition"     // the definition contradicts itself
	CodeUnknown       = "LinkedServiceNotFound" // a linked service has no counterpart here
	CodeSource        = "SourceFailed"          // the source could not be reached or read
	CodeSourceLost    = "SourceLost"            // the source went away while it was read
	CodeSink          = "SinkFailed"            // the sink could not be written
	CodeIncompatible  = "IncompatibleRow"       // a row does not fit the sink
	CodeQuery         = "QueryFailed"           // a statement was refused
	CodeAssertion     = "AssertionFailed"
	CodeResultTooBig  = "ResultTooLarge"
	CodeTimeout       = "Timeout" // a time limit of the definition has passed
	failureUser       = "UserError"
	failureSystem     = "SystemError"
	maxNestedMessages = 600 // of text quoted from elsewhere, so that a log line stays one
)

// refuse is an error of the definition: retrying cannot help.
func refuse(code, format string, args ...any) *engine.Error {
	return &engine.Error{Code: code, Message: fmt.Sprintf(format, args...), Type: failureUser, Final: true}
}

// fail is an error of the moment: retrying may help.
func fail(code, format string, args ...any) *engine.Error {
	return &engine.Error{Code: code, Message: fmt.Sprintf(format, args...), Type: failureUser}
}

// properties reads a JSON object of a definition. Its methods note the first thing that is wrong and then return zero
// values, so that a reader can take all it needs and ask once for err.
type properties struct {
	where  string // for messages: "source", "dataset patients"
	object *expr.Object
	asked  map[string]bool
	err    *engine.Error
}

func read(where string, o *expr.Object) *properties {
	if o == nil {
		o = expr.NewObject()
	}
	return &properties{where: where, object: o, asked: map[string]bool{}}
}

func (p *properties) value(key string) expr.Value {
	p.asked[strings.ToLower(key)] = true
	v, _ := p.object.Lookup(key)
	return v
}

func (p *properties) has(key string) bool { return p.value(key) != nil }

func (p *properties) wrong(key, want string, v expr.Value) {
	if p.err == nil {
		p.err = refuse(CodeInvalid, "%s: %s must be %s, not %s", p.where, key, want, clip(string(expr.EncodeJSON(v))))
	}
}

// text reads a string; a number or truth value is taken as its text.
func (p *properties) text(key string) string {
	switch v := p.value(key).(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	default:
		p.wrong(key, "text", v)
		return ""
	}
}

// flag reads a truth value; definitions also write "true" as text.
func (p *properties) flag(key string, absent bool) bool {
	switch v := p.value(key).(type) {
	case nil:
		return absent
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(strings.ToLower(v)); err == nil {
			return b
		}
		p.wrong(key, "true or false", v)
	default:
		p.wrong(key, "true or false", v)
	}
	return absent
}

func (p *properties) integer(key string) (int64, bool) {
	switch v := p.value(key).(type) {
	case nil:
		return 0, false
	case int64:
		return v, true
	case float64:
		if v == float64(int64(v)) {
			return int64(v), true
		}
		p.wrong(key, "a whole number", v)
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, true
		}
		p.wrong(key, "a whole number", v)
	default:
		p.wrong(key, "a whole number", v)
	}
	return 0, false
}

func (p *properties) inner(key string) *properties {
	switch v := p.value(key).(type) {
	case nil:
		return read(p.where+"."+key, nil)
	case *expr.Object:
		return read(p.where+"."+key, v)
	default:
		p.wrong(key, "an object", v)
		return read(p.where+"."+key, nil)
	}
}

func (p *properties) list(key string) []expr.Value {
	switch v := p.value(key).(type) {
	case nil:
		return nil
	case []expr.Value:
		return v
	default:
		p.wrong(key, "a list", v)
		return nil
	}
}

// names reads a list of texts; one text alone is a list of one.
func (p *properties) names(key string) []string {
	if s, ok := p.value(key).(string); ok {
		return []string{s}
	}
	var out []string
	for _, v := range p.list(key) {
		s, ok := v.(string)
		if !ok {
			p.wrong(key, "a list of names", v)
			return nil
		}
		out = append(out, s)
	}
	return out
}

// rest refuses every key that was not asked for, except the harmless ones: those change only how fast Azure works.
func (p *properties) rest(harmless ...string) error {
	if p.err != nil {
		return p.err
	}
	for _, key := range p.object.Keys() {
		v, _ := p.object.Get(key)
		if v == nil || p.asked[strings.ToLower(key)] || slices.ContainsFunc(harmless, func(h string) bool { return strings.EqualFold(h, key) }) {
			continue
		}
		return refuse(CodeUnsupported, "%s: %q is not supported here", p.where, key)
	}
	return nil
}

func clip(s string) string {
	if len(s) <= maxNestedMessages {
		return s
	}
	return strings.ToValidUTF8(s[:maxNestedMessages], "") + "…"
}
