// Package portal is the web page of an environment: what runs, what failed and why, which tables there are and where
// they come from, who did what.
//
// It renders HTML and SVG on the server, streams live pages as server-sent events, and lets a person start, cancel and
// resume runs. It does not know the engine, the lake or the store: it declares in [Data] the few things that it reads
// and does, and the host hands them over. It does not decide who may see what; it passes on who asks.
//
// The rule that holds here: nothing is shown that was not read, and every page works without JavaScript. Scripts only
// refresh what is already there.
package portal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/flowehr/flowehr"
)

// Options says what the portal shows and how it is reached.
type Options struct {
	Data     Data
	Name     string // of the environment, for the head of each page: "st-elsewhere-local"
	Target   flowehr.TargetName
	RealData bool

	Base        string   // how browsers reach it: "http://127.0.0.1:7080"; a path is refused
	Hosts       []string // further host names that requests may carry, without port
	LinkCommand string   // command that prints a new sign-in link; "flowehr up" when empty

	Grants   GrantStore // sessions and one-time links; in memory when nil
	Now      flowehr.Clock
	Location *time.Location // of the times on pages; time.Local when nil
	Logger   *slog.Logger
}

// Portal serves the pages of one environment. Its methods may be called concurrently.
type Portal struct {
	Options
	base    *url.URL
	hosts   map[string]bool
	cookie  string
	sign    *limiter
	assets  map[string]asset
	streams places
}

// New checks the options. The portal is ready when it returns; nothing runs in the background.
func New(o Options) (*Portal, error) {
	base, err := url.Parse(o.Base)
	if err != nil {
		return nil, fmt.Errorf("base address: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || strings.Trim(base.Path, "/") != "" {
		return nil, fmt.Errorf("base address %q is not http(s)://host[:port]", o.Base)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Grants == nil {
		o.Grants = NewMemoryGrants(o.Now)
	}
	if o.LinkCommand == "" {
		o.LinkCommand = "flowehr up"
	}
	p := &Portal{
		Options: o, base: base, hosts: map[string]bool{},
		cookie: cookieName(base, o.Name), sign: newLimiter(o.Now, 10, time.Minute),
		streams: places{open: map[string]int{}},
	}
	for _, h := range append([]string{base.Hostname(), "localhost", "127.0.0.1", "::1"}, o.Hosts...) {
		p.hosts[strings.ToLower(h)] = true
	}
	if p.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	return p, nil
}

// cookieName differs between environments, because browsers send cookies to every port of a host.
func cookieName(base *url.URL, name string) string {
	sum := sha256.Sum256([]byte(base.Host + "\n" + name))
	cookie := "flowehr-" + hex.EncodeToString(sum[:4])
	if base.Scheme == "https" {
		cookie = "__Host-" + cookie
	}
	return cookie
}

// Handler returns the whole portal. It expects to be mounted at the root of its host.
func (p *Portal) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /static/{file}", p.static)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		// Browsers ask for it beside plain text, which cannot name another icon.
		r.SetPathValue("file", "mark.svg")
		p.static(w, r)
	})
	mux.HandleFunc("GET /sign-in", p.signInHelp)
	mux.HandleFunc("GET /sign-in/{token}", p.signInPage)
	mux.HandleFunc("POST /sign-in/{token}", p.signIn)
	mux.HandleFunc("POST /sign-out", p.signedIn(p.signOut))

	d := p.Data
	get := func(pattern string, has bool, h page) {
		if has {
			mux.HandleFunc("GET "+pattern, p.signedIn(h))
		}
	}
	post := func(pattern string, has bool, h page) {
		if has {
			mux.HandleFunc("POST "+pattern, p.signedIn(p.guarded(h)))
		}
	}
	get("/{$}", true, p.overview)
	get("/resources", d.Resources != nil, p.resources)
	get("/pipelines", d.Pipelines != nil, p.pipelines)
	get("/pipelines/{name}", d.Pipelines != nil, p.pipeline)
	post("/pipelines/{name}/runs", d.Pipelines != nil && d.Actions != nil, p.startRun)
	get("/runs", d.Runs != nil, p.runs)
	get("/runs/{id}", d.Runs != nil, p.run)
	get("/runs/{id}/live", d.Runs != nil, p.runLive)
	get("/runs/{id}/log", d.Runs != nil && d.Logs != nil, p.runLog)
	get("/runs/{id}/text", d.Runs != nil, p.runText)
	post("/runs/{id}/cancel", d.Runs != nil && d.Actions != nil, p.cancelRun)
	post("/runs/{id}/resume", d.Runs != nil && d.Actions != nil, p.resumeRun)
	for _, s := range p.shelves() {
		get("/"+s.path, s.reader != nil, p.tables(s))
		get("/"+s.path+"/{name}", s.reader != nil, p.table(s))
		get("/"+s.path+"/{name}/profile", s.reader != nil && s.profiler != nil, p.profile(s))
	}
	get("/sources", d.Sources != nil, p.sources)
	post("/sources/{name}/test", d.Sources != nil, p.testSource)
	get("/services", d.Services != nil, p.services)
	get("/audit", d.Audit != nil, p.audit)
	mux.HandleFunc("/", p.signedIn(func(http.ResponseWriter, *http.Request, visit) error { return ErrNotFound }))
	return p.guard(mux)
}

// visit is one request of a person who is signed in.
type visit struct {
	Person Person
	csrf   string
}

// page answers a request of a signed-in person. Its error becomes an error page.
type page func(http.ResponseWriter, *http.Request, visit) error

// signedIn lets a request through with its person, or sends it to the sign-in page.
func (p *Portal) signedIn(h page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := p.session(r)
		if errors.Is(err, ErrNotFound) {
			if r.Method == http.MethodGet && r.Header.Get("HX-Request") == "" {
				http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
				return
			}
			p.problemAnswer(w, r, v, http.StatusUnauthorized, "")
			return
		}
		if err == nil {
			err = h(w, r, v)
		}
		if err != nil {
			p.fail(w, r, v, err)
		}
	}
}

// fail turns an error into a page. Only refusals are shown in their own words: others may name hosts and paths.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, v visit, err error) {
	var refusal Refusal
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrDenied):
		status = http.StatusForbidden
	case errors.As(err, &refusal):
		status = http.StatusConflict
	default:
		p.Logger.ErrorContext(r.Context(), "portal page", "path", r.URL.Path, "who", v.Person.ID, "error", err)
	}
	p.problemAnswer(w, r, v, status, refusal.Reason)
}

// problemAnswer is a whole page, or a note when a page asked for a part of itself.
func (p *Portal) problemAnswer(w http.ResponseWriter, r *http.Request, v visit, status int, text string) {
	if r.Header.Get("HX-Request") == "" {
		p.render(w, r, status, p.problemPage(v, status, text))
		return
	}
	head, usual := p.problem(status)
	p.render(w, r, status, problemPart(head, cmp.Or(text, usual)))
}

// render writes a whole page, or nothing of it: a template that fails half-way must not leave half a page.
func (p *Portal) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		p.Logger.ErrorContext(r.Context(), "render page", "path", r.URL.Path, "error", err)
		http.Error(w, "The page could not be drawn. The reason is in the log of the portal.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = b.WriteTo(w)
	}
}

// show renders a page with status 200 and returns nil, as the last act of a page.
func (p *Portal) show(w http.ResponseWriter, r *http.Request, c templ.Component) error {
	p.render(w, r, http.StatusOK, c)
	return nil
}
