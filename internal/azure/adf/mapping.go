package adf

import (
	"fmt"
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// mapping is one entry of a translator.
type mapping struct {
	source, path string
	ordinal      int
	sink, kind   string
}

// mapped is one column of a job's mapping. Type is Spark's; without it the column keeps the one it has.
type mapped struct {
	Source  string `json:"source,omitempty"`
	Path    string `json:"path,omitempty"` // in a JSON object
	Ordinal int    `json:"ordinal,omitempty"`
	Sink    string `json:"sink"`
	Type    string `json:"type,omitempty"`
}

// translator reads the mapping of a Copy.
func (l *lowering) translator(r *reader, from *place) []mapping {
	if r.o.Len() == 0 {
		return nil
	}
	if kind := r.text("type"); kind != "" && kind != "TabularTranslator" {
		r.wrong("type", "TabularTranslator")
	}
	if c := r.text("collectionReference"); c != "" && c != "$" {
		l.refuse(r.place("collectionReference"), "Write one JSON object on each line.", "%s: rows within a document are not read in Azure", r.what)
	}
	var out []mapping
	for i, v := range r.list("mappings") {
		at := fault{r.at.file, child(child(r.at.pointer, "mappings"), i)}
		o, ok := v.(*expr.Object)
		if !ok {
			l.refuse(at, "", "%s: mapping %d must be an object", r.what, i+1)
			continue
		}
		out = append(out, l.mapping(l.read(fmt.Sprintf("%s: mapping %d", r.what, i+1), o, at)))
	}
	out = append(out, r.columnMappings()...)
	seen := map[string]bool{}
	for _, m := range out {
		if key := strings.ToLower(m.sink); seen[key] {
			l.refuse(r.at, "", "%s maps two source columns to %q", r.what, m.sink)
		} else {
			seen[key] = true
		}
	}
	r.rest("typeConversion", "typeConversionSettings", "mapComplexValuesToString")
	return out
}

func (l *lowering) mapping(r *reader) mapping {
	source, sink := r.inner("source"), r.inner("sink")
	m := mapping{source: source.text("name"), path: source.text("path"), sink: sink.text("name")}
	if n, ok := source.known("ordinal").(int64); ok {
		m.ordinal = int(n)
	}
	kind := sink.text("type")
	var ok bool
	if m.kind, ok = sparkType(kind); !ok {
		sink.wrong("type", "a type that is known, not "+kind)
	}
	if m.sink == "" {
		m.sink = m.source
	}
	if m.sink == "" || m.source == "" && m.path == "" && m.ordinal < 1 {
		l.refuse(r.at, "", "%s names no source or no sink column", r.what)
	}
	source.rest("type", "physicalType", "culture", "format")
	sink.rest("physicalType", "ordinal", "path")
	r.rest()
	return m
}

// columnMappings reads the older form, "A: x, B: y" or an object.
func (r *reader) columnMappings() []mapping {
	var out []mapping
	switch v := r.known("columnMappings").(type) {
	case nil:
	case string:
		for pair := range strings.SplitSeq(v, ",") {
			source, sink, _ := strings.Cut(pair, ":")
			out = append(out, mapping{source: strings.TrimSpace(source), sink: strings.TrimSpace(sink)})
		}
	case *expr.Object:
		for source, sink := range v.All() {
			name, _ := sink.(string)
			out = append(out, mapping{source: source, sink: name})
		}
	}
	for _, m := range out {
		if m.source == "" || m.sink == "" {
			r.wrong("columnMappings", "pairs of source and sink column")
			return nil
		}
	}
	return out
}

// mapped writes the mapping for the job, which selects from JSON by path and from everything else by name or place.
func (l *lowering) mapped(all []mapping, from *place, r *reader) []mapped {
	lines := from.kind == "files" && from.dataset.Type == "Json"
	if lines && len(all) == 0 {
		l.refuse(r.at, "Map each column by its path.", "%s reads JSON without a mapping, whose columns only the files tell", r.what)
	}
	var out []mapped
	for _, m := range all {
		to := mapped{Source: m.source, Ordinal: m.ordinal, Sink: m.sink, Type: m.kind}
		switch {
		case lines && m.path == "" && m.source == "":
			l.refuse(r.place("translator"), "", "%s: JSON is mapped by path; %q has none", r.what, m.sink)
		case lines:
			path := m.path
			if path == "" {
				path = "['" + m.source + "']"
			}
			to = mapped{Path: jsonPath(path), Sink: m.sink, Type: m.kind}
		case m.path != "" && m.source == "":
			l.refuse(r.place("translator"), "Use name.", "%s: %q is a path, and the source has columns", r.what, m.path)
		}
		out = append(out, to)
	}
	return out
}

// jsonPath writes a path of Data Factory, such as $['name'][0]['family'], ['id'] or $.id, as Spark's get_json_object reads it. A key is
// always in brackets and quotes.
func jsonPath(path string) string {
	var b strings.Builder
	b.WriteByte('$')
	s := strings.TrimPrefix(strings.TrimSpace(path), "$")
	for s != "" {
		switch {
		case strings.HasPrefix(s, "['"):
			end := strings.Index(s, "']")
			if end < 0 {
				end = len(s)
			}
			b.WriteString("['" + s[2:end] + "']")
			s = s[min(end+2, len(s)):]
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
				b.WriteString("['" + s[:end] + "']")
			}
			s = s[end:]
		}
	}
	return b.String()
}

// sparkType translates an interim type of Data Factory, or the name of a Delta type, to Spark's; "" keeps the type.
func sparkType(name string) (string, bool) {
	lower := strings.ToLower(strings.TrimSpace(name))
	for kind, names := range map[string]string{
		"string": "string guid char timespan varchar nvarchar text", "boolean": "boolean bool bit",
		"smallint": "sbyte byte int16 short smallint tinyint", "int": "int32 integer int uint16", "bigint": "int64 long bigint uint32",
		"float": "single float real", "double": "double", "decimal(38,18)": "decimal numeric uint64",
		"timestamp": "datetime datetimeoffset datetime2 timestamp", "date": "date", "binary": "byte[] binary varbinary",
	} {
		for candidate := range strings.FieldsSeq(names) {
			if candidate == lower {
				return kind, true
			}
		}
	}
	if strings.HasPrefix(lower, "decimal(") && strings.HasSuffix(lower, ")") {
		return strings.ReplaceAll(lower, " ", ""), true
	}
	return "", lower == ""
}
