package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a request that a service refused, or that did not reach it (Status 0).
type Error struct {
	Service, Method, Path string
	Status                int
	Code                  string // the service's own word, for example AuthorizationFailed
	Message               string
	RequestID             string
	RetryAfter            time.Duration
	Err                   error // when no answer came
}

// Error says what was refused and why.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s cannot be reached: %v", e.Service, e.Err)
	}
	text := fmt.Sprintf("%s refused %s %s: %d", e.Service, e.Method, pathOnly(e.Path), e.Status)
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

func pathOnly(p string) string {
	p, _, _ = strings.Cut(p, "?")
	return p
}

// newError reads the forms in which the services tell errors: {"error":{"code","message"}} of ARM, Graph and Key Vault,
// {"error_code","message"} of Databricks, {"message"} of GitHub.
func newError(s Service, r Request, res Response) *Error {
	e := &Error{Service: s.Name, Method: r.Method, Path: r.Path, Status: res.Status,
		RequestID: res.Header.Get("x-ms-request-id"), RetryAfter: retryAfter(res.Header)}
	var body struct {
		Error     json.RawMessage `json:"error"`
		ErrorCode string          `json:"error_code"`
		Message   string          `json:"message"`
	}
	if json.Unmarshal(res.Body, &body) != nil {
		e.Message = strings.TrimSpace(string(res.Body[:min(len(res.Body), 300)]))
		e.Code = res.Header.Get("x-ms-error-code")
		return e
	}
	e.Code, e.Message = body.ErrorCode, body.Message
	var inner struct{ Code, Message string }
	if json.Unmarshal(body.Error, &inner) == nil && inner.Code+inner.Message != "" {
		e.Code, e.Message = inner.Code, inner.Message
	}
	return e
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
	e, ok := err.(*Error)
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
