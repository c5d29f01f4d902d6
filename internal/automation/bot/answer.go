package bot

import (
	"context"
	"errors"
	"fmt"
)

// Reader asks GitHub about one repository. Its methods may be called for any pull request and any user.
type Reader interface {
	// Pull returns a pull request as it is now, without AuthorWrites, Files and Partial, and who opened it.
	Pull(ctx context.Context, number int) (p Pull, author string, err error)
	// Files lists the paths that a pull request touches; for a renamed file both names. partial says that there are more.
	Files(ctx context.Context, number int) (paths []string, partial bool, err error)
	// MayWrite reports whether a user may push to the repository. An unknown user may not.
	MayWrite(ctx context.Context, login string) (bool, error)
}

// Writer acts on one repository.
type Writer interface {
	// Comment writes a comment in Markdown.
	Comment(ctx context.Context, pull int, text string) error
	// SetStatus sets the status of a commit; a later one of the same commit replaces it.
	SetStatus(ctx context.Context, s Status) error
	// Dispatch starts [Workflow] as it stands on the default branch.
	Dispatch(ctx context.Context, inputs map[string]string) error
}

// Hub is GitHub, for one repository.
type Hub interface {
	Reader
	Writer
}

// Answer finds out what an event needs to know, decides and does what was decided. What it returns was done, when the error
// is nil.
func Answer(ctx context.Context, hub Hub, p Payload) (Decision, error) {
	e, err := inquire(ctx, hub, p)
	if err != nil {
		return Decision{}, err
	}
	d := Decide(e)
	return d, act(ctx, hub, e, d)
}

// inquire asks for no more than the decision depends on: most comments are no commands.
func inquire(ctx context.Context, hub Reader, p Payload) (e Event, err error) {
	e = Event{Kind: p.Kind, Repository: p.Repository, Comment: p.Comment, Pull: Pull{Number: p.Number}}
	if p.Kind == "" {
		return e, nil
	}
	if p.Kind == Commented {
		if _, command := ParseCommand(p.Comment.Body); !command || p.Comment.Robot {
			return e, nil
		}
		if e.Comment.Writes, err = hub.MayWrite(ctx, p.Comment.Author); err != nil {
			return e, fmt.Errorf("what may %s do here: %w", p.Comment.Author, err)
		}
		if !e.Comment.Writes {
			return e, nil
		}
	}
	var author string
	if e.Pull, author, err = hub.Pull(ctx, p.Number); err != nil {
		return e, fmt.Errorf("pull request %d: %w", p.Number, err)
	}
	e.Pull.Number = p.Number
	if e.Pull.Files, e.Pull.Partial, err = hub.Files(ctx, p.Number); err != nil {
		return e, fmt.Errorf("files of pull request %d: %w", p.Number, err)
	}
	if e.Pull.AuthorWrites, err = hub.MayWrite(ctx, author); err != nil {
		return e, fmt.Errorf("what may %s do here: %w", author, err)
	}
	return e, nil
}

// act does what was decided. The status comes first, so that a commit that is being tried out does not count as passed.
func act(ctx context.Context, hub Writer, e Event, d Decision) error {
	if d.Status != nil {
		if err := hub.SetStatus(ctx, *d.Status); err != nil {
			return fmt.Errorf("status of %s: %w", d.Status.SHA, err)
		}
	}
	if d.Dispatch != nil {
		if err := hub.Dispatch(ctx, d.Dispatch.Inputs()); err != nil {
			err = fmt.Errorf("start %s: %w", Workflow, err)
			if d.Status == nil {
				return err
			}
			return errors.Join(err, hub.SetStatus(ctx, Status{d.Status.SHA, Broken, "the test could not be started"}))
		}
	}
	if d.Reply != "" {
		if err := hub.Comment(ctx, e.Pull.Number, d.Reply); err != nil {
			return fmt.Errorf("comment on pull request %d: %w", e.Pull.Number, err)
		}
	}
	return nil
}

// Outcome is how a run of [Workflow] ended.
type Outcome struct {
	Action Action
	Pull   int
	SHA    string
	Result string // of the job, in GitHub's words: success, failure, cancelled, skipped
	RunURL string
}

// Report says on the pull request how a run ended: by the status of the commit that was tried out, and by a comment.
func Report(ctx context.Context, hub Writer, o Outcome) error {
	test := o.Action == ActionTest || o.Action == ActionTestAll
	if test && !wholeSHA.MatchString(o.SHA) {
		return fmt.Errorf("%q is no commit id", o.SHA)
	}
	text := fmt.Sprintf("The environment of this pull request could not be destroyed: %s.", o.Result)
	switch {
	case test:
		s := Status{SHA: o.SHA, State: Failure, Description: "the test ended with: " + o.Result}
		switch o.Result {
		case "success":
			s.State, s.Description = Success, "deployed and its pipelines ran"
		case "cancelled", "skipped":
			s.State = Broken
		}
		if err := hub.SetStatus(ctx, s); err != nil {
			return fmt.Errorf("status of %s: %w", o.SHA, err)
		}
		text = fmt.Sprintf("Trying out %s ended with: %s.", o.SHA, o.Result)
	case o.Result == "success":
		text = "The environment of this pull request is gone."
	}
	return hub.Comment(ctx, o.Pull, fmt.Sprintf("%s [Log of the run](%s)\n", text, o.RunURL))
}
