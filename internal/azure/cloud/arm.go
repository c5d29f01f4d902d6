package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// At writes an api-version into a path that may have a query already.
func At(path, version string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + "api-version=" + url.QueryEscape(version)
}

// Operation is something that a service accepted and works on, as the Resource Provider Contract tells it ("Asynchronous
// operations"): by a status document (Azure-AsyncOperation), by an address that answers when it is done (Location), or by the
// state of the resource itself.
type Operation struct {
	service  Service
	request  Request
	status   string // address of the status document
	location string
	self     bool // the resource tells its own state
	pause    time.Duration
	done     bool
	answer   Response
}

// Done reports whether the service answered at once.
func (o *Operation) Done() bool { return o.done }

// First is the answer to the request that began the operation.
func (o *Operation) First() Response { return o.answer }

// How long to wait between two looks when the service does not say: an eighth of what has passed, within these bounds.
const (
	shortestLook = 2 * time.Second
	longestLook  = 15 * time.Second
)

// Begin makes a request that may take long. When the subscription is not registered for what it asks for, it is registered
// first.
func (c *Client) Begin(ctx context.Context, s Service, r Request) (*Operation, error) {
	res, err := c.Do(ctx, s, r)
	if e, ok := errors.AsType[*Error](err); ok {
		if ns := unregistered(e); len(ns) > 0 {
			if rerr := c.Register(ctx, ns...); rerr != nil {
				return nil, errors.Join(err, rerr)
			}
			res, err = c.Do(ctx, s, r)
		}
	}
	if err != nil {
		return nil, err
	}
	o := &Operation{service: s, request: r, answer: res, pause: retryAfter(res.Header),
		status: res.Header.Get("Azure-AsyncOperation"), location: res.Header.Get("Location")}
	switch {
	case o.status != "":
	case res.Status == http.StatusAccepted && o.location != "":
	case r.Method == http.MethodPut || r.Method == http.MethodPatch:
		o.location, o.self = "", true
		o.done = true
		if state := provisioningState(res.Body); state != "" {
			o.done, err = o.ended(state, res)
		}
	default:
		o.done = true
	}
	return o, err
}

// Attach watches a resource that somebody else changes, by its own state. path has the api-version.
func Attach(s Service, path string) *Operation {
	return &Operation{service: s, request: Request{Method: http.MethodGet, Path: path}, self: true}
}

// Finish waits until o is done and returns the resource as it then is; of a POST what it answered, of a DELETE nothing. Before
// every wait look, when not nil, is called: what it returns ends the waiting, not the operation.
func (c *Client) Finish(ctx context.Context, o *Operation, look func(context.Context) error) (Response, error) {
	for waited := time.Duration(0); !o.done; {
		if look != nil {
			if err := look(ctx); err != nil {
				return Response{}, err
			}
		}
		pause := o.pause
		if pause <= 0 {
			pause = min(max(waited/8, shortestLook), longestLook)
		}
		if err := c.Wait(ctx, pause); err != nil {
			return Response{}, fmt.Errorf("%s goes on with %s %s: %w", o.service.Name, o.request.Method, pathOnly(o.request.Path), err)
		}
		waited += pause
		if err := c.poll(ctx, o); err != nil {
			return Response{}, err
		}
	}
	return c.outcome(ctx, o)
}

// Long begins and finishes.
func (c *Client) Long(ctx context.Context, s Service, r Request) (Response, error) {
	o, err := c.Begin(ctx, s, r)
	if err != nil {
		return Response{}, err
	}
	return c.Finish(ctx, o, nil)
}

// poll looks once.
func (c *Client) poll(ctx context.Context, o *Operation) error {
	address := o.request.Path
	switch {
	case o.status != "":
		address = o.status
	case o.location != "":
		address = o.location
	}
	res, err := c.Do(ctx, o.service, Request{Method: http.MethodGet, Path: address})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Status >= 400 && o.status == "" && o.location != "" {
			// By Location a service tells the failure of the operation, not of the look.
			e.Method, e.Path, e.Later = o.request.Method, o.request.Path, true
		}
		return err
	}
	o.pause = retryAfter(res.Header)
	switch {
	case o.status != "":
		var doc struct{ Status string }
		if err := json.Unmarshal(res.Body, &doc); err != nil || doc.Status == "" {
			return fmt.Errorf("status of %s %s is not one: %.200s", o.request.Method, pathOnly(o.request.Path), res.Body)
		}
		o.done, err = o.ended(doc.Status, res)
	case o.location != "":
		if next := res.Header.Get("Location"); next != "" && res.Status == http.StatusAccepted {
			o.location = next
		}
		o.done = res.Status != http.StatusAccepted
	default:
		state := provisioningState(res.Body)
		if state == "" {
			state = "Succeeded"
		}
		o.done, err = o.ended(state, res)
	}
	o.answer = res
	return err
}

// ended reads a state of the Resource Provider Contract: three are the last, all others go on.
func (o *Operation) ended(state string, res Response) (bool, error) {
	switch strings.ToLower(state) {
	case "succeeded", "ready":
		return true, nil
	case "failed", "canceled", "cancelled":
		e := &Error{Service: o.service.Name, Method: o.request.Method, Path: o.request.Path, Status: res.Status, Later: true,
			Code: state, RequestID: res.Header.Get("x-ms-request-id")}
		var body struct {
			Error      json.RawMessage `json:"error"`
			Properties struct {
				Error json.RawMessage `json:"error"`
			} `json:"properties"`
		}
		if json.Unmarshal(res.Body, &body) == nil {
			e.tell(body.Error)
			e.tell(body.Properties.Error)
		}
		return true, e
	}
	return false, nil
}

// outcome is what a finished operation made.
func (c *Client) outcome(ctx context.Context, o *Operation) (Response, error) {
	r := o.request
	switch {
	case o.self || o.status == "" && o.location == "":
		return o.answer, nil
	case r.Method == http.MethodPut || r.Method == http.MethodPatch:
		return c.Do(ctx, o.service, Request{Method: http.MethodGet, Path: r.Path})
	case r.Method == http.MethodPost && o.status != "" && o.location != "":
		return c.Do(ctx, o.service, Request{Method: http.MethodGet, Path: o.location})
	}
	return o.answer, nil
}

func provisioningState(body []byte) string {
	var doc struct {
		Properties struct {
			State string `json:"provisioningState"`
		} `json:"properties"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	return doc.Properties.State
}

const providersVersion = "2021-04-01"

// Provider is a resource provider as the subscription knows it.
type Provider struct {
	Namespace string
	State     string              // Registered, NotRegistered, …
	Regions   map[string][]string // display names of regions by resource type, below the namespace
}

// ProviderOf looks a resource provider up.
func (c *Client) ProviderOf(ctx context.Context, namespace string) (Provider, error) {
	var doc struct {
		State string `json:"registrationState"`
		Types []struct {
			Type      string   `json:"resourceType"`
			Locations []string `json:"locations"`
		} `json:"resourceTypes"`
	}
	if err := c.Get(ctx, ARM(), c.providerPath(namespace, ""), &doc); err != nil {
		return Provider{}, err
	}
	p := Provider{Namespace: namespace, State: doc.State, Regions: map[string][]string{}}
	for _, t := range doc.Types {
		p.Regions[t.Type] = t.Locations
	}
	return p, nil
}

func (c *Client) providerPath(namespace, action string) string {
	return At("/subscriptions/"+c.o.Subscription+"/providers/"+namespace+action, providersVersion)
}

// registerLimit is how long a registration may take; Microsoft speaks of minutes.
const registerLimit = 10 * time.Minute

// Register registers the subscription for resource providers and waits until that has happened.
func (c *Client) Register(ctx context.Context, namespaces ...string) error {
	for _, ns := range namespaces {
		if _, err := c.Do(ctx, ARM(), Request{Method: http.MethodPost, Path: c.providerPath(ns, "/register"), Repeats: true}); err != nil {
			return fmt.Errorf("register the subscription for %s: %w", ns, err)
		}
	}
	for _, ns := range namespaces {
		for waited := time.Duration(0); ; waited += longestLook {
			p, err := c.ProviderOf(ctx, ns)
			if err != nil {
				return fmt.Errorf("register the subscription for %s: %w", ns, err)
			}
			if p.State == "Registered" {
				break
			}
			if waited >= registerLimit {
				return fmt.Errorf("the subscription is still not registered for %s (%s) after %s", ns, p.State, registerLimit)
			}
			if err := c.Wait(ctx, longestLook); err != nil {
				return err
			}
		}
	}
	return nil
}

// unregistered names the resource providers that e says the subscription is not registered for.
func unregistered(e *Error) []string {
	var out []string
	for _, r := range e.Reasons() {
		if r.Code != "MissingSubscriptionRegistration" {
			continue
		}
		ns := r.Target
		if ns == "" {
			ns = quoted(r.Message, 0)
		}
		if ns != "" {
			out = append(out, ns)
		}
	}
	return out
}

// quoted returns the nth text between single quotes in a message.
func quoted(message string, n int) string {
	parts := strings.Split(message, "'")
	if i := 2*n + 1; i < len(parts)-1 {
		return parts[i]
	}
	return ""
}
