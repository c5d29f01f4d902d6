package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

func (a *app) newStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what stands, whether it is healthy, and what runs",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runStatus(c.Context()) },
	}
}

// statusJSON is what "status --output json" writes.
type statusJSON struct {
	Environment string              `json:"environment"`
	Target      flowehr.TargetName  `json:"target"`
	RealData    bool                `json:"realData"`
	Running     bool                `json:"running"`
	Ready       bool                `json:"ready"`
	Portal      string              `json:"portal,omitempty"`
	Since       string              `json:"since,omitempty"`
	Revision    flowehr.Revision    `json:"revision"`
	Resources   map[string]int      `json:"resources"` // by layer
	Services    []local.ServiceInfo `json:"services,omitempty"`
	Runs        []runJSON           `json:"runs,omitempty"` // the last of each pipeline
}

func (a *app) runStatus(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	if d.env.Target == flowehr.TargetAzure {
		return a.azureStatus(ctx, d)
	}
	r, on, err := local.FindRunning(d.paths)
	if err != nil {
		return err
	}
	have, err := d.state().Load(ctx)
	if err != nil {
		return err
	}
	s := statusJSON{Environment: d.env.Suffix, Target: flowehr.TargetLocal, RealData: d.env.RealData, Running: on, Ready: r.Ready, Portal: r.Portal,
		Since: isoTime(r.Since), Revision: have.Revision, Resources: map[string]int{}, Services: r.Services}
	for _, rec := range have.Records {
		s.Resources[string(rec.Resource.Layer)]++
	}
	if on && r.Ready {
		if s.Runs, err = a.lastRuns(ctx, d); err != nil {
			return err
		}
	}
	if a.json() {
		return a.writeJSON(s)
	}
	return a.showStatus(d, s, r)
}

// lastRuns returns the last run of each pipeline that has one.
func (a *app) lastRuns(ctx context.Context, d *definition) ([]runJSON, error) {
	h, err := a.openHost(ctx, d)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	store, err := h.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	pipelines, err := store.Pipelines(ctx)
	var out []runJSON
	for _, p := range pipelines {
		if p.LastRun != nil {
			out = append(out, newRunJSON(*p.LastRun))
		}
	}
	return out, err
}

func (a *app) showStatus(d *definition, s statusJSON, r local.Running) error {
	style := a.style(a.out)
	note := "not running"
	if s.Running {
		note = "running since " + render.Stamp(r.Since, a.now())
	}
	fmt.Fprintln(a.out, render.Header(style, []string{s.Environment, "local", tier(d.env)}, s.RealData, note))
	var layers []string
	for _, l := range flowehr.Layers() {
		if n := s.Resources[string(l)]; n > 0 {
			layers = append(layers, fmt.Sprintf("%s %d", l, n))
		}
	}
	if len(layers) == 0 {
		fmt.Fprintln(a.out, "\nNothing is deployed yet.")
	} else {
		fmt.Fprintf(a.out, "\nResources: %s (state r%d)\n", strings.Join(layers, ", "), s.Revision)
	}
	if len(s.Services) > 0 {
		fmt.Fprintln(a.out)
		t := a.table("Service", "State", ">Restarts", "Last error")
		for _, x := range s.Services {
			t.Row(x.Name, string(x.Phase), fmt.Sprint(x.Restarts), x.LastError)
		}
		if err := t.Write(a.out); err != nil {
			return err
		}
	}
	if len(s.Runs) > 0 {
		fmt.Fprintln(a.out)
		t := a.table("Pipeline", "Last run", "Outcome", "When", ">Took")
		for _, x := range s.Runs {
			t.Row(x.Pipeline, short(x.ID), x.Status, x.When, x.Took)
		}
		if err := t.Write(a.out); err != nil {
			return err
		}
	}
	if s.Portal != "" {
		fmt.Fprintf(a.out, "\nPortal: %s\n", s.Portal)
	}
	if !s.Running {
		a.next("Start it with: flowehr up")
	}
	return nil
}

func (a *app) newOutputsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "outputs [KIND/NAME]",
		Short:   "Print names and addresses of what was deployed, for scripts",
		Example: "  flowehr outputs\n  flowehr outputs feature-store/main --output json",
		Args:    mostArgs(1, "one KIND/NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withLedger(c.Context(), func(l *ledger) error { return a.showOutputs(c.Context(), l, args) })
		},
	}
}

// unlimited is a width that nothing is cut at.
const unlimited = 1 << 20

func (a *app) showOutputs(ctx context.Context, l *ledger, args []string) error {
	have, err := l.Load(ctx)
	if err != nil {
		return err
	}
	out := map[string]map[string]string{}
	var refs []string
	for ref, rec := range have.Records {
		if len(rec.Outputs) > 0 && (len(args) == 0 || args[0] == ref.String()) {
			out[ref.String()] = rec.Outputs
			refs = append(refs, ref.String())
		}
	}
	if len(args) == 1 && len(refs) == 0 {
		return hint(fmt.Errorf("%s has no outputs", args[0]), "See all with: flowehr outputs")
	}
	if a.json() {
		return a.writeJSON(out)
	}
	if len(refs) == 0 {
		fmt.Fprintln(a.out, "Nothing is deployed yet.")
		a.next("Deploy it with: flowehr up (on this machine) or flowehr deploy (in Azure)")
		return nil
	}
	slices.Sort(refs)
	t := a.table("Resource", "Output", "Value")
	if !terminal(a.out) {
		t.style.Width = unlimited // a script needs the whole of it
	}
	for _, ref := range refs {
		var names []string
		for name := range out[ref] {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			t.Row(ref, name, out[ref][name])
		}
	}
	return t.Write(a.out)
}

func (a *app) newPortalCommand() *cobra.Command {
	c := &cobra.Command{Use: "portal", Short: "Sign in to the portal"}
	c.AddCommand(&cobra.Command{
		Use:   "link",
		Short: "Print a link that signs you in once, within 15 minutes",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, h, err := a.running(c.Context())
			if err != nil {
				return err
			}
			defer h.Close()
			r, on, err := local.FindRunning(d.paths)
			if err != nil {
				return err
			}
			if !on || !r.Ready {
				return hint(fmt.Errorf("the portal of %s does not run", d.env.Suffix), "Start it with: flowehr up -d")
			}
			link, err := h.SignInLink(c.Context(), r.Portal)
			if err != nil {
				return err
			}
			if a.json() {
				return a.writeJSON(struct {
					URL string `json:"url"`
				}{link})
			}
			fmt.Fprintln(a.out, link)
			return nil
		},
	})
	return c
}

// runJSON is a run in answers of the command line.
type runJSON struct {
	ID       string  `json:"id"`
	Pipeline string  `json:"pipeline"`
	Version  int     `json:"version"`
	Status   string  `json:"status"`
	By       string  `json:"by"`
	Started  string  `json:"started,omitempty"`
	Ended    string  `json:"ended,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	Why      string  `json:"why,omitempty"`
	Message  string  `json:"message,omitempty"`
	When     string  `json:"-"`
	Took     string  `json:"-"`
}

func newRunJSON(r engine.RunInfo) runJSON {
	j := runJSON{ID: r.ID, Pipeline: r.Pipeline, Version: r.Version, Status: r.Status, By: r.By, Why: r.Why, Message: r.Message,
		When: render.Stamp(r.Queued, time.Now())}
	if r.Started != nil {
		j.Started = isoTime(*r.Started)
		if r.Ended != nil {
			j.Ended = isoTime(*r.Ended)
			j.Seconds = r.Ended.Sub(*r.Started).Seconds()
			j.Took = duration(r.Ended.Sub(*r.Started))
		}
	}
	return j
}

// short is the beginning of an identifier, enough to name it again.
func short(id string) string { return id[:min(len(id), 8)] }
