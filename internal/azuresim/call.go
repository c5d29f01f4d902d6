package azuresim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one request as a service sees it, wholly read.
type call struct {
	Method string
	Host   string // without a port, lower case
	Path   string // unescaped
	Query  url.Values
	Header http.Header
	Body   []byte
	Caller caller // whom the bearer token names; zero where none is needed
	Again  int    // how often the call was held before

	seen int // of an operation, when its poll was first answered
}

// caller is whom a token was made for.
type caller struct {
	ObjectID, AppID, Tenant string
	Name                    string
	User                    bool
	Roles                   []string // app roles, such as Group.ReadWrite.All
	Audience                string
}

// decode reads the body as JSON.
func (c *call) decode(into any) error {
	if err := json.Unmarshal(c.Body, into); err != nil {
		return fmt.Errorf("the body of %s %s is not JSON: %w", c.Method, c.Path, err)
	}
	return nil
}

// base is the address of the host that was called.
func (c *call) base() string { return "https://" + c.Host }

// segments are the parts of the path between slashes.
func (c *call) segments() []string { return strings.Split(strings.Trim(c.Path, "/"), "/") }

// answer is what a handler decides: a response, that the connection breaks off, or that the call is held.
type answer struct {
	Status int
	Header http.Header
	Body   []byte

	until   time.Time // held: the handler is asked again then
	dropped bool
}

// handler answers a call. It is called with the world locked, must not block and must not keep the call.
type handler func(c *call) answer

// reply answers with v as JSON; nil means an empty body.
func reply(status int, v any) answer {
	a := answer{Status: status, Header: http.Header{}}
	if v == nil {
		return a
	}
	body, err := json.Marshal(v)
	if err != nil { // of our own types
		panic(fmt.Sprintf("azuresim: answer of %T: %v", v, err))
	}
	a.Body = body
	a.Header.Set("Content-Type", "application/json; charset=utf-8")
	return a
}

// ok answers 200 with v as JSON.
func ok(v any) answer { return reply(http.StatusOK, v) }

// raw answers with bytes as they are.
func raw(status int, contentType string, body []byte) answer {
	return answer{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: body}
}

// fail answers with an error in the form of ARM, Graph and Key Vault.
func fail(status int, code, format string, args ...any) answer {
	return reply(status, errorBody{serviceError{Code: code, Message: fmt.Sprintf(format, args...)}}).with("x-ms-error-code", code)
}

// hold has the handler asked again at a virtual time.
func hold(until time.Time) answer { return answer{until: until} }

// drop breaks the connection off without an answer.
func drop() answer { return answer{dropped: true} }

// with adds a header.
func (a answer) with(name, value string) answer {
	a.Header.Set(name, value)
	return a
}

// serviceError is an error as services tell it.
type serviceError struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Target  string         `json:"target,omitempty"`
	Details []serviceError `json:"details,omitempty"`
}

// Error lets a serviceError be returned as one.
func (e *serviceError) Error() string { return e.Code + ": " + e.Message }

type errorBody struct {
	Error serviceError `json:"error"`
}

func refusal(code, format string, args ...any) *serviceError {
	return &serviceError{Code: code, Message: fmt.Sprintf(format, args...)}
}
