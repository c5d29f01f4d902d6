package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/automation/hub"
	"github.com/flowehr/flowehr/internal/azure/price"
	"github.com/flowehr/flowehr/internal/plan"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
)

// environmentsOf lists the environments that have a file of their own, but for the one of a person's own machine.
func environmentsOf(d *definition) []string {
	files, err := fs.Glob(os.DirFS(d.root), "config.*.yaml")
	if err != nil {
		return nil // the pattern is ours
	}
	var names []string
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "config."), ".yaml")
		if name != "local" && name != "sample" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

type bootstrapFlags struct {
	repository string
	store      bool
	runners    int
	size       string
	noGateway  bool
	space      string
	destroy    bool
	yes        bool
}

func (a *app) newBootstrapCommand() *cobra.Command {
	var f bootstrapFlags
	github := ""
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make the ground that CI stands on in Azure",
		Long: `Makes the resource group rg-{flowehr_id}-ci with a network, a registry, storage and, with --runners, machines of your own that
run the jobs of one repository: no address on the internet, and registered with a token that is good for an hour. Shows what
it would make, and asks.`,
		Example: "  flowehr bootstrap --github st-elsewhere/flowehr\n  flowehr bootstrap --github st-elsewhere/flowehr --runners 2",
		Args:    noArgs,
		PreRun: func(*cobra.Command, []string) {
			if github != "" {
				f.repository, f.store = github, true
			}
		},
		RunE: func(c *cobra.Command, _ []string) error { return a.runBootstrap(c.Context(), f) },
	}
	c.Flags().StringVar(&f.repository, "repository", "", "GitHub repository, OWNER/NAME")
	c.Flags().StringVar(&github, "github", "", "the same, and store there what CI needs")
	c.Flags().IntVar(&f.runners, "runners", 0, "private runners (0: the jobs run on GitHub's machines)")
	c.Flags().StringVar(&f.size, "runner-size", "", "size of their virtual machines (default "+automation.DefaultSize+")")
	c.Flags().BoolVar(&f.noGateway, "no-gateway", false, "the network reaches the internet by a route of yours")
	c.Flags().StringVar(&f.space, "address-space", "", "of the network (default "+automation.DefaultAddressSpace+")")
	c.Flags().BoolVar(&f.destroy, "destroy", false, "take it away again")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) runBootstrap(ctx context.Context, f bootstrapFlags) error {
	if f.repository == "" && f.runners > 0 {
		return usageError{errors.New("whose runners? Name the repository with --github OWNER/NAME or --repository OWNER/NAME")}
	}
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	if d.env.Location == "" {
		return hint(errors.New("the definition names no Azure region"), "Add it to config.yaml, for example: location: uksouth")
	}
	// The ground is an environment of its own for all that keeps state, lock and names.
	env := *d.env
	env.Suffix, env.Name, env.RealData, env.Target = d.env.ID+"-ci", "ci", false, flowehr.TargetAzure
	ground := *d
	ground.env = &env
	return a.withState(ctx, &ground, func(s *azureSite) error { return a.bootstrap(ctx, s, environmentsOf(d), f) })
}

func (a *app) bootstrap(ctx context.Context, s *azureSite, environments []string, f bootstrapFlags) error {
	var err error
	if s.state, err = s.load(ctx); err != nil {
		return err
	}
	o := automation.BootstrapOptions{FlowEHRID: s.d.env.ID, Subscription: s.client.Subscription(), Tenant: s.client.Tenant(), Location: s.d.env.Location,
		AddressSpace: f.space, Tags: s.d.env.Tags, People: []automation.Principal{{ObjectID: s.who.ObjectID, Kind: s.who.Kind}}}
	if ip, err := a.publicAddress(s.account)(ctx); err == nil {
		o.AllowedIP = []string{ip}
	}
	if o.Principal, err = automation.PrincipalOf(ctx, s.client, s.d.env.ID); err != nil {
		return err
	}
	if o.Principal == "" {
		a.next("CI has no identity yet, so it gets no right on this. Make one with flowehr auth, and run this again.")
	}
	if f.runners > 0 {
		o.Runners = automation.Runners{Repository: f.repository, Count: f.runners, Size: f.size, NoGateway: f.noGateway}
	}
	r, err := automation.Resource(o)
	if err != nil {
		return usageError{err}
	}
	s.target = azuretarget.New(azuretarget.Options{Client: s.client, Now: s.now, Outputs: s.outputs, Wanted: []flowehr.Resource{r}})
	p, err := a.planBootstrap(ctx, s, r, f.destroy)
	if err != nil {
		return err
	}
	if !p.Empty() {
		if err := a.applyBootstrap(ctx, s, p, f); err != nil {
			return err
		}
	}
	if f.destroy {
		fmt.Fprintf(a.out, "%s The ground of CI is gone.\n", a.style(a.out).Done())
		return nil
	}
	return a.settleBootstrap(ctx, s, o, environments, f)
}

func (a *app) planBootstrap(ctx context.Context, s *azureSite, r flowehr.Resource, destroy bool) (flowehr.Plan, error) {
	if destroy {
		p, err := plan.MakeDestroy(s.state, nil, false, s.now())
		if err != nil {
			return p, err
		}
		return s.refine(ctx, p, true)
	}
	p, err := plan.Make(s.d.env, []flowehr.Resource{r}, s.state, plan.Options{Replace: azuretarget.Replace, At: s.now()})
	if err != nil {
		return p, err
	}
	if p, s.sources, err = s.target.Preview(ctx, p); err != nil {
		return p, err
	}
	return plan.Seal(price.Refine(p))
}

func (a *app) applyBootstrap(ctx context.Context, s *azureSite, p flowehr.Plan, f bootstrapFlags) error {
	if err := a.showPlan(s, p); err != nil {
		return err
	}
	if !f.yes {
		word := "yes"
		if f.destroy {
			word = s.d.env.Suffix
		}
		if err := a.confirm("Go on?", word, "flowehr bootstrap --yes"); err != nil {
			return err
		}
	}
	_, err := a.azureApply(ctx, s, p, "flowehr bootstrap"+a.simulateFlag())
	return err
}

// settleBootstrap stores or shows what workflows must be told, and lets runners register.
func (a *app) settleBootstrap(ctx context.Context, s *azureSite, o automation.BootstrapOptions, environments []string, f bootstrapFlags) error {
	settings := o.Settings(environments)
	var h *hub.Hub
	if f.store {
		var err error
		if h, err = a.openHub(s.account, f.repository); err != nil {
			return err
		}
		if err := automation.Store(ctx, h, settings); err != nil {
			return err
		}
		if f.runners > 0 {
			until, err := automation.Register(ctx, s.client, h, o)
			if err != nil {
				return err
			}
			a.next("The runners register by themselves until %s.", until.Format("15:04"))
		}
	}
	if a.json() {
		return a.writeJSON(settings)
	}
	fmt.Fprintf(a.out, "%s The ground of CI stands in %s.\n", a.style(a.out).Done(), o.Names().Group)
	a.showSettings(settings, h, f.repository)
	a.next("Then write the workflows: flowehr ci init")
	return nil
}
