//go:build !cgo

package lake

import (
	"errors"
	"testing"
)

func TestOpenSaysThatThereIsNoEngine(t *testing.T) {
	if _, err := Open(Options{Dir: t.TempDir()}); !errors.Is(err, ErrNoEngine) {
		t.Errorf("error = %v, want %v", err, ErrNoEngine)
	}
}
