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

// All environments of an app share its repository. What they share stands until the last of them has gone, and what is left for
// others is no leftover.
func TestSharedRepositoryStaysForTheOthers(t *testing.T) {
	const owner, name, marker = "trust", "bed-board", "ACR_NAME"
	p := newPlanes(t, azuresim.Options{Seed: 43})
	p.hub = app(t)
	target := p.target()
	environment := func(env string) (shared, own []flowehr.Resource) {
		repo := resource(t, azure.KindRepository, name, azure.RepositorySpec{Owner: owner, Name: name, Private: true, Template: "flowehr/template-app",
			Disposable: env == "pr", Marker: marker})
		team := resource(t, azure.KindTeam, "owners", azure.TeamSpec{Owner: owner, Name: "bed-board - owners", Members: []string{"ada"}, Repository: name,
			Permission: "push", Marker: marker}, repo.Ref)
		file := resource(t, azure.KindRepositoryFile, "owners", azure.RepositoryFileSpec{Owner: owner, Repository: name, Branch: "main", Path: "CODEOWNERS",
			Content: "* @trust/owners\n", Marker: marker}, repo.Ref)
		branch := resource(t, azure.KindBranch, env, azure.BranchSpec{Owner: owner, Repository: name, Name: env}, repo.Ref)
		return []flowehr.Resource{repo, team, file}, []flowehr.Resource{branch, resource(t, azure.KindGitHubDeployment, env, azure.GitHubDeploymentSpec{
			Owner: owner, Repository: name, Name: env, Branches: []string{env}, Secrets: map[string]azure.Source{marker: {Text: "acr"}}}, branch.Ref)}
	}
	recs := map[string][]flowehr.Record{}
	for _, env := range []string{"dev", "pr"} {
		shared, own := environment(env)
		for _, r := range append(shared, own...) {
			rec := makeDo(t, target, r)
			if r.Ref.Kind == azure.KindGitHubDeployment {
				if got := rec.Outputs[azure.OutSubject]; !strings.HasPrefix(got, "repo:trust@") || !strings.HasSuffix(got, ":environment:"+env) {
					t.Errorf("subject of %s: %q", env, got)
				}
				standsAs(t, target, rec, true)
			}
			recs[env] = append(recs[env], rec)
		}
	}
	destroy := func(env string) (left Proof) {
		t.Helper()
		var plan flowehr.Plan
		for i := len(recs[env]) - 1; i >= 0; i-- {
			plan.Steps = append(plan.Steps, flowehr.Step{Action: flowehr.Delete, Want: recs[env][i].Resource, Prior: &recs[env][i]})
		}
		for _, step := range plan.Steps {
			if _, err := target.Do(t.Context(), step, &noted{}); err != nil {
				t.Fatalf("remove %s: %v", step.Want.Ref, err)
			}
		}
		proof, err := target.Left(t.Context(), plan, azure.Names{})
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	proof := destroy("pr")
	if !proof.Clean() || !strings.Contains(strings.Join(proof.Looked, "\n"), "github-repository/bed-board, which stays for dev") {
		t.Errorf("after the first environment: %+v", proof)
	}
	for _, rec := range recs["dev"] {
		standsAs(t, target, rec, true)
	}
	if proof := destroy("dev"); !proof.Clean() {
		t.Errorf("after the last: %+v", proof)
	}
	for _, rec := range recs["dev"] {
		if rec.Resource.Ref.Kind == azure.KindRepository || rec.Resource.Ref.Kind == azure.KindTeam {
			if _, err := target.Read(t.Context(), rec); !isGone(err) {
				t.Errorf("%s after the last: %v", rec.Resource.Ref, err)
			}
		}
	}
}
