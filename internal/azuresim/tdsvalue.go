package azuresim

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Data types on the wire ([MS-TDS] 2.2.5.4).
const (
	wireNull           = 0x1f
	wireGUID           = 0x24
	wireInt            = 0x26
	wireDateTimeOffset = 0x2b
	wireDateTime2      = 0x2a
	wireBit            = 0x68
	wireFloat          = 0x6d
	wireDateTime       = 0x6f
	wireVarBinary      = 0xa5
	wireVarChar        = 0xa7
	wireNVarChar       = 0xe7
)

const wireLong = 0xffff // the length of a type without a limit: its values come in chunks

// value reads a type and a value of it: nil, int64, bool, float64, string, []byte, sqlGUID or time.Time.
func (r *tdsReader) value() (any, error) {
	switch typ := r.byte(); typ {
	case wireNull:
		return nil, r.err
	case wireGUID, wireInt, wireBit, wireFloat, wireDateTime:
		r.byte() // length of the type
		return r.short(typ)
	case wireDateTimeOffset:
		return r.dateTimeOffset()
	case wireVarBinary:
		b, null := r.counted(r.uint16())
		if null {
			return nil, r.err
		}
		return append([]byte{}, b...), r.err
	case wireVarChar, wireNVarChar:
		limit := r.uint16()
		r.take(5) // collation
		b, null := r.counted(limit)
		if null {
			return nil, r.err
		}
		if typ == wireVarChar {
			return string(b), r.err
		}
		return fromUTF16(b), r.err
	default:
		return nil, fmt.Errorf("parameters of the wire type 0x%02x are not simulated", typ)
	}
}

// short reads a value that its own length precedes in one byte.
func (r *tdsReader) short(typ byte) (any, error) {
	b := r.take(int(r.byte()))
	if r.err != nil || len(b) == 0 {
		return nil, r.err
	}
	switch {
	case typ == wireGUID && len(b) == 16:
		return sqlGUID(b), nil
	case typ == wireBit && len(b) == 1:
		return b[0] != 0, nil
	case typ == wireFloat && len(b) == 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case typ == wireFloat && len(b) == 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
	case typ == wireDateTime && len(b) == 8: // days since 1900 and three hundredths of a second
		days, parts := int32(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])
		return epoch.AddDate(1899, 0, int(days)).Add(time.Duration(parts) * time.Second / 300), nil
	case typ == wireInt && len(b) == 1:
		return int64(b[0]), nil
	case typ == wireInt && len(b) == 2:
		return int64(int16(binary.LittleEndian.Uint16(b))), nil
	case typ == wireInt && len(b) == 4:
		return int64(int32(binary.LittleEndian.Uint32(b))), nil
	case typ == wireInt && len(b) == 8:
		return int64(binary.LittleEndian.Uint64(b)), nil
	}
	return nil, errBadTDS
}

// counted reads a value whose length precedes it, in chunks when its type has no limit.
func (r *tdsReader) counted(limit uint16) (b []byte, null bool) {
	if limit != wireLong {
		n := r.uint16()
		return r.take(int(n) * btoi(n != 0xffff)), n == 0xffff
	}
	if r.uint64() == math.MaxUint64 {
		return nil, true
	}
	for r.err == nil {
		n := int(r.uint32())
		if n == 0 {
			break
		}
		b = append(b, r.take(n)...)
	}
	return b, false
}

// epoch is where SQL Server's days begin.
var epoch = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *tdsReader) dateTimeOffset() (any, error) {
	scale := r.byte()
	b := r.take(int(r.byte()))
	if r.err != nil || len(b) == 0 {
		return nil, r.err
	}
	if len(b) < 8 || scale > 7 {
		return nil, errBadTDS
	}
	return readDateTime(b[:len(b)-2], scale), nil
}

func readDateTime(b []byte, scale byte) time.Time {
	var ticks uint64
	clock := b[:len(b)-3]
	for i, v := range clock {
		ticks |= uint64(v) << (8 * i)
	}
	for ; scale < 9; scale++ {
		ticks *= 10
	}
	days := int(b[len(b)-3]) | int(b[len(b)-2])<<8 | int(b[len(b)-1])<<16
	return epoch.AddDate(0, 0, days).Add(time.Duration(ticks))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sqlType is the type of a column or of a variable, as far as the simulation tells types apart.
type sqlType struct {
	Name string `json:"name"` // nvarchar, varchar, int, bigint, bit, float, varbinary, uniqueidentifier, datetime2
	Size int    `json:"size,omitempty"`
}

// appendType writes the description of a column's type.
func (t sqlType) appendType(b []byte) []byte {
	switch t.Name {
	case "int":
		return append(b, wireInt, 4)
	case "bigint":
		return append(b, wireInt, 8)
	case "bit":
		return append(b, wireBit, 1)
	case "float":
		return append(b, wireFloat, 8)
	case "uniqueidentifier":
		return append(b, wireGUID, 16)
	case "datetime2":
		return append(b, wireDateTime2, 7)
	case "varbinary":
		return binary.LittleEndian.AppendUint16(append(b, wireVarBinary), 8000)
	}
	b = binary.LittleEndian.AppendUint16(append(b, wireNVarChar), 8000)
	return append(b, 0x09, 0x04, 0xd0, 0x00, 0x34) // SQL_Latin1_General_CP1_CI_AS
}

// appendValue writes one value of a row. The value is of the type, or nil.
func (t sqlType) appendValue(b []byte, v any) []byte {
	if v == nil {
		if t.Name == "varbinary" || t.text() {
			return append(b, 0xff, 0xff)
		}
		return append(b, 0)
	}
	switch t.Name {
	case "int":
		return binary.LittleEndian.AppendUint32(append(b, 4), uint32(v.(int64)))
	case "bigint":
		return binary.LittleEndian.AppendUint64(append(b, 8), uint64(v.(int64)))
	case "bit":
		return append(b, 1, byte(btoi(v.(bool))))
	case "float":
		return binary.LittleEndian.AppendUint64(append(b, 8), math.Float64bits(v.(float64)))
	case "uniqueidentifier":
		g := v.(sqlGUID)
		return append(append(b, 16), g[:]...)
	case "datetime2":
		return appendDateTime(append(b, 8), v.(time.Time))
	case "varbinary":
		data := v.([]byte)
		return append(binary.LittleEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	data := toUTF16(v.(string))
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(data))), data...)
}

func (t sqlType) text() bool { return t.Name == "nvarchar" || t.Name == "varchar" }

func appendDateTime(b []byte, at time.Time) []byte {
	at = at.UTC()
	midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	ticks := uint64(at.Sub(midnight) / 100)
	for i := range 5 {
		b = append(b, byte(ticks>>(8*i)))
	}
	days := int((midnight.Unix() - epoch.Unix()) / (24 * 60 * 60))
	return append(b, byte(days), byte(days>>8), byte(days>>16))
}
