package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"filippo.io/age"

	"github.com/flowehr/flowehr/internal/durable"
)

// maxKey is more than any file with an identity has.
const maxKey = 64 << 10

// readKey reads the identity. It refuses a file that others can read, rather than repair it: the key may have been seen.
func readKey(path string) (*age.X25519Identity, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe of that name must not keep us waiting
	if err != nil {
		return nil, fmt.Errorf("read key of the vault: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat() // of what is read, not of what has the name by then
	if err != nil {
		return nil, fmt.Errorf("read key of the vault: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a file", ErrKeyInvalid, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o; see who could have read it, then chmod 600", ErrKeyExposed, path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return nil, fmt.Errorf("read key of the vault: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("%w: %s holds no age X25519 identity", ErrKeyInvalid, path) // the cause may quote the key
		}
		return id, nil
	}
	return nil, fmt.Errorf("%w: %s is empty", ErrKeyInvalid, path)
}

// createKey makes the identity and its file. An existing file is never replaced.
func createKey(path string) (*age.X25519Identity, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make key of the vault: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make key of the vault: %w", err)
	}
	f, err := os.CreateTemp(dir, ".vault-key-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("make key of the vault: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = fmt.Fprintf(f, "# Key of a FlowEHR vault. Without it the vault is lost; with it the vault is open.\n# recipient: %s\n%s\n", id.Recipient(), id)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make key of the vault: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil { // fails when the file exists, unlike a rename
		return nil, fmt.Errorf("make key of the vault: %w", err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return nil, fmt.Errorf("make key of the vault: %w", err)
	}
	return id, nil
}
