package connect

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// decoder makes a value of what the server sent. why is not empty when the Delta type cannot hold it.
type decoder func(raw []byte) (v any, why string)

// maxPrecision is the largest decimal that Delta knows.
const maxPrecision = 38

// openScale is the scale given to a numeric column that declares none, as Spark does.
const openScale = 18

// postgresType maps a type to Delta's. A timestamp without zone is taken to be UTC, because Delta's common timestamp is
// an instant.
func postgresType(oid uint32, modifier int32, format int16) (string, decoder) {
	if format != pgtype.BinaryFormatCode {
		return "string", newInterner().text
	}
	switch oid {
	case pgtype.BoolOID:
		return "boolean", fixed(1, func(b []byte) (any, string) { return b[0] != 0, "" })
	case pgtype.Int2OID:
		return "short", fixed(2, func(b []byte) (any, string) { return int64(int16(binary.BigEndian.Uint16(b))), "" })
	case pgtype.Int4OID:
		return "integer", fixed(4, func(b []byte) (any, string) { return int64(int32(binary.BigEndian.Uint32(b))), "" })
	case pgtype.Int8OID:
		return "long", fixed(8, func(b []byte) (any, string) { return int64(binary.BigEndian.Uint64(b)), "" })
	case pgtype.Float4OID:
		return "float", fixed(4, func(b []byte) (any, string) { return float64(math.Float32frombits(binary.BigEndian.Uint32(b))), "" })
	case pgtype.Float8OID:
		return "double", fixed(8, func(b []byte) (any, string) { return math.Float64frombits(binary.BigEndian.Uint64(b)), "" })
	case pgtype.NumericOID:
		return postgresNumeric(modifier)
	case pgtype.ByteaOID:
		return "binary", func(b []byte) (any, string) { return append([]byte{}, b...), "" }
	case pgtype.DateOID:
		return "date", fixed(4, decodeDate)
	case pgtype.TimestampOID, pgtype.TimestamptzOID:
		return "timestamp", fixed(8, decodeTimestamp)
	case pgtype.UUIDOID:
		return "string", fixed(16, decodeUUID)
	}
	return "string", newInterner().text
}

// fixed refuses a value of another length, so that a server that talks nonsense cannot bring this process down.
func fixed(length int, d decoder) decoder {
	return func(raw []byte) (any, string) {
		if len(raw) != length {
			return nil, "a value of a wrong length"
		}
		return d(raw)
	}
}

func decodeUUID(b []byte) (any, string) {
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:]), ""
}

// PostgreSQL counts from the first day of 2000.
const (
	postgresEpochSeconds = 946684800
	secondsPerDay        = 86400
)

func decodeDate(b []byte) (any, string) {
	days := int32(binary.BigEndian.Uint32(b))
	if days == math.MaxInt32 || days == math.MinInt32 {
		return nil, "an infinite date"
	}
	return bounded(time.Unix(postgresEpochSeconds+int64(days)*secondsPerDay, 0).UTC())
}

func decodeTimestamp(b []byte) (any, string) {
	micros := int64(binary.BigEndian.Uint64(b))
	if micros == math.MaxInt64 || micros == math.MinInt64 {
		return nil, "an infinite timestamp"
	}
	seconds, rest := micros/1e6, micros%1e6
	return bounded(time.Unix(postgresEpochSeconds+seconds, rest*1000).UTC())
}

// bounded refuses years that Delta's readers do not know.
func bounded(t time.Time) (any, string) {
	if y := t.Year(); y < 1 || y > 9999 {
		return nil, "a date outside the years 1 to 9999"
	}
	return t, ""
}

func postgresNumeric(modifier int32) (string, decoder) {
	precision, scale := maxPrecision, openScale
	if modifier >= 4 {
		precision = int((modifier-4)>>16) & 0xffff
		scale = int((modifier-4)&0x7ff^1024) - 1024 // eleven bits with sign
	}
	if scale < 0 { // numeric(3,-2) holds hundreds
		precision, scale = precision-scale, 0
	}
	if scale > precision {
		precision = scale
	}
	if precision > maxPrecision {
		return "string", func(b []byte) (any, string) { return numericText(b, math.MaxInt, math.MaxInt) }
	}
	return decimalType(precision, scale), func(b []byte) (any, string) { return numericText(b, precision-scale, scale) }
}

func decimalType(precision, scale int) string { return fmt.Sprintf("decimal(%d,%d)", precision, scale) }

// numericText reads the server's binary numeric: groups of four decimal digits, the weight of the first, sign and
// display scale. digits and scale are how many the column type holds before and after the point.
func numericText(b []byte, digits, scale int) (any, string) {
	if len(b) < 8 || len(b) < 8+2*int(binary.BigEndian.Uint16(b)) {
		return nil, "a number that is cut short"
	}
	groups := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	shown := int(binary.BigEndian.Uint16(b[6:]))
	switch sign {
	case 0xC000:
		return nil, "not a number (NaN)"
	case 0xD000, 0xF000:
		return nil, "an infinite number"
	}
	for i := range groups {
		if binary.BigEndian.Uint16(b[8+2*i:]) > 9999 {
			return nil, "a number with a digit that is none"
		}
	}
	group := func(i int) int {
		if i < 0 || i >= groups {
			return 0
		}
		return int(binary.BigEndian.Uint16(b[8+2*i:]))
	}
	text := make([]byte, 0, 4*(groups+2)+shown)
	if sign == 0x4000 {
		text = append(text, '-')
	}
	start := len(text)
	for i := 0; i <= weight; i++ {
		text = appendGroup(text, group(i))
	}
	whole := strings.TrimLeft(string(text[start:]), "0")
	if len(whole) > digits {
		return nil, fmt.Sprintf("a number with %d digits before the point, more than the column type holds; cast it in the query", len(whole))
	}
	if whole == "" {
		whole = "0"
	}
	text = append(text[:start], whole...)
	if shown == 0 {
		return string(text), ""
	}
	text = append(text, '.')
	fraction := len(text)
	for i := weight + 1; len(text)-fraction < shown; i++ {
		text = appendGroup(text, group(i))
	}
	text = text[:fraction+shown]
	if shown > scale {
		if strings.Trim(string(text[fraction+scale:]), "0") != "" {
			return nil, fmt.Sprintf("a number with more than %d decimal places; cast it in the query", scale)
		}
		text = text[:fraction+scale]
	}
	return strings.TrimSuffix(string(text), "."), ""
}

func appendGroup(text []byte, g int) []byte {
	return append(text, byte('0'+g/1000), byte('0'+g/100%10), byte('0'+g/10%10), byte('0'+g%10))
}
