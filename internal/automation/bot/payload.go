package bot

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// Payload is what GitHub says of an event in the file that GITHUB_EVENT_PATH names, as far as it is believed: what may have
// changed since is asked again.
type Payload struct {
	Kind       Kind // empty for an event that is left alone
	Repository string
	Number     int
	Comment    Comment // without Writes
}

// payload is the form of issue_comment and pull_request_target events,
// https://docs.github.com/en/webhooks/webhook-events-and-payloads.
type payload struct {
	Action     string `json:"action"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Issue struct {
		Number      int             `json:"number"`
		PullRequest json.RawMessage `json:"pull_request"`
	} `json:"issue"`
	Comment struct {
		Body    string `json:"body"`
		HTMLURL string `json:"html_url"`
		User    struct {
			Login string `json:"login"`
			Type  string `json:"type"`
		} `json:"user"`
		App json.RawMessage `json:"performed_via_github_app"`
	} `json:"comment"`
	PullRequest struct {
		Number int `json:"number"`
	} `json:"pull_request"`
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$`)

// ReadPayload reads the event called name. One that means nothing here has no Kind and is no error; one that cannot be read
// is.
func ReadPayload(name string, data []byte) (Payload, error) {
	var in payload
	if err := json.Unmarshal(data, &in); err != nil {
		return Payload{}, fmt.Errorf("event %s: %w", name, err)
	}
	p := Payload{Repository: in.Repository.FullName}
	switch name {
	case "issue_comment":
		// An edited comment is not a new command: it may have been edited by somebody else than its author.
		if in.Action != "created" || !present(in.Issue.PullRequest) {
			return p, nil
		}
		c := in.Comment
		p.Kind, p.Number = Commented, in.Issue.Number
		p.Comment = Comment{Body: c.Body, Author: c.User.Login, URL: c.HTMLURL, Robot: c.User.Type != "User" || present(c.App)}
		if c.User.Login == "" {
			return Payload{}, fmt.Errorf("event %s: nobody wrote the comment", name)
		}
	case "pull_request", "pull_request_target":
		if p.Kind = pullKind(in.Action); p.Kind != "" {
			p.Number = in.PullRequest.Number
		}
	}
	if p.Kind == "" {
		return p, nil
	}
	if p.Number <= 0 || !repositoryName.MatchString(p.Repository) {
		return Payload{}, fmt.Errorf("event %s: it names neither a repository nor a pull request", name)
	}
	return p, nil
}

func pullKind(action string) Kind {
	switch action {
	case "opened", "reopened", "synchronize", "ready_for_review":
		return Changed
	case "closed":
		return Closed
	}
	return ""
}

func present(m json.RawMessage) bool { return len(m) > 0 && string(m) != "null" }
