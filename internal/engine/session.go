package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is one worker: an id, the database session that holds its lock, and the runs it has claimed. The lock and the
// lease together say that it lives: the server frees the lock the moment the process dies, and the lease runs out when
// the machine hangs while its connection stays up.
type session struct {
	*Engine
	worker  int32
	conn    *pgx.Conn     // holds the lock and listens; used by loop only
	quick   *pgxpool.Pool // for events and claims, see quickPool
	writer  *writer
	logs    *logWriter
	flushed chan struct{}

	mu      sync.Mutex
	runs    map[string]*run
	bundles map[string]*factory.Bundle
	waiters map[string][]chan struct{} // by run id: told when that run has ended
	going   sync.WaitGroup
	active  atomic.Int64    // runs that count against MaxRuns
	queue   atomic.Bool     // pipelines with limited concurrency may have room
	full    atomic.Bool     // runs may be left for want of room
	writing context.Context // ends when nothing more can be written
	stop    context.CancelFunc
}

const (
	pollEvery = time.Second
	stopGrace = 5 * time.Second // how long a stop waits for a database that does not answer
)

func openSession(ctx context.Context, e *Engine) (*session, error) {
	config := e.Pool.Config().ConnConfig.Copy()
	config.RuntimeParams["application_name"] = "flowehr engine"
	config.RuntimeParams["tcp_user_timeout"] = "10000"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open engine session: %w", err)
	}
	quick, err := quickPool(ctx, e.Pool)
	if err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("open engine session: %w", err)
	}
	s := &session{Engine: e, conn: conn, quick: quick, runs: map[string]*run{}, bundles: map[string]*factory.Bundle{},
		waiters: map[string][]chan struct{}{},
		flushed: make(chan struct{})}
	if err := s.enlist(ctx); err != nil {
		quick.Close()
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("open engine session: %w", err)
	}
	// The writer outlives ctx: a clean stop still has to record what was interrupted.
	s.writing, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.writer = newWriter(quick, s.worker, s.fence, e.Logger)
	s.logs = newLogWriter(e.Pool, e.Logger)
	go func() {
		defer close(s.flushed)
		s.logs.start(s.writing)
		go s.writer.tell(s.writing)
		s.writer.run(s.writing)
		s.logs.close()
	}()
	return s, nil
}

// quickPool returns connections for the statements that every run goes through. They find rows by index only: a prepared
// plan that was made while a table was small would go on reading all of it. And nobody else can use them up.
func quickPool(ctx context.Context, like *pgxpool.Pool) (*pgxpool.Pool, error) {
	c := like.Config()
	c.MaxConns, c.MinConns, c.MinIdleConns = 3, 0, 0
	c.ConnConfig.RuntimeParams["application_name"] = "flowehr engine events"
	c.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	c.ConnConfig.RuntimeParams["enable_bitmapscan"] = "off"
	c.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan" // planning would cost more than it gains
	return pgxpool.NewWithConfig(ctx, c)
}

func (s *session) enlist(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `insert into engine.worker (name, lease_until) values ($1, now() + $2::float8 * interval '1 second')
			returning id`, s.WorkerID, s.Lease.Seconds()).Scan(&s.worker); err != nil {
			return err
		}
		// The lock is the session's, not the transaction's: nobody ever sees the row without it.
		_, err := tx.Exec(ctx, "select pg_advisory_lock($1, $2)", lockWorker, s.worker)
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, "listen "+channelWake)
	return err
}

// loop claims, renews the lease and listens until ctx ends or the session is lost.
func (s *session) loop(ctx context.Context) error {
	running, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	cause := errLost
	defer func() {
		cancel(cause)
		time.AfterFunc(stopGrace, s.stop)
		s.going.Wait()
	}()
	lost := make(chan error, 1)
	listening, stopListening := context.WithCancel(ctx)
	defer func() {
		stopListening()
		for range lost { // until nobody listens any more
		}
	}()
	go func() { lost <- s.listen(listening); close(lost) }()

	s.going.Go(func() { s.schedule(running) })
	s.going.Go(func() { s.sweep(running) })
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	poll := true
	for {
		if poll {
			s.poll(ctx)
		}
		if err := s.claim(ctx, running); err != nil && ctx.Err() == nil {
			s.Logger.Warn("runs not claimed", "error", err)
		}
		select {
		case <-ctx.Done():
			cause = errStopping
			return nil
		case err := <-lost:
			cancel(errLost)
			s.stop() // what is still to be written would be refused anyway, if the database can be reached at all
			return err
		case <-s.wake:
			poll = false
		case <-tick.C:
			poll = true
		}
	}
}

// listen waits for notifications on the session that holds the lock, and proves from time to time that it still does.
func (s *session) listen(ctx context.Context) error {
	renew := s.Lease / 3
	next := time.Now().Add(renew)
	for {
		waiting, cancel := context.WithDeadline(ctx, next)
		n, err := s.conn.WaitForNotification(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			s.heard(n.Payload)
		case !errors.Is(err, context.DeadlineExceeded) || s.conn.IsClosed():
			return fmt.Errorf("engine session: %w", err)
		}
		if time.Now().Before(next) {
			continue
		}
		if err := s.renew(ctx); err != nil {
			return err
		}
		next = time.Now().Add(renew)
	}
}

func (s *session) renew(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.Lease)
	defer cancel()
	tag, err := s.conn.Exec(limited, `update engine.worker set lease_until = now() + $2::float8 * interval '1 second'
		where id = $1`, s.worker, s.Lease.Seconds())
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errors.New("renew lease: this worker was declared dead")
	}
	return nil
}

func (s *session) heard(payload string) {
	if id, ok := strings.CutPrefix(payload, wakeCancel); ok {
		s.cancelRun(id)
	}
	s.queue.Store(true)
	s.poke()
}

// poll catches what a lost notification would have told, and buries dead workers.
func (s *session) poll(ctx context.Context) {
	s.queue.Store(true)
	if err := s.reap(ctx); err != nil && ctx.Err() == nil {
		s.Logger.Warn("dead workers not looked for", "error", err)
	}
	rows, err := s.Pool.Query(ctx, "select id::text from engine.run where owner = $1 and status = 'Canceling'", s.worker)
	if err != nil {
		return
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return
	}
	for _, id := range ids {
		s.cancelRun(id)
	}
	s.pollChildren(ctx)
}

// reap frees the runs of workers that hold no lock or let their lease run out.
func (s *session) reap(ctx context.Context) error {
	_, err := s.Pool.Exec(ctx, `with dead as (delete from engine.worker w where w.id <> $1 and (w.lease_until < now()
			or not exists (select from pg_locks l where l.locktype = 'advisory'
				and l.database = (select oid from pg_database where datname = current_database())
				and l.classid = $2::int8::oid and l.objid = w.id::int8::oid and l.granted)) returning id)
		update engine.run set owner = null where status in ('InProgress', 'Canceling') and owner is not null
			and (owner in (select id from dead) or not exists (select from engine.worker w where w.id = owner))`, s.worker, lockWorker)
	return err
}

// fence abandons a run that another worker has taken over.
func (s *session) fence(runID string, epoch int) {
	s.mu.Lock()
	r := s.runs[runID]
	s.mu.Unlock()
	if r != nil && r.epoch == epoch {
		r.cancel(errFenced)
	}
}

func (s *session) cancelRun(id string) {
	s.mu.Lock()
	r := s.runs[id]
	s.mu.Unlock()
	if r != nil {
		r.cancel(errCancelled)
	}
}

// close waits for what is being written and gives up the lock.
func (s *session) close(ctx context.Context) {
	close(s.writer.in)
	<-s.flushed
	s.stop()
	s.quick.Close()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if !s.conn.IsClosed() {
		_, _ = s.conn.Exec(limited, "delete from engine.worker where id = $1", s.worker)
	}
	_ = s.conn.Close(limited)
}
