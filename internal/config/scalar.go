package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
)

// What single values are called in messages.
const (
	wantsText = "a text"
	wantsBool = "true or false, without quotes"
)

// scalar is what the decoder and the schema see of a Value, whatever its T.
type scalar interface {
	assign(text string, plain bool) bool // false: text is not a T
	mark(pos flowehr.Pos, secret, bad bool)
	unset() bool
	refused() bool
	keepsReferences() bool // T is flowehr.Text: secrets stay names
	wants() string         // T in words
	number() (float64, bool)
	schema() map[string]any
}

func (v *Value[T]) mark(pos flowehr.Pos, secret, bad bool) {
	v.pos, v.secret, v.bad = pos, secret, bad
	if bad {
		v.v = nil
	}
}

func (v *Value[T]) unset() bool   { return v.v == nil && !v.bad }
func (v *Value[T]) refused() bool { return v.bad }

func (v *Value[T]) keepsReferences() bool {
	_, ok := any(new(T)).(*flowehr.Text)
	return ok
}

// assign reads text as a T. Text that was quoted is not a bool or a number, unless it came out of a secret.
func (v *Value[T]) assign(text string, plain bool) bool {
	var t T
	ok := true
	switch p := any(&t).(type) {
	case *string:
		*p = text
	case *flowehr.Text:
		*p = flowehr.Text(text)
	case *bool:
		*p, ok = parseBool(text)
		ok = ok && plain
	case *int:
		var err error
		*p, err = strconv.Atoi(text)
		ok = err == nil && plain
	case *float64:
		var err error
		*p, err = strconv.ParseFloat(text, 64)
		ok = err == nil && plain && !math.IsInf(*p, 0) && !math.IsNaN(*p)
	case *time.Time:
		var err error
		*p, err = time.Parse(time.DateOnly, text)
		ok = err == nil
	default:
		ok = false
	}
	if ok {
		v.v = &t
	}
	return ok
}

func (v *Value[T]) wants() string {
	switch any(new(T)).(type) {
	case *bool:
		return wantsBool
	case *int:
		return "a whole number, without quotes"
	case *float64:
		return "a number, without quotes"
	case *time.Time:
		return "a date like 2027-03-31"
	}
	return wantsText
}

// number returns the value for a check of its bounds.
func (v *Value[T]) number() (float64, bool) {
	if v.v == nil {
		return 0, false
	}
	switch p := any(v.v).(type) {
	case *int:
		return float64(*p), true
	case *float64:
		return *p, true
	}
	return 0, false
}

// schema accepts what assign accepts: any scalar where a text is wanted, and a reference to a secret everywhere.
func (v *Value[T]) schema() map[string]any {
	reference := map[string]any{"type": "string", "pattern": referencePattern}
	switch any(new(T)).(type) {
	case *bool:
		words := map[string]any{"enum": []any{"yes", "no", "on", "off"}}
		return map[string]any{"anyOf": []any{map[string]any{"type": []any{"boolean", "null"}}, words, reference}}
	case *int:
		return map[string]any{"anyOf": []any{map[string]any{"type": []any{"integer", "null"}}, reference}}
	case *float64:
		return map[string]any{"anyOf": []any{map[string]any{"type": []any{"number", "null"}}, reference}}
	case *time.Time:
		return map[string]any{"type": []any{"string", "null"}, "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}$|` + referencePattern}
	}
	return map[string]any{"type": []any{"string", "number", "boolean", "null"}}
}

// parseBool reads the words that older definitions use for a bool as well.
func parseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}
