package azure

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
)

// The removal of an application may be cut after each of its requests. Whatever is known afterwards, the record, the
// description or nothing but the names of the environment, the next removal leaves neither the application nor its service
// principal, not even among the deleted; and as long as there is anything of them the inventory sees it.
func TestRemovalOfApplicationResumes(t *testing.T) {
	name := "flowehr-writer-" + testNames().Suffix
	app := resource(t, azure.KindApplication, name, azure.ApplicationSpec{DisplayName: name, UniqueName: azure.UniqueName(name), Tags: []string{ownerTag + testNames().Suffix}})
	for _, c := range []struct {
		name   string
		resume func(*testing.T, *Target, flowehr.Record)
	}{
		{"recorded", removeRecorded},
		{"described", func(t *testing.T, target *Target, rec flowehr.Record) {
			removeRecorded(t, target, flowehr.Record{Resource: rec.Resource})
		}},
		{"by name", removeByName},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlanes(t, azuresim.Options{Seed: 11})
			target := p.target(app)
			cuts := 0
			for n := 1; ; n++ {
				rec := makeDo(t, target, app)
				if !p.removeCut(t, target, rec, n) {
					break
				}
				cuts++
				p.inventorySees(t, target, n)
				c.resume(t, target, rec)
				if left := p.ofApplications(t); left != (remains{}) {
					t.Errorf("cut after request %d and resumed: left %+v", n, left)
				}
			}
			if left := p.ofApplications(t); left != (remains{}) || cuts < 5 {
				t.Errorf("after a whole removal %+v are left; %d were cut, want at least 5", left, cuts)
			}
		})
	}
}

func removeRecorded(t *testing.T, target *Target, rec flowehr.Record) {
	if _, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}, &noted{}); err != nil {
		t.Fatal(err)
	}
}

// removeByName removes what is found without any record.
func removeByName(t *testing.T, target *Target, _ flowehr.Record) {
	inv, err := target.Inventory(t.Context(), testNames())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.MakeDestroy(inv.State(testNames().Suffix, 0), nil, false, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range p.Steps {
		if _, err := target.Do(t.Context(), step, &noted{}); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := target.PurgeHeld(t.Context(), inv.SoftDeleted); err != nil || len(left) > 0 {
		t.Fatalf("purge what is held: %v, %v", left, err)
	}
}

// removeCut removes what is recorded until the nth request had its effect, and reports whether it was cut by that.
func (p *planes) removeCut(t *testing.T, target *Target, rec flowehr.Record, n int) (cut bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	made := 0
	p.onRequest(func() {
		if made++; made == n {
			stop()
		}
	})
	defer p.onRequest(nil)
	_, err := target.Do(ctx, flowehr.Step{Action: flowehr.Delete, Want: rec.Resource, Prior: &rec}, &noted{})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return made >= n
}

func (p *planes) onRequest(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = f
}

// remains counts what there is of applications in the directory.
type remains struct{ Standing, Applications, Principals int }

func (p *planes) ofApplications(t *testing.T) remains {
	t.Helper()
	tagged, g := taggedFor(testNames()), graph{p.client}
	applications, err := g.deletedApplications(t.Context(), tagged)
	principals, perr := g.deletedPrincipals(t.Context(), tagged)
	standing, serr := p.target().directoryObjects(t.Context(), "applications", "displayName", "flowehr-", "id")
	if err := errors.Join(err, perr, serr); err != nil {
		t.Fatal(err)
	}
	return remains{len(standing), len(applications), len(principals)}
}

// inventorySees fails unless the proof of a destruction that was cut after request n names all that there is.
func (p *planes) inventorySees(t *testing.T, target *Target, n int) {
	t.Helper()
	proof, err := target.nothingNamed(t.Context(), testNames(), map[string]bool{}, Proof{})
	if err != nil {
		t.Fatal(err)
	}
	is := p.ofApplications(t)
	if want := is.Standing + is.Applications + is.Principals; len(proof.Left)+len(proof.Kept) != want {
		t.Errorf("cut after request %d: the proof names %+v and %+v, there are %+v", n, proof.Left, proof.Kept, is)
	}
}
