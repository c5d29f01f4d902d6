package expr

// Value is a value of the expression language: nil, bool, int64, float64, string, []Value or *Object.
// Integers and floats are kept apart (adf.md section 2.4).
type Value = any

// Object is a JSON object that remembers the order of its keys. The zero Object is empty and ready to use. It is not
// safe for concurrent change.
type Object struct {
	keys   []string
	values map[string]Value
}
