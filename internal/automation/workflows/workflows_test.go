package workflows_test

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rhysd/actionlint"

	"github.com/flowehr/flowehr/internal/automation/workflows"
)

var update = flag.Bool("update", false, "rewrite golden files")

func full() workflows.Options {
	return workflows.Options{
		Environments: []string{"dev", "staging", "prod"}, PullRequest: "pr", Check: "dev", Branch: "main",
		Secrets: []string{"EPR_PASSWORD", "ARM_CLIENT_ID", "EPR_PASSWORD", "dw_user"}, ClientSecret: true, Apps: true, Version: "1.2.3", Life: 12 * time.Hour,
	}
}

// variants are options that make all branches of the templates.
func variants() map[string]workflows.Options {
	small := workflows.Options{Environments: []string{"prod"}, Version: "0.9.0-rc.1"}
	odd := full()
	odd.Environments, odd.Branch, odd.Check, odd.ClientSecret = []string{"1st", "a-b_c"}, "release/2.x", "", false
	return map[string]workflows.Options{"full": full(), "small": small, "odd names": odd}
}

func mustRender(t *testing.T, o workflows.Options) []workflows.File {
	t.Helper()
	files, err := workflows.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// repository writes files where actionlint takes them for a repository.
func repository(t *testing.T, files []workflows.File) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := workflows.Write(dir, files, false); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEveryWorkflowPassesActionlint(t *testing.T) {
	templates, err := workflows.AppTemplate()
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string][]workflows.File{"app template": templates}
	for name, o := range variants() {
		sets[name] = mustRender(t, o)
	}
	for name, files := range sets {
		t.Run(name, func(t *testing.T) {
			linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			problems, err := linter.LintRepository(repository(t, files))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Error(p)
			}
		})
	}
}

// TestActionlintSeesMistakes shows that the test above can fail.
func TestActionlintSeesMistakes(t *testing.T) {
	files := mustRender(t, full())
	for i, f := range files {
		files[i].Content = []byte(strings.ReplaceAll(string(f.Content), "inputs.environment", "inputs.enviroment"))
	}
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := linter.LintRepository(repository(t, files)); err != nil || len(problems) == 0 {
		t.Errorf("a misspelt input was not found: %v", err)
	}
}

// workflow is what the tests below look at.
type workflow struct {
	path string
	*actionlint.Workflow
}

func parsed(t *testing.T, files []workflows.File) []workflow {
	t.Helper()
	var all []workflow
	for _, f := range files {
		if !strings.HasPrefix(f.Path, ".github/workflows/") {
			continue
		}
		w, problems := actionlint.Parse(f.Content)
		if len(problems) > 0 {
			t.Fatalf("%s: %v", f.Path, problems)
		}
		all = append(all, workflow{f.Path, w})
	}
	return all
}

func eachStep(all []workflow, f func(w workflow, job string, j *actionlint.Job, s *actionlint.Step)) {
	for _, w := range all {
		for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
			for _, s := range w.Jobs[name].Steps {
				f(w, name, w.Jobs[name], s)
			}
		}
	}
}

// TestNoExpressionStandsInAScript: whatever somebody else wrote must not become part of a script.
func TestNoExpressionStandsInAScript(t *testing.T) {
	for name, files := range everything(t) {
		scripts := 0
		for _, f := range files {
			if filepath.Base(f.Path) == "action.yml" {
				for _, script := range scriptsOf(string(f.Content)) {
					scripts++
					if strings.Contains(script, "${{") {
						t.Errorf("%s: %s has an expression in a script:\n%s", name, f.Path, script)
					}
				}
			}
		}
		eachStep(parsed(t, files), func(w workflow, job string, _ *actionlint.Job, s *actionlint.Step) {
			if run, ok := s.Exec.(*actionlint.ExecRun); ok {
				scripts++
				if strings.Contains(run.Run.Value, "${{") {
					t.Errorf("%s: job %s of %s has an expression in a script:\n%s", name, job, w.path, run.Run.Value)
				}
			}
		})
		if scripts == 0 {
			t.Errorf("%s: no script was looked at", name)
		}
	}
}

// scriptsOf finds the scripts of a composite action, which actionlint does not parse.
func scriptsOf(text string) (scripts []string) {
	_, rest, found := strings.Cut(text, "      run: |\n")
	for found {
		var script strings.Builder
		for line := range strings.Lines(rest) {
			if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "        ") {
				break
			}
			script.WriteString(strings.TrimPrefix(line, "        "))
		}
		scripts = append(scripts, script.String())
		_, rest, found = strings.Cut(rest, "      run: |\n")
	}
	return scripts
}

func everything(t *testing.T) map[string][]workflows.File {
	t.Helper()
	sets := map[string][]workflows.File{}
	for name, o := range variants() {
		sets[name] = mustRender(t, o)
	}
	templates, err := workflows.AppTemplate()
	if err != nil {
		t.Fatal(err)
	}
	sets["app template"] = templates
	return sets
}

// TestScriptsAreSoundShell lets the shell read every script without running it.
func TestScriptsAreSoundShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to read the scripts")
	}
	check := func(where, script string) {
		cmd := exec.Command(bash, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", where, err, out)
		}
	}
	for name, files := range everything(t) {
		for _, f := range files {
			if filepath.Base(f.Path) == "action.yml" {
				for _, s := range scriptsOf(string(f.Content)) {
					check(name+": "+f.Path, s)
				}
			}
		}
		eachStep(parsed(t, files), func(w workflow, job string, _ *actionlint.Job, s *actionlint.Step) {
			if run, ok := s.Exec.(*actionlint.ExecRun); ok {
				check(name+": "+w.path+" "+job, run.Run.Value)
			}
		})
	}
}

// TestActionsOfOthersArePinned: a tag can be moved to other code, a commit cannot.
func TestActionsOfOthersArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40}$`)
	for name, files := range everything(t) {
		eachStep(parsed(t, files), func(w workflow, job string, _ *actionlint.Job, s *actionlint.Step) {
			action, ok := s.Exec.(*actionlint.ExecAction)
			if !ok {
				return
			}
			if uses := action.Uses.Value; uses != "./.github/actions/setup-flowehr" && !pinned.MatchString(uses) {
				t.Errorf("%s: job %s of %s uses %s", name, job, w.path, uses)
			}
			if keep := action.Inputs["persist-credentials"]; strings.HasPrefix(action.Uses.Value, "actions/checkout@") && (keep == nil || keep.Value.Value != "false") {
				t.Errorf("%s: job %s of %s leaves its token in the clone", name, job, w.path)
			}
		})
	}
}

// TestPermissionsAreTheLeast holds every job to the list; a job that is not in it has none but to read the repository.
func TestPermissionsAreTheLeast(t *testing.T) {
	signsIn := map[string]string{"contents": "read", "id-token": "write"}
	want := map[string]map[string]string{
		"flowehr-deploy.yml deploy-dev": signsIn, "flowehr-deploy.yml deploy-staging": signsIn, "flowehr-deploy.yml deploy-prod": signsIn,
		"flowehr-environment.yml deploy":       signsIn,
		"flowehr-drift.yml drift":              signsIn,
		"flowehr-apps.yml app":                 signsIn,
		"flowehr-pull-request.yml environment": signsIn,
		"flowehr-pull-request.yml report":      {"contents": "read", "pull-requests": "write", "statuses": "write"},
		"flowehr-bot.yml answer":               {"actions": "write", "contents": "read", "pull-requests": "write", "statuses": "write"},
		"flowehr-sweep.yml sweep":              {"actions": "write", "contents": "read", "id-token": "write", "pull-requests": "read"},
		"flowehr-checks.yml definition":        {"contents": "read"},
		"flowehr-checks.yml pipelines":         {"contents": "read"},
	}
	got := map[string]map[string]string{}
	for _, w := range parsed(t, mustRender(t, full())) {
		if w.Permissions == nil || w.Permissions.All != nil {
			t.Errorf("%s does not limit its permissions", w.path)
			continue
		}
		for name, j := range w.Jobs {
			p := j.Permissions
			if p == nil {
				p = w.Permissions
			}
			have := map[string]string{}
			for scope, v := range p.Scopes {
				have[scope] = v.Value.Value
			}
			got[filepath.Base(w.path)+" "+name] = have
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestCodeOfPullRequestsRunsWithoutRights: what checks a pull request has no secret and no machine of ours, and what has
// rights takes nothing from it but the definition, at a commit that was asked for.
func TestCodeOfPullRequestsRunsWithoutRights(t *testing.T) {
	for _, w := range parsed(t, mustRender(t, full())) {
		base := filepath.Base(w.path)
		for name, j := range w.Jobs {
			if base == "flowehr-checks.yml" || base == "flowehr-bot.yml" {
				if j.RunsOn == nil || len(j.RunsOn.Labels) != 1 || j.RunsOn.Labels[0].Value != "ubuntu-24.04" {
					t.Errorf("job %s of %s may run on a machine of ours", name, base)
				}
			}
		}
	}
	for _, f := range mustRender(t, full()) {
		text := string(f.Content)
		switch filepath.Base(f.Path) {
		case "flowehr-checks.yml":
			if strings.Contains(text, "secrets.") || strings.Contains(text, "pull_request_target") {
				t.Error("the checks of a pull request have secrets")
			}
		case "flowehr-bot.yml":
			if strings.Contains(text, "head") || strings.Contains(text, "secrets.") {
				t.Error("the bot fetches the pull request, or has secrets")
			}
		case "flowehr-pull-request.yml":
			if strings.Contains(text, "pull_request") || strings.Contains(text, "github.event.") {
				t.Error("the workflow with rights can be started by a pull request itself")
			}
		}
	}
}

// TestOneDeploymentOfAnEnvironmentAtATime: and none is cut short by the next.
func TestOneDeploymentOfAnEnvironmentAtATime(t *testing.T) {
	found := map[string]string{}
	for _, w := range parsed(t, mustRender(t, full())) {
		for _, j := range w.Jobs {
			for _, c := range []*actionlint.Concurrency{w.Concurrency, j.Concurrency} {
				if c == nil {
					continue
				}
				found[filepath.Base(w.path)] = c.Group.Value
				if cancel := c.CancelInProgress; filepath.Base(w.path) != "flowehr-checks.yml" && (cancel == nil || cancel.Value) {
					t.Errorf("%s cancels what it has begun in Azure", w.path)
				}
			}
		}
	}
	if got, want := found["flowehr-environment.yml"], "flowehr-environment-${{ inputs.environment }}"; got != want {
		t.Errorf("got group %q, want %q", got, want)
	}
	if got, want := found["flowehr-pull-request.yml"], "flowehr-pull-request-${{ inputs.pull }}"; got != want {
		t.Errorf("got group %q, want %q", got, want)
	}
}

// TestCalledWorkflowsHaveNoGroup: the app's workflow, which FlowEHR keeps, already has one of the environment's name, and GitHub
// ends a run whose called workflow waits for the group of its caller.
func TestCalledWorkflowsHaveNoGroup(t *testing.T) {
	files, err := workflows.AppTemplate()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed(t, files) {
		for name, j := range w.Jobs {
			if w.Concurrency != nil || j.Concurrency != nil {
				t.Errorf("job %s of %s has a concurrency group", name, w.path)
			}
		}
	}
}

func TestRenderGolden(t *testing.T) {
	for name, files := range everything(t) {
		dir := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-"))
		if *update {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range files {
			golden := filepath.Join(dir, strings.TrimPrefix(strings.ReplaceAll(f.Path, "/", "_"), "."))
			if *update {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, f.Content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(f.Content)); d != "" {
				t.Errorf("%s: %s\n%s", name, f.Path, d)
			}
		}
	}
}

func TestRenderMakesOnlyWhatIsUsed(t *testing.T) {
	paths := func(o workflows.Options) (names []string) {
		for _, f := range mustRender(t, o) {
			names = append(names, filepath.Base(f.Path))
		}
		return names
	}
	small := workflows.Options{Environments: []string{"prod"}, Version: "1.0.0"}
	want := []string{"action.yml", "flowehr-checks.yml", "flowehr-deploy.yml", "flowehr-drift.yml", "flowehr-environment.yml", "Makefile"}
	if d := cmp.Diff(want, paths(small)); d != "" {
		t.Error(d)
	}
	want = []string{"action.yml", "flowehr-apps.yml", "flowehr-bot.yml", "flowehr-checks.yml", "flowehr-deploy.yml", "flowehr-drift.yml",
		"flowehr-environment.yml", "flowehr-pull-request.yml", "flowehr-sweep.yml", "Makefile"}
	if d := cmp.Diff(want, paths(full())); d != "" {
		t.Error(d)
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*workflows.Options)
		want   string
	}{
		{"no environment", func(o *workflows.Options) { o.Environments = nil }, "no environment to deploy: add a file config.NAME.yaml"},
		{"script in an environment", func(o *workflows.Options) { o.Environments = []string{`a"; x`} }, `"a\"; x" is no environment: at most 12 lower-case letters, digits, - and _`},
		{"expression in a branch", func(o *workflows.Options) { o.Branch = "${{ x }}" }, `"${{ x }}" is no branch: letters, digits, . / - and _`},
		{"line break in a secret", func(o *workflows.Options) { o.Secrets = []string{"A\nB"} }, `"A\nB" is no name of a secret`},
		{"secret that GitHub refuses", func(o *workflows.Options) { o.Secrets = []string{"GitHub_Token"} },
			"GitHub keeps no secret whose name begins with GITHUB_, so ${GitHub_Token} of the definition must be called otherwise"},
		{"version that is none", func(o *workflows.Options) { o.Version = "dev" }, `"dev" is no released version of flowehr: want a number like 1.2.3`},
		{"pull requests in prod", func(o *workflows.Options) { o.PullRequest = "prod" }, "prod is deployed from the branch, so pull requests need another environment"},
		{"environment called all", func(o *workflows.Options) { o.Environments = []string{"all"} }, `an environment cannot be called "all" here: in the workflow that means every one`},
		{"twice", func(o *workflows.Options) { o.Environments = []string{"a", "b", "a"} }, "an environment is named twice: a, b, a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := full()
			tt.change(&o)
			if _, err := workflows.Render(o); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestMakefileCallsCommands runs make without carrying anything out.
func TestMakefileCallsCommands(t *testing.T) {
	// What runs the tests may be make itself, and would make this one say where it is.
	alone := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") })
	makeProgram, err := exec.LookPath("make")
	if err != nil {
		t.Skip("there is no make")
	}
	dir := repository(t, []workflows.File{workflows.Makefile()})
	for _, tt := range []struct{ goal, want string }{
		{"all", "flowehr deploy all"},
		{"infrastructure", "flowehr deploy infrastructure"},
		{"infrastructure-core", "flowehr deploy core"},
		{"infrastructure-transform", "flowehr deploy core\nflowehr deploy transform"},
		{"infrastructure-serve", "flowehr deploy core\nflowehr deploy serve"},
		{"apps", "flowehr deploy apps"},
		{"auth", "flowehr auth"},
		{"bootstrap", "flowehr bootstrap"},
		{"ci", "flowehr auth\nflowehr bootstrap\nflowehr ci init"},
		{"destroy", "flowehr destroy all"},
		{"destroy-infrastructure", "flowehr destroy infrastructure"},
		{"destroy-non-core", "flowehr destroy apps\nflowehr destroy serve\nflowehr destroy transform"},
		{"destroy-no-terraform", "flowehr destroy --by-name"},
		{"test", "flowehr deploy infrastructure\nflowehr pipelines test\nflowehr destroy all"},
		{"test-all", "flowehr deploy all\nflowehr pipelines test\nflowehr destroy all"},
		{"test-without-core-destroy", "flowehr deploy infrastructure\nflowehr pipelines test\nflowehr destroy apps\nflowehr destroy serve\nflowehr destroy transform"},
		{"clean", "flowehr clean"},
	} {
		t.Run(tt.goal, func(t *testing.T) {
			cmd := exec.Command(makeProgram, "-n", tt.goal, "CI=")
			cmd.Dir = dir
			cmd.Env = alone
			out, err := cmd.CombinedOutput()
			var got []string
			for line := range strings.Lines(string(out)) {
				got = append(got, strings.TrimSpace(line))
			}
			if err != nil || strings.Join(got, "\n") != tt.want {
				t.Errorf("%v, got:\n%s\nwant:\n%s", err, strings.Join(got, "\n"), tt.want)
			}
		})
	}
	cmd := exec.Command(makeProgram, "-n", "destroy", "CI=true")
	cmd.Dir, cmd.Env = dir, alone
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "flowehr destroy all --yes" {
		t.Errorf("a machine is asked: %s %v", out, err)
	}
	cmd = exec.Command(makeProgram)
	cmd.Dir, cmd.Env = dir, alone
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("  %-36s %s", "destroy-no-terraform", "remove by name")) {
		t.Errorf("help: %v\n%s", err, out)
	}
}
