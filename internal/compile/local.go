package compile

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/config"
)

// builtIn are the linked services that every environment has.
var builtIn = []string{
	"ADBLinkedServiceViaMSI", "ADLSLinkedServiceViaMSI", "FeatureStoreLinkedService", "KVLinkedServiceViaMSI", "LakeLinkedService",
}

// store fills the feature store.
func (c *compiler) store() {
	f := c.def.FeatureStore
	if f == nil {
		f = &config.FeatureStore{}
	}
	engine := "postgres"
	if c.env.Target == flowehr.TargetAzure {
		engine = "mssql"
	}
	out := flowehr.FeatureStore{Engine: f.Engine.Or(engine)}
	sku, size := "", 0
	if out.Engine == "mssql" {
		sku, size = "Basic", 2
		if c.doc.InAutomation {
			sku, size = "S0", 250
		}
	}
	out.SKU, out.SizeGB = f.SKU.Or(sku), f.SizeGB.Or(size)
	c.env.Store = out
}

// local fills what only this machine needs.
func (c *compiler) local() {
	l := c.def.Local
	if l == nil {
		l = &config.Local{}
	}
	out := &c.env.Local
	*out = flowehr.Local{
		Listen: l.Listen.Or("127.0.0.1:7080"), DataDir: l.DataDir.Get(), PostgresDSN: l.PostgresDSN.Get(),
		SparkMaster: l.SparkMaster.Or("local[*]"), MemoryMB: l.MemoryMB.Or(2048), Threads: l.Threads.Get(),
	}
	c.listen(l.Listen)
	for _, e := range l.LinkedServices {
		c.linkedService(e)
	}
	for _, e := range l.Synthetic {
		c.synthetic(e)
	}
}

func (c *compiler) listen(v config.Value[string]) {
	if !v.OK() {
		return
	}
	host, port, err := net.SplitHostPort(v.Get())
	if err != nil || port == "" {
		c.refuse(v.Pos(), "Write an address, a colon and a port, for example 127.0.0.1:7080.", "local.listen %q is not an address with a port", v)
		return
	}
	addr, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		c.warn(v.Pos(), "Other machines can reach the portal then. Use 127.0.0.1 unless that is what you want.", "local.listen %q is not only this machine", v)
	}
}

func (c *compiler) linkedService(e config.Entry[config.LinkedService]) {
	s, name := e.Value, fmt.Sprintf("local.linked_services.%s", e.Key)
	host := s.Host
	if host.Missing() {
		host = s.FQDN
	}
	if s.Host.OK() && s.FQDN.OK() {
		c.warn(s.FQDN.Pos(), "host is set and wins. Both mean the same; remove one.", "fqdn of %s is not used", name)
	}
	switch {
	case slices.Contains(builtIn, e.Key):
		c.refuse(e.Pos, "It always leads to this environment's own lake, vault, store or Spark. Remove it here.", "%s is built in", e.Key)
	case slices.ContainsFunc(c.env.Sources, func(s flowehr.Source) bool { return s.Name == e.Key }):
		c.refuse(e.Pos, "A data source of that name exists and is used under it. Remove one of the two.", "%s is there twice", name)
	}
	out := flowehr.LocalLinkedService{
		Kind: flowehr.SourceKind(s.Kind.Get()), Host: host.Get(), Port: s.Port.Get(), Database: s.Database.Get(),
		Username: s.Username.Get(), Password: s.Password.Get(), TLS: s.TLS.Or("require"), Path: s.Path.Get(), Pos: e.Pos,
	}
	switch {
	case !s.Kind.OK(): // already reported, and without it the rest cannot be judged
	case out.Kind == flowehr.SourceFolder:
		out.TLS = ""
		c.folder(e.Pos, name, absent(s.Path), map[string]bool{
			"host": host.OK(), "port": s.Port.OK(), "database": s.Database.OK(), "username": s.Username.OK(), "password": s.Password.OK(), "tls": s.TLS.OK(),
		})
	default:
		c.server(e.Pos, name, s.Path, map[string]bool{"host": absent(host), "database": absent(s.Database), "username": absent(s.Username)})
	}
	c.password(s.Password, name, e.Key)
	c.encryption(s.TLS, name)
	if c.env.Local.LinkedServices == nil {
		c.env.Local.LinkedServices = map[string]flowehr.LocalLinkedService{}
	}
	c.env.Local.LinkedServices[e.Key] = out
}

func (c *compiler) synthetic(e config.Entry[config.Synthetic]) {
	switch {
	case c.env.RealData:
		c.refuse(e.Pos, "Made-up patients among real ones would go unnoticed. Remove it, or set accesses_real_data: false.",
			"synthetic data is refused with real data")
	case !slices.ContainsFunc(c.env.Sources, func(s flowehr.Source) bool { return s.Name == e.Key }):
		var names []string
		for _, s := range c.def.Sources {
			names = append(names, fmt.Sprint(s.Name))
		}
		c.refuse(e.Pos, fmt.Sprintf("It stands in for one of data_source_connections. There is %s.", listed(names)), "local.synthetic names the data source %q, which does not exist", e.Key)
	}
	if c.env.Local.Synthetic == nil {
		c.env.Local.Synthetic = map[string]flowehr.Synthetic{}
	}
	c.env.Local.Synthetic[e.Key] = flowehr.Synthetic{Patients: e.Value.Patients.Or(1000), Seed: uint64(e.Value.Seed.Or(1)), Pos: e.Pos}
}
