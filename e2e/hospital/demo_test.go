package hospital

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const patients = 120

// TestDemo is the main job: a definition becomes an environment and data flows to the feature store.
func TestDemo(t *testing.T) {
	s := newSite(t, patients)
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")
	if got := s.published()["patient_features"]; got != strconv.Itoa(patients) {
		t.Errorf("a reader of the feature store sees %s patients, want %d", got, patients)
	}
	// Both sources hold the same patients, so conforming must have removed each one once.
	if got := s.value("SELECT count(*) FROM silver.patient WHERE source = 'epr'"); got != float64(patients) {
		t.Errorf("%v patients come from the record system, want %d", got, patients)
	}
	before := s.fingerprint()

	t.Run("nothing changes without a change", func(t *testing.T) {
		var plan struct {
			Counts struct{ Create, Update, Replace, Delete int }
		}
		s.answer(&plan, "plan")
		if c := plan.Counts; c.Create+c.Update+c.Replace+c.Delete != 0 {
			t.Errorf("a second plan has changes: %+v", c)
		}
	})
	t.Run("running again gives the same", func(t *testing.T) {
		s.run("pipelines", "run", "hospital-daily", "--wait")
		if after := s.fingerprint(); !maps.Equal(before, after) {
			t.Errorf("first %v\nthen %v", before, after)
		}
	})
	t.Run("a reader cannot write or look behind", func(t *testing.T) {
		for _, sql := range []string{
			"delete from features.patient_features", "create table features.mine (a int)", "create table public.mine (a int)",
			"select * from flowehr_store.publication", "set role \"flowehr-feature-writers\"", "copy features.patient_features to program 'id'",
		} {
			if out, err := s.try("store", "psql", "--", "-v", "ON_ERROR_STOP=1", "-Xc", sql); err == nil {
				t.Errorf("%s was allowed: %s", sql, out)
			}
		}
	})
	t.Run("the audit log is whole and says who", func(t *testing.T) {
		s.run("audit", "verify")
		var records []struct{ Entry struct{ Who, Action string } }
		s.answer(&records, "audit", "list", "-n", "500")
		seen := map[string]bool{}
		for _, r := range records {
			if r.Entry.Who == "" {
				t.Errorf("a record of %s without who", r.Entry.Action)
			}
			seen[r.Entry.Action] = true
		}
		for _, action := range []string{"environment.create", "pipeline.run", "pipeline.register", "environment.start"} {
			if !seen[action] {
				t.Errorf("no record of %s", action)
			}
		}
	})
	t.Run("data survives down and up", func(t *testing.T) {
		s.run("down")
		s.run("up", "-d")
		if got := s.published()["patient_features"]; got != strconv.Itoa(patients) {
			t.Errorf("after down and up a reader sees %s patients", got)
		}
	})
}

// TestKilledAnywhere kills the serving process at arbitrary moments of a run, without warning. The run must go on with
// the next up and leave what an undisturbed run leaves.
func TestKilledAnywhere(t *testing.T) {
	s := newSite(t, patients)
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")
	want, wantPublished := s.fingerprint(), s.published()

	for i := range 4 {
		id := s.start("hospital-daily")
		after := time.Duration(rand.IntN(2500)) * time.Millisecond
		t.Logf("round %d: killed after %s", i, after)
		<-time.After(after)
		s.kill(s.pid())
		s.run("up", "-d")
		if r := s.ended(id); r.Status != "Succeeded" {
			t.Fatalf("killed after %s: the run %s: %s %s\n%s", after, r.Status, r.Why, r.Message, s.log())
		}
		if got := s.fingerprint(); !maps.Equal(got, want) {
			t.Errorf("killed after %s: got %v, want %v", after, got, want)
		}
		if got := s.published(); !maps.Equal(got, wantPublished) {
			t.Errorf("killed after %s: published %v, want %v", after, got, wantPublished)
		}
	}
	s.run("audit", "verify")
}

// TestKilledDuringFirstUp kills the very first up at arbitrary moments; the next one completes what was begun.
func TestKilledDuringFirstUp(t *testing.T) {
	for i := range 3 {
		s := newSite(t, patients)
		c := s.command("up")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(100+rand.IntN(2500)) * time.Millisecond
		t.Logf("round %d: killed after %s", i, after)
		<-time.After(after)
		_ = c.Process.Kill()
		_ = c.Wait()
		s.run("up", "-d")
		s.run("pipelines", "run", "hospital-daily", "--wait")
		if got := s.published()["patient_features"]; got != strconv.Itoa(patients) {
			t.Errorf("killed after %s: %s patients published, want %d", after, got, patients)
		}
		s.run("down")
	}
}

// TestDatabaseServerKilled kills PostgreSQL during a run. It is started again and the run goes on.
func TestDatabaseServerKilled(t *testing.T) {
	s := newSite(t, patients)
	s.run("up", "-d")
	id := s.start("hospital-daily")
	<-time.After(700 * time.Millisecond)
	s.kill(s.postmaster())
	if r := s.ended(id); r.Status != "Succeeded" {
		t.Errorf("the run %s: %s %s", r.Status, r.Why, r.Message)
	}
	var status struct {
		Services []struct {
			Name     string
			Phase    string
			Restarts int
		}
	}
	s.wait("postgres to be shown as restarted", func() bool {
		s.answer(&status, "status")
		for _, x := range status.Services {
			if x.Name == "postgres" && x.Phase == "ready" && x.Restarts > 0 {
				return true
			}
		}
		return false
	})
}

// postmaster is the first process of the site's database server.
func (s *site) postmaster() int {
	s.t.Helper()
	out, err := exec.Command("pgrep", "-P", fmt.Sprint(s.pid()), "-x", "postgres").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}
