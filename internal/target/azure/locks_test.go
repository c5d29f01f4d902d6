package azure

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// lockedWorld is a core with a locked vault, and an app that is allowed something on the vault.
type lockedWorld struct {
	*simulated
	core, app          flowehr.Record
	vault, ours, grant string // ids of the vault, its lock, and the app's right on it
}

const readerRole = "4633458b-17de-408a-b874-0445c86b69e6" // Key Vault Secrets User

func newLockedWorld(t *testing.T) *lockedWorld {
	t.Helper()
	w := &lockedWorld{simulated: simulate(t, azuresim.Options{Seed: 1}, nil)}
	n := testNames()
	w.vault = arm.ID(w.client.Subscription(), n.Group(), typeVault, n.Vault())
	w.ours, w.grant = arm.On(w.vault, typeLock, "lock-"+n.Vault()), arm.On(w.vault, typeRoleAssignment, azure.GUID("grant"))
	core := w.coreLocked(t)
	w.core = w.do(t, flowehr.Create, core, nil, &notes{})
	app := w.appStack(t, true)
	w.app = w.do(t, flowehr.Create, app, nil, &notes{})
	w.o.Wanted = []flowehr.Resource{core, app}
	return w
}

func (w *lockedWorld) coreLocked(t *testing.T) flowehr.Resource {
	t.Helper()
	n := testNames()
	inner := arm.ForGroup()
	vault := arm.New(typeVault, n.Vault(), arm.Object{"tenantId": w.sim.Tenant(), "sku": arm.Object{"family": "A", "name": "standard"},
		"enableRbacAuthorization": true, "softDeleteRetentionInDays": 7})
	vault.Location = region
	inner.Add("vault", vault)
	lock := arm.New(typeLock, "lock-"+n.Vault(), arm.Object{"level": "CanNotDelete", "notes": "Holds real data."})
	lock.Scope, lock.DependsOn = w.vault, []string{"vault"}
	inner.Add("lock", lock)
	return stackResource(t, "core", n.Stack("core"), flowehr.LayerCore, n.Group(), inner, true)
}

func (w *lockedWorld) appStack(t *testing.T, allowed bool) flowehr.Resource {
	t.Helper()
	n := testNames()
	inner := arm.ForGroup()
	factory := arm.New("Microsoft.DataFactory/factories", n.Factory(), arm.Object{})
	factory.Location, factory.Identity = region, arm.Object{"type": "SystemAssigned"}
	inner.Add("factory", factory)
	if allowed {
		grant := arm.New(typeRoleAssignment, azure.GUID("grant"), arm.Object{"principalId": w.o.Facts.Deployer.ObjectID, "principalType": "ServicePrincipal",
			"roleDefinitionId": arm.SubscriptionID(w.client.Subscription(), "Microsoft.Authorization/roleDefinitions", readerRole)})
		grant.Scope = w.vault
		inner.Add("grant", grant)
	}
	r := stackResource(t, "app-x", n.Stack("app-x"), flowehr.LayerApps, n.Group(), inner, true)
	r.Needs = []flowehr.Ref{azure.Ref(azure.KindStack, "core")}
	return r
}

func (w *lockedWorld) stands(t *testing.T, id string) bool {
	t.Helper()
	version, _ := arm.Version(typeOf(id))
	err := w.client.Get(t.Context(), cloud.ARM(), cloud.At(id, version), nil)
	if err != nil && !cloud.NotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func (w *lockedWorld) foreignLock(t *testing.T) string {
	t.Helper()
	id := arm.On(w.vault, typeLock, "of-the-hospital")
	version, _ := arm.Version(typeLock)
	if _, err := w.client.Long(t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(id, version),
		Body: arm.Object{"properties": arm.Object{"level": "CanNotDelete"}}}); err != nil {
		t.Fatal(err)
	}
	return id
}

func leave(rec flowehr.Record) flowehr.Step {
	return flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}
}

// coreIn is a plan's word on what the next deployment does to core.
func (w *lockedWorld) coreIn(t *testing.T) flowehr.Step {
	t.Helper()
	p, _, err := w.Preview(t.Context(), flowehr.Plan{Environment: "hosp-test", Target: flowehr.TargetAzure,
		Steps: []flowehr.Step{{Action: flowehr.Keep, Want: w.core.Resource, Prior: &w.core}}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Steps[0]
}

// A role on what another stack has locked goes, and the lock is back afterwards, when the locked stays.
func TestLockThatStaysIsPutBack(t *testing.T) {
	without := func(w *lockedWorld, t *testing.T) flowehr.Step {
		return flowehr.Step{Action: flowehr.Update, Want: w.appStack(t, false), Prior: &w.app}
	}
	for name, step := range map[string]func(*lockedWorld, *testing.T) flowehr.Step{
		"the app goes":            func(w *lockedWorld, _ *testing.T) flowehr.Step { return leave(w.app) },
		"the app loses the right": without,
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			w := newLockedWorld(t)
			s := step(w, t)
			in := &notes{}
			if _, err := w.During(flowehr.Plan{Steps: []flowehr.Step{s}}).Do(t.Context(), s, in); err != nil {
				t.Fatal(err)
			}
			if w.stands(t, w.grant) || !w.stands(t, w.ours) || !in.has("for a moment") || !in.has("locking "+testNames().Vault()+" again") {
				t.Errorf("right stands: %t, lock stands: %t, said %q", w.stands(t, w.grant), w.stands(t, w.ours), in.said)
			}
			if c := w.coreIn(t); c.Action != flowehr.Keep {
				t.Errorf("core is to be changed afterwards: %s, %+v", c.Why, c.Parts)
			}
			all := []flowehr.Step{leave(w.app), leave(w.core)}
			d := w.During(flowehr.Plan{Steps: all})
			for _, s := range all {
				if _, err := d.Do(t.Context(), s, &notes{}); err != nil {
					t.Fatal(err)
				}
			}
			if left := w.sim.Leftovers(); len(left) > 0 {
				t.Errorf("still there: %v", left)
			}
		})
	}
}

// A lock whose stack goes in the same plan does not come back in between.
func TestLockThatGoesStaysAway(t *testing.T) {
	w := newLockedWorld(t)
	steps := []flowehr.Step{leave(w.app), leave(w.core)}
	d := w.During(flowehr.Plan{Steps: steps})
	in := &notes{}
	if _, err := d.Do(t.Context(), steps[0], in); err != nil {
		t.Fatal(err)
	}
	if w.stands(t, w.ours) || !in.has("it goes in the same plan") {
		t.Errorf("the lock stands: %t, said %q", w.stands(t, w.ours), in.said)
	}
	// When it ends here after all, the next deployment puts the lock back.
	c := w.coreIn(t)
	if c.Action != flowehr.Update || !slices.ContainsFunc(c.Parts, func(p flowehr.Part) bool { return p.Kind == typeLock && p.Action == flowehr.Create }) {
		t.Fatalf("the missing lock is not planned: %s %+v", c.Action, c.Parts)
	}
	w.do(t, flowehr.Update, w.core.Resource, &w.core, &notes{})
	if !w.stands(t, w.ours) {
		t.Error("the lock is still missing")
	}
	if _, err := d.Do(t.Context(), steps[1], &notes{}); err != nil {
		t.Fatal(err)
	}
	if left := w.sim.Leftovers(); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

// What somebody else has locked remains so, and ours is put back when that keeps the right from being deleted.
func TestLockOfSomebodyElseRemains(t *testing.T) {
	w := newLockedWorld(t)
	foreign := w.foreignLock(t)
	s := leave(w.app)
	_, err := w.During(flowehr.Plan{Steps: []flowehr.Step{s}}).Do(t.Context(), s, &notes{})
	if !scopeLocked(err) {
		t.Errorf("got %v, want that it is locked", err)
	}
	for _, id := range []string{foreign, w.ours, w.grant} {
		if !w.stands(t, id) {
			t.Errorf("%s is gone", id)
		}
	}
}

// Who stops the run while a lock is away has it put back.
func TestStoppedWhileALockIsAway(t *testing.T) {
	w := newLockedWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	s := leave(w.app)
	if _, err := w.During(flowehr.Plan{Steps: []flowehr.Step{s}}).Do(ctx, s, stopping{&notes{}, stop}); err == nil {
		t.Error("the interruption was not told")
	}
	if !w.stands(t, w.ours) {
		t.Error("the lock is missing")
	}
	if _, stands, err := w.stack(t.Context(), testNames().Stack("app-x")); err != nil || !stands {
		t.Errorf("the app went on to go: %v", err)
	}
}

// Nothing that holds data is deleted while a lock is away that stays.
func TestDataless(t *testing.T) {
	for id, want := range map[string]bool{
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/blobServices/default/containers/bronze":              false,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a":                                                     false,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/providers/Microsoft.Authorization/locks/l":           false,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/providers/Microsoft.Insights/diagnosticSettings/d":   true,
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/providers/microsoft.authorization/roleassignments/r": true,
	} {
		if got := dataless(id); got != want {
			t.Errorf("%s holds nothing: %t, want %t", id, got, want)
		}
	}
}
