package azure

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// A chosen range meets no used one, is the configured one where that is free, and is the same for the same world.
func TestFreeRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
			addr := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(firstRange-1, firstRange+rangeSecond).Draw(t, "second")), byte(rapid.IntRange(0, 255).Draw(t, "third")), 0})
			return netip.PrefixFrom(addr, rapid.IntRange(18, 28).Draw(t, "bits")).Masked()
		})
		want := netip.PrefixFrom(prefix.Draw(t, "want").Addr(), 24).Masked()
		suffix := rapid.StringMatching(`[a-z]{3,8}`).Draw(t, "suffix")
		var used []taken
		for _, p := range rapid.SliceOfN(prefix, 0, 30).Draw(t, "used") {
			used = append(used, taken{prefix: p})
		}
		got, ok := freeRange(want, suffix, used)
		if !ok {
			return
		}
		free := true
		for _, u := range used {
			if u.prefix.Overlaps(got) {
				t.Errorf("%s meets %s", got, u.prefix)
			}
			free = free && !u.prefix.Overlaps(want)
		}
		if free && got != want {
			t.Errorf("got %s although %s is free", got, want)
		}
		if again, _ := freeRange(want, suffix, used); again != got {
			t.Errorf("got %s and then %s", got, again)
		}
	})
	if _, ok := freeRange(netip.MustParsePrefix("10.65.0.0/24"), "x", []taken{{prefix: netip.MustParsePrefix("10.0.0.0/8")}}); ok {
		t.Error("found a range where none is free")
	}
	if got, ok := freeRange(netip.MustParsePrefix("10.65.0.0/24"), "x", []taken{{prefix: netip.MustParsePrefix("10.64.0.0/14")}, {prefix: netip.MustParsePrefix("10.68.0.0/16")}}); !ok || got.Addr().As4()[1] != 69 {
		t.Errorf("got %s, %v; want one of the only ranges that are free", got, ok)
	}
}

func TestPermissionAllows(t *testing.T) {
	for _, c := range []struct {
		name   string
		p      permission
		action string
		want   bool
	}{
		{"all", permission{Actions: []string{"*"}}, "Microsoft.X/y/write", true},
		{"all but", permission{Actions: []string{"*"}, NotActions: []string{"Microsoft.Authorization/*/Write"}}, "Microsoft.Authorization/roleAssignments/write", false},
		{"all but another", permission{Actions: []string{"*"}, NotActions: []string{"Microsoft.Authorization/*/Write"}}, "Microsoft.X/y/write", true},
		{"reads", permission{Actions: []string{"*/read"}}, "Microsoft.X/y/read", true},
		{"reads do not write", permission{Actions: []string{"*/read"}}, "Microsoft.X/y/write", false},
		{"one", permission{Actions: []string{"Microsoft.X/y/write"}}, "microsoft.x/Y/write", true},
		{"its beginning", permission{Actions: []string{"Microsoft.X/y/*"}}, "Microsoft.X/yy/write", false},
		{"nothing", permission{}, "Microsoft.X/y/read", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.allows(c.action); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
