package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
	"github.com/flowehr/flowehr/internal/vault"
)

func (a *app) newDoctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine and this environment, and say how to mend what is wrong",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runDoctor(c.Context()) },
	}
}

// finding is one thing that doctor looked at.
type finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

func (a *app) runDoctor(ctx context.Context) error {
	findings := a.examineMachine(ctx)
	d, err := a.load(ctx, loadOptions{unnamed: true, here: true})
	if err != nil {
		findings = append(findings, finding{"definition", false, err.Error(), "Change to the folder that holds config.yaml, or make one: flowehr init"})
	} else {
		findings = append(findings, a.examineEnvironment(ctx, d)...)
	}
	bad := 0
	for _, f := range findings {
		if !f.OK {
			bad++
		}
	}
	if a.json() {
		if err := a.writeJSON(findings); err != nil {
			return err
		}
	} else {
		style := a.style(a.out)
		for _, f := range findings {
			mark := style.Done()
			if !f.OK {
				mark = style.Failed()
			}
			fmt.Fprintf(a.out, "%s %-12s %s\n", mark, f.Name, f.Text)
			if f.Fix != "" {
				fmt.Fprintf(a.out, "  %-12s %s\n", "", f.Fix)
			}
		}
	}
	if bad > 0 {
		return errShown
	}
	return nil
}

func (a *app) examineMachine(ctx context.Context) []finding {
	out := []finding{{Name: "program", OK: true, Text: fmt.Sprintf("flowehr %s, %s/%s, %d cores", a.version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}}
	if text, err := local.FindPostgres(ctx); err != nil {
		out = append(out, finding{"postgresql", false, err.Error(), ""})
	} else {
		out = append(out, finding{Name: "postgresql", OK: true, Text: text})
	}
	dir, err := os.MkdirTemp("", "flowehr-doctor")
	if err == nil {
		defer os.RemoveAll(dir)
		var l *lake.Lake
		if l, err = lake.Open(lake.Options{Dir: dir}); err == nil {
			err = l.Close()
		}
	}
	if err != nil {
		return append(out, finding{"lake engine", false, err.Error(), ""})
	}
	return append(out, finding{Name: "lake engine", OK: true, Text: "answers"})
}

func (a *app) examineEnvironment(ctx context.Context, d *definition) []finding {
	var out []finding
	errorsFound := 0
	for _, p := range d.problems {
		if p.Severity == flowehr.SeverityError {
			errorsFound++
		}
	}
	if errorsFound > 0 {
		out = append(out, finding{"definition", false, render.Plural(int64(errorsFound), "error", "errors"), "See them with: flowehr config validate"})
	} else {
		out = append(out, finding{Name: "definition", OK: true, Text: d.env.Suffix + " is sound"})
	}
	out = append(out, examineDisk(d.paths.Root), a.examineVault(ctx, d), examineAudit(d), examineState(ctx, d))
	r, on, err := local.FindRunning(d.paths)
	switch {
	case err != nil:
		out = append(out, finding{"environment", false, err.Error(), ""})
	case on:
		out = append(out, finding{Name: "environment", OK: true, Text: fmt.Sprintf("runs as process %d, portal %s", r.PID, r.Portal)})
	default:
		out = append(out, finding{Name: "environment", OK: true, Text: "does not run"}, examineAddress(ctx, d.env.Local.Listen))
	}
	return out
}

// leastFree is the space below which a pipeline of ordinary size may fail.
const leastFree = 2 << 30

func examineDisk(path string) finding {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return finding{"disk", false, err.Error(), ""}
	}
	free := int64(s.Bavail) * s.Bsize
	if free < leastFree {
		return finding{"disk", false, render.Bytes(free) + " free for " + path, "Make room, or move the data with local.data_dir."}
	}
	return finding{Name: "disk", OK: true, Text: render.Bytes(free) + " free"}
}

func (a *app) examineVault(ctx context.Context, d *definition) finding {
	if _, err := os.Stat(d.paths.Vault); errors.Is(err, os.ErrNotExist) {
		return finding{Name: "vault", OK: true, Text: "not made yet"}
	}
	v, err := vault.Open(ctx, vault.Options{Path: d.paths.Vault, KeyPath: d.paths.Key})
	if err != nil {
		return finding{"vault", false, err.Error(), ""}
	}
	names, err := v.Names()
	if err != nil {
		return finding{"vault", false, err.Error(), ""}
	}
	return finding{Name: "vault", OK: true, Text: render.Plural(int64(len(names)), "secret", "secrets") + ", key in " + filepath.Dir(d.paths.Key)}
}

func examineAudit(d *definition) finding {
	if _, err := os.Stat(d.paths.Audit); errors.Is(err, os.ErrNotExist) {
		return finding{Name: "audit", OK: true, Text: "nothing recorded yet"}
	}
	r, err := audit.Verify(d.paths.Audit)
	switch {
	case err != nil:
		return finding{"audit", false, err.Error(), ""}
	case r.Problem != nil:
		return finding{"audit", false, fmt.Sprintf("line %d: %s", r.Problem.Line, r.Problem.Text), "Keep the file as it is and tell whoever answers for the environment."}
	}
	return finding{Name: "audit", OK: true, Text: render.Plural(r.Records, "record", "records") + ", chain whole"}
}

func examineState(ctx context.Context, d *definition) finding {
	have, err := d.state().Load(ctx)
	if err != nil {
		return finding{"state", false, err.Error(), "Go back to an earlier one with: flowehr state restore"}
	}
	return finding{Name: "state", OK: true, Text: fmt.Sprintf("r%d, %s", have.Revision, render.Plural(int64(len(have.Records)), "resource", "resources"))}
}

func examineAddress(ctx context.Context, address string) finding {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return finding{"address", false, addressProblem(address, err), "Set another one with local.listen in config.local.yaml."}
	}
	l.Close()
	return finding{Name: "address", OK: true, Text: address + " is free for the portal"}
}
