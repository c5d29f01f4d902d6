package estate

import (
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// storeFirewallType is the type of a firewall rule of the feature store's server.
func (l *lowering) storeFirewallType() string {
	if l.env.Store.Engine == "postgres" {
		return "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules"
	}
	return "Microsoft.Sql/servers/firewallRules"
}

func (l *lowering) sqlServerID() string {
	return l.id("Microsoft.Sql/servers", l.names.SQLServer())
}

// sqlServer makes the feature store. People and applications sign in with the directory only, so no password of an administrator
// exists anywhere. The server reaches out to the management storage alone, with its own identity.
func (l *lowering) sqlServer(s *stack) {
	name := l.names.SQLServer()
	r := l.regional("Microsoft.Sql/servers", name, arm.Object{
		"version":                       "12.0",
		"minimalTlsVersion":             "1.2",
		"publicNetworkAccess":           l.publicAccess(),
		"restrictOutboundNetworkAccess": "Enabled",
		"administrators": arm.Object{
			"administratorType":         "ActiveDirectory",
			"azureADOnlyAuthentication": true,
			"principalType":             "Application",
			"login":                     l.names.SQLOwner(),
			"sid":                       azure.Out(application(l.names.SQLOwner()), azure.OutPrincipalID),
			"tenantId":                  l.facts.Tenant,
		},
	})
	r.Identity = arm.Object{"type": "SystemAssigned"}
	server := s.add("sqlServer", r)
	s.group.Return(outSQLServerPrincipal, arm.FullReference(server, "identity.principalId"))

	database := l.regional("Microsoft.Sql/servers/databases", name+"/"+l.names.SQLDatabase(), arm.Object{
		"collation":                        "SQL_Latin1_General_CP1_CI_AS",
		"maxSizeBytes":                     l.env.Store.SizeGB << 30,
		"requestedBackupStorageRedundancy": l.backupRedundancy(),
	})
	database.SKU = arm.Object{"name": l.env.Store.SKU}
	db := s.add("sqlDatabase", database, server)
	s.add("sqlEncryption", arm.New("Microsoft.Sql/servers/databases/transparentDataEncryption", name+"/"+l.names.SQLDatabase()+"/current",
		arm.Object{"state": "Enabled"}), db)
	if ip := l.letIn(); ip != "" {
		s.add("sqlDeployer", arm.New("Microsoft.Sql/servers/firewallRules", name+"/deployer", arm.Object{"startIpAddress": ip, "endIpAddress": ip}), server)
	}
	l.privateEndpoint(s, "sqlEndpoint", l.names.PrivateEndpoint("sql-feature-data"), l.sqlServerID(), "sqlServer", []string{azure.ZoneSQL}, server)
	l.sqlAudit(s, server, db)
	if l.env.RealData {
		s.add("sqlLock", l.locked(l.sqlServerID(), name), server)
	}
}

// backupRedundancy says where backups are kept. The smallest size is for trying things out; its backups stay in the region
// unless they are of real data.
func (l *lowering) backupRedundancy() string {
	if strings.EqualFold(l.env.Store.SKU, "Basic") && !l.env.RealData {
		return "Local"
	}
	return "Geo"
}

// sqlAudit records who did what in the feature store, and looks for weaknesses of it.
func (l *lowering) sqlAudit(s *stack, server, db string) {
	name, storage := l.names.SQLServer(), l.names.ManagementStorage()
	blobs := storage + ".blob.core.windows.net"
	outbound := s.add("sqlOutbound", arm.New("Microsoft.Sql/servers/outboundFirewallRules", name+"/"+blobs, nil), server)
	access := s.add("sqlWritesStorage", l.allow(l.id("Microsoft.Storage/storageAccounts", storage), azure.RoleBlobDataContributor,
		arm.FullReference(server, "identity.principalId"), azure.PrincipalService, name), server)
	s.add("sqlAuditing", arm.New("Microsoft.Sql/servers/auditingSettings", name+"/default", arm.Object{
		"state":                        "Enabled",
		"storageEndpoint":              "https://" + blobs,
		"storageAccountSubscriptionId": l.facts.Subscription,
		"isManagedIdentityInUse":       true,
		"isAzureMonitorTargetEnabled":  true,
		"retentionDays":                max(90, l.env.Sizes.LogRetentionDays),
		"auditActionsAndGroups": []string{
			"BATCH_COMPLETED_GROUP", "SUCCESSFUL_DATABASE_AUTHENTICATION_GROUP", "FAILED_DATABASE_AUTHENTICATION_GROUP",
			"DATABASE_PERMISSION_CHANGE_GROUP", "DATABASE_PRINCIPAL_CHANGE_GROUP", "DATABASE_ROLE_MEMBER_CHANGE_GROUP",
		},
	}), outbound, access)
	// Events of the server are those of its database master.
	s.add("sqlServerDiagnostics", l.logged(l.sqlServerID()+"/databases/master", false, "SQLSecurityAuditEvents"), db)
	s.add("sqlDatabaseDiagnostics", l.logged(l.sqlServerID()+"/databases/"+l.names.SQLDatabase(), false, "SQLSecurityAuditEvents"), db)

	var mails []string
	for _, r := range l.env.Monitoring.Recipients {
		mails = append(mails, r.Email)
	}
	threats := arm.Object{"state": "Enabled", "emailAccountAdmins": false, "retentionDays": max(90, l.env.Sizes.LogRetentionDays)}
	scans := arm.Object{"isEnabled": true, "emailSubscriptionAdmins": false}
	if mails != nil {
		threats["emailAddresses"], scans["emails"] = mails, mails
	}
	policy := s.add("sqlThreats", arm.New("Microsoft.Sql/servers/securityAlertPolicies", name+"/Default", threats), db)
	// Scans need the policy, and a container to write to with the server's identity: no key is given.
	s.add("sqlScans", arm.New("Microsoft.Sql/servers/vulnerabilityAssessments", name+"/default", arm.Object{
		"storageContainerPath": "https://" + blobs + "/" + scanContainer + "/",
		"recurringScans":       scans,
	}), policy, outbound, access)
}

func (l *lowering) postgresID() string {
	return l.id("Microsoft.DBforPostgreSQL/flexibleServers", l.names.PostgresServer())
}

// postgresServer makes the feature store when its engine is PostgreSQL. Its types are not among the published descriptions that
// the tests hold templates to; they follow Microsoft's reference of version 2024-08-01.
// https://learn.microsoft.com/azure/templates/microsoft.dbforpostgresql/2024-08-01/flexibleservers
func (l *lowering) postgresServer(s *stack) {
	name := l.names.PostgresServer()
	sku := l.env.Store.SKU
	if sku == "" {
		sku = "Standard_B1ms"
	}
	backups := "Disabled"
	if l.env.RealData {
		backups = "Enabled"
	}
	r := l.regional("Microsoft.DBforPostgreSQL/flexibleServers", name, arm.Object{
		"version":          "16",
		"createMode":       "Default",
		"authConfig":       arm.Object{"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled", "tenantId": l.facts.Tenant},
		"storage":          arm.Object{"storageSizeGB": postgresStorage(l.env.Store.SizeGB), "autoGrow": "Enabled"},
		"backup":           arm.Object{"backupRetentionDays": 7, "geoRedundantBackup": backups},
		"highAvailability": arm.Object{"mode": "Disabled"},
		"network":          arm.Object{"publicNetworkAccess": l.publicAccess()},
	})
	r.SKU = arm.Object{"name": sku, "tier": postgresTier(sku)}
	server := s.add("postgresServer", r)
	// A server takes one change at a time, so what is in it is made in a row.
	last := s.add("postgresDatabase", arm.New("Microsoft.DBforPostgreSQL/flexibleServers/databases", name+"/"+l.names.SQLDatabase(),
		arm.Object{"charset": "UTF8", "collation": "en_US.utf8"}), server)
	last = s.add("postgresTLS", arm.New("Microsoft.DBforPostgreSQL/flexibleServers/configurations", name+"/require_secure_transport",
		arm.Object{"value": "on", "source": "user-override"}), last)
	if ip := l.letIn(); ip != "" {
		last = s.add("postgresDeployer", arm.New("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules", name+"/deployer",
			arm.Object{"startIpAddress": ip, "endIpAddress": ip}), last)
	}
	// An administrator is called by the object id of the principal, which the directory tells only when it is made.
	s.names = map[string]azure.Value{ownerStands: azure.Out(application(l.names.SQLOwner()), azure.OutPrincipalID)}
	s.add("postgresAdministrator", arm.New("Microsoft.DBforPostgreSQL/flexibleServers/administrators", name+"/"+ownerStands, arm.Object{
		"principalName": l.names.SQLOwner(), "principalType": "ServicePrincipal", "tenantId": l.facts.Tenant,
	}), last)
	s.add("postgresDiagnostics", l.logged(l.postgresID(), true, "PostgreSQLLogs"), server)
	l.privateEndpoint(s, "postgresEndpoint", l.names.PrivateEndpoint("sql-feature-data"), l.postgresID(), "postgresqlServer", []string{azure.ZonePostgres}, last)
	if l.env.RealData {
		s.add("postgresLock", l.locked(l.postgresID(), name), server)
	}
}

// ownerStands for the object id of the application that administers the feature store, until it is known. It is an id in form, so
// that a template with it can be previewed.
const ownerStands = "00000000-0000-0000-0000-000000000000"

// postgresTier is the family that a size belongs to by its letter.
func postgresTier(sku string) string {
	switch {
	case strings.HasPrefix(sku, "Standard_B"):
		return "Burstable"
	case strings.HasPrefix(sku, "Standard_E"):
		return "MemoryOptimized"
	}
	return "GeneralPurpose"
}

// postgresStorage is the smallest disk that has room for a number of gigabytes: they come in powers of two from 32 on.
func postgresStorage(gb int) int {
	size := 32
	for size < gb {
		size *= 2
	}
	return size
}
