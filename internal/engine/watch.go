package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Watch returns a channel that gets a value whenever something may have happened to the run, at the latest every second.
// Values that nobody takes are merged. The channel is closed when ctx ends. An empty runID watches all runs.
//
// All watchers of a store share one connection.
func (s *Store) Watch(ctx context.Context, runID string) <-chan struct{} {
	w := &watcher{id: runID, c: make(chan struct{}, 1)}
	w.tell()
	s.hub.add(ctx, w)
	context.AfterFunc(ctx, func() { s.hub.remove(w) })
	return w.c
}

type watcher struct {
	id string // or the beginning of one
	c  chan struct{}
}

func (w *watcher) tell() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// hub listens for changed runs while somebody watches.
type hub struct {
	pool *pgxpool.Pool

	mu       sync.Mutex
	watchers map[*watcher]bool
	stop     context.CancelFunc // of the listener, nil when there is none
}

func newHub(pool *pgxpool.Pool) *hub { return &hub{pool: pool, watchers: map[*watcher]bool{}} }

func (h *hub) add(ctx context.Context, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = true
	if h.stop != nil {
		return
	}
	// The listener serves later watchers too, so it does not end with this one.
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	go h.run(listening)
}

func (h *hub) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	close(w.c)
	if len(h.watchers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

func (h *hub) tell(payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if payload == "*" || w.id == "" || strings.Contains(payload, w.id) {
			w.tell()
		}
	}
}

// run listens until ctx ends, and polls whether or not it can listen.
func (h *hub) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := h.listen(ctx); err != nil {
			h.tell("*")
			_ = sleep(ctx, pollEvery)
		}
	}
}

func (h *hub) listen(ctx context.Context) error {
	pooled, err := h.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // a connection that listens must not go back to the pool
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "listen "+channelRun); err != nil {
		return err
	}
	for {
		waiting, cancel := context.WithTimeout(ctx, pollEvery)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			h.tell(n.Payload)
		case errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			h.tell("*")
		default:
			return err
		}
	}
}

// isNetwork reports whether err says that a connection broke.
func isNetwork(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Wait returns the run when it has ended.
func (s *Store) Wait(ctx context.Context, runID string) (RunInfo, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	for range s.Watch(watching, runID) {
		var done bool
		id, err := s.resolve(ctx, runID)
		if err != nil {
			return RunInfo{}, err
		}
		if err := s.pool.QueryRow(ctx, "select ended_at is not null from engine.run where id = $1", id).Scan(&done); err != nil {
			if retryable(err) && ctx.Err() == nil {
				_ = sleep(ctx, time.Second/4)
				continue
			}
			return RunInfo{}, err
		}
		if done {
			return s.Run(ctx, id)
		}
	}
	return RunInfo{}, context.Cause(ctx)
}
