package adf

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// copyJob is a Copy as the job's description has it.
type copyJob struct {
	Source  copySource `json:"source"`
	Sink    copySink   `json:"sink"`
	Mapping []mapped   `json:"mapping,omitempty"`
	Skip    bool       `json:"skip,omitempty"`
}

// copySource is where rows come from. Fields of type any may be arguments of the job.
type copySource struct {
	Kind string `json:"kind"` // lake, store, database or files

	Name   string `json:"name,omitempty"` // of a data source
	Server string `json:"server,omitempty"`
	Port   int    `json:"port,omitempty"`
	TLS    string `json:"tls,omitempty"`

	Zone   any `json:"zone,omitempty"`
	Schema any `json:"schema,omitempty"`
	Table  any `json:"table,omitempty"`
	Query  any `json:"query,omitempty"`

	*fileSource
}

// copySink is where rows go.
type copySink struct {
	Kind   string `json:"kind"` // lake or store
	Zone   any    `json:"zone,omitempty"`
	Schema any    `json:"schema,omitempty"`
	Table  any    `json:"table"`
	Mode   string `json:"mode"` // lake: append or overwrite; store: replace or insert
}

// harmless members change only how fast Data Factory works.
var (
	harmlessCopy   = []string{"parallelCopies", "dataIntegrationUnits", "stagingSettings", "logSettings", "logStorageSettings", "validateDataConsistency"}
	harmlessSource = []string{"partitionOption", "maxConcurrentConnections", "disableMetricsCollection", "sourceRetryCount", "sourceRetryWait", "queryTimeout"}
	harmlessSink   = []string{"writeBatchSize", "writeBatchTimeout", "maxConcurrentConnections", "disableMetricsCollection", "sinkRetryCount", "sinkRetryWait",
		"sqlWriterUseTableLock", "tableOption"}
)

// copy turns a Copy from or to the lake or the feature store into a job.
func (l *lowering) copy(raw *expr.Object, a factory.Activity) *expr.Object {
	r := l.read(fmt.Sprintf("Copy %q", a.Name), a.Properties, l.in(child(a.Pointer, "typeProperties")))
	if len(a.Inputs) != 1 || len(a.Outputs) != 1 {
		l.refuse(l.in(a.Pointer), "", "%s has %d inputs and %d outputs, and not one of each", r.what, len(a.Inputs), len(a.Outputs))
		return raw
	}
	args := &arguments{}
	job := copyJob{Skip: r.flag("enableSkipIncompatibleRow", false)}
	r.value("redirectIncompatibleRowSettings")
	if r.flag("enableStaging", false) || r.has("preserve") || r.has("preserveRules") {
		l.refuse(r.at, "", "%s: enableStaging and preserve are not supported", r.what)
	}
	from := l.place(a.Inputs[0], child(a.Pointer+"/inputs", 0), args)
	to := l.place(a.Outputs[0], child(a.Pointer+"/outputs", 0), args)
	if from == nil || to == nil {
		return raw
	}
	mappings := l.translator(r.inner("translator"), from)
	job.Mapping = l.mapped(mappings, from, r)
	job.Source = l.copySource(r.inner("source"), from, args)
	job.Sink = l.copySink(r.inner("sink"), to, args)
	if job.Skip && job.Sink.Kind == "store" {
		l.refuse(r.place("enableSkipIncompatibleRow"), "Copy to the lake first, then publish.", "%s: rows cannot be set aside in the feature store", r.what)
	}
	if from.kind == "files" && job.Sink.Kind == "store" {
		l.refuse(l.in(a.Pointer), "Copy them to the lake first, then publish.", "%s: a copy from files to the feature store is not supported", r.what)
	}
	r.rest(harmlessCopy...)
	retried, _ := settled(a.Policy.Retry)
	if n, _ := retried.(int64); n > 0 && l.inLoop(a) && (job.Sink.Mode == "append") {
		l.warn(l.in(a.Pointer+"/policy/retry"), "Overwrite the table, or copy outside of the loop.",
			"%s adds rows in a loop and is retried: in Azure an attempt that was lost after its write is repeated", r.what)
	}
	return l.job(raw, a, "copy", job, args)
}

func (l *lowering) copySource(r *reader, p *place, args *arguments) copySource {
	kind := r.text("type")
	s := copySource{Kind: p.kind}
	switch p.kind {
	case "lake":
		if kind != "AzureDatabricksDeltaLakeSource" {
			r.wrong("type", "AzureDatabricksDeltaLakeSource")
		}
		r.plain("exportSettings")
		s.Query = l.lakeQuery(r)
		s.Zone, s.Table = args.orNil(p.props.value("database")), args.orNil(p.props.value("table"))
	case "store", "database":
		known, ok := factory.SQLSourceOf(kind)
		if p.kind == "store" {
			ok = kind == "AzureSqlSource"
		} else if s.Name, s.Server, s.Port, s.TLS = p.source.Name, string(p.source.Kind), p.source.Port, p.source.TLS; ok {
			ok = known.Kind == p.source.Kind
		}
		if !ok {
			l.refuse(r.place("type"), "", "%s: type %q cannot read dataset %q", r.what, kind, p.dataset.Name)
		}
		if q := r.value(known.Query); known.Query != "" && q != nil {
			s.Query = args.of(q)
			if text, _ := s.Query.(string); p.kind == "database" && p.source.Kind == flowehr.SourceSQLServer && startsWith(text) {
				l.refuse(r.place(known.Query), "Write the common table expression as a subquery.", "%s: Spark reads a query as a subquery, where SQL Server takes no WITH", r.what)
			}
		}
		s.Schema, s.Table = p.tableOf(args)
	case "files":
		s.fileSource = l.files(r, p, kind)
	}
	if s.Query == nil && s.Table == nil && p.kind != "files" {
		l.refuse(r.at, "", "neither the source has a query nor dataset %q a table", p.dataset.Name)
	}
	r.rest(harmlessSource...)
	p.props.rest("structure")
	return s
}

func startsWith(query string) bool {
	first, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(query)), " ")
	return first == "with"
}

// lakeQuery reads a query on the lake and writes it for Spark.
func (l *lowering) lakeQuery(r *reader) any {
	v := r.value("query")
	if v == nil {
		return nil
	}
	if dynamic(v) {
		l.refuse(r.place("query"), "Make the table with a Script whose parameters are bound, and copy that.", "%s: the query is put together in the run", r.what)
		return nil
	}
	text, err := sparkQuery(r.text("query"))
	if err != nil {
		l.refuse(r.place("query"), "", "%s: %v", r.what, err)
	}
	return []string{text}
}

// plain reads an object of settings that may say nothing but its type.
func (r *reader) plain(key string) {
	settings := r.inner(key)
	settings.text("type")
	settings.rest()
}

// emptying matches a statement before a copy that empties one table and does nothing else.
var emptying = regexp.MustCompile("(?is)^\\s*(?:truncate\\s+table|delete\\s+from|drop\\s+table\\s+if\\s+exists|drop\\s+table)\\s+([\\w.\"`\\[\\]]+)\\s*;?\\s*$")

// empties reports whether preCopyScript empties the table, which the job then does in the same commit.
func (r *reader) empties(name string) bool {
	script := r.text("preCopyScript")
	if strings.TrimSpace(script) == "" {
		return false
	}
	m := emptying.FindStringSubmatch(script)
	if m == nil || !strings.EqualFold(strings.NewReplacer(`"`, "", "`", "", "[", "", "]", "").Replace(m[1]), name) {
		r.l.refuse(r.place("preCopyScript"), "Put other statements into a Script before the Copy.", "%s: preCopyScript may only empty %s", r.what, name)
	}
	return true
}

func (l *lowering) copySink(r *reader, p *place, args *arguments) copySink {
	s := copySink{Kind: p.kind}
	kind, behaviour := r.text("type"), strings.ToLower(r.text("writeBehavior"))
	switch p.kind {
	case "lake":
		if kind != "AzureDatabricksDeltaLakeSink" {
			r.wrong("type", "AzureDatabricksDeltaLakeSink")
		}
		r.plain("importSettings")
		s.Zone, s.Table = args.orNil(p.props.value("database")), args.orNil(p.props.value("table"))
		s.Mode = "append"
		emptied := r.empties(fmt.Sprintf("%v.%v", s.Zone, s.Table))
		switch {
		case behaviour == "overwrite" || emptied && behaviour == "":
			s.Mode = "overwrite"
		case behaviour == "" || !emptied && (behaviour == "append" || behaviour == "insert"):
		default:
			r.wrong("writeBehavior", "append or overwrite")
		}
	case "store":
		if l.o.StoreEngine == "postgres" && l.o.StoreUser == "" {
			l.refuse(r.at, "", "%s: it is not known as whom a job writes to a feature store of PostgreSQL", r.what)
		}
		if kind != "AzureSqlSink" {
			r.wrong("type", "AzureSqlSink")
		}
		s.Schema, s.Table = p.tableOf(args)
		s.Mode = "replace"
		emptied := r.empties(fmt.Sprintf("%v.%v", s.Schema, s.Table))
		switch behaviour {
		case "", "overwrite":
		case "insert":
			if !emptied {
				s.Mode = "insert"
			}
		default:
			r.wrong("writeBehavior", "insert; without it the table is replaced")
		}
		if s.Schema == nil {
			l.refuse(p.props.at, "", "dataset %q names no schema", p.dataset.Name)
		}
	default:
		l.refuse(r.at, "Write a table of the lake, and read it from there.", "%s: a copy from the lake to %q is not supported in Azure", r.what, p.dataset.LinkedService.Name)
	}
	if s.Table == nil && p.kind != "files" && p.kind != "database" {
		l.refuse(p.props.at, "", "dataset %q names no table", p.dataset.Name)
	}
	r.rest(harmlessSink...)
	p.props.rest("structure")
	return s
}
