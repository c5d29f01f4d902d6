package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

func (a *app) newPipelinesCommand() *cobra.Command {
	c := &cobra.Command{Use: "pipelines", Short: "Run pipelines and look at their runs"}
	c.AddCommand(a.newPipelinesListCommand(), a.newPipelinesRunCommand(), a.newPipelinesRunsCommand(), a.newPipelinesShowCommand(),
		a.newPipelinesLogsCommand(), a.newPipelinesCancelCommand(), a.newPipelinesResumeCommand(), a.newPipelinesTestCommand())
	return c
}

// withStore calls f with the pipelines of the running environment.
func (a *app) withStore(ctx context.Context, f func(*engine.Store) error) error {
	return a.withRunning(ctx, func(_ *definition, _ *local.Host, s *engine.Store) error { return f(s) })
}

// withRunning calls f with the definition and the running environment, too.
func (a *app) withRunning(ctx context.Context, f func(*definition, *local.Host, *engine.Store) error) error {
	d, h, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	store, err := h.Pipelines(ctx)
	if err != nil {
		return err
	}
	return f(d, h, store)
}

func (a *app) newPipelinesListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List pipelines with their last run and next start",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azurePipelines(c.Context(), w) }); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error {
				list, err := s.Pipelines(c.Context())
				if err != nil {
					return err
				}
				if a.json() {
					return a.writeJSON(list)
				}
				t := a.table("Pipeline", "Project", ">Version", "Last run", "When", "Next start")
				for _, p := range list {
					last, when, next := "never ran", "", ""
					if p.LastRun != nil {
						last, when = p.LastRun.Status, render.Stamp(p.LastRun.Queued, a.now())
					}
					if p.NextFire != nil {
						next = render.Stamp(*p.NextFire, a.now())
					}
					t.Row(p.Name, p.Project, fmt.Sprintf("v%d", p.Version), last, when, next)
				}
				return t.Write(a.out)
			})
		},
	}
}

func (a *app) newPipelinesRunCommand() *cobra.Command {
	var params []string
	wait := false
	c := &cobra.Command{
		Use:     "run NAME",
		Short:   "Start a run",
		Example: "  flowehr pipelines run gold-features --wait\n  flowehr pipelines run copy-table --param table=ward --param 'columns=[\"id\"]'",
		Args:    exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			values, err := parseParameters(params)
			if err != nil {
				return err
			}
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureRun(c.Context(), w, args[0], values, wait) }); there || err != nil {
				return err
			}
			return a.withRunning(c.Context(), func(d *definition, h *local.Host, s *engine.Store) error {
				if err := a.compareRegistered(c.Context(), d, s, args[0]); err != nil {
					return err
				}
				id, err := s.Start(c.Context(), engine.StartRequest{Pipeline: args[0], Parameters: values, By: a.who()})
				if err != nil {
					return hint(err, "Nothing was started. See the pipelines with: flowehr pipelines list")
				}
				if wait {
					return a.followRun(c.Context(), h, s, id)
				}
				return a.showStarted(id)
			})
		},
	}
	c.Flags().StringArrayVarP(&params, "param", "p", nil, "a parameter as NAME=VALUE; a value that is JSON is taken as such")
	c.Flags().BoolVarP(&wait, "wait", "w", false, "follow the run; the exit code says how it ended")
	return c
}

// compareRegistered refuses a pipeline that is not registered, and tells when the registered one is not as its files
// are now: what runs is what was deployed.
func (a *app) compareRegistered(ctx context.Context, d *definition, s *engine.Store, name string) error {
	registered, err := s.Pipelines(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(registered, func(p engine.PipelineInfo) bool { return p.Name == name }) {
		if slices.ContainsFunc(d.env.Pipelines, func(p flowehr.Pipeline) bool { return p.Name == name }) {
			return hint(fmt.Errorf("pipeline %s is in the definition and not yet deployed", name), "Deploy it with: flowehr deploy   and run it again")
		}
		return hint(fmt.Errorf("there is no pipeline %q here", name), "See them with: flowehr pipelines list")
	}
	p, err := a.makePlan(ctx, d, []flowehr.Layer{flowehr.LayerTransform}, false)
	if err != nil {
		return err
	}
	for _, step := range p.Steps {
		if step.Want.Ref.Kind == "pipeline" && step.Want.Ref.Name == name && step.Action != flowehr.Keep {
			a.next("The files of %s have changed since it was deployed; what was deployed is run. Deploy the change with: flowehr deploy", name)
		}
	}
	return nil
}

// parseParameters reads NAME=VALUE pairs. A value that is JSON other than text keeps its type; everything else is text.
func parseParameters(pairs []string) (*expr.Object, error) {
	o := expr.NewObject()
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--param %q is not NAME=VALUE", pair)}
		}
		if v, err := expr.DecodeJSON([]byte(value)); err == nil {
			o.Set(name, v)
			continue
		}
		o.Set(name, value)
	}
	return o, nil
}

func (a *app) newPipelinesRunsCommand() *cobra.Command {
	var f engine.Filter
	c := &cobra.Command{
		Use:     "runs [NAME]",
		Short:   "List runs, newest first",
		Example: "  flowehr pipelines runs\n  flowehr pipelines runs gold-features --status Failed",
		Args:    mostArgs(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.Pipeline = args[0]
			}
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error {
				return a.azureRuns(c.Context(), w, f.Pipeline, f.Status, f.Limit)
			}); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error {
				runs, err := s.Runs(c.Context(), f)
				if err != nil {
					return err
				}
				list := make([]runJSON, 0, len(runs))
				for _, r := range runs {
					list = append(list, newRunJSON(r))
				}
				return a.listRuns(list)
			})
		},
	}
	c.Flags().IntVarP(&f.Limit, "limit", "n", 20, "how many")
	c.Flags().StringSliceVar(&f.Status, "status", nil, "only these: Queued, InProgress, Succeeded, Failed, Cancelled")
	return c
}

func (a *app) newPipelinesShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run: its activities, what came of them, and why",
		Args:  exactArgs("RUN"),
		RunE: func(c *cobra.Command, args []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureShow(c.Context(), w, args[0]) }); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error { return a.showRun(c.Context(), s, args[0]) })
		},
	}
}

func (a *app) newPipelinesLogsCommand() *cobra.Command {
	follow := false
	c := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print the log of a run",
		Args:  exactArgs("RUN"),
		RunE: func(c *cobra.Command, args []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureLogs(c.Context(), w, args[0], follow) }); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error { return a.printLogs(c.Context(), s, args[0], follow) })
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run ends")
	return c
}

func (a *app) newPipelinesCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "Stop a run and the runs that it started",
		Args:  exactArgs("RUN"),
		RunE: func(c *cobra.Command, args []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureCancel(c.Context(), w, args[0]) }); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error {
				run, err := s.Run(c.Context(), args[0])
				if err != nil {
					return runError(err, args[0])
				}
				if run.Done() {
					return hint(fmt.Errorf("run %s has ended already: %s", short(run.ID), run.Status), "Nothing was changed. See it with: flowehr pipelines show %s", short(run.ID))
				}
				if err := s.Cancel(c.Context(), run.ID, a.who(), true); err != nil {
					return runError(err, args[0])
				}
				fmt.Fprintf(a.errOut, "%s Cancelling %s. What it has published stays.\n", a.style(a.errOut).Done(), args[0])
				return nil
			})
		},
	}
}

func (a *app) newPipelinesResumeCommand() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use:   "resume RUN",
		Short: "Run again from what failed; what succeeded is kept",
		Args:  exactArgs("RUN"),
		RunE: func(c *cobra.Command, args []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureResume(c.Context(), w, args[0], wait) }); there || err != nil {
				return err
			}
			return a.withRunning(c.Context(), func(_ *definition, h *local.Host, s *engine.Store) error {
				run, err := s.Run(c.Context(), args[0])
				if err != nil {
					return runError(err, args[0])
				}
				if run.Status == succeeded {
					return hint(fmt.Errorf("run %s succeeded, there is nothing to resume", short(run.ID)), "Run all of it again with: flowehr pipelines run %s", run.Pipeline)
				}
				id, err := s.Resume(c.Context(), run.ID, a.who())
				if err != nil {
					return runError(err, args[0])
				}
				if wait {
					return a.followRun(c.Context(), h, s, id)
				}
				return a.showStarted(id)
			})
		},
	}
	c.Flags().BoolVarP(&wait, "wait", "w", false, "follow the run; the exit code says how it ended")
	return c
}

func (a *app) newPipelinesTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Run every pipeline once, one after the other; all must succeed",
		Long: `Runs every pipeline that needs no parameter and that no other pipeline of the environment runs. This is the check that a
deployment works. The exit code is 0 when all succeed.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureTest(c.Context(), w) }); there || err != nil {
				return err
			}
			return a.withRunning(c.Context(), func(_ *definition, h *local.Host, s *engine.Store) error {
				return a.testPipelines(c.Context(), h, s)
			})
		},
	}
}

// showStarted answers with the run that was started.
func (a *app) showStarted(id string) error {
	if a.json() {
		return a.writeJSON(struct {
			RunID string `json:"runId"`
		}{id})
	}
	fmt.Fprintln(a.out, id)
	a.next("Follow it with: flowehr pipelines logs %s --follow", short(id))
	return nil
}

// runError says what to do about a run that cannot be found.
func runError(err error, id string) error {
	if errors.Is(err, engine.ErrNotFound) {
		return hint(fmt.Errorf("there is no run %q", id), "See them with: flowehr pipelines runs")
	}
	return err
}
