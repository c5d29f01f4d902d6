package estate

import (
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// testingSlot is the slot that an app's next version is tried in. GitHub's environment and branch for it are called after the
// environment's own with this behind it.
const (
	testingSlot  = "testing"
	slotBehind   = "-testing_slot"
	longestNamed = 40 // characters of a web app's name that the address of a slot takes whole
)

// apps describes the apps: for each the application that people sign in to, the secrets, a stack with everything that Azure
// runs it by, and the rights of its identities. The stack holds no version of the app: releases change the image alone.
func (l *lowering) apps() {
	for i := range l.env.Apps {
		l.app(&l.env.Apps[i])
	}
}

// app is one app while it is described.
type app struct {
	*flowehr.App
	l      *lowering
	s      *stack
	name   string // of the web app
	signIn string // of the application that people sign in to
	sites  []site // production first
	needs  []flowehr.Ref
}

func (l *lowering) app(def *flowehr.App) {
	a := &app{App: def, l: l, s: l.stack(flowehr.LayerApps, "app-"+def.ID), name: l.names.WebApp(def.ID), signIn: l.names.SignIn(def.ID)}
	a.sites = []site{a.production()}
	if l.env.RealData && !a.easyAuth() {
		l.warn(def.Pos, "Whoever knows the address reaches it, so it has to sign people in by itself. Set auth.easy_auth to have the platform do it.",
			"the platform signs nobody in to app %q, which has real data", def.ID)
	}
	if def.TestingSlot {
		a.checkSlot()
		a.sites = append(a.sites, a.testing())
	}
	a.checkSettings()
	a.application()
	a.secrets()
	a.state()
	a.images()
	for i := range a.sites {
		a.site(&a.sites[i])
	}
	a.stickySettings()
	a.webhook()
	a.swapIdentity()
	a.s.holds = true // the app's state
	stack := a.s.done(def.Pos, append(a.needs, serveStack())...)
	for _, site := range a.sites {
		l.member(flowehr.LayerApps, "apps/"+def.ID+site.behind, def.Pos, l.names.Apps(), azure.Out(stack, site.output))
	}
	l.add(flowehr.LayerApps, azure.KindRegistryToken, def.ID, def.Pos, azure.RegistryTokenSpec{
		Registry: l.registryID(), Token: l.names.RegistryToken(def.ID), Secret: a.pushPassword(), Days: secretDays,
	}, stack, serveStack())
}

// pushPassword is the secret of the vault with which images are pushed.
func (a *app) pushPassword() azure.VaultRef {
	return azure.VaultRef{Vault: a.l.names.AppVault(), Name: a.name + "-registry-password"}
}

// checkSlot reports what a testing slot cannot be had with.
func (a *app) checkSlot() {
	if !a.l.planScales() {
		a.l.refuse(a.Pos, "Azure has slots from size S1 on. Set serve.plan_sku to S1 or larger, or take add_testing_slot away.",
			"app %q cannot have a testing slot on a plan of size %s", a.ID, a.l.env.Sizes.AppPlanSKU)
	}
	if a.Auth != nil && len(a.name) > longestNamed {
		a.l.warn(a.Pos, "Azure shortens the address of a slot when the app's name has more than 40 characters, and adds some that nobody can know beforehand. Sign-in needs an address that is known: choose a shorter id for the app.",
			"people cannot sign in to the testing slot of app %q", a.ID)
	}
}

// application describes what people sign in to. One application serves both slots, so that a swap changes nothing for them.
func (a *app) application() {
	spec := a.l.applicationSpec(a.signIn, "People sign in to the app "+a.ID+" with it")
	spec.IdentifierURI = a.l.names.IdentifierURI(a.ID)
	spec.Impersonation = true
	spec.Permissions = []string{"User.Read"}
	for _, s := range a.sites {
		spec.WebRedirects = append(spec.WebRedirects, "https://"+s.host+"/.auth/login/aad/callback")
	}
	if auth := a.Auth; auth != nil {
		spec.IDTokens = auth.EasyAuth
		for _, r := range auth.Roles {
			spec.Roles = append(spec.Roles, azure.AppRole{
				ID: azure.GUID("app-role", a.signIn, r.Value), Value: r.Value, DisplayName: r.DisplayName, Description: r.Description,
			})
		}
		if auth.SPA {
			for _, s := range a.sites {
				spec.SPARedirects = append(spec.SPARedirects, "https://"+s.host)
			}
			spec.SPARedirects = append(spec.SPARedirects, auth.AdditionalRedirects...)
		}
	}
	a.l.add(flowehr.LayerApps, azure.KindApplication, a.signIn, a.Pos, spec)
}

// Secrets of an app in the vault of the apps (06-azure-facts).
func (a *app) clientIDName() string     { return a.name + "-client-id" }
func (a *app) clientSecretName() string { return a.name + "-client-secret" }

// secrets describes the app's secrets: what it signs in with itself, for example to call another app, and each of its settings
// that has a secret in it.
func (a *app) secrets() {
	a.secret(a.clientIDName(), outputSource(appID(a.signIn)))
	a.secret(a.clientSecretName(), passwordSource(a.signIn))
	for _, key := range a.secretSettings() {
		a.secret(a.settingSecret(key), azure.Source{Text: a.Env[key]})
	}
}

func (a *app) secret(name string, source azure.Source) {
	a.needs = append(a.needs, a.l.vaultSecret(flowehr.LayerApps, a.l.names.AppVault(), name, a.Pos, source, serveStack()))
}

// easyAuth says whether the platform signs people in before a request reaches the app.
func (a *app) easyAuth() bool { return a.Auth != nil && a.Auth.EasyAuth }

// image is the app's repository in the registry. Names of images are small.
func (a *app) image() string { return strings.ToLower(a.ID) }

// latest is the image that the app runs, with the registry's address.
func (a *app) latest() string {
	return strings.ToLower(a.l.names.Registry()) + ".azurecr.io/" + a.image() + ":latest"
}

// images describes who may push the app's images: a token for them and no others.
func (a *app) images() {
	l := a.l
	scope := a.s.add("imageScope", arm.New("Microsoft.ContainerRegistry/registries/scopeMaps", l.names.Registry()+"/"+l.names.RegistryScope(a.ID), arm.Object{
		"description": "Images of the app " + a.ID,
		"actions": []string{
			"repositories/" + a.image() + "/content/read",
			"repositories/" + a.image() + "/content/write",
		},
	}))
	a.s.add("imageToken", arm.New("Microsoft.ContainerRegistry/registries/tokens", l.names.Registry()+"/"+l.names.RegistryToken(a.ID), arm.Object{
		"scopeMapId": l.id("Microsoft.ContainerRegistry/registries/scopeMaps", l.names.Registry(), l.names.RegistryScope(a.ID)),
		"status":     "enabled",
	}), scope)
}

// webhook describes how the registry tells that there is a new image: to the slot when there is one, else to the app.
func (a *app) webhook() {
	l, to := a.l, a.sites[len(a.sites)-1]
	a.s.add("webhook", l.regional("Microsoft.ContainerRegistry/registries/webhooks", l.names.Registry()+"/"+l.names.RegistryWebhook(a.ID), arm.Object{
		"serviceUri":    arm.PublishingURL(to.id, "/api/registry/webhook"),
		"customHeaders": arm.Object{"Content-Type": "application/json"},
		"actions":       []string{"push"},
		"scope":         a.image() + ":latest",
		"status":        "enabled",
	}), to.last)
}
