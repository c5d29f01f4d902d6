package activity

import (
	"context"
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/lake"
)

// emptying matches a statement before a copy that empties one table and does nothing else.
var emptying = regexp.MustCompile("(?is)^\\s*(?:truncate\\s+table|delete\\s+from|drop\\s+table\\s+if\\s+exists|drop\\s+table)\\s+([\\w.\"`\\[\\]]+)\\s*;?\\s*$")

// empties reports whether a preCopyScript empties the table name. As a statement of its own it would leave readers an
// empty table, and keep it so when the copy fails; with the write it is one commit.
func empties(script, name string) bool {
	m := emptying.FindStringSubmatch(script)
	if m == nil {
		return false
	}
	bare := strings.NewReplacer(`"`, "", "`", "", "[", "", "]", "").Replace(m[1])
	return strings.EqualFold(bare, name)
}

// lakeSink reads a sink in the lake. As in Data Factory rows are added, unless preCopyScript empties the table: then the
// new rows replace the old in the same commit. writeBehavior, which Data Factory's sink does not have, says it plainly.
func lakeSink(job *copyJob) (lake.Name, lake.Mode, error) {
	p := job.sink
	if kind := p.text("type"); kind != "AzureDatabricksDeltaLakeSink" {
		return lake.Name{}, 0, refuse(CodeUnsupported, "sink of type %q cannot write %s; use AzureDatabricksDeltaLakeSink", kind, job.to)
	}
	name := *job.to.lake
	if name.Table == "" {
		return lake.Name{}, 0, refuse(CodeInvalid, "the sink's dataset names no table")
	}
	if err := p.plainSettings("importSettings"); err != nil {
		return lake.Name{}, 0, err
	}
	mode := lake.Append
	if script := p.text("preCopyScript"); strings.TrimSpace(script) != "" {
		if !empties(script, name.String()) {
			return lake.Name{}, 0, refuse(CodeUnsupported, "sink: preCopyScript may only empty %s here (truncate table, delete from); put other statements into a Script activity before the Copy", name)
		}
		mode = lake.Overwrite
	}
	switch behaviour := p.text("writeBehavior"); strings.ToLower(behaviour) {
	case "":
	case "append", "insert":
		if mode == lake.Overwrite {
			return lake.Name{}, 0, refuse(CodeInvalid, "sink: preCopyScript empties the table and writeBehavior keeps it")
		}
	case "overwrite":
		mode = lake.Overwrite
	default:
		return lake.Name{}, 0, refuse(CodeUnsupported, "sink: writeBehavior %q is not supported on the lake; append and overwrite are", behaviour)
	}
	return name, mode, p.rest(harmlessSink...)
}

// harmlessSink are keys of a sink that change only how fast or often Azure tries.
var harmlessSink = []string{
	"writeBatchSize", "writeBatchTimeout", "maxConcurrentConnections", "disableMetricsCollection", "sinkRetryCount", "sinkRetryWait",
	"sqlWriterUseTableLock", "tableOption",
}

// storeSink reads a sink in the feature store and says whether rows are added. Without writeBehavior the whole table is
// replaced in one step: a feature table is published, not appended to.
func storeSink(job *copyJob) (featurestore.Target, bool, error) {
	p := job.sink
	if kind := p.text("type"); kind != "AzureSqlSink" {
		return featurestore.Target{}, false, refuse(CodeUnsupported, "sink of type %q cannot write %s; use AzureSqlSink", kind, job.to)
	}
	t := featurestore.Target{Schema: job.to.store.schema, Table: job.to.store.table}
	if t.Schema == "" || t.Table == "" {
		return t, false, refuse(CodeInvalid, "the sink's dataset names no schema and table")
	}
	empty := false
	if script := p.text("preCopyScript"); strings.TrimSpace(script) != "" {
		if empty = empties(script, t.String()); !empty {
			return t, false, refuse(CodeUnsupported, "sink: preCopyScript may only empty %s here (truncate table, delete from)", t)
		}
	}
	add := false
	switch behaviour := p.text("writeBehavior"); strings.ToLower(behaviour) {
	case "", "overwrite":
	case "insert":
		add = !empty
	default:
		return t, false, refuse(CodeUnsupported, "sink: writeBehavior %q is not supported on the feature store; insert is, and without it the table is replaced", behaviour)
	}
	return t, add, p.rest(harmlessSink...)
}

// toStore publishes what the lake, a database or the store gives.
func (c copyActivity) toStore(ctx context.Context, job *copyJob) (copied, error) {
	target, add, err := storeSink(job)
	if err != nil {
		return copied{}, err
	}
	if job.from.files != nil {
		return copied{}, refuse(CodeUnsupported, "a Copy from files to the feature store is not supported here: copy %s to the lake first, then publish it", job.from)
	}
	batches, rows, err := c.openBatches(ctx, job)
	if err != nil {
		return copied{}, err
	}
	defer batches.Close()
	options := featurestore.PublishOptions{Key: job.call.Key(), Pipeline: job.call.Pipeline, RunID: job.call.RunID, By: job.call.By}
	write := c.deps.Store.Publish
	if add {
		write = c.deps.Store.Append
	}
	done, err := write(ctx, target, batches, options, job.call.Progress)
	if err != nil {
		if batches.err != nil {
			err = &sourceError{rows: batches.rows, cause: batches.err}
		}
		return copied{}, err
	}
	if done.Again {
		job.call.Log("already published as version %d by an earlier attempt", done.Version)
	}
	out := copied{rowsRead: max(batches.rows, done.Rows), rowsCopied: done.Rows, dataRead: batches.bytes, dataWritten: batches.bytes, version: done.Version}
	if rows != nil {
		out.rowsSkipped = rows.skipped
		out.rowsRead = max(rows.count, done.Rows)
	}
	return out, nil
}

// openBatches starts reading the source of a publish. The engine of the lake hands its own batches on and does the
// mapping; other sources are put into batches here, and rows is what they come through.
func (c copyActivity) openBatches(ctx context.Context, job *copyJob) (*countedBatches, *mappedRows, error) {
	if job.from.lake == nil {
		rows, err := c.openRows(ctx, job)
		if err != nil {
			return nil, nil, err
		}
		b, err := newRowBatches(rows)
		if err != nil {
			rows.Close()
			return nil, nil, err
		}
		return &countedBatches{from: b}, rows, nil
	}
	query, err := job.from.query(job.source)
	if err != nil {
		return nil, nil, err
	}
	if query, err = job.mapping.onQuery(query); err != nil {
		return nil, nil, err
	}
	b, err := c.deps.Lake.Export(ctx, query)
	if err != nil {
		return nil, nil, explainSource(err, "cannot read "+job.from.String())
	}
	return &countedBatches{from: b}, nil, nil
}

// onQuery puts a mapping around a query of the lake.
func (m mapping) onQuery(query string) (string, error) {
	if m.collection != "" {
		return "", refuse(CodeInvalid, "translator: collectionReference is for files of JSON")
	}
	if len(m.columns) == 0 {
		return query, nil
	}
	var list []string
	for _, c := range m.columns {
		if c.source == "" {
			return "", refuse(CodeUnsupported, "translator: a table of the lake has named columns; use name for %q", c.sink)
		}
		item := identifier(c.source)
		if c.kind != "" {
			item = "cast(" + item + " as " + engineTypes(c.kind) + ")"
		}
		list = append(list, item+" as "+identifier(c.sink))
	}
	return "select " + strings.Join(list, ", ") + " from (" + strings.TrimRight(strings.TrimSpace(query), "; \n\t") + "\n) as copied", nil
}

// engineTypes writes a Delta type as the lake's engine calls it.
func engineTypes(kind string) string {
	switch kind {
	case "string":
		return "varchar"
	case "short":
		return "smallint"
	case "long":
		return "bigint"
	case "timestamp":
		return "timestamp with time zone"
	case "binary":
		return "blob"
	}
	return kind
}

// countedBatches counts what passes and gives each batch back when the next is asked for: the lake hands batches over,
// and the store only borrows them.
type countedBatches struct {
	from  lake.Batches
	last  arrow.RecordBatch
	rows  int64
	bytes int64
	err   error
}

func (b *countedBatches) Schema() *arrow.Schema { return b.from.Schema() }

func (b *countedBatches) Next() (arrow.RecordBatch, error) {
	b.release()
	batch, err := b.from.Next()
	if err != nil {
		if !isEnd(err) {
			b.err = err
		}
		return nil, err
	}
	b.last = batch
	b.rows += batch.NumRows()
	for i := range int(batch.NumCols()) {
		b.bytes += int64(batch.Column(i).Data().SizeInBytes())
	}
	return batch, nil
}

func (b *countedBatches) Close() error {
	b.release()
	return b.from.Close()
}

func (b *countedBatches) release() {
	if b.last != nil {
		b.last.Release()
		b.last = nil
	}
}
