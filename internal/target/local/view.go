package local

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/service/portal"
	"github.com/flowehr/flowehr/internal/supervise"
)

// newPortal hands the portal the few things that it reads and does.
func (h *Host) newPortal(address string) (*portal.Portal, error) {
	grants, err := h.grants()
	if err != nil {
		return nil, err
	}
	runs, lake, store := runView{h}, lakeView{h}, storeView{h}
	return portal.New(portal.Options{
		Data: portal.Data{
			Environment: environmentView{h}, Resources: environmentView{h}, Services: environmentView{h},
			Pipelines: pipelineView{h}, Runs: runs, Logs: runs, Actions: runs,
			Lake: lake, LakeProfile: lake, Store: store, StoreProfile: store,
			Sources: sourceView{h}, Audit: auditView{h}, SignIns: auditView{h},
		},
		Name: h.Environment.Suffix, Target: flowehr.TargetLocal, RealData: h.Environment.RealData,
		Base: address, LinkCommand: "flowehr portal link",
		Grants: grants, Now: h.Now, Logger: h.Logger.With("service", "portal"),
	})
}

// see records that a person looked at something that may tell about patients.
func (h *Host) see(ctx context.Context, by portal.Person, action, subject string) error {
	return h.Audit(ctx, audit.Entry{Who: by.ID, Action: action, Subject: subject, Outcome: "ok"})
}

// environmentView shows the environment as a whole.
type environmentView struct{ *Host }

// Overview tells how each layer is.
func (v environmentView) Overview(ctx context.Context, by portal.Person) (portal.Overview, error) {
	records, err := v.Resources(ctx, by)
	if err != nil {
		return portal.Overview{}, err
	}
	count, done := map[flowehr.Layer]int{}, map[flowehr.Layer]int{}
	kinds := map[string]int{}
	for _, r := range records.Records {
		count[r.Resource.Layer]++
		if r.Pending == flowehr.Keep {
			done[r.Resource.Layer]++
		}
		kinds[r.Resource.Ref.Kind]++
	}
	services, err := v.Services(ctx, by)
	if err != nil {
		return portal.Overview{}, err
	}
	o := portal.Overview{Health: portal.Healthy}
	for _, s := range services {
		if s.Health != portal.Healthy {
			o.Health = portal.Degraded
			o.Needs = append(o.Needs, portal.Need{Health: s.Health, Word: "Service", Subject: s.Name, Path: "/services", Text: s.Text})
		}
	}
	for _, l := range []flowehr.Layer{flowehr.LayerCore, flowehr.LayerTransform} {
		layer := portal.Layer{Layer: l, Health: portal.Healthy, Word: fmt.Sprintf("%d of %d", done[l], count[l])}
		if done[l] < count[l] {
			layer.Health = portal.Degraded
			layer.Facts = append(layer.Facts, "A change is half-done: flowehr deploy goes on with it.")
		}
		if o.Health != portal.Healthy {
			layer.Health = o.Health
		}
		facts := v.coreFacts
		if l == flowehr.LayerTransform {
			facts = v.transformFacts
		}
		more, err := facts(ctx, kinds)
		if err != nil {
			return o, err
		}
		layer.Facts = append(layer.Facts, more...)
		o.Layers = append(o.Layers, layer)
	}
	return o, nil
}

func (v environmentView) coreFacts(_ context.Context, kinds map[string]int) ([]string, error) {
	names, err := v.vault.Names()
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("%d secrets in the vault.", len(names)),
		fmt.Sprintf("%d groups. Everything that anybody does is in the audit log.", kinds[kindGroup]),
	}, nil
}

func (v environmentView) transformFacts(ctx context.Context, kinds map[string]int) ([]string, error) {
	tables, err := v.lake.List(ctx)
	if err != nil {
		return nil, err
	}
	published, err := v.Published(ctx)
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("%d sources, %d pipelines.", kinds[kindSource], kinds[kindPipeline]),
		fmt.Sprintf("%d lake tables in %d zones, %d tables in the feature store.", len(tables), kinds[kindZone], len(published)),
	}, nil
}

// Resources lists what was deployed.
func (v environmentView) Resources(ctx context.Context, _ portal.Person) (portal.Resources, error) {
	have, err := v.State(ctx)
	if err != nil {
		return portal.Resources{}, err
	}
	out := portal.Resources{Revision: have.Revision}
	for _, rec := range have.Records {
		out.Records = append(out.Records, rec)
	}
	return out, nil
}

// Services lists the supervised services.
func (v environmentView) Services(context.Context, portal.Person) ([]portal.Service, error) {
	v.mu.Lock()
	states := v.services
	v.mu.Unlock()
	if states == nil {
		return nil, nil
	}
	about := map[string]string{"postgres": "Feature store, and the record of runs", "changes": "Brings what stands to what the definition says",
		"engine": "Runs pipelines", "housekeeping": "Deletes files of the lake that no reader can need any more", "portal": "This site"}
	var out []portal.Service
	for _, s := range states() {
		x := portal.Service{Name: s.Name, Text: about[s.Name], Health: health(s.Phase), Since: s.Since, Restarts: s.Restarts, Memory: -1}
		if s.LastError != nil && x.Health != portal.Healthy {
			x.Text = s.LastError.Error()
		}
		out = append(out, x)
	}
	return out, nil
}

func health(p supervise.Phase) portal.Health {
	switch p {
	case supervise.PhaseReady:
		return portal.Healthy
	case supervise.PhaseWaiting, supervise.PhaseStarting:
		return portal.Starting
	case supervise.PhaseBackoff:
		return portal.Degraded
	case supervise.PhaseCrashLoop, supervise.PhaseFailed:
		return portal.Down
	case supervise.PhaseStopping, supervise.PhaseStopped:
		return portal.Stopped
	}
	return portal.HealthUnknown
}

// sourceView shows and tests data sources.
type sourceView struct{ *Host }

// Sources lists the sources of the definition and which pipelines read them.
func (v sourceView) Sources(ctx context.Context, _ portal.Person) ([]portal.Source, error) {
	used, err := v.usedBy(ctx)
	if err != nil {
		return nil, err
	}
	var out []portal.Source
	for _, s := range v.live.Load().sources {
		x := portal.Source{Name: s.Name, Kind: s.Kind, Host: s.Host, Port: s.Port, Database: s.Database, Path: s.Path, TLS: s.TLS, UsedBy: used[s.Name]}
		if made, ok := v.live.Load().synthetic[s.Name]; ok {
			x.Synthetic = fmt.Sprintf("%d made-up patients, seed %d", made.Patients, made.Seed)
		}
		out = append(out, x)
	}
	return out, nil
}

func (v sourceView) usedBy(ctx context.Context) (map[string][]string, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	list, err := store.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string][]string{}
	for _, p := range list {
		b, err := store.Bundle(ctx, p.Name, p.Version)
		if err != nil {
			return nil, err
		}
		for _, d := range b.Datasets {
			name := d.LinkedService.Name
			if n := len(used[name]); n == 0 || used[name][n-1] != p.Name {
				used[name] = append(used[name], p.Name)
			}
		}
	}
	return used, nil
}

// TestSource connects to a source.
func (v sourceView) TestSource(ctx context.Context, by portal.Person, name string) (portal.SourceTest, error) {
	if err := v.see(ctx, by, "source.test", "source/"+name); err != nil {
		return portal.SourceTest{}, err
	}
	t, err := v.Host.TestSource(ctx, name)
	return portal.SourceTest{At: t.At, OK: t.OK, Took: t.Took, Text: t.Text, Fix: t.Fix}, err
}

// auditView shows the audit log.
type auditView struct{ *Host }

// Entries reads the log, newest first.
func (v auditView) Entries(_ context.Context, _ portal.Person, f portal.AuditFilter) (portal.AuditPage, error) {
	limit := max(f.Limit, 1)
	before, err := pageMark(f.After)
	if err != nil {
		return portal.AuditPage{}, portal.ErrNotFound
	}
	var page portal.AuditPage
	err = audit.Scan(v.Paths.Audit, audit.Filter{From: f.Since, To: f.Until}, func(r audit.Record) bool {
		if before > 0 && r.Seq >= before || !matches(r.Entry.Who, f.Who) || !matches(r.Entry.Action, f.Action) || !matches(r.Entry.Subject, f.Subject) {
			return true
		}
		if len(page.Entries) == limit {
			page.Next = fmt.Sprint(page.Entries[limit-1].Seq)
			return false
		}
		x := portal.AuditEntry{Seq: r.Seq, At: r.At, Who: r.Entry.Who, Action: r.Entry.Action, Subject: r.Entry.Subject, Project: r.Entry.Project, Outcome: r.Entry.Outcome}
		for _, k := range sortedKeys(r.Entry.Detail) {
			x.Detail = append(x.Detail, portal.NameValue{Name: k, Value: r.Entry.Detail[k]})
		}
		page.Entries = append(page.Entries, x)
		return true
	})
	return page, err
}

func matches(text, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// Chain verifies the log.
func (v auditView) Chain(context.Context, portal.Person) (portal.Chain, error) {
	r, err := audit.Verify(v.Paths.Audit)
	if err != nil {
		return portal.Chain{}, err
	}
	c := portal.Chain{OK: r.Problem == nil, Records: r.Records, At: v.Now()}
	if r.Problem != nil {
		c.Problem = fmt.Sprintf("line %d: %s", r.Problem.Line, r.Problem.Text)
	}
	return c, nil
}

// SignedIn records that a person signed in.
func (v auditView) SignedIn(ctx context.Context, by portal.Person) error {
	return v.see(ctx, by, "portal.sign-in", "portal")
}

// SignedOut records that a person signed out.
func (v auditView) SignedOut(ctx context.Context, by portal.Person) error {
	return v.see(ctx, by, "portal.sign-out", "portal")
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
