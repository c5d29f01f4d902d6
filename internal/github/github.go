// Package github keeps what an environment needs on GitHub: repositories of apps with their teams, protected branches,
// deployment environments and files. It also has what everybody who talks to GitHub has to do in the same way: to seal secrets
// ([Seal]) and to tell the subjects of tokens ([Subjects]).
//
// It is signed in as a GitHub App, or with a personal access token as far as that may go. It decides nothing about which
// repositories there are (target/azure does), comments nowhere and registers no runner (automation/hub does).
//
// The rule that holds here: every call may be repeated, and nothing that stands is written again when it is already as
// wanted. Code is never lost silently: a repository is archived unless its deletion is asked for by that name.
package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v88/github"

	"github.com/flowehr/flowehr"
)

// Options say how to sign in and to connect. Key or Token is needed.
type Options struct {
	AppID          int64
	InstallationID int64
	Key            flowehr.Secret // private key of the App, in PEM
	Token          flowehr.Secret // a personal access token, used when there is no key

	Transport http.RoundTripper // nil means the default

	// Wait passes the time between attempts; nil means a timer.
	Wait func(ctx context.Context, d time.Duration) error
}

// ErrNobody says that there is neither a key nor a token.
var ErrNobody = errors.New("nobody is signed in to GitHub: give the App's id, installation and private key, or a personal access token")

// ErrNotFound says that something does not exist, or may not be seen by who is signed in: GitHub does not tell which.
var ErrNotFound = errors.New("not found on GitHub")

// Client makes requests. It may be used by many goroutines.
type Client struct {
	api  *github.Client
	wait func(ctx context.Context, d time.Duration) error
}

// New returns a client. It makes no request.
func New(o Options) (*Client, error) {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	base := &patient{next: o.Transport, wait: o.Wait}
	signed, err := o.signIn(base)
	if err != nil {
		return nil, err
	}
	api, err := github.NewClient(github.WithHTTPClient(&http.Client{Transport: signed}), github.WithUserAgent("flowehr"), github.WithDisableRateLimitCheck())
	if err != nil {
		return nil, err
	}
	return &Client{api: api, wait: o.Wait}, nil
}

func (o Options) signIn(base http.RoundTripper) (http.RoundTripper, error) {
	switch {
	case o.Key.Reveal() != "":
		if o.AppID == 0 || o.InstallationID == 0 {
			return nil, errors.New("the GitHub App's key is there, its id or installation id is not")
		}
		app, err := ghinstallation.NewAppsTransport(base, o.AppID, []byte(o.Key.Reveal()))
		if err != nil {
			return nil, errors.New("the GitHub App's private key is not an RSA key in PEM") // the cause could quote the key
		}
		return &installation{app: app, id: o.InstallationID}, nil
	case o.Token.Reveal() != "":
		return bearer{base, o.Token}, nil
	}
	return nil, ErrNobody
}

// installation signs requests with a token of the App's installation. GitHub's clock and ours may differ, so a token that is
// refused is replaced by a new one, once.
type installation struct {
	app *ghinstallation.AppsTransport
	id  int64

	mu  sync.Mutex
	now *ghinstallation.Transport
}

// RoundTrip implements http.RoundTripper.
func (i *installation) RoundTrip(r *http.Request) (*http.Response, error) {
	signed := i.signed(nil)
	res, err := signed.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	again, ok := replay(r)
	if !ok {
		return res, err
	}
	_ = res.Body.Close()
	return i.signed(signed).RoundTrip(again)
}

// signed returns the transport to use, another one than refused.
func (i *installation) signed(refused *ghinstallation.Transport) *ghinstallation.Transport {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == nil || i.now == refused {
		i.now = ghinstallation.NewFromAppsTransport(i.app, i.id)
	}
	return i.now
}

// bearer signs requests with a personal access token.
type bearer struct {
	next  http.RoundTripper
	token flowehr.Secret
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
	return b.next.RoundTrip(r)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// failed gives an error its place, and makes a 404 an ErrNotFound.
func failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	if status(err) == http.StatusNotFound {
		return fmt.Errorf("%s: %w", what, ErrNotFound)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// status returns the status of the answer behind err, 0 when there was none.
func status(err error) int {
	if e, ok := errors.AsType[*github.ErrorResponse](err); ok && e.Response != nil {
		return e.Response.StatusCode
	}
	return 0
}

// pages calls list for every page.
func pages(list func(o github.ListOptions) (*github.Response, error)) error {
	o := github.ListOptions{PerPage: 100}
	for {
		res, err := list(o)
		if err != nil {
			return err
		}
		if o.Page = res.NextPage; o.Page == 0 {
			return nil
		}
	}
}

// until asks done again until it reports true, at most for limit of waiting.
func (c *Client) until(ctx context.Context, what string, every, limit time.Duration, done func() (bool, error)) error {
	for waited := time.Duration(0); ; waited += every {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		if waited >= limit {
			return fmt.Errorf("%s: still not so after %s", what, limit)
		}
		if err := c.wait(ctx, every); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
