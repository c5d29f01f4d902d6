package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/state"
	"github.com/flowehr/flowehr/internal/target/local"
	"github.com/flowehr/flowehr/internal/vault"
)

// explain adds what to do about errors that any command may meet. An error that has a hint already keeps it.
func explain(err error) error {
	if _, ok := errors.AsType[hintError](err); ok || err == nil {
		return err
	}
	if e, ok := errors.AsType[*state.DamagedError](err); ok {
		return explainDamage(e)
	}
	if e, ok := errors.AsType[*local.AlreadyRunningError](err); ok {
		return hint(e, "Look at it with: flowehr status   Stop it with: flowehr down")
	}
	if what, next, ok := cloud.Explain(err); ok {
		return explainCloud(err, what, next)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		if fixed, ok := explainPath(path); ok {
			return fixed
		}
	}
	for _, known := range []struct {
		is   error
		hint string
	}{
		{apply.ErrStale, "Nothing was changed. Make a new plan: flowehr plan"},
		{apply.ErrLocked, "Nothing was changed. Wait for it, or when that process is gone: flowehr state unlock"},
		{vault.ErrKeyMissing, "Nothing was changed. The lake and the feature store are not affected. If the key is lost for good, move the vault away and store the secrets anew with: flowehr secrets set NAME"},
		{vault.ErrWrongKey, "Nothing was changed. Put back the key that belongs to this vault; see where it is looked for with: flowehr doctor"},
		{vault.ErrCorrupt, "Nothing was changed. Put the file back from a backup, or move it away and store the secrets anew with: flowehr secrets set NAME"},
		{syscall.ENOSPC, "Nothing that was published is affected. Make room, or move the data with local.data_dir; then run the command again."},
		{lake.ErrDiskFull, "No table was changed. Make room, or move the data with local.data_dir; then run the command again."},
		{lake.ErrNotFound, "See what there is with: flowehr lake ls"},
		{local.ErrNotRunning, "Start it with: flowehr up -d"},
	} {
		if errors.Is(err, known.is) {
			return hint(err, "%s", known.hint)
		}
	}
	return err
}

// cloudError is an error of a service in plain words. The service's own are kept for logs and support.
type cloudError struct {
	what string
	err  error
}

// Error says what happened.
func (e cloudError) Error() string { return e.what }

// Unwrap returns the error of the service.
func (e cloudError) Unwrap() error { return e.err }

func explainCloud(err error, what, next string) error {
	explained := error(cloudError{what, err})
	if next == "" {
		return explained
	}
	return hint(explained, "%s", next)
}

// explainDamage says what to do about a state that cannot be read.
func explainDamage(e *state.DamagedError) error {
	err := fmt.Errorf("the record of what was deployed cannot be read: %w (%s)", e.Err, e.Place)
	const safe = "Nothing was changed, and what stands is not affected. "
	if len(e.Restore) == 0 {
		return hint(err, safe+"Build the record anew from what stands: flowehr state refresh")
	}
	return hint(err, safe+"Go back to r%d with: flowehr state restore   (or build it anew from what stands: flowehr state refresh)", e.Restore[0])
}

// explainPath says what to do about a file or folder that cannot be used.
func explainPath(e *fs.PathError) (error, bool) {
	switch {
	case errors.Is(e.Err, fs.ErrPermission):
		return hint(fmt.Errorf("%s may not be used by you (%s)", e.Path, e.Op),
			"Give yourself the right to it. For the data of the environment another folder can be set with local.data_dir."), true
	case errors.Is(e.Err, syscall.EROFS):
		return hint(fmt.Errorf("%s is on a disk that cannot be written", e.Path), "Put the data elsewhere with local.data_dir in config.local.yaml."), true
	case errors.Is(e.Err, syscall.ENOTDIR):
		return hint(fmt.Errorf("%s cannot be made: something on the way to it is a file and no folder", e.Path),
			"Move that file away, or put the data elsewhere with local.data_dir in config.local.yaml."), true
	}
	return nil, false
}

// addressProblem says in plain words why an address cannot be listened on.
func addressProblem(address string, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return address + " is taken by another program"
	case errors.Is(err, syscall.EACCES):
		return address + " needs the rights of the administrator"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return address + " is not an address of this machine"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	return fmt.Sprintf("%s cannot be used: %v", address, err)
}
