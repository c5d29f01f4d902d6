package azure

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// app is a GitHub App with a key of its own.
func app(t testing.TB) GitHubApp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return GitHubApp{AppID: "17", InstallationID: "4711", Owner: "trust", Key: flowehr.NewSecret(string(text))}
}

// hubChange is what differs between the two sets of GitHub resources.
type hubChange struct {
	description, file, secret string
	members                   []string
	approvals                 int
	disposable                bool
}

func hubResources(t testing.TB, c hubChange) []flowehr.Resource {
	const owner, name = "trust", "bed-board"
	repo := resource(t, azure.KindRepository, name, azure.RepositorySpec{Owner: owner, Name: name, Description: c.description, Private: true,
		Template: "flowehr/template-app", Disposable: c.disposable})
	branch := resource(t, azure.KindBranch, "dev", azure.BranchSpec{Owner: owner, Repository: name, Name: "dev", Approvals: c.approvals, CodeOwners: true,
		Strict: true, Checks: []string{"Code Scanning"}}, repo.Ref)
	return []flowehr.Resource{repo, branch,
		resource(t, azure.KindTeam, "owners", azure.TeamSpec{Owner: owner, Name: "bed_board - owners", Description: "Own it", Members: c.members, Maintainers: true,
			Repository: name, Permission: "maintain"}, repo.Ref),
		resource(t, azure.KindRepositoryFile, "workflow", azure.RepositoryFileSpec{Owner: owner, Repository: name, Branch: "main",
			Path: ".github/workflows/deploy_dev.yml", Content: c.file}, repo.Ref),
		resource(t, azure.KindGitHubDeployment, "dev", azure.GitHubDeploymentSpec{Owner: owner, Repository: name, Name: "dev", Branches: []string{"dev"},
			Secrets: map[string]azure.Source{"ACR_PASSWORD": {Text: "${ACR}"}, c.secret: {Text: "x"}}}, repo.Ref, branch.Ref),
	}
}

func TestGitHubSuite(t *testing.T) {
	for _, disposable := range []bool{true, false} {
		name := "archived"
		if disposable {
			name = "deleted"
		}
		t.Run(name, func(t *testing.T) {
			suite(t, nil, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
				p := newPlanes(t, azuresim.Options{Seed: 41})
				p.hub = app(t)
				return p, hubResources(t, hubChange{description: "Beds", file: "on: push\n", secret: "ACR_NAME", members: []string{"Ada", "grace"}, approvals: 1, disposable: disposable}),
					hubResources(t, hubChange{description: "More beds", file: "on: release\n", secret: "IMAGE_NAME", members: []string{"grace"}, approvals: 2, disposable: disposable})
			})
		})
	}
}

// Without a sign-in to GitHub everything else works, and what needs it says so.
func TestGitHubIsAskedForOnlyWhenNeeded(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 42})
	target := p.target()
	makeDo(t, target, resource(t, azure.KindGroup, "g", azure.GroupSpec{DisplayName: "g", UniqueName: "g-x"}))
	for _, r := range hubResources(t, hubChange{secret: "A"}) {
		_, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: r}, &noted{})
		if err == nil || !strings.Contains(err.Error(), "nobody is signed in to GitHub") {
			t.Errorf("%s: got %v", r.Ref, err)
		}
	}
}

func TestIDsOfTheAppAreNumbers(t *testing.T) {
	h := newHub(GitHubApp{AppID: "seventeen"}, nil)
	if h.err == nil || !strings.Contains(h.err.Error(), "seventeen") {
		t.Errorf("got %v", h.err)
	}
}
