package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/durable"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/state"
	"github.com/flowehr/flowehr/internal/target/local"
)

type planOptions struct {
	all         bool
	save        string
	destroy     bool
	refreshOnly bool
	offline     bool
}

func (a *app) newPlanCommand() *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:     "plan [LAYER]",
		Short:   "Show what deploy would change; nothing is changed",
		Example: "  flowehr plan\n  flowehr plan transform --all\n  flowehr plan --save change.json && flowehr deploy --plan change.json",
		Args:    mostArgs(1, "one layer"),
		Long: `Compares the definition with what was deployed and shows each change. LAYER is core, transform, serve, apps,
infrastructure (the first three) or all (default). Ends with exit code 2 when there are changes, 0 when there are none.
The plan is kept, so that exactly it can be applied: flowehr deploy --plan ID`,
		RunE: func(c *cobra.Command, args []string) error {
			layers, err := parseLayers(args)
			if err != nil {
				return err
			}
			return a.runPlan(c.Context(), layers, o)
		},
	}
	c.Flags().BoolVar(&o.all, "all", false, "list what is kept, too")
	c.Flags().StringVar(&o.save, "save", "", "write the plan to this file as well")
	c.Flags().BoolVar(&o.destroy, "destroy", false, "plan the removal of everything")
	c.Flags().BoolVar(&o.refreshOnly, "refresh-only", false, "only show where what stands differs from what was deployed")
	c.Flags().BoolVar(&o.offline, "offline", false, "in Azure: compare with the record, do not ask what stands")
	return c
}

// parseLayers reads the LAYER argument.
func parseLayers(args []string) ([]flowehr.Layer, error) {
	if len(args) == 0 || args[0] == "all" {
		return nil, nil
	}
	if args[0] == "infrastructure" {
		return []flowehr.Layer{flowehr.LayerCore, flowehr.LayerTransform, flowehr.LayerServe}, nil
	}
	if l := flowehr.Layer(args[0]); slices.Contains(flowehr.Layers(), l) {
		return []flowehr.Layer{l}, nil
	}
	return nil, hint(usageError{fmt.Errorf("%q is no layer", args[0])}, "Choose one of core, transform, serve, apps, infrastructure (the first three) or all.")
}

func (a *app) runPlan(ctx context.Context, layers []flowehr.Layer, o planOptions) error {
	d, err := a.load(ctx, loadOptions{changes: true})
	if err != nil {
		return err
	}
	if d.env.Target == flowehr.TargetAzure {
		return a.azurePlan(ctx, d, layers, o)
	}
	if o.refreshOnly {
		return a.localDrift(ctx, d)
	}
	p, err := a.makePlan(ctx, d, layers, o.destroy)
	if err != nil {
		return err
	}
	if err := savePlan(d, p, o.save); err != nil {
		return err
	}
	if a.json() {
		if err := render.JSON(a.out, render.NewPlanJSON(planView(d, p, true, a))); err != nil {
			return err
		}
	} else if err := render.Plan(a.out, a.style(a.out), planView(d, p, o.all, a)); err != nil {
		return err
	}
	if !p.Empty() {
		return errChanges
	}
	return nil
}

func planView(d *definition, p flowehr.Plan, all bool, a *app) render.PlanView {
	v := render.PlanView{Plan: p, Location: d.env.Location, All: all, Now: a.now(), Facts: []string{tier(d.env)}}
	if !p.Empty() {
		v.Next = "flowehr deploy --plan " + p.ID
	}
	return v
}

// tier is the sensitivity of the environment: the highest of its projects.
func tier(env *flowehr.Environment) string {
	t := 0
	for _, p := range env.Projects {
		t = max(t, p.Tier)
	}
	return fmt.Sprintf("tier %d", t)
}

// makePlan compares the definition with the recorded state.
func (a *app) makePlan(ctx context.Context, d *definition, layers []flowehr.Layer, destroy bool) (flowehr.Plan, error) {
	have, err := d.state().Load(ctx)
	if err != nil {
		return flowehr.Plan{}, err
	}
	if destroy {
		return plan.MakeDestroy(have, layers, d.env.RealData, a.now())
	}
	want, problems := (*local.Target)(nil).Lower(d.env)
	if flowehr.HasErrors(problems) {
		return flowehr.Plan{}, flowehr.DiagnosticsError{Diagnostics: problems}
	}
	if len(problems) > 0 && !a.json() {
		a.showDiagnostics(problems)
	}
	return plan.Make(d.env, want, have, plan.Options{Layers: layers, Replace: local.Replace, At: a.now()})
}

func (d *definition) state() *state.Store {
	return state.New(d.paths.State, plan.EnvironmentName(d.env), flowehr.TargetLocal)
}

// savePlan keeps p where deploy --plan ID finds it, and in file when one is named.
func savePlan(d *definition, p flowehr.Plan, file string) error {
	b, err := plan.Encode(p)
	if err != nil {
		return err
	}
	kept := planPath(d, p.ID)
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	if err := durable.Replace(kept, b); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	return durable.Replace(file, b)
}

func planPath(d *definition, id string) string {
	return filepath.Join(d.paths.Data, "plans", id+".json")
}
