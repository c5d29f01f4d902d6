package cli

import (
	"errors"
	"fmt"

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
	c.AddCommand(list, a.newTriggerSwitch("start", "Let a trigger start its pipeline by time", true), a.newTriggerSwitch("stop", "Stop a trigger; runs that have begun go on", false))
	return c
}

func (a *app) newTriggerSwitch(use, what string, on bool) *cobra.Command {
	return &cobra.Command{
		Use:   use + " NAME",
		Short: what,
		Args:  exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
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
