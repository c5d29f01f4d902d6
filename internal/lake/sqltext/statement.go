package sqltext

// Statement is one statement of a script, without its semicolon.
type Statement struct {
	Tokens []Token
	Line   int
}

// Split takes a script apart at its semicolons. Empty statements are dropped.
func Split(text string) ([]Statement, error) {
	tokens, err := Tokenize(text)
	if err != nil {
		return nil, err
	}
	var out []Statement
	start := 0
	for i := 0; i <= len(tokens); i++ {
		if i < len(tokens) && !tokens[i].Is(";") {
			continue
		}
		if i > start {
			out = append(out, Statement{Tokens: tokens[start:i], Line: tokens[start].Line})
		}
		start = i + 1
	}
	return out, nil
}

// Ref is a pair of names with a point between them. It may be a table, or a column of an alias: the text alone does
// not tell, so callers take the pairs that are tables.
type Ref struct{ First, Second string }

// Refs returns every pair of names in the tokens once, in order.
func Refs(tokens []Token) []Ref {
	var out []Ref
	seen := map[Ref]bool{}
	for i := 0; i+2 < len(tokens); i++ {
		if !tokens[i].IsName() || !tokens[i+1].Is(".") || !tokens[i+2].IsName() {
			continue
		}
		r := Ref{First: fold(tokens[i]), Second: fold(tokens[i+2])}
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

// Calls returns the names that stand before an opening parenthesis, folded: the functions among them.
func Calls(tokens []Token) []Token {
	var out []Token
	for i := 0; i+1 < len(tokens); i++ {
		if tokens[i].IsName() && tokens[i+1].Is("(") {
			out = append(out, tokens[i])
		}
	}
	return out
}
