package azuresim

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// sqlTokenKind tells what a piece of Transact-SQL is.
type sqlTokenKind int

const (
	sqlEnd      sqlTokenKind = iota
	sqlWord                  // a keyword or a plain identifier
	sqlQuoted                // [identifier] or "identifier"
	sqlString                // 'text' or N'text'
	sqlNumber                // 12 or 1.5
	sqlBinary                // 0x…
	sqlVariable              // @name or @@name
	sqlSymbol                // punctuation and operators
)

// sqlToken is a piece of Transact-SQL. Text is without quotation marks and with doubled ones made single.
type sqlToken struct {
	kind sqlTokenKind
	text string
}

// is reports whether the token is a keyword or a symbol, in any case.
func (t sqlToken) is(word string) bool {
	return (t.kind == sqlWord || t.kind == sqlSymbol) && strings.EqualFold(t.text, word)
}

// sqlTokens takes a batch apart.
func sqlTokens(text string) ([]sqlToken, *sqlError) {
	var tokens []sqlToken
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		var t sqlToken
		var err *sqlError
		switch {
		case unicode.IsSpace(r) || r == '\ufeff':
			text = text[n:]
			continue
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
			continue
		case strings.HasPrefix(text, "/*"):
			if text, err = sqlComment(text); err != nil {
				return nil, err
			}
			continue
		case r == '\'':
			t.kind = sqlString
			t.text, text, err = sqlUntil(text[1:], '\'')
		case (r == 'N' || r == 'n') && strings.HasPrefix(text[1:], "'"):
			t.kind = sqlString
			t.text, text, err = sqlUntil(text[2:], '\'')
		case r == '[':
			t.kind = sqlQuoted
			t.text, text, err = sqlUntil(text[1:], ']')
		case r == '"':
			t.kind = sqlQuoted
			t.text, text, err = sqlUntil(text[1:], '"')
		case strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X"):
			t.kind = sqlBinary
			t.text, text = sqlWhile(text[2:], isHex)
		case r >= '0' && r <= '9':
			t.kind = sqlNumber
			t.text, text = sqlWhile(text, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		case r == '@':
			t.kind = sqlVariable
			t.text, text = sqlWhile(text, isIdentifier)
		case isIdentifier(r):
			t.kind = sqlWord
			t.text, text = sqlWhile(text, isIdentifier)
		default:
			t.kind = sqlSymbol
			t.text, text = sqlOperator(text, n)
		}
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

func isHex(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F'
}

func isIdentifier(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '@' || r == '#' || r == '$'
}

func sqlWhile(text string, ok func(rune) bool) (token, rest string) {
	for i, r := range text {
		if !ok(r) {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

// sqlOperator takes the longest operator, at least the first rune, which is n bytes long.
func sqlOperator(text string, n int) (token, rest string) {
	for _, two := range []string{"<>", "!=", "<=", ">="} {
		if strings.HasPrefix(text, two) {
			return two, text[2:]
		}
	}
	return text[:n], text[n:]
}

// sqlUntil takes a quoted text up to its end mark; a doubled mark stands for one.
func sqlUntil(text string, end byte) (token, rest string, err *sqlError) {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, end)
		if i < 0 {
			return "", "", sqlFail(105, 15, "Unclosed quotation mark after the character string '%s'.", text)
		}
		b.WriteString(text[:i])
		text = text[i+1:]
		if text == "" || text[0] != end {
			return b.String(), text, nil
		}
		b.WriteByte(end)
		text = text[1:]
	}
}

// sqlComment passes over a comment; comments nest.
func sqlComment(text string) (string, *sqlError) {
	for depth := 0; ; {
		switch {
		case strings.HasPrefix(text, "/*"):
			depth, text = depth+1, text[2:]
		case strings.HasPrefix(text, "*/"):
			depth, text = depth-1, text[2:]
		case text == "":
			return "", sqlFail(113, 15, "Missing end comment mark '*/'.")
		default:
			text = text[1:]
		}
		if depth == 0 {
			return text, nil
		}
	}
}

// sqlParser walks over tokens.
type sqlParser struct {
	tokens     []sqlToken
	at         int
	aggregates int // how many the query that is being read has so far
	depth      int // of nesting
}

func (p *sqlParser) peek() sqlToken {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return sqlToken{}
}

// ahead looks n tokens further.
func (p *sqlParser) ahead(n int) sqlToken {
	if p.at+n < len(p.tokens) {
		return p.tokens[p.at+n]
	}
	return sqlToken{}
}

func (p *sqlParser) next() sqlToken {
	t := p.peek()
	p.at++
	return t
}

// accept passes over words when all of them come next.
func (p *sqlParser) accept(words ...string) bool {
	for i, w := range words {
		if !p.ahead(i).is(w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

// sqlDeepest is how far statements and expressions may nest.
const sqlDeepest = 200

func (p *sqlParser) descend() *sqlError {
	if p.depth++; p.depth > sqlDeepest {
		return sqlFail(191, 15, "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.")
	}
	return nil
}

func (p *sqlParser) ascend() { p.depth-- }

func (p *sqlParser) expect(words ...string) *sqlError {
	for _, w := range words {
		if !p.accept(w) {
			return p.unexpected()
		}
	}
	return nil
}

// unexpected is the server's complaint about the next token.
func (p *sqlParser) unexpected() *sqlError {
	return sqlFail(102, 15, "Incorrect syntax near '%s'.", p.peek().text)
}

// name reads one identifier.
func (p *sqlParser) name() (string, *sqlError) {
	if t := p.peek(); t.kind == sqlQuoted || t.kind == sqlWord {
		p.at++
		return t.text, nil
	}
	return "", p.unexpected()
}

// names reads an identifier of several parts.
func (p *sqlParser) names() ([]string, *sqlError) {
	first, err := p.name()
	if err != nil {
		return nil, err
	}
	parts := []string{first}
	for p.accept(".") {
		part, err := p.name()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}
