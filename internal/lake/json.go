package lake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// jsonReader reads NDJSON, JSON and FHIR bundles. Columns that are declared are read by a structure made of their
// paths, in one pass over each object. The engine says that something is wrong, but not reliably where; so after such
// an error the files are sifted (see sift.go), which is slower and exact.
type jsonReader struct {
	s     *session
	src   FileSource
	paths []string
	// large tells that a line of NDJSON may be as long as largeLine: then the engine's buffers are too.
	large bool
}

// The engine has a buffer of twice the longest line for each thread, so the second limit is only tried when the first
// is not enough.
const (
	usualLine = 16 << 20
	largeLine = 64 << 20
)

func (r *jsonReader) stage(ctx context.Context, n Name, fit schemaFit) (*staged, []badRecord, error) {
	st, err := r.try(ctx, n, fit)
	if err != nil && strings.Contains(err.Error(), "maximum_object_size") && !r.large {
		r.large = true
		st, err = r.try(ctx, n, fit)
	}
	if err == nil || !isBadData(err) {
		return st, nil, err
	}
	bad, serr := r.sift(ctx)
	if serr != nil {
		return nil, nil, serr
	}
	if len(bad) == 0 { // Not one record alone is at fault.
		return nil, nil, err
	}
	if st, err = r.try(ctx, n, fit); err != nil {
		return nil, nil, err
	}
	return st, bad, nil
}

// isBadData tells errors that the content of a file causes from all others.
func isBadData(err error) bool {
	msg := err.Error()
	for _, p := range []string{"Invalid Input Error", "Conversion Error", "Out of Range Error"} {
		if strings.HasPrefix(msg, p) {
			return true
		}
	}
	return false
}

func (r *jsonReader) try(ctx context.Context, n Name, fit schemaFit) (*staged, error) {
	if len(r.paths) == 0 {
		return nil, errors.New("no file can be read")
	}
	columns := r.src.Columns
	if len(columns) == 0 {
		var err error
		if columns, err = r.detect(ctx); err != nil {
			return nil, err
		}
	}
	query, err := r.query(r.paths, columns)
	if err != nil {
		return nil, err
	}
	return r.s.lake.stage(ctx, r.s, n, query, fit)
}

// detect finds the top-level fields of all objects. Values that are no scalars, or not all of one kind, become text.
func (r *jsonReader) detect(ctx context.Context) ([]FileColumn, error) {
	if r.src.Format == FormatBundle {
		return []FileColumn{{Name: "resource_type", Path: "$.resourceType"}, {Name: "id", Path: "$.id"}, {Name: "resource", Path: "$"}}, nil
	}
	parts, err := r.scans(r.paths, "read_json", "maximum_depth = 2, sample_size = -1, map_inference_threshold = -1")
	if err != nil {
		return nil, err
	}
	have, err := r.s.describe(ctx, strings.Join(parts, " UNION ALL BY NAME "))
	if err != nil {
		return nil, err
	}
	out := make([]FileColumn, len(have))
	for i, c := range have {
		t, _, err := deltaType(c.Type)
		if err != nil {
			t = "string"
		}
		if strings.ContainsAny(c.Name, `'\`) {
			return nil, fmt.Errorf("field %q: a name with ' or \\ is not supported: declare the columns", c.Name)
		}
		out[i] = FileColumn{Name: c.Name, Type: t, Path: "$['" + c.Name + "']"}
	}
	return out, nil
}

// scans are queries over all records of the files.
func (r *jsonReader) scans(paths []string, function, options string) ([]string, error) {
	if options != "" {
		options = ", " + options
	}
	if r.src.Format == FormatNDJSON {
		longest, err := r.longestLine(paths)
		if err != nil {
			return nil, err
		}
		return []string{fmt.Sprintf("SELECT * FROM %s(%s, format = 'newline_delimited', maximum_object_size = %d%s)", function, quoteTexts(paths), longest, options)}, nil
	}
	// An object may be as large as its file.
	largest := int64(16 << 20)
	kinds := map[string][]string{}
	for _, p := range paths {
		kind, size, err := peekJSON(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		largest = max(largest, size)
		kinds[kind] = append(kinds[kind], p)
	}
	var out []string
	for _, kind := range []string{"array", "unstructured"} {
		if len(kinds[kind]) > 0 {
			out = append(out, fmt.Sprintf("SELECT * FROM %s(%s, format = '%s', maximum_object_size = %d%s)", function, quoteTexts(kinds[kind]), kind, largest, options))
		}
	}
	return out, nil
}

// longestLine is how long a line of NDJSON may be: no longer than the largest file.
func (r *jsonReader) longestLine(paths []string) (int64, error) {
	limit := int64(usualLine)
	if r.large {
		limit = largeLine
	}
	largest := int64(1 << 20)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return 0, err
		}
		if largest = max(largest, info.Size()); strings.HasSuffix(p, ".gz") {
			return limit, nil
		}
	}
	return min(limit, largest), nil
}

// peekJSON tells whether a file is an array or not, and how large an object in it can be.
func peekJSON(path string) (kind string, size int64, err error) {
	f, err := openFile(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	size = info.Size() + 1024
	if strings.HasSuffix(path, ".gz") {
		size *= 20
	}
	in := bufio.NewReader(f)
	for {
		b, err := in.ReadByte()
		switch {
		case err == io.EOF:
			return "unstructured", size, nil
		case err != nil:
			return "", 0, err
		case b == '[':
			return "array", size, nil
		case b > ' ' && b < 0x80:
			return "unstructured", size, nil
		}
	}
}

// query reads columns from files.
func (r *jsonReader) query(paths []string, columns []FileColumn) (string, error) {
	plan, err := planJSON(columns)
	if err != nil {
		return "", err
	}
	if r.src.Format == FormatBundle {
		parts, err := r.scans(paths, "read_json", "columns = {'resourceType': 'VARCHAR', 'entry': 'STRUCT(resource JSON)[]'}")
		if err != nil {
			return "", err
		}
		// An entry without a resource, such as the answer to a deletion, is no record.
		where := " WHERE e.resource IS NOT NULL"
		if t := r.src.ResourceType; t != "" {
			where = " WHERE json_extract_string(e.resource, '$.resourceType') = " + quoteText(t)
		}
		entries := "CASE WHEN resourceType = 'Bundle' THEN entry ELSE error('Expected a Bundle') END"
		source := "SELECT e.resource AS json FROM (SELECT unnest(" + entries + ") AS e FROM (" + strings.Join(parts, " UNION ALL ") + "))" + where
		return plan.whole(source), nil
	}
	if plan.overlap {
		parts, err := r.scans(paths, "read_json_objects", "")
		if err != nil {
			return "", err
		}
		return plan.whole(strings.Join(parts, " UNION ALL ")), nil
	}
	parts, err := r.scans(paths, "read_json", "columns = {"+plan.root.fields(true)+"}")
	if err != nil {
		return "", err
	}
	return plan.direct(strings.Join(parts, " UNION ALL ")), nil
}
