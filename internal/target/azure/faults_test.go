package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// trial is a deployment of resources into a world in which calls fail.
type trial struct {
	*planes
	target *Target
	store  *targettest.Store
	shown  strings.Builder // everything that was to be seen of it
}

// apply plans and applies until nothing fails, as people do.
func (tr *trial) apply(t *testing.T, want []flowehr.Resource) {
	t.Helper()
	const patience = 12
	o := apply.Options{Owner: "test", Parallel: 3, KeepGoing: true, Retry: cloud.Passing, Secrets: secretsOfTests, Wait: tr.remote.Wait, Now: tr.now,
		Sink: func(e flowehr.Event) { tr.see(e) }}
	for n := 1; ; n++ {
		rep, err := apply.Run(t.Context(), tr.plan(t, want), tr.target, tr.store, o)
		tr.see(rep)
		if err == nil {
			return
		}
		tr.see(err.Error())
		if n == patience {
			t.Fatalf("still failing after %d runs: %v", n, err)
		}
	}
}

func (tr *trial) see(v any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	fmt.Fprintf(&tr.shown, "%+v\n", v)
}

func (tr *trial) plan(t *testing.T, want []flowehr.Resource) flowehr.Plan {
	t.Helper()
	st, err := tr.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(&flowehr.Environment{Name: "x", Target: flowehr.TargetAzure}, want, st, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (tr *trial) fail(t *testing.T, rate float64) {
	t.Helper()
	if err := tr.remote.SetFaults(t.Context(), azuresim.Faults{Rate: rate}); err != nil {
		t.Fatal(err)
	}
}

// everything is one resource of every kind but stacks, which are made already, and the address of the workspace.
func everything(t *testing.T, seed uint64) (p *planes, want []flowehr.Resource, workspace string) {
	t.Helper()
	p, admin, writer := storeWorld(t, seed)
	p.hub = app(t)
	id, address := p.workspace()
	connector, factory := p.lake(), p.trigger("daily")
	want = append(want, vaultResources(t, p.registry(), "${EPR}", 365)...)
	for _, more := range [][]flowehr.Resource{
		storeResources(t, admin, writer, "db_datareader", "probe"),
		databricksResources(t, p, id, address, plainChange),
		catalogResources(t, id, address, connector, "USE CATALOG"),
		hubResources(t, hubChange{description: "Beds", file: "on: push\n", secret: "ACR_NAME", members: []string{"ada"}, approvals: 1, disposable: true}),
		{resource(t, azure.KindTrigger, "daily", azure.TriggerSpec{Factory: factory, Name: "daily", Started: true}),
			resource(t, azure.KindFederation, "github", azure.FederationSpec{Application: azure.Out(refApp, azure.OutObjectID), Name: "github",
				Issuer: azuresim.GitHubIssuer, Subject: azure.Lit("repo:trust/a:environment:dev")}, refApp),
			resource(t, azure.KindMember, "writer in apps", azure.MemberSpec{Group: azure.Out(refGroup, azure.OutObjectID), Member: azure.Out(refApp, azure.OutPrincipalID)}, refApp, refGroup),
			resource(t, azure.KindGrant, "writer reads users", azure.GrantSpec{Principal: azure.Out(refApp, azure.OutPrincipalID), Role: "User.Read.All"}, refApp),
			resource(t, azure.KindIdentity, "factory", azure.IdentitySpec{Principal: azure.Lit(p.factoryIdentity())})},
	} {
		for _, r := range more {
			if !slices.ContainsFunc(want, func(x flowehr.Resource) bool { return x.Ref == r.Ref }) {
				want = append(want, r)
			}
		}
	}
	return p, want, address
}

// lasting are kinds whose things belong to a stack, or leave nothing.
var lasting = []string{azure.KindIdentity, azure.KindWorkspace, azure.KindTrigger, azure.KindConnectivity, azure.KindAccountGroup}

// Whatever calls fail, before or after they had their effect, in the end everything stands once, as described, no secret
// was shown, and everything can be taken away again.
func TestKeepersSurviveFaults(t *testing.T) {
	const rate = 0.4
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p, want, workspace := everything(t, 100+seed)
			tr := &trial{planes: p, target: p.target(want...), store: targettest.NewStore("x", flowehr.TargetAzure)}
			tr.fail(t, rate)
			tr.apply(t, want)
			tr.fail(t, 0)
			tr.standsOnce(t, want, workspace)
			tr.showsNothing(t)
			tr.fail(t, rate)
			tr.apply(t, nil)
			tr.fail(t, 0)
			for _, r := range want {
				if slices.Contains(lasting, r.Ref.Kind) {
					continue
				}
				if _, err := tr.target.Read(t.Context(), flowehr.Record{Resource: r}); !isGone(err) {
					t.Errorf("%s after everything was removed: got %v, want gone", r.Ref, err)
				}
			}
		})
	}
}

// standsOnce fails unless the world is as recorded and nothing in it is there twice.
func (tr *trial) standsOnce(t *testing.T, want []flowehr.Resource, workspace string) {
	t.Helper()
	rep, err := apply.Refresh(t.Context(), tr.target, tr.store, want, apply.Options{Owner: "test", Secrets: secretsOfTests})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range rep.Drift {
		t.Errorf("%s differs from its record: before %+v, now %+v", d.Ref, d.Before, d.Now)
	}
	if again := tr.plan(t, want); !again.Empty() {
		t.Errorf("a new plan would change something: %+v", again.Steps)
	}
	st, err := tr.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	application := st.Records[refApp]
	if got := applicationPasswords(t, tr.planes, application.ID); len(got) != 1 {
		t.Errorf("the application has %d passwords, want 1", len(got))
	}
	var clusters struct {
		Clusters []clusterNow `json:"clusters"`
	}
	b := bricks{tr.client}
	at := azure.Lit(workspace)
	if err := b.get(t.Context(), at, clustersPath+"list", &clusters); err != nil || len(clusters.Clusters) != 1 {
		t.Errorf("%d clusters and %v, want 1", len(clusters.Clusters), err)
	}
	var principals struct{ Resources []scimPrincipal }
	filter := url.Values{"filter": {"applicationId eq \"" + otherApplication + "\""}}
	if err := b.get(t.Context(), at, scim+"/ServicePrincipals?"+filter.Encode(), &principals); err != nil || len(principals.Resources) != 1 {
		t.Errorf("%d principals and %v, want 1", len(principals.Resources), err)
	}
}

// showsNothing fails when the value of any secret was to be seen.
func (tr *trial) showsNothing(t *testing.T) {
	t.Helper()
	values := []string{canary}
	for _, name := range []string{"writer-secret", "random", "acr-password"} {
		values = append(values, inVault(t, tr.planes, name).Value)
	}
	st, err := tr.store.Load(t.Context())
	b, jerr := json.Marshal(st)
	if err := errors.Join(err, jerr); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if strings.Contains(tr.shown.String(), v) || strings.Contains(string(b), v) {
			t.Error("a secret is to be seen in an event, a report, an error or the state")
		}
	}
}
