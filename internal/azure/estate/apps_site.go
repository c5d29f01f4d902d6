package estate

import (
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// site is a web app or a slot of one. Both are described alike and have their own identity, telemetry and settings.
type site struct {
	typ         string
	name        string // as a resource: app or app/slot
	id          string
	host        string
	behind      string // what its symbols and names end in
	symbol      string
	output      string // of the stack: object id of its identity
	insights    string
	environment string // what ENVIRONMENT says
	image       string // that it is given; empty leaves what it has
	told        bool   // by the registry's webhook

	last string // symbol of the last change of it
}

// production is the app itself. With a testing slot its image comes by swapping and must not be set again by a deployment.
func (a *app) production() site {
	s := site{
		typ: "Microsoft.Web/sites", name: a.name, id: a.l.id("Microsoft.Web/sites", a.name), host: a.name + ".azurewebsites.net",
		symbol: "site", output: "principalId", insights: a.l.names.AppInsights(a.ID), environment: a.l.env.Name,
	}
	if !a.TestingSlot {
		s.image, s.told = "DOCKER|"+a.latest(), true
	}
	return s
}

// testing is the testing slot.
func (a *app) testing() site {
	return site{
		typ: "Microsoft.Web/sites/slots", name: a.name + "/" + testingSlot, id: a.l.id("Microsoft.Web/sites/slots", a.name, testingSlot),
		host: a.name + "-" + testingSlot + ".azurewebsites.net", behind: "-" + testingSlot, symbol: "slot", output: "slotPrincipalId",
		insights: a.l.names.SlotInsights(a.ID), environment: a.l.env.Name + slotBehind, image: "DOCKER|" + a.latest(), told: true,
	}
}

// appLogs are the categories in which web apps log.
var appLogs = []string{
	"AppServiceHTTPLogs", "AppServiceConsoleLogs", "AppServiceAppLogs", "AppServiceAuditLogs", "AppServiceIPSecAuditLogs", "AppServicePlatformLogs",
}

// site describes a web app or slot. App Service refuses two changes of a site at once, so each waits for the one before.
func (a *app) site(s *site) {
	l := a.l
	telemetry := a.s.add(s.symbol+"Insights", l.applicationInsights(s.insights))

	web := l.regional(s.typ, s.name, a.siteProperties(s))
	web.Kind, web.Identity = "app,linux,container", arm.Object{"type": "SystemAssigned"}
	var after []string
	if s.behind != "" {
		after = []string{a.sites[0].last}
	}
	made := a.s.add(s.symbol, web, after...)
	identity := arm.FullReference(made, "identity.principalId")
	a.s.group.Return(s.output, identity)

	// Groups reach a token a day late, and a setting that refers to the vault is looked up when the app starts: so the identity
	// may read the vault and pull images by itself, not only as a member of the apps.
	vault := a.s.add(s.symbol+"Secrets", l.allow(l.appVaultID(), azure.RoleVaultSecretsUser, identity, azure.PrincipalService, s.id), made)
	pull := a.s.add(s.symbol+"Pull", l.allow(l.registryID(), azure.RoleRegistryPull, identity, azure.PrincipalService, s.id), made)
	a.stateFor(s, identity, made)
	a.s.add(s.symbol+"Diagnostics", l.logged(s.id, true, appLogs...), made)

	s.last = made
	a.configure(s, "appsettings", a.settings(s, telemetry), vault, pull, telemetry)
	a.configure(s, "authsettingsV2", a.signInSettings())
	a.configure(s, "logs", arm.Object{
		"applicationLogs": arm.Object{"fileSystem": arm.Object{"level": "Information"}},
		"httpLogs":        arm.Object{"fileSystem": arm.Object{"enabled": true, "retentionInDays": 7, "retentionInMb": 35}},
	})
	a.publishing(s, "ftp", false)
	// The registry's webhook signs in to the publishing site and knows no way but name and password, so that it answers to
	// them where the webhook rings, and nowhere else.
	a.publishing(s, "scm", s.told)
}

func (a *app) siteProperties(s *site) arm.Object {
	config := arm.Object{
		"acrUseManagedIdentityCreds": true,
		"alwaysOn":                   true,
		"ftpsState":                  "Disabled",
		"http20Enabled":              true,
		"minTlsVersion":              "1.2",
		"scmMinTlsVersion":           "1.2",
		"remoteDebuggingEnabled":     false,
	}
	if s.image != "" {
		config["linuxFxVersion"] = s.image
	}
	return arm.Object{
		"serverFarmId":           a.l.planID(),
		"reserved":               true,
		"httpsOnly":              true,
		"clientAffinityEnabled":  false,
		"publicNetworkAccess":    "Enabled", // people use apps from anywhere and sign in
		"virtualNetworkSubnetId": a.l.subnetID(a.l.names.WebAppsSubnet()),
		// All that the app sends goes through the network, where the rule against the internet holds. Without it an app on Linux
		// would not find the private endpoint of its vault either. Images come by the platform's own way.
		"outboundVnetRouting": arm.Object{"applicationTraffic": true, "imagePullTraffic": false},
		"siteConfig":          config,
	}
}

// configure adds a part of the site's configuration, after the one before.
func (a *app) configure(s *site, part string, properties arm.Object, after ...string) {
	s.last = a.s.add(s.symbol+"_"+part, arm.New(s.typ+"/config", s.name+"/"+part, properties), append(after, s.last)...)
}

// publishing says whether a way of publishing takes name and password.
func (a *app) publishing(s *site, way string, allow bool) {
	s.last = a.s.add(s.symbol+"_"+way, arm.New(s.typ+"/basicPublishingCredentialsPolicies", s.name+"/"+way, arm.Object{"allow": allow}), s.last)
}
