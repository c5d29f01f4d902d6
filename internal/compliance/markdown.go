package compliance

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the report for people who read it beside the definition.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Compliance of %s\n\n", line(r.Environment))
	fmt.Fprintf(&b, "%s. %s\n\n%s\n\n", r.about(), r.judgedFrom(), r.Disclaimer)
	b.WriteString("| Standard | Version | Controls |")
	for _, s := range Statuses() {
		fmt.Fprintf(&b, " %s |", title(s))
	}
	b.WriteString("\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "| %s | %s | %d |", s.Standard, s.Version, s.total())
		for _, status := range Statuses() {
			fmt.Fprintf(&b, " %d |", s.Counts[status])
		}
		b.WriteString("\n")
	}
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s %s\n\n%s\n", s.Standard, s.Version, s.Note)
		if len(s.Results) == 0 {
			b.WriteString("\nNothing needs somebody.\n")
		}
		for _, x := range s.Results {
			writeResult(&b, x)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeResult(b *strings.Builder, x Result) {
	fmt.Fprintf(b, "\n### %s %s\n\n**%s**", x.ID, line(x.Title), title(x.Status))
	if x.Level != "" {
		fmt.Fprintf(b, " (%s)", x.Level)
	}
	b.WriteString("\n")
	if x.Difference != "" {
		fmt.Fprintf(b, "\n%s\n", line(x.Difference))
	}
	switch {
	case x.Agrees():
		writeFinding(b, "Definition and deployed", x.Compiled)
	case x.Deployed == nil:
		writeFinding(b, "Definition", x.Compiled)
	default:
		writeFinding(b, "Definition", x.Compiled)
		writeFinding(b, "Deployed", *x.Deployed)
	}
}

func writeFinding(b *strings.Builder, which string, f Finding) {
	fmt.Fprintf(b, "\n%s: %s. %s", which, f.Status, line(f.Why))
	if f.Next != "" {
		fmt.Fprintf(b, "\nNext: %s", line(f.Next))
	}
	b.WriteString("\n")
	if len(f.Evidence) > 0 {
		b.WriteString("\n")
	}
	for _, e := range f.Evidence {
		fmt.Fprintf(b, "- %s\n", line(e.String()))
	}
}

// String is one line: what, which property, which value, from where.
func (e Evidence) String() string {
	out := e.Resource
	for _, part := range []struct{ before, text string }{{": ", e.Property}, {" = ", e.Value}} {
		switch {
		case part.text == "":
		case out == "":
			out = part.text
		default:
			out += part.before + part.text
		}
	}
	if e.Source == "" {
		return out
	}
	if out == "" {
		return "see " + e.Source
	}
	return out + " (" + e.Source + ")"
}

// line makes a text that came from elsewhere harmless within Markdown: one line, and no markup.
func line(s string) string {
	return strings.NewReplacer("\r", " ", "\n", " ", "<", "&lt;", "|", "\\|", "*", "\\*", "`", "'", "[", "\\[", "]", "\\]").Replace(s)
}

func title(s Status) string {
	text := string(s)
	return strings.ToUpper(text[:1]) + text[1:]
}

func (s Section) total() int {
	n := 0
	for _, c := range s.Counts {
		n += c
	}
	return n
}

func (r Report) about() string {
	data := "without real data"
	if r.RealData {
		data = "with real data"
	}
	return fmt.Sprintf("Target %s, %s. Judged on %s by FlowEHR %s", r.Target, data, r.At.Format("2 January 2006 15:04 UTC"), r.Product)
}

func (r Report) judgedFrom() string {
	out := "Judged from the definition alone: what stands was not looked at."
	if r.Deployed {
		out = "Judged from the definition and, separately, from what is deployed."
	}
	if r.Simulation {
		out = "SIMULATION: what is deployed stands in a simulation of Azure, so nothing here says anything about a real environment. " + out
	}
	if r.ProblemsOnly {
		out += " Only controls that are not met, and those where the two differ, are shown; the counts are of all."
	}
	return out
}
