package azuresim

import (
	"net/http"
	"strconv"
	"time"
)

// state is how the service calls the state of a lease.
func (l *lease) state(now time.Time) string {
	switch {
	case !l.Broken.IsZero() && l.Broken.After(now):
		return "breaking"
	case !l.Broken.IsZero():
		return "broken"
	case l.Duration > 0 && !l.Ends.After(now):
		return "expired"
	}
	return "leased"
}

// holds reports whether the lease keeps others away.
func (l *lease) holds(now time.Time) bool {
	s := l.state(now)
	return s == "leased" || s == "breaking"
}

// leased refuses a change by whoever does not hold the lease.
func (b *blobs) leased(c *call, l *lease) *answer {
	id := c.Header.Get("x-ms-lease-id")
	var a answer
	switch {
	case l == nil && id == "":
		return nil
	case l == nil:
		a = blobFail(http.StatusPreconditionFailed, "LeaseNotPresentWithBlobOperation", "There is currently no lease on the blob.")
	case !l.holds(b.w.now()) && id == "":
		return nil
	case !l.holds(b.w.now()):
		a = blobFail(http.StatusPreconditionFailed, "LeaseLost", "A lease ID was specified, but the lease for the blob has expired.")
	case id == "":
		a = blobFail(http.StatusPreconditionFailed, "LeaseIdMissing", "There is currently a lease on the blob and no lease ID was specified in the request.")
	case id != l.ID:
		a = blobFail(http.StatusPreconditionFailed, "LeaseIdMismatchWithBlobOperation", "The lease ID specified did not match the lease ID for the blob.")
	default:
		return nil
	}
	return &a
}

// lease answers what is done with a lease.
func (b *blobs) lease(c *call, at **lease) answer {
	now, l, id := b.w.now(), *at, c.Header.Get("x-ms-lease-id")
	held := l != nil && l.holds(now)
	mismatch := func() answer {
		return blobFail(http.StatusConflict, "LeaseIdMismatchWithLeaseOperation", "The lease ID specified did not match the lease ID for the blob.")
	}
	switch action := c.Header.Get("x-ms-lease-action"); action {
	case "acquire":
		return b.acquire(c, at, held)
	case "renew":
		switch {
		case l == nil || l.ID != id:
			return mismatch()
		case !l.Broken.IsZero():
			return blobFail(http.StatusConflict, "LeaseIsBrokenAndCannotBeRenewed", "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.")
		}
		l.Ends = now.Add(l.Duration)
		return reply(http.StatusOK, nil).with("x-ms-lease-id", l.ID)
	case "change":
		if !held || l.ID != id {
			return mismatch()
		}
		l.ID = c.Header.Get("x-ms-proposed-lease-id")
		return reply(http.StatusOK, nil).with("x-ms-lease-id", l.ID)
	case "release":
		if l == nil || l.ID != id {
			return mismatch()
		}
		*at = nil
		return reply(http.StatusOK, nil)
	case "break":
		return b.breakLease(c, l, held)
	default:
		return blobFail(http.StatusBadRequest, "InvalidHeaderValue", "The simulation has no lease action %q.", action)
	}
}

func (b *blobs) acquire(c *call, at **lease, held bool) answer {
	now, l := b.w.now(), *at
	proposed := c.Header.Get("x-ms-proposed-lease-id")
	seconds, err := strconv.Atoi(c.Header.Get("x-ms-lease-duration"))
	switch {
	case err != nil || seconds != -1 && (seconds < 15 || seconds > 60):
		return blobFail(http.StatusBadRequest, "InvalidHeaderValue", "x-ms-lease-duration must be -1 or between 15 and 60.")
	case held && !l.Broken.IsZero():
		return blobFail(http.StatusConflict, "LeaseIsBreakingAndCannotBeAcquired", "The lease is breaking and cannot be acquired until it is broken.")
	case held && (proposed == "" || proposed != l.ID):
		return blobFail(http.StatusConflict, "LeaseAlreadyPresent", "There is already a lease present.")
	}
	next := &lease{ID: proposed, Duration: max(0, time.Duration(seconds)) * time.Second}
	if next.ID == "" {
		next.ID = b.w.newID()
	}
	next.Ends = now.Add(next.Duration)
	*at = next
	return reply(http.StatusCreated, nil).with("x-ms-lease-id", next.ID)
}

// breakLease ends a lease of somebody else: at once, after a period, or when it would have ended.
func (b *blobs) breakLease(c *call, l *lease, held bool) answer {
	now := b.w.now()
	if l == nil {
		return blobFail(http.StatusConflict, "LeaseNotPresentWithLeaseOperation", "There is currently no lease on the blob.")
	}
	if held && l.Broken.IsZero() {
		left := max(0, l.Ends.Sub(now))
		if l.Duration == 0 {
			left = 0
		}
		if period, err := strconv.Atoi(c.Header.Get("x-ms-lease-break-period")); err == nil && period >= 0 && period <= 60 {
			if asked := time.Duration(period) * time.Second; asked < left || l.Duration == 0 {
				left = asked
			}
		}
		l.Broken = now.Add(left)
	}
	seconds := max(0, int(l.Broken.Sub(now).Seconds()))
	return reply(http.StatusAccepted, nil).with("x-ms-lease-time", strconv.Itoa(seconds))
}
