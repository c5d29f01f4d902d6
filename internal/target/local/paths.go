package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/flowehr/flowehr"
)

// Paths are the places of one environment on this machine. Everything that an environment keeps is below Data, but for
// the vault's key, which must not be copied along with it, and what PostgreSQL needs elsewhere.
type Paths struct {
	Root     string // folder of the definition
	Data     string // data directory of the environment
	State    string // folder of the state file and its lock
	Vault    string // encrypted secrets
	Key      string // key of the vault, outside Data
	Audit    string // audit log
	Lake     string
	Sources  string // folders of made-up data that stand in for sources
	Logs     string
	Postgres string // data directory of the supervised server
	Sockets  string // its Unix socket; short, because a socket's path is limited to about 100 bytes
	Running  string // record of the process that runs the environment
}

// Machine is what Locate must know of the machine and of who runs the program.
type Machine struct {
	ConfigHome  string // for keys, for example ~/.config
	RuntimeHome string // for sockets, for example /run/user/1000
	ServiceHome string // for the server's data when its user cannot reach Data, for example /var/lib/flowehr
	Root        bool   // running as the super-user
}

// Locate decides the places of env, whose definition is in root. It makes nothing.
func Locate(env *flowehr.Environment, root string, m Machine) (Paths, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Paths{}, err
	}
	data := env.Local.DataDir
	switch {
	case data == "":
		data = filepath.Join(root, ".flowehr", env.Name)
	case !filepath.IsAbs(data):
		data = filepath.Join(root, data)
	}
	if m.ConfigHome == "" {
		return Paths{}, errors.New("no home directory to keep the vault's key in: set HOME or XDG_CONFIG_HOME")
	}
	sum := sha256.Sum256([]byte(data))
	mark := hex.EncodeToString(sum[:4])
	p := Paths{
		Root: root, Data: data,
		State:    filepath.Join(data, "state"),
		Vault:    filepath.Join(data, "vault.age"),
		Key:      filepath.Join(m.ConfigHome, "flowehr", "keys", env.Suffix+"-"+mark+".key"),
		Audit:    filepath.Join(data, "audit", "audit.jsonl"),
		Lake:     filepath.Join(data, "lake"),
		Sources:  filepath.Join(data, "sources"),
		Logs:     filepath.Join(data, "logs"),
		Postgres: filepath.Join(data, "postgres"),
		Sockets:  filepath.Join(m.RuntimeHome, "flowehr-"+mark),
		Running:  filepath.Join(data, "running.json"),
	}
	if m.Root && !reachableByOthers(data) {
		p.Postgres = filepath.Join(m.ServiceHome, mark, "postgres")
	}
	return p, nil
}

// Prepare makes the folders that must exist before anything runs. It may be called again.
func (p Paths) Prepare() error {
	if err := os.MkdirAll(p.Data, 0o755); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	for _, dir := range []string{p.State, filepath.Dir(p.Audit), p.Lake, p.Sources, p.Logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(p.Key)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Dir(p.Postgres), 0o755)
}

// reachableByOthers reports whether a process of another user may pass through every folder on the way to path. Folders
// that do not exist yet will be made so.
func reachableByOthers(path string) bool {
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// Owned lists everything of the environment on this machine, for removal. The folder of the definition is not in it.
func (p Paths) Owned() []string {
	owned := []string{p.Data, p.Key, p.Sockets}
	if own := filepath.Dir(p.Postgres); own != p.Data {
		owned = append(owned, own)
	}
	return owned
}
