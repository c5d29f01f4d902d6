package hub_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/nacl/box"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/automation/bot"
	"github.com/flowehr/flowehr/internal/automation/hub"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// The one type serves all who ask for a part of it.
var (
	_ bot.Hub              = (*hub.Hub)(nil)
	_ automation.Keeper    = (*hub.Hub)(nil)
	_ automation.Registrar = (*hub.Hub)(nil)
)

const token = "ghs_canary"

// gitHub answers requests below /repos/o/r by method and path with the query; what it was told is in log.
type gitHub struct {
	answers map[string]string
	log     []string
}

func (g *gitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.RequestURI(), "/repos/o/r")
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") != "Bearer "+token || !strings.HasPrefix(r.URL.Path, "/repos/o/r") {
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodGet {
		g.log = append(g.log, strings.TrimSpace(r.Method+" "+path+" "+string(body)))
	}
	answer, ok := g.answers[r.Method+" "+path]
	switch {
	case ok && strings.HasPrefix(answer, "!"):
		http.Error(w, `{"message":"`+answer[1:]+`"}`, http.StatusForbidden)
	case ok:
		fmt.Fprint(w, answer)
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
	}
}

func open(t *testing.T, answers map[string]string) (*hub.Hub, *gitHub) {
	t.Helper()
	g := &gitHub{answers: answers}
	server := httptest.NewTLSServer(g)
	t.Cleanup(server.Close)
	c := cloud.New(cloud.Options{Transport: server.Client(), Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	h, err := hub.New(hub.Options{Client: c, Base: server.URL, Repository: "o/r", Token: flowehr.NewSecret(token)})
	if err != nil {
		t.Fatal(err)
	}
	return h, g
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []hub.Options{{Repository: "r"}, {Repository: "o/../r"}, {Repository: "o/r?x"}, {Repository: "o/r", Base: "http://api.github.com"}} {
		if _, err := hub.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestPull(t *testing.T) {
	h, _ := open(t, map[string]string{
		"GET /pulls/7": `{"number":7,"state":"open","user":{"login":"eve"},"head":{"sha":"abc","repo":{"full_name":"eve/r"}}}`,
		"GET /pulls/8": `{"number":8,"state":"closed","user":{"login":"eve"},"head":{"sha":"abc","repo":null}}`,
	})
	got, author, err := h.Pull(t.Context(), 7)
	if want := (bot.Pull{Number: 7, Open: true, Head: "abc", HeadRepository: "eve/r"}); err != nil || author != "eve" || !cmp.Equal(got, want) {
		t.Errorf("got %+v by %s, %v", got, author, err)
	}
	got, _, err = h.Pull(t.Context(), 8)
	if want := (bot.Pull{Number: 8, Head: "abc"}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("of a deleted fork: got %+v, %v", got, err)
	}
	if _, _, err := h.Pull(t.Context(), 9); !cloud.NotFound(err) {
		t.Errorf("got %v", err)
	}
}

func files(n int, from int) string {
	var list []map[string]string
	for i := range n {
		list = append(list, map[string]string{"filename": fmt.Sprintf("f%d", from+i)})
	}
	b, _ := json.Marshal(list)
	return string(b)
}

func TestFilesReadsAllPagesAndOldNames(t *testing.T) {
	h, _ := open(t, map[string]string{
		"GET /pulls/7/files?per_page=100&page=1": files(100, 0),
		"GET /pulls/7/files?per_page=100&page=2": `[{"filename":"notes.md","previous_filename":"config.yaml"}]`,
	})
	got, partial, err := h.Files(t.Context(), 7)
	if err != nil || partial || len(got) != 102 || !slices.Contains(got, "config.yaml") || !slices.Contains(got, "notes.md") {
		t.Errorf("got %d files, %v, %v", len(got), partial, err)
	}
	endless := map[string]string{}
	for n := 1; n <= 30; n++ {
		endless[fmt.Sprintf("GET /pulls/7/files?per_page=100&page=%d", n)] = files(100, n*100)
	}
	h, _ = open(t, endless)
	if got, partial, err := h.Files(t.Context(), 7); err != nil || !partial || len(got) != 3000 {
		t.Errorf("got %d files, partial %v, %v", len(got), partial, err)
	}
}

func TestMayWrite(t *testing.T) {
	h, _ := open(t, map[string]string{
		"GET /collaborators/root/permission":                `{"permission":"admin"}`,
		"GET /collaborators/ada/permission":                 `{"permission":"write","role_name":"maintain"}`,
		"GET /collaborators/eve/permission":                 `{"permission":"read","role_name":"triage"}`,
		"GET /collaborators/nobody/permission":              `{"permission":"none"}`,
		"GET /collaborators/dependabot%5Bbot%5D/permission": `{"permission":"none"}`,
		"GET /collaborators/broken/permission":              `!Resource not accessible by integration`,
	})
	for login, want := range map[string]bool{"root": true, "ada": true, "eve": false, "nobody": false, "gone": false, "dependabot[bot]": false} {
		if got, err := h.MayWrite(t.Context(), login); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", login, got, err, want)
		}
	}
	if got, err := h.MayWrite(t.Context(), "broken"); got || err == nil {
		t.Errorf("a refused question was answered with %v", got)
	}
}

func TestActs(t *testing.T) {
	h, g := open(t, map[string]string{"GET ": `{"default_branch":"trunk"}`})
	long := strings.Repeat("ä", 200)
	for _, do := range []error{
		h.Comment(t.Context(), 7, "Hello."),
		h.SetStatus(t.Context(), bot.Status{SHA: "abc", State: bot.Pending, Description: long}),
		h.Dispatch(t.Context(), map[string]string{"action": "test", "pull": "7"}),
	} {
		if do != nil {
			t.Error(do)
		}
	}
	want := []string{
		`POST /issues/7/comments {"body":"Hello."}`,
		`POST /statuses/abc {"context":"flowehr/test","description":"` + strings.Repeat("ä", 140) + `","state":"pending"}`,
		`POST /actions/workflows/flowehr-pull-request.yml/dispatches {"inputs":{"action":"test","pull":"7"},"ref":"trunk"}`,
	}
	if d := cmp.Diff(want, g.log); d != "" {
		t.Error(d)
	}
}

// TestPutOffIsRepeated: as often as GitHub asks to wait, within bounds; a plain refusal is final.
func TestPutOffIsRepeated(t *testing.T) {
	for _, tt := range []struct {
		name        string
		putOff      int // times
		after       string
		asked       int
		waited      time.Duration
		wantRefused bool
	}{
		{"twice", 2, "7", 3, 14 * time.Second, false},
		{"for ever", 99, "7", 4, 21 * time.Second, true},
		{"refused", 99, "", 1, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, waited := 0, time.Duration(0)
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked > tt.putOff {
					w.WriteHeader(http.StatusCreated)
					return
				}
				if tt.after != "" {
					w.Header().Set("Retry-After", tt.after)
				}
				http.Error(w, `{"message":"You have exceeded a secondary rate limit."}`, http.StatusForbidden)
			}))
			defer server.Close()
			c := cloud.New(cloud.Options{Transport: server.Client(), Wait: func(_ context.Context, d time.Duration) error { waited += d; return nil }})
			h, err := hub.New(hub.Options{Client: c, Base: server.URL, Repository: "o/r", Token: flowehr.NewSecret(token)})
			if err != nil {
				t.Fatal(err)
			}
			err = h.Comment(t.Context(), 1, "x")
			if (err != nil) != tt.wantRefused || asked != tt.asked || waited != tt.waited {
				t.Errorf("asked %d times, waited %s: %v", asked, waited, err)
			}
		})
	}
}

func TestPulls(t *testing.T) {
	h, _ := open(t, map[string]string{
		"GET /pulls?state=open&sort=created&direction=desc&per_page=100&page=1": `[{"number":9},{"number":4}]`,
		"GET /pulls?state=all&sort=created&direction=desc&per_page=1":           `[{"number":11}]`,
	})
	open, last, err := h.Pulls(t.Context())
	if err != nil || last != 11 || !slices.Equal(open, []int{9, 4}) {
		t.Errorf("got %v, %d, %v", open, last, err)
	}
}

func TestSubjectPrefix(t *testing.T) {
	for _, tt := range []struct {
		name, answer, want, refused string
	}{
		{"made since July 2026", `{"use_default":true,"use_immutable_subject":false,"sub_claim_prefix":"repo:o@1/r@2"}`, "repo:o@1/r@2", ""},
		{"older", `{"use_default":true}`, "repo:O/R", ""},
		{"nothing known", "", "repo:O/R", ""},
		{"template of its own", `{"use_default":false,"include_claim_keys":["actor"]}`, "", "repository O/R has a template of its own for the subjects of its tokens; set it back to the default"},
		{"not allowed", `!Must have admin rights`, "", "GitHub refused GET /repos/o/r/actions/oidc/customization/sub: 403: Must have admin rights"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := map[string]string{"GET ": `{"full_name":"O/R"}`}
			if tt.answer != "" {
				answers["GET /actions/oidc/customization/sub"] = tt.answer
			}
			h, _ := open(t, answers)
			got, err := h.SubjectPrefix(t.Context())
			if got != tt.want || err == nil && tt.refused != "" || err != nil && err.Error() != tt.refused {
				t.Errorf("got %q, %v, want %q, %q", got, err, tt.want, tt.refused)
			}
		})
	}
}

func TestKeepSecretSealsTheValue(t *testing.T) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf(`{"key_id":"k1","key":%q}`, base64.StdEncoding.EncodeToString(public[:]))
	for _, tt := range []struct{ environment, at string }{{"", "/actions/secrets"}, {"prod", "/environments/prod/secrets"}} {
		h, g := open(t, map[string]string{"GET " + tt.at + "/public-key": key})
		if err := h.KeepSecret(t.Context(), tt.environment, "ARM_CLIENT_SECRET", flowehr.NewSecret("hunter2")); err != nil {
			t.Fatal(err)
		}
		put, ok := strings.CutPrefix(g.log[0], "PUT "+tt.at+"/ARM_CLIENT_SECRET ")
		if !ok || strings.Contains(put, "hunter2") {
			t.Fatalf("got %s", g.log[0])
		}
		var sent struct {
			Value string `json:"encrypted_value"`
			Key   string `json:"key_id"`
		}
		if err := json.Unmarshal([]byte(put), &sent); err != nil {
			t.Fatal(err)
		}
		sealed, err := base64.StdEncoding.DecodeString(sent.Value)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := box.OpenAnonymous(nil, sealed, public, private); !ok || string(got) != "hunter2" || sent.Key != "k1" {
			t.Errorf("opened %q, key %q", got, sent.Key)
		}
	}
	h, _ := open(t, map[string]string{"GET /actions/secrets/public-key": `{"key_id":"k1","key":"c2hvcnQ="}`})
	if err := h.KeepSecret(t.Context(), "", "A", flowehr.NewSecret("x")); err == nil || err.Error() != "GitHub gave out a key for secrets that is none" {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"", "A/../B", "a-b", "1"} {
		if err := h.KeepSecret(t.Context(), "", name, flowehr.NewSecret("x")); err == nil {
			t.Errorf("a secret called %q was kept", name)
		}
	}
}

func TestKeepVariable(t *testing.T) {
	h, g := open(t, map[string]string{"PATCH /environments/prod/variables/A": `{}`})
	if err := h.KeepVariable(t.Context(), "prod", "A", "1"); err != nil {
		t.Fatal(err)
	}
	if err := h.KeepVariable(t.Context(), "", "B", "2"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`PATCH /environments/prod/variables/A {"name":"A","value":"1"}`,
		`PATCH /actions/variables/B {"name":"B","value":"2"}`,
		`POST /actions/variables {"name":"B","value":"2"}`,
	}
	if d := cmp.Diff(want, g.log); d != "" {
		t.Error(d)
	}
}

// TestKeepEnvironment: a new one takes the default branch only; one that stands keeps its rules.
func TestKeepEnvironment(t *testing.T) {
	const policies = "GET /environments/prod/deployment-branch-policies"
	for _, tt := range []struct {
		name    string
		answers map[string]string
		want    []string
	}{
		{"new", map[string]string{policies: `{"total_count":0}`}, []string{
			`PUT /environments/prod {"deployment_branch_policy":{"protected_branches":false,"custom_branch_policies":true}}`,
			`POST /environments/prod/deployment-branch-policies {"name":"trunk"}`}},
		{"interrupted", map[string]string{"GET /environments/prod": `{"deployment_branch_policy":{"custom_branch_policies":true}}`, policies: `{"total_count":0}`},
			[]string{`POST /environments/prod/deployment-branch-policies {"name":"trunk"}`}},
		{"standing", map[string]string{"GET /environments/prod": `{"deployment_branch_policy":{"custom_branch_policies":true}}`, policies: `{"total_count":2}`}, nil},
		{"for protected branches", map[string]string{"GET /environments/prod": `{"deployment_branch_policy":{"protected_branches":true}}`}, nil},
		{"for every branch", map[string]string{"GET /environments/prod": `{"deployment_branch_policy":null}`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.answers["GET "] = `{"default_branch":"trunk"}`
			h, g := open(t, tt.answers)
			if err := h.KeepEnvironment(t.Context(), "prod"); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, g.log); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRegistrationToken(t *testing.T) {
	h, _ := open(t, map[string]string{"POST /actions/runners/registration-token": `{"token":"AAAA","expires_at":"2026-11-23T13:00:00Z"}`})
	got, until, err := h.RegistrationToken(t.Context())
	if err != nil || got.Reveal() != "AAAA" || until.Hour() != 13 {
		t.Errorf("got %v until %v, %v", got, until, err)
	}
}
