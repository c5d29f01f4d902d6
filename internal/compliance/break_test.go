package compliance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/compliance"
)

const (
	account  = "Microsoft.Storage/storageAccounts strg"
	blobs    = "Microsoft.Storage/storageAccounts/blobServices strg/default"
	vault    = "Microsoft.KeyVault/vaults kv"
	sqlKey   = "Microsoft.Sql/servers sql"
	auditing = "Microsoft.Sql/servers/auditingSettings sql/default"
	scans    = "Microsoft.Sql/servers/vulnerabilityAssessments sql/default"
	nsg      = "Microsoft.Network/networkSecurityGroups nsg"
	vnet     = "Microsoft.Network/virtualNetworks vnet"
	flowLog  = "Microsoft.Network/networkWatchers/flowLogs watcher/log"
	people   = "Microsoft.Insights/actionGroups people"
	app      = "Microsoft.Web/sites app"
	signIn   = "Microsoft.Web/sites/config app/authsettingsV2"
	settings = "Microsoft.Web/sites/config app/appsettings"
	scm      = "Microsoft.Web/sites/basicPublishingCredentialsPolicies app/scm"
	dbks     = "Microsoft.Databricks/workspaces dbks"
	cosmos   = "Microsoft.DocumentDB/databaseAccounts cosmos"
	acr      = "Microsoft.ContainerRegistry/registries acr"
	diag     = "Microsoft.Insights/diagnosticSettings log on "
)

// breaking is one way to break one check.
type breaking struct {
	check, how string
	do         func(testing.TB, world)
}

func setting(check, how, key, path string, value any) breaking {
	return breaking{check, how, func(t testing.TB, w world) { w.set(t, key, path, value) }}
}

func dropping(check, how string, keys ...string) breaking {
	return breaking{check, how, func(t testing.TB, w world) { w.drop(t, keys...) }}
}

func rules(check, how string, list ...any) breaking {
	return setting(check, how, nsg, "securityRules", list)
}

// unattached leaves the security group where it is and takes it off a subnet, as the older system had it.
func unattached(check string) breaking {
	return breaking{check, "security group attached to nothing", func(t testing.TB, w world) {
		w.set(t, vnet, "subnets", []any{subnet("host"), subnet("container"), obj{"name": "shared", "properties": obj{"addressPrefix": "10.0.0.0/26"}}})
	}}
}

func letIn(protocol, ports string) []any {
	return []any{nsgRule("let-in", "Inbound", "Allow", 100, protocol, "Internet", "*", ports)}
}

func alertBreaks(check, name string) []breaking {
	key := "Microsoft.Insights/activityLogAlerts " + name
	return []breaking{
		dropping(check, "no alert", key),
		setting(check, "switched off", key, "enabled", false),
		setting(check, "another operation", key, "condition", obj{"allOf": []any{obj{"field": "operationName", "equals": "Microsoft.Other/thing/write"}}}),
		setting(check, "scope elsewhere", key, "scopes", []any{"/subscriptions/" + subscription + "/resourceGroups/another"}),
		setting(check, "reaches nobody", people, "emailReceivers", []any{}),
	}
}

// breakings lists at least one way to break each check that a template can meet.
func breakings() []breaking {
	out := []breaking{
		setting("storage-tls-only", "off", account, "supportsHttpsTrafficOnly", false),
		setting("storage-double", "off", account, "encryption.requireInfrastructureEncryption", false),
		setting("storage-double", "not set", account, "encryption.requireInfrastructureEncryption", nil),
		setting("storage-shared-key", "not set", account, "allowSharedKeyAccess", nil),
		setting("storage-public", "on", account, "publicNetworkAccess", "Enabled"),
		{"storage-deny", "open to all networks", func(t testing.TB, w world) {
			w.set(t, account, "publicNetworkAccess", "Enabled")
			w.set(t, account, "networkAcls.defaultAction", "Allow")
		}},
		setting("storage-trusted", "nothing passes", account, "networkAcls.bypass", "None"),
		dropping("storage-endpoint", "none", "Microsoft.Network/privateEndpoints pe-strg"),
		dropping("storage-endpoint", "without a name", "Microsoft.Network/privateEndpoints/privateDnsZoneGroups pe-strg/default"),
		setting("storage-endpoint", "to another account", "Microsoft.Network/privateEndpoints pe-strg", "privateLinkServiceConnections", []any{obj{"properties": obj{"privateLinkServiceId": id("Microsoft.Storage/storageAccounts", "other"), "groupIds": []any{"blob"}}}}),
		setting("storage-soft", "containers off", blobs, "containerDeleteRetentionPolicy.enabled", false),
		setting("storage-soft-blob", "off", blobs, "deleteRetentionPolicy.enabled", false),
		setting("storage-soft-container", "off", blobs, "containerDeleteRetentionPolicy.enabled", false),
		setting("storage-versions", "off", blobs, "isVersioningEnabled", false),
		setting("storage-own-key", "key of Microsoft", account, "encryption.keySource", "Microsoft.Storage"),
		dropping("storage-log-queue", "no log", diag+"queueServices/default"),
		setting("storage-log-blob", "log to nowhere", diag+"blobServices/default", "workspaceId", nil),
		setting("storage-log-table", "no deletes", diag+"tableServices/default", "logs", logs("StorageRead", "StorageWrite")["logs"]),
		setting("storage-tls", "1.0", account, "minimumTlsVersion", "TLS1_0"),
		setting("storage-tenants", "on", account, "allowCrossTenantReplication", true),
		setting("storage-anonymous", "on", account, "allowBlobPublicAccess", true),
		setting("storage-portal", "not set", account, "defaultToOAuthAuthentication", nil),
		dropping("storage-lock", "none", "Microsoft.Authorization/locks lock on storageAccounts/strg"),
		setting("storage-geo", "one region", account, "sku.name", "Standard_LRS"),
		setting("storage-key-reminder", "keys in use without a reminder", account, "allowSharedKeyAccess", true),

		setting("vault-recoverable", "no purge protection", vault, "enablePurgeProtection", nil),
		setting("vault-recoverable", "no soft deletion", vault, "enableSoftDelete", false),
		setting("vault-purge", "off", vault, "enablePurgeProtection", false),
		setting("vault-roles", "policies", vault, "enableRbacAuthorization", false),
		setting("vault-public", "on", vault, "publicNetworkAccess", "Enabled"),
		dropping("vault-endpoint", "none", "Microsoft.Network/privateEndpoints pe-kv"),
		setting("vault-log", "another category", diag+"vaults/kv", "logs", logs("AzurePolicyEvaluationDetails")["logs"]),

		setting("sql-audit", "off", auditing, "state", "Disabled"),
		{"sql-audit", "goes nowhere", func(t testing.TB, w world) {
			w.set(t, auditing, "storageEndpoint", nil)
			w.drop(t, diag+"databases/master")
		}},
		{"sql-open", "everybody", func(t testing.TB, w world) {
			w.set(t, sqlKey, "publicNetworkAccess", "Enabled")
			w.put("Microsoft.Sql/servers/firewallRules", "sql/all", obj{"startIpAddress": "0.0.0.0", "endIpAddress": "255.255.255.255"})
		}},
		setting("sql-own-key", "key of Microsoft", "Microsoft.Sql/servers/encryptionProtector sql/current", "serverKeyType", "ServiceManaged"),
		setting("sql-directory", "none", sqlKey, "administrators", nil),
		setting("sql-encryption", "off", "Microsoft.Sql/servers/databases/transparentDataEncryption sql/features/current", "state", "Disabled"),
		setting("sql-audit-days", "90 is not more than 90", auditing, "retentionDays", 90),
		setting("sql-public", "on", sqlKey, "publicNetworkAccess", "Enabled"),
		setting("sql-threats", "off", "Microsoft.Sql/servers/securityAlertPolicies sql/Default", "state", "Disabled"),
		setting("sql-assessment", "nowhere to put it", scans, "storageContainerPath", nil),
		setting("sql-assessment", "threat detection off", "Microsoft.Sql/servers/securityAlertPolicies sql/Default", "state", "Disabled"),
		setting("sql-scans", "off", scans, "recurringScans.isEnabled", false),
		setting("sql-reports", "nobody", scans, "recurringScans.emails", []any{}),
		setting("sql-reports-owners", "off", scans, "recurringScans.emailSubscriptionAdmins", false),
		setting("postgres-azure", "every service", "Microsoft.DBforPostgreSQL/flexibleServers pg", "network.publicNetworkAccess", "Enabled"),
		setting("cosmos-networks", "all", cosmos, "publicNetworkAccess", "Enabled"),
		dropping("cosmos-endpoint", "none", "Microsoft.Network/privateEndpoints pe-cosmos"),
		setting("cosmos-identity", "keys", cosmos, "disableLocalAuth", false),

		dropping("flow-log", "none", flowLog),
		setting("flow-log", "of a group that is attached to nothing", flowLog, "targetResourceId", id("Microsoft.Network/networkSecurityGroups", "unused")),
		setting("flow-log", "off", flowLog, "enabled", false),
		setting("flow-log-network", "not analysed", flowLog, "flowAnalyticsConfiguration.networkWatcherFlowAnalyticsConfiguration.enabled", false),
		setting("flow-log-days", "a week", flowLog, "retentionPolicy.days", 7),
		setting("flow-log-network-days", "a week", flowLog, "retentionPolicy.days", 7),
		dropping("app-log", "none", diag+"sites/app"),
		setting("insights", "the app does not know it", settings, "APPLICATIONINSIGHTS_CONNECTION_STRING", nil),
		dropping("resource-logs", "a registry without", diag+"registries/acr"),
		setting("sizes", "basic", "Microsoft.Sql/servers/databases sql/features", "sku.name", "Basic"),

		rules("network-rdp", "rule", letIn("Tcp", "3389")...),
		rules("network-rdp", "range", letIn("*", "3000-4000")...),
		unattached("network-rdp"),
		rules("network-ssh", "rule", letIn("Tcp", "22")...),
		rules("network-udp", "rule", letIn("Udp", "53")...),
		rules("network-http", "rule", letIn("Tcp", "443")...),
		unattached("network-http"),
		unattached("network-subnets"),
		dropping("network-perimeter", "none", "Microsoft.Network/networkSecurityPerimeters perimeter"),
		setting("network-ddos", "off", vnet, "enableDdosProtection", false),

		setting("app-sign-in", "off", signIn, "platform.enabled", false),
		setting("app-sign-in", "lets the anonymous through", signIn, "globalValidation.unauthenticatedClientAction", "AllowAnonymous"),
		dropping("app-sign-in", "none", signIn),
		setting("app-https", "off", app, "httpsOnly", false),
		setting("app-tls", "1.0", app, "siteConfig.minTlsVersion", "1.0"),
		setting("app-client-certificates", "optional", app, "clientCertMode", "Optional"),
		setting("app-identity", "none", app, "siteConfig", obj{}).identityless(),
		setting("app-passwords", "scm takes passwords", scm, "allow", true),
		dropping("app-passwords", "not set", scm),
		setting("app-http2", "off", app, "siteConfig.http20Enabled", false),
		setting("app-ftp", "on", app, "siteConfig.ftpsState", "AllAllowed"),
		setting("app-secrets", "in the open", settings, "CLIENT_SECRET", "hunter2"),
		setting("app-debug", "on", app, "siteConfig.remoteDebuggingEnabled", true),

		setting("databricks-network", "its own", dbks, "parameters.customVirtualNetworkId", nil),
		{"databricks-groups", "a subnet without", func(t testing.TB, w world) {
			w.set(t, vnet, "subnets", []any{subnet("shared"), subnet("host"), obj{"name": "container", "properties": obj{}}})
		}},
		dropping("databricks-log", "none", diag+"workspaces/dbks"),
		setting("databricks-own-key", "key of Microsoft", dbks, "encryption", nil),
		setting("databricks-addresses", "on", dbks, "parameters.enableNoPublicIp.value", false),
		setting("databricks-public", "on", dbks, "publicNetworkAccess", "Enabled"),
		dropping("databricks-endpoint", "none", "Microsoft.Network/privateEndpoints pe-dbks"),
		dropping("locks", "vault without", "Microsoft.Authorization/locks lock on vaults/kv"),

		setting("satre-1.5.03", "administrator of the registry", acr, "adminUserEnabled", true),
		setting("satre-1.5.05", "passwords", scm, "allow", true),
		unattached("satre-2.2.09"),
		rules("satre-2.2.11", "one port is denied", nsgRule("deny-out", "Outbound", "Deny", 2000, "Tcp", "*", "Internet", "443")),
		rules("satre-2.2.11", "nothing is denied"),
		rules("satre-2.2.11", "allowed first", nsgRule("out", "Outbound", "Allow", 100, "Tcp", "*", "*", "443"), nsgRule("deny-out", "Outbound", "Deny", 2000, "*", "*", "Internet", "*")),
		unattached("satre-2.2.11"),
		setting("satre-2.8.01", "database in the clear", "Microsoft.Sql/servers/databases/transparentDataEncryption sql/features/current", "state", "Disabled"),
		setting("satre-2.8.02", "app in the clear", app, "httpsOnly", false),
		rules("satre-3.1.12", "the internet is open"),
		setting("satre-3.2.01", "passwords for SQL", sqlKey, "administrators.azureADOnlyAuthentication", false),
		setting("satre-2.2.14", "reads of blobs are not logged", diag+"blobServices/default", "logs", logs("StorageWrite")["logs"]),
		setting("satre-2.8.05", "keys of Microsoft", account, "encryption.keySource", "Microsoft.Storage"),
		dropping("satre-2.5.03", "a registry without logs", diag+"registries/acr"),
		setting("satre-2.6.01", "blobs are erased", blobs, "deleteRetentionPolicy.enabled", false),
	}
	for name, checks := range map[string][]string{
		"policy": {"alert-policy-write", "alert-policy-delete"}, "groups": {"alert-group-write", "alert-group-delete"}, "solutions": {"alert-solution-write", "alert-solution-delete"},
		"firewall": {"alert-firewall-write", "alert-firewall-delete"}, "addresses": {"alert-address-write", "alert-address-delete"}, "health": {"alert-health"},
	} {
		for _, c := range checks {
			out = append(out, alertBreaks(c, name)...)
		}
	}
	for check, parameter := range map[string]string{"postgres-tls": "require_secure_transport", "postgres-checkpoints": "log_checkpoints", "postgres-connections": "log_connections",
		"postgres-disconnections": "log_disconnections", "postgres-throttle": "connection_throttle.enable"} {
		out = append(out, setting(check, "off", "Microsoft.DBforPostgreSQL/flexibleServers/configurations pg/"+parameter, "value", "off"))
	}
	out = append(out, setting("postgres-days", "three", "Microsoft.DBforPostgreSQL/flexibleServers/configurations pg/logfiles.retention_days", "value", "3"))
	for i, b := range out {
		if b.check == "postgres-azure" {
			out[i].do = func(t testing.TB, w world) {
				b.do(t, w)
				w.put("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules", "pg/azure", obj{"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"})
			}
		}
	}
	return out
}

func (b breaking) identityless() breaking {
	b.do = func(t testing.TB, w world) { delete(w[app], "identity") }
	return b
}

// TestEachCheckCanBeBroken breaks one thing at a time, in the definition and in what stands.
func TestEachCheckCanBeBroken(t *testing.T) {
	good := ideal().resources(t, specs(t))
	whole := results(t, compliance.Input{Environment: environment(), Resources: good, At: at})
	for _, b := range breakings() {
		t.Run(b.check+"/"+b.how, func(t *testing.T) {
			if before := whole[b.check]; before.Status == compliance.NotMet || before.Check == "" {
				t.Fatalf("before: %q %+v", before.Status, before.Compiled)
			}
			w := ideal()
			b.do(t, w)
			broken := w.resources(t, specs(t))
			after := results(t, compliance.Input{Environment: environment(), Resources: broken, At: at})[b.check]
			if after.Status != compliance.NotMet || after.Compiled.Why == "" || after.Compiled.Next == "" && after.Compiled.Status == compliance.NotMet {
				t.Errorf("in the definition: %s, why %q, next %q, %v", after.Status, after.Compiled.Why, after.Compiled.Next, after.Compiled.Evidence)
			}
			if b.check == "app-secrets" || b.check == "insights" || b.check == "network-perimeter" {
				return // Azure gives settings by a POST only; a perimeter may be somebody else's
			}
			live := results(t, compliance.Input{Environment: environment(), Resources: good, State: state(broken), Live: w.live(t, broken), At: at})[b.check]
			if live.Deployed == nil || live.Deployed.Status != compliance.NotMet || live.Status != compliance.NotMet || live.Difference == "" {
				t.Errorf("in what stands: %s, %+v, difference %q", live.Status, live.Deployed, live.Difference)
			}
		})
	}
}

// otherwiseBroken are checks that tests outside the table break: they look at other kinds of resource or at the definition.
var otherwiseBroken = []string{"vault-secrets", "databricks-workers", "databricks-catalogue", "network-watcher", "satre-2.1.08", "satre-2.1.14", "satre-2.2.10", "satre-1.4.02",
	"satre-1.4.06", "satre-2.3.03", "satre-2.3.04", "satre-4.4.02", "satre-2.7.01", "satre-3.1.03", "satre-3.1.17", "satre-3.1.19"}

// TestEveryMetControlHasATestThatBreaksIt: a control counts only when something tried to break it.
func TestEveryMetControlHasATestThatBreaksIt(t *testing.T) {
	tried := map[string]bool{}
	for _, b := range breakings() {
		tried[b.check] = true
	}
	for check, r := range results(t, compliance.Input{Environment: environment(), Resources: ideal().resources(t, specs(t)), At: at}) {
		said := len(r.Compiled.Evidence) == 1 && r.Compiled.Evidence[0].Source != "" // by a document, which a template cannot break
		if r.Compiled.Status == compliance.Met && !tried[check] && !said && !slices.Contains(otherwiseBroken, check) {
			t.Errorf("nothing tries to break %s (%s)", check, r.Title)
		}
	}
}

// TestOtherKindsCanBeBroken breaks what stands outside templates.
func TestOtherKindsCanBeBroken(t *testing.T) {
	spec := func(kind, name string, v any) func(*flowehr.Environment, []flowehr.Resource) []flowehr.Resource {
		return func(_ *flowehr.Environment, all []flowehr.Resource) []flowehr.Resource {
			raw, err := flowehr.Canonical(v)
			if err != nil {
				t.Fatal(err)
			}
			all = slices.DeleteFunc(all, func(r flowehr.Resource) bool { return r.Ref == azure.Ref(kind, name) })
			return append(all, flowehr.Resource{Ref: azure.Ref(kind, name), Spec: raw})
		}
	}
	project := func(change func(*flowehr.Project)) func(*flowehr.Environment, []flowehr.Resource) []flowehr.Resource {
		return func(e *flowehr.Environment, all []flowehr.Resource) []flowehr.Resource {
			change(&e.Projects[0])
			return all
		}
	}
	two := func(e *flowehr.Environment, all []flowehr.Resource) []flowehr.Resource {
		e.Projects = append(e.Projects, flowehr.Project{ID: "second", Owners: []string{"b@example.nhs.uk"}})
		return all
	}
	for _, c := range []struct {
		check string
		do    func(*flowehr.Environment, []flowehr.Resource) []flowehr.Resource
	}{
		{"vault-secrets", spec(azure.KindVaultSecret, "kv/text", azure.VaultSecretSpec{Vault: "kv", Name: "text", Source: azure.Source{Text: "${KEY}"}})},
		{"databricks-workers", spec(azure.KindCluster, "cluster", azure.ClusterSpec{Workers: 2})},
		{"databricks-catalogue", func(_ *flowehr.Environment, all []flowehr.Resource) []flowehr.Resource {
			return slices.DeleteFunc(all, func(r flowehr.Resource) bool { return strings.HasPrefix(r.Ref.Kind, "uc-") })
		}},
		{"satre-2.7.01", spec(azure.KindBranch, "app/main", azure.BranchSpec{Checks: []string{"lint"}})},
		{"satre-3.2.03", spec(azure.KindSQLPrincipal, "apps", azure.SQLPrincipalSpec{Name: "apps", Group: true, Roles: []string{"db_datareader"}})},
		{"satre-2.1.08", two}, {"satre-2.1.14", two}, {"satre-2.2.10", two},
		{"satre-1.4.02", project(func(p *flowehr.Project) { p.ApprovedUntil = at.Add(-time.Hour) })},
		{"satre-1.4.02", project(func(p *flowehr.Project) { p.ApprovedUntil = time.Time{} })},
		{"satre-1.4.06", project(func(p *flowehr.Project) { p.Owners = nil })},
		{"satre-2.3.03", project(func(p *flowehr.Project) { p.Budget = 0 })},
		{"satre-2.3.04", project(func(p *flowehr.Project) { p.Budget = 0 })},
		{"satre-4.4.02", project(func(p *flowehr.Project) { p.Budget = 0 })},
		{"satre-3.1.03", project(func(p *flowehr.Project) { p.Tier = 1 })},
		{"satre-3.1.17", project(func(p *flowehr.Project) { p.Tier = 1 })},
		{"satre-3.1.19", project(func(p *flowehr.Project) { p.Tier = 1 })},
		{"satre-2.8.02", func(e *flowehr.Environment, all []flowehr.Resource) []flowehr.Resource {
			e.Sources[0].TLS = "disable"
			return all
		}},
	} {
		t.Run(c.check, func(t *testing.T) {
			e := environment()
			all := c.do(e, specs(t))
			if got := results(t, compliance.Input{Environment: e, Resources: ideal().resources(t, all), At: at})[c.check]; got.Status != compliance.NotMet || got.Compiled.Next == "" {
				t.Errorf("%s: %+v", got.Status, got.Compiled)
			}
		})
	}
}

// TestWhatIsNotReadIsNotJudged: a resource that was applied and that nobody asked Azure for proves nothing, and one that is gone
// does not count.
func TestWhatIsNotReadIsNotJudged(t *testing.T) {
	w := ideal()
	good := w.resources(t, specs(t))
	in := compliance.Input{Environment: environment(), Resources: good, State: state(good), At: at}
	got := results(t, in)["storage-tls-only"]
	if got.Deployed.Status != compliance.CannotTell || got.Status != compliance.CannotTell || !strings.Contains(got.Difference, "could not be read") {
		t.Errorf("unread: %+v", got)
	}
	in.Live = w.live(t, good)
	for id := range in.Live {
		if strings.HasSuffix(id, "/storageAccounts/strg") {
			in.Live[id] = []byte("null")
		}
	}
	if got := results(t, in)["storage-tls-only"]; got.Deployed.Status != compliance.NotMet || !strings.Contains(got.Deployed.Why, "gone") {
		t.Errorf("gone: %+v", got.Deployed)
	}
	in.Live[slices.Sorted(maps.Keys(in.Live))[0]] = []byte("{")
	if _, err := compliance.Evaluate(in); err == nil {
		t.Error("a body that is not JSON was accepted")
	}
}

// TestOnlyAzureTells what no definition shows: plans of Defender, the activity log, the age of keys, when secrets end, rules that
// somebody added by hand.
func TestOnlyAzureTells(t *testing.T) {
	sub := "/subscriptions/" + subscription
	kv, sql, strg := id("Microsoft.KeyVault/vaults", "kv"), id("Microsoft.Sql/servers", "sql"), id("Microsoft.Storage/storageAccounts", "strg")
	listed := func(member string) string { return `{"value":[` + member + `]}` }
	setting := func(logs string) string {
		return listed(`{"id":"` + sub + `/providers/Microsoft.Insights/diagnosticSettings/all","properties":{"workspaceId":"` + id("Microsoft.OperationalInsights/workspaces", "log") + `","logs":[` + logs + `]}}`)
	}
	category := func(names ...string) string {
		var out []string
		for _, n := range names {
			out = append(out, `{"category":"`+n+`","enabled":true}`)
		}
		return strings.Join(out, ",")
	}
	strgBody := func(made string) string {
		return `{"id":"` + strg + `","properties":{"keyCreationTime":{"key1":"` + made + `","key2":"` + made + `"}}}`
	}
	for _, c := range []struct {
		name, check, id, body string
		want                  compliance.Status
	}{
		{"plan on", "defender-storage", sub + "/providers/Microsoft.Security/pricings", listed(`{"id":"` + sub + `/providers/Microsoft.Security/pricings/StorageAccounts","properties":{"pricingTier":"Standard"}}`), compliance.Met},
		{"plan off", "defender-storage", sub + "/providers/Microsoft.Security/pricings", listed(`{"id":"` + sub + `/providers/Microsoft.Security/pricings/StorageAccounts","properties":{"pricingTier":"Free"}}`), compliance.NotMet},
		{"log", "activity-categories", sub + "/providers/Microsoft.Insights/diagnosticSettings", setting(category("Administrative", "Alert", "Policy", "Security")), compliance.Met},
		{"log without alerts", "activity-categories", sub + "/providers/Microsoft.Insights/diagnosticSettings", setting(category("Administrative", "Policy", "Security")), compliance.NotMet},
		{"no log", "activity-log", sub + "/providers/Microsoft.Insights/diagnosticSettings", listed(""), compliance.NotMet},
		{"secret ends", "vault-secrets", kv + "/secrets", listed(`{"id":"` + kv + `/secrets/a","properties":{"attributes":{"exp":1800000000}}}`), compliance.Met},
		{"secret without end", "vault-secrets", kv + "/secrets", listed(`{"id":"` + kv + `/secrets/a","properties":{"attributes":{}}}`), compliance.NotMet},
		{"key without end", "vault-keys", kv + "/keys", listed(`{"id":"` + kv + `/keys/a","properties":{"attributes":{}}}`), compliance.NotMet},
		{"no key", "vault-keys", kv + "/keys", listed(""), compliance.NotApplicable},
		{"old key", "storage-key-age", strg, strgBody("2026-01-01T00:00:00Z"), compliance.NotMet},
		{"new key", "storage-key-age", strg, strgBody("2026-11-01T00:00:00Z"), compliance.Met},
		{"unknown key", "storage-key-age", strg, strgBody(""), compliance.CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ideal()
			good := w.resources(t, specs(t))
			live := w.live(t, good)
			live[c.id] = []byte(c.body)
			got := results(t, compliance.Input{Environment: environment(), Resources: good, State: state(good), Live: live, At: at})[c.check]
			if got.Deployed.Status != c.want {
				t.Errorf("%s, want %s: %+v", got.Deployed.Status, c.want, got.Deployed)
			}
		})
	}
	t.Run("rules of an open server are listed", func(t *testing.T) {
		w := ideal()
		w.set(t, sqlKey, "publicNetworkAccess", "Enabled")
		open := w.resources(t, specs(t))
		live := w.live(t, open)
		in := compliance.Input{Environment: environment(), Resources: open, State: state(open), Live: live, At: at}
		if got := results(t, in)["sql-open"].Deployed; got.Status != compliance.CannotTell {
			t.Errorf("not listed: %+v", got)
		}
		live[sql+"/firewallRules"] = []byte(listed(`{"id":"` + sql + `/firewallRules/office","properties":{"startIpAddress":"198.51.100.7","endIpAddress":"198.51.100.7"}}`))
		if got := results(t, in)["sql-open"].Deployed; got.Status != compliance.Met {
			t.Errorf("one office: %+v", got)
		}
	})
}
