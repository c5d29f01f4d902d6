package hospital

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program builds the product once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "flowehr-e2e-bin")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // ordinary users run it, too
		return "", err
	}
	path := filepath.Join(dir, "flowehr")
	c := exec.Command("go", "build", "-tags", "duckdb_arrow", "-o", path, "github.com/flowehr/flowehr/cmd/flowehr")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// site is one environment on this machine, for one test.
type site struct {
	t    *testing.T
	bin  string
	dir  string
	home string
	as   *syscall.Credential // nil means whoever runs the tests
}

// newSite writes the demo with so many patients. Everything of it is stopped and removed when the test ends.
func newSite(t *testing.T, patients int) *site { return newSiteAs(t, patients, nil) }

// newSiteAs is newSite for somebody else, who is given a home of their own.
func newSiteAs(t *testing.T, patients int, as *syscall.Credential) *site {
	t.Helper()
	if matches, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(matches) == 0 {
		if _, err := exec.LookPath("postgres"); err != nil {
			t.Skip("skipped: PostgreSQL is not installed (run: make setup)")
		}
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	// A short folder, because the path of a Unix socket is limited.
	base, err := os.MkdirTemp("", "fe2e")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, bin: bin, dir: filepath.Join(base, "site"), home: filepath.Join(base, "home"), as: as}
	if as != nil {
		if err := os.Chown(base, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = s.try("down")
		_, _ = s.try("clean", "--yes")
		_ = os.RemoveAll(base)
	})
	s.run("init")
	s.configure(patients, "")
	return s
}

// in is the site for a subtest, which fails by itself.
func (s *site) in(t *testing.T) *site {
	c := *s
	c.t = t
	return &c
}

// configure writes config.local.yaml with a free port, made-up sources, more lines and more lines for this machine.
func (s *site) configure(patients int, more string, local ...string) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	text := fmt.Sprintf("environment: local\ntarget: local\n%s\nlocal:\n  listen: %s\n  memory_mb: 512\n", more, address)
	for _, line := range local {
		text += "  " + line + "\n"
	}
	if patients > 0 {
		text += fmt.Sprintf("  synthetic:\n    epr: {patients: %d, seed: 5}\n    fhir-feed: {patients: %d, seed: 5}\n", patients, patients)
	}
	s.write("config.local.yaml", text)
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// command is the program with the site's own home, so that nothing of the person who runs the tests is used.
func (s *site) command(args ...string) *exec.Cmd {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command(s.bin, args...)
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			s.t.Fatal(err)
		}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	}
	c.Dir = s.dir
	c.Env = append(os.Environ(), "HOME="+s.home, "XDG_CONFIG_HOME=", "XDG_RUNTIME_DIR=", "ENVIRONMENT=", "CI=")
	return c
}

// try runs the program and returns what it printed on both streams.
func (s *site) try(args ...string) (string, error) {
	out, err := s.command(args...).CombinedOutput()
	return string(out), err
}

// input runs the program, which reads text from its standard input and must succeed.
func (s *site) input(text string, args ...string) {
	s.t.Helper()
	c := s.command(args...)
	c.Stdin = strings.NewReader(text)
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("flowehr %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// run runs the program, which must succeed.
func (s *site) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("flowehr %s: %v\n%s%s", strings.Join(args, " "), err, out, s.log())
	}
	return out
}

// output runs the program, which must succeed, and returns what it printed for other programs to read.
func (s *site) output(args ...string) string {
	s.t.Helper()
	c := s.command(args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		s.t.Fatalf("flowehr %s: %v\n%s%s", strings.Join(args, " "), err, stderr.String(), s.log())
	}
	return stdout.String()
}

// refused runs the program, which must fail and say each of the texts.
func (s *site) refused(says []string, args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err == nil {
		s.t.Fatalf("flowehr %s was not refused:\n%s", strings.Join(args, " "), out)
	}
	for _, text := range says {
		if !strings.Contains(out, text) {
			s.t.Errorf("flowehr %s does not say %q but\n%s", strings.Join(args, " "), text, out)
		}
	}
	return out
}

// answer runs the program and decodes its JSON answer.
func (s *site) answer(into any, args ...string) {
	s.t.Helper()
	text := s.output(append([]string{"--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("flowehr %s answered %q: %v", strings.Join(args, " "), text, err)
	}
}

// log is the end of what the serving process logged and printed.
func (s *site) log() string {
	var out string
	for _, name := range []string{"flowehr.log", "up.log"} {
		b, _ := os.ReadFile(filepath.Join(s.dir, ".flowehr", "local", "logs", name))
		out += name + ":\n" + string(b[max(0, len(b)-3000):])
	}
	return out
}

// pid is the process that serves the site.
func (s *site) pid() int {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, ".flowehr", "local", "running.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var r struct{ PID int }
	if err := json.Unmarshal(b, &r); err != nil {
		s.t.Fatal(err)
	}
	return r.PID
}

// kill ends a process without giving it a chance, and waits until it is gone.
func (s *site) kill(pid int) {
	s.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.wait("the killed process to go", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

// wait polls for something that another process does.
func (s *site) wait(what string, done func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("waited too long for %s\n%s", what, s.log())
		case <-tick.C:
		}
	}
}

type run struct {
	ID, Pipeline, Status, Why, Message string
}

// start starts a pipeline and returns its run.
func (s *site) start(pipeline string) string {
	s.t.Helper()
	var r struct{ RunID string }
	s.answer(&r, "pipelines", "run", pipeline)
	return r.RunID
}

// ended waits until a run has ended.
func (s *site) ended(id string) run {
	s.t.Helper()
	var shown struct{ Run run }
	s.wait("run "+id+" to end", func() bool {
		s.answer(&shown, "pipelines", "show", id)
		switch shown.Run.Status {
		case "Queued", "InProgress", "Canceling":
			return false
		}
		return true
	})
	return shown.Run
}

// value asks the lake one question with one answer.
func (s *site) value(sql string) any {
	s.t.Helper()
	var rows []map[string]any
	s.answer(&rows, "lake", "sql", sql)
	if len(rows) != 1 || len(rows[0]) != 1 {
		s.t.Fatalf("%s gave %v", sql, rows)
	}
	for _, v := range rows[0] {
		return v
	}
	return nil
}

// fingerprint is a digest of everything that the pipelines made of the sources.
func (s *site) fingerprint() map[string]any {
	s.t.Helper()
	out := map[string]any{}
	for table, columns := range map[string]string{
		"silver.patient": "patient_id, birth_date, source", "silver.encounter": "encounter_id, patient_id, started_at, ended_at",
		"silver.observation":    "observation_id, patient_id, code, value_num, observed_at",
		"gold.patient_features": "patient_id, age_years, encounters_total, bed_days_total, last_creatinine_umol_l, comorbidities, ever_readmitted_30d",
		"gold.readmission_30d":  "encounter_id, length_of_stay_days, readmitted_30d",
	} {
		out[table] = s.value("SELECT concat(count(*), ' ', sum(hash(" + columns + ")::HUGEINT)) AS digest FROM " + table)
	}
	return out
}

// published is how many rows of each table of the feature store a reader sees.
func (s *site) published() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for _, table := range []string{"patient_features", "readmission_30d"} {
		out[table] = strings.TrimSpace(s.output("store", "psql", "--", "-AtXc", "select count(*) from features."+table))
	}
	return out
}
