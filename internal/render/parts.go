package render

import (
	"fmt"
	"strings"

	"github.com/flowehr/flowehr"
)

// Without --all a step shows at most so many of its parts, and a part so many of its properties.
const (
	mostParts      = 12
	mostProperties = 6
)

// parts returns a line for each part of a step that changes, and below it what changes in it.
func (s Style) parts(step flowehr.Step, all bool) []string {
	var shown []flowehr.Part
	width := 0
	for _, part := range step.Parts {
		if all || part.Action != flowehr.Keep {
			shown = append(shown, part)
			width = max(width, span(s.clean(partKind(part))))
		}
	}
	width = min(width, s.width()/4)
	var lines []string
	for i, part := range shown {
		if !all && i == mostParts && len(shown) > mostParts+1 {
			lines = append(lines, fmt.Sprintf("      and %d more; see them with --all", len(shown)-i))
			break
		}
		lead := fmt.Sprintf("      %s %s ", s.action(part.Action), pad(s.cut(s.clean(partKind(part)), width), width))
		name := s.clean(part.Name)
		if span(lead)+span(name) > s.width() {
			name = s.cut(name, s.width()-span(lead))
		}
		few := len(part.Changes) > 0 && len(part.Changes) <= mostChanges
		if few {
			name += "  " + s.cut(s.changed(part.Changes), max(0, s.width()-span(lead)-span(name)-2))
		}
		lines = append(lines, strings.TrimRight(lead+name, " "))
		if !few {
			lines = append(lines, s.properties(part.Changes, all)...)
		}
	}
	return lines
}

// properties returns a line for each property.
func (s Style) properties(changes []flowehr.Change, all bool) []string {
	var lines []string
	for i, c := range changes {
		if !all && i == mostProperties && len(changes) > mostProperties+1 {
			return append(lines, fmt.Sprintf("          and %d more properties", len(changes)-i))
		}
		lines = append(lines, "          "+s.cut(s.changed([]flowehr.Change{c}), s.width()-10))
	}
	return lines
}

// changingParts counts the parts of a step that it does not keep.
func changingParts(step flowehr.Step) int64 {
	var n int64
	for _, part := range step.Parts {
		if part.Action != flowehr.Keep {
			n++
		}
	}
	return n
}

// partKind is the part of a type that people know: "vaults" of Microsoft.KeyVault/vaults.
func partKind(p flowehr.Part) string {
	return p.Kind[strings.LastIndex(p.Kind, "/")+1:]
}

// estimate says what a plan costs and how long it takes.
func estimate(e *flowehr.Estimate, s Style) []string {
	if e == nil {
		return nil
	}
	var out []string
	if e.Before == e.After {
		out = append(out, "Cost: no change.")
	} else {
		cost := fmt.Sprintf("Cost: about %s a month, now %s (%s)", s.money(e.Currency, e.After), s.money(e.Currency, e.Before), s.clean(e.Prices))
		if n := len(e.Unpriced); n > 0 {
			cost += ", without " + Plural(int64(n), "thing that is billed by use", "things that are billed by use")
		}
		out = append(out, cost+".")
	}
	if e.Took > 0 {
		out = append(out, "About "+Roughly(e.Took)+".")
	}
	return out
}

// signs are those of currencies that have one of their own.
var signs = map[string]string{"GBP": "£", "EUR": "€", "USD": "$"}

// money writes a sum without pence.
func (s Style) money(currency string, sum float64) string {
	amount := Count(int64(sum + 0.5))
	if sign, ok := signs[currency]; ok && s.Unicode {
		return sign + amount
	}
	return amount + " " + s.clean(currency)
}
