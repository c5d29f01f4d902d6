package portal

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// large is a hospital in its third year: many runs, many tables, wide tables, and one run with many iterations.
type large struct {
	*fake
	list   []RunSummary
	tables []TableSummary
	wide   Table
	stats  Profile
	long   Run
}

func newLarge(f *fake) *large {
	l := &large{fake: f, long: loopRun()}
	for i := range 10_000 {
		r := greenRun(fmt.Sprintf("%08x-0000-4000-8000-%012x", 0x51be0700+i, i), fmt.Sprintf("pipeline-%d", i%200), time.Duration(i)*time.Second*8).RunSummary
		if i%7 == 0 {
			r.State, r.Error = Failed, "connection to epr-db refused"
		}
		l.list = append(l.list, r)
	}
	for i := range 500 {
		l.tables = append(l.tables, TableSummary{Name: fmt.Sprintf("z%d.t%d", i%50, i), Group: fmt.Sprintf("z%d", i%50), Rows: 1, Updated: ago(time.Hour), Checks: []Check{{"rows > 0", "", i%3 > 0}}})
	}
	l.wide = Table{TableSummary: l.tables[0]}
	for i := range 1500 {
		name := fmt.Sprintf("column_%d", i)
		l.wide.Columns = append(l.wide.Columns, Column{Name: name, Type: "double"})
		l.stats.Columns = append(l.stats.Columns, ColumnProfile{Name: name, Min: "1", Max: "9", Buckets: []Bucket{{"1", 4}, {"9", 2}}})
	}
	for i, t := range l.tables {
		l.wide.Lineage.Nodes = append(l.wide.Lineage.Nodes, LineageNode{ID: t.Name, Kind: "table", Name: t.Name})
		if i > 0 {
			l.wide.Lineage.Edges = append(l.wide.Lineage.Edges, LineageEdge{l.tables[i-1].Name, t.Name}, LineageEdge{l.tables[i/2].Name, t.Name})
		}
	}
	l.long.State = Failed
	each := act("Each ward", "ForEach", Failed, time.Hour, time.Minute, 0)
	l.long.Activities = append(l.long.Activities, each)
	for i := range 10_000 {
		a := act("Copy ward", "Copy", Failed, time.Hour, time.Minute, 1)
		a.Path = fmt.Sprintf("/Each ward[%d]/Copy ward", i)
		a.Error = &ActivityError{Code: "1", Message: "no"}
		l.long.Activities = append(l.long.Activities, a)
	}
	return l
}

func (l *large) Runs(_ context.Context, _ Person, q RunFilter) (RunPage, error) {
	n := min(q.Limit, len(l.list))
	return RunPage{Runs: l.list[:n], Next: "more"}, nil
}

func (l *large) Run(context.Context, Person, string) (Run, error) { return l.long, nil }

func (l *large) Tables(context.Context, Person) ([]TableSummary, error) { return l.tables, nil }

func (l *large) Table(context.Context, Person, string) (Table, error) { return l.wide, nil }

func (l *large) Preview(context.Context, Person, string, int) (Preview, error) { return Preview{}, nil }

func (l *large) Profile(context.Context, Person, string) (Profile, error) { return l.stats, nil }

// BenchmarkPages tells how long each page of a large environment takes.
func BenchmarkPages(b *testing.B) {
	s := newSite(b, func(o *Options) {
		l := newLarge(newFake())
		d := l.data()
		d.Runs, d.Lake, d.Store, d.LakeProfile, d.StoreProfile = l, l, l, l, l
		o.Data = d
	})
	cookie := s.signInAs()
	for _, path := range []string{"/", "/runs", "/runs/x", "/runs/x?all", "/pipelines", "/pipelines/conform", "/lake", "/lake/x", "/lake/x/profile", "/store", "/audit", "/resources"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest("GET", "http://127.0.0.1:7080"+path, nil)
				r.AddCookie(&http.Cookie{Name: s.cookie, Value: cookie})
				w := httptest.NewRecorder()
				s.h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("status %d", w.Code)
				}
			}
		})
	}
}
