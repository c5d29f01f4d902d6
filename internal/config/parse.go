package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/flowehr/flowehr"
)

// Limits of one file. They are far above any real definition; they stop a file whose aliases multiply.
const (
	maxBytes = 1 << 20
	maxNodes = 50_000
	maxDepth = 64
)

// parse turns one YAML file into a tree. An empty file, or one with comments only, gives nil.
func parse(file string, data []byte) (*node, []flowehr.Diagnostic) {
	data, bad := checkText(file, data)
	if bad != nil {
		return nil, []flowehr.Diagnostic{*bad}
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, []flowehr.Diagnostic{syntax(file, data, err)}
	}
	p := &parser{file: file, left: maxNodes, open: map[*yaml.Node]bool{}}
	var root *node
	for first := true; ; first = false {
		var doc yaml.Node
		err := loader.Load(&doc)
		if errors.Is(err, io.EOF) {
			return root, p.diags
		}
		if err != nil {
			return nil, append(p.diags, syntax(file, data, err))
		}
		n := p.document(&doc)
		switch {
		case first:
			root = n
		case n.says():
			p.report(n.pos, "a second document starts here").Detail = "A file holds one document: remove the line with --- above this one."
			return root, p.diags
		}
	}
}

// checkText refuses what is not UTF-8 text and takes a byte order mark away.
func checkText(file string, data []byte) ([]byte, *flowehr.Diagnostic) {
	refuse := func(pos flowehr.Pos, summary, detail string) ([]byte, *flowehr.Diagnostic) {
		return nil, &flowehr.Diagnostic{Severity: flowehr.SeverityError, Summary: summary, Detail: detail, Pos: pos}
	}
	start := flowehr.Pos{File: file, Line: 1, Column: 1}
	if len(data) > maxBytes {
		return refuse(start, "the file is larger than 1 MiB", "A definition is a few pages of text. Is this the right file?")
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return refuse(start, "the file is saved as UTF-16", `Save it as UTF-8: editors offer that in "Save as" or "Save with encoding".`)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		pos := flowehr.Pos{File: file, Line: line, Column: column}
		switch {
		case r == utf8.RuneError && size == 1:
			return refuse(pos, "the file is not UTF-8 text", "A character here is in another encoding. Save the file as UTF-8.")
		case r < ' ' && r != '\n' && r != '\r' && r != '\t':
			return refuse(pos, "an invisible control character stands here", "Delete it; it often comes along when text is pasted.")
		case r == '\r' && (i+1 == len(data) || data[i+1] != '\n'), r == '\u0085', r == '\u2028', r == '\u2029':
			// YAML ends a line here and editors do not, so every position below would be wrong.
			return refuse(pos, "an unusual line break stands here", "Save the file with the line endings LF or CRLF, and delete the character if it came along with pasted text.")
		case r == '\n':
			line, column = line+1, 0
		}
		i, column = i+size, column+1
	}
	return data, nil
}

// syntax words a mistake in the notation. The library's own text names tokens of its scanner, so the mistakes that
// people make most are said in other words.
func syntax(file string, data []byte, err error) flowehr.Diagnostic {
	pos := flowehr.Pos{File: file, Line: 1, Column: 1}
	message := "the notation is not understood"
	if le, ok := errors.AsType[*yaml.LoadError](err); ok {
		if le.Mark.Line > 0 {
			pos.Line, pos.Column = le.Mark.Line, max(1, le.Mark.Column)
		}
		message = le.Message
	}
	lines := bytes.Split(data, []byte("\n"))
	// The scanner may stop behind the last line; people look for the mistake on it.
	if pos.Line > len(lines) {
		pos.Line = len(lines)
	}
	text := lines[pos.Line-1]
	pos.Column = min(pos.Column, utf8.RuneCount(text)+1)
	d := flowehr.Errorf(pos, "not valid YAML: %s", message)
	switch indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]; {
	case bytes.ContainsRune(indent, '\t'):
		pos.Column = bytes.IndexByte(indent, '\t') + 1
		d = flowehr.Errorf(pos, "a tab stands where spaces belong").
			With("YAML is indented with spaces only. Replace the tab by spaces, two for each level.")
	case strings.Contains(message, "mapping values are not allowed"):
		d = flowehr.Errorf(pos, `unexpected ": "`).
			With(`Either the line is indented differently from its neighbours, or a text holds ": " and needs quotes: key: "a: b".`)
	case strings.Contains(message, "unknown anchor"):
		d = d.With("An alias (*name) needs an anchor (&name) above it in the same file. A text that starts with * needs quotes.")
	case strings.Contains(message, "cannot start any token"):
		d = d.With("A text that starts with @, ` or %% needs quotes.")
	default:
		d = d.With("Look at this line and the one above: a missing colon, quote or bracket, or a different indentation.")
	}
	return d
}

// parser turns nodes of the library into ours.
type parser struct {
	file  string
	left  int                 // nodes that may still be made
	depth int                 // of the value being read
	open  map[*yaml.Node]bool // anchors being expanded
	diags []flowehr.Diagnostic
}

func (p *parser) report(pos flowehr.Pos, format string, args ...any) *flowehr.Diagnostic {
	p.diags = append(p.diags, flowehr.Errorf(pos, format, args...))
	return &p.diags[len(p.diags)-1]
}

func (p *parser) at(n *yaml.Node) flowehr.Pos {
	return flowehr.Pos{File: p.file, Line: max(1, n.Line), Column: max(1, n.Column)}
}

func (p *parser) document(doc *yaml.Node) *node {
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil
	}
	n := p.value(doc.Content[0])
	switch {
	case !n.says():
		return nil
	case n.kind != kindMapping:
		p.report(n.pos, "the file holds %s instead of keys", n.kind).Detail = "Each line at the left margin is a key, a colon and its value: environment: local"
		return nil
	}
	return n
}

// value reads one value. It never returns nil: what cannot be read is reported and becomes empty.
func (p *parser) value(y *yaml.Node) *node {
	n := &node{pos: p.at(y)}
	p.left--
	if p.left < 0 || p.depth >= maxDepth {
		if p.left > -maxNodes {
			p.left = -maxNodes // said once
			p.report(n.pos, "the definition is too large or nested too deeply").
				Detail = fmt.Sprintf("At most %d values, %d levels deep, aliases counted each time that they are used.", maxNodes, maxDepth)
		}
		return n
	}
	p.depth++
	defer func() { p.depth-- }()
	switch y.Kind {
	case yaml.AliasNode:
		if y.Alias == nil || p.open[y.Alias] {
			p.report(n.pos, "the alias *%s stands inside its own anchor", y.Value).Detail = "A value cannot contain itself."
			return n
		}
		return p.value(y.Alias)
	case yaml.MappingNode:
		n.kind = kindMapping
		p.open[y] = true
		p.fields(n, y)
		delete(p.open, y)
	case yaml.SequenceNode:
		n.kind = kindList
		p.open[y] = true
		for _, item := range y.Content {
			n.items = append(n.items, p.value(item))
		}
		delete(p.open, y)
	case yaml.ScalarNode:
		p.scalar(n, y)
	}
	return n
}

func (p *parser) scalar(n *node, y *yaml.Node) {
	n.text = y.Value
	n.plain = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
	switch tag := y.ShortTag(); {
	case tag == "!!null" && y.Value == "":
		n.kind = kindEmpty
	case tag == "!!null":
		n.kind = kindNull
	case y.Style&yaml.TaggedStyle != 0 && tag != "!!str" && tag != "!!int" && tag != "!!float" && tag != "!!bool":
		p.report(n.pos, "the tag %s is not supported", tag).Detail = "Write the value itself. A text that starts with ! needs quotes."
	default:
		n.kind = kindScalar
	}
}

// fields reads a mapping. A key stands once; what "<<" brings along gives way to keys that are written out.
func (p *parser) fields(n *node, y *yaml.Node) {
	at := map[string]flowehr.Pos{}
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		pos := p.at(k)
		if k.Kind == yaml.AliasNode && k.Alias != nil {
			k = k.Alias
		}
		switch first, twice := at[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			p.report(pos, "a key must be a single word").Detail = `A text that starts with [ or { needs quotes.`
		case k.ShortTag() == "!!merge":
			merged = append(merged, p.merged(v)...)
		case k.Value == "":
			p.report(pos, "a key is missing before the colon")
		case twice:
			p.report(pos, "key %q is here twice", k.Value).Detail =
				fmt.Sprintf("The first stands on line %d. Only one of them would count: merge them or remove one.", first.Line)
		default:
			at[k.Value] = pos
			n.fields = append(n.fields, field{key: k.Value, pos: pos, value: p.value(v)})
		}
	}
	for _, m := range merged {
		for _, f := range m.fields {
			if _, written := at[f.key]; !written {
				at[f.key] = f.pos
				n.fields = append(n.fields, f)
			}
		}
	}
}

// merged returns the mappings that a "<<" key names.
func (p *parser) merged(y *yaml.Node) []*node {
	said := len(p.diags)
	n := p.value(y)
	if len(p.diags) > said {
		return nil
	}
	list := []*node{n}
	if n.kind == kindList {
		list = n.items
	}
	for _, m := range list {
		if m.kind != kindMapping {
			p.report(p.at(y), `"<<" needs a group of keys`).Detail = "It takes the keys of an anchor: <<: *name"
			return nil
		}
	}
	return list
}
