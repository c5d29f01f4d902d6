package azure

import "time"

// passingError is a failure that passes by itself: a step that met it may be done again. cloud.Passing recognises it.
type passingError struct {
	after time.Duration
	err   error
}

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

// Passing says how long to wait at least.
func (e *passingError) Passing() (time.Duration, bool) { return e.after, true }
