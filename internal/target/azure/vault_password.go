package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// passwordCredential is a client secret of an application. Its text is shown once, when it is made
// (learn.microsoft.com/graph/api/application-addpassword).
type passwordCredential struct {
	KeyID string    `json:"keyId"`
	Name  string    `json:"displayName"`
	End   time.Time `json:"endDateTime"`
	Text  string    `json:"secretText"`
}

// credentialName tells our passwords of one vault secret from all others of the application.
func credentialName(ref azure.VaultRef) string { return "flowehr " + ref.Vault + "/" + ref.Name }

func (m secretMinder) credentials(ctx context.Context, application string) ([]passwordCredential, error) {
	var a struct {
		Passwords []passwordCredential `json:"passwordCredentials"`
	}
	err := m.graph.call(ctx, http.MethodGet, "/applications/"+application+"?$select=id,passwordCredentials", nil, &a)
	return a.Passwords, err
}

// passwordWorks reports whether what stands in the vault is a password that the application still has and that lasts.
func (m secretMinder) passwordWorks(ctx context.Context, p azure.AppPassword, have vaultSecret) (bool, error) {
	if have.Tags[tagApplication] != text(p.Application) {
		return false, nil
	}
	all, err := m.credentials(ctx, text(p.Application))
	if cloud.NotFound(err) {
		return false, nil
	}
	for _, c := range all {
		if c.KeyID == have.Tags[tagKey] {
			return !m.expired(c.End, p.Days), err
		}
	}
	return false, err
}

// ensurePassword makes a password unless one stands and works. A password that an earlier run made and could not put into
// the vault is known to nobody: it is recognised by its name and removed.
func (m secretMinder) ensurePassword(ctx context.Context, ref azure.VaultRef, p azure.AppPassword, have vaultSecret, found bool) error {
	if found {
		works, err := m.passwordWorks(ctx, p, have)
		if err != nil {
			return err
		}
		if works {
			return m.dropPasswords(ctx, text(p.Application), ref, []string{have.Tags[tagKey], have.Tags[tagFormer]})
		}
	}
	if err := m.dropPasswords(ctx, text(p.Application), ref, nil); err != nil {
		return err
	}
	return m.addPassword(ctx, ref, p, have, "")
}

// addPassword makes a password and puts it into the vault at once. former stays valid until it is retired.
func (m secretMinder) addPassword(ctx context.Context, ref azure.VaultRef, p azure.AppPassword, have vaultSecret, former string) error {
	if p.Days < 1 {
		return fmt.Errorf("password %s would be valid for %d days", ref.Name, p.Days)
	}
	end := m.now().UTC().Add(time.Duration(p.Days) * 24 * time.Hour).Truncate(time.Second)
	body := map[string]any{"passwordCredential": map[string]any{"displayName": credentialName(ref), "endDateTime": end.Format(time.RFC3339)}}
	var c passwordCredential
	err := m.graph.eventually(ctx, "make a password of application "+text(p.Application), func() error {
		return m.graph.call(ctx, http.MethodPost, "/applications/"+text(p.Application)+"/addPassword", body, &c)
	})
	if err != nil {
		return err
	}
	if c.Text == "" {
		return errors.New("a password was made by Microsoft Graph and not shown")
	}
	mark := map[string]string{tagApplication: text(p.Application), tagKey: c.KeyID}
	if former != "" {
		mark[tagFormer] = former
	}
	return m.vaults.set(ctx, ref, vaultSecret{Value: c.Text, Tags: tags(have, mark), Attributes: secretAttributes{Expires: end.Unix()}})
}

// dropPasswords removes our passwords of a vault secret from the application, except those of keep.
func (m secretMinder) dropPasswords(ctx context.Context, application string, ref azure.VaultRef, keep []string) error {
	var all []passwordCredential
	err := m.graph.eventually(ctx, "read the passwords of application "+application, func() (err error) {
		all, err = m.credentials(ctx, application)
		if cloud.NotFound(err) && keep == nil {
			return nil // deleted with its application, or not there yet: nothing to remove
		}
		return err
	})
	if err != nil {
		return err
	}
	kept := setOf(keep)
	for _, c := range all {
		if c.Name != credentialName(ref) || kept[c.KeyID] {
			continue
		}
		err := m.graph.call(ctx, http.MethodPost, "/applications/"+application+"/removePassword", map[string]string{"keyId": c.KeyID}, nil)
		if err != nil && !cloud.NotFound(err) && cloud.Status(err) != http.StatusBadRequest {
			return err
		}
	}
	return nil
}
