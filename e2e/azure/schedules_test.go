package azure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/statestore"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
)

// schedules is how many worlds go wrong, each in its own way. One is done again with FLOWEHR_SCHEDULE=<seed>.
const schedules = 200

// fast is the real time that nothing must come before virtual time jumps, in worlds whose clients are this process.
const fast = time.Millisecond

// TestFaultSchedules deploys while services throttle, fail before and after they acted, lose answers and connections, are slow
// to know what was made, and while the deployer is killed again and again, so that only the record in the blob survives.
// However it went, in the end the world is as after one undisturbed deployment, and a plan of it is empty. Destroyed under the
// same faults, it ends empty. Nothing that was shown or written down on the way has a secret in it.
func TestFaultSchedules(t *testing.T) {
	small, whole := written(t, "minimal", "dev"), written(t, "whole", "dev")
	smooths := map[*site]func() (string, int64){}
	for _, x := range []*site{small, whole} {
		smooths[x] = sync.OnceValues(func() (string, int64) { return smooth(t, x) })
	}
	first, last := uint64(0), uint64(schedules)
	if testing.Short() {
		last = 12
	}
	if text := os.Getenv("FLOWEHR_SCHEDULE"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, last = seed, seed+1
	}
	for seed := first; seed < last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			x := small
			if seed%wholeEvery == 0 {
				x = whole
			}
			undisturbed, calls := smooths[x]()
			d := newDisturbance(seed, calls)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("do it again with FLOWEHR_SCHEDULE=%d: %v", seed, d)
				}
			})
			d.play(t, x, undisturbed)
		})
	}
}

// wholeEvery is how many schedules there are to one with everything that a definition can ask for.
const wholeEvery = 20

// smooth deploys once without any fault, and returns the world and how many calls it took.
func smooth(t *testing.T, x *site) (world string, calls int64) {
	t.Helper()
	s := simulate(t, azuresim.Options{Seed: 1, Quiet: fast})
	s.takenForGranted(t, x)
	p := s.begin(t, x, &ear{}, life{})
	if _, err := p.deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.worldOf(t), p.network.calls.Load()
}

// disturbance is what goes wrong in one world, drawn from its seed.
type disturbance struct {
	Seed   uint64
	Faults azuresim.Faults
	Lives  []life // of deployers that are killed; more follow undisturbed
	Ends   []life // the same, while it is destroyed
}

func newDisturbance(seed uint64, calls int64) disturbance {
	r := rand.New(rand.NewPCG(seed, 7))
	d := disturbance{Seed: seed}
	if r.IntN(4) > 0 {
		d.Faults.Rate = 0.25 * r.Float64()
		d.Faults.Burst = 1 + r.IntN(3)
	}
	if r.IntN(3) == 0 {
		d.Faults.Operations = 0.05 * r.Float64()
	}
	for range r.IntN(5) {
		d.Faults.Rules = append(d.Faults.Rules, hitches[r.IntN(len(hitches))](r))
	}
	for range r.IntN(4) {
		d.Lives = append(d.Lives, life{1 + r.Int64N(calls), r.IntN(2) == 0})
	}
	for range r.IntN(3) {
		d.Ends = append(d.Ends, life{1 + r.Int64N(calls/2), r.IntN(2) == 0})
	}
	return d
}

// hitches are faults with an aim: what is known to go wrong for a while.
var hitches = []func(*rand.Rand) azuresim.FaultRule{
	func(r *rand.Rand) azuresim.FaultRule { // Databricks is not quite up yet
		return azuresim.FaultRule{Host: "*.azuredatabricks.net", From: 1 + r.IntN(20), Times: 1 + r.IntN(4), Fault: azuresim.FaultRefuse, Status: 503,
			Code: "TEMPORARILY_UNAVAILABLE", Message: "The service at /api is temporarily unavailable."}
	},
	func(r *rand.Rand) azuresim.FaultRule { // a provider gives up after minutes
		of := []string{"Microsoft.Sql/servers/", "Microsoft.Databricks/workspaces/", "privateEndpoints/", "storageAccounts/adls"}
		return azuresim.FaultRule{Method: "PUT", Path: of[r.IntN(len(of))], Times: 1, Fault: azuresim.FaultOperation, After: time.Duration(r.IntN(300)) * time.Second,
			Code: "InternalServerError", Message: "An unexpected error occurred."}
	},
	func(r *rand.Rand) azuresim.FaultRule { // the directory is slow to tell its replicas
		return azuresim.FaultRule{Method: "PUT", Path: "roleAssignments/", From: 1 + r.IntN(3), Times: 1, Fault: azuresim.FaultOperation, After: time.Second,
			Code: "PrincipalNotFound", Message: "Principal does not exist in the directory."}
	},
	func(r *rand.Rand) azuresim.FaultRule { // stacks throttle for a minute
		return azuresim.FaultRule{Method: "PUT", Path: "deploymentStacks/", From: 1 + r.IntN(4), Times: 2, Fault: azuresim.FaultThrottle, After: time.Minute}
	},
	func(r *rand.Rand) azuresim.FaultRule { // answers of Graph get lost after it acted
		return azuresim.FaultRule{Method: "POST", Host: "graph.microsoft.com", From: 1 + r.IntN(20), Times: 1 + r.IntN(2), Fault: azuresim.FaultLost}
	},
	func(r *rand.Rand) azuresim.FaultRule { // the record cannot be written for a moment
		return azuresim.FaultRule{Method: "PUT", Host: "*.blob.core.windows.net", From: 1 + r.IntN(40), Times: 1 + r.IntN(2), Fault: azuresim.FaultLost}
	},
	func(r *rand.Rand) azuresim.FaultRule { // something takes long to answer
		return azuresim.FaultRule{From: 1 + r.IntN(200), Times: 3, Fault: azuresim.FaultDelay, After: time.Duration(1+r.IntN(90)) * time.Second}
	},
}

// patience is how many undisturbed runs there may be until all is done. A run may fail for good where a provider gave up.
const patience = 6

// play deploys and destroys in a world with the disturbance.
func (d disturbance) play(t *testing.T, x *site, undisturbed string) {
	s := simulate(t, azuresim.Options{Seed: d.Seed + 2, Quiet: fast})
	s.takenForGranted(t, x)
	before := s.worldOf(t)
	heard := &ear{}
	s.set(t, d.Faults)
	for _, l := range d.Lives {
		p := s.begin(t, x, heard, l)
		_, err := p.deploy(t.Context())
		heard.hear("%v", err)
		p.end()
		s.afterwards(t)
	}
	s.until(t, "deployed", heard, func() (bool, error) {
		p := s.begin(t, x, heard, life{})
		defer p.end()
		made, err := p.deploy(t.Context())
		return err == nil && made.Empty(), err
	})
	s.set(t, azuresim.Faults{})
	sameWorld(t, undisturbed, s.worldOf(t))
	for _, trouble := range s.sim.Troubles() {
		t.Error(trouble)
	}
	all := s.again(t, x, heard)

	s.set(t, d.Faults)
	for _, l := range d.Ends {
		p := s.begin(t, x, heard, l)
		_, err := p.destroy(t.Context(), false)
		heard.hear("%v", err)
		p.end()
		s.afterwards(t)
	}
	s.until(t, "destroyed", heard, func() (bool, error) {
		p := s.begin(t, x, heard, life{})
		defer p.end()
		made, err := p.destroy(t.Context(), false)
		return err == nil && len(made.Steps) == 0, err
	})
	s.set(t, azuresim.Faults{})
	s.proveEmpty(t, x, heard, before, all)
	heard.secretive(t)
}

// again plans what stands, which must change nothing, and returns the plan that takes all of it away.
func (s *subscription) again(t *testing.T, x *site, heard *ear) flowehr.Plan {
	t.Helper()
	p := s.begin(t, x, heard, life{})
	defer p.end()
	if err := p.open(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	made, err := p.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !made.Empty() {
		t.Errorf("a plan of what was deployed would change something:\n%s", changes(made))
	}
	all, err := plan.MakeDestroy(p.state, nil, p.env.RealData, p.now())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// proveEmpty fails unless the world is as it was before anything was deployed, but for the place of the record, and the
// product says so.
func (s *subscription) proveEmpty(t *testing.T, x *site, heard *ear, before string, all flowehr.Plan) {
	t.Helper()
	p := s.begin(t, x, heard, life{})
	defer p.end()
	if err := p.open(t.Context(), !p.env.RealData); err != nil {
		t.Fatal(err)
	}
	if len(p.state.Records) > 0 {
		t.Errorf("%d resources are still recorded", len(p.state.Records))
	}
	proof, err := p.target.Left(t.Context(), all, p.names())
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range proof.Left {
		t.Errorf("left: %+v", left)
	}
	for _, id := range s.sim.Leftovers() {
		if !strings.Contains(id, statestore.GroupName(p.env.ID)) {
			t.Errorf("the world still has %s", id)
		}
	}
	stays := staying
	if p.env.RealData { // what held it can be recovered for a while, and the proof says so
		stays = func(line string) bool {
			return staying(line) || strings.HasPrefix(line, "deleted ") || strings.HasPrefix(line, "vaults ")
		}
		before = strings.Join(slices.DeleteFunc(strings.Split(before, "\n"), stays), "\n")
	}
	if kept := slices.ContainsFunc(proof.Kept, func(l azuretarget.Leftover) bool { return l.Name == p.names().Vault() }); kept != p.env.RealData {
		t.Errorf("kept for recovery: %+v, real data: %t", proof.Kept, p.env.RealData)
	}
	now := slices.DeleteFunc(strings.Split(s.worldOf(t), "\n"), stays)
	sameWorld(t, before, strings.Join(now, "\n"))
}

// set replaces what goes wrong.
func (s *subscription) set(t testing.TB, f azuresim.Faults) {
	t.Helper()
	if err := s.remote.SetFaults(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// afterwards lets a minute pass, after which the lock of who was killed is free.
func (s *subscription) afterwards(t testing.TB) {
	t.Helper()
	if err := s.remote.Wait(t.Context(), 61*time.Second); err != nil {
		t.Fatal(err)
	}
}

// until runs a command until it has nothing left to do.
func (s *subscription) until(t *testing.T, done string, heard *ear, command func() (bool, error)) {
	t.Helper()
	for n := 1; ; n++ {
		ready, err := command()
		switch {
		case ready:
			return
		case errors.Is(err, context.Canceled):
			t.Fatal(err)
		case n == patience:
			t.Fatalf("not %s after %d undisturbed runs: %v", done, n, err)
		case err != nil:
			heard.hear("%v", err)
			s.afterwards(t)
		}
	}
}

// secretive fails when a secret was to be seen.
func (e *ear) secretive(t *testing.T) {
	t.Helper()
	if i := strings.Index(e.said.String(), secretMark); i >= 0 {
		t.Errorf("a secret is to be seen: %s", e.said.String()[max(0, i-200):i+40])
	}
}
