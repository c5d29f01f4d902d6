// Package cloud speaks to the services of Azure, Microsoft Graph, Databricks and the rest over HTTPS, signed in as whoever
// deploys.
//
// It knows endpoints, tokens, throttling, long-running operations, pages and errors. It does not know what the product makes
// there (target/azure).
//
// The rule that holds here: a request is repeated only when that is harmless, for as long as the service asks, and every
// failure is an *[Error] that says which service refused what.
package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Service is an API: where it is and what its tokens are for.
type Service struct {
	Name  string // for people
	Base  string // https://host, without a slash at the end
	Scope string // of its tokens; empty when requests carry no token of the directory
}

// ARM is Azure Resource Manager.
func ARM() Service {
	return Service{"Azure Resource Manager", "https://management.azure.com", "https://management.azure.com/.default"}
}

// Graph is Microsoft Graph.
func Graph() Service {
	return Service{"Microsoft Graph", "https://graph.microsoft.com", "https://graph.microsoft.com/.default"}
}

// databricksScope is the application that Databricks workspaces and accounts take tokens for.
const databricksScope = "2ff814a6-3304-4ab8-965a-d1e0f3ee9b55/.default"

// Databricks is the workspace at url.
func Databricks(url string) Service {
	return Service{"Databricks", strings.TrimSuffix(url, "/"), databricksScope}
}

// DatabricksAccount is the account console's API.
func DatabricksAccount() Service {
	return Service{"Databricks account", "https://accounts.azuredatabricks.net", databricksScope}
}

// Vault is the key vault of a name.
func Vault(name string) Service {
	return Service{"Key Vault " + name, "https://" + name + ".vault.azure.net", "https://vault.azure.net/.default"}
}

// Blobs is the blob service of a storage account.
func Blobs(account string) Service {
	return Service{"storage account " + account, "https://" + account + ".blob.core.windows.net", "https://storage.azure.com/.default"}
}

// Options say how to connect.
type Options struct {
	Credential   azcore.TokenCredential
	Subscription string
	Tenant       string
	Transport    policy.Transporter // nil means the default client

	// Wait passes the time between attempts; nil means a timer. A simulation passes its own time.
	Wait func(ctx context.Context, d time.Duration) error

	// Attempts of one request, the first included. 0 means 6.
	Attempts int
}

// Client makes requests. It may be used by many goroutines.
type Client struct {
	o     Options
	plain runtime.Pipeline
}

// New returns a client. It makes no request.
func New(o Options) *Client {
	if o.Wait == nil {
		o.Wait = wait
	}
	if o.Attempts == 0 {
		o.Attempts = 6
	}
	options := &policy.ClientOptions{Transport: o.Transport, Retry: policy.RetryOptions{MaxRetries: -1}}
	return &Client{o: o, plain: runtime.NewPipeline("flowehr", "v1", runtime.PipelineOptions{}, options)}
}

// Subscription is the id of the subscription that is deployed to.
func (c *Client) Subscription() string { return c.o.Subscription }

// Tenant is the id of the directory.
func (c *Client) Tenant() string { return c.o.Tenant }

// Wait passes time; it returns early with the context's error.
func (c *Client) Wait(ctx context.Context, d time.Duration) error { return c.o.Wait(ctx, d) }

// Credential is who the client is signed in as.
func (c *Client) Credential() azcore.TokenCredential { return c.o.Credential }

// Transport is how requests travel; nil means the default client.
func (c *Client) Transport() policy.Transporter { return c.o.Transport }

// Request is one call of a service.
type Request struct {
	Method  string
	Path    string // with query, beginning with a slash; or an absolute address of the same service
	Body    any    // sent as JSON; []byte and json.RawMessage as they are
	Header  map[string]string
	Repeats bool // a POST that may be made twice without harm
}

// Response is what came back, wholly read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes a request and returns the response of a status below 300. Everything else is an *[Error].
func (c *Client) Do(ctx context.Context, s Service, r Request) (Response, error) {
	for n := 1; ; n++ {
		res, err := c.once(ctx, s, r)
		if err == nil {
			return res, nil
		}
		pause, again := again(err, r)
		if !again || n == c.o.Attempts {
			return res, err
		}
		if pause == 0 {
			pause = time.Duration(1<<min(n, 6)) * time.Second / 2
		}
		if werr := c.o.Wait(ctx, pause); werr != nil {
			return res, err
		}
	}
}

// Call makes a request and decodes the answer into into, unless that is nil or there is none.
func (c *Client) Call(ctx context.Context, s Service, method, path string, body, into any) error {
	res, err := c.Do(ctx, s, Request{Method: method, Path: path, Body: body})
	if err != nil || into == nil || len(res.Body) == 0 {
		return err
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("answer of %s to %s %s: %w", s.Name, method, path, err)
	}
	return nil
}

// Get is Call with GET.
func (c *Client) Get(ctx context.Context, s Service, path string, into any) error {
	return c.Call(ctx, s, http.MethodGet, path, nil, into)
}

func (c *Client) once(ctx context.Context, s Service, r Request) (Response, error) {
	url := r.Path
	if strings.HasPrefix(url, "/") {
		url = s.Base + url
	} else if !strings.HasPrefix(url, s.Base+"/") {
		return Response{}, fmt.Errorf("%s answered with an address of another host, which would get its token: %s", s.Name, url)
	}
	req, err := runtime.NewRequest(ctx, r.Method, url)
	if err != nil {
		return Response{}, err
	}
	if err := setBody(req, r.Body); err != nil {
		return Response{}, err
	}
	req.Raw().Header.Set("Accept", "application/json")
	for k, v := range r.Header {
		req.Raw().Header.Set(k, v)
	}
	if s.Scope != "" {
		token, err := c.o.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.Scope}, TenantID: c.o.Tenant})
		if err != nil {
			return Response{}, &SignInError{Service: s.Name, Err: err}
		}
		req.Raw().Header.Set("Authorization", "Bearer "+token.Token)
	}
	res, err := c.plain.Do(req)
	if err != nil {
		return Response{}, &Error{Service: s.Name, Method: r.Method, Path: r.Path, Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Response{}, &Error{Service: s.Name, Method: r.Method, Path: r.Path, Err: err}
	}
	out := Response{Status: res.StatusCode, Header: res.Header, Body: body}
	if res.StatusCode >= 300 {
		return out, newError(s, r, out)
	}
	return out, nil
}

func setBody(req *policy.Request, body any) error {
	switch b := body.(type) {
	case nil:
		return nil
	case []byte:
		return req.SetBody(nopCloser{bytes.NewReader(b)}, "application/octet-stream")
	case json.RawMessage:
		return req.SetBody(nopCloser{bytes.NewReader(b)}, "application/json")
	}
	return runtime.MarshalAsJSON(req, body)
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// Pages calls each with every element of a list, following its pages ("value" with "nextLink" or "@odata.nextLink").
func (c *Client) Pages(ctx context.Context, s Service, path string, each func(json.RawMessage) error) error {
	for path != "" {
		var page struct {
			Value []json.RawMessage `json:"value"`
			Next  string            `json:"nextLink"`
			OData string            `json:"@odata.nextLink"`
		}
		if err := c.Get(ctx, s, path, &page); err != nil {
			return err
		}
		for _, v := range page.Value {
			if err := each(v); err != nil {
				return err
			}
		}
		path = page.Next + page.OData
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// SignInError says that no token could be had.
type SignInError struct {
	Service string
	Err     error
}

// Error names the service that the token was for.
func (e *SignInError) Error() string { return fmt.Sprintf("sign in to %s: %v", e.Service, e.Err) }

// Unwrap returns the cause.
func (e *SignInError) Unwrap() error { return e.Err }

// Status returns the HTTP status of the *[Error] in err, 0 when there is none.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// NotFound reports whether err says that something does not exist.
func NotFound(err error) bool { return Status(err) == http.StatusNotFound }
