package azure

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

const vaultName = "kv-x0"

func writerApplication() azure.ApplicationSpec {
	return azure.ApplicationSpec{DisplayName: "writer", UniqueName: "writer-x", Tags: []string{"flowehr:x"}}
}

func writerPassword(days int) azure.VaultSecretSpec {
	return azure.VaultSecretSpec{Vault: vaultName, Name: "writer-secret", Source: azure.Source{
		Password: &azure.AppPassword{Application: azure.Out(refApp, azure.OutObjectID), Days: days}}}
}

// registry makes a registry with a token and returns its id.
func (p *planes) registry() string {
	p.t.Helper()
	id := p.group + "/providers/Microsoft.ContainerRegistry/registries/acrservex"
	p.put(id, "Microsoft.ContainerRegistry/registries", map[string]any{"location": "uksouth", "sku": map[string]any{"name": "Standard"}, "properties": map[string]any{}})
	p.put(id+"/scopeMaps/app", "Microsoft.ContainerRegistry/registries/scopeMaps", map[string]any{"properties": map[string]any{
		"actions": []string{"repositories/app/content/write"}}})
	p.put(id+"/tokens/app", "Microsoft.ContainerRegistry/registries/tokens", map[string]any{"properties": map[string]any{"scopeMapId": id + "/scopeMaps/app", "status": "enabled"}})
	return id
}

func vaultResources(t testing.TB, registry string, text flowehr.Text, days int) []flowehr.Resource {
	value := azure.Out(refApp, azure.OutAppID)
	secret := func(name string, source azure.Source, needs ...flowehr.Ref) flowehr.Resource {
		return resource(t, azure.KindVaultSecret, name, azure.VaultSecretSpec{Vault: vaultName, Name: name, Source: source}, needs...)
	}
	return []flowehr.Resource{
		resource(t, azure.KindApplication, refApp.Name, writerApplication()),
		resource(t, azure.KindVaultSecret, "writer-secret", writerPassword(days), refApp),
		secret("writer-id", azure.Source{Value: &value}, refApp),
		secret("epr", azure.Source{Text: text}),
		secret("random", azure.Source{Generated: &azure.Generated{Length: 40}}),
		secret("copy", azure.Source{Vault: &azure.VaultRef{Vault: vaultName, Name: "random"}}, azure.Ref(azure.KindVaultSecret, "random")),
		resource(t, azure.KindRegistryToken, "app", azure.RegistryTokenSpec{Registry: registry, Token: "app", Days: days,
			Secret: azure.VaultRef{Vault: vaultName, Name: "acr-password"}}),
	}
}

func TestVaultSuite(t *testing.T) {
	suite(t, nil, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p := newPlanes(t, azuresim.Options{Seed: 11})
		p.vault(vaultName)
		registry := p.registry()
		return p, vaultResources(t, registry, "user ${EPR}", 365), vaultResources(t, registry, "other ${EPR}", 180)
	})
}

// applicationPasswords returns the ids of the passwords that the application has.
func applicationPasswords(t *testing.T, p *planes, application string) []string {
	t.Helper()
	all, err := secretMinder{graph: graph{p.client}}.credentials(t.Context(), application)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, c := range all {
		ids = append(ids, c.KeyID)
	}
	slices.Sort(ids)
	return ids
}

func inVault(t *testing.T, p *planes, name string) vaultSecret {
	t.Helper()
	s, found, err := vaults{c: p.client}.get(t.Context(), azure.VaultRef{Vault: vaultName, Name: name})
	if err != nil || !found {
		t.Fatalf("secret %s: found %v, %v", name, found, err)
	}
	return s
}

// filledIn returns r with outputs of recorded resources in place.
func filledIn(t *testing.T, target *Target, r flowehr.Resource) flowehr.Resource {
	t.Helper()
	r.Spec = target.filled(t.Context(), r.Spec)
	return r
}

func TestPasswordCutShortLeavesNoOrphan(t *testing.T) {
	put := azuresim.FaultRule{Method: http.MethodPut, Host: "*.vault.azure.net", Times: -1, Fault: azuresim.FaultRefuse, Status: 400, Code: "BadParameter"}
	p := newPlanes(t, azuresim.Options{Seed: 12, Faults: azuresim.Faults{Rules: []azuresim.FaultRule{put}}})
	p.vault(vaultName)
	app := resource(t, azure.KindApplication, refApp.Name, writerApplication())
	target := p.target(app)
	rec := makeDo(t, target, app)
	secret := filledIn(t, target, resource(t, azure.KindVaultSecret, "s", writerPassword(90)))
	for range 2 {
		if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: secret}, &noted{}); err == nil {
			t.Fatal("the vault refused and nobody said so")
		}
	}
	if got := applicationPasswords(t, p, rec.ID); len(got) != 1 {
		t.Errorf("%d passwords that nobody knows, want that of the last attempt", len(got))
	}
	if err := p.remote.SetFaults(t.Context(), azuresim.Faults{}); err != nil {
		t.Fatal(err)
	}
	makeDo(t, target, secret)
	if got := applicationPasswords(t, p, rec.ID); len(got) != 1 || got[0] != inVault(t, p, "writer-secret").Tags[tagKey] {
		t.Errorf("passwords are %v, the vault has that of %s", got, inVault(t, p, "writer-secret").Tags[tagKey])
	}
}

func TestPasswordIsKeptUntilItNoLongerWorks(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 13})
	p.vault(vaultName)
	app := resource(t, azure.KindApplication, refApp.Name, writerApplication())
	target := p.target(app)
	application := makeDo(t, target, app)
	secret := filledIn(t, target, resource(t, azure.KindVaultSecret, "s", writerPassword(30)))
	rec := makeDo(t, target, secret)
	first := inVault(t, p, "writer-secret")
	if want := p.now().Add(30 * 24 * time.Hour).Unix(); first.Attributes.Expires < want-600 || first.Attributes.Expires > want+600 {
		t.Errorf("expires at %d, want about %d", first.Attributes.Expires, want)
	}
	update(t, target, secret, rec)
	if got := inVault(t, p, "writer-secret").Value; got != first.Value {
		t.Error("a password that works was made again")
	}
	for what, spoil := range map[string]func() error{
		"removed": func() error {
			return graph{p.client}.call(t.Context(), http.MethodPost, "/applications/"+application.ID+"/removePassword",
				map[string]string{"keyId": inVault(t, p, "writer-secret").Tags[tagKey]}, nil)
		},
		"about to expire": func() error { return p.remote.Wait(t.Context(), 28*24*time.Hour) },
	} {
		before := inVault(t, p, "writer-secret").Value
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		standsAs(t, target, rec, false)
		update(t, target, secret, rec)
		standsAs(t, target, rec, true)
		if inVault(t, p, "writer-secret").Value == before {
			t.Errorf("a password that is %s was kept", what)
		}
		if got := applicationPasswords(t, p, application.ID); len(got) != 1 {
			t.Errorf("after one that was %s: %d passwords, want 1", what, len(got))
		}
	}
}

func TestRotateKeepsTheFormerUntilItIsRetired(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 14})
	p.vault(vaultName)
	app := resource(t, azure.KindApplication, refApp.Name, writerApplication())
	secret := resource(t, azure.KindVaultSecret, "s", writerPassword(90))
	target := p.target(app, secret)
	application := makeDo(t, target, app)
	rec := makeDo(t, target, filledIn(t, target, secret))
	rec.Resource = secret
	spec, err := target.Known(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	first := inVault(t, p, "writer-secret")
	for n := range 2 {
		if err := target.Rotate(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if got := applicationPasswords(t, p, application.ID); len(got) != 2 {
			t.Errorf("rotation %d: %d passwords are valid, want the new and the former", n, len(got))
		}
		update(t, target, filledIn(t, target, secret), rec)
		if got := applicationPasswords(t, p, application.ID); len(got) != 2 {
			t.Errorf("rotation %d: a deployment retired the former", n)
		}
	}
	now := inVault(t, p, "writer-secret")
	if now.Value == first.Value {
		t.Error("the password is the same")
	}
	if err := target.Retire(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if got := applicationPasswords(t, p, application.ID); !slices.Equal(got, []string{now.Tags[tagKey]}) {
		t.Errorf("after retiring: %v, want %s alone", got, now.Tags[tagKey])
	}
	standsAs(t, target, rec, true)
}

func TestRotateOfWhatIsGivenIsRefused(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 15})
	p.vault(vaultName)
	err := p.target().Rotate(t.Context(), azure.VaultSecretSpec{Vault: vaultName, Name: "epr", Source: azure.Source{Text: "${EPR}"}})
	if err == nil || !strings.Contains(err.Error(), "epr is given by the definition") {
		t.Errorf("got %v", err)
	}
}

func TestRegistryRotatesBetweenItsPasswords(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 16})
	p.vault(vaultName)
	registry := p.registry()
	target := p.target()
	token := resource(t, azure.KindRegistryToken, "app", azure.RegistryTokenSpec{Registry: registry, Token: "app", Days: 90, Secret: azure.VaultRef{Vault: vaultName, Name: "acr"}})
	rec := makeDo(t, target, token)
	spec := azure.VaultSecretSpec{Vault: vaultName, Name: "acr", Source: azure.Source{Registry: &azure.RegistryPass{Registry: registry, Token: "app", Days: 90}}}
	slots := []string{inVault(t, p, "acr").Tags[tagSlot]}
	for range 2 {
		before := inVault(t, p, "acr").Value
		if err := target.Rotate(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		now := inVault(t, p, "acr")
		slots = append(slots, now.Tags[tagSlot])
		if now.Value == before {
			t.Error("the password is the same")
		}
		standsAs(t, target, rec, true)
	}
	if !slices.Equal(slots, []string{"password1", "password2", "password1"}) {
		t.Errorf("passwords were %v", slots)
	}
}

func TestRolesOfAVaultAreWaitedFor(t *testing.T) {
	// The role is refused four times as it is while it spreads, then lets through.
	rule := azuresim.FaultRule{Host: "*.vault.azure.net", Times: 4, Fault: azuresim.FaultRefuse, Status: 403, Code: "ForbiddenByRbac"}
	p := newPlanes(t, azuresim.Options{Seed: 17, Faults: azuresim.Faults{Rules: []azuresim.FaultRule{rule}}})
	p.vault(vaultName)
	began := p.now()
	makeDo(t, p.target(), resource(t, azure.KindVaultSecret, "s", azure.VaultSecretSpec{Vault: vaultName, Name: "s", Source: azure.Source{Text: "v"}}))
	if waited := p.now().Sub(began); waited < 4*accessPause {
		t.Errorf("waited %s, want at least %s", waited, 4*accessPause)
	}
}

// What is protected from purging is deleted as far as it can be, and comes back with its value.
func TestProtectedSecretsComeBack(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 18})
	p.vault(vaultName)
	p.put(p.group+"/providers/Microsoft.KeyVault/vaults/"+vaultName, "Microsoft.KeyVault/vaults", map[string]any{"location": "uksouth",
		"properties": map[string]any{"tenantId": p.sim.Tenant(), "sku": map[string]any{"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
			"enableSoftDelete": true, "softDeleteRetentionInDays": 7, "enablePurgeProtection": true}})
	r := resource(t, azure.KindVaultSecret, "s", azure.VaultSecretSpec{Vault: vaultName, Name: "s", Source: azure.Source{Generated: &azure.Generated{Length: 30}}})
	target := p.target()
	rec := makeDo(t, target, r)
	before := inVault(t, p, "s").Value
	for range 2 {
		if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: r, Prior: &rec}, &noted{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := target.Read(t.Context(), rec); !isGone(err) {
		t.Errorf("got %v, want gone", err)
	}
	makeDo(t, target, r)
	if inVault(t, p, "s").Value != before {
		t.Error("the secret came back with another value")
	}
}

// No value reaches a record, a note or an error, whatever goes wrong.
func TestVaultShowsNoSecret(t *testing.T) {
	for _, fault := range []azuresim.FaultRule{
		{Method: http.MethodPut, Host: "*.vault.azure.net", Times: -1, Fault: azuresim.FaultRefuse, Status: 400, Code: "BadParameter", Message: "no"},
		{Host: "*.vault.azure.net", Times: -1, Fault: azuresim.FaultDrop},
		{},
	} {
		p := newPlanes(t, azuresim.Options{Seed: 19})
		p.vault(vaultName)
		registry := p.registry()
		resources := vaultResources(t, registry, "${EPR}", 90)
		target := p.target(resources...)
		if fault.Fault != "" {
			if err := p.remote.SetFaults(t.Context(), azuresim.Faults{Rules: []azuresim.FaultRule{fault}}); err != nil {
				t.Fatal(err)
			}
		}
		var shown strings.Builder
		in := &noted{}
		for _, r := range resources {
			rec, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: filledIn(t, target, r)}, in)
			b, _ := json.Marshal(rec) // records always encode
			shown.Write(b)
			if err != nil {
				shown.WriteString(err.Error())
			}
		}
		shown.WriteString(strings.Join(in.notes, "\n"))
		values := []string{canary}
		for _, name := range []string{"writer-secret", "random", "acr-password"} {
			if s, found, _ := (vaults{c: p.client}).get(t.Context(), azure.VaultRef{Vault: vaultName, Name: name}); found {
				values = append(values, s.Value)
			}
		}
		for _, v := range values {
			if strings.Contains(shown.String(), v) {
				t.Errorf("with fault %q a secret is shown", fault.Fault)
			}
		}
	}
}

// What was removed holds no name: it is neither deleted softly in the vault nor among the deleted objects of the directory.
func TestRemovedNamesAreFree(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 20})
	p.vault(vaultName)
	application := resource(t, azure.KindApplication, refApp.Name, writerApplication())
	secret := resource(t, azure.KindVaultSecret, "s", azure.VaultSecretSpec{Vault: vaultName, Name: "s", Source: azure.Source{Text: "v"}})
	target := p.target(application, secret)
	var made []flowehr.Record
	for _, r := range []flowehr.Resource{application, secret} {
		made = append(made, makeDo(t, target, r))
	}
	for _, rec := range made {
		if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}, &noted{}); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := (vaults{c: p.client}).deleted(t.Context(), azure.VaultRef{Vault: vaultName, Name: "s"}); s != nil || err != nil {
		t.Errorf("the secret is still among the deleted ones, or %v", err)
	}
	for _, id := range []string{made[0].ID, made[0].Outputs[azure.OutPrincipalID]} {
		if err := (graph{p.client}).call(t.Context(), http.MethodGet, "/directory/deletedItems/"+id, nil, nil); !cloud.NotFound(err) {
			t.Errorf("%s is still among the deleted objects, or %v", id, err)
		}
	}
}
