package azuresim

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// sqlGUID is a uniqueidentifier in the order of bytes that SQL Server keeps: the first three groups are reversed.
type sqlGUID [16]byte

func parseGUID(s string) (sqlGUID, bool) {
	u, err := uuid.Parse(s)
	if err != nil {
		return sqlGUID{}, false
	}
	return swapGUID(u), true
}

// String returns the usual form, in capitals.
func (g sqlGUID) String() string { return strings.ToUpper(uuid.UUID(swapGUID(g)).String()) }

func swapGUID(b [16]byte) sqlGUID {
	var g sqlGUID
	binary.LittleEndian.PutUint32(g[0:], binary.BigEndian.Uint32(b[0:]))
	binary.LittleEndian.PutUint16(g[4:], binary.BigEndian.Uint16(b[4:]))
	binary.LittleEndian.PutUint16(g[6:], binary.BigEndian.Uint16(b[6:]))
	copy(g[8:], b[8:])
	return g
}

// typeOf is the type in which a value travels when no column says it.
func typeOf(v any) sqlType {
	switch v := v.(type) {
	case int64:
		if v == int64(int32(v)) {
			return sqlType{Name: "int"}
		}
		return sqlType{Name: "bigint"}
	case bool:
		return sqlType{Name: "bit"}
	case float64:
		return sqlType{Name: "float"}
	case []byte:
		return sqlType{Name: "varbinary"}
	case sqlGUID:
		return sqlType{Name: "uniqueidentifier"}
	case time.Time:
		return sqlType{Name: "datetime2"}
	}
	return sqlType{Name: "nvarchar", Size: 4000}
}

const sqlTime = "2006-01-02 15:04:05.9999999"

// sqlText is a value as text, as CONVERT writes it.
func sqlText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.Itoa(btoi(v))
	case []byte:
		return "0x" + strings.ToUpper(hex.EncodeToString(v))
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.UTC().Format(sqlTime)
	}
	return fmt.Sprint(v)
}

// convert makes v a value of the type. A nil stays nil.
func (t sqlType) convert(v any) (any, *sqlError) {
	if v == nil {
		return nil, nil
	}
	bad := func() (any, *sqlError) {
		return nil, sqlFail(245, 16, "Conversion failed when converting the %s value '%s' to data type %s.", typeOf(v).Name, sqlText(v), t.Name)
	}
	switch t.Name {
	case "int", "bigint":
		switch v := v.(type) {
		case int64:
			if t.Name == "int" && v != int64(int32(v)) {
				return nil, sqlFail(8115, 16, "Arithmetic overflow error converting expression to data type int.")
			}
			return v, nil
		case bool:
			return int64(btoi(v)), nil
		case float64:
			return int64(v), nil
		case string:
			if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
				return n, nil
			}
		}
	case "bit":
		switch v := v.(type) {
		case bool:
			return v, nil
		case int64:
			return v != 0, nil
		case string:
			if b, err := strconv.ParseBool(strings.ToLower(v)); err == nil {
				return b, nil
			}
		}
	case "float":
		switch v := v.(type) {
		case float64:
			return v, nil
		case int64:
			return float64(v), nil
		case string:
			if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
				return f, nil
			}
		}
	case "uniqueidentifier":
		switch v := v.(type) {
		case sqlGUID:
			return v, nil
		case []byte:
			if len(v) == 16 {
				return sqlGUID(v), nil
			}
		case string:
			if g, ok := parseGUID(strings.Trim(v, "{}")); ok {
				return g, nil
			}
			return nil, sqlFail(8169, 16, "Conversion failed when converting from a character string to uniqueidentifier.")
		}
	case "varbinary":
		switch v := v.(type) {
		case []byte:
			return v, nil
		case sqlGUID:
			return v[:], nil
		case string:
			return toUTF16(v), nil
		}
	case "datetime2":
		switch v := v.(type) {
		case time.Time:
			return v.UTC(), nil
		case string:
			for _, layout := range []string{sqlTime, time.RFC3339Nano, "2006-01-02T15:04:05.9999999", time.DateOnly} {
				if at, err := time.Parse(layout, v); err == nil {
					return at.UTC(), nil
				}
			}
		}
	default:
		s := sqlText(v)
		if t.Size > 0 && len([]rune(s)) > t.Size {
			return nil, sqlFail(2628, 16, "String or binary data would be truncated. The column holds %d characters.", t.Size)
		}
		return s, nil
	}
	return bad()
}

// sqlCompare orders two values. Text compares without regard to case and to spaces at its end, as the default collation.
func sqlCompare(a, b any) (int, *sqlError) {
	a, b, err := sqlAlign(a, b)
	if err != nil {
		return 0, err
	}
	switch x := a.(type) {
	case int64:
		return cmp.Compare(x, b.(int64)), nil
	case float64:
		return cmp.Compare(x, b.(float64)), nil
	case []byte:
		return bytes.Compare(x, b.([]byte)), nil
	case sqlGUID:
		y := b.(sqlGUID)
		return bytes.Compare(x[:], y[:]), nil
	case time.Time:
		return x.Compare(b.(time.Time)), nil
	}
	return cmp.Compare(sqlFold(sqlText(a)), sqlFold(sqlText(b))), nil
}

func sqlFold(s string) string { return strings.ToLower(strings.TrimRight(s, " ")) }

// sqlAlign brings two values to one type, the one that has precedence.
func sqlAlign(a, b any) (any, any, *sqlError) {
	order := []string{"datetime2", "float", "bigint", "int", "bit", "uniqueidentifier", "nvarchar", "varbinary"}
	for _, name := range order {
		if typeOf(a).Name != name && typeOf(b).Name != name {
			continue
		}
		t := sqlType{Name: name}
		if name == "bit" || name == "int" {
			t.Name = "bigint"
		}
		x, err := t.convert(a)
		if err != nil {
			return nil, nil, err
		}
		y, err := t.convert(b)
		return x, y, err
	}
	return a, b, nil
}

// sqlLike matches a pattern with % and _.
func sqlLike(s, pattern string) bool {
	text := []rune(sqlFold(s))
	// reached[i] says that the pattern so far can end before text[i].
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for _, w := range strings.ToLower(pattern) {
		next := make([]bool, len(text)+1)
		for i := range next {
			switch w {
			case '%':
				next[i] = reached[i] || i > 0 && next[i-1]
			case '_':
				next[i] = i > 0 && reached[i-1]
			default:
				next[i] = i > 0 && reached[i-1] && text[i-1] == w
			}
		}
		reached = next
	}
	return reached[len(text)]
}
