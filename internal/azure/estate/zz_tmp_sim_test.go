package estate_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/fstest"
	"time"
	"crypto/sha256"
	"encoding/hex"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	target "github.com/flowehr/flowehr/internal/target/azure"
)

type memStore struct {
	mu sync.Mutex
	st flowehr.State
}

func (m *memStore) Lock(context.Context, string) (func() error, error) { return func() error { return nil }, nil }
func (m *memStore) Load(context.Context) (flowehr.State, error)        { return m.st, nil }
func (m *memStore) Save(_ context.Context, base flowehr.Revision, ch apply.Change) (flowehr.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.st = ch.Apply(m.st)
	return m.st.Revision, nil
}

func TestTmpSim(t *testing.T) {
	sim, err := azuresim.New(azuresim.Options{Start: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	go sim.Serve(ctx, l)
	remote, err := azuresim.Connect(l.Addr().String(), sim.CA())
	if err != nil {
		t.Fatal(err)
	}
	who := azuresim.Deployer()
	cred, me, err := cloud.Credential(ctx, cloud.CredentialOptions{Tenant: sim.Tenant(), ClientID: who.ClientID, Secret: flowehr.NewSecret(who.Secret), Transport: remote, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	client := cloud.New(cloud.Options{Credential: cred, Subscription: sim.Subscription(), Tenant: sim.Tenant(), Transport: remote, Wait: remote.Wait})
	f := facts()
	f.Subscription, f.Tenant = sim.Subscription(), sim.Tenant()
	f.Deployer = azure.Deployer{ObjectID: me.ObjectID, Kind: me.Kind, Name: me.Name}
	e := whole()
	e.Files = nil
	files := fstest.MapFS{}
	e.Files = map[string]string{}
	for name := range whole().Files {
		files[name] = &fstest.MapFile{Data: []byte(name)}
		sum := sha256.Sum256([]byte(name))
		e.Files[name] = hex.EncodeToString(sum[:])
	}
	resources, ds := estate.Lower(e, f)
	if flowehr.HasErrors(ds) {
		t.Fatal(ds)
	}
	store := &memStore{st: flowehr.State{Environment: plan.EnvironmentName(e), Target: e.Target, Records: map[flowehr.Ref]flowehr.Record{}}}
	p, err := plan.Make(e, resources, store.st, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tg := target.New(target.Options{Client: client, Facts: f, Files: files, Wanted: resources, SQL: target.SQL{Dial: remote.Dial, TLS: remote.TLS()},
		Outputs: func(r flowehr.Ref) (map[string]string, bool) { store.mu.Lock(); defer store.mu.Unlock(); rec, ok := store.st.Records[r]; return rec.Outputs, ok }})
	rep, err := apply.Run(ctx, p, tg, store, apply.Options{KeepGoing: true, Parallel: 16, Wait: remote.Wait,
		Secrets: func(_ context.Context, n string) (flowehr.Secret, error) { return flowehr.NewSecret("value of " + n), nil }})
	t.Log(err)
	for r, e := range rep.Errors {
		t.Logf("FAILED %s: %v", r, e)
	}
	t.Logf("done %d, failed %d, skipped %d, not started %d, %v", len(rep.Done), len(rep.Failed), len(rep.Skipped), len(rep.NotStarted), rep.Took)
	for _, s := range rep.Skipped {
		t.Log("skipped", s)
	}
}
