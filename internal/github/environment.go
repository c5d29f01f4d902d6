package github

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-github/v88/github"

	"github.com/flowehr/flowehr"
)

// Environment is a deployment environment: which branches may deploy to it, and the secrets that their jobs get. GitHub
// never gives a secret back, only when it was last written.
type Environment struct {
	Owner, Repository, Name string
	Branches                []string             // patterns; sorted when read
	Secrets                 map[string]time.Time // when each was last written; set when read
}

// Environment returns what stands. The error is ErrNotFound when nothing does.
func (c *Client) Environment(ctx context.Context, owner, repository, name string) (Environment, error) {
	e := Environment{Owner: owner, Repository: repository, Name: name, Secrets: map[string]time.Time{}}
	r, err := c.Repository(ctx, owner, repository)
	if err != nil {
		return e, err
	}
	if _, _, err := c.api.Repositories.GetEnvironment(ctx, owner, repository, name); err != nil {
		return e, failed(err, "environment %s of %s/%s", name, owner, repository)
	}
	policies, err := c.policies(ctx, e)
	if err != nil {
		return e, err
	}
	e.Branches = slices.Sorted(maps.Keys(policies))
	err = pages(func(o github.ListOptions) (*github.Response, error) {
		list, res, err := c.api.Actions.ListEnvSecrets(ctx, int(r.ID), name, &o)
		if err == nil {
			for _, s := range list.Secrets {
				e.Secrets[s.Name] = s.UpdatedAt.Time
			}
		}
		return res, err
	})
	return e, failed(err, "secrets of environment %s of %s/%s", name, owner, repository)
}

// EnvironmentsWith lists the deployment environments of a repository that have a secret of a name, sorted. A repository that
// does not exist has none.
func (c *Client) EnvironmentsWith(ctx context.Context, owner, repository, secret string) ([]string, error) {
	var names, out []string
	err := pages(func(o github.ListOptions) (*github.Response, error) {
		list, res, err := c.api.Repositories.ListEnvironments(ctx, owner, repository, &github.EnvironmentListOptions{ListOptions: o})
		if err == nil {
			for _, e := range list.Environments {
				names = append(names, e.GetName())
			}
		}
		return res, err
	})
	if err != nil {
		return nil, ignoreNotFound(failed(err, "environments of %s/%s", owner, repository))
	}
	for _, name := range names {
		e, err := c.Environment(ctx, owner, repository, name)
		if err := ignoreNotFound(err); err != nil { // not found: removed meanwhile
			return nil, err
		}
		if _, has := e.Secrets[secret]; has {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// policies returns the ids of the branch patterns.
func (c *Client) policies(ctx context.Context, e Environment) (map[string]int64, error) {
	out := map[string]int64{}
	err := pages(func(o github.ListOptions) (*github.Response, error) {
		list, res, err := c.api.Repositories.ListDeploymentBranchPolicies(ctx, e.Owner, e.Repository, e.Name, &o)
		if err == nil {
			for _, p := range list.BranchPolicies {
				out[p.GetName()] = p.GetID()
			}
		}
		return res, err
	})
	if status(err) == http.StatusNotFound {
		return out, nil // the environment has no patterns of its own
	}
	return out, failed(err, "branches of environment %s of %s/%s", e.Name, e.Owner, e.Repository)
}

// EnsureEnvironment makes the environment stand with exactly its branches and secrets. Secrets are written whenever it is
// called, because nobody can tell whether they are the same.
func (c *Client) EnsureEnvironment(ctx context.Context, want Environment, secrets map[string]flowehr.Secret) error {
	r, err := c.Repository(ctx, want.Owner, want.Repository)
	if err != nil {
		return err
	}
	policy := &github.BranchPolicy{ProtectedBranches: new(bool), CustomBranchPolicies: github.Ptr(true)}
	_, _, err = c.api.Repositories.CreateUpdateEnvironment(ctx, want.Owner, want.Repository, want.Name, &github.CreateUpdateEnvironment{DeploymentBranchPolicy: policy})
	if err != nil {
		return failed(err, "make environment %s of %s/%s", want.Name, want.Owner, want.Repository)
	}
	if err := c.ensurePolicies(ctx, want); err != nil {
		return err
	}
	have, err := c.Environment(ctx, want.Owner, want.Repository, want.Name)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(have.Secrets)) {
		if _, wanted := secrets[name]; wanted {
			continue
		}
		_, err := c.api.Actions.DeleteEnvSecret(ctx, int(r.ID), want.Name, name)
		if err := ignoreNotFound(failed(err, "delete secret %s of environment %s", name, want.Name)); err != nil {
			return err
		}
	}
	return c.writeSecrets(ctx, want, int(r.ID), secrets)
}

func (c *Client) ensurePolicies(ctx context.Context, want Environment) error {
	have, err := c.policies(ctx, want)
	if err != nil {
		return err
	}
	for _, branch := range want.Branches {
		if _, stands := have[branch]; stands {
			delete(have, branch)
			continue
		}
		req := &github.DeploymentBranchPolicyRequest{Name: &branch, Type: github.Ptr("branch")}
		_, _, err := c.api.Repositories.CreateDeploymentBranchPolicy(ctx, want.Owner, want.Repository, want.Name, req)
		if err != nil && status(err) != http.StatusSeeOther {
			return failed(err, "let branch %s deploy to %s", branch, want.Name)
		}
	}
	for _, branch := range slices.Sorted(maps.Keys(have)) {
		_, err := c.api.Repositories.DeleteDeploymentBranchPolicy(ctx, want.Owner, want.Repository, want.Name, have[branch])
		if err := ignoreNotFound(failed(err, "let branch %s no longer deploy to %s", branch, want.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) writeSecrets(ctx context.Context, want Environment, repository int, secrets map[string]flowehr.Secret) error {
	if len(secrets) == 0 {
		return nil
	}
	key, _, err := c.api.Actions.GetEnvPublicKey(ctx, repository, want.Name)
	if err != nil {
		return failed(err, "public key of environment %s", want.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		sealed, err := Seal(key.GetKey(), secrets[name])
		if err != nil {
			return fmt.Errorf("seal secret %s: %w", name, err)
		}
		secret := &github.EncryptedSecret{Name: name, KeyID: key.GetKeyID(), EncryptedValue: sealed}
		if _, err := c.api.Actions.CreateOrUpdateEnvSecret(ctx, repository, want.Name, secret); err != nil {
			return failed(err, "write secret %s of environment %s", name, want.Name)
		}
	}
	return nil
}

// DeleteEnvironment removes an environment with its secrets. One that does not exist is no error.
func (c *Client) DeleteEnvironment(ctx context.Context, owner, repository, name string) error {
	r, err := c.Repository(ctx, owner, repository)
	if err != nil || r.Archived {
		return ignoreNotFound(err)
	}
	_, err = c.api.Repositories.DeleteEnvironment(ctx, owner, repository, name)
	return ignoreNotFound(failed(err, "delete environment %s of %s/%s", name, owner, repository))
}
