package automation

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/flowehr/flowehr"
)

// IdentityPlan is what making an identity would change.
type IdentityPlan struct {
	Person       string         `json:"person"` // who is signed in
	Tenant       string         `json:"tenant"`
	Subscription string         `json:"subscription"`
	Name         string         `json:"name"`
	ClientID     string         `json:"clientId,omitempty"` // when it stands already
	Steps        []IdentityStep `json:"steps"`
	Warnings     []string       `json:"warnings,omitempty"`
}

// IdentityStep is one thing that is made, changed, kept or taken away.
type IdentityStep struct {
	Action flowehr.Action `json:"action"`
	What   string         `json:"what"` // application, service principal, federated credential, client secret, role, permission
	Name   string         `json:"name"`
	Detail string         `json:"detail,omitempty"`
}

// Empty reports whether everything stands as wanted.
func (p IdentityPlan) Empty() bool {
	return !slices.ContainsFunc(p.Steps, func(s IdentityStep) bool { return s.Action != flowehr.Keep })
}

// Plan finds out what Make would do. It changes nothing.
func (i *Identity) Plan(ctx context.Context) (IdentityPlan, error) {
	person, err := i.person(ctx)
	if err != nil {
		return IdentityPlan{}, err
	}
	w, err := i.look(ctx)
	if err != nil {
		return IdentityPlan{}, err
	}
	p := IdentityPlan{Person: person, Tenant: i.c.Tenant(), Subscription: i.c.Subscription(), Name: i.Name()}
	p.Warnings = i.warnings(w)
	if w.app != nil {
		p.ClientID = w.app.AppID
	}
	p.Steps = append(p.Steps,
		IdentityStep{madeUnless(w.app != nil), "application", i.Name(), ""},
		IdentityStep{madeUnless(w.principal != ""), "service principal", i.Name(), ""})
	p.Steps = append(p.Steps, i.planFederations(w)...)
	if i.o.SecretDays > 0 {
		p.Steps = append(p.Steps, IdentityStep{madeUnless(w.secret() != nil), "client secret", secretName, fmt.Sprintf("good for %d days", i.o.SecretDays)})
	}
	p.Steps = append(p.Steps, IdentityStep{madeUnless(w.owner), "role", "Owner", i.scope()})
	for _, perm := range permissions {
		role, err := w.graph.role(perm.Name)
		if err != nil {
			return IdentityPlan{}, err
		}
		p.Steps = append(p.Steps, IdentityStep{madeUnless(w.granted[role] != ""), "permission", perm.Name, perm.Why})
	}
	return p, nil
}

func (i *Identity) planFederations(w world) (steps []IdentityStep) {
	wanted := map[string]bool{}
	for _, f := range i.Federations() {
		wanted[f.Name] = true
		stands, ok := w.federations[f.Name]
		s := IdentityStep{madeUnless(ok), "federated credential", f.Name, f.Subject}
		if ok && !same(stands, f) {
			s.Action, s.Detail = flowehr.Update, f.Subject+" instead of "+stands.Subject
		}
		if other := w.trusts(f); !ok && other != "" {
			s.Action, s.Detail = flowehr.Keep, f.Subject+", as "+other
		}
		steps = append(steps, s)
	}
	for _, name := range slices.Sorted(maps.Keys(w.federations)) {
		if !wanted[name] && ours(name) {
			steps = append(steps, IdentityStep{flowehr.Delete, "federated credential", name, "no longer wanted: " + w.federations[name].Subject})
		}
	}
	return steps
}

// trusts names the credential of somebody else that trusts the same jobs, if there is one: an application takes no second.
func (w world) trusts(f Federation) string {
	for _, name := range slices.Sorted(maps.Keys(w.federations)) {
		if !ours(name) && same(w.federations[name], f) {
			return name
		}
	}
	return ""
}

func (i *Identity) warnings(w world) (warn []string) {
	for _, other := range w.namesakes {
		warn = append(warn, fmt.Sprintf("another application is called %s (client id %s); it is left alone", i.Name(), other))
	}
	if i.o.PullRequests {
		warn = append(warn, "jobs of pull requests may sign in: whoever can push a branch to "+i.o.Repository+" owns the subscription")
	}
	if i.o.SecretDays > 0 {
		warn = append(warn, "a client secret is a password that stands for the whole subscription; federated credentials need none")
	}
	for name := range w.federations {
		if !ours(name) {
			warn = append(warn, "a federated credential that was made by somebody else is left alone: "+name)
		}
	}
	slices.Sort(warn)
	return warn
}

func madeUnless(stands bool) flowehr.Action {
	if stands {
		return flowehr.Keep
	}
	return flowehr.Create
}
