package compliance

import (
	"slices"
	"strings"
)

// criticalLocked wants what holds people's data not to be deleted by accident.
func criticalLocked(v *view) Finding {
	var critical []*item
	critical = append(critical, v.of("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.Sql/servers", "Microsoft.DBforPostgreSQL/flexibleServers", "Microsoft.Databricks/workspaces")...)
	if !v.in.Environment.RealData {
		return Finding{Status: NotApplicable, Why: "There is no real data: everything can be made again from the definition."}
	}
	return every(v, "data holder", critical, "Put a lock on it.", func(it *item) verdict {
		return v.locked(it, "CanNotDelete", "ReadOnly")
	})
}

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
