package compliance

import (
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed report.html
var page string

// HTML writes the report as one page that needs nothing else: no script, no font and no picture is fetched. It follows the
// portal's tokens, in light and dark, and can be printed.
func (r Report) HTML(w io.Writer) error {
	return pageTemplate.Execute(w, r)
}

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"title":    title,
	"statuses": Statuses,
	"total":    Section.total,
	"about":    Report.about,
	"from":     Report.judgedFrom,
	"class":    func(s Status) string { return strings.ReplaceAll(string(s), " ", "-") },
	"anchor": func(s Section) string {
		return strings.NewReplacer(" ", "-", ".", "-").Replace(strings.ToLower(s.Standard + " " + s.Version))
	},
	"slug": func(x Result) string {
		return strings.NewReplacer(" ", "-", ".", "-").Replace(strings.ToLower(x.Standard + " " + x.Version + " " + x.ID))
	},
	"icon": func(s Status) string {
		return map[Status]string{Met: "✓", NotMet: "✕", CannotTell: "?", NotApplicable: "–"}[s]
	},
	"urgent": urgent,
	"count":  func(s Section, status Status) int { return s.Counts[status] },
}).Parse(page))

// urgent orders results by how much they ask for attention; within a status they keep their order.
func urgent(results []Result) []Result {
	return slices.SortedStableFunc(slices.Values(results), func(a, b Result) int {
		return cmp.Compare(slices.Index(Statuses(), a.Status), slices.Index(Statuses(), b.Status))
	})
}
