package compile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/flowehr/flowehr"
)

// limit is what a kind of resource allows in its name.
type limit struct {
	what    string
	shape   *regexp.Regexp
	inWords string
}

// Limits of Azure for the names that this product derives.
var (
	storageAccount = limit{"storage account", regexp.MustCompile(`^[a-z0-9]{3,24}$`), "3 to 24 lower-case letters and digits"}
	keyVault       = limit{"key vault", regexp.MustCompile(`^[a-z][a-z0-9-]{1,22}[a-z0-9]$`), "3 to 24 letters, digits and -"}
	registry       = limit{"container registry", regexp.MustCompile(`^[a-z0-9]{5,50}$`), "5 to 50 letters and digits"}
	documentStore  = limit{"document store", regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,42}[a-z0-9]$`), "3 to 44 lower-case letters, digits and -"}
	modelRegistry  = limit{"model registry", regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$`), "3 to 33 letters, digits, - and _"}
	dataFactory    = limit{"data factory", regexp.MustCompile(`^[a-z0-9](?:-?[a-z0-9]){2,62}$`), "3 to 63 letters, digits and single -"}
	sqlServer      = limit{"SQL server", regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`), "1 to 63 lower-case letters, digits and -"}
	logWorkspace   = limit{"log workspace", regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,61}[a-z0-9]$`), "4 to 63 letters, digits and -"}
	webApp         = limit{"web app", regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$`), "2 to 60 letters, digits and -"}
)

// names checks that the names derived from the suffix fit what the target allows, and that no two apps get the same.
func (c *compiler) names() {
	c.appNames()
	// With a wrong id every derived name is wrong as well, which helps nobody.
	if c.env.Target != flowehr.TargetAzure || c.doc.SuffixOverride == "" && (!c.def.ID.OK() || !c.def.Environment.OK()) {
		return
	}
	suffix, short := c.env.Suffix, c.env.Short
	c.fits(storageAccount, "strg"+short)
	c.fits(keyVault, "kv-"+short)
	c.fits(keyVault, "kv-"+short+"-srv")
	c.fits(registry, "acrserve"+short)
	c.fits(documentStore, "cosmos-serve-"+short)
	c.fits(dataFactory, "adf-"+suffix)
	c.fits(sqlServer, "sql-server-features-"+suffix)
	c.fits(logWorkspace, "log-"+suffix)
	c.fits(modelRegistry, "aml-registry-"+suffix)
	if len(c.env.Lake.Zones) > 0 {
		c.fits(storageAccount, "adls"+strings.ReplaceAll(suffix, "-", ""))
	}
	for _, a := range c.env.Apps {
		c.fitsAt(a.Pos, webApp, webAppName(a.ID, suffix), fmt.Sprintf("Choose a shorter id for app %q without a _ or - at its end", a.ID))
	}
}

// appNames refuses ids that become one name: they differ in case, or in - and _, only.
func (c *compiler) appNames() {
	first := map[string]flowehr.App{}
	for _, a := range c.env.Apps {
		key := strings.ToLower(strings.ReplaceAll(a.ID, "_", "-"))
		if other, twice := first[key]; twice {
			c.refuse(a.Pos, fmt.Sprintf("In addresses capitals are small and _ becomes -, so both would be %q. The other stands at %s.", key, other.Pos),
				"apps %q and %q get the same name", other.ID, a.ID)
			continue
		}
		first[key] = a
	}
}

func webAppName(id, suffix string) string {
	return strings.ToLower("webapp-" + strings.ReplaceAll(id, "_", "-") + "-" + suffix)
}

func (c *compiler) fits(l limit, name string) {
	c.fitsAt(c.def.ID.Pos(), l, name, "Choose a shorter flowehr_id or environment, without _ and without - at either end")
}

func (c *compiler) fitsAt(pos flowehr.Pos, l limit, name, advice string) {
	if l.shape.MatchString(name) {
		return
	}
	if c.def.ID.Secret() || c.def.Environment.Secret() {
		name = flowehr.Masked
	}
	c.refuse(pos, fmt.Sprintf("Azure allows %s, and this has %d. %s.", l.inWords, len([]rune(name)), advice),
		"the name of the %s would be %s, which Azure refuses", l.what, name)
}
