package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/state"
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
	restore := &cobra.Command{
		Use:     "restore [REVISION]",
		Short:   "Go back to an earlier revision of the record, for one that is damaged",
		Long:    `Puts an earlier revision of the record, by default the newest that can be read, in the place of the present one. A damaged file is set aside, not overwritten. Nothing that stands is changed.`,
		Example: "  flowehr state restore\n  flowehr state restore 41",
		Args:    mostArgs(1, "one REVISION"),
		RunE: func(c *cobra.Command, args []string) error {
			rev, err := parseRevision(args)
			if err != nil {
				return err
			}
			return a.runStateRestore(c.Context(), rev)
		},
	}
	force := false
	unlock := &cobra.Command{
		Use:   "unlock",
		Short: "Take away the lock of a process that is gone",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withLedger(c.Context(), func(l *ledger) error {
				if err := l.unlock(c.Context(), force); err != nil {
					if errors.Is(err, apply.ErrLocked) {
						return hint(err, "Its process lives. Wait for it, or stop it; a lock that is taken from a living process can damage what it does.")
					}
					return err
				}
				fmt.Fprintf(a.errOut, "%s The state is not locked.\n", a.style(a.errOut).Done())
				return nil
			})
		},
	}
	unlock.Flags().BoolVar(&force, "force", false, "although its holder cannot be asked, for example on another machine")
	c.AddCommand(show, refresh, restore, unlock)
	return c
}

func (a *app) runStateShow(ctx context.Context) error {
	return a.withLedger(ctx, func(l *ledger) error { return a.showState(ctx, l) })
}

func (a *app) showState(ctx context.Context, l *ledger) error {
	have, err := l.Load(ctx)
	if err != nil {
		return err
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
	if holder, locked, err := l.holder(ctx); err != nil {
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
	if d.env.Target == flowehr.TargetAzure {
		return a.withAzure(ctx, d, siteOptions{changes: true, rebuild: true}, func(s *azureSite) error {
			want, err := s.lower()
			if err != nil {
				return err
			}
			report, err := apply.Refresh(ctx, s.target, s.store, want, s.applyOptions(a, nil))
			if err != nil {
				return err
			}
			return a.showRefreshed(report)
		})
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = d.state().Load(ctx)
	if err := a.replaceUnreadable(ctx, d.state(), err); err != nil {
		return err
	}
	return h.WithServer(ctx, func(ctx context.Context) error {
		want, _ := h.Target().Lower(d.env)
		report, err := apply.Refresh(ctx, h.Target(), d.state(), want, apply.Options{Owner: a.who(), Now: a.now})
		if err != nil {
			return err
		}
		return a.showRefreshed(report)
	})
}

func (a *app) showRefreshed(report apply.RefreshReport) error {
	if a.json() {
		return a.writeJSON(report)
	}
	a.listDrift(report)
	fmt.Fprintf(a.errOut, "%s The record is as the world is.\n", a.style(a.errOut).Done())
	if slices.ContainsFunc(report.Drift, func(x apply.Drift) bool { return !x.Found }) {
		a.next("Put it right with: flowehr deploy%s", a.simulateFlag())
	}
	return nil
}

// localDrift shows how what stands on this machine differs from what was deployed, and changes nothing.
func (a *app) localDrift(ctx context.Context, d *definition) error {
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.WithServer(ctx, func(ctx context.Context) error {
		have, err := d.state().Load(ctx)
		if err != nil {
			return err
		}
		_, report, err := apply.Observe(ctx, h.Target(), have, nil, apply.Options{Now: a.now})
		if err != nil {
			return err
		}
		return a.showDrift(report)
	})
}

// showDrift answers with what Observe found.
func (a *app) showDrift(report apply.RefreshReport) error {
	if a.json() {
		if err := a.writeJSON(report); err != nil {
			return err
		}
	} else {
		a.listDrift(report)
	}
	if len(report.Drift) == 0 {
		if !a.json() {
			fmt.Fprintf(a.out, "%s All %s stand as they were deployed.\n", a.style(a.out).Done(), render.Plural(int64(report.Read), "resource", "resources"))
		}
		return nil
	}
	a.next("Put it right with: flowehr deploy%s", a.simulateFlag())
	return errChanges
}

func (a *app) runStateRestore(ctx context.Context, rev flowehr.Revision) error {
	return a.withLedger(ctx, func(l *ledger) error { return a.restoreState(ctx, l, rev) })
}

func (a *app) restoreState(ctx context.Context, l *ledger, rev flowehr.Revision) error {
	have, err := l.revisions(ctx)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return hint(errors.New("there is no earlier revision of the record"), "Nothing was changed. Build the record anew from what stands: flowehr state refresh")
	}
	if rev == 0 {
		rev = slices.Max(have)
	}
	if !slices.Contains(have, rev) {
		return hint(fmt.Errorf("there is no revision r%d that can be read", rev), "Nothing was changed. These are there: %s", strings.Trim(fmt.Sprint(have), "[]"))
	}
	restored, err := locked(ctx, l, a.who(), func() (flowehr.State, error) { return l.restore(ctx, rev) })
	if err != nil {
		return err
	}
	fmt.Fprintf(a.errOut, "%s The record is that of r%d again, as r%d. One that was damaged is kept beside it.\n", a.style(a.errOut).Done(), rev, restored.Revision)
	a.next("Compare it with what stands: flowehr state refresh")
	return nil
}

func parseRevision(args []string) (flowehr.Revision, error) {
	if len(args) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(args[0], "r"), 10, 64)
	if err != nil || n < 1 {
		return 0, hint(usageError{fmt.Errorf("%q is no revision", args[0])}, "It is a number, such as 41.")
	}
	return flowehr.Revision(n), nil
}

// resettable is a record that can begin anew.
type resettable interface {
	apply.Store
	Reset(ctx context.Context) (flowehr.State, error)
}

// replaceUnreadable begins an empty record when err, with which reading it ended, says that it is damaged: what stands is then
// found anew. Any other error is returned.
func (a *app) replaceUnreadable(ctx context.Context, store resettable, err error) error {
	if _, damaged := errors.AsType[*state.DamagedError](err); !damaged {
		return err
	}
	_, err = locked(ctx, store, a.who(), func() (flowehr.State, error) { return store.Reset(ctx) })
	return err
}

// locked calls f while store holds its lock.
func locked(ctx context.Context, store apply.Store, who string, f func() (flowehr.State, error)) (flowehr.State, error) {
	unlock, err := store.Lock(ctx, who)
	if err != nil {
		return flowehr.State{}, err
	}
	st, err := f()
	return st, errors.Join(err, unlock())
}

// sortedRefs lists the resources of a state by kind and name.
func sortedRefs(records map[flowehr.Ref]flowehr.Record) []flowehr.Ref {
	return slices.SortedFunc(maps.Keys(records), func(a, b flowehr.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}
