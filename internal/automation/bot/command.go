package bot

import (
	"regexp"
	"strings"
)

// Command is what the first line of a comment asks for.
type Command struct {
	Name string // one of the names below; empty when the line begins with a slash and is none of them
	SHA  string // a whole commit id in lower case, when one was given
	Odd  string // what is wrong with the line, when something is
}

// Names of commands.
const (
	Test               = "/test"
	TestAll            = "/test-all"
	TestForceApprove   = "/test-force-approve"
	Destroy            = "/destroy"
	DestroyNoTerraform = "/destroy-no-terraform" // the older system's name for what is done by name
	Help               = "/help"
)

// takesSHA says of every command whether a commit may be named.
var takesSHA = map[string]bool{Test: true, TestAll: true, TestForceApprove: true, Destroy: false, DestroyNoTerraform: false, Help: false}

// A whole commit id. A beginning of one is not taken: commits that begin alike can be made on purpose.
var wholeSHA = regexp.MustCompile(`^[0-9a-f]{40}$`)

// ParseCommand reads the first line of a comment. ok is false when the line does not begin with a slash: then nobody meant
// the bot. Everything after the first line is for people.
//
// The line is read strictly, so that it means to the bot what it looks like to a person: printable ASCII, words parted by
// spaces, names in lower case. Whatever else stands there makes the command Odd.
func ParseCommand(body string) (c Command, ok bool) {
	line, _, _ := strings.Cut(body, "\n")
	line = strings.TrimRight(line, " \r")
	if !strings.HasPrefix(line, "/") {
		return Command{}, false
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Command{Odd: "it holds characters other than plain letters, digits and spaces"}, true
	}
	words := strings.Fields(line)
	name, args := words[0], words[1:]
	takes, known := takesSHA[name]
	if !known {
		return Command{Odd: "there is no such command"}, true
	}
	c.Name = name
	switch {
	case len(args) == 0:
	case !takes:
		c.Odd = "nothing may follow `" + name + "`"
	case len(args) > 1:
		c.Odd = "only one commit may follow `" + name + "`"
	case !wholeSHA.MatchString(strings.ToLower(args[0])):
		c.Odd = "what follows `" + name + "` must be a whole commit id of 40 characters"
	default:
		c.SHA = strings.ToLower(args[0])
	}
	return c, true
}
