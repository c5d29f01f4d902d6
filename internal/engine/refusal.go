package engine

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart.
var (
	// ErrNotFound is matched by errors about a pipeline, run, activity or trigger that does not exist.
	ErrNotFound = errors.New("not found")

	// ErrRefused is matched by errors that say why the engine does not do what was asked, in words for who asked. Trying
	// again does not help. [Refusal] carries the words alone. What is refused:
	//
	//   - Start and Resume: a pipeline that is not in force (matches ErrNotFound as well), a parameter that is unknown, has
	//     no value or one of the wrong type, the hundred-and-first run in the queue of a pipeline with limited concurrency;
	//   - Resume: a run that is not over or has succeeded, and one whose secure values or details were deleted;
	//   - SetTrigger: starting a trigger of a type that is not run here;
	//   - wherever a run is named: a beginning of an id that is too short or fits several runs.
	ErrRefused = errors.New("refused")
)

// Refusal is an error that matches [ErrRefused].
type Refusal struct {
	Reason string // without what was asked
	cause  error
}

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// Is reports whether target is ErrRefused.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

// Unwrap returns what the reason was made of.
func (r *Refusal) Unwrap() error { return r.cause }

// refuse makes a Refusal as [fmt.Errorf] makes an error.
func refuse(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Refusal{Reason: err.Error(), cause: errors.Unwrap(err)}
}
