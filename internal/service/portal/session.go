package portal

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
)

const (
	linkLife    = 15 * time.Minute
	sessionLife = 12 * time.Hour
	maxForm     = 1 << 20 // bytes of a posted form
)

// NewLink returns an address that lets the person in once, within 15 minutes. It is as good as a password.
func (p *Portal) NewLink(ctx context.Context, who Person) (string, error) {
	return NewLink(ctx, p.Grants, p.Now, p.Base, who)
}

// NewLink does the same for a portal that runs elsewhere on the grants.
func NewLink(ctx context.Context, grants GrantStore, now flowehr.Clock, base string, who Person) (string, error) {
	if who.ID == "" {
		return "", errors.New("a sign-in link needs a person")
	}
	token := rand.Text()
	g := Grant{Kind: grantLink, Hash: hash(token), Person: who, Expires: now().Add(linkLife)}
	if err := grants.Put(ctx, g); err != nil {
		return "", fmt.Errorf("keep sign-in link: %w", err)
	}
	return url.JoinPath(base, "sign-in", token)
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// csrfToken belongs to a session: who cannot read the cookie cannot make it.
func csrfToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("flowehr form"))
	return hex.EncodeToString(mac.Sum(nil))
}

// session finds who sends a request; [ErrNotFound] when nobody is signed in.
func (p *Portal) session(r *http.Request) (visit, error) {
	c, err := r.Cookie(p.cookie)
	if err != nil || c.Value == "" {
		return visit{}, ErrNotFound
	}
	g, err := p.Grants.Get(r.Context(), grantSession, hash(c.Value))
	if err != nil {
		return visit{}, err
	}
	if !p.Now().Before(g.Expires) {
		return visit{}, ErrNotFound
	}
	return visit{Person: g.Person, csrf: csrfToken(c.Value)}, nil
}

// signInHelp says how to get in.
func (p *Portal) signInHelp(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusOK, p.signInView("", false))
}

// signInPage shows a button. It does not use the link up: mail scanners and previews follow links.
func (p *Portal) signInPage(w http.ResponseWriter, r *http.Request) {
	if !p.mayTry(w, r) {
		return
	}
	token := r.PathValue("token")
	g, err := p.Grants.Get(r.Context(), grantLink, hash(token))
	if err != nil && !errors.Is(err, ErrNotFound) {
		p.fail(w, r, visit{}, err)
		return
	}
	if err != nil || !p.Now().Before(g.Expires) {
		p.render(w, r, http.StatusGone, p.signInView("", true))
		return
	}
	p.render(w, r, http.StatusOK, p.signInView("/sign-in/"+url.PathEscape(token), false))
}

// signIn uses the link up and begins a session.
func (p *Portal) signIn(w http.ResponseWriter, r *http.Request) {
	if !p.mayTry(w, r) {
		return
	}
	g, err := p.Grants.Take(r.Context(), grantLink, hash(r.PathValue("token")))
	if errors.Is(err, ErrNotFound) || err == nil && !p.Now().Before(g.Expires) {
		p.render(w, r, http.StatusGone, p.signInView("", true))
		return
	}
	if err == nil && p.Data.SignIns != nil {
		err = p.Data.SignIns.SignedIn(r.Context(), g.Person)
	}
	session := rand.Text()
	if err == nil {
		err = p.Grants.Put(r.Context(), Grant{
			Kind: grantSession, Hash: hash(session), Person: g.Person, Expires: p.Now().Add(sessionLife),
		})
	}
	if err != nil {
		p.fail(w, r, visit{}, err)
		return
	}
	http.SetCookie(w, p.sessionCookie(session, int(sessionLife/time.Second)))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signOut ends the session for good, not only in this browser.
func (p *Portal) signOut(w http.ResponseWriter, r *http.Request, v visit) error {
	return p.guarded(func(w http.ResponseWriter, r *http.Request, v visit) error {
		if p.Data.SignIns != nil {
			if err := p.Data.SignIns.SignedOut(r.Context(), v.Person); err != nil {
				return err
			}
		}
		if c, err := r.Cookie(p.cookie); err == nil {
			if _, err := p.Grants.Take(r.Context(), grantSession, hash(c.Value)); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		http.SetCookie(w, p.sessionCookie("", -1))
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return nil
	})(w, r, v)
}

func (p *Portal) sessionCookie(value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: p.cookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: p.base.Scheme == "https",
	}
}

// guarded lets a form through only with the token of its session.
func (p *Portal) guarded(h page) page {
	return func(w http.ResponseWriter, r *http.Request, v visit) error {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return Refusal{Reason: "The form is larger than 1 MB or cannot be read."}
		}
		if !hmac.Equal([]byte(r.PostForm.Get("csrf")), []byte(v.csrf)) {
			p.render(w, r, http.StatusForbidden, p.problemPage(v, 403, "The form is from another session. Open the page again and repeat what you did."))
			return nil
		}
		return h(w, r, v)
	}
}

// mayTry counts a try to sign in, and answers it when there were too many.
func (p *Portal) mayTry(w http.ResponseWriter, r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	if p.sign.allow(from) {
		return true
	}
	w.Header().Set("Retry-After", "60")
	p.render(w, r, http.StatusTooManyRequests, p.problemPage(visit{}, 429, ""))
	return false
}

// limiter allows n tries in each window to each address. It remembers a bounded number of addresses; when that is
// full, all new ones share one count, so that many addresses cannot buy more tries.
type limiter struct {
	now    flowehr.Clock
	n      int
	window time.Duration
	mu     sync.Mutex
	since  time.Time
	tries  map[string]int
}

const maxAddresses = 4096

func newLimiter(now flowehr.Clock, n int, window time.Duration) *limiter {
	return &limiter{now: now, n: n, window: window, tries: map[string]int{}}
}

func (l *limiter) allow(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.since) >= l.window {
		l.since = now
		clear(l.tries)
	}
	if _, known := l.tries[from]; !known && len(l.tries) >= maxAddresses {
		from = "others"
	}
	l.tries[from]++
	return l.tries[from] <= l.n
}
