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

// mainProject is the project of everything that names none.
const mainProject = "main"

var projectID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,30}$`)

// projects fills the projects; without any there is one.
func (c *compiler) projects() {
	if len(c.def.Projects) == 0 {
		c.env.Projects = []flowehr.Project{{ID: mainProject, Name: mainProject}}
		return
	}
	for _, p := range c.def.Projects {
		if !projectID.MatchString(p.Key) {
			c.refuse(p.Pos, "It starts with a lower-case letter and has at most 31 lower-case letters, digits, - and _.",
				"%q cannot be the id of a project", p.Key)
		}
		c.env.Projects = append(c.env.Projects, flowehr.Project{
			ID: p.Key, Name: p.Value.Name.Or(p.Key), Owners: texts(p.Value.Owners), Tier: p.Value.Tier.Get(),
			ApprovedUntil: p.Value.ApprovedUntil.Get(), Budget: p.Value.Budget.Get(), Pos: p.Pos,
		})
	}
}

// apps fills the apps that the environment names.
func (c *compiler) apps() {
	if c.env.Target == flowehr.TargetAzure && c.def.Serve == nil && len(c.def.Apps) > 0 {
		c.refuse(c.def.Apps[0].Pos, "Apps in Azure are released from GitHub repositories. Add serve with github_owner, github_app_id and github_app_installation_id to config.yaml.",
			"apps in Azure need serve")
	}
	for _, a := range c.def.Apps {
		c.app(a.Key, a.Value)
	}
}

func (c *compiler) app(id string, a config.App) {
	out := flowehr.App{
		ID: id, Name: a.Name.Get(), Description: a.Description.Or("Created by FlowEHR"), Project: a.Project.Or(mainProject),
		TestingSlot: a.TestingSlot.Or(false), Owners: stringMap(a.Owners), Contributors: stringMap(a.Contributors),
		Branch: flowehr.Branch{Approvals: 1}, Env: textMap(a.Env), Pos: a.At,
	}
	if len(a.Owners) == 0 {
		c.refuse(a.At, "At least one owner must be able to approve a release: owners: {github-name: person@trust.nhs.uk}", "app %q has no owners", id)
	}
	if known := c.projectIDs(); !slices.Contains(known, out.Project) && !a.Project.Bad() {
		pos := a.Project.Pos()
		if a.Project.Missing() {
			pos = a.At
		}
		c.refuse(pos, fmt.Sprintf("The definition has %s. Add it to projects in config.yaml or choose one of those.", listed(known)),
			"app %q belongs to a project that does not exist: %s", id, shownProject(a.Project))
	}
	if b := a.Branch; b != nil {
		out.Branch = flowehr.Branch{Approvals: b.Approvals.Or(1), DismissStale: b.DismissStale.Or(false)}
	}
	if r := a.ManagedRepo; r != nil {
		out.ManagedRepo = &flowehr.ManagedRepo{Private: r.Private.Get(), Template: r.Template.Get()}
	}
	c.appEnv(id, a.Env)
	out.Auth = c.auth(id, a.Auth)
	c.env.Apps = append(c.env.Apps, out)
}

var (
	envName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	portNumber   = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	platformVars = []string{
		"AAD_IDENTIFIER_URI", "APPLICATIONINSIGHTS_CONNECTION_STRING", "CLIENT_ID", "COSMOSDB_ENDPOINT", "COSMOS_STATE_STORE_ENDPOINT",
		"ENVIRONMENT", "FEATURE_STORE_CONNECTION_STRING", "KEY_VAULT_URI", "SUBSCRIPTION_ID", "TENANT_ID",
	}
)

// appEnv checks the settings of an app.
func (c *compiler) appEnv(id string, env config.Map[config.Value[flowehr.Text]]) {
	for _, e := range env {
		switch {
		case !envName.MatchString(e.Key):
			c.refuse(e.Pos, "Use letters, digits and _, and start with a letter.", "%q in the env of app %q cannot be the name of a setting", e.Key, id)
		case slices.Contains(platformVars, e.Key):
			c.warn(e.Pos, "The platform sets it for every app and wins. Choose another name.", "the setting %s of app %q is not used", e.Key, id)
		case e.Key == "WEBSITES_PORT" && e.Value.OK() && !e.Value.Secret() && !portNumber.MatchString(string(e.Value.Get())):
			c.refuse(e.Value.Pos(), "It is the port that the app listens on, for example \"8000\".", "WEBSITES_PORT of app %q is not a port", id)
		}
	}
}

func (c *compiler) auth(id string, a *config.Auth) *flowehr.Auth {
	if a == nil {
		return nil
	}
	out := &flowehr.Auth{EasyAuth: a.EasyAuth.Or(false)}
	first := map[string]flowehr.Pos{}
	for _, r := range a.Roles {
		out.Roles = append(out.Roles, flowehr.AppRole{Value: r.Value.Get(), DisplayName: r.DisplayName.Get(), Description: r.Description.Get()})
		if !r.Value.OK() {
			continue
		}
		if at, twice := first[r.Value.Get()]; twice {
			c.refuse(r.Value.Pos(), fmt.Sprintf("The first stands at %s. Remove one or choose another value.", at), "app %q has the role %q twice", id, r.Value)
			continue
		}
		first[r.Value.Get()] = r.Value.Pos()
	}
	if s := a.SPA; s != nil {
		out.SPA = true
		out.AdditionalRedirects = texts(s.Redirects)
		for _, v := range s.Redirects {
			u := v.Get()
			if v.OK() && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://localhost") {
				c.refuse(v.Pos(), "A sign-in may only return to https:// addresses, or to http://localhost while developing.",
					"%q of app %q cannot be a redirect address", v, id)
			}
		}
	}
	return out
}

func (c *compiler) projectIDs() []string {
	var ids []string
	for _, p := range c.env.Projects {
		ids = append(ids, p.ID)
	}
	return ids
}

func shownProject(v config.Value[string]) string {
	if v.Missing() {
		return mainProject + ", which holds when none is named"
	}
	return fmt.Sprint(v)
}

func stringMap(m config.Map[config.Value[string]]) map[string]string {
	out := maps.Collect(func(yield func(string, string) bool) {
		for k, v := range m.All() {
			if v.OK() && !yield(k, v.Get()) {
				return
			}
		}
	})
	if len(out) == 0 {
		return nil
	}
	return out
}
