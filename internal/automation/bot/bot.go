// Package bot decides what happens when somebody comments on a pull request, changes or closes one, and which environments of
// pull requests have outlived their time.
//
// A pull request gets an environment of its own, named by [Suffix]. People with write access ask for it in the first line of
// a comment; [Decide] says what follows and [Answer] carries that out on GitHub. The package deploys nothing itself: it starts
// the workflow that does, at one exact commit. What it must know of GitHub it asks through [Reader] and [Writer].
//
// The rule that holds here: nothing of a pull request is run that somebody with write access has not asked for, and nothing
// from outside the repository that was not named by its whole commit id. Text of a comment is compared and never passed on.
package bot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// StatusContext is the name of the commit status that says whether a change was tried out. Require it on protected branches.
const StatusContext = "flowehr/test"

// Workflow is the file of the workflow that deploys, tests and destroys environments of pull requests.
const Workflow = "flowehr-pull-request.yml"

// Event is all that a decision depends on.
type Event struct {
	Kind       Kind
	Repository string  // owner/name
	Comment    Comment // when Kind is Commented
	Pull       Pull
}

// Kind says what happened.
type Kind string

// Kinds of event. The zero value is anything else, which is left alone.
const (
	Commented Kind = "commented" // a comment was written, just now
	Changed   Kind = "changed"   // the pull request was opened, opened again or got commits
	Closed    Kind = "closed"    // merged or not
)

// Comment is what somebody wrote.
type Comment struct {
	Body   string
	Author string
	Writes bool // the author may write to the repository
	Robot  bool // not written by a person's own hand: a bot, or an app in a person's name
	URL    string
}

// Pull is a pull request at the moment of the event.
type Pull struct {
	Number         int
	Open           bool
	Head           string   // commit id of its newest commit
	HeadRepository string   // owner/name; empty when it was deleted
	AuthorWrites   bool     // who opened it may write to the repository
	Files          []string // every path that it touches, old names of renamed files included
	Partial        bool     // Files is not all
}

// Decision is what is to be done. The zero value does nothing.
type Decision struct {
	Ignored  string    `json:"ignored,omitempty"` // why nothing is done
	Reply    string    `json:"reply,omitempty"`   // a comment in Markdown
	Status   *Status   `json:"status,omitempty"`
	Dispatch *Dispatch `json:"dispatch,omitempty"`
}

// Status is a commit status, of the context [StatusContext].
type Status struct {
	SHA         string `json:"sha"`
	State       State  `json:"state"`
	Description string `json:"description"` // at most 140 characters, as GitHub wants
}

// State is the state of a commit status in GitHub's words.
type State string

// States of a commit status.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure"
	Broken  State = "error"
)

// Dispatch starts [Workflow].
type Dispatch struct {
	Action Action `json:"action"`
	Pull   int    `json:"pull"`
	SHA    string `json:"sha,omitempty"` // empty when nothing of the pull request is read
}

// Action is what the workflow does.
type Action string

// Actions of the workflow.
const (
	ActionTest          Action = "test"            // deploy the infrastructure, run the pipelines
	ActionTestAll       Action = "test-all"        // and the apps
	ActionDestroy       Action = "destroy"         // by the recorded state
	ActionDestroyByName Action = "destroy-by-name" // by naming convention, when nothing else knows what was made
)

// Inputs are the inputs of the workflow.
func (d Dispatch) Inputs() map[string]string {
	return map[string]string{"action": string(d.Action), "pull": fmt.Sprint(d.Pull), "sha": d.SHA}
}

// RefID identifies a pull request in names: eight hexadecimal digits. The repository is part of it, because several may
// deploy to one subscription.
func RefID(repository string, pull int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\nrefs/pull/%d/merge\n", strings.ToLower(repository), pull))
	return hex.EncodeToString(sum[:4])
}

// Suffix is the naming suffix of a pull request's environment; SUFFIX_OVERRIDE takes it.
func Suffix(repository string, pull int) string { return suffixPrefix + RefID(repository, pull) }

const suffixPrefix = "flwr-"
