package expr

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// stamp is a moment as .NET's DateTime holds it: a wall time in steps of 100 ns that is either in UTC or of no known
// zone. The wall time is kept in a time.Time in UTC.
type stamp struct {
	wall time.Time
	utc  bool
}

const (
	ticksPerSecond = 10_000_000
	epochSeconds   = 62_135_596_800 // from 0001-01-01 to 1970-01-01
	lastSecond     = 315_537_897_599
)

func (s stamp) ticks() int64 {
	return (s.wall.Unix()+epochSeconds)*ticksPerSecond + int64(s.wall.Nanosecond()/100)
}

// ok reports whether the year is between 1 and 9999.
func (s stamp) ok() bool {
	seconds := s.wall.Unix() + epochSeconds
	return seconds >= 0 && seconds <= lastSecond
}

const (
	clockPattern = `(?:[T\s]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,16}))?)?\s*([AaPp][Mm])?\s*(Z|z|GMT|UTC|[+-]\d{1,2}(?::?\d{2})?)?)?`
	namedMonth   = `(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?`
)

// datePatterns are the forms of .NET's invariant culture that occur in definitions: each names the groups of year,
// month and day, which the clock's six groups follow.
var datePatterns = []struct {
	form             *regexp.Regexp
	year, month, day int
}{
	{regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})` + clockPattern + `$`), 1, 2, 3},
	{regexp.MustCompile(`^(\d{4})/(\d{1,2})/(\d{1,2})` + clockPattern + `$`), 1, 2, 3},
	{regexp.MustCompile(`^(\d{1,2})[/-](\d{1,2})[/-](\d{4})` + clockPattern + `$`), 3, 1, 2},
	{regexp.MustCompile(`^(?:[A-Za-z]{3,9},?\s+)?(\d{1,2})[\s-]` + namedMonth + `[\s-],?\s*(\d{4})` + clockPattern + `$`), 3, 2, 1},
	{regexp.MustCompile(`^(?:[A-Za-z]{3,9},?\s+)?` + namedMonth + `\s+(\d{1,2}),?\s+(\d{4})` + clockPattern + `$`), 3, 1, 2},
	{regexp.MustCompile(`^(\d{4})-(\d{1,2})()` + clockPattern + `$`), 1, 2, 3},
}

// parseStamp reads a time value. One with an offset becomes UTC.
func parseStamp(text string) (stamp, bool) {
	text = strings.TrimSpace(text)
	if len(text) > 64 {
		return stamp{}, false
	}
	for _, p := range datePatterns {
		if m := p.form.FindStringSubmatch(text); m != nil {
			day := m[p.day]
			if day == "" {
				day = "1"
			}
			return makeStamp(m[p.year], m[p.month], day, m[4:])
		}
	}
	return stamp{}, false
}

// makeStamp checks every part; clock is hour, minute, second, fraction, AM or PM, zone.
func makeStamp(year, month, day string, clock []string) (stamp, bool) {
	y, mon, d := number(year), monthNumber(month), number(day)
	h, m, s := number(clock[0]), number(clock[1]), number(clock[2])
	if half := strings.ToUpper(clock[4]); half != "" {
		if h < 1 || h > 12 {
			return stamp{}, false
		}
		if h %= 12; half == "PM" {
			h += 12
		}
	}
	wall := time.Date(y, time.Month(mon), d, h, m, s, fraction(clock[3]), time.UTC)
	sameDay := wall.Year() == y && int(wall.Month()) == mon && wall.Day() == d
	if y < 1 || !sameDay || h > 23 || m > 59 || s > 59 {
		return stamp{}, false
	}
	zone := clock[5]
	if zone == "" {
		return stamp{wall: wall}, true
	}
	offset, ok := offsetSeconds(zone)
	result := stamp{wall: wall.Add(-time.Duration(offset) * time.Second), utc: true}
	return result, ok && result.ok()
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // the patterns let only short runs of digits through
	return n
}

func monthNumber(s string) int {
	if i := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", s); len(s) == 3 && i >= 0 {
		return i/3 + 1
	}
	return number(s)
}

// fraction turns the digits after the point into nanoseconds, rounded to 100 ns. It never rounds up to a full second.
func fraction(digits string) int {
	padded := (digits + "00000000")[:8]
	hundreds := (number(padded) + 5) / 10
	return min(hundreds, ticksPerSecond-1) * 100
}

func offsetSeconds(zone string) (int, bool) {
	switch strings.ToUpper(zone) {
	case "Z", "GMT", "UTC":
		return 0, true
	}
	hours, minutes, colon := strings.Cut(zone[1:], ":")
	if !colon && len(hours) > 2 {
		hours, minutes = hours[:len(hours)-2], hours[len(hours)-2:]
	}
	total := number(hours)*3600 + number(minutes)*60
	if zone[0] == '-' {
		total = -total
	}
	return total, number(hours) <= 14 && number(minutes) <= 59
}

// addUnits moves a stamp by n units; ok is false outside of the years 1 to 9999.
func (s stamp) addUnits(n int64, unit string) (stamp, bool) {
	var perUnit int64
	switch unit {
	case "second":
		perUnit = 1
	case "minute":
		perUnit = 60
	case "hour":
		perUnit = 3600
	case "day":
		perUnit = 86400
	case "week":
		perUnit = 7 * 86400
	case "month":
		return s.addMonths(n)
	case "year":
		if n < -10_000 || n > 10_000 {
			return s, false
		}
		return s.addMonths(12 * n)
	}
	if limit := lastSecond / perUnit; n < -limit || n > limit {
		return s, false
	}
	moved := time.Unix(s.wall.Unix()+n*perUnit, int64(s.wall.Nanosecond())).UTC()
	result := stamp{moved, s.utc}
	return result, result.ok()
}

// addMonths keeps the day, or takes the last one of a shorter month.
func (s stamp) addMonths(n int64) (stamp, bool) {
	if n < -120_000 || n > 120_000 {
		return s, false
	}
	year, month, day := s.wall.Date()
	first := time.Date(year, month+time.Month(n), 1, s.wall.Hour(), s.wall.Minute(), s.wall.Second(), s.wall.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	result := stamp{first.AddDate(0, 0, min(day, last)-1), s.utc}
	return result, result.ok()
}
