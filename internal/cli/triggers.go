package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/render"
)

func (a *app) newTriggersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "triggers",
		Short: "Start and stop the schedules of pipelines",
		Long: `Triggers start pipelines by time. With real data they run as their definitions say; elsewhere they are stopped until
somebody starts them.`,
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List triggers and when they start their pipelines next",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureTriggers(c.Context(), w) }); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error {
				triggers, err := s.Triggers(c.Context())
				if err != nil {
					return err
				}
				if a.json() {
					return a.writeJSON(triggers)
				}
				t := a.table("Trigger", "Pipeline", "Type", "State", "Next")
				for _, x := range triggers {
					state, next := "stopped", ""
					if x.Started {
						state = "started"
						if x.Next != nil {
							next = render.Stamp(*x.Next, a.now())
						}
					}
					t.Row(x.Name, x.Pipeline, x.Type, state, next)
				}
				return t.Write(a.out)
			})
		},
	}
	c.AddCommand(list, a.newTriggerSwitch("start", "Let a trigger start its pipeline by time", true), a.newTriggerSwitch("stop", "Stop a trigger; runs that have begun go on", false),
		a.newTriggerBackfillCommand())
	return c
}

func (a *app) newTriggerBackfillCommand() *cobra.Command {
	var from, until string
	all := false
	c := &cobra.Command{
		Use:     "backfill NAME",
		Short:   "Do windows of a tumbling trigger again, in Azure",
		Long:    `Does the windows between two times again that did not succeed; with --all also those that did. A trigger that is started makes up by itself for windows that it never ran.`,
		Example: "  flowehr triggers backfill TumblingWindowTriggerward-census --from 2026-11-01 --until 2026-11-08",
		Args:    exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			begin, err := parseMoment("--from", from)
			if err != nil {
				return err
			}
			end, err := parseMoment("--until", until)
			if err != nil {
				return err
			}
			there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureBackfill(c.Context(), w, args[0], begin, end, all) })
			if there || err != nil {
				return err
			}
			return hint(errors.New("this machine runs schedule triggers, which have no windows to fill"), "Nothing was started. Run the pipeline for a time with: flowehr pipelines run NAME --param ...")
		},
	}
	c.Flags().StringVar(&from, "from", "", "first moment, as 2026-11-01 or 2026-11-01T06:00:00Z")
	c.Flags().StringVar(&until, "until", "", "end, not included")
	c.Flags().BoolVar(&all, "all", false, "windows that succeeded, too")
	return c
}

// parseMoment reads a date or a time.
func parseMoment(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, hint(usageError{fmt.Errorf("%s %q is no time", flag, text)}, "Write a date, 2026-11-01, or a time with its zone, 2026-11-01T06:00:00Z.")
}

func (a *app) newTriggerSwitch(use, what string, on bool) *cobra.Command {
	return &cobra.Command{
		Use:   use + " NAME",
		Short: what,
		Args:  exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if there, err := a.inAzure(c.Context(), func(w *azureWork) error { return a.azureSwitch(c.Context(), w, args[0], on) }); there || err != nil {
				return err
			}
			return a.withStore(c.Context(), func(s *engine.Store) error {
				err := s.SetTrigger(c.Context(), args[0], on, a.who())
				if errors.Is(err, engine.ErrNotFound) {
					return hint(fmt.Errorf("there is no trigger %q", args[0]), "See them with: flowehr triggers list")
				}
				if err != nil {
					return err
				}
				word := "stopped"
				if on {
					word = "started"
				}
				fmt.Fprintf(a.errOut, "%s %s is %s.\n", a.style(a.errOut).Done(), args[0], word)
				return nil
			})
		},
	}
}
