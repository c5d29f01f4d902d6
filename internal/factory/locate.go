package factory

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Locate fills in line and column of diagnostics that have a file and a JSON pointer. A pointer to what is not there,
// the missing name of an activity for example, gets the place of the nearest thing around it.
func Locate(fsys fs.FS, ds []flowehr.Diagnostic) {
	files := map[string]map[string]flowehr.Pos{}
	for i := range ds {
		d := &ds[i]
		if d.Pos.File == "" || d.Pos.Line != 0 {
			continue
		}
		places, known := files[d.Pos.File]
		if !known {
			if data, err := fs.ReadFile(fsys, d.Pos.File); err == nil {
				places = pointers(data)
			}
			files[d.Pos.File] = places
		}
		for pointer := d.Pointer; ; pointer = pointer[:strings.LastIndexByte(pointer, '/')] {
			if pos, ok := places[pointer]; ok {
				d.Pos.Line, d.Pos.Column = pos.Line, pos.Column
				break
			}
			if pointer == "" || !strings.Contains(pointer, "/") {
				break
			}
		}
	}
}

// pointers maps every JSON pointer of a text to the place of its value. A text that is no JSON gives what comes before
// the fault.
func pointers(data []byte) map[string]flowehr.Pos {
	clean := expr.StripComments(data)
	p := &placer{data: clean, dec: json.NewDecoder(bytes.NewReader(clean)), places: map[string]flowehr.Pos{}}
	p.dec.UseNumber()
	p.value("")
	return p.places
}

type placer struct {
	data   []byte
	dec    *json.Decoder
	places map[string]flowehr.Pos
	at     int // offset up to which lines are counted
	line   int // lines before at
	start  int // offset of the line that at is in
}

// value walks one value and reports whether the text goes on.
func (p *placer) value(pointer string) bool {
	p.mark(pointer)
	token, err := p.dec.Token()
	if err != nil {
		return false
	}
	open, _ := token.(json.Delim)
	for i := 0; open != 0 && p.dec.More(); i++ {
		next := child(pointer, i)
		if open == '{' {
			key, err := p.dec.Token()
			if err != nil {
				return false
			}
			next = child(pointer, key)
		}
		if !p.value(next) {
			return false
		}
	}
	if open != 0 {
		_, err = p.dec.Token()
	}
	return err == nil
}

// mark notes the place of the value that comes next. Offsets only grow, so lines are counted once.
func (p *placer) mark(pointer string) {
	offset := int(p.dec.InputOffset())
	for offset < len(p.data) && strings.IndexByte(" \t\r\n:,", p.data[offset]) >= 0 {
		offset++
	}
	for ; p.at < offset; p.at++ {
		if p.data[p.at] == '\n' {
			p.line++
			p.start = p.at + 1
		}
	}
	p.places[pointer] = flowehr.Pos{Line: p.line + 1, Column: offset - p.start + 1}
}
