package config

import (
	"fmt"

	"github.com/flowehr/flowehr"
)

// Value is one value of the definition: what was written and where. The zero Value means that nothing was written.
// It prints as [flowehr.Masked] when any part of it came from a secret, whatever the verb, so that it can stand in a
// message; only Get returns it.
type Value[T any] struct {
	v      *T // a pointer, so that fmt of a struct around an unexported Value shows an address and not the value
	pos    flowehr.Pos
	secret bool
	bad    bool
}

// Get returns the value, or the zero T when none was written or what was written is wrong.
func (v Value[T]) Get() T {
	if v.v == nil {
		var zero T
		return zero
	}
	return *v.v
}

// Or returns the value, or fallback when there is none.
func (v Value[T]) Or(fallback T) T {
	if v.v == nil {
		return fallback
	}
	return *v.v
}

// OK reports whether a value was written and is of the right type.
func (v Value[T]) OK() bool { return v.v != nil }

// Bad reports whether something was written that a diagnostic already refuses, so that nobody calls it missing.
func (v Value[T]) Bad() bool { return v.bad }

// Missing reports whether nothing was written.
func (v Value[T]) Missing() bool { return v.v == nil && !v.bad }

// Secret reports whether any part of the value came from a secret.
func (v Value[T]) Secret() bool { return v.secret }

// Pos is where the value was written.
func (v Value[T]) Pos() flowehr.Pos { return v.pos }

// Format implements [fmt.Formatter] for every verb.
func (v Value[T]) Format(f fmt.State, verb rune) {
	switch {
	case v.secret:
		_, _ = f.Write([]byte(flowehr.Masked))
	case v.v != nil:
		_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), *v.v)
	}
}

// MarshalJSON writes the value as a text, masked like Format, or null.
func (v Value[T]) MarshalJSON() ([]byte, error) {
	if v.v == nil && !v.secret {
		return []byte("null"), nil
	}
	return jsonText(fmt.Sprint(v)), nil
}
