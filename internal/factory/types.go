package factory

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

var timespan = regexp.MustCompile(`^(-)?(?:(\d{1,8})\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?$`)

// ParseTimespan reads [-][d.]hh:mm[:ss[.fffffff]]. Parts of one digit are accepted.
func ParseTimespan(s string) (time.Duration, error) {
	m := timespan.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, fmt.Errorf("%q is no time span of the form [d.]hh:mm:ss", s)
	}
	part := func(i int) time.Duration {
		n, _ := strconv.Atoi(m[i]) // the pattern lets short runs of digits through; an absent part is 0
		return time.Duration(n)
	}
	days, hours, minutes, seconds := part(2), part(3), part(4), part(5)
	switch {
	case hours > 23 || minutes > 59 || seconds > 59:
		return 0, fmt.Errorf("time span %q: hours go to 23, minutes and seconds to 59; a day is written as 1.00:00:00", s)
	case days > 100_000:
		return 0, fmt.Errorf("time span %q is longer than 100000 days", s)
	}
	d := days*24*time.Hour + hours*time.Hour + minutes*time.Minute + seconds*time.Second
	if m[6] != "" {
		n, _ := strconv.Atoi((m[6] + "000000")[:7])
		d += time.Duration(n) * 100
	}
	if m[1] != "" {
		d = -d
	}
	return d, nil
}

// parameterType is the canonical spelling of a parameter's type; ok is false for an unknown one.
func parameterType(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "object":
		return "Object", true
	case "string":
		return "String", true
	case "int", "integer":
		return "Int", true
	case "float", "double", "number":
		return "Float", true
	case "bool", "boolean":
		return "Bool", true
	case "array":
		return "Array", true
	case "securestring":
		return "SecureString", true
	}
	return "", false
}

// variableType is the canonical spelling of a variable's type.
func variableType(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "string":
		return "String", true
	case "bool", "boolean":
		return "Boolean", true
	case "int", "integer":
		return "Integer", true
	case "array":
		return "Array", true
	}
	return "", false
}

// Coerce makes v a value of a parameter's type, in any spelling (adf.md section 1.2): numbers and Booleans may come as
// text, arrays and objects as JSON text. null stays null. The error does not repeat the value, which may be secret.
func Coerce(paramType string, v expr.Value) (expr.Value, error) {
	t, known := parameterType(paramType)
	if !known {
		return nil, fmt.Errorf("unknown parameter type %q", paramType)
	}
	if v == nil {
		return nil, nil
	}
	result, ok := coerce(t, v)
	if !ok {
		return nil, fmt.Errorf("a value of type %s cannot be used as %s", expr.TypeName(v), t)
	}
	return result, nil
}

func coerce(t string, v expr.Value) (expr.Value, bool) {
	text, isText := v.(string)
	switch t {
	case "String", "SecureString":
		return expr.Text(v), true
	case "Int":
		return toInt(v)
	case "Float":
		switch n := v.(type) {
		case int64:
			return float64(n), true
		case float64:
			return n, true
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		return f, isText && err == nil
	case "Bool":
		return toBool(v)
	}
	if isText {
		decoded, err := expr.DecodeJSON([]byte(text))
		if err != nil {
			return nil, false
		}
		v = decoded
	}
	switch v.(type) {
	case []expr.Value:
		return v, t == "Array"
	case *expr.Object:
		return v, t == "Object"
	}
	return nil, false
}

func toInt(v expr.Value) (expr.Value, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	case string:
		i, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		return i, err == nil
	}
	return nil, false
}

func toBool(v expr.Value) (expr.Value, bool) {
	switch b := v.(type) {
	case bool:
		return b, true
	case string:
		switch strings.ToLower(strings.TrimSpace(b)) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	return nil, false
}

// ZeroVariable is the value of a variable that nothing has set.
func ZeroVariable(varType string) expr.Value {
	switch t, _ := variableType(varType); t {
	case "Boolean":
		return false
	case "Integer":
		return int64(0)
	case "Array":
		return []expr.Value{}
	}
	return ""
}

// CheckVariable refuses a value that a variable of this type cannot hold, in the service's words.
func CheckVariable(varType string, v expr.Value) error {
	t, _ := variableType(varType)
	got := expr.TypeName(v)
	if t != got {
		return fmt.Errorf("The variable of type '%s' cannot be initialized or updated with value of type '%s'. "+
			"The variable only supports values of types '%s'.", t, got, t)
	}
	return nil
}

// InitialVariable is the value of a variable at the start of a run.
func InitialVariable(v Variable) (expr.Value, error) {
	if !v.HasDefault || v.Default == nil {
		return ZeroVariable(v.Type), nil
	}
	if t, _ := variableType(v.Type); t == "Integer" || t == "Boolean" {
		if value, err := Coerce(t, v.Default); err == nil {
			return value, nil
		}
	}
	return v.Default, CheckVariable(v.Type, v.Default)
}
