package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

const (
	factoryID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.DataFactory/factories/adf"
	groupID   = "/subscriptions/s/resourceGroups/rg"
	armHost   = "management.azure.com"
	dbxHost   = "adb-1.2.azuredatabricks.net"
)

// world is the services as far as this package uses them. A handler is looked up by "METHOD host/path"; time passes only in Wait.
type world struct {
	t        *testing.T
	mu       sync.Mutex
	now      time.Time
	handlers map[string]func(r *http.Request, body []byte) (int, any)
	headers  map[string]http.Header
	seen     []string          // "METHOD host/path?query" of every request, api-version left out
	bodies   map[string]string // of the last request of a kind
	waited   []time.Duration
}

func newWorld(t *testing.T) *world {
	return &world{t: t, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), handlers: map[string]func(*http.Request, []byte) (int, any){},
		headers: map[string]http.Header{}, bodies: map[string]string{}}
}

// on answers requests to the factory; name is a path below it.
func (w *world) on(method, path string, f func(r *http.Request, body []byte) (int, any)) {
	w.handlers[method+" "+armHost+path] = f
}

// answer is a handler that always says the same.
func answer(status int, body string) func(*http.Request, []byte) (int, any) {
	return func(*http.Request, []byte) (int, any) { return status, json.RawMessage(body) }
}

// Do is a policy.Transporter.
func (w *world) Do(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	key := req.Method + " " + req.URL.Host + req.URL.Path
	q := req.URL.Query()
	if version := q.Get("api-version"); req.URL.Host == armHost && version == "" {
		w.t.Errorf("%s has no api-version", key)
	}
	q.Del("api-version")
	shown := key
	if len(q) > 0 {
		shown += "?" + q.Encode()
	}
	w.seen = append(w.seen, shown)
	w.bodies[key] = string(body)
	if req.Header.Get("Authorization") != "Bearer token" {
		w.t.Errorf("%s is not signed", key)
	}
	rec := httptest.NewRecorder()
	f, ok := w.handlers[key]
	if !ok {
		rec.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(rec, `{"error":{"code":"NotFound","message":"no %s"}}`, key)
		return rec.Result(), nil
	}
	status, v := f(req, body)
	if status == 0 {
		return nil, fmt.Errorf("connection reset by peer")
	}
	for k, values := range w.headers[key] {
		rec.Header()[k] = values
	}
	rec.WriteHeader(status)
	switch v := v.(type) {
	case string:
		_, _ = io.WriteString(rec, v)
	case nil:
	default:
		_ = json.NewEncoder(rec).Encode(v)
	}
	return rec.Result(), nil
}

func (w *world) client() *cloud.Client {
	return cloud.New(cloud.Options{Credential: credential{}, Subscription: "s", Tenant: "t", Transport: w, Wait: func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		w.waited = append(w.waited, d)
		w.now = w.now.Add(d)
		if len(w.waited) > 1000 {
			return fmt.Errorf("waited a thousand times")
		}
		return nil
	}})
}

func (w *world) factory() *Factory { return NewFactory(w.client(), factoryID) }

// made lists the requests that changed something.
func (w *world) made() string {
	var out []string
	for _, s := range w.seen {
		if method, rest, _ := strings.Cut(s, " "); method != http.MethodGet && !strings.Contains(s, "query") {
			out = append(out, method+" "+strings.TrimPrefix(strings.TrimPrefix(rest, armHost+factoryID), armHost+groupID))
		}
	}
	return strings.Join(out, "\n")
}

type credential struct{}

func (credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// pipelines makes a factory with the pipelines of a small hospital.
func (w *world) pipelines() {
	w.on("GET", factoryID+"/pipelines", answer(200, `{"value":[
		{"name":"daily","properties":{"activities":[{"name":"a","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"ingest","type":"PipelineReference"}}}]}},
		{"name":"asks","properties":{"parameters":{"zone":{"type":"String"}},"activities":[]}}],"nextLink":"https://management.azure.com`+factoryID+`/more?api-version=2018-06-01"}`))
	w.on("GET", factoryID+"/more", answer(200, `{"value":[{"name":"ingest","properties":{"activities":[]}},
		{"name":"weekly","properties":{"parameters":{"n":{"type":"Int","defaultValue":1}},"activities":[{"name":"again","type":"ExecutePipeline","typeProperties":{"pipeline":{"referenceName":"weekly","type":"PipelineReference"}}}]}}]}`))
}

// run makes a run that passes through statuses, one each time that it is read, with activities.
func (w *world) run(id, pipeline string, activities string, statuses ...Status) {
	n := 0
	w.on("GET", factoryID+"/pipelineruns/"+id, func(*http.Request, []byte) (int, any) {
		s := statuses[min(n, len(statuses)-1)]
		n++
		return 200, map[string]any{"runId": id, "pipelineName": pipeline, "status": s, "runStart": w.now.Format(time.RFC3339Nano), "message": message(s)}
	})
	w.on("POST", factoryID+"/pipelineruns/"+id+"/queryActivityruns", func(*http.Request, []byte) (int, any) {
		return 200, json.RawMessage(strings.ReplaceAll(activities, "STATUS", string(statuses[min(max(n-1, 0), len(statuses)-1)])))
	})
}

func message(s Status) string {
	if s == Failed {
		return "Operation on target Load failed: no rows"
	}
	return ""
}
