package azure

import (
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// A vault that the network was closed to keeps nothing from being destroyed that goes with it; taking one secret out of it is
// refused with the reason.
func TestWhatIsOutOfReachGoesWithItsStack(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 71})
	p.vault(vaultName)
	application := resource(t, azure.KindApplication, refApp.Name, writerApplication())
	secret := resource(t, azure.KindVaultSecret, "s", azure.VaultSecretSpec{Vault: vaultName, Name: "s", Source: azure.Source{Text: "v"}})
	login := azure.AdminLogin{Application: azure.Out(refApp, azure.OutAppID), Secret: azure.VaultRef{Vault: vaultName, Name: "s"}}
	user := resource(t, azure.KindSQLPrincipal, "apps", azure.SQLPrincipalSpec{Engine: "mssql", Server: "sql-x.database.windows.net", Database: "d",
		Name: "apps", ObjectID: azure.Lit(someObject), Group: true, Roles: []string{"db_datareader"}, Admin: login}, refApp)
	target := p.target(application, secret, user)
	var recs []flowehr.Record
	for _, r := range []flowehr.Resource{application, secret} {
		recs = append(recs, makeDo(t, target, r))
	}
	recs = append(recs, flowehr.Record{Resource: user, ID: "sql-x/d/apps"})
	id := p.group + "/providers/Microsoft.KeyVault/vaults/" + vaultName
	p.put(id, "Microsoft.KeyVault/vaults", map[string]any{"location": "uksouth", "properties": map[string]any{"tenantId": p.sim.Tenant(),
		"sku": map[string]any{"family": "A", "name": "standard"}, "enableRbacAuthorization": true, "enableSoftDelete": true, "softDeleteRetentionInDays": 7,
		"publicNetworkAccess": "Disabled"}})

	stack := func(of ...arm.Resource) flowehr.Step {
		template := arm.ForSubscription()
		group := arm.ForGroup()
		for _, r := range of {
			group.Add("r"+r.Name, r)
		}
		template.Nest("n", "rg-x", group)
		body, err := template.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return flowehr.Step{Action: flowehr.Delete, Want: resource(t, azure.KindStack, "core", azure.StackSpec{Name: "s", Location: "uksouth", Template: body})}
	}
	vault := arm.New("Microsoft.KeyVault/vaults", vaultName, arm.Object{})
	server := arm.New("Microsoft.Sql/servers", "sql-x", arm.Object{})
	for _, c := range []struct {
		name string
		plan []flowehr.Step
		goes []int // of recs
	}{
		{"nothing else goes", nil, nil},
		{"another vault goes", []flowehr.Step{stack(arm.New("Microsoft.KeyVault/vaults", vaultName+"2", arm.Object{}))}, nil},
		{"the vault goes", []flowehr.Step{stack(vault)}, []int{1}},
		{"vault and server go", []flowehr.Step{stack(vault, server)}, []int{1, 2}},
		{"the vault is changed", []flowehr.Step{{Action: flowehr.Update, Want: stack(vault).Want}}, nil},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			d := target.During(flowehr.Plan{Steps: c.plan})
			for i, rec := range recs[1:] {
				in := &noted{}
				_, err := d.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}, in)
				goes := slices.Contains(c.goes, i+1)
				if (err == nil) != goes || goes && len(in.notes) == 0 || err != nil && !strings.Contains(err.Error(), "Public network access is disabled") {
					t.Errorf("%s: %v, notes %q; goes: want %v", rec.Resource.Ref, err, in.notes, goes)
				}
			}
		})
	}
}
