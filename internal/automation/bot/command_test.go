package bot

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// FuzzParseCommand: what is understood is exactly what a person sees in the first line.
func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"/test", "/test " + head, "/test-all\n/destroy", "/help\r\n", "/t\u0435st", "/", "", "x\n/test", "/test\t", "/destroy now", "/test " + head[:7]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, ok := ParseCommand(body)
		if !ok {
			if c != (Command{}) {
				t.Errorf("%q is no command and gave %+v", body, c)
			}
			if strings.HasPrefix(body, "/") {
				t.Errorf("%q begins with a slash and was not read", body)
			}
			return
		}
		if !strings.HasPrefix(body, "/") {
			t.Errorf("%q was read as a command", body)
		}
		if c.Odd != "" {
			return
		}
		words := strings.FieldsFunc(strings.SplitN(body, "\n", 2)[0], func(r rune) bool { return r == ' ' || r == '\r' })
		want := []string{c.Name}
		if c.SHA != "" {
			want = append(want, c.SHA)
		}
		if got := strings.Join(words, " "); !strings.EqualFold(got, strings.Join(want, " ")) || words[0] != c.Name {
			t.Errorf("%q was understood as %v", body, want)
		}
		if c.SHA != "" && !takesSHA[c.Name] {
			t.Errorf("%q names a commit where none may stand", body)
		}
	})
}

// TestNothingIsRunUnasked draws any event and checks what must hold of every decision.
func TestNothingIsRunUnasked(t *testing.T) {
	sha := rapid.SampledFrom([]string{head, older, head[:7], "main", ""})
	rapid.Check(t, func(t *rapid.T) {
		e := Event{
			Kind:       rapid.SampledFrom([]Kind{Commented, Changed, Closed, ""}).Draw(t, "kind"),
			Repository: repo,
			Comment: Comment{
				Body: rapid.SampledFrom([]string{"/test", "/test-all", "/test-force-approve", "/destroy", "/destroy-no-terraform", "/help", "/x", "x"}).Draw(t, "command") +
					rapid.SampledFrom([]string{"", " ", "\n", "\u00a0", "\t"}).Draw(t, "gap") + sha.Draw(t, "named"),
				Author: "ada", Writes: rapid.Bool().Draw(t, "writes"), Robot: rapid.Bool().Draw(t, "robot"),
			},
			Pull: Pull{
				Number: 12, Open: rapid.Bool().Draw(t, "open"), Head: sha.Draw(t, "head"),
				HeadRepository: rapid.SampledFrom([]string{repo, "stranger/x", ""}).Draw(t, "from"), AuthorWrites: rapid.Bool().Draw(t, "author"),
				Files: []string{rapid.SampledFrom([]string{"README.md", "config.yaml"}).Draw(t, "file")}, Partial: rapid.Bool().Draw(t, "partial"),
			},
		}
		d := Decide(e)
		if strings.HasPrefix(d.Reply, "/") {
			t.Fatalf("the reply is a command: %s", d.Reply)
		}
		if d.Status != nil && d.Status.SHA != e.Pull.Head {
			t.Fatalf("status of %s, the newest commit is %s", d.Status.SHA, e.Pull.Head)
		}
		passes := d.Status != nil && d.Status.State == Success && !DocumentationOnly(e.Pull.Files, e.Pull.Partial)
		runs := d.Dispatch != nil && d.Dispatch.SHA != ""
		if !runs && !passes {
			return
		}
		if e.Kind != Commented || !e.Comment.Writes || e.Comment.Robot || !e.Pull.Open {
			t.Fatalf("%+v led to %+v", e, d)
		}
		if runs && d.Dispatch.SHA != e.Pull.Head {
			t.Fatalf("runs %s, the newest commit is %s", d.Dispatch.SHA, e.Pull.Head)
		}
		if e.outside() && !strings.Contains(e.Comment.Body, e.Pull.Head) {
			t.Fatalf("from outside, without the commit being named: %+v led to %+v", e, d)
		}
	})
}
