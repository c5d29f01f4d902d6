package azure

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
)

// Of an environment with real data an app goes, then all but the core, then the rest. What stays is locked after each.
func TestRealDataStaysLocked(t *testing.T) {
	whole := *written(t, "whole", "dev")
	whole.automation, whole.ci = true, &azure.CIFacts{Group: "rg-ci", Network: "vnet-ci"}
	x := whole.edited(t, "config.dev.yaml", "environment: dev", "environment: dev\naccesses_real_data: true")
	less := x.edited(t, "apps/apps.dev.yaml", "cohorts: {}", "")
	less.files["apps/apps.dev.yaml"] = &fstest.MapFile{Data: []byte("{}\n"), Mode: 0o644}
	s := simulate(t, azuresim.Options{Seed: 1, Quiet: fast})
	s.takenForGranted(t, x)
	before, heard := s.worldOf(t), &ear{}
	core := []string{"kv-stelsedev", "strgstelsedev"}
	most := append([]string{"adlsstelsedev", "dbks-stelse-dev", "metauk", "sql-server-features-stelse-dev"}, core...)

	s.deployed(t, x, heard, true)
	s.lockedAre(t, append([]string{"cohorts-state"}, most...))
	s.deployed(t, less, heard, true)
	s.lockedAre(t, most)
	all := s.again(t, less, heard)

	p := s.begin(t, less, heard, life{})
	if err := p.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	made, err := plan.MakeDestroy(p.state, []flowehr.Layer{flowehr.LayerTransform, flowehr.LayerServe, flowehr.LayerApps}, true, p.now())
	if err == nil {
		_, err = p.run(t.Context(), made)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.lockedAre(t, core)
	if !strings.Contains(heard.said.String(), "locking kv-stelsedev again") {
		t.Error("nobody said that the vault was unlocked in between")
	}

	p = s.begin(t, less, heard, life{})
	if _, err := p.destroy(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s.proveEmpty(t, less, heard, before, all)
	heard.secretive(t)
}

var lockedName = regexp.MustCompile(`(?m)^resource .* is:[^ ]*/locks/lock-([^ ]+)`)

// lockedAre expects what is locked, by name.
func (s *subscription) lockedAre(t *testing.T, want []string) {
	t.Helper()
	var got []string
	for _, m := range lockedName.FindAllStringSubmatch(s.worldOf(t), -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	if d := cmp.Diff(slices.Sorted(slices.Values(want)), got); d != "" {
		t.Errorf("locked (-want +got):\n%s", d)
	}
}
