package automation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

func options() automation.IdentityOptions {
	return automation.IdentityOptions{FlowEHRID: "hospital", Repository: "Hospital/flowehr-env", Environments: []string{"dev", "prod"}, Branches: []string{"main"},
		Now: func() time.Time { return monday }}
}

func (s *simulation) identity(t *testing.T, o automation.IdentityOptions) *automation.Identity {
	t.Helper()
	i, err := automation.NewIdentity(s.client, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// steps are a plan in short.
func steps(p automation.IdentityPlan) (list []string) {
	for _, s := range p.Steps {
		list = append(list, fmt.Sprintf("%s %s %s", s.Action, s.What, s.Name))
	}
	return list
}

func plan(t *testing.T, i *automation.Identity) automation.IdentityPlan {
	t.Helper()
	p, err := i.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustMake(t *testing.T, i *automation.Identity) automation.IdentityResult {
	t.Helper()
	r, err := i.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestIdentityIsMadeAndThenStands(t *testing.T) {
	s := simulate(t, admin())
	i := s.identity(t, options())
	before := plan(t, i)
	want := []string{
		"create application sp-flowehr-ci-hospital", "create service principal sp-flowehr-ci-hospital",
		"create federated credential github-environment-dev", "create federated credential github-environment-prod", "create federated credential github-branch-main",
		"create role Owner", "create permission Application.ReadWrite.All", "create permission AppRoleAssignment.ReadWrite.All",
		"create permission Group.ReadWrite.All", "create permission Directory.Read.All",
	}
	if d := cmp.Diff(want, steps(before)); d != "" {
		t.Error(d)
	}
	if before.Person != "ada@hospital.example" || before.ClientID != "" || before.Empty() {
		t.Errorf("got %+v", before)
	}

	r := mustMake(t, i)
	if len(r.Missing) > 0 || len(r.Granted) != 4 || r.PrincipalID == "" || r.Secret.Reveal() != "" {
		t.Errorf("got %+v", r)
	}
	settings := map[string]string{}
	for _, set := range r.Settings {
		settings[string(set.Kind)+" "+set.Name] = set.Value
	}
	wanted := map[string]string{"secret ARM_CLIENT_ID": r.ClientID, "secret ARM_TENANT_ID": s.sim.Tenant(), "secret ARM_SUBSCRIPTION_ID": s.sim.Subscription()}
	if d := cmp.Diff(wanted, settings); d != "" {
		t.Error(d)
	}
	if found, err := automation.PrincipalOf(t.Context(), s.client, "hospital"); err != nil || found != r.PrincipalID {
		t.Errorf("found %q, %v, want %q", found, err, r.PrincipalID)
	}
	if found, err := automation.PrincipalOf(t.Context(), s.client, "other"); err != nil || found != "" {
		t.Errorf("found %q, %v", found, err)
	}
	after := plan(t, i)
	if !after.Empty() || after.ClientID != r.ClientID {
		t.Errorf("it is planned again: %q", steps(after))
	}
	again := mustMake(t, i)
	if d := cmp.Diff(r, again, cmp.Comparer(func(a, b flowehr.Secret) bool { return a.Reveal() == b.Reveal() })); d != "" {
		t.Errorf("made twice, it differs:\n%s", d)
	}
}

// TestJobsSignIn: the identity can be used by the jobs that are trusted, and by no others.
func TestJobsSignIn(t *testing.T) {
	s := simulate(t, admin())
	r := mustMake(t, s.identity(t, options()))
	for subject, want := range map[string]bool{
		"repo:Hospital/flowehr-env:environment:prod":    true,
		"repo:Hospital/flowehr-env:ref:refs/heads/main": true,
		"repo:Hospital/flowehr-env:pull_request":        false,
		"repo:stranger/flowehr-env:environment:prod":    false,
		"repo:hospital/flowehr-env:environment:prod":    false, // letter by letter
	} {
		if got := s.reaches(t, s.job(r.ClientID, subject)); got != want {
			t.Errorf("%s: got %v, want %v", subject, got, want)
		}
	}
}

// TestTrustFollowsTheOptions: what is no longer wanted is no longer a way in, and what changed is changed.
func TestTrustFollowsTheOptions(t *testing.T) {
	s := simulate(t, admin())
	mustMake(t, s.identity(t, options()))
	o := options()
	o.Environments, o.SubjectPrefix = []string{"prod", "pr"}, "repo:Hospital@1/flowehr-env@2"
	i := s.identity(t, o)
	var changes []string
	for _, step := range steps(plan(t, i)) {
		if !strings.HasPrefix(step, "keep") {
			changes = append(changes, step)
		}
	}
	want := []string{"update federated credential github-environment-prod", "create federated credential github-environment-pr",
		"update federated credential github-branch-main", "delete federated credential github-environment-dev"}
	if d := cmp.Diff(want, changes); d != "" {
		t.Error(d)
	}
	r := mustMake(t, i)
	if p := plan(t, i); !p.Empty() {
		t.Errorf("still to do: %q", steps(p))
	}
	for subject, want := range map[string]bool{"repo:Hospital@1/flowehr-env@2:environment:pr": true,
		"repo:Hospital/flowehr-env:environment:dev": false, "repo:Hospital/flowehr-env:environment:prod": false} {
		if got := s.reaches(t, s.job(r.ClientID, subject)); got != want {
			t.Errorf("%s: got %v, want %v", subject, got, want)
		}
	}
}

// TestTrustOfOthersIsLeftAlone: a credential that somebody made by hand stays, and serves where it trusts the same jobs.
func TestTrustOfOthersIsLeftAlone(t *testing.T) {
	s := simulate(t, admin())
	o := options()
	o.Environments = []string{"dev"}
	r := mustMake(t, s.identity(t, o))
	byHand := map[string]any{"name": "by-hand", "issuer": "https://token.actions.githubusercontent.com", "subject": "repo:Hospital/flowehr-env:environment:prod",
		"audiences": []string{"api://AzureADTokenExchange"}}
	if err := s.client.Call(t.Context(), cloud.Graph(), http.MethodPost, "/v1.0/applications/"+r.ObjectID+"/federatedIdentityCredentials", byHand, nil); err != nil {
		t.Fatal(err)
	}
	i := s.identity(t, options())
	p := plan(t, i)
	if !p.Empty() || !slices.Contains(p.Warnings, "a federated credential that was made by somebody else is left alone: by-hand") {
		t.Errorf("got %q, warnings %q", steps(p), p.Warnings)
	}
	mustMake(t, i)
	if !s.reaches(t, s.job(r.ClientID, "repo:Hospital/flowehr-env:environment:prod")) {
		t.Error("the credential of somebody else is gone")
	}
}

// TestWhatThePersonMayNotGrantIsListed: an owner of the subscription who is no administrator of the directory, and the reverse.
func TestWhatThePersonMayNotGrantIsListed(t *testing.T) {
	missing := func(who azuresim.Identity) (list []string, r automation.IdentityResult, i *automation.Identity) {
		i = simulate(t, who).identity(t, options())
		r = mustMake(t, i)
		for _, m := range r.Missing {
			list = append(list, m.What+" by "+m.Who)
		}
		return list, r, i
	}
	developer := admin()
	developer.Graph = []string{"Application.ReadWrite.All", "Directory.Read.All"}
	got, r, i := missing(developer)
	const administrator = " of Microsoft Graph by a global administrator or a privileged role administrator of the directory"
	want := []string{"permission Application.ReadWrite.All" + administrator, "permission AppRoleAssignment.ReadWrite.All" + administrator,
		"permission Group.ReadWrite.All" + administrator, "permission Directory.Read.All" + administrator}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if how := r.Missing[0].How; how != i.ConsentURL(r.ClientID) || !strings.HasPrefix(how, "https://login.microsoftonline.com/") || !strings.HasSuffix(how, "/adminconsent?client_id="+r.ClientID) {
		t.Errorf("got %s", how)
	}
	contributor := admin()
	contributor.Role = "Contributor"
	got, r, _ = missing(contributor)
	if len(got) != 1 || !strings.HasPrefix(got[0], "role Owner on subscription ") || !strings.Contains(r.Missing[0].How, "--assignee-object-id "+r.PrincipalID) {
		t.Errorf("got %q", got)
	}
}

func TestClientSecretIsMadeOnceAndRotated(t *testing.T) {
	s := simulate(t, admin())
	o := options()
	o.SecretDays = 90
	i := s.identity(t, o)
	first := mustMake(t, i)
	if first.Secret.Reveal() == "" || !first.Expires.Equal(monday.AddDate(0, 0, 90)) {
		t.Fatalf("got %+v", first)
	}
	if last := first.Settings[len(first.Settings)-1]; last.Name != automation.ClientSecret || last.Secret.Reveal() != first.Secret.Reveal() {
		t.Errorf("the secret is not among the settings: %+v", first.Settings)
	}
	shown, err := json.Marshal(first)
	if err != nil || strings.Contains(string(shown)+fmt.Sprintf("%+v", first), first.Secret.Reveal()) {
		t.Errorf("the secret shows: %s, %v", shown, err)
	}
	if again := mustMake(t, i); again.Secret.Reveal() != "" || !again.Expires.Equal(first.Expires) {
		t.Error("another secret was made")
	}

	signsIn := func(secret flowehr.Secret) bool {
		return s.reaches(t, s.application(first.ClientID, secret.Reveal()))
	}
	down := errors.New("GitHub is down")
	var lost flowehr.Secret
	_, err = i.Rotate(t.Context(), func(_ context.Context, set []automation.Setting) error {
		lost = set[len(set)-1].Secret
		return down
	})
	if !errors.Is(err, down) || !signsIn(first.Secret) || !signsIn(lost) {
		t.Errorf("the old secret is gone before the new one is kept: %v", err)
	}
	r, err := i.Rotate(t.Context(), func(_ context.Context, set []automation.Setting) error {
		if set[len(set)-1].Name != automation.ClientSecret {
			t.Errorf("got %+v", set)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !signsIn(r.Secret) || signsIn(first.Secret) || signsIn(lost) {
		t.Errorf("new %v, old %v, lost %v", signsIn(r.Secret), signsIn(first.Secret), signsIn(lost))
	}
	if r, err := s.identity(t, options()).Rotate(t.Context(), nil); err != nil || !r.Expires.Equal(monday.AddDate(0, 0, 90)) {
		t.Errorf("of the same length: until %v, %v", r.Expires, err)
	}
	other := simulate(t, admin())
	without := other.identity(t, options())
	mustMake(t, without)
	if _, err := without.Rotate(t.Context(), nil); !errors.Is(err, automation.ErrNoSecret) {
		t.Errorf("without a secret: %v", err)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	s := simulate(t, admin())
	i := s.identity(t, options())
	r := mustMake(t, i)
	removed, err := i.Remove(t.Context())
	if err != nil || len(removed) != 2 {
		t.Fatalf("%q, %v", removed, err)
	}
	if s.reaches(t, s.job(r.ClientID, "repo:Hospital/flowehr-env:environment:prod")) {
		t.Error("jobs still sign in")
	}
	if p := plan(t, i); p.ClientID != "" || slices.ContainsFunc(p.Steps, func(s automation.IdentityStep) bool { return s.Action != flowehr.Create }) {
		t.Errorf("left: %q", steps(p))
	}
	if removed, err := i.Remove(t.Context()); err != nil || len(removed) > 0 {
		t.Errorf("removed again: %q, %v", removed, err)
	}
	if again := mustMake(t, i); again.ClientID == r.ClientID {
		t.Error("the old application came back")
	}
}

func TestOnlyAPersonMakesTheIdentity(t *testing.T) {
	s := simulate(t, azuresim.Deployer())
	for name, do := range map[string]func(*automation.Identity) error{
		"plan":   func(i *automation.Identity) error { _, err := i.Plan(t.Context()); return err },
		"make":   func(i *automation.Identity) error { _, err := i.Make(t.Context()); return err },
		"rotate": func(i *automation.Identity) error { _, err := i.Rotate(t.Context(), nil); return err },
		"remove": func(i *automation.Identity) error { _, err := i.Remove(t.Context()); return err },
	} {
		if err := do(s.identity(t, options())); !errors.Is(err, automation.ErrAutomation) {
			t.Errorf("%s by an application: %v", name, err)
		}
	}
	o := options()
	o.Automation = true
	if _, err := simulate(t, admin()).identity(t, o).Make(t.Context()); !errors.Is(err, automation.ErrAutomation) {
		t.Errorf("made in automation: %v", err)
	}
}

func TestNewIdentityRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*automation.IdentityOptions)
		want   string
	}{
		{"id", func(o *automation.IdentityOptions) { o.FlowEHRID = "a'b" }, `"a'b" is no flowehr_id: at most 12 lower-case letters, digits, - and _`},
		{"repository", func(o *automation.IdentityOptions) { o.Repository = "flowehr-env" }, `"flowehr-env" is no repository: want OWNER/NAME`},
		{"colon in an environment", func(o *automation.IdentityOptions) { o.Environments = []string{"prod:ref"} },
			`"prod:ref" is no name for a GitHub environment here: letters, digits, . - and _`},
		{"pattern for a branch", func(o *automation.IdentityOptions) { o.Branches = []string{"*"} }, `"*" is no branch: letters, digits, . / - and _`},
		{"too many", func(o *automation.IdentityOptions) { o.Environments = make([]string, 21) }, "an application takes 20 federated credentials, 22 are wanted"},
		{"secret for ever", func(o *automation.IdentityOptions) { o.SecretDays = 3650 }, "a client secret may be good for 1 to 365 days, not 3650"},
		{"nothing", func(o *automation.IdentityOptions) { o.Environments, o.Branches = nil, nil },
			"nothing could sign in: name a repository with its environments, or ask for a client secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			tt.change(&o)
			if _, err := automation.NewIdentity(nil, o); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// dying is a transport of a process that is killed: after some requests nothing goes through any more. The last one arrives,
// and its answer is lost.
type dying struct {
	*azuresim.Remote
	left int
}

func (d *dying) Do(r *http.Request) (*http.Response, error) {
	if d.left == 0 {
		return nil, context.Canceled
	}
	d.left--
	res, err := d.Remote.Do(r)
	if d.left == 0 && err == nil {
		res.Body.Close()
		return nil, context.Canceled
	}
	return res, err
}

// TestMakeGoesOnAfterAnyInterruption kills it after every number of requests that it makes, and lets it begin again.
func TestMakeGoesOnAfterAnyInterruption(t *testing.T) {
	o := options()
	o.SecretDays = 30
	cut := 0
	for n := 1; ; n++ {
		s := simulate(t, admin())
		broken := &dying{s.remote, n}
		c := cloud.New(cloud.Options{Credential: credential{s.sim.Tenant(), s.remote, admin()}, Subscription: s.sim.Subscription(), Tenant: s.sim.Tenant(),
			Transport: broken, Wait: s.remote.Wait, Attempts: 1})
		i, err := automation.NewIdentity(c, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = i.Make(t.Context())
		if err == nil {
			break
		}
		cut++
		again := s.identity(t, o)
		r, err := again.Make(t.Context())
		if err != nil {
			t.Fatalf("killed after %d requests, then: %v", n, err)
		}
		p := plan(t, again)
		if !p.Empty() || len(r.Missing) > 0 || slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "another application") }) {
			t.Errorf("killed after %d requests: %q, %+v, warnings %q", n, steps(p), r.Missing, p.Warnings)
		}
	}
	if cut < 20 {
		t.Errorf("it was killed %d times only", cut)
	}
}
