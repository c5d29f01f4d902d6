package bot

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// commentEvent is an issue_comment event with what GitHub sends and this package reads.
func commentEvent(action, userType, app, pull, body string) string {
	return fmt.Sprintf(`{"action":%q,"repository":{"full_name":%q},"issue":{"number":12,"pull_request":%s},
		"comment":{"body":%q,"html_url":"https://github.com/x","user":{"login":"ada","type":%q},"performed_via_github_app":%s,"author_association":"MEMBER"}}`,
		action, repo, pull, body, userType, app)
}

func TestReadPayload(t *testing.T) {
	person := Payload{Kind: Commented, Repository: repo, Number: 12, Comment: Comment{Body: "/test", Author: "ada", URL: "https://github.com/x"}}
	robot := person
	robot.Comment.Robot = true
	nothing := Payload{Repository: repo}
	pull := func(action string) string {
		return fmt.Sprintf(`{"action":%q,"repository":{"full_name":%q},"pull_request":{"number":12}}`, action, repo)
	}
	for _, tt := range []struct {
		name, event, data string
		want              Payload
	}{
		{"comment", "issue_comment", commentEvent("created", "User", "null", `{"url":"x"}`, "/test"), person},
		{"comment that was edited", "issue_comment", commentEvent("edited", "User", "null", `{"url":"x"}`, "/test"), nothing},
		{"comment that was deleted", "issue_comment", commentEvent("deleted", "User", "null", `{"url":"x"}`, "/test"), nothing},
		{"comment on an issue", "issue_comment", commentEvent("created", "User", "null", `null`, "/test"), nothing},
		{"comment of a bot", "issue_comment", commentEvent("created", "Bot", "null", `{"url":"x"}`, "/test"), robot},
		{"comment of an organisation", "issue_comment", commentEvent("created", "Organization", "null", `{"url":"x"}`, "/test"), robot},
		{"comment through an app", "issue_comment", commentEvent("created", "User", `{"id":1}`, `{"url":"x"}`, "/test"), robot},
		{"review comment", "pull_request_review_comment", commentEvent("created", "User", "null", `{"url":"x"}`, "/test"), nothing},
		{"opened", "pull_request_target", pull("opened"), Payload{Kind: Changed, Repository: repo, Number: 12}},
		{"pushed", "pull_request_target", pull("synchronize"), Payload{Kind: Changed, Repository: repo, Number: 12}},
		{"closed", "pull_request_target", pull("closed"), Payload{Kind: Closed, Repository: repo, Number: 12}},
		{"labelled", "pull_request_target", pull("labeled"), nothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadPayload(tt.event, []byte(tt.data))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadPayloadRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"no JSON":               `{`,
		"no number":             strings.Replace(commentEvent("created", "User", "null", `{}`, "/test"), `"number":12`, `"number":0`, 1),
		"no author":             strings.Replace(commentEvent("created", "User", "null", `{}`, "/test"), `"login":"ada"`, `"login":""`, 1),
		"path for a repository": strings.Replace(commentEvent("created", "User", "null", `{}`, "/test"), repo, "a/../b", 1),
		"no repository":         strings.Replace(commentEvent("created", "User", "null", `{}`, "/test"), repo, "", 1),
	} {
		if p, err := ReadPayload("issue_comment", []byte(data)); err == nil {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

func FuzzReadPayload(f *testing.F) {
	f.Add("issue_comment", commentEvent("created", "User", "null", `{"url":"x"}`, "/test"))
	f.Add("pull_request_target", `{"action":"closed","repository":{"full_name":"a/b"},"pull_request":{"number":1}}`)
	f.Fuzz(func(t *testing.T, name, data string) {
		p, err := ReadPayload(name, []byte(data))
		if err != nil || p.Kind == "" {
			return
		}
		if p.Number <= 0 || strings.Count(p.Repository, "/") != 1 || p.Kind == Commented && p.Comment.Author == "" {
			t.Errorf("%s %s was read as %+v", name, data, p)
		}
		if p.Comment.Writes {
			t.Error("an event said of itself that its author may write")
		}
	})
}
