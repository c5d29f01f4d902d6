package portal

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// liveAddress is where the page of a run gets its updates: it keeps what the person chose to see.
func liveAddress(v runView) string {
	at, all := "", ""
	if v.Chosen {
		at = v.At
	}
	if v.All {
		all = "1"
	}
	return with(to("runs", v.ID, "live"), "at", at, "all", all)
}

func logTitle(v runView) string {
	title := "of the whole run"
	if v.Open != nil {
		title = "of " + v.Open.Name
	}
	if len(v.Log) == logTail {
		title += fmt.Sprintf(", the last %d lines", logTail)
	}
	return title
}

// logWord marks a line in words, because colour never stands alone.
func logWord(l LogLine) string {
	switch l.Level {
	case "error":
		return "error  "
	case "warning":
		return "warning  "
	}
	return ""
}

func cut(text string) bool { return utf8.RuneCountInString(text) > textCut }

func summed(rs []row) bool { return slices.ContainsFunc(rs, func(r row) bool { return r.More > 0 }) }

// moreWord tells of the runs of a container that are not listed.
func moreWord(a row, all bool) string {
	s := "and " + plural(a.More, "more run", "more runs")
	if a.Busy > 0 {
		s += ", " + count(a.Busy) + " of them failed or running"
	} else {
		s += ", none of them failed or running"
	}
	if all {
		return s + "; a page lists " + count(maxListed) + " of them."
	}
	return s + ", "
}

func depthClass(depth int) string {
	if depth == 0 {
		return ""
	}
	return fmt.Sprintf("deep-%d", min(depth, 6))
}

func dimmed(a row) string {
	if a.State == Skipped || a.State == Waiting {
		return "dim"
	}
	return ""
}

// placeWord says where in its container an instance stands: iterations by number, branches by name.
func placeWord(place string) string {
	if strings.Trim(place, "0123456789") == "" {
		return "iteration " + place
	}
	return place
}

func tookCell(c chrome, a row) string {
	if a.State == Skipped || a.State == Waiting {
		return "–"
	}
	return c.span(a.Started, a.Ended)
}

func attemptsCell(a row) string {
	if len(a.Attempts) == 0 {
		return "–"
	}
	return count(len(a.Attempts))
}

// resultCell is one line: the error, else what the activity says of itself.
func resultCell(a row) string {
	if a.Error != nil {
		return clip(firstLine(a.Error.Message), 160)
	}
	return clip(firstLine(a.Note), 160)
}

func errorKind(e ActivityError) string {
	switch {
	case e.Code == "":
		return e.Type
	case e.Type == "":
		return "Code " + e.Code
	}
	return "Code " + e.Code + ", " + e.Type
}

// tablePath is the page of a table that an activity touched, when there is one.
func tablePath(c chrome, name string) string {
	kind, rest, _ := strings.Cut(name, ":")
	switch {
	case kind == "lake" && c.has["/lake"], kind == "store" && c.has["/store"]:
		return to(kind, rest)
	}
	return ""
}
