package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr"
)

// decoder fills a definition from a merged tree, once and strictly. It goes on after a mistake, so that all are
// reported together.
type decoder struct {
	secrets secrets
	broken  map[flowehr.Pos]bool // values of a shape that cannot be read
	diags   []flowehr.Diagnostic
}

// decode fills into, a pointer to a struct of the definition. path names the group for people.
func (d *decoder) decode(n *node, into any, path string) {
	d.group(n, reflect.ValueOf(into).Elem(), path, false)
}

func (d *decoder) report(pos flowehr.Pos, detail, format string, args ...any) {
	d.diags = append(d.diags, flowehr.Diagnostic{
		Severity: flowehr.SeverityError, Pos: pos, Summary: fmt.Sprintf(format, args...), Detail: detail,
	})
}

// group reads a mapping into a struct. Items of older lists may carry one more key with nothing behind it, as in
// "- example:", which is ignored.
func (d *decoder) group(n *node, into reflect.Value, path string, inList bool) {
	into.FieldByName("At").Set(reflect.ValueOf(n.pos))
	if n.kind != kindMapping {
		d.broken[n.pos] = true
		d.report(n.pos, "Its keys: "+strings.Join(keys(into.Type()), ", ")+".", "%s must be a group of keys, not %s", path, n.kind)
		return
	}
	known := map[string]reflect.StructField{}
	for _, f := range rules(into.Type()) {
		known[f.Tag.Get("yaml")] = f
	}
	for _, f := range n.fields {
		rule, ok := known[f.key]
		if !ok {
			if inList && !f.value.says() {
				continue
			}
			d.unknown(f, into, path)
			continue
		}
		if f.value.says() {
			d.value(f.value, into.FieldByIndex(rule.Index), rule.Tag, join(path, f.key))
		}
	}
	for _, rule := range rules(into.Type()) {
		key := rule.Tag.Get("yaml")
		if rule.Tag.Get("required") != "" && n.get(key).blank() && !refused(into.FieldByIndex(rule.Index)) {
			d.report(n.pos, rule.Tag.Get("doc"), "%s has no %s", path, key)
		}
	}
}

// unknown reports a key that is not one. The key that was probably meant counts as refused, so that nobody calls it
// missing as well.
func (d *decoder) unknown(f field, into reflect.Value, path string) {
	known := keys(into.Type())
	near := nearest(f.key, known)
	if near == "" {
		d.report(f.pos, "Known keys: "+strings.Join(known, ", ")+".", "unknown key %q in %s", f.key, path)
		return
	}
	d.report(f.pos, fmt.Sprintf("Did you mean %q?", near), "unknown key %q in %s", f.key, path)
	meant := into.FieldByIndex(rules(into.Type())[slices.Index(known, near)].Index)
	if v, ok := meant.Addr().Interface().(scalar); ok && v.unset() {
		v.mark(f.pos, false, true)
	}
}

// refused reports whether a field was written and is wrong.
func refused(field reflect.Value) bool {
	v, ok := field.Addr().Interface().(scalar)
	return ok && v.refused()
}

// value reads anything that may stand behind a key.
func (d *decoder) value(n *node, into reflect.Value, tag reflect.StructTag, path string) {
	if s, ok := into.Addr().Interface().(scalar); ok {
		d.scalar(n, s, tag, path)
		return
	}
	switch _, isMap := into.Interface().(interface{ isMap() }); {
	case isMap:
		d.freeKeys(n, into, tag, path)
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.group(n, into.Elem(), path, false)
	case into.Kind() == reflect.Slice:
		d.list(n, into, tag, path)
	case into.Kind() == reflect.Struct:
		d.group(n, into, path, false)
	}
}

func (d *decoder) list(n *node, into reflect.Value, tag reflect.StructTag, path string) {
	if n.kind != kindList {
		d.broken[n.pos] = true
		d.report(n.pos, "Write each item on a line of its own that starts with a dash, or in brackets: [a, b].",
			"%s must be a list, not %s", path, n.kind)
		return
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if name := item.get("name"); name != nil && name.kind == kindScalar {
			at = fmt.Sprintf("%s %q", path, flowehr.Text(name.text).String())
		}
		if !item.says() {
			d.report(item.pos, "Remove the dash or write something behind it.", "%s is empty", at)
			continue
		}
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		last := into.Index(into.Len() - 1)
		if last.Kind() == reflect.Struct && last.FieldByName("At").IsValid() {
			d.group(item, last, at, true)
			continue
		}
		d.value(item, last, tag, at)
	}
}

func (d *decoder) freeKeys(n *node, into reflect.Value, tag reflect.StructTag, path string) {
	if n.kind != kindMapping {
		d.report(n.pos, "Write each as a key, a colon and its value.", "%s must be a group of keys, not %s", path, n.kind)
		return
	}
	for _, f := range n.fields {
		if f.value.kind == kindNull {
			continue
		}
		entry := reflect.New(into.Type().Elem()).Elem()
		entry.FieldByName("Key").SetString(f.key)
		entry.FieldByName("Pos").Set(reflect.ValueOf(f.pos))
		value := entry.FieldByName("Value")
		group := value.Kind() == reflect.Struct && value.FieldByName("At").IsValid()
		switch {
		case f.value.kind != kindEmpty:
			d.value(f.value, value, tag, join(path, f.key))
		case group: // a bare id: a group without keys
			d.group(&node{kind: kindMapping, pos: f.pos}, value, join(path, f.key), false)
		default:
			continue
		}
		into.Set(reflect.Append(into, entry))
	}
}

// scalar reads a single value and holds it to the rules of its tag. Nothing that came from a secret is put in a
// message.
func (d *decoder) scalar(n *node, into scalar, tag reflect.StructTag, path string) {
	if n.kind != kindScalar {
		into.mark(n.pos, false, true)
		d.report(n.pos, "", "%s must be %s, not %s", path, into.wants(), n.kind)
		return
	}
	names := flowehr.Text(n.text).Secrets()
	text, plain := n.text, n.plain || len(names) > 0
	if into.keepsReferences() {
		d.secrets.note(n, path)
	} else if resolved, ok := d.secrets.resolve(n, path); ok {
		text = resolved
	} else {
		into.mark(n.pos, len(names) > 0, true)
		return
	}
	shown := strconv.Quote(flowehr.Text(n.text).String())
	if !into.assign(text, plain) {
		into.mark(n.pos, len(names) > 0, true)
		d.report(n.pos, "", "%s must be %s, not %s", path, into.wants(), shown)
		return
	}
	if wanted := broken(into, text, tag); wanted != "" {
		into.mark(n.pos, len(names) > 0, true)
		d.report(n.pos, tag.Get("doc"), "%s must be %s, not %s", path, wanted, shown)
		return
	}
	into.mark(n.pos, len(names) > 0, false)
}

// broken says in words which rule of the tag text breaks, or "".
func broken(v scalar, text string, tag reflect.StructTag) string {
	if words := tag.Get("enum"); words != "" && !slices.Contains(strings.Split(words, "|"), text) {
		return "one of " + strings.ReplaceAll(words, "|", ", ")
	}
	if pattern := tag.Get("pattern"); pattern != "" && !regexp.MustCompile("^(?:"+pattern+")$").MatchString(text) {
		return tag.Get("shape")
	}
	if x, ok := v.number(); ok {
		low, high := bounds(tag)
		if low != nil && x < *low || high != nil && x > *high {
			switch {
			case low == nil:
				return fmt.Sprintf("at most %v", *high)
			case high == nil:
				return fmt.Sprintf("at least %v", *low)
			}
			return fmt.Sprintf("from %s to %s", tag.Get("min"), tag.Get("max"))
		}
	}
	return ""
}

// bounds reads the tags min and max.
func bounds(tag reflect.StructTag) (low, high *float64) {
	read := func(key string) *float64 {
		x, err := strconv.ParseFloat(tag.Get(key), 64)
		if err != nil {
			return nil
		}
		return &x
	}
	return read("min"), read("max")
}

// rules lists the fields of a struct of the definition that are keys of the file.
func rules(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for f := range t.Fields() {
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			fields = append(fields, f)
		}
	}
	return fields
}

// keys lists the keys of a struct of the definition.
func keys(t reflect.Type) []string {
	var names []string
	for _, f := range rules(t) {
		names = append(names, f.Tag.Get("yaml"))
	}
	return names
}

// join names a key within a group. The root group is named in words and leaves no trace in the names of its keys.
func join(path, key string) string {
	if path == rootPath {
		return key
	}
	return path + "." + key
}

// rootPath names the whole definition.
const rootPath = "the definition"
