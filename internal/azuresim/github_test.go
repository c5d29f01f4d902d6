package azuresim_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v88/github"
	"golang.org/x/crypto/nacl/box"

	"github.com/flowehr/flowehr/internal/azuresim"
)

// hub signs in to GitHub as an App, with the clients that the product uses.
func (a *azure) hub() *github.Client {
	a.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	signed, err := ghinstallation.New(a.remote.Transport, 1, 2, text)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := github.NewClient(github.WithHTTPClient(&http.Client{Transport: signed}), github.WithDisableRateLimitCheck())
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func gitStatus(err error) int {
	if e, is := errors.AsType[*github.ErrorResponse](err); is {
		return e.Response.StatusCode
	}
	return 0
}

// repository makes one from a template and waits for its content.
func (a *azure) repository(c *github.Client) *github.Repository {
	a.t.Helper()
	r, _, err := c.Repositories.CreateFromTemplate(a.t.Context(), "templates", "flask", &github.TemplateRepoRequest{Name: github.Ptr("app"), Owner: github.Ptr("trust"), Private: github.Ptr(true)})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, _, err := c.Git.GetRef(a.t.Context(), "trust", "app", "heads/main"); gitStatus(err) != http.StatusConflict {
		a.t.Errorf("before the template is copied: got %v, want 409", err)
	}
	a.pass(10 * time.Second)
	return r
}

func TestGitHubNeedsSomebody(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 61})
	c, err := github.NewClient(github.WithHTTPClient(&http.Client{Transport: a.remote.Transport}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Repositories.Get(t.Context(), "trust", "app"); gitStatus(err) != http.StatusUnauthorized {
		t.Errorf("got %v, want 401", err)
	}
	_, res, err := a.hub().Repositories.Get(t.Context(), "trust", "app")
	if gitStatus(err) != http.StatusNotFound || res.Rate.Limit == 0 {
		t.Errorf("got %v with rate %v, want 404 with a limit", err, res.Rate)
	}
}

func TestGitHubRepositoryFilesAndBranches(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 62})
	c := a.hub()
	a.repository(c)
	if _, _, err := c.Repositories.CreateFromTemplate(t.Context(), "templates", "flask", &github.TemplateRepoRequest{Name: github.Ptr("app"), Owner: github.Ptr("trust")}); gitStatus(err) != http.StatusUnprocessableEntity {
		t.Errorf("twice: got %v, want 422", err)
	}
	main, _, err := c.Git.GetRef(t.Context(), "trust", "app", "heads/main")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Git.CreateRef(t.Context(), "trust", "app", github.CreateRef{Ref: "refs/heads/dev", SHA: main.GetObject().GetSHA()}); err != nil {
		t.Fatal(err)
	}
	write := func(content string, sha *string) error {
		_, _, err := c.Repositories.CreateFile(t.Context(), "trust", "app", ".github/workflows/deploy_dev.yml",
			&github.RepositoryContentFileOptions{Message: github.Ptr("m"), Content: []byte(content), Branch: github.Ptr("dev"), SHA: sha})
		return err
	}
	if err := write("one", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("two", nil); gitStatus(err) != http.StatusUnprocessableEntity {
		t.Errorf("a file that stands, without its sha: got %v, want 422", err)
	}
	file, _, _, err := c.Repositories.GetContents(t.Context(), "trust", "app", ".github/workflows/deploy_dev.yml", &github.RepositoryContentGetOptions{Ref: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	if err := write("two", file.SHA); err != nil {
		t.Error(err)
	}
	if err := write("three", file.SHA); gitStatus(err) != http.StatusConflict {
		t.Errorf("with an old sha: got %v, want 409", err)
	}
	if _, _, err := c.Repositories.GetBranchProtection(t.Context(), "trust", "app", "dev"); !errors.Is(err, github.ErrBranchNotProtected) {
		t.Errorf("protection: got %v", err)
	}
	checks := []*github.RequiredStatusCheck{{Context: "Code Scanning"}}
	rules := &github.ProtectionRequest{RequiredStatusChecks: &github.RequiredStatusChecks{Strict: true, Checks: &checks},
		RequiredPullRequestReviews: &github.PullRequestReviewsEnforcementRequest{RequiredApprovingReviewCount: 1}, EnforceAdmins: true}
	if _, _, err := c.Repositories.UpdateBranchProtection(t.Context(), "trust", "app", "dev", rules); err != nil {
		t.Fatal(err)
	}
	have, _, err := c.Repositories.GetBranchProtection(t.Context(), "trust", "app", "dev")
	if err != nil || !have.RequiredStatusChecks.Strict || (*have.RequiredStatusChecks.Checks)[0].Context != "Code Scanning" || have.AllowDeletions.Enabled {
		t.Errorf("protection: got %v, %v", have, err)
	}
	if err := write("four", nil); gitStatus(err) != http.StatusConflict {
		t.Errorf("push to a protected branch: got %v, want 409", err)
	}
	if _, err := c.Git.DeleteRef(t.Context(), "trust", "app", "heads/dev"); gitStatus(err) != http.StatusUnprocessableEntity {
		t.Errorf("delete a protected branch: got %v, want 422", err)
	}
	if _, _, err := c.Repositories.Edit(t.Context(), "trust", "app", &github.Repository{Archived: github.Ptr(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Repositories.RemoveBranchProtection(t.Context(), "trust", "app", "dev"); gitStatus(err) != http.StatusForbidden {
		t.Errorf("unprotect a branch of an archived repository: got %v, want 403", err)
	}
	if err := write("five", nil); gitStatus(err) != http.StatusForbidden {
		t.Errorf("write to an archived repository: got %v, want 403", err)
	}
}

func TestGitHubTakesSealedSecretsOnly(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 63})
	c := a.hub()
	r := a.repository(c)
	policy := &github.BranchPolicy{ProtectedBranches: github.Ptr(false), CustomBranchPolicies: github.Ptr(true)}
	if _, _, err := c.Repositories.CreateUpdateEnvironment(t.Context(), "trust", "app", "dev", &github.CreateUpdateEnvironment{DeploymentBranchPolicy: policy}); err != nil {
		t.Fatal(err)
	}
	add := func() error {
		_, _, err := c.Repositories.CreateDeploymentBranchPolicy(t.Context(), "trust", "app", "dev", &github.DeploymentBranchPolicyRequest{Name: github.Ptr("dev")})
		return err
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	if err := add(); err == nil {
		t.Error("the same pattern could be added twice")
	}
	public, _, err := c.Actions.GetEnvPublicKey(t.Context(), int(r.GetID()), "dev")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(public.GetKey())
	if err != nil || len(raw) != 32 {
		t.Fatalf("key of %d bytes, %v", len(raw), err)
	}
	put := func(value []byte) error {
		_, err := c.Actions.CreateOrUpdateEnvSecret(t.Context(), int(r.GetID()), "dev",
			&github.EncryptedSecret{Name: "ACR_PASSWORD", KeyID: public.GetKeyID(), EncryptedValue: base64.StdEncoding.EncodeToString(value)})
		return err
	}
	if err := put([]byte("in the clear")); gitStatus(err) != http.StatusUnprocessableEntity {
		t.Errorf("unsealed: got %v, want 422", err)
	}
	sealed, err := box.SealAnonymous(nil, []byte("hunter2"), (*[32]byte)(raw), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(sealed); err != nil {
		t.Fatal(err)
	}
	list, _, err := c.Actions.ListEnvSecrets(t.Context(), int(r.GetID()), "dev", nil)
	if err != nil || list.TotalCount != 1 || list.Secrets[0].Name != "ACR_PASSWORD" {
		t.Errorf("got %v, %v", list, err)
	}
	if _, err := c.Actions.DeleteEnvSecret(t.Context(), int(r.GetID()), "dev", "ACR_PASSWORD"); err != nil {
		t.Error(err)
	}
	token, _, err := c.Actions.CreateOrganizationRegistrationToken(t.Context(), "trust")
	if err != nil || token.GetToken() == "" {
		t.Errorf("runner token: %v, %v", token, err)
	}
}

func TestGitHubTeamsAndComments(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 64})
	c := a.hub()
	a.repository(c)
	team, _, err := c.Teams.CreateTeam(t.Context(), "trust", github.NewTeam{Name: "app - owners", Privacy: github.Ptr("closed")})
	if err != nil || team.GetSlug() != "app-owners" {
		t.Fatalf("got %v, %v", team, err)
	}
	if _, _, err := c.Teams.AddTeamMembershipBySlug(t.Context(), "trust", "app-owners", "Ada", &github.TeamAddTeamMembershipOptions{Role: "maintainer"}); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]int{"maintainer": 1, "member": 0, "all": 1} {
		list, _, err := c.Teams.ListTeamMembersBySlug(t.Context(), "trust", "app-owners", &github.TeamListTeamMembersOptions{Role: role})
		if err != nil || len(list) != want {
			t.Errorf("%s: got %v, %v, want %d", role, list, err, want)
		}
	}
	if _, _, err := c.Teams.IsTeamRepoBySlug(t.Context(), "trust", "app-owners", "trust", "app"); gitStatus(err) != http.StatusNotFound {
		t.Errorf("before it is given: got %v, want 404", err)
	}
	if _, err := c.Teams.AddTeamRepoBySlug(t.Context(), "trust", "app-owners", "trust", "app", &github.TeamAddTeamRepoOptions{Permission: "maintain"}); err != nil {
		t.Fatal(err)
	}
	repo, _, err := c.Teams.IsTeamRepoBySlug(t.Context(), "trust", "app-owners", "trust", "app")
	if p := repo.GetPermissions(); err != nil || !p.GetMaintain() || !p.GetPush() || p.GetAdmin() {
		t.Errorf("permissions: %v, %v", p, err)
	}
	level, _, err := c.Repositories.GetPermissionLevel(t.Context(), "trust", "app", "ada")
	if err != nil || level.GetPermission() != "write" {
		t.Errorf("collaborator: %v, %v", level, err)
	}
	for i := range 35 {
		if _, _, err := c.Issues.CreateComment(t.Context(), "trust", "app", 1, &github.IssueComment{Body: github.Ptr(strings.Repeat("x", i+1))}); err != nil {
			t.Fatal(err)
		}
	}
	all, next := 0, 1
	for next != 0 {
		list, res, err := c.Issues.ListComments(t.Context(), "trust", "app", 1, &github.IssueListCommentsOptions{ListOptions: github.ListOptions{Page: next, PerPage: 10}})
		if err != nil {
			t.Fatal(err)
		}
		all, next = all+len(list), res.NextPage
	}
	if all != 35 {
		t.Errorf("%d comments in pages, want 35", all)
	}
}
