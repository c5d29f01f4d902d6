package azure

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azure/statestore"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// Values of the definition's secrets. They may stand in the vaults of the simulation and nowhere else.
var secrets = map[string]string{"DW_USER": "reader-of-the-warehouse", "DW_PASSWORD": "canary-in-the-coal-mine-1", "TERMINOLOGY_KEY": "canary-in-the-coal-mine-2"}

// program builds the product once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "flowehr-e2e-azure")
	if err != nil {
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

// desk is a person's folder with the definition of the older system, and a simulation of Azure that runs beside it.
type desk struct {
	t         *testing.T
	bin, dir  string
	home      string
	remote    *azuresim.Remote
	simulator string // file that says how to reach it

	mu   sync.Mutex
	said bytes.Buffer // all that the program wrote, for the canary
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	d := &desk{t: t, bin: bin, dir: filepath.Join(base, "site"), home: filepath.Join(base, "home"), simulator: filepath.Join(base, "simulation.json")}
	if err := os.CopyFS(d.dir, os.DirFS(filepath.Join("testdata", "definition"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.home, 0o700); err != nil {
		t.Fatal(err)
	}
	d.startSimulator()
	return d
}

// startSimulator runs "flowehr simulator" until the test ends.
func (d *desk) startSimulator() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := d.command(ctx, "simulator", "--connection", d.simulator)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	out, err := c.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { cancel(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		d.t.Fatalf("the simulator did not begin: %v: %s", err, line)
	}
	var at struct{ Address, CA string }
	b, err := os.ReadFile(d.simulator)
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	if err == nil {
		d.remote, err = azuresim.Connect(at.Address, []byte(at.CA))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	// What the definition takes for granted: the network of the source.
	for id, body := range map[string]map[string]any{
		"/resourceGroups/rg-dw": {"location": "uksouth"},
		"/resourceGroups/rg-dw/providers/Microsoft.Network/virtualNetworks/vnet-dw": {"location": "uksouth",
			"properties": map[string]any{"addressSpace": map[string]any{"addressPrefixes": []string{"172.16.0.0/24"}}}},
		"/resourceGroups/rg-dw/providers/Microsoft.Network/privateDnsZones/dw.internal.nhs.uk": {"location": "global"},
	} {
		if err := d.remote.Stand(d.t.Context(), "/subscriptions/"+d.subscription()+id, body); err != nil {
			d.t.Fatal(err)
		}
	}
}

// reached says how to reach the simulation, and as whom.
type reached struct{ Subscription, Tenant, ClientID, Secret string }

func (d *desk) reached() reached {
	var at reached
	b, err := os.ReadFile(d.simulator)
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return at
}

func (d *desk) subscription() string { return d.reached().Subscription }

func (d *desk) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, d.bin, args...)
	c.Dir = d.dir
	c.Env = append(os.Environ(), "HOME="+d.home, "XDG_CONFIG_HOME=", "ENVIRONMENT=dev", "FLOWEHR_AZURE_SIMULATOR="+d.simulator, "CI=", "TF_IN_AUTOMATION=", "NO_COLOR=1")
	for name, value := range secrets {
		c.Env = append(c.Env, name+"="+value)
	}
	return c
}

// run expects an exit code and returns what was written to stdout and stderr.
func (d *desk) run(code int, args ...string) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Minute)
	defer cancel()
	out, err := d.command(ctx, args...).CombinedOutput()
	d.heard(out)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		d.t.Fatal(err)
	}
	if got != code {
		d.t.Fatalf("flowehr %s ended with %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

func (d *desk) heard(b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said.Write(b)
}

// says runs and expects some words.
func (d *desk) says(code int, words string, args ...string) string {
	d.t.Helper()
	out := d.run(code, args...)
	if !strings.Contains(out, words) {
		d.t.Fatalf("flowehr %s does not say %q:\n%s", strings.Join(args, " "), words, out)
	}
	return out
}

// killAt starts a command and kills it, as kill -9 does, when it writes a line with some words. It reports whether it came to that.
func (d *desk) killAt(words string, args ...string) bool {
	d.t.Helper()
	c := d.command(d.t.Context(), args...)
	out, err := c.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	killed := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.heard(lines.Bytes())
		if !killed && strings.Contains(lines.Text(), words) {
			killed = true
			if err := c.Process.Kill(); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	_, _ = io.Copy(io.Discard, out)
	_ = c.Wait()
	return killed
}

// edit replaces text in a file of the definition.
func (d *desk) edit(file, old, new string) {
	d.t.Helper()
	path := filepath.Join(d.dir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		d.t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(new), 1), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// noCanary looks for secrets in all that was written: to the terminal, to the folder of the environment, to the record.
func (d *desk) noCanary() {
	d.t.Helper()
	look := func(where string, b []byte) {
		for name, value := range secrets {
			if name != "DW_USER" && bytes.Contains(b, []byte(value)) {
				d.t.Errorf("%s has the value of %s", where, name)
			}
		}
	}
	look("what the program said", d.said.Bytes())
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		look(path, b)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// empty fails unless nothing but the record and what stood before is in the subscription.
func (d *desk) empty() {
	d.t.Helper()
	s, err := d.remote.Summary(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, typ := range []string{"Microsoft.KeyVault/vaults", "Microsoft.Web/sites", "Microsoft.Databricks/workspaces", "Microsoft.Sql/servers", "Microsoft.DataFactory/factories"} {
		if n := s.Resources[typ]; n > 0 {
			d.t.Errorf("%d of %s still stand", n, typ)
		}
	}
	if len(s.Stacks) > 0 || len(s.Deleted) > 0 {
		d.t.Errorf("still there: stacks %v, softly deleted %v", s.Stacks, s.Deleted)
	}
}

// The definition of the older system is planned, deployed, planned again to nothing, changed and destroyed with proof, by the
// ordinary program over TLS.
func TestOlderSystem(t *testing.T) {
	d := newDesk(t)
	d.says(2, "76 to create", "plan")
	d.says(0, "stelse-dev is as its definition says", "deploy", "--yes")
	d.says(0, "Nothing to do", "plan")
	d.says(0, "Everything stands as it was deployed", "status")
	d.says(0, "stand as they were deployed", "plan", "--refresh-only")
	d.says(0, "databricks-workspace/dbks-stelse-dev", "outputs")
	d.says(0, "stack/core", "state", "show", "--output", "json") // for the canary

	// A change of one setting changes that setting, in both slots.
	d.edit("apps/apps.dev.yaml", "LOG_LEVEL: debug", "LOG_LEVEL: warn")
	d.says(2, "properties.LOG_LEVEL debug", "plan", "--save", "change.json")
	d.says(0, "is as its definition says", "deploy", "--plan", "change.json")
	d.says(0, "Nothing to do", "plan")
	d.says(5, "state has moved on", "deploy", "--plan", "change.json")

	// Work there.
	d.says(0, "ward-census succeeded", "pipelines", "run", "ward-census", "--wait")
	d.says(0, "stopped", "triggers", "list")

	d.says(1, "flowehr destroy --yes", "destroy")
	d.says(0, "resources are gone", "destroy", "--yes")
	d.empty()
	d.noCanary()
}

// Killed at any moment, the next deployment carries on from there and ends in the same world.
func TestKilledDeployer(t *testing.T) {
	d := newDesk(t)
	for _, words := range []string{"begin", "done     create entra-group", "note     create stack/core", "done     create stack/core", "note     create stack/app-bed-board",
		"note     create stack/transform", "done     create stack/transform", "start    create databricks-cluster"} {
		d.killAt(words, "deploy", "--yes")
		// Its lock ends by itself a minute later.
		if err := d.remote.Wait(t.Context(), 61*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	d.says(0, "is as its definition says", "deploy", "--yes")
	d.says(0, "Nothing to do", "plan")
	for _, words := range []string{"done     delete stack/app-bed-board", "start    delete stack/transform"} {
		d.killAt(words, "destroy", "--yes")
		if err := d.remote.Wait(t.Context(), 61*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	d.says(0, "resources are gone", "destroy", "--yes")
	d.empty()
	d.noCanary()
}

// A colleague who deploys at the same time is told who works on it; a dead one's lock can be taken away.
func TestLockOfAColleague(t *testing.T) {
	d := newDesk(t)
	if !d.killAt("note     create stack/core", "deploy", "--yes") {
		t.Fatal("the deployment ended before it could be killed")
	}
	d.says(5, "state is locked by", "deploy", "--yes")
	d.says(5, "state is locked by", "state", "unlock")
	d.says(0, "not locked", "state", "unlock", "--force")
	d.says(0, "is as its definition says", "deploy", "--yes")
}

// A record that is lost is built anew from what stands, and what nobody recorded is found by its name.
func TestLostRecord(t *testing.T) {
	d := newDesk(t)
	d.run(0, "deploy", "--yes")
	world, err := d.remote.World(t.Context())
	if err != nil || len(world) == 0 {
		t.Fatal(err)
	}
	c := d.command(t.Context(), "destroy", "--by-name", "--yes")
	c.Env = append(c.Env, "FLOWEHR_STATE_ACCOUNT=flwrstnobodyknowsthis1")
	out, err := c.CombinedOutput()
	d.heard(out)
	if err != nil || !strings.Contains(string(out), "resources are gone") {
		t.Fatalf("destroy by name: %v\n%s", err, out)
	}
	d.empty()
}

// A record that cannot be read stops a deployment, and is built anew from what stands.
func TestDamagedRecord(t *testing.T) {
	d := newDesk(t)
	d.run(0, "deploy", "--yes")
	at := d.reached()
	cred, _, err := cloud.Credential(t.Context(), cloud.CredentialOptions{Tenant: at.Tenant, ClientID: at.ClientID,
		Secret: flowehr.NewSecret(at.Secret), Transport: d.remote, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	client := cloud.New(cloud.Options{Credential: cred, Subscription: at.Subscription, Tenant: at.Tenant, Transport: d.remote, Wait: d.remote.Wait})
	blobs := cloud.Blobs(statestore.AccountName("stelse", at.Subscription))
	if _, err := client.Do(t.Context(), blobs, cloud.Request{Method: http.MethodPut, Path: "/" + statestore.DefaultContainer + "/stelse-dev/state.json",
		Header: map[string]string{"x-ms-version": "2024-11-04", "x-ms-blob-type": "BlockBlob"}, Body: []byte("half a record")}); err != nil {
		t.Fatal(err)
	}
	d.says(1, "flowehr state refresh", "deploy", "--yes")
	d.says(0, "The record is as the world is", "state", "refresh")
	d.says(0, "is as its definition says", "deploy", "--yes")
	d.says(0, "Nothing to do", "plan")
}

// The definition that is deployed to Azure runs on this machine as it is. Its apps are named as not hosted here.
func TestSameDefinitionOnThisMachine(t *testing.T) {
	if matches, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(matches) == 0 {
		if _, err := exec.LookPath("postgres"); err != nil {
			t.Skip("skipped: PostgreSQL is not installed (run: make setup)")
		}
	}
	d := newDesk(t)
	// The database server is another user when the tests run as root, and must reach the folder.
	for dir := d.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.edit("config.dev.yaml", "environment: dev", "environment: dev\nlocal: {listen: \"127.0.0.1:0\"}")
	t.Cleanup(func() {
		for _, args := range [][]string{{"down"}, {"clean", "--yes"}} {
			if out, err := d.command(context.Background(), args...).CombinedOutput(); err != nil {
				t.Errorf("flowehr %v: %v\n%s", args, err, out)
			}
		}
	})
	d.says(0, `app "bed-board" is left out`, "up", "-d")
	d.says(0, "core 8, transform 10", "status", "--target", "local")
	d.says(0, "ward-census succeeded", "pipelines", "run", "ward-census", "--target", "local", "--wait")
	d.says(1, "the census goes to silver", "pipelines", "run", "ward-census", "--target", "local", "--wait", "--param", "zone=gold")
	d.noCanary()
}
