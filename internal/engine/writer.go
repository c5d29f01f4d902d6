package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Channels and payloads of LISTEN and NOTIFY. A lost notification costs at most one second: everything is polled too.
const (
	channelWake = "flowehr_engine" // to workers
	channelRun  = "flowehr_run"    // to watchers: ids of changed runs, separated by spaces, or "*"

	wakeQueued = "queued"
	wakeCancel = "cancel:" // followed by the id
)

// notifyLightly notifies without waiting for the disk: after a crash nobody listens any more.
const notifyLightly = "with " + lightly + " select pg_notify($1, $2) from lightly"

// Causes with which the context of a run ends before the run does.
var (
	errFenced    = errors.New("another worker took the run over")
	errStopping  = errors.New("the engine stops")
	errCancelled = errors.New("the run was cancelled")
)

// event is one event on its way to the database.
type event struct {
	run     string
	seq     int
	epoch   int
	path    string
	kind    string
	attempt int
	at      time.Time
	data    *string
	held    *string
	tables  *string
	forget  bool       // the run has succeeded and left secrets behind
	done    chan error // nil when nobody waits
}

// writer commits the events of all runs of a worker in groups: while one group is on its way to the disk, the next one
// gathers. It keeps the order in which events are pushed.
type writer struct {
	pool   *pgxpool.Pool
	owner  int32
	in     chan event
	fenced func(runID string, epoch int) // told of each run whose event was refused
	log    *slog.Logger

	mu   sync.Mutex
	news []string
	wake chan struct{}
}

const maxGroup = 1024

func newWriter(pool *pgxpool.Pool, owner int32, fenced func(string, int), log *slog.Logger) *writer {
	return &writer{pool: pool, owner: owner, in: make(chan event, 4*maxGroup), fenced: fenced, log: log, wake: make(chan struct{}, 1)}
}

// run writes until the input is closed. When ctx has ended it refuses what still comes, so that nobody waits for ever.
func (w *writer) run(ctx context.Context) {
	for first := range w.in {
		group := w.gather(first)
		accepted, err := w.commit(ctx, group)
		refused := map[string]bool{}
		for i, e := range group {
			fault := err
			if fault == nil && !accepted[i] {
				fault = errFenced
				if !refused[e.run] {
					refused[e.run] = true
					w.fenced(e.run, e.epoch)
				}
			}
			if e.done != nil {
				e.done <- fault
			}
		}
	}
}

// linger is how long events that nobody waits for may stay behind, in the hope of one that somebody does wait for: the end
// of an activity and the beginning of the next one are then one commit.
const linger = 2 * time.Millisecond

// gather takes what is there. A group that nobody waits for stays open a little longer.
func (w *writer) gather(first event) []event {
	group := append(make([]event, 0, 64), first)
	awaited := first.done != nil
	var late <-chan time.Time
	for len(group) < maxGroup {
		select {
		case e, open := <-w.in:
			if !open {
				return group
			}
			group, awaited = append(group, e), awaited || e.done != nil
			continue
		default:
		}
		if awaited {
			return group
		}
		if late == nil {
			late = time.After(linger)
		}
		select {
		case e, open := <-w.in:
			if !open {
				return group
			}
			group, awaited = append(group, e), awaited || e.done != nil
		case <-late:
			return group
		}
	}
	return group
}

// commit writes a group, again and again while the database is away: an event that was written by an attempt whose
// answer got lost is recognised by its number.
func (w *writer) commit(ctx context.Context, group []event) ([]bool, error) {
	wait := 20 * time.Millisecond
	for {
		accepted, err := w.flush(ctx, group)
		if err == nil || ctx.Err() != nil {
			return accepted, err
		}
		w.log.Warn("events not written, trying again", "events", len(group), "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// The row lock on the run is what makes the fence hold: a take-over has to wait for it, and we see the take-over. A run
// that has succeeded takes with it what it held back for expressions, and so do the runs that it resumed. A run that hears of its cancelling by
// the end of its child, and fails of it, was cancelled all the same.
const insertEvents = `with x as (
		select * from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::text[], $6::int[], $7::timestamptz[], $8::text[], $9::text[],
			$10::text[]) with ordinality as t(run_id, seq, epoch, path, kind, attempt, at, data, held, tables, ord)),
	own as (select id, epoch from engine.run where id = any($11::uuid[]) and owner = $12 order by id for no key update),
	ok as (select x.* from x join own on own.id = x.run_id and own.epoch = x.epoch),
	ins as (insert into engine.event (run_id, seq, epoch, path, kind, attempt, at, data, held, tables)
		select run_id, seq, epoch, path, kind, attempt, at, data::json, held::json, tables::jsonb from ok on conflict do nothing),
	ended as (update engine.run r set ended_at = ok.at, owner = null,
			status = case when r.status = 'Canceling' and ok.kind = 'Failed' then 'Cancelled' else ok.kind end,
			message = coalesce(ok.data::json ->> 'message', ''), why = coalesce(ok.data::json ->> 'why', ''),
			evaluated = coalesce((select array_agg(v) from json_array_elements_text(ok.data::json -> 'evaluated') v), '{}'),
			return_value = ok.data::json -> 'return',
			parameters = case when ok.kind <> 'Succeeded' then r.parameters end
		from ok where ok.path = '' and r.id = ok.run_id and ok.kind in ('Succeeded', 'Failed', 'Cancelled')),
	past as (with recursive p as (select id, resumed_from from engine.run where id = any($13::uuid[]) and id in (select run_id from ok)
			union select r.id, r.resumed_from from engine.run r join p on r.id = p.resumed_from) select id from p),
	forgotten as (update engine.event set held = null where held is not null and run_id in (select id from past) returning run_id),
	former as (update engine.run set parameters = null, secrets_deleted_at = $14 where id in (select id from past)
		and id <> all($13) and (parameters is not null or id in (select run_id from forgotten)))
	select ord from ok`

func (w *writer) flush(ctx context.Context, group []event) ([]bool, error) {
	n := len(group)
	runs, paths, kinds := make([]string, n), make([]string, n), make([]string, n)
	seqs, epochs, attempts := make([]int32, n), make([]int32, n), make([]int32, n)
	ats := make([]time.Time, n)
	datas, helds, tables := make([]*string, n), make([]*string, n), make([]*string, n)
	seen := make(map[string]bool, n)
	var distinct, forget []string
	for i, e := range group {
		runs[i], seqs[i], epochs[i], paths[i], kinds[i], attempts[i] = e.run, int32(e.seq), int32(e.epoch), e.path, e.kind, int32(e.attempt)
		ats[i], datas[i], helds[i], tables[i] = e.at, e.data, e.held, e.tables
		if !seen[e.run] {
			seen[e.run] = true
			distinct = append(distinct, e.run)
		}
		if e.forget {
			forget = append(forget, e.run)
		}
	}
	for i, e := range group {
		if slices.Contains(forget, e.run) {
			helds[i] = nil // the statement does not see its own rows
		}
	}
	rows, err := w.pool.Query(ctx, insertEvents, runs, seqs, epochs, paths, kinds, attempts, ats, datas, helds, tables, distinct, w.owner, forget, group[n-1].at)
	if err != nil {
		return nil, err
	}
	accepted := make([]bool, n)
	var ord int64
	if _, err := pgx.ForEachRow(rows, []any{&ord}, func() error { accepted[ord-1] = true; return nil }); err != nil {
		return nil, err
	}
	w.changed(distinct)
	return accepted, nil
}

// changed remembers runs that watchers are to be told of.
func (w *writer) changed(ids []string) {
	w.mu.Lock()
	w.news = append(w.news, ids...)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// tell notifies watchers until ctx ends. It is not part of the commit, since commits with notifications wait for each
// other.
func (w *writer) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		ids := w.news
		w.news = nil
		w.mu.Unlock()
		slices.Sort(ids)
		// A lost notification is made good by the poll of the watchers.
		_, _ = w.pool.Exec(ctx, notifyLightly, channelRun, changedPayload(slices.Compact(ids)))
		_ = sleep(ctx, 5*time.Millisecond)
	}
}

// changedPayload names changed runs within what a notification may hold.
func changedPayload(ids []string) string {
	if len(ids) > 200 {
		return "*"
	}
	return strings.Join(ids, " ")
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // raw messages in it are made by this package
		panic(err)
	}
	return string(b)
}
