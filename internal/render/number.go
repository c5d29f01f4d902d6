package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Count writes n with thousands separators: 4,102,118.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Plural writes n and the word for it: "1 row", "3,000 rows".
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Bytes writes a size in decimal units with three digits: "512 B", "1.23 MB".
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-n)
	}
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v := float64(n)
	unit := ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		if v /= 1000; v < 999.5 {
			break
		}
	}
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f %s", v, unit)
	case v < 99.95:
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

// Duration writes how long something took: "85ms", "3.1s", "2m 41s", "1h 03m".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%dms", d.Round(time.Millisecond).Milliseconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return Elapsed(d)
}

// Roughly writes how long something is expected to take: to ten seconds below two minutes, to the minute above.
func Roughly(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", max(10, int(d.Round(10*time.Second)/time.Second)))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
}

// Elapsed writes how long something has been going on, in whole seconds: "58s", "2m 41s", "1h 03m", "2d 04h".
func Elapsed(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd %02dh", s/86400, s/3600%24)
}

// Stamp writes a moment for people, in its own zone: "21 Nov 20:04", with the year when it is not the year of now.
func Stamp(t, now time.Time) string {
	if t.Year() != now.In(t.Location()).Year() {
		return t.Format("2 Jan 2006 15:04")
	}
	return t.Format("2 Jan 15:04")
}

// Ago writes how long ago t is, and from the day before yesterday on when it was.
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 0:
		return Stamp(t, now)
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	}
	today := now.In(t.Location())
	switch midnight := time.Date(today.Year(), today.Month(), today.Day(), 0, 0, 0, 0, t.Location()); {
	case !t.Before(midnight):
		return fmt.Sprintf("%d h ago", d/time.Hour)
	case !t.Before(midnight.AddDate(0, 0, -1)):
		return "yesterday " + t.Format("15:04")
	}
	return Stamp(t, now)
}
