// Package synth makes up a hospital: patients with a life of encounters, conditions, observations, medicines and
// procedures that hang together (age brings disease, disease brings abnormal results, drugs and admissions, frailty
// brings readmission), as rows for a database, as CSV files or as FHIR R4 NDJSON.
//
// Nobody in it exists, and no identifier in it could belong to anybody: hospital numbers fail the checksum that real
// ones pass, postcodes use a letter that no postcode starts with, telephone numbers are not made at all. It is for
// development, demonstrations and tests; it does not preserve the statistics of any real population and must not be
// used to draw conclusions.
//
// The rule that holds here: everything follows from Options. The same options give the same bytes every time (on one
// processor architecture: floating point may be fused on others), and patient i does not depend on how many patients
// there are. Patients are made one at a time, so memory does not grow with their number.
package synth

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
)

// Options decide a hospital completely.
type Options struct {
	Patients int
	Seed     uint64
	AsOf     time.Time // the day the data ends; the zero value is 1 January 2026, midnight UTC
}

// Hospital is a made-up hospital. It holds no data: every reading makes the rows anew. It is safe for concurrent use.
type Hospital struct {
	patients int
	seed     uint64
	asOf     time.Time
}

// New returns the hospital that o describes.
func New(o Options) (*Hospital, error) {
	if o.Patients < 0 || o.Patients > maxPatients {
		return nil, fmt.Errorf("number of patients %d is not between 0 and %d", o.Patients, maxPatients)
	}
	if o.AsOf.IsZero() {
		o.AsOf = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &Hospital{patients: o.Patients, seed: o.Seed, asOf: o.AsOf.UTC()}, nil
}

// Patients returns the number of patients.
func (h *Hospital) Patients() int { return h.patients }

// Person is one patient with everything that is known about them, oldest first.
type Person struct {
	Patient      Patient
	Encounters   []Encounter
	Conditions   []Condition
	Observations []Observation
	Medications  []Medication
	Procedures   []Procedure
}

// Patient is the demographic record.
type Patient struct {
	ID, HospitalNumber    string
	Given, Family, Gender string // gender: female, male or other
	Birth                 time.Time
	Deceased              time.Time // zero while alive
	Ethnicity             string
	City, Postcode        string
}

// Encounter is a contact with the hospital. Class is AMB (clinic), EMER (emergency) or IMP (inpatient).
type Encounter struct {
	ID, Class, Code, Description string
	Start, End                   time.Time
	Ward, Reason                 string
}

// Condition is a diagnosis. Abated is zero while it is active.
type Condition struct {
	ID, Encounter, Code, Description string
	Onset, Abated                    time.Time
}

// Observation is a measurement. Code is a LOINC code.
type Observation struct {
	ID, Encounter, Category, Code, Description string
	At                                         time.Time
	Value                                      float64
	Unit                                       string
}

// Medication is a prescription. Stopped is zero while it is taken.
type Medication struct {
	ID, Encounter, Code, Description string
	Start, Stopped                   time.Time
}

// Procedure is something that was done to the patient.
type Procedure struct {
	ID, Encounter, Code, Description string
	Start, End                       time.Time
}

// Ward is a part of the hospital.
type Ward struct {
	ID, Name, Specialty string
	Beds                int
}

// People makes all patients, in order.
func (h *Hospital) People() iter.Seq2[int, *Person] {
	return func(yield func(int, *Person) bool) {
		for i := range h.patients {
			if !yield(i, h.Person(i)) {
				return
			}
		}
	}
}

// Person makes patient i, counted from 0.
func (h *Hospital) Person(i int) *Person {
	rng := rand.New(rand.NewPCG(h.seed, uint64(i)*0x9e3779b97f4a7c15+1))
	l := life{rng: rng, asOf: h.asOf, person: &Person{}}
	l.demographics(h.seed, i)
	l.diseases()
	l.contacts()
	l.finish()
	return l.person
}
