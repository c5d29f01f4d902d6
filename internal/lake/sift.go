package lake

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// siftLines is how many lines are tried at once.
const siftLines = 2000

// siftedLine is a line of a file that is being sifted.
type siftedLine struct {
	number int64
	text   []byte
}

// sift finds the records that cannot be read. Under the policy Fail the first one ends it as a [BadRowError]; under
// Quarantine all are returned, and the reader's paths become copies of the files without them.
func (r *jsonReader) sift(ctx context.Context) ([]badRecord, error) {
	var bad []badRecord
	var clean []string
	for i, path := range r.paths {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		var b []badRecord
		var err error
		good := path
		if r.src.Format == FormatNDJSON {
			good = filepath.Join(r.s.temp, fmt.Sprintf("sifted-%d.ndjson", i))
			b, err = r.siftFile(ctx, path, good)
		} else {
			b, err = r.siftWhole(ctx, path)
		}
		if err != nil {
			return nil, err
		}
		switch {
		case len(b) > 0 && r.src.BadRows == Fail:
			return nil, &BadRowError{File: path, Line: b[0].Line, Reason: b[0].Reason}
		case len(b) == 0:
			clean = append(clean, path)
		case r.src.Format == FormatNDJSON:
			clean = append(clean, good)
		}
		bad = append(bad, b...)
	}
	r.paths = clean
	return bad, nil
}

// siftFile writes the good lines of a file to a new one and returns the bad ones.
func (r *jsonReader) siftFile(ctx context.Context, path, good string) ([]badRecord, error) {
	in, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.Create(good)
	if err != nil {
		return nil, diskError(err)
	}
	defer out.Close()
	w := bufio.NewWriter(out)
	lines := bufio.NewReaderSize(in, 1<<20)
	var bad []badRecord
	number := int64(0)
	for last := false; !last; {
		var chunk []siftedLine
		for len(chunk) < siftLines {
			text, err := lines.ReadBytes('\n')
			number++
			if text = bytes.TrimSpace(text); len(text) > 0 {
				chunk = append(chunk, siftedLine{number: number, text: text})
			}
			if errors.Is(err, io.EOF) {
				last = true
				break
			}
			if err != nil {
				return nil, err
			}
		}
		faults, err := r.faults(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, l := range chunk {
			if reason, ok := faults[l.number]; ok {
				bad = append(bad, badRecord{File: path, Line: l.number, Reason: reason, Record: string(l.text)})
				continue
			}
			// A failed write is remembered by the buffer and told by Flush.
			_, _ = w.Write(l.text)
			_ = w.WriteByte('\n')
		}
		if len(bad) > 0 && r.src.BadRows == Fail {
			return bad, nil
		}
	}
	return bad, diskError(w.Flush())
}

// faults returns why lines of a chunk cannot be read, by line number.
func (r *jsonReader) faults(ctx context.Context, chunk []siftedLine) (map[int64]string, error) {
	out := map[int64]string{}
	var rest []siftedLine
	for _, l := range chunk {
		if reason := syntaxFault(l.text); reason != "" {
			out[l.number] = reason
			continue
		}
		rest = append(rest, l)
	}
	return out, r.halve(ctx, rest, out)
}

// syntaxFault says what is wrong with a line that should be one JSON object.
func syntaxFault(text []byte) string {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(text, &fields)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON: at character %d of the line: %s", syntax.Offset, strings.TrimPrefix(syntax.Error(), "json: "))
	case err != nil || fields == nil:
		return "not a JSON object"
	}
	return ""
}

// halve lets the engine try lines, and halves of them while it refuses, down to single lines.
func (r *jsonReader) halve(ctx context.Context, lines []siftedLine, faults map[int64]string) error {
	if len(lines) == 0 {
		return nil
	}
	path := filepath.Join(r.s.temp, "try.ndjson")
	var buf bytes.Buffer
	for _, l := range lines {
		buf.Write(l.text)
		buf.WriteByte('\n')
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		return diskError(err)
	}
	err := r.attempt(ctx, path)
	if err == nil {
		return nil
	}
	if !isBadData(err) {
		return err
	}
	if len(lines) == 1 {
		faults[lines[0].number] = faultReason(err)
		return nil
	}
	half := len(lines) / 2
	if err := r.halve(ctx, lines[:half], faults); err != nil {
		return err
	}
	return r.halve(ctx, lines[half:], faults)
}

// attempt reads all columns of a file and keeps nothing.
func (r *jsonReader) attempt(ctx context.Context, path string) error {
	columns := r.src.Columns
	if len(columns) == 0 {
		columns = []FileColumn{{Name: "whole", Path: "$"}}
	}
	query, err := r.query([]string{path}, columns)
	if err != nil {
		return err
	}
	return r.s.exec(ctx, "SELECT count(COLUMNS(*)) FROM ("+query+")")
}

// faultReason keeps from the engine's words what has no value of the record in it.
func faultReason(err error) string {
	msg := err.Error()
	for _, p := range []struct{ find, say string }{
		{"Failed to cast value", "a value is not of its column's type"},
		{"Could not convert", "a value is not of its column's type"},
		{"Expected a Bundle", "not a FHIR bundle"},
		{"Expected OBJECT", "there is no object where a path goes on"},
		{"Expected ARRAY", "there is no list where a path has an index"},
		{"out of range", "a value is out of its type's range"},
		{"Malformed JSON", "not JSON that the engine reads"},
	} {
		if strings.Contains(msg, p.find) {
			return p.say
		}
	}
	return "a value does not fit its column"
}

// siftWhole tries a file as one record: a document that is broken anywhere cannot be trusted elsewhere.
func (r *jsonReader) siftWhole(ctx context.Context, path string) ([]badRecord, error) {
	err := r.attempt(ctx, path)
	if err == nil {
		return nil, nil
	}
	if !isBadData(err) {
		return nil, err
	}
	in, oerr := openFile(path)
	if oerr != nil {
		return nil, oerr
	}
	defer in.Close()
	text, rerr := io.ReadAll(in)
	if rerr != nil {
		return nil, rerr
	}
	b := badRecord{File: path, Line: 1, Reason: faultReason(err), Record: string(text)}
	var syntax *json.SyntaxError
	var any any
	if jerr := json.Unmarshal(text, &any); errors.As(jerr, &syntax) {
		before := text[:min(int(syntax.Offset), len(text))]
		b.Line = int64(bytes.Count(before, []byte("\n"))) + 1
		b.Reason = "not JSON: " + strings.TrimPrefix(syntax.Error(), "json: ")
	}
	return []badRecord{b}, nil
}
