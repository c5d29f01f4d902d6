package engine

import (
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// brief writes v in about limit bytes, however large it is: text as it is, anything else as JSON.
func brief(v expr.Value, limit int) string {
	if s, ok := v.(string); ok {
		return cutText(s, limit)
	}
	var b strings.Builder
	briefJSON(&b, v, limit)
	return cutText(b.String(), limit)
}

// briefJSON stops soon after b has reached limit.
func briefJSON(b *strings.Builder, v expr.Value, limit int) {
	if b.Len() > limit {
		return
	}
	switch v := v.(type) {
	case string:
		b.Write(expr.EncodeJSON(cutText(v, limit)))
	case []expr.Value:
		b.WriteByte('[')
		for i, e := range v {
			if b.Len() > limit {
				return
			}
			if i > 0 {
				b.WriteByte(',')
			}
			briefJSON(b, e, limit)
		}
		b.WriteByte(']')
	case *expr.Object:
		b.WriteByte('{')
		first := true
		for key, e := range v.All() {
			if b.Len() > limit {
				return
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			b.Write(expr.EncodeJSON(key))
			b.WriteByte(':')
			briefJSON(b, e, limit)
		}
		b.WriteByte('}')
	default:
		b.Write(expr.EncodeJSON(v))
	}
}

// cutText shortens s to limit bytes of whole characters.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + " …"
}
