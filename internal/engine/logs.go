package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// LogLine is one line of an attempt's log.
type LogLine struct {
	Seq     int64
	Path    string
	Attempt int
	At      time.Time
	Text    string
}

// Logs returns the lines of an attempt's log that follow afterSeq, at most 10,000. Attempt 0 stands for all attempts, an
// empty path for all activities.
func (s *Store) Logs(ctx context.Context, runID, path string, attempt int, afterSeq int64) ([]LogLine, error) {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `select seq, path, attempt, at, line from engine.log
		where run_id = $1 and ($2 = '' or path = $2) and ($3 = 0 or attempt = $3) and seq > $4 order by seq limit 10000`,
		id, path, attempt, afterSeq)
	if err != nil {
		return nil, fmt.Errorf("read log of %s: %w", runID, err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (l LogLine, err error) {
		err = r.Scan(&l.Seq, &l.Path, &l.Attempt, &l.At, &l.Text)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("read log of %s: %w", runID, err)
	}
	return list, nil
}

// Limits of logs: an activity must neither wait for the database nor fill the memory.
const (
	maxLine    = 16 << 10 // bytes
	maxPending = 20_000   // lines not yet written
	flushEvery = 150 * time.Millisecond
)

// logWriter collects lines and progress and writes them a few times a second. It is at most that far behind.
type logWriter struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	done chan struct{}
	end  chan struct{}

	mu       sync.Mutex
	lines    [][]any // rows of engine.log
	dropped  int
	progress map[[2]string]int64
}

func newLogWriter(pool *pgxpool.Pool, log *slog.Logger) *logWriter {
	return &logWriter{pool: pool, log: log, progress: map[[2]string]int64{}, done: make(chan struct{}), end: make(chan struct{})}
}

func (w *logWriter) start(ctx context.Context) {
	go func() {
		defer close(w.done)
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.flush(ctx)
			case <-w.end:
				for range 3 {
					if w.flush(ctx) {
						return
					}
				}
				return
			}
		}
	}()
}

// close writes what is left.
func (w *logWriter) close() {
	close(w.end)
	<-w.done
}

// flush writes what has gathered. Lines that could not be written are kept for the next time; ok is false then.
func (w *logWriter) flush(ctx context.Context) (ok bool) {
	w.mu.Lock()
	lines, dropped, progress := w.lines, w.dropped, w.progress
	w.lines, w.dropped = nil, 0
	if len(progress) > 0 {
		w.progress = map[[2]string]int64{}
	}
	w.mu.Unlock()
	if len(lines) > 0 {
		if dropped > 0 {
			last := lines[len(lines)-1]
			lines = append(lines, []any{last[0], last[1], last[2], last[3], fmt.Sprintf("(%d lines came too fast and were dropped)", dropped)})
		}
		_, err := w.pool.CopyFrom(ctx, pgx.Identifier{"engine", "log"}, []string{"run_id", "path", "attempt", "at", "line"}, pgx.CopyFromRows(lines))
		if err != nil {
			w.log.Warn("log lines not written", "lines", len(lines), "error", err)
			w.mu.Lock()
			w.lines = append(lines, w.lines...)
			w.mu.Unlock()
			return false
		}
	}
	if len(progress) == 0 {
		return true
	}
	batch := &pgx.Batch{}
	for key, rows := range progress {
		batch.Queue(`insert into engine.progress (run_id, path, rows, at) values ($1, $2, $3, now())
			on conflict (run_id, path) do update set rows = excluded.rows, at = excluded.at`, key[0], key[1], rows)
		batch.Queue("select pg_notify($1, $2)", channelRun, key[0])
	}
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		w.log.Warn("progress lost", "error", err)
	}
	return true
}

// attemptLog is the log of one attempt.
type attemptLog struct {
	*logWriter
	run     string
	path    string
	attempt int
	mask    func(string) (string, bool)
}

func (w *logWriter) attempt(run, path string, attempt int, mask func(string) (string, bool)) attemptLog {
	return attemptLog{logWriter: w, run: run, path: path, attempt: attempt, mask: mask}
}

func (l attemptLog) printf(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	text, _ = l.mask(text)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.SplitSeq(text, "\n") {
		if len(l.lines) >= maxPending {
			l.dropped++
			continue
		}
		if len(line) > maxLine {
			line = strings.ToValidUTF8(line[:maxLine], "") + " …"
		}
		l.lines = append(l.lines, []any{l.run, l.path, int32(l.attempt), now, line})
	}
}

// setProgress keeps the newest count; the ones between are of no interest.
func (l attemptLog) setProgress(rows int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logWriter.progress[[2]string{l.run, l.path}] = rows
}
