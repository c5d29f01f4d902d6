package azure

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// simulated is a target that works on a simulation of Azure.
type simulated struct {
	*Target
	sim    *azuresim.Sim
	remote *azuresim.Remote
	client *cloud.Client
	traffic
}

// traffic notes what was asked for.
type traffic struct {
	mu    sync.Mutex
	calls []string
}

func (tr *traffic) count(method, path string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, c := range tr.calls {
		if strings.HasPrefix(c, method+" ") && strings.Contains(c, path) {
			n++
		}
	}
	return n
}

type noting struct {
	*traffic
	next *azuresim.Remote
}

func (n noting) Do(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.calls = append(n.calls, r.Method+" "+r.URL.Path)
	n.mu.Unlock()
	return n.next.Do(r)
}

const region = "uksouth"

// simulate starts a simulation that ends with the test, and a target on it.
func simulate(t *testing.T, so azuresim.Options, change func(*Options)) *simulated {
	t.Helper()
	if so.Start.IsZero() {
		so.Start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	}
	sim, err := azuresim.New(so)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, sim.Close()); err != nil {
			t.Errorf("end of the simulation: %v", err)
		}
	})
	s := &simulated{sim: sim}
	if s.remote, err = azuresim.Connect(l.Addr().String(), sim.CA()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remote.Transport.CloseIdleConnections)
	who := azuresim.Deployer()
	transport := noting{&s.traffic, s.remote}
	cred, me, err := cloud.Credential(t.Context(), cloud.CredentialOptions{Tenant: sim.Tenant(), ClientID: who.ClientID, Secret: flowehr.NewSecret(who.Secret),
		Transport: transport, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	s.client = cloud.New(cloud.Options{Credential: cred, Subscription: sim.Subscription(), Tenant: sim.Tenant(), Transport: transport, Wait: s.remote.Wait})
	o := Options{Client: s.client, Facts: azure.Facts{Subscription: sim.Subscription(), Tenant: sim.Tenant(),
		Deployer: azure.Deployer{ObjectID: me.ObjectID, Kind: me.Kind, Name: me.Name}}}
	if change != nil {
		change(&o)
	}
	s.Target = New(o)
	return s
}

// names of the environment that tests make.
func testNames() azure.Names { return azure.Names{Suffix: "hosp-test", Short: "hosptest"} }

// coreStack is a resource group with a vault and a data factory; tags differ by mark. serveStack uses the vault's address.
func (s *simulated) coreStack(t *testing.T, mark string, deny bool) flowehr.Resource {
	t.Helper()
	n := testNames()
	inner := arm.ForGroup()
	vault := arm.New("Microsoft.KeyVault/vaults", n.Vault(), arm.Object{"tenantId": s.sim.Tenant(), "sku": arm.Object{"family": "A", "name": "standard"},
		"enableRbacAuthorization": true, "softDeleteRetentionInDays": 7})
	vault.Location, vault.Tags = region, map[string]string{"mark": mark}
	inner.Add("vault", vault)
	factory := arm.New("Microsoft.DataFactory/factories", n.Factory(), arm.Object{})
	factory.Location, factory.Identity = region, arm.Object{"type": "SystemAssigned"}
	inner.Add("factory", factory)
	inner.Return("vaultUri", arm.Reference("vault", "vaultUri"))
	return stackResource(t, "core", n.Stack("core"), flowehr.LayerCore, n.Group(), inner, deny)
}

func (s *simulated) serveStack(t *testing.T, mark string, needs flowehr.Ref) flowehr.Resource {
	t.Helper()
	n := testNames()
	inner := arm.ForGroup()
	logs := arm.New("Microsoft.OperationalInsights/workspaces", n.Logs(), arm.Object{"retentionInDays": 90, "sku": arm.Object{"name": "PerGB2018"}})
	logs.Location, logs.Tags = region, map[string]string{"mark": mark, "vault": "VAULT"}
	inner.Add("logs", logs)
	r := stackResource(t, "serve", n.Stack("serve"), flowehr.LayerServe, n.Group(), inner, false)
	out, err := flowehr.Canonical(flowehr.OutputRef{Ref: needs, Name: "vaultUri"})
	if err != nil {
		t.Fatal(err)
	}
	r.Spec = []byte(strings.Replace(string(r.Spec), `"VAULT"`, string(out), 1))
	r.Needs = []flowehr.Ref{needs}
	return r
}

// stackResource is a stack whose template nests inner in a group. That of core makes the group too.
func stackResource(t *testing.T, part, name string, layer flowehr.Layer, group string, inner *arm.Template, deny bool) flowehr.Resource {
	t.Helper()
	outer := arm.ForSubscription()
	var after []string
	if part == "core" {
		g := arm.New("Microsoft.Resources/resourceGroups", group, nil)
		g.Location = region
		after = []string{outer.Add("group", g)}
	}
	outer.Nest(part+"-inside", group, inner, after...)
	raw, err := outer.JSON()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := flowehr.Canonical(azure.StackSpec{Name: name, Location: region, Deny: deny, Template: raw})
	if err != nil {
		t.Fatal(err)
	}
	return flowehr.Resource{Ref: azure.Ref(azure.KindStack, part), Layer: layer, Spec: spec, Holds: part == "core"}
}

// notes takes what a step says and answers for outputs.
type notes struct {
	mu      sync.Mutex
	said    []string
	outputs map[string]string
}

func (n *notes) Output(ref flowehr.Ref, name string) (string, error) {
	if v, ok := n.outputs[name]; ok {
		return v, nil
	}
	return "", errors.New("no output " + name + " of " + ref.String())
}

func (n *notes) Secret(context.Context, string) (flowehr.Secret, error) {
	return flowehr.Secret{}, errors.New("no secrets")
}

func (n *notes) Note(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, text)
}

func (n *notes) has(part string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.said, func(s string) bool { return strings.Contains(s, part) })
}

// do makes the resource stand and returns what is recorded.
func (s *simulated) do(t *testing.T, a flowehr.Action, r flowehr.Resource, prior *flowehr.Record, in *notes) flowehr.Record {
	t.Helper()
	rec, err := s.Do(t.Context(), flowehr.Step{Action: a, Want: r, Prior: prior}, in)
	if err != nil {
		t.Fatalf("%s %s: %v", a, r.Ref, err)
	}
	return rec
}

// interrupt is a Wait during which somebody stops the run.
func interrupt(stop func()) func(context.Context, time.Duration) error {
	return func(ctx context.Context, _ time.Duration) error {
		stop()
		return context.Cause(ctx)
	}
}
