package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
)

func TestLocate(t *testing.T) {
	open := t.TempDir()
	for dir := open; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				t.Skipf("skipped: the folder for temporary files is closed to others: %v", err)
			}
		}
	}
	closed := filepath.Join(open, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	person := Machine{ConfigHome: "/home/p/.config", RuntimeHome: "/run/user/7", ServiceHome: "/var/lib/flowehr"}
	root := Machine{ConfigHome: "/root/.config", RuntimeHome: "/tmp", ServiceHome: "/var/lib/flowehr", Root: true}
	long := filepath.Join(open, strings.Repeat("a-rather-long-folder/", 12))
	for _, c := range []struct {
		name, root, dataDir string
		machine             Machine
		data                string
		elsewhere           bool // the server's data is in the service's folder
	}{
		{"beside the definition", open, "", person, filepath.Join(open, ".flowehr", "local"), false},
		{"relative to the definition", open, "kept/here", person, filepath.Join(open, "kept", "here"), false},
		{"outside the definition", open, "../there", person, filepath.Join(filepath.Dir(open), "there"), false},
		{"absolute", open, "/srv/flowehr", person, "/srv/flowehr", false},
		{"a long path", long, "", person, filepath.Join(long, ".flowehr", "local"), false},
		{"root in a folder that all can reach", open, "", root, filepath.Join(open, ".flowehr", "local"), false},
		{"root in a folder of its own", closed, "", root, filepath.Join(closed, ".flowehr", "local"), true},
		{"root with data in a folder of its own", open, closed, root, closed, true},
		{"a person in a folder of their own", closed, "", person, filepath.Join(closed, ".flowehr", "local"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := &flowehr.Environment{ID: "ward", Name: "local", Suffix: "ward-local", Local: flowehr.Local{DataDir: c.dataDir}}
			p, err := Locate(env, c.root, c.machine)
			if err != nil {
				t.Fatal(err)
			}
			if p.Data != c.data {
				t.Errorf("data in %s, want %s", p.Data, c.data)
			}
			if got := strings.HasPrefix(p.Postgres, c.machine.ServiceHome+"/"); got != c.elsewhere {
				t.Errorf("the server's data in %s", p.Postgres)
			}
			for _, path := range []string{p.State, p.Vault, p.Audit, p.Lake, p.Sources, p.Logs, p.Running} {
				if !strings.HasPrefix(path, p.Data+"/") {
					t.Errorf("%s is not below the data directory", path)
				}
			}
			if strings.HasPrefix(p.Key, p.Data) {
				t.Errorf("the key %s is kept with what it opens", p.Key)
			}
			if socket := filepath.Join(p.Sockets, ".s.PGSQL.5432"); len(socket) > 100 {
				t.Errorf("%s is too long for a socket", socket)
			}
			for _, path := range []string{p.Vault, p.Key, p.Postgres, p.Sockets} {
				if !ownedBy(p.Owned(), path) {
					t.Errorf("%s would stay after everything was removed", path)
				}
			}
			if ownedBy(p.Owned(), filepath.Join(p.Root, "config.yaml")) {
				t.Error("the definition would be removed")
			}
		})
	}
}

func ownedBy(owned []string, path string) bool {
	for _, dir := range owned {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

func TestLocateApart(t *testing.T) {
	machine := Machine{ConfigHome: "/c", RuntimeHome: "/r", ServiceHome: "/s"}
	seen := map[string]string{}
	for _, root := range []string{"/a", "/b"} {
		for _, name := range []string{"dev", "prod"} {
			env := &flowehr.Environment{ID: "ward", Name: name, Suffix: "ward-" + name}
			p, err := Locate(env, root, machine)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range p.Owned() {
				if other, twice := seen[path]; twice {
					t.Errorf("%s belongs to %s and to %s of %s", path, other, name, root)
				}
				seen[path] = name + " of " + root
			}
		}
	}
	if _, err := Locate(&flowehr.Environment{Name: "dev"}, "/a", Machine{}); err == nil || !strings.Contains(err.Error(), "HOME") {
		t.Errorf("without a home: %v", err)
	}
}
