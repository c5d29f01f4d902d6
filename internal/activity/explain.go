package activity

import (
	"context"
	"errors"

	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/activity/folder"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/lake"
)

// explainSource puts an error of a source into the terms of the definition. what says what was being done.
func explainSource(err error, what string) error {
	if e, ok := errors.AsType[*engine.Error](err); ok {
		if what == "" {
			return e
		}
		prefixed := *e
		prefixed.Message = what + ": " + e.Message
		return &prefixed
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	out := fail(CodeSource, "%s: %s", what, clip(err.Error()))
	if e, ok := errors.AsType[*connect.Error](err); ok {
		switch e.Reason {
		case connect.Lost:
			out.Code, out.Type = CodeSourceLost, failureSystem
		case connect.UnknownHost, connect.Unreachable:
			out.Type = failureSystem
		}
		return out
	}
	if errors.Is(err, folder.ErrOutside) {
		out.Final = true
	}
	if errors.Is(err, lake.ErrRefused) || errors.Is(err, lake.ErrNotFound) {
		out.Code = CodeQuery
	}
	return out
}

// explainSink puts an error of a sink into the terms of the definition.
func explainSink(err error, what string) error {
	if e, ok := errors.AsType[*engine.Error](err); ok {
		return e
	}
	out := fail(CodeSink, "%s: %s", what, clip(err.Error()))
	if errors.Is(err, lake.ErrDiskFull) {
		out.Type = failureSystem
	}
	if errors.Is(err, lake.ErrNotFound) {
		out.Final = true // the zone: tables are made
	}
	return out
}

// explainQuery puts an error of a statement on the lake into the terms of the definition.
func explainQuery(err error, what string) error {
	out := fail(CodeQuery, "%s: %s", what, clip(err.Error()))
	out.Final = errors.Is(err, lake.ErrRefused)
	if errors.Is(err, lake.ErrDiskFull) {
		out.Type = failureSystem
	}
	return out
}
