package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/flowehr/flowehr/internal/render"
)

// style is what the reader of w can be shown.
func (a *app) style(w io.Writer) render.Style {
	s := render.Style{Unicode: a.utf8(), Width: render.DefaultWidth}
	f, ok := file(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		s.Width = width
	}
	s.Color = !a.noColor && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
	return s
}

// utf8 reports whether the locale can show more than ASCII. A locale that is not set at all, as in most containers and
// CI systems, is taken as UTF-8.
func (a *app) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.env(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}

// terminal reports whether a stream is one.
func terminal(stream any) bool {
	f, ok := file(stream)
	return ok && term.IsTerminal(int(f.Fd()))
}

// writeJSON answers with one JSON value.
func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table gathers rows for render.Table.
type table struct {
	style   render.Style
	columns []render.Column
	rows    [][]string
}

// table starts a table with left-aligned columns; a name that begins with > is right-aligned.
func (a *app) table(names ...string) *table {
	t := &table{style: a.style(a.out)}
	for _, n := range names {
		name, right := strings.CutPrefix(n, ">")
		t.columns = append(t.columns, render.Column{Name: name, Right: right})
	}
	return t
}

// Row adds a row.
func (t *table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Write writes the table, or nothing when it has no rows.
func (t *table) Write(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	return render.Table(w, t.style, t.columns, t.rows)
}

// confirm asks for a word to be typed. Without a terminal nobody can: flag is what to call the command with then, empty
// when only a person may agree.
func (a *app) confirm(question, word, flag string) error {
	if !terminal(a.in) {
		err := errors.New("this needs somebody to agree, and there is no terminal to ask on")
		if flag == "" {
			return hint(err, "Nothing was changed. With real data a person has to agree: run it on a terminal.")
		}
		return hint(err, "Nothing was changed. Agree beforehand with: %s", flag)
	}
	fmt.Fprintf(a.errOut, "%s Type %s to go on: ", question, word)
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != word {
		return hint(errors.New("not confirmed"), "Nothing was changed.")
	}
	return nil
}

// ask has one of some words typed. Without a terminal nobody can: flags say how to answer beforehand.
func (a *app) ask(question string, words []string, flags string) (string, error) {
	if !terminal(a.in) {
		return "", hint(errors.New("this needs somebody to choose, and there is no terminal to ask on"), "Nothing was changed. Choose beforehand with: %s", flags)
	}
	fmt.Fprintf(a.errOut, "%s Type %s: ", question, strings.Join(words, " or "))
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if answer = strings.TrimSpace(answer); !slices.Contains(words, answer) {
		return "", hint(errors.New("not chosen"), "Nothing was changed.")
	}
	return answer, nil
}

func count(n int64) string { return render.Count(n) }

func duration(d time.Duration) string { return render.Duration(d) }

// isoTime is how times stand in JSON answers.
func isoTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
