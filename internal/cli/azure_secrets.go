package cli

import (
	"context"
	"fmt"

	"github.com/flowehr/flowehr/internal/azure"
)

// azureSecretsSet stores a value in the key vault of the environment.
func (a *app) azureSecretsSet(ctx context.Context, name string) error {
	d, err := a.load(ctx, loadOptions{changes: true, lenient: true})
	if err != nil {
		return err
	}
	value, err := a.readSecret(name)
	if err != nil {
		return err
	}
	a.veil.Hide(value.Reveal())
	vault := azure.NamesOf(d.env).Vault()
	return a.withAzure(ctx, d, siteOptions{}, func(s *azureSite) error {
		if err := s.target.SetSecret(ctx, vault, name, value); err != nil {
			return err
		}
		fmt.Fprintf(a.errOut, "%s %s is in the key vault %s.\n", a.style(a.errOut).Done(), name, vault)
		a.next("What uses it gets it with: flowehr secrets rotate %s%s", name, a.simulateFlag())
		return nil
	})
}

// azureSecretsList lists the names of the definition that the key vault has values for.
func (a *app) azureSecretsList(ctx context.Context, d *definition) error {
	return a.withAzure(ctx, d, siteOptions{}, func(s *azureSite) error {
		names, err := s.target.InputNames(ctx, azure.NamesOf(d.env).Vault())
		if err != nil {
			return err
		}
		if a.json() {
			return a.writeJSON(names)
		}
		t := a.table("Name", "Value")
		for _, n := range names {
			t.Row(n, "in the key vault")
		}
		return t.Write(a.out)
	})
}
