package workflows_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"

	"github.com/flowehr/flowehr/internal/automation/workflows"
)

// needs skips the test where a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(err)
		}
	}
}

// program puts a shell script into dir under a name.
func program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/bash\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs a script as GitHub does, with the programs of a folder before all others.
func run(t *testing.T, script, programs string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("bash", "-e", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// release makes the files of a release: an archive with a program that says its version, and the checksums.
func release(t *testing.T, dir, version string) (digest string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	body := "#!/bin/bash\necho flowehr " + version + "\n"
	if err := w.WriteHeader(&tar.Header{Name: "flowehr", Mode: 0o755, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	digest = hex.EncodeToString(sum[:])
	name := "flowehr_" + version + "_linux_amd64.tar.gz"
	for file, text := range map[string]string{name: b.String(), "checksums.txt": strings.Repeat("0", 64) + "  flowehr_" + version + "_linux_arm64.tar.gz\n" + digest + "  " + name + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return digest
}

// TestSetupInstallsOnlyWhatWasReleased carries the action out with a download that is a copy.
func TestSetupInstallsOnlyWhatWasReleased(t *testing.T) {
	needs(t, "bash", "awk", "sha256sum", "tar")
	var script string
	for _, f := range mustRender(t, full()) {
		if filepath.Base(f.Path) == "action.yml" {
			script = scriptsOf(string(f.Content))[0]
		}
	}
	for _, tt := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		env    []string // {digest} stands for the right one
		want   string   // in the output; empty means success
	}{
		{"released", nil, nil, ""},
		{"released, with a digest of our own", nil, []string{"SHA256={digest}"}, ""},
		{"another digest of our own", nil, []string{"SHA256=" + strings.Repeat("a", 64)}, "did NOT match"},
		{"archive changed", func(t *testing.T, dir string) {
			program(t, dir, "flowehr_1.2.3_linux_amd64.tar.gz", "echo evil")
		}, nil, "did NOT match"},
		{"archive not listed", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "checksums.txt"), []byte("x  other.tar.gz\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, nil, "do not list flowehr_1.2.3_linux_amd64.tar.gz once"},
		{"version that is none", nil, []string{"VERSION=1.2.3/../../evil"}, "version of flowehr is not a number like 1.2.3"},
		{"unknown machine", nil, []string{"RUNNER_ARCH=S390"}, "there is no release of flowehr for Linux/S390"},
		{"no such release", nil, []string{"VERSION=9.9.9"}, "No such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site, programs, temp := t.TempDir(), t.TempDir(), t.TempDir()
			digest := release(t, site, "1.2.3")
			if tt.tamper != nil {
				tt.tamper(t, site)
			}
			program(t, programs, "curl", `while [ $# -gt 1 ]; do if [ "$1" = -o ]; then to="$2"; fi; shift; done
case "$1" in https://*) cp "$SITE/${1##*/}" "$to" ;; *) exit 3 ;; esac
`)
			path := filepath.Join(temp, "path")
			env := append([]string{"VERSION=1.2.3", "SHA256=", "RUNNER_OS=Linux", "RUNNER_ARCH=X64", "RUNNER_TEMP=" + temp, "GITHUB_PATH=" + path,
				"RELEASES=https://example.invalid/releases", "SITE=" + site}, tt.env...)
			for i := range env {
				env[i] = strings.ReplaceAll(env[i], "{digest}", digest)
			}
			out, err := run(t, script, programs, env...)
			added, _ := os.ReadFile(path)
			if tt.want == "" {
				if err != nil || !strings.HasSuffix(out, "flowehr 1.2.3\n") || len(added) == 0 {
					t.Errorf("%v: %s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(out, tt.want) || len(added) > 0 {
				t.Errorf("want %q, got %v: %s", tt.want, err, out)
			}
		})
	}
}

// step finds the script of a step by its name.
func step(t *testing.T, files []workflows.File, file, name string) string {
	t.Helper()
	script := ""
	eachStep(parsed(t, files), func(w workflow, _ string, _ *actionlint.Job, s *actionlint.Step) {
		if run, ok := s.Exec.(*actionlint.ExecRun); ok && filepath.Base(w.path) == file && s.Name != nil && s.Name.Value == name {
			script = run.Run.Value
		}
	})
	if script == "" {
		t.Fatalf("%s has no step %q", file, name)
	}
	return script
}

// TestDriftSaysWhatItFound: the exit code of plan is that of the job, and the plan stands in the summary either way.
func TestDriftSaysWhatItFound(t *testing.T) {
	needs(t, "bash")
	script := step(t, mustRender(t, full()), "flowehr-drift.yml", "Compare what stands with what was deployed")
	for _, tt := range []struct {
		code int
		says bool
	}{{0, false}, {1, false}, {2, true}} {
		programs := t.TempDir()
		program(t, programs, "flowehr", fmt.Sprintf("echo the plan of \"$*\"\nexit %d\n", tt.code))
		summary := filepath.Join(t.TempDir(), "summary")
		out, err := run(t, script, programs, "ENVIRONMENT=prod", "GITHUB_STEP_SUMMARY="+summary)
		code := 0
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			code = e.ExitCode()
		}
		said, _ := os.ReadFile(summary)
		if code != tt.code || strings.Contains(out, "::error title=Drift::prod is not as it was deployed") != tt.says ||
			!strings.Contains(string(said), "the plan of plan --refresh-only --no-color\n") {
			t.Errorf("code %d: got %d, summary %q, output %q", tt.code, code, said, out)
		}
	}
}

// TestATestNeedsTheWholeCommit: the workflow does not trust whoever starts it by hand.
func TestATestNeedsTheWholeCommit(t *testing.T) {
	needs(t, "bash")
	script := step(t, mustRender(t, full()), "flowehr-pull-request.yml", "Name the environment")
	sha := strings.Repeat("0a", 20)
	for _, tt := range []struct {
		action, sha string
		want        bool
	}{
		{"test", sha, true}, {"test-all", sha, true}, {"destroy", "", true}, {"destroy-by-name", "", true},
		{"test", "", false}, {"test", "main", false}, {"test-all", sha[:7], false}, {"test", sha + "\n" + sha, false}, {"test", "x; touch evil", false},
	} {
		programs, output := t.TempDir(), filepath.Join(t.TempDir(), "output")
		program(t, programs, "flowehr", `[ "$*" = "ci suffix --pull 7" ] && echo flwr-00000000`)
		out, err := run(t, script, programs, "ACTION="+tt.action, "SHA="+tt.sha, "PULL=7", "GITHUB_OUTPUT="+output)
		said, _ := os.ReadFile(output)
		if (err == nil) != tt.want || (string(said) == "suffix=flwr-00000000\n") != tt.want {
			t.Errorf("%s %q: %v, %q, %s", tt.action, tt.sha, err, said, out)
		}
	}
}
