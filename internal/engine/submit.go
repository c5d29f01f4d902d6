package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// submitter inserts the runs that many callers submit at once in groups: while one group is on its way to the disk, the
// next one gathers. A caller is answered when the group of its run is durable.
type submitter struct {
	pool *pgxpool.Pool
	wake func(ctx context.Context) // tells the workers of new runs

	mu      sync.Mutex
	waiting []*submission
	busy    bool
}

// submission is a run on its way to the database.
type submission struct {
	ctx       context.Context
	row       newRunRow
	ifCurrent bool // insert only while the version of row is in force
	inserted  bool
	err       error
	done      chan struct{}
}

// groupLimit bounds one statement, so that a network that swallows the answer blocks later callers for so long only.
const groupLimit = 30 * time.Second

// submit inserts n. inserted is false when another version has come into force, or the run exists already. When ctx ends
// first, the run may or may not be there.
func (s *submitter) submit(ctx context.Context, n newRunRow, ifCurrent bool) (inserted bool, err error) {
	sub := &submission{ctx: ctx, row: n, ifCurrent: ifCurrent, done: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, sub)
	lead := !s.busy
	s.busy = true
	s.mu.Unlock()
	if lead {
		go s.drain(context.WithoutCancel(ctx)) // the group is not this caller's alone
	}
	select {
	case <-sub.done:
		return sub.inserted, sub.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// drain writes groups until nobody waits.
func (s *submitter) drain(ctx context.Context) {
	for {
		s.mu.Lock()
		group := s.waiting
		s.waiting = nil
		s.busy = len(group) > 0
		s.mu.Unlock()
		if len(group) == 0 {
			return
		}
		group = slices.DeleteFunc(group, func(sub *submission) bool { return sub.ctx.Err() != nil })
		for part := range slices.Chunk(group, maxGroup) {
			s.write(ctx, part)
		}
	}
}

// write inserts a group and answers its callers. If the database refuses a group for the sake of one run, each is tried
// by itself.
func (s *submitter) write(ctx context.Context, group []*submission) {
	limited, cancel := context.WithTimeout(ctx, groupLimit)
	defer cancel()
	err := insertGroup(limited, s.pool, group)
	if err != nil && len(group) > 1 && !retryable(err) {
		for i := range group {
			s.write(ctx, group[i:i+1])
		}
		return
	}
	if err == nil {
		s.wake(limited)
	}
	for _, sub := range group {
		sub.err = err
		close(sub.done)
	}
}

const runColumnNames = `id, pipeline, version, project, concurrency, parameters, shown, by, invoked, trigger_name, trigger_time, group_id,
	parent, parent_path, parent_name, depth, resumed_from, queued_at`

// The order of the rows is the order in which they were submitted, and that of their ordinals.
const insertRuns = `insert into engine.run (` + runColumnNames + `)
	select id, pipeline, version, project, concurrency, parameters::json, shown::json, by, invoked, trigger_name, trigger_time, group_id,
		nullif(parent, '')::uuid, parent_path, parent_name, depth, nullif(resumed_from, '')::uuid, queued_at
	from unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
		$11::timestamptz[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::int[], $17::text[], $18::timestamptz[], $19::bool[])
		with ordinality as t(` + runColumnNames + `, only_current, ord)
	where not only_current or exists
		(select from engine.pipeline p where p.name = t.pipeline and p.version = t.version and p.removed_at is null)
	order by ord on conflict (id) do nothing returning id::text`

// insertGroup inserts runs in one statement and notes which of them were.
func insertGroup(ctx context.Context, q querier, group []*submission) error {
	n := len(group)
	ids, pipelines, versions, projects, limits := make([]string, n), make([]string, n), make([]int32, n), make([]string, n), make([]int32, n)
	parameters, shown, by, invoked, triggers := make([]*string, n), make([]*string, n), make([]string, n), make([]string, n), make([]string, n)
	times, groups, parents, paths, names := make([]time.Time, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	depths, former, queued, current := make([]int32, n), make([]string, n), make([]time.Time, n), make([]bool, n)
	at := make(map[string]*submission, n)
	for i, sub := range group {
		r := sub.row
		ids[i], pipelines[i], versions[i], projects[i], limits[i] = r.id, r.pipeline, int32(r.version), r.project, int32(r.concurrency)
		parameters[i], shown[i], by[i], invoked[i], triggers[i] = r.kept(), jsonText(r.shown), r.by, r.invoked, r.trigger
		times[i], groups[i], parents[i], paths[i], names[i] = r.triggerTime, r.group, r.parent, r.parentPath, r.parentName
		depths[i], former[i], queued[i], current[i] = int32(r.depth), r.resumedFrom, r.queued, sub.ifCurrent
		at[r.id] = sub
	}
	rows, err := q.Query(ctx, insertRuns, ids, pipelines, versions, projects, limits, parameters, shown, by, invoked, triggers,
		times, groups, parents, paths, names, depths, former, queued, current)
	if err != nil {
		return err
	}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { at[id].inserted = true; return nil })
	return err
}
