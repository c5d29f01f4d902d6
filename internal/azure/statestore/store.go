// Package statestore keeps the state of an environment in a blob, so that laptops and CI share one, locked by a lease.
//
// Below a prefix of a container there are the state (state.json, compressed) and the state as each of the last sessions found it
// (history/). The package does not interpret records, and it holds no secret because states hold none.
//
// The rule that holds here: only who has the lease can write, and the service, not this process, says who has it. A process
// that lost its lease, by force or because it slept, cannot overwrite what somebody else wrote since.
package statestore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// DefaultHistory is how many sessions the history reaches back.
const DefaultHistory = 20

// Options say where a state is and whose.
type Options struct {
	Client    *cloud.Client
	Account   string // storage account
	Container string // made when it is missing
	Prefix    string // folder within the container, without a slash at the end

	Environment string
	Target      flowehr.TargetName

	Host    string // shown to others as where the lock is held
	PID     int
	History int           // sessions; 0 means DefaultHistory
	Now     flowehr.Clock // stamps locks and what is set aside; nil means the wall clock

	// Idle passes the time between two renewals of the lease; nil means Client.Wait. In a simulation it must not be what
	// makes virtual time pass.
	Idle func(ctx context.Context, d time.Duration) error
}

// Store is the state of one environment in a blob. It is safe for concurrent use.
type Store struct {
	o Options

	mu   sync.Mutex
	held *lease // this store's own lock, nil if it has none
	last *saved // the state that this store knows to be in the blob while it holds the lock
}

// saved is a state as it was read or written, and the mark by which the service knows it again.
type saved struct {
	state flowehr.State
	bytes []byte
	etag  string
}

var _ apply.Store = (*Store)(nil)

// New returns the store. It makes no request.
func New(o Options) *Store {
	if o.History == 0 {
		o.History = DefaultHistory
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Idle == nil {
		o.Idle = o.Client.Wait
	}
	return &Store{o: o}
}

// Address is the blob that holds the state.
func (s *Store) Address() string { return s.service().Base + s.path(stateName) }

// Load returns the state as last saved, or an empty one at revision 0 if there never was any. One that cannot be used is a
// *[state.DamagedError]. It needs no lock.
func (s *Store) Load(ctx context.Context) (flowehr.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.load(ctx)
	return now.state, err
}

// load reads the blob. The caller holds s.mu.
func (s *Store) load(ctx context.Context) (saved, error) {
	now, err := s.read(ctx, stateName)
	switch {
	case cloud.NotFound(err):
		return saved{state: s.empty()}, nil
	case err != nil:
		return saved{}, err
	}
	if err := s.fits(now.state); err != nil {
		return saved{}, err
	}
	return now, nil
}

func (s *Store) fits(st flowehr.State) error {
	if st.Environment != s.o.Environment || st.Target != s.o.Target {
		return fmt.Errorf("state %s belongs to %s on %s, not to %s on %s", s.Address(), st.Environment, st.Target, s.o.Environment, s.o.Target)
	}
	return nil
}

func (s *Store) empty() flowehr.State {
	return flowehr.State{Environment: s.o.Environment, Target: s.o.Target, Records: map[flowehr.Ref]flowehr.Record{}}
}

// Save makes ch if the state is at base. The store must hold the lock.
func (s *Store) Save(ctx context.Context, base flowehr.Revision, ch apply.Change) (flowehr.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.heldLock(); err != nil {
		return 0, err
	}
	if s.last == nil {
		now, err := s.load(ctx)
		if err != nil {
			return 0, err
		}
		s.last = &now
	}
	if s.last.state.Revision != base {
		return 0, &apply.StaleError{Base: base, Now: s.last.state.Revision}
	}
	if err := s.keepHistory(ctx, *s.last); err != nil {
		return 0, err
	}
	next := ch.Apply(s.last.state)
	if err := s.write(ctx, next); err != nil {
		return 0, err
	}
	return next.Revision, nil
}

// write puts st in the place of what the store knows to be in the blob. The caller holds s.mu and the lock.
func (s *Store) write(ctx context.Context, st flowehr.State) error {
	b, err := encode(st)
	if err != nil {
		return err
	}
	header := s.held.headers()
	if s.last != nil && s.last.etag != "" {
		header["If-Match"] = s.last.etag
	}
	res, err := s.put(ctx, stateName, b, header)
	if leaseLost(err) {
		// A lease that ran out while the machine slept is still ours as long as nobody else took it.
		if s.renew(ctx, s.held) == nil {
			res, err = s.put(ctx, stateName, b, header)
		} else {
			s.held.lose()
			return ErrLockLost
		}
	}
	if code(err) == "ConditionNotMet" {
		return s.doubtful(ctx, st, b)
	}
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	s.last = &saved{state: st, bytes: b, etag: res.Header.Get("ETag")}
	return nil
}

// doubtful is when the blob is not as it was known to be. When it holds what was just written, the answer to that was lost on
// its way; else somebody wrote who should not have been able to.
func (s *Store) doubtful(ctx context.Context, st flowehr.State, b []byte) error {
	base := s.last.state.Revision
	s.last = nil
	now, err := s.load(ctx)
	if err != nil {
		return err
	}
	if string(now.bytes) == string(b) {
		s.last = &saved{state: st, bytes: b, etag: now.etag}
		return nil
	}
	if leaseLost(s.renew(ctx, s.held)) {
		s.held.lose()
		return ErrLockLost
	}
	return &apply.StaleError{Base: base, Now: now.state.Revision}
}

// blobVersion is the version of the blob service's API.
const blobVersion = "2023-11-03"

// Names below the prefix.
const (
	stateName   = "state.json"
	historyName = "history/"
)

func (s *Store) service() cloud.Service { return cloud.Blobs(s.o.Account) }

func (s *Store) path(name string) string {
	segments := strings.Split(strings.Trim(s.o.Container+"/"+s.o.Prefix, "/")+"/"+name, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return "/" + strings.Join(segments, "/")
}

func (s *Store) do(ctx context.Context, method, path string, body any, header map[string]string) (cloud.Response, error) {
	// Naming the encoding keeps the transport from decompressing: what is read must be what was written.
	h := map[string]string{"x-ms-version": blobVersion, "Accept": "*/*", "Accept-Encoding": "gzip"}
	for k, v := range header {
		h[k] = v
	}
	return s.o.Client.Do(ctx, s.service(), cloud.Request{Method: method, Path: path, Body: body, Header: h})
}

func (s *Store) put(ctx context.Context, name string, b []byte, header map[string]string) (cloud.Response, error) {
	h := map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "application/json", "x-ms-blob-content-encoding": "gzip"}
	for k, v := range header {
		h[k] = v
	}
	return s.do(ctx, http.MethodPut, s.path(name), b, h)
}

// read reads a state.
func (s *Store) read(ctx context.Context, name string) (saved, error) {
	res, err := s.do(ctx, http.MethodGet, s.path(name), nil, nil)
	if err != nil {
		return saved{}, err
	}
	st, err := decode(res.Body)
	if err != nil {
		return saved{}, s.damaged(ctx, name, err)
	}
	return saved{state: st, bytes: res.Body, etag: res.Header.Get("ETag")}, nil
}

// code is the storage service's word for what went wrong.
func code(err error) string {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.Code
	}
	return ""
}
