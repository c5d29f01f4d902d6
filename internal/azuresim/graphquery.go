package azuresim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// page answers with a list, filtered, cut to the asked properties and in pages.
func (g *graph) page(c *call, all []object) answer {
	if filter := c.Query.Get("$filter"); filter != "" {
		keep, err := parseFilter(filter)
		if err != nil {
			return graphFail(http.StatusBadRequest, "Request_UnsupportedQuery", "%v", err)
		}
		var kept []object
		for _, o := range all {
			if keep(o) {
				kept = append(kept, o)
			}
		}
		all = kept
	}
	size := 100
	if top := c.Query.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 || n > 999 {
			return graphFail(http.StatusBadRequest, "Request_UnsupportedQuery", "Invalid page size specified: '%s'. Must be between 1 and 999 inclusive.", top)
		}
		size = n
	}
	from := 0
	if token := c.Query.Get("$skiptoken"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(all) {
			return graphFail(http.StatusBadRequest, "Directory_ExpiredPageToken", "The page token is not valid.")
		}
		from = n
	}
	body := object{"@odata.context": c.base() + "/v1.0/$metadata#" + strings.TrimPrefix(c.Path, "/v1.0/")}
	if c.Query.Get("$count") == "true" {
		body["@odata.count"] = len(all)
	}
	part := all[from:min(from+size, len(all))]
	value := make([]object, len(part))
	for i, o := range part {
		value[i] = selected(c, o)
	}
	body["value"] = value
	if from+size < len(all) {
		query := c.Query
		query.Set("$skiptoken", strconv.Itoa(from+size))
		body["@odata.nextLink"] = c.base() + c.Path + "?" + query.Encode()
	}
	return ok(body)
}

// selected cuts an object to what $select names.
func selected(c *call, o object) object {
	names := c.Query.Get("$select")
	if names == "" {
		return o
	}
	out := object{}
	if kind, ok := o["@odata.type"]; ok {
		out["@odata.type"] = kind
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		out[name] = o[name]
	}
	return out
}

// parseFilter reads the part of OData filters that is simulated: eq, ne, in, startswith and any over a list of texts,
// joined by and and or, where and binds closer.
func parseFilter(s string) (func(object) bool, error) {
	f := &filterParser{rest: s}
	keep, err := f.or()
	if err == nil && strings.TrimSpace(f.rest) != "" {
		err = fmt.Errorf("the filter %q is not understood at %q", s, f.rest)
	}
	return keep, err
}

type filterParser struct{ rest string }

func (f *filterParser) accept(word string) bool {
	s := strings.TrimLeft(f.rest, " ")
	if !strings.HasPrefix(s, word) {
		return false
	}
	f.rest = s[len(word):]
	return true
}

func (f *filterParser) or() (func(object) bool, error) {
	left, err := f.and()
	for err == nil && f.accept("or ") {
		a := left
		var b func(object) bool
		if b, err = f.and(); err == nil {
			left = func(o object) bool { return a(o) || b(o) }
		}
	}
	return left, err
}

func (f *filterParser) and() (func(object) bool, error) {
	left, err := f.term()
	for err == nil && f.accept("and ") {
		a := left
		var b func(object) bool
		if b, err = f.term(); err == nil {
			left = func(o object) bool { return a(o) && b(o) }
		}
	}
	return left, err
}

func (f *filterParser) term() (func(object) bool, error) {
	if f.accept("startswith(") {
		name := f.name()
		if !f.accept(",") {
			return nil, f.bad()
		}
		prefix, err := f.text()
		if err != nil || !f.accept(")") {
			return nil, f.bad()
		}
		return func(o object) bool {
			s, is := o[name].(string)
			return is && strings.HasPrefix(strings.ToLower(s), strings.ToLower(prefix))
		}, nil
	}
	name := f.name()
	switch {
	case name == "":
		return nil, f.bad()
	case f.accept("/any("):
		return f.any(name)
	case f.accept("eq null"):
		return func(o object) bool { return o[name] == nil }, nil
	case f.accept("eq "), f.accept("eq'"):
		want, err := f.literal()
		return func(o object) bool { return sameText(o[name], want) }, err
	case f.accept("ne "):
		want, err := f.literal()
		return func(o object) bool { return !sameText(o[name], want) }, err
	case f.accept("in "), f.accept("in("):
		return f.in(name)
	}
	return nil, f.bad()
}

// any reads t:t eq 'x') or t:startswith(t,'x')).
func (f *filterParser) any(name string) (func(object) bool, error) {
	variable := f.name()
	if !f.accept(":") {
		return nil, f.bad()
	}
	inner, err := f.term()
	if err != nil || !f.accept(")") {
		return nil, f.bad()
	}
	return func(o object) bool {
		for _, text := range jsonTexts(o[name]) {
			if inner(object{variable: text}) {
				return true
			}
		}
		return false
	}, nil
}

func (f *filterParser) in(name string) (func(object) bool, error) {
	_ = f.accept("(")
	var wanted []string
	for {
		s, err := f.text()
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, s)
		if !f.accept(",") {
			break
		}
	}
	if !f.accept(")") {
		return nil, f.bad()
	}
	return func(o object) bool {
		for _, w := range wanted {
			if sameText(o[name], w) {
				return true
			}
		}
		return false
	}, nil
}

func (f *filterParser) name() string {
	s := strings.TrimLeft(f.rest, " ")
	i := 0
	for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9') {
		i++
	}
	f.rest = s[i:]
	return s[:i]
}

// literal reads a text, true, false, or an identifier without quotation marks.
func (f *filterParser) literal() (string, error) {
	if s := strings.TrimLeft(f.rest, " "); strings.HasPrefix(s, "'") {
		return f.text()
	}
	s := strings.TrimLeft(f.rest, " ")
	word := s
	if i := strings.IndexAny(s, " )"); i >= 0 {
		word = s[:i]
	}
	f.rest = s[len(word):]
	if word == "" {
		return "", f.bad()
	}
	return word, nil
}

func (f *filterParser) text() (string, error) {
	s, quoted := strings.CutPrefix(strings.TrimLeft(f.rest, " "), "'")
	if !quoted {
		return "", f.bad()
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\'')
		if i < 0 {
			return "", f.bad()
		}
		b.WriteString(s[:i])
		if s = s[i+1:]; !strings.HasPrefix(s, "'") {
			f.rest = s
			return b.String(), nil
		}
		b.WriteByte('\'')
		s = s[1:]
	}
}

func (f *filterParser) bad() error {
	return fmt.Errorf("the filter is not understood at %q: eq, ne, in, startswith and any are simulated", f.rest)
}

func sameText(v any, want string) bool { return v != nil && strings.EqualFold(fmt.Sprint(v), want) }

// jsonTexts are the texts of a list out of JSON.
func jsonTexts(v any) []string {
	var out []string
	switch list := v.(type) {
	case []any:
		for _, e := range list {
			if s, is := e.(string); is {
				out = append(out, s)
			}
		}
	case []string:
		out = list
	}
	return out
}
