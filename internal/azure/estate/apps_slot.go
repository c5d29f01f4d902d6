package estate

import (
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// issuerGitHub signs the tokens of GitHub's builds.
// https://docs.github.com/actions/reference/security/oidc
const issuerGitHub = "https://token.actions.githubusercontent.com"

// swapIdentity describes the identity that an app's build swaps slots as. It may do that and nothing else, and has no password:
// the builds of the app's own GitHub environments sign in by federation. GitHub alone knows what the subjects of their tokens
// are, and tells it once there is a repository: those made since July 2026 have numbers in them.
func (a *app) swapIdentity() {
	if !a.TestingSlot {
		return
	}
	l, name := a.l, a.l.names.AppCI(a.ID)
	l.add(flowehr.LayerApps, azure.KindApplication, name, a.Pos, l.applicationSpec(name, "Builds of the app "+a.ID+" swap its slots with it"))
	if l.env.Serve != nil {
		for _, env := range a.environments() {
			l.add(flowehr.LayerApps, azure.KindFederation, name+"/"+env, a.Pos, azure.FederationSpec{
				Application: appObjectID(name), Name: "github-" + strings.ReplaceAll(env, "_", "-"), Issuer: issuerGitHub,
				Subject: azure.Out(a.deploymentRef(env), azure.OutSubject),
			})
		}
	}
	app, slot := a.sites[0], a.sites[1]
	role := azure.SlotSwapRole()
	defined := a.s.add("swapRole", customRole(role, app.id, slot.id), app.last, slot.last)
	for _, s := range a.sites {
		a.s.add(s.symbol+"Swap", l.allow(s.id, role.ID(app.id), principalID(name), azure.PrincipalService, name), defined)
	}
}
