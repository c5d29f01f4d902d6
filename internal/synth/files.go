package synth

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// WriteCSV writes one file for each table into dir, which is made when absent. It ends early when ctx does.
func (h *Hospital) WriteCSV(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, t := range h.Tables() {
		if err := h.writeTable(ctx, filepath.Join(dir, t.Name+".csv"), t); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hospital) writeTable(ctx context.Context, path string, t Table) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	defer f.abandon()
	w := csv.NewWriter(f.buffer)
	cells := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		cells[i] = c.Name
	}
	if err := w.Write(cells); err != nil {
		return err
	}
	n := 0
	for row := range h.Rows(t) {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for i, v := range row {
			cells[i] = cell(v, t.Columns[i].Type)
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return f.commit()
}

func cell(v any, kind string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Time:
		if kind == "date" {
			return v.Format(time.DateOnly)
		}
		return v.Format("2006-01-02T15:04:05Z07:00")
	}
	return fmt.Sprint(v)
}

// file is written beside its place and moved there when it is complete, so that a reader never sees half of it.
type file struct {
	*os.File
	buffer *bufio.Writer
	path   string
}

func create(path string) (*file, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, err
	}
	return &file{f, bufio.NewWriterSize(f, 1<<18), path}, nil
}

func (f *file) commit() error {
	if err := f.buffer.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), f.path)
}

// abandon removes what commit did not move; after commit it does nothing of note.
func (f *file) abandon() {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
