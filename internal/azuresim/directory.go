package azuresim

import (
	"slices"
	"time"
)

// directoryState is the tenant: applications, service principals, groups and users.
type directoryState struct {
	Principals   map[string]*principal   `json:"principals,omitempty"`   // by object id
	Applications map[string]*application `json:"applications,omitempty"` // by object id
	Gone         map[string]*gone        `json:"gone,omitempty"`         // softly deleted, by object id
	Delegated    []*delegated            `json:"delegated,omitempty"`    // permissions that people gave
}

// principal is whoever can be given rights: a user, a group, a service principal.
type principal struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // User, Group, ServicePrincipal
	AppID   string    `json:"appId,omitempty"`
	Name    string    `json:"name"`
	Visible time.Time `json:"visible"` // when other services know of it
	Roles   []string  `json:"roles,omitempty"`
	Members []string  `json:"members,omitempty"`
	Of      string    `json:"of,omitempty"` // resource of a managed identity
	Secrets []secret  `json:"secrets,omitempty"`
	Trusts  []trust   `json:"trusts,omitempty"`

	Body    object        `json:"body,omitempty"` // what Microsoft Graph was told besides
	Unique  string        `json:"unique,omitempty"`
	Owners  []string      `json:"owners,omitempty"`
	Granted []*assignment `json:"granted,omitempty"` // app roles
}

// secret is a client secret.
type secret struct {
	Value   string    `json:"value"`
	Expires time.Time `json:"expires,omitzero"`
}

// trust is a federated credential.
type trust struct {
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

// application returns the service principal of an application.
func (d *directoryState) application(appID string) *principal {
	for _, p := range d.Principals {
		if p.AppID == appID {
			return p
		}
	}
	return nil
}

// principal returns whom an object id names, nil when nobody.
func (d *directoryState) principal(id string) *principal { return d.Principals[id] }

// groups lists the groups that somebody is a member of, directly or by another group.
func (d *directoryState) groups(id string) []string {
	var out []string
	seen := map[string]bool{id: true}
	for todo := []string{id}; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		for _, g := range d.Principals {
			for _, m := range g.Members {
				if m == next && !seen[g.ID] {
					seen[g.ID] = true
					out, todo = append(out, g.ID), append(todo, g.ID)
				}
			}
		}
	}
	return out
}

// addIdentity makes the service principal of a managed identity.
func (d *directoryState) addIdentity(p *principal) {
	if d.Principals == nil {
		d.Principals = map[string]*principal{}
	}
	d.Principals[p.ID] = p
}

// removePrincipal forgets somebody.
func (d *directoryState) removePrincipal(id string) { delete(d.Principals, id) }

// secretsOf, trustsOf and graphRoles are what the token service asks of an application's service principal.
func (d *directoryState) secretsOf(p *principal) []secret {
	out := slices.Clone(p.Secrets)
	if a := d.applicationOf(p.AppID); a != nil {
		for _, s := range a.Passwords {
			out = append(out, s.secret)
		}
	}
	return out
}

func (d *directoryState) trustsOf(p *principal) []trust {
	out := slices.Clone(p.Trusts)
	if a := d.applicationOf(p.AppID); a != nil {
		for _, f := range a.Federated {
			out = append(out, f.trust)
		}
	}
	return out
}

func (d *directoryState) graphRoles(p *principal) []string {
	out := slices.Clone(p.Roles)
	for _, a := range p.Granted {
		for value, id := range graphPermissions() {
			if a.Role == id && d.isGraph(a.Resource) {
				out = append(out, value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// person is who signs in where a person has to; nil when nobody may.
func (d *directoryState) person() *principal {
	for _, p := range d.Principals {
		if p.Kind == "User" {
			return p
		}
	}
	return nil
}

// graphHost is Microsoft Graph.
const graphHost = "graph.microsoft.com"

// addSeed makes somebody who may sign in from the beginning.
func (d *directoryState) addSeed(p *principal) { d.addIdentity(p) }
