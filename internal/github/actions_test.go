package github

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/flowehr/flowehr"
)

func TestSubjectIsAsGitHubSays(t *testing.T) {
	for _, c := range []struct {
		name          string
		subjects      map[string]any
		want, refused string
	}{
		{"made since July 2026", map[string]any{"use_default": true, "sub_claim_prefix": "repo:trust@7/bed-board@1"}, "repo:trust@7/bed-board@1:environment:dev", ""},
		{"older", map[string]any{"use_default": true}, "repo:trust/bed-board:environment:dev", ""},
		{"nothing known", nil, "repo:trust/bed-board:environment:dev", ""},
		{"template of its own", map[string]any{"use_default": false, "include_claim_keys": []string{"actor"}}, "",
			"repository trust/bed-board has a template of its own for the subjects of its tokens; set it back to the default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, client := newHub(t)
			h.repos["bed-board"] = &repo{id: 1, branches: map[string]map[string]any{"main": nil}, subjects: c.subjects}
			got, err := client.Subject(t.Context(), "trust", "bed-board", "dev")
			if got != c.want || (err == nil) != (c.refused == "") || err != nil && err.Error() != c.refused {
				t.Errorf("got %q and %v, want %q and %q", got, err, c.want, c.refused)
			}
		})
	}
	_, client := newHub(t)
	if got, err := client.Subject(t.Context(), "trust", "nothing", "dev"); err == nil {
		t.Errorf("a repository that is not there has the subject %q", got)
	}
}

func TestEnvironmentsWithASecret(t *testing.T) {
	h, c := newHub(t)
	if got, err := c.EnvironmentsWith(t.Context(), "trust", "bed-board", "ACR_NAME"); err != nil || len(got) > 0 {
		t.Errorf("of no repository: got %v and %v", got, err)
	}
	x := &repo{id: 1, branches: map[string]map[string]any{"main": nil}, environments: map[string]*environment{}}
	for name, secrets := range map[string]map[string]string{"prod": {"ACR_NAME": "a", "B": "b"}, "dev": {"ACR_NAME": "a"}, "github-pages": {"B": "b"}, "bare": nil} {
		x.environments[name] = &environment{secrets: secrets}
	}
	h.repos["bed-board"] = x
	if got, err := c.EnvironmentsWith(t.Context(), "trust", "bed-board", "ACR_NAME"); err != nil || !slices.Equal(got, []string{"dev", "prod"}) {
		t.Errorf("got %v and %v", got, err)
	}
}

func TestSealIsForTheKey(t *testing.T) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Seal(base64.StdEncoding.EncodeToString(public[:]), flowehr.NewSecret("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := box.OpenAnonymous(nil, raw, public, private); !ok || string(got) != "hunter2" {
		t.Errorf("opened %q", got)
	}
	for _, key := range []string{"", "c2hvcnQ=", "no base64"} {
		if _, err := Seal(key, flowehr.NewSecret("hunter2")); err == nil {
			t.Errorf("sealed for %q", key)
		}
	}
}
