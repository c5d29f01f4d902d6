package plan

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr"
)

// Diff lists the properties in which two specs differ, sorted by path. Objects are compared member by member, arrays of
// equal length element by element; anything else that differs is one change. A spec that is not JSON is one value.
func Diff(before, after json.RawMessage) []flowehr.Change {
	a, aErr := decode(before)
	b, bErr := decode(after)
	if aErr != nil || bErr != nil {
		if bytes.Equal(before, after) {
			return nil
		}
		return []flowehr.Change{{Path: "", Before: before, After: after}}
	}
	var changes []flowehr.Change
	walkDiff("", a, b, &changes)
	return changes
}

// absent is the value of a member that an object does not have.
type absent struct{}

func walkDiff(path string, a, b any, changes *[]flowehr.Change) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			walkObjects(path, x, y, changes)
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				walkDiff(path+"/"+strconv.Itoa(i), x[i], y[i], changes)
			}
			return
		}
	}
	before, after := encode(a), encode(b)
	if !bytes.Equal(before, after) {
		*changes = append(*changes, flowehr.Change{Path: path, Before: before, After: after})
	}
}

func walkObjects(path string, a, b map[string]any, changes *[]flowehr.Change) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		walkDiff(path+"/"+escape(k), member(a, k), member(b, k), changes)
	}
}

func member(o map[string]any, k string) any {
	if v, ok := o[k]; ok {
		return v
	}
	return absent{}
}

// escape makes k a token of a JSON pointer.
func escape(k string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(k) }

func unescape(token string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(token) }

// changedAt returns those of the pointers whose value differs between two specs. A pointer to nothing has no value; a
// token * stands for every element of an array and every member of an object.
func changedAt(pointers []string, before, after json.RawMessage) []string {
	a, aErr := decode(before)
	b, bErr := decode(after)
	if aErr != nil || bErr != nil {
		return nil
	}
	var changed []string
	for _, p := range pointers {
		tokens := strings.Split(p, "/")[1:]
		if !bytes.Equal(encode(values(a, tokens)), encode(values(b, tokens))) {
			changed = append(changed, p)
		}
	}
	slices.Sort(changed)
	return slices.Compact(changed)
}

// values returns what tokens lead to within v: one value or, behind a *, all of them in order. Nothing is an empty list.
func values(v any, tokens []string) []any {
	if len(tokens) == 0 {
		return []any{v}
	}
	var out []any
	switch x := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if tokens[0] == "*" || k == unescape(tokens[0]) {
				out = append(out, values(x[k], tokens[1:])...)
			}
		}
	case []any:
		for i, e := range x {
			if tokens[0] == "*" || strconv.Itoa(i) == tokens[0] {
				out = append(out, values(e, tokens[1:])...)
			}
		}
	}
	return out
}

func decode(b []byte) (any, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

func encode(v any) json.RawMessage {
	if _, ok := v.(absent); ok {
		return nil
	}
	b, err := flowehr.Canonical(v)
	if err != nil {
		return nil // unreachable: v came out of a decoder
	}
	return b
}

// paths returns the paths of changes as people read them.
func paths(changes []flowehr.Change) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.Path
	}
	return out
}

// mostListed is how many properties a reason names.
const mostListed = 3

// listed joins pointers for a sentence.
func listed(pointers []string) string {
	var words []string
	for i, p := range pointers {
		if i == mostListed {
			words = append(words, strconv.Itoa(len(pointers)-i)+" more")
			break
		}
		word := unescape(strings.ReplaceAll(strings.TrimPrefix(p, "/"), "/", "."))
		if word == "" {
			word = "everything"
		}
		words = append(words, word)
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
