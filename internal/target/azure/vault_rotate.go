package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// Rotate gives a secret that is made (a password of an application or of a registry token, a random value) a new value
// and writes it as a new version. The former password of an application or token stays valid, so that whatever holds a
// copy works on until it is refreshed: do every resource that [Users] names, then call [Target.Retire].
//
// Rotating again before the former one was retired retires it first: at most two are valid at a time.
func (t *Target) Rotate(ctx context.Context, s azure.VaultSecretSpec) error {
	m := t.secretMinder(accessLimit)
	ref := secretRef(s)
	have, found, err := m.vaults.revive(ctx, ref)
	if err != nil {
		return err
	}
	switch src := s.Source; {
	case src.Password != nil:
		former := ""
		if found && have.Tags[tagApplication] == text(src.Password.Application) {
			former = have.Tags[tagKey]
		}
		if err := m.dropPasswords(ctx, text(src.Password.Application), ref, []string{former}); err != nil {
			return err
		}
		return m.addPassword(ctx, ref, *src.Password, have, former)
	case src.Registry != nil:
		return m.rotateRegistry(ctx, ref, *src.Registry, have)
	case src.Generated != nil:
		return m.generate(ctx, ref, *src.Generated)
	}
	return fmt.Errorf("secret %s is given by the definition: change its value there", s.Name)
}

// Retire makes the former password of a rotated secret invalid. Without one it does nothing. A former password of a
// registry token is not taken away: the registry replaces it at the next rotation, or it expires.
func (t *Target) Retire(ctx context.Context, s azure.VaultSecretSpec) error {
	if s.Source.Password == nil {
		return nil
	}
	m := t.secretMinder(accessLimit)
	ref := secretRef(s)
	have, found, err := m.vaults.get(ctx, ref)
	if err != nil || !found || have.Tags[tagFormer] == "" {
		return err
	}
	keep := []string{have.Tags[tagKey]}
	return m.dropPasswords(ctx, text(s.Source.Password.Application), ref, keep)
}

// Known returns the description of r, a vault secret or a registry token, with recorded outputs filled in, as [Target.Rotate]
// and [Target.Retire] want it.
func (t *Target) Known(ctx context.Context, r flowehr.Resource) (azure.VaultSecretSpec, error) {
	r.Spec = t.filled(ctx, r.Spec)
	if unknown, err := refersToUnknown(r); err != nil || unknown {
		return azure.VaultSecretSpec{}, cmpErr(err, fmt.Errorf("%s was not deployed yet", r.Ref))
	}
	if r.Ref.Kind == azure.KindRegistryToken {
		s, err := decodeSpec[azure.RegistryTokenSpec](r)
		return tokenMinder{}.secret(s), err
	}
	return decodeSpec[azure.VaultSecretSpec](r)
}

// Users returns the resources that hold a copy of a vault secret, directly or through another vault secret, in the order
// of all. Doing an Update of each gives it the newest value.
func Users(all []flowehr.Resource, ref azure.VaultRef) ([]flowehr.Ref, error) {
	return users(all, func(s azure.Source) bool { return s.Vault != nil && *s.Vault == ref })
}

// UsersOfInput is [Users] for a secret of the definition.
func UsersOfInput(all []flowehr.Resource, name string) ([]flowehr.Ref, error) {
	return users(all, func(s azure.Source) bool { return slices.Contains(s.Text.Secrets(), name) })
}

func users(all []flowehr.Resource, uses func(azure.Source) bool) ([]flowehr.Ref, error) {
	found := map[flowehr.Ref]bool{}
	copies := map[azure.VaultRef]bool{}
	for grown := true; grown; {
		grown = false
		for _, r := range all {
			sources, own, err := sourcesOf(r)
			if err != nil {
				return nil, err
			}
			hit := slices.ContainsFunc(sources, func(s azure.Source) bool { return uses(s) || s.Vault != nil && copies[*s.Vault] })
			if !hit || found[r.Ref] {
				continue
			}
			found[r.Ref], grown = true, true
			if own != nil {
				copies[*own] = true
			}
		}
	}
	var refs []flowehr.Ref
	for _, r := range all {
		if found[r.Ref] {
			refs = append(refs, r.Ref)
		}
	}
	return refs, nil
}

// sourcesOf returns where the values of the secrets that r holds come from, and the vault secret that r itself is.
func sourcesOf(r flowehr.Resource) ([]azure.Source, *azure.VaultRef, error) {
	var err error
	switch r.Ref.Kind {
	case azure.KindVaultSecret:
		var s azure.VaultSecretSpec
		err = json.Unmarshal(r.Spec, &s)
		ref := secretRef(s)
		return []azure.Source{s.Source}, &ref, err
	case azure.KindScopeSecret:
		var s azure.ScopeSecretSpec
		err = json.Unmarshal(r.Spec, &s)
		return []azure.Source{s.Source}, nil, err
	case azure.KindGitHubDeployment:
		var s azure.GitHubDeploymentSpec
		err = json.Unmarshal(r.Spec, &s)
		var all []azure.Source
		for _, source := range s.Secrets {
			all = append(all, source)
		}
		return all, nil, err
	}
	return nil, nil, nil
}
