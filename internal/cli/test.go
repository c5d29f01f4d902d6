package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
)

func (a *app) newTestCommand() *cobra.Command {
	keep := false
	c := &cobra.Command{
		Use:   "test [LAYER]",
		Short: "Deploy to Azure, run every pipeline, and destroy it again",
		Long: `Proves a definition: deploys it, runs every pipeline that needs no parameter, and destroys what was made, also when something
failed. It asks nothing, so it is refused with real data. What it leaves on purpose with --keep costs money until it is
destroyed.`,
		Args: mostArgs(1, "one layer"),
		RunE: func(c *cobra.Command, args []string) error {
			layers, err := parseLayers(args)
			if err != nil {
				return err
			}
			return a.runTest(c.Context(), layers, keep)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "let it stand afterwards")
	return c
}

func (a *app) runTest(ctx context.Context, layers []flowehr.Layer, keep bool) error {
	d, err := a.load(ctx, loadOptions{changes: true})
	if err != nil {
		return err
	}
	switch {
	case d.env.Target != flowehr.TargetAzure:
		return hint(errors.New("test is for environments in Azure"), "On this machine: flowehr up -d && flowehr pipelines test")
	case d.env.RealData:
		return hint(fmt.Errorf("%s has real data, and test destroys what it deployed", d.env.Suffix), "Nothing was changed. Test a definition without real data.")
	}
	err = a.azureDeploy(ctx, d, layers, deployOptions{yes: true, purge: true})
	if err == nil {
		_, err = a.inAzure(ctx, func(w *azureWork) error { return a.azureTest(ctx, w) })
	}
	if keep {
		a.next("It still stands. Take it away with: flowehr destroy%s", a.simulateFlag())
		return err
	}
	if ctx.Err() != nil {
		a.next("Stopped before it was destroyed. Take it away with: flowehr destroy%s", a.simulateFlag())
		return err
	}
	return errors.Join(err, a.azureDestroy(ctx, d, nil, destroyOptions{yes: true}))
}
