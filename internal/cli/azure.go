package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// account is whom a command is signed in to Azure as, and how it reaches it.
type account struct {
	client *cloud.Client
	who    cloud.Who
	now    flowehr.Clock
	sim    *simulation // nil in the real Azure
}

// close ends a simulation that is the command's own.
func (x *account) close() error {
	if x.sim == nil {
		return nil
	}
	return x.sim.close()
}

// where is the fact of the first line that keeps a simulation from being mistaken for Azure.
func (x *account) where() []string {
	if x.sim == nil {
		return nil
	}
	return []string{"SIMULATION, nothing real is changed"}
}

// signInCache is where a person's sign-in is kept: one for the user, not one for each environment.
func (a *app) signInCache() *cloud.SignInCache {
	home := a.machine().ConfigHome
	if home == "" {
		return nil
	}
	return cloud.NewSignInCache(filepath.Join(home, "flowehr", "sign-in"), filepath.Join(home, "flowehr", "keys", "sign-in.key"))
}

// credentialOptions say who there is to sign in as, by the environment of the process.
func (a *app) credentialOptions() cloud.CredentialOptions {
	o := cloud.CredentialOptions{
		Tenant: a.firstEnv("ARM_TENANT_ID", "AZURE_TENANT_ID"), ClientID: a.firstEnv("ARM_CLIENT_ID", "AZURE_CLIENT_ID"),
		Secret:          flowehr.NewSecret(a.firstEnv("ARM_CLIENT_SECRET", "AZURE_CLIENT_SECRET")),
		OIDCURL:         a.env("ACTIONS_ID_TOKEN_REQUEST_URL"),
		OIDCToken:       flowehr.NewSecret(a.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN")),
		ManagedIdentity: a.env("ARM_USE_MSI") == "true",
		Cache:           a.signInCache(),
	}
	_, err := exec.LookPath("az")
	o.CLI = err == nil
	return o
}

func (a *app) firstEnv(names ...string) string {
	for _, n := range names {
		if v := a.env(n); v != "" {
			return v
		}
	}
	return ""
}

// openAccount signs in.
func (a *app) openAccount(ctx context.Context, d *definition) (*account, error) {
	sim, err := a.openSimulation(ctx, d)
	if err != nil {
		return nil, err
	}
	x := &account{now: a.now, sim: sim}
	o, subscription := a.credentialOptions(), a.firstEnv("ARM_SUBSCRIPTION_ID", "AZURE_SUBSCRIPTION_ID")
	options := cloud.Options{}
	if sim != nil {
		o = cloud.CredentialOptions{Tenant: sim.Tenant, ClientID: sim.ClientID, Secret: flowehr.NewSecret(sim.Secret), Transport: sim.remote, Offline: true}
		subscription = sim.Subscription
		options.Transport, options.Wait = sim.remote, sim.remote.Wait
		x.now = func() time.Time {
			now, err := sim.remote.Now(context.WithoutCancel(ctx))
			if err != nil {
				return a.now() // the simulation has ended; only a display asks now
			}
			return now
		}
	}
	a.veil.Hide(o.Secret.Reveal())
	cred, who, err := cloud.Credential(ctx, o)
	if err != nil {
		return nil, errors.Join(err, x.close())
	}
	options.Credential, options.Tenant, options.Subscription = cred, who.Tenant, subscription
	x.who, x.client = who, cloud.New(options)
	if subscription == "" {
		if options.Subscription, err = onlySubscription(ctx, x.client); err != nil {
			return nil, errors.Join(err, x.close())
		}
		x.client = cloud.New(options)
	}
	return x, nil
}

// onlySubscription is the one subscription that whoever is signed in can see.
func onlySubscription(ctx context.Context, c *cloud.Client) (string, error) {
	var found []string
	err := c.Pages(ctx, cloud.ARM(), cloud.At("/subscriptions", "2022-12-01"), func(raw json.RawMessage) error {
		var s struct{ SubscriptionID, DisplayName, State string }
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if s.State == "Enabled" {
			found = append(found, s.SubscriptionID+" ("+s.DisplayName+")")
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", hint(errors.New("you are signed in, and no subscription is visible to you"), "Ask its owner for the role Owner on it, or name it: export ARM_SUBSCRIPTION_ID=...")
	case len(found) > 1:
		return "", hint(fmt.Errorf("%d subscriptions are visible to you: %s", len(found), strings.Join(found, ", ")), "Choose one: export ARM_SUBSCRIPTION_ID=...")
	}
	id, _, _ := strings.Cut(found[0], " ")
	return id, nil
}

// addressService answers with the address that it is asked from, as text.
const addressService = "https://ipv4.icanhazip.com/"

// publicAddress finds the address that this machine has on the internet, which the firewalls of Azure will see.
func (a *app) publicAddress(x *account) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if ip := a.env("FLOWEHR_PUBLIC_IP"); ip != "" {
			return checkAddress(ip, "FLOWEHR_PUBLIC_IP")
		}
		var t policy.Transporter = http.DefaultClient
		if x.sim != nil {
			t = x.sim.remote
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, addressService, nil)
		if err != nil {
			return "", err
		}
		res, err := t.Do(req)
		if err != nil {
			return "", hint(fmt.Errorf("your address on the internet is not known: %w", err), "Say it: export FLOWEHR_PUBLIC_IP=...")
		}
		defer res.Body.Close()
		b, err := io.ReadAll(io.LimitReader(res.Body, 64))
		if err != nil {
			return "", err
		}
		return checkAddress(strings.TrimSpace(string(b)), addressService)
	}
}

func checkAddress(text, from string) (string, error) {
	ip := net.ParseIP(text)
	if ip == nil || ip.To4() == nil {
		return "", hint(fmt.Errorf("%s gives %q, which is no IPv4 address", from, text), "Say your address on the internet: export FLOWEHR_PUBLIC_IP=...")
	}
	return ip.String(), nil
}

// simulatedToken signs in to the simulated GitHub and is worth nothing anywhere else.
const simulatedToken = "ghp_simulated"

// gitHubToken is a personal access token that does for an App where there is none.
func (a *app) gitHubToken() flowehr.Secret {
	token := a.env("FLOWEHR_REPOSITORIES_GH_TOKEN")
	if token == "" {
		return flowehr.Secret{}
	}
	a.veil.Hide(token)
	return flowehr.NewSecret(token)
}

// gitHubKey returns the private key of the GitHub App: $GH_APP_CERT, else apps/github.pem beside the definition, else none
// (spec 05 "CI").
func (a *app) gitHubKey() (flowehr.Secret, error) {
	if key := a.env("GH_APP_CERT"); key != "" {
		a.veil.Hide(key)
		return flowehr.NewSecret(key), nil
	}
	b, err := os.ReadFile(filepath.Join(a.dir, "apps", "github.pem"))
	if errors.Is(err, os.ErrNotExist) {
		return flowehr.Secret{}, nil
	}
	if err != nil {
		return flowehr.Secret{}, err
	}
	a.veil.Hide(string(b))
	return flowehr.NewSecret(string(b)), nil
}
