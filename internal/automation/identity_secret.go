package automation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// ErrNoSecret says that there is no client secret that could be rotated.
var ErrNoSecret = errors.New("CI signs in without a client secret, so there is nothing to rotate")

// secret is the client secret of ours that ends last; nil when there is none.
func (w world) secret() (last *password) {
	if w.app == nil {
		return nil
	}
	for n, p := range w.app.Passwords {
		if p.DisplayName == secretName && (last == nil || p.End.After(last.End)) {
			last = &w.app.Passwords[n]
		}
	}
	return last
}

// addSecret makes a client secret. Microsoft shows it once, so a lost answer leaves one that nobody knows; the next rotation
// takes it away.
func (i *Identity) addSecret(ctx context.Context, app string, days int, r *IdentityResult) error {
	end := i.o.Now().UTC().AddDate(0, 0, days).Truncate(time.Second)
	body := map[string]any{"passwordCredential": map[string]any{"displayName": secretName, "endDateTime": end.Format(time.RFC3339)}}
	var made struct {
		KeyID      string `json:"keyId"`
		SecretText string `json:"secretText"`
	}
	if err := i.c.Call(ctx, cloud.Graph(), http.MethodPost, "/v1.0/applications/"+app+"/addPassword", body, &made); err != nil {
		return fmt.Errorf("client secret: %w", err)
	}
	if made.SecretText == "" {
		return errors.New("client secret: Microsoft Graph made one and did not show it")
	}
	r.Secret, r.Expires = flowehr.NewSecret(made.SecretText), end
	return nil
}

// Rotate makes a new client secret, hands it to keep, and takes the older ones of ours away when keep has succeeded. Without
// keep, or when it fails, the older ones stay. A secret that somebody added by hand is left alone. The new one is good for as
// long as the options say, else for as long as the last one was.
func (i *Identity) Rotate(ctx context.Context, keep func(ctx context.Context, s []Setting) error) (IdentityResult, error) {
	if _, err := i.person(ctx); err != nil {
		return IdentityResult{}, err
	}
	w, err := i.look(ctx)
	if err != nil {
		return IdentityResult{}, err
	}
	last := w.secret()
	if last == nil {
		return IdentityResult{}, ErrNoSecret
	}
	days := i.o.SecretDays
	if days == 0 {
		days = min(max(int(last.End.Sub(last.Start).Round(24*time.Hour).Hours()/24), 1), maxSecretDays)
	}
	r := IdentityResult{Name: i.Name(), ClientID: w.app.AppID, ObjectID: w.app.ID, PrincipalID: w.principal}
	if err := i.addSecret(ctx, w.app.ID, days, &r); err != nil {
		return r, err
	}
	r.Settings = i.settings(r)
	if keep == nil {
		return r, nil
	}
	if err := keep(ctx, r.Settings); err != nil {
		return r, fmt.Errorf("the new client secret was made, but not kept; the old one still works: %w", err)
	}
	for _, old := range w.app.Passwords {
		if old.DisplayName != secretName {
			continue
		}
		err := i.c.Call(ctx, cloud.Graph(), http.MethodPost, "/v1.0/applications/"+w.app.ID+"/removePassword", map[string]string{"keyId": old.KeyID}, nil)
		if err != nil && !cloud.NotFound(err) {
			return r, fmt.Errorf("the new client secret is in use, but the old one is still good: %w", err)
		}
	}
	return r, nil
}

// Remove takes the identity away: its role on the subscription, its service principal with all grants, and the application.
// It returns what was there. One that is not there is no error.
func (i *Identity) Remove(ctx context.Context) (removed []string, err error) {
	if _, err := i.person(ctx); err != nil {
		return nil, err
	}
	w, err := i.look(ctx)
	if err != nil || w.app == nil {
		return nil, err
	}
	if w.owner {
		id, err := i.ownerAssignment(ctx, w.principal)
		if err == nil && id != "" {
			err = i.c.Call(ctx, cloud.ARM(), http.MethodDelete, id+roleAssignmentsVersion, nil, nil)
		}
		if err != nil && !cloud.NotFound(err) {
			return removed, fmt.Errorf("role Owner: %w", err)
		}
		removed = append(removed, "role Owner on subscription "+i.c.Subscription())
	}
	// The service principal goes with its application.
	if err := i.c.Call(ctx, cloud.Graph(), http.MethodDelete, "/v1.0/applications/"+w.app.ID, nil, nil); err != nil && !cloud.NotFound(err) {
		return removed, fmt.Errorf("application %s: %w", i.Name(), err)
	}
	removed = append(removed, "application "+i.Name()+" ("+w.app.AppID+") and its service principal")
	// A deleted application can be brought back for 30 days, with its credentials.
	err = i.c.Call(ctx, cloud.Graph(), http.MethodDelete, "/v1.0/directory/deletedItems/"+w.app.ID, nil, nil)
	if s := cloud.Status(err); err != nil && s != http.StatusNotFound && s != http.StatusForbidden {
		return removed, fmt.Errorf("application %s is deleted, but can still be restored: %w", i.Name(), err)
	}
	return removed, nil
}
