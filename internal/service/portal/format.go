package portal

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// count writes a number with thousands separators; a negative one is not known.
func count[N int | int64](n N) string {
	if n < 0 {
		return "not known"
	}
	s := strconv.FormatInt(int64(n), 10)
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// plural writes a number with its noun.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// size writes a number of bytes with a decimal unit.
func size(n int64) string {
	if n < 0 {
		return "not known"
	}
	f := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB", "TB"} {
		if f < 999.5 || unit == "TB" {
			if unit == "B" || f >= 99.95 {
				return fmt.Sprintf("%.0f %s", f, unit)
			}
			return fmt.Sprintf("%.1f %s", f, unit)
		}
		f /= 1000
	}
	return ""
}

// took writes a duration as people say it: "240 ms", "3.1 s", "2 min 41 s", "3 h 05 min".
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "not known"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 99950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// span is how long something took, or has taken so far.
func (c chrome) span(from, to time.Time) string {
	switch {
	case from.IsZero():
		return "–"
	case to.IsZero():
		return took(max(0, c.Now.Sub(from)))
	}
	return took(to.Sub(from))
}

// when writes a moment relative to today.
func (c chrome) when(t time.Time) string {
	t, now := t.In(c.Location), c.Now.In(c.Location)
	day := func(t time.Time) int { return t.Year()*400 + t.YearDay() }
	switch day(t) {
	case day(now):
		return "Today " + t.Format("15:04")
	case day(now.AddDate(0, 0, -1)):
		return "Yesterday " + t.Format("15:04")
	case day(now.AddDate(0, 0, 1)):
		return "Tomorrow " + t.Format("15:04")
	}
	if t.Year() == now.Year() {
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006 15:04")
}

// within is when for the middle of a sentence.
func (c chrome) within(t time.Time) string {
	s := c.when(t)
	if strings.HasPrefix(s, "T") || strings.HasPrefix(s, "Y") {
		return strings.ToLower(s)
	}
	return s
}

// short is the beginning of an identifier, as long as people type it.
func short(id string) string {
	if len(id) > 8 && utf8.ValidString(id[:8]) {
		return id[:8]
	}
	return id
}

// clip cuts a text to at most n characters and says by an ellipsis that it did.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// firstLine is the first line of s that says something.
func firstLine(s string) string {
	s = strings.TrimSpace(s)
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// to builds an address of the portal: each part is escaped, so a name cannot leave its place.
func to(parts ...string) string {
	for i, s := range parts {
		parts[i] = url.PathEscape(s)
	}
	return "/" + strings.Join(parts, "/")
}

// with adds a query of name-value pairs, leaving out empty values.
func with(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// px writes a coordinate.
func px(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// percent writes a share; a small one is not rounded to nothing.
func percent(f float64) string {
	switch {
	case f < 0:
		return "not known"
	case f > 0 && f < 0.0005:
		return "< 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", f*100)
}
