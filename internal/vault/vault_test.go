package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/flowehr/flowehr"
)

const value = "correct horse \x00\xff battery"

func places(t testing.TB) Options {
	dir := t.TempDir()
	return Options{Path: filepath.Join(dir, "data", "vault.age"), KeyPath: filepath.Join(dir, "keys", "vault.key")}
}

func open(t testing.TB, o Options) *Vault {
	t.Helper()
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSecretsComeBackAndStandNowhereInClear(t *testing.T) {
	o := places(t)
	v := open(t, o)
	for _, name := range []string{"epr-password", "role/ada"} {
		if err := v.Set(t.Context(), name, flowehr.NewSecret(value)); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, o)
	if s, err := again.Get("role/ada"); err != nil || s.Reveal() != value {
		t.Errorf("got %q, %v; want the value", s.Reveal(), err)
	}
	if names, err := again.Names(); err != nil || fmt.Sprint(names) != "[epr-password role/ada]" {
		t.Errorf("got %v, %v", names, err)
	}
	err := filepath.WalkDir(filepath.Dir(o.Path), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("correct horse")) || bytes.Contains(b, []byte("epr-password")) || bytes.Contains(b, []byte("AGE-SECRET")) {
			t.Errorf("%s holds something in clear", path)
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Delete(t.Context(), "role/ada"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Get("role/ada"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: got %v, want ErrNotFound", err)
	}
	if err := v.Delete(t.Context(), "role/ada"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted twice: got %v, want ErrNotFound", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	write := func(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }
	for _, test := range []struct {
		name string
		harm func(Options) error
		want error
	}{
		{"missing key", func(o Options) error { return os.Remove(o.KeyPath) }, ErrKeyMissing},
		{"key for others to read", func(o Options) error { return os.Chmod(o.KeyPath, 0o640) }, ErrKeyExposed},
		{"empty key", func(o Options) error { return write(o.KeyPath, nil) }, ErrKeyInvalid},
		{"damaged key", func(o Options) error { return write(o.KeyPath, []byte("AGE-SECRET-KEY-1NONSENSE\n")) }, ErrKeyInvalid},
		{"other key", func(o Options) error {
			if err := os.Remove(o.KeyPath); err != nil {
				return err
			}
			_, err := createKey(o.KeyPath)
			return err
		}, ErrWrongKey},
		{"empty vault", func(o Options) error { return write(o.Path, nil) }, ErrCorrupt},
		{"cut vault", func(o Options) error { return os.Truncate(o.Path, 180) }, ErrCorrupt},
		{"changed vault", func(o Options) error {
			b, err := os.ReadFile(o.Path)
			if err != nil {
				return err
			}
			b[len(b)-5] ^= 1
			return write(o.Path, b)
		}, ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := places(t)
			if err := open(t, o).Set(t.Context(), "x", flowehr.NewSecret(value)); err != nil {
				t.Fatal(err)
			}
			if err := test.harm(o); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), o)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "AGE-SECRET") {
				t.Errorf("error tells a secret: %v", err)
			}
		})
	}
}

func TestKeyMustStandElsewhere(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{filepath.Join(dir, "key"), filepath.Join(dir, "a", "b", "key"), filepath.Join(link, "key")} {
		if _, err := Open(t.Context(), Options{Path: filepath.Join(dir, "vault.age"), KeyPath: key}); !errors.Is(err, ErrKeyPlace) {
			t.Errorf("%s: got %v, want ErrKeyPlace", key, err)
		}
	}
}

func TestEnsureGeneratesOnce(t *testing.T) {
	o := places(t)
	var all sync.WaitGroup
	values := make([]string, 12)
	for i := range values {
		all.Go(func() {
			v, err := Open(context.Background(), o) // each as another process would
			if err != nil {
				t.Error(err)
				return
			}
			s, err := v.Ensure(context.Background(), "generated", Password)
			if err != nil {
				t.Error(err)
			}
			values[i] = s.Reveal()
			if err := v.Set(context.Background(), fmt.Sprint("own", i), s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, got := range values {
		if got != values[0] || len(got) < 40 {
			t.Fatalf("got %d different or short values", len(values))
		}
	}
	if names, err := open(t, o).Names(); err != nil || len(names) != len(values)+1 {
		t.Errorf("%d names, %v; a change was lost", len(names), err)
	}
}

func TestFailedChangeKeepsTheVault(t *testing.T) {
	o := places(t)
	v := open(t, o)
	if err := v.Set(t.Context(), "kept", flowehr.NewSecret(value)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(o.Path+".new", "full"), 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if err := v.Set(t.Context(), "other", flowehr.NewSecret(value)); err == nil || strings.Contains(err.Error(), "horse") {
		t.Errorf("got %v, want an error without the value", err)
	}
	if s, err := v.Get("kept"); err != nil || s.Reveal() != value {
		t.Errorf("got %v; the vault was harmed", err)
	}
	for _, name := range []string{"", "two words", "line\nbreak", strings.Repeat("x", 201)} {
		if err := v.Set(t.Context(), name, flowehr.NewSecret("v")); !errors.Is(err, ErrName) {
			t.Errorf("name %q: got %v, want ErrName", name, err)
		}
	}
}

func TestFilesThatWerePutThereAreNotUsed(t *testing.T) {
	o := places(t)
	v := open(t, o)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func() error{
		"link": func() error { return os.Symlink(victim, o.Path+".new") },
		"file": func() error {
			return errors.Join(os.WriteFile(o.Path+".new", nil, 0o644), os.Chmod(o.Path+".new", 0o666))
		},
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if err := v.Set(t.Context(), name, flowehr.NewSecret(value)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(o.Path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: vault has mode %v, %v; want a file with 0600", name, info.Mode(), err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
		t.Errorf("the file behind the link holds %d bytes, %v; it was written to", len(b), err)
	}
	if err := os.Remove(o.Path + ".lock"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(filepath.Dir(victim), "made"), o.Path+".lock"); err != nil {
		t.Fatal(err)
	}
	if err := v.Set(t.Context(), "more", flowehr.NewSecret(value)); err == nil {
		t.Error("lock that is a link: got nil, want an error")
	}
}

func TestKeyThatIsAPipeDoesNotHang(t *testing.T) {
	o := places(t)
	if err := os.MkdirAll(filepath.Dir(o.KeyPath), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(o.KeyPath, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrKeyInvalid) {
		t.Errorf("got %v, want ErrKeyInvalid", err)
	}
}
