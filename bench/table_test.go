package bench

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// line is one row of the table that ends a run: what was measured, against which limit or peer, and how it compares.
// A ratio of 1 meets the limit, or is as fast as the peer; want is the least that passes.
type line struct {
	name, measured, against string
	ratio, want             float64
}

var (
	tableLock sync.Mutex
	table     []line
)

// compared adds a line to the table. A benchmark that runs again replaces its own line against the same limit or peer.
func compared(b *testing.B, measured, against string, ratio, want float64) {
	b.Helper()
	b.ReportMetric(ratio, "ratio")
	tableLock.Lock()
	defer tableLock.Unlock()
	l := line{b.Name(), measured, against, ratio, want}
	for i := range table {
		if table[i].name == l.name && table[i].against == l.against {
			table[i] = l
			return
		}
	}
	table = append(table, l)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(table) > 0 {
		fmt.Printf("\n%-28s %-44s %-30s %6s %6s\n", "Target", "Measured", "Against", "Ratio", "Want")
	}
	for _, l := range table {
		verdict := "ok"
		if l.ratio < l.want {
			verdict = "missed"
		}
		fmt.Printf("%-28s %-44s %-30s %6.2f %6.2f  %s\n", l.name[len("Benchmark"):], l.measured, l.against, l.ratio, l.want, verdict)
	}
	os.Exit(code)
}

// rate is rows a second for people.
func rate(rows int, seconds float64) string {
	return fmt.Sprintf("%.2f million rows/s", float64(rows)/seconds/1e6)
}
