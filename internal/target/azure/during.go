package azure

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// During is the target while a plan is carried out. It knows which vaults and servers go with their stacks in the same plan: what
// lives in one of them and cannot be reached any more, because the network has been closed to who destroys, goes with it and
// does not have to be taken away first. Outside such a plan the refusal stands. It also knows which locks of real data stay.
func (t *Target) During(p flowehr.Plan) apply.Target {
	d := during{Target: t, locks: t.locksDuring(p), going: map[string]bool{}}
	for _, step := range p.Steps {
		if step.Action != flowehr.Delete || step.Want.Ref.Kind != azure.KindStack {
			continue
		}
		for _, part := range partsOfSpec(step.Want.Spec) {
			d.going[host(part.typ, part.name)] = true
		}
	}
	return d
}

type during struct {
	*Target
	locks *locks
	going map[string]bool // by host
}

// Types of servers that users of a database live in.
const (
	typeSQLServer      = "Microsoft.Sql/servers"
	typePostgresServer = "Microsoft.DBforPostgreSQL/flexibleServers"
)

func host(typ, name string) string { return strings.ToLower(typ + "/" + name) }

// Do is [Target.Do], but for what goes by itself and for what locks of ours forbid.
func (d during) Do(ctx context.Context, step flowehr.Step, in apply.Inputs) (flowehr.Record, error) {
	if err := d.locks.clear(ctx, step, in); err != nil {
		return flowehr.Record{Resource: step.Want, At: d.o.Now().UTC()}, err
	}
	rec, err := d.Target.Do(ctx, step, in)
	if step.Action != flowehr.Delete || !shutOut(err) || !d.goes(step) {
		return rec, err
	}
	in.Note("out of reach; it goes with what it is in")
	return rec, nil
}

// shutOut recognises a vault that does not answer whoever asks from where they are. A server is reached with a password that is
// in a vault, so it is the vault that refuses there, too.
func shutOut(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	_, closed := e.Because("ForbiddenByConnection", "ForbiddenByFirewall")
	return closed
}

// goes reports whether what the step takes away lives in something that the plan takes away.
func (d during) goes(step flowehr.Step) bool {
	spec := step.Want.Spec
	if step.Prior != nil {
		spec = step.Prior.Resource.Spec
	}
	switch step.Want.Ref.Kind {
	case azure.KindVaultSecret:
		var s azure.VaultSecretSpec
		return json.Unmarshal(spec, &s) == nil && d.going[host(typeVault, s.Vault)]
	case azure.KindRegistryToken:
		var s azure.RegistryTokenSpec
		return json.Unmarshal(spec, &s) == nil && d.going[host(typeVault, s.Secret.Vault)]
	case azure.KindSQLPrincipal:
		var s azure.SQLPrincipalSpec
		if json.Unmarshal(spec, &s) != nil {
			return false
		}
		name, _, _ := strings.Cut(s.Server, ".")
		return d.going[host(typeSQLServer, name)] || d.going[host(typePostgresServer, name)]
	}
	return false
}
