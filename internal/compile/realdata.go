package compile

import "github.com/flowehr/flowehr"

// realData holds an environment with real data to its rules and applies what they force.
func (c *compiler) realData() {
	if !c.env.RealData {
		return
	}
	at := c.def.RealData.Pos()
	if m := c.def.Monitoring; m == nil || len(m.Recipients) == 0 {
		c.refuse(at, "Somebody must be told when something happens to patients' data. Add: monitoring: {alert_recipients: [{name: ..., email: ...}]}",
			"real data needs an alert recipient")
	}
	if m := c.def.Monitoring; m == nil || m.NetworkWatcher == nil {
		c.refuse(at, "Network flow must be recorded. Add: monitoring: {network_watcher: {name: ..., resource_group_name: ...}}",
			"real data needs a network watcher")
	}
	for i := range c.env.Apps {
		c.protect(&c.env.Apps[i], i)
	}
}

// protect raises the protection of an app's branch to what real data asks for.
func (c *compiler) protect(a *flowehr.App, i int) {
	if b := c.def.Apps[i].Value.Branch; b != nil {
		if b.Approvals.OK() && b.Approvals.Get() < 1 {
			c.warn(b.Approvals.Pos(), "1 is used. Remove this line or write 1 or more.", "app %q needs an approval with real data", a.ID)
		}
		if b.DismissStale.OK() && !b.DismissStale.Get() {
			c.warn(b.DismissStale.Pos(), "true is used. Remove this line.", "app %q dismisses stale reviews with real data", a.ID)
		}
	}
	a.Branch.Approvals = max(1, a.Branch.Approvals)
	a.Branch.DismissStale = true
}
