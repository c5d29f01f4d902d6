package expr

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/antchfx/xmlquery"
	"github.com/antchfx/xpath"
)

// Limits of XML, which the libraries walk recursively.
const (
	maxXMLBytes   = 4 << 20
	maxXMLDepth   = 256
	maxXPathText  = 4096
	maxXPathDepth = 64
)

func toXML(c *fcall) (Value, error) {
	var text string
	switch v := c.args[0].(type) {
	case string:
		text = v
	case *Object:
		if contentType, data, ok := contentOf(v); ok && strings.Contains(contentType, "xml") {
			text = string(data)
			break
		}
		var err error
		if text, err = jsonToXML(v); err != nil {
			return nil, c.fail("parameter is not valid. %s.", err.Error())
		}
	default:
		return nil, c.want(0, "a string or an object")
	}
	if err := c.ev.spendText(len(text), c.from); err != nil {
		return nil, err
	}
	if _, err := parseXML([]byte(text)); err != nil {
		return nil, c.fail("parameter is not valid. The provided value cannot be converted to XML: %s.", err.Error())
	}
	return content(typeXML, []byte(text)), nil
}

// parseXML reads a document with exactly one root, of limited depth.
func parseXML(data []byte) (*xmlquery.Node, error) {
	if len(data) > maxXMLBytes {
		return nil, fmt.Errorf("the document is longer than %d MiB", maxXMLBytes>>20)
	}
	depth, roots := 0, 0
	for dec := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth++; depth > maxXMLDepth {
				return nil, fmt.Errorf("elements are nested more than %d levels deep", maxXMLDepth)
			}
		case xml.EndElement:
			depth--
		}
	}
	if roots != 1 {
		return nil, fmt.Errorf("a document has one root element, not %d", roots)
	}
	return xmlquery.Parse(bytes.NewReader(data))
}

// xmlToJSON follows the service's convention: attributes are "@name", text beside other content is "#text", the
// declaration is "?xml", one child is a value and several of one name are an array.
func xmlToJSON(c *fcall, data []byte) (Value, error) {
	doc, err := parseXML(data)
	if err != nil {
		return nil, c.fail("parameter is not valid. The provided XML cannot be read: %s.", err.Error())
	}
	o := NewObject()
	for n := doc.FirstChild; n != nil; n = n.NextSibling {
		switch n.Type {
		case xmlquery.DeclarationNode:
			if declaration := attributes(n); declaration.Len() > 0 {
				o.Set("?"+n.Data, declaration)
			}
		case xmlquery.ElementNode:
			o.Set(qualified(n.Prefix, n.Data), elementJSON(n))
		}
	}
	return o, nil
}

func attributes(n *xmlquery.Node) *Object {
	o := NewObject()
	for _, a := range n.Attr {
		o.Set("@"+qualified(a.Name.Space, a.Name.Local), a.Value)
	}
	return o
}

func qualified(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + ":" + name
}

func elementJSON(n *xmlquery.Node) Value {
	o := attributes(n)
	var text strings.Builder
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		switch child.Type {
		case xmlquery.TextNode:
			if strings.TrimSpace(child.Data) != "" {
				text.WriteString(child.Data)
			}
		case xmlquery.CharDataNode:
			text.WriteString(child.Data)
		case xmlquery.ElementNode:
			addChild(o, qualified(child.Prefix, child.Data), elementJSON(child))
		}
	}
	switch {
	case o.Len() == 0 && text.Len() == 0:
		return nil
	case o.Len() == 0:
		return text.String()
	case text.Len() > 0:
		o.Set("#text", text.String())
	}
	return o
}

func addChild(o *Object, name string, v Value) {
	before, again := o.Get(name)
	if !again {
		o.Set(name, v)
		return
	}
	if list, ok := before.([]Value); ok {
		o.Set(name, append(list, v))
		return
	}
	o.Set(name, []Value{before, v})
}

// jsonToXML is the opposite of xmlToJSON.
func jsonToXML(o *Object) (string, error) {
	var b strings.Builder
	roots := 0
	for name, v := range o.All() {
		switch {
		case strings.HasPrefix(name, "?"):
			b.WriteString("<" + name)
			declaration, _ := v.(*Object)
			for key, value := range declaration.All() {
				writeAttribute(&b, strings.TrimPrefix(key, "@"), value)
			}
			b.WriteString("?>")
		default:
			if _, several := v.([]Value); several {
				return "", errors.New("the root of an XML document cannot be an array")
			}
			roots++
			writeElement(&b, name, v)
		}
	}
	if roots != 1 {
		return "", fmt.Errorf("an object that becomes XML has one property, the root, not %d", roots)
	}
	return b.String(), nil
}

func writeElement(b *strings.Builder, name string, v Value) {
	if list, ok := v.([]Value); ok {
		for _, element := range list {
			writeElement(b, name, element)
		}
		return
	}
	b.WriteString("<" + name)
	o, isObject := v.(*Object)
	if !isObject {
		b.WriteString(">" + escapeXML(xmlText(v)) + "</" + name + ">")
		return
	}
	for key, value := range o.All() {
		if attribute, ok := strings.CutPrefix(key, "@"); ok {
			writeAttribute(b, attribute, value)
		}
	}
	b.WriteString(">")
	for key, value := range o.All() {
		switch {
		case key == "#text":
			b.WriteString(escapeXML(xmlText(value)))
		case !strings.HasPrefix(key, "@"):
			writeElement(b, key, value)
		}
	}
	b.WriteString("</" + name + ">")
}

func writeAttribute(b *strings.Builder, name string, v Value) {
	b.WriteString(" " + name + `="` + escapeXML(xmlText(v)) + `"`)
}

// xmlText writes Booleans in lower case, as XML does.
func xmlText(v Value) string {
	if flag, ok := v.(bool); ok {
		return strings.ToLower(Text(flag))
	}
	return Text(v)
}

func escapeXML(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
	return b.String()
}

// evalXPath gives a scalar for an expression that yields one, else an array of XML contents, one for each node.
func evalXPath(c *fcall) (v Value, err error) {
	_, data, ok := contentOf(c.args[0])
	if !ok {
		return nil, c.want(0, "an XML value")
	}
	path, err := c.text(1)
	if err != nil {
		return nil, err
	}
	doc, err := parseXML(data)
	if err != nil {
		return nil, c.fail("parameter is not valid. The provided XML cannot be read: %s.", err.Error())
	}
	if len(path) > maxXPathText || strings.Count(path, "(")+strings.Count(path, "[") > maxXPathDepth {
		return nil, c.fail("was given an XPath expression that is too long or too deeply nested.")
	}
	// The library panics on some expressions that it cannot evaluate, a function with a wrong argument for example.
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, c.fail("cannot evaluate the XPath expression '%s': %v.", clip(path), r)
		}
	}()
	compiled, err := xpath.Compile(path)
	if err != nil {
		return nil, c.fail("was given an XPath expression that is not valid, '%s': %s.", clip(path), err.Error())
	}
	switch result := compiled.Evaluate(xmlquery.CreateXPathNavigator(doc)).(type) {
	case float64:
		return wholeOrFloat(result), nil
	case string:
		return c.result(result)
	case bool:
		return result, nil
	case *xpath.NodeIterator:
		return xpathNodes(c, result)
	default:
		return nil, c.fail("cannot use the result of the XPath expression '%s'.", clip(path))
	}
}

func wholeOrFloat(f float64) Value {
	if n := int64(f); float64(n) == f && f > -1<<53 && f < 1<<53 {
		return n
	}
	return f
}

func xpathNodes(c *fcall, nodes *xpath.NodeIterator) (Value, error) {
	var list []Value
	for nodes.MoveNext() {
		nav := nodes.Current().(*xmlquery.NodeNavigator)
		text := nav.Value()
		if n := nav.Current(); n.Type == xmlquery.ElementNode && nav.NodeType() != xpath.AttributeNode {
			text = outerXML(n)
		}
		if err := c.ev.spendText(len(text), c.from); err != nil {
			return nil, err
		}
		list = append(list, content(typeXML, []byte(text)))
	}
	return c.list(list)
}

// outerXML writes an element so that it stands alone: the namespaces in force come with it.
func outerXML(n *xmlquery.Node) string {
	text := n.OutputXML(true)
	declared := map[string]bool{}
	var missing strings.Builder
	for at := n; at != nil; at = at.Parent {
		for _, a := range at.Attr {
			name := qualified(a.Name.Space, a.Name.Local)
			if !strings.HasPrefix(name, "xmlns") || declared[name] {
				continue
			}
			declared[name] = true
			if at != n {
				missing.WriteString(" " + name + `="` + escapeXML(a.Value) + `"`)
			}
		}
	}
	head := len("<") + len(qualified(n.Prefix, n.Data))
	return text[:head] + missing.String() + text[head:]
}
