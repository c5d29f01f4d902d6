package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

type deployOptions struct {
	planID         string
	yes            bool
	recover, purge bool // what was deleted and holds a name of the environment
}

func (a *app) newDeployCommand() *cobra.Command {
	var o deployOptions
	c := &cobra.Command{
		Use:     "deploy [LAYER]",
		Short:   "Change what stands so that it is as the definition says",
		Example: "  flowehr deploy\n  flowehr deploy apps --yes\n  flowehr deploy --plan 3b70a91d",
		Args:    mostArgs(1, "one layer"),
		Long: `Plans, shows the plan, asks, and applies it with live progress. LAYER as for plan. With --plan ID exactly that plan is
applied, or refused when something changed since it was made. Interrupt it at any time: it says what is half-done, and
the next deploy goes on from there.`,
		RunE: func(c *cobra.Command, args []string) error {
			layers, err := parseLayers(args)
			if err != nil {
				return err
			}
			return a.runDeploy(c.Context(), layers, o)
		},
	}
	c.Flags().StringVar(&o.planID, "plan", "", "apply this plan: an ID that plan printed, or a file")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&o.recover, "recover", false, "in Azure: bring back what was deleted and holds a name that is needed")
	c.Flags().BoolVar(&o.purge, "purge", false, "in Azure: destroy it for good instead")
	c.MarkFlagsMutuallyExclusive("recover", "purge")
	return c
}

func (a *app) runDeploy(ctx context.Context, layers []flowehr.Layer, o deployOptions) error {
	d, err := a.load(ctx, loadOptions{changes: true})
	if err != nil {
		return err
	}
	if d.env.Target == flowehr.TargetAzure {
		return a.azureDeploy(ctx, d, layers, o)
	}
	var p flowehr.Plan
	if o.planID != "" {
		if p, err = loadPlan(d, o.planID); err != nil {
			return err
		}
	} else if p, err = a.makePlan(ctx, d, layers, false); err != nil {
		return err
	}
	if p.Empty() {
		return a.nothingToDo(d, p)
	}
	if !a.json() {
		view := planView(d, p, false, a)
		view.Next = ""
		if err := render.Plan(a.errOut, a.style(a.errOut), view); err != nil {
			return err
		}
	}
	if !o.yes && o.planID == "" {
		if err := a.confirm("Apply this plan?", "yes", "flowehr deploy --yes"); err != nil {
			return err
		}
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.WithServer(ctx, func(ctx context.Context) error { return a.apply(ctx, d, h, p, nil) }); err != nil {
		return err
	}
	return a.tellRunning(d)
}

func (a *app) nothingToDo(d *definition, p flowehr.Plan) error {
	if a.json() {
		return render.JSON(a.out, render.NewPlanJSON(planView(d, p, false, a)))
	}
	fmt.Fprintf(a.out, "%s %s is as its definition says: %s.\n", a.style(a.out).Done(), d.env.Suffix, render.Plural(int64(len(p.Steps)), "resource", "resources"))
	return nil
}

// loadPlan reads a plan by the ID that plan printed, or from a file.
func loadPlan(d *definition, id string) (flowehr.Plan, error) {
	b, err := os.ReadFile(planPath(d, id))
	if errors.Is(err, os.ErrNotExist) {
		b, err = os.ReadFile(id)
	}
	if errors.Is(err, os.ErrNotExist) {
		return flowehr.Plan{}, hint(fmt.Errorf("there is no plan %q, neither by that ID nor as a file", id), "Make one with: flowehr plan")
	}
	if err != nil {
		return flowehr.Plan{}, err
	}
	return plan.Decode(b)
}

// apply carries out p with progress: a live tree on a terminal, lines elsewhere, JSON lines when asked for. sink, when
// given, is told everything instead.
func (a *app) apply(ctx context.Context, d *definition, h *local.Host, p flowehr.Plan, sink flowehr.Sink) error {
	stop := func() {}
	if sink == nil {
		sink, stop = a.progress(ctx, p)
	}
	quiet := context.AfterFunc(ctx, func() {
		a.next("Stopping after the current step. Press Ctrl-C again to end at once; either way the next run goes on from there.")
	})
	defer quiet()
	report, err := apply.Run(ctx, p, h.Target(), d.state(), apply.Options{Owner: a.who(), Sink: sink, Secrets: h.Secret, Retry: local.Retry, Now: a.now})
	stop()
	if err == nil && report.Complete() {
		return nil
	}
	if len(report.Errors) == 0 && !report.Interrupted {
		return err
	}
	if !a.json() {
		if showErr := render.Stopped(a.errOut, a.style(a.errOut), stoppedView(report, goOn(p))); showErr != nil {
			return showErr
		}
	}
	if report.Interrupted {
		return errInterrupted
	}
	return errShown
}

// goOn is the command that carries on with p: a plan that only removes was made by destroy.
func goOn(p flowehr.Plan) string {
	if p.Count(flowehr.Delete) == len(p.Steps) {
		return "flowehr destroy"
	}
	return "flowehr deploy"
}

func stoppedView(r apply.Report, next string) render.StoppedView {
	return render.StoppedView{Done: r.Done, HalfDone: r.HalfDone, Failed: r.Failed, Skipped: r.Skipped, NotStarted: r.NotStarted,
		Interrupted: r.Interrupted, Next: next}
}

// progress returns a sink that shows events, and how to end it.
func (a *app) progress(ctx context.Context, p flowehr.Plan) (flowehr.Sink, func()) {
	return a.progressAt(ctx, p, a.now)
}

// progressAt is progress by another clock.
func (a *app) progressAt(ctx context.Context, p flowehr.Plan, now flowehr.Clock) (flowehr.Sink, func()) {
	switch {
	case a.json():
		return render.Events(a.out), func() {}
	case terminal(a.errOut):
		live := render.NewLive(a.errOut, a.style(a.errOut), p, now)
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); live.Run(ctx) }()
		return live.Sink, func() { cancel(); <-ended; live.Close() }
	}
	return render.Plain(a.errOut, a.style(a.errOut)), func() {}
}

// openHost opens the environment on this machine.
func (a *app) openHost(ctx context.Context, d *definition) (*local.Host, error) {
	return a.openHostLogging(ctx, d, slog.New(slog.DiscardHandler))
}

func (a *app) openHostLogging(ctx context.Context, d *definition, log *slog.Logger) (*local.Host, error) {
	return local.Open(ctx, local.Options{Environment: d.env, Paths: d.paths, Who: a.who(), Lookup: d.lookup, State: d.state().Load, Now: a.now, Logger: log, Version: a.version})
}

// running opens the environment and makes sure that it answers.
func (a *app) running(ctx context.Context) (*definition, *local.Host, error) {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return nil, nil, err
	}
	if flowehr.HasErrors(d.problems) && !a.json() {
		fmt.Fprintln(a.errOut, "The definition has errors; what was deployed before is used. See them with: flowehr config validate")
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	if err := a.awaitServer(ctx, d, h); err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return d, h, nil
}

// patience is how long a command waits for the database server of an environment that runs: it may be restarting.
const patience = 30 * time.Second

// awaitServer returns when the environment's database server answers. One that does not run is told at once.
func (a *app) awaitServer(ctx context.Context, d *definition, h *local.Host) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := h.Ping(ctx)
		if err == nil {
			return nil
		}
		r, on, findErr := local.FindRunning(d.paths)
		if findErr != nil {
			return findErr
		}
		if !on {
			return hint(fmt.Errorf("%s is not running on this machine", d.env.Suffix), "Start it with: flowehr up -d")
		}
		select {
		case <-ctx.Done():
			return hint(fmt.Errorf("%s runs (process %d), but its database server does not answer: %w", d.env.Suffix, r.PID, err), "See how it is: flowehr status   What was logged: %s", logPath(d))
		case <-tick.C:
		}
	}
}
