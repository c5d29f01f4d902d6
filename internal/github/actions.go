package github

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/crypto/nacl/box"

	"github.com/flowehr/flowehr"
)

// Seal encrypts a value for the holder of a public key, as GitHub takes secrets: in a sealed box of libsodium
// (docs.github.com/rest/guides/encrypting-secrets-for-the-rest-api).
func Seal(publicKey string, value flowehr.Secret) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(publicKey)
	if err != nil || len(raw) != 32 {
		return "", errors.New("GitHub gave out a key for secrets that is none")
	}
	out, err := box.SealAnonymous(nil, []byte(value.Reveal()), (*[32]byte)(raw), rand.Reader)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(out), nil
}

// Subjects is how GitHub says what the subjects of a repository's tokens look like: the answer to GET
// /repos/{owner}/{repo}/actions/oidc/customization/sub (docs.github.com/rest/actions/oidc).
type Subjects struct {
	UseDefault *bool  `json:"use_default"`
	Claimed    string `json:"sub_claim_prefix"`
}

// Prefix is what the subjects begin with, such as repo:owner/name. Repositories made since July 2026, and older ones that
// chose to, have numbers in it that a new repository of the same name would not get. fullName is the repository's as GitHub
// writes it, since subjects are compared letter by letter. A template of its own is refused: its subjects cannot be told
// beforehand.
func (s Subjects) Prefix(fullName string) (string, error) {
	switch {
	case s.UseDefault != nil && !*s.UseDefault:
		return "", fmt.Errorf("repository %s has a template of its own for the subjects of its tokens; set it back to the default", fullName)
	case s.Claimed != "":
		return s.Claimed, nil
	}
	return "repo:" + fullName, nil
}

// Subject is that of the tokens which jobs of a deployment environment get, by which others know them
// (docs.github.com/actions/reference/security/oidc).
func (c *Client) Subject(ctx context.Context, owner, repository, environment string) (string, error) {
	req, err := c.api.NewRequest(ctx, http.MethodGet, "repos/"+url.PathEscape(owner)+"/"+url.PathEscape(repository)+"/actions/oidc/customization/sub", nil)
	if err != nil {
		return "", err
	}
	var s Subjects
	if _, err := c.api.Do(req, &s); err != nil && status(err) != http.StatusNotFound {
		return "", failed(err, "subjects of the tokens of %s/%s", owner, repository)
	}
	r, err := c.Repository(ctx, owner, repository)
	if err != nil {
		return "", err
	}
	prefix, err := s.Prefix(r.Owner + "/" + r.Name)
	if err != nil {
		return "", err
	}
	return prefix + ":environment:" + environment, nil
}
