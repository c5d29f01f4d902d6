package synth

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 8766 * time.Hour // 365.25 days
)

// life is one patient in the making.
type life struct {
	rng    *rand.Rand
	asOf   time.Time
	person *Person
	end    time.Time // death, or the day the data ends
	base   [measureCount]float64
	has    map[string]time.Time // disease code -> onset
	seen   time.Time            // start of the recorded history
}

// demographics decides who the patient is. Ages follow a hospital's population: children, many old people.
func (l *life) demographics(seed uint64, i int) {
	p := &l.person.Patient
	p.ID, p.HospitalNumber = identifier(l.rng), hospitalNumber(seed, i)
	switch g := l.rng.Float64(); {
	case g < .515:
		p.Gender, p.Given = "female", pick(l.rng, givenFemale)
	case g < .996:
		p.Gender, p.Given = "male", pick(l.rng, givenMale)
	default:
		p.Gender, p.Given = "other", pick(l.rng, append(slices.Clone(givenFemale), givenMale...))
	}
	p.Family = pick(l.rng, familyHead) + pick(l.rng, familyTail)
	p.City, p.Postcode = pick(l.rng, cities), postcode(l.rng)
	p.Ethnicity = l.weighted(ethnicities)

	age := 52 + 24*l.rng.NormFloat64()
	if l.rng.Float64() < .14 {
		age = 17 * l.rng.Float64()
	}
	age = min(max(age, 0.02), 101)
	p.Birth = l.asOf.Add(-time.Duration(age * float64(year))).Truncate(day)
	l.end = l.asOf
	// Ten years of history at most: an older record would not be in the system.
	l.seen = later(p.Birth, l.asOf.Add(-10*year))

	l.bodyBuild(age)
}

// bodyBuild fixes the values that a person keeps: height, weight, and where their results usually lie.
func (l *life) bodyBuild(age float64) {
	for m := range l.base {
		l.base[m] = measures[m].mean + .7*measures[m].spread*l.rng.NormFloat64()
	}
	tall := 163.0
	if l.person.Patient.Gender == "male" {
		tall = 177
		l.base[haemoglobin] += .9
		l.base[creatinine] += 10
	}
	tall += 7 * l.rng.NormFloat64()
	mass := 21.5 + 3.2*math.Abs(l.rng.NormFloat64()) + 3*l.rng.Float64()*min(age/50, 1.3)
	if age < 18 {
		tall = 50 + (tall-50)*math.Pow(age/18, .62)
		mass = 15 + 6*age/18 + l.rng.NormFloat64()
		l.base[systolic] -= (18 - age) * 1.6
		l.base[heartRate] += (18 - age) * 2.2
		l.base[creatinine] *= .35 + .65*age/18
	}
	l.base[height], l.base[bodyMass] = tall, max(mass, 12)
	l.base[weight] = l.base[bodyMass] * tall * tall / 10_000
	l.base[systolic] += max(age-40, 0)*.45 + max(l.base[bodyMass]-25, 0)*.8
}

// diseases gives long-term conditions their onset and works out whether the patient has died of them.
func (l *life) diseases() {
	l.has = map[string]time.Time{}
	p := &l.person.Patient
	age := l.asOf.Sub(p.Birth).Hours() / year.Hours()
	for _, d := range diseases {
		span := float64(80 - d.from)
		if age <= float64(d.from) || span <= 0 {
			continue
		}
		risk := d.risk * math.Pow(d.obesity, (l.base[bodyMass]-25)/5)
		if p.Gender == "female" {
			risk *= d.female
		}
		if _, ok := l.has[d.after]; ok {
			risk *= 2
		}
		risk *= math.Pow((age-float64(d.from))/span, 1.6)
		if l.rng.Float64() >= risk {
			continue
		}
		// The risk grows with age, so onset lies nearer to today than to youth.
		at := float64(d.from) + (age-float64(d.from))*math.Sqrt(l.rng.Float64())
		l.has[d.code] = p.Birth.Add(time.Duration(at * float64(year)))
	}
	hazard := .0004 * math.Exp(max(age-45, 0)*.085)
	for _, d := range diseases {
		if _, ok := l.has[d.code]; ok {
			hazard += d.lethality
		}
	}
	// The history shows three years in which the patient may have died.
	if l.rng.Float64() < 1-math.Exp(-3*hazard*.6) {
		p.Deceased = l.asOf.Add(-time.Duration(l.rng.Float64() * 3 * float64(year))).Truncate(time.Second)
		if p.Deceased.After(p.Birth) {
			l.end = p.Deceased
		} else {
			p.Deceased = time.Time{}
		}
	}
	for code, onset := range l.has {
		if onset.After(l.end) {
			delete(l.has, code)
		}
	}
	l.seen = later(l.seen, p.Birth)
	if l.seen.After(l.end) {
		l.seen = l.end
	}
}

// burden counts the long-term conditions that the patient had at t.
func (l *life) burden(t time.Time) int {
	n := 0
	for _, onset := range l.has {
		if !onset.After(t) {
			n++
		}
	}
	return n
}

// contacts fills the recorded years with clinic visits, emergencies, stays and readmissions.
func (l *life) contacts() {
	for _, d := range diseases {
		onset, ok := l.has[d.code]
		if !ok {
			continue
		}
		l.diagnose(d, onset)
		from := later(onset, l.seen)
		for _, at := range l.moments(from, d.clinics) {
			l.clinic(at, d.name)
		}
		for _, at := range l.moments(from, d.admissions*.5) {
			l.stay(at, d.ward, d.name, 3.5, 0)
		}
	}
	for at := l.seen; at.Before(l.end); at = at.Add(year) {
		age := at.Sub(l.person.Patient.Birth).Hours() / year.Hours()
		rate := .22 + .010*max(age-60, 0) + .10*float64(l.burden(at))
		if age < 5 {
			rate += .25
		}
		until := earlier(at.Add(year), l.end)
		for range l.poisson(rate * until.Sub(at).Hours() / year.Hours()) {
			l.emergency(at.Add(time.Duration(l.rng.Float64() * float64(until.Sub(at)))))
		}
	}
	if len(l.person.Encounters) == 0 {
		l.clinic(l.seen.Add(time.Duration(l.rng.Float64()*float64(l.end.Sub(l.seen)))), "General assessment")
	}
}

// diagnose records a disease and the drugs for it.
func (l *life) diagnose(d disease, onset time.Time) {
	l.person.Conditions = append(l.person.Conditions, Condition{ID: identifier(l.rng), Code: d.code, Description: d.name, Onset: onset})
	for k, drug := range d.drugs {
		if k > 0 && l.rng.Float64() < .45 {
			continue
		}
		m := Medication{ID: identifier(l.rng), Code: drug.code, Description: drug.name, Start: later(onset.Add(time.Duration(l.rng.IntN(90))*day), onset)}
		if m.Start.After(l.end) {
			continue
		}
		if stop := m.Start.Add(time.Duration((.2 + 6*l.rng.Float64()) * float64(year))); l.rng.Float64() < .2 && stop.Before(l.end) {
			m.Stopped = stop
		}
		l.person.Medications = append(l.person.Medications, m)
	}
}

// clinic is a planned visit.
func (l *life) clinic(at time.Time, reason string) {
	at = workingHours(at, l.rng)
	if at.After(l.end) {
		return
	}
	e := l.encounter("AMB", "outpatient", "Outpatient appointment", at, time.Duration(10+l.rng.IntN(35))*time.Minute, "w-clin", reason)
	l.vitals(e, at, 0)
	if l.rng.Float64() < .45 {
		l.bloods(e, at.Add(10*time.Minute), 0)
	}
}

// emergency is an unplanned visit; frailer patients are admitted more often.
func (l *life) emergency(at time.Time) {
	ill := l.illness()
	took := time.Duration(60+l.rng.IntN(420)) * time.Minute
	if at.Add(took).After(l.end) {
		return
	}
	sick := .3 + .5*l.rng.Float64()
	e := l.encounter("EMER", "emergency", "Emergency attendance", at, took, "w-ed", ill.name)
	l.vitals(e, at.Add(5*time.Minute), sick)
	l.bloods(e, at.Add(25*time.Minute), sick)
	l.person.Conditions = append(l.person.Conditions, Condition{ID: identifier(l.rng), Encounter: e, Code: ill.code, Description: ill.name,
		Onset: at.Add(-time.Duration(l.rng.IntN(72)) * time.Hour), Abated: at.Add(time.Duration(2+l.rng.IntN(30)) * day)})
	age := at.Sub(l.person.Patient.Birth).Hours() / year.Hours()
	if l.rng.Float64() < ill.admit*(.6+age/100)+.04*float64(l.burden(at)) {
		l.stay(at.Add(took), ill.ward, ill.name, ill.days, 0)
	}
}

// stay is an admission, with daily observations. After it a frail patient may come back within weeks; depth bounds how
// often in a row.
func (l *life) stay(at time.Time, ward, reason string, median float64, depth int) {
	burden := float64(l.burden(at))
	days := median * math.Exp(.75*l.rng.NormFloat64()) * (1 + .12*burden)
	took := time.Duration(min(max(days, .3), 120) * float64(day))
	if at.After(l.end) {
		return
	}
	if at.Add(took).After(l.end) {
		took = l.end.Sub(at)
	}
	e := l.encounter("IMP", "inpatient", "Inpatient stay", at, took, ward, reason)
	sick := .35 + .65*l.rng.Float64()
	for d := time.Duration(0); d < took && d < 30*day; d += day {
		healing := sick * math.Exp(-.35*d.Hours()/24)
		l.vitals(e, at.Add(d+time.Duration(l.rng.IntN(180))*time.Minute), healing)
		if d == 0 || l.rng.Float64() < .35 {
			l.bloods(e, at.Add(d+time.Duration(180+l.rng.IntN(120))*time.Minute), healing)
		}
	}
	if ward == "w-surg" && l.rng.Float64() < .6 {
		l.procedure(e, pick(l.rng, operations), at.Add(took/4), 95)
	}
	if l.rng.Float64() < .7 {
		l.procedure(e, pick(l.rng, investigations), at.Add(took/8), 15)
	}
	back := .05 + .035*burden + .004*took.Hours()/24
	if depth < 3 && l.rng.Float64() < min(back, .45) {
		gap := time.Duration(1+l.rng.ExpFloat64()*12) * day
		l.stay(at.Add(took+gap), ward, reason, median, depth+1)
	}
}

func (l *life) encounter(class, code, description string, at time.Time, took time.Duration, ward, reason string) string {
	e := Encounter{ID: identifier(l.rng), Class: class, Code: code, Description: description, Start: at.Truncate(time.Second),
		End: at.Add(took).Truncate(time.Second), Ward: ward, Reason: reason}
	l.person.Encounters = append(l.person.Encounters, e)
	return e.ID
}

func (l *life) procedure(encounter string, what drug, at time.Time, minutes int) {
	p := Procedure{ID: identifier(l.rng), Encounter: encounter, Code: what.code, Description: what.name, Start: at.Truncate(time.Second)}
	p.End = p.Start.Add(time.Duration(minutes+l.rng.IntN(minutes)) * time.Minute)
	l.person.Procedures = append(l.person.Procedures, p)
}

// vitals are taken at the bedside. sick runs from 0 (well) to 1 (very ill).
func (l *life) vitals(encounter string, at time.Time, sick float64) {
	l.measure(encounter, at, systolic, -14*sick+l.ill("hypertension", at, 14))
	l.measure(encounter, at, diastolic, -7*sick+l.ill("hypertension", at, 7))
	l.measure(encounter, at, heartRate, 28*sick+l.ill("af", at, 12))
	l.measure(encounter, at, temperature, 1.6*sick*l.rng.Float64())
	l.measure(encounter, at, saturation, -5*sick-l.ill("copd", at, 4)-l.ill("hf", at, 1.5))
	if sick == 0 || l.rng.Float64() < .15 {
		l.measure(encounter, at, weight, 0)
		l.measure(encounter, at, height, 0)
		l.measure(encounter, at, bodyMass, 0)
	}
}

// bloods are sent to the laboratory.
func (l *life) bloods(encounter string, at time.Time, sick float64) {
	l.measure(encounter, at, creatinine, 35*sick*l.rng.Float64()+l.ill("ckd", at, 75)+l.ill("hf", at, 18))
	l.measure(encounter, at, urea, 4*sick*l.rng.Float64()+l.ill("ckd", at, 6))
	l.measure(encounter, at, potassium, l.ill("ckd", at, .4)-.3*sick*l.rng.Float64())
	l.measure(encounter, at, haemoglobin, -1.6*sick*l.rng.Float64()-l.ill("ckd", at, 1.2)-l.ill("cancer", at, 1.5))
	l.measure(encounter, at, whiteCells, 7*sick*l.rng.Float64())
	l.measure(encounter, at, crp, 140*sick*l.rng.Float64()*l.rng.Float64())
	if l.rng.Float64() < .25 || l.ill("diabetes", at, 1) > 0 {
		l.measure(encounter, at, hba1c, l.ill("diabetes", at, 1.9))
	}
}

// ill returns by when the patient has the disease at t, else 0.
func (l *life) ill(code string, t time.Time, by float64) float64 {
	if onset, ok := l.has[code]; ok && !onset.After(t) {
		return by
	}
	return 0
}

func (l *life) measure(encounter string, at time.Time, kind int, shift float64) {
	if at.After(l.end) {
		return
	}
	m := &measures[kind]
	value := l.base[kind] + shift
	if kind != bodyMass {
		value += .5 * m.spread * l.rng.NormFloat64()
	}
	scale := math.Pow10(m.decimals)
	value = math.Round(min(max(value, m.low), m.high)*scale) / scale
	l.person.Observations = append(l.person.Observations, Observation{ID: identifier(l.rng), Encounter: encounter, Category: m.category,
		Code: m.code, Description: m.name, At: at.Truncate(time.Second), Value: value, Unit: m.unit})
}

// finish orders everything by time and ties diagnoses and prescriptions to the encounter at which they were written
// down: the first one that started no earlier.
func (l *life) finish() {
	p := l.person
	slices.SortStableFunc(p.Encounters, func(a, b Encounter) int { return a.Start.Compare(b.Start) })
	near := func(t time.Time) string {
		i, _ := slices.BinarySearchFunc(p.Encounters, t, func(e Encounter, t time.Time) int { return e.Start.Compare(t) })
		return p.Encounters[min(i, len(p.Encounters)-1)].ID
	}
	for i := range p.Conditions {
		c := &p.Conditions[i]
		if c.Encounter == "" {
			c.Encounter = near(c.Onset)
		}
		c.Onset, c.Abated = c.Onset.Truncate(time.Second), c.Abated.Truncate(time.Second)
		if c.Abated.After(l.end) {
			c.Abated = time.Time{}
		}
	}
	for i := range p.Medications {
		m := &p.Medications[i]
		m.Encounter = near(m.Start)
		m.Start, m.Stopped = m.Start.Truncate(time.Second), m.Stopped.Truncate(time.Second)
	}
	slices.SortStableFunc(p.Conditions, func(a, b Condition) int { return cmp.Or(a.Onset.Compare(b.Onset), cmp.Compare(a.ID, b.ID)) })
	slices.SortStableFunc(p.Observations, func(a, b Observation) int { return a.At.Compare(b.At) })
	slices.SortStableFunc(p.Medications, func(a, b Medication) int { return a.Start.Compare(b.Start) })
	slices.SortStableFunc(p.Procedures, func(a, b Procedure) int { return a.Start.Compare(b.Start) })
}

// moments are the times of events that come at a yearly rate from a day on.
func (l *life) moments(from time.Time, rate float64) []time.Time {
	span := l.end.Sub(from)
	if span <= 0 {
		return nil
	}
	out := make([]time.Time, l.poisson(rate*span.Hours()/year.Hours()))
	for i := range out {
		out[i] = from.Add(time.Duration(l.rng.Float64() * float64(span)))
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// poisson draws a count with the given mean. Means here are small, so counting exponential gaps is quick enough.
func (l *life) poisson(mean float64) int {
	n := 0
	for sum := l.rng.ExpFloat64(); sum < mean; sum += l.rng.ExpFloat64() {
		n++
	}
	return n
}

func (l *life) illness() illness {
	total := 0.0
	for _, i := range illnesses {
		total += i.weight
	}
	at := l.rng.Float64() * total
	for _, i := range illnesses {
		if at -= i.weight; at < 0 {
			return i
		}
	}
	return illnesses[0]
}

func (l *life) weighted(of []weighted) string {
	total := 0
	for _, w := range of {
		total += w.weight
	}
	at := l.rng.IntN(total)
	for _, w := range of {
		if at -= w.weight; at < 0 {
			return w.name
		}
	}
	return of[0].name
}

// workingHours moves t to a weekday between 08:30 and 17:30.
func workingHours(t time.Time, rng *rand.Rand) time.Time {
	t = t.Truncate(day).Add(8*time.Hour + 30*time.Minute + time.Duration(rng.IntN(108))*5*time.Minute)
	switch t.Weekday() {
	case time.Saturday:
		return t.Add(2 * day)
	case time.Sunday:
		return t.Add(day)
	default:
		return t
	}
}

func pick[T any](rng *rand.Rand, of []T) T { return of[rng.IntN(len(of))] }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
