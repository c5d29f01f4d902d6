package hospital

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChangesWhileRunning deploys beside a running environment, and goes back to what was published before.
func TestChangesWhileRunning(t *testing.T) {
	s := newSite(t, 20)
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")

	t.Run("a new zone and pipeline are used at once", func(t *testing.T) {
		config, err := os.ReadFile(filepath.Join(s.dir, "config.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		s.write("config.yaml", strings.Replace(string(config), "[bronze, silver, gold]", "[bronze, silver, gold, trial]", 1))
		folder := filepath.Join(s.dir, "transform", "pipelines", "hospital", "count-patients")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		s.write("transform/pipelines/hospital/count-patients/pipeline.json", `{
			"name": "count-patients", "properties": {"activities": [{
				"name": "Count", "type": "Script",
				"linkedServiceName": {"referenceName": "LakeLinkedService", "type": "LinkedServiceReference"},
				"typeProperties": {"scripts": [{"type": "NonQuery",
					"text": "CREATE OR REPLACE TABLE trial.patients AS SELECT count(*) AS patients FROM silver.patient"}]}}]}}`)
		s.run("deploy", "--yes")
		s.run("pipelines", "run", "count-patients", "--wait")
		if got := s.value("SELECT patients FROM trial.patients"); got != float64(20) {
			t.Errorf("the new table says %v patients, want 20", got)
		}
	})
	t.Run("a published table can be rolled back", func(t *testing.T) {
		s.run("pipelines", "run", "gold-features", "--wait")
		if version := s.version("features.patient_features"); version != 2 {
			t.Fatalf("published twice, but version %d is shown", version)
		}
		s.run("store", "rollback", "features.patient_features")
		if version := s.version("features.patient_features"); version != 1 {
			t.Errorf("after a rollback version %d is shown, want 1", version)
		}
		if got := s.published()["patient_features"]; got != "20" {
			t.Errorf("after a rollback a reader sees %s patients, want 20", got)
		}
		if out, err := s.try("store", "rollback", "features.nothing"); err == nil {
			t.Errorf("a table that was never published was rolled back: %s", out)
		}
	})
	t.Run("a definition that became wrong is not adopted", func(t *testing.T) {
		s.write("transform/pipelines/hospital/count-patients/pipeline.json", `{"name": "count-patients", "properties": {"activities": [{"name": "x", "type": "Sorcery"}]}}`)
		if out, err := s.try("deploy", "--yes"); err == nil || !strings.Contains(out, "Sorcery") {
			t.Errorf("deploying it gave %v: %s", err, out)
		}
		if _, err := s.try("pipelines", "run", "count-patients", "--wait"); err != nil {
			t.Errorf("the version that was deployed before does not run any more: %v", err)
		}
	})
}

// version is the version of a published table that readers see.
func (s *site) version(table string) int {
	s.t.Helper()
	var tables []struct {
		Schema, Table string
		Version       int
	}
	s.answer(&tables, "store", "ls")
	for _, x := range tables {
		if x.Schema+"."+x.Table == table {
			return x.Version
		}
	}
	s.t.Fatalf("%s is not published", table)
	return 0
}
