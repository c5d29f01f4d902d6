package activity

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// jsonValue turns a value of a result into one of the expression language. kind is its Delta type.
func jsonValue(v any, kind string) expr.Value {
	switch v := v.(type) {
	case nil:
		return nil
	case bool, int64, float64:
		return v
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.9999999Z")
	case string:
		if strings.HasPrefix(kind, "decimal") {
			return jsonNumber(v)
		}
		return v
	}
	return nil
}

// jsonNumber makes a number of a decimal's text, as Data Factory does, unless digits would be lost: then it stays text.
func jsonNumber(text string) expr.Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	digits := strings.Trim(strings.Replace(strings.TrimPrefix(text, "-"), ".", "", 1), "0")
	if err != nil || len(digits) > 15 {
		return text
	}
	return f
}
