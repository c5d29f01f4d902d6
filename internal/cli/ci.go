package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/automation/bot"
	"github.com/flowehr/flowehr/internal/automation/hub"
	"github.com/flowehr/flowehr/internal/automation/workflows"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

func (a *app) newCICommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ci",
		Short: "Write the workflows of GitHub, and what they call",
		Long:  `"ci init" is for people. The others are called by the workflows that it writes, see docs/ci.md.`,
	}
	c.AddCommand(a.newCIInitCommand(), a.newCIBotCommand(), a.newCISuffixCommand(), a.newCIReportCommand(), a.newCISweepCommand())
	return c
}

func (a *app) newCIInitCommand() *cobra.Command {
	var o workflows.Options
	var force, template, preview bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Write the workflows and a Makefile for this definition",
		Long: `Writes .github/workflows: deploy on push and by hand, the bot for pull requests, environments of pull requests with a time to
live, drift check, checks. A file that people changed is left alone and shown as a difference; --force overwrites it.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if template {
				files, err := workflows.AppTemplate()
				if err != nil {
					return err
				}
				return a.writeWorkflows(files, force, preview)
			}
			return a.runCIInit(c.Context(), o, force, preview)
		},
	}
	c.Flags().StringSliceVar(&o.Environments, "environment", nil, "environments to deploy, in order (default: those that have a file)")
	c.Flags().StringVar(&o.PullRequest, "pull-request", "", "environment that pull requests take their definition from (default: pr when it has a file)")
	c.Flags().StringVar(&o.Branch, "branch", "main", "the branch that deploys")
	c.Flags().BoolVar(&o.ClientSecret, "client-secret", false, "sign in with ARM_CLIENT_SECRET instead of GitHub's own tokens")
	c.Flags().StringVar(&o.Version, "flowehr-version", "", "release that the workflows install (default: this one)")
	c.Flags().BoolVar(&force, "force", false, "overwrite files that people changed")
	c.Flags().BoolVar(&preview, "preview", false, "only show what would be written")
	c.Flags().BoolVar(&template, "app-template", false, "write the workflows of an app template instead")
	return c
}

// pullRequestEnvironment is the environment of pull requests unless another is named.
const pullRequestEnvironment = "pr"

func (a *app) runCIInit(ctx context.Context, o workflows.Options, force, preview bool) error {
	d, err := a.load(ctx, loadOptions{unnamed: true})
	if err != nil {
		return err
	}
	all := environmentsOf(d)
	if o.PullRequest == "" && slices.Contains(all, pullRequestEnvironment) {
		o.PullRequest = pullRequestEnvironment
	}
	if len(o.Environments) == 0 {
		o.Environments = slices.DeleteFunc(slices.Clone(all), func(e string) bool { return e == o.PullRequest })
	}
	if o.Version == "" {
		o.Version = strings.TrimPrefix(a.version, "v")
	}
	for _, r := range d.document.Secrets() {
		o.Secrets = append(o.Secrets, r.Name)
	}
	o.Apps = d.env.Serve != nil
	files, err := workflows.Render(o)
	if err != nil {
		return hint(usageError{err}, "See the choices with: flowehr ci init --help")
	}
	return a.writeWorkflows(files, force, preview)
}

func (a *app) writeWorkflows(files []workflows.File, force, preview bool) error {
	write := workflows.Write
	if preview {
		write = workflows.Preview
	}
	outcomes, err := write(a.dir, files, force)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(outcomes)
	}
	kept := 0
	for _, o := range outcomes {
		fmt.Fprintf(a.out, "%-10s %s\n", o.State, o.Path)
		if o.State == workflows.Kept {
			kept++
			fmt.Fprintln(a.out, o.Diff)
		}
	}
	if kept > 0 {
		a.next("%d were changed by people and left alone; overwrite them with: flowehr ci init --force", kept)
	}
	a.next("Look at them, commit and push. What they need: flowehr auth, flowehr bootstrap (docs/ci.md)")
	return nil
}

// withHub calls f with the repository that the workflow runs in.
func (a *app) withHub(repository string, f func(*hub.Hub) error) error {
	if repository == "" {
		repository = a.env("GITHUB_REPOSITORY")
	}
	if repository == "" {
		return hint(errors.New("which repository? GITHUB_REPOSITORY is not set"), "This command is called by the workflows that flowehr ci init writes.")
	}
	x := &account{client: cloud.New(cloud.Options{}), now: a.now}
	if file := a.env(simulatorVariable); file != "" {
		sim, err := connectSimulation(file)
		if err != nil {
			return err
		}
		x.sim, x.client = sim, cloud.New(cloud.Options{Transport: sim.remote, Wait: sim.remote.Wait})
	}
	h, err := a.openHub(x, repository)
	if err != nil {
		return err
	}
	return f(h)
}

func (a *app) newCIBotCommand() *cobra.Command {
	event, name := "", ""
	c := &cobra.Command{
		Use: "bot", Short: "Answer an event of a pull request", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			data, err := os.ReadFile(event)
			if err != nil {
				return err
			}
			if name == "" {
				name = a.env("GITHUB_EVENT_NAME")
			}
			p, err := bot.ReadPayload(name, data)
			if err != nil {
				return err
			}
			return a.withHub(p.Repository, func(h *hub.Hub) error {
				decision, err := bot.Answer(c.Context(), h, p)
				if err != nil {
					return err
				}
				return a.writeJSON(decision)
			})
		},
	}
	c.Flags().StringVar(&event, "event", "", "file with the event, $GITHUB_EVENT_PATH")
	c.Flags().StringVar(&name, "event-name", "", "its name (default $GITHUB_EVENT_NAME)")
	_ = c.MarkFlagRequired("event")
	return c
}

func (a *app) newCISuffixCommand() *cobra.Command {
	pull := 0
	c := &cobra.Command{
		Use: "suffix", Short: "Print the naming suffix of a pull request's environment", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			repository := a.env("GITHUB_REPOSITORY")
			if repository == "" || pull <= 0 {
				return usageError{errors.New("set GITHUB_REPOSITORY, and name the pull request with --pull NUMBER")}
			}
			fmt.Fprintln(a.out, bot.Suffix(repository, pull))
			return nil
		},
	}
	c.Flags().IntVar(&pull, "pull", 0, "number of the pull request")
	return c
}

func (a *app) newCIReportCommand() *cobra.Command {
	var o bot.Outcome
	action := ""
	c := &cobra.Command{
		Use: "report", Short: "Say on a pull request how its test ended", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Action = bot.Action(action)
			return a.withHub("", func(h *hub.Hub) error { return bot.Report(c.Context(), h, o) })
		},
	}
	c.Flags().StringVar(&action, "action", "", "what the workflow did")
	c.Flags().IntVar(&o.Pull, "pull", 0, "number of the pull request")
	c.Flags().StringVar(&o.SHA, "sha", "", "commit that was tried out")
	c.Flags().StringVar(&o.Result, "result", "", "success, failure, cancelled or skipped")
	c.Flags().StringVar(&o.RunURL, "run-url", "", "address of the run")
	return c
}

func (a *app) newCISweepCommand() *cobra.Command {
	life, dry := workflows.DefaultLife, false
	c := &cobra.Command{
		Use: "sweep", Short: "Destroy environments of pull requests that have outlived their time", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runSweep(c.Context(), life, dry) },
	}
	c.Flags().DurationVar(&life, "life", life, "how long one may stand after its last deployment")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be destroyed")
	return c
}

func (a *app) runSweep(ctx context.Context, life time.Duration, dry bool) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	x, err := a.openAccount(ctx, d)
	if err != nil {
		return err
	}
	return errors.Join(a.sweep(ctx, x, life, dry), x.close())
}

func (a *app) sweep(ctx context.Context, x *account, life time.Duration, dry bool) error {
	found, err := automation.PullEnvironments(ctx, x.client)
	if err != nil {
		return err
	}
	return a.withHub("", func(h *hub.Hub) error {
		open, last, err := h.Pulls(ctx)
		if err != nil {
			return err
		}
		verdicts := bot.Sweep(found, bot.Season{Repository: h.Repository(), Open: open, Last: last, Now: x.now(), Life: life})
		started := 0
		if !dry {
			if started, err = bot.Clear(ctx, h, verdicts); err != nil {
				return err
			}
		}
		if a.json() {
			return a.writeJSON(verdicts)
		}
		for _, v := range verdicts {
			what := "kept"
			if v.Destroy {
				what = "to destroy"
			}
			fmt.Fprintf(a.out, "%-10s %s: %s\n", what, v.Suffix, v.Why)
		}
		fmt.Fprintf(a.errOut, "%s %d environments of pull requests, %d on their way out.\n", a.style(a.errOut).Done(), len(verdicts), started)
		return nil
	})
}
