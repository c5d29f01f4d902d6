package synth

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func hospital(t testing.TB, patients int, seed uint64) *Hospital {
	t.Helper()
	h, err := New(Options{Patients: patients, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSameOptionsGiveSameBytes(t *testing.T) {
	sum := func(seed uint64) map[string][32]byte {
		dir := t.TempDir()
		h := hospital(t, 30, seed)
		if err := h.WriteCSV(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if err := h.WriteFHIR(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		out := map[string][32]byte{}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(f)] = sha256.Sum256(b)
		}
		return out
	}
	a, b, other := sum(7), sum(7), sum(8)
	if want := len(tables) + len(resourceTypes); len(a) != want {
		t.Errorf("wrote %d files, want %d and nothing left over", len(a), want)
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gave different files")
	}
	if a["patients.csv"] == other["patients.csv"] {
		t.Error("another seed gave the same patients")
	}
}

func TestPatientDoesNotDependOnTheirNumber(t *testing.T) {
	small, big := hospital(t, 5, 3), hospital(t, 5000, 3)
	if !reflect.DeepEqual(small.Person(4), big.Person(4)) {
		t.Error("patient 4 of 5 and of 5,000 differ")
	}
}

func TestNoIdentifierIsReal(t *testing.T) {
	h := hospital(t, 2000, 1)
	seen := map[string]bool{}
	for _, p := range h.People() {
		n := p.Patient.HospitalNumber
		digits := make([]byte, 10)
		for i := range digits {
			digits[i] = n[i] - '0'
		}
		if checkDigit(digits[:9]) == int(digits[9]) {
			t.Fatalf("hospital number %s passes the checksum of real ones", n)
		}
		if seen[n] {
			t.Fatalf("hospital number %s occurs twice", n)
		}
		seen[n] = true
		if p.Patient.Postcode[0] != 'Q' {
			t.Fatalf("postcode %s could exist", p.Patient.Postcode)
		}
	}
}

func TestCheckDigitMatchesPublishedExample(t *testing.T) {
	// 943 476 5919 is the example number of the NHS data dictionary.
	if got := checkDigit([]byte{9, 4, 3, 4, 7, 6, 5, 9, 1}); got != 9 {
		t.Errorf("check digit = %d, want 9", got)
	}
}

func TestLivesAreConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, err := New(Options{Patients: 1_000_000, Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		p := h.Person(rapid.IntRange(0, 999_999).Draw(t, "patient"))
		ids := map[string]bool{}
		once := func(id string) {
			if ids[id] {
				t.Fatalf("identifier %s occurs twice", id)
			}
			ids[id] = true
		}
		born, end := p.Patient.Birth, h.asOf
		if !p.Patient.Deceased.IsZero() {
			end = p.Patient.Deceased
		}
		stays := map[string]bool{}
		for _, e := range p.Encounters {
			once(e.ID)
			stays[e.ID] = true
			if e.Start.Before(born) || e.End.Before(e.Start) || e.Start.After(end) {
				t.Errorf("encounter %s to %s of a life from %s to %s", e.Start, e.End, born, end)
			}
		}
		if len(stays) == 0 {
			t.Error("a patient without any encounter")
		}
		for _, o := range p.Observations {
			once(o.ID)
			if !stays[o.Encounter] {
				t.Errorf("observation of unknown encounter %s", o.Encounter)
			}
			if o.At.After(end) || o.At.Before(born) {
				t.Errorf("observation at %s of a life from %s to %s", o.At, born, end)
			}
		}
		for _, c := range p.Conditions {
			once(c.ID)
			if !stays[c.Encounter] {
				t.Errorf("condition of unknown encounter %s", c.Encounter)
			}
			if !c.Abated.IsZero() && c.Abated.Before(c.Onset) {
				t.Errorf("condition abated %s before its onset %s", c.Abated, c.Onset)
			}
		}
		for _, m := range p.Medications {
			once(m.ID)
			if !stays[m.Encounter] {
				t.Errorf("medication of unknown encounter %s", m.Encounter)
			}
		}
		for _, x := range p.Procedures {
			once(x.ID)
			if !stays[x.Encounter] {
				t.Errorf("procedure of unknown encounter %s", x.Encounter)
			}
		}
	})
}

// The correlations that the demo's features show must be in the data.
func TestDiseaseShowsInResults(t *testing.T) {
	h := hospital(t, 4000, 11)
	var with, without mean
	var old, young mean
	readmitted, stays := 0, 0
	for _, p := range h.People() {
		ckd := false
		for _, c := range p.Conditions {
			ckd = ckd || c.Code == "ckd"
		}
		for _, o := range p.Observations {
			if o.Code == measures[creatinine].code {
				if ckd {
					with.add(o.Value)
				} else {
					without.add(o.Value)
				}
			}
		}
		if age := h.asOf.Sub(p.Patient.Birth).Hours() / year.Hours(); age > 70 {
			old.add(float64(len(p.Conditions)))
		} else if age < 30 {
			young.add(float64(len(p.Conditions)))
		}
		var left time.Time
		for _, e := range p.Encounters {
			if e.Class != "IMP" {
				continue
			}
			if stays++; !left.IsZero() && e.Start.Sub(left) >= 0 && e.Start.Sub(left) <= 30*day {
				readmitted++
			}
			left = e.End
		}
	}
	if with.of() < without.of()+30 {
		t.Errorf("mean creatinine %.0f with kidney disease, %.0f without", with.of(), without.of())
	}
	if old.of() < 2*young.of() {
		t.Errorf("mean number of conditions %.1f above 70, %.1f below 30", old.of(), young.of())
	}
	if share := float64(readmitted) / float64(stays); share < .05 || share > .35 {
		t.Errorf("%d of %d stays follow another within 30 days (%.0f %%)", readmitted, stays, 100*share)
	}
}

type mean struct{ sum, n float64 }

func (m *mean) add(v float64) { m.sum += v; m.n++ }
func (m *mean) of() float64   { return m.sum / max(m.n, 1) }

func TestFilesAgreeWithEachOther(t *testing.T) {
	dir := t.TempDir()
	h := hospital(t, 40, 5)
	if err := h.WriteCSV(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFHIR(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for table, resource := range map[string]string{"wards": "Location", "patients": "Patient", "encounters": "Encounter", "conditions": "Condition",
		"observations": "Observation", "medications": "MedicationRequest", "procedures": "Procedure"} {
		f, err := os.Open(filepath.Join(dir, table+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, resource+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(strings.NewReader(string(b)))
		lines.Buffer(nil, 1<<20)
		n := 0
		for lines.Scan() {
			n++
			var r struct{ ResourceType, ID string }
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatalf("%s line %d: %v", resource, n, err)
			}
			if r.ResourceType != resource || r.ID != rows[n][0] {
				t.Fatalf("%s line %d is %s %s, the table has %s", resource, n, r.ResourceType, r.ID, rows[n][0])
			}
		}
		if n != len(rows)-1 {
			t.Errorf("%d %s resources, %d rows in %s", n, resource, len(rows)-1, table)
		}
	}
}

func TestNewRefusesImpossibleNumbers(t *testing.T) {
	for _, n := range []int{-1, maxPatients + 1} {
		if _, err := New(Options{Patients: n}); err == nil {
			t.Errorf("New accepted %d patients", n)
		}
	}
}

func BenchmarkPerson(b *testing.B) {
	h := hospital(b, b.N+1, 1)
	for i := range b.N {
		h.Person(i)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "patients/s")
}
