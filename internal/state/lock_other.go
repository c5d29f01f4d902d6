//go:build !unix

package state

import (
	"errors"
	"os"
)

// tryLock refuses: without a lock that ends with its process the store cannot keep its promise.
func tryLock(*os.File) (bool, error) {
	return false, errors.New("file locks are not supported on this system")
}
