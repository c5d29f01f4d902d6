package portal

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// One person must not take the places of all.
func TestLivePagesOfOnePersonAreBounded(t *testing.T) {
	s := newSite(t, nil)
	for i := range maxStreamsEach {
		if !s.streams.enter(ada.ID) {
			t.Fatalf("page %d is refused", i)
		}
	}
	res := s.do("GET", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1/live", s.signInAs(), nil)
	if body := text(t, res); res.StatusCode != http.StatusConflict || !strings.Contains(body, "Too many live pages") {
		t.Errorf("one more: status %d", res.StatusCode)
	}
	if !s.streams.enter("grace") {
		t.Error("another person is refused")
	}
	s.streams.leave("grace")
	s.streams.leave(ada.ID)
	if !s.streams.enter(ada.ID) {
		t.Error("a place that became free is not given out")
	}
	for i := range maxStreams {
		s.streams.enter(fmt.Sprint("person ", i))
	}
	if s.streams.all != maxStreams || s.streams.enter("late") {
		t.Errorf("%d pages are open, at most %d may", s.streams.all, maxStreams)
	}
}

// deadlines is an answer that remembers until when it may be written and its request read. Writing fails after so many.
type deadlines struct {
	http.ResponseWriter
	read, write []time.Time
	left        int
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }
func (d *deadlines) Flush()                             {}

func (d *deadlines) Write(b []byte) (int, error) {
	if d.left--; d.left < 0 {
		return 0, errors.New("time is over")
	}
	return len(b), nil
}

func TestSlowPeersHoldNoConnection(t *testing.T) {
	s := newSite(t, nil)
	cookie := s.signInAs()
	ask := func(method, path string, body io.Reader) *deadlines {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		r := httptest.NewRequest(method, "http://127.0.0.1:7080"+path, body)
		r.AddCookie(&http.Cookie{Name: s.cookie, Value: cookie})
		s.h.ServeHTTP(d, r)
		return d
	}
	d := ask("GET", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1/live", nil)
	if len(d.write) != 2 || d.write[1].IsZero() || !d.write[1].Before(d.write[0]) {
		t.Errorf("a page that reads nothing: write deadlines %v, want one for each update", d.write)
	}
	if s.streams.all != 0 {
		t.Error("the place of a page that has gone is still taken")
	}
	if d.read != nil {
		t.Error("a live page has a read deadline: the server would take it for gone")
	}
	for _, method := range []string{"GET", "POST"} {
		if d := ask(method, "/sign-in/x", strings.NewReader("x=1")); len(d.read) != 1 || d.read[0].IsZero() {
			t.Errorf("a %s whose body never arrives: read deadlines %v, want one", method, d.read)
		}
	}
	if d := ask("GET", "/sign-in", nil); len(d.write) != 1 || d.write[0].IsZero() {
		t.Errorf("a page that is never taken: write deadlines %v, want one", d.write)
	}
}

func TestAddressesOfOthersAreNotFollowed(t *testing.T) {
	s := newSite(t, nil)
	for _, n := range []string{"javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:alert(1)"} {
		w := httptest.NewRecorder()
		view := overviewView{Needs: []Need{{Subject: "x", Path: n}}}
		if err := overviewPage(s.chrome(visit{Person: ada}, "Overview", "/"), view).Render(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(w.Body.String()), `href="`+strings.ToLower(n)) {
			t.Errorf("%s stands in the page as a link", n)
		}
		w = httptest.NewRecorder()
		graph := lineageGraph(Lineage{Nodes: []LineageNode{{ID: "a", Name: "a", Path: n}}})
		if err := graphSVG(graph).Render(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(w.Body.String()), `href="`+strings.ToLower(n)) {
			t.Errorf("%s stands in the graph as a link", n)
		}
	}
}

// What a crash left in the folder of sessions goes, and what is in use stays.
func TestGrantsLeaveNothingBehind(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	grants, err := NewFileGrants(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	session := Grant{Kind: grantSession, Hash: hash("a"), Person: ada, Expires: now.Add(sessionLife)}
	if err := grants.Put(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	left := []string{"new-1", "link-" + hash("b") + ".taken", "session-" + hash("c")} // the last one is torn
	for _, name := range left {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	count := func(after time.Duration) int {
		now = now.Add(after)
		link := Grant{Kind: grantLink, Hash: hash("d"), Person: ada, Expires: now.Add(linkLife)}
		if err := grants.Put(t.Context(), link); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if n := count(time.Minute); n != 2+len(left) {
		t.Errorf("%d files, want all %d: somebody may be writing them", n, 2+len(left))
	}
	if n := count(sessionLife + time.Minute); n != 1 {
		t.Errorf("%d files a day later, want the new link alone", n)
	}
}
