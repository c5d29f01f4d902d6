package cloud

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a request that a service refused, that did not reach it (Status 0), or an operation that it accepted and that
// failed later (Later).
type Error struct {
	Service, Method, Path string
	Status                int
	Code                  string // the service's own word, for example AuthorizationFailed
	Message               string
	RequestID             string
	RetryAfter            time.Duration
	Err                   error // when no answer came

	Later  bool          // the request was accepted, what it began has failed
	Causes []Cause       // the innermost reasons, when the service wraps them
	Skew   time.Duration // the service's clock minus ours
}

// Cause is one of the reasons that a service gives for a failure.
type Cause struct {
	Code    string
	Message string
	Target  string     // resource id or property, when the service says
	Policy  []Violated // of RequestDisallowedByPolicy
}

// Violated is a policy that a request does not comply with.
type Violated struct{ Policy, Assignment, Effect string }

// String is "code: message", with the target in front when there is one.
func (c Cause) String() string {
	text := c.Code
	if c.Message != "" {
		text = strings.TrimPrefix(text+": "+c.Message, ": ")
	}
	if c.Target != "" && !strings.Contains(text, c.Target) {
		text = c.Target + ": " + text
	}
	return text
}

// Error says what was refused and why.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s cannot be reached: %v", e.Service, e.Err)
	}
	text := fmt.Sprintf("%s refused %s %s: %d", e.Service, e.Method, pathOnly(e.Path), e.Status)
	if e.Later {
		text = fmt.Sprintf("%s could not finish %s %s:", e.Service, e.Method, pathOnly(e.Path))
	}
	if len(e.Causes) > 0 {
		for i, c := range e.Causes {
			text += strings.Repeat(";", min(i, 1)) + " " + c.String()
		}
		return text
	}
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap returns the cause when no answer came.
func (e *Error) Unwrap() error { return e.Err }

// Reasons returns the innermost causes; an error that wraps none is its own.
func (e *Error) Reasons() []Cause {
	if len(e.Causes) > 0 {
		return e.Causes
	}
	return []Cause{{Code: e.Code, Message: e.Message}}
}

// Because returns the first reason with one of the codes, comparing without regard to case.
func (e *Error) Because(codes ...string) (Cause, bool) {
	for _, c := range append(e.Reasons(), Cause{Code: e.Code, Message: e.Message}) {
		for _, code := range codes {
			if c.Code != "" && strings.EqualFold(c.Code, code) {
				return c, true
			}
		}
	}
	return Cause{}, false
}

func pathOnly(p string) string {
	p, _, _ = strings.Cut(p, "?")
	return p
}

// newError reads the forms in which the services tell errors: {"error":{"code","message"}} of ARM, Graph and Key Vault,
// {"error_code","message"} of Databricks, {"message"} of GitHub; storage says the code in a header.
func newError(s Service, r Request, res Response) *Error {
	e := &Error{Service: s.Name, Method: r.Method, Path: r.Path, Status: res.Status,
		RequestID: res.Header.Get("x-ms-request-id"), RetryAfter: retryAfter(res.Header), Skew: skew(res.Header)}
	var body struct {
		Error     json.RawMessage `json:"error"`
		ErrorCode string          `json:"error_code"`
		Message   string          `json:"message"`
	}
	if json.Unmarshal(res.Body, &body) != nil {
		e.Code = res.Header.Get("x-ms-error-code")
		var storage struct{ Code, Message string } // in XML
		if xml.Unmarshal(res.Body, &storage) == nil && storage.Message != "" {
			e.Code = first(e.Code, storage.Code)
			e.Message, _, _ = strings.Cut(storage.Message, "\n") // the request id and the time follow
			return e
		}
		e.Message = strings.TrimSpace(string(res.Body[:min(len(res.Body), 300)]))
		return e
	}
	e.Code, e.Message = body.ErrorCode, body.Message
	e.tell(body.Error)
	if e.Code == "" {
		e.Code = res.Header.Get("x-ms-error-code")
	}
	return e
}

// errorBody is the error of the Resource Provider Contract, of Graph and of Key Vault. ARM also wraps the whole of one as text
// in the message of another.
type errorBody struct {
	Code       string      `json:"code"`
	Message    string      `json:"message"`
	Target     string      `json:"target"`
	Details    []errorBody `json:"details"`
	Inner      *errorBody  `json:"innererror"`
	Additional []struct {
		Type string          `json:"type"`
		Info json.RawMessage `json:"info"`
	} `json:"additionalInfo"`
}

// tell takes code, message and causes from an error as it stands in a response.
func (e *Error) tell(raw json.RawMessage) {
	var b errorBody
	if json.Unmarshal(raw, &b) != nil || b.Code+b.Message == "" && len(b.Details) == 0 {
		return
	}
	e.Code, e.Message = b.Code, b.Message
	leaves := b.leaves(nil, "", 0)
	if len(leaves) == 1 && leaves[0].Code == b.Code && leaves[0].Message == b.Message && leaves[0].Target == "" && leaves[0].Policy == nil {
		return
	}
	e.Causes = leaves
}

// deepest bounds how far errors are unwrapped: the text is of another's making.
const deepest = 12

// leaves appends the innermost errors of b. What has no target of its own is about that of the error around it.
func (b errorBody) leaves(out []Cause, target string, depth int) []Cause {
	if b.Target != "" {
		target = b.Target
	}
	if depth < deepest {
		if wrapped, ok := unwrapText(b.Message); ok {
			return wrapped.leaves(out, target, depth+1)
		}
		before := len(out)
		for _, d := range b.Details {
			out = d.leaves(out, target, depth+1)
		}
		if len(out) > before {
			return out
		}
	}
	c := Cause{Code: b.Code, Message: b.Message, Target: target, Policy: b.policies()}
	if b.Inner != nil && b.Inner.Code != "" {
		c.Code = b.Inner.Code // Key Vault says Forbidden, and within it by what
	}
	if c.Code+c.Message == "" {
		return out
	}
	return append(out, c)
}

// unwrapText reads an error that stands as text in a message.
func unwrapText(message string) (errorBody, bool) {
	if !strings.HasPrefix(strings.TrimSpace(message), "{") {
		return errorBody{}, false
	}
	var whole struct {
		Error json.RawMessage `json:"error"`
		errorBody
	}
	if json.Unmarshal([]byte(message), &whole) != nil {
		return errorBody{}, false
	}
	if len(whole.Error) > 0 {
		var inner errorBody
		if json.Unmarshal(whole.Error, &inner) == nil && inner.Code+inner.Message != "" {
			return inner, true
		}
	}
	return whole.errorBody, whole.Code+whole.Message != ""
}

func (b errorBody) policies() []Violated {
	var out []Violated
	for _, a := range b.Additional {
		var v struct {
			Policy     string `json:"policyDefinitionDisplayName"`
			PolicyName string `json:"policyDefinitionName"`
			Assignment string `json:"policyAssignmentDisplayName"`
			Effect     string `json:"policyDefinitionEffect"`
		}
		if a.Type != "PolicyViolation" || json.Unmarshal(a.Info, &v) != nil {
			continue
		}
		if v.Policy == "" {
			v.Policy = v.PolicyName
		}
		out = append(out, Violated{v.Policy, v.Assignment, v.Effect})
	}
	return out
}

// skew is how far the service's clock is ahead of ours; the header has whole seconds.
func skew(h http.Header) time.Duration {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return time.Until(at).Round(time.Second)
}

// retryAfter reads how long the service asks to wait, in its three forms; 0 when it does not say.
func retryAfter(h http.Header) time.Duration {
	for _, name := range []string{"retry-after-ms", "x-ms-retry-after-ms"} {
		if ms, err := strconv.Atoi(h.Get(name)); err == nil {
			return time.Duration(ms) * time.Millisecond
		}
	}
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		return time.Duration(s) * time.Second
	}
	return 0
}

// again reports whether the failed request may be made once more, and how long the service asks to wait.
func again(err error, r Request) (time.Duration, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0, false
	}
	harmless := r.Method != http.MethodPost && r.Method != http.MethodPatch || r.Repeats
	switch {
	case e.Status == http.StatusTooManyRequests:
		return e.RetryAfter, true
	case e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0:
		return e.RetryAfter, true
	case e.Status == 0 || e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		return e.RetryAfter, harmless
	}
	return 0, false
}

// CausesOf reads the innermost reasons of an error document that stands somewhere in an answer: {"code","message"} or
// {"error":{…}}. What has no target of its own is about target.
func CausesOf(raw json.RawMessage, target string) []Cause {
	var b errorBody
	var text string
	if json.Unmarshal(raw, &text) == nil {
		b.Message = text
	} else if inner, ok := unwrapText(string(raw)); ok {
		b = inner
	}
	if b.Code+b.Message == "" && len(b.Details) == 0 {
		return nil
	}
	return b.leaves(nil, target, 0)
}
