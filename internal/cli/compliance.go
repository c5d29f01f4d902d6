package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/compliance"
	"github.com/flowehr/flowehr/internal/durable"
	"github.com/flowehr/flowehr/internal/target/local"
)

type complianceOptions struct {
	format     string
	file       string
	benchmarks []string
	problems   bool
	offline    bool
	check      bool
}

func (a *app) newComplianceCommand() *cobra.Command {
	var o complianceOptions
	c := &cobra.Command{
		Use:   "compliance",
		Short: "Report control by control: CIS Azure Foundations, SATRE",
		Long: `Judges the definition and, in Azure, what stands, against the CIS Microsoft Azure Foundations Benchmark (by version) and the
statements of SATRE that software can meet. Every control says met, not met, cannot tell or not applicable, with the
evidence. It is no accreditation.`,
		Example: "  flowehr compliance --problems\n  flowehr compliance --format html --file report.html\n  flowehr compliance --benchmark v3.0.0 --check",
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.runCompliance(c.Context(), o) },
	}
	c.Flags().StringVar(&o.format, "format", "md", "md, html or json")
	c.Flags().StringVar(&o.file, "file", "", "write it to this file")
	c.Flags().StringSliceVar(&o.benchmarks, "benchmark", nil, "versions of the CIS benchmark (default: all of "+strings.Join(compliance.Benchmarks(), ", ")+")")
	c.Flags().BoolVar(&o.problems, "problems", false, "only what is not met, or where definition and deployment differ")
	c.Flags().BoolVar(&o.offline, "offline", false, "judge the definition alone, ask Azure nothing")
	c.Flags().BoolVar(&o.check, "check", false, "end with code 1 when a control is not met")
	return c
}

func (a *app) runCompliance(ctx context.Context, o complianceOptions) error {
	if a.json() {
		o.format = "json"
	}
	if !slices.Contains([]string{"md", "html", "json"}, o.format) {
		return usageError{fmt.Errorf("--format %q is none of md, html and json", o.format)}
	}
	d, err := a.load(ctx, loadOptions{changes: false, lenient: false})
	if err != nil {
		return err
	}
	in := compliance.Input{Environment: d.env, Benchmarks: o.benchmarks, At: a.now(), Product: a.version}
	if d.env.Target == flowehr.TargetAzure {
		err = a.azureEvidence(ctx, d, &in, o.offline)
	} else {
		in.Resources, _ = (*local.Target)(nil).Lower(d.env)
	}
	if err != nil {
		return err
	}
	report, err := compliance.Evaluate(in)
	if err != nil {
		return err
	}
	shown := report
	if o.problems {
		shown = report.Problems()
	}
	if err := a.writeReport(shown, o); err != nil {
		return err
	}
	for _, s := range report.Sections {
		a.next("%s %s: %d met, %d not met, %d cannot be told, %d not applicable", s.Standard, s.Version,
			s.Counts[compliance.Met], s.Counts[compliance.NotMet], s.Counts[compliance.CannotTell], s.Counts[compliance.NotApplicable])
		if o.check && s.Counts[compliance.NotMet] > 0 {
			err = errShown
		}
	}
	return err
}

func (a *app) writeReport(r compliance.Report, o complianceOptions) error {
	var b bytes.Buffer
	var err error
	switch o.format {
	case "html":
		err = r.HTML(&b)
	case "json":
		var text []byte
		text, err = r.JSON()
		b.Write(text)
	default:
		err = r.Markdown(&b)
	}
	if err != nil {
		return err
	}
	if o.file == "" {
		_, err = io.Copy(a.out, &b)
		return err
	}
	if err := durable.Replace(o.file, b.Bytes()); err != nil {
		return err
	}
	a.next("The report is in %s.", o.file)
	return nil
}

// azureEvidence fills in what the definition becomes in Azure and, unless offline, what stands there.
func (a *app) azureEvidence(ctx context.Context, d *definition, in *compliance.Input, offline bool) error {
	if offline {
		// Who deploys and from where changes nothing that is judged; nobody is signed in, so they are made up.
		in.Resources, _ = estate.Lower(d.env, azure.Facts{Subscription: noID, Tenant: noID, Deployer: azure.Deployer{ObjectID: noID, Kind: "User"}, AddressSpace: d.env.Network.AddressSpace})
		return nil
	}
	return a.withAzure(ctx, d, siteOptions{}, func(s *azureSite) error {
		want, err := s.lower()
		if err != nil {
			return err
		}
		in.Resources = want
		if len(s.state.Records) == 0 {
			return nil
		}
		in.State, in.Simulation = &s.state, s.sim != nil
		in.Live, err = s.live(ctx)
		return err
	})
}

// noID stands for whoever deploys where nobody does.
const noID = "00000000-0000-0000-0000-000000000000"

// live asks Azure for the bodies that are judged. What may not be read is left out, which the report says.
func (s *azureSite) live(ctx context.Context) (map[string]json.RawMessage, error) {
	var applied []flowehr.Resource
	for _, ref := range sortedRefs(s.state.Records) {
		applied = append(applied, s.state.Records[ref].Resource)
	}
	wanted, err := compliance.Wanted(applied)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	out := map[string]json.RawMessage{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(azureParallel)
	for _, w := range wanted {
		g.Go(func() error {
			res, err := s.client.Do(ctx, cloud.ARM(), cloud.Request{Method: "GET", Path: cloud.At(w.ID, w.APIVersion)})
			body := json.RawMessage(res.Body)
			switch {
			case cloud.NotFound(err):
				body = json.RawMessage("null")
			case err != nil && ctx.Err() != nil:
				return err
			case err != nil:
				return nil // the report says that it could not be read
			}
			mu.Lock()
			defer mu.Unlock()
			out[w.ID] = body
			return nil
		})
	}
	return out, g.Wait()
}
