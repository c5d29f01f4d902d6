package connect

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestInternerGivesTheTextThatWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newInterner()
		for _, raw := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 60)).Draw(t, "texts") {
			for range 2 {
				if got, why := n.text(raw); got != string(raw) || why != "" {
					t.Fatalf("got %q %s, want %q", got, why, raw)
				}
			}
		}
	})
}

func TestInternerMakesRepeatedTextsOnceAndGivesUpOnOthers(t *testing.T) {
	n := newInterner()
	raw := []byte("mmol/L")
	n.text(raw)
	if made := testing.AllocsPerRun(100, func() { n.text(raw) }); made != 0 {
		t.Errorf("%v allocations for a text that is known", made)
	}
	for i := range 3 * internTrial {
		n.text(fmt.Appendf(nil, "patient-%d", i))
	}
	if n.tried > internTrial+internTrial/2 {
		t.Errorf("it still tries after %d different texts", n.tried)
	}
}
