package bot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	head  = "4be1c0d5a2f7e8b9c0d1e2f3a4b5c6d7e8f90123"
	older = "4be1c0d5a2f7e8b9c0d1e2f3a4b5c6d7e8f90124" // differs in its last digit alone
	repo  = "Hospital/flowehr-env"
)

// inside is a pull request of our own, outside one of a fork.
func inside() Pull {
	return Pull{Number: 12, Open: true, Head: head, HeadRepository: repo, AuthorWrites: true, Files: []string{"config.yaml"}}
}

func outside() Pull {
	p := inside()
	p.HeadRepository, p.AuthorWrites = "stranger/flowehr-env", false
	return p
}

func comment(body string, p Pull) Event {
	return Event{Kind: Commented, Repository: repo, Pull: p,
		Comment: Comment{Body: body, Author: "ada", Writes: true, URL: "https://github.com/x"}}
}

// summary is a decision in short: what is started, which status is set, what the reply begins with.
type summary struct {
	Action, Tested, Passed, Says string
	Ignored                      bool
}

func summarise(d Decision) summary {
	s := summary{Ignored: d.Ignored != ""}
	if d.Dispatch != nil {
		s.Action = string(d.Dispatch.Action)
		s.Tested = d.Dispatch.SHA
	}
	if d.Status != nil && d.Status.State == Success {
		s.Passed = d.Status.SHA
	}
	s.Says, _, _ = strings.Cut(d.Reply, "\n")
	return s
}

func TestDecideComment(t *testing.T) {
	const (
		mustName  = "This pull request comes from outside, so the commit that you reviewed must be named in full. The newest one is `" + head + "`."
		notNewest = "`" + older + "` is not the newest commit of this pull request, that is `" + head + "`. Review it, then name it."
		noCommand = "That was not understood: there is no such command."
		plain     = "That was not understood: it holds characters other than plain letters, digits and spaces."
		whole     = "Nothing was done: what follows `/test` must be a whole commit id of 40 characters."
		noWrite   = "Only people with write access to this repository may give commands here."
		trying    = "Trying out " + head + " as environment `flwr-"
	)
	suffix := Suffix(repo, 12)
	tests := trying + strings.TrimPrefix(suffix, "flwr-") + "`. The status `flowehr/test` of that commit says how it ends."
	docs := inside()
	docs.Files = []string{"README.md", "docs/network.png"}
	closed := inside()
	closed.Open = false
	ourFork := outside()
	ourFork.AuthorWrites = true
	appBranch := inside()
	appBranch.AuthorWrites = false
	gone := outside()
	gone.HeadRepository = ""
	otherCase := inside()
	otherCase.HeadRepository = strings.ToUpper(repo)
	for _, tt := range []struct {
		name string
		in   Event
		want summary
	}{
		{"test", comment("/test", inside()), summary{Action: "test", Tested: head, Says: tests}},
		{"test all", comment("/test-all", inside()), summary{Action: "test-all", Tested: head, Says: tests}},
		{"test of a named commit", comment("/test "+head, inside()), summary{Action: "test", Tested: head, Says: tests}},
		{"commit in capitals", comment("/test "+strings.ToUpper(head), inside()), summary{Action: "test", Tested: head, Says: tests}},
		{"words for people below", comment("/test\nLooks good.\n/destroy", inside()), summary{Action: "test", Tested: head, Says: tests}},
		{"line ends of Windows", comment("/test\r\nplease", inside()), summary{Action: "test", Tested: head, Says: tests}},
		{"spaces at the end", comment("/test   ", inside()), summary{Action: "test", Tested: head, Says: tests}},
		{"repository in other case", comment("/test", otherCase), summary{Action: "test", Tested: head, Says: tests}},
		{"destroy", comment("/destroy", inside()), summary{Action: "destroy", Says: "Destroying environment `" + suffix + "`, by what was recorded of it."}},
		{"destroy by its old name", comment("/destroy-no-terraform", inside()), summary{Action: "destroy-by-name", Says: "Destroying environment `" + suffix + "`, by naming convention."}},
		{"destroy of a closed one", comment("/destroy", closed), summary{Action: "destroy", Says: "Destroying environment `" + suffix + "`, by what was recorded of it."}},
		{"approval", comment("/test-force-approve", inside()), summary{Passed: head, Says: head + " passes without having been tried out, on the word of @ada."}},
		{"help", comment("/help", inside()), summary{Says: "Commands stand in the first line of a comment, and only people with write access may give them:"}},
		{"documentation", comment("/test", docs), summary{Passed: head, Says: "This changes documentation only, so there is nothing to deploy. It passes."}},

		{"no command", comment("Thanks!", inside()), summary{Ignored: true}},
		{"nothing", comment("", inside()), summary{Ignored: true}},
		{"command in the second line", comment("Please\n/test", inside()), summary{Ignored: true}},
		{"command after an empty line", comment("\n/test", inside()), summary{Ignored: true}},
		{"command after a space", comment(" /test", inside()), summary{Ignored: true}},
		{"command in a quotation", comment("> /test", inside()), summary{Ignored: true}},
		{"command in code", comment("`/test`", inside()), summary{Ignored: true}},

		{"unknown", comment("/tset", inside()), summary{Says: noCommand}},
		{"capitals", comment("/TEST", inside()), summary{Says: noCommand}},
		{"a path", comment("/etc/hosts is wrong", inside()), summary{Says: noCommand}},
		{"only a slash", comment("/", inside()), summary{Says: noCommand}},
		{"a command that begins like another", comment("/testing", inside()), summary{Says: noCommand}},
		{"Cyrillic letter", comment("/t\u0435st", inside()), summary{Says: plain}},
		{"full-width slash", comment("\uff0ftest", inside()), summary{Ignored: true}},
		{"no-break space", comment("/test\u00a0"+head, inside()), summary{Says: plain}},
		{"zero-width space", comment("/test\u200b", inside()), summary{Says: plain}},
		{"reversed text", comment("/test \u202e"+head, inside()), summary{Says: plain}},
		{"tab", comment("/test\t"+head, inside()), summary{Says: plain}},
		{"bell", comment("/test\a", inside()), summary{Says: plain}},
		{"line separator", comment("/help\u2028/test", inside()), summary{Says: plain}},
		{"byte order mark", comment("\ufeff/test", inside()), summary{Ignored: true}},
		{"carriage return in the line", comment("/help\r/test", inside()), summary{Says: plain}},
		{"two commits", comment("/test "+head+" "+head, inside()), summary{Says: "Nothing was done: only one commit may follow `/test`."}},
		{"a branch", comment("/test main", inside()), summary{Says: whole}},
		{"an option", comment("/test --force", inside()), summary{Says: whole}},
		{"beginning of a commit", comment("/test "+head[:7], inside()), summary{Says: whole}},
		{"all but one digit of a commit", comment("/test "+head[:39], inside()), summary{Says: whole}},
		{"a digit too many", comment("/test "+head+"0", inside()), summary{Says: whole}},
		{"destroy of something else", comment("/destroy prod", inside()), summary{Says: "Nothing was done: nothing may follow `/destroy`."}},

		{"from outside", comment("/test", outside()), summary{Says: mustName}},
		{"all from outside", comment("/test-all", outside()), summary{Says: mustName}},
		{"approval from outside", comment("/test-force-approve", outside()), summary{Says: mustName}},
		{"reviewed from outside", comment("/test "+head, outside()), summary{Action: "test", Tested: head, Says: tests}},
		{"approved from outside", comment("/test-force-approve "+head, outside()), summary{Passed: head, Says: head + " passes without having been tried out, on the word of @ada."}},
		{"outside, pushed to since the review", comment("/test "+older, outside()), summary{Says: notNewest}},
		{"outside, approved at another commit", comment("/test-force-approve "+older, outside()), summary{Says: notNewest}},
		{"outside, beginning of a commit", comment("/test "+head[:12], outside()), summary{Says: whole}},
		{"fork opened by one of us", comment("/test", ourFork), summary{Says: mustName}},
		{"branch of ours pushed by an app", comment("/test", appBranch), summary{Says: mustName}},
		{"fork that is gone", comment("/test "+head, gone), summary{Says: "The repository that this pull request comes from is gone."}},
		{"inside, another commit", comment("/test "+older, inside()), summary{Says: notNewest}},
		{"closed", comment("/test", closed), summary{Says: "This pull request is closed."}},
		{"closed, approval", comment("/test-force-approve", closed), summary{Says: "This pull request is closed."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, summarise(Decide(tt.in))); d != "" {
				t.Errorf("%q:\n%s", tt.in.Comment.Body, d)
			}
		})
	}
	t.Run("without write access", func(t *testing.T) {
		for body, want := range map[string]summary{
			"/test": {Says: noWrite}, "/test " + head: {Says: noWrite}, "/destroy": {Says: noWrite}, "/test-force-approve": {Says: noWrite}, "/help": {Says: noWrite},
			"/etc/hosts": {Ignored: true}, "/t\u0435st": {Ignored: true}, "hello": {Ignored: true},
		} {
			e := comment(body, inside())
			e.Comment.Writes = false
			if d := cmp.Diff(want, summarise(Decide(e))); d != "" {
				t.Errorf("%q:\n%s", body, d)
			}
		}
	})
	t.Run("by a robot", func(t *testing.T) {
		for _, body := range []string{"/test", "/test " + head, "/destroy", "/help", "/what"} {
			e := comment(body, inside())
			e.Comment.Robot = true
			if d := cmp.Diff(summary{Ignored: true}, summarise(Decide(e))); d != "" {
				t.Errorf("%q:\n%s", body, d)
			}
		}
	})
	t.Run("unknown commit", func(t *testing.T) {
		p := inside()
		p.Head = "main"
		if got := summarise(Decide(comment("/test", p))).Says; got != "The newest commit of this pull request could not be found." {
			t.Errorf("got %q", got)
		}
	})
}

func TestDecideOfPullRequests(t *testing.T) {
	docs := outside()
	docs.Files = []string{"README.md"}
	odd := inside()
	odd.Head = ""
	for _, tt := range []struct {
		name string
		kind Kind
		pull Pull
		want Decision
	}{
		{"new commits", Changed, inside(), Decision{Status: &Status{head, Pending, "waiting for somebody to comment /test"}}},
		{"new commits from outside", Changed, outside(), Decision{Status: &Status{head, Pending, "waiting for somebody to comment /test and the reviewed commit id"}}},
		{"new documentation", Changed, docs, Decision{Status: &Status{head, Success, "documentation only, nothing to deploy"}}},
		{"no commit", Changed, odd, Decision{Ignored: "the newest commit could not be found"}},
		{"closed", Closed, inside(), Decision{Dispatch: &Dispatch{Action: ActionDestroy, Pull: 12}}},
		{"closed documentation", Closed, docs, Decision{Ignored: "it changed documentation only, so it has no environment"}},
		{"something else", "", inside(), Decision{Ignored: "not an event that the bot answers"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, Decide(Event{Kind: tt.kind, Repository: repo, Pull: tt.pull})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDocumentationOnly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		files   []string
		partial bool
		want    bool
	}{
		{"readme", []string{"README.md"}, false, true},
		{"page and picture", []string{"docs/a/b.MD", "docs/x.png", "LICENSE"}, false, true},
		{"no file", nil, false, false},
		{"not all files", []string{"README.md"}, true, false},
		{"configuration too", []string{"README.md", "config.yaml"}, false, false},
		{"configuration renamed to a page", []string{"notes.md", "config.prod.yaml"}, false, false},
		{"script among documents", []string{"docs/setup.sh"}, false, false},
		{"ending only", []string{"README.md.sh"}, false, false},
		{"no ending", []string{"docs/README"}, false, false},
		{"artifact of a pipeline", []string{"transform/pipelines/a/artifacts/model.md"}, false, false},
		{"file of an app", []string{"apps/README.md"}, false, false},
		{"folder called like a page", []string{"x.md/config.yaml"}, false, false},
		{"licence elsewhere", []string{"sub/LICENSE"}, false, false},
		{"above the repository", []string{"../x.md"}, false, false},
		{"hidden detour", []string{"docs/../apps/x.md"}, false, false},
		{"from the root", []string{"/x.md"}, false, false},
		{"nameless", []string{""}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := DocumentationOnly(tt.files, tt.partial); got != tt.want {
				t.Errorf("%q: got %v, want %v", tt.files, got, tt.want)
			}
		})
	}
}

func TestSuffix(t *testing.T) {
	a := Suffix(repo, 12)
	if len(a) != 13 || !PullSuffix(a) {
		t.Errorf("%q has not the form of a suffix", a)
	}
	if b := Suffix(strings.ToLower(repo), 12); a != b {
		t.Errorf("the case of the repository changes the suffix: %q and %q", a, b)
	}
	if b := Suffix("Hospital/other", 12); a == b {
		t.Errorf("two repositories share %q", a)
	}
	if b := Suffix(repo, 13); a == b {
		t.Errorf("two pull requests share %q", a)
	}
	for _, other := range []string{"", "flwr-", "flwr-1234567", "flwr-1234567g", "flwr-123456789", "prod", "xflwr-12345678", "flwr-1234567A"} {
		if PullSuffix(other) {
			t.Errorf("%q was taken for the suffix of a pull request", other)
		}
	}
}
