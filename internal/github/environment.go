package github

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
	"golang.org/x/crypto/nacl/box"

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
		sealed, err := seal(key.GetKey(), secrets[name])
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

// seal encrypts a value for the holder of a public key (docs.github.com/rest/guides/encrypting-secrets-for-the-rest-api).
func seal(publicKey string, value flowehr.Secret) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(publicKey)
	if err != nil || len(raw) != 32 {
		return "", errors.New("GitHub's public key is not one of 32 bytes")
	}
	out, err := box.SealAnonymous(nil, []byte(value.Reveal()), (*[32]byte)(raw), rand.Reader)
	return base64.StdEncoding.EncodeToString(out), err
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

// RunnerToken returns a token with which a runner registers itself within the hour: for one repository, or for the whole
// organisation when repository is empty.
func (c *Client) RunnerToken(ctx context.Context, owner, repository string) (flowehr.Secret, error) {
	var t *github.RegistrationToken
	var err error
	if repository == "" {
		t, _, err = c.api.Actions.CreateOrganizationRegistrationToken(ctx, owner)
	} else {
		t, _, err = c.api.Actions.CreateRegistrationToken(ctx, owner, repository)
	}
	if err != nil {
		return flowehr.Secret{}, failed(err, "token for a runner of %s/%s", owner, repository)
	}
	return flowehr.NewSecret(t.GetToken()), nil
}

// Comment writes text below an issue or pull request. A comment that begins with mark, when that is not empty, is changed
// instead of writing another.
func (c *Client) Comment(ctx context.Context, owner, repository string, number int, mark, text string) error {
	body := &github.IssueComment{Body: github.Ptr(mark + text)}
	have, err := c.marked(ctx, owner, repository, number, mark)
	switch {
	case err != nil:
		return err
	case have != 0:
		_, _, err = c.api.Issues.EditComment(ctx, owner, repository, have, body)
	default:
		_, _, err = c.api.Issues.CreateComment(ctx, owner, repository, number, body)
	}
	return failed(err, "comment on %s/%s#%d", owner, repository, number)
}

func (c *Client) marked(ctx context.Context, owner, repository string, number int, mark string) (found int64, err error) {
	if mark == "" {
		return 0, nil
	}
	err = pages(func(o github.ListOptions) (*github.Response, error) {
		list, res, err := c.api.Issues.ListComments(ctx, owner, repository, number, &github.IssueListCommentsOptions{ListOptions: o})
		for _, comment := range list {
			if strings.HasPrefix(comment.GetBody(), mark) {
				found = comment.GetID()
			}
		}
		return res, err
	})
	return found, failed(err, "comments of %s/%s#%d", owner, repository, number)
}
