package github

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"
)

// attempts of one request, the first included.
const attempts = 5

// longestPause bounds what a limit of requests may cost: the primary limit is given back within the hour.
const longestPause = time.Hour

// patient repeats requests that GitHub puts off (docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api)
// and, where that is harmless, those that failed on its side.
type patient struct {
	next http.RoundTripper
	wait func(ctx context.Context, d time.Duration) error
}

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		res, err := p.next.RoundTrip(r)
		pause, again := putOff(r, res, err)
		if !again || n == attempts {
			return res, err
		}
		next, ok := replay(r)
		if !ok {
			return res, err
		}
		if pause == 0 {
			pause = time.Second << (n - 1)
		}
		if werr := p.wait(r.Context(), min(pause, longestPause)); werr != nil {
			return res, err
		}
		if res != nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection can be used again
			_ = res.Body.Close()
		}
		r = next
	}
}

// replay returns the request with its body from the beginning.
func replay(r *http.Request) (*http.Request, bool) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	again.Body = body
	return again, err == nil
}

// putOff reports whether to make a request again, and after how long when GitHub says.
func putOff(r *http.Request, res *http.Response, err error) (time.Duration, bool) {
	harmless := r.Method != http.MethodPost && r.Method != http.MethodPatch
	if err != nil {
		return 0, harmless && r.Context().Err() == nil
	}
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusForbidden && limited(res.Header):
		return limitEnds(res.Header), true
	case res.StatusCode >= 500:
		return 0, harmless
	}
	return 0, false
}

func limited(h http.Header) bool {
	return h.Get("Retry-After") != "" || h.Get("X-RateLimit-Remaining") == "0"
}

// limitEnds is how long a limit lasts by GitHub's own clock.
func limitEnds(h http.Header) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		return time.Duration(s) * time.Second
	}
	reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	now, derr := http.ParseTime(h.Get("Date"))
	if err != nil || derr != nil {
		return time.Minute
	}
	return max(time.Unix(reset, 0).Sub(now), time.Second)
}
