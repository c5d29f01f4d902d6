package expr

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth limits how deep an expression nests, which bounds the stack of parser and evaluator.
const maxDepth = 250

// Expression is a parsed text: a whole expression, whose value keeps its type, or a template, whose value is text. It
// is not changed after parsing and may be evaluated concurrently.
type Expression struct {
	source string
	whole  node   // nil for a template
	parts  []part // of a template
}

// part of a template: literal text or an expression.
type part struct {
	text string
	node node
	from int // of the expression's own text
	to   int
}

// node of the syntax tree. Offsets are bytes in the source.
type node interface{ span() (from, to int) }

type literal struct {
	from, to int
	value    Value
}

type call struct {
	from, to int
	name     string // as written
	function function
	args     []node
}

type access struct {
	from, to int
	base     node
	name     string // of a property written after a dot
	index    node   // nil for a property
	safe     bool   // written with a question mark
}

func (n *literal) span() (from, to int) { return n.from, n.to }
func (n *call) span() (from, to int)    { return n.from, n.to }
func (n *access) span() (from, to int)  { return n.from, n.to }

// Parse reads s. A text that is no expression by the rules of adf.md section 2.1 gives nil and no error. An unknown
// function or a wrong number of arguments is an error here. The error is an [*Error].
func Parse(s string) (*Expression, error) {
	switch classify(s) {
	case kindLiteral, kindEscaped:
		return nil, nil
	case kindTemplate:
		return parseTemplate(s)
	}
	p := &parser{source: s, at: 1, end: len(s)}
	n, err := p.whole()
	if err != nil {
		return nil, err
	}
	return &Expression{source: s, whole: n}, nil
}

type kind int

const (
	kindLiteral  kind = iota
	kindEscaped       // begins with @@
	kindTemplate      // holds @{...} or an escaped @@{
	kindWhole
)

func classify(s string) kind {
	switch {
	case strings.HasPrefix(s, "@@") && !strings.HasPrefix(s, "@@{"):
		return kindEscaped
	case strings.HasPrefix(s, "@{"), strings.HasPrefix(s, "@@{"):
		return kindTemplate
	case strings.HasPrefix(s, "@"):
		return kindWhole
	case strings.Contains(s, "@{"):
		return kindTemplate
	}
	return kindLiteral
}

// literalText is the value of a text for which Parse gives nil.
func literalText(s string) string {
	if classify(s) == kindEscaped {
		return s[1:]
	}
	return s
}

// parseTemplate splits s into text and expressions. In "@@{" the first sign escapes the second, and what follows is text.
func parseTemplate(s string) (*Expression, error) {
	x := &Expression{source: s}
	var text strings.Builder
	for at := 0; at < len(s); {
		switch {
		case strings.HasPrefix(s[at:], "@@{"):
			text.WriteString("@{")
			at += len("@@{")
		case strings.HasPrefix(s[at:], "@{"):
			if text.Len() > 0 {
				x.parts = append(x.parts, part{text: text.String()})
				text.Reset()
			}
			p := &parser{source: s, at: at + len("@{"), end: len(s)}
			n, err := p.hole()
			if err != nil {
				return nil, err
			}
			from, to := n.span()
			x.parts = append(x.parts, part{node: n, from: from, to: to})
			at = p.at
		default:
			text.WriteByte(s[at])
			at++
		}
	}
	if text.Len() > 0 {
		x.parts = append(x.parts, part{text: text.String()})
	}
	return x, nil
}

type parser struct {
	source string
	at     int
	end    int
	depth  int
}

func (p *parser) whole() (node, error) {
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < p.end {
		return nil, errorf(p.at, "the expression '%s' is not valid: unexpected %s after its end", clip(p.source), p.found())
	}
	return n, nil
}

// hole reads the expression of a template up to its closing brace. Braces inside quoted text do not close it, because
// they are part of a text token.
func (p *parser) hole() (node, error) {
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take("}") {
		return nil, p.expected("'}'")
	}
	return n, nil
}

func (p *parser) expression() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errorf(p.at, "the expression is nested more than %d levels deep", maxDepth)
	}
	defer func() { p.depth-- }()
	p.space()
	n, err := p.primary()
	if err != nil {
		return nil, err
	}
	for links := 0; ; links++ {
		if links > maxDepth {
			return nil, errorf(p.at, "the expression selects more than %d properties in a row", maxDepth)
		}
		next, err := p.accessor(n)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return n, nil
		}
		n = next
	}
}

func (p *parser) primary() (node, error) {
	from := p.at
	switch c := p.peek(); {
	case c == '\'':
		text, err := p.quoted()
		return &literal{from, p.at, text}, err
	case c == '-' || c == '+' || c == '.' || isDigit(c):
		v, err := p.number()
		return &literal{from, p.at, v}, err
	case isNameStart(c):
		return p.named()
	}
	return nil, p.expected("a value or a function")
}

// named reads true, false, null or a call.
func (p *parser) named() (node, error) {
	from := p.at
	name := p.name(false)
	nameEnd := p.at
	p.space()
	if !p.take("(") {
		p.at = nameEnd
		switch strings.ToLower(name) {
		case "true":
			return &literal{from, nameEnd, true}, nil
		case "false":
			return &literal{from, nameEnd, false}, nil
		case "null":
			return &literal{from, nameEnd, nil}, nil
		}
		return nil, errorf(from, "the expression '%s' is not valid: '%s' is neither a function call nor a literal",
			clip(p.source), name)
	}
	n := &call{from: from, name: name}
	if p.space(); !p.take(")") {
		for {
			arg, err := p.expression()
			if err != nil {
				return nil, err
			}
			n.args = append(n.args, arg)
			if p.space(); p.take(")") {
				break
			}
			if !p.take(",") {
				return nil, p.expected("',' or ')'")
			}
		}
	}
	n.to = p.at
	var err error
	n.function, err = lookupFunction(name, len(n.args), from)
	return n, err
}

// accessor reads one selection after base, or gives nil when none follows.
func (p *parser) accessor(base node) (node, error) {
	start := p.at
	from, _ := base.span()
	p.space()
	safe := p.take("?")
	switch {
	case p.take("["):
		index, err := p.expression()
		if err != nil {
			return nil, err
		}
		if p.space(); !p.take("]") {
			return nil, p.expected("']'")
		}
		return &access{from: from, to: p.at, base: base, index: index, safe: safe}, nil
	case p.take("."):
		p.space()
		if !isNameStart(p.peek()) {
			return nil, p.expected("a property name")
		}
		return &access{from: from, base: base, name: p.name(true), to: p.at, safe: safe}, nil
	case safe:
		return nil, p.expected("'.' or '[' after '?'")
	}
	p.at = start
	return nil, nil
}

// quoted reads a text in single quotes, in which two quotes stand for one.
func (p *parser) quoted() (string, error) {
	start := p.at
	var text strings.Builder
	for p.at++; p.at < p.end; {
		i := strings.IndexByte(p.source[p.at:p.end], '\'')
		if i < 0 {
			break
		}
		text.WriteString(p.source[p.at : p.at+i])
		p.at += i + 1
		if p.peek() != '\'' {
			return text.String(), nil
		}
		text.WriteByte('\'')
		p.at++
	}
	return "", errorf(start, "the expression '%s' is not valid: a text has no closing quote", clip(p.source))
}

func (p *parser) number() (Value, error) {
	start := p.at
	if c := p.peek(); c == '-' || c == '+' {
		p.at++
	}
	whole := p.digits()
	fraction, float := 0, false
	if p.peek() == '.' && isDigit(p.peekAt(1)) {
		float = true
		p.at++
		fraction = p.digits()
	}
	if whole+fraction == 0 {
		p.at = start
		return nil, p.expected("a value or a function")
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		mark := p.at
		p.at++
		if c := p.peek(); c == '-' || c == '+' {
			p.at++
		}
		if float = true; p.digits() == 0 {
			p.at = mark
			return nil, p.expected("the digits of an exponent")
		}
	}
	text := p.source[start:p.at]
	if !float {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errorf(start, "the number %s is out of range", clip(text))
	}
	return f, nil
}

func (p *parser) digits() (n int) {
	for ; isDigit(p.peek()); p.at++ {
		n++
	}
	return n
}

// name reads an identifier. A property may hold a hyphen: there are no operators that it could be taken for.
func (p *parser) name(hyphen bool) string {
	start := p.at
	for p.at < p.end {
		r, size := utf8.DecodeRuneInString(p.source[p.at:p.end])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && (!hyphen || r != '-') {
			break
		}
		p.at += size
	}
	return p.source[start:p.at]
}

func (p *parser) space() {
	for p.at < p.end {
		r, size := utf8.DecodeRuneInString(p.source[p.at:p.end])
		if !unicode.IsSpace(r) && r != '\ufeff' {
			return
		}
		p.at += size
	}
}

func (p *parser) take(token string) bool {
	if !strings.HasPrefix(p.source[p.at:p.end], token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *parser) peek() rune { return p.peekAt(0) }

func (p *parser) peekAt(ahead int) rune {
	if p.at+ahead >= p.end {
		return utf8.RuneError
	}
	r, _ := utf8.DecodeRuneInString(p.source[p.at+ahead : p.end])
	return r
}

func (p *parser) expected(what string) *Error {
	return errorf(p.at, "the expression '%s' is not valid: expected %s, found %s", clip(p.source), what, p.found())
}

func (p *parser) found() string {
	if p.at >= p.end {
		return "the end of the text"
	}
	r, _ := utf8.DecodeRuneInString(p.source[p.at:p.end])
	return strconv.QuoteRune(r)
}

func isDigit(r rune) bool     { return r >= '0' && r <= '9' }
func isNameStart(r rune) bool { return r == '_' || r != utf8.RuneError && unicode.IsLetter(r) }

// clip shortens a text for a message.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
