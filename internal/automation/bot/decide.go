package bot

import (
	"fmt"
	"strings"
)

// Decide says what follows from an event. It is pure: the same event gives the same decision.
func Decide(e Event) Decision {
	switch e.Kind {
	case Commented:
		return decideComment(e)
	case Changed:
		return decideChange(e)
	case Closed:
		return decideClosed(e)
	}
	return Decision{Ignored: "not an event that the bot answers"}
}

// decideComment: who is asked first, then what, then whether the pull request may have it.
func decideComment(e Event) Decision {
	c, ok := ParseCommand(e.Comment.Body)
	if !ok {
		return Decision{Ignored: "the first line is no command"}
	}
	if e.Comment.Robot {
		return Decision{Ignored: "commands of bots and apps are not taken"}
	}
	if !e.Comment.Writes {
		if c.Name == "" {
			return Decision{Ignored: "the first line is no command, and its author may not give any"}
		}
		return Decision{Reply: reply(e, "Only people with write access to this repository may give commands here.")}
	}
	if c.Name == "" {
		return Decision{Reply: reply(e, "That was not understood: "+c.Odd+".\n\n"+helpText)}
	}
	if c.Odd != "" {
		return Decision{Reply: reply(e, "Nothing was done: "+c.Odd+".\n\n"+helpText)}
	}
	switch c.Name {
	case Test:
		return decideTest(e, c, ActionTest)
	case TestAll:
		return decideTest(e, c, ActionTestAll)
	case TestForceApprove:
		return decideApproval(e, c)
	case Destroy:
		return decideDestroy(e, ActionDestroy)
	case DestroyNoTerraform:
		return decideDestroy(e, ActionDestroyByName)
	}
	return Decision{Reply: reply(e, helpText)}
}

func decideTest(e Event, c Command, a Action) Decision {
	if refusal := e.refuse(c); refusal != "" {
		return Decision{Reply: reply(e, refusal)}
	}
	if DocumentationOnly(e.Pull.Files, e.Pull.Partial) {
		return Decision{Status: documentationStatus(e.Pull.Head), Reply: reply(e, "This changes documentation only, so there is nothing to deploy. It passes.")}
	}
	return Decision{
		Status:   &Status{e.Pull.Head, Pending, "deploying " + Suffix(e.Repository, e.Pull.Number)},
		Dispatch: &Dispatch{a, e.Pull.Number, e.Pull.Head},
		Reply: reply(e, fmt.Sprintf("Trying out %s as environment `%s`. The status `%s` of that commit says how it ends.",
			e.Pull.Head, Suffix(e.Repository, e.Pull.Number), StatusContext)),
	}
}

func decideApproval(e Event, c Command) Decision {
	if refusal := e.refuse(c); refusal != "" {
		return Decision{Reply: reply(e, refusal)}
	}
	return Decision{
		Status: &Status{e.Pull.Head, Success, "passed without a test, on the word of " + e.Comment.Author},
		Reply:  reply(e, fmt.Sprintf("%s passes without having been tried out, on the word of @%s.", e.Pull.Head, e.Comment.Author)),
	}
}

// decideDestroy reads nothing of the pull request, so it may be closed or come from anywhere.
func decideDestroy(e Event, a Action) Decision {
	how := "by what was recorded of it"
	if a == ActionDestroyByName {
		how = "by naming convention"
	}
	return Decision{
		Dispatch: &Dispatch{Action: a, Pull: e.Pull.Number},
		Reply:    reply(e, fmt.Sprintf("Destroying environment `%s`, %s.", Suffix(e.Repository, e.Pull.Number), how)),
	}
}

// refuse says why nothing of the pull request may be run, or nothing.
func (e Event) refuse(c Command) string {
	head := e.Pull.Head
	switch {
	case !e.Pull.Open:
		return "This pull request is closed."
	case !wholeSHA.MatchString(head):
		return "The newest commit of this pull request could not be found."
	case e.Pull.HeadRepository == "":
		return "The repository that this pull request comes from is gone."
	case c.SHA != "" && c.SHA != head:
		return fmt.Sprintf("`%s` is not the newest commit of this pull request, that is `%s`. Review it, then name it.", c.SHA, head)
	case c.SHA == "" && e.outside():
		return fmt.Sprintf("This pull request comes from outside, so the commit that you reviewed must be named in full. The newest one is `%s`.", head)
	}
	return ""
}

// outside: what stands in a fork is decided by whoever owns the fork, even when somebody of ours opened the pull request;
// and a branch of ours may have been pushed by an app, such as one that updates dependencies.
func (e Event) outside() bool {
	return !strings.EqualFold(e.Pull.HeadRepository, e.Repository) || !e.Pull.AuthorWrites
}

// decideChange gives every new commit its status, so that a branch that requires it waits for a test.
func decideChange(e Event) Decision {
	if !wholeSHA.MatchString(e.Pull.Head) {
		return Decision{Ignored: "the newest commit could not be found"}
	}
	if DocumentationOnly(e.Pull.Files, e.Pull.Partial) {
		return Decision{Status: documentationStatus(e.Pull.Head)}
	}
	text := "waiting for somebody to comment " + Test
	if e.outside() {
		text += " and the reviewed commit id"
	}
	return Decision{Status: &Status{e.Pull.Head, Pending, text}}
}

// decideClosed leaves nothing behind. Where no environment was made there is nothing to destroy, and that is quickly found.
func decideClosed(e Event) Decision {
	if DocumentationOnly(e.Pull.Files, e.Pull.Partial) {
		return Decision{Ignored: "it changed documentation only, so it has no environment"}
	}
	return Decision{Dispatch: &Dispatch{Action: ActionDestroy, Pull: e.Pull.Number}}
}

func documentationStatus(sha string) *Status {
	return &Status{sha, Success, "documentation only, nothing to deploy"}
}

// reply names what is answered. It never begins with a slash.
func reply(e Event, text string) string {
	return fmt.Sprintf("%s\n\n<sub>In answer to [this comment](%s) of @%s.</sub>\n", text, e.Comment.URL, e.Comment.Author)
}

const helpText = "Commands stand in the first line of a comment, and only people with write access may give them:\n\n" +
	"| command | does |\n|---|---|\n" +
	"| `/test [SHA]` | deploys the infrastructure of this pull request as an environment of its own and runs its pipelines |\n" +
	"| `/test-all [SHA]` | the same with its apps |\n" +
	"| `/test-force-approve [SHA]` | lets this commit pass without a test |\n" +
	"| `/destroy` | destroys the environment of this pull request |\n" +
	"| `/destroy-no-terraform` | destroys it by naming convention, when nothing else knows what was made |\n" +
	"| `/help` | shows this |\n\n" +
	"A pull request from outside needs the reviewed commit to be named in full. Changes of documentation only pass without a deployment."
