package azure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/target/targettest"
)

// planes is a simulated subscription with what stacks would have made, to keep the data planes of.
type planes struct {
	t      testing.TB
	sim    *azuresim.Sim
	remote *azuresim.Remote
	client *cloud.Client
	group  string // id of the resource group
	files  fstest.MapFS
	hub    GitHubApp

	mu    sync.Mutex
	calls map[string]int
	after func() // called when a request has had its effect
}

// Do carries and counts requests.
func (p *planes) Do(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.calls[r.Method+" "+r.URL.Path]++
	after := p.after
	p.mu.Unlock()
	res, err := p.remote.Do(r)
	if after != nil {
		after()
	}
	return res, err
}

// count returns how often something was asked.
func (p *planes) count(method, path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[method+" "+path]
}

func newPlanes(t testing.TB, o azuresim.Options) *planes {
	t.Helper()
	sim, err := azuresim.New(o)
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
	who := azuresim.Deployer()
	cred, err := azidentity.NewClientSecretCredential(sim.Tenant(), who.ClientID, who.Secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: remote}, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &planes{t: t, sim: sim, remote: remote, files: fstest.MapFS{}, calls: map[string]int{}}
	p.client = cloud.New(cloud.Options{Credential: cred, Subscription: sim.Subscription(), Tenant: sim.Tenant(), Transport: p, Wait: remote.Wait})
	p.group = "/subscriptions/" + sim.Subscription() + "/resourceGroups/rg-x"
	p.put(p.group, "Microsoft.Resources/resourceGroups", map[string]any{"location": "uksouth"})
	return p
}

func (p *planes) now() time.Time {
	now, err := p.remote.Now(context.WithoutCancel(p.t.Context()))
	if err != nil {
		p.t.Errorf("time of the simulation: %v", err)
	}
	return now
}

// put makes a resource as a stack would, and returns it.
func (p *planes) put(id, typ string, body any) map[string]any {
	p.t.Helper()
	res, err := p.client.Long(p.t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: versioned(id, typ), Body: body})
	if err != nil {
		p.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(res.Body, &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *planes) me() string {
	p.t.Helper()
	who, err := p.client.WhoAmI(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return who.ObjectID
}

// vault makes a vault that the deployer administers.
func (p *planes) vault(name string) {
	p.t.Helper()
	id := p.group + "/providers/Microsoft.KeyVault/vaults/" + name
	p.put(id, "Microsoft.KeyVault/vaults", map[string]any{"location": "uksouth", "properties": map[string]any{"tenantId": p.sim.Tenant(),
		"sku": map[string]any{"family": "A", "name": "standard"}, "enableRbacAuthorization": true, "enableSoftDelete": true, "softDeleteRetentionInDays": 7}})
	role := "/subscriptions/" + p.sim.Subscription() + "/providers/Microsoft.Authorization/roleDefinitions/00482a5a-887f-4fb3-b363-3b7fe8e74483"
	p.put(id+"/providers/Microsoft.Authorization/roleAssignments/5d3c1f8e-0000-4000-8000-00000000000"+string(name[len(name)-1]), "Microsoft.Authorization/roleAssignments",
		map[string]any{"properties": map[string]any{"principalId": p.me(), "principalType": "ServicePrincipal", "roleDefinitionId": role}})
}

// target returns a target that knows what is wanted. It has no memory of what was recorded.
func (p *planes) target(wanted ...flowehr.Resource) *Target {
	return New(Options{Client: p.client, Files: p.files, Wanted: wanted, Now: p.now,
		SQL: SQL{Dial: p.remote.Dial, TLS: p.remote.TLS()}, GitHub: p.hub})
}

// file puts a file into the definition and returns its digest.
func (p *planes) file(name, content string) string {
	p.files[name] = &fstest.MapFile{Data: []byte(content)}
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// canary is the value of every secret of the definition in these tests.
const canary = "canary-7f3a92-correct-horse"

func secretsOfTests(context.Context, string) (flowehr.Secret, error) {
	return flowehr.NewSecret(canary), nil
}

// noted is inputs that keep what was noted, for calls outside a run.
type noted struct {
	mu    sync.Mutex
	notes []string
}

func (n *noted) Output(flowehr.Ref, string) (string, error) { return "", errors.New("no output") }
func (n *noted) Secret(ctx context.Context, name string) (flowehr.Secret, error) {
	return secretsOfTests(ctx, name)
}
func (n *noted) Note(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, text)
}

// suite holds the keepers of some resources to the contract of apply.Target.
func suite(t *testing.T, stays func(flowehr.Resource) bool, make func(t *testing.T) (p *planes, resources, changed []flowehr.Resource)) {
	targettest.Suite(t, func(t *testing.T) targettest.Subject {
		t.Parallel() // each has a world of its own, and mostly waits
		p, resources, changed := make(t)
		return targettest.Subject{Target: p.target(resources...), Resources: resources, Changed: changed,
			Replace: func(string) []string { return nil }, Secrets: secretsOfTests, Stays: stays}
	})
}

// makeDo makes a resource stand as if nothing was recorded, and returns what is recorded.
func makeDo(t testing.TB, target *Target, r flowehr.Resource) flowehr.Record {
	t.Helper()
	rec, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: r}, &noted{})
	if err != nil {
		t.Fatalf("make %s: %v", r.Ref, err)
	}
	return rec
}

// update does r again.
func update(t testing.TB, target *Target, r flowehr.Resource, before flowehr.Record) flowehr.Record {
	t.Helper()
	rec, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Update, Want: r, Prior: &before}, &noted{})
	if err != nil {
		t.Fatalf("change %s: %v", r.Ref, err)
	}
	return rec
}

// standsAs fails unless r reads as it is described.
func standsAs(t testing.TB, target *Target, rec flowehr.Record, same bool) {
	t.Helper()
	now, err := target.Read(t.Context(), rec)
	if err != nil {
		t.Fatalf("read %s: %v", rec.Resource.Ref, err)
	}
	if got := strings.TrimSpace(string(now.Resource.Spec)); (got == string(rec.Resource.Spec)) != same {
		t.Errorf("%s reads as %s, described as %s", rec.Resource.Ref, got, rec.Resource.Spec)
	}
}

// refs of the resources that the tests share.
var (
	refGroup = azure.Ref(azure.KindGroup, "apps")
	refApp   = azure.Ref(azure.KindApplication, "writer")
)
