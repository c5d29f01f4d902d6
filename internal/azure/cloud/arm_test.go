package cloud

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const base = "https://management.azure.com"

func TestLong(t *testing.T) {
	put := Request{Method: http.MethodPut, Path: "/x?api-version=1", Body: map[string]any{}}
	for _, c := range []struct {
		name    string
		request Request
		steps   []exchange
		want    string // the outcome
		err     string
		waited  []time.Duration
	}{
		{"answered at once", put, []exchange{{want: "PUT /x", status: 200, body: `{"n":1}`}}, `{"n":1}`, "", nil},
		{"status document, then the resource", put, []exchange{
			{want: "PUT /x", status: 201, header: map[string]string{"Azure-AsyncOperation": base + "/ops/1", "Retry-After": "5"}, body: `{"properties":{"provisioningState":"creating"}}`},
			{want: "GET /ops/1", status: 200, header: map[string]string{"Retry-After": "7"}, body: `{"status":"Running"}`},
			{want: "GET /ops/1", status: 200, body: `{"status":"Succeeded"}`},
			{want: "GET /x", status: 200, body: `{"n":2}`},
		}, `{"n":2}`, "", []time.Duration{5 * time.Second, 7 * time.Second}},
		{"location that moves", Request{Method: http.MethodPost, Path: "/x/do", Repeats: true}, []exchange{
			{want: "POST /x/do", status: 202, header: map[string]string{"Location": base + "/res/1"}},
			{want: "GET /res/1", status: 202, header: map[string]string{"Location": base + "/res/2", "retry-after-ms": "10"}},
			{want: "GET /res/2", status: 200, body: `{"n":3}`},
		}, `{"n":3}`, "", []time.Duration{2 * time.Second, 10 * time.Millisecond}},
		{"status and location of an action", Request{Method: http.MethodPost, Path: "/x/do"}, []exchange{
			{want: "POST /x/do", status: 202, header: map[string]string{"Location": base + "/res/1", "Azure-AsyncOperation": base + "/ops/1"}},
			{want: "GET /ops/1", status: 200, body: `{"status":"Succeeded"}`},
			{want: "GET /res/1", status: 200, body: `{"n":4}`},
		}, `{"n":4}`, "", []time.Duration{2 * time.Second}},
		{"the resource tells its own state", put, []exchange{
			{want: "PUT /x", status: 200, body: `{"properties":{"provisioningState":"Updating"}}`},
			{want: "GET /x", status: 200, body: `{"properties":{"provisioningState":"Succeeded"}}`},
		}, `{"properties":{"provisioningState":"Succeeded"}}`, "", []time.Duration{2 * time.Second}},
		{"deletion", Request{Method: http.MethodDelete, Path: "/x"}, []exchange{
			{want: "DELETE /x", status: 202, header: map[string]string{"Location": base + "/res/1"}},
			{want: "GET /res/1", status: 204},
		}, "", "", []time.Duration{2 * time.Second}},
		{"it fails later", put, []exchange{
			{want: "PUT /x", status: 201, header: map[string]string{"Azure-AsyncOperation": base + "/ops/1"}},
			{want: "GET /ops/1", status: 200, body: `{"status":"Failed","error":{"code":"DeploymentFailed","message":"see details","details":[{"code":"QuotaExceeded","message":"no more","target":"/a/b"}]}}`},
		}, "", "could not finish PUT /x: /a/b: QuotaExceeded: no more", []time.Duration{2 * time.Second}},
		{"its location says why", Request{Method: http.MethodDelete, Path: "/x"}, []exchange{
			{want: "DELETE /x", status: 202, header: map[string]string{"Location": base + "/res/1"}},
			{want: "GET /res/1", status: 409, body: `{"error":{"code":"InUse","message":"still used"}}`},
		}, "", "could not finish DELETE /x: InUse: still used", []time.Duration{2 * time.Second}},
		{"an address of another host", put, []exchange{
			{want: "PUT /x", status: 201, header: map[string]string{"Azure-AsyncOperation": "https://evil.example/ops"}},
		}, "", "would get its token", []time.Duration{2 * time.Second}},
		{"registers the subscription", put, []exchange{
			{want: "PUT /x", status: 409, body: `{"error":{"code":"MissingSubscriptionRegistration","message":"The subscription is not registered to use namespace 'Microsoft.Sql'."}}`},
			{want: "POST /subscriptions/s1/providers/Microsoft.Sql/register", status: 200, body: `{}`},
			{want: "GET /subscriptions/s1/providers/Microsoft.Sql", status: 200, body: `{"registrationState":"Registering"}`},
			{want: "GET /subscriptions/s1/providers/Microsoft.Sql", status: 200, body: `{"registrationState":"Registered"}`},
			{want: "PUT /x", status: 200, body: `{"n":5}`},
		}, `{"n":5}`, "", []time.Duration{15 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{t: t, steps: c.steps}
			res, err := s.client().Long(t.Context(), ARM(), c.request)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("got error %v, want %q", err, c.err)
			}
			if err == nil && string(res.Body) != c.want {
				t.Errorf("got %s, want %s", res.Body, c.want)
			}
			if !slices.Equal(s.waited, c.waited) {
				t.Errorf("waited %v, want %v", s.waited, c.waited)
			}
			s.ended()
		})
	}
}

func TestFinishStopsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{t: t, steps: []exchange{{want: "PUT /x", status: 201, header: map[string]string{"Azure-AsyncOperation": base + "/ops/1"}}}}
	c := New(Options{Credential: token(""), Transport: s, Wait: func(ctx context.Context, _ time.Duration) error {
		cancel()
		return context.Cause(ctx)
	}})
	_, err := c.Long(ctx, ARM(), Request{Method: http.MethodPut, Path: "/x"})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on with PUT /x") {
		t.Errorf("got %v, want an error that says that the operation goes on", err)
	}
	s.ended()
}

func TestCauses(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"plain", `{"error":{"code":"A","message":"b"}}`, "409 A: b"},
		{"nested", `{"error":{"code":"A","message":"b","details":[{"code":"C","message":"d","details":[{"code":"E","message":"f","target":"g"}]},{"code":"H","message":"i"}]}}`, "409 g: E: f; H: i"},
		{"as text", `{"error":{"code":"A","message":"{\"error\":{\"code\":\"C\",\"message\":\"d\"}}"}}`, "409 C: d"},
		{"as text with a state", `{"error":{"code":"A","details":[{"code":"Conflict","message":"{\"status\":\"Failed\",\"error\":{\"code\":\"C\",\"message\":\"d\",\"details\":[{\"code\":\"E\",\"message\":\"f\"}]}}","target":"t"}]}}`, "409 t: E: f"},
		{"key vault", `{"error":{"code":"Forbidden","message":"no","innererror":{"code":"ForbiddenByRbac"}}}`, "409 ForbiddenByRbac: no"},
		{"databricks", `{"error_code":"PERMISSION_DENIED","message":"no"}`, "409 PERMISSION_DENIED: no"},
		{"storage", "<?xml version=\"1.0\"?><Error><Code>LeaseLost</Code><Message>The lease is lost.\nRequestId:1</Message></Error>", "409 LeaseLost: The lease is lost."},
		{"not JSON", `<html>`, "409: <html>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{t: t, steps: []exchange{{want: "GET /x", status: 409, body: c.body}}}
			err := s.client().Get(t.Context(), ARM(), "/x", nil)
			if want := "Azure Resource Manager refused GET /x: " + c.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func FuzzError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"A","message":"{\"error\":{\"code\":\"C\"}}","details":[{"innererror":{"code":"x"}}]}}`))
	f.Add([]byte(`{"error":"text","message":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := newError(ARM(), Request{Method: "GET", Path: "/"}, Response{Status: 400, Header: http.Header{}, Body: body})
		if e.Error() == "" || len(e.Reasons()) == 0 {
			t.Error("an error without words")
		}
		Explain(e)
		Passing(e)
	})
}
