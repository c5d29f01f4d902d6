package compile

import (
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/flowehr/flowehr"
)

const defaultAddressSpace = "10.0.0.0/24"

// network fills the address plan.
func (c *compiler) network() {
	d := c.def
	c.env.Network = flowehr.Network{
		AddressSpace:            d.AddressSpace.Or(defaultAddressSpace),
		RandomAddressSpace:      d.RandomAddress.Or(false) || c.doc.SuffixOverride != "",
		PrivateDNSZonesGroup:    d.PrivateDNSGroup.Get(),
		PublicDatabricksControl: d.PublicDatabricks.Or(true),
	}
	c.addressSpace()
	if c.env.Network.RandomAddressSpace {
		c.env.Network.AddressSpace = randomAddressSpace(c.env.Suffix)
		if d.RandomAddress.Or(false) && d.AddressSpace.OK() {
			c.warn(d.AddressSpace.Pos(), "use_random_address_space is true and wins. Remove one of the two.",
				"core_address_space is not used")
		}
	}
}

// addressSpace checks core_address_space as it is written, used or not.
func (c *compiler) addressSpace() {
	v := c.def.AddressSpace
	if !v.OK() {
		return
	}
	const example = "Write a private range of at least 256 addresses, for example 10.0.0.0/24."
	prefix, err := netip.ParsePrefix(v.Get())
	switch {
	case err != nil:
		c.refuse(v.Pos(), example, "core_address_space %q is not an address range", v)
	case !prefix.Addr().Is4():
		c.refuse(v.Pos(), example, "core_address_space %q is not an IPv4 range", v)
	case prefix.Bits() > 24:
		c.refuse(v.Pos(), "It is split in four subnets, and Databricks needs 64 addresses in each of its two. Use /24 or a smaller number.",
			"core_address_space %q is too small", v)
	case prefix.Masked() != prefix && v.Secret():
		c.refuse(v.Pos(), "The address before the slash must be the first of the range.", "core_address_space %q does not start at the first address of its range", v)
	case prefix.Masked() != prefix:
		c.refuse(v.Pos(), fmt.Sprintf("The range that holds this address is %s. Write that.", prefix.Masked()),
			"core_address_space %q does not start at the first address of its range", v)
	case !prefix.Addr().IsPrivate():
		c.warn(v.Pos(), "Addresses of other people's servers become unreachable. Use a range in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16.",
			"core_address_space %q is not a private range", v)
	}
}

// randomAddressSpace chooses one of 1280 ranges by the naming suffix, so that it stays the same for an environment.
func randomAddressSpace(suffix string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(suffix)) // never fails
	n := h.Sum32() % (5 * 256)
	return fmt.Sprintf("10.%d.%d.0/24", 65+n/256, n%256)
}
