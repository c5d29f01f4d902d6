package azuresim

import "time"

// services names who answers for which host.
func (s *Sim) services() {
	s.entra = &entra{w: s.w, tenant: s.o.Tenant, skew: func() time.Duration { return s.manager.conditions.Skew }}
	s.manager = newManager(s.w, s.o, &s.faults)
	s.host(controlHost, s.control)
	s.host(loginHost, s.entra.serve)
	s.host("token.actions.githubusercontent.com", s.entra.workflowToken)
	s.host(armHost, s.manager.serve, "https://management.azure.com", "https://management.core.windows.net")
	s.host("ipv4.icanhazip.com", func(*call) answer { return raw(200, "text/plain", []byte(publicAddress+"\n")) })
	s.planes()
}

// publicAddress is what the deployer's machine looks like from outside: an address for documentation (RFC 5737).
const publicAddress = "203.0.113.7"

// populate puts into a new world what a subscription has from the beginning.
func (s *Sim) populate() {
	s.populatePlanes()
	for _, i := range s.o.Identities {
		p := &principal{ID: uuidOf(s.o.Seed, "principal", i.Name), Kind: "ServicePrincipal", AppID: i.ClientID, Name: i.Name, Roles: i.Graph, Visible: s.w.now()}
		if i.ClientID == "" {
			p.Kind = "User"
		}
		if i.Secret != "" {
			p.Secrets = []secret{{Value: i.Secret}}
		}
		if i.Subject != "" {
			p.Trusts = []trust{{Issuer: GitHubIssuer, Subject: i.Subject, Audiences: []string{"api://AzureADTokenExchange"}}}
		}
		s.w.Directory.addSeed(p)
		s.manager.grant(p.ID, i.Role)
	}
}
