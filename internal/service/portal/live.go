package portal

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	liveEvery = 400 * time.Millisecond // between two updates of one page
	liveBeat  = 15 * time.Second       // a comment, so that proxies keep the stream
	liveRead  = 30 * time.Second       // a page that does not take an update for so long has gone
)

// Live pages are bounded, because each holds a connection: all of them, and those of one person, who must not take the
// places of the others.
const maxStreams, maxStreamsEach = 256, 32

// places counts the live pages that are open.
type places struct {
	mu   sync.Mutex
	open map[string]int // by person
	all  int
}

func (p *places) enter(person string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == maxStreams || p.open[person] == maxStreamsEach {
		return false
	}
	p.all++
	p.open[person]++
	return true
}

func (p *places) leave(person string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.open[person]--; p.open[person] == 0 {
		delete(p.open, person)
	}
}

// runLive sends the live part of a run's page each time that the run changes, until it cannot change any more.
func (p *Portal) runLive(w http.ResponseWriter, r *http.Request, v visit) error {
	if !p.streams.enter(v.Person.ID) {
		return Refusal{Reason: "Too many live pages are open. Reload this one to see how far the run is."}
	}
	defer p.streams.leave(v.Person.ID)
	changes, err := p.Data.Runs.Watch(r.Context(), v.Person, r.PathValue("id"))
	if err != nil {
		return err
	}
	out := stream{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)

	beat := time.NewTicker(liveBeat)
	defer beat.Stop()
	for open := true; ; {
		finished, err := p.sendRun(out, r, v)
		if err != nil {
			p.Logger.DebugContext(r.Context(), "live run ends", "run", r.PathValue("id"), "error", err)
			return nil
		}
		if finished || !open {
			_ = out.event("done", "")
			return nil
		}
		if !pause(r, liveEvery) {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case _, open = <-changes:
				waiting = false
			case <-beat.C:
				// A session that ended must not go on reading.
				if _, err := p.session(r); err != nil {
					return nil
				}
				if out.comment() != nil {
					return nil
				}
			case <-r.Context().Done():
				return nil
			}
		}
	}
}

// sendRun sends the page's live part once and reports whether the run is over.
func (p *Portal) sendRun(out stream, r *http.Request, v visit) (finished bool, err error) {
	c := p.chrome(v, "", "/runs")
	view, err := p.readRun(r, v, c)
	if err != nil {
		return false, err
	}
	var b bytes.Buffer
	if err := runLivePart(c, view).Render(r.Context(), &b); err != nil {
		return false, err
	}
	return view.State.Done(), out.event("", b.String())
}

// pause waits, unless the reader goes away.
func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// stream writes server-sent events.
type stream struct {
	w       io.Writer
	control *http.ResponseController
}

// event sends text, line by line: a carriage return would end a line as well, so it becomes one.
func (s stream) event(name, text string) error {
	var b strings.Builder
	if name != "" {
		fmt.Fprintf(&b, "event: %s\n", name)
	}
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteByte('\n')
	return s.send(b.String())
}

func (s stream) comment() error { return s.send(": still here\n\n") }

// send gives each piece its own time: a server's write deadline is meant for pages, and a stream lasts as long as its run.
func (s stream) send(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(liveRead)) // not every writer has deadlines
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
