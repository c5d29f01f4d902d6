package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is GitHub in memory. What it is asked and told is in log.
type fake struct {
	pull    Pull
	author  string
	files   []string
	writers []string
	fail    string // beginning of the log line that fails
	log     []string
}

func (f *fake) note(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	f.log = append(f.log, line)
	if f.fail != "" && strings.HasPrefix(line, f.fail) {
		return errors.New("GitHub is down")
	}
	return nil
}

func (f *fake) Pull(_ context.Context, n int) (Pull, string, error) {
	return f.pull, f.author, f.note("read pull request %d", n)
}

func (f *fake) Files(_ context.Context, n int) ([]string, bool, error) {
	return f.files, false, f.note("read files of %d", n)
}

func (f *fake) MayWrite(_ context.Context, login string) (bool, error) {
	return slices.Contains(f.writers, login), f.note("may %s write", login)
}

func (f *fake) Comment(_ context.Context, n int, text string) error {
	first, _, _ := strings.Cut(text, ".")
	return f.note("comment on %d: %s", n, first)
}

func (f *fake) SetStatus(_ context.Context, s Status) error {
	return f.note("status %s of %s: %s", s.State, s.SHA[:4], s.Description)
}

func (f *fake) Dispatch(_ context.Context, in map[string]string) error {
	return f.note("start %s of %s at %.4s", in["action"], in["pull"], in["sha"])
}

func world() *fake {
	return &fake{pull: Pull{Open: true, Head: head, HeadRepository: repo}, author: "bob", files: []string{"config.yaml"}, writers: []string{"ada", "bob"}}
}

func asked(body string) Payload {
	return Payload{Kind: Commented, Repository: repo, Number: 12, Comment: Comment{Body: body, Author: "ada"}}
}

func TestAnswer(t *testing.T) {
	suffix := Suffix(repo, 12)
	for _, tt := range []struct {
		name string
		in   Payload
		hub  func(*fake)
		want []string
	}{
		{"nothing is asked for what is no command", asked("hello"), nil, nil},
		{"nothing is asked for a robot", Payload{Kind: Commented, Repository: repo, Number: 12, Comment: Comment{Body: "/test", Author: "ada", Robot: true}}, nil, nil},
		{"nothing is asked for another event", Payload{Repository: repo}, nil, nil},
		{"no right is found out first", asked("/test"), func(f *fake) { f.writers = []string{"bob"} },
			[]string{"may ada write", "comment on 12: Only people with write access to this repository may give commands here"}},
		{"status before start before comment", asked("/test"), nil, []string{"may ada write", "read pull request 12", "read files of 12", "may bob write",
			"status pending of 4be1: deploying " + suffix, "start test of 12 at 4be1", "comment on 12: Trying out " + head + " as environment `" + suffix + "`"}},
		{"author without rights makes it a change from outside", asked("/test"), func(f *fake) { f.writers = []string{"ada"} },
			[]string{"may ada write", "read pull request 12", "read files of 12", "may bob write",
				"comment on 12: This pull request comes from outside, so the commit that you reviewed must be named in full"}},
		{"destroy sets no status", asked("/destroy"), nil, []string{"may ada write", "read pull request 12", "read files of 12", "may bob write",
			"start destroy of 12 at ", "comment on 12: Destroying environment `" + suffix + "`, by what was recorded of it"}},
		{"closed", Payload{Kind: Closed, Repository: repo, Number: 12}, nil,
			[]string{"read pull request 12", "read files of 12", "may bob write", "start destroy of 12 at "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := world()
			if tt.hub != nil {
				tt.hub(f)
			}
			if _, err := Answer(t.Context(), f, tt.in); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, f.log); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestAnswerFailsClosed: whatever GitHub does not answer, nothing is started and no commit passes.
func TestAnswerFailsClosed(t *testing.T) {
	for _, fail := range []string{"may ada", "read pull", "read files", "may bob", "status pending"} {
		f := world()
		f.fail = fail
		if _, err := Answer(t.Context(), f, asked("/test")); err == nil {
			t.Errorf("%s: no error", fail)
		}
		for _, line := range f.log {
			if strings.HasPrefix(line, "start") || strings.HasPrefix(line, "status success") {
				t.Errorf("%s failed, and then: %s", fail, line)
			}
		}
	}
}

func TestAnswerSaysThatTheTestDidNotStart(t *testing.T) {
	f := world()
	f.fail = "start"
	_, err := Answer(t.Context(), f, asked("/test"))
	if err == nil || f.log[len(f.log)-1] != "status error of 4be1: the test could not be started" {
		t.Errorf("%v, %q", err, f.log)
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		action Action
		result string
		want   []string
	}{
		{ActionTest, "success", []string{"status success of 4be1: deployed and its pipelines ran", "comment on 12: Trying out " + head + " ended with: success"}},
		{ActionTestAll, "failure", []string{"status failure of 4be1: the test ended with: failure", "comment on 12: Trying out " + head + " ended with: failure"}},
		{ActionTest, "cancelled", []string{"status error of 4be1: the test ended with: cancelled", "comment on 12: Trying out " + head + " ended with: cancelled"}},
		{ActionTest, "anything", []string{"status failure of 4be1: the test ended with: anything", "comment on 12: Trying out " + head + " ended with: anything"}},
		{ActionDestroy, "success", []string{"comment on 12: The environment of this pull request is gone"}},
		{ActionDestroyByName, "failure", []string{"comment on 12: The environment of this pull request could not be destroyed: failure"}},
	} {
		t.Run(string(tt.action)+" "+tt.result, func(t *testing.T) {
			f := world()
			if err := Report(t.Context(), f, Outcome{Action: tt.action, Pull: 12, SHA: head, Result: tt.result, RunURL: "https://x"}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, f.log); d != "" {
				t.Error(d)
			}
		})
	}
	f := world()
	if err := Report(t.Context(), f, Outcome{Action: ActionTest, Pull: 12, SHA: "", Result: "success"}); err == nil || len(f.log) > 0 {
		t.Errorf("a test of no commit was reported: %q, %v", f.log, err)
	}
}
