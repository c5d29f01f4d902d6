// Package compile turns a definition as written into the model of an environment: it applies defaults, derives names
// and holds the definition to the rules that span several keys.
//
// It reads nothing but the document: no file that the definition names, no variable, no clock, no network. Pipelines
// are not in the definition's files and are left empty here.
//
// Rules that hold here: every default of the product stands in this package and nowhere else; all mistakes are reported
// together, each with the position of the value at fault and a sentence on what to do; a value that a diagnostic of
// package config already refuses is neither called missing nor checked again; a value is put in a message as its
// [config.Value], never as its text, so that one that came from a secret shows masked.
package compile

import (
	"fmt"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/config"
)

// Environment compiles doc. The result is never nil; with errors it is incomplete and must only be shown. The
// diagnostics are those of this package, in the order of the files: add them to what [config.Load] returned.
func Environment(doc *config.Document) (*flowehr.Environment, []flowehr.Diagnostic) {
	c := &compiler{doc: doc, def: &doc.Definition, env: &flowehr.Environment{}}
	c.identity()
	c.network()
	c.sources()
	c.transform()
	c.store()
	c.projects()
	c.apps()
	c.operations()
	c.local()
	c.realData()
	c.names()
	flowehr.SortDiagnostics(c.diags)
	return c.env, c.diags
}

// compiler carries the environment that is being made and what is wrong with it.
type compiler struct {
	doc   *config.Document
	def   *config.Definition
	env   *flowehr.Environment
	diags []flowehr.Diagnostic

	shownZones []string // the lake's zones as they may stand in a message
}

// refuse reports an error; detail says why and what to do. What could not even be read is already reported.
func (c *compiler) refuse(pos flowehr.Pos, detail, format string, args ...any) {
	if c.doc.Broken(pos) {
		return
	}
	c.diags = append(c.diags, flowehr.Diagnostic{
		Severity: flowehr.SeverityError, Pos: pos, Summary: fmt.Sprintf(format, args...), Detail: detail,
	})
}

// warn reports something that works and is probably not meant.
func (c *compiler) warn(pos flowehr.Pos, detail, format string, args ...any) {
	c.diags = append(c.diags, flowehr.Diagnostic{
		Severity: flowehr.SeverityWarning, Pos: pos, Summary: fmt.Sprintf(format, args...), Detail: detail,
	})
}

// identity fills what names the environment and says where it runs.
func (c *compiler) identity() {
	e, d := c.env, c.def
	e.ID, e.Name, e.Location = d.ID.Get(), d.Environment.Get(), d.Location.Get()
	e.RealData = d.RealData.Or(false)
	e.Target = flowehr.TargetLocal
	if d.Location.OK() || d.Location.Bad() {
		e.Target = flowehr.TargetAzure
	}
	if d.Target.OK() {
		e.Target = flowehr.TargetName(d.Target.Get())
	}
	if c.doc.Target != "" {
		e.Target = c.doc.Target
	}
	if e.Target == flowehr.TargetAzure && d.Location.Missing() {
		c.refuse(d.Target.Pos(), "Add the Azure region that it runs in, for example: location: uksouth",
			"the target azure needs a location")
	}
	e.Tags = map[string]string{}
	for key, value := range d.Tags.All() {
		e.Tags[key] = value.Get()
		if key == "environment" && value.OK() && value.Get() != e.Name {
			c.warn(value.Pos(), "The tag environment always holds the environment's name. Remove this line or choose another key.",
				"the tag environment cannot be set")
		}
	}
	e.Tags["environment"] = e.Name
	e.Suffix = e.ID + "-" + e.Name
	if o := c.doc.SuffixOverride; o != "" {
		e.Suffix = o
		if strings.Trim(o, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || len(o) > 25 {
			c.refuse(flowehr.Pos{}, "It has at most 25 lower-case letters, digits, - and _, like flwr-1a2b3c4d.",
				"SUFFIX_OVERRIDE %q cannot be a naming suffix", o)
		}
	}
	e.Short = strings.NewReplacer("-", "", "_", "").Replace(e.Suffix)
	if len(e.Short) > 17 {
		e.Short = e.Short[:17]
	}
}

// operations fills who is told, how long things are kept, and what the serve layer needs.
func (c *compiler) operations() {
	e, d := c.env, c.def
	e.Sizes = flowehr.Sizes{LogRetentionDays: 90, VaultRetentionDays: d.VaultRetention.Or(7), AppPlanSKU: "S1"}
	if m := d.Monitoring; m != nil {
		e.Sizes.LogRetentionDays = m.LogRetention.Or(90)
		for _, r := range m.Recipients {
			e.Monitoring.Recipients = append(e.Monitoring.Recipients, flowehr.Recipient{Name: r.Name.Get(), Email: r.Email.Get()})
		}
		if w := m.NetworkWatcher; w != nil {
			e.Monitoring.NetworkWatcherName, e.Monitoring.NetworkWatcherGroup = w.Name.Get(), w.Group.Get()
		}
	}
	if s := d.Serve; s != nil {
		e.Sizes.AppPlanSKU = s.PlanSKU.Or("S1")
		e.Serve = &flowehr.Serve{
			GitHubOwner: s.Owner.Get(), GitHubAppID: s.AppID.Get(), GitHubAppInstallationID: s.InstallationID.Get(),
		}
	}
}

// texts returns the values of a list, without those that are already refused.
func texts(list []config.Value[string]) []string {
	var out []string
	for _, v := range list {
		if v.OK() {
			out = append(out, v.Get())
		}
	}
	return out
}
