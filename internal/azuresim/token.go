package azuresim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// claims are what tokens of the simulation say. Their names are those of Microsoft's access tokens
// (learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ObjectID  string   `json:"oid,omitempty"`
	Tenant    string   `json:"tid,omitempty"`
	AppID     string   `json:"appid,omitempty"`
	Kind      string   `json:"idtyp,omitempty"` // app or user
	Name      string   `json:"name,omitempty"`
	UPN       string   `json:"upn,omitempty"`
	Username  string   `json:"preferred_username,omitempty"`
	Scope     string   `json:"scp,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Version   string   `json:"ver,omitempty"`
}

// sign writes claims in the form of a JSON Web Token (RFC 7519). Nobody outside checks the signature, so a keyed hash does.
func (w *world) sign(c claims) string {
	head := `{"alg":"HS256","typ":"JWT","kid":"simulation"}`
	body := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString(mustJSON(c))
	return body + "." + base64.RawURLEncoding.EncodeToString(w.mac(body))
}

func (w *world) mac(text string) []byte {
	h := hmac.New(sha256.New, []byte(w.Key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// verify reads a token that sign made.
func (w *world) verify(token string) (claims, bool) {
	var c claims
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return c, false
	}
	mac, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil || !hmac.Equal(mac, w.mac(token[:i])) {
		return c, false
	}
	_, payload, _ := strings.Cut(token[:i], ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	return c, err == nil && json.Unmarshal(data, &c) == nil
}

// admit checks the bearer token of a call for one of the audiences; none means that no token is needed. Tokens lapse only where
// [Conditions] say so.
func (s *Sim) admit(c *call, audiences []string) *answer {
	if len(audiences) == 0 {
		return nil
	}
	token, bearer := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		return s.challenge(audiences[0], "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	said, good := s.w.verify(token)
	if !good {
		return s.challenge(audiences[0], "InvalidAuthenticationToken", "The access token is invalid.")
	}
	if life := s.manager.conditions.life(); s.manager.conditions.Lapse && s.w.now().Unix() >= said.IssuedAt+int64(life/time.Second) {
		return s.challenge(audiences[0], "ExpiredAuthenticationToken", "The access token expiry UTC time '"+stamp(time.Unix(said.IssuedAt, 0).Add(life))+
			"' is earlier than current UTC time '"+stamp(s.w.now())+"'.")
	}
	for _, a := range audiences {
		if said.Audience == a {
			c.Caller = caller{ObjectID: said.ObjectID, AppID: said.AppID, Tenant: said.Tenant, Name: said.Name, User: said.Kind == "user",
				Roles: said.Roles, Audience: said.Audience}
			return nil
		}
	}
	return s.challenge(audiences[0], "InvalidAuthenticationTokenAudience",
		"The access token has been obtained for wrong audience or resource '"+said.Audience+"'. It should exactly match with one of the allowed audiences '"+strings.Join(audiences, "','")+"'.")
}

// life is for how long tokens are good.
func (c Conditions) life() time.Duration {
	if c.TokenLife == 0 {
		return time.Hour
	}
	return c.TokenLife
}

func (s *Sim) challenge(audience, code, message string) *answer {
	at := "https://" + loginHost + "/" + s.o.Tenant
	a := fail(http.StatusUnauthorized, code, "%s", message).
		with("WWW-Authenticate", `Bearer authorization="`+at+`", authorization_uri="`+at+`", resource="`+audience+`", error="invalid_token"`)
	return &a
}

// audienceOf turns a scope into what a token for it is for: https://vault.azure.net/.default becomes https://vault.azure.net.
func audienceOf(scope string) string {
	for _, s := range strings.Fields(scope) {
		if s == "openid" || s == "profile" || s == "offline_access" || s == "email" {
			continue
		}
		if i := strings.LastIndexByte(s, '/'); i > len("https://") || i > 0 && !strings.HasPrefix(s, "https:") {
			s = s[:i]
		}
		return strings.TrimRight(s, "/")
	}
	return ""
}

func unix(t time.Time) int64 { return t.Unix() }
