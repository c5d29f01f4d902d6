package config

import "slices"

// merge lays hi over lo and returns a new tree; either may be nil. The rules:
//
//   - two mappings merge key by key, all the way down; a key keeps the place in the order that it had in lo,
//   - anything else of hi replaces what lo had, and a list is always replaced whole,
//   - null in hi removes: the null is kept in the result, so that it still removes when that is laid over a third tree,
//   - a key with nothing behind it says nothing and leaves what lo had.
//
// Every leaf keeps the position of the layer that set it. The operation is associative; for that, a mapping that took
// the place of something else remembers not to merge with what lies further below.
func merge(lo, hi *node) *node {
	switch {
	case hi == nil:
		return lo
	case lo == nil:
		return hi
	case hi.kind == kindEmpty && lo.kind != kindEmpty:
		return lo
	case hi.kind != kindMapping || lo.kind == kindEmpty:
		return hi
	case lo.kind != kindMapping || hi.replaces:
		replacing := *hi
		replacing.replaces = true
		return &replacing
	}
	out := &node{kind: kindMapping, pos: hi.pos, fields: slices.Clone(lo.fields), replaces: lo.replaces}
	at := make(map[string]int, len(lo.fields))
	for i, f := range out.fields {
		at[f.key] = i
	}
	for _, f := range hi.fields {
		i, known := at[f.key]
		if !known {
			out.fields = append(out.fields, f)
			continue
		}
		f.value = merge(out.fields[i].value, f.value)
		if f.value == out.fields[i].value {
			continue // hi says nothing: the key stays where it was written
		}
		out.fields[i] = f
	}
	return out
}

// silent finds keys of hi with nothing behind them where lo has a value. They are legal and rarely meant: often what
// stood below was turned into a remark.
func silent(lo, hi *node, report func(f field, below *node)) {
	if hi == nil || lo == nil {
		return
	}
	for _, f := range hi.fields {
		below := lo.get(f.key)
		switch {
		case !below.says():
		case f.value.kind == kindEmpty:
			report(f, below)
		default:
			silent(below, f.value, report)
		}
	}
}

// chosenApps lays the environment's own apps over the shared ones and keeps only what the environment names, in its
// order: nothing may reach an environment by accident. A name with nothing behind it means the shared definition as it
// is, null means not here.
func chosenApps(shared, own *node) *node {
	out := &node{kind: kindMapping}
	if own == nil {
		return out
	}
	out.pos = own.pos
	for _, f := range own.fields {
		if f.value.kind == kindNull {
			continue
		}
		f.value = merge(shared.get(f.key), f.value)
		out.fields = append(out.fields, f)
	}
	return out
}
