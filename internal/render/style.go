// Package render writes what people and programs read: plans, progress, diagnostics, tables and numbers.
//
// It gets a writer and data, and decides nothing else: not where output goes, not whether the terminal has colours (see
// [Style]), not what a command does next.
//
// The rules that hold here: colour never says anything that a symbol or a word does not say too; control characters in
// data never reach the terminal; JSON forms are documented structs whose members are only ever added to.
package render

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flowehr/flowehr"
)

// DefaultWidth is the width of output that is not to a terminal.
const DefaultWidth = 100

// narrowest is the width below which nothing is laid out in columns any more.
const narrowest = 40

// Style says what the reader's terminal can show.
type Style struct {
	Color   bool // NO_COLOR and --no-color are off
	Unicode bool // the locale is UTF-8
	Width   int  // columns; 0 means DefaultWidth
}

func (s Style) width() int {
	switch {
	case s.Width == 0:
		return DefaultWidth
	case s.Width < narrowest:
		return narrowest
	}
	return s.Width
}

// pick returns one of two spellings.
func (s Style) pick(unicode, ascii string) string {
	if s.Unicode {
		return unicode
	}
	return ascii
}

// Done marks what ended well, in lines that a command writes itself too.
func (s Style) Done() string { return s.paint(green, s.pick("✓", "ok")) }

// Failed marks what ended badly.
func (s Style) Failed() string { return s.paint(red, s.pick("✗", "x")) }

// Running marks what is under way.
func (s Style) Running() string { return s.paint(blue, s.pick("⟳", "*")) }

// Waiting marks what has not begun.
func (s Style) Waiting() string { return s.paint(dim, s.pick("·", ".")) }

// Skipped marks what was left out.
func (s Style) Skipped() string { return s.paint(dim, s.pick("–", "-")) }

func (s Style) arrow() string { return s.pick("→", "->") }
func (s Style) dot() string   { return s.pick(" · ", " | ") }

// action returns the symbol of an action.
func (s Style) action(a flowehr.Action) string {
	switch a {
	case flowehr.Keep:
		return "="
	case flowehr.Create:
		return s.paint(green, "+")
	case flowehr.Update:
		return s.paint(yellow, "~")
	case flowehr.Replace:
		return s.paint(yellow, s.pick("±", "!"))
	case flowehr.Delete:
		return s.paint(red, "-")
	}
	return "?"
}

// color is a code of "select graphic rendition".
type color string

const (
	bold   color = "1"
	dim    color = "2"
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	blue   color = "34"
)

func (s Style) paint(c color, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// controlSequence is what programs write to colour text or move the cursor.
var controlSequence = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")

// clean makes text from outside fit for one line of a terminal: control characters and line breaks become spaces, and
// what the terminal cannot show becomes a question mark.
func (s Style) clean(text string) string {
	text = controlSequence.ReplaceAllString(text, "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.Is(unicode.Cf, r): // marks that change direction could make text read as something else
			return -1
		case s.Unicode || r < utf8.RuneSelf:
			return r
		}
		return s.transliterate(r)
	}, text))
}

// transliterate spells the symbols that our own texts use.
func (s Style) transliterate(r rune) rune {
	switch r {
	case '·', '•':
		return '*'
	case '–', '—':
		return '-'
	case '…':
		return '.'
	case '’', '‘':
		return '\''
	case '“', '”':
		return '"'
	}
	return '?'
}

// span is the number of columns that text takes, colours left out.
func span(text string) int {
	n := 0
	for i := 0; i < len(text); {
		if text[i] == '\x1b' {
			end := strings.IndexByte(text[i:], 'm')
			if end < 0 {
				return n
			}
			i += end + 1
			continue
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		i += size
		n++
	}
	return n
}

// pad fills text up to n columns.
func pad(text string, n int) string {
	if missing := n - span(text); missing > 0 {
		return text + strings.Repeat(" ", missing)
	}
	return text
}

// padLeft fills text up to n columns in front.
func padLeft(text string, n int) string {
	if missing := n - span(text); missing > 0 {
		return strings.Repeat(" ", missing) + text
	}
	return text
}

// cut shortens uncoloured text to n columns and shows that it did.
func (s Style) cut(text string, n int) string {
	if span(text) <= n {
		return text
	}
	mark := s.pick("…", "..")
	runes := []rune(text)
	return string(runes[:max(0, n-span(mark))]) + mark
}

// apart puts left and right at the two ends of a line, or, if they do not fit, shortens left, which must not be coloured.
func (s Style) apart(left, right string) string {
	if right == "" {
		return s.cut(left, s.width())
	}
	room := s.width() - span(right) - 2
	return pad(s.cut(left, room), s.width()-span(right)) + right
}

// wrap breaks text into lines of at most n columns at spaces; a longer word stands alone.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case span(line)+1+span(word) <= n:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
