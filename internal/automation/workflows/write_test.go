package workflows_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr/internal/automation/workflows"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func states(outcomes []workflows.Outcome) map[string]workflows.State {
	m := map[string]workflows.State{}
	for _, o := range outcomes {
		m[filepath.Base(o.Path)] = o.State
	}
	return m
}

// TestWriteKeepsWhatPeopleChanged goes through the life of a repository: made, made again, made by a newer version, changed by
// somebody, made with force.
func TestWriteKeepsWhatPeopleChanged(t *testing.T) {
	dir := t.TempDir()
	o := workflows.Options{Environments: []string{"prod"}, Version: "1.0.0"}
	first := mustRender(t, o)
	do := func(files []workflows.File, force bool) map[string]workflows.State {
		t.Helper()
		foreseen, err := workflows.Preview(dir, files, force)
		if err != nil {
			t.Fatal(err)
		}
		outcomes, err := workflows.Write(dir, files, force)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(foreseen, outcomes); d != "" {
			t.Errorf("the preview differs:\n%s", d)
		}
		return states(outcomes)
	}
	for name, s := range do(first, false) {
		if s != workflows.Written {
			t.Errorf("%s is %s", name, s)
		}
	}
	for name, s := range do(first, false) {
		if s != workflows.Unchanged {
			t.Errorf("%s is %s the second time", name, s)
		}
	}

	o.Version = "1.1.0"
	newer := mustRender(t, o)
	if got := do(newer, false)["action.yml"]; got != workflows.Updated {
		t.Errorf("what an earlier version made is %s", got)
	}

	const drift = ".github/workflows/flowehr-drift.yml"
	changed := strings.Replace(read(t, dir, drift), `"23 4 * * 1-5"`, `"0 3 * * *"`, 1)
	write(t, dir, drift, changed)
	if got := do(newer, false)["flowehr-drift.yml"]; got != workflows.Kept || read(t, dir, drift) != changed {
		t.Errorf("what people changed is %s", got)
	}
	outcomes, err := workflows.Preview(dir, newer, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		shown := strings.Contains(o.Diff, "\n-    - cron: \"0 3 * * *\"\n+    - cron: \"23 4 * * 1-5\"\n")
		if (o.Path == drift) != shown || o.Path != drift && o.Diff != "" {
			t.Errorf("%s: difference %q", o.Path, o.Diff)
		}
	}
	if got := do(newer, true)["flowehr-drift.yml"]; got != workflows.Replaced || read(t, dir, drift) == changed {
		t.Errorf("with force it is %s", got)
	}
	for name, s := range do(newer, false) {
		if s != workflows.Unchanged {
			t.Errorf("%s is %s in the end", name, s)
		}
	}
}

func TestWriteKeepsWhatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "Makefile", "all:\n\techo mine\n")
	outcomes, err := workflows.Write(dir, []workflows.File{workflows.Makefile()}, false)
	if err != nil || len(outcomes) != 1 || outcomes[0].State != workflows.Kept || read(t, dir, "Makefile") != "all:\n\techo mine\n" {
		t.Errorf("%+v, %v", outcomes, err)
	}
}

// TestWriteOverlooksLineEnds: git may have changed them.
func TestWriteOverlooksLineEnds(t *testing.T) {
	dir := t.TempDir()
	f := workflows.Makefile()
	write(t, dir, "Makefile", strings.ReplaceAll(string(f.Content), "\n", "\r\n"))
	outcomes, err := workflows.Write(dir, []workflows.File{f}, false)
	if err != nil || outcomes[0].State != workflows.Unchanged {
		t.Errorf("%+v, %v", outcomes, err)
	}
}

func TestWriteStaysInTheRepository(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".github")); err != nil {
		t.Skip(err)
	}
	files := mustRender(t, workflows.Options{Environments: []string{"prod"}, Version: "1.0.0"})
	if _, err := workflows.Write(dir, files, true); err == nil {
		t.Error("a link out of the repository was followed")
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("written elsewhere: %v, %v", left, err)
	}
}

// TestAnyChangeIsSeen: whichever byte of a made file changes, the file counts as changed by people.
func TestAnyChangeIsSeen(t *testing.T) {
	f := workflows.Makefile()
	rapid.Check(t, func(r *rapid.T) {
		at := rapid.IntRange(0, len(f.Content)-1).Draw(r, "at")
		b := rapid.Byte().Filter(func(b byte) bool { return b != f.Content[at] && b != '\r' }).Draw(r, "byte")
		changed := bytes.Clone(f.Content)
		changed[at] = b
		dir := t.TempDir()
		write(t, dir, "Makefile", string(changed))
		outcomes, err := workflows.Preview(dir, []workflows.File{f}, false)
		if err != nil {
			r.Fatal(err)
		}
		// Only the words of the signature after the digest may differ unseen.
		if first := bytes.IndexByte(f.Content, '\n'); outcomes[0].State != workflows.Kept && at > first {
			r.Fatalf("byte %d changed to %q: %s", at, b, outcomes[0].State)
		}
	})
}
