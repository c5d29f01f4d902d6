package portal

import (
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/flowehr/flowehr"
)

func (p *Portal) resources(w http.ResponseWriter, r *http.Request, v visit) error {
	res, err := p.Data.Resources.Resources(r.Context(), v.Person)
	if err != nil {
		return err
	}
	var layers []layerRecords
	for _, l := range flowehr.Layers() {
		part := layerRecords{Layer: l}
		for _, rec := range res.Records {
			if rec.Resource.Layer == l {
				part.Records = append(part.Records, rec)
			}
		}
		if len(part.Records) > 0 {
			layers = append(layers, part)
		}
	}
	return p.show(w, r, resourcesPage(p.chrome(v, "Resources", "/resources"), res.Revision, layers))
}

// layerRecords is what was deployed of one layer.
type layerRecords struct {
	Layer   flowehr.Layer
	Records []flowehr.Record
}

func (p *Portal) services(w http.ResponseWriter, r *http.Request, v visit) error {
	list, err := p.Data.Services.Services(r.Context(), v.Person)
	if err != nil {
		return err
	}
	return p.show(w, r, servicesPage(p.chrome(v, "Services", "/services"), list))
}

func (p *Portal) sources(w http.ResponseWriter, r *http.Request, v visit) error {
	list, err := p.Data.Sources.Sources(r.Context(), v.Person)
	if err != nil {
		return err
	}
	return p.show(w, r, sourcesPage(p.chrome(v, "Sources", "/sources"), list, "", nil))
}

// testSource connects to a source and shows the list with the outcome. It changes nothing, so there is no redirect.
func (p *Portal) testSource(w http.ResponseWriter, r *http.Request, v visit) error {
	name := r.PathValue("name")
	result, err := p.Data.Sources.TestSource(r.Context(), v.Person, name)
	if err != nil {
		return err
	}
	list, err := p.Data.Sources.Sources(r.Context(), v.Person)
	if err != nil {
		return err
	}
	return p.show(w, r, sourcesPage(p.chrome(v, "Sources", "/sources"), list, name, &result))
}

const entriesPerPage = 100

// auditView is a page of the audit log with its filter.
type auditView struct {
	AuditPage
	Chain        Chain
	Filter       AuditFilter
	Since, Until string // as typed
	Wrong        string
}

func (v auditView) filtered() bool {
	f := v.Filter
	return f.Who != "" || f.Action != "" || f.Subject != "" || v.Since != "" || v.Until != ""
}

func (p *Portal) audit(w http.ResponseWriter, r *http.Request, v visit) error {
	q := r.URL.Query()
	view := auditView{
		Filter: AuditFilter{Who: q.Get("who"), Action: q.Get("action"), Subject: q.Get("subject"), After: q.Get("after"), Limit: entriesPerPage},
		Since:  q.Get("since"), Until: q.Get("until"),
	}
	for _, t := range []struct {
		text string
		into *time.Time
		add  time.Duration
	}{{view.Since, &view.Filter.Since, 0}, {view.Until, &view.Filter.Until, 24 * time.Hour}} {
		if t.text == "" {
			continue
		}
		day, err := time.ParseInLocation(time.DateOnly, t.text, p.Location)
		if err != nil {
			view.Wrong = "A day is written like 2026-11-21."
			continue
		}
		*t.into = day.Add(t.add)
	}
	var err error
	if view.AuditPage, err = p.Data.Audit.Entries(r.Context(), v.Person, view.Filter); err != nil {
		return err
	}
	if view.Chain, err = p.Data.Audit.Chain(r.Context(), v.Person); err != nil {
		return err
	}
	return p.show(w, r, auditPage(p.chrome(v, "Audit", "/audit"), view))
}

func outcomeKind(outcome string) string {
	switch outcome {
	case "ok":
		return "ok"
	case "failed":
		return "bad"
	case "refused":
		return "warn"
	}
	return "skip"
}

// sourceKind is the name of a kind as people write it.
func sourceKind(k flowehr.SourceKind) string {
	switch k {
	case flowehr.SourceSQLServer:
		return "SQL Server"
	case flowehr.SourcePostgreSQL:
		return "PostgreSQL"
	case flowehr.SourceMySQL:
		return "MySQL or MariaDB"
	case flowehr.SourceFolder:
		return "Folder"
	}
	return string(k)
}

func testKind(t SourceTest) string {
	if t.OK {
		return "ok"
	}
	return "bad"
}

func testWord(t SourceTest) string {
	if t.OK {
		return "Connected"
	}
	return "Cannot connect"
}

func hostPort(s Source) string {
	if s.Port == 0 {
		return s.Host
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}
