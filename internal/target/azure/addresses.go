package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// network is a virtual network as far as its addresses matter.
type network struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Properties struct {
		Space    addresses `json:"addressSpace"`
		Peerings []struct {
			Properties struct {
				Remote  addresses `json:"remoteAddressSpace"`
				Virtual addresses `json:"remoteVirtualNetworkAddressSpace"`
			} `json:"properties"`
		} `json:"virtualNetworkPeerings"`
	} `json:"properties"`
}

type addresses struct {
	Prefixes []string `json:"addressPrefixes"`
}

// addressSpace returns the range that the virtual network gets: the one it has when it stands, else the configured one. A
// random one avoids every network of the subscription and all that these are peered with; a configured one that meets one of
// those is only warned of, since networks that are never joined may share addresses.
func (d *discovery) addressSpace(ctx context.Context) (string, error) {
	wanted, err := netip.ParsePrefix(d.env.Network.AddressSpace)
	if err != nil {
		return "", fmt.Errorf("address space %q of the environment: %w", d.env.Network.AddressSpace, err)
	}
	var all []network
	version, _ := arm.Version("Microsoft.Network/virtualNetworks")
	path := cloud.At("/subscriptions/"+d.c.Subscription()+"/providers/Microsoft.Network/virtualNetworks", version)
	err = none(d.c.Pages(ctx, cloud.ARM(), path, func(raw json.RawMessage) error {
		var n network
		err := json.Unmarshal(raw, &n)
		all = append(all, n)
		return err
	}))
	if err != nil {
		return "", fmt.Errorf("list virtual networks: %w", err)
	}
	var used []taken
	for _, n := range all {
		if strings.EqualFold(n.Name, d.names.Network()) && strings.EqualFold(groupOf(n.ID), d.names.Group()) {
			if len(n.Properties.Space.Prefixes) > 0 {
				return n.Properties.Space.Prefixes[0], nil
			}
			continue
		}
		used = append(used, n.ranges()...)
	}
	if d.env.Network.RandomAddressSpace {
		free, ok := freeRange(wanted.Masked(), d.env.Suffix, used)
		if !ok {
			return "", fmt.Errorf("no range of addresses is free: %d are used by networks of the subscription and those they are joined with; set core_address_space", len(used))
		}
		return free.String(), nil
	}
	for _, u := range used {
		if u.prefix.Overlaps(wanted) {
			d.warn(fmt.Sprintf("address space %s is also used by network %s", wanted, u.by), "They can never be joined. Choose another core_address_space, or use_random_address_space.")
		}
	}
	return wanted.String(), nil
}

// taken is a range and the network that has it.
type taken struct {
	prefix netip.Prefix
	by     string
}

func (n network) ranges() []taken {
	prefixes := slices.Clone(n.Properties.Space.Prefixes)
	for _, p := range n.Properties.Peerings {
		prefixes = append(append(prefixes, p.Properties.Remote.Prefixes...), p.Properties.Virtual.Prefixes...)
	}
	var out []taken
	for _, text := range prefixes {
		if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Is4() {
			out = append(out, taken{p.Masked(), n.Name})
		}
	}
	return out
}

// The ranges to choose from: 10.65.0.0 to 10.69.255.255 in pieces of 256 addresses, as the older system did.
const (
	firstRange  = 65
	rangeSecond = 5
	ranges      = rangeSecond * 256
)

// freeRange returns want when nobody uses it, else the next free range in an order that belongs to the environment, so that the
// same world gives the same choice.
func freeRange(want netip.Prefix, suffix string, used []taken) (netip.Prefix, bool) {
	free := func(p netip.Prefix) bool {
		return !slices.ContainsFunc(used, func(u taken) bool { return u.prefix.Overlaps(p) })
	}
	if free(want) {
		return want, true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(suffix)) // never fails
	start := int(h.Sum32() % ranges)
	for i := range ranges {
		// 641 has no factor in common with the number of ranges, so that every one comes once.
		n := (start + (i+1)*641) % ranges
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(firstRange + n/256), byte(n % 256), 0}), 24)
		if free(p) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
