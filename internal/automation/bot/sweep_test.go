package bot

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestSweep(t *testing.T) {
	season := Season{Repository: repo, Open: []int{3, 4, 5, 6, 7}, Last: 9, Now: noon, Life: 24 * time.Hour}
	mine := func(n int) string { return Suffix(repo, n) }
	for _, tt := range []struct {
		name    string
		in      Standing
		destroy bool
		why     string
	}{
		{"young", Standing{Suffix: mine(3), Deployed: noon.Add(-23 * time.Hour)}, false, "deployed less than 24h0m0s ago"},
		{"old", Standing{Suffix: mine(3), Deployed: noon.Add(-24 * time.Hour)}, true, "last deployed 24h0m0s ago, more than 24h0m0s"},
		{"old, but may stand", Standing{Suffix: mine(4), Deployed: noon.Add(-99 * time.Hour), Expires: noon.Add(time.Second)}, false, "may stand until 2026-11-23T12:00:01Z"},
		{"young, but its time is up", Standing{Suffix: mine(5), Deployed: noon, Expires: noon}, true, "its time was up at 2026-11-23T12:00:00Z"},
		{"of unknown age", Standing{Suffix: mine(6)}, false, "it is not known how old it is"},
		{"closed, young", Standing{Suffix: mine(8), Deployed: noon}, true, "pull request 8 is closed"},
		{"closed, of unknown age", Standing{Suffix: mine(9)}, true, "pull request 9 is closed"},
		{"real data", Standing{Suffix: mine(8), RealData: true}, false, "it has real data, so a person must destroy it"},
		{"of another repository", Standing{Suffix: Suffix("other/repo", 3), Deployed: noon.Add(-999 * time.Hour)}, false, "of no pull request of this repository"},
		{"of a number that there is not yet", Standing{Suffix: mine(10), Deployed: noon.Add(-999 * time.Hour)}, false, "of no pull request of this repository"},
		{"not of a pull request", Standing{Suffix: "hospital-prod", Deployed: noon.Add(-999 * time.Hour)}, false, "of no pull request of this repository"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := Sweep([]Standing{tt.in}, season)
			if len(v) != 1 || v[0].Destroy != tt.destroy || v[0].Why != tt.why {
				t.Errorf("got %+v", v)
			}
		})
	}
}

// TestSweepKeepsWhatIsNotOurs draws environments and destroys none but those of the repository's pull requests.
func TestSweepKeepsWhatIsNotOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Season{Repository: repo, Last: rapid.IntRange(0, 20).Draw(t, "last"), Open: rapid.SliceOf(rapid.IntRange(1, 20)).Draw(t, "open"), Now: noon, Life: time.Hour}
		found := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) Standing {
			owner := rapid.SampledFrom([]string{repo, "other/repo"}).Draw(t, "repository")
			return Standing{Suffix: Suffix(owner, rapid.IntRange(1, 30).Draw(t, "number")), RealData: rapid.Bool().Draw(t, "real"),
				Deployed: noon.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "minutes")) * time.Minute)}
		}), func(s Standing) string { return s.Suffix }).Draw(t, "found")
		verdicts := Sweep(found, s)
		if len(verdicts) != len(found) {
			t.Fatalf("%d environments, %d verdicts", len(found), len(verdicts))
		}
		for _, v := range verdicts {
			if v.Destroy && (v.RealData || v.Pull < 1 || v.Pull > s.Last || v.Suffix != Suffix(repo, v.Pull)) {
				t.Fatalf("%+v", v)
			}
			if v.Why == "" {
				t.Fatalf("no reason: %+v", v)
			}
		}
		if d := cmp.Diff(verdicts, Sweep(found, s)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestClearDestroysOnlyWhatIsCondemned(t *testing.T) {
	f := world()
	n, err := Clear(t.Context(), f, []Verdict{{Pull: 1, Destroy: true}, {Pull: 2}, {Pull: 3, Destroy: true}})
	if d := cmp.Diff([]string{"start destroy of 1 at ", "start destroy of 3 at "}, f.log); d != "" || n != 2 || err != nil {
		t.Errorf("%d, %v\n%s", n, err, d)
	}
	f.fail = "start destroy of 3"
	if n, err := Clear(t.Context(), f, []Verdict{{Pull: 1, Destroy: true}, {Pull: 3, Destroy: true}}); n != 1 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}
