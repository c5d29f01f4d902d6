package render

import (
	"io"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
)

// Diagnostics writes all of ds, sorted by place, under a line that counts them. Without any it writes nothing.
func Diagnostics(w io.Writer, s Style, ds []flowehr.Diagnostic) error {
	if len(ds) == 0 {
		return nil
	}
	ds = slices.Clone(ds)
	flowehr.SortDiagnostics(ds)
	var b strings.Builder
	b.WriteString(s.diagnosticsTitle(ds) + "\n\n")
	gutter := s.gutter(ds)
	for _, d := range ds {
		s.diagnostic(&b, d, gutter)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// diagnosticsTitle counts: "✗ 3 problems in 2 files, 1 warning".
func (s Style) diagnosticsTitle(ds []flowehr.Diagnostic) string {
	files := map[string]bool{}
	var problems, warnings int64
	for _, d := range ds {
		if d.Pos.File != "" {
			files[d.Pos.File] = true
		}
		if d.Severity == flowehr.SeverityError {
			problems++
			continue
		}
		warnings++
	}
	var counts []string
	symbol := s.Failed()
	if problems == 0 {
		symbol = s.paint(yellow, "!")
	}
	if problems > 0 {
		counts = append(counts, Plural(problems, "problem", "problems"))
	}
	if warnings > 0 {
		counts = append(counts, Plural(warnings, "warning", "warnings"))
	}
	title := symbol + " " + strings.Join(counts, " and ")
	if len(files) > 0 {
		title += " in " + Plural(int64(len(files)), "file", "files")
	}
	return title
}

// gutter is the column at which texts begin: behind the longest place, or, where that leaves too little room, at a small
// indent below the place.
func (s Style) gutter(ds []flowehr.Diagnostic) int {
	longest := 0
	for _, d := range ds {
		longest = max(longest, span(s.clean(d.Pos.String())))
	}
	if longest == 0 {
		return 0
	}
	return longest + 1
}

// leastText is how many columns a text needs beside the places.
const leastText = 36

func (s Style) diagnostic(b *strings.Builder, d flowehr.Diagnostic, gutter int) {
	place := s.clean(d.Pos.String())
	summary := s.clean(d.Summary)
	if d.Severity == flowehr.SeverityWarning {
		summary = "warning: " + summary
	}
	if d.Pointer != "" {
		summary += " (at " + s.clean(d.Pointer) + ")"
	}
	indent := strings.Repeat(" ", gutter)
	if s.width()-gutter < leastText {
		if place != "" {
			b.WriteString(s.paint(bold, place) + "\n")
		}
		indent, place = "  ", ""
	}
	first := s.paint(bold, pad(place, len(indent)))
	for _, line := range wrap(summary, s.width()-len(indent)) {
		b.WriteString(strings.TrimRight(first+line, " ") + "\n")
		first = indent
	}
	for text := range strings.SplitSeq(d.Detail, "\n") {
		for _, line := range wrap(s.clean(text), s.width()-len(indent)) {
			b.WriteString(indent + s.paint(dim, line) + "\n")
		}
	}
}
