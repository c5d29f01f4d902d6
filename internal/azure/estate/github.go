package estate

import (
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// mainBranch is what everything in a repository of an app begins with, and where workflows are kept.
const mainBranch = "main"

// scanCheck is the check that has to pass before a change reaches a branch that is deployed.
const scanCheck = "Code Scanning"

// github describes how apps are released from GitHub. A repository is made for those that ask for one; the others have theirs
// already, called after the app and often made by another environment of the same app, which then keeps its teams as well.
func (l *lowering) github() {
	if l.env.Serve == nil {
		return
	}
	for i := range l.env.Apps {
		a := &app{App: &l.env.Apps[i], l: l, name: l.names.WebApp(l.env.Apps[i].ID), signIn: l.names.SignIn(l.env.Apps[i].ID)}
		a.github()
	}
}

// shortLived says whether the environment is one of those that are made for a pull request and taken down after it.
func (l *lowering) shortLived() bool { return l.env.Suffix != l.env.ID+"-"+l.env.Name }

// repository is the name of the app's repository.
func (a *app) repository() string { return a.ID }

// environments are the app's GitHub environments, and the branches that are deployed to them: production first.
func (a *app) environments() []string {
	envs := []string{a.l.env.Name}
	if a.TestingSlot {
		envs = append(envs, a.l.env.Name+slotBehind)
	}
	return envs
}

// releaseSecret is a secret that every GitHub environment has that an environment of the app releases to. By it a shared
// repository is known to be in use.
const releaseSecret = "ACR_NAME"

// deploymentRef is one of the app's GitHub environments.
func (a *app) deploymentRef(env string) flowehr.Ref {
	return azure.Ref(azure.KindGitHubDeployment, a.repository()+"/"+env)
}

func (a *app) repositoryRef() flowehr.Ref {
	return azure.Ref(azure.KindRepository, a.repository())
}

// github describes what is in one repository. Workflows come to the main branch last: one that stood there when a branch was
// made would be in the branch and run at once.
func (a *app) github() {
	l := a.l
	var first []flowehr.Ref // what a branch is made from
	if a.ManagedRepo != nil {
		first = a.managedRepository()
	}
	var branches []flowehr.Ref
	for _, env := range a.environments() {
		branches = append(branches, l.add(flowehr.LayerApps, azure.KindBranch, a.repository()+"/"+env, a.Pos, azure.BranchSpec{
			Owner: l.env.Serve.GitHubOwner, Repository: a.repository(), Name: env,
			Approvals: a.approvals(), CodeOwners: l.env.RealData, DismissStale: l.env.RealData || a.Branch.DismissStale,
			Strict: l.env.RealData, Checks: []string{scanCheck},
		}, first...))
	}
	for i, env := range a.environments() {
		a.deployment(env, branches[i])
	}
	for _, env := range a.environments() {
		a.file(".github/workflows/deploy_"+env+".yml", a.workflow(env), branches...)
	}
}

// managedRepository describes a repository that is made for the app, its teams and who answers for its files.
func (a *app) managedRepository() []flowehr.Ref {
	owner := a.l.env.Serve.GitHubOwner
	repository := a.l.add(flowehr.LayerApps, azure.KindRepository, a.repository(), a.Pos, azure.RepositorySpec{
		Owner: owner, Name: a.repository(), Description: a.Description, Private: a.ManagedRepo.Private, Template: a.ManagedRepo.Template,
		Disposable: a.l.shortLived(), Marker: releaseSecret,
	})
	owners := a.team("owners", "Owners of the FlowEHR app "+a.ID+": they push, and approve changes and releases", a.Owners, true)
	contributors := a.team("contributors", "Contributors to the FlowEHR app "+a.ID+": they push", a.Contributors, false)
	// All that environments share comes before the branches, so that it is asked for last whether others are left.
	return []flowehr.Ref{repository, a.teamRef(contributors),
		a.sharedFile("CODEOWNERS", codeOwners(owner, owners), repository, a.teamRef(owners))}
}

// approvals that a change needs. With real data nobody approves alone what they wrote.
func (a *app) approvals() int {
	if a.l.env.RealData {
		return max(1, a.Branch.Approvals)
	}
	return a.Branch.Approvals
}

// team describes a team of the app and returns its name. Owners maintain their team.
func (a *app) team(kind, description string, members map[string]string, maintainers bool) string {
	name := a.ID + " - " + kind
	a.l.add(flowehr.LayerApps, azure.KindTeam, name, a.Pos, azure.TeamSpec{
		Owner: a.l.env.Serve.GitHubOwner, Name: name, Description: description, Members: sortedKeys(members),
		Maintainers: maintainers, Repository: a.repository(), Permission: "push", Marker: releaseSecret,
	}, a.repositoryRef())
	return name
}

func (a *app) teamRef(name string) flowehr.Ref { return azure.Ref(azure.KindTeam, name) }

// file describes a file of the main branch that is about one environment.
func (a *app) file(path, content string, needs ...flowehr.Ref) flowehr.Ref {
	return a.l.add(flowehr.LayerApps, azure.KindRepositoryFile, a.repository()+"/"+path, a.Pos, azure.RepositoryFileSpec{
		Owner: a.l.env.Serve.GitHubOwner, Repository: a.repository(), Branch: mainBranch, Path: path, Content: content,
	}, needs...)
}

// sharedFile describes a file of the main branch that all environments of the app need.
func (a *app) sharedFile(path, content string, needs ...flowehr.Ref) flowehr.Ref {
	return a.l.add(flowehr.LayerApps, azure.KindRepositoryFile, a.repository()+"/"+path, a.Pos, azure.RepositoryFileSpec{
		Owner: a.l.env.Serve.GitHubOwner, Repository: a.repository(), Branch: mainBranch, Path: path, Content: content, Marker: releaseSecret,
	}, needs...)
}

// deployment describes a GitHub environment with what a release to it needs. All of it are secrets of the environment, which
// only builds of its branch are given.
func (a *app) deployment(env string, branch flowehr.Ref) {
	l := a.l
	password := a.pushPassword()
	secrets := map[string]azure.Source{
		releaseSecret:             literalSource(l.names.Registry()),
		"ACR_USERNAME":            outputSource(azure.Out(azure.Ref(azure.KindRegistryToken, a.ID), azure.OutUsername)),
		"ACR_PASSWORD":            vaultSource(password.Vault, password.Name),
		"IMAGE_NAME":              literalSource(a.image()),
		"AAD_AUTH_CLIENT_ID":      outputSource(appID(a.signIn)),
		"AAD_AUTH_TENANT_ID":      literalSource(l.facts.Tenant),
		"AAD_AUTH_IDENTIFIER_URI": literalSource(l.names.IdentifierURI(a.ID)),
	}
	if a.TestingSlot {
		secrets["ARM_CLIENT_ID"] = outputSource(appID(l.names.AppCI(a.ID)))
		secrets["ARM_TENANT_ID"] = literalSource(l.facts.Tenant)
		secrets["ARM_SUBSCRIPTION_ID"] = literalSource(l.facts.Subscription)
		secrets["WEBAPP_ID"] = literalSource(l.id("Microsoft.Web/sites", a.name))
		secrets["SLOT_NAME"] = literalSource(testingSlot)
	}
	l.add(flowehr.LayerApps, azure.KindGitHubDeployment, a.repository()+"/"+env, a.Pos, azure.GitHubDeploymentSpec{
		Owner: l.env.Serve.GitHubOwner, Repository: a.repository(), Name: env, Branches: []string{env}, Secrets: secrets,
	}, branch, azure.Ref(azure.KindRegistryToken, a.ID))
}

// codeOwners makes the owners' team answer for every file.
func codeOwners(owner, team string) string {
	return "# Changes of a branch that is deployed are approved by somebody of this team.\n* @" + owner + "/" + slug(team) + "\n"
}

// slug is how GitHub writes a team's name in addresses: small, with one - for whatever is no letter, digit or _.
func slug(team string) string {
	words := strings.FieldsFunc(strings.ToLower(team), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	})
	return strings.Join(words, "-")
}
