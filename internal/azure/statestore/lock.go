package statestore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// ErrLockLost says that the store does not hold the lock: it was never taken, it ran out, or it was taken away by force.
var ErrLockLost = errors.New("this process does not hold the lock of the state")

// The lease is the longest that ends by itself (learn.microsoft.com/rest/api/storageservices/lease-blob), so that the lock of
// a process that died is free a minute later. It is renewed three times as often.
const (
	leaseTime  = 60 * time.Second
	renewEvery = 20 * time.Second
)

// lease is the lock of a store while it is held.
type lease struct {
	id       string
	holder   string // metadata of the blob: who holds it, for others
	recorded bool   // the state that this session found is in the history
	stop     context.CancelFunc

	mu   sync.Mutex
	lost bool
}

func (l *lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}

func (l *lease) isLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// holderHeader is the metadata that names the holder. A write replaces all metadata, so each has it.
const holderHeader = "x-ms-meta-flowehrholder"

func (l *lease) headers() map[string]string {
	return map[string]string{"x-ms-lease-id": l.id, holderHeader: l.holder}
}

// Lock makes this store the only one that may save. It does not wait: a lock held by anybody, this store included, is an
// *[apply.LockedError]. It is renewed until unlock, which may be called twice. The container and the blob are made when they
// are missing.
func (s *Store) Lock(ctx context.Context, owner string) (func() error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	me := apply.Holder{Owner: owner, Host: s.o.Host, PID: s.o.PID, Since: s.o.Now().UTC()}
	b, err := json.Marshal(me)
	if err != nil {
		return nil, fmt.Errorf("lock state: %w", err)
	}
	l := &lease{id: uuid.NewString(), holder: base64.StdEncoding.EncodeToString(b)}
	if err := s.acquire(ctx, l); err != nil {
		return nil, err
	}
	if _, err := s.do(ctx, http.MethodPut, s.path(stateName)+"?comp=metadata", nil, l.headers()); err != nil {
		return nil, errors.Join(fmt.Errorf("lock state: %w", err), s.release(context.WithoutCancel(ctx), l))
	}
	s.held, s.last = l, nil
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	l.stop = func() { stop(); <-ended }
	go func() { defer close(ended); s.keepRenewing(renewing, l) }()
	return func() error { return s.unlock(context.WithoutCancel(ctx), l) }, nil
}

// acquire takes the lease. Asking again with the same id does no harm, should an answer be lost.
func (s *Store) acquire(ctx context.Context, l *lease) error {
	for range 3 {
		_, err := s.lease(ctx, "acquire", map[string]string{"x-ms-lease-duration": strconv.Itoa(int(leaseTime.Seconds())), "x-ms-proposed-lease-id": l.id})
		switch code(err) {
		case "LeaseAlreadyPresent", "LeaseIsBreakingAndCannotBeAcquired":
			holder, _, herr := s.holder(ctx)
			return errors.Join(&apply.LockedError{Holder: holder}, herr)
		case "ContainerNotFound":
			if err := s.makeContainer(ctx); err != nil {
				return err
			}
			continue
		case "BlobNotFound", "ResourceNotFound":
			if err := s.makeBlob(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("lock state: %w", err)
		}
		return nil
	}
	return errors.New("lock state: its blob goes away again and again")
}

func (s *Store) lease(ctx context.Context, action string, header map[string]string) (cloud.Response, error) {
	header["x-ms-lease-action"] = action
	return s.do(ctx, http.MethodPut, s.path(stateName)+"?comp=lease", nil, header)
}

func (s *Store) makeContainer(ctx context.Context) error {
	_, err := s.do(ctx, http.MethodPut, "/"+s.o.Container+"?restype=container", nil, nil)
	if code(err) == "ContainerAlreadyExists" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make container %s: %w", s.o.Container, err)
	}
	return nil
}

// makeBlob puts an empty state where none is: only what exists can be leased.
func (s *Store) makeBlob(ctx context.Context) error {
	b, err := encode(s.empty())
	if err != nil {
		return err
	}
	_, err = s.put(ctx, stateName, b, map[string]string{"If-None-Match": "*"})
	if c := code(err); c == "BlobAlreadyExists" || c == "LeaseIdMissing" {
		return nil
	}
	if code(err) == "ContainerNotFound" {
		return s.makeContainer(ctx)
	}
	if err != nil {
		return fmt.Errorf("make the state's blob: %w", err)
	}
	return nil
}

// keepRenewing renews the lease until it is given back. One that cannot be renewed is tried again until it has run out for
// good: a write finds out.
func (s *Store) keepRenewing(ctx context.Context, l *lease) {
	for s.o.Idle(ctx, renewEvery) == nil {
		if err := s.renew(ctx, l); leaseLost(err) {
			l.lose()
			return
		}
	}
}

func (s *Store) renew(ctx context.Context, l *lease) error {
	_, err := s.lease(ctx, "renew", map[string]string{"x-ms-lease-id": l.id})
	return err
}

// leaseLost reports whether err says that a lease is not, or no longer, ours.
func leaseLost(err error) bool {
	switch code(err) {
	case "LeaseLost", "LeaseIdMismatchWithLeaseOperation", "LeaseIdMismatchWithBlobOperation", "LeaseNotPresentWithBlobOperation",
		"LeaseNotPresentWithLeaseOperation", "LeaseIsBrokenAndCannotBeRenewed":
		return true
	}
	return false
}

// heldLock returns ErrLockLost unless the store holds the lock as far as it knows. The caller holds s.mu.
func (s *Store) heldLock() error {
	if s.held == nil || s.held.isLost() {
		return ErrLockLost
	}
	return nil
}

func (s *Store) unlock(ctx context.Context, l *lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != l {
		return nil
	}
	s.held, s.last = nil, nil
	l.stop()
	if l.isLost() {
		return nil
	}
	return s.release(ctx, l)
}

func (s *Store) release(ctx context.Context, l *lease) error {
	_, err := s.lease(ctx, "release", map[string]string{"x-ms-lease-id": l.id})
	if err == nil || leaseLost(err) || cloud.NotFound(err) {
		return nil
	}
	return fmt.Errorf("unlock state: %w; the lock ends by itself within %s", err, leaseTime)
}

// Holder returns who holds the lock, and false when nobody does.
func (s *Store) Holder(ctx context.Context) (apply.Holder, bool, error) {
	h, leased, err := s.holder(ctx)
	if err != nil {
		return apply.Holder{}, false, fmt.Errorf("look at lock of state: %w", err)
	}
	if !leased {
		return apply.Holder{}, false, nil
	}
	return h, true, nil
}

// holder returns whom the blob names, and whether it is leased now. A holder that has not written its name yet is unknown.
func (s *Store) holder(ctx context.Context) (apply.Holder, bool, error) {
	var h apply.Holder
	res, err := s.do(ctx, http.MethodHead, s.path(stateName), nil, nil)
	if cloud.NotFound(err) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	if b, err := base64.StdEncoding.DecodeString(res.Header.Get(holderHeader)); err == nil {
		_ = json.Unmarshal(b, &h) // an unknown holder is shown as such
	}
	state := res.Header.Get("x-ms-lease-state")
	return h, state == "leased" || state == "breaking", nil
}

// Unlock takes a lock away that somebody left. It refuses with an *[apply.LockedError] while it is held, unless force: then the
// holder's next save fails with [ErrLockLost]. A lock whose process died is free within a minute by itself.
func (s *Store) Unlock(ctx context.Context, force bool) error {
	holder, locked, err := s.Holder(ctx)
	if err != nil || !locked {
		return err
	}
	if !force {
		return &apply.LockedError{Holder: holder}
	}
	_, err = s.lease(ctx, "break", map[string]string{"x-ms-lease-break-period": "0"})
	if err == nil || leaseLost(err) || cloud.NotFound(err) {
		return nil
	}
	return fmt.Errorf("unlock state: %w", err)
}
