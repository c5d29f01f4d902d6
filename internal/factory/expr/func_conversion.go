package expr

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

func conversionFunctions() []function {
	return []function{
		{display: "array", min: 1, max: 1, eval: array},
		{display: "createArray", min: 1, max: anyNumber, eval: func(c *fcall) (Value, error) { return c.list(c.args) }},
		{display: "base64", min: 1, max: 1, eval: toBase64},
		{display: "base64ToString", min: 1, max: 1, eval: fromBase64},
		{display: "decodeBase64", min: 1, max: 1, eval: fromBase64},
		{display: "base64ToBinary", min: 1, max: 1, eval: base64ToBinary},
		{display: "binary", min: 1, max: 1, eval: binary},
		{display: "dataUri", min: 1, max: 1, eval: dataURI},
		{display: "dataUriToString", min: 1, max: 1, eval: dataURIToString},
		{display: "dataUriToBinary", min: 1, max: 1, eval: dataURIToBinary},
		{display: "decodeDataUri", min: 1, max: 1, eval: dataURIToBinary},
		{display: "uriComponent", min: 1, max: 1, eval: escape},
		{display: "encodeUriComponent", min: 1, max: 1, eval: escape},
		{display: "uriComponentToString", min: 1, max: 1, eval: unescape},
		{display: "decodeUriComponent", min: 1, max: 1, eval: unescape},
		{display: "uriComponentToBinary", min: 1, max: 1, eval: escapedToBinary},
		{display: "bool", min: 1, max: 1, eval: toBool},
		{display: "float", min: 1, max: 1, eval: toFloat},
		{display: "int", min: 1, max: 1, eval: toInt},
		{display: "string", min: 1, max: 1, eval: toText},
		{display: "json", min: 1, max: 1, eval: toJSON},
		{display: "xml", min: 1, max: 1, eval: toXML},
		{display: "xpath", min: 2, max: 2, eval: evalXPath},
	}
}

const (
	typeOctets = "application/octet-stream"
	typeXML    = "application/xml;charset=utf-8"
)

// content is a typed piece of bytes as the service passes it on: an object with two keys.
func content(contentType string, data []byte) *Object {
	o := NewObject()
	o.Set("$content-type", contentType)
	o.Set("$content", base64.StdEncoding.EncodeToString(data))
	return o
}

// contentOf is the opposite of content.
func contentOf(v Value) (contentType string, data []byte, ok bool) {
	o, _ := v.(*Object)
	t, _ := o.Get("$content-type")
	d, _ := o.Get("$content")
	contentType, ok = t.(string)
	encoded, isText := d.(string)
	if !ok || !isText {
		return "", nil, false
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	return contentType, data, err == nil
}

func array(c *fcall) (Value, error) {
	if list, ok := c.args[0].([]Value); ok {
		return list, nil
	}
	return []Value{c.args[0]}, nil
}

func toBase64(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	return c.result(base64.StdEncoding.EncodeToString([]byte(s)))
}

func (c *fcall) base64(encoded string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, c.fail("was invoked with a parameter that is not valid. The value cannot be decoded from base64 representation.")
	}
	return data, nil
}

func fromBase64(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	data, err := c.base64(s)
	if err != nil {
		return nil, err
	}
	return c.result(strings.ToValidUTF8(string(data), "\ufffd"))
}

func base64ToBinary(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	data, err := c.base64(s)
	if err != nil {
		return nil, err
	}
	return content(typeOctets, data), nil
}

func binary(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	return content(typeOctets, []byte(s)), nil
}

func dataURI(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	return c.result("data:text/plain;charset=utf-8;base64," + base64.StdEncoding.EncodeToString([]byte(s)))
}

// parseDataURI splits data:[type][;base64],data.
func (c *fcall) parseDataURI() (contentType string, data []byte, err error) {
	s, err := c.text(0)
	if err != nil {
		return "", nil, err
	}
	head, body, ok := strings.Cut(s, ",")
	if len(head) < 5 || !strings.EqualFold(head[:5], "data:") || !ok {
		return "", nil, c.fail("expects its parameter to be a data URI.")
	}
	contentType, inBase64 := strings.CutSuffix(head[5:], ";base64")
	if contentType == "" {
		contentType = "text/plain;charset=US-ASCII"
	}
	if !inBase64 {
		return contentType, unescapeBytes(body), nil
	}
	data, err = c.base64(body)
	return contentType, data, err
}

func dataURIToString(c *fcall) (Value, error) {
	_, data, err := c.parseDataURI()
	if err != nil {
		return nil, err
	}
	return c.result(strings.ToValidUTF8(string(data), "\ufffd"))
}

func dataURIToBinary(c *fcall) (Value, error) {
	contentType, data, err := c.parseDataURI()
	if err != nil {
		return nil, err
	}
	return content(contentType, data), nil
}

// escape writes everything but unreserved characters as %XX of its UTF-8 bytes.
func escape(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch ch := s[i]; {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9', strings.IndexByte("-_.~", ch) >= 0:
			b.WriteByte(ch)
		default:
			b.Write([]byte{'%', hex[ch>>4], hex[ch&15]})
		}
	}
	return c.result(b.String())
}

func unescape(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	return c.result(strings.ToValidUTF8(string(unescapeBytes(s)), "\ufffd"))
}

func escapedToBinary(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	return content(typeOctets, unescapeBytes(s)), nil
}

// unescapeBytes decodes %XX; a percent sign that begins no such triple stays, and so does a plus sign.
func unescapeBytes(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return out
}

func toBool(c *fcall) (Value, error) {
	switch v := c.args[0].(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case float64:
		return v != 0, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return nil, c.invalid()
}

func toFloat(c *fcall) (Value, error) {
	switch v := c.args[0].(type) {
	case int64:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		// .NET's invariant culture allows a comma between groups of digits; Go's hexadecimal and underscore forms are not
		// among what it accepts.
		clean := strings.ReplaceAll(strings.TrimSpace(v), ",", "")
		if f, err := strconv.ParseFloat(clean, 64); err == nil && !strings.ContainsAny(clean, "xXpP_") && !math.IsInf(f, 0) {
			return f, nil
		}
	}
	return nil, c.invalid()
}

func toInt(c *fcall) (Value, error) {
	switch v := c.args[0].(type) {
	case int64:
		return v, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, c.invalid()
}

// toText gives a piece of text or XML as its text, other values as [Text] does.
func toText(c *fcall) (Value, error) {
	if contentType, data, ok := contentOf(c.args[0]); ok && utf8.Valid(data) {
		if strings.HasPrefix(contentType, "text/") || strings.Contains(contentType, "xml") || strings.Contains(contentType, "json") {
			return c.result(string(data))
		}
	}
	return c.result(Text(c.args[0]))
}

func toJSON(c *fcall) (Value, error) {
	if contentType, data, ok := contentOf(c.args[0]); ok && strings.Contains(contentType, "xml") {
		return xmlToJSON(c, data)
	}
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	if err := c.ev.spendText(len(s), c.from); err != nil {
		return nil, err
	}
	v, err := DecodeJSON([]byte(s))
	if err != nil {
		return nil, c.fail("parameter is not valid. The provided value '%s' cannot be parsed: %s.", clip(s), err.Error())
	}
	return v, nil
}
