package github

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
)

var wanted = Repository{Owner: "trust", Name: "bed-board", Description: "Beds", Private: true, Template: "flowehr/template-app"}

func TestRepositoryIsMadeOnceAndWaitedFor(t *testing.T) {
	h, c := newHub(t)
	h.pending = 2
	r, err := c.EnsureRepository(t.Context(), wanted, false)
	if err != nil || r.Branch != "main" || r.Address != "https://github.com/trust/bed-board" {
		t.Fatalf("got %+v and %v", r, err)
	}
	if got := h.changed(); !slices.Equal(got, []string{"POST /repos/flowehr/template-app/generate"}) {
		t.Errorf("calls: %v", got)
	}
	if len(h.waits) != 2 {
		t.Errorf("waited %d times for the content, want 2", len(h.waits))
	}
	if _, err := c.EnsureRepository(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	if got := h.changed(); len(got) > 0 {
		t.Errorf("a second time changed something: %v", got)
	}
}

func TestRepositoryComesOutOfTheArchive(t *testing.T) {
	h, c := newHub(t)
	if _, err := c.EnsureRepository(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Archive(t.Context(), "trust", "bed-board"); err != nil {
		t.Fatal(err)
	}
	other := wanted
	other.Description = "More beds"
	r, err := c.EnsureRepository(t.Context(), other, false)
	if err != nil || r.Description != "More beds" || h.repos["bed-board"].archived {
		t.Errorf("got %+v and %v", r, err)
	}
	if err := c.DeleteRepository(t.Context(), "trust", "bed-board"); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func() error{
		"delete again":  func() error { return c.DeleteRepository(t.Context(), "trust", "bed-board") },
		"archive again": func() error { return c.Archive(t.Context(), "trust", "bed-board") },
	} {
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Repository(t.Context(), "trust", "bed-board"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestRepositoryOfSomebodyElseIsRefused(t *testing.T) {
	h, c := newHub(t)
	h.repos["bed-board"] = &repo{id: 1, template: "other/template", branches: map[string]map[string]any{"main": nil}}
	_, err := c.EnsureRepository(t.Context(), wanted, false)
	if err == nil || !strings.Contains(err.Error(), "trust/bed-board stands already") {
		t.Errorf("got %v", err)
	}
	if got := h.changed(); len(got) > 0 {
		t.Errorf("it was changed: %v", got)
	}
	if _, err := c.EnsureRepository(t.Context(), wanted, true); err != nil {
		t.Errorf("one that is recorded: %v", err)
	}
}

func TestFileIsCommittedOnlyWhenItDiffers(t *testing.T) {
	h, c := newHub(t)
	if _, err := c.EnsureRepository(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	f := File{Owner: "trust", Repository: "bed-board", Branch: "main", Path: ".github/workflows/deploy_dev.yml", Content: "on: push\n"}
	commits := func() int { return len(h.changed()) }
	commits()
	for _, c2 := range []struct {
		content string
		commits int
	}{{"on: push\n", 1}, {"on: push\n", 0}, {"on: release\n", 1}} {
		f.Content = c2.content
		if err := c.EnsureFile(t.Context(), f, "Update"); err != nil {
			t.Fatal(err)
		}
		if got := commits(); got != c2.commits {
			t.Errorf("%q: got %d commits, want %d", c2.content, got, c2.commits)
		}
	}
	got, err := c.File(t.Context(), "trust", "bed-board", "main", f.Path)
	if err != nil || got.Content != "on: release\n" {
		t.Errorf("got %q and %v", got.Content, err)
	}
	h.repos["bed-board"].branches["main"] = map[string]any{}
	f.Content = "on: workflow_dispatch\n"
	if err := c.EnsureFile(t.Context(), f, "Update"); !errors.Is(err, ErrProtected) {
		t.Errorf("on a protected branch: got %v, want ErrProtected", err)
	}
	h.repos["bed-board"].branches["main"] = nil
	for range 2 {
		if err := c.DeleteFile(t.Context(), "trust", "bed-board", "main", f.Path, "Remove"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTeamIsExact(t *testing.T) {
	h, c := newHub(t)
	h.teams["Another team"] = &team{id: 1}
	want := Team{Owner: "trust", Name: "bed_board - owners", Description: "Own it", Members: []string{"Ada", "newcomer"}, Maintainers: true,
		Repository: "bed-board", Permission: "maintain"}
	if _, err := c.EnsureTeam(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	h.changed()
	again, err := c.EnsureTeam(t.Context(), want)
	if got := h.changed(); err != nil || len(got) > 0 {
		t.Errorf("a second time changed something: %v, %v", got, err)
	}
	got, err := c.Team(t.Context(), "trust", want.Name, "bed-board")
	if err != nil || !slices.Equal(got.Members, []string{"ada", "newcomer"}) || !got.Maintainers || got.Permission != "maintain" || got.ID != again.ID {
		t.Errorf("got %+v and %v", got, err)
	}
	want.Members, want.Maintainers, want.Description, want.Permission = []string{"grace", "ADA"}, false, "Own", "push"
	if _, err := c.EnsureTeam(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err = c.Team(t.Context(), "trust", want.Name, "bed-board")
	if err != nil || !slices.Equal(got.Members, []string{"ada", "grace"}) || got.Maintainers || got.Permission != "push" || got.Description != "Own" {
		t.Errorf("after a change: got %+v and %v", got, err)
	}
	for range 2 {
		if err := c.DeleteTeam(t.Context(), "trust", want.Name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBranchIsProtectedExactly(t *testing.T) {
	h, c := newHub(t)
	if _, err := c.EnsureRepository(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	want := Branch{Owner: "trust", Repository: "bed-board", Name: "dev", Approvals: 2, CodeOwners: true, DismissStale: true, Strict: true, Checks: []string{"Tests", "Code Scanning"}}
	h.moved = 2
	if err := c.EnsureBranch(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	h.changed()
	if err := c.EnsureBranch(t.Context(), want); err != nil || len(h.changed()) > 0 {
		t.Errorf("a second time changed something, or %v", err)
	}
	h.repos["bed-board"].branches["dev"]["allow_force_pushes"] = true
	if _, protected, err := c.Branch(t.Context(), "trust", "bed-board", "dev"); protected || err != nil {
		t.Errorf("a branch that may be pushed to by force counts as protected, or %v", err)
	}
	want.Approvals = 1
	if err := c.EnsureBranch(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, protected, err := c.Branch(t.Context(), "trust", "bed-board", "dev")
	if err != nil || !protected || got.Approvals != 1 || !slices.Equal(got.Checks, []string{"Code Scanning", "Tests"}) {
		t.Errorf("got %+v, protected %v, %v", got, protected, err)
	}
	for _, name := range []string{"dev", "dev", "main"} {
		if err := c.ReleaseBranch(t.Context(), "trust", "bed-board", name); err != nil {
			t.Fatal(err)
		}
	}
	if left := slices.Collect(maps.Keys(h.repos["bed-board"].branches)); !slices.Equal(left, []string{"main"}) {
		t.Errorf("branches left: %v, want the default one", left)
	}
}

func TestEnvironmentSecretsAreSealedAndExact(t *testing.T) {
	h, c := newHub(t)
	if _, err := c.EnsureRepository(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	e := Environment{Owner: "trust", Repository: "bed-board", Name: "dev", Branches: []string{"dev", "dev-testing"}}
	secrets := map[string]flowehr.Secret{"ACR_PASSWORD": flowehr.NewSecret("correct horse"), "OLD": flowehr.NewSecret("battery")}
	if err := c.EnsureEnvironment(t.Context(), e, secrets); err != nil {
		t.Fatal(err)
	}
	if got := h.repos["bed-board"].environments["dev"].secrets["ACR_PASSWORD"]; got != "correct horse" {
		t.Errorf("GitHub opened %q", got)
	}
	delete(secrets, "OLD")
	e.Branches = []string{"dev"}
	if err := c.EnsureEnvironment(t.Context(), e, secrets); err != nil {
		t.Fatal(err)
	}
	got, err := c.Environment(t.Context(), "trust", "bed-board", "dev")
	if err != nil || !slices.Equal(got.Branches, []string{"dev"}) || len(got.Secrets) != 1 {
		t.Errorf("got %+v and %v", got, err)
	}
	for range 2 {
		if err := c.DeleteEnvironment(t.Context(), "trust", "bed-board", "dev"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestsArePutOff(t *testing.T) {
	later := http.Header{"Retry-After": {"90"}}
	spent := http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1763632830"}, "Date": {"Thu, 20 Nov 2025 10:00:00 GMT"}}
	for _, c := range []struct {
		name   string
		method string
		bad    trouble
		waits  []time.Duration
		fails  bool
	}{
		{name: "secondary limit", method: http.MethodPost, bad: trouble{http.StatusForbidden, later}, waits: []time.Duration{90 * time.Second}},
		{name: "primary limit, by GitHub's clock", method: http.MethodGet, bad: trouble{http.StatusForbidden, spent}, waits: []time.Duration{30 * time.Second}},
		{name: "server error of a harmless request", method: http.MethodGet, bad: trouble{http.StatusBadGateway, nil}, waits: []time.Duration{time.Second}},
		{name: "server error of a request that makes something", method: http.MethodPost, bad: trouble{http.StatusBadGateway, nil}, fails: true},
		{name: "not allowed", method: http.MethodGet, bad: trouble{http.StatusForbidden, nil}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, client := newHub(t)
			once := true
			h.trouble = func(r *http.Request) *trouble {
				if r.Method == c.method && once {
					once = false
					return &c.bad
				}
				return nil
			}
			_, err := client.EnsureTeam(t.Context(), Team{Owner: "trust", Name: "nurses"})
			if (err != nil) != c.fails {
				t.Errorf("got %v, fails: want %v", err, c.fails)
			}
			if !slices.Equal(h.waits, c.waits) {
				t.Errorf("waited %v, want %v", h.waits, c.waits)
			}
		})
	}
}

// A token that GitHub takes for expired, by its own clock, is replaced.
func TestInstallationTokenIsRenewed(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	issued, bodies := 0, []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			issued++
			answer(w, http.StatusCreated, map[string]any{"token": fmt.Sprint("token-", issued), "expires_at": time.Now().Add(time.Hour)})
			return
		}
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		if r.Header.Get("Authorization") != "token token-2" {
			answer(w, http.StatusUnauthorized, message("Bad credentials"))
			return
		}
		answer(w, http.StatusOK, map[string]any{})
	}))
	t.Cleanup(server.Close)
	c, err := New(Options{AppID: 1, InstallationID: 2, Key: flowehr.NewSecret(string(pemKey)), Transport: redirect{server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Archive(t.Context(), "trust", "bed-board"); err != nil {
			t.Fatal(err)
		}
	}
	if issued != 2 || len(bodies) != 3 || bodies[0] != bodies[1] {
		t.Errorf("%d tokens for requests %q, want 2 and the first request repeated whole", issued, bodies)
	}
}

func TestSignInIsRefusedWithoutShowingTheKey(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"nobody", Options{}, ErrNobody.Error()},
		{"no installation", Options{AppID: 1, Key: flowehr.NewSecret("key-canary")}, "installation id is not"},
		{"no key", Options{AppID: 1, InstallationID: 2, Key: flowehr.NewSecret("key-canary")}, "not an RSA key"},
	} {
		_, err := New(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
