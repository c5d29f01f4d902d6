package compliance

import (
	"slices"
	"strconv"
	"strings"
)

var (
	sqlTypes      = []string{"Microsoft.Sql/servers"}
	postgresTypes = []string{"Microsoft.DBforPostgreSQL/flexibleServers"}
	cosmosTypes   = []string{"Microsoft.DocumentDB/databaseAccounts"}
)

const (
	sqlServer      = "SQL server"
	postgresServer = "PostgreSQL server"
	cosmosAccount  = "document store"
)

// part is the verdict of test on a part of an item, such as the auditing of a server.
func part(v *view, it *item, kind, name string, test func(*item) verdict) verdict {
	p := v.child(it, kind, name)
	if p == nil {
		return told(false, it, kind+"/"+name, "not set", "")
	}
	if s := stateVerdict(p); s != nil {
		s.evidence.Resource = p.called()
		return *s
	}
	return test(p)
}

// sqlPart is a check of a property of a part of every SQL server.
func sqlPart(kind, name, prop, absent, next string, wanted ...string) check {
	return func(v *view) Finding {
		return every(v, sqlServer, v.of(sqlTypes...), next, func(it *item) verdict {
			return part(v, it, kind, name, func(p *item) verdict { return has(p, prop, absent, wanted...) })
		})
	}
}

var (
	sqlDirectoryAdmin = func(v *view) Finding {
		return every(v, sqlServer, v.of(sqlTypes...), "Give the server an administrator from the directory.", func(it *item) verdict {
			if p := v.child(it, "administrators", "ActiveDirectory"); p != nil {
				return has(p, "administratorType", "none", "ActiveDirectory")
			}
			return has(it, "administrators.administratorType", "none", "ActiveDirectory")
		})
	}
	sqlOwnKey        = sqlPart("encryptionProtector", "current", "serverKeyType", "ServiceManaged", "A key of your own needs a vault, a key and somebody who looks after both; the product does not make one.", "AzureKeyVault")
	sqlPublicNetwork = property(sqlServer, sqlTypes, "publicNetworkAccess", "Enabled", "Deploy from the network's own build agents (CI), which keeps public access off.", "Disabled")
	sqlThreats       = sqlPart("securityAlertPolicies", "Default", "state", "Disabled", "Turn threat detection on for the server.", "Enabled")
	sqlScans         = sqlPart("vulnerabilityAssessments", "default", "recurringScans.isEnabled", "false", "Turn recurring scans on.", "true")
	sqlScanOwners    = sqlPart("vulnerabilityAssessments", "default", "recurringScans.emailSubscriptionAdmins", "false", "The subscription's owners are not the people who look after this environment; name recipients under monitoring instead, and record the exception.", "true")
)

// sqlAuditing wants an audit that goes somewhere: with Azure Monitor as its target nothing is kept until a diagnostic setting on
// the server's master database sends it on.
func sqlAuditing(v *view) Finding {
	return every(v, sqlServer, v.of(sqlTypes...), "Turn auditing on, and send it to a workspace or an account.", func(it *item) verdict {
		return part(v, it, "auditingSettings", "default", func(p *item) verdict {
			on := has(p, "state", "Disabled", "Enabled")
			if on.status != Met {
				return on
			}
			if account, set := p.text("storageEndpoint"); set && account != "" {
				return told(true, p, "storageEndpoint", account, "")
			}
			if monitor := has(p, "isAzureMonitorTargetEnabled", "false", "true"); monitor.status != Met {
				monitor.because = "The audit is on and goes nowhere."
				return monitor
			}
			return v.logged(it, it.id+"/databases/master", []string{"SQLSecurityAuditEvents"}, "audit")
		})
	})
}

func sqlAuditRetention(v *view) Finding {
	return every(v, sqlServer, v.of(sqlTypes...), "Keep the audit for more than 90 days: monitoring.log_retention_days.", func(it *item) verdict {
		return part(v, it, "auditingSettings", "default", func(p *item) verdict {
			if on := has(p, "state", "Disabled", "Enabled"); on.status != Met {
				return on
			}
			if account, set := p.text("storageEndpoint"); !set || account == "" {
				return verdict{CannotTell, Evidence{Resource: p.called(), Property: "storageEndpoint", Value: "not set"}, "How long the workspace keeps the audit is decided per table there."}
			}
			value, set := p.text("retentionDays")
			days, err := strconv.Atoi(value)
			if !set {
				days, err, value = 0, nil, "not set, which means for ever"
			}
			return told(err == nil && (days == 0 || days > 90), p, "retentionDays", value, "The number has to be above 90; 0 means for ever.")
		})
	})
}

// sqlOpenRules looks for firewall rules that let anybody in. With public access off no rule is in force.
func sqlOpenRules(v *view) Finding {
	return every(v, sqlServer, v.of(sqlTypes...), "Delete the rule.", func(it *item) verdict {
		return openRules(v, it, it.id+"/firewallRules", "publicNetworkAccess")
	})
}

// openRules is the verdict on the firewall of a database server.
func openRules(v *view, it *item, collection, access string) verdict {
	if off := has(it, access, "Enabled", "Disabled"); off.status == Met {
		return off
	}
	for _, r := range v.children(it, "firewallRules") {
		if s := stateVerdict(r); s != nil {
			continue
		}
		from, _ := r.text("startIpAddress")
		to, _ := r.text("endIpAddress")
		if from == "0.0.0.0" {
			return told(false, r, "startIpAddress", from+" to "+to, "A rule that starts at 0.0.0.0 lets in everybody, or every service of Azure, whoever it belongs to.")
		}
	}
	if v.deployed && !v.listed[strings.ToLower(collection)] {
		return verdict{CannotTell, Evidence{Resource: it.called(), Property: "firewallRules", Value: "not listed"}, "Public access is on and the rules were not read."}
	}
	return told(true, it, "firewallRules", "none that starts at 0.0.0.0", "")
}

// sqlEncrypted asks for transparent encryption of each database. Azure turns it on for a new one.
func sqlEncrypted(v *view) Finding {
	var databases []*item
	for _, d := range v.of("Microsoft.Sql/servers/databases") {
		if !strings.HasSuffix(strings.ToLower(d.name), "/master") {
			databases = append(databases, d)
		}
	}
	return every(v, "SQL database", databases, "Turn transparent data encryption on.", func(it *item) verdict {
		p := v.child(it, "transparentDataEncryption", "current")
		if p == nil {
			return told(true, it, "transparentDataEncryption", "not set, which means Enabled", "")
		}
		if s := stateVerdict(p); s != nil {
			return *s
		}
		return has(p, "state", "Enabled", "Enabled")
	})
}

// sqlAssessed wants scans that are kept, which need threat detection to be on.
func sqlAssessed(v *view) Finding {
	return every(v, sqlServer, v.of(sqlTypes...), "Turn threat detection on and name a container for the results.", func(it *item) verdict {
		alerts := part(v, it, "securityAlertPolicies", "Default", func(p *item) verdict { return has(p, "state", "Disabled", "Enabled") })
		if alerts.status != Met {
			alerts.because = "Scans need threat detection to be on."
			return alerts
		}
		return part(v, it, "vulnerabilityAssessments", "default", func(p *item) verdict {
			where, set := p.text("storageContainerPath")
			return told(set && where != "", p, "storageContainerPath", where, "")
		})
	})
}

func sqlScanReports(v *view) Finding {
	return every(v, sqlServer, v.of(sqlTypes...), "Name somebody under monitoring.alert_recipients.", func(it *item) verdict {
		return part(v, it, "vulnerabilityAssessments", "default", func(p *item) verdict {
			to, _ := p.get("properties.recurringScans.emails")
			list, _ := to.([]any)
			return told(len(list) > 0, p, "recurringScans.emails", strconv.Itoa(len(list))+" addresses", "")
		})
	})
}

// parameter is a check of a parameter of every PostgreSQL server. absent is the server's own default.
func parameter(name, absent, next string, ok func(string) bool) check {
	return func(v *view) Finding {
		return every(v, postgresServer, v.of(postgresTypes...), next, func(it *item) verdict {
			p := v.child(it, "configurations", name)
			if p == nil {
				return told(ok(absent), it, name, "not set, which means "+absent, "")
			}
			if s := stateVerdict(p); s != nil {
				return *s
			}
			value, _ := p.text("value")
			return told(ok(value), p, name, value, "")
		})
	}
}

func on(value string) bool {
	return slices.Contains([]string{"on", "true", "1"}, strings.ToLower(value))
}

var (
	postgresTLS            = parameter("require_secure_transport", "on", "Set require_secure_transport to on.", on)
	postgresCheckpoints    = parameter("log_checkpoints", "on", "Set log_checkpoints to on.", on)
	postgresConnections    = parameter("log_connections", "off", "Set log_connections to on.", on)
	postgresDisconnections = parameter("log_disconnections", "off", "Set log_disconnections to on.", on)
	postgresThrottle       = parameter("connection_throttle.enable", "off", "Set connection_throttle.enable to on.", on)
	postgresLogDays        = parameter("logfiles.retention_days", "3", "Set logfiles.retention_days to more than 3.", func(s string) bool {
		n, err := strconv.Atoi(s)
		return err == nil && n > 3
	})
	singleServer = absentFrom("single server of PostgreSQL", "It is about the single server of PostgreSQL, which Azure has retired; the product makes flexible servers, whose parameters are judged by their own controls.",
		"Microsoft.DBforPostgreSQL/servers")
	mySQL = absentFrom("MySQL server", "The environment makes no MySQL server.", "Microsoft.DBforMySQL/servers", "Microsoft.DBforMySQL/flexibleServers")
)

// postgresAzureServices asks whether any service of Azure may connect. A server inside the network has no firewall.
func postgresAzureServices(v *view) Finding {
	return every(v, postgresServer, v.of(postgresTypes...), "Delete the rule.", func(it *item) verdict {
		if inside, set := it.text("network.delegatedSubnetResourceId"); set && inside != "" {
			return told(true, it, "network.delegatedSubnetResourceId", shortID(inside), "")
		}
		return openRules(v, it, it.id+"/firewallRules", "network.publicNetworkAccess")
	})
}

// cosmosSelectedNetworks wants a document store that is not open to all networks.
func cosmosSelectedNetworks(v *view) Finding {
	return every(v, cosmosAccount, v.of(cosmosTypes...), "Close public access, or name the networks that may reach it.", func(it *item) verdict {
		if off := has(it, "publicNetworkAccess", "Enabled", "Disabled"); off.status == Met {
			return off
		}
		var ranges []string
		for _, r := range it.list("ipRules") {
			address, _ := r.get("ipAddressOrRange")
			ranges = append(ranges, toString(address))
		}
		if slices.ContainsFunc(ranges, func(r string) bool { return strings.HasPrefix(r, "0.0.0.0") }) {
			return told(false, it, "ipRules", strings.Join(ranges, ", "), "0.0.0.0 lets in every service of Azure.")
		}
		if len(ranges) > 0 {
			return told(true, it, "ipRules", strings.Join(ranges, ", "), "")
		}
		return has(it, "isVirtualNetworkFilterEnabled", "false", "true")
	})
}

var (
	cosmosEndpoints = endpoints(cosmosAccount, cosmosTypes)
	cosmosIdentity  = property(cosmosAccount, cosmosTypes, "disableLocalAuth", "false", "Take the keys of the account out of use: apps have roles.", "true")
)
