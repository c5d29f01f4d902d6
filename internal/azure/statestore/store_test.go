package statestore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/state"
)

// sky is a simulation with an account for states.
type sky struct {
	t       *testing.T
	remote  *azuresim.Remote
	client  *cloud.Client
	account string
}

func simulate(t *testing.T) *sky {
	t.Helper()
	sim, err := azuresim.New(azuresim.Options{Seed: 3, Start: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, sim.Close()); err != nil {
			t.Errorf("end of the simulation: %v", err)
		}
	})
	w := &sky{t: t}
	if w.remote, err = azuresim.Connect(l.Addr().String(), sim.CA()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.remote.Transport.CloseIdleConnections)
	who := azuresim.Deployer()
	cred, _, err := cloud.Credential(t.Context(), cloud.CredentialOptions{Tenant: sim.Tenant(), ClientID: who.ClientID, Secret: flowehr.NewSecret(who.Secret),
		Transport: w.remote, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	w.client = cloud.New(cloud.Options{Credential: cred, Subscription: sim.Subscription(), Tenant: sim.Tenant(), Transport: w.remote, Wait: w.remote.Wait})
	w.account = AccountName("hosp", sim.Subscription())
	if err := EnsureAccount(t.Context(), w.client, GroupName("hosp"), w.account, "uksouth"); err != nil {
		t.Fatal(err)
	}
	return w
}

// store is a store of its own on the same blob, as another laptop has. It does not renew by itself.
func (w *sky) store(host string) *Store {
	return New(Options{Client: w.client, Account: w.account, Container: DefaultContainer, Prefix: "hosp-test", Environment: "hosp-test", Target: flowehr.TargetAzure,
		Host: host, PID: 7, Now: func() time.Time { now, _ := w.remote.Now(context.Background()); return now },
		Idle: func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() }})
}

func (w *sky) lock(s *Store) func() error {
	w.t.Helper()
	unlock, err := s.Lock(w.t.Context(), "ann")
	if err != nil {
		w.t.Fatal(err)
	}
	return unlock
}

func change(name, output string) apply.Change {
	return apply.Change{Put: []flowehr.Record{{Resource: flowehr.Resource{Ref: flowehr.Ref{Kind: "thing", Name: name}, Layer: flowehr.LayerCore, Spec: []byte(`{"sql":"a < b & c"}`)},
		Outputs: map[string]string{"o": output}}}}
}

func TestEnsureAccountTwice(t *testing.T) {
	w := simulate(t)
	if err := EnsureAccount(t.Context(), w.client, GroupName("hosp"), w.account, "uksouth"); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if len(w.account) > 24 || w.account != strings.ToLower(w.account) {
		t.Errorf("%q is no name of a storage account", w.account)
	}
}

// Who comes to an account that somebody else made is refused at first, and may use it once they have given themselves the right.
func TestAllowOnAnAccountOfSomebodyElse(t *testing.T) {
	w := simulate(t)
	w.account = AccountName("other", w.client.Subscription())
	id := arm.ID(w.client.Subscription(), GroupName("hosp"), typeAccount, w.account)
	if err := put(t.Context(), w.client, id, typeAccount, accountBody("uksouth")); err != nil {
		t.Fatal(err)
	}
	s := w.store("laptop")
	if _, err := s.Load(t.Context()); !NotAllowed(err) {
		t.Errorf("before: got %v", err)
	}
	for range 2 {
		if err := Allow(t.Context(), w.client, GroupName("hosp"), w.account); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := s.Load(t.Context()); err != nil || st.Revision != 0 {
		t.Errorf("after: got revision %d and %v", st.Revision, err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	w := simulate(t)
	a, b := w.store("a"), w.store("b")
	st, err := b.Load(t.Context())
	if err != nil || st.Revision != 0 || st.Environment != "hosp-test" {
		t.Fatalf("before anything was saved: %+v, %v", st, err)
	}
	if _, err := a.Save(t.Context(), 0, change("x", "1")); !errors.Is(err, ErrLockLost) {
		t.Errorf("saving without the lock: got %v", err)
	}
	unlock := w.lock(a)
	for n, want := range []flowehr.Revision{1, 2, 3} {
		got, err := a.Save(t.Context(), flowehr.Revision(n), change("x", fmt.Sprint(n)))
		if err != nil || got != want {
			t.Fatalf("save %d: got revision %d, %v", n, got, err)
		}
	}
	if _, err := a.Save(t.Context(), 1, change("y", "")); !errors.Is(err, apply.ErrStale) {
		t.Errorf("saving on an old revision: got %v", err)
	}
	st, err = b.Load(t.Context())
	if err != nil || st.Revision != 3 || st.Records[flowehr.Ref{Kind: "thing", Name: "x"}].Outputs["o"] != "2" {
		t.Errorf("another one reads %+v, %v", st, err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if err := unlock(); err != nil {
		t.Errorf("unlocking twice: %v", err)
	}
	if _, err := a.Save(t.Context(), 3, change("y", "")); !errors.Is(err, ErrLockLost) {
		t.Errorf("saving after unlocking: got %v", err)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	w := simulate(t)
	a, b := w.store("laptop"), w.store("ci")
	unlock := w.lock(a)
	_, err := b.Lock(t.Context(), "ben")
	locked, ok := errors.AsType[*apply.LockedError](err)
	if !ok || locked.Holder.Owner != "ann" || locked.Holder.Host != "laptop" || locked.Holder.PID != 7 {
		t.Fatalf("got %v, want the holder named", err)
	}
	if _, err := a.Lock(t.Context(), "ann"); !errors.Is(err, apply.ErrLocked) {
		t.Errorf("the same store a second time: got %v", err)
	}
	if h, held, err := b.Holder(t.Context()); err != nil || !held || h.Owner != "ann" {
		t.Errorf("holder: %v, %v, %v", h, held, err)
	}
	if err := b.Unlock(t.Context(), false); !errors.Is(err, apply.ErrLocked) {
		t.Errorf("unlocking somebody else's lock: got %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, held, err := b.Holder(t.Context()); err != nil || held {
		t.Errorf("still held: %v, %v", held, err)
	}
	_ = w.lock(b)()
}

// Of many that want the lock at once one gets it, and no save is lost.
func TestLockContention(t *testing.T) {
	w := simulate(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s := w.store(fmt.Sprint(i))
			for done := 0; done < 3; {
				unlock, err := s.Lock(t.Context(), "x")
				if errors.Is(err, apply.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				st, err := s.Load(t.Context())
				if err == nil {
					_, err = s.Save(t.Context(), st.Revision, change(fmt.Sprintf("%d-%d", i, done), ""))
				}
				if err := errors.Join(err, unlock()); err != nil {
					t.Error(err)
					return
				}
				done++
			}
		})
	}
	wg.Wait()
	st, err := w.store("z").Load(t.Context())
	if err != nil || st.Revision != 12 || len(st.Records) != 12 {
		t.Errorf("got revision %d with %d records, %v; want 12 and 12", st.Revision, len(st.Records), err)
	}
}

// The lock of a process that died is free when the lease has run out, and the dead one cannot write any more.
func TestLeaseRunsOut(t *testing.T) {
	w := simulate(t)
	dead, heir := w.store("dead"), w.store("heir")
	w.lock(dead)
	if _, err := dead.Save(t.Context(), 0, change("x", "1")); err != nil {
		t.Fatal(err)
	}
	if err := w.remote.Wait(t.Context(), leaseTime+time.Second); err != nil {
		t.Fatal(err)
	}
	if _, held, err := heir.Holder(t.Context()); err != nil || held {
		t.Errorf("the lease of a dead process holds: %v, %v", held, err)
	}
	unlock := w.lock(heir)
	if _, err := heir.Save(t.Context(), 1, change("y", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Save(t.Context(), 1, change("x", "2")); !errors.Is(err, ErrLockLost) {
		t.Errorf("who lost the lease saved: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// A laptop that slept keeps its lock as long as nobody else wanted it.
func TestLeaseSleeps(t *testing.T) {
	w := simulate(t)
	s := w.store("laptop")
	unlock := w.lock(s)
	if err := w.remote.Wait(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), 0, change("x", "1")); err != nil {
		t.Errorf("after an hour: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	w := simulate(t)
	s := w.store("laptop")
	s.o.Idle = w.remote.Wait
	unlock := w.lock(s)
	if err := w.remote.Wait(t.Context(), 10*leaseTime); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store("other").Lock(t.Context(), "ben"); !errors.Is(err, apply.ErrLocked) {
		t.Errorf("the lock was not renewed: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestUnlockByForce(t *testing.T) {
	w := simulate(t)
	a, b := w.store("a"), w.store("b")
	unlock := w.lock(a)
	if err := b.Unlock(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Save(t.Context(), 0, change("x", "")); !errors.Is(err, ErrLockLost) {
		t.Errorf("whose lock was taken away saved: %v", err)
	}
	second := w.lock(b)
	if err := unlock(); err != nil {
		t.Errorf("unlocking what was taken away: %v", err)
	}
	if _, err := b.Save(t.Context(), 0, change("x", "")); err != nil {
		t.Errorf("the new holder: %v", err)
	}
	if err := errors.Join(second(), b.Unlock(t.Context(), true)); err != nil {
		t.Errorf("unlocking what is free: %v", err)
	}
}

func TestHistoryRestoreReset(t *testing.T) {
	w := simulate(t)
	s := w.store("a")
	s.o.History = 3
	for session := range 5 {
		unlock := w.lock(s)
		st, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rev := st.Revision
		for range 2 {
			if rev, err = s.Save(t.Context(), rev, change(fmt.Sprintf("s%d", session), "")); err != nil {
				t.Fatal(err)
			}
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
	have, err := s.Revisions(t.Context())
	if err != nil || !slices.Equal(have, []flowehr.Revision{8, 6, 4}) {
		t.Fatalf("history: got %v, %v; want what the last three sessions found", have, err)
	}
	defer w.lock(s)()
	if _, err := s.Restore(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "there are [8 6 4]") {
		t.Errorf("a revision that is not there: got %v", err)
	}
	st, err := s.Restore(t.Context(), 4)
	if err != nil || st.Revision != 11 || len(st.Records) != 2 {
		t.Errorf("restored revision %d with %d records, %v; want 11 with 2", st.Revision, len(st.Records), err)
	}
	if st, err = s.Reset(t.Context()); err != nil || st.Revision != 12 || len(st.Records) != 0 {
		t.Errorf("reset to revision %d with %d records, %v", st.Revision, len(st.Records), err)
	}
	if st, err = w.store("b").Load(t.Context()); err != nil || st.Revision != 12 {
		t.Errorf("loaded %d, %v", st.Revision, err)
	}
}

func TestANewerStateIsNotDamage(t *testing.T) {
	w := simulate(t)
	s := w.store("a")
	for range 2 {
		unlock := w.lock(s)
		st, _ := s.Load(t.Context())
		if _, err := s.Save(t.Context(), st.Revision, change("x", "")); err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
	const newer = `{"flowehrState":2,"checksum":"","state":{}}`
	if _, err := s.put(t.Context(), stateName, []byte(newer), nil); err != nil {
		t.Fatal(err)
	}
	unlock := w.lock(s)
	_, err := s.Load(t.Context())
	if _, damaged := errors.AsType[*state.DamagedError](err); damaged || err == nil || !strings.Contains(err.Error(), "use the newer program") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Reset(t.Context()); err == nil {
		t.Error("a newer state was thrown away")
	}
	if _, err := s.Restore(t.Context(), 1); err == nil {
		t.Error("an older state took the place of a newer one")
	}
	if res, err := s.do(t.Context(), http.MethodGet, s.path(stateName), nil, nil); err != nil || string(res.Body) != newer {
		t.Errorf("the newer state became %s, %v", res.Body, err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestDamagedState(t *testing.T) {
	w := simulate(t)
	s := w.store("a")
	for range 2 {
		unlock := w.lock(s)
		st, _ := s.Load(t.Context())
		if _, err := s.Save(t.Context(), st.Revision, change("x", "")); err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.put(t.Context(), stateName, []byte("garbage"), nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context())
	damaged, ok := errors.AsType[*state.DamagedError](err)
	if !ok || !slices.Equal(damaged.Restore, []flowehr.Revision{1}) {
		t.Fatalf("got %v", err)
	}
	unlock := w.lock(s)
	if _, err := s.Save(t.Context(), 2, change("x", "")); err == nil {
		t.Error("a damaged state was written over")
	}
	st, err := s.Restore(t.Context(), 1)
	if err != nil || len(st.Records) != 1 || st.Revision <= 2 {
		t.Errorf("restored %+v, %v", st, err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	res, err := s.do(t.Context(), http.MethodGet, "/"+DefaultContainer+"?restype=container&comp=list&prefix=hosp-test/state.json.damaged", nil, nil)
	if err != nil || !strings.Contains(string(res.Body), "state.json.damaged-") {
		t.Errorf("the damaged state was not set aside: %s, %v", res.Body, err)
	}
}

// Lost answers, broken connections and throttling neither lose a save nor make one twice.
func TestSaveUnderFaults(t *testing.T) {
	w := simulate(t)
	s := w.store("a")
	unlock := w.lock(s)
	if err := w.remote.SetFaults(t.Context(), azuresim.Faults{Rate: 0.4}); err != nil {
		t.Fatal(err)
	}
	rev := flowehr.Revision(0)
	for n := range 20 {
		next, err := s.Save(t.Context(), rev, change(fmt.Sprint(n), ""))
		if err != nil {
			t.Fatalf("save %d: %v", n, err)
		}
		rev = next
	}
	if err := w.remote.SetFaults(t.Context(), azuresim.Faults{}); err != nil {
		t.Fatal(err)
	}
	st, err := w.store("b").Load(t.Context())
	if err != nil || st.Revision != 20 || len(st.Records) != 20 {
		t.Errorf("got revision %d with %d records, %v", st.Revision, len(st.Records), err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := flowehr.State{Environment: rapid.String().Draw(t, "environment"), Target: flowehr.TargetAzure, Revision: flowehr.Revision(rapid.Int64Min(0).Draw(t, "revision")),
			Records: map[flowehr.Ref]flowehr.Record{}}
		for _, name := range rapid.SliceOfDistinct(rapid.StringMatching(`[a-z]{1,5}`), rapid.ID).Draw(t, "names") {
			st = change(name, rapid.String().Draw(t, "output")).Apply(st)
		}
		b, err := encode(st)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		x, _ := flowehr.Canonical(st)
		y, _ := flowehr.Canonical(got)
		if string(x) != string(y) {
			t.Errorf("got %s, want %s", y, x)
		}
	})
}

func FuzzDecode(f *testing.F) {
	b, err := encode(flowehr.State{Environment: "e"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"flowehrState":1,"checksum":"","state":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := decode(b)
		if err != nil {
			return
		}
		if again, err := encode(st); err != nil {
			t.Errorf("decoded but not encoded: %v", err)
		} else if _, err := decode(again); err != nil {
			t.Errorf("encoded but not decoded: %v", err)
		}
	})
}
