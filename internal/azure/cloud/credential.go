package cloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// CredentialOptions say who there is to sign in as. This package reads no environment: a command passes the values.
type CredentialOptions struct {
	Tenant   string
	ClientID string
	Secret   interface{ Reveal() string } // of ClientID; nil or empty when there is none

	// OIDCURL and OIDCToken are where GitHub Actions gives a job a token of its own
	// (ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN).
	OIDCURL   string
	OIDCToken interface{ Reveal() string }

	ManagedIdentity bool         // sign in as the machine's identity; ClientID chooses among several
	Cache           *SignInCache // where a person's sign-in is kept; nil means that nobody signed in here
	CLI             bool         // az is installed and may be asked
	Transport       policy.Transporter
	Offline         bool // the directory is not the public one: instance discovery is left out
}

// Kinds of sign-in, in the order in which they are tried.
const (
	ByFederation      = "federation"
	ByClientSecret    = "client secret"
	ByManagedIdentity = "managed identity"
	ByPerson          = "sign-in"
	ByCLI             = "az"
)

// Who is signed in.
type Who struct {
	By       string
	Tenant   string
	ObjectID string
	ClientID string
	Name     string // of a person, else of the application
	Kind     string // User or ServicePrincipal
}

// ErrNobody says that there is nobody to sign in as.
var ErrNobody = errors.New("nobody is signed in to Azure")

// Credential returns a credential and who it is. It takes the first of these that there is:
//
//  1. an application with a token of the GitHub Actions job, which the application must trust (federation)
//  2. an application with a client secret
//  3. the identity of the machine, when asked for
//  4. a person who has signed in ([SignIn])
//  5. whoever az is signed in as
//
// A token is asked for to know who it is: the error of that is a *[SignInError].
func Credential(ctx context.Context, o CredentialOptions) (azcore.TokenCredential, Who, error) {
	cred, by, err := o.choose(ctx)
	if err != nil {
		return nil, Who{}, &SignInError{Service: ARM().Name, Err: err}
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{ARM().Scope}, TenantID: o.Tenant})
	if err != nil {
		return nil, Who{}, &SignInError{Service: ARM().Name, Err: err}
	}
	who := whoIs(token.Token)
	who.By = by
	return cred, who, nil
}

func (o CredentialOptions) choose(ctx context.Context) (azcore.TokenCredential, string, error) {
	client := policy.ClientOptions{Transport: o.Transport}
	switch {
	case o.ClientID != "" && o.OIDCURL != "" && reveal(o.OIDCToken) != "":
		cred, err := azidentity.NewClientAssertionCredential(o.Tenant, o.ClientID, o.jobToken, &azidentity.ClientAssertionCredentialOptions{
			ClientOptions: client, DisableInstanceDiscovery: o.Offline})
		return cred, ByFederation, err
	case o.ClientID != "" && reveal(o.Secret) != "":
		cred, err := azidentity.NewClientSecretCredential(o.Tenant, o.ClientID, reveal(o.Secret), &azidentity.ClientSecretCredentialOptions{
			ClientOptions: client, DisableInstanceDiscovery: o.Offline})
		return cred, ByClientSecret, err
	case o.ManagedIdentity:
		mi := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: client}
		if o.ClientID != "" {
			mi.ID = azidentity.ClientID(o.ClientID)
		}
		cred, err := azidentity.NewManagedIdentityCredential(mi)
		return cred, ByManagedIdentity, err
	}
	if o.Cache != nil {
		cred, err := o.Cache.credential(ctx, o)
		if err == nil || !errors.Is(err, ErrNobody) {
			return cred, ByPerson, err
		}
	}
	if o.CLI {
		cred, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: o.Tenant})
		return cred, ByCLI, err
	}
	return nil, "", ErrNobody
}

func reveal(s interface{ Reveal() string }) string {
	if s == nil {
		return ""
	}
	return s.Reveal()
}

// federationAudience is what Entra expects in a token of another issuer.
const federationAudience = "api://AzureADTokenExchange"

// jobToken asks GitHub for the token of the job (docs.github.com/actions/security-for-github-actions, "About security hardening
// with OpenID Connect").
func (o CredentialOptions) jobToken(ctx context.Context) (string, error) {
	u, err := url.Parse(o.OIDCURL)
	if err != nil {
		return "", fmt.Errorf("address of GitHub's tokens: %w", err)
	}
	q := u.Query()
	q.Set("audience", federationAudience)
	u.RawQuery = q.Encode()
	s := Service{Name: "GitHub Actions", Base: u.Scheme + "://" + u.Host}
	c := New(Options{Transport: o.Transport})
	var out struct{ Value string }
	res, err := c.Do(ctx, s, Request{Method: http.MethodGet, Path: u.RequestURI(),
		Header: map[string]string{"Authorization": "Bearer " + reveal(o.OIDCToken)}})
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(res.Body, &out); err != nil || out.Value == "" {
		return "", errors.New("GitHub Actions answered without a token: the job needs the permission id-token: write")
	}
	return out.Value, nil
}

// claims are what is read of an access token. It is not verified: it was received from the directory over TLS, and what it
// says is only shown and passed back to Azure.
type claims struct {
	Tenant   string   `json:"tid"`
	ObjectID string   `json:"oid"`
	AppID    string   `json:"appid"`
	AppIDv2  string   `json:"azp"`
	Name     string   `json:"name"`
	UPN      string   `json:"upn"`
	Unique   string   `json:"unique_name"`
	Prefer   string   `json:"preferred_username"`
	Display  string   `json:"app_displayname"`
	Type     string   `json:"idtyp"`
	Scopes   string   `json:"scp"`
	Roles    []string `json:"roles"`
}

func claimsOf(token string) claims {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return c
	}
	_ = json.Unmarshal(b, &c) // what cannot be read stays unknown
	return c
}

func whoIs(token string) Who {
	c := claimsOf(token)
	w := Who{Tenant: c.Tenant, ObjectID: c.ObjectID, ClientID: first(c.AppID, c.AppIDv2), Kind: "ServicePrincipal"}
	if c.Type == "user" || c.Type == "" && c.Scopes != "" {
		w.Kind, w.Name = "User", first(c.UPN, c.Prefer, c.Unique, c.Name)
		return w
	}
	w.Name = first(c.Display, c.Name, w.ClientID)
	return w
}

func first(list ...string) string {
	if i := slices.IndexFunc(list, func(s string) bool { return s != "" }); i >= 0 {
		return list[i]
	}
	return ""
}

// WhoAmI returns who the client is signed in as, by the claims of its token for Azure Resource Manager.
func (c *Client) WhoAmI(ctx context.Context) (Who, error) {
	if c.o.Credential == nil {
		return Who{}, &SignInError{Service: ARM().Name, Err: ErrNobody}
	}
	token, err := c.o.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{ARM().Scope}, TenantID: c.o.Tenant})
	if err != nil {
		return Who{}, &SignInError{Service: ARM().Name, Err: err}
	}
	return whoIs(token.Token), nil
}

// AppRoles returns the app roles that the token for a service carries, such as Group.ReadWrite.All of Microsoft Graph, and the
// delegated permissions of a person.
func (c *Client) AppRoles(ctx context.Context, s Service) ([]string, error) {
	token, err := c.o.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.Scope}, TenantID: c.o.Tenant})
	if err != nil {
		return nil, &SignInError{Service: s.Name, Err: err}
	}
	claims := claimsOf(token.Token)
	return append(claims.Roles, strings.Fields(claims.Scopes)...), nil
}
