package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Filter chooses records. A zero field chooses everything.
type Filter struct {
	From, To time.Time // From is part of the range, To is not
	Who      string
	Action   string // exact, or a prefix that ends with ".*" such as "pipeline.*"
	Subject  string
	Limit    int
}

// Read returns the records at path that f chooses, newest first. See [Scan].
func Read(path string, f Filter) ([]Record, error) {
	var found []Record
	err := Scan(path, f, func(r Record) bool {
		found = append(found, r)
		return f.Limit <= 0 || len(found) < f.Limit
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Scan calls visit for each record at path that f chooses, newest first, until visit returns false; f.Limit is not
// looked at. It reads the file from its end and stops as soon as it can, and it does not hinder writers. A log that is
// not there yet has no records. Scan does not verify the chain, but a line that is not a record is an error.
func Scan(path string, f Filter, visit func(Record) bool) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}

	b := backward{file: file, at: info.Size()}
	if _, err := b.remainder(); err != nil { // a line that is being written now
		return fmt.Errorf("read audit log: %w", err)
	}
	for {
		line, err := b.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		r, err := decode(line)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrBroken, path, err)
		}
		if r.At.Before(f.From) {
			return nil // times never go back in a log
		}
		if f.matches(r) && !visit(r) {
			return nil
		}
	}
}

func (f Filter) matches(r Record) bool {
	if !f.To.IsZero() && !r.At.Before(f.To) {
		return false
	}
	return (f.Who == "" || f.Who == r.Entry.Who) &&
		(f.Subject == "" || f.Subject == r.Entry.Subject) &&
		matchesAction(f.Action, r.Entry.Action)
}

func matchesAction(want, got string) bool {
	if prefix, ok := bytes.CutSuffix([]byte(want), []byte("*")); ok && bytes.HasSuffix(prefix, []byte(".")) {
		return bytes.HasPrefix([]byte(got), prefix)
	}
	return want == "" || want == got
}

// backward reads the lines of a file from its end.
type backward struct {
	file *os.File
	at   int64  // what stands before at has not been read yet
	buf  []byte // read, not yet returned
}

const block = 64 << 10

// remainder returns what follows the last newline, and leaves the newline's line to be read. Call it first.
func (b *backward) remainder() ([]byte, error) {
	for {
		if i := bytes.LastIndexByte(b.buf, '\n'); i >= 0 {
			rest := bytes.Clone(b.buf[i+1:])
			b.buf = b.buf[:i+1]
			return rest, nil
		}
		if b.at == 0 {
			rest := b.buf
			b.buf = nil
			return rest, nil
		}
		if err := b.more(); err != nil {
			return nil, err
		}
	}
}

// line returns the line before the ones returned so far, without its newline, or io.EOF.
func (b *backward) line() ([]byte, error) {
	for {
		if len(b.buf) > 0 {
			if i := bytes.LastIndexByte(b.buf[:len(b.buf)-1], '\n'); i >= 0 || b.at == 0 {
				line := b.buf[i+1 : len(b.buf)-1]
				b.buf = b.buf[:i+1]
				return line, nil
			}
		}
		if b.at == 0 {
			return nil, io.EOF
		}
		if err := b.more(); err != nil {
			return nil, err
		}
	}
}

func (b *backward) more() error {
	if len(b.buf) > maxLine {
		return fmt.Errorf("a line is longer than %d bytes", maxLine)
	}
	n := min(block, b.at)
	buf := make([]byte, n, n+int64(len(b.buf)))
	if _, err := b.file.ReadAt(buf, b.at-n); err != nil {
		return err
	}
	b.at -= n
	b.buf = append(buf, b.buf...)
	return nil
}
