package activity

import (
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// mapping is a TabularTranslator: which source column becomes which sink column. Without columns, every source column
// keeps its name.
type mapping struct {
	columns    []mapped
	collection string // JSON path of the list whose elements are the rows; "" is the document itself
}

// mapped is one column of a mapping. Source is a name, or a JSON path, or an ordinal counting from 1.
type mapped struct {
	source  string
	path    string
	ordinal int
	sink    string
	kind    string // Delta type; "" keeps the source's
}

// readMapping reads the translator of a Copy. fields is the schema of the sink's dataset, which may name types.
func readMapping(v expr.Value) (mapping, error) {
	if v == nil {
		return mapping{}, nil
	}
	o, ok := v.(*expr.Object)
	if !ok {
		return mapping{}, refuse(CodeInvalid, "translator must be an object")
	}
	p := read("translator", o)
	if kind := p.text("type"); kind != "TabularTranslator" && kind != "" {
		return mapping{}, refuse(CodeUnsupported, "translator of type %q is not supported here", kind)
	}
	m := mapping{collection: normalPath(p.text("collectionReference"))}
	seen := map[string]bool{}
	for i, item := range p.list("mappings") {
		c, err := readMapped(i, item)
		if err != nil {
			return mapping{}, err
		}
		key := strings.ToLower(c.sink)
		if seen[key] {
			return mapping{}, refuse(CodeInvalid, "translator maps two source columns to %q", c.sink)
		}
		seen[key] = true
		m.columns = append(m.columns, c)
	}
	if err := readColumnMappings(p, &m, seen); err != nil {
		return mapping{}, err
	}
	return m, p.rest("typeConversion", "typeConversionSettings", "mapComplexValuesToString")
}

func readMapped(i int, item expr.Value) (mapped, error) {
	o, ok := item.(*expr.Object)
	if !ok {
		return mapped{}, refuse(CodeInvalid, "translator: mapping %d must be an object", i+1)
	}
	entry := read("translator: mapping", o)
	source, sink := entry.inner("source"), entry.inner("sink")
	c := mapped{source: source.text("name"), path: normalPath(source.text("path")), sink: sink.text("name")}
	if n, ok := source.integer("ordinal"); ok {
		if n < 1 {
			return mapped{}, refuse(CodeInvalid, "translator: mapping %d has ordinal %d; they count from 1", i+1, n)
		}
		c.ordinal = int(n)
	}
	kind := sink.text("type")
	for _, err := range []error{source.rest("type", "physicalType", "culture", "format"), sink.rest("physicalType", "ordinal", "path"), entry.rest()} {
		if err != nil {
			return mapped{}, err
		}
	}
	if c.source == "" && c.path == "" && c.ordinal == 0 {
		return mapped{}, refuse(CodeInvalid, "translator: mapping %d names no source column", i+1)
	}
	if c.sink == "" {
		c.sink = c.source
	}
	if c.sink == "" {
		return mapped{}, refuse(CodeInvalid, "translator: mapping %d names no sink column", i+1)
	}
	var err error
	if c.kind, err = deltaType(kind); err != nil {
		return mapped{}, err
	}
	return c, nil
}

// readColumnMappings reads the older form, "A: x, B: y" or an object, from source name to sink name.
func readColumnMappings(p *properties, m *mapping, seen map[string]bool) error {
	add := func(source, sink string) error {
		if source == "" || sink == "" {
			return refuse(CodeInvalid, "translator: columnMappings must be pairs of source and sink column")
		}
		if key := strings.ToLower(sink); !seen[key] {
			seen[key] = true
			m.columns = append(m.columns, mapped{source: source, sink: sink})
			return nil
		}
		return refuse(CodeInvalid, "translator maps two source columns to %q", sink)
	}
	switch v := p.value("columnMappings").(type) {
	case nil:
	case string:
		for pair := range strings.SplitSeq(v, ",") {
			source, sink, _ := strings.Cut(pair, ":")
			if err := add(strings.TrimSpace(source), strings.TrimSpace(sink)); err != nil {
				return err
			}
		}
	case *expr.Object:
		for source, sink := range v.All() {
			name, _ := sink.(string)
			if err := add(source, name); err != nil {
				return err
			}
		}
	default:
		return refuse(CodeInvalid, "translator: columnMappings must be pairs of source and sink column")
	}
	return nil
}

// normalPath writes a JSON path of Data Factory, such as $['name'][0]['family'] or ['id'], as $.name[0].family. A key
// with other characters than letters, digits and _ keeps its ['…'].
func normalPath(path string) string {
	if path == "" {
		return ""
	}
	var b strings.Builder
	b.WriteByte('$')
	s := strings.TrimPrefix(strings.TrimSpace(path), "$")
	for s != "" {
		switch {
		case strings.HasPrefix(s, "['"):
			end := strings.Index(s, "']")
			if end < 0 {
				writeKey(&b, s[2:])
				return b.String()
			}
			writeKey(&b, s[2:end])
			s = s[end+2:]
		case s[0] == '[':
			end := strings.IndexByte(s, ']')
			if end < 0 {
				end = len(s) - 1
			}
			b.WriteString(s[:end+1])
			s = s[end+1:]
		default:
			s = strings.TrimPrefix(s, ".")
			end := strings.IndexAny(s, ".[")
			if end < 0 {
				end = len(s)
			}
			if end > 0 {
				writeKey(&b, s[:end])
			}
			s = s[end:]
		}
	}
	return b.String()
}

func writeKey(b *strings.Builder, key string) {
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
	if plain {
		b.WriteString("." + key)
		return
	}
	b.WriteString("['" + key + "']")
}

// deltaType translates an interim type of Data Factory, or the name of a Delta type, to the latter.
func deltaType(name string) (string, error) {
	switch lower := strings.ToLower(strings.TrimSpace(name)); lower {
	case "":
		return "", nil
	case "string", "guid", "char", "timespan", "varchar", "nvarchar", "text":
		return "string", nil
	case "boolean", "bool", "bit":
		return "boolean", nil
	case "sbyte", "byte", "int16", "short", "smallint", "tinyint":
		return "short", nil
	case "int32", "integer", "int", "uint16":
		return "integer", nil
	case "int64", "long", "bigint", "uint32":
		return "long", nil
	case "single", "float", "real":
		return "float", nil
	case "double":
		return "double", nil
	case "decimal", "numeric", "uint64":
		return "decimal(38,18)", nil
	case "datetime", "datetimeoffset", "datetime2", "timestamp":
		return "timestamp", nil
	case "date":
		return "date", nil
	case "byte[]", "binary", "varbinary":
		return "binary", nil
	default:
		if strings.HasPrefix(lower, "decimal(") && strings.HasSuffix(lower, ")") {
			return strings.ReplaceAll(lower, " ", ""), nil
		}
		return "", refuse(CodeUnsupported, "translator: type %q is not known", name)
	}
}
