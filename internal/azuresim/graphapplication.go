package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// applicationProperties are what a request may set on an application
// (learn.microsoft.com/graph/api/resources/application).
var applicationProperties = []string{"displayName", "description", "uniqueName", "signInAudience", "identifierUris", "appRoles", "api", "web", "spa", "publicClient",
	"requiredResourceAccess", "tags", "notes", "isFallbackPublicClient", "groupMembershipClaims", "optionalClaims", "info", "keyCredentials",
	"serviceManagementReference", "owners@odata.bind"}

// application finds an application by id or by an alternate key.
func (g *graph) application(p graphPath) *application {
	if p.alternate == "" {
		return g.w.Directory.Applications[p.key]
	}
	for _, a := range g.w.Directory.Applications {
		if p.alternate == "uniqueName" && a.Unique == p.key || p.alternate == "appId" && a.AppID == p.key {
			return a
		}
	}
	return nil
}

func (g *graph) applications(c *call, p graphPath) answer {
	if p.key == "" {
		return g.applicationList(c)
	}
	a := g.application(p)
	if c.Method == http.MethodPatch && len(p.rest) == 0 {
		return g.patchApplication(c, p, a)
	}
	if a == nil || !g.seen(a.Visible) {
		return g.absent(p.key)
	}
	if len(p.rest) == 0 {
		switch c.Method {
		case http.MethodGet:
			return ok(selected(c, g.describeApplication(a)))
		case http.MethodDelete:
			g.deleteApplication(a)
			return reply(http.StatusNoContent, nil)
		}
		return g.unknown(c)
	}
	switch {
	case p.rest[0] == "owners":
		return g.references(c, p.rest[1:], "owners", &a.Owners)
	case p.rest[0] == "addPassword" && c.Method == http.MethodPost:
		return g.addPassword(c, a)
	case p.rest[0] == "removePassword" && c.Method == http.MethodPost:
		return g.removePassword(c, a)
	case strings.HasPrefix(p.rest[0], "federatedIdentityCredentials"):
		return g.federated(c, a, p.rest)
	}
	return g.unknown(c)
}

func (g *graph) applicationList(c *call) answer {
	switch c.Method {
	case http.MethodGet:
		var out []object
		for _, id := range slices.Sorted(maps.Keys(g.w.Directory.Applications)) {
			if a := g.w.Directory.Applications[id]; g.seen(a.Visible) {
				out = append(out, g.describeApplication(a))
			}
		}
		return g.page(c, out)
	case http.MethodPost:
		body, refused := g.body(c, applicationProperties)
		if refused != nil {
			return *refused
		}
		unique, _ := body["uniqueName"].(string)
		return g.makeApplication(c, unique, body)
	}
	return g.unknown(c)
}

func (g *graph) patchApplication(c *call, p graphPath, a *application) answer {
	body, refused := g.body(c, applicationProperties)
	if refused != nil {
		return *refused
	}
	switch {
	case a == nil && p.alternate == "uniqueName" && prefersCreation(c):
		return g.makeApplication(c, p.key, body)
	case a == nil || p.alternate == "" && !g.seen(a.Visible):
		return g.absent(p.key)
	}
	if name, told := body["uniqueName"]; told && name != a.Unique {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Property 'uniqueName' is read-only and cannot be set.")
	}
	if refused := g.checkApplication(a, body); refused != nil {
		return *refused
	}
	merge(a.Body, body)
	return reply(http.StatusNoContent, nil)
}

// prefersCreation reports whether a missing object is to be made
// (learn.microsoft.com/graph/api/application-upsert).
func prefersCreation(c *call) bool {
	for _, v := range c.Header.Values("Prefer") {
		if strings.Contains(v, "create-if-missing") {
			return true
		}
	}
	return false
}

// merge puts told properties over those that stand; complex properties are merged member by member.
func merge(into, told object) {
	for name, v := range told {
		if name == "uniqueName" || strings.HasSuffix(name, "@odata.bind") {
			continue
		}
		inner, complex := v.(object)
		have, merges := into[name].(object)
		if complex && merges {
			merge(have, inner)
			continue
		}
		into[name] = v
	}
}

func (g *graph) makeApplication(c *call, unique string, body object) answer {
	if name, _ := body["displayName"].(string); name == "" {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "A value is required for property 'displayName' of resource 'Application'.")
	}
	if unique != "" && g.application(graphPath{alternate: "uniqueName", key: unique}) != nil {
		return conflicting("uniqueName")
	}
	a := &application{ID: g.w.newID(), AppID: g.w.newID(), Unique: unique, Made: g.w.now(), Body: object{
		"description": nil, "signInAudience": "AzureADMyOrg", "identifierUris": []any{}, "appRoles": []any{}, "requiredResourceAccess": []any{}, "tags": []any{},
		"api": object{"acceptMappedClaims": nil, "knownClientApplications": []any{}, "requestedAccessTokenVersion": nil, "oauth2PermissionScopes": []any{}, "preAuthorizedApplications": []any{}},
		"web": object{"homePageUrl": nil, "logoutUrl": nil, "redirectUris": []any{}, "implicitGrantSettings": object{"enableAccessTokenIssuance": false, "enableIdTokenIssuance": false}},
		"spa": object{"redirectUris": []any{}}, "publicClient": object{"redirectUris": []any{}},
	}}
	a.Visible = g.w.now().Add(lag(a.ID))
	if refused := g.checkApplication(a, body); refused != nil {
		return *refused
	}
	merge(a.Body, body)
	if c.Caller.ObjectID != "" && g.w.Directory.principal(c.Caller.ObjectID) != nil {
		a.Owners = []string{c.Caller.ObjectID}
	}
	if g.w.Directory.Applications == nil {
		g.w.Directory.Applications = map[string]*application{}
	}
	g.w.Directory.Applications[a.ID] = a
	return reply(http.StatusCreated, g.describeApplication(a))
}

func conflicting(property string) answer {
	return graphFail(http.StatusBadRequest, "Request_MultipleObjectsWithSameKeyValue", "Another object with the same value for property %s already exists.", property)
}

// checkApplication holds a change to the rules of the directory.
func (g *graph) checkApplication(a *application, body object) *answer {
	refuse := func(code, format string, args ...any) *answer {
		r := graphFail(http.StatusBadRequest, code, format, args...)
		return &r
	}
	for _, uri := range jsonTexts(body["identifierUris"]) {
		for _, other := range g.w.Directory.Applications {
			if other.ID != a.ID && slices.Contains(jsonTexts(other.Body["identifierUris"]), uri) {
				r := conflicting("identifierUris")
				return &r
			}
		}
	}
	if roles, told := body["appRoles"]; told {
		if id := enabledChange(a.Body["appRoles"], roles); id != "" {
			return refuse("CannotDeleteOrUpdateEnabledEntitlement", "Property appRoles value with id %s cannot be deleted or updated unless it is disabled first.", id)
		}
	}
	if api, told := body["api"].(object); told {
		have, _ := a.Body["api"].(object)
		if scopes, told := api["oauth2PermissionScopes"]; told {
			if id := enabledChange(have["oauth2PermissionScopes"], scopes); id != "" {
				return refuse("CannotDeleteOrUpdateEnabledEntitlement", "Property api.oauth2PermissionScopes value with id %s cannot be deleted or updated unless it is disabled first.", id)
			}
		}
	}
	for _, platform := range []string{"web", "spa"} {
		told, _ := body[platform].(object)
		for _, uri := range jsonTexts(told["redirectUris"]) {
			if !strings.HasPrefix(uri, "https://") && !strings.HasPrefix(uri, "http://localhost") {
				return refuse("Request_BadRequest", "Invalid value '%s' specified for property '%s.redirectUris': it must start with HTTPS or be http://localhost.", uri, platform)
			}
		}
	}
	return nil
}

// enabledChange returns the id of a role or scope that is enabled and would be dropped or get another value.
func enabledChange(have, want any) string {
	list, _ := have.([]any)
	next, _ := want.([]any)
	for _, e := range list {
		old, _ := e.(object)
		if enabled, _ := old["isEnabled"].(bool); !enabled {
			continue
		}
		id, _ := old["id"].(string)
		i := slices.IndexFunc(next, func(n any) bool {
			o, _ := n.(object)
			return sameText(o["id"], id)
		})
		if i < 0 || next[i].(object)["value"] != old["value"] {
			return id
		}
	}
	return ""
}

func (g *graph) describeApplication(a *application) object {
	out := object{"id": a.ID, "appId": a.AppID, "createdDateTime": stamp(a.Made), "deletedDateTime": nil, "publisherDomain": "simulated.example"}
	maps.Copy(out, a.Body)
	out["uniqueName"] = nil
	if a.Unique != "" {
		out["uniqueName"] = a.Unique
	}
	passwords := []any{}
	for _, p := range a.Passwords {
		passwords = append(passwords, p.describe())
	}
	out["passwordCredentials"] = passwords
	return out
}

func (p *password) describe() object {
	return object{"keyId": p.KeyID, "displayName": p.Name, "hint": p.Value[:3], "startDateTime": stamp(p.From), "endDateTime": stamp(p.Expires),
		"customKeyIdentifier": nil, "secretText": nil}
}

// deleteApplication puts an application and its service principal aside.
func (g *graph) deleteApplication(a *application) {
	if p := g.w.Directory.application(a.AppID); p != nil {
		g.bury(p.ID, &gone{Principal: p})
	}
	g.bury(a.ID, &gone{Application: a})
}

// graphYear is how long a password lasts when nobody says: two years.
const graphYear = 365 * 24 * time.Hour

// addPassword makes a client secret, which is shown this once
// (learn.microsoft.com/graph/api/application-addpassword).
func (g *graph) addPassword(c *call, a *application) answer {
	var body struct {
		Credential struct {
			Name string    `json:"displayName"`
			From time.Time `json:"startDateTime"`
			End  time.Time `json:"endDateTime"`
		} `json:"passwordCredential"`
	}
	if len(c.Body) > 0 {
		if err := c.decode(&body); err != nil {
			return graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload.")
		}
	}
	from, end := body.Credential.From, body.Credential.End
	if from.IsZero() {
		from = g.w.now()
	}
	if end.IsZero() {
		end = from.Add(2 * graphYear)
	}
	switch {
	case !end.After(from):
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Invalid value specified for property 'endDateTime' of resource 'PasswordCredential'.")
	case len(a.Passwords) >= 50:
		return graphFail(http.StatusBadRequest, "Directory_QuotaExceeded", "The maximum number of passwords is reached.")
	}
	p := &password{KeyID: g.w.newID(), Name: body.Credential.Name, From: from.UTC(),
		secret: secret{Value: "sim8Q~" + hexOf(g.w.seed, 32, "password", a.ID, g.w.newID()), Expires: end.UTC()}}
	a.Passwords = append(a.Passwords, p)
	out := p.describe()
	out["secretText"] = p.Value
	return ok(out)
}

func (g *graph) removePassword(c *call, a *application) answer {
	var body struct {
		KeyID string `json:"keyId"`
	}
	if err := c.decode(&body); err != nil {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload.")
	}
	i := slices.IndexFunc(a.Passwords, func(p *password) bool { return p.KeyID == body.KeyID })
	if i < 0 {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "No password credential found with keyId.")
	}
	a.Passwords = slices.Delete(a.Passwords, i, i+1)
	return reply(http.StatusNoContent, nil)
}

// federated answers about federated credentials (learn.microsoft.com/graph/api/resources/federatedidentitycredential).
func (g *graph) federated(c *call, a *application, rest []string) answer {
	key := ""
	if inner, found := strings.CutPrefix(rest[0], "federatedIdentityCredentials("); found {
		name, value, _, good := parseGraphKey("(" + inner)
		if !good || name != "name" {
			return g.unknown(c)
		}
		key = value
	} else if len(rest) > 1 {
		key = rest[1]
	}
	i := slices.IndexFunc(a.Federated, func(f *federation) bool { return f.ID == key || f.Name == key })
	switch {
	case key == "" && c.Method == http.MethodGet:
		var out []object
		for _, f := range a.Federated {
			out = append(out, f.describe())
		}
		return g.page(c, out)
	case key == "" && c.Method == http.MethodPost:
		return g.federate(c, a, "", nil)
	case c.Method == http.MethodPatch && i < 0 && prefersCreation(c):
		return g.federate(c, a, key, nil)
	case i < 0:
		return g.absent(key)
	case c.Method == http.MethodGet:
		return ok(selected(c, a.Federated[i].describe()))
	case c.Method == http.MethodPatch:
		return g.federate(c, a, key, a.Federated[i])
	case c.Method == http.MethodDelete:
		a.Federated = slices.Delete(a.Federated, i, i+1)
		return reply(http.StatusNoContent, nil)
	}
	return g.unknown(c)
}

func (f *federation) describe() object {
	return object{"id": f.ID, "name": f.Name, "issuer": f.Issuer, "subject": f.Subject, "audiences": f.Audiences, "description": f.Description}
}

// federate makes a federated credential or changes one.
func (g *graph) federate(c *call, a *application, name string, f *federation) answer {
	var body struct {
		Name, Issuer, Subject, Description *string
		Audiences                          []string
	}
	if err := c.decode(&body); err != nil {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload.")
	}
	next := federation{Name: name}
	if f != nil {
		next = *f
	}
	for told, into := range map[*string]*string{body.Issuer: &next.Issuer, body.Subject: &next.Subject, body.Description: &next.Description} {
		if told != nil {
			*into = *told
		}
	}
	if body.Name != nil && next.Name == "" {
		next.Name = *body.Name
	}
	if body.Audiences != nil {
		next.Audiences = body.Audiences
	}
	switch {
	case next.Name == "" || next.Issuer == "" || next.Subject == "" || len(next.Audiences) != 1:
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "A federated credential needs a name, an issuer, a subject and one audience.")
	case body.Name != nil && *body.Name != next.Name:
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Property 'name' cannot be changed.")
	case f == nil && len(a.Federated) >= 20:
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "A maximum of 20 federated identity credentials can be added to an application.")
	}
	for _, other := range a.Federated {
		if other != f && (other.Name == next.Name || other.Issuer == next.Issuer && other.Subject == next.Subject) {
			return graphFail(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue",
				"FederatedIdentityCredential with name %s or with the same issuer and subject already exists.", next.Name)
		}
	}
	if f != nil {
		*f = next
		return reply(http.StatusNoContent, nil)
	}
	next.ID = g.w.newID()
	a.Federated = append(a.Federated, &next)
	return reply(http.StatusCreated, next.describe())
}
