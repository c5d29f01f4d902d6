package featurestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// encoder appends the value of one row of one column in PostgreSQL's binary form, with its length in front.
type encoder func(buf []byte, row int) ([]byte, error)

var be = binary.BigEndian

// null is the length that stands for no value.
const null = math.MaxUint32

// newEncoder returns the encoder of a column.
func newEncoder(a arrow.Array) (encoder, error) {
	values, err := valueEncoder(a)
	if err != nil {
		return nil, err
	}
	if a.NullN() == 0 && a.DataType().ID() != arrow.NULL {
		return values, nil
	}
	return func(buf []byte, row int) ([]byte, error) {
		if a.IsNull(row) {
			return be.AppendUint32(buf, null), nil
		}
		return values(buf, row)
	}, nil
}

func valueEncoder(a arrow.Array) (encoder, error) {
	switch a := a.(type) {
	case *array.Null:
		return func(buf []byte, _ int) ([]byte, error) { return be.AppendUint32(buf, null), nil }, nil
	case *array.Int8:
		return func(buf []byte, i int) ([]byte, error) { return appendInt16(buf, int16(a.Value(i))), nil }, nil
	case *array.Uint8:
		return func(buf []byte, i int) ([]byte, error) { return appendInt16(buf, int16(a.Value(i))), nil }, nil
	case *array.Int16:
		return func(buf []byte, i int) ([]byte, error) { return appendInt16(buf, a.Value(i)), nil }, nil
	case *array.Uint16:
		return func(buf []byte, i int) ([]byte, error) { return appendInt32(buf, int32(a.Value(i))), nil }, nil
	case *array.Int32:
		return func(buf []byte, i int) ([]byte, error) { return appendInt32(buf, a.Value(i)), nil }, nil
	case *array.Uint32:
		return func(buf []byte, i int) ([]byte, error) { return appendInt64(buf, int64(a.Value(i))), nil }, nil
	case *array.Int64:
		return func(buf []byte, i int) ([]byte, error) { return appendInt64(buf, a.Value(i)), nil }, nil
	case *array.Uint64:
		return func(buf []byte, i int) ([]byte, error) {
			return appendNumeric(buf, decimal128.FromU64(a.Value(i)), 0), nil
		}, nil
	case *array.Float32:
		return func(buf []byte, i int) ([]byte, error) {
			return appendInt32(buf, int32(math.Float32bits(a.Value(i)))), nil
		}, nil
	case *array.Float64:
		return func(buf []byte, i int) ([]byte, error) {
			return appendInt64(buf, int64(math.Float64bits(a.Value(i)))), nil
		}, nil
	case *array.Boolean:
		return func(buf []byte, i int) ([]byte, error) {
			if a.Value(i) {
				return append(buf, 0, 0, 0, 1, 1), nil
			}
			return append(buf, 0, 0, 0, 1, 0), nil
		}, nil
	case *array.String:
		return func(buf []byte, i int) ([]byte, error) { return appendText(buf, a.Value(i)), nil }, nil
	case *array.LargeString:
		return func(buf []byte, i int) ([]byte, error) { return appendText(buf, a.Value(i)), nil }, nil
	case *array.StringView:
		return func(buf []byte, i int) ([]byte, error) { return appendText(buf, a.Value(i)), nil }, nil
	case *array.Binary:
		return func(buf []byte, i int) ([]byte, error) { return appendBytes(buf, a.Value(i)), nil }, nil
	case *array.LargeBinary:
		return func(buf []byte, i int) ([]byte, error) { return appendBytes(buf, a.Value(i)), nil }, nil
	case *array.BinaryView:
		return func(buf []byte, i int) ([]byte, error) { return appendBytes(buf, a.Value(i)), nil }, nil
	case *array.FixedSizeBinary:
		return func(buf []byte, i int) ([]byte, error) { return appendBytes(buf, a.Value(i)), nil }, nil
	case *array.Date32:
		return func(buf []byte, i int) ([]byte, error) { return appendDate(buf, a.Value(i)) }, nil
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return func(buf []byte, i int) ([]byte, error) { return appendTimestamp(buf, int64(a.Value(i)), unit) }, nil
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit
		return func(buf []byte, i int) ([]byte, error) {
			v := int64(a.Value(i))
			if unit == arrow.Nanosecond {
				v /= 1000
			}
			return appendInt64(buf, v), nil
		}, nil
	case *array.Decimal128:
		scale := int(a.DataType().(*arrow.Decimal128Type).Scale)
		return func(buf []byte, i int) ([]byte, error) { return appendNumeric(buf, a.Value(i), scale), nil }, nil
	case *array.Dictionary:
		values, err := newEncoder(a.Dictionary())
		if err != nil {
			return nil, err
		}
		return func(buf []byte, i int) ([]byte, error) { return values(buf, a.GetValueIndex(i)) }, nil
	}
	return nil, fmt.Errorf("type %s has no counterpart in PostgreSQL", a.DataType())
}

func appendInt16(buf []byte, v int16) []byte {
	return be.AppendUint16(append(buf, 0, 0, 0, 2), uint16(v))
}

func appendInt32(buf []byte, v int32) []byte {
	return be.AppendUint32(append(buf, 0, 0, 0, 4), uint32(v))
}

func appendInt64(buf []byte, v int64) []byte {
	return be.AppendUint64(append(buf, 0, 0, 0, 8), uint64(v))
}

func appendText(buf []byte, s string) []byte {
	return append(be.AppendUint32(buf, uint32(len(s))), s...)
}

func appendBytes(buf, b []byte) []byte {
	return append(be.AppendUint32(buf, uint32(len(b))), b...)
}

// PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01. The bounds are those of PostgreSQL's types.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86400 * 1_000_000

	minDate, maxDate           = -2451545, 2145031948                     // 4713 BC to 5874897
	minTimestamp, maxTimestamp = -211813488000000000, 9223371331200000000 // 4713 BC to 294276
)

var errRange = errors.New("date or time is outside of what PostgreSQL holds")

// appendDate writes days. The engine's infinities are PostgreSQL's.
func appendDate(buf []byte, d arrow.Date32) ([]byte, error) {
	switch d {
	case math.MaxInt32:
		return appendInt32(buf, math.MaxInt32), nil
	case -math.MaxInt32:
		return appendInt32(buf, math.MinInt32), nil
	}
	v := int64(d) - epochDays
	if v < minDate || v >= maxDate {
		return buf, errRange
	}
	return appendInt32(buf, int32(v)), nil
}

func appendTimestamp(buf []byte, v int64, unit arrow.TimeUnit) ([]byte, error) {
	switch v {
	case math.MaxInt64:
		return appendInt64(buf, math.MaxInt64), nil
	case -math.MaxInt64:
		return appendInt64(buf, math.MinInt64), nil
	}
	switch unit {
	case arrow.Second, arrow.Millisecond:
		factor := int64(1_000_000)
		if unit == arrow.Millisecond {
			factor = 1000
		}
		if v > math.MaxInt64/factor || v < math.MinInt64/factor {
			return buf, errRange
		}
		v *= factor
	case arrow.Nanosecond:
		rest := v % 1000
		v /= 1000
		if rest < 0 { // round down on both sides of 1970
			v--
		}
	}
	if v < minTimestamp+epochMicros {
		return buf, errRange
	}
	v -= epochMicros
	if v >= maxTimestamp {
		return buf, errRange
	}
	return appendInt64(buf, v), nil
}

// appendNumeric writes n · 10^-scale. PostgreSQL's numeric is a row of digits to the base 10000 around the decimal point.
func appendNumeric(buf []byte, n decimal128.Num, scale int) []byte {
	sign := uint16(0)
	if n.Sign() < 0 {
		sign = 0x4000
		n = n.Negate()
	}
	var room [16]uint16
	digits := room[:0] // lowest first
	if n.HighBits() == 0 && scale <= 16 {
		whole, part := n.LowBits()/pow10[scale], n.LowBits()%pow10[scale]
		part *= pow10[(4-scale%4)%4]
		for range (scale + 3) / 4 {
			digits = append(digits, uint16(part%10000))
			part /= 10000
		}
		for ; whole > 0; whole /= 10000 {
			digits = append(digits, uint16(whole%10000))
		}
	} else {
		digits = bigDigits(digits, n, scale)
	}
	weight := len(digits) - (scale+3)/4 - 1
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
		weight--
	}
	for len(digits) > 0 && digits[0] == 0 {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		weight, sign = 0, 0
	}
	buf = be.AppendUint32(buf, uint32(8+2*len(digits)))
	buf = be.AppendUint16(buf, uint16(len(digits)))
	buf = be.AppendUint16(buf, uint16(int16(weight)))
	buf = be.AppendUint16(buf, sign)
	buf = be.AppendUint16(buf, uint16(scale))
	for _, d := range slices.Backward(digits) {
		buf = be.AppendUint16(buf, d)
	}
	return buf
}

// bigDigits is the way for numbers of more than 64 bits. The lowest bit pattern has no positive counterpart in 128 bits,
// so the magnitude is taken as unsigned.
func bigDigits(digits []uint16, n decimal128.Num, scale int) []uint16 {
	v := new(big.Int).SetUint64(uint64(n.HighBits()))
	v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(n.LowBits()))
	v.Mul(v, new(big.Int).SetUint64(pow10[(4-scale%4)%4]))
	base, digit := big.NewInt(10000), new(big.Int)
	for v.Sign() > 0 {
		v.QuoRem(v, base, digit)
		digits = append(digits, uint16(digit.Uint64()))
	}
	for len(digits) < (scale+3)/4 {
		digits = append(digits, 0)
	}
	return digits
}

var pow10 = func() (p [17]uint64) {
	p[0] = 1
	for i := range len(p) - 1 {
		p[i+1] = 10 * p[i]
	}
	return p
}()
