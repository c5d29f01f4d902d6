package portal

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// shelf is one of the two places of tables.
type shelf struct {
	path, name, what, command string
	reader                    TableReader
	profiler                  Profiler
}

func (p *Portal) shelves() []shelf {
	return []shelf{
		{"lake", "Lake", "The tables of the lake's zones will stand here once a pipeline has written one.", "flowehr pipelines run NAME", p.Data.Lake, p.Data.LakeProfile},
		{"store", "Feature store", "The tables that pipelines publish for apps will stand here.", "flowehr pipelines run NAME", p.Data.Store, p.Data.StoreProfile},
	}
}

// tableGroup is the tables of one zone or schema.
type tableGroup struct {
	Name   string
	Tables []TableSummary
}

func (p *Portal) tables(s shelf) page {
	return func(w http.ResponseWriter, r *http.Request, v visit) error {
		list, err := s.reader.Tables(r.Context(), v.Person)
		if err != nil {
			return err
		}
		var groups []tableGroup
		for _, t := range list {
			i := slices.IndexFunc(groups, func(g tableGroup) bool { return g.Name == t.Group })
			if i < 0 {
				i = len(groups)
				groups = append(groups, tableGroup{Name: t.Group})
			}
			groups[i].Tables = append(groups[i].Tables, t)
		}
		return p.show(w, r, tablesPage(p.chrome(v, s.name, "/"+s.path), s, groups, len(list)))
	}
}

// previewRows is how many rows a preview shows.
const previewRows = 20

// tableView is a table with what was asked for besides.
type tableView struct {
	Table
	Preview    *Preview
	Profile    *Profile
	CanProfile bool
	Lineage    graphView
	Asked      string
}

func (p *Portal) table(s shelf) page {
	return func(w http.ResponseWriter, r *http.Request, v visit) error {
		t, err := s.reader.Table(r.Context(), v.Person, r.PathValue("name"))
		if err != nil {
			return err
		}
		view := tableView{Table: t, CanProfile: s.profiler != nil, Lineage: lineageGraph(t.Lineage)}
		q := r.URL.Query()
		if q.Has("preview") {
			rows, err := s.reader.Preview(r.Context(), v.Person, t.Name, previewRows)
			if err != nil {
				return err
			}
			view.Preview = &rows
		}
		if q.Has("profile") && view.CanProfile {
			profile, err := s.profiler.Profile(r.Context(), v.Person, t.Name)
			if err != nil {
				return err
			}
			view.Profile = &profile
		}
		return p.show(w, r, tablePage(p.chrome(v, t.Name, "/"+s.path), s, view))
	}
}

// profile is the table of columns alone: the page asks for it after it has been drawn.
func (p *Portal) profile(s shelf) page {
	return func(w http.ResponseWriter, r *http.Request, v visit) error {
		t, err := s.reader.Table(r.Context(), v.Person, r.PathValue("name"))
		if err != nil {
			return err
		}
		profile, err := s.profiler.Profile(r.Context(), v.Person, t.Name)
		if err != nil {
			return err
		}
		return p.show(w, r, columnTable(s, tableView{Table: t, Profile: &profile, CanProfile: true}))
	}
}

// profiles are the known profiles of columns by their names in lower case.
func (t tableView) profiles() map[string]ColumnProfile {
	if t.Profile == nil {
		return nil
	}
	all := make(map[string]ColumnProfile, len(t.Profile.Columns))
	for _, c := range t.Profile.Columns {
		all[strings.ToLower(c.Name)] = c
	}
	return all
}

// hasUnits reports whether any column has something to say in the column of units and roles; a column of a table on the
// page that nothing stands in is left out.
func (t tableView) hasUnits() bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Unit != "" || c.Role != "" || c.Masked != "" })
}

// hasComments reports whether any column has a comment.
func (t tableView) hasComments() bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Comment != "" })
}

// hasBuckets reports whether any column has a distribution.
func (t tableView) hasBuckets() bool {
	return t.Profile != nil && slices.ContainsFunc(t.Profile.Columns, func(c ColumnProfile) bool { return len(c.Buckets) > 0 })
}

// valueRange sums a column up: its range, or how many values it has.
func valueRange(p ColumnProfile) string {
	switch {
	case p.Min != "" && p.Min == p.Max:
		return clip(p.Min, 24)
	case p.Min != "" || p.Max != "":
		return clip(cmp.Or(p.Min, "?"), 24) + " – " + clip(cmp.Or(p.Max, "?"), 24)
	case p.Distinct >= 0:
		return plural(p.Distinct, "value", "values")
	}
	return ""
}

// profileOf says what a profile was computed from.
func profileOf(p Profile) string {
	s := "Profile"
	if p.Version >= 0 {
		s += " of version " + count(p.Version)
	}
	if p.Sampled >= 0 && p.Sampled < p.Rows {
		s += ", from " + count(p.Sampled) + " of " + count(p.Rows) + " rows"
	}
	return s + "."
}

func failing(checks []Check) (n int) {
	for _, c := range checks {
		if !c.OK {
			n++
		}
	}
	return n
}
