package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/render"
)

// Exit codes. Scripts rely on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // also: plan found changes
	exitDefinition  = 3
	exitLocked      = 5
	exitInterrupted = 130
)

const exitHelp = `Exit codes: 0 done, 1 failed, 2 wrong usage (and for plan: there are changes), 3 the definition has errors,
5 the state is locked or has moved on, 130 interrupted.`

// usageError is a mistake in how a command was called.
type usageError struct{ error }

// errChanges ends plan when there is something to change. It is no failure, so nothing is printed for it.
var errChanges = errors.New("there are changes")

// errInterrupted ends a command that the user stopped.
var errInterrupted = errors.New("stopped")

// errShown ends a command that has already said what failed.
var errShown = errors.New("failed")

// codeError ends a command whose detached process has said what failed, with the code of that process.
type codeError int

// Error says little: the process has said it.
func (e codeError) Error() string { return fmt.Sprintf("ended with code %d", int(e)) }

// hintError adds what to do next to an error.
type hintError struct {
	error
	hint string
}

// Unwrap returns the error without its hint.
func (e hintError) Unwrap() error { return e.error }

// hint attaches a next step to err.
func hint(err error, format string, args ...any) error {
	return hintError{err, fmt.Sprintf(format, args...)}
}

// report shows err and returns the exit code that belongs to it.
func (a *app) report(err error) int {
	code := exitCode(err)
	if _, said := errors.AsType[codeError](err); said || errors.Is(err, errChanges) || errors.Is(err, errShown) {
		return code
	}
	if ds, ok := errors.AsType[flowehr.DiagnosticsError](err); ok {
		a.showDiagnostics(ds.Diagnostics)
		return code
	}
	next := ""
	if h, ok := errors.AsType[hintError](err); ok {
		next = h.hint
	}
	if a.json() {
		_ = json.NewEncoder(a.errOut).Encode(struct {
			Error string `json:"error"`
			Next  string `json:"next,omitempty"`
			Code  int    `json:"code"`
		}{err.Error(), next, code})
		return code
	}
	mark := a.style(a.errOut).Failed()
	fmt.Fprintf(a.errOut, "%s %v\n", mark, err)
	if next != "" {
		fmt.Fprintln(a.errOut, next)
	}
	return code
}

func exitCode(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if code, ok := errors.AsType[codeError](err); ok {
		return max(int(code), exitFailed) // a process that was killed has code -1
	}
	if _, ok := errors.AsType[flowehr.DiagnosticsError](err); ok {
		return exitDefinition
	}
	switch {
	case errors.Is(err, errChanges):
		return exitUsage
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, apply.ErrLocked), errors.Is(err, apply.ErrStale):
		return exitLocked
	}
	return exitFailed
}

// showDiagnostics writes them all, for people to stderr, as JSON to stdout.
func (a *app) showDiagnostics(ds []flowehr.Diagnostic) {
	flowehr.SortDiagnostics(ds)
	if a.json() {
		_ = render.JSON(a.out, render.NewDiagnosticsJSON(ds))
		return
	}
	_ = render.Diagnostics(a.errOut, a.style(a.errOut), ds)
}
