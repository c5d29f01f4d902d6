package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/automation/hub"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// identityFlags describe the identity of CI on the command line.
type identityFlags struct {
	repository   string
	store        bool
	environments []string
	branches     []string
	days         int
	yes          bool
}

func (a *app) newAuthCommand() *cobra.Command {
	var f identityFlags
	c := &cobra.Command{
		Use:   "auth",
		Short: "Sign in to Azure, and make the identity that CI deploys with",
		Long: `Without a command below it, makes the application sp-flowehr-ci-{flowehr_id} that the workflows of a GitHub repository sign in
with, by federation: no password exists. Shows what it would make, and asks. It is run by a person who owns the
subscription, and refused in automation. What the person may not grant is listed, with who may.

It needs GITHUB_TOKEN only with --github, to store what CI needs in the repository.`,
		Example: "  flowehr auth login\n  flowehr auth --github st-elsewhere/flowehr\n  flowehr auth --repository st-elsewhere/flowehr",
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runAuth(c.Context(), f) },
	}
	a.identityFlags(c, &f)
	c.AddCommand(a.newAuthLoginCommand(), &cobra.Command{
		Use: "logout", Short: "Forget who signed in to Azure here", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			cache := a.signInCache()
			if cache == nil {
				return nil
			}
			if err := cache.SignOut(); err != nil {
				return err
			}
			fmt.Fprintf(a.errOut, "%s Nobody is signed in to Azure here any more.\n", a.style(a.errOut).Done())
			return nil
		},
	}, &cobra.Command{
		Use: "whoami", Short: "Show who is signed in to Azure, and how", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runWhoAmI(c.Context()) },
	}, a.newAuthRotateCommand(), a.newAuthRemoveCommand())
	return c
}

func (a *app) identityFlags(c *cobra.Command, f *identityFlags) {
	c.Flags().StringVar(&f.repository, "repository", "", "GitHub repository, OWNER/NAME, whose jobs may sign in")
	github := ""
	c.Flags().StringVar(&github, "github", "", "the same, and store there what CI needs")
	c.Flags().StringSliceVar(&f.environments, "environment", nil, "GitHub environments whose jobs may sign in (default: those of the definition)")
	c.Flags().StringSliceVar(&f.branches, "branch", nil, "branches whose jobs may sign in without an environment")
	c.Flags().IntVar(&f.days, "client-secret-days", 0, "also make a client secret that is good for so many days (0: none)")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	c.PreRun = func(*cobra.Command, []string) {
		if github != "" {
			f.repository, f.store = github, true
		}
	}
}

func (a *app) newAuthLoginCommand() *cobra.Command {
	tenant := ""
	c := &cobra.Command{
		Use: "login", Short: "Sign in to Azure in a browser, with a code", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o := a.credentialOptions()
			if tenant != "" {
				o.Tenant = tenant
			}
			if o.Cache == nil {
				return errors.New("no home directory to keep the sign-in in: set HOME or XDG_CONFIG_HOME")
			}
			who, err := cloud.SignIn(c.Context(), o, func(code cloud.DeviceCode) {
				fmt.Fprintf(a.errOut, "Open %s and enter the code %s\n", code.Address, code.Code)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.errOut, "%s You are signed in as %s.\n", a.style(a.errOut).Done(), who.Name)
			a.next("See what would be made with: flowehr plan")
			return nil
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "directory to sign in to (default $ARM_TENANT_ID, else your own)")
	return c
}

func (a *app) runWhoAmI(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{unnamed: true})
	if err != nil {
		return err
	}
	x, err := a.openAccount(ctx, d)
	if err != nil {
		return err
	}
	return errors.Join(a.showWho(x), x.close())
}

func (a *app) showWho(x *account) error {
	if a.json() {
		return a.writeJSON(struct {
			cloud.Who
			Subscription string
			Simulation   bool
		}{x.who, x.client.Subscription(), x.sim != nil})
	}
	fmt.Fprintf(a.out, "%s (%s, by %s)\ntenant %s\nsubscription %s\n", x.who.Name, x.who.Kind, x.who.By, x.who.Tenant, x.client.Subscription())
	for _, s := range x.where() {
		fmt.Fprintln(a.out, s)
	}
	return nil
}

// withIdentity opens the identity of CI and, when it is to be stored, the repository.
func (a *app) withIdentity(ctx context.Context, f identityFlags, use func(*account, *automation.Identity, *hub.Hub) error) error {
	if f.repository == "" {
		return usageError{errors.New("which repository? Name it with --github OWNER/NAME, or with --repository to only print what it needs")}
	}
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	x, err := a.openAccount(ctx, d)
	if err != nil {
		return err
	}
	return errors.Join(a.openIdentity(ctx, d, x, f, use), x.close())
}

func (a *app) openIdentity(ctx context.Context, d *definition, x *account, f identityFlags, use func(*account, *automation.Identity, *hub.Hub) error) error {
	o := automation.IdentityOptions{FlowEHRID: d.env.ID, Repository: f.repository, Environments: f.environments, Branches: f.branches,
		SecretDays: f.days, Automation: a.inAutomation() && x.sim == nil, Now: x.now}
	if len(o.Environments) == 0 {
		o.Environments = environmentsOf(d)
	}
	var h *hub.Hub
	if f.store || a.env("GITHUB_TOKEN") != "" {
		var err error
		if h, err = a.openHub(x, f.repository); err != nil {
			return err
		}
		if o.SubjectPrefix, err = h.SubjectPrefix(ctx); err != nil {
			return err
		}
	}
	identity, err := automation.NewIdentity(x.client, o)
	if err != nil {
		return usageError{err}
	}
	if !f.store {
		h = nil
	}
	return use(x, identity, h)
}

// openHub opens a repository on GitHub as whoever GITHUB_TOKEN belongs to.
func (a *app) openHub(x *account, repository string) (*hub.Hub, error) {
	token := a.firstEnv("GITHUB_TOKEN", "GH_TOKEN")
	if token == "" {
		return nil, hint(errors.New("nobody is signed in to GitHub"), "Set GITHUB_TOKEN to a token of somebody who administers %s.", repository)
	}
	a.veil.Hide(token)
	h, err := hub.New(hub.Options{Client: x.client, Repository: repository, Token: flowehr.NewSecret(token)})
	if err != nil {
		return nil, usageError{err}
	}
	return h, nil
}

func (a *app) runAuth(ctx context.Context, f identityFlags) error {
	if f.days > 0 && !f.store {
		return hint(usageError{errors.New("a client secret is shown to nobody, so it has to go somewhere")}, "Store it in the repository with: --github OWNER/NAME")
	}
	return a.withIdentity(ctx, f, func(x *account, identity *automation.Identity, h *hub.Hub) error {
		p, err := identity.Plan(ctx)
		if err != nil {
			return explainIdentity(err)
		}
		if !a.json() {
			a.showIdentityPlan(x, p)
		}
		if !p.Empty() && !f.yes {
			if err := a.confirm("Make it?", "yes", "flowehr auth --yes"); err != nil {
				return err
			}
		}
		r, err := identity.Make(ctx)
		if err != nil {
			return explainIdentity(err)
		}
		a.veil.Hide(r.Secret.Reveal())
		if h != nil {
			if err := automation.Store(ctx, h, r.Settings); err != nil {
				return err
			}
		}
		return a.showIdentity(r, h, f.repository)
	})
}

func explainIdentity(err error) error {
	if errors.Is(err, automation.ErrAutomation) {
		return hint(err, "Run it on your own machine, signed in with: flowehr auth login")
	}
	return err
}

func (a *app) showIdentityPlan(x *account, p automation.IdentityPlan) {
	fmt.Fprintf(a.errOut, "%s makes %s in subscription %s\n", p.Person, p.Name, p.Subscription)
	for _, s := range x.where() {
		fmt.Fprintln(a.errOut, s)
	}
	for _, s := range p.Steps {
		fmt.Fprintf(a.errOut, "  %s %-20s %s  %s\n", a.symbol(s.Action), s.What, s.Name, s.Detail)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(a.errOut, "! %s\n", w)
	}
}

// symbol is the mark of an action, as in plans.
func (a *app) symbol(action flowehr.Action) string {
	switch action { //exhaustive:enforce
	case flowehr.Keep:
		return "="
	case flowehr.Create:
		return "+"
	case flowehr.Update:
		return "~"
	case flowehr.Replace:
		return "±"
	case flowehr.Delete:
		return "-"
	}
	return " "
}

func (a *app) showIdentity(r automation.IdentityResult, h *hub.Hub, repository string) error {
	if a.json() {
		return a.writeJSON(r)
	}
	fmt.Fprintf(a.out, "%s %s stands (client id %s).\n", a.style(a.out).Done(), r.Name, r.ClientID)
	for _, m := range r.Missing {
		fmt.Fprintf(a.out, "%s not granted: %s\n  %s may do it: %s\n", a.style(a.out).Failed(), m.What, m.Who, m.How)
	}
	a.showSettings(r.Settings, h, repository)
	a.next("Then make the ground that CI stands on: flowehr bootstrap --github %s", repository)
	return nil
}

// showSettings tells what was stored in a repository, or what it needs.
func (a *app) showSettings(settings []automation.Setting, h *hub.Hub, repository string) {
	if h != nil {
		fmt.Fprintf(a.out, "%s %s has what CI needs: ", a.style(a.out).Done(), repository)
		var names []string
		for _, s := range settings {
			names = append(names, s.Name)
		}
		fmt.Fprintln(a.out, strings.Join(names, ", "))
		return
	}
	t := a.table("Setting of "+repository, "Kind", "GitHub environment", "Value")
	for _, s := range settings {
		value := s.Value
		if value == "" {
			value = s.Secret.String()
		}
		t.Row(s.Name, string(s.Kind), s.Environment, value)
	}
	_ = t.Write(a.out)
}

func (a *app) newAuthRotateCommand() *cobra.Command {
	var f identityFlags
	c := &cobra.Command{
		Use: "rotate", Short: "Replace the client secret of CI's identity", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withIdentity(c.Context(), f, func(_ *account, identity *automation.Identity, h *hub.Hub) error {
				if h == nil {
					return usageError{errors.New("the new secret has to go somewhere: name the repository with --github OWNER/NAME")}
				}
				r, err := identity.Rotate(c.Context(), func(ctx context.Context, s []automation.Setting) error { return automation.Store(ctx, h, s) })
				a.veil.Hide(r.Secret.Reveal())
				if err != nil {
					return explainIdentity(err)
				}
				fmt.Fprintf(a.errOut, "%s The new secret of %s is in %s, the old ones are gone.\n", a.style(a.errOut).Done(), r.Name, h.Repository())
				return nil
			})
		},
	}
	a.identityFlags(c, &f)
	return c
}

func (a *app) newAuthRemoveCommand() *cobra.Command {
	var f identityFlags
	c := &cobra.Command{
		Use: "remove", Short: "Take the identity of CI away, with all its rights", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withIdentity(c.Context(), f, func(_ *account, identity *automation.Identity, _ *hub.Hub) error {
				if !f.yes {
					if err := a.confirm("CI can deploy nothing any more.", identity.Name(), "flowehr auth remove --yes"); err != nil {
						return err
					}
				}
				removed, err := identity.Remove(c.Context())
				for _, what := range removed {
					fmt.Fprintf(a.out, "- %s\n", what)
				}
				if err != nil {
					return explainIdentity(err)
				}
				fmt.Fprintf(a.errOut, "%s %s is gone.\n", a.style(a.errOut).Done(), identity.Name())
				return nil
			})
		},
	}
	a.identityFlags(c, &f)
	return c
}
