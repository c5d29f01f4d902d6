package compliance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const alertType = "Microsoft.Insights/activityLogAlerts"

// alert is a check that somebody is told of an operation. An alert counts when it is on, covers the scope of what it is about and
// its action group reaches somebody.
func alert(what, covers string, operations ...string) check {
	return func(v *view) Finding {
		next := "Add an activity log alert on " + strings.Join(operations, " and ") + " for the subscription, with an action group that reaches somebody."
		var findings []Finding
		for _, op := range operations {
			findings = append(findings, v.alertOn(op, covers, next))
		}
		f := worst(findings...)
		if f.Status == Met {
			f.Why = "Somebody is told of " + what + "."
		}
		return f
	}
}

func (v *view) alertOn(operation, covers, next string) Finding {
	nearest := Finding{Status: NotMet, Why: "No alert watches " + operation + ".", Next: next}
	for _, a := range v.of(alertType) {
		if a.state == unread {
			nearest = Finding{Status: CannotTell, Why: "The alerts were not read from Azure.", Next: "Run the report signed in to Azure."}
			continue
		}
		if a.state == gone || !watches(a, operation) {
			continue
		}
		e := Evidence{Resource: a.called(), Property: "operationName", Value: operation}
		switch why := v.alertDead(a, covers); why {
		case "":
			return Finding{Status: Met, Evidence: []Evidence{e}, Why: "An alert watches " + operation + "."}
		default:
			nearest = Finding{Status: NotMet, Evidence: []Evidence{e}, Why: why, Next: next}
		}
	}
	return nearest
}

// watches says whether the condition of an alert fires for an operation, or for a category such as ServiceHealth.
func watches(a *item, operation string) bool {
	var fires func(*item) bool
	fires = func(c *item) bool {
		inner, _ := c.get("anyOf")
		list, _ := inner.([]any)
		for _, one := range list {
			if m, ok := one.(map[string]any); ok && fires(&item{body: m}) {
				return true
			}
		}
		equals, _ := c.get("equals")
		return strings.EqualFold(fmt.Sprint(equals), operation)
	}
	return slices.ContainsFunc(a.list("condition.allOf"), fires)
}

// alertDead says why an alert reaches nobody, or does not see what it is about. It is empty for one that works.
func (v *view) alertDead(a *item, covers string) string {
	if enabled, set := a.text("enabled"); set && enabled != "true" {
		return "The alert is switched off."
	}
	if !v.sees(a, covers) {
		return "The alert sees a part of the subscription, and what it is about happens outside that part."
	}
	actions, _ := a.get("properties.actions.actionGroups")
	list, _ := actions.([]any)
	for _, one := range list {
		m, _ := one.(map[string]any)
		id, _ := m["actionGroupId"].(string)
		if group := v.find(id); group != nil && reaches(group) {
			return ""
		}
	}
	return "The alert reaches nobody: its action group has no receiver."
}

// sees says whether the scopes of an alert have the subscription, or everything of the type that it is about.
func (v *view) sees(a *item, covers string) bool {
	scopes := a.strings("scopes")
	within := func(id string) bool {
		return slices.ContainsFunc(scopes, func(s string) bool {
			return strings.EqualFold(s, id) || strings.HasPrefix(strings.ToLower(id), strings.ToLower(strings.TrimSuffix(s, "/"))+"/")
		})
	}
	if slices.ContainsFunc(scopes, func(s string) bool { return strings.Count(strings.Trim(s, "/"), "/") == 1 }) {
		return true // /subscriptions/…
	}
	items := v.of(covers)
	return covers != "" && len(items) > 0 && !slices.ContainsFunc(items, func(it *item) bool { return !within(it.id) })
}

func reaches(group *item) bool {
	if enabled, set := group.text("enabled"); set && enabled != "true" {
		return false
	}
	props, _ := group.get("properties")
	m, _ := props.(map[string]any)
	for key, value := range m {
		if list, ok := value.([]any); ok && strings.HasSuffix(key, "Receivers") && len(list) > 0 {
			return true
		}
	}
	return false
}

var (
	alertPolicyWrite    = alert("a policy that is assigned", "", "Microsoft.Authorization/policyAssignments/write")
	alertPolicyDelete   = alert("a policy that is taken away", "", "Microsoft.Authorization/policyAssignments/delete")
	alertNSGWrite       = alert("a security group that is changed", nsgType, nsgType+"/write")
	alertNSGDelete      = alert("a security group that is deleted", nsgType, nsgType+"/delete")
	alertSolutionWrite  = alert("a security solution that is changed", "", "Microsoft.Security/securitySolutions/write")
	alertSolutionDelete = alert("a security solution that is deleted", "", "Microsoft.Security/securitySolutions/delete")
	alertFirewallWrite  = alert("a firewall rule that is changed", "Microsoft.Sql/servers", "Microsoft.Sql/servers/firewallRules/write")
	alertFirewallDelete = alert("a firewall rule that is deleted", "Microsoft.Sql/servers", "Microsoft.Sql/servers/firewallRules/delete")
	alertAddressWrite   = alert("a public address that is changed", publicAddress, publicAddress+"/write")
	alertAddressDelete  = alert("a public address that is deleted", publicAddress, publicAddress+"/delete")
	alertServiceHealth  = alert("trouble of Azure itself", "", "ServiceHealth")
)

// activityLog looks for a diagnostic setting of the subscription. It belongs to whoever keeps the subscription, so that its
// absence from the definition says nothing; when Azure listed the settings it does.
func activityLog(v *view, categories ...string) Finding {
	settings := v.subscriptionSettings()
	if !v.deployed || !v.listedSettings() && len(settings) == 0 {
		return Finding{Status: CannotTell, Why: "The activity log is the subscription's, which the environment shares with others.", Next: "The owner of the subscription exports it; flowehr compliance reads the setting when it is signed in."}
	}
	for _, s := range settings {
		on := enabledLogs(s)
		if hasDestination(s) && !slices.ContainsFunc(categories, func(c string) bool { return !slices.Contains(on, c) && !slices.Contains(on, "allLogs") }) {
			return Finding{Status: Met, Why: "The activity log is exported.", Evidence: []Evidence{{Resource: s.called(), Property: "logs", Value: strings.Join(on, ", ") + " to " + destination(s)}}}
		}
	}
	f := Finding{Status: NotMet, Why: "No setting of the subscription exports the activity log so.", Next: "The owner of the subscription exports it to a workspace."}
	for _, s := range settings {
		f.Evidence = append(f.Evidence, Evidence{Resource: s.called(), Property: "logs", Value: strings.Join(enabledLogs(s), ", ") + " to " + destination(s)})
	}
	return f
}

func (v *view) subscriptionSettings() []*item {
	var out []*item
	for _, it := range v.of(diagnostics) {
		if strings.Count(strings.Trim(it.scope, "/"), "/") == 1 && it.state == read {
			out = append(out, it)
		}
	}
	return out
}

func (v *view) listedSettings() bool {
	for id := range v.listed {
		if strings.HasSuffix(id, "/"+strings.ToLower(diagnostics)) && strings.Count(id, "/") == 5 {
			return true
		}
	}
	return false
}

func activityLogExists(v *view) Finding { return activityLog(v) }

func activityLogCategories(v *view) Finding {
	return activityLog(v, "Administrative", "Alert", "Policy", "Security")
}

var (
	vaultLog = func(v *view) Finding {
		return every(v, keyVault, v.of(vaultTypes...), "Send AuditEvent of the vault to the workspace.", func(it *item) verdict {
			return v.logged(it, it.id, []string{"AuditEvent"}, "audit")
		})
	}
	httpLog = func(v *view) Finding {
		return every(v, webApp, v.of(siteTypes...), "Send AppServiceHTTPLogs of the app to the workspace.", func(it *item) verdict {
			return v.logged(it, it.id, []string{"AppServiceHTTPLogs"})
		})
	}
)

// loggable are the types that the product makes and whose data plane Azure can log.
var loggable = []string{
	"Microsoft.KeyVault/vaults", "Microsoft.Sql/servers/databases", "Microsoft.DBforPostgreSQL/flexibleServers", "Microsoft.DocumentDB/databaseAccounts",
	"Microsoft.Storage/storageAccounts/blobServices", "Microsoft.Databricks/workspaces", "Microsoft.DataFactory/factories", "Microsoft.Web/sites", "Microsoft.Web/sites/slots",
	"Microsoft.ContainerRegistry/registries", "Microsoft.MachineLearningServices/registries", "Microsoft.Network/networkSecurityGroups", "Microsoft.OperationalInsights/workspaces",
}

func everythingLogged(v *view) Finding {
	return every(v, "loggable resource", v.of(loggable...), "Add a diagnostic setting to each.", func(it *item) verdict {
		got, found := v.cover(it.id, diagnostics, func(s *item) (bool, string) {
			on := enabledLogs(s)
			return len(on) > 0 && hasDestination(s), strings.Join(on, ", ") + " to " + destination(s)
		})
		if !found {
			return told(false, it, "diagnostic setting", "none", "")
		}
		got.evidence.Resource, got.evidence.Property = it.called(), "logs"
		return got
	})
}

// insights wants telemetry that apps really send: a component that no app is told of collects nothing.
func insights(v *view) Finding {
	components := v.of("Microsoft.Insights/components")
	f := every(v, webApp, v.of(siteTypes...), "Give the app the connection string of a component.", func(it *item) verdict {
		return part(v, it, "config", "appsettings", func(p *item) verdict {
			_, set := p.text("APPLICATIONINSIGHTS_CONNECTION_STRING")
			return told(set && len(components) > 0, p, "APPLICATIONINSIGHTS_CONNECTION_STRING", map[bool]string{true: "set", false: "not set"}[set], "")
		})
	})
	if f.Status != NotApplicable {
		return f
	}
	if len(components) == 0 {
		return Finding{Status: NotMet, Why: "There is no Application Insights component.", Next: "Deploy the transform layer, which has one."}
	}
	return Finding{Status: Met, Why: "Pipelines send telemetry; there is no app yet.", Evidence: []Evidence{{Resource: components[0].called()}}}
}

// smallest are names of SKUs without the service levels of a production one.
var smallest = []string{"basic", "free", "shared", "consumption", "dynamic", "f1", "d1", "b1", "b2", "b3", "y1"}

func noBasicSKU(v *view) Finding {
	var sized []*item
	for _, it := range v.items {
		if _, set := it.text("sku.name"); set && it.typ != "Microsoft.MachineLearningServices/registries" { // which has one size
			sized = append(sized, it)
		}
	}
	return every(v, "sized resource", sized, "Choose a standard size under sizes, at least where data is real.", func(it *item) verdict {
		name, _ := it.text("sku.name")
		return told(!slices.Contains(smallest, strings.ToLower(name)), it, "sku.name", name, "")
	})
}

// flowLogs judges how traffic of the network is recorded, per subnet in use: a log that watches a security group which is attached
// to nothing, as the older system had, records nothing. One of the whole network records every subnet; Azure makes no new logs
// of single groups since 2025.
func flowLogs(wanted func(*item) verdict) check {
	return func(v *view) Finding {
		next := "Name the network watcher under monitoring, so that the network is recorded."
		return every(v, "subnet", v.subnets(), next, func(s *item) verdict {
			nearest := told(false, s, "flow log", "none watches it", "Traffic of a subnet is not recorded.")
			for _, l := range v.of(flowLogType) {
				if l.state == gone {
					continue
				}
				if l.state == unread {
					nearest = *stateVerdict(l)
					continue
				}
				target, _ := l.text("targetResourceId")
				group, _ := s.text("networkSecurityGroup.id")
				if !strings.EqualFold(target, s.scope) && !strings.EqualFold(target, s.id) && (group == "" || !strings.EqualFold(target, group)) {
					continue
				}
				if enabled := has(l, "enabled", "true", "true"); enabled.status != Met {
					nearest = enabled
					continue
				}
				if nearest = wanted(l); nearest.status == Met {
					return nearest
				}
			}
			return nearest
		})
	}
}

var (
	flowLogsAnalysed = flowLogs(func(l *item) verdict {
		const property = "flowAnalyticsConfiguration.networkWatcherFlowAnalyticsConfiguration."
		if on := has(l, property+"enabled", "false", "true"); on.status != Met {
			return on
		}
		workspace, set := l.text(property + "workspaceResourceId")
		return told(set && workspace != "", l, "workspaceResourceId", shortID(workspace), "")
	})
	flowLogsKept = flowLogs(func(l *item) verdict {
		value, set := l.text("retentionPolicy.days")
		days, err := strconv.Atoi(value)
		kept := has(l, "retentionPolicy.enabled", "false", "true")
		if !set || kept.status != Met || days == 0 {
			return told(true, l, "retentionPolicy", "off, which means for ever", "")
		}
		return told(err == nil && days >= 90, l, "retentionPolicy.days", value, "")
	})
)
