package azure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/github"
)

func (t *Target) gitHubKeepers() map[string]keeper {
	h := newHub(t.o.GitHub, t.o.Client)
	s := secrets{vaults{c: t.o.Client, patience: accessLimit}}
	return map[string]keeper{
		azure.KindRepository:       keep(repositoryMinder{h}),
		azure.KindTeam:             keep(teamMinder{h}),
		azure.KindBranch:           keep(branchMinder{h}),
		azure.KindGitHubDeployment: keep(deploymentMinder{h, s}),
		azure.KindRepositoryFile:   keep(repositoryFileMinder{h}),
	}
}

// hub is GitHub, or why it cannot be used. Who deploys no app needs no GitHub, so that is said when it is first used.
type hub struct {
	client *github.Client
	err    error
}

func newHub(app GitHubApp, c *cloud.Client) hub {
	o := github.Options{Key: app.Key, Token: app.Token}
	var errs [2]error
	if app.AppID != "" {
		o.AppID, errs[0] = strconv.ParseInt(app.AppID, 10, 64)
	}
	if app.InstallationID != "" {
		o.InstallationID, errs[1] = strconv.ParseInt(app.InstallationID, 10, 64)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return hub{err: fmt.Errorf("id of the GitHub App: %w", err)}
	}
	if c != nil {
		o.Wait = c.Wait
		if c.Transport() != nil {
			o.Transport = carried{c.Transport()}
		}
	}
	client, err := github.New(o)
	return hub{client: client, err: err}
}

// carried makes a RoundTripper of how the client's requests travel.
type carried struct{ by policy.Transporter }

func (c carried) RoundTrip(r *http.Request) (*http.Response, error) { return c.by.Do(r) }

// absent makes what GitHub does not have one that is gone.
func absent(err error, what string) error {
	if errors.Is(err, github.ErrNotFound) {
		return gone("%s", what)
	}
	return err
}

// repositoryMinder looks after the repositories of apps. Removing one archives it: code that people wrote is not ours to
// lose. Only one that is disposable, such as that of a pull request's environment, is deleted. One that another environment of
// the app releases from stays as it is.
type repositoryMinder struct{ hub }

func (m repositoryMinder) ensure(ctx context.Context, s azure.RepositorySpec, t task) (made, error) {
	if m.err != nil {
		return made{}, m.err
	}
	ours := t.prior != nil && t.prior.ID != ""
	r, err := m.client.EnsureRepository(ctx, github.Repository{Owner: s.Owner, Name: s.Name, Description: s.Description, Private: s.Private,
		Template: s.Template}, ours)
	return repositoryMade(r), err
}

func repositoryMade(r github.Repository) made {
	return made{id: r.Owner + "/" + r.Name, outputs: map[string]string{azure.OutAddress: r.Address}}
}

func (m repositoryMinder) read(ctx context.Context, s azure.RepositorySpec, id string) (azure.RepositorySpec, made, error) {
	if m.err != nil {
		return s, made{}, m.err
	}
	r, err := m.client.Repository(ctx, s.Owner, s.Name)
	if err != nil {
		return s, made{}, absent(err, "repository "+s.Name)
	}
	if r.Archived || id == "" && s.Template != "" && !strings.EqualFold(r.Template, s.Template) {
		return s, made{}, gone("repository %s of this environment", s.Name)
	}
	s.Description, s.Private = r.Description, r.Private
	return s, repositoryMade(r), nil
}

func (m repositoryMinder) remove(ctx context.Context, s azure.RepositorySpec, id string) error {
	if _, _, err := m.read(ctx, s, id); err != nil {
		return err
	}
	if others, err := m.others(ctx, s.Owner, s.Name, s.Marker); err != nil || len(others) > 0 {
		return err
	}
	if s.Disposable {
		return m.client.DeleteRepository(ctx, s.Owner, s.Name)
	}
	return m.client.Archive(ctx, s.Owner, s.Name)
}

// others lists the GitHub environments of a repository that an environment of the app releases to. Those of the environment that
// is taken down are gone when this is asked, since they are made last.
func (h hub) others(ctx context.Context, owner, repository, marker string) ([]string, error) {
	if marker == "" {
		return nil, nil
	}
	return h.client.EnvironmentsWith(ctx, owner, repository, marker)
}

// sharedWith lists who else releases from the repository that a record is, or is the team of.
func (t *Target) sharedWith(ctx context.Context, rec flowehr.Record) ([]string, error) {
	h := newHub(t.o.GitHub, t.o.Client)
	switch rec.Resource.Ref.Kind {
	case azure.KindRepository:
		s, err := decodeSpec[azure.RepositorySpec](rec.Resource)
		if err = cmpErr(err, h.err); err != nil {
			return nil, err
		}
		return h.others(ctx, s.Owner, s.Name, s.Marker)
	case azure.KindTeam:
		s, err := decodeSpec[azure.TeamSpec](rec.Resource)
		if err = cmpErr(err, h.err); err != nil {
			return nil, err
		}
		return h.others(ctx, s.Owner, s.Repository, s.Marker)
	}
	return nil, nil
}

// teamMinder looks after teams, their members and what they may do in the app's repository.
type teamMinder struct{ hub }

func teamMade(t github.Team) made { return made{id: strconv.FormatInt(t.ID, 10)} }

func (m teamMinder) ensure(ctx context.Context, s azure.TeamSpec, _ task) (made, error) {
	if m.err != nil {
		return made{}, m.err
	}
	t, err := m.client.EnsureTeam(ctx, github.Team{Owner: s.Owner, Name: s.Name, Description: s.Description, Members: s.Members,
		Maintainers: s.Maintainers, Repository: s.Repository, Permission: s.Permission})
	return teamMade(t), err
}

func (m teamMinder) read(ctx context.Context, s azure.TeamSpec, _ string) (azure.TeamSpec, made, error) {
	if m.err != nil {
		return s, made{}, m.err
	}
	t, err := m.client.Team(ctx, s.Owner, s.Name, s.Repository)
	if err != nil {
		return s, made{}, absent(err, "team "+s.Name)
	}
	if !sameSet(lower(s.Members), t.Members) {
		s.Members = t.Members
	}
	s.Description, s.Permission = t.Description, t.Permission
	if len(t.Members) > 0 {
		s.Maintainers = t.Maintainers
	}
	return s, teamMade(t), nil
}

// lower: user names are the same in any case.
func lower(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToLower(n)
	}
	return out
}

func (m teamMinder) remove(ctx context.Context, s azure.TeamSpec, _ string) error {
	if m.err != nil {
		return m.err
	}
	if others, err := m.others(ctx, s.Owner, s.Repository, s.Marker); err != nil || len(others) > 0 {
		return err
	}
	return m.client.DeleteTeam(ctx, s.Owner, s.Name)
}

// branchMinder looks after branches and their protection.
type branchMinder struct{ hub }

func branchMade(s azure.BranchSpec) made {
	return made{id: s.Owner + "/" + s.Repository + "/" + s.Name}
}

func (m branchMinder) ensure(ctx context.Context, s azure.BranchSpec, _ task) (made, error) {
	if m.err != nil {
		return made{}, m.err
	}
	return branchMade(s), m.client.EnsureBranch(ctx, github.Branch{Owner: s.Owner, Repository: s.Repository, Name: s.Name, Approvals: s.Approvals,
		CodeOwners: s.CodeOwners, DismissStale: s.DismissStale, Strict: s.Strict, Checks: s.Checks})
}

// read: a branch without protection is not the one that is described, so it is gone.
func (m branchMinder) read(ctx context.Context, s azure.BranchSpec, _ string) (azure.BranchSpec, made, error) {
	if m.err != nil {
		return s, made{}, m.err
	}
	b, protected, err := m.client.Branch(ctx, s.Owner, s.Repository, s.Name)
	if err != nil {
		return s, made{}, absent(err, "branch "+s.Name)
	}
	if !protected {
		return s, made{}, gone("protection of branch %s", s.Name)
	}
	s.Approvals, s.CodeOwners, s.DismissStale, s.Strict = b.Approvals, b.CodeOwners, b.DismissStale, b.Strict
	s.Checks = asWanted(s.Checks, b.Checks)
	return s, branchMade(s), nil
}

func (m branchMinder) remove(ctx context.Context, s azure.BranchSpec, _ string) error {
	if m.err != nil {
		return m.err
	}
	return m.client.ReleaseBranch(ctx, s.Owner, s.Repository, s.Name)
}

// deploymentMinder looks after deployment environments and copies secrets into them. As with Databricks a copy of a vault
// secret counts as stale when the vault's version is clearly younger.
type deploymentMinder struct {
	hub
	secrets secrets
}

func deploymentMade(s azure.GitHubDeploymentSpec) made {
	return made{id: s.Owner + "/" + s.Repository + "/" + s.Name}
}

func (m deploymentMinder) ensure(ctx context.Context, s azure.GitHubDeploymentSpec, t task) (made, error) {
	if m.err != nil {
		return made{}, m.err
	}
	values := map[string]flowehr.Secret{}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		value, err := m.secrets.noting(t).value(ctx, s.Secrets[name], t.in)
		if err != nil {
			return made{}, fmt.Errorf("secret %s of environment %s: %w", name, s.Name, err)
		}
		values[name] = value
	}
	e := github.Environment{Owner: s.Owner, Repository: s.Repository, Name: s.Name, Branches: s.Branches}
	if err := m.client.EnsureEnvironment(ctx, e, values); err != nil {
		return deploymentMade(s), err
	}
	return m.told(ctx, s)
}

// told is what is made, with the subject that its jobs sign in to Azure with.
func (m deploymentMinder) told(ctx context.Context, s azure.GitHubDeploymentSpec) (made, error) {
	now := deploymentMade(s)
	subject, err := m.client.Subject(ctx, s.Owner, s.Repository, s.Name)
	now.outputs = map[string]string{azure.OutSubject: subject}
	return now, err
}

// read leaves out the source of a stale or missing copy, and shows a secret that nobody described without one.
func (m deploymentMinder) read(ctx context.Context, s azure.GitHubDeploymentSpec, _ string) (azure.GitHubDeploymentSpec, made, error) {
	if m.err != nil {
		return s, made{}, m.err
	}
	e, err := m.client.Environment(ctx, s.Owner, s.Repository, s.Name)
	if err != nil {
		return s, made{}, absent(err, "environment "+s.Name)
	}
	s.Branches = asWanted(s.Branches, e.Branches)
	now := make(map[string]azure.Source, len(e.Secrets))
	for name, written := range e.Secrets {
		source := s.Secrets[name]
		stale, err := m.stale(ctx, source, written)
		if err != nil {
			return s, made{}, err
		}
		if stale {
			source = azure.Source{}
		}
		now[name] = source
	}
	if len(now) > 0 || s.Secrets != nil {
		s.Secrets = now
	}
	is, err := m.told(ctx, s)
	return s, is, err
}

func (m deploymentMinder) stale(ctx context.Context, source azure.Source, written time.Time) (bool, error) {
	if source.Vault == nil {
		return false, nil
	}
	return vaults{c: m.secrets.vaults.c}.youngerThan(ctx, *source.Vault, written)
}

func (m deploymentMinder) remove(ctx context.Context, s azure.GitHubDeploymentSpec, _ string) error {
	if m.err != nil {
		return m.err
	}
	return m.client.DeleteEnvironment(ctx, s.Owner, s.Repository, s.Name)
}

// repositoryFileMinder looks after single files of a branch, such as workflows.
type repositoryFileMinder struct{ hub }

func repositoryFileMade(s azure.RepositoryFileSpec) made {
	return made{id: s.Owner + "/" + s.Repository + "/" + s.Branch + "/" + s.Path}
}

func (m repositoryFileMinder) ensure(ctx context.Context, s azure.RepositoryFileSpec, _ task) (made, error) {
	if m.err != nil {
		return made{}, m.err
	}
	f := github.File{Owner: s.Owner, Repository: s.Repository, Branch: s.Branch, Path: s.Path, Content: s.Content}
	return repositoryFileMade(s), m.client.EnsureFile(ctx, f, "Update "+s.Path+" (flowehr)")
}

func (m repositoryFileMinder) read(ctx context.Context, s azure.RepositoryFileSpec, _ string) (azure.RepositoryFileSpec, made, error) {
	if m.err != nil {
		return s, made{}, m.err
	}
	f, err := m.client.File(ctx, s.Owner, s.Repository, s.Branch, s.Path)
	if err != nil {
		return s, made{}, absent(err, "file "+s.Path)
	}
	s.Content = f.Content
	return s, repositoryFileMade(s), nil
}

// remove leaves a file of an archived repository where it is, and one that others of the app need.
func (m repositoryFileMinder) remove(ctx context.Context, s azure.RepositoryFileSpec, _ string) error {
	if m.err != nil {
		return m.err
	}
	r, err := m.client.Repository(ctx, s.Owner, s.Repository)
	if err != nil || r.Archived {
		return absent(err, "repository "+s.Repository)
	}
	if others, err := m.others(ctx, s.Owner, s.Repository, s.Marker); err != nil || len(others) > 0 {
		return err
	}
	return m.client.DeleteFile(ctx, s.Owner, s.Repository, s.Branch, s.Path, "Remove "+s.Path+" (flowehr)")
}
