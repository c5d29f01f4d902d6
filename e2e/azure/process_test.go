package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/azure/statestore"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
)

// subscription is a simulation in this process that is reached over TLS like one of another.
type subscription struct {
	sim    *azuresim.Sim
	remote *azuresim.Remote // of the test itself, which no deployer's end takes away
	at     string
}

// morning is when every simulated world begins. They are all of one tenant and subscription, so that what is planned for one reads as
// it does for another.
var morning = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// simulate starts a world in memory that ends with the test.
func simulate(t testing.TB, o azuresim.Options) *subscription {
	t.Helper()
	o.Start, o.Tenant, o.Subscription = morning, "22222222-2222-4222-8222-222222222222", "11111111-1111-4111-8111-111111111111"
	sim, err := azuresim.New(o)
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
	s := &subscription{sim: sim, at: l.Addr().String()}
	if s.remote, err = azuresim.Connect(s.at, sim.CA()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remote.Transport.CloseIdleConnections)
	return s
}

// takenForGranted puts into the world what a definition names and does not make.
func (s *subscription) takenForGranted(t testing.TB, x *site) {
	t.Helper()
	env := x.environment(t)
	stand := func(group, id string, body map[string]any) {
		path := "/subscriptions/" + s.sim.Subscription() + "/resourceGroups/" + group
		if err := s.remote.Stand(t.Context(), path, map[string]any{"location": env.Location}); err != nil {
			t.Fatal(err)
		}
		if id == "" {
			return
		}
		if err := s.remote.Stand(t.Context(), path+"/providers/Microsoft.Network/"+id, body); err != nil {
			t.Fatal(err)
		}
	}
	network := func(group, name, space string) {
		stand(group, "virtualNetworks/"+name, map[string]any{"location": env.Location,
			"properties": map[string]any{"addressSpace": map[string]any{"addressPrefixes": []string{space}}}})
	}
	zone := func(group, name string) {
		stand(group, "privateDnsZones/"+name, map[string]any{"location": "global"})
	}
	for i, source := range env.Sources {
		if p := source.Peering; p != nil {
			network(p.Group, p.Network, fmt.Sprintf("172.%d.0.0/24", 16+i))
			for _, name := range p.DNSZones {
				zone(p.Group, name)
			}
		}
	}
	if x.ci != nil {
		network(x.ci.Group, x.ci.Network, "172.31.0.0/24")
	}
	if group := env.Network.PrivateDNSZonesGroup; group != "" {
		for _, name := range []string{"blob.core.windows.net", "vaultcore.azure.net", "documents.azure.com", "azuredatabricks.net", "database.windows.net", "dfs.core.windows.net"} {
			zone(group, "privatelink."+name)
		}
	}
	if m := env.Monitoring; m.NetworkWatcherName != "" {
		stand(m.NetworkWatcherGroup, "networkWatchers/"+m.NetworkWatcherName, map[string]any{"location": env.Location})
	}
	if m := env.Spark.Metastore; m != nil && m.ResourceGroup != "" {
		stand(m.ResourceGroup, "", nil)
	}
	if c := env.Spark.UnityCatalog; c != nil {
		s.groups(t, x, c.CatalogAdminGroup, c.ExternalStorageAdminGroup)
	}
}

// groups makes groups of people.
func (s *subscription) groups(t testing.TB, x *site, names ...string) {
	t.Helper()
	p := s.begin(t, x, &ear{}, life{})
	defer p.end()
	if err := p.signIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		body := map[string]any{"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true}
		if _, err := p.client.Do(t.Context(), cloud.Graph(), cloud.Request{Method: http.MethodPost, Path: "/v1.0/groups", Body: body}); err != nil {
			t.Fatal(err)
		}
	}
}

// errKilled is what a process that was killed would not even see.
var errKilled = errors.New("the process was killed")

// mortal is the network of a process. When the process is killed nothing of it gets out any more.
type mortal struct {
	remote *azuresim.Remote
	dead   context.Context
	kill   context.CancelFunc

	calls  atomic.Int64
	killAt int64 // the call at which the process is killed; 0 means never
	after  bool  // that call has been sent, and its answer does not arrive
}

// Do sends a request, while the process lives.
func (m *mortal) Do(r *http.Request) (*http.Response, error) {
	last := m.calls.Add(1) == m.killAt
	if last && !m.after {
		m.kill()
	}
	if m.dead.Err() != nil {
		return nil, errKilled
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(m.dead, func() { cancel(errKilled) })
	end := func() { stop(); cancel(nil) }
	res, err := m.remote.Do(r.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	res.Body = ended{res.Body, end}
	if last {
		m.kill()
		return nil, errors.Join(errKilled, res.Body.Close())
	}
	return res, nil
}

// ended is a body that says when it has been read.
type ended struct {
	io.ReadCloser
	end func()
}

func (e ended) Close() error { defer e.end(); return e.ReadCloser.Close() }

func (m *mortal) wait(ctx context.Context, d time.Duration) error {
	if m.dead.Err() != nil {
		return errKilled
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.dead, func() { cancel(errKilled) })()
	return m.remote.Wait(ctx, d)
}

func (m *mortal) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.dead.Err() != nil {
		return nil, errKilled
	}
	c, err := m.remote.Dial(ctx, network, address)
	if err == nil {
		context.AfterFunc(m.dead, func() { _ = c.Close() })
	}
	return c, err
}

// process is one run of the program on a site: what it knows is lost at its end.
type process struct {
	*site
	t       testing.TB
	world   *subscription
	network *mortal
	env     *flowehr.Environment
	heard   *ear
	choice  azuretarget.Choice // about names that are held

	client *cloud.Client
	store  *statestore.Store
	target *azuretarget.Target
	facts  azure.Facts
	state  flowehr.State
	want   []flowehr.Resource
	warned []flowehr.Diagnostic
}

// ear takes in everything that a deployer shows or writes down.
type ear struct {
	mu   sync.Mutex
	said strings.Builder
}

func (e *ear) hear(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(&e.said, format+"\n", args...)
}

// life says how long a process lives.
type life struct {
	calls int64 // it is killed at this call; 0 means that it comes to its end
	after bool  // when that call has had its effect
}

// begin starts a process.
func (s *subscription) begin(t testing.TB, x *site, heard *ear, l life) *process {
	t.Helper()
	own, err := azuresim.Connect(s.at, s.sim.CA())
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{remote: own, killAt: l.calls, after: l.after}
	m.dead, m.kill = context.WithCancel(context.Background())
	p := &process{site: x, t: t, world: s, network: m, env: x.environment(t), heard: heard}
	t.Cleanup(p.end)
	return p
}

// end takes the process's connections away.
func (p *process) end() {
	p.network.kill()
	p.network.remote.Transport.CloseIdleConnections()
}

func (p *process) names() azure.Names { return azure.NamesOf(p.env) }

func (p *process) now() time.Time {
	now, err := p.world.remote.Now(context.Background())
	if err != nil {
		p.t.Errorf("the time of the simulation: %v", err)
	}
	return now
}

// signIn gets a client.
func (p *process) signIn(ctx context.Context) error {
	cred, who, err := cloud.Credential(ctx, cloud.CredentialOptions{Tenant: p.world.sim.Tenant(), ClientID: p.who.ClientID, Secret: flowehr.NewSecret(p.who.Secret),
		Transport: p.network, Offline: true})
	if err != nil {
		return err
	}
	p.client = cloud.New(cloud.Options{Credential: cred, Subscription: p.world.sim.Subscription(), Tenant: who.Tenant, Transport: p.network, Wait: p.network.wait})
	return nil
}

// keep finds the record, and makes the place that it is in.
func (p *process) keep(ctx context.Context) error {
	account, group := statestore.AccountName(p.env.ID, p.client.Subscription()), statestore.GroupName(p.env.ID)
	p.store = statestore.New(statestore.Options{Client: p.client, Account: account, Container: statestore.DefaultContainer, Prefix: p.env.Suffix,
		Environment: plan.EnvironmentName(p.env), Target: flowehr.TargetAzure, Host: "test", PID: 1, Now: p.now, Idle: p.idle})
	return statestore.EnsureAccount(ctx, p.client, group, account, p.env.Location)
}

// idle passes a moment of real time between renewals of the lease, since virtual time passes only by waiting.
func (p *process) idle(ctx context.Context, _ time.Duration) error {
	const often = 40 * time.Millisecond
	timer := time.NewTimer(often)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.network.dead.Done():
		return errKilled
	}
}

// open signs in, loads the record and finds out what is wanted.
func (p *process) open(ctx context.Context, purge bool) error {
	if err := p.signIn(ctx); err != nil {
		return err
	}
	if err := p.keep(ctx); err != nil {
		return err
	}
	var err error
	if p.state, err = p.store.Load(ctx); err != nil {
		return err
	}
	o := azuretarget.DiscoverOptions{Automation: p.automation, CI: p.ci, PublicIP: func(context.Context) (string, error) { return publicAddress, nil }}
	if p.facts, p.warned, err = azuretarget.Discover(ctx, p.client, p.env, o); err != nil {
		return err
	}
	if flowehr.HasErrors(p.warned) {
		return flowehr.DiagnosticsError{Diagnostics: p.warned}
	}
	var more []flowehr.Diagnostic
	if p.want, more = estate.Lower(p.env, p.facts); flowehr.HasErrors(more) {
		return flowehr.DiagnosticsError{Diagnostics: more}
	}
	p.warned = append(p.warned, more...)
	p.target = azuretarget.New(azuretarget.Options{
		Client: p.client, Facts: p.facts, Files: p.files, Now: p.now, Wanted: p.want, Purge: purge,
		Outputs: func(ref flowehr.Ref) (map[string]string, bool) {
			rec, ok := p.state.Records[ref]
			return rec.Outputs, ok
		},
		Recover: func(context.Context, azuretarget.SoftDeleted) (azuretarget.Choice, error) { return p.choice, nil },
		GitHub:  azuretarget.GitHubApp{Token: flowehr.NewSecret("ghp_simulated"), Owner: ownerOf(p.env)},
		SQL:     azuretarget.SQL{Dial: p.network.dial, TLS: p.network.remote.TLS()},
	})
	return nil
}

// publicAddress is the address from which the simulation sees its clients.
const publicAddress = "203.0.113.7"

func ownerOf(env *flowehr.Environment) string {
	if env.Serve == nil {
		return ""
	}
	return env.Serve.GitHubOwner
}

func (p *process) options() apply.Options {
	return apply.Options{Owner: "test", Parallel: 128, Attempts: 12, KeepGoing: true, Retry: cloud.Passing, Grace: -1, Now: p.now, Wait: p.network.wait,
		Secrets: func(_ context.Context, name string) (flowehr.Secret, error) {
			return flowehr.NewSecret(p.secret(name)), nil
		},
		Sink: func(e flowehr.Event) { p.heard.hear("%+v", e) }}
}

// plan compares what is wanted with the world.
func (p *process) plan(ctx context.Context) (flowehr.Plan, error) {
	have := p.state
	if len(have.Records) > 0 {
		var err error
		if have, _, err = apply.Observe(ctx, p.target, have, nil, p.options()); err != nil {
			return flowehr.Plan{}, err
		}
	}
	made, err := plan.Make(p.env, p.want, have, plan.Options{Replace: azuretarget.Replace, At: p.now()})
	if err != nil {
		return flowehr.Plan{}, err
	}
	if made, _, err = p.target.Preview(ctx, made); err != nil {
		return flowehr.Plan{}, err
	}
	return plan.Seal(made)
}

// run applies a plan and takes in what is to be seen of it.
func (p *process) run(ctx context.Context, made flowehr.Plan) (apply.Report, error) {
	encoded, err := plan.Encode(made)
	if err != nil {
		return apply.Report{}, err
	}
	p.heard.hear("%s", encoded)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.network.dead, func() { cancel(errKilled) })()
	rep, err := apply.Run(ctx, made, p.target.During(made), p.store, p.options())
	p.heard.hear("%+v\n%v", rep, err)
	if err != nil {
		what, next, _ := cloud.Explain(err)
		p.heard.hear("%s\n%s", what, next)
	}
	return rep, err
}

// deploy is the command of that name.
func (p *process) deploy(ctx context.Context) (flowehr.Plan, error) {
	if err := p.open(ctx, false); err != nil {
		return flowehr.Plan{}, err
	}
	made, err := p.plan(ctx)
	if err != nil || made.Empty() {
		return made, err
	}
	_, err = p.run(ctx, made)
	return made, err
}

// destroy is the command of that name. byName looks for what was never recorded, too.
func (p *process) destroy(ctx context.Context, byName bool) (flowehr.Plan, error) {
	if err := p.open(ctx, !p.env.RealData); err != nil {
		return flowehr.Plan{}, err
	}
	var held []azuretarget.SoftDeleted
	if byName {
		found, err := p.target.Inventory(ctx, p.names())
		if err != nil {
			return flowehr.Plan{}, err
		}
		if err := p.adopt(ctx, found.Records); err != nil {
			return flowehr.Plan{}, err
		}
		held = found.SoftDeleted
	}
	made, err := plan.MakeDestroy(p.state, nil, p.env.RealData, p.now())
	if err != nil {
		return made, err
	}
	if len(made.Steps) > 0 {
		if _, err := p.run(ctx, made); err != nil {
			return made, err
		}
	}
	if len(held) > 0 && !p.env.RealData {
		_, err = p.target.PurgeHeld(ctx, held)
	}
	return made, err
}

// adopt writes down what was found and is not recorded.
func (p *process) adopt(ctx context.Context, found []flowehr.Record) error {
	unlock, err := p.store.Lock(ctx, "test")
	if err != nil {
		return err
	}
	var ch apply.Change
	for _, rec := range found {
		if _, known := p.state.Records[rec.Resource.Ref]; !known {
			ch.Put = append(ch.Put, rec)
		}
	}
	if len(ch.Put) > 0 {
		if _, err = p.store.Save(ctx, p.state.Revision, ch); err == nil {
			p.state, err = p.store.Load(ctx)
		}
	}
	return errors.Join(err, unlock())
}

// changes lists what a plan would do, for messages.
func changes(p flowehr.Plan) string {
	var out []string
	for _, s := range p.Steps {
		if s.Action != flowehr.Keep {
			out = append(out, fmt.Sprintf("%s %s: %s %v", s.Action, s.Want.Ref, s.Why, s.Changes))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// id is that of a resource in a group of the environment.
func (p *process) id(typ, name string) string {
	return arm.ID(p.world.sim.Subscription(), p.names().Group(), typ, name)
}
