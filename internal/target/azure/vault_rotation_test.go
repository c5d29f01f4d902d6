package azure

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

func recorded(all ...flowehr.Resource) flowehr.State {
	st := flowehr.State{Environment: "x", Target: flowehr.TargetAzure, Revision: 7, Records: map[flowehr.Ref]flowehr.Record{}}
	for _, r := range all {
		st.Records[r.Ref] = flowehr.Record{Resource: r, ID: "id of " + r.Ref.String()}
	}
	return st
}

// rotationWorld are resources of every kind that a secret goes through.
func rotationWorld(t *testing.T) []flowehr.Resource {
	from := func(vault, name string) azure.Source {
		return azure.Source{Vault: &azure.VaultRef{Vault: vault, Name: name}}
	}
	conf := func(keys ...string) azure.ClusterSpec {
		s := azure.ClusterSpec{Conf: map[string]string{"spark.x": "1"}, Env: map[string]azure.Value{}}
		for _, k := range keys {
			s.Conf["spark.secret."+k] = "{{secrets/s/" + k + "}}"
		}
		return s
	}
	inEnv := conf()
	inEnv.Env["TOKEN"] = azure.Lit("{{secrets/s/input}}")
	return []flowehr.Resource{
		resource(t, azure.KindVaultSecret, "a copy", azure.VaultSecretSpec{Vault: "serve", Name: "copy", Source: from("core", "origin")}),
		resource(t, azure.KindVaultSecret, "origin", azure.VaultSecretSpec{Vault: "core", Name: "origin", Source: azure.Source{Generated: &azure.Generated{Length: 40}}}),
		resource(t, azure.KindVaultSecret, "other", azure.VaultSecretSpec{Vault: "core", Name: "other", Source: azure.Source{Generated: &azure.Generated{Length: 40}}}),
		resource(t, azure.KindVaultSecret, "typed", azure.VaultSecretSpec{Vault: "serve", Name: "typed", Source: azure.Source{Text: "user ${EPR}"}}),
		resource(t, azure.KindScopeSecret, "direct", azure.ScopeSecretSpec{Scope: "s", Key: "direct", Source: from("core", "origin")}),
		resource(t, azure.KindScopeSecret, "input", azure.ScopeSecretSpec{Scope: "s", Key: "input", Source: azure.Source{Text: "${EPR}"}}),
		resource(t, azure.KindScopeSecret, "unread", azure.ScopeSecretSpec{Scope: "s", Key: "unread", Source: from("serve", "copy")}),
		resource(t, azure.KindCluster, "reads direct", conf("direct")),
		resource(t, azure.KindCluster, "reads input", inEnv),
		resource(t, azure.KindCluster, "reads none", conf()),
		resource(t, azure.KindGitHubDeployment, "dev", azure.GitHubDeploymentSpec{Secrets: map[string]azure.Source{"A": {Text: "x"}, "B": from("serve", "copy")}}),
		resource(t, azure.KindStack, "app-a", azure.StackSpec{Name: "app-a", Template: []byte(`{"x":"@Microsoft.KeyVault(SecretUri=https://serve.vault.azure.net/secrets/typed)"}`)}),
		resource(t, azure.KindStack, "app-b", azure.StackSpec{Name: "app-b", Template: []byte(`{"x":"@Microsoft.KeyVault(SecretUri=https://serve.vault.azure.net/secrets/typed-more)"}`)}),
		resource(t, azure.KindRegistryToken, "app", azure.RegistryTokenSpec{Token: "app", Secret: azure.VaultRef{Vault: "core", Name: "acr"}}),
		resource(t, azure.KindGitHubDeployment, "prod", azure.GitHubDeploymentSpec{Secrets: map[string]azure.Source{"ACR": from("core", "acr")}}),
		resource(t, azure.KindSQLPrincipal, "signs in", azure.SQLPrincipalSpec{Admin: azure.AdminLogin{Secret: azure.VaultRef{Vault: "core", Name: "origin"}}}),
	}
}

func TestRotationPlan(t *testing.T) {
	st := recorded(rotationWorld(t)...)
	for _, c := range []struct {
		name string
		what Rotation
		want []string // steps in order, with what they come after
	}{
		{"a secret that is made", Rotation{Made: azure.Ref(azure.KindVaultSecret, "origin")}, []string{
			"vault-secret/origin []",
			"databricks-cluster/reads direct [databricks-secret/direct]",
			"databricks-secret/direct [vault-secret/origin]",
			"databricks-secret/unread [vault-secret/a copy]",
			"github-environment/dev [vault-secret/a copy]",
			"vault-secret/a copy [vault-secret/origin]",
		}},
		{"one that nobody copies", Rotation{Made: azure.Ref(azure.KindVaultSecret, "other")}, []string{"vault-secret/other []"}},
		{"a registry token", Rotation{Made: azure.Ref(azure.KindRegistryToken, "app")}, []string{
			"registry-token/app []", "github-environment/prod [registry-token/app]",
		}},
		{"a secret of the definition", Rotation{Input: "EPR"}, []string{
			"databricks-secret/input []",
			"databricks-cluster/reads input [databricks-secret/input]",
			"vault-secret/typed []",
			"stack/app-a [vault-secret/typed]",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := RotationPlan(st, c.what, true, time.Unix(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			done := map[flowehr.Ref]bool{}
			for _, s := range p.Steps {
				for _, ref := range s.After {
					if !done[ref] {
						t.Errorf("%s stands before %s, which it comes after", s.Want.Ref, ref)
					}
				}
				done[s.Want.Ref] = true
				if s.Action != flowehr.Update || s.Prior == nil || s.Prior.ID != "id of "+s.Want.Ref.String() || s.Why == "" || len(s.Changes) > 0 {
					t.Errorf("%s: %+v", s.Want.Ref, s)
				}
				got = append(got, fmt.Sprint(s.Want.Ref, " ", s.After))
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), strings.Join(c.want, "; "))
			}
			if p.ID == "" || p.Base != 7 || p.Environment != "x" || p.Target != flowehr.TargetAzure || !p.RealData {
				t.Errorf("plan %+v does not fit its state", p)
			}
		})
	}
}

func TestRotationPlanRefuses(t *testing.T) {
	all := rotationWorld(t)
	circle := func(name, from string) flowehr.Resource {
		return resource(t, azure.KindVaultSecret, name, azure.VaultSecretSpec{Vault: "v", Name: name, Source: azure.Source{Vault: &azure.VaultRef{Vault: "v", Name: from}}})
	}
	for _, c := range []struct {
		name string
		st   flowehr.State
		what Rotation
		want string
	}{
		{"what nobody uses", recorded(all...), Rotation{Input: "NOBODY"}, "nothing that is deployed uses ${NOBODY}"},
		{"what was not made", recorded(), Rotation{Made: azure.Ref(azure.KindVaultSecret, "origin")}, "vault-secret/origin was not deployed yet"},
		{"what holds none", recorded(all...), Rotation{Made: azure.Ref(azure.KindStack, "app-a")}, "stack/app-a is no secret of a vault"},
		{"copies of each other", recorded(circle("a", "b"), circle("b", "a")), Rotation{Made: azure.Ref(azure.KindVaultSecret, "a")}, "2 recorded secrets are copies of each other"},
		{"a record that cannot be read", recorded(flowehr.Resource{Ref: azure.Ref(azure.KindVaultSecret, "x"), Spec: []byte(`[]`)}), Rotation{Input: "EPR"}, "record of vault-secret/x"},
	} {
		if _, err := RotationPlan(c.st, c.what, false, time.Time{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// rotationTrial is a deployment with a password, its copy and a secret of the definition in a scope, and a cluster that reads
// both.
type rotationTrial struct {
	*planes
	target  *Target
	store   *targettest.Store
	secrets map[string]string
	want    []flowehr.Resource
	address string
}

func newRotationTrial(t *testing.T, seed uint64) *rotationTrial {
	t.Helper()
	p := newPlanes(t, azuresim.Options{Seed: seed})
	p.vault(vaultName)
	id, address := p.workspace()
	tr := &rotationTrial{planes: p, store: targettest.NewStore("x", flowehr.TargetAzure), secrets: map[string]string{"EPR": "before"}, address: address}
	tr.want = databricksResources(t, p, id, address, plainChange)
	at := azure.Out(refWorkspace, azure.OutURL)
	scope := azure.Ref(azure.KindScope, "flowehr-secrets")
	password := azure.Ref(azure.KindVaultSecret, "writer-secret")
	last := len(tr.want) - 1
	cluster, err := decodeSpec[azure.ClusterSpec](tr.want[last])
	if err != nil {
		t.Fatal(err)
	}
	cluster.Conf["spark.secret.writer"] = "{{secrets/flowehr-secrets/writer}}"
	copied := resource(t, azure.KindScopeSecret, "writer", azure.ScopeSecretSpec{Workspace: at, Scope: scope.Name, Key: "writer",
		Source: azure.Source{Vault: &azure.VaultRef{Vault: vaultName, Name: "writer-secret"}}}, scope, refWorkspace, password)
	tr.want[last] = resource(t, azure.KindCluster, cluster.Name, cluster, append(tr.want[last].Needs, copied.Ref)...)
	tr.want = append(tr.want, copied,
		resource(t, azure.KindApplication, refApp.Name, writerApplication()), resource(t, azure.KindVaultSecret, "writer-secret", writerPassword(90), refApp))
	tr.target = p.target(tr.want...)
	(&trial{planes: p, target: tr.target, store: tr.store}).apply(t, tr.want)
	return tr
}

func (tr *rotationTrial) state(t *testing.T) flowehr.State {
	t.Helper()
	st, err := tr.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (tr *rotationTrial) run(t *testing.T, what Rotation) {
	t.Helper()
	p, err := RotationPlan(tr.state(t), what, false, tr.now())
	if err != nil {
		t.Fatal(err)
	}
	o := apply.Options{Owner: "test", Wait: tr.remote.Wait, Now: tr.planes.now,
		Secrets: func(_ context.Context, name string) (flowehr.Secret, error) {
			return flowehr.NewSecret(tr.secrets[name]), nil
		}}
	if _, err := apply.Run(t.Context(), p, tr.target, tr.store, o); err != nil {
		t.Fatal(err)
	}
}

func (tr *rotationTrial) inScope(t *testing.T, key string) string {
	t.Helper()
	var out struct {
		Value []byte `json:"value"`
	}
	if err := (bricks{tr.client}).get(t.Context(), azure.Lit(tr.address), secretsPath+"get?scope=flowehr-secrets&key="+key, &out); err != nil {
		t.Fatal(err)
	}
	return string(out.Value)
}

func (tr *rotationTrial) restarts() int {
	return tr.count(http.MethodPost, "/api/2.1/clusters/restart")
}

// A new value of a secret of the definition is not to be seen in a plan; the rotation brings it to where it is read.
func TestRotationOfAnInput(t *testing.T) {
	tr := newRotationTrial(t, 51)
	before := tr.restarts()
	tr.secrets["EPR"] = "after"
	if again := (&trial{planes: tr.planes, store: tr.store}).plan(t, tr.want); !again.Empty() {
		t.Fatalf("an ordinary plan sees it: %+v", again.Steps)
	}
	tr.run(t, Rotation{Input: "EPR"})
	if got := tr.inScope(t, "epr"); got != "after" {
		t.Errorf("the scope has %q", got)
	}
	if got := tr.restarts() - before; got != 1 {
		t.Errorf("the cluster was restarted %d times, want once", got)
	}
	st := tr.state(t)
	standsAs(t, tr.target, st.Records[azure.Ref(azure.KindCluster, "FlowEHR Cluster")], true)
	if again := (&trial{planes: tr.planes, store: tr.store}).plan(t, tr.want); !again.Empty() {
		t.Errorf("a plan afterwards would change something: %+v", again.Steps)
	}
}

// A password that is made: while copies are refreshed both work, in the end only the new one does.
func TestRotationOfAPassword(t *testing.T) {
	tr := newRotationTrial(t, 52)
	before, restarts := inVault(t, tr.planes, "writer-secret").Value, tr.restarts()
	ref := azure.Ref(azure.KindVaultSecret, "writer-secret")
	spec, err := tr.target.Known(t.Context(), tr.state(t).Records[ref].Resource)
	if err != nil {
		t.Fatal(err)
	}
	application := tr.state(t).Records[refApp].ID
	if err := tr.target.Rotate(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	tr.run(t, Rotation{Made: ref})
	after := inVault(t, tr.planes, "writer-secret").Value
	if got := tr.inScope(t, "writer"); got != after || after == before {
		t.Errorf("the scope has %q, the vault %q, before it was %q", got, after, before)
	}
	if got := applicationPasswords(t, tr.planes, application); len(got) != 2 {
		t.Errorf("%d passwords work before the former one is retired, want 2", len(got))
	}
	if err := tr.target.Retire(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if got := applicationPasswords(t, tr.planes, application); len(got) != 1 {
		t.Errorf("%d passwords work in the end, want 1", len(got))
	}
	if got := tr.restarts() - restarts; got != 1 {
		t.Errorf("the cluster was restarted %d times, want once", got)
	}
}

// A cluster that stands still reads its secrets when it is started next, and one whose secrets are older is left alone.
func TestClusterIsRestartedForNewSecretsOnly(t *testing.T) {
	tr := newRotationTrial(t, 53)
	ref := azure.Ref(azure.KindCluster, "FlowEHR Cluster")
	rec := tr.state(t).Records[ref]
	before := tr.restarts()
	update(t, tr.target, filledIn(t, tr.target, rec.Resource), rec)
	if got := tr.restarts() - before; got != 0 {
		t.Errorf("restarted %d times though no secret is newer", got)
	}
	if err := tr.remote.Wait(t.Context(), 24*time.Hour); err != nil { // it ends by itself
		t.Fatal(err)
	}
	tr.secrets["EPR"] = "after"
	tr.run(t, Rotation{Input: "EPR"})
	if got := tr.restarts() - before; got != 0 {
		t.Errorf("restarted %d times though it was started after the secret was written", got)
	}
}
