package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

type upOptions struct {
	detach bool
	report bool // hidden: we are the detached process and tell our parent on descriptor 3
}

func (a *app) newUpCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the environment on this machine",
		Long: `Starts PostgreSQL, applies what changed in the definition, and runs pipelines and the portal until Ctrl-C; with -d in the
background, until flowehr down. Works for any definition, whatever its target. Nothing listens on the network unless the
definition says so. Killed at any moment, it goes on where it was with the next up.`,
		Example: "  flowehr up\n  flowehr up -d\n  flowehr --env dev up -d",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.detach && !o.report {
				return a.runDetached(c.Context())
			}
			return a.runUp(c.Context(), o.report)
		},
	}
	c.Flags().BoolVarP(&o.detach, "detach", "d", false, "run in the background; returns when everything answers")
	c.Flags().BoolVar(&o.report, "report-to-parent", false, "")
	_ = c.Flags().MarkHidden("report-to-parent")
	return c
}

// reportLine is what the detached process tells its parent, as JSON lines: the plan, then events, then that it is ready.
type reportLine struct {
	Plan  *flowehr.Plan  `json:"plan,omitempty"`
	Event *flowehr.Event `json:"event,omitempty"`
	Ready string         `json:"ready,omitempty"` // address of the portal
}

func (a *app) runUp(ctx context.Context, report bool) error {
	d, err := a.load(ctx, loadOptions{here: true})
	if err != nil {
		return err
	}
	log, closeLog, err := a.openLog(d)
	if err != nil {
		return err
	}
	defer closeLog()
	h, err := a.openHostLogging(ctx, d, log)
	if err != nil {
		return err
	}
	defer h.Close()
	a.adoptChanges(ctx, h, log)
	var tell func(reportLine)
	if report {
		pipe := os.NewFile(3, "parent")
		defer pipe.Close()
		enc := json.NewEncoder(pipe)
		var mu sync.Mutex
		tell = func(l reportLine) {
			mu.Lock()
			defer mu.Unlock()
			_ = enc.Encode(l) // the parent may have gone; the environment runs without it
		}
	}
	trouble := a.showTrouble()
	var began atomic.Bool
	o := local.ServeOptions{
		Setup: func(ctx context.Context) error { return a.applyOnUp(ctx, d, h, tell) },
		Sink: func(e flowehr.Event) {
			began.Store(true)
			if tell != nil {
				tell(reportLine{Event: &e})
			} else {
				trouble(e)
			}
		},
	}
	err = h.Serve(ctx, o, func(portal string) {
		if tell != nil {
			tell(reportLine{Ready: portal})
			return
		}
		a.sayReady(ctx, d, h, portal)
	})
	if err != nil {
		return a.explainUp(d, err, began.Load())
	}
	if err == nil && !report {
		fmt.Fprintf(a.errOut, "%s Stopped. The data stays; go on with: flowehr up\n", a.style(a.errOut).Done())
	}
	return err
}

// explainUp adds to an error that ended up, unless it has been shown or says what to do already.
func (a *app) explainUp(d *definition, err error, began bool) error {
	if errors.Is(err, errShown) || errors.Is(err, context.Canceled) {
		return err
	}
	explained := explain(err)
	if _, ok := errors.AsType[hintError](explained); ok {
		return explained
	}
	if !began {
		return hint(err, "Nothing was started or changed. Look at this machine with: flowehr doctor")
	}
	return hint(err, "Everything was stopped again; the data stays. What was logged: %s", logPath(d))
}

// showTrouble returns what shows a service that fails: once for each reason, because it is tried again and again.
func (a *app) showTrouble() flowehr.Sink {
	var mu sync.Mutex
	shown := map[string]bool{}
	return func(e flowehr.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Err == "" || shown[e.Err] || a.json() {
			return
		}
		shown[e.Err] = true
		fmt.Fprintf(a.errOut, "%s %s: %s\n", a.style(a.errOut).Failed(), e.Ref.Name, e.Err)
		a.next("It is tried again. To stop: Ctrl-C")
	}
}

// applyOnUp brings what stands to what the definition says. It asks nobody: on this machine the definition is the
// person's own, and nothing that holds data is deleted without destroy.
func (a *app) applyOnUp(ctx context.Context, d *definition, h *local.Host, tell func(reportLine)) error {
	p, err := a.makePlan(ctx, d, nil, false)
	if err != nil {
		return err
	}
	if held := heldDeletes(p); len(held) > 0 {
		return hint(fmt.Errorf("the definition no longer has %s, which would delete data", strings.Join(held, ", ")),
			"Look at it with flowehr plan, and agree with: flowehr deploy")
	}
	if p.Empty() {
		return nil
	}
	var sink flowehr.Sink
	if tell != nil {
		tell(reportLine{Plan: &p})
		sink = func(e flowehr.Event) { tell(reportLine{Event: &e}) }
	}
	return a.apply(ctx, d, h, p, sink)
}

// heldDeletes lists what p would delete that holds people's data.
func heldDeletes(p flowehr.Plan) []string {
	var out []string
	for _, s := range p.Steps {
		if s.Action == flowehr.Delete && s.Want.Holds {
			out = append(out, s.Want.Ref.String())
		}
	}
	return out
}

// sayReady says where to look.
func (a *app) sayReady(ctx context.Context, d *definition, h *local.Host, portal string) {
	fmt.Fprintf(a.errOut, "%s\n", render.Header(a.style(a.errOut), []string{d.env.Suffix, "local", tier(d.env)}, d.env.RealData, "running"))
	link, err := h.SignInLink(ctx, portal)
	if err != nil {
		fmt.Fprintf(a.errOut, "%s no sign-in link: %v\n", a.style(a.errOut).Failed(), err)
		link = portal
	}
	fmt.Fprintf(a.errOut, "Portal, sign in once within 15 minutes: %s\n", link)
	a.next("Run a pipeline: flowehr pipelines run NAME --wait%s   Stop: Ctrl-C", d.localFlag())
}

func logPath(d *definition) string { return filepath.Join(d.paths.Logs, "flowehr.log") }

// openLog opens the log of the serving process.
func (a *app) openLog(d *definition) (*slog.Logger, func(), error) {
	if err := d.paths.Prepare(); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(logPath(d), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	hidden := a.veil.Over(f)
	return slog.New(slog.NewTextHandler(hidden, nil)), func() { hidden.Close(); f.Close() }, nil
}

// runDetached starts ourselves in the background and follows until everything answers.
func (a *app) runDetached(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{here: true})
	if err != nil {
		return err
	}
	if r, on, err := local.StillRunning(d.paths); err != nil {
		return err
	} else if on {
		fmt.Fprintf(a.errOut, "%s %s runs already (process %d). Portal: %s\n", a.style(a.errOut).Done(), d.env.Suffix, r.PID, r.Portal)
		return nil
	}
	// The process in the background has nobody to warn.
	if _, problems := (*local.Target)(nil).Lower(d.env); len(problems) > 0 && !flowehr.HasErrors(problems) && !a.json() {
		a.showDiagnostics(problems)
	}
	child, pipe, err := a.startDetached(d)
	if err != nil {
		return err
	}
	portal, err := a.follow(ctx, pipe)
	if err == nil && portal != "" {
		if err := child.Process.Release(); err != nil {
			return err
		}
		fmt.Fprintf(a.errOut, "%s %s is running. Portal: %s   Sign in with: flowehr portal link\n", a.style(a.errOut).Done(), d.env.Suffix, portal)
		a.next("Run a pipeline: flowehr pipelines run NAME --wait%s   Stop it: flowehr down", d.localFlag())
		return nil
	}
	if ctx.Err() != nil {
		_ = child.Process.Signal(syscall.SIGTERM)
		_ = child.Wait()
		return errInterrupted
	}
	_ = child.Wait()
	said, err := os.ReadFile(saidPath(d))
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(said)) == 0 {
		return hint(fmt.Errorf("the background process ended without a word: %v", child.ProcessState), "Nothing is lost. See why with: flowehr up   What was logged: %s", logPath(d))
	}
	if _, err := a.errOut.Write(said); err != nil {
		return err
	}
	return codeError(child.ProcessState.ExitCode())
}

// saidPath is the file that keeps what the detached process prints.
func saidPath(d *definition) string { return filepath.Join(d.paths.Logs, "up.log") }

// startDetached starts the process that will serve. What it prints is kept in a file, to be shown when it fails.
func (a *app) startDetached(d *definition) (child *exec.Cmd, pipe io.ReadCloser, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	if err := d.paths.Prepare(); err != nil {
		return nil, nil, err
	}
	output, err := os.OpenFile(saidPath(d), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer output.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer write.Close()
	child = exec.Command(self, "--dir", a.dir, "--env", a.environmentName(), "--no-color", "up", "--detach", "--report-to-parent")
	child.Stderr = output
	child.ExtraFiles = []*os.File{write}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return nil, nil, err
	}
	return child, read, nil
}

// follow shows what the process tells until it is ready; it returns the portal's address, or nothing when the process
// ended before.
func (a *app) follow(ctx context.Context, pipe io.ReadCloser) (string, error) {
	stopReading := context.AfterFunc(ctx, func() { pipe.Close() })
	defer stopReading()
	defer pipe.Close()
	sink, stop := flowehr.Sink(func(flowehr.Event) {}), func() {}
	defer func() { stop() }()
	trouble := a.showTrouble()
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 64<<20) // a plan holds whole definitions
	for lines.Scan() {
		var l reportLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return "", err
		}
		switch {
		case l.Plan != nil:
			sink, stop = a.progress(ctx, *l.Plan)
		case l.Event != nil && l.Event.Kind == flowehr.EventService:
			trouble(*l.Event)
		case l.Event != nil:
			sink(*l.Event)
		case l.Ready != "":
			return l.Ready, nil
		}
	}
	return "", lines.Err()
}

func (a *app) newDownCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the environment; its data stays",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runDown(c.Context()) },
	}
}

func (a *app) runDown(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return err
	}
	r, on, err := local.FindRunning(d.paths)
	if err != nil {
		return err
	}
	if !on {
		fmt.Fprintf(a.errOut, "%s %s is not running.\n", a.style(a.errOut).Done(), d.env.Suffix)
		return nil
	}
	if r.PID <= 0 {
		return hint(errors.New("the running process has not said which one it is yet"), "Try again in a moment: flowehr down")
	}
	process, err := os.FindProcess(r.PID)
	if err != nil {
		return err
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", r.PID, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- local.WaitStopped(d.paths) }()
	select {
	case err := <-stopped:
		if err != nil {
			return err
		}
	case <-time.After(2 * time.Minute):
		return hint(fmt.Errorf("process %d does not stop", r.PID), "End it with: kill -9 %d   Nothing is lost; the next up goes on.", r.PID)
	case <-ctx.Done():
		return errInterrupted
	}
	fmt.Fprintf(a.errOut, "%s %s is stopped. The data stays; go on with: flowehr up\n", a.style(a.errOut).Done(), d.env.Suffix)
	return nil
}
