package local

import (
	"context"
	"errors"
	"os"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/service/postgres"
	"github.com/flowehr/flowehr/internal/vault"
)

// vaultKeeper: the vault was made when the host was opened. It is not removed with its resource, because it may hold
// secrets that somebody typed in; flowehr clean removes it with everything else.
type vaultKeeper struct{ *Host }

func (k vaultKeeper) ensure(context.Context, flowehr.Resource, apply.Inputs) error { return nil }
func (k vaultKeeper) outputs(flowehr.Resource) (map[string]string, error) {
	return map[string]string{"path": k.Paths.Vault}, nil
}
func (k vaultKeeper) exists(context.Context, flowehr.Resource) (bool, error) { return true, nil }
func (k vaultKeeper) remove(context.Context, flowehr.Resource) error         { return nil }

// auditKeeper: who did what stays on record when the environment goes; flowehr clean removes it.
type auditKeeper struct{ *Host }

func (k auditKeeper) ensure(context.Context, flowehr.Resource, apply.Inputs) error { return nil }
func (k auditKeeper) outputs(flowehr.Resource) (map[string]string, error) {
	return map[string]string{"path": k.Paths.Audit}, nil
}
func (k auditKeeper) exists(context.Context, flowehr.Resource) (bool, error) { return true, nil }
func (k auditKeeper) remove(context.Context, flowehr.Resource) error         { return nil }

// databaseKeeper looks after the control database.
type databaseKeeper struct{ *Host }

func (k databaseKeeper) ensure(ctx context.Context, r flowehr.Resource, _ apply.Inputs) error {
	spec, err := decode[databaseSpec](r)
	if err != nil {
		return err
	}
	if err := k.ensureDatabase(ctx, spec.Name, ""); err != nil {
		return err
	}
	pool, err := k.pool(ctx, spec.Name)
	if err != nil {
		return err
	}
	return engine.Migrate(ctx, pool)
}

func (k databaseKeeper) outputs(r flowehr.Resource) (map[string]string, error) {
	spec, err := decode[databaseSpec](r)
	return map[string]string{"database": spec.Name}, err
}

func (k databaseKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	return k.databaseExists(ctx, r.Ref.Name)
}

func (k databaseKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	return k.dropDatabase(ctx, r.Ref.Name)
}

// groupKeeper makes groups of identities; in the database server they are roles that nobody can sign in with.
type groupKeeper struct{ *Host }

func (k groupKeeper) ensure(ctx context.Context, r flowehr.Resource, _ apply.Inputs) error {
	admin, err := k.pool(ctx, k.adminDatabase())
	if err != nil {
		return err
	}
	if err := k.claimRole(ctx, r.Ref.Name); err != nil {
		return err
	}
	return postgres.EnsureGroup(ctx, admin, r.Ref.Name)
}

func (k groupKeeper) outputs(flowehr.Resource) (map[string]string, error) { return nil, nil }

func (k groupKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	return k.roleExists(ctx, r.Ref.Name)
}

func (k groupKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	return k.dropRole(ctx, r.Ref.Name)
}

// zoneKeeper looks after the zones of the lake.
type zoneKeeper struct{ *Host }

func (k zoneKeeper) ensure(_ context.Context, r flowehr.Resource, _ apply.Inputs) error {
	return k.lake.AddZone(r.Ref.Name)
}

func (k zoneKeeper) outputs(flowehr.Resource) (map[string]string, error) { return nil, nil }

func (k zoneKeeper) exists(_ context.Context, r flowehr.Resource) (bool, error) {
	for _, z := range k.lake.Zones() {
		if z == r.Ref.Name {
			return true, nil
		}
	}
	return false, nil
}

// remove drops the tables of the zone first: the plan said that it holds data and the person agreed.
func (k zoneKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	tables, err := k.lake.List(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if t.Name.Zone == r.Ref.Name {
			if err := k.lake.Drop(ctx, t.Name, k.commit("destroy")); err != nil {
				return err
			}
		}
	}
	return k.lake.RemoveZone(r.Ref.Name)
}

// loginKeeper makes one login for each identity, with a generated password that is kept in the vault.
type loginKeeper struct{ *Host }

func (k loginKeeper) ensure(ctx context.Context, r flowehr.Resource, _ apply.Inputs) error {
	spec, err := decode[loginSpec](r)
	if err != nil {
		return err
	}
	password, err := k.vault.Ensure(ctx, spec.Password, vault.Password)
	if err != nil {
		return err
	}
	admin, err := k.pool(ctx, k.adminDatabase())
	if err != nil {
		return err
	}
	if err := k.claimRole(ctx, spec.Role); err != nil {
		return err
	}
	role := postgres.Role{Name: spec.Role, Password: password, MemberOf: spec.MemberOf, Connections: 50, LogStatements: true}
	return postgres.EnsureRole(ctx, admin, role)
}

func (k loginKeeper) outputs(r flowehr.Resource) (map[string]string, error) {
	spec, err := decode[loginSpec](r)
	return map[string]string{"role": spec.Role, "database": storeDatabase, "passwordSecret": spec.Password}, err
}

func (k loginKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	spec, err := decode[loginSpec](r)
	if err != nil {
		return false, err
	}
	return k.roleExists(ctx, spec.Role)
}

func (k loginKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	spec, err := decode[loginSpec](r)
	if err != nil {
		return err
	}
	if err := k.dropRole(ctx, spec.Role); err != nil {
		return err
	}
	if err := k.vault.Delete(ctx, spec.Password); err != nil && !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	return nil
}

// removeFolder takes a folder of the environment away.
func removeFolder(path string) error { return os.RemoveAll(path) }
