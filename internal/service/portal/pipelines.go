package portal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func (p *Portal) pipelines(w http.ResponseWriter, r *http.Request, v visit) error {
	list, err := p.Data.Pipelines.Pipelines(r.Context(), v.Person)
	if err != nil {
		return err
	}
	return p.show(w, r, pipelinesPage(p.chrome(v, "Pipelines", "/pipelines"), list))
}

// pipelineView is a pipeline with the values that its form begins with.
type pipelineView struct {
	Pipeline
	Values map[string]string
	Wrong  map[string]string // by parameter
	Runs   []RunSummary
}

func (p *Portal) pipeline(w http.ResponseWriter, r *http.Request, v visit) error {
	view, err := p.readPipeline(r, v)
	if err != nil {
		return err
	}
	if again := r.URL.Query().Get("again"); again != "" && p.Data.Runs != nil {
		run, err := p.Data.Runs.Run(r.Context(), v.Person, again)
		if err != nil {
			return err
		}
		for _, q := range run.Parameters {
			view.Values[q.Name] = q.Value
		}
	}
	return p.show(w, r, pipelinePage(p.chrome(v, view.Name, "/pipelines"), view))
}

func (p *Portal) readPipeline(r *http.Request, v visit) (pipelineView, error) {
	pl, err := p.Data.Pipelines.Pipeline(r.Context(), v.Person, r.PathValue("name"))
	if err != nil {
		return pipelineView{}, err
	}
	view := pipelineView{Pipeline: pl, Values: map[string]string{}, Wrong: map[string]string{}}
	if p.Data.Runs != nil {
		page, err := p.Data.Runs.Runs(r.Context(), v.Person, RunFilter{Pipeline: pl.Name, Limit: 10})
		if err != nil {
			return pipelineView{}, err
		}
		view.Runs = page.Runs
	}
	return view, nil
}

// startRun checks the values of the form before anything starts, and shows the form again with what is wrong.
func (p *Portal) startRun(w http.ResponseWriter, r *http.Request, v visit) error {
	view, err := p.readPipeline(r, v)
	if err != nil {
		return err
	}
	values := map[string]json.RawMessage{}
	for _, q := range view.Parameters {
		text := r.PostForm.Get("p:" + q.Name)
		if !secure(q) {
			view.Values[q.Name] = text
		}
		value, wrong := parameterValue(q, text)
		if wrong != "" {
			view.Wrong[q.Name] = wrong
		} else if value != nil {
			values[q.Name] = value
		}
	}
	if len(view.Wrong) > 0 {
		p.render(w, r, http.StatusUnprocessableEntity, pipelinePage(p.chrome(v, view.Name, "/pipelines"), view))
		return nil
	}
	id, err := p.Data.Actions.Start(r.Context(), v.Person, view.Name, values)
	if err != nil {
		return err
	}
	http.Redirect(w, r, to("runs", id), http.StatusSeeOther)
	return nil
}

// parameterValue turns the text of a field into JSON of the declared type. An empty field is left out when there is a
// default; without one it is an empty string, and wrong for every other type.
func parameterValue(q Parameter, text string) (value json.RawMessage, wrong string) {
	kind := strings.ToLower(q.Type)
	if text == "" && (q.Default != nil || kind == "") {
		return nil, ""
	}
	if kind == "string" || kind == "securestring" || kind == "" {
		b, err := json.Marshal(text)
		if err != nil {
			return nil, "This text cannot be sent."
		}
		return b, ""
	}
	if text == "" {
		return nil, "A value is needed: there is no default."
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var parsed any
	if err := dec.Decode(&parsed); err != nil || dec.More() {
		parsed = nil
	}
	ok := false
	switch kind {
	case "int":
		n, is := parsed.(json.Number)
		if is {
			_, err := n.Int64()
			ok = err == nil
		}
		wrong = "This must be a whole number."
	case "float":
		_, ok = parsed.(json.Number)
		wrong = "This must be a number, with a point for decimals."
	case "bool":
		_, ok = parsed.(bool)
		wrong = "This must be true or false."
	case "array":
		_, ok = parsed.([]any)
		wrong = `This must be a JSON array, for example ["a", "b"].`
	case "object":
		_, ok = parsed.(map[string]any)
		wrong = `This must be a JSON object, for example {"a": 1}.`
	default:
		wrong = fmt.Sprintf("The type %q is not known here.", q.Type)
	}
	if !ok {
		return nil, wrong
	}
	return json.RawMessage(strings.TrimSpace(text)), ""
}

func secure(q Parameter) bool { return strings.EqualFold(q.Type, "secureString") }

// defaultText shows a default as a person would type it.
func defaultText(q Parameter) string {
	if q.Default == nil {
		return ""
	}
	var s string
	if json.Unmarshal(q.Default, &s) == nil {
		return s
	}
	return string(q.Default)
}

// indent lays JSON out; what is not JSON stays as it is.
func indent(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return text
	}
	return b.String()
}

// branchView is a list of activities inside a container, for the graphs below the main one.
type branchView struct {
	Title string
	Nodes []Node
}

// branches lists what is inside, from outside to inside, up to a depth that people can follow.
func branches(nodes []Node) []branchView {
	var out []branchView
	var walk func(nodes []Node, trail []string)
	walk = func(nodes []Node, trail []string) {
		for _, n := range nodes {
			for _, b := range n.Inside {
				here := append(slices.Clone(trail), n.Name+": "+b.Name)
				if len(b.Nodes) > 0 {
					out = append(out, branchView{strings.Join(here, " / "), b.Nodes})
				}
				if len(here) < 8 {
					walk(b.Nodes, here)
				}
			}
		}
	}
	walk(nodes, nil)
	return out
}

func planGraph(label string, nodes []Node) graphView { return activityGraph(label, nodes, nil, nil) }
