package synth

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// WriteCSV writes one file for each table into dir, which is made when absent. It ends early when ctx does.
func (h *Hospital) WriteCSV(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := make([]*file, len(tables))
	for i, t := range tables {
		f, err := create(filepath.Join(dir, t.Name+".csv"))
		if err != nil {
			return err
		}
		defer f.abandon()
		files[i] = f
		w := csvWriter{buffer: f.buffer}
		w.heading(t)
		if t.fixed {
			w.rows(t, nil)
		}
	}
	err := h.eachInOrder(ctx, func(p *Person, out [][]byte) [][]byte {
		for i, t := range tables {
			w := csvWriter{buffer: bytes.NewBuffer(out[i])}
			w.rows(t, p)
			out[i] = w.buffer.(*bytes.Buffer).Bytes()
		}
		return out
	}, files)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := f.commit(); err != nil {
			return err
		}
	}
	return nil
}

// eachInOrder makes patients on all processors and writes what render makes of each to the files, in the order of the
// patients. render gets empty buffers, one for each file, and returns them filled.
func (h *Hospital) eachInOrder(ctx context.Context, render func(p *Person, out [][]byte) [][]byte, files []*file) error {
	workers := runtime.GOMAXPROCS(0)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Worker w makes patients w, w+workers, ...: reading the workers in turn gives the patients in order.
	made := make([]chan [][]byte, workers)
	spare := make(chan [][]byte, 4*workers)
	for w := range workers {
		made[w] = make(chan [][]byte, 2)
		go func() {
			for i := w; i < h.patients; i += workers {
				var out [][]byte
				select {
				case out = <-spare:
				default:
					out = make([][]byte, len(files))
				}
				for k := range out {
					out[k] = out[k][:0]
				}
				select {
				case made[w] <- render(h.Person(i), out):
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	for i := range h.patients {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out := <-made[i%workers]:
			for k, b := range out {
				if _, err := files[k].buffer.Write(b); err != nil {
					return err
				}
			}
			select {
			case spare <- out:
			default:
			}
		}
	}
	return nil
}

// csvWriter writes rows as RFC 4180 has them, with line feeds for line ends. Writing to memory and to a buffered file fails only when the buffer is
// flushed, where it is looked at.
type csvWriter struct {
	buffer interface {
		io.Writer
		io.ByteWriter
		io.StringWriter
	}
	scratch []byte
}

func (w *csvWriter) heading(t Table) {
	for i, c := range t.Columns {
		w.cell(i, c.Name, c.Type)
	}
	_ = w.buffer.WriteByte('\n')
}

func (w *csvWriter) rows(t Table, p *Person) {
	for row := range t.RowsOf(p) {
		for i, v := range row {
			w.cell(i, v, t.Columns[i].Type)
		}
		_ = w.buffer.WriteByte('\n')
	}
}

func (w *csvWriter) cell(i int, v any, kind string) {
	if i > 0 {
		_ = w.buffer.WriteByte(',')
	}
	w.scratch = w.scratch[:0]
	switch v := v.(type) {
	case nil:
		return
	case string:
		if strings.ContainsAny(v, ",\"\r\n") {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		_, _ = w.buffer.WriteString(v)
		return
	case int64:
		w.scratch = strconv.AppendInt(w.scratch, v, 10)
	case float64:
		w.scratch = strconv.AppendFloat(w.scratch, v, 'f', -1, 64)
	case time.Time:
		layout := time.RFC3339
		if kind == "date" {
			layout = time.DateOnly
		}
		w.scratch = v.AppendFormat(w.scratch, layout)
	}
	_, _ = w.buffer.Write(w.scratch)
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
