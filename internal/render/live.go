package render

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
)

// Live shows progress on a terminal: what is finished scrolls up and stays, and below it a few lines that are redrawn show what
// is under way and what waits. It is safe for concurrent use. A write that fails is not reported: there is nobody to
// tell.
type Live struct {
	w     io.Writer
	style Style
	now   flowehr.Clock

	mu      sync.Mutex
	steps   map[flowehr.Ref]flowehr.Step
	order   []flowehr.Ref // of the plan
	kinds   int
	names   int
	layer   flowehr.Layer // of the last finished line
	active  map[flowehr.Ref]*activity
	settled map[flowehr.Ref]bool
	drawn   int // lines of the part that is redrawn
	closed  bool
}

// activity is a step under way.
type activity struct {
	began time.Time
	note  string
}

// Live shows at most so many lines of what is under way and of what waits.
const (
	mostActive  = 8
	mostWaiting = 3
)

// redraw is how often elapsed times are brought up to date.
const redraw = 250 * time.Millisecond

// NewLive returns the progress of p on a terminal.
func NewLive(w io.Writer, s Style, p flowehr.Plan, now flowehr.Clock) *Live {
	l := &Live{w: w, style: s, now: now, steps: map[flowehr.Ref]flowehr.Step{}, active: map[flowehr.Ref]*activity{},
		settled: map[flowehr.Ref]bool{}}
	for _, step := range p.Steps {
		l.steps[step.Want.Ref] = step
		if step.Action != flowehr.Keep {
			l.order = append(l.order, step.Want.Ref)
		}
	}
	l.kinds, l.names = columns(s, shownSteps(p, false))
	return l
}

// Run brings the display up to date until ctx ends.
func (l *Live) Run(ctx context.Context) {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.Tick()
		}
	}
}

// Tick draws again, with the times of now.
func (l *Live) Tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(nil)
}

// Close takes the lines that are redrawn away. Later events only write finished lines.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.draw(nil)
}

// Say writes a line that stays, above what is redrawn.
func (l *Live) Say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw([]string{l.style.clean(line)})
}

// Sink takes an event.
func (l *Live) Sink(e flowehr.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case flowehr.EventRunStarted, flowehr.EventRunDone:
		l.draw(nil)
	case flowehr.EventStepStarted:
		l.active[e.Ref] = &activity{began: e.At}
		l.draw(nil)
	case flowehr.EventStepNote:
		l.note(e.Ref, e.Text)
	case flowehr.EventStepRetry:
		l.note(e.Ref, e.Text+", because "+e.Err)
	case flowehr.EventStepDone:
		l.settle(e, l.style.Done(), "")
	case flowehr.EventStepFailed:
		l.settle(e, l.style.Failed(), e.Err)
	case flowehr.EventStepSkipped:
		l.settle(e, l.style.Skipped(), "skipped: "+e.Text)
	case flowehr.EventService:
		l.draw([]string{l.style.apart("  "+l.style.clean(e.Ref.String()+" "+e.Text+" "+e.Err), "")})
	}
}

func (l *Live) note(ref flowehr.Ref, text string) {
	if a, ok := l.active[ref]; ok {
		a.note = text
	}
	l.draw(nil)
}

// settle writes the line of a step that is over, under the name of its layer.
func (l *Live) settle(e flowehr.Event, symbol, text string) {
	delete(l.active, e.Ref)
	l.settled[e.Ref] = true
	var lines []string
	if layer := l.steps[e.Ref].Want.Layer; layer != "" && layer != l.layer {
		l.layer = layer
		lines = append(lines, "  "+l.style.paint(bold, l.style.clean(string(layer))))
	}
	took := ""
	if e.Took > 0 {
		took = Duration(e.Took)
	}
	// An error is said in full: the line that is cut is the one that is needed.
	line, rest := l.line(symbol, e.Ref, text, took)
	lines = append(lines, line)
	for _, more := range rest {
		lines = append(lines, strings.Repeat(" ", 6)+more)
	}
	l.draw(lines)
}

// line lays out one step. What of text has no room comes back wrapped.
func (l *Live) line(symbol string, ref flowehr.Ref, text, took string) (string, []string) {
	s := l.style
	text = s.clean(text)
	lead := fmt.Sprintf("    %s %s %s ", symbol, pad(s.cut(s.clean(ref.Kind), l.kinds), l.kinds), pad(s.cut(s.clean(ref.Name), l.names), l.names))
	room := s.width() - span(lead) - span(took) - 2
	var rest []string
	if span(text) > room {
		rest, text = wrap(text, s.width()-6), ""
	}
	line := lead + text
	if took == "" {
		return strings.TrimRight(line, " "), rest
	}
	return pad(line, s.width()-span(took)) + s.paint(dim, took), rest
}

// draw replaces the redrawn part by lines that stay and a new redrawn part, in one write so that nothing flickers.
func (l *Live) draw(stay []string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.drawn)
	}
	for _, line := range stay {
		b.WriteString(line + "\n")
	}
	l.drawn = 0
	if !l.closed {
		for _, line := range l.moving() {
			b.WriteString(line + "\n")
			l.drawn++
		}
	}
	if b.Len() > 0 {
		_, _ = io.WriteString(l.w, b.String())
	}
}

// moving returns the part that is redrawn.
func (l *Live) moving() []string {
	var lines []string
	var waiting []flowehr.Ref
	for _, ref := range l.order {
		if l.active[ref] == nil && !l.settled[ref] {
			waiting = append(waiting, ref)
		}
	}
	running := l.running()
	for i, ref := range running {
		if i == mostActive {
			lines = append(lines, fmt.Sprintf("    %s and %d more under way", l.style.Running(), len(running)-i))
			break
		}
		a := l.active[ref]
		took := Elapsed(l.now().Sub(a.began))
		if d := l.steps[ref].Expected; d > 0 {
			took += " of about " + Roughly(d)
		}
		lines = append(lines, l.movingLine(l.style.Running(), ref, a.note, took))
	}
	for i, ref := range waiting {
		if i == mostWaiting && len(waiting) > mostWaiting+1 {
			lines = append(lines, fmt.Sprintf("    %s and %d more wait", l.style.Waiting(), len(waiting)-i))
			break
		}
		lines = append(lines, l.movingLine(l.style.Waiting(), ref, l.waitsFor(ref), ""))
	}
	return lines
}

// movingLine is never longer than the terminal is wide: a line that wraps could not be taken away again.
func (l *Live) movingLine(symbol string, ref flowehr.Ref, note, took string) string {
	s := l.style
	used := 8 + l.kinds + l.names + 1
	line, _ := l.line(symbol, ref, s.cut(s.clean(note), max(0, s.width()-used-span(took)-2)), took)
	return line
}

// running lists what is under way, the longest first.
func (l *Live) running() []flowehr.Ref {
	var refs []flowehr.Ref
	for ref := range l.active {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b flowehr.Ref) int {
		if c := l.active[a].began.Compare(l.active[b].began); c != 0 {
			return c
		}
		return strings.Compare(a.String(), b.String())
	})
	return refs
}

// waitsFor names the first step that ref waits for.
func (l *Live) waitsFor(ref flowehr.Ref) string {
	for _, need := range l.steps[ref].After {
		if l.steps[need].Action != flowehr.Keep && !l.settled[need] {
			return "after " + need.String()
		}
	}
	return ""
}
