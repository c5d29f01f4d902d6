package compliance_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/compliance"
)

const (
	subscription = "11111111-1111-4111-8111-111111111111"
	group        = "rg-ideal"
)

var (
	groupID = arm.GroupID(subscription, group)
	at      = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// world is an environment that meets whatever a template can meet, by the type and name of its resources. Tests break one thing.
type world map[string]map[string]any

type obj = map[string]any

func (w world) put(typ, name string, properties obj, more ...obj) {
	r := obj{"type": typ, "name": name, "apiVersion": "2024-01-01", "properties": properties}
	for _, m := range more {
		for k, v := range m {
			r[k] = v
		}
	}
	key := typ + " " + name
	if scope, ok := r["scope"].(string); ok {
		key += " on " + scope[strings.LastIndex(scope[:strings.LastIndex(scope, "/")], "/")+1:]
	}
	w[key] = r
}

// set changes a property of a resource, by a path with dots. A nil value takes it away.
func (w world) set(t testing.TB, key, path string, value any) {
	t.Helper()
	r := w[key]
	if r == nil {
		t.Fatalf("there is no %q", key)
	}
	m := r["properties"].(obj)
	if head, rest, ok := strings.Cut(path, "."); ok && (head == "sku" || head == "identity") {
		m, path = r[head].(obj), rest
	}
	for {
		head, rest, more := strings.Cut(path, ".")
		if !more {
			break
		}
		m, path = m[head].(obj), rest
	}
	if value == nil {
		delete(m, path)
		return
	}
	m[path] = value
}

func (w world) drop(t testing.TB, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if w[key] == nil {
			t.Fatalf("there is no %q", key)
		}
		delete(w, key)
	}
}

func id(typ string, names ...string) string { return arm.ID(subscription, group, typ, names...) }

func logs(categories ...string) obj {
	var list []any
	for _, c := range categories {
		list = append(list, obj{"category": c, "enabled": true})
	}
	return obj{"logs": list, "workspaceId": id("Microsoft.OperationalInsights/workspaces", "log")}
}

func (w world) diagnose(scope string, categories ...string) {
	w.put("Microsoft.Insights/diagnosticSettings", "log", logs(categories...), obj{"scope": scope})
}

func (w world) endpoint(name, target, part string) {
	w.put("Microsoft.Network/privateEndpoints", name, obj{
		"subnet":                        obj{"id": id("Microsoft.Network/virtualNetworks/subnets", "vnet", "shared")},
		"privateLinkServiceConnections": []any{obj{"name": name, "properties": obj{"privateLinkServiceId": target, "groupIds": []any{part}}}},
	})
	w.put("Microsoft.Network/privateEndpoints/privateDnsZoneGroups", name+"/default", obj{"privateDnsZoneConfigs": []any{}})
}

func (w world) alert(name string, operations ...string) {
	var any_ []any
	for _, o := range operations {
		any_ = append(any_, obj{"field": "operationName", "equals": o})
	}
	w.put("Microsoft.Insights/activityLogAlerts", name, obj{
		"enabled": true, "scopes": []any{"/subscriptions/" + subscription},
		"condition": obj{"allOf": []any{obj{"field": "category", "equals": "Administrative"}, obj{"anyOf": any_}}},
		"actions":   obj{"actionGroups": []any{obj{"actionGroupId": id("Microsoft.Insights/actionGroups", "people")}}},
	})
}

func nsgRule(name, direction, access string, priority int, protocol, from, to, ports string) obj {
	return obj{"name": name, "properties": obj{"direction": direction, "access": access, "priority": priority, "protocol": protocol,
		"sourceAddressPrefix": from, "sourcePortRange": "*", "destinationAddressPrefix": to, "destinationPortRange": ports}}
}

func subnet(name string) obj {
	return obj{"name": name, "properties": obj{"addressPrefix": "10.0.0.0/26", "networkSecurityGroup": obj{"id": id("Microsoft.Network/networkSecurityGroups", "nsg")}}}
}

func ideal() world {
	w := world{}
	account, vault, server, workspace := id("Microsoft.Storage/storageAccounts", "strg"), id("Microsoft.KeyVault/vaults", "kv"), id("Microsoft.Sql/servers", "sql"), id("Microsoft.Databricks/workspaces", "dbks")
	w.put("Microsoft.OperationalInsights/workspaces", "log", obj{"sku": obj{"name": "PerGB2018"}})
	w.diagnose(id("Microsoft.OperationalInsights/workspaces", "log"), "Audit")

	w.put("Microsoft.Storage/storageAccounts", "strg", obj{
		"supportsHttpsTrafficOnly": true, "allowBlobPublicAccess": false, "publicNetworkAccess": "Disabled", "minimumTlsVersion": "TLS1_2", "allowCrossTenantReplication": false,
		"allowSharedKeyAccess": false, "defaultToOAuthAuthentication": true, "networkAcls": obj{"bypass": "AzureServices", "defaultAction": "Deny"},
		"encryption": obj{"keySource": "Microsoft.Keyvault", "requireInfrastructureEncryption": true, "services": obj{"blob": obj{"enabled": true}}},
	}, obj{"sku": obj{"name": "Standard_GRS"}})
	w.put("Microsoft.Storage/storageAccounts/blobServices", "strg/default", obj{"deleteRetentionPolicy": obj{"enabled": true, "days": 7}, "containerDeleteRetentionPolicy": obj{"enabled": true, "days": 7}, "isVersioningEnabled": true})
	for _, s := range []string{"blobServices", "queueServices", "tableServices"} {
		w.diagnose(account+"/"+s+"/default", "StorageRead", "StorageWrite", "StorageDelete")
	}
	w.endpoint("pe-strg", account, "blob")

	w.put("Microsoft.KeyVault/vaults", "kv", obj{"enablePurgeProtection": true, "enableSoftDelete": true, "enableRbacAuthorization": true, "publicNetworkAccess": "Disabled"})
	w.diagnose(vault, "AuditEvent")
	w.endpoint("pe-kv", vault, "vault")

	w.put("Microsoft.Sql/servers", "sql", obj{"publicNetworkAccess": "Disabled", "minimalTlsVersion": "1.2", "administrators": obj{"administratorType": "ActiveDirectory", "azureADOnlyAuthentication": true}})
	w.put("Microsoft.Sql/servers/databases", "sql/features", obj{}, obj{"sku": obj{"name": "S1"}})
	w.put("Microsoft.Sql/servers/databases/transparentDataEncryption", "sql/features/current", obj{"state": "Enabled"})
	w.put("Microsoft.Sql/servers/auditingSettings", "sql/default", obj{"state": "Enabled", "storageEndpoint": "https://strg.blob.core.windows.net", "retentionDays": 365, "isAzureMonitorTargetEnabled": true})
	w.put("Microsoft.Sql/servers/encryptionProtector", "sql/current", obj{"serverKeyType": "AzureKeyVault"})
	w.put("Microsoft.Sql/servers/securityAlertPolicies", "sql/Default", obj{"state": "Enabled"})
	w.put("Microsoft.Sql/servers/vulnerabilityAssessments", "sql/default", obj{"storageContainerPath": "https://strg.blob.core.windows.net/va/", "recurringScans": obj{"isEnabled": true, "emailSubscriptionAdmins": true, "emails": []any{"a@example.nhs.uk"}}})
	w.diagnose(server+"/databases/features", "SQLSecurityAuditEvents")
	w.diagnose(server+"/databases/master", "SQLSecurityAuditEvents")

	w.put("Microsoft.DBforPostgreSQL/flexibleServers", "pg", obj{"network": obj{"publicNetworkAccess": "Disabled"}})
	for name, value := range map[string]string{"require_secure_transport": "on", "log_checkpoints": "on", "log_connections": "on", "log_disconnections": "on", "connection_throttle.enable": "on", "logfiles.retention_days": "7"} {
		w.put("Microsoft.DBforPostgreSQL/flexibleServers/configurations", "pg/"+name, obj{"value": value})
	}
	w.diagnose(id("Microsoft.DBforPostgreSQL/flexibleServers", "pg"), "PostgreSQLLogs")

	w.put("Microsoft.DocumentDB/databaseAccounts", "cosmos", obj{"publicNetworkAccess": "Disabled", "disableLocalAuth": true, "minimalTlsVersion": "Tls12"})
	w.endpoint("pe-cosmos", id("Microsoft.DocumentDB/databaseAccounts", "cosmos"), "Sql")
	w.diagnose(id("Microsoft.DocumentDB/databaseAccounts", "cosmos"), "DataPlaneRequests")

	w.put("Microsoft.Network/networkSecurityGroups", "nsg", obj{"securityRules": []any{
		nsgRule("deny-in", "Inbound", "Deny", 200, "*", "Internet", "*", "*"), nsgRule("deny-out", "Outbound", "Deny", 2000, "*", "*", "Internet", "*"),
	}})
	w.diagnose(id("Microsoft.Network/networkSecurityGroups", "nsg"), "NetworkSecurityGroupEvent")
	w.put("Microsoft.Network/virtualNetworks", "vnet", obj{"enableDdosProtection": true, "subnets": []any{subnet("shared"), subnet("host"), subnet("container")}})
	w.put("Microsoft.Network/networkWatchers/flowLogs", "watcher/log", obj{
		"enabled": true, "targetResourceId": id("Microsoft.Network/virtualNetworks", "vnet"), "retentionPolicy": obj{"days": 90, "enabled": true},
		"flowAnalyticsConfiguration": obj{"networkWatcherFlowAnalyticsConfiguration": obj{"enabled": true, "workspaceResourceId": id("Microsoft.OperationalInsights/workspaces", "log")}},
	})
	w.put("Microsoft.Network/networkSecurityPerimeters", "perimeter", obj{})

	w.put("Microsoft.Insights/actionGroups", "people", obj{"enabled": true, "emailReceivers": []any{obj{"name": "on call", "emailAddress": "a@example.nhs.uk"}}})
	w.alert("policy", "Microsoft.Authorization/policyAssignments/write", "Microsoft.Authorization/policyAssignments/delete")
	w.alert("groups", "Microsoft.Network/networkSecurityGroups/write", "Microsoft.Network/networkSecurityGroups/delete")
	w.alert("solutions", "Microsoft.Security/securitySolutions/write", "Microsoft.Security/securitySolutions/delete")
	w.alert("firewall", "Microsoft.Sql/servers/firewallRules/write", "Microsoft.Sql/servers/firewallRules/delete")
	w.alert("addresses", "Microsoft.Network/publicIPAddresses/write", "Microsoft.Network/publicIPAddresses/delete")
	w.alert("health", "ServiceHealth")
	w.put("Microsoft.Insights/components", "insights", obj{})

	site := id("Microsoft.Web/sites", "app")
	w.put("Microsoft.Web/sites", "app", obj{"httpsOnly": true, "clientCertEnabled": true, "clientCertMode": "Required",
		"siteConfig": obj{"minTlsVersion": "1.2", "http20Enabled": true, "ftpsState": "Disabled", "remoteDebuggingEnabled": false, "linuxFxVersion": "DOCKER|registry/app:1"}},
		obj{"kind": "app,linux,container", "identity": obj{"type": "SystemAssigned"}})
	w.put("Microsoft.Web/sites/config", "app/appsettings", obj{"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=x", "CLIENT_SECRET": "@Microsoft.KeyVault(SecretUri=https://kv)"})
	w.put("Microsoft.Web/sites/config", "app/authsettingsV2", obj{"platform": obj{"enabled": true}, "globalValidation": obj{"requireAuthentication": true, "unauthenticatedClientAction": "RedirectToLoginPage"}, "identityProviders": obj{"azureActiveDirectory": obj{"enabled": true}}})
	for _, door := range []string{"ftp", "scm"} {
		w.put("Microsoft.Web/sites/basicPublishingCredentialsPolicies", "app/"+door, obj{"allow": false})
	}
	w.diagnose(site, "AppServiceHTTPLogs")
	w.put("Microsoft.ContainerRegistry/registries", "acr", obj{"adminUserEnabled": false, "anonymousPullEnabled": false}, obj{"sku": obj{"name": "Standard"}})
	w.diagnose(id("Microsoft.ContainerRegistry/registries", "acr"), "ContainerRegistryLoginEvents")

	w.put("Microsoft.Databricks/workspaces", "dbks", obj{
		"publicNetworkAccess": "Disabled", "encryption": obj{"entities": obj{"managedServices": obj{"keySource": "Microsoft.Keyvault"}}},
		"parameters": obj{"customVirtualNetworkId": obj{"value": id("Microsoft.Network/virtualNetworks", "vnet")}, "customPublicSubnetName": obj{"value": "host"}, "customPrivateSubnetName": obj{"value": "container"}, "enableNoPublicIp": obj{"value": true}},
	}, obj{"sku": obj{"name": "premium"}})
	w.diagnose(workspace, "accounts", "clusters", "jobs", "notebook", "secrets", "workspace")
	w.endpoint("pe-dbks", workspace, "databricks_ui_api")

	for _, held := range []string{account, vault, server, id("Microsoft.DBforPostgreSQL/flexibleServers", "pg"), workspace} {
		w.put("Microsoft.Authorization/locks", "lock", obj{"level": "CanNotDelete"}, obj{"scope": held})
	}
	return w
}

// specs are resources of other kinds in the ideal world.
func specs(t testing.TB) []flowehr.Resource {
	var out []flowehr.Resource
	add := func(kind, name string, spec any) {
		raw, err := flowehr.Canonical(spec)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, flowehr.Resource{Ref: azure.Ref(kind, name), Spec: raw})
	}
	add(azure.KindVaultSecret, "kv/password", azure.VaultSecretSpec{Vault: "kv", Name: "password", Source: azure.Source{Password: &azure.AppPassword{Days: 180}}})
	add(azure.KindCluster, "cluster", azure.ClusterSpec{Name: "cluster", Workers: 2, Conf: map[string]string{"spark.network.crypto.enabled": "true"}})
	add(azure.KindCatalog, "catalog", azure.CatalogSpec{Name: "catalog"})
	add(azure.KindMetastoreUse, "metastore", azure.MetastoreUseSpec{})
	add(azure.KindBranch, "app/main", azure.BranchSpec{Approvals: 1, Checks: []string{"Code Scanning"}})
	return out
}

// resources writes the world as one stack, beside the resources of other kinds.
func (w world) resources(t testing.TB, others []flowehr.Resource) []flowehr.Resource {
	t.Helper()
	inner := obj{}
	for key, r := range w {
		inner[fmt.Sprintf("r%x", key)] = r
	}
	template := obj{"resources": obj{"nested": obj{
		"type": "Microsoft.Resources/deployments", "name": "nested", "apiVersion": "2025-04-01", "resourceGroup": group, "properties": obj{"template": obj{"resources": inner}, "hint": groupID},
	}}}
	raw, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := flowehr.Canonical(azure.StackSpec{Name: "flowehr-core", Template: raw})
	if err != nil {
		t.Fatal(err)
	}
	return append([]flowehr.Resource{{Ref: azure.Ref(azure.KindStack, "core"), Layer: flowehr.LayerCore, Spec: spec}}, others...)
}

// live is what Azure returns for everything that is wanted.
func (w world) live(t testing.TB, resources []flowehr.Resource) map[string]json.RawMessage {
	t.Helper()
	wants, err := compliance.Wanted(resources)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]obj{}
	for _, r := range w {
		at := groupID
		if scope, ok := r["scope"].(string); ok {
			at = scope
		}
		bodies[strings.ToLower(arm.On(at, r["type"].(string), strings.Split(r["name"].(string), "/")...))] = r
	}
	out := map[string]json.RawMessage{}
	for _, want := range wants {
		if body := bodies[strings.ToLower(want.ID)]; body != nil {
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			out[want.ID] = raw
		}
	}
	return out
}

func environment() *flowehr.Environment {
	return &flowehr.Environment{
		ID: "stelse", Name: "prod", Suffix: "stelse-prod", Target: flowehr.TargetAzure, RealData: true,
		Projects: []flowehr.Project{{ID: "main", Name: "Main", Owners: []string{"owner@example.nhs.uk"}, Tier: 3, Budget: 500, ApprovedUntil: at.AddDate(1, 0, 0)}},
		Sources:  []flowehr.Source{{Name: "dw", Kind: flowehr.SourceSQLServer, Host: "dw.example.nhs.uk", TLS: "verify"}},
	}
}

func state(resources []flowehr.Resource) *flowehr.State {
	s := &flowehr.State{Target: flowehr.TargetAzure, Records: map[flowehr.Ref]flowehr.Record{}}
	for _, r := range resources {
		s.Records[r.Ref] = flowehr.Record{Resource: r, At: at}
	}
	return s
}

// results is every result of a report, by check.
func results(t testing.TB, in compliance.Input) map[string]compliance.Result {
	t.Helper()
	report, err := compliance.Evaluate(in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]compliance.Result{}
	for _, s := range report.Sections {
		for _, r := range s.Results {
			out[r.Check] = r
		}
	}
	return out
}
