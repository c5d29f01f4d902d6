package compliance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
)

var vaultTypes = []string{"Microsoft.KeyVault/vaults"}

const keyVault = "key vault"

var (
	vaultPurge    = property(keyVault, vaultTypes, "enablePurgeProtection", "false", "Turn purge protection on; it cannot be turned off again. Environments with real data have it.", "true")
	vaultSoft     = property(keyVault, vaultTypes, "enableSoftDelete", "true", "Turn soft deletion on.", "true")
	vaultRoles    = property(keyVault, vaultTypes, "enableRbacAuthorization", "false", "Let roles decide who reads the vault.", "true")
	vaultPublic   = property(keyVault, vaultTypes, "publicNetworkAccess", "Enabled", "Deploy from the network's own build agents (CI), which keeps public access off.", "Disabled")
	vaultEndpoint = endpoints(keyVault, vaultTypes)
	vaultKeys     = vaultThings("key", "keys", true)
	vaultKeysOld  = vaultThings("key", "keys", false)
	vaultSecrets  = vaultThings("secret", "secrets", true)
	vaultOld      = vaultThings("secret", "secrets", false)
)

func vaultRecoverable(v *view) Finding { return worst(vaultSoft(v), vaultPurge(v)) }

// vaultThings is a check that keys or secrets of vaults end some day: those of vaults with roles, or of those without.
func vaultThings(noun, kind string, roles bool) check {
	return func(v *view) Finding {
		var vaults []*item
		for _, it := range v.of(vaultTypes...) {
			if it.state != read || (has(it, "enableRbacAuthorization", "false", "true").status == Met) == roles {
				vaults = append(vaults, it)
			}
		}
		if len(vaults) == 0 {
			return Finding{Status: NotApplicable, Why: "No vault decides by " + map[bool]string{true: "roles", false: "access policies"}[roles] + "."}
		}
		var things []*item
		for _, it := range vaults {
			things = append(things, v.children(it, kind)...)
			if v.deployed && it.state == read && !v.listed[strings.ToLower(it.id+"/"+kind)] && len(v.children(it, kind)) == 0 {
				return Finding{Status: CannotTell, Why: "The vault's " + kind + " were not listed.", Next: "Whoever may list them can tell: Azure's portal shows when each ends.", Evidence: []Evidence{{Resource: it.called(), Property: kind, Value: "not listed"}}}
			}
		}
		if kind == "secrets" && !v.deployed {
			return v.plannedSecrets(vaults)
		}
		f := every(v, noun, things, "Give each a date on which it ends.", func(it *item) verdict {
			value, set := it.text("attributes.exp")
			return told(set && value != "0", it, "attributes.exp", map[bool]string{true: value, false: "never"}[set], "")
		})
		if f.Status == NotApplicable {
			f.Why = "No " + noun + " is kept in the vaults."
		}
		return f
	}
}

// plannedSecrets judges the secrets of a definition: passwords of applications and registries end, what the definition brings
// along or names does not.
func (v *view) plannedSecrets(vaults []*item) Finding {
	f := Finding{Status: Met, Why: "Every secret that the product makes ends."}
	lasting, all := 0, 0
	for _, r := range v.specs {
		var spec azure.VaultSecretSpec
		if r.Ref.Kind != azure.KindVaultSecret || json.Unmarshal(r.Spec, &spec) != nil || !slices.ContainsFunc(vaults, func(it *item) bool { return it.name == spec.Vault }) {
			continue
		}
		e := Evidence{Resource: r.Ref.String(), Property: "source"}
		all++
		switch s := spec.Source; {
		case s.Password != nil:
			e.Value = fmt.Sprintf("password that ends after %d days", s.Password.Days)
		case s.Registry != nil:
			e.Value = fmt.Sprintf("registry password that ends after %d days", s.Registry.Days)
		default:
			e.Value = "no end"
			lasting++
		}
		f.Evidence = append(f.Evidence, e)
	}
	switch {
	case all == 0:
		return Finding{Status: NotApplicable, Why: "No secret is kept in the vaults."}
	case lasting > 0:
		f.Status, f.Next = NotMet, "Client ids and what the definition brings along have no end of their own. Set one in the vault for those that are secret, and renew them."
		f.Why = fmt.Sprintf("%d of %s have no end.", lasting, plural(all, "secret"))
	}
	return f
}

var certificates = absentFrom("certificate", "No certificate is kept in the vaults: Azure issues those of the addresses.", "Microsoft.KeyVault/vaults/certificates")
