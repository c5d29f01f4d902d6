package automation_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/automation/bot"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// deploy puts a deployment stack into the subscription and waits for it.
func (s *simulation) deploy(t *testing.T, spec azure.StackSpec) {
	t.Helper()
	path := "/subscriptions/" + s.sim.Subscription() + "/providers/Microsoft.Resources/deploymentStacks/" + spec.Name + "?api-version=2025-07-01"
	deny := "none"
	if spec.Deny {
		deny = "denyDelete"
	}
	body := map[string]any{"location": spec.Location, "properties": map[string]any{"template": spec.Template,
		"actionOnUnmanage": map[string]string{"resources": "delete", "resourceGroups": "delete"}, "denySettings": map[string]string{"mode": deny}}}
	if err := s.client.Call(t.Context(), cloud.ARM(), http.MethodPut, path, body, nil); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		var stack struct {
			Properties struct {
				ProvisioningState string          `json:"provisioningState"`
				Error             json.RawMessage `json:"error"`
			} `json:"properties"`
		}
		if err := s.client.Get(t.Context(), cloud.ARM(), path, &stack); err != nil {
			t.Fatal(err)
		}
		switch strings.ToLower(stack.Properties.ProvisioningState) {
		case "succeeded":
			return
		case "failed", "canceled":
			t.Fatalf("stack %s: %s", spec.Name, stack.Properties.Error)
		}
		if err := s.client.Wait(t.Context(), 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("stack %s does not end", spec.Name)
}

// registrar gives out one token.
type registrar struct{ token string }

func (r registrar) RegistrationToken(context.Context) (flowehr.Secret, time.Time, error) {
	return flowehr.NewSecret(r.token), monday.Add(time.Hour), nil
}

// TestBootstrapDeploysAndRunnersGetTheirToken goes the way of a person: identity, ground, token.
func TestBootstrapDeploysAndRunnersGetTheirToken(t *testing.T) {
	s := simulate(t, admin())
	r := mustMake(t, s.identity(t, options()))
	var me struct{ ID string }
	if err := s.client.Get(t.Context(), cloud.Graph(), "/v1.0/me", &me); err != nil {
		t.Fatal(err)
	}
	o := automation.BootstrapOptions{FlowEHRID: "hospital", Subscription: s.sim.Subscription(), Tenant: s.sim.Tenant(), Location: "uksouth",
		Principal: r.PrincipalID, People: []automation.Principal{{ObjectID: me.ID, Kind: "User"}}, AllowedIP: []string{"203.0.113.7"},
		Runners: automation.Runners{Repository: "Hospital/flowehr-env"}}
	spec, err := automation.Spec(o)
	if err != nil {
		t.Fatal(err)
	}
	s.deploy(t, spec)
	if err := s.client.Wait(t.Context(), 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	until, err := automation.Register(t.Context(), s.client, registrar{"AAAA-canary"}, o)
	if err != nil || !until.Equal(monday.Add(time.Hour)) {
		t.Fatalf("until %v, %v", until, err)
	}
	var secret struct {
		Value      string `json:"value"`
		Attributes struct {
			Expires int64 `json:"exp"`
		} `json:"attributes"`
	}
	if err := s.client.Get(t.Context(), cloud.Vault(o.Names().Vault), "/secrets/runner-registration?api-version=7.4", &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Value != "AAAA-canary" || secret.Attributes.Expires != until.Unix() {
		t.Errorf("got %+v", secret)
	}
	if strings.Contains(string(spec.Template), "canary") {
		t.Error("the token stands in the template")
	}
}

// TestPullEnvironmentsAreFound: by stack and by group, and nothing else is taken for one.
func TestPullEnvironmentsAreFound(t *testing.T) {
	s := simulate(t, admin())
	mine, tagged := bot.Suffix("Hospital/flowehr-env", 3), bot.Suffix("Hospital/flowehr-env", 4)
	group := func(name string, tags map[string]string) azure.StackSpec {
		body, err := json.Marshal(map[string]any{"$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
			"languageVersion": "2.0", "contentVersion": "1.0.0.0", "resources": map[string]any{"group": map[string]any{"type": "Microsoft.Resources/resourceGroups",
				"apiVersion": "2025-04-01", "name": "rg-" + name, "location": "uksouth", "tags": tags}}})
		if err != nil {
			t.Fatal(err)
		}
		return azure.StackSpec{Name: "flowehr-core-" + name, Location: "uksouth", Template: body}
	}
	s.deploy(t, group(mine, nil))
	s.deploy(t, group(tagged, map[string]string{bot.ExpiryTag: "2026-11-24T09:00:00Z"}))
	real := group(bot.Suffix("Hospital/flowehr-env", 1), nil)
	real.Deny = true
	s.deploy(t, real)
	s.deploy(t, group("hospital-prod", nil))
	found, err := automation.PullEnvironments(t.Context(), s.client)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bot.Standing{}
	for _, f := range found {
		got[f.Suffix] = f
	}
	if len(got) != 3 || got[mine].Deployed.Before(monday) || got[mine].RealData || !got[mine].Expires.IsZero() {
		t.Errorf("got %+v", found)
	}
	if got[tagged].RealData || got[tagged].Expires.Day() != 24 || !got[bot.Suffix("Hospital/flowehr-env", 1)].RealData {
		t.Errorf("got %+v", found)
	}
	for _, v := range bot.Sweep(found, bot.Season{Repository: "Hospital/flowehr-env", Last: 4, Open: []int{4}, Now: monday, Life: time.Hour}) {
		if v.Destroy != (v.Suffix == mine) {
			t.Errorf("%+v", v)
		}
	}
}

type kept struct{ log []string }

func (k *kept) KeepEnvironment(_ context.Context, name string) error {
	k.log = append(k.log, "environment "+name)
	return nil
}

func (k *kept) KeepVariable(_ context.Context, environment, name, value string) error {
	k.log = append(k.log, "variable "+environment+"/"+name+"="+value)
	return nil
}

func (k *kept) KeepSecret(_ context.Context, environment, name string, value flowehr.Secret) error {
	k.log = append(k.log, "secret "+environment+"/"+name+"="+value.Reveal())
	return nil
}

func TestStore(t *testing.T) {
	k := &kept{}
	err := automation.Store(t.Context(), k, []automation.Setting{
		{Name: "A", Kind: automation.Secret, Value: "1"},
		{Name: "B", Kind: automation.Secret, Secret: flowehr.NewSecret("2")},
		{Name: "C", Kind: automation.Variable, Environment: "dev", Value: "3"},
		{Name: "D", Kind: automation.Variable, Environment: "dev", Value: "4"},
	})
	if want := "secret /A=1, secret /B=2, environment dev, variable dev/C=3, variable dev/D=4"; err != nil || strings.Join(k.log, ", ") != want {
		t.Errorf("got %q, %v", k.log, err)
	}
}
