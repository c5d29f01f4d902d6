package github

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/google/go-github/v88/github"
)

// Branch is a protected branch. Nobody may push to it by force or delete it.
type Branch struct {
	Owner, Repository, Name string
	Approvals               int
	CodeOwners              bool
	DismissStale            bool
	Strict                  bool     // status checks must be up to date
	Checks                  []string // sorted when read
}

// Branch returns what stands, without rules when it is not protected. The error is ErrNotFound when there is none.
func (c *Client) Branch(ctx context.Context, owner, repository, name string) (b Branch, protected bool, err error) {
	b = Branch{Owner: owner, Repository: repository, Name: name}
	if _, _, err := c.api.Git.GetRef(ctx, owner, repository, "heads/"+name); err != nil {
		return b, false, failed(err, "branch %s of %s/%s", name, owner, repository)
	}
	p, _, err := c.api.Repositories.GetBranchProtection(ctx, owner, repository, name)
	if errors.Is(err, github.ErrBranchNotProtected) || status(err) == http.StatusNotFound {
		return b, false, nil
	}
	if err != nil {
		return b, false, failed(err, "protection of %s of %s/%s", name, owner, repository)
	}
	if r := p.RequiredPullRequestReviews; r != nil {
		b.Approvals, b.CodeOwners, b.DismissStale = r.RequiredApprovingReviewCount, r.RequireCodeOwnerReviews, r.DismissStaleReviews
	}
	if s := p.RequiredStatusChecks; s != nil {
		b.Strict, b.Checks = s.Strict, contexts(s)
	}
	open := p.AllowForcePushes != nil && p.AllowForcePushes.Enabled || p.AllowDeletions != nil && p.AllowDeletions.Enabled
	return b, !open, nil
}

func contexts(s *github.RequiredStatusChecks) []string {
	var out []string
	if s.Checks != nil {
		for _, check := range *s.Checks {
			out = append(out, check.Context)
		}
	} else if s.Contexts != nil {
		out = append(out, *s.Contexts...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// EnsureBranch makes the branch from the default one, unless it stands, and protects it exactly as wanted.
func (c *Client) EnsureBranch(ctx context.Context, want Branch) error {
	have, protected, err := c.Branch(ctx, want.Owner, want.Repository, want.Name)
	if errors.Is(err, ErrNotFound) {
		err = c.makeBranch(ctx, want)
	}
	if err != nil {
		return err
	}
	if protected && sameRules(have, want) {
		return nil
	}
	checks := []*github.RequiredStatusCheck{}
	for _, name := range want.Checks {
		checks = append(checks, &github.RequiredStatusCheck{Context: name})
	}
	_, _, err = c.api.Repositories.UpdateBranchProtection(ctx, want.Owner, want.Repository, want.Name, &github.ProtectionRequest{
		RequiredStatusChecks: &github.RequiredStatusChecks{Strict: want.Strict, Checks: &checks},
		RequiredPullRequestReviews: &github.PullRequestReviewsEnforcementRequest{RequiredApprovingReviewCount: want.Approvals,
			RequireCodeOwnerReviews: want.CodeOwners, DismissStaleReviews: want.DismissStale},
		AllowForcePushes: new(bool), AllowDeletions: new(bool)})
	return failed(err, "protect branch %s of %s/%s", want.Name, want.Owner, want.Repository)
}

func sameRules(a, b Branch) bool {
	x, y := slices.Sorted(slices.Values(a.Checks)), slices.Sorted(slices.Values(b.Checks))
	return a.Approvals == b.Approvals && a.CodeOwners == b.CodeOwners && a.DismissStale == b.DismissStale && a.Strict == b.Strict && slices.Equal(x, y)
}

func (c *Client) makeBranch(ctx context.Context, want Branch) error {
	r, err := c.Repository(ctx, want.Owner, want.Repository)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		from, _, err := c.api.Git.GetRef(ctx, want.Owner, want.Repository, "heads/"+r.Branch)
		if err != nil {
			return failed(err, "branch %s of %s/%s", r.Branch, want.Owner, want.Repository)
		}
		_, _, err = c.api.Git.CreateRef(ctx, want.Owner, want.Repository, github.CreateRef{Ref: "refs/heads/" + want.Name, SHA: from.GetObject().GetSHA()})
		if status(err) != http.StatusUnprocessableEntity {
			return failed(err, "make branch %s of %s/%s", want.Name, want.Owner, want.Repository)
		}
		// It was made by an earlier request whose answer was lost, or somebody has committed since we looked.
		if _, _, gerr := c.api.Git.GetRef(ctx, want.Owner, want.Repository, "heads/"+want.Name); gerr == nil {
			return nil
		}
		if n == branchAttempts {
			return failed(err, "make branch %s of %s/%s", want.Name, want.Owner, want.Repository)
		}
	}
}

// branchAttempts is how often a branch is begun from a default branch that moves on.
const branchAttempts = 5

// ReleaseBranch takes the protection off a branch and, unless it is the default one, deletes it. What does not exist is no
// error.
func (c *Client) ReleaseBranch(ctx context.Context, owner, repository, name string) error {
	r, err := c.Repository(ctx, owner, repository)
	if err != nil || r.Archived {
		return ignoreNotFound(err)
	}
	_, err = c.api.Repositories.RemoveBranchProtection(ctx, owner, repository, name)
	if errors.Is(err, github.ErrBranchNotProtected) {
		err = nil
	}
	if err := ignoreNotFound(failed(err, "take the protection off %s of %s/%s", name, owner, repository)); err != nil || r.Branch == name {
		return err
	}
	_, err = c.api.Git.DeleteRef(ctx, owner, repository, "heads/"+name)
	if status(err) == http.StatusUnprocessableEntity {
		return nil // GitHub's word for a reference that does not exist
	}
	return ignoreNotFound(failed(err, "delete branch %s of %s/%s", name, owner, repository))
}
