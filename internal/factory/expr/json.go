package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxJSONDepth limits the nesting of a JSON text, so that decoding and everything that walks the result is bounded.
const maxJSONDepth = 500

// A SyntaxError says where a JSON text is wrong. Line and Column count from 1.
type SyntaxError struct {
	Line, Column int
	Message      string
}

// Error returns the message with its place.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// DecodeJSON reads one JSON text. Objects keep the order of their keys, numbers without fraction and exponent that fit
// become int64, all others float64. A byte order mark and comments (// and /* */) are accepted, because people write
// them into definitions. Of a repeated key the last value counts. The error is a [*SyntaxError].
func DecodeJSON(data []byte) (Value, error) {
	clean := StripComments(data)
	fail := func(offset int64, message string) error {
		line, column := position(data, int(offset))
		return &SyntaxError{Line: line, Column: column, Message: message}
	}
	var whole json.RawMessage
	if err := json.Unmarshal(clean, &whole); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fail(max(syntax.Offset-1, 0), strings.TrimPrefix(syntax.Error(), "json: "))
		}
		return nil, fail(0, err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(clean))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, fail(dec.InputOffset(), err.Error())
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, depth int) (Value, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxJSONDepth)
	}
	token, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return decodeNumber(t.String())
	case json.Delim:
		if t == '[' {
			return decodeArray(dec, depth)
		}
		return decodeObject(dec, depth)
	default:
		return token, nil // nil, bool or string
	}
}

func decodeArray(dec *json.Decoder, depth int) (Value, error) {
	list := []Value{}
	for dec.More() {
		v, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

func decodeObject(dec *json.Decoder, depth int) (Value, error) {
	o := NewObject()
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o.Set(key.(string), v)
	}
	_, err := dec.Token()
	return o, err
}

func decodeNumber(text string) (Value, error) {
	if !strings.ContainsAny(text, ".eE") && text != "-0" {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s is out of range", text)
	}
	return f, nil
}

// StripComments returns data with a leading byte order mark and comments overwritten by spaces, so that offsets stay.
func StripComments(data []byte) []byte {
	out := bytes.Clone(data)
	if bytes.HasPrefix(out, []byte("\ufeff")) {
		copy(out, "   ")
	}
	for i := 0; i < len(out); {
		switch {
		case out[i] == '"':
			i = skipString(out, i)
		case bytes.HasPrefix(out[i:], []byte("//")):
			for i < len(out) && out[i] != '\n' {
				out[i] = ' '
				i++
			}
		case bytes.HasPrefix(out[i:], []byte("/*")):
			end := bytes.Index(out[i+2:], []byte("*/"))
			if end < 0 {
				return out // an open comment is a syntax error at its slash
			}
			for stop := i + 2 + end + 2; i < stop; i++ {
				if out[i] != '\n' {
					out[i] = ' '
				}
			}
		default:
			i++
		}
	}
	return out
}

// skipString returns the offset after the JSON string that starts at i.
func skipString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// position turns a byte offset into a line and a column, both from 1; the column counts characters.
func position(data []byte, offset int) (line, column int) {
	before := data[:min(offset, len(data))]
	line = 1 + bytes.Count(before, []byte("\n"))
	column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return line, column
}

// EncodeJSON writes v compactly: keys in order, nothing escaped that JSON does not require, floats with a point or an
// exponent so that they are read back as floats. Integers of other Go types are written as numbers; what is no Value is
// written as its fmt text.
func EncodeJSON(v Value) []byte { return appendJSON(nil, v) }

func appendJSON(b []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case float64:
		return appendFloat(b, v)
	case string:
		return appendQuoted(b, v)
	case []Value:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case *Object:
		if v == nil {
			return append(b, "null"...)
		}
		b = append(b, '{')
		for i, k := range v.keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, k), ':')
			b = appendJSON(b, v.values[k])
		}
		return append(b, '}')
	default:
		return appendQuoted(b, fmt.Sprint(v))
	}
}

// appendFloat writes the shortest text that reads back as f, always recognisable as a float. JSON has no infinities;
// they are written as text, as .NET does.
func appendFloat(b []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return appendQuoted(b, floatText(f))
	}
	return append(b, floatText(f)...)
}

func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s { // ranging turns invalid bytes into U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
