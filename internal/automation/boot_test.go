package automation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bootScript is what a machine runs before the runner, with its folder moved to dir.
func bootScript(t *testing.T, dir string) string {
	t.Helper()
	o := private()
	o.Runners.Version, o.Runners.SHA256 = "9.9.9", strings.Repeat("a", 64)
	_, script, found := strings.Cut(string(ground{o: o, n: o.Names()}.cloudInit()), "    content: |\n")
	script, _, ended := strings.Cut(script, "  - path: /etc/systemd")
	if !found || !ended {
		t.Fatal("the script is not where it was")
	}
	script = strings.ReplaceAll("\n"+script, "\n      ", "\n")
	return strings.ReplaceAll(script, "/opt/runner", dir)
}

// TestBootShowsTheTokenToNobody carries the script out with programs that write down how they were called.
func TestBootShowsTheTokenToNobody(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to run the script")
	}
	dir, programs := t.TempDir(), t.TempDir()
	log := filepath.Join(t.TempDir(), "log")
	for name, script := range map[string]string{
		"install": "", "iptables": `[ "$1" != -C ]`, "sha256sum": "cat >/dev/null", "chown": "", "hostname": "echo runner000001", "jq": "cat",
		"tar": `mkdir -p bin; for f in config.sh run.sh bin/installdependencies.sh; do printf '#!/bin/bash\n' > $f; chmod +x $f; done`,
		"curl": `case "$*" in
*169.254.169.254*) echo access-canary ;;
*vault.azure.net*) grep -q 'Bearer access-canary' && echo token-canary ;;
esac`,
		"runuser": `echo "token in the environment: ${ACTIONS_RUNNER_INPUT_TOKEN:+yes}" >> "$LOG"; touch .runner`,
	} {
		text := "#!/bin/bash\necho \"" + name + " $*\" >> \"$LOG\"\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(programs, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	boot := func() string {
		t.Helper()
		if err := os.WriteFile(log, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bash, "-c", bootScript(t, dir))
		cmd.Env = []string{"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"), "LOG=" + log}
		out, err := cmd.CombinedOutput()
		said, readErr := os.ReadFile(log)
		if err != nil || readErr != nil {
			t.Fatalf("%v %v\n%s\n%s", err, readErr, out, said)
		}
		if text := string(out) + string(said); strings.Contains(text, "canary") {
			t.Errorf("a token can be seen:\n%s", text)
		}
		return string(said)
	}
	first := boot()
	for _, want := range []string{"iptables -I OUTPUT -d 169.254.169.254 -m owner --uid-owner runner -j REJECT", "sha256sum --check --quiet",
		"--unattended --replace --url https://github.com/Hospital/flowehr-env --name runner000001 --labels flowehr-st-elsewhere-ci", "token in the environment: yes"} {
		if !strings.Contains(first, want) {
			t.Errorf("not done at the first boot: %s\n%s", want, first)
		}
	}
	again := boot()
	if strings.Contains(again, "runuser") || strings.Contains(again, "curl") || !strings.Contains(again, "iptables -I") {
		t.Errorf("at the next boot:\n%s", again)
	}
}
