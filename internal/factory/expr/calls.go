package expr

// CallSite is one call in an expression, for checks before a run: a function with its arguments and the properties
// that are selected from its result.
type CallSite struct {
	Function    string  // in lower case
	LiteralArgs []Value // the leading arguments that are literals
	Path        []Step  // properties selected from the result, as far as they are literal
	Offset      int     // of the call, in bytes
}

// Step is one selection: Safe when written with a question mark. Name is the property; a numeric index is its decimal
// text.
type Step struct {
	Name string
	Safe bool
}

// Calls lists every call in the order of the text.
func (x *Expression) Calls() []CallSite {
	if x == nil {
		return nil
	}
	var sites []CallSite
	if x.whole != nil {
		sites = appendCalls(sites, x.whole, nil)
	}
	for _, p := range x.parts {
		if p.node != nil {
			sites = appendCalls(sites, p.node, nil)
		}
	}
	return sites
}

func appendCalls(sites []CallSite, n node, path []Step) []CallSite {
	switch n := n.(type) {
	case *call:
		site := CallSite{Function: n.function.name, Path: path, Offset: n.from}
		for _, arg := range n.args {
			l, ok := arg.(*literal)
			if !ok {
				break
			}
			site.LiteralArgs = append(site.LiteralArgs, l.value)
		}
		sites = append(sites, site)
		for _, arg := range n.args {
			sites = appendCalls(sites, arg, nil)
		}
	case *access:
		if n.index == nil {
			return appendCalls(sites, n.base, append([]Step{{n.name, n.safe}}, path...))
		}
		if l, ok := n.index.(*literal); ok {
			return appendCalls(sites, n.base, append([]Step{{Text(l.value), n.safe}}, path...))
		}
		sites = appendCalls(sites, n.base, nil) // what follows a computed index is not known
		sites = appendCalls(sites, n.index, nil)
	}
	return sites
}
