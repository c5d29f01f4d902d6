package config

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/flowehr/flowehr"
)

// dotEnvLine is NAME=value, as shells and other tools write it.
var dotEnvLine = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$`)

// DotEnv reads the file .env beside the definition, which holds NAME=value lines, and returns a lookup of its names.
// Without the file the lookup knows nothing. A value may stand in single quotes (taken as it is) or double quotes (where
// \n, \t, \" and \\ are understood); nothing is ever executed or replaced in it. A diagnostic names the line, never
// what stands on it.
func DotEnv(fsys fs.FS) (Lookup, []flowehr.Diagnostic) {
	const file = ".env"
	data, err := fs.ReadFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return Chain(), nil
	}
	if err != nil {
		return Chain(), []flowehr.Diagnostic{flowehr.Errorf(flowehr.Pos{File: file}, "cannot be read").
			With("It must be a plain file that you may read.")}
	}
	data, bad := checkText(file, data)
	if bad != nil {
		return Chain(), []flowehr.Diagnostic{*bad}
	}
	values := map[string]string{}
	var diags []flowehr.Diagnostic
	for i, line := range strings.Split(string(data), "\n") {
		if text := strings.TrimSpace(line); text == "" || text[0] == '#' {
			continue
		}
		pos := flowehr.Pos{File: file, Line: i + 1, Column: 1}
		m := dotEnvLine.FindStringSubmatch(line)
		if m == nil {
			diags = append(diags, flowehr.Errorf(pos, "not a NAME=value line").
				With("A name has letters, digits and _ only, and = stands behind it. A remark starts with #."))
			continue
		}
		value, ok := dotEnvValue(m[2])
		if !ok {
			diags = append(diags, flowehr.Errorf(pos, "the value of %s has no closing quote", m[1]).
				With("A value stands on one line; write a line break as \\n between double quotes."))
			continue
		}
		values[m[1]] = value
	}
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }, diags
}

// dotEnvValue takes quotes or a trailing remark away.
func dotEnvValue(raw string) (value string, ok bool) {
	if raw == "" || raw[0] != '\'' && raw[0] != '"' {
		if i := strings.Index(raw, " #"); i >= 0 {
			raw = strings.TrimSpace(raw[:i])
		}
		return raw, true
	}
	var b strings.Builder
	quote := raw[0]
	for i := 1; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == quote:
			rest := strings.TrimSpace(raw[i+1:])
			return b.String(), rest == "" || rest[0] == '#'
		case c == '\\' && quote == '"' && i+1 < len(raw):
			i++
			switch raw[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case '"', '\\', '$':
				b.WriteByte(raw[i])
			default:
				b.WriteByte('\\')
				b.WriteByte(raw[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
