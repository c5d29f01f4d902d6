package azuresim

import (
	"slices"
	"strings"
	"time"
)

// factoryPlan decides what becomes of the activities of a run. Expressions are not evaluated: a condition takes the branch
// for true, a switch its default or else its first case, loops go round once unless their items are written out.
type factoryPlan struct {
	f    *factories
	r    *resource // the factory
	run  *factoryRun
	kept map[string]bool // activities whose result of an earlier run counts
	doom *serviceError   // how the first activity that does something will fail
}

// outcome is how an activity ended, and when.
type outcome struct {
	status, message string
	at              time.Time
}

// planDepth is how deep activities and pipelines may nest.
const planDepth = 40

// walk plans a list of activities that begins at a time. It returns when they are through, and how; the message names the
// activity that decided. (learn.microsoft.com/azure/data-factory/tutorial-pipeline-failure-error-handling)
func (p *factoryPlan) walk(list []any, begin time.Time, iteration string, depth int) (end time.Time, status, message string) {
	if depth > planDepth {
		return begin, runFailed, "The activities nest too deeply."
	}
	done := map[string]outcome{}
	for len(done) < len(list) {
		progressed := false
		for _, v := range list {
			a := asObject(v)
			name := textAt(a, "name")
			if _, planned := done[name]; planned {
				continue
			}
			at, run, known := dependencies(a, done, begin)
			if !known {
				continue
			}
			progressed = true
			switch {
			case !run:
				done[name] = outcome{status: runSkipped, at: at}
			case textAt(a, "state") == "Inactive":
				done[name] = outcome{status: inactive(a), at: at}
			case iteration == "" && p.kept[name]:
				done[name] = outcome{status: runSucceeded, at: at}
			default:
				done[name] = p.activity(a, at, iteration, depth)
			}
		}
		if !progressed {
			return begin, runFailed, "The activities depend on each other in a circle."
		}
	}
	return p.verdict(list, done, begin)
}

// inactive is what an activity that is switched off counts as.
func inactive(a object) string {
	if s := textAt(a, "onInactiveMarkAs"); s != "" {
		return s
	}
	return runSucceeded
}

// dependencies tells when an activity can begin, and whether it will: known is false while one that it waits for is not
// planned.
func dependencies(a object, done map[string]outcome, begin time.Time) (at time.Time, run, known bool) {
	at, run = begin, true
	for _, v := range listAt(a, "dependsOn") {
		d := asObject(v)
		o, planned := done[textAt(d, "activity")]
		if !planned {
			return at, false, false
		}
		if o.at.After(at) {
			at = o.at
		}
		conditions := jsonTexts(listAt(d, "dependencyConditions"))
		met := slices.Contains(conditions, o.status) || slices.Contains(conditions, "Completed") && o.status != runSkipped
		run = run && met
	}
	return at, run, true
}

// verdict is decided by the leaves; for one that was skipped, by what it waited for.
func (p *factoryPlan) verdict(list []any, done map[string]outcome, begin time.Time) (time.Time, string, string) {
	waitedFor := map[string]bool{}
	needs := map[string][]string{}
	for _, v := range list {
		a := asObject(v)
		for _, d := range listAt(a, "dependsOn") {
			name := textAt(asObject(d), "activity")
			waitedFor[name] = true
			needs[textAt(a, "name")] = append(needs[textAt(a, "name")], name)
		}
	}
	var failed func(name string) (string, bool)
	failed = func(name string) (string, bool) {
		switch o := done[name]; o.status {
		case runFailed:
			return "Operation on target " + name + " failed: " + o.message, true
		case runSkipped:
			for _, need := range needs[name] {
				if text, is := failed(need); is {
					return text, true
				}
			}
		}
		return "", false
	}
	end, status, message := begin, runSucceeded, ""
	for _, v := range list {
		name := textAt(asObject(v), "name")
		if at := done[name].at; at.After(end) {
			end = at
		}
		if text, is := failed(name); is && !waitedFor[name] && status == runSucceeded {
			status, message = runFailed, text
		}
	}
	return end, status, message
}

// activityTakes is how long activities of a type take; others take as long as a copy.
func activityTakes(typ string) time.Duration {
	switch typ {
	case "SetVariable", "AppendVariable", "Filter", "Fail", "Validation", "GetMetadata":
		return time.Second
	case "Lookup", "Script", "SqlServerStoredProcedure", "WebActivity", "WebHook", "AzureFunctionActivity", "Delete":
		return 10 * time.Second
	case "DatabricksNotebook", "DatabricksSparkPython", "DatabricksSparkJar", "DatabricksJob":
		return runTakes
	}
	return 30 * time.Second
}

// activity plans one activity and enters it into the run.
func (p *factoryPlan) activity(a object, at time.Time, iteration string, depth int) outcome {
	s := &factoryStep{ID: p.f.w.newID(), Name: textAt(a, "name"), Type: textAt(a, "type"), Iteration: iteration, Begins: at, Status: runSucceeded,
		Input: object{}, Output: object{"simulated": simulatedRun}}
	p.run.Activities = append(p.run.Activities, s)
	props := objectAt(a, "typeProperties")
	s.Ends = at.Add(activityTakes(s.Type))
	switch s.Type {
	case "IfCondition":
		p.inner(s, listAt(props, "ifTrueActivities"), depth)
	case "Switch":
		p.inner(s, switchBranch(props), depth)
	case "ForEach":
		p.rounds(s, props, depth)
	case "Until":
		p.inner(s, listAt(props, "activities"), depth)
	case "ExecutePipeline":
		p.nested(s, props, depth)
	case "Wait":
		if seconds, literal := props["waitTimeInSeconds"].(float64); literal && seconds >= 0 {
			s.Ends = at.Add(time.Duration(seconds) * time.Second)
		}
	case "Fail":
		s.fail(textAt(props, "errorCode"), textAt(props, "message"))
	default:
		p.work(s, a, props)
	}
	return outcome{s.Status, s.Message, s.Ends}
}

func (s *factoryStep) fail(code, message string) {
	s.Status, s.Code, s.Message = runFailed, code, message
}

func switchBranch(props object) []any {
	if list := listAt(props, "defaultActivities"); len(list) > 0 {
		return list
	}
	for _, v := range listAt(props, "cases") {
		return listAt(asObject(v), "activities")
	}
	return nil
}

// inner plans the activities in another.
func (p *factoryPlan) inner(s *factoryStep, list []any, depth int) {
	end, status, message := p.walk(list, s.Begins.Add(time.Second), s.Iteration, depth+1)
	s.Ends, s.Status = end, status
	if status == runFailed {
		s.fail("ActionFailed", message)
	}
}

// rounds plans a loop: as many rounds as items are written out, else one. Sequential ones follow each other.
func (p *factoryPlan) rounds(s *factoryStep, props object, depth int) {
	items := 1
	if list, literal := props["items"].([]any); literal {
		items = len(list)
	}
	sequential, _ := props["isSequential"].(bool)
	begin, last := s.Begins.Add(time.Second), s.Begins.Add(time.Second)
	for i := range items {
		hash := hexOf(p.f.w.seed, 32, "iteration", s.ID, string(rune('0'+i%10)), s.Iteration, time.Duration(i).String())
		end, status, message := p.walk(listAt(props, "activities"), begin, hash, depth+1)
		if end.After(last) {
			last = end
		}
		if status == runFailed && s.Status != runFailed {
			s.fail("ActionFailed", message)
		}
		if sequential {
			begin = end
		}
	}
	s.Ends = last
	s.Output["itemsCount"] = items
}

// nested begins another pipeline.
func (p *factoryPlan) nested(s *factoryStep, props object, depth int) {
	name := textAt(props, "pipeline", "referenceName")
	target := p.f.pipeline(p.r, name)
	if target == nil || depth > planDepth {
		s.fail("PipelineNotFound", "The pipeline '"+name+"' does not exist, or pipelines call each other in a circle.")
		return
	}
	child := &factoryRun{ID: p.f.w.newID(), Pipeline: target.Name, By: p.run.ID, ByType: "PipelineActivity", Asked: s.Begins, Begins: s.Begins.Add(time.Second),
		Parameters: map[string]string{}}
	child.Group = child.ID
	p.f.state(p.r).Runs[child.ID] = child
	inner := &factoryPlan{f: p.f, r: p.r, run: child, doom: p.doom}
	child.Ends, child.Status, child.Message = inner.walk(listAt(target.Want, "properties", "activities"), child.Begins, "", depth+1)
	p.doom = inner.doom
	s.Output["pipelineName"], s.Output["pipelineRunId"] = target.Name, child.ID
	if wait, told := props["waitOnCompletion"].(bool); told && !wait {
		s.Ends = child.Begins
		return
	}
	if s.Ends = child.Ends; child.Status == runFailed {
		s.fail("2011", child.Message)
	}
}

// work plans an activity that would do something.
func (p *factoryPlan) work(s *factoryStep, a, props object) {
	if d := p.doom; d != nil && !slices.Contains([]string{"SetVariable", "AppendVariable", "Filter"}, s.Type) {
		p.doom = nil
		s.fail(d.Code, d.Message)
		return
	}
	switch {
	case s.Type == "Copy":
		for _, name := range []string{"dataRead", "dataWritten", "rowsRead", "rowsCopied", "filesRead", "filesWritten"} {
			s.Output[name] = 0
		}
	case strings.HasPrefix(s.Type, "Databricks"):
		p.job(s, textAt(a, "linkedServiceName", "referenceName"), props)
	}
}

// job enters a run into the workspace that a linked service names, so that its log can be read there.
func (p *factoryPlan) job(s *factoryStep, service string, props object) {
	var link *resource
	for _, l := range p.f.m.below(p.r, typeService) {
		if strings.EqualFold(l.Name, service) {
			link = l
		}
	}
	if link == nil {
		s.fail("2104", "The linked service '"+service+"' does not exist.")
		return
	}
	host := strings.TrimPrefix(textAt(link.Want, "properties", "typeProperties", "domain"), "https://")
	r := p.f.d.find(host)
	if r == nil {
		s.fail("3202", "The workspace of linked service '"+service+"' does not answer: "+host)
		return
	}
	ws := p.f.d.workspace(r)
	if id := textAt(link.Want, "properties", "typeProperties", "existingClusterId"); id != "" && ws.Clusters[id] == nil {
		s.fail("3201", "There were errors creating the job: Cluster "+id+" does not exist.")
		return
	}
	ws.Serial++
	run := &sparkRun{ID: ws.Serial, Name: "ADF_" + p.run.Pipeline + "_" + s.Name, Begun: s.Begins, Ends: s.Ends, Fails: ws.missingProgram(props)}
	ws.Runs[ws.Serial] = run
	if run.Fails != "" {
		s.fail("3204", "Databricks execution failed with error state Terminated. "+run.Fails)
	}
	s.Output["runPageUrl"] = "https://" + host + "/?o=" + textAt(r.Body, "properties", "workspaceId") + "#job/1/run/" + sqlText(ws.Serial)
	s.Output["runId"] = ws.Serial
}

// kept are the activities that a repetition does not do again: those that succeeded before, or those that the named one
// does not lead to.
func (f *factories) kept(p *resource, old *factoryRun, from string, failed bool) map[string]bool {
	kept := map[string]bool{}
	activities := listAt(p.Want, "properties", "activities")
	if failed {
		for _, a := range old.Activities {
			if a.Iteration == "" && a.Status == runSucceeded {
				kept[a.Name] = true
			}
		}
		return kept
	}
	if from == "" {
		return nil
	}
	again := map[string]bool{from: true}
	for changed := true; changed; {
		changed = false
		for _, v := range activities {
			name := textAt(asObject(v), "name")
			for _, d := range listAt(asObject(v), "dependsOn") {
				if again[textAt(asObject(d), "activity")] && !again[name] {
					again[name], changed = true, true
				}
			}
		}
	}
	for _, v := range activities {
		if name := textAt(asObject(v), "name"); !again[name] {
			kept[name] = true
		}
	}
	return kept
}
