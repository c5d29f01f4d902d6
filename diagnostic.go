package flowehr

import (
	"cmp"
	"fmt"
	"slices"
)

// Pos is a place in a file of the definition. Line and Column count from 1; 0 means unknown.
type Pos struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns file:line:column, leaving out what is unknown.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// IsZero reports whether nothing is known of the place.
func (p Pos) IsZero() bool { return p == Pos{} }

// Severity says whether a diagnostic stops a command.
type Severity string

// Severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic is a problem that the user can fix. Summary says what is wrong in few words, Detail why and what to do.
// Neither may hold the value of a secret.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"`
	Pos      Pos      `json:"pos,omitzero"`
	Pointer  string   `json:"pointer,omitempty"` // JSON pointer, for problems inside a JSON definition
}

// Errorf makes an error diagnostic without detail.
func Errorf(pos Pos, format string, args ...any) Diagnostic {
	return Diagnostic{Severity: SeverityError, Summary: fmt.Sprintf(format, args...), Pos: pos}
}

// Warningf makes a warning without detail.
func Warningf(pos Pos, format string, args ...any) Diagnostic {
	return Diagnostic{Severity: SeverityWarning, Summary: fmt.Sprintf(format, args...), Pos: pos}
}

// With returns d with a detail.
func (d Diagnostic) With(format string, args ...any) Diagnostic {
	d.Detail = fmt.Sprintf(format, args...)
	return d
}

// HasErrors reports whether any diagnostic is an error.
func HasErrors(ds []Diagnostic) bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// SortDiagnostics orders by file, line and column, then by text, so that output is stable.
func SortDiagnostics(ds []Diagnostic) {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Summary, b.Summary))
	})
}

// DiagnosticsError carries diagnostics as an error. Commands show them all; the exit code says that the definition is
// at fault.
type DiagnosticsError struct{ Diagnostics []Diagnostic }

// Error counts the errors and shows the first.
func (e DiagnosticsError) Error() string {
	n, first := 0, ""
	for _, d := range e.Diagnostics {
		if d.Severity == SeverityError {
			if n++; n == 1 {
				first = d.Pos.String() + ": " + d.Summary
			}
		}
	}
	if n == 1 {
		return first
	}
	return fmt.Sprintf("%d problems, the first: %s", n, first)
}
