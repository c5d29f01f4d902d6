package activity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// copyActivity moves rows from one place to another in one commit of the sink.
//
//	source \ sink      lake   feature store   files
//	database           yes    yes             yes
//	files              yes    no              no
//	lake, store        yes    yes             yes
//
// What is not there is refused by name, with the way round it: land files in the lake first.
type copyActivity struct{ deps Deps }

// copyJob is a Copy that was read and resolved.
type copyJob struct {
	call    engine.Call
	started time.Time
	from    place
	to      place
	source  *properties
	sink    *properties
	mapping mapping
	skip    bool // put rows that do not fit aside instead of failing
}

// copied is what a Copy did, for its output.
type copied struct {
	rowsRead, rowsCopied, rowsSkipped int64
	dataRead, dataWritten             int64
	filesRead, filesWritten           int64
	files                             bool // the source is files, so that filesRead is meant
	version                           int64
	quarantine                        string
}

// Run copies.
func (c copyActivity) Run(ctx context.Context, call engine.Call) (engine.Result, error) {
	job, err := c.read(ctx, call)
	if err != nil {
		return engine.Result{}, err
	}
	ctx, cancel, err := job.source.limited(ctx, "queryTimeout")
	if err != nil {
		return engine.Result{}, err
	}
	defer cancel()
	done, err := c.move(ctx, job)
	if err != nil {
		return engine.Result{}, job.failed(ctx, err)
	}
	took := c.deps.Now().Sub(job.started)
	call.Log("read %s rows from %s, wrote %s to %s", thousands(done.rowsRead), job.from, thousands(done.rowsCopied), job.to)
	if done.rowsSkipped > 0 {
		call.Log("set %s rows aside", thousands(done.rowsSkipped))
	}
	return engine.Result{
		Output: done.output(took),
		Rows:   done.rowsCopied,
		Tables: []engine.Table{
			{Name: job.from.String(), Rows: done.rowsRead, Version: -1},
			{Name: job.to.String(), Written: true, Rows: done.rowsCopied, Version: done.version},
		},
	}, nil
}

func (c copyActivity) read(ctx context.Context, call engine.Call) (*copyJob, error) {
	if len(call.Inputs) != 1 || len(call.Outputs) != 1 {
		return nil, refuse(CodeInvalid, "a Copy has one input and one output dataset, not %d and %d", len(call.Inputs), len(call.Outputs))
	}
	job := &copyJob{call: call, started: c.deps.Now()}
	p := read("Copy", call.Properties)
	job.source, job.sink = p.inner("source"), p.inner("sink")
	job.source.where, job.sink.where = "source", "sink"
	job.skip = p.flag("enableSkipIncompatibleRow", false)
	p.value("redirectIncompatibleRowSettings") // skipped rows are kept by the lake, beside its tables
	translator := p.value("translator")
	if p.flag("enableStaging", false) || p.has("preserve") || p.has("preserveRules") {
		return nil, refuse(CodeUnsupported, "Copy: enableStaging and preserve are not supported here")
	}
	if err := p.rest("parallelCopies", "dataIntegrationUnits", "stagingSettings", "logSettings", "logStorageSettings", "validateDataConsistency"); err != nil {
		return nil, err
	}
	var err error
	if job.from, err = c.deps.resolve(ctx, call.Inputs[0]); err != nil {
		return nil, err
	}
	if job.to, err = c.deps.resolve(ctx, call.Outputs[0]); err != nil {
		return nil, err
	}
	job.mapping, err = readMapping(translator)
	return job, err
}

func (c copyActivity) move(ctx context.Context, job *copyJob) (copied, error) {
	switch {
	case job.to.lake != nil && job.from.files != nil:
		return c.filesToLake(ctx, job)
	case job.to.lake != nil:
		return c.rowsToLake(ctx, job)
	case job.to.store != nil:
		return c.toStore(ctx, job)
	case job.to.files != nil && job.from.files == nil:
		return c.rowsToFile(ctx, job)
	}
	return copied{}, refuse(CodeUnsupported, "a Copy from %s to %s is not supported here", job.from, job.to)
}

// rowsToLake writes what a database, the lake or the store gives.
func (c copyActivity) rowsToLake(ctx context.Context, job *copyJob) (copied, error) {
	name, mode, err := lakeSink(job)
	if err != nil {
		return copied{}, err
	}
	rows, err := c.openRows(ctx, job)
	if err != nil {
		return copied{}, err
	}
	defer rows.Close()
	written, err := c.deps.Lake.WriteRows(ctx, name, rows, mode, job.commit(), job.call.Progress)
	if err != nil {
		return copied{}, job.readingOrWriting(rows, err)
	}
	if written.Repeated {
		job.call.Log("already written as version %d by an earlier attempt", written.Version)
	}
	return copied{
		rowsRead: max(rows.count, written.Read), rowsCopied: written.Rows, rowsSkipped: rows.skipped,
		dataRead: rows.bytes, dataWritten: written.Bytes, version: written.Version,
	}, nil
}

// commit is how the lake is told who writes and why.
func (job *copyJob) commit() lake.Commit {
	return lake.Commit{Key: job.call.Key(), Operation: "COPY", Pipeline: job.call.Pipeline, RunID: job.call.RunID, By: job.call.By}
}

// readingOrWriting says which side an error came from. An error of the source says how far it was read.
func (job *copyJob) readingOrWriting(rows *mappedRows, err error) error {
	if rows.err == nil {
		return err
	}
	return &sourceError{rows: rows.count, cause: rows.err}
}

// sourceError is the end of a source while it was read.
type sourceError struct {
	rows  int64
	cause error
}

func (e *sourceError) Error() string { return e.cause.Error() }
func (e *sourceError) Unwrap() error { return e.cause }

// output has the keys that Data Factory gives; file counts only where files were read or written.
func (d copied) output(took time.Duration) *expr.Object {
	seconds := max(took.Seconds(), 0.001)
	o := expr.NewObject()
	o.Set("dataRead", d.dataRead)
	o.Set("dataWritten", d.dataWritten)
	if d.files {
		o.Set("filesRead", d.filesRead)
	}
	if d.filesWritten > 0 {
		o.Set("filesWritten", d.filesWritten)
	}
	o.Set("rowsRead", d.rowsRead)
	o.Set("rowsCopied", d.rowsCopied)
	o.Set("rowsSkipped", d.rowsSkipped)
	o.Set("copyDuration", int64(took.Round(time.Second)/time.Second))
	o.Set("throughput", float64(int64(float64(d.dataRead)/1024/seconds*1000))/1000)
	o.Set("errors", []expr.Value{})
	o.Set("effectiveIntegrationRuntime", localRuntime)
	o.Set("usedParallelCopies", int64(1))
	queue := expr.NewObject()
	queue.Set("integrationRuntimeQueue", int64(0))
	o.Set("durationInQueue", queue)
	detail := expr.NewObject()
	detail.Set("status", "Succeeded")
	detail.Set("duration", int64(took.Round(time.Second)/time.Second))
	o.Set("executionDetails", []expr.Value{detail})
	if d.quarantine != "" {
		o.Set("redirectRowPath", d.quarantine)
	}
	return o
}

// localRuntime stands where Azure names an integration runtime.
const localRuntime = "local"

// failed turns an error of a copy into one in the terms of the definition, and says what became of the sink.
func (job *copyJob) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*sourceError](err); ok {
		return explainSource(e.cause, fmt.Sprintf("%s failed after %s rows; %s is unchanged", job.from, thousands(e.rows), job.to))
	}
	return explainSink(err, fmt.Sprintf("copy from %s to %s; the sink is unchanged", job.from, job.to))
}
