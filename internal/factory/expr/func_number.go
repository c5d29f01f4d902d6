package expr

import (
	"math"
	"math/bits"
)

func numberFunctions() []function {
	return []function{
		{display: "add", min: 2, max: 2, eval: arithmetic(addInt, func(a, b float64) float64 { return a + b })},
		{display: "sub", min: 2, max: 2, eval: arithmetic(subInt, func(a, b float64) float64 { return a - b })},
		{display: "mul", min: 2, max: 2, eval: arithmetic(mulInt, func(a, b float64) float64 { return a * b })},
		{display: "div", min: 2, max: 2, eval: divide(divInt, func(a, b float64) float64 { return a / b })},
		{display: "mod", min: 2, max: 2, eval: divide(modInt, math.Mod)},
		{display: "max", min: 1, max: anyNumber, eval: func(c *fcall) (Value, error) { return extreme(c, 1) }},
		{display: "min", min: 1, max: anyNumber, eval: func(c *fcall) (Value, error) { return extreme(c, -1) }},
		{display: "rand", min: 2, max: 2, eval: random},
		{display: "range", min: 2, max: 2, eval: numberRange},
	}
}

// arithmetic gives an Integer when both operands are, else a Float.
func arithmetic(whole func(a, b int64) (int64, bool), float func(a, b float64) float64) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		a, err := c.number(0)
		if err != nil {
			return nil, err
		}
		b, err := c.number(1)
		if err != nil {
			return nil, err
		}
		i, aInt := a.(int64)
		j, bInt := b.(int64)
		if aInt && bInt {
			n, ok := whole(i, j)
			if !ok {
				return nil, c.fail("has a result that does not fit into an integer of 64 bits.")
			}
			return n, nil
		}
		x, _ := asFloat(a)
		y, _ := asFloat(b)
		return float(x, y), nil
	}
}

// divide is arithmetic that refuses zero.
func divide(whole func(a, b int64) (int64, bool), float func(a, b float64) float64) func(*fcall) (Value, error) {
	calculate := arithmetic(whole, float)
	return func(c *fcall) (Value, error) {
		if f, ok := asFloat(c.args[1]); ok && f == 0 {
			return nil, c.fail("cannot divide by zero.")
		}
		return calculate(c)
	}
}

func addInt(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

func subInt(a, b int64) (int64, bool) {
	difference := a - b
	return difference, (difference < a) == (b > 0)
}

func mulInt(a, b int64) (int64, bool) {
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	if negative := (a < 0) != (b < 0); negative {
		return -int64(low), high == 0 && low <= 1<<63
	}
	return int64(low), high == 0 && low < 1<<63
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func divInt(a, b int64) (int64, bool) {
	if a == math.MinInt64 && b == -1 {
		return 0, false
	}
	return a / b, true
}

func modInt(a, b int64) (int64, bool) { return a % b, true }

// extreme returns the largest (sign 1) or smallest (sign -1) of its arguments, or of one array, with its own type.
func extreme(c *fcall, sign int) (Value, error) {
	numbers := c.args
	if list, ok := c.args[0].([]Value); ok && len(c.args) == 1 {
		if len(list) == 0 {
			return nil, c.fail("expects an array with at least one number.")
		}
		numbers = list
	}
	best := numbers[0]
	for _, n := range numbers {
		if _, ok := asFloat(n); !ok {
			return nil, c.fail("expects all of its parameters to be numbers. The provided value is of type '%s'.", TypeName(n))
		}
		if order, _ := compareNumbers(n, best); order*sign > 0 {
			best = n
		}
	}
	return best, nil
}

func random(c *fcall) (Value, error) {
	lo, err := c.integer(0)
	if err != nil {
		return nil, err
	}
	hi, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	if _, fits := subInt(hi, lo); hi <= lo || !fits {
		return nil, c.fail("expects its first parameter to be less than its second.")
	}
	return c.ev.env.Rand(lo, hi), nil
}

func numberRange(c *fcall) (Value, error) {
	start, err := c.integer(0)
	if err != nil {
		return nil, err
	}
	count, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	if count < 0 || count > maxList {
		return nil, c.fail("expects its second parameter to be a count between 0 and %d.", maxList)
	}
	if _, fits := addInt(start, count); !fits {
		return nil, c.fail("has a result that does not fit into an integer of 64 bits.")
	}
	if err := c.ev.spendList(int(count), c.from); err != nil {
		return nil, err
	}
	list := make([]Value, count)
	for i := range list {
		list[i] = start + int64(i)
	}
	return list, nil
}
