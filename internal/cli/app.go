// Package cli is the command line: one file for each command, which reads flags, calls the packages that do the work and
// shows what they return. session.go reads the definition, explain.go says what to do about errors that any command may
// meet, and veil.go keeps the values of secrets out of what is written.
//
// The package decides nothing that another way in (the portal, a test) would have to decide again. Rules that hold here:
// stdout is the answer and nothing else, stderr is progress and problems; only this package reads environment variables;
// every command says what to do next; the exit codes of exit.go are a contract.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
)

// app is what every command is given: where to write, what time it is, and how the process was called.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	getenv      func(string) (string, bool)
	now         flowehr.Clock
	version     string
	veil        *veil // over out and errOut

	dir         string // --dir
	environment string // --env
	simulate    bool   // --simulate: a simulation of Azure in the place of Azure
	target      string // --target: local or azure; empty means the definition's
	output      string // --output: text or json
	noColor     bool
}

// Main runs the program with its arguments (without the program's name) and returns the exit code. An interrupt ends the
// context of the command once; a second one ends the process, as a user who presses Ctrl-C twice expects.
func Main(args []string, version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	hidden := &veil{}
	out, errOut := hidden.Over(os.Stdout), hidden.Over(os.Stderr)
	defer errOut.Close()
	defer out.Close()
	a := &app{in: os.Stdin, out: out, errOut: errOut, getenv: os.LookupEnv, now: time.Now, version: version, veil: hidden}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, errInterrupted) {
		err = errInterrupted
	}
	return a.report(explain(err))
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "flowehr",
		Short: "A platform to develop and deploy digital healthcare research",
		Long: `FlowEHR turns a few YAML files into a running data platform: vault, identities and audit; data lake, pipelines and
feature store; a portal to see it all. On one machine with "flowehr up", in Azure with "flowehr deploy".

Begin with:  flowehr init my-hospital && cd my-hospital && flowehr up

` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.dir, "dir", "C", ".", "folder of the definition (holds config.yaml)")
	flags.StringVarP(&a.environment, "env", "e", "", "environment: reads config.{ENV}.yaml (default $ENVIRONMENT, else local)")
	flags.StringVar(&a.target, "target", "", "work on this machine (local) or in Azure (azure), whatever the definition says")
	flags.BoolVar(&a.simulate, "simulate", false, "work on a simulation of Azure on this machine, not on Azure")
	flags.StringVarP(&a.output, "output", "o", "text", "how to answer: text or json")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours (also: NO_COLOR)")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "text" && a.output != "json" {
			return usageError{fmt.Errorf("--output %q is neither text nor json", a.output)}
		}
		if a.target != "" && a.target != string(flowehr.TargetLocal) && a.target != string(flowehr.TargetAzure) {
			return usageError{fmt.Errorf("--target %q is neither local nor azure", a.target)}
		}
		return nil
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return hint(usageError{err}, "See what it takes with: %s --help", c.CommandPath())
	})
	for _, group := range a.groups() {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	onlyCommands(root)
	root.SetHelpCommandGroupID("help")
	root.SetCompletionCommandGroupID("help")
	root.CompletionOptions.HiddenDefaultCmd = false
	return root
}

type commandGroup struct {
	id, title string
	commands  []*cobra.Command
}

// groups lists every command, in the order of the help.
func (a *app) groups() []commandGroup {
	return []commandGroup{
		{"run", "Run an environment:", []*cobra.Command{
			a.newInitCommand(), a.newUpCommand(), a.newDownCommand(), a.newStatusCommand(), a.newOutputsCommand(), a.newPortalCommand(),
		}},
		{"change", "Change it:", []*cobra.Command{
			a.newPlanCommand(), a.newDeployCommand(), a.newDestroyCommand(), a.newTestCommand(), a.newStateCommand(), a.newConfigCommand(), a.newSecretsCommand(),
			a.newAuthCommand(), a.newBootstrapCommand(), a.newCICommand(),
		}},
		{"data", "Work with data:", []*cobra.Command{
			a.newPipelinesCommand(), a.newTriggersCommand(), a.newAppsCommand(), a.newSourcesCommand(), a.newLakeCommand(), a.newStoreCommand(), a.newSynthCommand(),
		}},
		{"help", "Look after it:", []*cobra.Command{
			a.newAuditCommand(), a.newComplianceCommand(), a.newDoctorCommand(), a.newSimulatorCommand(), a.newCleanCommand(), a.newVersionCommand(),
		}},
	}
}

// env returns a variable of the process's environment, empty when it is not set.
func (a *app) env(name string) string {
	v, _ := a.getenv(name)
	return v
}

// json reports whether the answer is to be JSON.
func (a *app) json() bool { return a.output == "json" }

// who names the person at the keyboard for the audit log: the account and the machine.
func (a *app) who() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if sudo := a.env("SUDO_USER"); sudo != "" && sudo != name {
		name = sudo + " as " + name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return name + "@" + host
}

// next ends an answer with a command to copy.
func (a *app) next(format string, args ...any) {
	if !a.json() {
		fmt.Fprintf(a.errOut, format+"\n", args...)
	}
}

// noArgs refuses arguments, with the usage exit code.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), strings.Join(args, " "))}
	}
	return nil
}

// onlyCommands makes a command that only holds others show its help, and refuse a word that names none of them.
func onlyCommands(c *cobra.Command) {
	for _, below := range c.Commands() {
		onlyCommands(below)
	}
	if !c.HasSubCommands() || c.Runnable() {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		c.SuggestionsMinimumDistance = 2
		err := usageError{fmt.Errorf("%s has no command %q", c.CommandPath(), args[0])}
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return hint(err, "Did you mean: %s %s", c.CommandPath(), near[0])
		}
		return hint(err, "See what there is with: %s --help", c.CommandPath())
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

// mostArgs wants at most n arguments, called what the help calls them.
func mostArgs(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return hint(usageError{fmt.Errorf("%s takes %s and no more, got %q", cmd.CommandPath(), names, strings.Join(args, " "))},
				"See what it takes with: %s --help", cmd.CommandPath())
		}
		return nil
	}
}

// exactArgs wants one argument for each name.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return hint(usageError{fmt.Errorf("%s wants %s, got %s", cmd.CommandPath(), strings.Join(names, " "), gotArgs(args))},
				"See what it takes with: %s --help", cmd.CommandPath())
		}
		return nil
	}
}

func gotArgs(args []string) string {
	if len(args) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%q", strings.Join(args, " "))
}
