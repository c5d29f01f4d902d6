package cli

import (
	"context"
	"fmt"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/statestore"
	"github.com/flowehr/flowehr/internal/state"
)

// ledger is the record of what was deployed, in a file of this machine or in a blob.
type ledger struct {
	apply.Store
	holder    func(context.Context) (apply.Holder, bool, error)
	unlock    func(ctx context.Context, force bool) error
	revisions func(context.Context) ([]flowehr.Revision, error)
	restore   func(context.Context, flowehr.Revision) (flowehr.State, error)
}

// withLedger opens the record of the definition's environment and calls f.
func (a *app) withLedger(ctx context.Context, f func(*ledger) error) error {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil {
		return err
	}
	if d.env.Target != flowehr.TargetAzure {
		return f(fileLedger(d.state()))
	}
	return a.withState(ctx, d, func(s *azureSite) error {
		if !s.kept {
			return hint(fmt.Errorf("%s has never been deployed: there is no record of it", d.env.Suffix), "See what would be made with: flowehr plan%s", a.simulateFlag())
		}
		return f(blobLedger(s.store))
	})
}

func fileLedger(s *state.Store) *ledger {
	return &ledger{
		Store:     s,
		holder:    func(context.Context) (apply.Holder, bool, error) { return s.Holder() },
		unlock:    func(_ context.Context, force bool) error { return s.Unlock(force) },
		revisions: func(context.Context) ([]flowehr.Revision, error) { return s.Revisions(), nil },
		restore:   s.Restore,
	}
}

func blobLedger(s *statestore.Store) *ledger {
	return &ledger{Store: s, holder: s.Holder, unlock: s.Unlock, revisions: s.Revisions, restore: s.Restore}
}
