package cloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// script answers requests one after another, each with what was said for "METHOD path".
type script struct {
	t  *testing.T
	mu sync.Mutex
	// steps are answered in order; each must be asked for.
	steps  []exchange
	waited []time.Duration
}

type exchange struct {
	want   string // "GET /path", without the query
	status int
	header map[string]string
	body   string
	err    error
}

func (s *script) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := r.Method + " " + r.URL.Path
	if len(s.steps) == 0 {
		s.t.Errorf("unexpected %s", got)
		return answer(r, exchange{status: http.StatusTeapot}), nil
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	if next.want != got {
		s.t.Errorf("got %s, want %s", got, next.want)
	}
	if next.err != nil {
		return nil, next.err
	}
	return answer(r, next), nil
}

func answer(r *http.Request, e exchange) *http.Response {
	h := http.Header{}
	for k, v := range e.header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: e.status, Header: h, Body: io.NopCloser(strings.NewReader(e.body)), Request: r}
}

// client returns a client of the script, whose waits are noted and do not take time.
func (s *script) client() *Client {
	return New(Options{Credential: token(""), Subscription: "s1", Tenant: "t1", Transport: s, Wait: func(_ context.Context, d time.Duration) error {
		s.waited = append(s.waited, d)
		return nil
	}})
}

func (s *script) ended() {
	s.t.Helper()
	for _, e := range s.steps {
		s.t.Errorf("never asked for: %s", e.want)
	}
}

// token is a credential.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// jwt makes a token that says claims and is signed by nobody.
func jwt(t testing.TB, claims map[string]any) string {
	t.Helper()
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(b) + ".c2ln"
}
