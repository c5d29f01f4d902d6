package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/operate"
	"github.com/flowehr/flowehr/internal/render"
)

func (a *app) newAppsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "apps",
		Short: "Release apps, take them back and read their logs",
		Long:  `Works on apps that are deployed to Azure. This version does not host apps on this machine.`,
	}
	list := &cobra.Command{
		Use: "list", Short: "List apps, their slots and what runs in them", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withApps(c.Context(), func(w *azureWork) error { return a.listApps(c.Context(), w) })
		},
	}
	var o deployOptions
	deploy := &cobra.Command{
		Use: "deploy", Short: "Deploy the apps layer", Long: "The same as: flowehr deploy apps", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runDeploy(c.Context(), []flowehr.Layer{flowehr.LayerApps}, o)
		},
	}
	deploy.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.AddCommand(list, deploy, a.newAppsSwapCommand(), a.newAppsRollbackCommand(), a.newAppsLogsCommand())
	return c
}

// withApps calls f where the environment's apps run. On this machine there are none yet.
func (a *app) withApps(ctx context.Context, f func(*azureWork) error) error {
	there, err := a.inAzure(ctx, f)
	if there || err != nil {
		return err
	}
	return hint(errors.New("this version does not host apps on this machine"), "Nothing was changed. Apps of a definition for Azure are reached with: --target azure")
}

// site is the web app of an app of the definition.
func (w *azureWork) site(id string) (string, error) {
	var ids []string
	for _, x := range w.d.env.Apps {
		ids = append(ids, x.ID)
	}
	if !slices.Contains(ids, id) {
		return "", hint(fmt.Errorf("the definition has no app %q", id), "It has: %s", strings.Join(ids, ", "))
	}
	return azure.NamesOf(w.d.env).WebApp(id), nil
}

func (a *app) listApps(ctx context.Context, w *azureWork) error {
	names := map[string]string{}
	var sites []string
	for _, x := range w.d.env.Apps {
		site := azure.NamesOf(w.d.env).WebApp(x.ID)
		names[site] = x.ID
		sites = append(sites, site)
	}
	if len(sites) == 0 {
		fmt.Fprintln(a.out, "The definition has no apps in this environment.")
		return nil
	}
	apps, err := w.apps.List(ctx, sites...)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(apps)
	}
	t := a.table("App", "Slot", "State", "Image", "Changed", "Address")
	for _, x := range apps {
		for _, s := range append([]operate.Slot{x.Slot}, x.Slots...) {
			slot := s.Name
			if slot == "" {
				slot = "production"
			}
			t.Row(names[x.Name], slot, strings.ToLower(s.State), s.Image, render.Stamp(s.Changed, w.now()), "https://"+s.Host)
		}
	}
	return t.Write(a.out)
}

func (a *app) newAppsSwapCommand() *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:   "swap APP",
		Short: "Put what is in the testing slot before the users",
		Long:  `Shows what would change, asks, and swaps the testing slot with the one that users get. No request is lost. Swapping again takes it back.`,
		Args:  exactArgs("APP"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withApps(c.Context(), func(w *azureWork) error { return a.swapApp(c.Context(), w, args[0], yes) })
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) swapApp(ctx context.Context, w *azureWork, id string, yes bool) error {
	site, err := w.site(id)
	if err != nil {
		return err
	}
	p, err := w.apps.Pending(ctx, site)
	if err != nil {
		return err
	}
	if !a.json() {
		fmt.Fprintf(a.errOut, "users get: %s\nthen:      %s\n", imageName(p.Now.Image), imageName(p.Next.Image))
		for _, d := range p.Differences {
			fmt.Fprintf(a.errOut, "  ~ %s: %s\n", d.Setting, d.Text)
		}
	}
	if !yes {
		if err := a.confirm("Swap?", "yes", "flowehr apps swap "+id+" --yes"); err != nil {
			return err
		}
	}
	app, err := w.apps.Swap(ctx, site)
	if err != nil {
		return err
	}
	return a.swapped(app, id)
}

// imageName names an image to people. A new app has none until something was deployed to it.
func imageName(image string) string {
	if image == "" {
		return "nothing that was deployed yet"
	}
	return image
}

func (a *app) swapped(app operate.App, id string) error {
	if a.json() {
		return a.writeJSON(app)
	}
	fmt.Fprintf(a.out, "%s Users of %s get %s.\n", a.style(a.out).Done(), id, imageName(app.Image))
	a.next("Take it back with: flowehr apps rollback %s%s", id, a.simulateFlag())
	return nil
}

func (a *app) newAppsRollbackCommand() *cobra.Command {
	image := ""
	c := &cobra.Command{
		Use:     "rollback APP",
		Short:   "Give users the version that they had before",
		Example: "  flowehr apps rollback bed-board\n  flowehr apps rollback bed-board --image acrserve.azurecr.io/bed-board@sha256:...",
		Args:    exactArgs("APP"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withApps(c.Context(), func(w *azureWork) error {
				site, err := w.site(args[0])
				if err != nil {
					return err
				}
				app, err := w.apps.Rollback(c.Context(), site, image)
				if err != nil {
					return err
				}
				return a.swapped(app, args[0])
			})
		},
	}
	c.Flags().StringVar(&image, "image", "", "an image by its digest, for an app without a testing slot")
	return c
}

func (a *app) newAppsLogsCommand() *cobra.Command {
	follow, slot := false, ""
	c := &cobra.Command{
		Use:   "logs APP",
		Short: "Print what an app wrote",
		Args:  exactArgs("APP"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withApps(c.Context(), func(w *azureWork) error {
				site, err := w.site(args[0])
				if err != nil {
					return err
				}
				line := func(text string) { fmt.Fprintln(a.out, text) }
				if follow {
					err := w.apps.FollowLogs(c.Context(), site, slot, line, func() { a.next("(some lines came faster than Azure gives them)") })
					if errors.Is(err, context.Canceled) {
						return nil
					}
					return err
				}
				lines, err := w.apps.Logs(c.Context(), site, slot)
				for _, text := range lines {
					line(text)
				}
				return err
			})
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	c.Flags().StringVar(&slot, "slot", "", "of this slot, for example testing")
	return c
}
