package azuresim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/flowehr/flowehr/internal/azuresim"
)

type object = map[string]any

// azure is a simulation with a client of the Azure SDK signed in to it.
type azure struct {
	t       testing.TB
	sim     *azuresim.Sim
	remote  *azuresim.Remote
	address string
	sub     string
	pl      runtime.Pipeline
}

// start runs a simulation until the test ends.
func start(t testing.TB, o azuresim.Options) *azure {
	t.Helper()
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	}
	sim, err := azuresim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, sim.Close()); err != nil {
			t.Errorf("end of the simulation: %v", err)
		}
	})
	return connect(t, sim, l.Addr().String(), azuresim.Deployer())
}

func connect(t testing.TB, sim *azuresim.Sim, address string, who azuresim.Identity) *azure {
	t.Helper()
	a := &azure{t: t, sim: sim, address: address, sub: sim.Subscription()}
	var err error
	if a.remote, err = azuresim.Connect(address, sim.CA()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.remote.Transport.CloseIdleConnections)
	a.as(who)
	return a
}

// as signs in as somebody else.
func (a *azure) as(who azuresim.Identity) {
	a.t.Helper()
	options := policy.ClientOptions{Transport: a.remote, Retry: policy.RetryOptions{MaxRetries: -1}}
	cred, err := azidentity.NewClientSecretCredential(a.sim.Tenant(), who.ClientID, who.Secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		a.t.Fatal(err)
	}
	client, err := arm.NewClient("flowehr.test", "v1.0.0", cred, &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true})
	if err != nil {
		a.t.Fatal(err)
	}
	a.pl = client.Pipeline()
}

func (a *azure) request(method, path string, body any) (*policy.Request, error) {
	req, err := runtime.NewRequest(a.t.Context(), method, cloud.AzurePublic.Services[cloud.ResourceManager].Endpoint+path)
	if err != nil || body == nil {
		return req, err
	}
	return req, runtime.MarshalAsJSON(req, body)
}

// do makes a request and returns what came back, whatever it is.
func (a *azure) do(method, path string, body any) (int, object, http.Header) {
	a.t.Helper()
	req, err := a.request(method, path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	res, err := a.pl.Do(req)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	return read(a.t, res)
}

func read(t testing.TB, res *http.Response) (int, object, http.Header) {
	t.Helper()
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out object
	if len(bytes.TrimSpace(data)) > 0 {
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	}
	return res.StatusCode, out, res.Header
}

// long makes a request and waits, with the poller of the SDK, until what it began has ended.
func (a *azure) long(method, path string, body any) (object, error) {
	a.t.Helper()
	req, err := a.request(method, path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	res, err := a.pl.Do(req)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	if !runtime.HasStatusCode(res, 200, 201, 202, 204) {
		return nil, runtime.NewResponseError(res)
	}
	p, err := runtime.NewPoller[object](res, a.pl, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return p.PollUntilDone(a.t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Millisecond})
}

// must is long without an error.
func (a *azure) must(method, path string, body any) object {
	a.t.Helper()
	out, err := a.long(method, path, body)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	return out
}

func (a *azure) now() time.Time {
	a.t.Helper()
	now, err := a.remote.Now(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return now
}

func (a *azure) id(group, rest string) string {
	return "/subscriptions/" + a.sub + "/resourceGroups/" + group + "/providers/" + rest
}

func (a *azure) stackPath(name string) string {
	return "/subscriptions/" + a.sub + "/providers/Microsoft.Resources/deploymentStacks/" + name + "?api-version=2025-07-01"
}

// code returns the code of an error of the service.
func code(err error) string {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.ErrorCode
	}
	return ""
}

// at reads a member of a member.
func at(o object, path ...string) any {
	var v any = o
	for _, p := range path {
		m, _ := v.(object)
		v = m[p]
	}
	return v
}
