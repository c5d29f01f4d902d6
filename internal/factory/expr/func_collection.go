package expr

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func collectionFunctions() []function {
	return []function{
		{display: "contains", min: 2, max: 2, eval: contains},
		{display: "empty", min: 1, max: 1, eval: empty},
		{display: "first", min: 1, max: 1, eval: func(c *fcall) (Value, error) { return end(c, true) }},
		{display: "last", min: 1, max: 1, eval: func(c *fcall) (Value, error) { return end(c, false) }},
		{display: "intersection", min: 1, max: anyNumber, eval: intersection},
		{display: "join", min: 2, max: 2, eval: join},
		{display: "length", min: 1, max: 1, eval: length},
		{display: "skip", min: 2, max: 2, eval: func(c *fcall) (Value, error) { return cut(c, false) }},
		{display: "take", min: 2, max: 2, eval: func(c *fcall) (Value, error) { return cut(c, true) }},
		{display: "union", min: 1, max: anyNumber, eval: union},
	}
}

func contains(c *fcall) (Value, error) {
	wanted := c.args[1]
	switch in := c.args[0].(type) {
	case string:
		switch wanted.(type) {
		case string, int64, float64, bool:
			return strings.Contains(in, Text(wanted)), nil
		}
		return nil, c.want(1, "a string")
	case []Value:
		i := newSet()
		for _, v := range in {
			i.add(v)
		}
		return i.has(wanted), nil
	case *Object:
		key, err := c.text(1)
		if err != nil {
			return nil, err
		}
		_, ok := in.Get(key)
		return ok, nil
	}
	return nil, c.want(0, "an object, an array or a string")
}

func empty(c *fcall) (Value, error) {
	switch v := c.args[0].(type) {
	case nil:
		return true, nil
	case string:
		return v == "", nil
	case []Value:
		return len(v) == 0, nil
	case *Object:
		return v.Len() == 0, nil
	}
	return nil, c.want(0, "an object, an array or a string")
}

func end(c *fcall, first bool) (Value, error) {
	switch v := c.args[0].(type) {
	case string:
		if v == "" {
			return nil, nil
		}
		r, _ := utf8.DecodeRuneInString(v)
		if !first {
			r, _ = utf8.DecodeLastRuneInString(v)
		}
		return string(r), nil
	case []Value:
		switch {
		case len(v) == 0:
			return nil, nil
		case first:
			return v[0], nil
		}
		return v[len(v)-1], nil
	}
	return nil, c.want(0, "an array or a string")
}

func length(c *fcall) (Value, error) {
	switch v := c.args[0].(type) {
	case string:
		return unitLength(v), nil
	case []Value:
		return int64(len(v)), nil
	}
	return nil, c.want(0, "an array or a string")
}

func join(c *fcall) (Value, error) {
	list, ok := c.args[0].([]Value)
	if !ok {
		return nil, c.want(0, "an array")
	}
	separator, err := c.text(1)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for i, v := range list {
		if i > 0 {
			text.WriteString(separator)
		}
		text.WriteString(Text(v))
		if text.Len() > maxText {
			break // result reports it
		}
	}
	return c.result(text.String())
}

// cut takes the first n elements, or what follows them.
func cut(c *fcall, head bool) (Value, error) {
	n, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	n = max(n, 0)
	switch v := c.args[0].(type) {
	case string:
		u := units(v)
		at := min(n, int64(len(u)))
		if head {
			return c.result(fromUnits(u[:at]))
		}
		return c.result(fromUnits(u[at:]))
	case []Value:
		at := min(n, int64(len(v)))
		if head {
			return v[:at:at], nil
		}
		return v[at:], nil
	}
	return nil, c.want(0, "an array or a string")
}

func union(c *fcall) (Value, error) {
	if _, ok := c.args[0].(*Object); ok {
		return unionObjects(c)
	}
	seen := newSet()
	var all []Value
	for i, arg := range c.args {
		list, ok := arg.([]Value)
		if !ok {
			return nil, c.want(i, "an array or an object, as the others are")
		}
		for _, v := range list {
			if seen.add(v) {
				all = append(all, v)
			}
		}
	}
	return c.list(all)
}

func unionObjects(c *fcall) (Value, error) {
	all := NewObject()
	for i, arg := range c.args {
		o, ok := arg.(*Object)
		if !ok {
			return nil, c.want(i, "an object, as the first one is")
		}
		for k, v := range o.All() {
			all.Set(k, v)
		}
	}
	return all, c.ev.spendList(all.Len(), c.from)
}

func intersection(c *fcall) (Value, error) {
	if _, ok := c.args[0].(*Object); ok {
		return intersectObjects(c)
	}
	var common []Value
	for i, arg := range c.args {
		list, ok := arg.([]Value)
		if !ok {
			return nil, c.want(i, "an array or an object, as the others are")
		}
		others, kept := newSet(), newSet()
		for _, v := range common {
			others.add(v)
		}
		if i == 0 {
			for _, v := range list {
				if kept.add(v) {
					common = append(common, v)
				}
			}
			continue
		}
		for _, v := range list {
			if others.has(v) {
				kept.add(v)
			}
		}
		var both []Value
		for _, v := range common {
			if kept.has(v) {
				both = append(both, v)
			}
		}
		common = both
	}
	return c.list(common)
}

func intersectObjects(c *fcall) (Value, error) {
	common := c.args[0].(*Object).Clone()
	for i, arg := range c.args {
		o, ok := arg.(*Object)
		if !ok {
			return nil, c.want(i, "an object, as the first one is")
		}
		for k, v := range common.Clone().All() {
			if other, ok := o.Get(k); !ok || !Equal(v, other) {
				common.Delete(k)
			}
		}
	}
	return common, nil
}

// set holds values up to equality, by a text that equal values share, so that the elements of large arrays need not be
// compared with each other.
type set map[string]bool

func newSet() set { return set{} }

func (s set) has(v Value) bool { return s[string(appendIdentity(nil, v))] }

// add reports whether v was new.
func (s set) add(v Value) bool {
	key := string(appendIdentity(nil, v))
	if s[key] {
		return false
	}
	s[key] = true
	return true
}

// appendIdentity writes v so that what is Equal reads the same: 1, 1.0 and true do, and so do objects whose keys stand
// in another order.
func appendIdentity(b []byte, v Value) []byte {
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, '1')
		}
		return append(b, '0')
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return strconv.AppendInt(b, int64(v), 10)
		}
		return append(b, floatText(v)...)
	case []Value:
		b = append(b, '[')
		for _, e := range v {
			b = append(appendIdentity(b, e), ',')
		}
		return append(b, ']')
	case *Object:
		b = append(b, '{')
		for _, k := range slices.Sorted(slices.Values(v.Keys())) {
			b = append(appendQuoted(b, k), ':')
			b = append(appendIdentity(b, v.values[k]), ',')
		}
		return append(b, '}')
	}
	return appendJSON(b, v)
}
