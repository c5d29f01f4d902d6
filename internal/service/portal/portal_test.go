package portal

import (
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// site is a portal on the fake hospital with a clock that tests turn.
type site struct {
	*Portal
	t    testing.TB
	fake *fake
	now  time.Time
	h    http.Handler
}

func newSite(t testing.TB, change func(*Options)) *site {
	t.Helper()
	s := &site{t: t, fake: newFake(), now: fakeNow}
	o := Options{
		Data: s.fake.data(), Name: "st-elsewhere-local", Target: "local", Base: "http://127.0.0.1:7080",
		Now: func() time.Time { return s.now }, Location: time.UTC,
	}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Portal, s.h = p, p.Handler()
	return s
}

// do sends a request as a browser does that has the cookie.
func (s *site) do(method, path, cookie string, form url.Values, change ...func(*http.Request)) *http.Response {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:7080"+path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://127.0.0.1:7080")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: s.cookie, Value: cookie})
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w.Result()
}

func (s *site) linkPath() string {
	s.t.Helper()
	link, err := s.NewLink(s.t.Context(), ada)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimPrefix(link, "http://127.0.0.1:7080")
}

// signInAs goes in by a link and returns the cookie.
func (s *site) signInAs() string {
	s.t.Helper()
	res := s.do("POST", s.linkPath(), "", url.Values{})
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		s.t.Fatalf("sign-in: status %d, cookies %v", res.StatusCode, res.Cookies())
	}
	return res.Cookies()[0].Value
}

func text(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// allPages is an address of every page of the fake hospital.
var allPages = []string{
	"/", "/resources", "/services", "/pipelines", "/pipelines/gold-features", "/pipelines/load-each-ward", "/runs", "/runs?state=failed&since=day",
	"/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1?at=%2FCopy+observations",
	"/runs/c0ffee00-1111-4222-8333-444455556666", "/runs/c0ffee00-1111-4222-8333-444455556666?all", "/runs/0b5e55ed-61f2-4b44-9c3e-0b8a42c8e0d1",
	"/lake", "/lake/gold.patient_features", "/lake/gold.patient_features?preview", "/lake/gold.patient_features?profile", "/lake/gold.patient_features/profile",
	"/store", "/store/main.patient_features", "/sources", "/audit", "/audit?who=ada&since=2026-11-20&until=2026-11-21", "/sign-in",
}

func TestEveryPage(t *testing.T) {
	for name, empty := range map[string]bool{"full": false, "empty": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			s.fake.empty = empty
			cookie := s.signInAs()
			for _, path := range allPages {
				res := s.do("GET", path, cookie, nil)
				body := text(t, res)
				if res.StatusCode != 200 && !(empty && res.StatusCode == 404) {
					t.Errorf("GET %s: status %d\n%s", path, res.StatusCode, body)
				}
				if strings.Contains(body, "style=") || regexp.MustCompile(`<script>|<script [^>]*>[^<]|\son[a-z]+=`).MatchString(body) {
					t.Errorf("GET %s: inline style or script", path)
				}
				if strings.Contains(body, "hidden-default") {
					t.Errorf("GET %s: shows the default of a secure parameter", path)
				}
			}
		})
	}
}

// TestPagesSay holds the sentences that people come for.
func TestPagesSay(t *testing.T) {
	s := newSite(t, nil)
	cookie := s.signInAs()
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"overview puts the failed run first", "/", []string{`href="/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1">gold-features</a>`, "expected hourly", "5 pipelines, 3 zones", "Degraded"}},
		{"a red run says why before its graph", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", []string{
			"<strong>Why it is red.</strong>", "“Publish” was skipped, so “Assert” before it decides, and that failed: age between 0 and 120: 3 of 48,211 rows (ages 131, 134, 140).",
			"“Notify” ran after the failure and does not change the outcome.", "<strong>What did not break.</strong>", "store.patient_features keeps version 37", "<h2>Graph</h2>",
			"Resume from what failed", "error  age between 0 and 120",
		}},
		{"an activity shows input, output, attempts, tables and expressions", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1?at=/Copy%20observations", []string{
			"connection reset by epr-db", "&#34;rowsCopied&#34;: 4102118", "pipeline().parameters.window_start", `href="/lake/silver.observation"`, "version 201",
		}},
		{"a loop sums its iterations up", "/runs/c0ffee00-1111-4222-8333-444455556666", []string{"Why it is green.", "and 68 more runs", "Show every iteration", "iteration 0"}},
		{"a running run is live", "/runs/0b5e55ed-61f2-4b44-9c3e-0b8a42c8e0d1", []string{`hx-sse:connect="/runs/0b5e55ed-61f2-4b44-9c3e-0b8a42c8e0d1/live"`, "At work: “Copy encounters” and “Copy observations”", "Cancel"}},
		{"a pipeline has a form with its parameters", "/pipelines/gold-features", []string{"Left empty it is <code>5000</code>", `type="password"`, "every day at 19:00", "4be1c0d9f2aa"}},
		{"again fills the form", "/pipelines/gold-features?again=7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", []string{`value="2026-11-21"`}},
		{"a table has columns, lineage, versions and readers", "/lake/gold.patient_features?profile&preview", []string{"1 check fails", "11.2 %", "not shown to your role", "21 – 884", "app:cohort-explorer", "<title>silver.patient → p</title>", "P00019", "missing"}},
		{"an unknown number is said", "/lake/bronze.patients", []string{"not known"}},
		{"a published table names the version before", "/store/main.patient_features", []string{"before it: version 37"}},
		{"a source says what to do", "/sources", []string{"Cannot connect", "flowehr secrets set EPR_PASSWORD", "1,000 made-up patients"}},
		{"the audit log says that it is whole", "/audit", []string{"Chain verified", "12,408 records", "Older entries"}},
		{"times are exact in the markup", "/runs", []string{`<time datetime="2026-11-22T19:43:15Z"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := text(t, s.do("GET", c.path, cookie, nil))
			at := 0
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("GET %s lacks %q", c.path, want)
				}
				at = max(at, strings.Index(body, want))
			}
		})
	}
	body := text(t, s.do("GET", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", cookie, nil))
	if strings.Index(body, "Why it is red") > strings.Index(body, "<h2>Graph</h2>") {
		t.Error("the graph stands before the reason")
	}
}

func TestHostileTextIsText(t *testing.T) {
	const evil = `<script>alert(1)</script>"><img src=x onerror=alert(1)>`
	s := newSite(t, nil)
	r := failedRun()
	r.Pipeline, r.By, r.Trigger = evil, evil, ""
	for i := range r.Nodes {
		r.Nodes[i].Type = evil
	}
	r.Unaffected = []string{evil}
	r.Parameters = []NameValue{{evil, evil}}
	for i := range r.Activities {
		a := &r.Activities[i]
		a.Type, a.Note, a.Input, a.Output = evil, evil, evil, evil
		a.Trace = []TraceStep{{evil, evil, evil, 0}}
		a.Tables = []TableUse{{evil, true, 1, 1}}
		a.Error = &ActivityError{evil, evil, evil}
	}
	s.fake.runs = append([]Run{}, r)
	s.fake.lines = []LogLine{{At: fakeNow, Text: evil + "\r\n\r\nevent: forged\ndata: x"}}
	cookie := s.signInAs()
	for _, path := range []string{"/", "/runs", "/runs/" + r.ID, "/runs/" + r.ID + "/live"} {
		body := text(t, s.do("GET", path, cookie, nil))
		for _, bad := range []string{"<script>alert", "<img", "\nevent: forged"} {
			// In a page a line break is only text; in a stream it would begin a field.
			if strings.Contains(body, bad) && (bad[0] == '<' || strings.HasSuffix(path, "/live")) {
				t.Errorf("GET %s holds %q", path, bad)
			}
		}
		if !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("GET %s does not show the text at all", path)
		}
	}
}

func TestLiveEndsWithTheRun(t *testing.T) {
	s := newSite(t, nil)
	server := httptest.NewServer(s.h)
	defer server.Close()
	cookie := s.signInAs()
	id := runningRun().ID
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/runs/"+id+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: s.cookie, Value: cookie})
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	s.fake.change(id, func(r *Run) { r.Activities[1].State, r.Activities[1].Note = Succeeded, "half-way there" })
	s.fake.change(id, func(r *Run) { r.State, r.Ended = Succeeded, fakeNow })
	body := text(t, res)
	for _, want := range []string{"At work", "half-way there", "Why it is green.", "event: done\ndata: \n\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("the stream lacks %q", want)
		}
	}
	for line := range strings.SplitSeq(body, "\n") {
		if line != "" && !strings.HasPrefix(line, "data: ") && !strings.HasPrefix(line, "event: ") {
			t.Fatalf("a line is not of an event: %q", line)
		}
	}
}

func TestActions(t *testing.T) {
	s := newSite(t, nil)
	cookie := s.signInAs()
	csrf := csrfToken(cookie)
	form := func(kv ...string) url.Values {
		v := url.Values{"csrf": {csrf}}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return v
	}
	t.Run("start sends typed values and leaves defaults out", func(t *testing.T) {
		res := s.do("POST", "/pipelines/gold-features/runs", cookie, form("p:window_start", `a"b`, "p:batch", "7", "p:full", "", "p:wards", `["C3"]`, "p:unknown", "x"))
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/runs/"+failedRun().ID {
			t.Fatalf("status %d, location %q", res.StatusCode, res.Header.Get("Location"))
		}
		want := map[string]string{"window_start": `"a\"b"`, "batch": "7", "wards": `["C3"]`}
		for k, v := range s.fake.started {
			if want[k] != string(v) {
				t.Errorf("%s = %s, want %s", k, v, want[k])
			}
		}
		if len(s.fake.started) != len(want) {
			t.Errorf("got %v, want %v", s.fake.started, want)
		}
	})
	t.Run("a wrong value is shown and nothing starts", func(t *testing.T) {
		s.fake.asked = nil
		res := s.do("POST", "/pipelines/gold-features/runs", cookie, form("p:window_start", "x", "p:batch", "many", "p:token", "seen-secret"))
		body := text(t, res)
		if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "This must be a whole number.") || !strings.Contains(body, `value="many"`) {
			t.Errorf("status %d, body %s", res.StatusCode, body)
		}
		if strings.Contains(body, "seen-secret") {
			t.Error("the page repeats a secure value")
		}
		if slices.ContainsFunc(s.fake.asked, func(a string) bool { return strings.Contains(a, "start") }) {
			t.Errorf("asked %v", s.fake.asked)
		}
	})
	for _, act := range []string{"cancel", "resume"} {
		t.Run(act, func(t *testing.T) {
			res := s.do("POST", "/runs/x1/"+act, cookie, form())
			if res.StatusCode != http.StatusSeeOther || !slices.Contains(s.fake.asked, "ada@ward-laptop "+act+" x1") {
				t.Errorf("status %d, asked %v", res.StatusCode, s.fake.asked)
			}
		})
	}
	t.Run("a source is tested", func(t *testing.T) {
		if body := text(t, s.do("POST", "/sources/epr/test", cookie, form())); !strings.Contains(body, "9 tables can be read.") {
			t.Error("the outcome is not shown")
		}
	})
	t.Run("a refusal is shown in its words", func(t *testing.T) {
		s.fake.refuse = Refusal{"The run ended before it could be cancelled."}
		res := s.do("POST", "/runs/x1/cancel", cookie, form())
		if body := text(t, res); res.StatusCode != http.StatusConflict || !strings.Contains(body, "ended before it could be cancelled") {
			t.Errorf("status %d, body %s", res.StatusCode, body)
		}
	})
}

func TestErrorsBecomePages(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"not found", ErrNotFound, 404, "There is nothing here"},
		{"denied", ErrDenied, 403, "You may not do this"},
		{"anything else keeps its words to the log", errors.New("dial /run/secret-socket: refused"), 500, "This page could not be made"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			cookie := s.signInAs()
			s.fake.fail = c.err
			res := s.do("GET", "/lake/gold.patient_features", cookie, nil)
			body := text(t, res)
			if res.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("status %d, want %d with %q", res.StatusCode, c.status, c.want)
			}
			if strings.Contains(body, "secret-socket") {
				t.Error("the page shows an inner error")
			}
			res = s.do("GET", "/lake/gold.patient_features/profile", cookie, nil, func(r *http.Request) { r.Header.Set("HX-Request", "true") })
			if body := text(t, res); res.StatusCode != c.status || !strings.Contains(body, c.want) || strings.Contains(body, "<html") {
				t.Errorf("as a part of a page: status %d, %s", res.StatusCode, body)
			}
		})
	}
}

// TestRailShowsWhatThereIs: a portal without a member of Data has no page for it.
func TestRailShowsWhatThereIs(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Data = Data{Services: o.Data.Services, Lake: o.Data.Lake} })
	cookie := s.signInAs()
	body := text(t, s.do("GET", "/", cookie, nil))
	for path, want := range map[string]bool{"/services": true, "/lake": true, "/runs": false, "/audit": false, "/store": false, "/pipelines": false} {
		if got := strings.Contains(body, `href="`+path+`"`); got != want {
			t.Errorf("rail links %s: %v, want %v", path, got, want)
		}
		if got := s.do("GET", path, cookie, nil).StatusCode == 200; got != want {
			t.Errorf("GET %s: there %v, want %v", path, got, want)
		}
	}
}

func TestPreviewOnlyWhenAsked(t *testing.T) {
	s := newSite(t, nil)
	cookie := s.signInAs()
	for _, path := range allPages {
		if !strings.Contains(path, "preview") {
			s.do("GET", path, cookie, nil)
		}
	}
	if i := slices.IndexFunc(s.fake.asked, func(a string) bool { return strings.Contains(a, " preview ") }); i >= 0 {
		t.Errorf("rows were read without being asked for: %s", s.fake.asked[i])
	}
	for _, a := range s.fake.asked {
		if !strings.HasPrefix(a, ada.ID+" ") {
			t.Errorf("asked without the person: %q", a)
		}
	}
}

func BenchmarkRunPage(b *testing.B) {
	s := newSite(b, nil)
	cookie := s.signInAs()
	b.ReportAllocs()
	for b.Loop() {
		res := s.do("GET", "/runs/7f3a9216-61f2-4b44-9c3e-0b8a42c8e0d1", cookie, nil)
		if res.StatusCode != 200 {
			b.Fatal(res.StatusCode)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestRunFragment holds the markup of a failed run, which browsers get as page and as live update.
func TestRunFragment(t *testing.T) {
	s := newSite(t, nil)
	r := httptest.NewRequest("GET", "/runs/x", nil)
	r.SetPathValue("id", failedRun().ID)
	c := s.chrome(visit{Person: ada}, "", "/runs")
	view, err := s.readRun(r, visit{Person: ada}, c)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := runLivePart(c, view).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(b.String(), "><", ">\n<") + "\n"
	const golden = "testdata/run.golden.html"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (go test -update writes it anew):\n%s", diff)
	}
}
