package expr

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Text is v as it appears inside a text: in concat and in @{...} (adf.md section 2.4).
func Text(v Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return floatText(v)
	default:
		return string(EncodeJSON(v))
	}
}

// floatText is the shortest text that reads back as f. A whole number keeps ".0", which tells it from an Integer.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if size := math.Abs(f); size != 0 && (size < 1e-5 || size >= 1e15) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
		return mantissa + "E" + exponent
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// Equal is equality as the function equals sees it: numbers by value whatever their type, text with case, arrays and
// objects by structure with the order of keys ignored, null equal to null alone. A Boolean equals the number 1 or 0.
func Equal(a, b Value) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		return equalBool(a, b)
	case string:
		s, ok := b.(string)
		return ok && a == s
	case []Value:
		list, ok := b.([]Value)
		if !ok || len(a) != len(list) {
			return false
		}
		for i := range a {
			if !Equal(a[i], list[i]) {
				return false
			}
		}
		return true
	case *Object:
		o, ok := b.(*Object)
		return ok && equalObjects(a, o)
	}
	if flag, ok := b.(bool); ok {
		return equalBool(flag, a)
	}
	order, ok := compareNumbers(a, b)
	return ok && order == 0
}

func equalBool(flag bool, v Value) bool {
	if other, ok := v.(bool); ok {
		return flag == other
	}
	want := int64(0)
	if flag {
		want = 1
	}
	order, ok := compareNumbers(want, v)
	return ok && order == 0
}

func equalObjects(a, b *Object) bool {
	if a.Len() != b.Len() {
		return false
	}
	for k, v := range a.All() {
		other, ok := b.Get(k)
		if !ok || !Equal(v, other) {
			return false
		}
	}
	return true
}

// compareNumbers orders two numbers; ok is false when one is none. Two integers are compared as such, because float64
// cannot tell large ones apart.
func compareNumbers(a, b Value) (order int, ok bool) {
	i, aInt := a.(int64)
	j, bInt := b.(int64)
	if aInt && bInt {
		return compareOrdered(i, j), true
	}
	x, okA := asFloat(a)
	y, okB := asFloat(b)
	if !okA || !okB || math.IsNaN(x) || math.IsNaN(y) {
		return 0, false
	}
	return compareOrdered(x, y), true
}

func compareOrdered[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func asFloat(v Value) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// TypeName is the name of v's type as the service's messages write it.
func TypeName(v Value) string {
	switch v.(type) {
	case nil:
		return "Null"
	case bool:
		return "Boolean"
	case int64:
		return "Integer"
	case float64:
		return "Float"
	case string:
		return "String"
	case []Value:
		return "Array"
	default:
		return "Object"
	}
}

// article is a type with its article, for messages.
func article(v Value) string {
	switch name := strings.ToLower(TypeName(v)); name {
	case "array", "integer", "object":
		return "an " + name
	case "null":
		return name
	default:
		return "a " + name
	}
}

// The language counts text in UTF-16 code units, Go in bytes. units and fromUnits cross that border.
func units(s string) []uint16     { return utf16.Encode([]rune(s)) }
func fromUnits(u []uint16) string { return string(utf16.Decode(u)) }
func unitLength(s string) int64 {
	n := int64(0)
	for _, r := range s {
		n += int64(max(utf16.RuneLen(r), 1))
	}
	return n
}

// foldUnits is s in code units with case removed, unit for unit, so that indices stay those of s.
func foldUnits(s string) []uint16 {
	u := units(s)
	for i, c := range u {
		if utf16.IsSurrogate(rune(c)) {
			continue
		}
		if upper := unicode.ToUpper(rune(c)); upper <= 0xffff {
			u[i] = uint16(upper)
		}
	}
	return u
}
