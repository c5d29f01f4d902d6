package azure

import (
	"errors"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// TestRefusals provokes what stands in the way of a deployment, and holds what a person is told: what happened, and what to do
// next. What had been done is recorded, so that a deployment after the obstacle has gone ends well.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name       string
		conditions azuresim.Conditions
		who        func(*azuresim.Identity)
		what, next string
	}{
		{name: "a quota is used up", conditions: azuresim.Conditions{Quotas: map[string]int{"Microsoft.Databricks/workspaces": 0}},
			what: "the subscription's quota is used up", next: "Ask for more in the portal under Quotas"},
		{name: "somebody else has the name", conditions: azuresim.Conditions{Taken: []string{"adlsstelsedev"}}, what: "somebody else in Azure has this name",
			next: "change one of them"},
		{name: "a region has no such service", conditions: azuresim.Conditions{Unavailable: map[string][]string{"uksouth": {"Microsoft.Databricks/workspaces"}}},
			what: "uksouth has no Databricks", next: "Choose a region that has them"},
		{name: "a policy forbids it", conditions: azuresim.Conditions{Policies: []azuresim.Policy{{Name: "no-databricks", Type: "Microsoft.Databricks/workspaces"}}},
			what: `the policy "no-databricks" of the organisation forbids it`, next: "ask for an exemption"},
		{name: "a provider refuses the template", conditions: azuresim.Conditions{Rejected: map[string]string{"Microsoft.DataFactory/factories": "The body is not liked."}},
			what: "Azure refused the template", next: "report it with the request id"},
		{name: "a role is missing", who: func(i *azuresim.Identity) { i.Role = "Reader" }, what: "you may not do Microsoft.Resources/resourceGroups/write",
			next: "Have an Owner grant Contributor"},
		{name: "a permission of the directory is missing", who: func(i *azuresim.Identity) { i.Graph = []string{"Directory.Read.All"} },
			what: "lacks the permission Application.ReadWrite.All", next: "az ad app permission add"},
		{name: "the secret is wrong", who: func(i *azuresim.Identity) { i.Secret = "" }, what: "the client secret is wrong", next: "Set ARM_CLIENT_SECRET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := *written(t, "minimal", "dev")
			o := azuresim.Options{Seed: 1, Quiet: fast}
			if c.who != nil {
				c.who(&x.who)
				o.Identities = []azuresim.Identity{x.who}
			}
			if x.who.Secret == "" {
				x.who.Secret, o.Identities = "not-the-secret", []azuresim.Identity{azuresim.Deployer()}
			}
			s := simulate(t, o)
			if err := s.remote.SetConditions(t.Context(), c.conditions); err != nil {
				t.Fatal(err)
			}
			heard := &ear{}
			p := s.begin(t, &x, heard, life{})
			_, err := p.deploy(t.Context())
			if err == nil {
				t.Fatal("the deployment was not refused")
			}
			told := inWords(err)
			if !strings.Contains(told, c.what) || !strings.Contains(told, c.next) {
				t.Errorf("told:\n%s\nwant %q and %q", told, c.what, c.next)
			}
			if c.who != nil {
				return // whoever may not do it cannot do it later either
			}
			if err := s.remote.SetConditions(t.Context(), azuresim.Conditions{}); err != nil {
				t.Fatal(err)
			}
			s.until(t, "deployed", heard, func() (bool, error) {
				p := s.begin(t, &x, heard, life{})
				defer p.end()
				made, err := p.deploy(t.Context())
				return err == nil && made.Empty(), err
			})
			heard.secretive(t)
		})
	}
}

// inWords is what a person is told of an error.
func inWords(err error) string {
	var out []string
	if refused, ok := errors.AsType[flowehr.DiagnosticsError](err); ok {
		for _, d := range refused.Diagnostics {
			out = append(out, d.Summary, d.Detail)
		}
	}
	what, next, _ := cloud.Explain(err)
	return strings.Join(append(out, what, next, err.Error()), "\n")
}
