// Package vault keeps secrets at rest: one file, encrypted as a whole with age for one X25519 identity whose key stands
// in another folder. Whoever has the data directory alone learns neither the values nor the names.
//
// The package does not cache, does not log and does not know what a secret is for. The rule that holds here: a value
// leaves it only inside a [flowehr.Secret], never in an error.
package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/durable"
)

// Errors that callers branch on. Each comes wrapped with the file and what to do.
var (
	ErrNotFound   = errors.New("secret not found")
	ErrName       = errors.New("not a name for a secret")
	ErrKeyMissing = errors.New("key of the vault is missing")
	ErrKeyInvalid = errors.New("key of the vault is not usable")
	ErrKeyExposed = errors.New("key of the vault can be read by others")
	ErrKeyPlace   = errors.New("key of the vault must not stand beside it")
	ErrWrongKey   = errors.New("vault was encrypted for another key")
	ErrCorrupt    = errors.New("vault is damaged")
)

// Options say where a vault is.
type Options struct {
	Path    string // the encrypted file
	KeyPath string // the identity, in a folder that is not the vault's and not below it
}

// Vault is one encrypted file. Every call reads the file, so that processes see each other's changes. It is safe for
// concurrent use, also with other processes.
type Vault struct {
	path     string
	identity *age.X25519Identity
}

// Open reads the key and proves that it fits the vault. When there is neither vault nor key it makes the key, once; a
// vault without its key is never given a new one, because that could only hide the loss.
func Open(ctx context.Context, o Options) (*Vault, error) {
	if err := apart(o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v := &Vault{path: o.Path}
	unlock, err := v.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()

	v.identity, err = readKey(o.KeyPath)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(o.Path); err == nil {
			return nil, fmt.Errorf("%w: %s is encrypted for the key that was in %s; restore that file", ErrKeyMissing, o.Path, o.KeyPath)
		}
		v.identity, err = createKey(o.KeyPath)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := v.read(); err != nil {
		return nil, err
	}
	return v, nil
}

// apart refuses a key that a copy of the vault's folder would carry along.
func apart(o Options) error {
	dir, err := filepath.Abs(filepath.Dir(o.Path))
	if err != nil {
		return fmt.Errorf("open vault: %w", err)
	}
	key, err := filepath.Abs(o.KeyPath)
	if err != nil {
		return fmt.Errorf("open vault: %w", err)
	}
	rel, err := filepath.Rel(resolved(dir), filepath.Join(resolved(filepath.Dir(key)), filepath.Base(key)))
	if err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("%w: %s is inside %s; a backup of that folder would hold both", ErrKeyPlace, o.KeyPath, dir)
	}
	return nil
}

// resolved follows links of the part of path that exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}

// Get returns the secret called name, or ErrNotFound.
func (v *Vault) Get(name string) (flowehr.Secret, error) {
	all, err := v.read()
	if err != nil {
		return flowehr.Secret{}, err
	}
	value, ok := all[name]
	if !ok {
		return flowehr.Secret{}, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return flowehr.NewSecret(value), nil
}

// Names lists the names of all secrets, sorted.
func (v *Vault) Names() ([]string, error) {
	all, err := v.read()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Set stores value under name. When it returns nil the value is on the disk.
func (v *Vault) Set(ctx context.Context, name string, value flowehr.Secret) error {
	if err := checkName(name); err != nil {
		return err
	}
	return v.change(ctx, func(all map[string]string) (bool, error) {
		old, ok := all[name]
		all[name] = value.Reveal()
		return !ok || old != value.Reveal(), nil
	})
}

// Delete removes name, or returns ErrNotFound.
func (v *Vault) Delete(ctx context.Context, name string) error {
	return v.change(ctx, func(all map[string]string) (bool, error) {
		if _, ok := all[name]; !ok {
			return false, fmt.Errorf("%w: %s", ErrNotFound, name)
		}
		delete(all, name)
		return true, nil
	})
}

// Ensure returns the secret called name and makes it with generate when there is none. Of several processes that ask at
// once, one generates and all get the same value.
func (v *Vault) Ensure(ctx context.Context, name string, generate func() (flowehr.Secret, error)) (flowehr.Secret, error) {
	if err := checkName(name); err != nil {
		return flowehr.Secret{}, err
	}
	var result flowehr.Secret
	err := v.change(ctx, func(all map[string]string) (bool, error) {
		if old, ok := all[name]; ok {
			result = flowehr.NewSecret(old)
			return false, nil
		}
		made, err := generate()
		if err != nil {
			return false, fmt.Errorf("generate secret %s: %w", name, err)
		}
		result = made
		all[name] = made.Reveal()
		return true, nil
	})
	if err != nil {
		return flowehr.Secret{}, err
	}
	return result, nil
}

// Password generates a password of 256 random bits in characters that need no quoting anywhere. It is a generator for
// [Vault.Ensure].
func Password() (flowehr.Secret, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return flowehr.Secret{}, err
	}
	return flowehr.NewSecret(base64.RawURLEncoding.EncodeToString(b)), nil
}

func checkName(name string) error {
	if name == "" || len(name) > 200 || !utf8.ValidString(name) {
		return fmt.Errorf("%w: %q has to have 1 to 200 bytes of text", ErrName, name)
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return fmt.Errorf("%w: %q has a space or control character", ErrName, name)
		}
	}
	return nil
}

// change runs edit on the decrypted secrets under the lock and stores them when edit says that they changed.
func (v *Vault) change(ctx context.Context, edit func(map[string]string) (bool, error)) error {
	unlock, err := v.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := v.read()
	if err != nil {
		return err
	}
	changed, err := edit(all)
	if err != nil || !changed {
		return err
	}
	return v.write(all)
}

// content is the plain text of the file.
type content struct {
	Version int               `json:"version"`
	Secrets map[string][]byte `json:"secrets"` // bytes, as not every secret is text
}

// read decrypts the file. No file is an empty vault; an empty file is a damaged one.
func (v *Vault) read() (map[string]string, error) {
	sealed, err := os.ReadFile(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read vault: %w", err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), v.identity)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, fmt.Errorf("%w: %s", ErrWrongKey, v.path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, v.path, err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, v.path, err)
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		// The decoder's message may quote what it read, so it stays inside.
		return nil, fmt.Errorf("%w: %s: its content is not a list of secrets", ErrCorrupt, v.path)
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("%w: %s: it has version %d, this program knows version 1", ErrCorrupt, v.path, c.Version)
	}
	all := make(map[string]string, len(c.Secrets))
	for name, value := range c.Secrets {
		all[name] = string(value)
	}
	return all, nil
}

func (v *Vault) write(all map[string]string) error {
	c := content{Version: 1, Secrets: make(map[string][]byte, len(all))}
	for name, value := range all {
		c.Secrets[name] = []byte(value)
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return errors.New("write vault: secrets cannot be encoded")
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, v.identity.Recipient())
	if err != nil {
		return fmt.Errorf("write vault: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return fmt.Errorf("write vault: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write vault: %w", err)
	}
	if err := durable.Replace(v.path, sealed.Bytes()); err != nil {
		return fmt.Errorf("write vault: %w", err)
	}
	return nil
}

// lock keeps other writers out until the returned function is called. The lock is on a file of its own, because the
// vault's file is replaced by every change.
func (v *Vault) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(v.path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock vault: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock vault: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(2 * time.Millisecond):
		}
	}
}
