package expr

import (
	"iter"
	"slices"
	"strings"
)

// NewObject makes an empty object.
func NewObject() *Object { return &Object{} }

// Get returns the value of the key spelled exactly so. A nil object has no keys.
func (o *Object) Get(key string) (Value, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.values[key]
	return v, ok
}

// Lookup returns the value of the key spelled exactly so, else of the first key that differs by case only. This is how
// expressions select properties.
func (o *Object) Lookup(key string) (Value, bool) {
	if v, ok := o.Get(key); ok || o == nil {
		return v, ok
	}
	for _, k := range o.keys {
		if strings.EqualFold(k, key) {
			return o.values[k], true
		}
	}
	return nil, false
}

// Set gives key a value. A new key comes last, a known one keeps its place. A nil object is null.
func (o *Object) Set(key string, v Value) {
	if inner, ok := v.(*Object); ok && inner == nil {
		v = nil
	}
	if o.values == nil {
		o.values = map[string]Value{}
	}
	if _, known := o.values[key]; !known {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// Delete removes key; a key that is not there is no error.
func (o *Object) Delete(key string) {
	if _, known := o.Get(key); !known {
		return
	}
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// Keys returns the keys in order. The slice is the caller's.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return slices.Clone(o.keys)
}

// Len counts the keys.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.keys)
}

// All yields keys and values in order.
func (o *Object) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if o == nil {
			return
		}
		for _, k := range o.keys {
			if !yield(k, o.values[k]) {
				return
			}
		}
	}
}

// Clone copies the object; the values are shared.
func (o *Object) Clone() *Object {
	c := NewObject()
	for k, v := range o.All() {
		c.Set(k, v)
	}
	return c
}

// MarshalJSON writes the object with its keys in order. A caller that wants no HTML escaping uses [EncodeJSON], because
// json.Marshal escapes what this method returns.
func (o *Object) MarshalJSON() ([]byte, error) { return EncodeJSON(o), nil }

// UnmarshalJSON replaces the object by the JSON object in data.
func (o *Object) UnmarshalJSON(data []byte) error {
	v, err := DecodeJSON(data)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case nil: // null leaves a value unchanged, as everywhere in encoding/json
		return nil
	case *Object:
		*o = *v
		return nil
	default:
		return errorf(0, "%s where a JSON object is expected", article(v))
	}
}
