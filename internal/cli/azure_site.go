package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/azure/price"
	"github.com/flowehr/flowehr/internal/azure/statestore"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/render"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
)

// azureSite is an environment in Azure, open for one command.
type azureSite struct {
	*account
	d       *definition
	facts   azure.Facts
	store   *statestore.Store
	kept    bool                        // the account of the state stands
	allow   func(context.Context) error // makes it one that who is signed in may use
	target  *azuretarget.Target
	state   flowehr.State // as last loaded
	want    []flowehr.Resource
	sources map[flowehr.Ref]azuretarget.PreviewSource // who told what happens within stacks
	refuse  []flowehr.Diagnostic                      // errors of lowering: nothing can be planned then
	chosen  map[string]azuretarget.Choice             // what becomes of names that are held by what was deleted
}

// siteOptions say what a command does to an environment in Azure.
type siteOptions struct {
	changes bool // it deploys or destroys: the account of the state is made when it is not there
	wants   bool // it is about what the definition wants, so its warnings are shown
	rebuild bool // a record that cannot be read is begun anew
	purge   bool // what is deleted is not kept for recovery
}

// withAzure opens the environment in Azure, calls f and closes it.
func (a *app) withAzure(ctx context.Context, d *definition, o siteOptions, f func(*azureSite) error) error {
	return a.withState(ctx, d, func(s *azureSite) error {
		if o.changes {
			if err := s.ensureState(ctx, a); err != nil {
				return err
			}
		}
		if o.rebuild {
			_, err := s.load(ctx)
			if err := a.replaceUnreadable(ctx, s.store, err); err != nil {
				return err
			}
		}
		if err := s.open(ctx, a, o); err != nil {
			return err
		}
		return f(s)
	})
}

// withState signs in and calls f with the record of the environment alone: nothing else is looked at.
func (a *app) withState(ctx context.Context, d *definition, f func(*azureSite) error) error {
	x, err := a.openAccount(ctx, d)
	if err != nil {
		return err
	}
	s := &azureSite{account: x, d: d}
	account, group := a.statePlace(d, x.client.Subscription())
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	s.store = statestore.New(statestore.Options{
		Client: x.client, Account: account, Container: statestore.DefaultContainer, Prefix: d.env.Suffix,
		Environment: plan.EnvironmentName(d.env), Target: flowehr.TargetAzure, Host: host, PID: os.Getpid(), Now: x.now, Idle: s.idle(),
	})
	s.allow = func(ctx context.Context) error { return statestore.Allow(ctx, x.client, group, account) }
	s.kept, err = statestore.Stands(ctx, x.client, group, account)
	if err != nil {
		return errors.Join(err, x.close())
	}
	return errors.Join(f(s), x.close())
}

// ensureState makes the place of the record when it is not there.
func (s *azureSite) ensureState(ctx context.Context, a *app) error {
	if s.kept {
		return nil
	}
	account, group := a.statePlace(s.d, s.client.Subscription())
	if err := statestore.EnsureAccount(ctx, s.client, group, account, s.d.env.Location); err != nil {
		return err
	}
	s.kept = true
	return nil
}

// load returns the record. Before the first deployment there is no place that it could be in. Who comes to a place that somebody
// else made gives themselves the right to it.
func (s *azureSite) load(ctx context.Context) (flowehr.State, error) {
	if !s.kept {
		return flowehr.State{Environment: plan.EnvironmentName(s.d.env), Target: flowehr.TargetAzure}, nil
	}
	st, err := s.store.Load(ctx)
	if !statestore.NotAllowed(err) {
		return st, err
	}
	if err := s.allow(ctx); err != nil {
		return st, err
	}
	return s.store.Load(ctx)
}

// open looks at what must be known before an environment can be lowered, and prepares its target.
func (s *azureSite) open(ctx context.Context, a *app, o siteOptions) error {
	var err error
	if s.state, err = s.load(ctx); err != nil {
		return err
	}
	if err := a.layGround(ctx, s); err != nil {
		return err
	}
	key, err := a.gitHubKey()
	if err != nil {
		return err
	}
	facts, problems, err := azuretarget.Discover(ctx, s.client, s.d.env, azuretarget.DiscoverOptions{
		Automation: a.inAutomation(), PublicIP: a.publicAddress(s.account), CI: a.ciFacts(),
	})
	if err != nil {
		return err
	}
	if flowehr.HasErrors(problems) {
		return flowehr.DiagnosticsError{Diagnostics: problems}
	}
	s.facts = facts
	var more []flowehr.Diagnostic
	s.want, more = estate.Lower(s.d.env, facts)
	if problems = append(problems, more...); flowehr.HasErrors(problems) {
		s.refuse = problems
	} else if len(problems) > 0 && o.wants && !a.json() {
		a.showDiagnostics(problems)
	}
	options := azuretarget.Options{
		Client: s.client, Facts: facts, Files: os.DirFS(s.d.root), Now: s.now, Outputs: s.outputs, Wanted: s.want, Purge: o.purge, Recover: s.choose,
		GitHub: azuretarget.GitHubApp{Key: key, Token: a.gitHubToken(), Owner: serveOf(s.d.env).GitHubOwner, AppID: serveOf(s.d.env).GitHubAppID,
			InstallationID: serveOf(s.d.env).GitHubAppInstallationID},
	}
	if s.sim != nil {
		options.GitHub.Key, options.GitHub.Token = flowehr.Secret{}, flowehr.NewSecret(simulatedToken)
		options.SQL = azuretarget.SQL{Dial: s.sim.remote.Dial, TLS: s.sim.remote.TLS()}
	}
	s.target = azuretarget.New(options)
	return nil
}

// choose answers the target with what was chosen beforehand: nobody is asked in the middle of a deployment.
func (s *azureSite) choose(_ context.Context, d azuretarget.SoftDeleted) (azuretarget.Choice, error) {
	return s.chosen[d.Type+"/"+d.Name], nil
}

// askHeld asks what to do about names of the environment that are held by what was deleted, before anything is made. A flag
// answers beforehand; without either the deployment is refused.
func (s *azureSite) askHeld(ctx context.Context, a *app, o deployOptions) error {
	held, err := s.target.Held(ctx, azure.NamesOf(s.d.env))
	if err != nil || len(held) == 0 {
		return err
	}
	s.chosen = map[string]azuretarget.Choice{}
	var choice azuretarget.Choice
	for _, d := range held {
		fmt.Fprintf(a.errOut, "! %v\n", &azuretarget.HeldNameError{Held: d})
	}
	switch {
	case o.recover:
		choice = azuretarget.Recover
	case o.purge:
		choice = azuretarget.Purge
	default:
		answer, err := a.ask("Recover them with what they held, or purge them for good?", []string{"recover", "purge"}, "flowehr deploy --recover, or flowehr deploy --purge")
		if err != nil {
			return err
		}
		choice = map[string]azuretarget.Choice{"recover": azuretarget.Recover, "purge": azuretarget.Purge}[answer]
	}
	for _, d := range held {
		s.chosen[d.Type+"/"+d.Name] = choice
	}
	return nil
}

// serveOf returns what the definition says of app repositories, nothing when it says nothing.
func serveOf(env *flowehr.Environment) flowehr.Serve {
	if env.Serve == nil {
		return flowehr.Serve{}
	}
	return *env.Serve
}

// outputs returns what is recorded of a resource.
func (s *azureSite) outputs(ref flowehr.Ref) (map[string]string, bool) {
	rec, ok := s.state.Records[ref]
	return rec.Outputs, ok
}

// statePlace is the storage account of the state and its group. Their names follow from the definition and the subscription,
// so that laptops and CI find the same (ADR 18); two variables name another.
func (a *app) statePlace(d *definition, subscription string) (account, group string) {
	account, group = statestore.AccountName(d.env.ID, subscription), statestore.GroupName(d.env.ID)
	if name := a.env("FLOWEHR_STATE_ACCOUNT"); name != "" {
		account = name
	}
	if name := a.env("FLOWEHR_STATE_GROUP"); name != "" {
		group = name
	}
	return account, group
}

// idle passes the time between renewals of the lock. In a simulation that is a moment of real time, because waiting in
// virtual time is what lets it pass.
func (s *azureSite) idle() func(context.Context, time.Duration) error {
	if s.sim == nil {
		return nil
	}
	return func(ctx context.Context, _ time.Duration) error {
		t := time.NewTimer(simulatedRenewal)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// simulatedRenewal is often enough for a lease of a minute, of which a simulation passes several in a second.
const simulatedRenewal = 50 * time.Millisecond

// ciFacts names the network of the CI environment, when its variables are set.
func (a *app) ciFacts() *azure.CIFacts {
	group, network := a.env("CI_RESOURCE_GROUP"), a.env("CI_PEERING_VNET")
	if group == "" || network == "" {
		return nil
	}
	return &azure.CIFacts{Group: group, Network: network}
}

// lower returns what the definition wants in Azure.
func (s *azureSite) lower() ([]flowehr.Resource, error) {
	if len(s.refuse) > 0 {
		return nil, flowehr.DiagnosticsError{Diagnostics: s.refuse}
	}
	return s.want, nil
}

// applyOptions are those of every run and every look at the world.
func (s *azureSite) applyOptions(a *app, sink flowehr.Sink) apply.Options {
	return apply.Options{
		Owner: a.who(), Parallel: azureParallel, Attempts: azureAttempts, Retry: cloud.Passing, Secrets: s.secret(a), Sink: sink, Now: s.now, Wait: s.client.Wait,
	}
}

// Azure is waited for far more than it is worked for, so many steps may be under way; and rights take minutes to become
// effective, so a step is tried more often than on this machine.
const (
	azureParallel = 128
	azureAttempts = 12
)

// secret finds the secrets of the definition: process, .env, the vault of this machine, and at last the key vault.
func (s *azureSite) secret(a *app) func(context.Context, string) (flowehr.Secret, error) {
	return func(ctx context.Context, name string) (flowehr.Secret, error) {
		if v, ok := s.d.lookup(name); ok {
			return flowehr.NewSecret(v), nil
		}
		value, err := s.target.Secret(ctx, azure.NamesOf(s.d.env).Vault(), name)
		if err != nil {
			return flowehr.Secret{}, hint(fmt.Errorf("secret %s has no value: %w", name, err), "Set it with: flowehr secrets set %s   (or export it, or put it in .env)", name)
		}
		a.veil.Hide(value.Reveal())
		return value, nil
	}
}

// plan compares what is wanted with the world and looks into what becomes of the parts of stacks, unless offline.
func (s *azureSite) plan(ctx context.Context, a *app, layers []flowehr.Layer, offline bool) (flowehr.Plan, error) {
	want, err := s.lower()
	if err != nil {
		return flowehr.Plan{}, err
	}
	have := s.state
	if !offline && len(have.Records) > 0 {
		if have, _, err = apply.Observe(ctx, s.target, have, nil, s.applyOptions(a, nil)); err != nil {
			return flowehr.Plan{}, err
		}
	}
	p, err := plan.Make(s.d.env, want, have, plan.Options{Layers: layers, Replace: azuretarget.Replace, At: s.now()})
	if err != nil {
		return flowehr.Plan{}, err
	}
	return s.refine(ctx, p, offline)
}

// refine adds parts, costs and times.
func (s *azureSite) refine(ctx context.Context, p flowehr.Plan, offline bool) (flowehr.Plan, error) {
	if offline {
		for i := range p.Steps {
			p.Steps[i].Parts = azuretarget.Parts(p.Steps[i])
		}
	} else {
		var err error
		if p, s.sources, err = s.target.Preview(ctx, p); err != nil {
			return flowehr.Plan{}, err
		}
	}
	return plan.Seal(price.Refine(p))
}

// notes say how sure the plan is of what Azure will do.
func (s *azureSite) notes() []string {
	asked, worked := 0, 0
	for _, source := range s.sources {
		if source == azuretarget.FromTemplates {
			worked++
		} else {
			asked++
		}
	}
	switch {
	case asked == 0 && worked == 0:
		return nil
	case worked == 0:
		return []string{"Azure was asked what it would change."}
	case asked == 0:
		return []string{"What changes within stacks was worked out from their templates."}
	}
	return []string{fmt.Sprintf("Azure was asked what it would change in %s; the rest was worked out from templates.", render.Plural(int64(asked), "stack", "stacks"))}
}

// facts of the first line.
func (s *azureSite) headline() []string { return append([]string{tier(s.d.env)}, s.where()...) }

// missingSecrets reports every secret of the definition that has no value anywhere, all at once and before anything runs.
func (s *azureSite) missingSecrets(ctx context.Context) error {
	var problems []flowehr.Diagnostic
	checked := map[string]bool{}
	for _, ref := range s.d.document.Secrets() {
		if _, ok := s.d.lookup(ref.Name); ok {
			continue
		}
		found, seen := checked[ref.Name]
		if !seen {
			_, err := s.target.Secret(ctx, azure.NamesOf(s.d.env).Vault(), ref.Name)
			found = err == nil
			checked[ref.Name] = found
		}
		if !found {
			problems = append(problems, flowehr.Errorf(ref.Pos, "secret %s has no value", ref.Name).
				With("Set it with: flowehr secrets set %s   (or export it, or put it in .env)", ref.Name))
		}
	}
	if len(problems) > 0 {
		return flowehr.DiagnosticsError{Diagnostics: problems}
	}
	return nil
}

// removedData lists what p deletes or replaces that holds data.
func removedData(p flowehr.Plan) []string {
	var out []string
	for _, step := range p.Steps {
		if step.Want.Holds && (step.Action == flowehr.Delete || step.Action == flowehr.Replace) {
			out = append(out, strings.TrimPrefix(step.Want.Ref.String(), azure.KindStack+"/"))
		}
	}
	slices.Sort(out)
	return out
}
