package connect

import (
	"errors"
	"strings"

	"github.com/flowehr/flowehr"
)

// Quote writes an identifier of several parts for a dialect, for example "public"."patients". Empty parts are left out.
// A NUL is refused because servers end text there.
func Quote(kind flowehr.SourceKind, parts ...string) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		if p == "" {
			continue
		}
		if strings.ContainsRune(p, 0) {
			return "", errors.New("a name holds a NUL character")
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		switch kind {
		case flowehr.SourceMySQL:
			b.WriteString("`" + strings.ReplaceAll(p, "`", "``") + "`")
		case flowehr.SourceSQLServer:
			b.WriteString("[" + strings.ReplaceAll(p, "]", "]]") + "]")
		default:
			b.WriteString(`"` + strings.ReplaceAll(p, `"`, `""`) + `"`)
		}
	}
	if b.Len() == 0 {
		return "", errors.New("a table has no name")
	}
	return b.String(), nil
}

// SelectTable is the query for every column and row of a table.
func SelectTable(kind flowehr.SourceKind, schema, table string) (string, error) {
	if table == "" {
		return "", errors.New("a table has no name")
	}
	name, err := Quote(kind, schema, table)
	if err != nil {
		return "", err
	}
	return "select * from " + name, nil
}
