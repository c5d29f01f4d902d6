package expr

import (
	"strings"
	"time"
)

func timeFunctions() []function {
	return []function{
		{display: "utcNow", min: 0, max: 1, eval: utcNow},
		{display: "addDays", min: 2, max: 3, eval: addFixed("day")},
		{display: "addHours", min: 2, max: 3, eval: addFixed("hour")},
		{display: "addMinutes", min: 2, max: 3, eval: addFixed("minute")},
		{display: "addSeconds", min: 2, max: 3, eval: addFixed("second")},
		{display: "addToTime", min: 3, max: 4, eval: addNamed(1)},
		{display: "subtractFromTime", min: 3, max: 4, eval: addNamed(-1)},
		{display: "getFutureTime", min: 2, max: 3, eval: fromNow(1)},
		{display: "getPastTime", min: 2, max: 3, eval: fromNow(-1)},
		{display: "convertFromUtc", min: 2, max: 3, eval: convertFromUTC},
		{display: "convertTimeZone", min: 3, max: 4, eval: convertTimeZone},
		{display: "convertToUtc", min: 2, max: 3, eval: convertToUTC},
		{display: "formatDateTime", min: 1, max: 2, eval: startOf(0)},
		{display: "startOfHour", min: 1, max: 2, eval: startOf(1)},
		{display: "startOfDay", min: 1, max: 2, eval: startOf(2)},
		{display: "startOfMonth", min: 1, max: 2, eval: startOf(3)},
		{display: "dayOfWeek", min: 1, max: 1, eval: fromStamp(func(s stamp) int64 { return int64(s.wall.Weekday()) })},
		{display: "dayOfMonth", min: 1, max: 1, eval: fromStamp(func(s stamp) int64 { return int64(s.wall.Day()) })},
		{display: "dayOfYear", min: 1, max: 1, eval: fromStamp(func(s stamp) int64 { return int64(s.wall.YearDay()) })},
		{display: "ticks", min: 1, max: 1, eval: fromStamp(stamp.ticks)},
	}
}

// stamp reads argument i as a time value.
func (c *fcall) stamp(i int) (stamp, error) {
	text, err := c.text(i)
	if err != nil {
		return stamp{}, err
	}
	s, ok := parseStamp(text)
	if !ok {
		return stamp{}, c.fail("was invoked with a parameter that is not valid. The datetime string '%s' cannot be parsed.", clip(text))
	}
	return s, nil
}

// formatted writes s by the format in the optional argument i, "o" by default.
func (c *fcall) formatted(s stamp, i int) (Value, error) {
	format := "o"
	if c.has(i) {
		given, err := c.text(i)
		if err != nil {
			return nil, err
		}
		if given != "" {
			format = given
		}
	}
	text, err := s.format(format)
	if err != nil {
		return nil, c.fail("was invoked with a format that is not valid: %s.", err.Error())
	}
	return c.result(text)
}

func (c *fcall) now() stamp {
	return stamp{c.ev.env.Now().UTC().Truncate(100 * time.Nanosecond), true}
}

func (c *fcall) moved(s stamp, n int64, unit string, format int) (Value, error) {
	moved, ok := s.addUnits(n, unit)
	if !ok {
		return nil, c.fail("has a result outside of the years 1 to 9999.")
	}
	return c.formatted(moved, format)
}

// unit reads argument i as a unit of time.
func (c *fcall) unit(i int) (string, error) {
	text, err := c.text(i)
	if err != nil {
		return "", err
	}
	unit := strings.ToLower(text)
	switch unit {
	case "second", "minute", "hour", "day", "week", "month", "year":
		return unit, nil
	}
	return "", c.fail("was invoked with a time unit that is not valid, '%s'. "+
		"The units are 'Second', 'Minute', 'Hour', 'Day', 'Week', 'Month' and 'Year'.", clip(text))
}

func utcNow(c *fcall) (Value, error) { return c.formatted(c.now(), 0) }

func addFixed(unit string) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		s, err := c.stamp(0)
		if err != nil {
			return nil, err
		}
		n, err := c.integer(1)
		if err != nil {
			return nil, err
		}
		return c.moved(s, n, unit, 2)
	}
}

func addNamed(sign int64) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		s, err := c.stamp(0)
		if err != nil {
			return nil, err
		}
		n, err := c.integer(1)
		if err != nil {
			return nil, err
		}
		unit, err := c.unit(2)
		if err != nil {
			return nil, err
		}
		return c.moved(s, sign*n, unit, 3)
	}
}

func fromNow(sign int64) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		n, err := c.integer(0)
		if err != nil {
			return nil, err
		}
		unit, err := c.unit(1)
		if err != nil {
			return nil, err
		}
		return c.moved(c.now(), sign*n, unit, 2)
	}
}

func (c *fcall) zone(i int) (*time.Location, error) {
	name, err := c.text(i)
	if err != nil {
		return nil, err
	}
	zone, _, ok := Zone(name)
	if !ok {
		return nil, c.fail("was invoked with a time zone that is not known, '%s'.", clip(name))
	}
	return zone, nil
}

// inZone is the wall time of zone at the moment that s shows as UTC.
func (s stamp) inZone(zone *time.Location) stamp {
	_, offset := s.wall.In(zone).Zone()
	return stamp{wall: s.wall.Add(time.Duration(offset) * time.Second)}
}

// fromZone is the moment, in UTC, at which clocks in zone show s. A stamp in UTC already is one.
func (c *fcall) fromZone(s stamp, zone *time.Location) (stamp, error) {
	if s.utc {
		return s, nil
	}
	_, moment, exists := Instants(s.wall, zone) // of two, .NET takes standard time
	if !exists {
		return stamp{}, c.fail("was invoked with a time that does not exist in its time zone: clocks are put forward over it.")
	}
	return stamp{moment.UTC(), true}, nil
}

func convertFromUTC(c *fcall) (Value, error) {
	s, err := c.stamp(0)
	if err != nil {
		return nil, err
	}
	zone, err := c.zone(1)
	if err != nil {
		return nil, err
	}
	return c.formattedInRange(s.inZone(zone), 2)
}

func convertToUTC(c *fcall) (Value, error) {
	s, err := c.stamp(0)
	if err != nil {
		return nil, err
	}
	zone, err := c.zone(1)
	if err != nil {
		return nil, err
	}
	moment, err := c.fromZone(s, zone)
	if err != nil {
		return nil, err
	}
	return c.formattedInRange(moment, 2)
}

func convertTimeZone(c *fcall) (Value, error) {
	s, err := c.stamp(0)
	if err != nil {
		return nil, err
	}
	from, err := c.zone(1)
	if err != nil {
		return nil, err
	}
	to, err := c.zone(2)
	if err != nil {
		return nil, err
	}
	moment, err := c.fromZone(s, from)
	if err != nil {
		return nil, err
	}
	return c.formattedInRange(moment.inZone(to), 3)
}

func (c *fcall) formattedInRange(s stamp, format int) (Value, error) {
	return c.moved(s, 0, "second", format)
}

// startOf cuts a time to its hour (1), day (2) or month (3), or leaves it whole (0).
func startOf(level int) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		s, err := c.stamp(0)
		if err != nil {
			return nil, err
		}
		year, month, day := s.wall.Date()
		switch level {
		case 1:
			s.wall = time.Date(year, month, day, s.wall.Hour(), 0, 0, 0, time.UTC)
		case 2:
			s.wall = time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		case 3:
			s.wall = time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		}
		return c.formatted(s, 1)
	}
}

func fromStamp(f func(stamp) int64) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		s, err := c.stamp(0)
		if err != nil {
			return nil, err
		}
		return f(s), nil
	}
}
