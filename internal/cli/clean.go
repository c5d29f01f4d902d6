package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/target/local"
)

func (a *app) newCleanCommand() *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:   "clean",
		Short: "Remove everything that this machine keeps of the environment, with vault and audit log",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runClean(c.Context(), yes) },
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask (refused with real data)")
	return c
}

func (a *app) runClean(ctx context.Context, yes bool) error {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return err
	}
	if r, on, err := local.FindRunning(d.paths); err != nil {
		return err
	} else if on {
		return hint(fmt.Errorf("%s is running (process %d)", d.env.Suffix, r.PID), "Stop it first: flowehr down")
	}
	var there []string
	for _, path := range d.paths.Owned() {
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		}
	}
	if len(there) == 0 {
		fmt.Fprintf(a.errOut, "%s This machine keeps nothing of %s.\n", a.style(a.errOut).Done(), d.env.Suffix)
		return nil
	}
	for _, path := range there {
		fmt.Fprintf(a.errOut, "- %s\n", path)
	}
	if d.env.Local.PostgresDSN != "" {
		fmt.Fprintln(a.errOut, "Databases on the server of local.postgres_dsn stay; remove them before with: flowehr destroy")
	}
	if !yes || d.env.RealData {
		if err := a.confirm("This deletes data, secrets and the audit log for good.", d.env.Suffix, flagUnlessReal(d, "flowehr clean --yes")); err != nil {
			return err
		}
	}
	for _, path := range there {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.errOut, "%s All gone. The definition stays.\n", a.style(a.errOut).Done())
	return nil
}
