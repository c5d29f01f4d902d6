package synth

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// resourceTypes are the FHIR R4 resources that are written, one file each.
var resourceTypes = []string{"Location", "Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "Procedure"}

// Places in resourceTypes.
const (
	fhirLocation = iota
	fhirPatients
	fhirEncounters
	fhirConditions
	fhirObservations
	fhirMedications
	fhirProcedures
)

// ResourceTypes lists the FHIR resource types that WriteFHIR makes.
func ResourceTypes() []string { return append([]string(nil), resourceTypes...) }

// WriteFHIR writes FHIR R4 resources as newline-delimited JSON into dir, one file named {ResourceType}.ndjson for each
// type. Existing files of those names are replaced. Source: https://hl7.org/fhir/R4/.
func (h *Hospital) WriteFHIR(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := make([]*file, len(resourceTypes))
	for i, t := range resourceTypes {
		f, err := create(filepath.Join(dir, t+".ndjson"))
		if err != nil {
			return err
		}
		defer f.abandon()
		files[i] = f
	}
	locations := fhirWriter{out: make([][]byte, len(resourceTypes))}
	for _, ward := range wards {
		locations.put(fhirLocation, location{resource{"Location", ward.ID}, "active", ward.Name, []concept{{Text: ward.Specialty}}})
	}
	if _, err := files[fhirLocation].buffer.Write(locations.out[fhirLocation]); err != nil {
		return err
	}
	err := h.eachInOrder(ctx, func(p *Person, out [][]byte) [][]byte {
		w := fhirWriter{out: out}
		w.person(p)
		return w.out
	}, files)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := f.commit(); err != nil {
			return err
		}
	}
	return nil
}

type resource struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
}
type coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}
type concept struct {
	Coding []coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}
type reference struct {
	Reference string `json:"reference"`
}
type period struct {
	Start string `json:"start"`
	End   string `json:"end,omitempty"`
}
type location struct {
	resource
	Status string    `json:"status"`
	Name   string    `json:"name"`
	Type   []concept `json:"type"`
}
type humanName struct {
	Use    string   `json:"use"`
	Family string   `json:"family"`
	Given  []string `json:"given"`
}
type fhirIdentifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
}
type address struct {
	City       string `json:"city"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country"`
}
type fhirPatient struct {
	resource
	Identifier []fhirIdentifier `json:"identifier"`
	Name       []humanName      `json:"name"`
	Gender     string           `json:"gender"`
	BirthDate  string           `json:"birthDate"`
	Deceased   string           `json:"deceasedDateTime,omitempty"`
	Address    []address        `json:"address"`
}
type place struct {
	Location reference `json:"location"`
}
type fhirEncounter struct {
	resource
	Status   string    `json:"status"`
	Class    coding    `json:"class"`
	Type     []concept `json:"type"`
	Subject  reference `json:"subject"`
	Period   period    `json:"period"`
	Reason   []concept `json:"reasonCode,omitempty"`
	Location []place   `json:"location"`
}
type fhirCondition struct {
	resource
	Status    concept   `json:"clinicalStatus"`
	Code      concept   `json:"code"`
	Subject   reference `json:"subject"`
	Encounter reference `json:"encounter"`
	Onset     string    `json:"onsetDateTime"`
	Abatement string    `json:"abatementDateTime,omitempty"`
}
type quantity struct {
	Value  json.Number `json:"value"`
	Unit   string      `json:"unit"`
	System string      `json:"system"`
	Code   string      `json:"code"`
}
type fhirObservation struct {
	resource
	Status    string    `json:"status"`
	Category  []concept `json:"category"`
	Code      concept   `json:"code"`
	Subject   reference `json:"subject"`
	Encounter reference `json:"encounter"`
	Effective string    `json:"effectiveDateTime"`
	Value     quantity  `json:"valueQuantity"`
}
type fhirMedication struct {
	resource
	Status     string    `json:"status"`
	Intent     string    `json:"intent"`
	Medication concept   `json:"medicationCodeableConcept"`
	Subject    reference `json:"subject"`
	Encounter  reference `json:"encounter"`
	Authored   string    `json:"authoredOn"`
}
type fhirProcedure struct {
	resource
	Status    string    `json:"status"`
	Code      concept   `json:"code"`
	Subject   reference `json:"subject"`
	Encounter reference `json:"encounter"`
	Performed period    `json:"performedPeriod"`
}

// fhirWriter collects the lines of each resource type.
type fhirWriter struct{ out [][]byte }

func (w *fhirWriter) put(kind int, v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // the structs above are always JSON
	}
	w.out[kind] = append(append(w.out[kind], line...), '\n')
}

func (w *fhirWriter) person(p *Person) {
	const categories = "http://terminology.hl7.org/CodeSystem/observation-category"
	a := &p.Patient
	who := reference{"Patient/" + a.ID}
	w.put(fhirPatients, fhirPatient{resource{"Patient", a.ID}, []fhirIdentifier{{"urn:flowehr:hospital-number", a.HospitalNumber}},
		[]humanName{{"official", a.Family, []string{a.Given}}}, a.Gender, a.Birth.Format(time.DateOnly), moment(a.Deceased),
		[]address{{a.City, a.Postcode, "GB"}}})
	for _, e := range p.Encounters {
		w.put(fhirEncounters, fhirEncounter{resource{"Encounter", e.ID}, "finished",
			coding{System: "http://terminology.hl7.org/CodeSystem/v3-ActCode", Code: e.Class},
			[]concept{own(e.Code, e.Description)}, who, period{moment(e.Start), moment(e.End)}, []concept{{Text: e.Reason}},
			[]place{{reference{"Location/" + e.Ward}}}})
	}
	for _, c := range p.Conditions {
		status := concept{Coding: []coding{{System: "http://terminology.hl7.org/CodeSystem/condition-clinical", Code: conditionStatus(c)}}}
		w.put(fhirConditions, fhirCondition{resource{"Condition", c.ID}, status, own(c.Code, c.Description), who,
			reference{"Encounter/" + c.Encounter}, moment(c.Onset), moment(c.Abated)})
	}
	for _, o := range p.Observations {
		w.put(fhirObservations, fhirObservation{resource{"Observation", o.ID}, "final",
			[]concept{{Coding: []coding{{System: categories, Code: o.Category}}}},
			concept{[]coding{{"http://loinc.org", o.Code, o.Description}}, o.Description}, who,
			reference{"Encounter/" + o.Encounter}, moment(o.At),
			quantity{json.Number(strconv.FormatFloat(o.Value, 'f', -1, 64)), o.Unit, "http://unitsofmeasure.org", o.Unit}})
	}
	for _, m := range p.Medications {
		w.put(fhirMedications, fhirMedication{resource{"MedicationRequest", m.ID}, medicationStatus(m), "order",
			own(m.Code, m.Description), who, reference{"Encounter/" + m.Encounter}, moment(m.Start)})
	}
	for _, x := range p.Procedures {
		w.put(fhirProcedures, fhirProcedure{resource{"Procedure", x.ID}, "completed", own(x.Code, x.Description), who,
			reference{"Encounter/" + x.Encounter}, period{moment(x.Start), moment(x.End)}})
	}
}

// own is a concept of the made-up code system.
func own(code, text string) concept {
	return concept{[]coding{{codeSystem, code, text}}, text}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
