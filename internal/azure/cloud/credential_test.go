package cloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

type word string

func (w word) Reveal() string { return string(w) }

// directory plays Entra and GitHub's token service.
type directory struct {
	t        *testing.T
	token    string
	asked    []string // grant types
	lastForm map[string][]string
}

func (d *directory) Do(r *http.Request) (*http.Response, error) {
	reply := func(v any) (*http.Response, error) {
		b, _ := json.Marshal(v)
		return answer(r, exchange{status: 200, header: map[string]string{"Content-Type": "application/json"}, body: string(b)}), nil
	}
	switch {
	case r.URL.Host == "token.actions.example":
		if r.Header.Get("Authorization") != "Bearer job" || r.URL.Query().Get("audience") != federationAudience {
			d.t.Errorf("asked GitHub with %s and %s", r.Header.Get("Authorization"), r.URL.RawQuery)
		}
		return reply(map[string]string{"value": "jobs-own-token"})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		tenant := "https://login.microsoftonline.com/" + strings.Split(r.URL.Path, "/")[1]
		return reply(map[string]string{"token_endpoint": tenant + "/oauth2/v2.0/token", "authorization_endpoint": tenant + "/oauth2/v2.0/authorize",
			"device_authorization_endpoint": tenant + "/oauth2/v2.0/devicecode", "issuer": tenant + "/v2.0"})
	case strings.HasSuffix(r.URL.Path, "/devicecode"):
		return reply(map[string]any{"user_code": "ABCD", "device_code": "dc", "verification_uri": "https://microsoft.com/devicelogin", "expires_in": 900, "interval": 0, "message": "go there"})
	case strings.HasSuffix(r.URL.Path, "/token"):
		if err := r.ParseForm(); err != nil {
			d.t.Error(err)
		}
		d.lastForm = r.Form
		d.asked = append(d.asked, r.Form.Get("grant_type"))
		id := jwt(d.t, map[string]any{"oid": "o1", "tid": "t1", "preferred_username": "ann@example.org", "aud": publicClient, "iss": "https://login.microsoftonline.com/t1/v2.0", "sub": "s"})
		return reply(map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": d.token, "refresh_token": "refresh-me", "id_token": id,
			"scope": r.Form.Get("scope"), "client_info": "eyJ1aWQiOiJvMSIsInV0aWQiOiJ0MSJ9"})
	}
	d.t.Errorf("asked for %s", r.URL)
	return answer(r, exchange{status: 404, body: "{}"}), nil
}

func TestCredential(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     CredentialOptions
		by    string
		check func(t *testing.T, d *directory)
	}{
		{"federation wins", CredentialOptions{ClientID: "c1", Secret: word("s"), OIDCURL: "https://token.actions.example/x?y=1", OIDCToken: word("job"), ManagedIdentity: true}, ByFederation, func(t *testing.T, d *directory) {
			if got := d.lastForm["client_assertion"]; len(got) != 1 || got[0] != "jobs-own-token" {
				t.Errorf("signed in with %v", got)
			}
		}},
		{"client secret", CredentialOptions{ClientID: "c1", Secret: word("s"), CLI: true}, ByClientSecret, func(t *testing.T, d *directory) {
			if got := d.lastForm["client_secret"]; len(got) != 1 || got[0] != "s" {
				t.Errorf("signed in with %v", got)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &directory{t: t, token: jwt(t, map[string]any{"oid": "o1", "tid": "t1", "appid": "c1", "idtyp": "app", "app_displayname": "sp-ci"})}
			c.o.Tenant, c.o.Transport, c.o.Offline = "t1", d, true
			_, who, err := Credential(t.Context(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Who{By: c.by, Tenant: "t1", ObjectID: "o1", ClientID: "c1", Name: "sp-ci", Kind: "ServicePrincipal"}); who != want {
				t.Errorf("got %+v, want %+v", who, want)
			}
			c.check(t, d)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		_, _, err := Credential(t.Context(), CredentialOptions{Tenant: "t1", ClientID: "c1", Cache: NewSignInCache(filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "k"))})
		if !errors.Is(err, ErrNobody) {
			t.Errorf("got %v, want ErrNobody", err)
		}
	})
}

func TestSignIn(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "data", "signin"), filepath.Join(dir, "keys", "signin.key")
	d := &directory{t: t, token: jwt(t, map[string]any{"oid": "o1", "tid": "t1", "upn": "ann@example.org", "idtyp": "user"})}
	o := CredentialOptions{Tenant: "t1", Cache: NewSignInCache(path, key), Transport: d, Offline: true}
	shown := ""
	who, err := SignIn(t.Context(), o, func(c DeviceCode) { shown = c.Code + " at " + c.Address })
	if err != nil {
		t.Fatal(err)
	}
	if shown != "ABCD at https://microsoft.com/devicelogin" || who.Name != "ann@example.org" || who.Kind != "User" {
		t.Errorf("showed %q, signed in %+v", shown, who)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"refresh-me", d.token, "ann@example.org"} {
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("the file holds %q in the clear", secret)
		}
	}
	for _, file := range []string{path, key} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", file, info.Mode(), err)
		}
	}

	// Another process, and another audience: no question is asked again.
	o.Cache = NewSignInCache(path, key)
	cred, who, err := Credential(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if who.By != ByPerson || who.Name != "ann@example.org" {
		t.Errorf("got %+v", who)
	}
	if _, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{Graph().Scope}}); err != nil {
		t.Fatal(err)
	}
	if last := d.asked[len(d.asked)-1]; last != "refresh_token" {
		t.Errorf("asked for a token of another service by %s", last)
	}

	if err := o.Cache.SignOut(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Credential(t.Context(), o); !errors.Is(err, ErrNobody) {
		t.Errorf("after signing out: got %v, want ErrNobody", err)
	}
	if err := o.Cache.SignOut(); err != nil {
		t.Errorf("signing out twice: %v", err)
	}
}

// A file that was changed, or a key that was lost, means that nobody is signed in: the person does it again.
func TestSignInCacheDamaged(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(path, key string) error
	}{
		{"changed", func(path, _ string) error {
			return os.WriteFile(path, []byte(`{"flowehrSignIn":1,"nonce":"AAAAAAAAAAAAAAAA","data":"AAAA"}`), 0o600)
		}},
		{"not JSON", func(path, _ string) error { return os.WriteFile(path, []byte("x"), 0o600) }},
		{"no key", func(_, key string) error { return os.Remove(key) }},
		{"another key", func(_, key string) error { return os.WriteFile(key, bytes.Repeat([]byte{1}, 32), 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, key := filepath.Join(t.TempDir(), "s"), filepath.Join(t.TempDir(), "k")
			s := NewSignInCache(path, key)
			if err := s.save(kept{Tenant: "t1", Tokens: json.RawMessage(`{}`)}); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(path, key); err != nil {
				t.Fatal(err)
			}
			if _, err := s.credential(t.Context(), CredentialOptions{Cache: s}); !errors.Is(err, ErrNobody) {
				t.Errorf("got %v, want ErrNobody", err)
			}
		})
	}
}
