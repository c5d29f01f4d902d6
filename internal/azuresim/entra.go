package azuresim

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const loginHost = "login.microsoftonline.com"

// Identity is somebody who may sign in to a new world.
type Identity struct {
	Name     string
	ClientID string   // of an application; empty for a person
	Secret   string   // the application's client secret; empty when it has only federated credentials
	Subject  string   // of a federated credential for GitHub's tokens, for example repo:OWNER/REPO:environment:NAME
	Graph    []string // app roles of Microsoft Graph
	Role     string   // on the subscription: Owner, Contributor, Reader; empty for none
}

// Deployer is an application that may do everything.
func Deployer() Identity {
	return Identity{Name: "sp-flowehr-ci-sim", ClientID: "c1000000-0000-4000-8000-000000000001", Secret: "simulated-client-secret", Role: "Owner",
		Graph: []string{"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Group.ReadWrite.All", "Directory.Read.All"}}
}

// GitHubIssuer is who signs the tokens of GitHub's workflows.
const GitHubIssuer = "https://token.actions.githubusercontent.com"

// entra is the token service of the directory, as documented at learn.microsoft.com/entra/identity-platform.
type entra struct {
	w      *world
	tenant string
	skew   func() time.Duration // of the services' clock
}

// deviceCode is a sign-in that a person completes elsewhere.
type deviceCode struct {
	ClientID string    `json:"clientId"`
	Scope    string    `json:"scope"`
	Expires  time.Time `json:"expires"`
}

func (e *entra) serve(c *call) answer {
	parts := c.segments()
	if len(parts) < 2 {
		return fail(http.StatusNotFound, "NotFound", "There is nothing at %s.", c.Path)
	}
	rest := strings.Join(parts[1:], "/")
	if rest == "discovery/instance" {
		return e.instance(c)
	}
	if tenant := parts[0]; tenant != e.tenant && tenant != "organizations" && tenant != "common" {
		return e.refuse(http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant)
	}
	switch c.Method + " " + rest {
	case "GET v2.0/.well-known/openid-configuration", "GET .well-known/openid-configuration":
		return e.configuration(c, parts[0])
	case "POST oauth2/v2.0/token":
		return e.token(c)
	case "POST oauth2/v2.0/devicecode":
		return e.device(c)
	}
	return fail(http.StatusNotFound, "NotFound", "There is nothing at %s.", c.Path)
}

func (e *entra) instance(c *call) answer {
	return ok(map[string]any{
		"tenant_discovery_endpoint": c.base() + "/" + e.tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{"preferred_network": loginHost, "preferred_cache": loginHost,
			"aliases": []string{loginHost}}},
	})
}

func (e *entra) configuration(c *call, tenant string) answer {
	at := c.base() + "/" + tenant
	return ok(map[string]any{
		"issuer":                        c.base() + "/" + e.tenant + "/v2.0",
		"token_endpoint":                at + "/oauth2/v2.0/token",
		"authorization_endpoint":        at + "/oauth2/v2.0/authorize",
		"device_authorization_endpoint": at + "/oauth2/v2.0/devicecode",
		"jwks_uri":                      at + "/discovery/v2.0/keys",
		"response_types_supported":      []string{"code", "id_token", "token"},
		"subject_types_supported":       []string{"pairwise"},
	})
}

// refuse answers with an error of the token service. The number is the AADSTS code, on which clients decide.
func (e *entra) refuse(status int, kind string, number int, format string, args ...any) answer {
	return reply(status, map[string]any{
		"error":             kind,
		"error_description": fmt.Sprintf("AADSTS%d: ", number) + fmt.Sprintf(format, args...),
		"error_codes":       []int{number},
		"timestamp":         e.w.now().Format("2006-01-02 15:04:05Z"),
		"trace_id":          uuidOf(e.w.seed, "trace", strconv.FormatUint(e.w.Serial, 10)),
		"correlation_id":    uuidOf(e.w.seed, "correlation", strconv.FormatUint(e.w.Serial, 10)),
	})
}

func (e *entra) token(c *call) answer {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return e.refuse(http.StatusBadRequest, "invalid_request", 9002012, "The request body is not a form.")
	}
	if audienceOf(form.Get("scope")) == "" && form.Get("grant_type") != "refresh_token" {
		return e.refuse(http.StatusBadRequest, "invalid_scope", 90014, "The required field 'scope' is missing from the credential.")
	}
	switch form.Get("grant_type") {
	case "client_credentials":
		return e.clientCredentials(form)
	case "urn:ietf:params:oauth:grant-type:device_code", "device_code":
		return e.redeemDevice(form)
	case "refresh_token":
		return e.refresh(form)
	}
	return e.refuse(http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", form.Get("grant_type"))
}

func (e *entra) clientCredentials(form url.Values) answer {
	id := form.Get("client_id")
	app := e.w.Directory.application(id)
	if app == nil {
		return e.refuse(http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory '%s'.", id, e.tenant)
	}
	if assertion := form.Get("client_assertion"); assertion != "" {
		if refused := e.checkAssertion(app, id, assertion); refused != nil {
			return *refused
		}
	} else if refused := e.checkSecret(app, id, form.Get("client_secret")); refused != nil {
		return *refused
	}
	return ok(map[string]any{"token_type": "Bearer", "expires_in": lifeTold, "ext_expires_in": lifeTold,
		"access_token": e.access(app, audienceOf(form.Get("scope")), false)})
}

func (e *entra) checkSecret(app *principal, id, given string) *answer {
	now := e.w.now()
	for _, s := range e.w.Directory.secretsOf(app) {
		if s.Value != given {
			continue
		}
		if s.Expires.IsZero() || now.Before(s.Expires) {
			return nil
		}
		a := e.refuse(http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app.", id)
		return &a
	}
	a := e.refuse(http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", id)
	return &a
}

// checkAssertion holds an assertion to the federated credentials of an application: issuer, subject and audience must be
// the same, letter by letter (learn.microsoft.com/entra/workload-id/workload-identity-federation).
func (e *entra) checkAssertion(app *principal, id, assertion string) *answer {
	refuse := func(number int, format string, args ...any) *answer {
		a := e.refuse(http.StatusUnauthorized, "invalid_client", number, format, args...)
		return &a
	}
	said, good := e.w.verify(assertion)
	if !good {
		return refuse(700027, "Client assertion failed signature validation.")
	}
	if now := e.w.now().Add(e.skew()); now.Add(5*time.Minute).Unix() < said.NotBefore || now.Add(-5*time.Minute).Unix() >= said.Expires {
		return refuse(700024, "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s.",
			stamp(now), stamp(time.Unix(said.NotBefore, 0)), stamp(time.Unix(said.Expires, 0)))
	}
	missing := 700211
	for _, t := range e.w.Directory.trustsOf(app) {
		if t.Issuer != said.Issuer {
			continue
		}
		missing = max(missing, 700213)
		if t.Subject != said.Subject {
			continue
		}
		missing = 700212
		for _, a := range t.Audiences {
			if a == said.Audience {
				return nil
			}
		}
		break
	}
	switch missing {
	case 700212:
		return refuse(missing, "No matching federated identity record found for presented assertion audience '%s'.", said.Audience)
	case 700213:
		return refuse(missing, "No matching federated identity record found for presented assertion subject '%s'.", said.Subject)
	}
	return refuse(missing, "No matching federated identity record found for presented assertion issuer '%s'.", said.Issuer)
}

// lifeTold is how many seconds clients are told that a token lasts.
const lifeTold = 3599

// access makes an access token.
func (e *entra) access(p *principal, audience string, user bool) string {
	now := e.w.now()
	c := claims{Issuer: "https://sts.windows.net/" + e.tenant + "/", Subject: p.ID, Audience: audience, NotBefore: unix(now), IssuedAt: unix(now),
		Expires: unix(now.Add(time.Hour)), ObjectID: p.ID, Tenant: e.tenant, AppID: p.AppID, Kind: "app", Name: p.Name, Version: "1.0"}
	if user {
		c.Kind, c.UPN, c.Scope, c.AppID = "user", p.Name, "user_impersonation", azureCLI
	}
	if audience == "https://"+graphHost {
		c.Roles = e.w.Directory.graphRoles(p)
	}
	return e.w.sign(c)
}

// azureCLI is the public client that people sign in with.
const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

func (e *entra) device(c *call) answer {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return e.refuse(http.StatusBadRequest, "invalid_request", 9002012, "The request body is not a form.")
	}
	code := e.w.newID()
	if e.w.Devices == nil {
		e.w.Devices = map[string]deviceCode{}
	}
	e.w.Devices[code] = deviceCode{ClientID: form.Get("client_id"), Scope: form.Get("scope"), Expires: e.w.now().Add(15 * time.Minute)}
	return ok(map[string]any{"device_code": code, "user_code": strings.ToUpper(hexOf(e.w.seed, 9, "device", code)), "verification_uri": "https://microsoft.com/devicelogin",
		"expires_in": 900, "interval": 1, "message": "SIMULATION: nothing has to be entered anywhere; the simulated person signs in."})
}

func (e *entra) redeemDevice(form url.Values) answer {
	code, found := e.w.Devices[form.Get("device_code")]
	if !found || e.w.now().After(code.Expires) {
		return e.refuse(http.StatusBadRequest, "expired_token", 70020, "The provided value for the input parameter 'device_code' is not valid. The device code has expired.")
	}
	p := e.w.Directory.person()
	if p == nil {
		return e.refuse(http.StatusBadRequest, "authorization_declined", 65004, "User declined to consent to access the app.")
	}
	delete(e.w.Devices, form.Get("device_code"))
	return e.personal(p, code.ClientID, audienceOf(form.Get("scope")))
}

func (e *entra) refresh(form url.Values) answer {
	said, good := e.w.verify(form.Get("refresh_token"))
	p := e.w.Directory.principal(said.ObjectID)
	if !good || p == nil || said.Audience != "refresh" {
		return e.refuse(http.StatusBadRequest, "invalid_grant", 700082, "The refresh token has expired due to inactivity.")
	}
	return e.personal(p, form.Get("client_id"), audienceOf(form.Get("scope")))
}

// personal answers with the tokens of a person.
func (e *entra) personal(p *principal, client, audience string) answer {
	now := e.w.now()
	id := claims{Issuer: "https://" + loginHost + "/" + e.tenant + "/v2.0", Subject: p.ID, Audience: client, NotBefore: unix(now), IssuedAt: unix(now), Expires: unix(now.Add(time.Hour)),
		ObjectID: p.ID, Tenant: e.tenant, Name: p.Name, Username: p.Name, Version: "2.0"}
	refresh := claims{Subject: p.ID, ObjectID: p.ID, Audience: "refresh", Expires: unix(now.AddDate(0, 3, 0))}
	info := base64.RawURLEncoding.EncodeToString(mustJSON(map[string]string{"uid": p.ID, "utid": e.tenant}))
	return ok(map[string]any{"token_type": "Bearer", "expires_in": lifeTold, "ext_expires_in": lifeTold, "scope": audience + "/.default", "access_token": e.access(p, audience, true),
		"refresh_token": e.w.sign(refresh), "id_token": e.w.sign(id), "client_info": info})
}

// workflowToken answers the address that a GitHub workflow asks for its identity token:
// https://token.actions.githubusercontent.com/simulated?subject=…&audience=….
func (e *entra) workflowToken(c *call) answer {
	subject, audience := c.Query.Get("subject"), c.Query.Get("audience")
	if c.Path != "/simulated" || subject == "" {
		return fail(http.StatusNotFound, "NotFound", "There is nothing at %s.", c.Path)
	}
	if !strings.HasPrefix(c.Header.Get("Authorization"), "Bearer ") {
		return fail(http.StatusUnauthorized, "Unauthorized", "The request token is missing.")
	}
	if audience == "" {
		audience = "api://AzureADTokenExchange"
	}
	now := e.w.now()
	return ok(map[string]any{"count": 1, "value": e.w.sign(claims{Issuer: GitHubIssuer, Subject: subject, Audience: audience,
		NotBefore: unix(now.Add(-10 * time.Minute)), IssuedAt: unix(now), Expires: unix(now.Add(5 * time.Minute))})})
}
