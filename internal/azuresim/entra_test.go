package azuresim_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/flowehr/flowehr/internal/azuresim"
)

func armScope() policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}}
}

func (a *azure) options() policy.ClientOptions {
	return policy.ClientOptions{Transport: a.remote, Retry: policy.RetryOptions{MaxRetries: -1}}
}

func TestSignInIsRefusedWithTheCodesOfEntra(t *testing.T) {
	a := start(t, azuresim.Options{})
	who := azuresim.Deployer()
	for name, test := range map[string]struct{ tenant, client, secret, want string }{
		"right":               {a.sim.Tenant(), who.ClientID, who.Secret, ""},
		"another tenant":      {"11111111-2222-4333-8444-555555555555", who.ClientID, who.Secret, "AADSTS90002"},
		"unknown application": {a.sim.Tenant(), "11111111-2222-4333-8444-555555555555", who.Secret, "AADSTS700016"},
		"wrong secret":        {a.sim.Tenant(), who.ClientID, "guess", "AADSTS7000215"},
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := azidentity.NewClientSecretCredential(test.tenant, test.client, test.secret,
				&azidentity.ClientSecretCredentialOptions{ClientOptions: a.options(), DisableInstanceDiscovery: true})
			if err != nil {
				t.Fatal(err)
			}
			token, err := cred.GetToken(t.Context(), armScope())
			if test.want == "" {
				if err != nil || strings.Count(token.Token, ".") != 2 {
					t.Fatalf("got %v, want a token of three parts", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestWorkloadIdentityFederation(t *testing.T) {
	const subject = "repo:hospital/flowehr:environment:prod"
	who := azuresim.Identity{Name: "ci", ClientID: "c2000000-0000-4000-8000-000000000002", Subject: subject, Role: "Owner"}
	a := start(t, azuresim.Options{Identities: []azuresim.Identity{azuresim.Deployer(), who}})
	identityToken := func(subject, audience string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, azuresim.GitHubIssuer+"/simulated?subject="+subject+"&audience="+audience, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer of the workflow")
		res, err := a.remote.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := read(t, res)
		token, _ := body["value"].(string)
		return token
	}
	for name, test := range map[string]struct {
		subject, audience string
		late              time.Duration
		want              string
	}{
		"trusted":          {subject, "api://AzureADTokenExchange", 0, ""},
		"another branch":   {"repo:hospital/flowehr:ref:refs/heads/x", "api://AzureADTokenExchange", 0, "AADSTS700213"},
		"another audience": {subject, "api://Else", 0, "AADSTS700212"},
		"too late":         {subject, "api://AzureADTokenExchange", time.Hour, "AADSTS700024"},
	} {
		t.Run(name, func(t *testing.T) {
			token := identityToken(test.subject, test.audience)
			if err := a.remote.Wait(t.Context(), test.late); err != nil {
				t.Fatal(err)
			}
			cred, err := azidentity.NewClientAssertionCredential(a.sim.Tenant(), who.ClientID, func(context.Context) (string, error) { return token, nil },
				&azidentity.ClientAssertionCredentialOptions{ClientOptions: a.options(), DisableInstanceDiscovery: true})
			if err != nil {
				t.Fatal(err)
			}
			_, err = cred.GetToken(t.Context(), armScope())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestDeviceCode(t *testing.T) {
	a := start(t, azuresim.Options{Identities: []azuresim.Identity{azuresim.Deployer(), {Name: "dr@hospital.example", Role: "Reader"}}})
	prompted := ""
	cred, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{TenantID: a.sim.Tenant(), ClientOptions: a.options(), DisableInstanceDiscovery: true,
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error { prompted = m.Message; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	token, err := cred.GetToken(t.Context(), armScope())
	if err != nil || !strings.Contains(prompted, "SIMULATION") {
		t.Fatalf("got %v, prompt %q", err, prompted)
	}
	status, body := a.plain(token, http.MethodPut, a.group("rg-x"))
	if status != http.StatusForbidden || !strings.Contains(body, "dr@hospital.example") {
		t.Errorf("a reader writes: %d %s", status, body)
	}
	if status, body := a.plain(token, http.MethodGet, "/subscriptions/"+a.sub+armAPI); status != http.StatusOK {
		t.Errorf("a reader reads: %d %s", status, body)
	}
}

// plain makes a request with a given token.
func (a *azure) plain(token azcore.AccessToken, method, path string) (int, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, "https://management.azure.com"+path, strings.NewReader(`{"location":"uksouth"}`))
	if err != nil {
		a.t.Fatal(err)
	}
	if token.Token != "" {
		req.Header.Set("Authorization", "Bearer "+token.Token)
	}
	res, err := a.remote.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.Header.Get(azuresim.Header) != "true" {
		a.t.Errorf("%s %s: the response does not say that it is a simulation", method, path)
	}
	return res.StatusCode, string(b)
}

func TestTokens(t *testing.T) {
	a := start(t, azuresim.Options{})
	who := azuresim.Deployer()
	cred, err := azidentity.NewClientSecretCredential(a.sim.Tenant(), who.ClientID, who.Secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: a.options(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	graph, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	good, err := cred.GetToken(t.Context(), armScope())
	if err != nil {
		t.Fatal(err)
	}
	forged := azcore.AccessToken{Token: good.Token[:len(good.Token)-6] + "AAAAAA"}
	for name, test := range map[string]struct {
		token  azcore.AccessToken
		status int
		want   string
	}{
		"none":            {azcore.AccessToken{}, 401, "AuthenticationFailed"},
		"of another host": {graph, 401, "InvalidAuthenticationTokenAudience"},
		"forged":          {forged, 401, "InvalidAuthenticationToken"},
		"good":            {good, 200, "subscriptionId"},
	} {
		if status, body := a.plain(test.token, http.MethodGet, "/subscriptions/"+a.sub+armAPI); status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: got %d %s, want %d with %s", name, status, body, test.status, test.want)
		}
	}
}

// TestNothingLeavesTheMachine: hosts that are not played are refused in the TLS handshake, and certificates of the simulation are
// worth nothing to other clients.
func TestNothingLeavesTheMachine(t *testing.T) {
	a := start(t, azuresim.Options{})
	for _, host := range []string{"example.com", "vault.azure.net", "management.azure.com.example.com"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := a.remote.Do(req); err == nil {
			t.Errorf("%s answered %d", host, res.StatusCode)
			res.Body.Close()
		}
	}
	other, err := azuresim.New(azuresim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := azuresim.Connect(a.address, other.CA())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Now(t.Context()); err == nil {
		t.Error("a client of another simulation trusts this one")
	}
	if _, err := azuresim.Connect(a.address, []byte("no certificate")); err == nil {
		t.Error("nonsense was taken for a certificate")
	}
}
