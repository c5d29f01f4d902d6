package lake

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/flowehr/flowehr/internal/lake/delta"
)

// schemaFit is the schema that new rows must have, or nil.
type schemaFit = *delta.Schema

// CSV says how CSV files are written. The zero value is a comma, double quotes that are doubled inside, no header, and
// an empty field for nothing.
type CSV struct {
	Delimiter string
	Quote     string
	Escape    string
	Header    bool
	NullValue string
	Encoding  string // utf-8 (default), latin-1 or utf-16
}

// csvReader reads CSV files. With a header columns are matched by name in each file, whatever their order there.
type csvReader struct {
	s     *session
	src   FileSource
	paths []string
}

// csvGroup is files with the same header.
type csvGroup struct {
	header []string
	paths  []string
}

func (r *csvReader) stage(ctx context.Context, n Name, fit schemaFit) (*staged, []badRecord, error) {
	groups, err := r.groups()
	if err != nil {
		return nil, nil, err
	}
	columns := r.src.Columns
	if len(columns) == 0 {
		if columns, err = r.allColumns(ctx, groups); err != nil {
			return nil, nil, err
		}
	}
	parts := make([]string, len(groups))
	for i, g := range groups {
		if parts[i], err = r.query(i, g, columns); err != nil {
			return nil, nil, err
		}
	}
	st, err := r.s.lake.stage(ctx, r.s, n, strings.Join(parts, " UNION ALL "), fit)
	if err != nil {
		return nil, nil, err
	}
	bad, err := r.rejects(ctx, len(groups))
	if err != nil {
		st.discard()
		return nil, nil, err
	}
	if len(bad) > 0 && r.src.BadRows == Fail {
		st.discard()
		return nil, nil, &BadRowError{File: bad[0].File, Line: bad[0].Line, Reason: bad[0].Reason}
	}
	return st, bad, nil
}

// groups reads the first record of every file, and brings files with the same columns together.
func (r *csvReader) groups() ([]csvGroup, error) {
	var out []csvGroup
	at := map[string]int{}
	for _, p := range r.paths {
		header, err := r.firstRecord(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if header == nil {
			continue // An empty file has no rows.
		}
		if !r.src.CSV.Header {
			for i := range header {
				header[i] = fmt.Sprintf("column%d", i)
				if i < len(r.src.Columns) {
					header[i] = r.src.Columns[i].path()
				}
			}
		}
		seen := map[string]bool{}
		for i, h := range header {
			if seen[strings.ToLower(h)] {
				return nil, fmt.Errorf("%s: column %s occurs twice (case does not count)", p, h)
			}
			if h == "" {
				header[i] = fmt.Sprintf("column%d", i)
			}
			seen[strings.ToLower(h)] = true
		}
		key := strings.Join(header, "\x00")
		if i, ok := at[key]; ok {
			out[i].paths = append(out[i].paths, p)
			continue
		}
		at[key] = len(out)
		out = append(out, csvGroup{header: header, paths: []string{p}})
	}
	if len(out) == 0 {
		return nil, errors.New("all files are empty: not even a header tells the columns")
	}
	return out, nil
}

// allColumns is every column of the files, as string or as its values suggest.
func (r *csvReader) allColumns(ctx context.Context, groups []csvGroup) ([]FileColumn, error) {
	var out []FileColumn
	seen := map[string]bool{}
	for _, g := range groups {
		types := map[string]string{}
		if r.src.InferTypes {
			cols, err := r.s.describe(ctx, "SELECT * FROM read_csv("+quoteTexts(g.paths)+", "+r.dialect()+", all_varchar = false, sample_size = -1, names = "+quoteTexts(g.header)+")")
			if err != nil {
				return nil, err
			}
			for i, c := range cols {
				if t, _, err := deltaType(c.Type); err == nil && i < len(g.header) {
					types[g.header[i]] = t
				}
			}
		}
		for _, h := range g.header {
			if seen[strings.ToLower(h)] {
				continue
			}
			seen[strings.ToLower(h)] = true
			out = append(out, FileColumn{Name: h, Type: types[h]})
		}
	}
	return out, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// dialect is the engine's options for how the files are written.
func (r *csvReader) dialect() string {
	c := r.src.CSV
	return fmt.Sprintf("header = %t, delim = %s, quote = %s, escape = %s, nullstr = %s, encoding = %s",
		c.Header, quoteText(orElse(c.Delimiter, ",")), quoteText(orElse(c.Quote, `"`)), quoteText(orElse(c.Escape, orElse(c.Quote, `"`))),
		quoteText(c.NullValue), quoteText(orElse(c.Encoding, "utf-8")))
}

func (r *csvReader) query(i int, g csvGroup, columns []FileColumn) (string, error) {
	types := make([]string, len(g.header))
	place := map[string]int{}
	for j, h := range g.header {
		types[j] = "VARCHAR"
		place[strings.ToLower(h)] = j
	}
	list := make([]string, len(columns))
	for j, c := range columns {
		typ, err := engineType(c.typ())
		if err != nil {
			return "", fmt.Errorf("column %s: %w", c.Name, err)
		}
		k, ok := place[strings.ToLower(c.path())]
		if !ok && len(r.src.Columns) > 0 {
			return "", fmt.Errorf("%s: column %s is not in the header (%s)", g.paths[0], c.path(), strings.Join(g.header, ", "))
		}
		if !ok { // A column that only other files have.
			list[j] = "CAST(NULL AS " + typ + ") AS " + quoteName(c.Name)
			continue
		}
		types[k] = typ
		list[j] = quoteName(g.header[k]) + " AS " + quoteName(c.Name)
	}
	spec := make([]string, len(g.header))
	for j, h := range g.header {
		spec[j] = quoteText(h) + ": " + quoteText(types[j])
	}
	return fmt.Sprintf("SELECT %s FROM read_csv(%s, auto_detect = false, %s%s, columns = {%s}, store_rejects = true, rejects_table = 'bad_%d', rejects_scan = 'bad_scan_%d')",
		strings.Join(list, ", "), quoteTexts(g.paths), r.dialect(), bufferOption(g.paths), strings.Join(spec, ", "), i, i), nil
}

// bufferOption makes the engine's buffers no larger than the largest file: its own are 32 MB, several for each thread,
// which many small files do not need. A packed file's real size is not known.
func bufferOption(paths []string) string {
	const least, own = 4 << 20, 32 << 20
	size := int64(least)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || strings.HasSuffix(p, ".gz") {
			return ""
		}
		size = max(size, info.Size()+1)
	}
	if size >= own {
		return ""
	}
	return fmt.Sprintf(", buffer_size = %d", size)
}

// rejects returns the records that the engine could not read, in order of file and line, each once.
func (r *csvReader) rejects(ctx context.Context, groups int) ([]badRecord, error) {
	var out []badRecord
	for i := range groups {
		var err error
		if out, err = r.rejectsOf(ctx, i, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rejectsOf adds the records of one group of files to out.
func (r *csvReader) rejectsOf(ctx context.Context, group int, out []badRecord) ([]badRecord, error) {
	rows, err := r.s.conn.QueryContext(ctx, fmt.Sprintf(`SELECT s.file_path, e.line, e.error_type, coalesce(e.column_name, ''), coalesce(e.csv_line, '')
		FROM bad_%d e JOIN bad_scan_%d s USING (scan_id, file_id) ORDER BY ALL`, group, group))
	if err != nil {
		return nil, engineError(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var b badRecord
		var kind, column string
		if err := rows.Scan(&b.File, &b.Line, &kind, &column, &b.Record); err != nil {
			return nil, err
		}
		if k := len(out) - 1; k >= 0 && out[k].File == b.File && out[k].Line == b.Line {
			continue // The same record may be wrong in several places; the first is enough to name it.
		}
		b.Reason = rejectReason(kind, column)
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, engineError(ctx, err)
	}
	return out, nil
}

// rejectReason says what is wrong without saying the value.
func rejectReason(kind, column string) string {
	switch kind {
	case "CAST":
		return "column " + column + ": the value is not of its type"
	case "TOO MANY COLUMNS":
		return "there are more fields than columns"
	case "MISSING COLUMNS":
		return "there are fewer fields than columns"
	case "UNQUOTED VALUE":
		return "a quote has no end"
	case "LINE SIZE OVER MAXIMUM":
		return "the line is longer than 2 MB"
	case "INVALID ENCODING":
		return "the text is not in the file's encoding"
	}
	return strings.ToLower(kind)
}

// openFile opens a file for reading and unpacks it when its name ends in .gz.
func openFile(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || filepath.Ext(path) != ".gz" {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// firstRecord returns the fields of the first record, or nil for an empty file.
func (r *csvReader) firstRecord(path string) ([]string, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader
	switch enc := strings.ToLower(r.src.CSV.Encoding); enc {
	case "", "utf-8":
		in = transform.NewReader(f, unicode.BOMOverride(transform.Nop))
	case "latin-1":
		in = charmap.ISO8859_1.NewDecoder().Reader(f)
	case "utf-16":
		in = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(f)
	default:
		return nil, fmt.Errorf("encoding %q is none of utf-8, latin-1, utf-16", enc)
	}
	c := r.src.CSV
	return splitRecord(bufio.NewReader(in), orElse(c.Delimiter, ","), orElse(c.Quote, `"`), orElse(c.Escape, orElse(c.Quote, `"`)))
}

// longestHeader bounds a header, so that a file which is no CSV is not read into memory.
const longestHeader = 1 << 20

// splitRecord reads one record.
func splitRecord(in *bufio.Reader, delim, quote, escape string) ([]string, error) {
	if len(quote) != 1 || len(escape) != 1 || delim == "" {
		return nil, errors.New("quote and escape are one character each, and the delimiter at least one")
	}
	var out []string
	var field strings.Builder
	quoted, any, read := false, false, 0
	for {
		b, err := in.ReadByte()
		if err == io.EOF {
			if !any {
				return nil, nil
			}
			return append(out, field.String()), nil
		}
		if err != nil {
			return nil, err
		}
		if read++; read > longestHeader {
			return nil, errors.New("the first record is longer than 1 MB: is this CSV?")
		}
		any = true
		switch {
		case quoted && b == escape[0]:
			if next, err := in.Peek(1); err == nil && next[0] == quote[0] {
				_, _ = in.ReadByte() // the one that was looked at
				field.WriteByte(quote[0])
				continue
			}
			if escape == quote {
				quoted = false
				continue
			}
			field.WriteByte(b)
		case b == quote[0]:
			quoted = !quoted
		case quoted:
			field.WriteByte(b)
		case b == '\n' || b == '\r':
			return append(out, field.String()), nil
		default:
			field.WriteByte(b)
			if text := field.String(); strings.HasSuffix(text, delim) {
				out = append(out, strings.TrimSuffix(text, delim))
				field.Reset()
			}
		}
	}
}
