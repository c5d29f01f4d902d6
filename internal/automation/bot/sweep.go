package bot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ExpiryTag on an environment says until when it may stand, as RFC 3339. Without it the time since its last deployment counts.
const ExpiryTag = "flowehr-expires"

// Standing is an environment that was found in the subscription.
type Standing struct {
	Suffix   string    `json:"suffix"`
	Deployed time.Time `json:"deployed,omitzero"` // last changed; zero when that is not known
	Expires  time.Time `json:"expires,omitzero"`  // of [ExpiryTag]
	RealData bool      `json:"realData,omitempty"`
}

// Season says by what environments are judged.
type Season struct {
	Repository string // owner/name
	Open       []int  // numbers of the open pull requests
	Last       int    // the highest number that a pull request of the repository has
	Now        time.Time
	Life       time.Duration // how long an environment may stand after its last deployment
}

// Verdict says what becomes of an environment, and why.
type Verdict struct {
	Standing
	Pull    int    `json:"pull,omitempty"` // 0 when it is of no pull request of this repository
	Destroy bool   `json:"destroy"`
	Why     string `json:"why"`
}

// Sweep judges environments. Those that do not belong to a pull request of the repository are kept: they are somebody else's,
// and another repository that deploys to the same subscription sweeps its own.
func Sweep(found []Standing, s Season) []Verdict {
	owners := map[string]int{}
	for n := 1; n <= s.Last; n++ {
		owners[Suffix(s.Repository, n)] = n
	}
	var verdicts []Verdict
	for _, f := range found {
		v := Verdict{Standing: f, Pull: owners[f.Suffix]}
		v.Destroy, v.Why = s.judge(v)
		verdicts = append(verdicts, v)
	}
	slices.SortFunc(verdicts, func(a, b Verdict) int { return cmp.Compare(a.Suffix, b.Suffix) })
	return verdicts
}

func (s Season) judge(v Verdict) (destroy bool, why string) {
	if v.Pull == 0 {
		return false, "of no pull request of this repository"
	}
	if v.RealData {
		return false, "it has real data, so a person must destroy it"
	}
	if !slices.Contains(s.Open, v.Pull) {
		return true, fmt.Sprintf("pull request %d is closed", v.Pull)
	}
	if !v.Expires.IsZero() {
		if s.Now.Before(v.Expires) {
			return false, "may stand until " + v.Expires.UTC().Format(time.RFC3339)
		}
		return true, "its time was up at " + v.Expires.UTC().Format(time.RFC3339)
	}
	if v.Deployed.IsZero() {
		return false, "it is not known how old it is"
	}
	if age := s.Now.Sub(v.Deployed); age >= s.Life {
		return true, fmt.Sprintf("last deployed %s ago, more than %s", age.Truncate(time.Minute), s.Life)
	}
	return false, "deployed less than " + s.Life.String() + " ago"
}

// Clear starts the destruction of what verdicts condemn, and returns how many were started. It may be repeated: the workflow works
// on one pull request at a time.
func Clear(ctx context.Context, hub Writer, verdicts []Verdict) (started int, err error) {
	for _, v := range verdicts {
		if !v.Destroy {
			continue
		}
		d := Dispatch{Action: ActionDestroy, Pull: v.Pull}
		if err := hub.Dispatch(ctx, d.Inputs()); err != nil {
			return started, fmt.Errorf("start the destruction of %s: %w", v.Suffix, err)
		}
		started++
	}
	return started, nil
}

// PullSuffix reports whether a naming suffix has the form of a pull request's environment.
func PullSuffix(suffix string) bool {
	id, ok := strings.CutPrefix(suffix, suffixPrefix)
	return ok && len(id) == 8 && strings.Trim(id, "0123456789abcdef") == ""
}
