package automation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// simulation is a directory and a subscription with one person in it.
type simulation struct {
	sim    *azuresim.Sim
	remote *azuresim.Remote
	client *cloud.Client // signed in as the person
}

// admin may do everything.
func admin() azuresim.Identity {
	return azuresim.Identity{Name: "ada@hospital.example", Role: "Owner",
		Graph: []string{"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Directory.Read.All"}}
}

var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func simulate(t *testing.T, who azuresim.Identity) *simulation {
	t.Helper()
	sim, err := azuresim.New(azuresim.Options{Start: monday, Identities: []azuresim.Identity{who}})
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
	remote, err := azuresim.Connect(l.Addr().String(), sim.CA())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remote.Transport.CloseIdleConnections)
	s := &simulation{sim: sim, remote: remote}
	s.client = s.as(credential{sim.Tenant(), remote, who})
	return s
}

func (s *simulation) as(who azcore.TokenCredential) *cloud.Client {
	return cloud.New(cloud.Options{Credential: who, Subscription: s.sim.Subscription(), Tenant: s.sim.Tenant(), Transport: s.remote, Wait: s.remote.Wait})
}

// reaches reports whether somebody may read the subscription, once every part of Azure knows what was granted and taken away.
func (s *simulation) reaches(t *testing.T, who azcore.TokenCredential) bool {
	t.Helper()
	if err := s.remote.Wait(t.Context(), 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	return s.as(who).Get(t.Context(), cloud.ARM(), "/subscriptions/"+s.sim.Subscription()+"/resourcegroups?api-version=2025-04-01", nil) == nil
}

// application signs in with a client secret, job as a job of GitHub Actions does.
func (s *simulation) application(client, secret string) azcore.TokenCredential {
	return credential{s.sim.Tenant(), s.remote, azuresim.Identity{ClientID: client, Secret: secret}}
}

func (s *simulation) job(client, subject string) azcore.TokenCredential {
	return workflow{credential{s.sim.Tenant(), s.remote, azuresim.Identity{}}, client, subject}
}

// credential signs in by the requests that the libraries make: a person with a device code, an application with its secret.
type credential struct {
	tenant string
	remote *azuresim.Remote
	who    azuresim.Identity
}

func (c credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	scope := strings.Join(o.Scopes, " ")
	if c.who.ClientID != "" {
		return c.token(ctx, url.Values{"grant_type": {"client_credentials"}, "client_id": {c.who.ClientID}, "client_secret": {c.who.Secret}, "scope": {scope}})
	}
	code, err := c.ask(ctx, "devicecode", url.Values{"client_id": {"cli"}, "scope": {scope}})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return c.token(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"cli"},
		"device_code": {fmt.Sprint(code["device_code"])}, "scope": {scope}})
}

func (c credential) token(ctx context.Context, form url.Values) (azcore.AccessToken, error) {
	answer, err := c.ask(ctx, "token", form)
	return azcore.AccessToken{Token: fmt.Sprint(answer["access_token"]), ExpiresOn: monday.AddDate(1, 0, 0)}, err
}

func (c credential) ask(ctx context.Context, what string, form url.Values) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://login.microsoftonline.com/"+c.tenant+"/oauth2/v2.0/"+what, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.answer(req)
}

func (c credential) answer(req *http.Request) (map[string]any, error) {
	res, err := c.remote.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", req.URL.Path, res.StatusCode, body)
	}
	var answer map[string]any
	return answer, json.Unmarshal(body, &answer)
}

type workflow struct {
	credential
	client, subject string
}

func (w workflow) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://token.actions.githubusercontent.com/simulated?"+
		url.Values{"subject": {w.subject}, "audience": {"api://AzureADTokenExchange"}}.Encode(), nil)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	req.Header.Set("Authorization", "Bearer request-token")
	said, err := w.answer(req)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return w.token(ctx, url.Values{"grant_type": {"client_credentials"}, "client_id": {w.client}, "scope": {strings.Join(o.Scopes, " ")},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {fmt.Sprint(said["value"])}})
}
