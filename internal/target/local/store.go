package local

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/featurestore"
)

// storeKeeper looks after the feature store: its database, its schemas and who may read them.
type storeKeeper struct{ *Host }

func (k storeKeeper) ensure(ctx context.Context, r flowehr.Resource, _ apply.Inputs) error {
	spec, err := decode[storeSpec](r)
	if err != nil {
		return err
	}
	if err := k.ensureDatabase(ctx, spec.Database, ""); err != nil {
		return err
	}
	pool, err := k.pool(ctx, spec.Database)
	if err != nil {
		return err
	}
	roles := featurestore.Roles{Owner: spec.Owner, Readers: spec.Readers}
	if err := featurestore.Setup(ctx, pool, roles); err != nil {
		return err
	}
	store := featurestore.New(pool, roles)
	for _, schema := range spec.Schemas {
		for _, reader := range spec.Readers {
			if err := store.Grant(ctx, schema, reader); err != nil {
				return err
			}
		}
		// A group that may no longer read, such as developers once the data is real, loses the right at once.
		if !slices.Contains(spec.Readers, groupDevelopers) {
			if there, err := k.roleExists(ctx, groupDevelopers); err != nil {
				return err
			} else if there {
				if err := store.Revoke(ctx, schema, groupDevelopers); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (k storeKeeper) outputs(r flowehr.Resource) (map[string]string, error) {
	spec, err := decode[storeSpec](r)
	if err != nil {
		return nil, err
	}
	c, err := k.server.config(spec.Database)
	if err != nil {
		return nil, err
	}
	return map[string]string{"host": c.ConnConfig.Host, "database": spec.Database}, nil
}

func (k storeKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	spec, err := decode[storeSpec](r)
	if err != nil {
		return false, err
	}
	return k.databaseExists(ctx, spec.Database)
}

func (k storeKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	spec, err := decode[storeSpec](r)
	if err != nil {
		return err
	}
	return k.dropDatabase(ctx, spec.Database)
}

// featureStore returns the store as pipelines use it: signed in as their own identity, which owns the store's tables and
// nothing else on the server.
func (h *Host) featureStore(ctx context.Context) (*featurestore.Store, error) {
	h.mu.Lock()
	store := h.store
	h.mu.Unlock()
	if store != nil {
		return store, nil
	}
	password, err := h.vault.Get(writerPassword)
	if err != nil {
		return nil, err
	}
	c, err := h.server.config(storeDatabase)
	if err != nil {
		return nil, err
	}
	c.ConnConfig.User, c.ConnConfig.Password = writerRole, password.Reveal()
	c.ConnConfig.RuntimeParams["application_name"] = "flowehr pipelines"
	c.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.store != nil {
		pool.Close()
		return h.store, nil
	}
	h.pools[storeDatabase+" as "+writerRole] = pool
	h.store = featurestore.New(pool, featurestore.Roles{Owner: groupWriters})
	return h.store, nil
}

// Published lists the tables that pipelines published. The environment must be running.
func (h *Host) Published(ctx context.Context) ([]featurestore.Table, error) {
	store, err := h.featureStore(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := store.Tables(ctx)
	return slices.DeleteFunc(tables, func(t featurestore.Table) bool { return t.Target == connectivityTable }), err
}

// Rollback shows the version of a published table that was shown before, and records who wanted it so.
func (h *Host) Rollback(ctx context.Context, t featurestore.Target) (featurestore.Published, error) {
	store, err := h.featureStore(ctx)
	if err != nil {
		return featurestore.Published{}, err
	}
	done, err := store.Rollback(ctx, t, h.Who)
	entry := audit.Entry{Action: "store.rollback", Subject: "table/store:" + t.String(), Outcome: "ok"}
	if err != nil {
		entry.Outcome, entry.Detail = "failed", map[string]string{"error": err.Error()}
	} else {
		entry.Detail = map[string]string{"version": strconv.FormatInt(done.Version, 10)}
	}
	return done, errors.Join(err, h.Audit(context.WithoutCancel(ctx), entry))
}

// DeveloperLogin is the login with which people look into the feature store of an environment without real data.
func (h *Host) DeveloperLogin(ctx context.Context) (connect.Config, error) {
	password, err := h.vault.Get(developerPassword)
	if err != nil {
		return connect.Config{}, err
	}
	s, err := h.ownServer("feature store", storeDatabase, developerRole, password)
	return s.Database, err
}
