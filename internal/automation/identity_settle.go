package automation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// errNotYet says that what was made just now cannot be seen yet.
var errNotYet = errors.New("it was made, but the directory does not show it yet")

// The directory tells its parts of a new object one after the other. That usually takes seconds.
const (
	settleTries = 12
	settlePause = 5 * time.Second
)

// settle repeats f for as long as it fails because the directory does not know everywhere of what was made just now.
func (i *Identity) settle(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil || n == settleTries || !unsettled(err) {
			return err
		}
		if werr := i.c.Wait(ctx, settlePause); werr != nil {
			return errors.Join(err, werr)
		}
	}
}

// unsettled: Microsoft Graph says that the application or the principal that was named does not exist, Azure Resource Manager
// PrincipalNotFound.
func unsettled(err error) bool {
	if errors.Is(err, errNotYet) {
		return true
	}
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusNotFound:
		return true
	case http.StatusConflict: // an interrupted call is still being carried out
		return e.Code != "RoleAssignmentExists" && e.Code != "Request_MultipleObjectsWithSameKeyValue"
	case http.StatusBadRequest:
		return e.Code == "PrincipalNotFound" || e.Code == "Request_ResourceNotFound" ||
			strings.Contains(e.Message, "does not reference a valid application object")
	}
	return false
}

// alreadyGranted: Microsoft Graph has no code of its own for a permission that was given before.
func alreadyGranted(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	return ok && e.Status == http.StatusBadRequest && strings.Contains(e.Message, "already exists")
}
