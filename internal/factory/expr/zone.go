package expr

import (
	_ "embed"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // a machine without a time zone database still knows them
)

//go:embed zones.txt
var zonesText string

// windowsZones maps the lower-case Windows name of a time zone to its IANA name.
var windowsZones = sync.OnceValue(func() map[string]string {
	table := map[string]string{}
	for line := range strings.Lines(zonesText) {
		name, iana, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(line, "#") {
			table[strings.ToLower(name)] = iana
		}
	}
	return table
})

// Zone finds a time zone by its Windows name, without case, or by its IANA name. windows tells which it was: Azure
// knows Windows names only.
func Zone(name string) (zone *time.Location, windows, ok bool) {
	iana, windows := windowsZones()[strings.ToLower(strings.TrimSpace(name))]
	if !windows {
		if iana = name; name == "" || strings.EqualFold(name, "local") {
			return nil, false, false
		}
	}
	zone, err := time.LoadLocation(iana)
	return zone, windows, err == nil
}

// Instants are the moments at which clocks in zone show the wall time that t shows, whatever t's own zone is. They differ
// for a time that occurs twice, when clocks are put back. exists is false for a time that clocks jump over; both moments
// are then the first after the jump.
func Instants(t time.Time, zone *time.Location) (first, last time.Time, exists bool) {
	wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	// No zone is further than a day from UTC, and no two changes are closer than that.
	before, after := offset(wall.Add(-24*time.Hour)), offset(wall.Add(24*time.Hour))
	early, late := wall.Add(-max(before, after)), wall.Add(-min(before, after))
	isEarly, isLate := early.Add(offset(early)).Equal(wall), late.Add(offset(late)).Equal(wall)
	switch {
	case isEarly && isLate:
		return early.In(zone), late.In(zone), true
	case isEarly:
		return early.In(zone), early.In(zone), true
	case isLate:
		return late.In(zone), late.In(zone), true
	}
	_, jump := early.In(zone).ZoneBounds()
	return jump.In(zone), jump.In(zone), false
}

// ParseTime reads a time as the language's functions do. A time without zone comes as if it were UTC, with zoned false.
func ParseTime(text string) (t time.Time, zoned, ok bool) {
	s, ok := parseStamp(text)
	return s.wall, s.utc, ok
}
