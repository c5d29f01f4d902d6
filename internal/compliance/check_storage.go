package compliance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	storageTypes = []string{"Microsoft.Storage/storageAccounts"}
	lockType     = "Microsoft.Authorization/locks"
	diagnostics  = "Microsoft.Insights/diagnosticSettings"
	endpointType = "Microsoft.Network/privateEndpoints"
)

const storageAccount = "storage account"

var (
	storageSecureTransfer = property(storageAccount, storageTypes, "supportsHttpsTrafficOnly", "true", "Turn secure transfer on for the account.", "true")
	storageDoubleEncrypt  = property(storageAccount, storageTypes, "encryption.requireInfrastructureEncryption", "false", "Infrastructure encryption is chosen when an account is made: make the account anew.", "true")
	storageAnonymous      = property(storageAccount, storageTypes, "allowBlobPublicAccess", "false", "Disallow anonymous access to blobs.", "false")
	storagePublicNetwork  = property(storageAccount, storageTypes, "publicNetworkAccess", "Enabled", "Deploy from the network's own build agents (CI), which keeps public access off.", "Disabled")
	storageTLS            = property(storageAccount, storageTypes, "minimumTlsVersion", "TLS1_0", "Ask for TLS 1.2.", "TLS1_2", "TLS1_3")
	storageCrossTenant    = property(storageAccount, storageTypes, "allowCrossTenantReplication", "false", "Disallow replication to other tenants.", "false")
	storageSharedKey      = property(storageAccount, storageTypes, "allowSharedKeyAccess", "true", "Take the account's keys out of use: everything that reads it needs an identity instead.", "false")
	storageEntraDefault   = property(storageAccount, storageTypes, "defaultToOAuthAuthentication", "false", "Make sign-in with Entra the default of the portal for this account.", "true")
	storageOwnKey         = property(storageAccount, storageTypes, "encryption.keySource", "Microsoft.Storage", "A key of your own needs a vault, a key and somebody who looks after both; the product does not make one.", "Microsoft.Keyvault")
	storageGeo            = property(storageAccount, storageTypes, "sku.name", "unknown", "Choose a geo-redundant kind for accounts that cannot be made again from their sources.", "Standard_GRS", "Standard_RAGRS", "Standard_GZRS", "Standard_RAGZRS")
	blobSoftDelete        = blobService("deleteRetentionPolicy.enabled", "Keep deleted blobs for some days.")
	containerSoftDelete   = blobService("containerDeleteRetentionPolicy.enabled", "Keep deleted containers for some days.")
	blobVersioning        = blobService("isVersioningEnabled", "Turn versioning on. Accounts with directories, such as a data lake, cannot have it; there Delta tables keep their own history.")
	storageQueueLog       = serviceLog("queue", "queueServices")
	storageBlobLog        = serviceLog("blob", "blobServices")
	storageTableLog       = serviceLog("table", "tableServices")
)

func softDelete(v *view) Finding { return worst(blobSoftDelete(v), containerSoftDelete(v)) }

// blobService checks a switch of the blob service of every account.
func blobService(name, next string) check {
	return func(v *view) Finding {
		return every(v, storageAccount, v.of(storageTypes...), next, func(it *item) verdict {
			service := v.child(it, "blobServices", "default")
			if service == nil {
				return told(false, it, "blobServices/default "+name, "not set, which means false", "")
			}
			if s := stateVerdict(service); s != nil {
				return *s
			}
			return has(service, name, "false", "true")
		})
	}
}

// serviceLog checks that reads, writes and deletes of a service of every account are logged somewhere.
func serviceLog(word, kind string) check {
	return func(v *view) Finding {
		next := "Add a diagnostic setting with StorageRead, StorageWrite and StorageDelete to the " + word + " service of the account."
		return every(v, storageAccount, v.of(storageTypes...), next, func(it *item) verdict {
			return v.logged(it, it.id+"/"+kind+"/default", []string{"StorageRead", "StorageWrite", "StorageDelete"}, "audit")
		})
	}
}

// storageDefaultDeny asks what happens to a request from a network that no rule names. With public access off none arrives.
func storageDefaultDeny(v *view) Finding {
	return every(v, storageAccount, v.of(storageTypes...), "Let the account deny what no rule allows.", func(it *item) verdict {
		if off := has(it, "publicNetworkAccess", "Enabled", "Disabled"); off.status == Met {
			return off
		}
		return has(it, "networkAcls.defaultAction", "Allow", "Deny")
	})
}

func storageTrusted(v *view) Finding {
	return every(v, storageAccount, v.of(storageTypes...), "Add AzureServices to the account's exceptions.", func(it *item) verdict {
		value, _ := it.text("networkAcls.bypass")
		return told(strings.Contains(value, "AzureServices"), it, "networkAcls.bypass", value, "")
	})
}

func storageKeyReminder(v *view) Finding {
	return every(v, storageAccount, v.of(storageTypes...), "Set a rotation period for the account's keys, or take them out of use.", func(it *item) verdict {
		if off := has(it, "allowSharedKeyAccess", "true", "false"); off.status == Met {
			off.status = NotApplicable
			return off
		}
		value, set := it.text("keyPolicy.keyExpirationPeriodInDays")
		return told(set && value != "0", it, "keyPolicy.keyExpirationPeriodInDays", value, "")
	})
}

// keyAge is how old a key of an account may get: the benchmark says 90 days.
const keyAge = 90 * 24 * time.Hour

func storageKeysRotated(v *view) Finding {
	return every(v, storageAccount, v.of(storageTypes...), "Regenerate the account's keys, or take them out of use.", func(it *item) verdict {
		if off := has(it, "allowSharedKeyAccess", "true", "false"); off.status == Met {
			off.status = NotApplicable
			return off
		}
		for _, key := range []string{"keyCreationTime.key1", "keyCreationTime.key2"} {
			value, set := it.text(key)
			made, err := time.Parse(time.RFC3339, value)
			if !set || err != nil {
				return verdict{CannotTell, Evidence{Resource: it.called(), Property: key, Value: value}, "Only Azure knows when a key was made."}
			}
			if v.at().Sub(made) > keyAge {
				return told(false, it, key, value, "")
			}
		}
		return told(true, it, "keyCreationTime", "within 90 days", "")
	})
}

// fileShares are made by nobody here.
var fileShares = absentFrom("file share", "The environment makes no file share; the accounts hold blobs only.", "Microsoft.Storage/storageAccounts/fileServices/shares")

// locked says whether an item, or the group that it is in, has a lock of one of the levels.
func (v *view) locked(it *item, levels ...string) verdict {
	group := it.id
	if at := strings.Index(strings.ToLower(it.id), "/providers/"); at > 0 {
		group = it.id[:at]
	}
	for _, scope := range []string{it.id, group} {
		got, _ := v.cover(scope, lockType, func(lock *item) (bool, string) {
			level, _ := lock.text("level")
			return slices.Contains(levels, level), level
		})
		if got.status == Met || got.status == CannotTell {
			got.evidence.Property = "level"
			return got
		}
	}
	return told(false, it, "lock", "none of "+strings.Join(levels, ", "), "")
}

func storageDeleteLock(v *view) Finding {
	return every(v, storageAccount, v.of(storageTypes...), "Environments with real data are locked; without real data there is nothing that cannot be made again.",
		func(it *item) verdict { return v.locked(it, "CanNotDelete", "ReadOnly") })
}

func storageReadOnlyLock(v *view) Finding {
	f := every(v, storageAccount, v.of(storageTypes...), "", func(it *item) verdict {
		got := v.locked(it, "ReadOnly")
		if got.status == NotMet {
			got.status = CannotTell
		}
		return got
	})
	if f.Status == CannotTell {
		f.Why, f.Next = "The benchmark asks that it be considered. A read-only lock would also stop deployments.", "The owner of the data decides and records the decision."
	}
	return f
}

// private says whether an item has a private endpoint whose name resolves: an endpoint without a DNS zone is not used.
func (v *view) private(it *item, groups ...string) verdict {
	for _, e := range v.of(endpointType) {
		for _, c := range e.list("privateLinkServiceConnections") {
			target, _ := c.text("privateLinkServiceId")
			ids := c.strings("groupIds")
			if !strings.EqualFold(target, it.id) || len(groups) > 0 && !slices.ContainsFunc(ids, func(g string) bool { return slices.Contains(groups, g) }) {
				continue
			}
			if s := stateVerdict(e); s != nil {
				s.evidence.Resource = e.called()
				return *s
			}
			if status, set := c.text("privateLinkServiceConnectionState.status"); set && status != "Approved" {
				return told(false, e, "privateLinkServiceConnectionState.status", status, "A private endpoint is not approved.")
			}
			zones := v.children(e, "privateDnsZoneGroups")
			if len(zones) == 0 {
				return told(false, e, "privateDnsZoneGroups", "none", "A private endpoint has no DNS zone, so nobody finds it.")
			}
			return told(true, e, "groupIds", strings.Join(ids, ", "), "")
		}
	}
	return told(false, it, "private endpoint", "none", "")
}

// endpoints is a check that every item of a type has a private endpoint.
func endpoints(noun string, types []string, groups ...string) check {
	return func(v *view) Finding {
		return every(v, noun, v.of(types...), "A private endpoint is made with real data; set accesses_real_data, or add one.",
			func(it *item) verdict { return v.private(it, groups...) })
	}
}

// logged says whether a diagnostic setting on id sends all categories, or a group that has them, to somewhere.
func (v *view) logged(it *item, id string, categories []string, groups ...string) verdict {
	got, found := v.cover(id, diagnostics, func(setting *item) (bool, string) {
		on := enabledLogs(setting)
		all := slices.Contains(on, "allLogs") || slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(on, g) })
		if !all {
			all = !slices.ContainsFunc(categories, func(c string) bool { return !slices.Contains(on, c) }) && len(on) > 0
		}
		return all && hasDestination(setting), fmt.Sprintf("%s to %s", strings.Join(on, ", "), destination(setting))
	})
	if !found {
		return told(false, it, "diagnostic setting", "none on "+shortID(id), "")
	}
	got.evidence.Property = "logs"
	return got
}

func shortID(id string) string {
	typ, name, _ := split(id)
	_, short, _ := strings.Cut(typ, ".")
	return short + " " + name
}

func enabledLogs(setting *item) []string {
	var on []string
	for _, l := range setting.list("logs") {
		enabled, _ := l.get("enabled")
		if enabled != true {
			continue
		}
		for _, key := range []string{"category", "categoryGroup"} {
			if name, _ := l.get(key); name != nil {
				on = append(on, fmt.Sprint(name))
			}
		}
	}
	return on
}

var destinations = []string{"workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId"}

func hasDestination(setting *item) bool { return destination(setting) != "nowhere" }

func destination(setting *item) string {
	for _, d := range destinations {
		if id, set := setting.text(d); set && id != "" {
			return shortID(id)
		}
	}
	return "nowhere"
}
