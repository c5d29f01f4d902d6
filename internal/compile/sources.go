package compile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/config"
)

// sources fills the data sources.
func (c *compiler) sources() {
	first := map[string]flowehr.Pos{}
	for _, s := range c.def.Sources {
		c.source(s)
		if !s.Name.OK() {
			continue
		}
		if at, twice := first[s.Name.Get()]; twice {
			c.refuse(s.Name.Pos(), fmt.Sprintf("The first stands at %s. Pipelines name a source, so each needs a name of its own.", at),
				"two data sources are called %q", s.Name)
			continue
		}
		first[s.Name.Get()] = s.Name.Pos()
		if s.Name.Get() == "sql" || s.Name.Get() == "feature-store" {
			c.refuse(s.Name.Pos(), "Its secrets would take the names of the feature store's own. Choose another name.",
				"a data source cannot be called %q", s.Name)
		}
	}
}

func (c *compiler) source(s config.Source) {
	out := flowehr.Source{
		Name: s.Name.Get(), Kind: flowehr.SourceKind(s.Kind.Or(string(flowehr.SourceSQLServer))),
		Host: s.FQDN.Get(), Port: s.Port.Get(), Database: s.Database.Get(), Username: s.Username.Get(), Password: s.Password.Get(),
		TLS: s.TLS.Or("require"), Path: s.Path.Get(), Pos: s.At,
	}
	name := "a data source"
	if s.Name.OK() {
		name = fmt.Sprintf("data source %q", s.Name)
	}
	if p := s.Peering; p != nil {
		out.Peering = &flowehr.Peering{Network: p.Network.Get(), Group: p.Group.Get(), DNSZones: texts(p.DNSZones)}
	}
	if out.Kind == flowehr.SourceFolder {
		c.folder(s.At, name, absent(s.Path), map[string]bool{
			"fqdn": s.FQDN.OK(), "port": s.Port.OK(), "database": s.Database.OK(), "username": s.Username.OK(),
			"password": s.Password.OK(), "tls": s.TLS.OK(),
		})
		out.TLS = ""
	} else {
		c.server(s.At, name, s.Path, map[string]bool{
			"fqdn": absent(s.FQDN), "database": absent(s.Database), "username": absent(s.Username), "password": s.Password.Missing(),
		})
	}
	c.password(s.Password, name, shownFor(s.Name, out.Name))
	c.encryption(s.TLS, name)
	c.env.Sources = append(c.env.Sources, out)
}

// folder checks what a folder of files needs, and that nothing of a server is set on it.
func (c *compiler) folder(at flowehr.Pos, name string, pathless bool, set map[string]bool) {
	if pathless {
		c.refuse(at, "Say where its files are, relative to config.yaml: path: data/extracts", "%s has no path", name)
	}
	if keys := chosen(set); len(keys) > 0 {
		c.warn(at, "A folder needs only name and path. Remove the other keys, or choose another kind.",
			"%s is a folder and does not use %s", name, strings.Join(keys, ", "))
	}
}

// server checks what a database server needs.
func (c *compiler) server(at flowehr.Pos, name string, path config.Value[string], missing map[string]bool) {
	if keys := chosen(missing); len(keys) > 0 {
		c.refuse(at, fmt.Sprintf("A database server needs %s. For a folder of files set kind: folder and path.", listed(slices.Sorted(maps.Keys(missing)))),
			"%s has no %s", name, strings.Join(keys, ", "))
	}
	if path.OK() {
		c.warn(path.Pos(), "Only kind: folder has a path.", "%s does not use path", name)
	}
}

// secretPrefix is the name of a source that can start the name of a secret.
var secretPrefix = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// password warns of one in plain text and suggests a secret named after id.
func (c *compiler) password(v config.Value[flowehr.Text], name, id string) {
	if !v.OK() || v.Get() == "" || len(v.Get().Secrets()) > 0 {
		return
	}
	secret := "DATA_SOURCE_PASSWORD"
	if secretPrefix.MatchString(id) {
		secret = strings.ToUpper(strings.ReplaceAll(id, "-", "_")) + "_PASSWORD"
	}
	c.warn(v.Pos(), fmt.Sprintf("Everybody who can read the repository can read it. Write password: ${%s} here and keep the value with: flowehr secrets set %s", secret, secret),
		"the password of %s is written in the file", name)
}

// encryption warns of a connection in the clear.
func (c *compiler) encryption(v config.Value[string], name string) {
	if !v.OK() || v.Get() != "disable" {
		return
	}
	if c.def.RealData.Or(false) {
		c.refuse(v.Pos(), "Patients' data would cross the network unencrypted. Use tls: require or tls: verify.",
			"%s turns encryption off in an environment with real data", name)
		return
	}
	c.warn(v.Pos(), "Anybody on the network can read along. Use tls: require, unless the server is this machine.",
		"%s turns encryption off", name)
}

// absent reports whether nothing was written, or a text without characters.
func absent[T ~string](v config.Value[T]) bool { return v.Missing() || v.OK() && v.Get() == "" }

// chosen returns the keys that are true, in order.
func chosen(set map[string]bool) []string {
	var keys []string
	for k, yes := range set {
		if yes {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
