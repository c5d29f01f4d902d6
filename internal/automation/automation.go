// Package automation makes what continuous integration needs outside the repository: the identity that it signs in with
// ([Identity]), the ground that it stands on in Azure ([Template]) and the settings on GitHub that name both ([Setting]).
//
// It writes no workflow (automation/workflows) and answers no comment (automation/bot); the template that it returns is
// deployed by whoever deploys stacks.
//
// The rule that holds here: a person makes these things, never a machine. They are the only ones in the product that give
// rights over a whole subscription, so everything that is made is listed before and after, everything is found again by its
// name, and what the person may not grant is said and not tried around.
package automation

import (
	"context"
	"fmt"

	"github.com/flowehr/flowehr"
)

// Names of the settings on GitHub, which workflows and deployments read.
const (
	ClientID          = "ARM_CLIENT_ID"
	TenantID          = "ARM_TENANT_ID"
	SubscriptionID    = "ARM_SUBSCRIPTION_ID"
	ClientSecret      = "ARM_CLIENT_SECRET"
	ResourceGroup     = "CI_RESOURCE_GROUP"
	ContainerRegistry = "CI_CONTAINER_REGISTRY"
	StorageAccount    = "CI_STORAGE_ACCOUNT"
	PeeringNetwork    = "CI_PEERING_VNET"
	RunnerLabel       = "CI_GITHUB_RUNNER_LABEL"
)

// Setting is a variable or a secret on GitHub.
type Setting struct {
	Name        string         `json:"name"`
	Kind        SettingKind    `json:"kind"`
	Environment string         `json:"environment,omitempty"` // a GitHub environment; empty means the repository
	Value       string         `json:"value,omitempty"`       // of one that may be shown
	Secret      flowehr.Secret `json:"-"`                     // of one that may not
}

// SettingKind says which of GitHub's two kinds a setting is.
type SettingKind string

// Kinds of setting. Identifiers are kept as secrets, as the older system did, though they are none.
const (
	Variable SettingKind = "variable"
	Secret   SettingKind = "secret"
)

// Keeper keeps settings of one GitHub repository. Each method may be called again with the same arguments.
type Keeper interface {
	// KeepEnvironment makes a GitHub environment unless it stands; its protection rules are left as they are.
	KeepEnvironment(ctx context.Context, name string) error
	// KeepVariable sets a variable; environment is empty for one of the repository.
	KeepVariable(ctx context.Context, environment, name, value string) error
	// KeepSecret sets a secret; environment is empty for one of the repository.
	KeepSecret(ctx context.Context, environment, name string, value flowehr.Secret) error
}

// Store keeps settings on GitHub. It stops at the first that cannot be kept and may be repeated.
func Store(ctx context.Context, k Keeper, settings []Setting) error {
	made := map[string]bool{"": true}
	for _, s := range settings {
		if !made[s.Environment] {
			if err := k.KeepEnvironment(ctx, s.Environment); err != nil {
				return fmt.Errorf("GitHub environment %s: %w", s.Environment, err)
			}
			made[s.Environment] = true
		}
		if err := store(ctx, k, s); err != nil {
			return fmt.Errorf("%s %s: %w", s.Kind, s.Name, err)
		}
	}
	return nil
}

func store(ctx context.Context, k Keeper, s Setting) error {
	if s.Kind == Variable {
		return k.KeepVariable(ctx, s.Environment, s.Name, s.Value)
	}
	value := s.Secret
	if s.Value != "" {
		value = flowehr.NewSecret(s.Value)
	}
	return k.KeepSecret(ctx, s.Environment, s.Name, value)
}
