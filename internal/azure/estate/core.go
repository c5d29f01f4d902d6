package estate

import (
	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// core describes the first layer: the resource group, the network and how names are resolved in it, the vault, the storage of
// logs and state, and who is told when something is wrong.
//
// How services are reached is decided here for all layers. Every service that can has a private endpoint. Public access is
// for one address only, that of the person who deploys from outside: with real data, and when there is no such address, it is
// off. So an environment with real data looks the same wherever it is deployed from.
func (l *lowering) core() {
	s := l.stack(flowehr.LayerCore, "core")
	l.resourceGroup(s)
	l.logs(s)
	l.network(s)
	l.zones(s)
	l.managementStorage(s)
	l.vault(s)
	l.deployer(s)
	l.connectors(s)
	l.coreAlerts(s)
	l.flowLogs(s)
	l.coreAccess()
	s.holds = true // logs, audits and secrets
	s.done(flowehr.Pos{})
}

// resourceGroup makes the group that all layers are in. It is part of the stack, so deny settings keep it as well.
func (l *lowering) resourceGroup(s *stack) {
	s.first = append(s.first, s.top.Add("resourceGroup", l.regional("Microsoft.Resources/resourceGroups", l.names.Group(), nil)))
}

// coreAccess says what the way of deploying means for reaching what is deployed.
func (l *lowering) coreAccess() {
	e, f := l.env, l.facts
	switch {
	case e.RealData && !f.Automation:
		l.warn(flowehr.Pos{}, "Vault, feature store and Databricks are closed to every public address. Deploy from a machine in a network that is peered with this one, or from CI.",
			"with real data, services are reached from within the network only")
	case f.Automation && f.CI == nil:
		l.warn(flowehr.Pos{}, "Secrets and database users cannot be set from outside the network. `flowehr bootstrap` makes a network with build agents: set CI_RESOURCE_GROUP and CI_PEERING_VNET.",
			"deploying in automation without a network for its agents")
	}
	if f.CI != nil && e.Network.PrivateDNSZonesGroup == "" {
		l.warn(flowehr.Pos{}, "A network can be linked to one private DNS zone of a name only, so this environment's own zones are not linked to that of the agents. Set private_dns_zones_rg to a group with zones that are.",
			"build agents cannot resolve the private endpoints")
	}
}

// publicAccess is "Enabled" when an address outside may be let in.
func (l *lowering) publicAccess() string {
	if l.letIn() == "" {
		return "Disabled"
	}
	return "Enabled"
}

// letIn is the one public address that firewalls allow, if any.
func (l *lowering) letIn() string {
	if l.env.RealData || l.facts.Automation {
		return ""
	}
	return l.facts.PublicIP
}

// vaultNetwork and storageNetwork are the firewalls of a vault and of a storage account. Services of Azure on Microsoft's list
// of trusted ones, such as the one that writes diagnostics, pass both.
func (l *lowering) vaultNetwork() arm.Object {
	rules := []arm.Object{}
	if ip := l.letIn(); ip != "" {
		rules = append(rules, arm.Object{"value": ip})
	}
	return arm.Object{"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules, "virtualNetworkRules": []arm.Object{}}
}

func (l *lowering) storageNetwork() arm.Object {
	rules := []arm.Object{}
	if ip := l.letIn(); ip != "" {
		rules = append(rules, arm.Object{"value": ip, "action": "Allow"})
	}
	return arm.Object{"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules, "virtualNetworkRules": []arm.Object{}}
}

// keyVault is a vault whose rights are given by roles.
func (l *lowering) keyVault(name string) arm.Resource {
	properties := arm.Object{
		"tenantId":                  l.facts.Tenant,
		"sku":                       arm.Object{"family": "A", "name": "standard"},
		"enableRbacAuthorization":   true,
		"enableSoftDelete":          true,
		"softDeleteRetentionInDays": l.env.Sizes.VaultRetentionDays,
		"publicNetworkAccess":       l.publicAccess(),
		"networkAcls":               l.vaultNetwork(),
	}
	if l.env.RealData {
		// Azure takes true or nothing: protection cannot be taken away again, and false is refused.
		properties["enablePurgeProtection"] = true
	}
	return l.regional("Microsoft.KeyVault/vaults", name, properties)
}

// vault makes the vault of core and transform.
func (l *lowering) vault(s *stack) {
	name := l.names.Vault()
	id := l.id("Microsoft.KeyVault/vaults", name)
	vault := s.add("vault", l.keyVault(name))
	s.add("vaultDiagnostics", l.logged(id, true, "AuditEvent"), vault, "logs")
	l.privateEndpoint(s, "vaultEndpoint", l.names.PrivateEndpoint("kv"), id, "vault", []string{azure.ZoneVault}, vault)
	if l.env.RealData {
		s.add("vaultLock", l.locked(id, name), vault)
	}
}

// deployer lets whoever deploys read and write the vaults and the storage of the environment. The rights are given on the group,
// which covers the same things as rights on each: a lock also locks the role assignments on what it keeps, so that those of the
// last deployer could not be taken back.
func (l *lowering) deployer(s *stack) {
	for _, role := range []struct{ symbol, id string }{
		{"deployerVaults", azure.RoleVaultAdministrator}, {"deployerStorage", azure.RoleBlobDataContributor},
	} {
		r := l.allowDeployer(arm.GroupID(l.facts.Subscription, l.names.Group()), role.id)
		r.Scope = "" // of the deployment itself
		s.add(role.symbol, r)
	}
}

// allowDeployer gives whoever deploys a role on the resource of an id.
func (l *lowering) allowDeployer(scope, role string) arm.Resource {
	d := l.facts.Deployer
	return l.allow(scope, role, d.ObjectID, d.Kind, d.ObjectID)
}

// storageAccount is a storage account that is encrypted twice and closed to the world.
func (l *lowering) storageAccount(name, sku string, more arm.Object) arm.Resource {
	properties := arm.Object{
		"accessTier":                   "Hot",
		"allowBlobPublicAccess":        false,
		"allowCrossTenantReplication":  false,
		"defaultToOAuthAuthentication": true,
		"minimumTlsVersion":            "TLS1_2",
		"supportsHttpsTrafficOnly":     true,
		"publicNetworkAccess":          l.publicAccess(),
		"networkAcls":                  l.storageNetwork(),
		"encryption": arm.Object{
			"keySource":                       "Microsoft.Storage",
			"requireInfrastructureEncryption": true,
			"services": arm.Object{
				"blob": arm.Object{"enabled": true, "keyType": "Account"},
				"file": arm.Object{"enabled": true, "keyType": "Account"},
			},
		},
	}
	for k, v := range more {
		properties[k] = v
	}
	r := l.regional("Microsoft.Storage/storageAccounts", name, properties)
	r.Kind, r.SKU = "StorageV2", arm.Object{"name": sku}
	return r
}

// softDeleted are the settings of a blob service that keeps what was deleted for a week.
func softDeleted() arm.Object {
	return arm.Object{
		"deleteRetentionPolicy":          arm.Object{"enabled": true, "days": 7},
		"containerDeleteRetentionPolicy": arm.Object{"enabled": true, "days": 7},
	}
}

// blobAudit are the categories in which a blob service logs who read and wrote what.
var blobAudit = []string{"StorageRead", "StorageWrite", "StorageDelete"}

// container is a private container of a storage account.
func container(account, name string) arm.Resource {
	return arm.New("Microsoft.Storage/storageAccounts/blobServices/containers", account+"/default/"+name, arm.Object{"publicAccess": "None"})
}

// scanContainer is where vulnerability scans of the feature store are kept. The product's own state is in another container of
// the account, which is made before any stack stands.
const scanContainer = "mssqlvulnerabilityassessment"

// managementStorage makes the account of logs, audits and state. Keys are not switched off as on the lake: flow logs and the
// account linked to the log workspace are written with them.
func (l *lowering) managementStorage(s *stack) {
	name := l.names.ManagementStorage()
	id := l.id("Microsoft.Storage/storageAccounts", name)
	account := s.add("managementStorage", l.storageAccount(name, "Standard_GRS", nil))
	settings := softDeleted()
	settings["changeFeed"] = arm.Object{"enabled": true}
	blobs := s.add("managementBlobs", arm.New("Microsoft.Storage/storageAccounts/blobServices", name+"/default", settings), account)
	s.add("scanContainer", container(name, scanContainer), blobs)
	s.add("managementStorageDiagnostics", l.logged(id+"/blobServices/default", true, blobAudit...), blobs, "logs")
	l.privateEndpoint(s, "managementStorageEndpoint", l.names.PrivateEndpoint("blob"), id, "blob", []string{azure.ZoneBlob}, account)
	for _, kind := range []string{"CustomLogs", "Query", "Alerts"} {
		s.add("logs"+kind, arm.New("Microsoft.OperationalInsights/workspaces/linkedStorageAccounts", l.names.Logs()+"/"+kind,
			arm.Object{"storageAccountIds": []string{id}}), account, "logs")
	}
	if l.env.RealData {
		s.add("managementStorageLock", l.locked(id, name), account)
	}
}

// createsMetastore says whether the environment makes a Unity Catalog metastore rather than using one.
func (l *lowering) createsMetastore() bool {
	return l.env.Spark.UnityCatalog != nil && l.env.Spark.Metastore != nil && l.env.Spark.Metastore.Name != ""
}

// metastoreGroup is the resource group of a metastore that the environment makes. One that is not ours has to exist: what a
// stack makes it also removes, and others may live there.
func (l *lowering) metastoreGroup() string {
	if g := l.env.Spark.Metastore.ResourceGroup; g != "" {
		return g
	}
	return l.names.Group()
}

// connectors makes the identities by which Databricks reaches storage. They are in an earlier stack than the workspace: a
// stack that has both cannot be deleted (Azure/deployment-stacks#183).
func (l *lowering) connectors(s *stack) {
	identity := arm.Object{"type": "SystemAssigned"}
	if l.env.Spark.UnityCatalog != nil {
		c := l.regional("Microsoft.Databricks/accessConnectors", l.names.Connector(), arm.Object{})
		c.Identity = identity
		s.group.Return(outConnectorPrincipal, arm.FullReference(s.add("connector", c), "identity.principalId"))
	}
	if l.createsMetastore() {
		c := l.regional("Microsoft.Databricks/accessConnectors", l.names.MetastoreConnector(), arm.Object{})
		c.Identity = identity
		t := s.in(l.metastoreGroup())
		t.Return(outMetastoreConnectorPrincipal, arm.FullReference(t.Add("metastoreConnector", c), "identity.principalId"))
	}
}
