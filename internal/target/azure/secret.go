package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// secrets finds out the value that a description only names.
type secrets struct{ vaults vaults }

// value returns what source stands for. Values that are made (passwords) have to stand in a vault first, or each asking
// would make another.
func (s secrets) value(ctx context.Context, source azure.Source, in apply.Inputs) (flowehr.Secret, error) {
	switch {
	case source.Text != "":
		return source.Text.Resolve(func(name string) (flowehr.Secret, error) { return in.Secret(ctx, name) })
	case source.Value != nil:
		known, ok := source.Value.Known()
		if !ok {
			return flowehr.Secret{}, fmt.Errorf("the value of %s was not filled in", source.Value)
		}
		return flowehr.NewSecret(known), nil
	case source.Vault != nil:
		return s.vaults.value(ctx, *source.Vault)
	case source.Telemetry != "":
		return s.telemetry(ctx, source.Telemetry)
	case source.Password != nil, source.Generated != nil, source.Registry != nil:
		return flowehr.Secret{}, errors.New("a password that is made stands in a vault, and is used from there")
	}
	return flowehr.Secret{}, errors.New("the description says nothing about where the secret comes from")
}

// telemetry returns the connection string of a component of Application Insights. No password, but who has it can write
// telemetry, so it is asked for when it is used and recorded nowhere.
func (s secrets) telemetry(ctx context.Context, component string) (flowehr.Secret, error) {
	version, _ := arm.Version("Microsoft.Insights/components")
	var is struct {
		Properties struct {
			ConnectionString string `json:"ConnectionString"`
		} `json:"properties"`
	}
	if err := s.vaults.c.Get(ctx, cloud.ARM(), component+"?api-version="+version, &is); err != nil {
		return flowehr.Secret{}, err
	}
	if is.Properties.ConnectionString == "" {
		return flowehr.Secret{}, fmt.Errorf("%s has no connection string", component)
	}
	return flowehr.NewSecret(is.Properties.ConnectionString), nil
}

// A vault's roles take effect some minutes after they were given.
const (
	accessPause = 10 * time.Second
	accessLimit = 10 * time.Minute
)

// purgeable reports whether a deleted secret may be purged before its time, which its recovery level says.
func purgeable(level string) bool { return strings.Contains(level, "Purgeable") }

// vaults is the data plane of Key Vault (learn.microsoft.com/rest/api/keyvault/secrets). It is asked through the shared
// client, so that waiting, repeating and errors are the same as everywhere.
type vaults struct {
	c        *cloud.Client
	patience time.Duration // how long to wait for a role to take effect
	note     func(string)  // is told of the waiting; may be nil
}

// noting returns v with its waiting shown on a task.
func (v vaults) noting(t task) vaults {
	if t.in != nil {
		v.note = t.in.Note
	}
	return v
}

func (s secrets) noting(t task) secrets {
	s.vaults = s.vaults.noting(t)
	return s
}

const vaultVersion = "?api-version=7.4"

// vaultSecret is a version of a secret.
type vaultSecret struct {
	Value       string            `json:"value,omitempty"`
	ContentType string            `json:"contentType,omitempty"`
	Attributes  secretAttributes  `json:"attributes"`
	Tags        map[string]string `json:"tags,omitempty"`
}

type secretAttributes struct {
	Enabled  *bool  `json:"enabled,omitempty"`
	Expires  int64  `json:"exp,omitempty"` // seconds since 1970
	Updated  int64  `json:"updated,omitempty"`
	Recovery string `json:"recoveryLevel,omitempty"`
}

func (v vaults) call(ctx context.Context, ref azure.VaultRef, method, path string, body, into any) error {
	return v.granted(ctx, ref.Vault, func() error {
		return v.c.Call(ctx, cloud.Vault(ref.Vault), method, path+vaultVersion, body, into)
	})
}

// granted repeats try while the vault does not know yet that it may be used.
func (v vaults) granted(ctx context.Context, vault string, try func() error) error {
	var last error
	err := until(ctx, v.c, "wait for the role on vault "+vault+" to take effect", accessPause, v.patience, func() (bool, error) {
		if last = try(); notYetGranted(last) {
			if v.note != nil {
				v.note("waiting until vault " + vault + " lets us in")
			}
			return false, nil
		}
		return last == nil, last
	})
	if err != nil && notYetGranted(last) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// notYetGranted recognises a vault that does not know yet of a role, or of an address that its firewall lets in.
func notYetGranted(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || e.Status != http.StatusForbidden {
		return false
	}
	_, ok = e.Because("ForbiddenByRbac", "ForbiddenByFirewall")
	return ok
}

// get returns the newest version, and false when there is none.
func (v vaults) get(ctx context.Context, ref azure.VaultRef) (vaultSecret, bool, error) {
	var s vaultSecret
	err := v.call(ctx, ref, http.MethodGet, "/secrets/"+ref.Name, nil, &s)
	if cloud.NotFound(err) {
		return s, false, nil
	}
	return s, err == nil, err
}

// value returns the newest value.
func (v vaults) value(ctx context.Context, ref azure.VaultRef) (flowehr.Secret, error) {
	s, found, err := v.get(ctx, ref)
	if err != nil {
		return flowehr.Secret{}, err
	}
	if !found {
		return flowehr.Secret{}, fmt.Errorf("vault %s has no secret %s", ref.Vault, ref.Name)
	}
	return flowehr.NewSecret(s.Value), nil
}

// Deleting and recovering a secret take some seconds after they were answered, and until then the name is taken.
const (
	deletedPause = 2 * time.Second
	deletedLimit = 5 * time.Minute
)

// settle calls try until the vault is no longer busy with the secret, which it says as a conflict.
func (v vaults) settle(ctx context.Context, ref azure.VaultRef, what string, try func() error) error {
	return until(ctx, v.c, what+" secret "+ref.Name+" of vault "+ref.Vault, deletedPause, deletedLimit, func() (bool, error) {
		err := try()
		if cloud.Status(err) == http.StatusConflict {
			return false, nil
		}
		return err == nil, err
	})
}

// set writes a new version. A deleted secret holds its name, so it is recovered first.
func (v vaults) set(ctx context.Context, ref azure.VaultRef, s vaultSecret) error {
	return v.settle(ctx, ref, "write", func() error {
		err := v.call(ctx, ref, http.MethodPut, "/secrets/"+ref.Name, s, nil)
		if cloud.Status(err) != http.StatusConflict {
			return err
		}
		if rerr := v.recover(ctx, ref); rerr != nil {
			return rerr
		}
		return err
	})
}

// recover has a deleted secret come back. One that is not deleted, or is on its way, is no error.
func (v vaults) recover(ctx context.Context, ref azure.VaultRef) error {
	err := v.call(ctx, ref, http.MethodPost, "/deletedsecrets/"+ref.Name+"/recover", nil, nil)
	if cloud.NotFound(err) || cloud.Status(err) == http.StatusConflict {
		return nil
	}
	return err
}

// revive returns what stands, after recovering it when it was deleted and still holds the name.
func (v vaults) revive(ctx context.Context, ref azure.VaultRef) (have vaultSecret, found bool, err error) {
	err = v.settle(ctx, ref, "recover", func() error {
		if have, found, err = v.get(ctx, ref); err != nil || found {
			return err
		}
		deleted, err := v.deleted(ctx, ref)
		if err != nil || deleted == nil {
			return err
		}
		if err := v.recover(ctx, ref); err != nil {
			return err
		}
		have, found, err = v.get(ctx, ref)
		return err
	})
	return have, found, err
}

// goneSoon is how long one that somebody else has begun to delete is waited for among the deleted ones.
const goneSoon = 3

// erase deletes a secret and purges it where the vault allows that. In a vault that is protected from purging the deleted
// secret stays as long as the vault keeps it.
func (v vaults) erase(ctx context.Context, ref azure.VaultRef) error {
	there := true
	err := v.settle(ctx, ref, "delete", func() error {
		err := v.call(ctx, ref, http.MethodDelete, "/secrets/"+ref.Name, nil, nil)
		there = !cloud.NotFound(err)
		return ignoring(cloud.NotFound, err)
	})
	if err != nil {
		return err
	}
	var deleted *vaultSecret
	looks := 0
	err = until(ctx, v.c, "delete secret "+ref.Name+" of vault "+ref.Vault, deletedPause, deletedLimit, func() (bool, error) {
		deleted, err = v.deleted(ctx, ref)
		looks++
		return deleted != nil || !there && looks >= goneSoon, err
	})
	if err != nil || deleted == nil || !purgeable(deleted.Attributes.Recovery) {
		return err
	}
	return v.settle(ctx, ref, "purge", func() error {
		return ignoring(cloud.NotFound, v.call(ctx, ref, http.MethodDelete, "/deletedsecrets/"+ref.Name, nil, nil))
	})
}

// deleted returns the deleted secret that holds the name, nil when none does.
func (v vaults) deleted(ctx context.Context, ref azure.VaultRef) (*vaultSecret, error) {
	var s vaultSecret
	if err := v.call(ctx, ref, http.MethodGet, "/deletedsecrets/"+ref.Name, nil, &s); err != nil {
		return nil, ignoring(cloud.NotFound, err)
	}
	return &s, nil
}
