package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/config"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
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

func (a *app) newSecretsRotateCommand() *cobra.Command {
	all, yes := false, false
	c := &cobra.Command{
		Use:   "rotate [NAME]",
		Short: "Replace a secret in Azure and refresh everything that uses it",
		Long: `NAME is a secret that the platform made, as in the vault (see them without NAME), or one of the definition that has a new
value. A made one gets a new value, everything that holds a copy is refreshed, and then the former value ends; until then
both work, so nothing stands still.`,
		Example: "  flowehr secrets rotate\n  flowehr secrets rotate flowehr-dbks-sql-app-secret\n  flowehr secrets rotate EPR_PASSWORD\n  flowehr secrets rotate --all",
		Args:    mostArgs(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := a.load(c.Context(), loadOptions{changes: true})
			if err != nil {
				return err
			}
			if d.env.Target != flowehr.TargetAzure {
				return hint(errors.New("on this machine the platform's own passwords are made anew with the environment"), "For a secret of the definition: flowehr secrets set NAME, then flowehr deploy")
			}
			return a.withAzure(c.Context(), d, siteOptions{}, func(s *azureSite) error {
				switch made := s.madeSecrets(); {
				case all:
					return a.rotateMade(c.Context(), s, made, yes)
				case len(args) == 0:
					return a.listMade(made)
				default:
					return a.rotateNamed(c.Context(), s, made, args[0], yes)
				}
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every secret that the platform made")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// madeSecrets lists what was deployed that keeps a secret which the platform made.
func (s *azureSite) madeSecrets() []flowehr.Ref {
	var out []flowehr.Ref
	for _, ref := range sortedRefs(s.state.Records) {
		if ref.Kind == azure.KindRegistryToken {
			out = append(out, ref)
		}
		var spec azure.VaultSecretSpec
		if ref.Kind != azure.KindVaultSecret || json.Unmarshal(s.state.Records[ref].Resource.Spec, &spec) != nil {
			continue
		}
		if src := spec.Source; src.Password != nil || src.Generated != nil {
			out = append(out, ref)
		}
	}
	return out
}

func (a *app) listMade(made []flowehr.Ref) error {
	if a.json() {
		return a.writeJSON(made)
	}
	t := a.table("Secret", "Kind")
	for _, ref := range made {
		t.Row(secretName(ref), ref.Kind)
	}
	if err := t.Write(a.out); err != nil {
		return err
	}
	a.next("Replace one with: flowehr secrets rotate NAME%s   All: flowehr secrets rotate --all%s", a.simulateFlag(), a.simulateFlag())
	return nil
}

// secretName is what people call a secret: its name without the vault.
func secretName(ref flowehr.Ref) string {
	if _, name, ok := strings.Cut(ref.Name, "/"); ok {
		return name
	}
	return ref.Name
}

func (a *app) rotateNamed(ctx context.Context, s *azureSite, made []flowehr.Ref, name string, yes bool) error {
	if i := slices.IndexFunc(made, func(ref flowehr.Ref) bool { return secretName(ref) == name || ref.Name == name }); i >= 0 {
		return a.rotateMade(ctx, s, made[i:i+1], yes)
	}
	if !slices.ContainsFunc(s.d.document.Secrets(), func(r config.Reference) bool { return r.Name == name }) {
		return hint(fmt.Errorf("there is no secret %s that the platform made, and the definition names none", name), "See them with: flowehr secrets rotate")
	}
	if err := s.missingSecrets(ctx); err != nil {
		return err
	}
	return a.refresh(ctx, s, azuretarget.Rotation{Input: name}, name, yes)
}

// rotateMade replaces secrets one after the other.
func (a *app) rotateMade(ctx context.Context, s *azureSite, made []flowehr.Ref, yes bool) error {
	if !yes {
		if err := a.confirm(fmt.Sprintf("Replace %d secrets and refresh what uses them?", len(made)), "yes", "flowehr secrets rotate NAME --yes"); err != nil {
			return err
		}
	}
	for _, ref := range made {
		spec, err := s.target.Known(ctx, s.state.Records[ref].Resource)
		if err != nil {
			return err
		}
		if err := s.target.Rotate(ctx, spec); err != nil {
			return err
		}
		if err := a.refresh(ctx, s, azuretarget.Rotation{Made: ref}, secretName(ref), true); err != nil {
			return hint(err, "%s has a new value, and the former one works still. Go on with: flowehr secrets rotate %s%s", secretName(ref), secretName(ref), a.simulateFlag())
		}
		if err := s.target.Retire(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}

// refresh does everything again that holds a secret with a new value.
func (a *app) refresh(ctx context.Context, s *azureSite, what azuretarget.Rotation, name string, yes bool) error {
	p, err := azuretarget.RotationPlan(s.state, what, s.d.env.RealData, s.now())
	if err != nil {
		return err
	}
	if err := a.showPlan(s, p); err != nil {
		return err
	}
	if !yes {
		if err := a.confirm("Refresh them?", "yes", "flowehr secrets rotate "+name+" --yes"); err != nil {
			return err
		}
	}
	if _, err := a.azureApply(ctx, s, p, "flowehr secrets rotate "+name+a.simulateFlag()); err != nil {
		return err
	}
	if s.state, err = s.load(ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.errOut, "%s %s: %d resources have the new value.\n", a.style(a.errOut).Done(), name, len(p.Steps))
	return nil
}
