package estate

import (
	"fmt"
	"strings"

	"github.com/flowehr/flowehr/internal/azure/arm"
)

// logs makes the log workspace that everything reports to.
func (l *lowering) logs(s *stack) {
	r := l.regional("Microsoft.OperationalInsights/workspaces", l.names.Logs(), arm.Object{
		"sku":             arm.Object{"name": "PerGB2018"},
		"retentionInDays": l.env.Sizes.LogRetentionDays,
		"features":        arm.Object{"enableLogAccessUsingOnlyResourcePermissions": true},
		// Agents and services send from addresses of their own; a private link scope would cut off all others of the tenant.
		"publicNetworkAccessForIngestion": "Enabled",
		"publicNetworkAccessForQuery":     "Enabled",
	})
	logs := s.add("logs", r)
	s.add("logsDiagnostics", l.logged(l.logsID(), false, "Audit"), logs)
}

func (l *lowering) logsID() string {
	return l.id("Microsoft.OperationalInsights/workspaces", l.names.Logs())
}

// coreAlerts makes the group of people that are told, and the alert on changes of the vault. Without recipients there is
// nobody to tell.
func (l *lowering) coreAlerts(s *stack) {
	if len(l.env.Monitoring.Recipients) == 0 {
		return
	}
	var mails []arm.Object
	taken := map[string]bool{}
	for i, r := range l.env.Monitoring.Recipients {
		name := r.Name
		if taken[name] { // names within the group are unique
			name = fmt.Sprintf("%s (%d)", r.Name, i+1)
		}
		taken[name] = true
		mails = append(mails, arm.Object{"name": arm.Literal(name), "emailAddress": arm.Literal(r.Email), "useCommonAlertSchema": true})
	}
	told := s.add("actionGroup", l.global("Microsoft.Insights/actionGroups", l.names.ActionGroup(), arm.Object{
		"enabled": true, "groupShortName": "p0action", "emailReceivers": mails,
	}))
	l.alert(s, "vault", "Somebody changed or deleted a key vault", []string{"Microsoft.KeyVault/vaults/write", "Microsoft.KeyVault/vaults/delete"}, told)
}

// alert tells the recipients when one of some operations was done in the environment's resource group. Layers after core name no
// symbol to wait for: the action group stands by then.
func (l *lowering) alert(s *stack, part, description string, operations []string, after ...string) {
	if len(l.env.Monitoring.Recipients) == 0 {
		return
	}
	var alternatives []arm.Object
	for _, o := range operations {
		alternatives = append(alternatives, arm.Object{"field": "operationName", "equals": o})
	}
	condition := []arm.Object{{"field": "category", "equals": "Administrative"}}
	if len(alternatives) == 1 {
		condition = append(condition, alternatives[0])
	} else {
		condition = append(condition, arm.Object{"anyOf": alternatives})
	}
	s.add("alert"+strings.ToUpper(part[:1])+part[1:], l.global("Microsoft.Insights/activityLogAlerts", l.names.Alert(part), arm.Object{
		"enabled": true, "description": description,
		"scopes":    []string{arm.GroupID(l.facts.Subscription, l.names.Group())},
		"condition": arm.Object{"allOf": condition},
		"actions":   arm.Object{"actionGroups": []arm.Object{{"actionGroupId": l.id("Microsoft.Insights/actionGroups", l.names.ActionGroup())}}},
	}), after...)
}

// flowLogs records who spoke with whom in the network, when a network watcher is named. The record belongs to the watcher, which
// is shared by the region, so it is deployed to the watcher's group.
func (l *lowering) flowLogs(s *stack) {
	m := l.env.Monitoring
	if m.NetworkWatcherName == "" {
		return
	}
	s.in(m.NetworkWatcherGroup).Add("flowLog", l.regional("Microsoft.Network/networkWatchers/flowLogs", m.NetworkWatcherName+"/"+l.names.FlowLog(), arm.Object{
		"enabled":          true,
		"targetResourceId": l.networkID(),
		"storageId":        l.id("Microsoft.Storage/storageAccounts", l.names.ManagementStorage()),
		"format":           arm.Object{"type": "JSON", "version": 2},
		"retentionPolicy":  arm.Object{"enabled": true, "days": max(90, l.env.Sizes.LogRetentionDays)},
		"flowAnalyticsConfiguration": arm.Object{"networkWatcherFlowAnalyticsConfiguration": arm.Object{
			"enabled": true, "workspaceRegion": l.env.Location, "workspaceResourceId": l.logsID(), "trafficAnalyticsInterval": 10,
		}},
	}))
}
