package expr

import (
	"math"
	"strings"
)

// function is one entry of the language's table.
type function struct {
	name    string // in lower case
	display string // as the documentation spells it
	min     int    // arguments
	max     int    // -1: any number
	eval    func(*fcall) (Value, error)
	lazy    func(*lazyArgs) (Value, error) // decides itself which arguments are evaluated
}

const anyNumber = -1

// functions is the table of adf.md section 2.5, by lower-case name, with the functions of the scope (section 1.10),
// which have neither eval nor lazy. It is never changed.
var functions = index(
	textFunctions(), collectionFunctions(), logicFunctions(), conversionFunctions(), numberFunctions(), timeFunctions(),
	[]function{
		{display: "pipeline"}, {display: "item"}, {display: "dataset"}, {display: "linkedService"},
		{display: "trigger"}, {display: "triggerBody"},
		{display: "activity", min: 1, max: 1}, {display: "variables", min: 1, max: 1},
	},
)

func index(families ...[]function) map[string]function {
	table := map[string]function{}
	for _, family := range families {
		for _, f := range family {
			f.name = strings.ToLower(f.display)
			table[f.name] = f
		}
	}
	return table
}

// lookupFunction finds a function and checks its number of arguments.
func lookupFunction(name string, args, offset int) (function, error) {
	f, ok := functions[strings.ToLower(name)]
	switch {
	case !ok:
		return f, errorf(offset, "The template function '%s' is not defined or not valid.", name)
	case args < f.min, f.max != anyNumber && args > f.max:
		return f, errorf(offset, "The template function '%s' expects %s. It was given %s.", name, arity(f), plural(args))
	}
	return f, nil
}

func arity(f function) string {
	switch {
	case f.max == anyNumber:
		return "at least " + plural(f.min)
	case f.min == f.max:
		return "exactly " + plural(f.min)
	default:
		return "between " + decimal(f.min) + " and " + plural(f.max)
	}
}

func plural(n int) string {
	switch n {
	case 0:
		return "no parameters"
	case 1:
		return "one parameter"
	}
	return decimal(n) + " parameters"
}

func decimal(n int) string { return Text(int64(n)) }

// fcall is one call of a function with its evaluated arguments.
type fcall struct {
	ev   *evaluation
	name string
	args []Value
	from int
}

// has reports whether the optional argument i is there and not null.
func (c *fcall) has(i int) bool { return i < len(c.args) && c.args[i] != nil }

func (c *fcall) text(i int) (string, error) {
	s, ok := c.args[i].(string)
	if !ok {
		return "", c.want(i, "a string")
	}
	return s, nil
}

func (c *fcall) bool(i int) (bool, error) {
	b, ok := c.args[i].(bool)
	if !ok {
		return false, c.want(i, "a boolean")
	}
	return b, nil
}

// integer accepts a float without fraction: JSON from other services often writes 5.0.
func (c *fcall) integer(i int) (int64, error) {
	switch n := c.args[i].(type) {
	case int64:
		return n, nil
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n), nil
		}
	}
	return 0, c.want(i, "an integer")
}

// number returns argument i as int64 or float64.
func (c *fcall) number(i int) (Value, error) {
	if _, ok := asFloat(c.args[i]); !ok {
		return nil, c.want(i, "an integer or a decimal number")
	}
	return c.args[i], nil
}

// want is the service's sentence for an argument of the wrong type.
func (c *fcall) want(i int, what string) error {
	which := "its parameter"
	if len(c.args) > 1 {
		which = "its " + ordinal(i) + " parameter"
	}
	return errorf(c.from, "The function '%s' expects %s to be %s. The provided value is of type '%s'.",
		c.name, which, what, TypeName(c.args[i]))
}

// fail is an error that begins with the function's name.
func (c *fcall) fail(format string, args ...any) error {
	return errorf(c.from, "The function '"+c.name+"' "+format, args...)
}

// invalid is the service's sentence for a value that cannot be converted.
func (c *fcall) invalid() error {
	return c.fail("was invoked with a parameter that is not valid. The value cannot be converted to the target type")
}

// result gives back a new text within the limits.
func (c *fcall) result(s string) (Value, error) {
	if err := c.ev.spendText(len(s), c.from); err != nil {
		return nil, err
	}
	return s, nil
}

// list gives back a new array within the limits.
func (c *fcall) list(l []Value) (Value, error) {
	if err := c.ev.spendList(len(l), c.from); err != nil {
		return nil, err
	}
	if l == nil {
		l = []Value{}
	}
	return l, nil
}

func ordinal(i int) string {
	names := [...]string{"first", "second", "third", "fourth"}
	if i < len(names) {
		return names[i]
	}
	return decimal(i+1) + "th"
}

// lazyArgs is a call whose function decides which arguments are evaluated.
type lazyArgs struct {
	ev    *evaluation
	call  *call
	depth int
}

func (l *lazyArgs) count() int                 { return len(l.call.args) }
func (l *lazyArgs) value(i int) (Value, error) { return l.ev.node(l.call.args[i], l.depth+1) }

func (l *lazyArgs) bool(i int) (bool, error) {
	v, err := l.value(i)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, errorf(l.call.from, "The function '%s' expects its %s parameter to be a boolean. The provided value is of type '%s'.",
			l.call.function.display, ordinal(i), TypeName(v))
	}
	return b, nil
}
