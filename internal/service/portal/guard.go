package portal

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// policy allows what the pages use: own scripts, styles, pictures, forms and streams. Nothing inline, nothing foreign.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard refuses requests that did not come from a page of ours and sets the headers of every answer.
func (p *Portal) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.render(w, r, http.StatusForbidden, p.problemPage(visit{}, 403, "The form was sent by another site."))
	}))
	inner := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound(w, r)
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not "no-referrer": browsers then send forms with the origin "null", which is refused below.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if p.base.Scheme == "https" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !p.knownHost(r.Host) {
			// A name that resolves here but is not ours: another site may have pointed it at this machine.
			http.Error(w, "This host name is not one of the portal's.", http.StatusMisdirectedRequest)
			return
		}
		if o := r.Header.Get("Origin"); o != "" && unsafeMethod(r.Method) && !p.sameOrigin(o, r.Host) {
			p.render(w, r, http.StatusForbidden, p.problemPage(visit{}, 403, "The form was sent by another site."))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// How long a form may take to arrive, and a page to be made and taken.
const (
	formTime = 30 * time.Second
	pageTime = 2 * time.Minute
)

// bound keeps slow peers from holding connections. A request without a body gets no deadline for reading: the server
// would take a live page for gone when it passes. Not every writer has deadlines.
func bound(w http.ResponseWriter, r *http.Request) {
	c, now := http.NewResponseController(w), time.Now()
	_ = c.SetWriteDeadline(now.Add(pageTime))
	if r.Body != http.NoBody {
		_ = c.SetReadDeadline(now.Add(formTime))
	}
}

func unsafeMethod(m string) bool {
	return m != http.MethodGet && m != http.MethodHead && m != http.MethodOptions
}

func (p *Portal) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return p.hosts[strings.ToLower(strings.Trim(name, "[]"))]
}

// sameOrigin compares host and port; the scheme may differ behind a proxy that ends TLS, so both are taken.
func (p *Portal) sameOrigin(origin, host string) bool {
	return strings.EqualFold(origin, "http://"+host) || strings.EqualFold(origin, "https://"+host)
}

//go:embed static
var staticFiles embed.FS

// asset is a file that pages load. Its address carries its digest, so browsers may keep it for good.
type asset struct {
	body   []byte
	kind   string
	digest string
}

func loadAssets() (map[string]asset, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", "": "text/plain; charset=utf-8",
	}
	assets := map[string]asset{}
	for _, e := range entries {
		b, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		assets[e.Name()] = asset{body: b, kind: kinds[path.Ext(e.Name())], digest: hex.EncodeToString(sum[:6])}
	}
	return assets, nil
}

// link is the address of an asset.
func (p *Portal) link(name string) string { return "/static/" + name + "?" + p.assets[name].digest }

func (p *Portal) static(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	if r.URL.RawQuery == a.digest {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.body)
}
