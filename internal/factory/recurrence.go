package factory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Recurrence says when a schedule trigger fires (adf.md section 1.11). Minute and Hour keep the time that passes between
// two fires; Day, Week and Month keep the wall time of Zone through changes of its clocks.
type Recurrence struct {
	Frequency string // Minute, Hour, Day, Week or Month
	Interval  int    // periods from one fire to the next, counted from the period of Start
	Start     time.Time
	End       time.Time // exclusive; zero is never
	Zone      *time.Location
	ZoneName  string // as written

	scheduled   bool // there is a schedule with at least one list
	minutes     []int
	hours       []int
	weekDays    []time.Weekday
	monthDays   []int // negative from the end
	occurrences []occurrence
}

// occurrence is a weekday of a month: the nth, from the end when negative, every one when 0.
type occurrence struct {
	day time.Weekday
	nth int
}

// Schedule reads the recurrence of a schedule trigger from its typeProperties. The error names the member at fault.
func Schedule(props *expr.Object) (Recurrence, error) {
	o, ok := first(props, "recurrence").(*expr.Object)
	if !ok {
		o = props
	}
	r := Recurrence{Interval: 1, Zone: time.UTC, ZoneName: "UTC"}
	if err := r.readFrequency(o); err != nil {
		return r, err
	}
	if err := r.readTimes(o); err != nil {
		return r, err
	}
	v := first(o, "schedule")
	if v == nil {
		return r, nil
	}
	schedule, ok := v.(*expr.Object)
	if !ok {
		return r, fmt.Errorf("schedule must be an object, not %s", expr.TypeName(v))
	}
	return r, r.readSchedule(schedule)
}

func (r *Recurrence) readFrequency(o *expr.Object) error {
	written := expr.Text(first(o, "frequency"))
	r.Frequency = canonical(written, "Minute", "Hour", "Day", "Week", "Month")
	if r.Frequency == "" {
		return fmt.Errorf("frequency %q is not one of Minute, Hour, Day, Week and Month", written)
	}
	if v := first(o, "interval"); v != nil {
		n, ok := toInt(v)
		interval, _ := n.(int64)
		if !ok || interval < 1 || interval > 1000 {
			return fmt.Errorf("interval must be a whole number from 1 to 1000, not %s", expr.EncodeJSON(v))
		}
		r.Interval = int(interval)
	}
	return nil
}

func (r *Recurrence) readTimes(o *expr.Object) error {
	if name, ok := first(o, "timeZone").(string); ok && name != "" {
		zone, _, ok := expr.Zone(name)
		if !ok {
			return fmt.Errorf("timeZone %q is not known", name)
		}
		r.Zone, r.ZoneName = zone, name
	}
	var err error
	if r.Start, err = r.moment(o, "startTime"); err != nil {
		return err
	}
	if r.Start.IsZero() {
		return fmt.Errorf("startTime is missing")
	}
	if r.End, err = r.moment(o, "endTime"); err != nil {
		return err
	}
	if !r.End.IsZero() && !r.End.After(r.Start) {
		return fmt.Errorf("endTime is not after startTime")
	}
	return nil
}

// moment reads a time, which is local to the zone when it has no offset.
func (r *Recurrence) moment(o *expr.Object, key string) (time.Time, error) {
	v := first(o, key)
	if v == nil {
		return time.Time{}, nil
	}
	t, zoned, ok := expr.ParseTime(expr.Text(v))
	switch {
	case !ok:
		return t, fmt.Errorf("%s %q is not a time", key, expr.Text(v))
	case zoned:
		return t.In(r.Zone), nil
	}
	first, _, _ := expr.Instants(t, r.Zone)
	return first, nil
}

func (r *Recurrence) readSchedule(o *expr.Object) error {
	var err error
	if r.minutes, err = numbers(o, "minutes", 0, 59); err != nil {
		return err
	}
	if r.hours, err = numbers(o, "hours", 0, 23); err != nil {
		return err
	}
	if r.monthDays, err = numbers(o, "monthDays", -31, 31); err != nil {
		return err
	}
	if slices.Contains(r.monthDays, 0) {
		return fmt.Errorf("monthDays are from 1 to 31, or from -1 to -31 counted from the end")
	}
	for _, v := range oneOrMany(first(o, "weekDays")) {
		day, ok := weekday(v)
		if !ok {
			return fmt.Errorf("weekDays: %s is not a weekday", expr.EncodeJSON(v))
		}
		r.weekDays = append(r.weekDays, day)
	}
	if err := r.readOccurrences(first(o, "monthlyOccurrences")); err != nil {
		return err
	}
	switch {
	case len(r.weekDays) > 0 && r.Frequency != "Week":
		return fmt.Errorf("weekDays can be used with the frequency Week only")
	case len(r.monthDays)+len(r.occurrences) > 0 && r.Frequency != "Month":
		return fmt.Errorf("monthDays and monthlyOccurrences can be used with the frequency Month only")
	}
	r.scheduled = len(r.minutes)+len(r.hours)+len(r.weekDays)+len(r.monthDays)+len(r.occurrences) > 0
	return nil
}

func (r *Recurrence) readOccurrences(v expr.Value) error {
	for _, entry := range oneOrMany(v) {
		o, _ := entry.(*expr.Object)
		day, ok := weekday(first(o, "day"))
		if !ok {
			return fmt.Errorf("monthlyOccurrences: an entry needs the day, a weekday")
		}
		nth := int64(0)
		if v := first(o, "occurrence"); v != nil {
			n, ok := toInt(v)
			if nth, _ = n.(int64); !ok || nth == 0 || nth < -5 || nth > 5 {
				return fmt.Errorf("monthlyOccurrences: occurrence is from 1 to 5, or from -1 to -5 counted from the end")
			}
		}
		r.occurrences = append(r.occurrences, occurrence{day, int(nth)})
	}
	return nil
}

func oneOrMany(v expr.Value) []expr.Value {
	if list, ok := v.([]expr.Value); ok || v == nil {
		return list
	}
	return []expr.Value{v}
}

// numbers reads a sorted list without repetition.
func numbers(o *expr.Object, key string, lo, hi int64) ([]int, error) {
	var all []int
	for _, v := range oneOrMany(first(o, key)) {
		n, ok := toInt(v)
		if i, _ := n.(int64); ok && i >= lo && i <= hi {
			all = append(all, int(i))
			continue
		}
		return nil, fmt.Errorf("%s: %s is not a whole number from %d to %d", key, expr.EncodeJSON(v), lo, hi)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func weekday(v expr.Value) (time.Weekday, bool) {
	name, _ := v.(string)
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.EqualFold(day.String(), name) {
			return day, true
		}
	}
	return 0, false
}

// MinutesOfEveryHour reports a schedule with minutes and without hours: Azure's documentation contradicts itself about
// it, and here it fires in every hour.
func (r Recurrence) MinutesOfEveryHour() bool {
	return len(r.minutes) > 0 && len(r.hours) == 0 && r.Frequency != "Hour" && r.Frequency != "Minute"
}

// maxPeriods bounds the search for the next fire. Calendars repeat after 400 years, so that what does not occur in so
// many months never does.
const maxPeriods = 4800

// Next is the first fire after a moment; false when there is none. Fires that were missed are not made up for.
func (r Recurrence) Next(after time.Time) (time.Time, bool) {
	if r.Zone == nil || r.Interval < 1 {
		return time.Time{}, false // not made by Schedule
	}
	var next time.Time
	var ok bool
	switch {
	case r.Frequency == "Minute" || r.Frequency == "Hour":
		next, ok = r.nextElapsed(after)
	default:
		next, ok = r.nextCalendar(after)
	}
	if !ok || !r.End.IsZero() && !next.Before(r.End) {
		return time.Time{}, false
	}
	return next, true
}

// nextElapsed counts periods of fixed length from Start. A schedule selects among their hours and minutes.
func (r Recurrence) nextElapsed(after time.Time) (time.Time, bool) {
	unit := time.Minute
	if r.Frequency == "Hour" {
		unit = time.Hour
	}
	step := unit * time.Duration(r.Interval)
	origin := r.Start
	perHour := r.Frequency == "Hour" && len(r.minutes) > 0
	if perHour { // periods are then whole hours of the wall clock
		origin = origin.Add(-time.Duration(r.Start.Minute())*time.Minute - time.Duration(r.Start.Second())*time.Second -
			time.Duration(r.Start.Nanosecond()))
	}
	period := origin
	if after.After(origin) {
		periods := floorDiv(after.Unix()-origin.Unix(), int64(step/time.Second))
		period = time.Unix(origin.Unix()+periods*int64(step/time.Second), int64(origin.Nanosecond())).In(r.Zone)
	}
	// A day holds every combination of hour and minute that a step can reach within 1000 days.
	for range 1_500_000 {
		minutes := []int{0}
		if perHour {
			minutes = r.minutes
		}
		for _, m := range minutes {
			fire := period.Add(time.Duration(m) * time.Minute)
			if fire.After(after) && !fire.Before(r.Start) && r.selects(fire, perHour) {
				return fire, true
			}
		}
		if !r.End.IsZero() && period.After(r.End) {
			break
		}
		period = period.Add(step)
	}
	return time.Time{}, false
}

// selects applies the schedule's hours, and minutes unless they made the fire, to a fire of the grid.
func (r Recurrence) selects(fire time.Time, minuteDone bool) bool {
	if len(r.hours) > 0 && !slices.Contains(r.hours, fire.Hour()) {
		return false
	}
	return minuteDone || len(r.minutes) == 0 || slices.Contains(r.minutes, fire.Minute())
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// nextCalendar goes from period to period of the wall calendar.
func (r Recurrence) nextCalendar(after time.Time) (time.Time, bool) {
	from := after
	if from.Before(r.Start) {
		from = r.Start.Add(-1) // Start itself may be the first fire
	}
	// One period earlier: a fire at the end of a day may belong to the day before in local time.
	for n, k := 0, max(r.periodOf(from)-1, 0); n < maxPeriods; n, k = n+1, k+1 {
		var best time.Time
		for _, day := range r.days(k) {
			for _, clock := range r.clocks() {
				wall := day.Add(clock)
				fire, _, _ := expr.Instants(wall, r.Zone)
				if fire.After(from) && !fire.Before(r.Start) && (best.IsZero() || fire.Before(best)) {
					best = fire
				}
			}
		}
		if !best.IsZero() {
			return best, true
		}
	}
	return time.Time{}, false
}

// date is the midnight of t's day in the zone, as a wall time in UTC.
func (r Recurrence) date(t time.Time) time.Time {
	year, month, day := t.In(r.Zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// periodOf is the number of whole steps of Interval periods from Start's to t's.
func (r Recurrence) periodOf(t time.Time) int {
	start, date := r.date(r.Start), r.date(t)
	days := int(floorDiv(date.Unix()-start.Unix(), 86400))
	switch r.Frequency {
	case "Day":
		return days / r.Interval
	case "Week":
		return (days + int(start.Weekday())) / 7 / r.Interval
	}
	months := (date.Year()-start.Year())*12 + int(date.Month()) - int(start.Month())
	return months / r.Interval
}

// days are the dates of the kth period on which the trigger fires. Weeks begin on Sunday.
func (r Recurrence) days(k int) []time.Time {
	start := r.date(r.Start)
	switch r.Frequency {
	case "Day":
		return []time.Time{start.AddDate(0, 0, k*r.Interval)}
	case "Week":
		sunday := start.AddDate(0, 0, 7*k*r.Interval-int(start.Weekday()))
		if len(r.weekDays) == 0 {
			return []time.Time{sunday.AddDate(0, 0, int(start.Weekday()))}
		}
		var all []time.Time
		for _, day := range r.weekDays {
			all = append(all, sunday.AddDate(0, 0, int(day)))
		}
		return all
	}
	month := time.Date(start.Year(), start.Month()+time.Month(k*r.Interval), 1, 0, 0, 0, 0, time.UTC)
	return r.monthDates(month, start.Day())
}

// monthDates are the dates in the month that begins at first. A month without the day is left out.
func (r Recurrence) monthDates(first time.Time, startDay int) []time.Time {
	length := first.AddDate(0, 1, -1).Day()
	wanted := r.monthDays
	if len(r.monthDays)+len(r.occurrences) == 0 {
		wanted = []int{startDay}
	}
	var all []time.Time
	for _, day := range wanted {
		if day < 0 {
			day += length + 1
		}
		if day >= 1 && day <= length {
			all = append(all, first.AddDate(0, 0, day-1))
		}
	}
	for _, o := range r.occurrences {
		earliest := 1 + (int(o.day)-int(first.Weekday())+7)%7
		count := (length-earliest)/7 + 1
		for n := 1; n <= count; n++ {
			if o.nth == 0 || o.nth == n || o.nth == n-count-1 {
				all = append(all, first.AddDate(0, 0, earliest-1+7*(n-1)))
			}
		}
	}
	slices.SortFunc(all, func(a, b time.Time) int { return cmp.Compare(a.Unix(), b.Unix()) })
	return all
}

// clocks are the times of day at which the trigger fires.
func (r Recurrence) clocks() []time.Duration {
	start := r.Start.In(r.Zone)
	hours, minutes, seconds := r.hours, r.minutes, 0
	switch {
	case len(hours) == 0 && len(minutes) == 0:
		hours, minutes, seconds = []int{start.Hour()}, []int{start.Minute()}, start.Second()
	case len(minutes) == 0:
		minutes = []int{start.Minute()}
	case len(hours) == 0:
		for h := range 24 {
			hours = append(hours, h)
		}
	}
	var all []time.Duration
	for _, h := range hours {
		for _, m := range minutes {
			all = append(all, time.Duration(h)*time.Hour+time.Duration(m)*time.Minute+time.Duration(seconds)*time.Second)
		}
	}
	return all
}
