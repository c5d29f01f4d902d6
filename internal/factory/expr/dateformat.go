package expr

import (
	"fmt"
	"strconv"
	"strings"
)

// standardFormat expands a single letter, as en-US writes it. ok is false for a letter that is none.
func standardFormat(letter byte) (custom string, ok bool) {
	switch letter {
	case 'd':
		return "M/d/yyyy", true
	case 'D':
		return "dddd, MMMM d, yyyy", true
	case 'f':
		return "dddd, MMMM d, yyyy h:mm tt", true
	case 'F', 'U':
		return "dddd, MMMM d, yyyy h:mm:ss tt", true
	case 'g':
		return "M/d/yyyy h:mm tt", true
	case 'G':
		return "M/d/yyyy h:mm:ss tt", true
	case 'm', 'M':
		return "MMMM d", true
	case 'o', 'O':
		return "yyyy-MM-ddTHH:mm:ss.fffffffK", true
	case 'r', 'R':
		return "ddd, dd MMM yyyy HH:mm:ss 'GMT'", true
	case 's':
		return "yyyy-MM-ddTHH:mm:ss", true
	case 't':
		return "h:mm tt", true
	case 'T':
		return "h:mm:ss tt", true
	case 'u':
		return "yyyy-MM-dd HH:mm:ss'Z'", true
	case 'y', 'Y':
		return "MMMM yyyy", true
	}
	return "", false
}

// format writes s as .NET's DateTime.ToString does.
func (s stamp) format(format string) (string, error) {
	if len(format) == 1 {
		custom, ok := standardFormat(format[0])
		if !ok {
			return "", fmt.Errorf("'%s' is not a standard format of dates; a single custom letter is written with a percent sign", format)
		}
		format = custom
	}
	if len(format) > 1024 {
		return "", fmt.Errorf("a format of dates has at most 1024 letters")
	}
	w := stampWriter{stamp: s}
	for rest := format; rest != ""; {
		n, err := w.token(rest)
		if err != nil {
			return "", err
		}
		rest = rest[n:]
	}
	return w.text.String(), nil
}

type stampWriter struct {
	stamp
	text strings.Builder
}

// token writes what the head of format asks for and returns how much of it that was.
func (w *stampWriter) token(format string) (int, error) {
	switch c := format[0]; c {
	case '\'', '"':
		return w.quoted(format)
	case '\\':
		if len(format) < 2 {
			return 0, fmt.Errorf("a format of dates cannot end with a backslash")
		}
		w.text.WriteByte(format[1])
		return 2, nil
	case '%':
		if len(format) < 2 || format[1] == '%' {
			return 0, fmt.Errorf("a percent sign in a format of dates stands before one letter")
		}
		n, err := w.field(format[1], 1)
		return 1 + n, err
	default:
		run := 1
		for run < len(format) && format[run] == c {
			run++
		}
		return w.field(c, run)
	}
}

func (w *stampWriter) quoted(format string) (int, error) {
	for i := 1; i < len(format); i++ {
		switch format[i] {
		case format[0]:
			return i + 1, nil
		case '\\':
			if i++; i == len(format) {
				return 0, fmt.Errorf("a format of dates cannot end with a backslash")
			}
		}
		w.text.WriteByte(format[i])
	}
	return 0, fmt.Errorf("a quote in a format of dates is not closed")
}

// field writes a run of n letters. More letters than a field knows mean its longest form.
func (w *stampWriter) field(letter byte, n int) (int, error) {
	t := w.wall
	switch letter {
	case 'y':
		w.year(n)
	case 'M':
		w.named(int(t.Month()), n, t.Month().String())
	case 'd':
		name := t.Weekday().String()
		if n < 3 {
			name = ""
		}
		w.named(t.Day(), n, name)
	case 'h':
		w.digits((t.Hour()+11)%12+1, min(n, 2))
	case 'H':
		w.digits(t.Hour(), min(n, 2))
	case 'm':
		w.digits(t.Minute(), min(n, 2))
	case 's':
		w.digits(t.Second(), min(n, 2))
	case 'f', 'F':
		if n > 7 {
			return 0, fmt.Errorf("a format of dates has at most seven digits of a second")
		}
		w.fraction(letter, n)
	case 't':
		half := "AM"
		if t.Hour() >= 12 {
			half = "PM"
		}
		w.text.WriteString(half[:min(n, 2)])
	case 'K':
		if w.utc {
			w.text.WriteString(strings.Repeat("Z", n))
		}
	case 'z':
		w.text.WriteString([]string{"+0", "+00", "+00:00"}[min(n, 3)-1])
	case 'g':
		w.text.WriteString("A.D.")
	default:
		w.text.WriteString(strings.Repeat(string([]byte{letter}), n)) // one byte of a longer character, perhaps
	}
	return n, nil
}

func (w *stampWriter) year(n int) {
	if n <= 2 {
		w.digits(w.wall.Year()%100, n)
		return
	}
	w.digits(w.wall.Year(), n)
}

// named writes a number with up to two letters, a short name with three, the name with more.
func (w *stampWriter) named(number, n int, name string) {
	switch {
	case n <= 2:
		w.digits(number, n)
	case n == 3:
		w.text.WriteString(name[:3])
	default:
		w.text.WriteString(name)
	}
}

func (w *stampWriter) digits(number, width int) {
	text := strconv.Itoa(number)
	w.text.WriteString(strings.Repeat("0", max(width-len(text), 0)) + text)
}

// fraction writes n digits of the second, cut and not rounded. F leaves out zeros at the end, and the point before it.
func (w *stampWriter) fraction(letter byte, n int) {
	all := strconv.Itoa(ticksPerSecond + w.wall.Nanosecond()/100)[1:]
	digits := all[:n]
	if letter == 'f' {
		w.text.WriteString(digits)
		return
	}
	digits = strings.TrimRight(digits, "0")
	if before := w.text.String(); digits == "" && strings.HasSuffix(before, ".") {
		w.text.Reset()
		w.text.WriteString(strings.TrimSuffix(before, "."))
	}
	w.text.WriteString(digits)
}
