package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/render"
)

func (a *app) newAuditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Read the record of who did what, and check that it is whole"}
	var f audit.Filter
	list := &cobra.Command{
		Use:   "list",
		Short: "List records, newest first",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runAuditList(c.Context(), f) },
	}
	list.Flags().IntVarP(&f.Limit, "limit", "n", 50, "how many")
	list.Flags().StringVar(&f.Who, "who", "", "only what this person or identity did")
	list.Flags().StringVar(&f.Action, "action", "", `only this action, or a group of them such as "pipeline.*"`)
	list.Flags().StringVar(&f.Subject, "subject", "", `only what was done to this, such as "pipeline/gold-features"`)
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Check that no record was changed, removed or put in",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runAuditVerify(c.Context()) },
	}
	c.AddCommand(list, verify)
	return c
}

func (a *app) runAuditList(ctx context.Context, f audit.Filter) error {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return err
	}
	records, err := audit.Read(d.paths.Audit, f)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(records)
	}
	t := a.table("When", "Who", "Did", "To", "Outcome")
	for _, r := range records {
		t.Row(render.Stamp(r.At, a.now()), r.Entry.Who, r.Entry.Action, r.Entry.Subject, r.Entry.Outcome)
	}
	return t.Write(a.out)
}

func (a *app) runAuditVerify(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return err
	}
	result, err := audit.Verify(d.paths.Audit)
	if err != nil {
		return err
	}
	if a.json() {
		if err := a.writeJSON(result); err != nil {
			return err
		}
	}
	if result.Problem != nil {
		if a.json() {
			return errShown
		}
		return hint(fmt.Errorf("the audit log is not whole, line %d: %s", result.Problem.Line, result.Problem.Text),
			"Keep %s as it is and tell whoever answers for the environment.", d.paths.Audit)
	}
	if !a.json() {
		fmt.Fprintf(a.out, "%s %s, each fits the one before it. Newest: %d %s\n", a.style(a.out).Done(),
			render.Plural(result.Records, "record", "records"), result.Head.Seq, short(result.Head.Hash))
	}
	return nil
}
