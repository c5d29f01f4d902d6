package azure

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math/big"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

func (t *Target) vaultKeepers() map[string]keeper {
	m := t.secretMinder(accessLimit)
	return map[string]keeper{azure.KindVaultSecret: keep(m), azure.KindRegistryToken: keep(tokenMinder{m})}
}

func (t *Target) secretMinder(patience time.Duration) secretMinder {
	c := t.o.Client
	v := vaults{c: c, patience: patience}
	return secretMinder{vaults: v, secrets: secrets{v}, graph: graph{c}, registry: registry{c}, now: t.o.Now}
}

// Tags of a secret in the vault. They say what its value was made from, so that the next run knows whether it still works.
const (
	tagApplication = "flowehr-application" // object id of the application that a password belongs to
	tagKey         = "flowehr-key"         // id of the password in the application
	tagFormer      = "flowehr-former"      // id of the password before it, which works until it is retired
	tagToken       = "flowehr-token"       // resource id of the registry token
	tagSlot        = "flowehr-slot"        // password1 or password2 of the token
	tagMade        = "flowehr-made"        // when the registry made it
)

// secretMinder looks after secrets in a vault. What is made (a password of an application, a random value, a password of
// a registry token) is made once and made again only when it no longer works; what comes from elsewhere is compared with
// what stands and written when it differs. No value or digest of one leaves the vault: Outputs hold the address.
type secretMinder struct {
	vaults   vaults
	secrets  secrets
	graph    graph
	registry registry
	now      flowehr.Clock
}

func secretRef(s azure.VaultSecretSpec) azure.VaultRef {
	return azure.VaultRef{Vault: s.Vault, Name: s.Name}
}

func secretMade(ref azure.VaultRef) made {
	uri := "https://" + ref.Vault + ".vault.azure.net/secrets/" + ref.Name
	return made{id: uri, outputs: map[string]string{azure.OutURI: uri}}
}

func (m secretMinder) ensure(ctx context.Context, s azure.VaultSecretSpec, t task) (made, error) {
	m.vaults, m.secrets = m.vaults.noting(t), m.secrets.noting(t)
	ref := secretRef(s)
	have, found, err := m.vaults.revive(ctx, ref)
	if err != nil {
		return made{}, err
	}
	switch src := s.Source; {
	case src.Password != nil:
		err = m.ensurePassword(ctx, ref, *src.Password, have, found)
	case src.Registry != nil:
		err = m.ensureRegistry(ctx, ref, *src.Registry, have, found)
	case src.Generated != nil:
		if !found {
			err = m.generate(ctx, ref, *src.Generated)
		}
	default:
		err = m.copy(ctx, ref, src, have, found, t)
	}
	return secretMade(ref), err
}

// copy writes the value of a source that is not made here.
func (m secretMinder) copy(ctx context.Context, ref azure.VaultRef, src azure.Source, have vaultSecret, found bool, t task) error {
	value, err := m.secrets.value(ctx, src, t.in)
	if err != nil || found && have.Value == value.Reveal() {
		return err
	}
	return m.vaults.set(ctx, ref, vaultSecret{Value: value.Reveal()})
}

func (m secretMinder) generate(ctx context.Context, ref azure.VaultRef, g azure.Generated) error {
	value, err := password(g.Length)
	if err != nil {
		return err
	}
	return m.vaults.set(ctx, ref, vaultSecret{Value: value})
}

// Characters of a generated password: each kind is present, none needs quoting in a connection string.
var passwordAlphabets = [...]string{"abcdefghijkmnopqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "-_.~"}

// shortestPassword holds one character of each kind with much to spare.
const shortestPassword = 16

// password draws a password of a length with at least one character of every kind.
func password(length int) (string, error) {
	if length < shortestPassword {
		return "", fmt.Errorf("a generated password has at least %d characters, not %d", shortestPassword, length)
	}
	all := ""
	out := make([]byte, 0, length)
	for _, a := range passwordAlphabets {
		c, err := draw(len(a))
		if err != nil {
			return "", err
		}
		out, all = append(out, a[c]), all+a
	}
	for len(out) < length {
		c, err := draw(len(all))
		if err != nil {
			return "", err
		}
		out = append(out, all[c])
	}
	for i := len(out) - 1; i > 0; i-- {
		j, err := draw(i + 1)
		if err != nil {
			return "", err
		}
		out[i], out[j] = out[j], out[i]
	}
	return string(out), nil
}

func draw(n int) (int, error) {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0, err
	}
	return int(i.Int64()), nil
}

// read tells of a password that no longer works by giving it no days, and of a copied value that differs by leaving its
// source out. A source with secrets of the definition is not compared: reading has no business asking for them.
func (m secretMinder) read(ctx context.Context, s azure.VaultSecretSpec, _ string) (azure.VaultSecretSpec, made, error) {
	ref := secretRef(s)
	m = m.impatient()
	have, found, err := m.vaults.get(ctx, ref)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("secret %s of vault %s", ref.Name, ref.Vault))
	}
	switch src := s.Source; {
	case src.Password != nil:
		works, err := m.passwordWorks(ctx, *src.Password, have)
		if err != nil {
			return s, made{}, err
		}
		if !works {
			spent := *src.Password
			spent.Days = 0
			s.Source = azure.Source{Password: &spent}
		}
	case src.Registry != nil:
		works, err := m.registryWorks(ctx, *src.Registry, have)
		if err != nil {
			return s, made{}, err
		}
		if !works {
			spent := *src.Registry
			spent.Days = 0
			s.Source = azure.Source{Registry: &spent}
		}
	case src.Value != nil && have.Value != src.Value.String():
		s.Source = azure.Source{}
	}
	return s, secretMade(ref), nil
}

func (m secretMinder) impatient() secretMinder {
	m.vaults.patience, m.secrets.vaults.patience = 0, 0
	return m
}

// remove takes the secret out of the vault and, when it is a password of an application that outlives it, the password out
// of the application.
func (m secretMinder) remove(ctx context.Context, s azure.VaultSecretSpec, _ string) error {
	if s.Source.Password != nil {
		if err := m.dropPasswords(ctx, text(s.Source.Password.Application), secretRef(s), nil); err != nil {
			return err
		}
	}
	return m.impatient().vaults.erase(ctx, secretRef(s))
}

// tags returns those of have that do not say what a value was made from, and add.
func tags(have vaultSecret, add map[string]string) map[string]string {
	out := maps.Clone(have.Tags)
	if out == nil {
		out = map[string]string{}
	}
	for _, own := range []string{tagApplication, tagKey, tagFormer, tagToken, tagSlot, tagMade} {
		delete(out, own)
	}
	maps.Copy(out, add)
	return out
}

// soon is when a password is renewed before it expires, at most: a deployment that runs now is not to leave one that ends
// before somebody looks again.
const soon = 14 * 24 * time.Hour

// expired reports whether a password that was to live for days has ended or is about to.
func (m secretMinder) expired(end time.Time, days int) bool {
	lead := min(soon, time.Duration(days)*24*time.Hour/10)
	return !end.IsZero() && m.now().Add(lead).After(end)
}
