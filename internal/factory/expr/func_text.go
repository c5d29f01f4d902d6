package expr

import (
	"slices"
	"strings"
)

func textFunctions() []function {
	return []function{
		{display: "concat", min: 1, max: anyNumber, eval: concat},
		{display: "startsWith", min: 2, max: 2, eval: folded(func(s, sub []uint16) Value {
			return len(sub) <= len(s) && slices.Equal(s[:len(sub)], sub)
		})},
		{display: "endsWith", min: 2, max: 2, eval: folded(func(s, sub []uint16) Value {
			return len(sub) <= len(s) && slices.Equal(s[len(s)-len(sub):], sub)
		})},
		{display: "indexOf", min: 2, max: 2, eval: folded(func(s, sub []uint16) Value { return indexUnits(s, sub) })},
		{display: "lastIndexOf", min: 2, max: 2, eval: folded(func(s, sub []uint16) Value { return lastIndexUnits(s, sub) })},
		{display: "replace", min: 3, max: 3, eval: replace},
		{display: "split", min: 2, max: 2, eval: split},
		{display: "substring", min: 2, max: 3, eval: substring},
		{display: "toLower", min: 1, max: 1, eval: mapped(strings.ToLower)},
		{display: "toUpper", min: 1, max: 1, eval: mapped(strings.ToUpper)},
		{display: "trim", min: 1, max: 1, eval: mapped(strings.TrimSpace)},
		{display: "guid", min: 0, max: 1, eval: guid},
	}
}

func concat(c *fcall) (Value, error) {
	var text strings.Builder
	for _, arg := range c.args {
		s := Text(arg)
		if err := c.ev.spendText(text.Len()+len(s), c.from); err != nil {
			return nil, err
		}
		text.WriteString(s)
	}
	return text.String(), nil
}

func mapped(f func(string) string) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		s, err := c.text(0)
		if err != nil {
			return nil, err
		}
		return c.result(f(s))
	}
}

// folded makes a function of two texts that ignores case.
func folded(f func(s, sub []uint16) Value) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		s, err := c.text(0)
		if err != nil {
			return nil, err
		}
		sub, err := c.text(1)
		if err != nil {
			return nil, err
		}
		return f(foldUnits(s), foldUnits(sub)), c.ev.spend(len(s)+len(sub), c.from)
	}
}

func indexUnits(s, sub []uint16) int64 {
	// The table of the longest border of every prefix of sub keeps the search linear, whatever the texts are.
	border := make([]int, len(sub)+1)
	for i, k := 1, 0; i < len(sub); i++ {
		for k > 0 && sub[i] != sub[k] {
			k = border[k]
		}
		if sub[i] == sub[k] {
			k++
		}
		border[i+1] = k
	}
	if len(sub) == 0 {
		return 0
	}
	for i, k := 0, 0; i < len(s); i++ {
		for k > 0 && s[i] != sub[k] {
			k = border[k]
		}
		if s[i] == sub[k] {
			k++
		}
		if k == len(sub) {
			return int64(i + 1 - k)
		}
	}
	return -1
}

// lastIndexUnits searches both texts backwards.
func lastIndexUnits(s, sub []uint16) int64 {
	s, sub = slices.Clone(s), slices.Clone(sub)
	slices.Reverse(s)
	slices.Reverse(sub)
	i := indexUnits(s, sub)
	if i < 0 {
		return -1
	}
	return int64(len(s)-len(sub)) - i
}

func compareUnits(a, b []uint16) int { return slices.Compare(a, b) }

func replace(c *fcall) (Value, error) {
	var s [3]string
	for i := range s {
		var err error
		if s[i], err = c.text(i); err != nil {
			return nil, err
		}
	}
	if s[1] == "" {
		return nil, c.fail("expects its second parameter to be a string that is not empty.")
	}
	grown := len(s[0]) + strings.Count(s[0], s[1])*(len(s[2])-len(s[1]))
	if err := c.ev.spendText(grown, c.from); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(s[0], s[1], s[2]), nil
}

func split(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	separator, err := c.text(1)
	if err != nil {
		return nil, err
	}
	if separator == "" { // as .NET: nothing to split at
		return []Value{s}, nil
	}
	if n := strings.Count(s, separator) + 1; n > maxList {
		return nil, c.ev.spendList(n, c.from)
	}
	var parts []Value
	for p := range strings.SplitSeq(s, separator) {
		parts = append(parts, p)
	}
	return c.list(parts)
}

func substring(c *fcall) (Value, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	start, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	u := units(s)
	size := int64(len(u))
	length := size - start
	if c.has(2) {
		if length, err = c.integer(2); err != nil {
			return nil, err
		}
	}
	if start < 0 || start > size || length < 0 || length > size-start {
		return nil, c.fail("parameters are out of range: 'start index' and 'length' must be non-negative integers and their sum " +
			"must be no larger than the length of the string.")
	}
	return c.result(fromUnits(u[start : start+length]))
}

func guid(c *fcall) (Value, error) {
	format := "D"
	if c.has(0) {
		s, err := c.text(0)
		if err != nil {
			return nil, err
		}
		if s != "" {
			format = strings.ToUpper(s)
		}
	}
	id := strings.ToLower(c.ev.env.NewGUID())
	digits := strings.ReplaceAll(id, "-", "")
	if len(digits) != 32 {
		return nil, c.fail("was given no identifier.")
	}
	switch format {
	case "N":
		return digits, nil
	case "D":
		return id, nil
	case "B":
		return "{" + id + "}", nil
	case "P":
		return "(" + id + ")", nil
	case "X":
		var octets []string
		for i := 16; i < 32; i += 2 {
			octets = append(octets, "0x"+digits[i:i+2])
		}
		return "{0x" + digits[:8] + ",0x" + digits[8:12] + ",0x" + digits[12:16] + ",{" + strings.Join(octets, ",") + "}}", nil
	}
	return nil, c.fail("expects its parameter to be one of the formats 'N', 'D', 'B', 'P' and 'X'.")
}
