// Package sqltext takes SQL text apart as far as the lake needs: into tokens, statements and the tables that they name.
//
// It is no parser: what a statement means is decided by the engine. It knows the lexical rules that Spark SQL and
// DuckDB share and refuses what they read differently, so that text cannot mean one thing to the check and another to
// the engine. The rule that holds here: the engine never gets the user's text, only what [Render] makes of its tokens.
package sqltext

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what a token is.
type Kind int

// Kinds of token.
const (
	Word   Kind = iota // a keyword or a name without quotes; Value is in lower case
	Name               // a name in backquotes; Value is without them
	Text               // a text literal; Value is what it says
	Number             // digits and what belongs to them
	Symbol             // one character, or ::
	Param              // @name; Value is the name in lower case
)

// Token is a piece of SQL. Raw is as it was written. Spaced tells that something stood between it and the token before.
type Token struct {
	Kind   Kind
	Raw    string
	Value  string
	Line   int
	Spaced bool
}

// Is reports whether the token is the keyword or symbol s, given in lower case.
func (t Token) Is(s string) bool { return (t.Kind == Word || t.Kind == Symbol) && t.Value == s }

// IsName reports whether the token can be a name.
func (t Token) IsName() bool { return t.Kind == Word || t.Kind == Name }

// SyntaxError is text that cannot be taken apart.
type SyntaxError struct {
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Tokenize takes text apart. Comments and space are dropped.
func Tokenize(text string) ([]Token, error) {
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{Line: 1, Reason: "the text is not valid UTF-8"}
	}
	s := scanner{rest: text, line: 1}
	var out []Token
	for {
		spaced, err := s.skip()
		if err != nil {
			return nil, err
		}
		if s.rest == "" {
			return out, nil
		}
		t, err := s.token()
		if err != nil {
			return nil, err
		}
		t.Spaced = spaced || len(out) == 0
		out = append(out, t)
	}
}

type scanner struct {
	rest string
	line int
}

func (s *scanner) fail(format string, args ...any) error {
	return &SyntaxError{Line: s.line, Reason: fmt.Sprintf(format, args...)}
}

// take cuts n bytes off the front.
func (s *scanner) take(n int) string {
	head := s.rest[:n]
	s.rest = s.rest[n:]
	s.line += strings.Count(head, "\n")
	return head
}

// skip drops space and comments.
func (s *scanner) skip() (skipped bool, err error) {
	for s.rest != "" {
		r, size := utf8.DecodeRuneInString(s.rest)
		switch {
		case unicode.IsSpace(r) || r == '\uFEFF':
			s.take(size)
		case strings.HasPrefix(s.rest, "--"):
			n := strings.IndexByte(s.rest, '\n')
			if n < 0 {
				n = len(s.rest)
			}
			s.take(n)
		case strings.HasPrefix(s.rest, "/*"):
			n := strings.Index(s.rest[2:], "*/")
			if n < 0 {
				return false, s.fail("the comment has no end")
			}
			if strings.Contains(s.rest[2:2+n], "/*") {
				return false, s.fail("a comment in a comment means different things to different engines")
			}
			s.take(n + 4)
		default:
			return skipped, nil
		}
		skipped = true
	}
	return skipped, nil
}

func (s *scanner) token() (Token, error) {
	line := s.line
	r, size := utf8.DecodeRuneInString(s.rest)
	switch {
	case r == '\'':
		return s.quoted('\'', Text)
	case r == '`':
		return s.quoted('`', Name)
	case r == '"':
		return Token{}, s.fail(`double quotes are text to Spark and a name to DuckDB: write 'text' or ` + "`name`")
	case r == '$':
		return Token{}, s.fail("$ is not used here: write a parameter as @name")
	case r == '@':
		n := wordLength(s.rest[1:])
		if n == 0 {
			return Token{}, s.fail("@ without a parameter's name")
		}
		raw := s.take(n + 1)
		return Token{Kind: Param, Raw: raw, Value: strings.ToLower(raw[1:]), Line: line}, nil
	case r >= '0' && r <= '9' || r == '.' && len(s.rest) > 1 && s.rest[1] >= '0' && s.rest[1] <= '9':
		raw := s.take(numberLength(s.rest))
		return Token{Kind: Number, Raw: raw, Value: raw, Line: line}, nil
	case wordStart(r):
		raw := s.take(wordLength(s.rest))
		if strings.HasPrefix(s.rest, "'") && len(raw) <= 2 {
			return Token{}, s.fail("a text with the prefix %s is read differently by different engines: write it without", raw)
		}
		return Token{Kind: Word, Raw: raw, Value: strings.ToLower(raw), Line: line}, nil
	case r < ' ' || r == 0x7f || r == utf8.RuneError:
		return Token{}, s.fail("the character %U does not belong in SQL", r)
	case strings.HasPrefix(s.rest, "::"):
		return Token{Kind: Symbol, Raw: s.take(2), Value: "::", Line: line}, nil
	}
	raw := s.take(size)
	return Token{Kind: Symbol, Raw: raw, Value: raw, Line: line}, nil
}

// quoted reads up to the closing quote; a doubled quote stands for one.
func (s *scanner) quoted(q byte, k Kind) (Token, error) {
	line := s.line
	for i := 1; i < len(s.rest); i++ {
		if s.rest[i] == 0 {
			return Token{}, s.fail("a zero byte does not belong in SQL")
		}
		if s.rest[i] != q {
			continue
		}
		if i+1 < len(s.rest) && s.rest[i+1] == q {
			i++
			continue
		}
		raw := s.take(i + 1)
		value := strings.ReplaceAll(raw[1:len(raw)-1], string(q)+string(q), string(q))
		if k == Name && value == "" {
			return Token{}, s.fail("the name is empty")
		}
		return Token{Kind: k, Raw: raw, Value: value, Line: line}, nil
	}
	return Token{}, s.fail("%c has no end", q)
}

func wordStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }

func wordLength(s string) int {
	for i, r := range s {
		if wordStart(r) || i > 0 && unicode.IsDigit(r) {
			continue
		}
		return i
	}
	return len(s)
}

// numberLength includes letters, so that 1e5 and 0x1F are one token and 1abc is none that the engine takes.
func numberLength(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c == '.', c == '_', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case (c == '+' || c == '-') && i > 0 && (s[i-1] == 'e' || s[i-1] == 'E'):
		default:
			return i
		}
	}
	return len(s)
}

// CheckParam reports why name cannot be a parameter's name.
func CheckParam(name string) error {
	if name == "" || wordLength(name) != len(name) {
		return fmt.Errorf("parameter name %q: want letters, digits and _", name)
	}
	return nil
}

// Variable is the name of the engine's variable that holds a parameter.
func Variable(param string) string { return "param_" + strings.ToLower(param) }

// ErrParam means that a statement uses a parameter that was not given.
var ErrParam = errors.New("parameter is not given")

// Render writes tokens as text for the engine. params are the names of the parameters that were given; :name stands
// for one only when it was given, because a colon has other uses.
func Render(tokens []Token, params []string) (string, error) {
	given := map[string]bool{}
	for _, p := range params {
		given[strings.ToLower(p)] = true
	}
	var b strings.Builder
	brackets := 0 // In them a colon is a range.
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.Is("["):
			brackets++
		case t.Is("]"):
			brackets--
		}
		if t.Spaced && b.Len() > 0 {
			b.WriteByte(' ')
		}
		switch {
		case t.Kind == Name:
			b.WriteString(`"` + strings.ReplaceAll(t.Value, `"`, `""`) + `"`)
		case t.Kind == Param:
			if !given[t.Value] {
				return "", fmt.Errorf("line %d: @%s: %w", t.Line, t.Value, ErrParam)
			}
			b.WriteString("getvariable('" + Variable(t.Value) + "')")
		case t.Is(":") && brackets == 0 && i+1 < len(tokens) && tokens[i+1].Kind == Word && !tokens[i+1].Spaced && given[tokens[i+1].Value]:
			i++
			b.WriteString("getvariable('" + Variable(tokens[i].Value) + "')")
		default:
			b.WriteString(t.Raw)
		}
	}
	return b.String(), nil
}

// fold returns a name as the engine compares it.
func fold(t Token) string { return strings.ToLower(t.Value) }

// Folded is the token's value in lower case, as names are compared.
func (t Token) Folded() string { return fold(t) }
