package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/config"
)

func (a *app) newConfigCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show, check and explain the definition"}
	var origin bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the merged definition, secrets masked",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.load(c.Context(), loadOptions{unnamed: true})
			if err != nil {
				return err
			}
			if err := d.document.Show(a.out, config.ShowOptions{Origin: origin, JSON: a.json()}); err != nil {
				return err
			}
			if flowehr.HasErrors(d.problems) {
				a.next("It has errors. See them with: flowehr config validate")
			}
			return nil
		},
	}
	show.Flags().BoolVar(&origin, "origin", false, "name the file and line of each value")
	validate := &cobra.Command{
		Use:   "validate",
		Short: "Check the definition and its pipelines; nothing is run",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.load(c.Context(), loadOptions{})
			if err != nil {
				return err
			}
			if a.json() {
				a.showDiagnostics(d.problems)
				return nil
			}
			fmt.Fprintf(a.out, "%s %s is sound: %d sources, %d zones, %d pipelines, %d apps.\n", a.style(a.out).Done(), d.env.Suffix,
				len(d.env.Sources), len(d.env.Lake.Zones), len(d.env.Pipelines), len(d.env.Apps))
			a.next("See what it would do with: flowehr plan")
			return nil
		},
	}
	schema := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the definition, for editors",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(config.Schema())
			return err
		},
	}
	c.AddCommand(show, validate, schema)
	return c
}
