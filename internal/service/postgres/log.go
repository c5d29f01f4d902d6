package postgres

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flowehr/flowehr/internal/supervise"
)

// maxLog is the size at which the log is set aside when a server starts.
const maxLog = 16 << 20

// openLog opens the server's log for appending and returns where this start begins in it. PostgreSQL writes to the file
// itself, not through us, so that it can go on logging when we are gone.
func openLog(path string) (*os.File, int64, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, fmt.Errorf("set log of PostgreSQL aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open log of PostgreSQL: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open log of PostgreSQL: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

// readLog returns the end of what was logged since start. It is for messages, so a problem only makes it shorter.
func readLog(path string, start int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	const limit = 8 << 10
	if info, err := f.Stat(); err == nil && info.Size()-start > limit {
		start = info.Size() - limit
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, start, limit))
	return string(b)
}

// explain puts what PostgreSQL logged into an error that says what to do.
func explain(err error, logged string, o Options) error {
	switch {
	case strings.Contains(logged, "Address already in use"):
		return supervise.Permanent(fmt.Errorf("%w: port %d is used by another program; choose another or stop that program", ErrPortTaken, o.Port))
	case strings.Contains(logged, "No space left on device"), strings.Contains(logged, "could not write to file") && strings.Contains(logged, "space"):
		return fmt.Errorf("%w: PostgreSQL in %s cannot write; free some space, nothing that was committed is lost", ErrDiskFull, o.DataDir)
	}
	lines := strings.Split(strings.TrimSpace(logged), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	if text := strings.Join(lines, "\n"); text != "" {
		return fmt.Errorf("%w; it logged:\n%s", err, text)
	}
	return err
}

// refused reports whether the server is up and does not let us in, so that asking again is no use.
func refused(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(pg.Code, "28")
}
