package compile

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestRandomAddressSpaceIsStableAndInItsRange(t *testing.T) {
	low, high := netip.MustParseAddr("10.65.0.0"), netip.MustParseAddr("10.69.255.0")
	rapid.Check(t, func(t *rapid.T) {
		suffix := rapid.StringMatching(`[a-z0-9_-]{1,25}`).Draw(t, "suffix")
		text := randomAddressSpace(suffix)
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Bits() != 24 || prefix.Masked() != prefix {
			t.Fatalf("%q is not a /24: %v", text, err)
		}
		if a := prefix.Addr(); a.Less(low) || high.Less(a) {
			t.Errorf("%s is outside of 10.65-69.x.0", prefix)
		}
		if again := randomAddressSpace(suffix); again != text {
			t.Errorf("got %s, then %s", text, again)
		}
	})
}

func TestRandomAddressSpacesSpread(t *testing.T) {
	seen := map[string]bool{}
	for i := range 200 {
		seen[randomAddressSpace("flwr-"+string(rune('a'+i%26))+string(rune('a'+i/26)))] = true
	}
	if len(seen) < 150 {
		t.Errorf("200 environments share %d address spaces", len(seen))
	}
}
