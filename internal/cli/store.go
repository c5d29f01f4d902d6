package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/render"
)

func (a *app) newStoreCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "List the tables of the feature store, or open it in psql"}
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List published tables",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runStoreList(c.Context()) },
	}
	psql := &cobra.Command{
		Use:     "psql [-- ARGUMENTS]",
		Short:   "Open the feature store in psql, as a reader",
		Example: "  flowehr store psql\n  flowehr store psql -- -c 'SELECT count(*) FROM features.patient_features'",
		Long: `Starts psql with the login of a developer, who may read what is published. With real data there is no such login here:
people read through an app or with their own.`,
		RunE: func(c *cobra.Command, args []string) error { return a.runStorePsql(c.Context(), args) },
	}
	rollback := &cobra.Command{
		Use:     "rollback SCHEMA.TABLE",
		Short:   "Show the version of a table again that was published before; a second rollback undoes the first",
		Example: "  flowehr store rollback features.patient_features",
		Args:    exactArgs("SCHEMA.TABLE"),
		RunE:    func(c *cobra.Command, args []string) error { return a.runStoreRollback(c.Context(), args[0]) },
	}
	c.AddCommand(ls, psql, rollback)
	return c
}

func (a *app) runStoreList(ctx context.Context) error {
	_, h, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	tables, err := h.Published(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(tables)
	}
	if len(tables) == 0 {
		fmt.Fprintln(a.out, "Nothing is published yet.")
		a.next("Pipelines publish: flowehr pipelines list")
		return nil
	}
	t := a.table("Table", ">Version", ">Rows", ">Size", "Published", "By")
	for _, x := range tables {
		t.Row(x.Target.String(), fmt.Sprint(x.Version), count(x.Rows), render.Bytes(x.Bytes), render.Stamp(x.PublishedAt, a.now()), x.Pipeline)
	}
	return t.Write(a.out)
}

func (a *app) runStorePsql(ctx context.Context, args []string) error {
	path, err := exec.LookPath("psql")
	if err != nil {
		return hint(errors.New("psql is not installed"), "Install it with: apt-get install postgresql-client")
	}
	d, h, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	if d.env.RealData {
		return hint(errors.New("with real data there is no shared login to the feature store"), "Sign in with your own, or look at it in the portal: flowehr portal link")
	}
	login, err := h.DeveloperLogin(ctx)
	if err != nil {
		return err
	}
	if err := h.Audit(ctx, audit.Entry{Action: "store.psql", Subject: "database/" + login.Database, Outcome: "ok"}); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, path, args...)
	// psql is a program of its own and talks to the terminal itself.
	c.Stdin, c.Stdout, c.Stderr = a.in, beneath(a.out), beneath(a.errOut)
	// The password goes by the environment of psql alone: an argument could be read by everybody on the machine.
	c.Env = append(os.Environ(), "PGHOST="+login.Host, fmt.Sprintf("PGPORT=%d", login.Port), "PGDATABASE="+login.Database,
		"PGUSER="+login.Username, "PGPASSWORD="+login.Password.Reveal(), "PGAPPNAME=flowehr store psql")
	if err := c.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			return errShown // psql has said why
		}
		return fmt.Errorf("start psql: %w", err)
	}
	return nil
}

func (a *app) runStoreRollback(ctx context.Context, name string) error {
	schema, table, ok := strings.Cut(name, ".")
	if !ok {
		return usageError{fmt.Errorf("%q is not SCHEMA.TABLE", name)}
	}
	_, h, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	done, err := h.Rollback(ctx, featurestore.Target{Schema: schema, Table: table})
	switch {
	case errors.Is(err, featurestore.ErrNotFound):
		return hint(fmt.Errorf("%s is not published", name), "See what is with: flowehr store ls")
	case errors.Is(err, featurestore.ErrNothingOld):
		return hint(fmt.Errorf("%s has no older version to go back to", name), "Nothing was changed.")
	case err != nil:
		return err
	}
	if a.json() {
		return a.writeJSON(done)
	}
	fmt.Fprintf(a.errOut, "%s %s shows version %d again, with %s. Readers saw no gap.\n", a.style(a.errOut).Done(), name, done.Version,
		render.Plural(done.Rows, "row", "rows"))
	return nil
}
