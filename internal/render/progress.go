package render

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/flowehr/flowehr"
)

// Plain returns a sink that writes one line for each change of state, with a timestamp, for logs. A write that fails is
// not reported: there is nobody to tell.
func Plain(w io.Writer, s Style) flowehr.Sink {
	var mu sync.Mutex
	return func(e flowehr.Event) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(w, s.plain(e)+"\n")
	}
}

// plainTime is RFC 3339 with seconds, which sorts and greps.
const plainTime = "2006-01-02T15:04:05Z07:00"

func (s Style) plain(e flowehr.Event) string {
	parts := []string{e.At.Format(plainTime), pad(word(e.Kind), 8)}
	if e.Ref != (flowehr.Ref{}) {
		what := s.clean(e.Ref.String())
		if e.Action != flowehr.Keep {
			what = e.Action.String() + " " + what
		}
		parts = append(parts, what)
	}
	if text := s.clean(e.Text); text != "" {
		parts = append(parts, "("+text+")")
	}
	if e.Took > 0 {
		parts = append(parts, Duration(e.Took))
	}
	line := strings.Join(parts, " ")
	if e.Err != "" {
		line += ": " + s.clean(e.Err)
	}
	return line
}

// word is what happened, in one word of at most eight letters.
func word(k flowehr.EventKind) string {
	switch k {
	case flowehr.EventRunStarted:
		return "begin"
	case flowehr.EventStepStarted:
		return "start"
	case flowehr.EventStepNote:
		return "note"
	case flowehr.EventStepRetry:
		return "retry"
	case flowehr.EventStepDone:
		return "done"
	case flowehr.EventStepFailed:
		return "failed"
	case flowehr.EventStepSkipped:
		return "skipped"
	case flowehr.EventRunDone:
		return "end"
	case flowehr.EventService:
		return "service"
	}
	return string(k)
}

// StoppedView is what a run left behind when it did not reach its end.
type StoppedView struct {
	Done, HalfDone, Failed, Skipped, NotStarted []flowehr.Ref
	Interrupted                                 bool
	Next                                        string // the command that goes on
}

// Stopped says what is done, what is half-done, what was not reached and how to go on.
func Stopped(w io.Writer, s Style, v StoppedView) error {
	var b strings.Builder
	title := "Not everything is done."
	if v.Interrupted {
		title = "Stopped."
	}
	b.WriteString(s.paint(bold, title) + "\n")
	for _, group := range []struct {
		title, remark string
		refs          []flowehr.Ref
	}{
		{"Done", "", v.Done},
		{"Half-done", "carried on next time, nothing to undo", v.HalfDone},
		{"Failed", "", v.Failed},
		{"Skipped", "they need what failed", v.Skipped},
		{"Not started", "", v.NotStarted},
	} {
		if len(group.refs) == 0 {
			continue
		}
		text := s.refs(group.refs)
		if group.remark != "" {
			text += " (" + group.remark + ")"
		}
		indent := strings.Repeat(" ", 13)
		first := pad(group.title+":", 13)
		for _, line := range wrap(text, s.width()-13) {
			b.WriteString(first + line + "\n")
			first = indent
		}
	}
	if v.Next != "" {
		b.WriteString("Go on with: " + v.Next + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mostRefs is how many resources a list names.
const mostRefs = 6

func (s Style) refs(refs []flowehr.Ref) string {
	var names []string
	for i, ref := range refs {
		if i == mostRefs && len(refs) > mostRefs+1 {
			names = append(names, fmt.Sprintf("and %s more", Count(int64(len(refs)-i))))
			break
		}
		names = append(names, s.clean(ref.String()))
	}
	return strings.Join(names, ", ")
}
