package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// ErrNoSecret says that the vault does not have a value for a name.
var ErrNoSecret = errors.New("the vault has no value for it")

// Values that people set for names in their definition stand in the core vault beside the platform's own, under a prefix
// that no name of the platform has. The vault knows no underscores, and the tag keeps the name as it is written.
const (
	definitionPrefix = "definition-"
	definitionTag    = "flowehr-name"
)

// InputRef is where the value of a name of the definition, ${NAME}, stands in a vault.
func InputRef(vault, name string) azure.VaultRef {
	return azure.VaultRef{Vault: vault, Name: definitionPrefix + strings.ReplaceAll(name, "_", "-")}
}

// Secret returns the value that was set for a name of the definition. A name without a value, in a vault that is not there or
// may not be read, is ErrNoSecret with the reason.
func (t *Target) Secret(ctx context.Context, vault, name string) (flowehr.Secret, error) {
	have, found, err := t.vaultsNow().get(ctx, InputRef(vault, name))
	switch {
	case err != nil:
		return flowehr.Secret{}, fmt.Errorf("%w: %w", ErrNoSecret, err)
	case !found, have.Tags[definitionTag] != "" && have.Tags[definitionTag] != name:
		return flowehr.Secret{}, ErrNoSecret
	}
	return flowehr.NewSecret(have.Value), nil
}

// SetSecret stores a value for a name of the definition.
func (t *Target) SetSecret(ctx context.Context, vault, name string, value flowehr.Secret) error {
	return t.vaultsNow().set(ctx, InputRef(vault, name), vaultSecret{Value: value.Reveal(), ContentType: "value for ${" + name + "}",
		Tags: map[string]string{definitionTag: name}})
}

// InputNames lists the names of the definition that a vault has values for.
func (t *Target) InputNames(ctx context.Context, vault string) ([]string, error) {
	var names []string
	err := t.o.Client.Pages(ctx, cloud.Vault(vault), "/secrets"+vaultVersion, func(raw json.RawMessage) error {
		var s struct{ Tags map[string]string }
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if name := s.Tags[definitionTag]; name != "" {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// vaultsNow does not wait for roles to take effect: a person waits for the answer.
func (t *Target) vaultsNow() vaults { return vaults{c: t.o.Client} }
