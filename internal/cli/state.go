package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/render"
)

func (a *app) newStateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "state",
		Short: "Look after the record of what was deployed",
		Long:  `The state is a cache of the world: it can be read anew from what stands, and it holds no secret.`,
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "List what is recorded, and who holds the lock",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runStateShow(c.Context()) },
	}
	refresh := &cobra.Command{
		Use:   "refresh",
		Short: "Compare the record with what stands, and correct it",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runStateRefresh(c.Context()) },
	}
	var revision int64
	restore := &cobra.Command{
		Use:   "restore",
		Short: "Go back to an earlier revision of the record, for one that is damaged",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runStateRestore(c.Context(), flowehr.Revision(revision))
		},
	}
	restore.Flags().Int64Var(&revision, "revision", 0, "which one (default: the newest that can be read)")
	force := false
	unlock := &cobra.Command{
		Use:   "unlock",
		Short: "Take away the lock of a process that is gone",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := a.load(c.Context(), loadOptions{lenient: true})
			if err != nil {
				return err
			}
			if err := d.state().Unlock(force); err != nil {
				if errors.Is(err, apply.ErrLocked) {
					return hint(err, "Its process lives. Wait for it, or stop it; a lock that is taken from a living process can damage what it does.")
				}
				return err
			}
			fmt.Fprintf(a.errOut, "%s The state is not locked.\n", a.style(a.errOut).Done())
			return nil
		},
	}
	unlock.Flags().BoolVar(&force, "force", false, "although its holder cannot be asked, for example on another machine")
	c.AddCommand(show, refresh, restore, unlock)
	return c
}

func (a *app) runStateShow(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	have, err := d.state().Load(ctx)
	if err != nil {
		return explainState(err)
	}
	if a.json() {
		return a.writeJSON(have)
	}
	t := a.table("Layer", "Resource", "Since")
	for _, l := range flowehr.Layers() {
		for _, ref := range sortedRefs(have.Records) {
			if rec := have.Records[ref]; rec.Resource.Layer == l {
				t.Row(string(l), ref.String(), render.Stamp(rec.At, a.now()))
			}
		}
	}
	if err := t.Write(a.out); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "revision r%d, %s\n", have.Revision, render.Plural(int64(len(have.Records)), "resource", "resources"))
	if holder, locked, err := d.state().Holder(); err != nil {
		return err
	} else if locked {
		fmt.Fprintf(a.out, "locked by %s (process %d) since %s\n", holder, holder.PID, render.Stamp(holder.Since, a.now()))
	}
	return nil
}

func (a *app) runStateRefresh(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.WithServer(ctx, func(ctx context.Context) error {
		want, _ := h.Target().Lower(d.env)
		report, err := apply.Refresh(ctx, h.Target(), d.state(), want, apply.Options{Owner: a.who(), Now: a.now})
		if err != nil {
			return explainState(err)
		}
		if a.json() {
			return a.writeJSON(report)
		}
		for _, x := range report.Drift {
			switch {
			case x.Gone:
				fmt.Fprintf(a.out, "- %s is gone\n", x.Ref)
			case x.Found:
				fmt.Fprintf(a.out, "+ %s stands and was not recorded\n", x.Ref)
			default:
				fmt.Fprintf(a.out, "~ %s differs from its record\n", x.Ref)
			}
		}
		fmt.Fprintf(a.errOut, "%s The record is as the world is.\n", a.style(a.errOut).Done())
		if len(report.Drift) > 0 {
			a.next("Put it right with: flowehr deploy")
		}
		return nil
	})
}

func (a *app) runStateRestore(ctx context.Context, rev flowehr.Revision) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	store := d.state()
	have := store.Revisions()
	if rev == 0 && len(have) > 0 {
		rev = have[len(have)-1]
		for _, r := range have {
			rev = max(rev, r)
		}
	}
	if rev == 0 {
		return hint(errors.New("there is no earlier revision"), "Build the record anew from what stands: flowehr deploy")
	}
	restored, err := store.Restore(ctx, rev)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.errOut, "%s The state is that of r%d again; a damaged file was set aside.\n", a.style(a.errOut).Done(), restored.Revision)
	a.next("Compare it with what stands: flowehr state refresh")
	return nil
}

// sortedRefs lists the resources of a state by kind and name.
func sortedRefs(records map[flowehr.Ref]flowehr.Record) []flowehr.Ref {
	return slices.SortedFunc(maps.Keys(records), func(a, b flowehr.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}
