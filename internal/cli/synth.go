package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/synth"
	"github.com/flowehr/flowehr/internal/target/local"
)

type synthOptions struct {
	patients int
	seed     uint64
	asOf     string
	csv      string
	fhir     string
	postgres string
}

func (a *app) newSynthCommand() *cobra.Command {
	var o synthOptions
	c := &cobra.Command{
		Use:   "synth",
		Short: "Make up a hospital: patients who do not exist, for tests and demonstrations",
		Long: `Writes made-up patients with their encounters, conditions, observations, medicines and procedures. The same seed gives
the same patients every time. No identifier in the data could belong to anybody.

The PostgreSQL database must exist and must not hold tables of the same names; its password comes from PGPASSWORD.`,
		Example: "  flowehr synth --patients 10000 --fhir data/fhir\n  flowehr synth --patients 1000 --csv data/csv --seed 7\n  flowehr synth --postgres postgres://me@localhost/hospital",
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runSynth(c.Context(), o) },
	}
	f := c.Flags()
	f.IntVar(&o.patients, "patients", 1000, "how many")
	f.Uint64Var(&o.seed, "seed", 42, "which ones")
	f.StringVar(&o.asOf, "as-of", "2026-01-01", "the day the data ends")
	f.StringVar(&o.csv, "csv", "", "write CSV files, one for each table, into this folder")
	f.StringVar(&o.fhir, "fhir", "", "write FHIR R4 NDJSON, one file for each resource type, into this folder")
	f.StringVar(&o.postgres, "postgres", "", "fill this PostgreSQL database (URL or key=value)")
	return c
}

func (a *app) runSynth(ctx context.Context, o synthOptions) error {
	if o.csv == "" && o.fhir == "" && o.postgres == "" {
		return usageError{errors.New("say where to write: --csv DIR, --fhir DIR or --postgres DSN")}
	}
	asOf, err := time.Parse(time.DateOnly, o.asOf)
	if err != nil {
		return usageError{fmt.Errorf("--as-of %q is not a day such as 2026-01-01", o.asOf)}
	}
	h, err := synth.New(synth.Options{Patients: o.patients, Seed: o.seed, AsOf: asOf})
	if err != nil {
		return usageError{err}
	}
	began := a.now()
	for _, out := range []struct {
		to    string
		write func(context.Context, string) error
	}{
		{o.csv, h.WriteCSV},
		{o.fhir, h.WriteFHIR},
		{o.postgres, func(ctx context.Context, dsn string) error { return local.FillDatabase(ctx, dsn, h) }},
	} {
		if out.to == "" {
			continue
		}
		if err := out.write(ctx, out.to); err != nil {
			return err
		}
	}
	if a.json() {
		return a.writeJSON(struct {
			Patients int    `json:"patients"`
			Seed     uint64 `json:"seed"`
			CSV      string `json:"csv,omitempty"`
			FHIR     string `json:"fhir,omitempty"`
		}{o.patients, o.seed, o.csv, o.fhir})
	}
	fmt.Fprintf(a.out, "Made up %s patients (seed %d) in %s.\n", count(int64(o.patients)), o.seed, duration(a.now().Sub(began)))
	return nil
}
