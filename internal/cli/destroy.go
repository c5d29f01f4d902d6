package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

type destroyOptions struct{ yes, byName bool }

func (a *app) newDestroyCommand() *cobra.Command {
	var o destroyOptions
	c := &cobra.Command{
		Use:     "destroy [LAYER]",
		Short:   "Remove what was deployed, after listing it",
		Example: "  flowehr destroy\n  flowehr destroy transform --yes",
		Args:    mostArgs(1, "one layer"),
		Long: `Lists what would go, asks for the environment's name to be typed, removes it in reverse order and proves that it is
gone. Only what was deployed from this definition is touched. Run it again after an interruption. The vault and the audit
log stay; flowehr clean removes them with everything else.`,
		RunE: func(c *cobra.Command, args []string) error {
			layers, err := parseLayers(args)
			if err != nil {
				return err
			}
			return a.runDestroy(c.Context(), layers, o)
		},
	}
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask (refused with real data)")
	c.Flags().BoolVar(&o.byName, "by-name", false, "in Azure: also find by their names what no record knows")
	return c
}

func (a *app) runDestroy(ctx context.Context, layers []flowehr.Layer, o destroyOptions) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	if d.env.Target == flowehr.TargetAzure {
		return a.azureDestroy(ctx, d, layers, o)
	}
	if o.byName {
		return hint(usageError{errors.New("--by-name is for Azure")}, "On this machine everything is below the data directory: flowehr clean removes it.")
	}
	if r, on, err := local.FindRunning(d.paths); err != nil {
		return err
	} else if on {
		return hint(fmt.Errorf("%s is running (process %d)", d.env.Suffix, r.PID), "Stop it first: flowehr down")
	}
	p, err := a.makePlan(ctx, d, layers, true)
	if err != nil {
		return err
	}
	if len(p.Steps) == 0 {
		return a.nothingToDestroy(d, p)
	}
	if !a.json() {
		view := planView(d, p, false, a)
		view.Next = ""
		if err := render.Plan(a.errOut, a.style(a.errOut), view); err != nil {
			return err
		}
	}
	if !o.yes || d.env.RealData {
		if err := a.confirm("This deletes data for good.", d.env.Suffix, flagUnlessReal(d, "flowehr destroy --yes")); err != nil {
			return err
		}
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.WithServer(ctx, func(ctx context.Context) error {
		if err := a.apply(ctx, d, h, p, nil); err != nil {
			return err
		}
		return a.proveGone(ctx, h, p)
	})
}

func (a *app) nothingToDestroy(d *definition, p flowehr.Plan) error {
	if a.json() {
		return render.JSON(a.out, render.NewPlanJSON(planView(d, p, false, a)))
	}
	fmt.Fprintf(a.out, "%s Nothing of %s stands that could be removed.\n", a.style(a.out).Done(), d.env.Suffix)
	return nil
}

// proveGone looks for everything that was deleted.
func (a *app) proveGone(ctx context.Context, h *local.Host, p flowehr.Plan) error {
	left, err := h.Left(ctx, p)
	if err != nil {
		return err
	}
	for _, ref := range left {
		fmt.Fprintf(a.errOut, "%s %s still stands\n", a.style(a.errOut).Failed(), ref)
	}
	if len(left) > 0 {
		return hint(fmt.Errorf("%d resources are still there", len(left)), "What is gone stays gone; go on with: flowehr destroy")
	}
	if a.json() {
		return nil
	}
	fmt.Fprintf(a.out, "%s All %d resources are gone; each was looked for.\n", a.style(a.out).Done(), p.Count(flowehr.Delete))
	a.next("The vault and the audit log stay. Remove them too with: flowehr clean")
	return nil
}

// flagUnlessReal is the flag that agrees beforehand, or nothing where no flag may.
func flagUnlessReal(d *definition, flag string) string {
	if d.env.RealData {
		return ""
	}
	return flag
}
