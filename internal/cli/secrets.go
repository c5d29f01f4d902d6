package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/vault"
)

func (a *app) newSecretsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Keep passwords in the environment's vault",
		Long: `A definition names a secret as ${NAME}. Its value is looked for in the process's environment, then in the file .env beside
the definition, then in the vault. The vault is one encrypted file; its key stands in another folder. With --target azure
the commands work on the key vault of the deployed environment, where deployments look last.`,
	}
	set := &cobra.Command{
		Use:     "set NAME",
		Short:   "Store a value, read without echo or from standard input",
		Example: "  flowehr secrets set EPR_PASSWORD\n  flowehr secrets set EPR_PASSWORD < password.txt",
		Args:    exactArgs("NAME"),
		RunE:    func(c *cobra.Command, args []string) error { return a.runSecretsSet(c.Context(), args[0]) },
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the names in the vault and the ones that the definition needs",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runSecretsList(c.Context()) },
	}
	remove := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a value out of the vault",
		Args:  exactArgs("NAME"),
		RunE:  func(c *cobra.Command, args []string) error { return a.runSecretsRemove(c.Context(), args[0]) },
	}
	c.AddCommand(set, list, remove, a.newSecretsRotateCommand())
	return c
}

func (a *app) runSecretsSet(ctx context.Context, name string) error {
	if a.target == string(flowehr.TargetAzure) {
		return a.azureSecretsSet(ctx, name)
	}
	return a.withVault(ctx, func(v *vault.Vault, log *audit.Log) error {
		value, err := a.readSecret(name)
		if err != nil {
			return err
		}
		a.veil.Hide(value.Reveal())
		if err := a.audited(ctx, log, "secret.set", "secret/"+name, func() error { return v.Set(ctx, name, value) }); err != nil {
			return err
		}
		fmt.Fprintf(a.errOut, "%s %s is in the vault.\n", a.style(a.errOut).Done(), name)
		return nil
	})
}

func (a *app) runSecretsRemove(ctx context.Context, name string) error {
	return a.withVault(ctx, func(v *vault.Vault, log *audit.Log) error {
		err := a.audited(ctx, log, "secret.remove", "secret/"+name, func() error { return v.Delete(ctx, name) })
		if errors.Is(err, vault.ErrNotFound) {
			return hint(fmt.Errorf("the vault has no secret %s", name), "See what it holds with: flowehr secrets list")
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(a.errOut, "%s %s is gone.\n", a.style(a.errOut).Done(), name)
		return nil
	})
}

type secretRow struct {
	Name   string   `json:"name"`
	Value  bool     `json:"hasValue"`
	Vault  bool     `json:"inVault"`
	Needed []string `json:"neededAt,omitempty"`
}

func (a *app) runSecretsList(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	if a.target == string(flowehr.TargetAzure) {
		return a.azureSecretsList(ctx, d)
	}
	rows := map[string]*secretRow{}
	var order []string
	row := func(name string) *secretRow {
		if rows[name] == nil {
			rows[name] = &secretRow{Name: name}
			order = append(order, name)
		}
		return rows[name]
	}
	for _, r := range d.document.Secrets() {
		x := row(r.Name)
		x.Needed = append(x.Needed, r.Pos.String())
		_, x.Value = d.lookup(r.Name)
	}
	err = a.withVault(ctx, func(v *vault.Vault, _ *audit.Log) error {
		names, err := v.Names()
		for _, n := range names {
			x := row(n)
			x.Vault, x.Value = true, true
		}
		return err
	})
	if err != nil {
		return err
	}
	if a.json() {
		out := make([]secretRow, 0, len(order))
		for _, n := range order {
			out = append(out, *rows[n])
		}
		return a.writeJSON(out)
	}
	table := a.table("Name", "Value", "Used at")
	for _, n := range order {
		where := "not set"
		switch x := rows[n]; {
		case x.Vault:
			where = "in the vault"
		case x.Value:
			where = "from the environment or .env"
		}
		table.Row(n, where, strings.Join(rows[n].Needed, ", "))
	}
	return table.Write(a.out)
}

// withVault opens the vault and the audit log of the environment, also when the definition lacks secrets: setting them
// is how that is mended.
func (a *app) withVault(ctx context.Context, f func(*vault.Vault, *audit.Log) error) error {
	if a.target == string(flowehr.TargetAzure) {
		return hint(usageError{errors.New("this command works on the vault of this machine")}, "Leave --target azure out.")
	}
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	if err := d.paths.Prepare(); err != nil {
		return err
	}
	v, err := vault.Open(ctx, vault.Options{Path: d.paths.Vault, KeyPath: d.paths.Key})
	if err != nil {
		return err
	}
	log, err := audit.Open(d.paths.Audit)
	if err != nil {
		return err
	}
	defer log.Close()
	return f(v, log)
}

// audited does f and records what came of it before the command answers.
func (a *app) audited(ctx context.Context, log *audit.Log, action, subject string, f func() error) error {
	entry := audit.Entry{Who: a.who(), Action: action, Subject: subject, Outcome: "ok"}
	err := f()
	if err != nil {
		entry.Outcome, entry.Detail = "failed", map[string]string{"error": err.Error()}
	}
	_, logErr := log.Append(context.WithoutCancel(ctx), entry)
	return errors.Join(err, logErr)
}

// readSecret asks on a terminal without echo, or takes the first line of standard input.
func (a *app) readSecret(name string) (flowehr.Secret, error) {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(a.errOut, "Value of %s (it is not shown): ", name)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.errOut)
		if err != nil {
			return flowehr.Secret{}, err
		}
		return nonEmpty(string(b))
	}
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return flowehr.Secret{}, err
	}
	return nonEmpty(strings.TrimRight(line, "\r\n"))
}

func nonEmpty(value string) (flowehr.Secret, error) {
	if value == "" {
		return flowehr.Secret{}, hint(usageError{errors.New("no value was given, and an empty one is not stored")}, "Type it when asked, or pipe it in: flowehr secrets set NAME < FILE")
	}
	return flowehr.NewSecret(value), nil
}
