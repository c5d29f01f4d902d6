package compliance

// The benchmark's numbers, by version. Numbers are facts of the published benchmark, as public scanners list them
// (https://github.com/turbot/steampipe-mod-azure-compliance, folders cis_v200, cis_v300 and cis_v500); titles are ours.

// numbered is one question with the number that each version of the benchmark gives it, in the order of [Benchmarks]. A version
// that does not ask it has no number.
type numbered struct {
	check string
	title string
	ids   [3]string
	judge check
}

// benchmarkNotes say what a reader has to know of a version, in the order of [Benchmarks].
var benchmarkNotes = [3]string{
	"All 152 recommendations. Those about PostgreSQL speak of the single server, which Azure has retired; the same parameters of the flexible server are judged.",
	"All 159 recommendations.",
	"All 155 recommendations. This version leaves databases and App Service to benchmarks of their own; ask for v3.0.0 to see those controls.",
}

// sections are the questions, in the order in which the second version asks them.
func sections() [][]numbered {
	return [][]numbered{identityControls, defenderControls, vaultControls, storageControls, databaseControls, loggingControls, networkControls, machineControls, appControls, analyticsControls, lockControls}
}

// benchmark lists the controls of the i-th version, in the order of their numbers.
func benchmark(i int) []asked {
	var out []asked
	for _, section := range sections() {
		for _, n := range section {
			if n.ids[i] != "" {
				out = append(out, asked{Control{Standard: StandardCIS, Version: Benchmarks()[i], ID: n.ids[i], Title: n.title, Check: n.check}, n.judge})
			}
		}
	}
	sortByNumber(out)
	return out
}

var identityControls = []numbered{
	{"entra-defaults", "Security defaults are on in the directory", [3]string{"1.1.1", "2.1.1", "5.1.1"}, tenant},
	{"entra-mfa-privileged", "People with privileges sign in with a second factor", [3]string{"1.1.2", "2.1.2", ""}, tenant},
	{"entra-mfa-others", "People without privileges sign in with a second factor", [3]string{"1.1.3", "2.1.3", ""}, tenant},
	{"entra-mfa-everybody", "Everybody has a second factor", [3]string{"", "", "5.1.2"}, tenant},
	{"entra-mfa-remembered", "No device is trusted to skip the second factor", [3]string{"1.1.4", "2.1.4", "5.1.3"}, tenant},
	{"entra-locations", "Trusted places are named", [3]string{"1.2.1", "2.2.1", "5.2.1"}, tenant},
	{"entra-geography", "Sign-in from countries out of scope has been considered", [3]string{"1.2.2", "2.2.2", "5.2.2"}, tenant},
	{"entra-device-code", "Sign-in by device code has been considered", [3]string{"", "2.2.3", "5.2.3"}, tenant},
	{"entra-policy-admins", "A policy asks administrators for a second factor", [3]string{"1.2.3", "2.2.4", ""}, tenant},
	{"entra-policy-all", "A policy asks everybody for a second factor", [3]string{"1.2.4", "2.2.5", "5.2.4"}, tenant},
	{"entra-policy-risk", "A risky sign-in needs a second factor", [3]string{"1.2.5", "2.2.6", "5.2.5"}, tenant},
	{"entra-policy-management", "Managing Azure needs a second factor", [3]string{"1.2.6", "2.2.7", "5.2.6"}, tenant},
	{"entra-policy-portals", "Microsoft's administration portals need a second factor", [3]string{"", "2.2.8", "5.2.7"}, tenant},
	{"entra-token-protection", "Binding tokens to devices has been considered", [3]string{"", "", "5.2.8"}, tenant},
	{"entra-admins-daily", "Administrators' accounts are not used for daily work", [3]string{"", "", "5.3.1"}, tenant},
	{"entra-tenants", "Only administrators make directories", [3]string{"1.3", "2.3", "5.4"}, tenant},
	{"entra-external-review", "Access of people from outside is reviewed where privileges are managed", [3]string{"1.4", "", ""}, tenant},
	{"entra-guests", "Guests are reviewed regularly", [3]string{"1.5", "2.4", "5.3.2"}, tenant},
	{"azure-access-administrator", "Hardly anybody may give roles at the root", [3]string{"", "", "5.3.3"}, noAccessAdministrator},
	{"entra-privileged-review", "Privileged roles are reviewed regularly", [3]string{"", "", "5.3.4"}, tenant},
	{"entra-disabled", "Disabled accounts have no roles", [3]string{"", "", "5.3.5"}, tenant},
	{"entra-tenant-creators", "Those who may make directories are reviewed regularly", [3]string{"", "", "5.3.6"}, tenant},
	{"entra-other-review", "Ordinary roles are reviewed regularly", [3]string{"", "", "5.3.7"}, tenant},
	{"entra-reset-methods", "Resetting a password takes two methods", [3]string{"1.6", "2.5", "5.5"}, tenant},
	{"entra-lockout", "An account is locked after ten wrong passwords at most", [3]string{"", "2.6", "5.6"}, tenant},
	{"entra-lockout-time", "It stays locked for a minute at least", [3]string{"", "2.7", "5.7"}, tenant},
	{"entra-banned", "The organisation's own list of bad passwords is enforced", [3]string{"1.7", "2.8", "5.8"}, tenant},
	{"entra-reconfirm", "People confirm how they reset passwords from time to time", [3]string{"1.8", "2.9", "5.9"}, tenant},
	{"entra-notify-people", "People are told when their password is reset", [3]string{"1.9", "2.10", "5.10"}, tenant},
	{"entra-notify-admins", "Administrators are told when another's password is reset", [3]string{"1.10", "2.11", "5.11"}, tenant},
	{"entra-no-consent", "People cannot consent to applications themselves", [3]string{"1.11", "2.12", "5.12"}, tenant},
	{"entra-verified-consent", "They can at most for verified publishers and chosen permissions", [3]string{"1.12", "2.13", "5.13"}, tenant},
	{"entra-gallery", "People cannot add applications from the gallery", [3]string{"1.13", "", ""}, tenant},
	{"entra-register", "People cannot register applications", [3]string{"1.14", "2.14", "5.14"}, tenant},
	{"entra-guest-sight", "Guests see their own entries of the directory only", [3]string{"1.15", "2.15", "5.15"}, tenant},
	{"entra-invite", "Few people may invite guests", [3]string{"1.16", "2.16", "5.16"}, tenant},
	{"entra-centre", "The directory's administration pages are for administrators", [3]string{"1.17", "2.17", "5.17"}, tenant},
	{"entra-group-pages", "Pages about groups are restricted", [3]string{"1.18", "2.18", "5.18"}, tenant},
	{"entra-security-groups", "People cannot make security groups", [3]string{"1.19", "2.19", "5.19"}, tenant},
	{"entra-group-requests", "Owners of groups do not decide requests by themselves", [3]string{"1.20", "2.20", "5.20"}, tenant},
	{"entra-m365-groups", "People cannot make Microsoft 365 groups", [3]string{"1.21", "2.21", "5.21"}, tenant},
	{"entra-join", "Joining a device takes a second factor", [3]string{"1.22", "2.22", "5.22"}, tenant},
	{"azure-custom-owner", "No role of one's own administers the subscription", [3]string{"1.23", "2.23", "5.23"}, customOwners},
	{"azure-lock-role", "A role exists for looking after resource locks", [3]string{"1.24", "2.24", "5.24"}, tenant},
	{"azure-moving", "Subscriptions cannot be moved between directories", [3]string{"1.25", "2.25", "5.25"}, tenant},
	{"entra-global-admins", "Fewer than five people administer everything", [3]string{"", "2.26", "5.26"}, tenant},
	{"azure-owners", "The subscription has two or three owners", [3]string{"", "", "5.27"}, tenant},
	{"entra-passwordless", "Signing in without a password has been considered", [3]string{"", "", "5.28"}, tenant},
}

var defenderControls = []numbered{
	{"defender-posture", "Defender watches the posture of the subscription", [3]string{"", "", "8.1.1.1"}, defender("CloudPosture")},
	{"defender-apis", "Defender for interfaces is on", [3]string{"", "", "8.1.2.1"}, defender("Api")},
	{"defender-agent", "The monitoring agent comes onto machines by itself", [3]string{"2.1.15", "3.1.1.1", ""}, noMachine},
	{"defender-cloud-apps", "Defender for Cloud Apps is connected", [3]string{"2.1.21", "3.1.1.2", ""}, defenderSetting},
	{"defender-servers", "Defender for servers is on", [3]string{"2.1.1", "3.1.3.1", "8.1.3.1"}, defender("VirtualMachines")},
	{"defender-machine-scan", "Machines are assessed for weaknesses", [3]string{"2.1.16", "3.1.3.2", "8.1.3.2"}, noMachine},
	{"defender-endpoint", "Defender for Endpoint is connected", [3]string{"2.1.22", "3.1.3.3", "8.1.3.3"}, defenderSetting},
	{"defender-agentless", "Machines are scanned without an agent", [3]string{"", "3.1.3.4", "8.1.3.4"}, noMachine},
	{"defender-files", "Changes of system files are watched", [3]string{"", "3.1.3.5", "8.1.3.5"}, noMachine},
	{"defender-containers", "Defender for containers is on", [3]string{"2.1.8", "3.1.4.1", "8.1.4.1"}, defender("Containers")},
	{"defender-container-parts", "Its components come onto clusters by themselves", [3]string{"2.1.17", "", ""}, noKubernetes},
	{"defender-kubernetes", "Kubernetes clusters are found without an agent", [3]string{"", "3.1.4.2", ""}, noKubernetes},
	{"defender-images", "Images are assessed for weaknesses", [3]string{"", "3.1.4.3", ""}, defenderSetting},
	{"defender-storage", "Defender for storage is on", [3]string{"2.1.7", "3.1.5.1", "8.1.5.1"}, defender("StorageAccounts")},
	{"defender-storage-alerts", "Its alerts are looked at", [3]string{"", "", "8.1.5.2"}, defenderSetting},
	{"defender-apps", "Defender for App Service is on", [3]string{"2.1.2", "3.1.6.1", "8.1.6.1"}, defender("AppServices")},
	{"defender-databases", "Defender for databases is on", [3]string{"2.1.3", "", ""}, defenderSetting},
	{"defender-cosmos", "Defender for Cosmos DB is on", [3]string{"2.1.9", "3.1.7.1", "8.1.7.1"}, defender("CosmosDbs")},
	{"defender-open-source", "Defender for open-source databases is on", [3]string{"2.1.6", "3.1.7.2", "8.1.7.2"}, defender("OpenSourceRelationalDatabases")},
	{"defender-sql", "Defender for Azure SQL is on", [3]string{"2.1.4", "3.1.7.3", "8.1.7.3"}, defender("SqlServers")},
	{"defender-sql-machines", "Defender for SQL on machines is on", [3]string{"2.1.5", "3.1.7.4", "8.1.7.4"}, defender("SqlServerVirtualMachines")},
	{"defender-vault", "Defender for Key Vault is on", [3]string{"2.1.10", "3.1.8.1", "8.1.8.1"}, defender("KeyVaults")},
	{"defender-manager", "Defender for Resource Manager is on", [3]string{"2.1.12", "3.1.9.1", "8.1.9.1"}, defender("Arm")},
	{"defender-updates", "Machines have their updates", [3]string{"2.1.13", "3.1.10", "8.1.10"}, noMachine},
	{"defender-policies", "No policy of Microsoft's baseline is disabled", [3]string{"2.1.14", "3.1.11", "8.1.11"}, defenderSetting},
	{"defender-owners", "Owners of the subscription are told of alerts", [3]string{"2.1.18", "3.1.12", "8.1.12"}, defenderSetting},
	{"defender-contact", "A security contact is told of alerts", [3]string{"2.1.19", "3.1.13", "8.1.13"}, defenderSetting},
	{"defender-severity", "Alerts are sent from a severity on", [3]string{"2.1.20", "3.1.14", "8.1.14"}, defenderSetting},
	{"defender-paths", "Attack paths are sent from a risk on", [3]string{"", "", "8.1.15"}, defenderSetting},
	{"defender-surface", "What can be seen from outside is watched", [3]string{"2.3.1", "3.1.15", "8.1.16"}, defenderSetting},
	{"defender-dns", "Defender for DNS is on", [3]string{"2.1.11", "3.1.16", ""}, defender("Dns")},
	{"defender-iot", "Defender for IoT is on", [3]string{"2.2.1", "3.2.1", "8.2.1"}, iot},
}

var vaultControls = []numbered{
	{"vault-keys", "Keys of vaults with roles end some day", [3]string{"8.1", "3.3.1", "8.3.1"}, vaultKeys},
	{"vault-keys-policies", "Keys of vaults with access policies end some day", [3]string{"8.2", "3.3.2", "8.3.2"}, vaultKeysOld},
	{"vault-secrets", "Secrets of vaults with roles end some day", [3]string{"8.3", "3.3.3", "8.3.3"}, vaultSecrets},
	{"vault-secrets-policies", "Secrets of vaults with access policies end some day", [3]string{"8.4", "3.3.4", "8.3.4"}, vaultOld},
	{"vault-recoverable", "A deleted vault can be had back", [3]string{"8.5", "3.3.5", ""}, vaultRecoverable},
	{"vault-purge", "Nobody can erase a deleted vault", [3]string{"", "", "8.3.5"}, vaultPurge},
	{"vault-roles", "Roles decide who reads a vault", [3]string{"8.6", "3.3.6", "8.3.6"}, vaultRoles},
	{"vault-public", "Vaults are not reached from public networks", [3]string{"", "", "8.3.7"}, vaultPublic},
	{"vault-endpoint", "Vaults are reached by private endpoints", [3]string{"8.7", "3.3.7", "8.3.8"}, vaultEndpoint},
	{"vault-rotation", "Keys renew themselves", [3]string{"8.8", "3.3.8", "8.3.9"}, absentFrom("key", "No key is kept in the vaults.", "Microsoft.KeyVault/vaults/keys")},
	{"vault-hsm", "Keys are in hardware of one's own where that is required", [3]string{"", "", "8.3.10"}, hsm},
	{"vault-certificates", "Certificates last a year at most", [3]string{"", "", "8.3.11"}, certificates},
}

var storageControls = []numbered{
	{"storage-tls-only", "Accounts accept encrypted connections only", [3]string{"3.1", "4.1", "9.3.4"}, storageSecureTransfer},
	{"storage-double", "Accounts encrypt twice", [3]string{"3.2", "4.2", ""}, storageDoubleEncrypt},
	{"storage-key-reminder", "Somebody is reminded to renew keys", [3]string{"3.3", "4.3", "9.3.1.1"}, storageKeyReminder},
	{"storage-key-age", "Keys are renewed", [3]string{"3.4", "4.4", "9.3.1.2"}, storageKeysRotated},
	{"storage-shared-key", "Keys are out of use", [3]string{"", "", "9.3.1.3"}, storageSharedKey},
	{"storage-sas", "Shared access signatures last an hour at most", [3]string{"3.6", "4.5", ""}, sasHour},
	{"storage-public", "Accounts are not reached from public networks", [3]string{"", "4.6", "9.3.2.2"}, storagePublicNetwork},
	{"storage-deny", "Accounts deny what no rule allows", [3]string{"3.8", "4.7", "9.3.2.3"}, storageDefaultDeny},
	{"storage-trusted", "Trusted services of Azure reach accounts", [3]string{"3.9", "4.8", "9.3.5"}, storageTrusted},
	{"storage-endpoint", "Accounts are reached by private endpoints", [3]string{"3.10", "4.9", "9.3.2.1"}, endpoints(storageAccount, storageTypes)},
	{"storage-soft", "Deleted blobs and containers can be had back", [3]string{"3.11", "4.10", ""}, softDelete},
	{"storage-soft-blob", "Deleted blobs can be had back", [3]string{"", "", "9.2.1"}, blobSoftDelete},
	{"storage-soft-container", "Deleted containers can be had back", [3]string{"", "", "9.2.2"}, containerSoftDelete},
	{"storage-versions", "Changed blobs can be had back", [3]string{"", "", "9.2.3"}, blobVersioning},
	{"storage-own-key", "Critical data is encrypted with a key of one's own", [3]string{"3.12", "4.11", ""}, storageOwnKey},
	{"storage-log-queue", "Requests to queues are logged", [3]string{"3.5", "4.12", ""}, storageQueueLog},
	{"storage-log-blob", "Requests to blobs are logged", [3]string{"3.13", "4.13", ""}, storageBlobLog},
	{"storage-log-table", "Requests to tables are logged", [3]string{"3.14", "4.14", ""}, storageTableLog},
	{"storage-tls", "Accounts ask for TLS 1.2", [3]string{"3.15", "4.15", "9.3.6"}, storageTLS},
	{"storage-tenants", "Data is not copied to other tenants", [3]string{"", "4.16", "9.3.7"}, storageCrossTenant},
	{"storage-anonymous", "Nobody reads blobs without signing in", [3]string{"3.7", "4.17", "9.3.8"}, storageAnonymous},
	{"storage-portal", "The portal signs in with the directory", [3]string{"", "", "9.3.3.1"}, storageEntraDefault},
	{"storage-lock", "Accounts have a lock against deletion", [3]string{"", "", "9.3.9"}, storageDeleteLock},
	{"storage-lock-read", "A lock against changes has been considered", [3]string{"", "", "9.3.10"}, storageReadOnlyLock},
	{"storage-geo", "Critical accounts are kept in two regions", [3]string{"", "", "9.3.11"}, storageGeo},
	{"files-soft", "Deleted file shares can be had back", [3]string{"", "", "9.1.1"}, fileShares},
	{"files-version", "File shares speak SMB 3.1.1", [3]string{"", "", "9.1.2"}, fileShares},
	{"files-encryption", "File shares encrypt with AES-256-GCM", [3]string{"", "", "9.1.3"}, fileShares},
}

var databaseControls = []numbered{
	{"sql-audit", "SQL servers are audited", [3]string{"4.1.1", "5.1.1", ""}, sqlAuditing},
	{"sql-open", "No SQL server lets everybody in", [3]string{"4.1.2", "5.1.2", ""}, sqlOpenRules},
	{"sql-own-key", "SQL servers are encrypted with a key of one's own", [3]string{"4.1.3", "5.1.3", ""}, sqlOwnKey},
	{"sql-directory", "The directory administers SQL servers", [3]string{"4.1.4", "5.1.4", ""}, sqlDirectoryAdmin},
	{"sql-encryption", "SQL databases are encrypted", [3]string{"4.1.5", "5.1.5", ""}, sqlEncrypted},
	{"sql-audit-days", "Audits are kept for more than 90 days", [3]string{"4.1.6", "5.1.6", ""}, sqlAuditRetention},
	{"sql-public", "SQL servers are not reached from public networks", [3]string{"", "5.1.7", ""}, sqlPublicNetwork},
	{"sql-threats", "Threats to SQL servers are detected", [3]string{"4.2.1", "", ""}, sqlThreats},
	{"sql-assessment", "SQL servers are assessed for weaknesses", [3]string{"4.2.2", "", ""}, sqlAssessed},
	{"sql-scans", "They are assessed again and again", [3]string{"4.2.3", "", ""}, sqlScans},
	{"sql-reports", "Somebody gets the results", [3]string{"4.2.4", "", ""}, sqlScanReports},
	{"sql-reports-owners", "Owners of the subscription get the results", [3]string{"4.2.5", "", ""}, sqlScanOwners},
	{"postgres-tls", "PostgreSQL accepts encrypted connections only", [3]string{"4.3.1", "5.2.1", ""}, postgresTLS},
	{"postgres-checkpoints", "PostgreSQL logs checkpoints", [3]string{"4.3.2", "5.2.2", ""}, postgresCheckpoints},
	{"postgres-connections", "PostgreSQL logs connections", [3]string{"4.3.3", "", ""}, postgresConnections},
	{"postgres-disconnections", "PostgreSQL logs disconnections", [3]string{"4.3.4", "", ""}, postgresDisconnections},
	{"postgres-throttle", "PostgreSQL slows repeated wrong passwords", [3]string{"4.3.5", "5.2.3", ""}, postgresThrottle},
	{"postgres-days", "PostgreSQL keeps logs for more than three days", [3]string{"4.3.6", "5.2.4", ""}, postgresLogDays},
	{"postgres-azure", "Not every service of Azure reaches PostgreSQL", [3]string{"4.3.7", "5.2.5", ""}, postgresAzureServices},
	{"postgres-single-connections", "The single server logs connections", [3]string{"", "5.2.6", ""}, singleServer},
	{"postgres-single-disconnections", "The single server logs disconnections", [3]string{"", "5.2.7", ""}, singleServer},
	{"postgres-single-double", "The single server encrypts twice", [3]string{"4.3.8", "5.2.8", ""}, singleServer},
	{"mysql-tls", "MySQL accepts encrypted connections only", [3]string{"4.4.1", "5.3.1", ""}, mySQL},
	{"mysql-version", "MySQL asks for TLS 1.2", [3]string{"4.4.2", "5.3.2", ""}, mySQL},
	{"mysql-audit", "MySQL is audited", [3]string{"4.4.3", "5.3.3", ""}, mySQL},
	{"mysql-audit-connections", "MySQL audits connections", [3]string{"4.4.4", "5.3.4", ""}, mySQL},
	{"cosmos-networks", "The document store is reached from chosen networks", [3]string{"4.5.1", "5.4.1", ""}, cosmosSelectedNetworks},
	{"cosmos-endpoint", "The document store is reached by a private endpoint", [3]string{"4.5.2", "5.4.2", ""}, cosmosEndpoints},
	{"cosmos-identity", "The document store knows identities, not keys", [3]string{"4.5.3", "5.4.3", ""}, cosmosIdentity},
}

var loggingControls = []numbered{
	{"activity-log", "The activity log is exported", [3]string{"5.1.1", "6.1.1", "6.1.1.1"}, activityLogExists},
	{"activity-categories", "It is exported with what matters", [3]string{"5.1.2", "6.1.2", "6.1.1.2"}, activityLogCategories},
	{"activity-public", "Where it is kept is not public", [3]string{"5.1.3", "", ""}, activityStorage},
	{"activity-own-key", "Where it is kept is encrypted with a key of one's own", [3]string{"5.1.4", "6.1.3", "6.1.1.3"}, activityStorage},
	{"vault-log", "Requests to vaults are logged", [3]string{"5.1.5", "6.1.4", "6.1.1.4"}, vaultLog},
	{"flow-log", "Traffic of security groups in use is recorded and analysed", [3]string{"5.1.6", "6.1.5", "6.1.1.5"}, flowLogsAnalysed},
	{"app-log", "Requests to apps are logged", [3]string{"5.1.7", "6.1.6", "6.1.1.6"}, httpLog},
	{"flow-log-network", "Traffic of networks is recorded and analysed", [3]string{"", "", "6.1.1.7"}, flowLogsAnalysed},
	{"graph-log", "Requests to Microsoft Graph are logged", [3]string{"", "", "6.1.1.8"}, tenant},
	{"entra-log", "Sign-in and changes of the directory are logged", [3]string{"", "", "6.1.1.9"}, tenant},
	{"intune-log", "Logs of Intune are kept", [3]string{"", "", "6.1.1.10"}, tenant},
	{"alert-policy-write", "Somebody is told of an assigned policy", [3]string{"5.2.1", "6.2.1", "6.1.2.1"}, alertPolicyWrite},
	{"alert-policy-delete", "Somebody is told of a policy taken away", [3]string{"5.2.2", "6.2.2", "6.1.2.2"}, alertPolicyDelete},
	{"alert-group-write", "Somebody is told of a changed security group", [3]string{"5.2.3", "6.2.3", "6.1.2.3"}, alertNSGWrite},
	{"alert-group-delete", "Somebody is told of a deleted security group", [3]string{"5.2.4", "6.2.4", "6.1.2.4"}, alertNSGDelete},
	{"alert-solution-write", "Somebody is told of a changed security solution", [3]string{"5.2.5", "6.2.5", "6.1.2.5"}, alertSolutionWrite},
	{"alert-solution-delete", "Somebody is told of a deleted security solution", [3]string{"5.2.6", "6.2.6", "6.1.2.6"}, alertSolutionDelete},
	{"alert-firewall-write", "Somebody is told of a changed rule of a SQL server", [3]string{"5.2.7", "6.2.7", "6.1.2.7"}, alertFirewallWrite},
	{"alert-firewall-delete", "Somebody is told of a deleted rule of a SQL server", [3]string{"5.2.8", "6.2.8", "6.1.2.8"}, alertFirewallDelete},
	{"alert-address-write", "Somebody is told of a changed public address", [3]string{"5.2.9", "6.2.9", "6.1.2.9"}, alertAddressWrite},
	{"alert-address-delete", "Somebody is told of a deleted public address", [3]string{"5.2.10", "6.2.10", "6.1.2.10"}, alertAddressDelete},
	{"alert-health", "Somebody is told of trouble of Azure", [3]string{"", "", "6.1.2.11"}, alertServiceHealth},
	{"insights", "Apps send telemetry", [3]string{"5.3.1", "6.3.1", "6.1.3.1"}, insights},
	{"resource-logs", "Everything that can be logged is logged", [3]string{"5.4", "6.4", "6.1.4"}, everythingLogged},
	{"sizes", "Nothing that is watched has the smallest size", [3]string{"5.5", "6.5", "6.1.5"}, noBasicSKU},
}

var networkControls = []numbered{
	{"network-rdp", "The internet reaches no remote desktop", [3]string{"6.1", "7.1", "7.1"}, noRDP},
	{"network-ssh", "The internet reaches no SSH", [3]string{"6.2", "7.2", "7.2"}, noSSH},
	{"network-udp", "The internet reaches nothing by UDP", [3]string{"6.3", "7.3", "7.3"}, noUDP},
	{"network-http", "The internet reaches no web server in the network", [3]string{"6.4", "7.4", "7.4"}, noWeb},
	{"flow-log-days", "Records of traffic are kept for 90 days", [3]string{"6.5", "7.5", "7.5"}, flowLogsKept},
	{"network-watcher", "The region is watched", [3]string{"6.6", "7.6", "7.6"}, networkWatcher},
	{"network-addresses", "Public addresses are reviewed", [3]string{"6.7", "7.7", "7.7"}, publicAddresses},
	{"flow-log-network-days", "Records of networks are kept for 90 days", [3]string{"", "", "7.8"}, flowLogsKept},
	{"network-vpn", "VPN gateways sign in with the directory", [3]string{"", "", "7.9"}, noVPN},
	{"gateway-firewall", "Application gateways have a firewall", [3]string{"", "", "7.10"}, noGateway},
	{"network-subnets", "Subnets have security groups", [3]string{"", "", "7.11"}, subnetsGrouped},
	{"gateway-tls", "Application gateways ask for TLS 1.2", [3]string{"", "", "7.12"}, noGateway},
	{"gateway-http2", "Application gateways speak HTTP/2", [3]string{"", "", "7.13"}, noGateway},
	{"gateway-body", "Their firewall reads the bodies of requests", [3]string{"", "", "7.14"}, noGateway},
	{"gateway-bots", "Their firewall knows bots", [3]string{"", "", "7.15"}, noGateway},
	{"network-perimeter", "A perimeter is drawn around platform services", [3]string{"", "", "7.16"}, perimeter},
	{"network-ddos", "Networks are protected from floods", [3]string{"", "", "8.5"}, ddos},
}

var machineControls = []numbered{
	{"machine-bastion", "Machines are reached through a bastion", [3]string{"7.1", "8.1", "8.4.1"}, noMachine},
	{"machine-disks", "Machines have managed disks", [3]string{"7.2", "8.2", ""}, noMachine},
	{"machine-own-key", "Disks are encrypted with a key of one's own", [3]string{"7.3", "8.3", ""}, noMachine},
	{"machine-detached", "So are detached disks", [3]string{"7.4", "8.4", ""}, noMachine},
	{"machine-disk-network", "Disks are not exported to every network", [3]string{"", "8.5", ""}, noMachine},
	{"machine-disk-identity", "Exporting a disk takes an identity", [3]string{"", "8.6", ""}, noMachine},
	{"machine-extensions", "Only approved extensions are installed", [3]string{"7.5", "8.7", ""}, noMachine},
	{"machine-protection", "Machines are protected from malware", [3]string{"7.6", "8.8", ""}, noMachine},
	{"machine-vhd", "Old disks are encrypted", [3]string{"7.7", "8.9", ""}, noMachine},
	{"machine-mfa", "Privileged machines take a second factor", [3]string{"", "8.10", "3.1.1"}, noMachine},
	{"machine-trusted", "Machines start verified", [3]string{"", "8.11", ""}, noMachine},
}

var appControls = []numbered{
	{"app-sign-in", "Apps are behind a login", [3]string{"9.1", "9.2", ""}, webSignIn},
	{"app-https", "Apps answer over HTTPS only", [3]string{"9.2", "9.1", ""}, webHTTPS},
	{"app-tls", "Apps ask for TLS 1.2", [3]string{"9.3", "9.4", ""}, webTLS},
	{"app-client-certificates", "Apps ask for certificates of clients", [3]string{"9.4", "", ""}, webClient},
	{"app-identity", "Apps have an identity", [3]string{"9.5", "9.5", ""}, webIdentity},
	{"app-passwords", "Apps cannot be deployed with a password", [3]string{"", "9.6", ""}, webBasic},
	{"app-php", "PHP is up to date", [3]string{"9.6", "9.7", ""}, runtimeVersion("PHP")},
	{"app-python", "Python is up to date", [3]string{"9.7", "9.8", ""}, runtimeVersion("PYTHON")},
	{"app-java", "Java is up to date", [3]string{"9.8", "9.9", ""}, runtimeVersion("JAVA")},
	{"app-http2", "Apps speak HTTP/2", [3]string{"9.9", "9.10", ""}, webHTTP2},
	{"app-ftp", "Apps cannot be deployed over plain FTP", [3]string{"9.10", "9.3", ""}, webFTP},
	{"app-secrets", "Secrets of apps are in a vault", [3]string{"9.11", "9.11", ""}, webSecrets},
	{"app-debug", "Apps cannot be debugged from outside", [3]string{"", "9.12", ""}, webDebug},
}

var analyticsControls = []numbered{
	{"databricks-network", "Databricks is in a network of one's own", [3]string{"", "", "2.1.1"}, bricksNetwork},
	{"databricks-groups", "Its subnets have security groups", [3]string{"", "", "2.1.2"}, bricksGroups},
	{"databricks-workers", "Machines of a cluster encrypt what they send each other", [3]string{"", "", "2.1.3"}, bricksWorkers},
	{"databricks-people", "People and groups come from the directory", [3]string{"", "", "2.1.4"}, scim},
	{"databricks-catalogue", "Unity Catalog is configured", [3]string{"", "", "2.1.5"}, bricksCatalog},
	{"databricks-tokens", "Personal tokens are restricted and end", [3]string{"", "", "2.1.6"}, tokens},
	{"databricks-log", "Databricks is logged", [3]string{"", "", "2.1.7"}, bricksLog},
	{"databricks-own-key", "Critical data is encrypted with a key of one's own", [3]string{"", "", "2.1.8"}, bricksOwnKey},
	{"databricks-addresses", "Clusters have no public address", [3]string{"", "", "2.1.9"}, bricksNoAddress},
	{"databricks-public", "Databricks is not reached from public networks", [3]string{"", "", "2.1.10"}, bricksPublic},
	{"databricks-endpoint", "Databricks is reached by a private endpoint", [3]string{"", "", "2.1.11"}, bricksEndpoint},
}

var lockControls = []numbered{
	{"locks", "What matters most cannot be deleted by accident", [3]string{"10.1", "10.1", "6.2"}, criticalLocked},
}
