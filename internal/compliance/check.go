package compliance

import (
	"fmt"
	"slices"
	"strings"
)

// verdict is what one item says to a check.
type verdict struct {
	status   Status
	evidence Evidence
	because  string // completes the sentence of a finding; optional
}

// every judges each item by test and puts the verdicts together: one that is not met decides, then one that cannot be told.
// Without items the control is about something that the environment does not have.
func every(v *view, noun string, items []*item, next string, test func(*item) verdict) Finding {
	var f Finding
	counts, reasons := map[Status]int{}, []string{}
	for _, it := range items {
		got := stateVerdict(it)
		if got == nil {
			g := test(it)
			got = &g
		}
		if got.evidence.Resource == "" {
			got.evidence.Resource = it.called()
		}
		counts[got.status]++
		f.Evidence = append(f.Evidence, got.evidence)
		if got.because != "" && got.status != Met && !slices.Contains(reasons, got.because) {
			reasons = append(reasons, got.because)
		}
	}
	all := len(items) - counts[NotApplicable]
	switch {
	case len(items) == 0:
		return Finding{Status: NotApplicable, Why: "The environment has no " + noun + "."}
	case counts[NotMet] > 0:
		f.Status, f.Next = NotMet, next
		f.Why = fmt.Sprintf("%d of %s %s it.", counts[NotMet], plural(all, noun), verb(counts[NotMet], "breaks", "break"))
	case counts[CannotTell] > 0:
		f.Status, f.Next = CannotTell, "Run the report with the deployed resources: flowehr compliance reads them when it is signed in to Azure."
		f.Why = fmt.Sprintf("%d of %s could not be judged.", counts[CannotTell], plural(all, noun))
	case all == 0:
		f.Status, f.Why = NotApplicable, "It is about none of the "+noun+"s of this environment."
	default:
		f.Status, f.Why = Met, fmt.Sprintf("True of %s.", plural(all, noun))
	}
	if len(reasons) > 0 {
		f.Why += " " + strings.Join(reasons, " ")
	}
	return f
}

// stateVerdict judges an item that was not read, or is gone. It is nil for one whose body is known.
func stateVerdict(it *item) *verdict {
	switch it.state {
	case unread:
		return &verdict{CannotTell, Evidence{Property: "(whole)", Value: "applied, not read from Azure"}, ""}
	case gone:
		return &verdict{NotMet, Evidence{Property: "(whole)", Value: "applied, and Azure says there is none"}, "Something that was deployed is gone."}
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// property is a check that a property of every item of a type has one of some values. absent is what Azure takes a property
// that is not set for.
func property(noun string, types []string, name, absent, next string, wanted ...string) check {
	return func(v *view) Finding {
		return every(v, noun, v.of(types...), next, func(it *item) verdict { return has(it, name, absent, wanted...) })
	}
}

// has is the verdict on one property.
func has(it *item, name, absent string, wanted ...string) verdict {
	value, set := it.text(name)
	e := Evidence{Resource: it.called(), Property: name, Value: value}
	if !set {
		value, e.Value = absent, "not set, which means "+absent
	}
	if slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, value) }) {
		return verdict{Met, e, ""}
	}
	return verdict{NotMet, e, ""}
}

// told is a verdict with evidence of one property.
func told(ok bool, it *item, name, value, because string) verdict {
	if value == "" && name != "" {
		value = "not set"
	}
	out := verdict{status: NotMet, evidence: Evidence{Property: name, Value: value}, because: because}
	if it != nil {
		out.evidence.Resource = it.called()
	}
	if ok {
		out.status = Met
	}
	return out
}

// absentFrom is a check about something that the product never makes. It is answered from the resources all the same, so that
// one that somebody adds shows up.
func absentFrom(noun, why string, types ...string) check {
	return func(v *view) Finding {
		found := v.of(types...)
		if len(found) == 0 {
			return Finding{Status: NotApplicable, Why: why}
		}
		f := Finding{Status: CannotTell, Why: "There is a " + noun + " that this product did not make.", Next: "Whoever made it judges it, for example with Microsoft Defender for Cloud."}
		for _, it := range found {
			f.Evidence = append(f.Evidence, Evidence{Resource: it.called()})
		}
		return f
	}
}

// someoneElse is a control that neither files nor resources show.
func someoneElse(why, next string) check {
	return func(*view) Finding { return Finding{Status: CannotTell, Why: why, Next: next} }
}

// cover says whether an item of an extension type on id has what test asks for, and that it is in force.
func (v *view) cover(id, typ string, test func(*item) (bool, string)) (verdict, bool) {
	last, found := verdict{}, false
	for _, it := range v.on(id, typ) {
		found = true
		if s := stateVerdict(it); s != nil {
			s.evidence.Resource = it.called()
			last = *s
			continue
		}
		ok, value := test(it)
		if last = told(ok, it, "", value, ""); ok {
			return last, true
		}
	}
	return last, found
}

// worst is the finding of several: not met decides, then cannot tell.
func worst(findings ...Finding) Finding {
	out := Finding{Status: NotApplicable}
	rank := map[Status]int{NotApplicable: 0, Met: 1, CannotTell: 2, NotMet: 3}
	var why []string
	for _, f := range findings {
		out.Evidence = append(out.Evidence, f.Evidence...)
		if rank[f.Status] > rank[out.Status] {
			out.Status, out.Next, why = f.Status, f.Next, nil
		}
		if f.Status == out.Status && f.Why != "" && !slices.Contains(why, f.Why) {
			why = append(why, f.Why)
		}
	}
	out.Why = strings.Join(why, " ")
	return out
}
