package portal

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	liveEvery = 400 * time.Millisecond // between two updates of one page
	liveBeat  = 15 * time.Second       // a comment, so that proxies keep the stream
)

// runLive sends the live part of a run's page each time that the run changes, until it cannot change any more.
func (p *Portal) runLive(w http.ResponseWriter, r *http.Request, v visit) error {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		return Refusal{Reason: "Too many live pages are open. Reload this one to see how far the run is."}
	}
	changes, err := p.Data.Runs.Watch(r.Context(), v.Person, r.PathValue("id"))
	if err != nil {
		return err
	}
	out := stream{w: w, control: http.NewResponseController(w)}
	// A server's write deadline is meant for pages; a stream lasts as long as its run.
	_ = out.control.SetWriteDeadline(time.Time{})
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
	if _, err := io.WriteString(s.w, b.String()); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s stream) comment() error {
	if _, err := io.WriteString(s.w, ": still here\n\n"); err != nil {
		return err
	}
	return s.control.Flush()
}
