package portal

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLinkLetsInOnce(t *testing.T) {
	s := newSite(t, nil)
	link := s.linkPath()
	for range 3 { // a preview follows the link, and that does no harm
		if res := s.do("GET", link, "", nil); res.StatusCode != 200 || len(res.Cookies()) != 0 {
			t.Fatalf("GET: status %d, cookies %v", res.StatusCode, res.Cookies())
		}
	}
	if res := s.do("POST", link, "", url.Values{}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("first POST: %d", res.StatusCode)
	}
	for _, method := range []string{"POST", "GET"} {
		res := s.do(method, link, "", url.Values{})
		if res.StatusCode != http.StatusGone || len(res.Cookies()) != 0 || !strings.Contains(text(t, res), "does not work any more") {
			t.Errorf("%s of a spent link: status %d", method, res.StatusCode)
		}
	}
}

func TestLinkExpires(t *testing.T) {
	s := newSite(t, nil)
	link := s.linkPath()
	s.now = s.now.Add(linkLife)
	for _, method := range []string{"GET", "POST"} {
		if res := s.do(method, link, "", url.Values{}); res.StatusCode != http.StatusGone {
			t.Errorf("%s after 15 minutes: %d", method, res.StatusCode)
		}
	}
}

func TestSessionExpiresAndEnds(t *testing.T) {
	s := newSite(t, nil)
	cookie := s.signInAs()
	s.now = s.now.Add(sessionLife - time.Second)
	if res := s.do("GET", "/", cookie, nil); res.StatusCode != 200 {
		t.Fatalf("within 12 hours: %d", res.StatusCode)
	}
	res := s.do("POST", "/sign-out", cookie, url.Values{"csrf": {csrfToken(cookie)}})
	if res.StatusCode != http.StatusSeeOther || res.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign-out: status %d, cookies %v", res.StatusCode, res.Cookies())
	}
	if res := s.do("GET", "/", cookie, nil); res.Header.Get("Location") != "/sign-in" {
		t.Error("the cookie works after sign-out")
	}
	other := s.signInAs()
	s.now = s.now.Add(sessionLife)
	if res := s.do("GET", "/", other, nil); res.Header.Get("Location") != "/sign-in" {
		t.Error("the cookie works after 12 hours")
	}
}

func TestNobodySeesAnything(t *testing.T) {
	s := newSite(t, nil)
	for _, cookie := range []string{"", "guess", strings.Repeat("x", 4000), hash("guess")} {
		for _, path := range append(allPages, "/runs/x/live", "/no-such") {
			if path == "/sign-in" {
				continue
			}
			if res := s.do("GET", path, cookie, nil); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sign-in" {
				t.Errorf("GET %s: status %d", path, res.StatusCode)
			}
		}
		if res := s.do("POST", "/runs/x/cancel", cookie, url.Values{}); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("POST: status %d", res.StatusCode)
		}
	}
	if len(s.fake.asked) > 0 {
		t.Errorf("data was read: %v", s.fake.asked)
	}
}

// TestRawTokensAreNotKept: who reads the store cannot sign in with what is there.
func TestRawTokensAreNotKept(t *testing.T) {
	dir := t.TempDir()
	var grants *FileGrants
	s := newSite(t, func(o *Options) {
		var err error
		if grants, err = NewFileGrants(dir, o.Now); err != nil {
			t.Fatal(err)
		}
		o.Grants = grants
	})
	link := s.linkPath()
	cookie := s.signInAs()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("entries %v, error %v", entries, err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{cookie, strings.TrimPrefix(link, "/sign-in/")} {
			if strings.Contains(e.Name()+string(b), secret) {
				t.Errorf("%s holds a token", e.Name())
			}
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestSessionSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	open := func(o *Options) {
		g, err := NewFileGrants(dir, o.Now)
		if err != nil {
			t.Fatal(err)
		}
		o.Grants = g
	}
	cookie := newSite(t, open).signInAs()
	if res := newSite(t, open).do("GET", "/", cookie, nil); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestGrantStores(t *testing.T) {
	now := fakeNow
	clock := func() time.Time { return now }
	files, err := NewFileGrants(t.TempDir(), clock)
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]GrantStore{"memory": NewMemoryGrants(clock), "files": files} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			g := Grant{Kind: grantLink, Hash: hash("a"), Person: ada, Expires: now.Add(time.Hour)}
			if err := store.Put(ctx, g); err != nil {
				t.Fatal(err)
			}
			if got, err := store.Get(ctx, grantLink, hash("a")); err != nil || got.Person != ada || !got.Expires.Equal(g.Expires) {
				t.Errorf("Get: %v, %v", got, err)
			}
			if _, err := store.Get(ctx, grantSession, hash("a")); !errors.Is(err, ErrNotFound) {
				t.Errorf("a link is taken for a session: %v", err)
			}
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if _, err := store.Take(ctx, grantLink, hash("a")); err == nil {
						won.Add(1)
					} else if !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%d takers got the grant", won.Load())
			}
			for _, bad := range []string{"", "../../etc/passwd", "..", strings.Repeat("a", 63), hash("a") + "/"} {
				if _, err := store.Get(ctx, grantLink, bad); !errors.Is(err, ErrNotFound) {
					t.Errorf("Get %q: %v", bad, err)
				}
			}
		})
	}
}

func TestFormsNeedTheirSession(t *testing.T) {
	s := newSite(t, nil)
	cookie, other := s.signInAs(), s.signInAs()
	for _, c := range []struct {
		name   string
		form   url.Values
		change func(*http.Request)
		status int
	}{
		{"own token", url.Values{"csrf": {csrfToken(cookie)}}, nil, 303},
		{"no token", url.Values{}, nil, 403},
		{"token of another session", url.Values{"csrf": {csrfToken(other)}}, nil, 403},
		{"token in the address only", url.Values{}, func(r *http.Request) { r.URL.RawQuery = "csrf=" + csrfToken(cookie) }, 403},
		{"foreign origin", url.Values{"csrf": {csrfToken(cookie)}}, func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"same host, other port", url.Values{"csrf": {csrfToken(cookie)}}, func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:9") }, 403},
		{"null origin", url.Values{"csrf": {csrfToken(cookie)}}, func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"cross-site fetch without origin", url.Values{"csrf": {csrfToken(cookie)}}, func(r *http.Request) {
			r.Header.Del("Origin")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"a large form", url.Values{"csrf": {csrfToken(cookie)}, "x": {strings.Repeat("x", 2<<20)}}, nil, 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.fake.asked = nil
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			res := s.do("POST", "/runs/x/cancel", cookie, c.form, change)
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			if c.status != 303 && len(s.fake.asked) > 0 {
				t.Errorf("something was done: %v", s.fake.asked)
			}
		})
	}
}

func TestHostNames(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Base = "http://portal.ward:7080"; o.Hosts = []string{"flow.trust.example"} })
	for host, want := range map[string]int{
		"portal.ward:7080": 200, "PORTAL.WARD": 200, "localhost:1": 200, "127.0.0.1:7080": 200, "[::1]:7080": 200, "flow.trust.example": 200,
		"evil.example": 421, "evil.example:7080": 421, "127.0.0.1.evil.example": 421, "": 421, "portal.ward.evil": 421, "localhost@evil": 421,
	} {
		res := s.do("GET", "/sign-in", "", nil, func(r *http.Request) { r.Host = host })
		if res.StatusCode != want {
			t.Errorf("host %q: status %d, want %d", host, res.StatusCode, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t, nil)
	cookie := s.signInAs()
	for _, path := range append(allPages, "/no-such", "/static/tokens.css", "/healthz") {
		h := s.do("GET", path, cookie, nil).Header
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("GET %s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s may be cached", path)
		}
	}
	for _, bad := range []string{"unsafe-inline", "unsafe-eval", "*", "http:", "data:"} {
		if strings.Contains(policy, bad) {
			t.Errorf("the policy allows %s", bad)
		}
	}
	if got := s.do("GET", s.link("portal.css"), "", nil).Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("an asset with its digest: %q", got)
	}
}

func TestCookie(t *testing.T) {
	s := newSite(t, nil)
	c := s.do("POST", s.linkPath(), "", url.Values{}).Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.Path != "/" || c.Secure || c.MaxAge != 12*3600 {
		t.Errorf("cookie %+v", c)
	}
	tls := newSite(t, func(o *Options) { o.Base = "https://127.0.0.1:7080" })
	link, err := tls.NewLink(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	c = tls.do("POST", strings.TrimPrefix(link, "https://127.0.0.1:7080"), "", url.Values{}).Cookies()[0]
	if !c.Secure || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("cookie over https %+v", c)
	}
	if cookieName(s.base, "a") == cookieName(s.base, "b") {
		t.Error("two environments share a cookie")
	}
}

func TestSignInIsLimited(t *testing.T) {
	s := newSite(t, nil)
	last := 0
	for range 11 {
		last = s.do("POST", "/sign-in/guess", "", url.Values{}).StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("11th guess: %d", last)
	}
	if res := s.do("POST", s.linkPath(), "", url.Values{}, func(r *http.Request) { r.RemoteAddr = "10.0.0.9:1" }); res.StatusCode != http.StatusSeeOther {
		t.Errorf("another address: %d", res.StatusCode)
	}
	s.now = s.now.Add(time.Minute)
	if res := s.do("POST", s.linkPath(), "", url.Values{}); res.StatusCode != http.StatusSeeOther {
		t.Errorf("a minute later: %d", res.StatusCode)
	}
}

// TestNotRecordedNotLetIn: the audit log comes before the answer.
func TestNotRecordedNotLetIn(t *testing.T) {
	s := newSite(t, nil)
	s.fake.fail = errors.New("disk full")
	res := s.do("POST", s.linkPath(), "", url.Values{})
	if res.StatusCode != http.StatusInternalServerError || len(res.Cookies()) != 0 {
		t.Errorf("status %d, cookies %v", res.StatusCode, res.Cookies())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:7080", "ftp://x", "http://", "http://x/portal"} {
		if _, err := New(Options{Base: base}); err == nil {
			t.Errorf("base %q is taken", base)
		}
	}
	if _, err := NewLink(context.WithoutCancel(t.Context()), NewMemoryGrants(time.Now), time.Now, "http://x", Person{}); err == nil {
		t.Error("a link for nobody")
	}
}
