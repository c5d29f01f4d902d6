package local

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwnSocketsRefusesForeignFolders(t *testing.T) {
	base := t.TempDir()
	p := Paths{Postgres: filepath.Join(base, "data"), Sockets: filepath.Join(base, "sockets")}
	if err := os.Mkdir(p.Postgres, 0o700); err != nil {
		t.Fatal(err)
	}
	check := func(what string, wantErr bool) {
		t.Helper()
		if err := ownSockets(p); (err != nil) != wantErr {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("no folder yet", false)
	if err := os.Mkdir(p.Sockets, 0o750); err != nil {
		t.Fatal(err)
	}
	check("our own folder", false)
	if err := os.Chmod(p.Sockets, 0o777); err != nil {
		t.Fatal(err)
	}
	check("a folder that everybody may write to", true)
	if err := os.Remove(p.Sockets); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, p.Sockets); err != nil {
		t.Fatal(err)
	}
	check("a link to somewhere else", true)
	if os.Geteuid() != 0 {
		t.Log("not root: a folder of another account cannot be made here")
		return
	}
	if err := os.Remove(p.Sockets); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.Sockets, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p.Sockets, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	check("a folder of another account", true)
}
