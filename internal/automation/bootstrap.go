package automation

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// Container is for what jobs keep, in the storage account of CI. The state of environments is elsewhere, in the account that
// azure/statestore names: it has to outlive the ground, and laptops find it without any.
const Container = "jobs"

// BootstrapOptions describe the ground that CI stands on: one for each flowehr_id.
type BootstrapOptions struct {
	FlowEHRID    string
	Subscription string
	Tenant       string
	Location     string
	AddressSpace string            // /24 or wider; empty means [DefaultAddressSpace]
	Tags         map[string]string // besides those that tell whose it is

	Principal string      // object id of CI's service principal; empty when there is none yet
	People    []Principal // who reads and writes what jobs keep from their own machines
	AllowedIP []string    // addresses and ranges from which they do

	Runners Runners // private runners; the zero value means GitHub's own
}

// Principal is somebody in the directory.
type Principal struct {
	ObjectID string
	Kind     string // User, Group or ServicePrincipal
}

func (p Principal) check() error {
	if _, err := uuid.Parse(p.ObjectID); err != nil {
		return fmt.Errorf("%q is no object id", p.ObjectID)
	}
	if !slices.Contains([]string{"User", "Group", "ServicePrincipal"}, p.Kind) {
		return fmt.Errorf("%q is no kind of principal: want User, Group or ServicePrincipal", p.Kind)
	}
	return nil
}

// DefaultAddressSpace stays clear of 10.0.0.0/24, which environments have unless told otherwise, and of 10.65-69, which
// short-lived ones get.
const DefaultAddressSpace = "10.64.0.0/24"

// unvalidated are the api-versions of types that the shared tables do not have, so that no test holds these bodies to
// Microsoft's published types. They follow the reference of the service and have not met it.
var unvalidated = map[string]string{
	"Microsoft.Compute/virtualMachineScaleSets": "2024-11-01",
	"Microsoft.Network/natGateways":             "2025-01-01",
	"Microsoft.Network/publicIPAddresses":       "2025-01-01",
}

// Unvalidated returns the types in the template that are not held to Microsoft's published types, with their api-versions.
func Unvalidated() map[string]string {
	out := map[string]string{}
	for t, v := range unvalidated {
		out[t] = v
	}
	return out
}

// BootstrapNames are what the parts are called.
type BootstrapNames struct {
	Stack, Group, Network, RunnerSubnet, SharedSubnet, SecurityGroup, Registry, Storage string
	Vault, Identity, ScaleSet, Gateway, Address                                         string // of private runners only
	Label                                                                               string // of private runners; for GitHub's own the name of their image
}

// githubImage is what jobs run on without private runners.
const githubImage = "ubuntu-24.04"

// Names derives the names of the parts.
func (o BootstrapOptions) Names() BootstrapNames {
	suffix := o.FlowEHRID + "-ci"
	short := strings.NewReplacer("-", "", "_", "").Replace(suffix)
	n := BootstrapNames{
		Stack: "flowehr-bootstrap-" + suffix, Group: "rg-" + suffix, Network: "vnet-" + suffix,
		RunnerSubnet: "subnet-runners-" + suffix, SharedSubnet: "subnet-shared-" + suffix, SecurityGroup: "nsg-runners-" + suffix,
		Registry: "acr" + short, Storage: "strg" + short,
		Vault: "kv-" + short, Identity: "id-runners-" + suffix, ScaleSet: "vmss-runners-" + suffix, Gateway: "nat-" + suffix, Address: "pip-nat-" + suffix,
		Label: githubImage,
	}
	if o.Runners.wanted() {
		n.Label = "flowehr-" + suffix
	}
	return n
}

// Settings are what workflows must be told, for each GitHub environment and for the repository.
func (o BootstrapOptions) Settings(environments []string) []Setting {
	n := o.Names()
	settings := []Setting{{Name: RunnerLabel, Kind: Variable, Value: n.Label}}
	for _, e := range environments {
		for _, s := range []Setting{{Name: ResourceGroup, Value: n.Group}, {Name: ContainerRegistry, Value: n.Registry},
			{Name: StorageAccount, Value: n.Storage}, {Name: PeeringNetwork, Value: n.Network}} {
			s.Kind, s.Environment = Variable, e
			settings = append(settings, s)
		}
	}
	return settings
}

var locationPattern = regexp.MustCompile(`^[a-z0-9]+$`)

// check refuses options that would make a template that Azure refuses, or one that is open.
func (o BootstrapOptions) check() error {
	switch {
	case !idPattern.MatchString(o.FlowEHRID):
		return fmt.Errorf("%q is no flowehr_id: at most 12 lower-case letters, digits, - and _", o.FlowEHRID)
	case o.Subscription == "" || o.Tenant == "":
		return errors.New("the ground of CI needs a subscription and a tenant")
	case o.Location == "":
		return errors.New("the ground of CI needs a location: set it in the definition")
	case !locationPattern.MatchString(o.Location):
		return fmt.Errorf("%q is no location: lower-case letters and digits", o.Location)
	}
	people := o.People
	if o.Principal != "" {
		people = append(slices.Clone(people), Principal{o.Principal, "ServicePrincipal"})
	}
	for _, p := range people {
		if err := p.check(); err != nil {
			return err
		}
	}
	for _, a := range o.AllowedIP {
		if _, err := firewallRange(a); err != nil {
			return err
		}
	}
	return o.Runners.check()
}

// firewallRange writes an address as the firewall of a storage account wants it: public, and without /31 and /32.
func firewallRange(s string) (string, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil {
			return "", fmt.Errorf("%q is neither an address nor a range", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case !p.Addr().Is4():
		return "", fmt.Errorf("%s: the firewall of a storage account knows IPv4 only", s)
	case p.Addr().IsPrivate() || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast():
		return "", fmt.Errorf("%s is not public, so nothing arrives from it", s)
	case p.Bits() < 8:
		return "", fmt.Errorf("%s is too much of the internet", s)
	case p.Bits() == 32:
		return p.Addr().String(), nil
	case p.Bits() == 31:
		return "", fmt.Errorf("%s: the firewall of a storage account takes no /31, name both addresses", s)
	}
	return p.Masked().String(), nil
}

// Template describes the ground as a deployment stack at subscription scope of the name [BootstrapNames.Stack]. It is pure:
// the same options give the same template. It holds no secret.
func Template(o BootstrapOptions) (*arm.Template, error) {
	if o.AddressSpace == "" {
		o.AddressSpace = DefaultAddressSpace
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	subnets, err := o.subnets()
	if err != nil {
		return nil, err
	}
	n := o.Names()
	g := ground{o: o, n: n, t: arm.ForGroup()}
	g.network(subnets)
	g.registry()
	g.storage()
	if o.Runners.wanted() {
		g.runners()
	}
	t := arm.ForSubscription()
	group := g.tagged(arm.New("Microsoft.Resources/resourceGroups", n.Group, nil))
	t.Add("group", group)
	t.Nest("flowehr-bootstrap", n.Group, g.t, "group")
	return t, nil
}

// Spec is the deployment stack of [Template], to be deployed as an [azure.KindStack].
func Spec(o BootstrapOptions) (azure.StackSpec, error) {
	t, err := Template(o)
	if err != nil {
		return azure.StackSpec{}, err
	}
	body, err := t.JSON()
	if err != nil {
		return azure.StackSpec{}, err
	}
	return azure.StackSpec{Name: o.Names().Stack, Location: o.Location, Deny: true, Template: body}, nil
}

// Resource is the deployment stack as a resource that a plan can hold.
func Resource(o BootstrapOptions) (flowehr.Resource, error) {
	spec, err := Spec(o)
	if err != nil {
		return flowehr.Resource{}, err
	}
	body, err := flowehr.Canonical(spec)
	return flowehr.Resource{Ref: azure.Ref(azure.KindStack, "bootstrap"), Layer: flowehr.LayerCore, Spec: body, Holds: true}, err
}

// subnets cuts two quarters off the address space: one for runners, one for what else needs an address.
func (o BootstrapOptions) subnets() (s [2]netip.Prefix, err error) {
	space, err := netip.ParsePrefix(o.AddressSpace)
	if err != nil || !space.Addr().Is4() || space.Bits() > 24 {
		return s, fmt.Errorf("address space %q of CI: want an IPv4 range of /24 or wider", o.AddressSpace)
	}
	first := space.Masked().Addr().As4()
	for n := range s {
		start := uint32(first[0])<<24 | uint32(first[1])<<16 | uint32(first[2])<<8 | uint32(first[3])
		start += uint32(n) << (30 - space.Bits())
		a := netip.AddrFrom4([4]byte{byte(start >> 24), byte(start >> 16), byte(start >> 8), byte(start)})
		s[n] = netip.PrefixFrom(a, space.Bits()+2)
	}
	return s, nil
}
