package azuresim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

// childFolder has the test binary run a simulation that keeps its world in the named folder, until it is killed.
const childFolder = "AZURESIM_TEST_CHILD"

type greeting struct {
	Address string
	CA      []byte
}

func TestMain(m *testing.M) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := child(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(dir string) error {
	sim, err := azuresim.New(azuresim.Options{Dir: dir, Seed: 9, Start: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(greeting{l.Addr().String(), sim.CA()}); err != nil {
		return err
	}
	return sim.Serve(context.Background(), l)
}

// TestWorldOutlivesAKilledProcess: what was answered stands in the next process, and work that went on goes on.
func TestWorldOutlivesAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var hello greeting
	if err := json.NewDecoder(out).Decode(&hello); err != nil {
		t.Fatal(err)
	}
	// The seed and options are the same, so that names and identities are.
	twin, err := azuresim.New(azuresim.Options{Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	a := &azure{t: t, sim: twin, address: hello.Address, sub: twin.Subscription()}
	if a.remote, err = azuresim.Connect(hello.Address, hello.CA); err != nil {
		t.Fatal(err)
	}
	a.as(azuresim.Deployer())
	if status, body, _ := a.do(http.MethodPut, a.group("rg-first"), object{"location": "uksouth"}); status != http.StatusCreated {
		t.Fatalf("%d %v", status, body)
	}
	tpl := template("rg-x", object{"vault": a.vault("kv-x")}, vaultOutput())
	if status, body, _ := a.do(http.MethodPut, a.stackPath("core"), stack(tpl)); status != http.StatusCreated {
		t.Fatalf("%d %v", status, body)
	}
	before := a.now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // that it was killed is the point
	a.remote.Transport.CloseIdleConnections()

	b := start(t, azuresim.Options{Dir: dir, Seed: 9})
	if now := b.now(); now.Before(before.Add(-time.Second)) || now.Sub(before) > time.Minute {
		t.Errorf("time is %v, was %v", now, before)
	}
	if status, _, _ := b.do(http.MethodGet, b.group("rg-first"), nil); status != http.StatusOK {
		t.Errorf("the group that was answered has gone: %d", status)
	}
	_, got, _ := b.do(http.MethodGet, b.stackPath("core"), nil)
	if state := at(got, "properties", "provisioningState"); state != "validating" && state != "deploying" {
		t.Fatalf("the stack that was begun is %v", state)
	}
	if err := b.remote.Wait(t.Context(), 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	_, got, _ = b.do(http.MethodGet, b.stackPath("core"), nil)
	if at(got, "properties", "provisioningState") != "succeeded" || at(got, "properties", "outputs", "vaultUri", "value") != "https://kv-x.vault.azure.net/" {
		t.Errorf("the stack did not go on: %v", got)
	}
	if troubles := b.sim.Troubles(); len(troubles) > 0 {
		t.Errorf("troubles: %v", troubles)
	}
}

// TestALargeWorldIsWhole: its writes are grouped, and the last comes with the end.
func TestALargeWorldIsWhole(t *testing.T) {
	dir := t.TempDir()
	sim, err := azuresim.New(azuresim.Options{Dir: dir, Seed: 9, Quiet: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	a := connect(t, sim, l.Addr().String(), azuresim.Deployer())
	ballast := strings.Repeat("hospital ", 30_000)
	const many = 12
	for i := range many {
		if err := a.remote.Stand(t.Context(), a.id("rg", fmt.Sprintf("Microsoft.Network/routeTables/rt-%d", i)), object{"tags": object{"ballast": ballast}}); err != nil {
			t.Fatal(err)
		}
	}
	a.remote.Transport.CloseIdleConnections()
	stop()
	if err := errors.Join(<-ended, sim.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "world.json")); err != nil || info.Size() < 1<<20 {
		t.Fatalf("the world is too small to be a test: %v %v", info, err)
	}
	if got := start(t, azuresim.Options{Dir: dir, Seed: 9}).sim.Summary().Resources["Microsoft.Network/routeTables"]; got != many {
		t.Errorf("%d of %d are in the file", got, many)
	}
}

// TestRunsOfTwoProcessesHaveIDsThatPeopleCanTellApart: people see the first digits of an id only.
func TestRunsOfTwoProcessesHaveIDsThatPeopleCanTellApart(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for range 3 {
		t.Run("process", func(t *testing.T) {
			a := start(t, azuresim.Options{Dir: dir, Seed: 9})
			factory := a.id("rg-f", "Microsoft.DataFactory/factories/adf")
			for id, body := range map[string]object{factory: {"location": "uksouth"}, factory + "/pipelines/p": {"properties": object{"activities": []any{}}}} {
				if err := a.remote.Stand(t.Context(), id, body); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				status, body, _ := a.do(http.MethodPost, factory+"/pipelines/p/createRun?api-version=2018-06-01", nil)
				id, _ := body["runId"].(string)
				if status != http.StatusOK || len(id) < 8 || seen[id[:8]] {
					t.Fatalf("run %q was there before or is none: %d %v", id, status, body)
				}
				seen[id[:8]] = true
			}
		})
	}
}

func TestWhatIsNoWorldIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "world.json")
	if err := os.WriteFile(path, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := azuresim.New(azuresim.Options{Dir: dir}); err == nil {
		t.Fatal("half a file was taken for a world")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "{half" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}
