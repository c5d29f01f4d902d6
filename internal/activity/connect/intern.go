package connect

import "hash/maphash"

// interner makes texts of a column. Codes, units and kinds repeat: for them it hands out the text that it made before,
// which saves two allocations. It keeps a fixed number of short texts, and stops trying when they do not repeat.
type interner struct {
	seed  maphash.Seed
	known [internSlots]any // strings
	tried int
	found int
}

const (
	internSlots   = 512 // a power of two
	internLongest = 40  // longer texts are hardly codes
	internTrial   = 8192
)

func newInterner() *interner { return &interner{seed: maphash.MakeSeed()} }

func (n *interner) text(raw []byte) (any, string) {
	if len(raw) > internLongest || n.tried >= internTrial && n.found < n.tried/2 {
		return string(raw), ""
	}
	n.tried++
	slot := &n.known[maphash.Bytes(n.seed, raw)&(internSlots-1)]
	if s, ok := (*slot).(string); ok && s == string(raw) {
		n.found++
		return *slot, ""
	}
	*slot = string(raw)
	return *slot, ""
}
