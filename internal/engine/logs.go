package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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

// logWriter collects lines and progress and writes them a few times a second. It is at most that far behind, and not at
// all when a run has ended.
type logWriter struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	hurry chan struct{} // somebody waits for a flush
	end   chan struct{} // closed when nothing more comes
	done  chan struct{} // closed when nothing more is written

	mu        sync.Mutex
	lines     [][]any // rows of engine.log
	dropped   int
	progress  map[[2]string]int64
	unwritten map[string]int  // lines by run, of those gathered and those on their way
	settled   []chan struct{} // told when what has been gathered so far is written
}

func newLogWriter(pool *pgxpool.Pool, log *slog.Logger) *logWriter {
	return &logWriter{pool: pool, log: log, progress: map[[2]string]int64{}, unwritten: map[string]int{},
		hurry: make(chan struct{}, 1), done: make(chan struct{}), end: make(chan struct{})}
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
			case <-w.hurry:
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

// settle returns when the lines of a run are written, for as long as that takes; or when ctx or the writer has ended.
func (w *logWriter) settle(ctx context.Context, runID string) {
	for {
		w.mu.Lock()
		if w.unwritten[runID] == 0 {
			w.mu.Unlock()
			return
		}
		written := make(chan struct{})
		w.settled = append(w.settled, written)
		w.mu.Unlock()
		select {
		case w.hurry <- struct{}{}:
		default:
		}
		select {
		case <-written:
		case <-w.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// flush writes what has gathered. Lines that could not be written are kept for the next time; ok is false then.
func (w *logWriter) flush(ctx context.Context) (ok bool) {
	w.mu.Lock()
	lines, dropped, progress, settled := w.lines, w.dropped, w.progress, w.settled
	w.lines, w.dropped, w.settled = nil, 0, nil
	if len(progress) > 0 {
		w.progress = map[[2]string]int64{}
	}
	w.mu.Unlock()
	if len(lines) > 0 {
		if err := w.copy(ctx, lines, dropped); err != nil {
			w.log.Warn("log lines not written", "lines", len(lines), "error", err)
			w.mu.Lock()
			w.lines, w.dropped, w.settled = append(lines, w.lines...), w.dropped+dropped, append(settled, w.settled...)
			w.mu.Unlock()
			return false
		}
		w.mu.Lock()
		for _, line := range lines {
			id := line[0].(string)
			if w.unwritten[id]--; w.unwritten[id] == 0 {
				delete(w.unwritten, id)
			}
		}
		w.mu.Unlock()
	}
	for _, c := range settled {
		close(c)
	}
	w.writeProgress(ctx, progress)
	return true
}

func (w *logWriter) copy(ctx context.Context, lines [][]any, dropped int) error {
	rows := slices.Clip(lines)
	if dropped > 0 {
		last := lines[len(lines)-1]
		rows = append(rows, []any{last[0], last[1], last[2], last[3], fmt.Sprintf("(%d lines came too fast and were dropped)", dropped)})
	}
	_, err := w.pool.CopyFrom(ctx, pgx.Identifier{"engine", "log"}, []string{"run_id", "path", "attempt", "at", "line"}, pgx.CopyFromRows(rows))
	return err
}

func (w *logWriter) writeProgress(ctx context.Context, progress map[[2]string]int64) {
	if len(progress) == 0 {
		return
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
		l.unwritten[l.run]++
	}
}

// setProgress keeps the newest count; the ones between are of no interest.
func (l attemptLog) setProgress(rows int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logWriter.progress[[2]string{l.run, l.path}] = rows
}
