package config

import (
	"iter"

	"github.com/flowehr/flowehr"
)

// Map is a group of freely chosen keys in the order of the definition.
type Map[T any] []Entry[T]

// Entry is one key of a Map and its value.
type Entry[T any] struct {
	Key   string
	Pos   flowehr.Pos // of the key
	Value T
}

// All yields the keys and values in order.
func (m Map[T]) All() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, e := range m {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// isMap tells the decoder and the schema a Map from a list.
func (Map[T]) isMap() {}
