package cloud

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

// publicClient is the application that people sign in to: that of Microsoft's own command line, which every directory knows
// and trusts for Azure Resource Manager and Microsoft Graph.
const publicClient = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// SignInCache keeps a person's sign-in in a file, encrypted with AES-256-GCM. The key lives in another file, so that a copy of
// the one (a backup, a synchronised folder) gives nothing away.
type SignInCache struct {
	path, keyPath string
	mu            sync.Mutex
}

// NewSignInCache returns the cache in a file, with its key in another. Nothing is made before somebody signs in.
func NewSignInCache(path, keyPath string) *SignInCache {
	return &SignInCache{path: path, keyPath: keyPath}
}

var _ cache.ExportReplace = (*SignInCache)(nil)

// sealed is what the file holds.
type sealed struct {
	Version int    `json:"flowehrSignIn"`
	Nonce   []byte `json:"nonce"`
	Data    []byte `json:"data"`
}

// kept is what is encrypted: the tokens, and whose they are.
type kept struct {
	Tenant string          `json:"tenant"`
	Tokens json.RawMessage `json:"tokens"`
}

// Replace implements cache.ExportReplace. A file that cannot be read counts as nobody's: the person signs in again.
func (s *SignInCache) Replace(_ context.Context, into cache.Unmarshaler, _ cache.ReplaceHints) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.load()
	if err != nil || len(k.Tokens) == 0 {
		return nil
	}
	return into.Unmarshal(k.Tokens)
}

// Export implements cache.ExportReplace.
func (s *SignInCache) Export(_ context.Context, from cache.Marshaler, _ cache.ExportHints) error {
	tokens, err := from.Marshal()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.load()
	if err != nil {
		k = kept{}
	}
	k.Tokens = tokens
	return s.save(k)
}

func (s *SignInCache) setTenant(tenant string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.load()
	if err != nil {
		return err
	}
	k.Tenant = tenant
	return s.save(k)
}

func (s *SignInCache) load() (kept, error) {
	b, err := os.ReadFile(s.path)
	if err != nil {
		return kept{}, err
	}
	var f sealed
	if err := json.Unmarshal(b, &f); err != nil || f.Version != 1 {
		return kept{}, fmt.Errorf("%s is no sign-in of this version", s.path)
	}
	gcm, err := s.cipher(false)
	if err != nil {
		return kept{}, err
	}
	if len(f.Nonce) != gcm.NonceSize() {
		return kept{}, fmt.Errorf("%s is damaged", s.path)
	}
	plain, err := gcm.Open(nil, f.Nonce, f.Data, nil)
	if err != nil {
		return kept{}, fmt.Errorf("%s does not belong to the key in %s", s.path, s.keyPath)
	}
	var k kept
	return k, json.Unmarshal(plain, &k)
}

func (s *SignInCache) save(k kept) error {
	plain, err := json.Marshal(k)
	if err != nil {
		return err
	}
	gcm, err := s.cipher(true)
	if err != nil {
		return err
	}
	f := sealed{Version: 1, Nonce: make([]byte, gcm.NonceSize())}
	rand.Read(f.Nonce)
	f.Data = gcm.Seal(nil, f.Nonce, plain, nil)
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return replaceFile(s.path, b)
}

// cipher reads the key. With create a missing one is made.
func (s *SignInCache) cipher(create bool) (cipher.AEAD, error) {
	key, err := os.ReadFile(s.keyPath)
	if errors.Is(err, fs.ErrNotExist) && create {
		key = make([]byte, 32)
		rand.Read(key)
		err = replaceFile(s.keyPath, key)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the sign-in: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of the sign-in: %w", err)
	}
	return cipher.NewGCM(block)
}

// replaceFile puts b in the place of a file at once. Only the owner may read it.
func replaceFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".signin-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// DeviceCode is what a person does to sign in.
type DeviceCode struct {
	Address string
	Code    string
	Message string // the directory's own words
	Expires time.Time
}

// SignIn signs a person in: show is given an address and a code to enter there, then the person is waited for. The sign-in is
// kept in o.Cache.
func SignIn(ctx context.Context, o CredentialOptions, show func(DeviceCode)) (Who, error) {
	if o.Cache == nil {
		return Who{}, errors.New("there is no place to keep a sign-in")
	}
	app, err := o.application()
	if err != nil {
		return Who{}, err
	}
	code, err := app.AcquireTokenByDeviceCode(ctx, []string{ARM().Scope}, public.WithTenantID(o.Tenant))
	if err != nil {
		return Who{}, &SignInError{Service: ARM().Name, Err: err}
	}
	show(DeviceCode{Address: code.Result.VerificationURL, Code: code.Result.UserCode, Message: code.Result.Message, Expires: code.Result.ExpiresOn})
	res, err := code.AuthenticationResult(ctx)
	if err != nil {
		return Who{}, &SignInError{Service: ARM().Name, Err: err}
	}
	who := whoIs(res.AccessToken)
	who.By = ByPerson
	if err := o.Cache.setTenant(who.Tenant); err != nil {
		return who, fmt.Errorf("keep the sign-in: %w", err)
	}
	return who, nil
}

// SignOut forgets a person's sign-in. It is no error when nobody was signed in.
func (s *SignInCache) SignOut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range []string{s.path, s.keyPath} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sign out: %w", err)
		}
	}
	return nil
}

func (o CredentialOptions) application() (public.Client, error) {
	tenant := first(o.Tenant, "organizations")
	options := []public.Option{public.WithAuthority("https://login.microsoftonline.com/" + tenant), public.WithCache(o.Cache),
		public.WithInstanceDiscovery(!o.Offline)}
	if o.Transport != nil {
		options = append(options, public.WithHTTPClient(httpClient{o.Transport}))
	}
	return public.New(publicClient, options...)
}

// httpClient is a transport as MSAL wants it.
type httpClient struct{ transport policy.Transporter }

func (h httpClient) Do(r *http.Request) (*http.Response, error) { return h.transport.Do(r) }
func (httpClient) CloseIdleConnections()                        {}

// credential returns the person whose sign-in is kept. The error is ErrNobody when there is none for the tenant.
func (s *SignInCache) credential(ctx context.Context, o CredentialOptions) (azcore.TokenCredential, error) {
	s.mu.Lock()
	k, err := s.load()
	s.mu.Unlock()
	if err != nil {
		return nil, ErrNobody
	}
	if o.Tenant == "" {
		o.Tenant = k.Tenant
	}
	app, err := o.application()
	if err != nil {
		return nil, err
	}
	accounts, err := app.Accounts(ctx)
	if err != nil || len(accounts) == 0 {
		return nil, ErrNobody
	}
	p := &person{app: app, account: accounts[0], tenant: o.Tenant}
	for _, a := range accounts {
		if a.Realm == o.Tenant {
			p.account = a
		}
	}
	return p, nil
}

// person is a credential of somebody who has signed in.
type person struct {
	app     public.Client
	account public.Account
	tenant  string
}

// GetToken takes a token from the cache, or a new one by the refresh token.
func (p *person) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	res, err := p.app.AcquireTokenSilent(ctx, o.Scopes, public.WithSilentAccount(p.account), public.WithTenantID(first(o.TenantID, p.tenant)),
		public.WithClaims(o.Claims))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: res.AccessToken, ExpiresOn: res.ExpiresOn}, nil
}

// errorCodes reads the numbers of an answer of the directory and leaves its body to be read again.
func errorCodes(res *http.Response) []int {
	b, err := runtime.Payload(res)
	if err != nil {
		return nil
	}
	var doc struct {
		Codes []int `json:"error_codes"`
	}
	if json.Unmarshal(b, &doc) != nil {
		return nil
	}
	return doc.Codes
}
