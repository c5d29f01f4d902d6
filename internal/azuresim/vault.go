package azuresim

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// vaults is the data plane of Key Vault: secrets with their versions, soft deletion and purging
// (learn.microsoft.com/rest/api/keyvault/secrets). Keys and certificates are not simulated.
type vaults struct {
	w *world
	m *manager
}

// vaultState is what one vault keeps. It lives as long as the vault, its soft deletion included.
type vaultState struct {
	Secrets map[string]*vaultSecret `json:"secrets"` // by lower-case name
}

// vaultSecret is a secret with all its versions.
type vaultSecret struct {
	Name     string          `json:"name"`
	Versions []*vaultVersion `json:"versions"`          // oldest first
	Deleted  time.Time       `json:"deleted,omitzero"`  // softly
	Settled  time.Time       `json:"settled,omitzero"`  // when deleting or recovering is through
	Purge    time.Time       `json:"purge,omitzero"`    // when it goes by itself
	Protect  bool            `json:"protect,omitempty"` // from being purged before
}

type vaultVersion struct {
	ID      string            `json:"id"`
	Value   string            `json:"value"`
	Type    string            `json:"type,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Enabled bool              `json:"enabled"`
	From    int64             `json:"from,omitempty"`
	Expires int64             `json:"expires,omitempty"`
	Made    time.Time         `json:"made"`
	Changed time.Time         `json:"changed"`
}

const (
	roleVaultAdministrator = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
	roleSecretsOfficer     = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	roleSecretsUser        = "4633458b-17de-408a-b874-0445c86b69e6"
)

// vaultSettles is how long deleting, recovering and purging a secret goes on after it was answered.
const vaultSettles = 4 * time.Second

// secretName is what a vault takes as a name.
var secretName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

func newVaults(w *world, m *manager) *vaults {
	v := &vaults{w, m}
	m.watch(typeVault, func(what change, r *resource) {
		if what == changePurged {
			delete(w.Vaults, strings.ToLower(r.Name))
		}
	})
	w.on("secret-purge", func(subject string) {
		name, secret, _ := strings.Cut(subject, "/")
		if s := v.state(name).Secrets[secret]; s != nil && !s.Deleted.IsZero() && !s.Purge.After(w.now()) {
			delete(v.state(name).Secrets, secret)
		}
	})
	return v
}

func (v *vaults) state(name string) *vaultState {
	name = strings.ToLower(name)
	if v.w.Vaults == nil {
		v.w.Vaults = map[string]*vaultState{}
	}
	if v.w.Vaults[name] == nil {
		v.w.Vaults[name] = &vaultState{Secrets: map[string]*vaultSecret{}}
	}
	return v.w.Vaults[name]
}

// vaultFail is an error with the reason inside, as Key Vault tells it.
func vaultFail(status int, code, inner, format string, args ...any) answer {
	a := fail(status, code, format, args...)
	if inner != "" {
		e := object{"code": code, "message": refusal(code, format, args...).Message, "innererror": object{"code": inner}}
		a.Body = mustJSON(object{"error": e})
	}
	return a
}

func (v *vaults) serve(c *call) answer {
	name, _, _ := strings.Cut(c.Host, ".")
	r := v.m.named(typeVault, name)
	if r == nil {
		return drop() // the name does not resolve
	}
	if c.Query.Get("api-version") == "" {
		return vaultFail(http.StatusBadRequest, "BadParameter", "", "api-version is required.")
	}
	path := splitPath(c.Path)
	if len(path) == 0 {
		return v.unknown(c)
	}
	if refused := v.permit(c, r, path); refused != nil {
		return *refused
	}
	switch path[0] {
	case "secrets":
		return v.secrets(c, r, path[1:])
	case "deletedsecrets":
		return v.deleted(c, r, path[1:])
	}
	return v.unknown(c)
}

func (v *vaults) unknown(c *call) answer {
	return vaultFail(http.StatusNotFound, "NotFound", "", "The simulated vault has no %s %s: only secrets are simulated.", c.Method, c.Path)
}

// permit applies the firewall, then the roles (learn.microsoft.com/azure/key-vault/general/rbac-guide).
func (v *vaults) permit(c *call, r *resource, path []string) *answer {
	refuse := func(inner, format string, args ...any) *answer {
		a := vaultFail(http.StatusForbidden, "Forbidden", inner, format, args...)
		return &a
	}
	who := "Caller: appid=" + c.Caller.AppID + ";oid=" + c.Caller.ObjectID + ";iss=https://sts.windows.net/" + c.Caller.Tenant + "/"
	switch v.m.reach(r) {
	case reachable:
	case publicDisabled:
		return refuse("ForbiddenByConnection", "Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\n%s\r\nVault: %s", who, r.Name)
	case notInFirewall:
		return refuse("ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.\r\nClient address: %s\r\n%s\r\nVault: %s", publicAddress, who, r.Name)
	}
	if rbac, _ := objectAt(r.Want, "properties")["enableRbacAuthorization"].(bool); !rbac {
		return refuse("AccessDenied", "The simulation knows access by roles only, and vault %s has enableRbacAuthorization false.", r.Name)
	}
	roles := []string{roleVaultAdministrator, roleSecretsOfficer}
	action := "secrets/setSecret/action"
	switch {
	case c.Method == http.MethodGet && path[0] == "secrets":
		roles, action = append(roles, roleSecretsUser), "secrets/getSecret/action"
	case c.Method == http.MethodGet:
		action = "secrets/readMetadata/action"
	case c.Method == http.MethodDelete:
		action = "secrets/delete"
	}
	if v.m.dataRole(c.Caller.ObjectID, r.ID, roles...) {
		return nil
	}
	return refuse("ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n%s\r\nAction: 'Microsoft.KeyVault/vaults/%s'\r\nResource: '%s'\r\nAssignment: (not found)\r\nVault: %s", who, action, key(r.ID), r.Name)
}

func (v *vaults) secrets(c *call, r *resource, path []string) answer {
	st := v.state(r.Name)
	if len(path) == 0 {
		if c.Method != http.MethodGet {
			return v.unknown(c)
		}
		var out []object
		for _, name := range slices.Sorted(maps.Keys(st.Secrets)) {
			if s := st.Secrets[name]; s.Deleted.IsZero() {
				out = append(out, v.item(c, r, s, s.latest(), false))
			}
		}
		return v.page(c, out)
	}
	name := strings.ToLower(path[0])
	s := st.Secrets[name]
	switch {
	case !secretName.MatchString(path[0]):
		return vaultFail(http.StatusBadRequest, "BadParameter", "", "The request URI contains an invalid name: %s", path[0])
	case s != nil && s.Settled.After(v.w.now()) && s.Deleted.IsZero():
		return vaultFail(http.StatusConflict, "Conflict", "ObjectIsBeingRecovered", "Secret %s is currently being recovered and cannot be re-created; retry later.", path[0])
	case s != nil && s.Settled.After(v.w.now()) && c.Method == http.MethodPut:
		return vaultFail(http.StatusConflict, "Conflict", "ObjectIsBeingDeleted", "Secret %s is currently being deleted.", path[0])
	case s != nil && !s.Deleted.IsZero() && c.Method == http.MethodPut:
		return vaultFail(http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable",
			"Secret %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged.", path[0])
	case c.Method == http.MethodPut && len(path) == 1:
		return v.set(c, r, path[0])
	case s == nil || !s.Deleted.IsZero():
		return secretMissing(path[0])
	case c.Method == http.MethodDelete && len(path) == 1:
		return v.delete(c, r, s)
	case c.Method == http.MethodGet && len(path) == 2 && path[1] == "versions":
		var out []object
		for _, one := range s.Versions {
			out = append(out, v.item(c, r, s, one, true))
		}
		return v.page(c, out)
	}
	one := s.latest()
	if len(path) == 2 {
		i := slices.IndexFunc(s.Versions, func(x *vaultVersion) bool { return x.ID == path[1] })
		if i < 0 {
			return secretMissing(path[0] + "/" + path[1])
		}
		one = s.Versions[i]
	}
	switch c.Method {
	case http.MethodGet:
		if !one.Enabled {
			return vaultFail(http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
		}
		out := v.item(c, r, s, one, true)
		out["value"] = one.Value
		return ok(out)
	case http.MethodPatch:
		if refused := one.change(c, v.w.now()); refused != nil {
			return *refused
		}
		return ok(v.item(c, r, s, one, true))
	}
	return v.unknown(c)
}

func secretMissing(name string) answer {
	return vaultFail(http.StatusNotFound, "SecretNotFound", "",
		"A secret with (name/id) %s was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command.", name)
}

func (s *vaultSecret) latest() *vaultVersion { return s.Versions[len(s.Versions)-1] }

// vaultTold is what a request says about a secret.
type vaultTold struct {
	Value      *string           `json:"value"`
	Type       *string           `json:"contentType"`
	Tags       map[string]string `json:"tags"`
	Attributes struct {
		Enabled *bool  `json:"enabled"`
		From    *int64 `json:"nbf"`
		Expires *int64 `json:"exp"`
	} `json:"attributes"`
}

func (o *vaultVersion) change(c *call, now time.Time) *answer {
	var told vaultTold
	if err := c.decode(&told); err != nil {
		a := vaultFail(http.StatusBadRequest, "BadParameter", "", "%v", err)
		return &a
	}
	if told.Type != nil {
		o.Type = *told.Type
	}
	if told.Tags != nil {
		o.Tags = told.Tags
	}
	if told.Attributes.Enabled != nil {
		o.Enabled = *told.Attributes.Enabled
	}
	if told.Attributes.From != nil {
		o.From = *told.Attributes.From
	}
	if told.Attributes.Expires != nil {
		o.Expires = *told.Attributes.Expires
	}
	o.Changed = now
	return nil
}

// secretLimit is how long a value may be.
const secretLimit = 25 * 1024

func (v *vaults) set(c *call, r *resource, name string) answer {
	var told vaultTold
	if err := c.decode(&told); err != nil || told.Value == nil {
		return vaultFail(http.StatusBadRequest, "BadParameter", "", "The request body must have a value.")
	}
	if len(*told.Value) > secretLimit {
		return vaultFail(http.StatusBadRequest, "BadParameter", "", "The value of a secret may be %d bytes long at most.", secretLimit)
	}
	now := v.w.now()
	one := &vaultVersion{ID: strings.ReplaceAll(v.w.newID(), "-", ""), Value: *told.Value, Enabled: true, Made: now}
	if refused := one.change(c, now); refused != nil {
		return *refused
	}
	st := v.state(r.Name)
	s := st.Secrets[strings.ToLower(name)]
	if s == nil {
		s = &vaultSecret{Name: name}
		st.Secrets[strings.ToLower(name)] = s
	}
	s.Versions = append(s.Versions, one)
	out := v.item(c, r, s, one, true)
	out["value"] = one.Value
	return ok(out)
}

// item is a secret without its value.
func (v *vaults) item(c *call, r *resource, s *vaultSecret, one *vaultVersion, version bool) object {
	id := c.base() + "/secrets/" + s.Name
	if version {
		id += "/" + one.ID
	}
	attributes := object{"enabled": one.Enabled, "created": one.Made.Unix(), "updated": one.Changed.Unix(), "recoverableDays": v.days(r)}
	attributes["recoveryLevel"] = "CustomizedRecoverable+Purgeable"
	if v.protected(r) {
		attributes["recoveryLevel"] = "CustomizedRecoverable"
	}
	if one.From != 0 {
		attributes["nbf"] = one.From
	}
	if one.Expires != 0 {
		attributes["exp"] = one.Expires
	}
	out := object{"id": id, "attributes": attributes, "tags": one.Tags}
	if one.Type != "" {
		out["contentType"] = one.Type
	}
	if !s.Deleted.IsZero() {
		out["recoveryId"] = c.base() + "/deletedsecrets/" + s.Name
		out["deletedDate"], out["scheduledPurgeDate"] = s.Deleted.Unix(), s.Purge.Unix()
	}
	return out
}

func (v *vaults) days(r *resource) int {
	if days, ok := objectAt(r.Want, "properties")["softDeleteRetentionInDays"].(float64); ok {
		return int(days)
	}
	return 90
}

func (v *vaults) protected(r *resource) bool {
	on, _ := objectAt(r.Want, "properties")["enablePurgeProtection"].(bool)
	return on
}

func (v *vaults) delete(c *call, r *resource, s *vaultSecret) answer {
	now := v.w.now()
	s.Deleted, s.Settled, s.Purge = now, now.Add(vaultSettles), now.AddDate(0, 0, v.days(r))
	v.w.after(s.Purge.Sub(now), "secret-purge", strings.ToLower(r.Name+"/"+s.Name))
	return ok(v.item(c, r, s, s.latest(), true))
}

func (v *vaults) deleted(c *call, r *resource, path []string) answer {
	st := v.state(r.Name)
	if len(path) == 0 && c.Method == http.MethodGet {
		var out []object
		for _, name := range slices.Sorted(maps.Keys(st.Secrets)) {
			if s := st.Secrets[name]; !s.Deleted.IsZero() && !s.Settled.After(v.w.now()) {
				out = append(out, v.item(c, r, s, s.latest(), false))
			}
		}
		return v.page(c, out)
	}
	if len(path) == 0 {
		return v.unknown(c)
	}
	s := st.Secrets[strings.ToLower(path[0])]
	if s == nil || s.Deleted.IsZero() || s.Settled.After(v.w.now()) {
		return vaultFail(http.StatusNotFound, "SecretNotFound", "", "Deleted Secret not found: %s", path[0])
	}
	switch {
	case c.Method == http.MethodGet && len(path) == 1:
		return ok(v.item(c, r, s, s.latest(), true))
	case c.Method == http.MethodDelete && len(path) == 1:
		if v.protected(r) {
			return vaultFail(http.StatusForbidden, "Forbidden", "ForbiddenByPolicy", "Operation \"purge\" is not allowed because purge protection is enabled for this vault.")
		}
		delete(st.Secrets, strings.ToLower(path[0]))
		return reply(http.StatusNoContent, nil)
	case c.Method == http.MethodPost && len(path) == 2 && path[1] == "recover":
		s.Deleted, s.Purge, s.Settled = time.Time{}, time.Time{}, v.w.now().Add(vaultSettles)
		return ok(v.item(c, r, s, s.latest(), true))
	}
	return v.unknown(c)
}

// page answers with a list in pages of at most 25.
func (v *vaults) page(c *call, all []object) answer {
	size, from := 25, 0
	if n, err := strconv.Atoi(c.Query.Get("maxresults")); err == nil && n >= 1 && n <= 25 {
		size = n
	}
	if n, err := strconv.Atoi(c.Query.Get("$skiptoken")); err == nil && n > 0 && n <= len(all) {
		from = n
	}
	body := object{"value": append([]object{}, all[from:min(from+size, len(all))]...), "nextLink": nil}
	if from+size < len(all) {
		query := c.Query
		query.Set("$skiptoken", strconv.Itoa(from+size))
		body["nextLink"] = c.base() + c.Path + "?" + query.Encode()
	}
	return ok(body)
}
