package azuresim

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is a way in which a call goes wrong.
type Fault string

// The faults. "Before" means that the call had no effect, "after" that it had and the client is not told.
const (
	FaultThrottle    Fault = "throttle"    // 429 with Retry-After, before
	FaultUnavailable Fault = "unavailable" // 503 with Retry-After, before
	FaultServerError Fault = "error"       // 500, before
	FaultRefuse      Fault = "refuse"      // Status, Code and Message of the rule, before
	FaultDrop        Fault = "drop"        // the connection breaks, before
	FaultLost        Fault = "lost"        // the connection breaks, after
	FaultErrorAfter  Fault = "error-after" // 500, after
	FaultDelay       Fault = "delay"       // the answer comes After later
	FaultOperation   Fault = "operation"   // the work that was begun fails After later, with Code and Message
)

// Faults is what goes wrong on purpose. The same seed, rules and calls give the same faults, in whatever order calls of
// different addresses come.
type Faults struct {
	Rules []FaultRule `json:"rules,omitempty"`

	// Rate is the share of calls, between 0 and 1, that meet a fault drawn from all but refuse, delay and operation. The
	// same call is never hit more than Burst times in a row, 0 meaning 2, so that whoever goes on trying gets through. Signing in and
	// the control host are spared.
	Rate  float64 `json:"rate,omitempty"`
	Burst int     `json:"burst,omitempty"`

	// Operations is the share of resources in templates whose first deployment fails.
	Operations float64 `json:"operations,omitempty"`
}

// FaultRule hits calls that fit: empty members fit everything, Path fits where it is contained. Resources of templates count as PUT
// of their id at management.azure.com, for FaultOperation.
type FaultRule struct {
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"` // a host or *.suffix
	Path   string `json:"path,omitempty"`
	From   int    `json:"from,omitempty"`  // the first fitting call that is hit, counted from 1; 0 means 1
	Times  int    `json:"times,omitempty"` // how many are hit; 0 means 1, -1 all

	Fault   Fault         `json:"fault"`
	After   time.Duration `json:"after,omitempty"` // of throttle and unavailable: Retry-After
	Status  int           `json:"status,omitempty"`
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`

	met int
}

// faultPlan decides which call is hit.
type faultPlan struct {
	Faults
	seed uint64
	met  map[string]int // how often each call was made
	row  map[string]int // how often in a row it was hit
}

// reset replaces the faults. What was counted is forgotten.
func (f *faultPlan) reset(faults Faults) {
	f.Faults, f.met, f.row = faults, map[string]int{}, map[string]int{}
	for i := range f.Rules {
		f.Rules[i].met = 0
	}
}

// hit returns the rule that hits a call, nil when none does.
func (f *faultPlan) hit(method, host, path string) *FaultRule {
	if host == controlHost {
		return nil
	}
	hit := f.ruled(method, host, path, false)
	if hit != nil || f.Rate == 0 || host == loginHost {
		return hit
	}
	return f.draw(method + " " + host + path)
}

// operation returns the rule that lets the making of a resource of a template fail, nil when none does.
func (f *faultPlan) operation(id string) *FaultRule {
	return f.ruled(http.MethodPut, armHost, id, true)
}

func (f *faultPlan) ruled(method, host, path string, operation bool) *FaultRule {
	var hit *FaultRule
	for i := range f.Rules {
		r := &f.Rules[i]
		if operation && r.Fault != FaultOperation || !r.fits(method, host, path) {
			continue
		}
		r.met++
		from, times := max(r.From, 1), r.Times
		if times == 0 {
			times = 1
		}
		if hit == nil && r.met >= from && (times < 0 || r.met < from+times) {
			hit = r
		}
	}
	return hit
}

func (r *FaultRule) fits(method, host, path string) bool {
	return (r.Method == "" || strings.EqualFold(r.Method, method)) && (r.Host == "" || matches(r.Host, host)) &&
		(r.Path == "" || strings.Contains(strings.ToLower(path), strings.ToLower(r.Path)))
}

// draw decides by chance, which is a function of the seed, the call and how often it was made.
func (f *faultPlan) draw(key string) *FaultRule {
	f.met[key]++
	chance := f.chance(key, f.met[key])
	burst := f.Burst
	if burst == 0 {
		burst = 2
	}
	if chance >= f.Rate || f.row[key] >= burst {
		f.row[key] = 0
		return nil
	}
	f.row[key]++
	kinds := []Fault{FaultThrottle, FaultUnavailable, FaultServerError, FaultDrop, FaultLost, FaultErrorAfter}
	kind := kinds[int(chance/f.Rate*float64(len(kinds)))%len(kinds)]
	return &FaultRule{Fault: kind, After: 5 * time.Second}
}

func (f *faultPlan) chance(key string, n int) float64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, f.seed) // hashes take everything
	_, _ = h.Write([]byte(key + strconv.Itoa(n)))
	x := h.Sum64()
	x ^= x >> 29 // FNV leaves the high bits of short keys alike
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	return float64(x>>11) / (1 << 53)
}

// withFaults asks the handler, or lets the call go wrong.
func (s *Sim) withFaults(ctx context.Context, c *call, h handler) answer {
	r := s.faults.hit(c.Method, c.Host, c.Path)
	if r == nil {
		return s.ask(ctx, c, h)
	}
	seconds := strconv.Itoa(int(max(r.After, time.Second) / time.Second))
	switch r.Fault {
	case FaultThrottle:
		return fail(http.StatusTooManyRequests, "TooManyRequests", "The request is being throttled.").with("Retry-After", seconds)
	case FaultUnavailable:
		return fail(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is temporarily unavailable.").with("Retry-After", seconds)
	case FaultServerError:
		return fail(http.StatusInternalServerError, "InternalServerError", "Encountered internal server error.")
	case FaultRefuse:
		return fail(r.Status, r.Code, "%s", r.Message)
	case FaultDrop:
		return drop()
	case FaultDelay:
		if until := s.w.now().Add(r.After); !s.w.clock.hold(ctx, until) {
			return drop()
		}
		return s.ask(ctx, c, h)
	case FaultOperation:
		s.w.doom = r
		defer func() { s.w.doom = nil }()
		return s.ask(ctx, c, h)
	}
	if s.ask(ctx, c, h); r.Fault == FaultErrorAfter {
		return fail(http.StatusInternalServerError, "InternalServerError", "Encountered internal server error.")
	}
	return drop()
}
