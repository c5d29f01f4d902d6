package compliance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
)

var (
	vaultTypes      = []string{"Microsoft.KeyVault/vaults"}
	siteTypes       = []string{"Microsoft.Web/sites", "Microsoft.Web/sites/slots"}
	databricksTypes = []string{"Microsoft.Databricks/workspaces"}
)

const (
	keyVault  = "key vault"
	webApp    = "web app"
	workspace = "Databricks workspace"
)

// Key vaults.

var (
	vaultPurge    = property(keyVault, vaultTypes, "enablePurgeProtection", "false", "Turn purge protection on; it cannot be turned off again. Environments with real data have it.", "true")
	vaultSoft     = property(keyVault, vaultTypes, "enableSoftDelete", "true", "Turn soft deletion on.", "true")
	vaultRoles    = property(keyVault, vaultTypes, "enableRbacAuthorization", "false", "Let roles decide who reads the vault.", "true")
	vaultPublic   = property(keyVault, vaultTypes, "publicNetworkAccess", "Enabled", "Deploy from the network's own build agents (CI), which keeps public access off.", "Disabled")
	vaultEndpoint = endpoints(keyVault, vaultTypes)
	vaultKeys     = vaultThings("key", "keys", true)
	vaultKeysOld  = vaultThings("key", "keys", false)
	vaultSecrets  = vaultThings("secret", "secrets", true)
	vaultOld      = vaultThings("secret", "secrets", false)
)

func vaultRecoverable(v *view) Finding { return worst(vaultSoft(v), vaultPurge(v)) }

// vaultThings is a check that keys or secrets of vaults end some day: those of vaults with roles, or of those without.
func vaultThings(noun, kind string, roles bool) check {
	return func(v *view) Finding {
		var vaults []*item
		for _, it := range v.of(vaultTypes...) {
			if it.state != read || (has(it, "enableRbacAuthorization", "false", "true").status == Met) == roles {
				vaults = append(vaults, it)
			}
		}
		if len(vaults) == 0 {
			return Finding{Status: NotApplicable, Why: "No vault decides by " + map[bool]string{true: "roles", false: "access policies"}[roles] + "."}
		}
		var things []*item
		for _, it := range vaults {
			things = append(things, v.children(it, kind)...)
			if v.deployed && it.state == read && !v.listed[strings.ToLower(it.id+"/"+kind)] && len(v.children(it, kind)) == 0 {
				return Finding{Status: CannotTell, Why: "The vault's " + kind + " were not listed.", Next: "Whoever may list them can tell: Azure's portal shows when each ends.", Evidence: []Evidence{{Resource: it.called(), Property: kind, Value: "not listed"}}}
			}
		}
		if kind == "secrets" && !v.deployed {
			return v.plannedSecrets(vaults)
		}
		f := every(v, noun, things, "Give each a date on which it ends.", func(it *item) verdict {
			value, set := it.text("attributes.exp")
			return told(set && value != "0", it, "attributes.exp", map[bool]string{true: value, false: "never"}[set], "")
		})
		if f.Status == NotApplicable {
			f.Why = "No " + noun + " is kept in the vaults."
		}
		return f
	}
}

// plannedSecrets judges the secrets of a definition: passwords of applications and registries end, what the definition brings
// along or names does not.
func (v *view) plannedSecrets(vaults []*item) Finding {
	f := Finding{Status: Met, Why: "Every secret that the product makes ends."}
	lasting, all := 0, 0
	for _, r := range v.specs {
		var spec azure.VaultSecretSpec
		if r.Ref.Kind != azure.KindVaultSecret || json.Unmarshal(r.Spec, &spec) != nil || !slices.ContainsFunc(vaults, func(it *item) bool { return it.name == spec.Vault }) {
			continue
		}
		e := Evidence{Resource: r.Ref.String(), Property: "source"}
		all++
		switch s := spec.Source; {
		case s.Password != nil:
			e.Value = fmt.Sprintf("password that ends after %d days", s.Password.Days)
		case s.Registry != nil:
			e.Value = fmt.Sprintf("registry password that ends after %d days", s.Registry.Days)
		default:
			e.Value = "no end"
			lasting++
		}
		f.Evidence = append(f.Evidence, e)
	}
	switch {
	case all == 0:
		return Finding{Status: NotApplicable, Why: "No secret is kept in the vaults."}
	case lasting > 0:
		f.Status, f.Next = NotMet, "Client ids and what the definition brings along have no end of their own. Set one in the vault for those that are secret, and renew them."
		f.Why = fmt.Sprintf("%d of %s have no end.", lasting, plural(all, "secret"))
	}
	return f
}

var certificates = absentFrom("certificate", "No certificate is kept in the vaults: Azure issues those of the addresses.", "Microsoft.KeyVault/vaults/certificates")

// Web apps. A slot is judged like an app: it runs the same code with the same data.

var (
	webHTTPS  = property(webApp, siteTypes, "httpsOnly", "false", "Let the app answer over HTTPS only.", "true")
	webTLS    = siteConfig("minTlsVersion", "unknown", "Ask for TLS 1.2 or later.", "1.2", "1.3")
	webHTTP2  = siteConfig("http20Enabled", "false", "Turn HTTP/2 on.", "true")
	webFTP    = siteConfig("ftpsState", "AllAllowed", "Turn FTP off.", "Disabled", "FtpsOnly")
	webDebug  = siteConfig("remoteDebuggingEnabled", "false", "Turn remote debugging off.", "false")
	webClient = func(v *view) Finding {
		return every(v, webApp, v.of(siteTypes...), "Certificates of clients need somebody who issues them to every browser; people sign in with the directory instead. Record the exception.", func(it *item) verdict {
			if on := has(it, "clientCertEnabled", "false", "true"); on.status != Met {
				return on
			}
			return has(it, "clientCertMode", "Required", "Required")
		})
	}
)

// siteConfig is a check of a setting of every app. Azure returns the settings with the app's configuration, a template has them
// with the app.
func siteConfig(name, absent, next string, wanted ...string) check {
	return func(v *view) Finding {
		return every(v, webApp, v.of(siteTypes...), next, func(it *item) verdict {
			if config := v.child(it, "config", "web"); config != nil && config.state == read {
				if _, set := config.text(name); set {
					return has(config, name, absent, wanted...)
				}
			}
			if _, set := it.text("siteConfig." + name); !set && v.deployed {
				return verdict{CannotTell, Evidence{Resource: it.called(), Property: "config/web " + name, Value: "not read"}, ""}
			}
			return has(it, "siteConfig."+name, absent, wanted...)
		})
	}
}

// webSignIn wants a login in front of the app that really asks: one that lets the anonymous through is none.
func webSignIn(v *view) Finding {
	return every(v, webApp, v.of(siteTypes...), "Set auth.easy_auth for the app.", func(it *item) verdict {
		return part(v, it, "config", "authsettingsV2", func(p *item) verdict {
			for _, name := range []string{"platform.enabled", "globalValidation.requireAuthentication", "identityProviders.azureActiveDirectory.enabled"} {
				if on := has(p, name, "false", "true"); on.status != Met {
					return on
				}
			}
			action, _ := p.text("globalValidation.unauthenticatedClientAction")
			return told(action != "AllowAnonymous", p, "globalValidation.unauthenticatedClientAction", action, "The login lets the anonymous through.")
		})
	})
}

func webIdentity(v *view) Finding {
	return every(v, webApp, v.of(siteTypes...), "Give the app a managed identity.", func(it *item) verdict {
		value, set := it.text("identity.type")
		return told(set && value != "None", it, "identity.type", value, "")
	})
}

// webBasic wants both doors for passwords closed: FTP and the deployment site. Azure opens both unless it is told otherwise, and an
// app whose image is deployed by the registry's webhook needs the second.
func webBasic(v *view) Finding {
	next := "With accesses_real_data and a testing slot the app itself is deployed by a swap; give the app a testing slot, and record the exception for where the registry's webhook rings."
	return every(v, webApp, v.of(siteTypes...), next, func(it *item) verdict {
		for _, door := range []string{"ftp", "scm"} {
			p := v.child(it, "basicPublishingCredentialsPolicies", door)
			if p == nil {
				return told(false, it, "basicPublishingCredentialsPolicies/"+door, "not set, which means allowed", "Passwords are allowed unless it is said otherwise.")
			}
			if s := stateVerdict(p); s != nil {
				return *s
			}
			got := has(p, "allow", "true", "false")
			if got.status == Met {
				continue
			}
			if door == "scm" && v.rung(it) {
				got.because = "The registry's webhook deploys it with a publishing password, so that the deployment site takes passwords."
			}
			return got
		}
		return told(true, it, "basicPublishingCredentialsPolicies", "ftp and scm refuse passwords", "")
	})
}

// rung says whether a webhook of the registry deploys an app.
func (v *view) rung(site *item) bool {
	return slices.ContainsFunc(v.of("Microsoft.ContainerRegistry/registries/webhooks"), func(w *item) bool {
		uri, _ := w.text("serviceUri")
		return strings.Contains(strings.ToLower(uri), strings.ToLower(site.id+"/config/"))
	})
}

// runtimeVersion is a check about the language that Azure runs an app with. Apps bring their own in an image.
func runtimeVersion(language string) check {
	return func(v *view) Finding {
		f := every(v, webApp, v.of(siteTypes...), "", func(it *item) verdict {
			kind, _ := it.text("kind")
			runs, set := it.text("siteConfig.linuxFxVersion")
			if strings.Contains(kind, "container") || strings.HasPrefix(runs, "DOCKER|") {
				return verdict{NotApplicable, Evidence{Resource: it.called(), Property: "kind", Value: kind}, ""}
			}
			if set && !strings.HasPrefix(strings.ToUpper(runs), language) {
				return verdict{NotApplicable, Evidence{Resource: it.called(), Property: "linuxFxVersion", Value: runs}, ""}
			}
			return verdict{CannotTell, Evidence{Resource: it.called(), Property: "linuxFxVersion", Value: runs}, "Whether a version is supported is published by those who make the language."}
		})
		if f.Status == NotApplicable && len(f.Evidence) > 0 {
			f.Why = "Apps run in images that they bring along; the owner of an app keeps its language up to date, and the scan of its repository says when not."
		}
		return f
	}
}

// secretive are parts of names of settings that hold secrets.
var secretive = []string{"SECRET", "PASSWORD", "PASSWD", "TOKEN", "APIKEY", "API_KEY", "ACCOUNTKEY", "ACCOUNT_KEY"}

// webSecrets wants settings that hold secrets to be references to a vault.
func webSecrets(v *view) Finding {
	return every(v, webApp, v.of(siteTypes...), "Put the value into the definition as ${NAME}: it goes to the vault, and the app gets a reference.", func(it *item) verdict {
		return part(v, it, "config", "appsettings", func(p *item) verdict {
			settings, _ := p.get("properties")
			all, _ := settings.(map[string]any)
			referenced := 0
			for name, value := range all {
				text, _ := value.(string)
				if strings.HasPrefix(text, "@Microsoft.KeyVault(") {
					referenced++
					continue
				}
				upper := strings.ToUpper(name)
				holds := slices.ContainsFunc(secretive, func(s string) bool { return strings.Contains(upper, s) }) ||
					strings.Contains(strings.ToLower(text), "password=") || strings.Contains(text, "AccountKey=")
				if holds {
					return told(false, p, name, "not a reference to a vault", "")
				}
			}
			return told(true, p, "references to a vault", fmt.Sprint(referenced), "")
		})
	})
}

// Databricks.

var (
	bricksNetwork = func(v *view) Finding {
		return every(v, workspace, v.of(databricksTypes...), "Make the workspace in the environment's network.", func(it *item) verdict {
			id, set := it.text("parameters.customVirtualNetworkId.value")
			return told(set && id != "" && v.find(id) != nil, it, "customVirtualNetworkId", shortID(id), "")
		})
	}
	bricksNoAddress = property(workspace, databricksTypes, "parameters.enableNoPublicIp.value", "false", "Make the workspace without public addresses.", "true")
	bricksPublic    = property(workspace, databricksTypes, "publicNetworkAccess", "Enabled", "Public access to the workspace is off with real data when the control plane is reached privately: access_databricks_management_publicly.", "Disabled")
	bricksEndpoint  = endpoints(workspace, databricksTypes, "databricks_ui_api")
	bricksOwnKey    = func(v *view) Finding {
		return every(v, workspace, v.of(databricksTypes...), "A key of your own needs a vault, a key and somebody who looks after both; the product does not make one.", func(it *item) verdict {
			for _, name := range []string{"encryption.entities.managedServices.keySource", "parameters.encryption.value.keySource"} {
				if source, set := it.text(name); set {
					return told(strings.EqualFold(source, "Microsoft.Keyvault"), it, name, source, "")
				}
			}
			return told(false, it, "encryption", "not set, which means keys of Microsoft", "")
		})
	}
	bricksLog = func(v *view) Finding {
		return every(v, workspace, v.of(databricksTypes...), "Send the logs of the workspace to the log workspace.", func(it *item) verdict {
			return v.logged(it, it.id, []string{"accounts", "clusters", "jobs", "notebook", "secrets", "workspace"}, "audit")
		})
	}
)

// bricksGroups wants a security group on the two subnets that clusters really use.
func bricksGroups(v *view) Finding {
	return every(v, workspace, v.of(databricksTypes...), "Attach a security group to both subnets of the workspace.", func(it *item) verdict {
		network, _ := it.text("parameters.customVirtualNetworkId.value")
		attached := 0
		for _, which := range []string{"customPublicSubnetName", "customPrivateSubnetName"} {
			name, _ := it.text("parameters." + which + ".value")
			for _, s := range v.subnets() {
				if s.state != read {
					return *stateVerdict(s)
				}
				if !strings.EqualFold(s.id, network+"/subnets/"+name) {
					continue
				}
				if g, known := v.group(s); g == nil && known {
					return told(false, s, "networkSecurityGroup", "none", "")
				}
				attached++
			}
		}
		return told(attached == 2, it, "subnets with a security group", fmt.Sprint(attached), "")
	})
}

// bricksWorkers wants traffic between machines of a cluster to be encrypted. A cluster of one machine has none.
func bricksWorkers(v *view) Finding {
	f := Finding{Status: NotApplicable, Why: "The environment has no cluster."}
	for _, r := range v.specs {
		var spec azure.ClusterSpec
		if r.Ref.Kind != azure.KindCluster || json.Unmarshal(r.Spec, &spec) != nil {
			continue
		}
		one := Finding{Status: NotMet, Why: "Machines of a cluster talk to each other in the clear, within its own subnet.",
			Next:     "Use a cluster of one machine, or an init script that turns encryption on and spark_config spark.network.crypto.enabled true.",
			Evidence: []Evidence{{Resource: r.Ref.String(), Property: "workers", Value: fmt.Sprint(spec.Workers)}}}
		switch {
		case spec.Workers == 0 && spec.Autoscale == nil:
			one.Status, one.Why, one.Next = NotApplicable, "The cluster is one machine, which has no one to talk to.", ""
		case spec.Conf["spark.network.crypto.enabled"] == "true":
			one.Status, one.Why, one.Next = Met, "Machines of the cluster encrypt what they send each other.", ""
			one.Evidence = append(one.Evidence, Evidence{Resource: r.Ref.String(), Property: "spark.network.crypto.enabled", Value: "true"})
		}
		if f.Status == NotApplicable && len(f.Evidence) == 0 {
			f = one
			continue
		}
		f = worst(f, one)
	}
	return f
}

func bricksCatalog(v *view) Finding {
	f := Finding{Status: NotMet, Why: "No catalogue is configured.", Next: "Set spark.unity_catalog."}
	for _, r := range v.specs {
		if r.Ref.Kind == azure.KindCatalog || r.Ref.Kind == azure.KindMetastoreUse {
			f.Evidence = append(f.Evidence, Evidence{Resource: r.Ref.String()})
		}
	}
	kind := func(e Evidence) string { k, _, _ := strings.Cut(e.Resource, "/"); return k }
	has := func(k string) bool {
		return slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return kind(e) == k })
	}
	switch {
	case has(azure.KindCatalog) && has(azure.KindMetastoreUse):
		f.Status, f.Why, f.Next = Met, "Tables are governed by Unity Catalog.", ""
	case has(azure.KindCatalog):
		f.Status, f.Why, f.Next = CannotTell, "There are catalogues; that the workspace uses a metastore is not in the definition.", "Whoever administers the Databricks account can tell."
	}
	return f
}

// criticalLocked wants what holds people's data not to be deleted by accident.
func criticalLocked(v *view) Finding {
	var critical []*item
	critical = append(critical, v.of("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.Sql/servers", "Microsoft.DBforPostgreSQL/flexibleServers", "Microsoft.Databricks/workspaces")...)
	if !v.in.Environment.RealData {
		return Finding{Status: NotApplicable, Why: "There is no real data: everything can be made again from the definition."}
	}
	return every(v, "data holder", critical, "Deploy again: environments with real data lock what holds it.", func(it *item) verdict {
		return v.locked(it, "CanNotDelete", "ReadOnly")
	})
}

// Identity and Microsoft Defender.

// tenant is a control about settings of the directory.
var tenant = someoneElse("It is a setting of the directory, which every service of the organisation shares.", "An administrator of the directory can tell; Entra's own secure score lists it.")

// customOwners looks at the roles that the environment makes; others of the subscription stay unseen.
func customOwners(v *view) Finding {
	f := Finding{Status: CannotTell, Why: "Roles that this environment makes administer no subscription; others of the subscription are not seen.", Next: "The owner of the subscription lists custom roles whose actions are *."}
	for _, r := range v.of("Microsoft.Authorization/roleDefinitions") {
		scopes := r.strings("assignableScopes")
		wide := slices.ContainsFunc(scopes, func(s string) bool { return s == "/" || strings.Count(strings.Trim(s, "/"), "/") == 1 })
		all := slices.ContainsFunc(r.list("permissions"), func(p *item) bool {
			actions, _ := p.get("actions")
			list, _ := actions.([]any)
			return slices.Contains(list, any("*"))
		})
		if wide && all {
			return Finding{Status: NotMet, Why: "A role of the environment administers the subscription.", Next: "Take it away.", Evidence: []Evidence{{Resource: r.called(), Property: "actions", Value: "*"}}}
		}
		name, _ := r.text("roleName")
		f.Evidence = append(f.Evidence, Evidence{Resource: r.called(), Property: "roleName", Value: name})
	}
	return f
}

const (
	roleOwner      = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	roleUserAccess = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
)

// noAccessAdministrator looks at the roles that the environment gives.
func noAccessAdministrator(v *view) Finding {
	for _, a := range v.of("Microsoft.Authorization/roleAssignments") {
		role, _ := a.text("roleDefinitionId")
		if strings.HasSuffix(role, roleOwner) || strings.HasSuffix(role, roleUserAccess) {
			return Finding{Status: NotMet, Why: "The environment gives somebody a role by which they can give themselves any other.", Next: "Give a narrower role.", Evidence: []Evidence{{Resource: a.called(), Property: "roleDefinitionId", Value: role}}}
		}
	}
	return Finding{Status: CannotTell, Why: "The environment gives nobody that role; assignments of the subscription and of the root are not seen.", Next: "The owner of the subscription can tell."}
}

// defender is a check that a plan of Microsoft Defender for Cloud is on. The subscription buys plans, so that only Azure tells.
func defender(plan string) check {
	return func(v *view) Finding {
		for _, p := range v.of("Microsoft.Security/pricings") {
			if strings.EqualFold(p.name, plan) && p.state == read {
				got := has(p, "pricingTier", "Free", "Standard")
				f := Finding{Status: got.status, Evidence: []Evidence{got.evidence}, Why: "The plan " + plan + " of the subscription is on."}
				if got.status != Met {
					f.Why, f.Next = "The plan "+plan+" of the subscription is off.", "The owner of the subscription turns it on, or records why not."
				}
				return f
			}
		}
		return Finding{Status: CannotTell, Why: "Plans of Microsoft Defender are bought for the subscription, which the environment shares with others.", Next: "The owner of the subscription can tell; flowehr compliance reads the plans when it is signed in."}
	}
}

var (
	defenderSetting = someoneElse("It is a setting of Microsoft Defender for the whole subscription.", "The owner of the subscription can tell.")
	iot             = absentFrom("IoT hub", "The environment has no IoT hub.", "Microsoft.Devices/IotHubs")
	noKubernetes    = absentFrom("Kubernetes cluster", "The environment has no Kubernetes cluster.", "Microsoft.ContainerService/managedClusters")
	sasHour         = someoneElse("Whoever makes a shared access signature says when it ends, and Azure keeps no list. The product makes none.", "Whoever holds a key of an account can tell; taking keys out of use settles it.")
	activityStorage = someoneElse("Where the activity log is kept is decided for the subscription.", "The owner of the subscription can tell.")
	hsm             = someoneElse("Whether keys have to be in hardware of one's own is decided by those who are answerable for the data.", "The owner of the data decides and records the decision.")
	scim            = someoneElse("How people come into Databricks is set for its account.", "An administrator of the Databricks account can tell.")
	tokens          = someoneElse("Personal tokens are a setting of the running workspace; pipelines use identities, not tokens.", "An administrator of the workspace can tell.")
)
