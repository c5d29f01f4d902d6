package expr

func logicFunctions() []function {
	return []function{
		{display: "and", min: 2, max: 2, lazy: func(l *lazyArgs) (Value, error) { return until(l, false) }},
		{display: "or", min: 2, max: 2, lazy: func(l *lazyArgs) (Value, error) { return until(l, true) }},
		{display: "if", min: 3, max: 3, lazy: ifElse},
		{display: "coalesce", min: 1, max: anyNumber, lazy: coalesce},
		{display: "not", min: 1, max: 1, eval: func(c *fcall) (Value, error) {
			b, err := c.bool(0)
			return !b, err
		}},
		{display: "equals", min: 2, max: 2, eval: func(c *fcall) (Value, error) { return Equal(c.args[0], c.args[1]), nil }},
		{display: "greater", min: 2, max: 2, eval: ordered(func(o int) bool { return o > 0 })},
		{display: "greaterOrEquals", min: 2, max: 2, eval: ordered(func(o int) bool { return o >= 0 })},
		{display: "less", min: 2, max: 2, eval: ordered(func(o int) bool { return o < 0 })},
		{display: "lessOrEquals", min: 2, max: 2, eval: ordered(func(o int) bool { return o <= 0 })},
	}
}

// until evaluates Booleans up to the first that equals stop, which is then the result.
func until(l *lazyArgs, stop bool) (Value, error) {
	for i := range l.count() {
		b, err := l.bool(i)
		if err != nil {
			return nil, err
		}
		if b == stop {
			return stop, nil
		}
	}
	return !stop, nil
}

func ifElse(l *lazyArgs) (Value, error) {
	b, err := l.bool(0)
	if err != nil {
		return nil, err
	}
	if b {
		return l.value(1)
	}
	return l.value(2)
}

func coalesce(l *lazyArgs) (Value, error) {
	for i := range l.count() {
		if v, err := l.value(i); v != nil || err != nil {
			return v, err
		}
	}
	return nil, nil
}

// ordered compares two numbers or two texts. Texts compare by code unit, as .NET's ordinal comparison does.
func ordered(holds func(order int) bool) func(*fcall) (Value, error) {
	return func(c *fcall) (Value, error) {
		if a, ok := c.args[0].(string); ok {
			b, ok := c.args[1].(string)
			if !ok {
				return nil, c.want(1, "a string, as the first one is")
			}
			return holds(compareUnits(units(a), units(b))), nil
		}
		if _, err := c.number(0); err != nil {
			return nil, c.want(0, "a number or a string")
		}
		if _, err := c.number(1); err != nil {
			return nil, c.want(1, "a number, as the first one is")
		}
		order, _ := compareNumbers(c.args[0], c.args[1])
		return holds(order), nil
	}
}
