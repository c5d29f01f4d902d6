package compile

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/config"
)

// transform fills repositories, lake and Spark.
func (c *compiler) transform() {
	t := c.def.Transform
	if t == nil {
		t = &config.Transform{}
	}
	c.repositories(t.Repositories)
	c.lake(t.Datalake)
	s := &c.env.Spark
	s.Version = t.SparkVersion.Or("3.3")
	s.Conf, s.Secrets = textMap(t.SparkConfig), textMap(t.DatabricksSecrets)
	c.libraries(t.Libraries)
	c.cluster(t.Cluster)
	s.DatabricksAccountID = t.AccountID.Get()
	c.unityCatalog(t)
	c.metastore(t.Metastore)
}

// gitURL is what may be handed to git: no helper that runs a command, and no password.
var gitURL = regexp.MustCompile(`^(?:(?:https|http|ssh|git|file)://\S+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:\S+|\.{0,2}/\S+)$`)

func (c *compiler) repositories(list []config.Repository) {
	folders := map[string]flowehr.Pos{}
	for _, r := range list {
		c.env.Repos = append(c.env.Repos, flowehr.Repository{URL: r.URL.Get(), SHA: r.SHA.Get(), Pos: r.At})
		if r.SHA.OK() && strings.HasPrefix(r.SHA.Get(), "-") {
			c.refuse(r.SHA.Pos(), "Write a commit, a branch or a tag.", "sha cannot start with -")
		}
		if !r.URL.OK() {
			continue
		}
		url := r.URL.Get()
		if scheme, rest, _ := strings.Cut(url, "://"); strings.HasPrefix(scheme, "http") {
			if host, _, _ := strings.Cut(rest, "/"); strings.Contains(host, "@") {
				c.refuse(r.URL.Pos(), "It would end in logs and in .git/config. Write the address without it and set FLOWEHR_REPOSITORIES_GH_TOKEN, or use git's credential helper.",
					"the address of a repository holds a user name or a token")
				continue
			}
		}
		if !gitURL.MatchString(url) {
			c.refuse(r.URL.Pos(), "Use https://..., ssh://..., git@host:... or the path of a folder.", "%q is not an address for git", r.URL)
			continue
		}
		folder := strings.TrimSuffix(path.Base(strings.TrimRight(url, "/")), ".git")
		if at, twice := folders[strings.ToLower(folder)]; twice {
			c.refuse(r.URL.Pos(), fmt.Sprintf("Both would be cloned to transform/pipelines/%s. The other stands at %s.", shownFor(r.URL, folder), at),
				"two repositories have the same name")
			continue
		}
		folders[strings.ToLower(folder)] = r.URL.Pos()
	}
}

// shownFor returns text, which was made from v, as it may stand in a message.
func shownFor(v config.Value[string], text string) string {
	if v.Secret() {
		return flowehr.Masked
	}
	return text
}

func (c *compiler) lake(l *config.Datalake) {
	if l == nil {
		return
	}
	if len(l.Zones) == 0 {
		c.refuse(l.At, "Name at least one: zones: [bronze, silver, gold]", "the lake has no zones")
	}
	for _, z := range l.Zones {
		if !z.OK() {
			continue
		}
		zone := strings.ToLower(z.Get())
		if c.env.Lake.HasZone(zone) {
			c.refuse(z.Pos(), "Zones are written in lower case everywhere, so names that differ in case only are the same.", "the lake has the zone %q twice", z)
			continue
		}
		c.env.Lake.Zones = append(c.env.Lake.Zones, zone)
		c.shownZones = append(c.shownZones, shownFor(z, zone))
	}
}

func (c *compiler) libraries(l *config.Libraries) {
	if l == nil {
		return
	}
	out := &c.env.Spark.Libraries
	for _, p := range l.PyPI {
		out.PyPI = append(out.PyPI, flowehr.PyPILibrary{Package: p.Package.Get(), Repo: p.Repo.Get()})
		if strings.HasPrefix(p.Package.Get(), "-") {
			c.refuse(p.Package.Pos(), "Write the name of a package, for example scipy==1.14.0.", "a package cannot start with -")
		}
	}
	for _, m := range l.Maven {
		out.Maven = append(out.Maven, flowehr.MavenLibrary{
			Coordinates: m.Coordinates.Get(), Repo: m.Repo.Get(), Exclusions: texts(m.Exclusions),
		})
	}
	out.Jar = texts(l.Jar)
}

func (c *compiler) cluster(k *config.Cluster) {
	out := &c.env.Spark.Cluster
	out.RuntimeEngine, out.DataSecurityMode = "STANDARD", "SINGLE_USER"
	if k == nil {
		return
	}
	if n := k.NodeType; n != nil {
		out.NodeType = flowehr.NodeType{
			MinMemoryGB: n.MinMemoryGB.Get(), MinCores: n.MinCores.Get(), LocalDiskMinSize: n.LocalDiskMinSize.Get(), Category: n.Category.Get(),
		}
	}
	out.AutoterminationMinutes = k.Autotermination.Get()
	if m := out.AutoterminationMinutes; k.Autotermination.OK() && m > 0 && m < 10 {
		c.refuse(k.Autotermination.Pos(), "Databricks accepts 10 to 10000 minutes, or 0 for never.", "autotermination_minutes is too short")
	}
	out.RuntimeEngine = k.RuntimeEngine.Or("STANDARD")
	out.DataSecurityMode = k.SecurityMode.Or("SINGLE_USER")
	out.Workers = k.Workers.Get()
	out.InitScripts = texts(k.InitScripts)
	a := k.Autoscale
	if a == nil {
		return
	}
	out.Autoscale = &flowehr.Autoscale{Min: a.Min.Get(), Max: a.Max.Get()}
	if a.Min.OK() && a.Max.OK() && a.Min.Get() > a.Max.Get() {
		c.refuse(a.Min.Pos(), "Swap the two numbers.", "autoscale has min_workers above max_workers")
	}
	if k.Workers.OK() && k.Workers.Get() != 0 {
		c.warn(k.Workers.Pos(), "autoscale is set and wins. Remove one of the two.", "num_of_workers is not used")
	}
}

// unityCatalog fills the governed catalogue and checks what it stands on.
func (c *compiler) unityCatalog(t *config.Transform) {
	u := t.UnityCatalog
	if u == nil {
		return
	}
	out := &flowehr.UnityCatalog{
		CatalogName: u.CatalogName.Get(), CatalogPrefix: u.CatalogPrefix.Get(),
		SchemaName: u.SchemaName.Get(), SchemaPrefix: u.SchemaPrefix.Get(),
		CatalogAdminGroup:              u.CatalogAdminGroup.Or("unity_catalog_admins"),
		CatalogAdminPrivileges:         orAll(texts(u.CatalogAdminPrivileges)),
		ExternalStorageAdminGroup:      u.StorageAdminGroup.Or("unity_catalog_external_storage_admins"),
		ExternalStorageAdminPrivileges: orAll(texts(u.StorageAdminPrivileges)),
	}
	c.env.Spark.UnityCatalog = out
	c.either(u.At, "unity_catalog", "catalog_name", u.CatalogName, "catalog_name_prefix", u.CatalogPrefix)
	c.either(u.At, "unity_catalog", "schema_name", u.SchemaName, "schema_name_prefix", u.SchemaPrefix)
	if t.Datalake == nil {
		c.refuse(u.At, "It catalogues zones of the lake. Add: datalake: {zones: [bronze, silver, gold]}", "unity_catalog needs a datalake")
	}
	if t.AccountID.Missing() {
		c.refuse(u.At, "The metastore belongs to the Databricks account. Its id stands in the account console: databricks_account_id: ...",
			"unity_catalog needs databricks_account_id")
	}
	if t.Metastore == nil {
		c.refuse(u.At, "Say which metastore holds it: one to create (metastore_name) or one that exists (metastore_id).",
			"unity_catalog needs unity_catalog_metastore")
	}
	for _, z := range u.Zones {
		if !z.OK() {
			continue
		}
		zone := strings.ToLower(z.Get())
		out.Zones = append(out.Zones, zone)
		if t.Datalake != nil && !c.env.Lake.HasZone(zone) {
			c.refuse(z.Pos(), "The lake has "+listed(c.shownZones)+".", "unity_catalog names the zone %q, which the lake does not have", z)
		}
	}
}

func (c *compiler) metastore(m *config.Metastore) {
	if m == nil {
		return
	}
	c.env.Spark.Metastore = &flowehr.Metastore{
		Name: m.Name.Get(), ID: m.ID.Get(), StorageAccount: m.StorageAccount.Get(), ResourceGroup: m.Group.Get(),
	}
	c.either(m.At, "unity_catalog_metastore", "metastore_name", m.Name, "metastore_id", m.ID)
}

// either checks two keys of which one must be there and the first wins.
func (c *compiler) either(at flowehr.Pos, group, first string, a config.Value[string], second string, b config.Value[string]) {
	switch {
	case a.Missing() && b.Missing():
		c.refuse(at, fmt.Sprintf("Write one of the two. With both, %s wins.", first), "%s needs %s or %s", group, first, second)
	case a.OK() && b.OK():
		c.warn(b.Pos(), fmt.Sprintf("%s is set and wins. Remove one of the two.", first), "%s is not used", second)
	}
}

func orAll(privileges []string) []string {
	if len(privileges) == 0 {
		return []string{"ALL_PRIVILEGES"}
	}
	return privileges
}

func textMap(m config.Map[config.Value[flowehr.Text]]) map[string]flowehr.Text {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]flowehr.Text, len(m))
	for key, value := range m.All() {
		out[key] = value.Get()
	}
	return out
}

// listed joins words for a sentence.
func listed(words []string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return words[0]
	}
	words = slices.Clone(words)
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
