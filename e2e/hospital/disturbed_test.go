package hospital

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const fewPatients = 25

// TestDisturbed breaks an environment in the ways in which machines and people break them. Each time it says what is
// wrong and what to do, and nothing is lost.
func TestDisturbed(t *testing.T) {
	s := newSite(t, fewPatients)
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")
	published := s.published()
	kept := func(s *site) {
		s.t.Helper()
		if got := s.published(); got["patient_features"] != published["patient_features"] {
			s.t.Errorf("published now %v, before %v", got, published)
		}
	}
	local := filepath.Join(s.dir, ".flowehr", "local")

	t.Run("a second up in the same folder", func(t *testing.T) {
		s := s.in(t)
		s.refused([]string{"runs already", strconv.Itoa(s.pid()), "flowehr down"}, "up")
		if out := s.run("up", "-d"); !strings.Contains(out, "runs already") {
			t.Errorf("up -d said %s", out)
		}
		kept(s)
	})
	s.run("down")

	t.Run("the address is taken", func(t *testing.T) {
		s := s.in(t)
		before, err := os.ReadFile(filepath.Join(s.dir, "config.local.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		s.write("config.local.yaml", strings.Replace(string(before), "  listen: ", "  listen: "+other.Addr().String()+" # ", 1))
		for _, args := range [][]string{{"up"}, {"up", "-d"}} {
			s.refused([]string{other.Addr().String(), "taken", "local.listen"}, args...)
		}
		s.write("config.local.yaml", string(before))
	})
	t.Run("the key of the vault is missing", func(t *testing.T) {
		s := s.in(t)
		keys, err := filepath.Glob(filepath.Join(s.home, ".config", "flowehr", "keys", "*.key"))
		if err != nil || len(keys) != 1 {
			t.Fatalf("keys %v, %v", keys, err)
		}
		if err := os.Rename(keys[0], keys[0]+".away"); err != nil {
			t.Fatal(err)
		}
		s.refused([]string{"key of the vault is missing", keys[0], "restore"}, "up", "-d")
		if _, err := os.Stat(keys[0]); !os.IsNotExist(err) {
			t.Errorf("a new key was made: %v", err)
		}
		if err := os.Rename(keys[0]+".away", keys[0]); err != nil {
			t.Fatal(err)
		}
		s.run("up", "-d")
		kept(s)
		s.run("down")
	})
	t.Run("the state file is damaged", func(t *testing.T) {
		s := s.in(t)
		path := filepath.Join(local, "state", "state.json")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, path, whole[:len(whole)/2])
		s.refused([]string{path, "flowehr state restore"}, "up", "-d")
		s.run("state", "restore")
		s.run("up", "-d")
		kept(s)
		s.run("down")
		// The history is gone as well: what stands is looked at.
		overwrite(t, path, []byte("{"))
		for _, name := range []string{"previous.json", "history"} {
			if err := os.RemoveAll(filepath.Join(local, "state", name)); err != nil {
				t.Fatal(err)
			}
		}
		s.refused([]string{path, "flowehr state refresh"}, "up", "-d")
		s.run("state", "refresh")
		s.run("up", "-d")
		kept(s)
		var plan struct {
			Counts struct{ Create, Update, Replace, Delete int }
		}
		s.answer(&plan, "plan")
		if c := plan.Counts; c.Create+c.Update+c.Replace+c.Delete != 0 {
			t.Errorf("after the state was built anew a plan has changes: %+v", c)
		}
		s.run("down")
	})
	t.Run("the audit log is cut off", func(t *testing.T) {
		s := s.in(t)
		path := filepath.Join(local, "audit", "audit.jsonl")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(whole, []byte("\n"))
		overwrite(t, path, bytes.Join(lines[:len(lines)/2], nil))
		s.refused([]string{"audit log", path, "the end was removed", "Nothing was started"}, "up", "-d")
		s.refused([]string{"audit log"}, "audit", "verify")
		overwrite(t, path, whole)
		s.run("up", "-d")
		s.run("audit", "verify")
		kept(s)
		s.run("down")
	})
}

func overwrite(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyPipeline is a definition that copies with one activity, which is tried so often again.
func copyPipeline(name string, retries int, source, properties, dataset string) string {
	return fmt.Sprintf(`{"name": %[1]q, "properties": {"activities": [{"name": "Copy", "type": "Copy",
	"policy": {"timeout": "0.00:10:00", "retry": %[2]d, "retryIntervalInSeconds": 1},
	"typeProperties": {"source": %[3]s, "sink": {"type": "AzureDatabricksDeltaLakeSink", "writeBehavior": "overwrite"}%[4]s},
	"inputs": [{"referenceName": %[5]q, "type": "DatasetReference"}],
	"outputs": [{"referenceName": "Lake", "type": "DatasetReference"}]}]}}`, name, retries, source, properties, dataset)
}

// addPipelines writes definitions beside those of the demo, with a data set for a table of the lake.
func (s *site) addPipelines(lakeTable, dataset string, pipelines map[string]string) {
	s.t.Helper()
	dir := filepath.Join(s.dir, "transform", "pipelines", "disturbed")
	files := map[string]string{
		"dataset/Lake.json": fmt.Sprintf(`{"name": "Lake", "properties": {"type": "AzureDatabricksDeltaLakeDataset",
	"linkedServiceName": {"referenceName": "LakeLinkedService", "type": "LinkedServiceReference"},
	"typeProperties": {"database": "bronze", "table": %q}}}`, lakeTable),
		"dataset/From.json": dataset,
	}
	for name, text := range pipelines {
		files[name+"/pipeline.json"] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestSourceDisappears ends the connection to the record system in the middle of a table, for good and for a moment.
func TestSourceDisappears(t *testing.T) {
	const rows = 300_000
	server := startServer(t)
	conn, watch := connect(t, server), connect(t, server)
	// Half way the reader waits for whoever holds the lock, so that the test decides when the connection ends.
	for _, sql := range []string{
		"create sequence edition",
		`create function half_way(id bigint) returns bigint language plpgsql as $$ begin
			if id = 150000 then perform pg_advisory_xact_lock_shared(7); end if; return id; end $$`,
		fmt.Sprintf("create view results as select half_way(id) as id, (select last_value from edition) as edition, repeat('x', 200) as note from generate_series(1, %d) as id", rows),
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, fewPatients)
	s.configure(fewPatients, "", "linked_services:", fmt.Sprintf(
		`  lab: {kind: postgresql, host: 127.0.0.1, port: %d, database: %s, username: %s, password: "${LAB_PASSWORD}", tls: disable}`,
		server.Port, server.Database, server.User))
	s.input(server.Password, "secrets", "set", "LAB_PASSWORD")
	s.addPipelines("results", `{"name": "From", "properties": {"type": "PostgreSqlV2Table",
	"linkedServiceName": {"referenceName": "lab", "type": "LinkedServiceReference"}, "typeProperties": {"schema": "public", "table": "results"}}}`,
		map[string]string{
			"once":  copyPipeline("once", 0, `{"type": "PostgreSqlV2Source"}`, "", "From"),
			"again": copyPipeline("again", 1, `{"type": "PostgreSqlV2Source"}`, "", "From"),
		})
	s.run("up", "-d")
	s.run("pipelines", "run", "once", "--wait")
	holds := func(edition int, s *site) {
		s.t.Helper()
		want := fmt.Sprintf("%d rows of edition %d to %d", rows, edition, edition)
		if got := s.value("SELECT concat(count(*), ' rows of edition ', min(edition), ' to ', max(edition)) AS c FROM bronze.results"); got != want {
			s.t.Errorf("the table has %v, want %s", got, want)
		}
	}
	holds(1, s)

	// interrupt starts a pipeline and ends its connection half way.
	interrupt := func(s *site, pipeline string) string {
		s.t.Helper()
		tx, err := conn.Begin(t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		defer tx.Rollback(context.WithoutCancel(t.Context()))
		if _, err := tx.Exec(t.Context(), "select pg_advisory_xact_lock(7), setval('edition', 2)"); err != nil {
			s.t.Fatal(err)
		}
		id := s.start(pipeline)
		var pid int
		s.wait("the copy to be half way", func() bool {
			// From outside the transaction, which would go on seeing what it saw first.
			return watch.QueryRow(t.Context(), "select pid from pg_stat_activity where wait_event_type = 'Lock' and wait_event = 'advisory'").Scan(&pid) == nil
		})
		holds(1, s)
		if _, err := tx.Exec(t.Context(), "select pg_terminate_backend($1)", pid); err != nil {
			s.t.Fatal(err)
		}
		return id
	}
	t.Run("for good", func(t *testing.T) {
		s := s.in(t)
		r := s.ended(interrupt(s, "once"))
		if r.Status != "Failed" || !strings.Contains(r.Message+r.Why, "lab") {
			t.Errorf("the run %s: %q %q", r.Status, r.Why, r.Message)
		}
		holds(1, s)
	})
	t.Run("for a moment", func(t *testing.T) {
		s := s.in(t)
		if r := s.ended(interrupt(s, "again")); r.Status != "Succeeded" {
			t.Errorf("the run %s: %q %q", r.Status, r.Why, r.Message)
		}
		holds(2, s)
	})
}

// TestMalformedFeed reads files with lines that are no JSON: put aside and counted, or named and refused.
func TestMalformedFeed(t *testing.T) {
	s := newSite(t, fewPatients)
	s.configure(fewPatients, "", "linked_services:", "  drop: {kind: folder, path: drop}")
	if err := os.Mkdir(filepath.Join(s.dir, "drop"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("drop/a.ndjson", "{\"id\": \"1\"}\n{\"id\": \"2\"}\n")
	s.write("drop/b.ndjson", "{\"id\": \"3\"}\n{\"id\": \"4\n{\"id\": \"5\"}\nnot JSON\n")
	const mappings = `, "translator": {"type": "TabularTranslator", "mappings": [{"source": {"path": "$['id']"}, "sink": {"name": "id", "type": "String"}}]}`
	const source = `{"type": "JsonSource", "storeSettings": {"type": "FileServerReadSettings", "recursive": true, "wildcardFileName": "*.ndjson"},
	"formatSettings": {"type": "JsonReadSettings"}}`
	s.addPipelines("drop", `{"name": "From", "properties": {"type": "Json", "linkedServiceName": {"referenceName": "drop", "type": "LinkedServiceReference"},
	"typeProperties": {"location": {"type": "FileServerLocation"}}}}`, map[string]string{
		"lenient": copyPipeline("lenient", 0, source, mappings+`, "enableSkipIncompatibleRow": true`, "From"),
		"strict":  copyPipeline("strict", 0, source, mappings, "From"),
	})
	s.run("up", "-d")

	t.Run("put aside", func(t *testing.T) {
		s := s.in(t)
		id := s.start("lenient")
		if r := s.ended(id); r.Status != "Succeeded" {
			t.Fatalf("the run %s: %q %q", r.Status, r.Why, r.Message)
		}
		if got := s.value("SELECT string_agg(id, ' ' ORDER BY id) AS ids FROM bronze.drop"); got != "1 2 3 5" {
			t.Errorf("the table has %v", got)
		}
		shown := s.output("--output", "json", "pipelines", "show", id)
		if !strings.Contains(strings.ReplaceAll(shown, " ", ""), `"rowsSkipped":2`) {
			t.Errorf("the run does not say that 2 rows were skipped: %s", shown)
		}
		aside, err := filepath.Glob(filepath.Join(s.dir, ".flowehr", "local", "lake", "_quarantine", "bronze.drop", "*.ndjson"))
		if err != nil || len(aside) != 1 {
			t.Fatalf("put aside in %v, %v", aside, err)
		}
		text, err := os.ReadFile(aside[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"b.ndjson", "not JSON", `"line":2`, `"line":4`} {
			if !bytes.Contains(bytes.ReplaceAll(text, []byte(`": `), []byte(`":`)), []byte(want)) {
				t.Errorf("what was put aside does not say %s:\n%s", want, text)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		s := s.in(t)
		r := s.ended(s.start("strict"))
		if says := r.Why + r.Message; r.Status != "Failed" || !strings.Contains(says, "b.ndjson") || !strings.Contains(says, "line 2") {
			t.Errorf("the run %s: %q %q", r.Status, r.Why, r.Message)
		}
		if got := s.value("SELECT string_agg(id, ' ' ORDER BY id) AS ids FROM bronze.drop"); got != "1 2 3 5" {
			t.Errorf("the refused copy changed the table to %v", got)
		}
	})
}

// TestDiskFull gives the environment a disk that is too small, and then fills one that was large enough.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: making a small disk needs root")
	}
	s := newSite(t, fewPatients)
	if err := os.Chmod(filepath.Dir(s.dir), 0o755); err != nil { // so that the server's data is on the small disk, too
		t.Fatal(err)
	}
	disk := filepath.Join(filepath.Dir(s.dir), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func(flags uintptr, size string) error {
		return syscall.Mount("tmpfs", disk, "tmpfs", flags, "size="+size+",mode=755")
	}
	if err := mount(0, "40m"); err != nil {
		t.Skipf("skipped: no small disk can be made: %v", err)
	}
	t.Cleanup(func() {
		_, _ = s.try("down")
		_ = syscall.Unmount(disk, syscall.MNT_DETACH)
	})
	s.configure(fewPatients, "", "data_dir: "+disk+"/data")

	s.refused([]string{"space"}, "up", "-d")
	if err := mount(syscall.MS_REMOUNT, "600m"); err != nil {
		t.Fatal(err)
	}
	s.run("up", "-d")
	s.run("pipelines", "run", "hospital-daily", "--wait")
	want, wantPublished := s.fingerprint(), s.published()

	ballast := fillDisk(t, disk)
	s.refused([]string{"space", "Nothing"}, "pipelines", "run", "hospital-daily", "--wait")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if got := s.published(); !maps.Equal(got, wantPublished) {
		t.Errorf("after a run on a full disk a reader sees %v, want %v", got, wantPublished)
	}
	s.run("pipelines", "run", "hospital-daily", "--wait")
	if got := s.fingerprint(); !maps.Equal(got, want) {
		t.Errorf("after room was made the run gave %v, want %v", got, want)
	}
	s.run("audit", "verify")
}

// fillDisk leaves no room on a disk and returns the file that takes it.
func fillDisk(t *testing.T, disk string) string {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return path
}
