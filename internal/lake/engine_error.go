package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// engineError makes an error of the engine one of ours: cancellation is the context's own error, a full disk is
// [ErrDiskFull], and the copy of the statement that the engine appends is cut off.
func engineError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	msg, ok := engineMessage(err)
	if !ok {
		return diskError(err)
	}
	msg, _, _ = strings.Cut(msg, "\n\nLINE ")
	msg = strings.TrimSpace(msg)
	if strings.Contains(msg, "No space left on device") || strings.Contains(msg, "No space left on disk") {
		return fmt.Errorf("%w: %s", ErrDiskFull, msg)
	}
	if strings.HasPrefix(msg, "Out of Memory Error") {
		return fmt.Errorf("the lake engine's memory limit was reached: give it more in the definition, or work on fewer rows at once: %s", msg)
	}
	return errors.New(msg)
}

func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
