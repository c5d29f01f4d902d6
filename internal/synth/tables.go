package synth

import (
	"iter"
	"slices"
	"time"
)

// Column of a table. Type is one of text, date, timestamp, double or integer.
type Column struct{ Name, Type string }

// Table is one relational table of the hospital's database. The column names are those of a common flattening of
// Synthea's records, so that the same pipelines read both.
type Table struct {
	Name    string
	Columns []Column
	fixed   bool
	rows    func(p *Person, emit func(row []any) bool) bool
}

// Tables lists the tables in an order in which each refers only to earlier ones.
func (h *Hospital) Tables() []Table { return slices.Clone(tables) }

// Rows makes all rows of a table: string, time.Time (UTC), float64, int64 or nil for each column. The slice is used again
// for the next row; a caller that keeps a row copies it. Whoever wants several tables makes each patient only once with
// [Hospital.People] and [Table.RowsOf].
func (h *Hospital) Rows(t Table) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		if t.fixed {
			t.RowsOf(nil)(yield)
			return
		}
		for _, p := range h.People() {
			for row := range t.RowsOf(p) {
				if !yield(row) {
					return
				}
			}
		}
	}
}

// Fixed reports whether the table does not tell about patients: its rows are those of RowsOf(nil).
func (t Table) Fixed() bool { return t.fixed }

// RowsOf makes the rows of one patient, in the form of [Hospital.Rows]. A fixed table has none.
func (t Table) RowsOf(p *Person) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		if t.fixed != (p == nil) {
			return
		}
		row := make([]any, len(t.Columns))
		t.rows(p, func(values []any) bool { copy(row, values); return yield(row) })
	}
}

var tables = []Table{
	{"wards", columns("ward_id", "text", "name", "text", "specialty", "text", "beds", "integer"), true,
		func(_ *Person, emit func([]any) bool) bool {
			for _, w := range wards {
				if !emit([]any{w.ID, w.Name, w.Specialty, int64(w.Beds)}) {
					return false
				}
			}
			return true
		}},
	{"patients", columns("patient_id", "text", "hospital_number", "text", "given_name", "text", "family_name", "text", "gender", "text",
		"birth_date", "date", "deceased_at", "timestamp", "ethnicity", "text", "city", "text", "postcode", "text"), false,
		func(p *Person, emit func([]any) bool) bool {
			a := &p.Patient
			return emit([]any{a.ID, a.HospitalNumber, a.Given, a.Family, a.Gender, a.Birth, stamp(a.Deceased), a.Ethnicity, a.City, a.Postcode})
		}},
	{"encounters", columns("encounter_id", "text", "patient_id", "text", "class", "text", "code", "text", "description", "text",
		"started_at", "timestamp", "ended_at", "timestamp", "provider", "text", "reason", "text"), false,
		func(p *Person, emit func([]any) bool) bool {
			for _, e := range p.Encounters {
				if !emit([]any{e.ID, p.Patient.ID, e.Class, e.Code, e.Description, e.Start, e.End, e.Ward, e.Reason}) {
					return false
				}
			}
			return true
		}},
	{"conditions", columns("condition_id", "text", "patient_id", "text", "encounter_id", "text", "system", "text", "code", "text",
		"description", "text", "status", "text", "onset_at", "timestamp", "abated_at", "timestamp"), false,
		func(p *Person, emit func([]any) bool) bool {
			for _, c := range p.Conditions {
				if !emit([]any{c.ID, p.Patient.ID, c.Encounter, codeSystem, c.Code, c.Description, conditionStatus(c), c.Onset, stamp(c.Abated)}) {
					return false
				}
			}
			return true
		}},
	{"observations", columns("observation_id", "text", "patient_id", "text", "encounter_id", "text", "category", "text", "code", "text",
		"description", "text", "observed_at", "timestamp", "value_num", "double", "unit", "text", "value_text", "text"), false,
		func(p *Person, emit func([]any) bool) bool {
			for _, o := range p.Observations {
				if !emit([]any{o.ID, p.Patient.ID, o.Encounter, o.Category, o.Code, o.Description, o.At, o.Value, o.Unit, nil}) {
					return false
				}
			}
			return true
		}},
	{"medications", columns("medication_request_id", "text", "patient_id", "text", "encounter_id", "text", "code", "text",
		"description", "text", "status", "text", "authored_at", "timestamp", "stopped_at", "timestamp"), false,
		func(p *Person, emit func([]any) bool) bool {
			for _, m := range p.Medications {
				if !emit([]any{m.ID, p.Patient.ID, m.Encounter, m.Code, m.Description, medicationStatus(m), m.Start, stamp(m.Stopped)}) {
					return false
				}
			}
			return true
		}},
	{"procedures", columns("procedure_id", "text", "patient_id", "text", "encounter_id", "text", "code", "text", "description", "text",
		"started_at", "timestamp", "ended_at", "timestamp"), false,
		func(p *Person, emit func([]any) bool) bool {
			for _, x := range p.Procedures {
				if !emit([]any{x.ID, p.Patient.ID, x.Encounter, x.Code, x.Description, x.Start, x.End}) {
					return false
				}
			}
			return true
		}},
}

func columns(pairs ...string) []Column {
	var out []Column
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Column{pairs[i], pairs[i+1]})
	}
	return out
}

// stamp is nil for "never".
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func conditionStatus(c Condition) string {
	if c.Abated.IsZero() {
		return "active"
	}
	return "resolved"
}

func medicationStatus(m Medication) string {
	if m.Stopped.IsZero() {
		return "active"
	}
	return "stopped"
}
