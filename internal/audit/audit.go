// Package audit keeps the record of who did what: a file of JSON lines in which every line carries the hash of the line
// before it, so that a line that was changed, removed, inserted or moved is found by [Verify]. The newest sequence number
// and hash stand in a second file (the head), which is how a log that lost its end is told from one that never had it.
//
// The package does not decide what is worth recording, does not rotate, and does not stop somebody who can rewrite the
// log and the head together: for that, keep the head that Verify reports somewhere else and give it to Verify next time.
// The rule that holds here: what [Log.Append] has returned is on the disk, whoever else is writing to the same file.
package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/durable"
)

// Errors that callers branch on.
var (
	// ErrIncomplete is returned for an entry that does not say who did what with which outcome.
	ErrIncomplete = errors.New("audit entry is incomplete")
	// ErrBroken is returned when the end of the log does not fit its head. Nothing is written to such a log, so that
	// the evidence stays as it was found.
	ErrBroken = errors.New("audit log is broken")
)

// Record is one line of the log.
type Record struct {
	Seq   int64     `json:"seq"` // 1 for the first
	At    time.Time `json:"at"`  // never before the record in front of it, even if the clock was set back
	Entry Entry     `json:"entry"`
	Prev  string    `json:"prev"` // hash of the record in front; zeros for the first
	Hash  string    `json:"hash"` // SHA-256 of the line up to this field, in hex
}

// Head names the newest record of a log.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// genesis is the Prev of the first record.
var genesis = hex.EncodeToString(make([]byte, sha256.Size))

// maxLine bounds one record, so that a damaged file cannot make a reader take all memory.
const maxLine = 1 << 20

// Log appends to one file. It is safe for concurrent use, also with other processes that have the same file open.
type Log struct {
	path string
	now  flowehr.Clock
	gate chan struct{} // one writer of this process at a time; flock only keeps out other descriptions
	file *os.File
	once sync.Once
}

// Open opens the log at path and makes it when there is none. It does not check the chain; see [Verify].
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log: %w", err), f.Close())
	}
	return &Log{path: path, now: time.Now, gate: make(chan struct{}, 1), file: f}, nil
}

// Close releases the file. Appending afterwards is an error.
func (l *Log) Close() (err error) {
	l.once.Do(func() { err = l.file.Close() })
	return err
}

// Append adds e to the chain and returns its record once it is on the disk. It waits while another process appends,
// until ctx ends. A line that a crash left half written was never returned to anybody: it is cut off first, and that is
// recorded as an entry of its own.
func (l *Log) Append(ctx context.Context, e Entry) (Record, error) {
	if err := check(e); err != nil {
		return Record{}, err
	}
	select {
	case l.gate <- struct{}{}:
		defer func() { <-l.gate }()
	case <-ctx.Done():
		return Record{}, ctx.Err()
	}
	if err := lock(ctx, l.file); err != nil {
		return Record{}, fmt.Errorf("lock audit log: %w", err)
	}
	defer func() { _ = syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN) }()
	if err := l.named(); err != nil {
		return Record{}, err
	}

	end, err := l.repair()
	if err != nil {
		return Record{}, err
	}
	return l.write(end, e)
}

// named checks that the file we have open is the one that has the log's name: what is written to another one is lost.
func (l *Log) named() error {
	mine, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("look at audit log: %w", err)
	}
	now, err := os.Stat(l.path)
	if err != nil || !os.SameFile(mine, now) {
		return fmt.Errorf("%w: %s was moved or replaced while it was open", ErrBroken, l.path)
	}
	return nil
}

func check(e Entry) error {
	switch {
	case e.Who == "":
		return fmt.Errorf("%w: it does not say who", ErrIncomplete)
	case e.Action == "":
		return fmt.Errorf("%w: it does not say what was done", ErrIncomplete)
	case e.Outcome != "ok" && e.Outcome != "failed" && e.Outcome != "refused":
		return fmt.Errorf("%w: outcome %q is not ok, failed or refused", ErrIncomplete, e.Outcome)
	}
	return nil
}

// tail is where the next line goes.
type tail struct {
	size int64
	last Record // zero when the log is empty
}

func (t tail) head() Head {
	if t.last.Seq == 0 {
		return Head{Hash: genesis}
	}
	return Head{t.last.Seq, t.last.Hash}
}

// repair reads the end of the log, compares it with the head and removes a torn line. The caller holds the lock.
func (l *Log) repair() (tail, error) {
	end, torn, err := readTail(l.file)
	if err != nil {
		return tail{}, fmt.Errorf("%w: %s: %w", ErrBroken, l.path, err)
	}
	head, err := readHead(l.path)
	if err != nil {
		return tail{}, err
	}
	if err := fits(end.last, head); err != nil {
		return tail{}, fmt.Errorf("%w: %s: %w", ErrBroken, l.path, err)
	}
	if head != end.head() {
		// Before anything is added: a head that cannot be written twice in a row would fall two records behind, which
		// nobody could tell from one that was tampered with.
		if err := writeHead(l.path, end.head()); err != nil {
			return tail{}, err
		}
	}
	if len(torn) == 0 {
		return end, nil
	}
	if err := l.file.Truncate(end.size); err != nil {
		return tail{}, fmt.Errorf("cut torn line of audit log: %w", err)
	}
	sum := sha256.Sum256(torn)
	rec, err := l.write(end, Entry{Who: "flowehr", Action: "audit.repair", Subject: "audit", Outcome: "ok", Detail: map[string]string{
		"removed_bytes": strconv.Itoa(len(torn)), "removed_sha256": hex.EncodeToString(sum[:]),
	}})
	if err != nil {
		return tail{}, err
	}
	info, err := l.file.Stat()
	if err != nil {
		return tail{}, err
	}
	return tail{info.Size(), rec}, nil
}

// fits says whether a log that ends with last can have head. The head is written after the line, so a crash leaves it at
// most one record behind; it is never ahead.
func fits(last Record, head Head) error {
	switch {
	case last.Seq == head.Seq:
		if last.Seq > 0 && last.Hash != head.Hash {
			return fmt.Errorf("record %d is not the one that its head names", last.Seq)
		}
		return nil
	case last.Seq == head.Seq+1:
		if last.Prev != head.Hash {
			return fmt.Errorf("record %d does not follow the one that its head names", last.Seq)
		}
		return nil
	case last.Seq < head.Seq:
		return fmt.Errorf("it ends with record %d, its head names record %d: the end was removed", last.Seq, head.Seq)
	default:
		return fmt.Errorf("it ends with record %d, its head names record %d: the head was changed or removed", last.Seq, head.Seq)
	}
}

func (l *Log) write(end tail, e Entry) (Record, error) {
	at := l.now().UTC()
	if at.Before(end.last.At) {
		at = end.last.At
	}
	line, rec, err := encode(Record{Seq: end.last.Seq + 1, At: at, Entry: e, Prev: end.head().Hash})
	if err != nil {
		return Record{}, err
	}
	if _, err := l.file.Write(line); err != nil {
		// Part of the line may be there (a full disk); nobody was told of it, so it goes.
		return Record{}, errors.Join(fmt.Errorf("write audit log: %w", err), l.file.Truncate(end.size))
	}
	if err := l.file.Sync(); err != nil {
		return Record{}, fmt.Errorf("write audit log: %w", err)
	}
	if err := writeHead(l.path, Head{rec.Seq, rec.Hash}); err != nil {
		return Record{}, err
	}
	return rec, nil
}

// encode makes the line of r, with its hash. The hash covers the very bytes of the line in front of it, so no second
// spelling of the same JSON passes for it.
func encode(r Record) ([]byte, Record, error) {
	body, err := json.Marshal(struct {
		Seq   int64     `json:"seq"`
		At    time.Time `json:"at"`
		Entry Entry     `json:"entry"`
		Prev  string    `json:"prev"`
	}{r.Seq, r.At, r.Entry, r.Prev})
	if err != nil {
		return nil, Record{}, fmt.Errorf("encode audit record: %w", err)
	}
	body = body[:len(body)-1]
	sum := sha256.Sum256(body)
	r.Hash = hex.EncodeToString(sum[:])
	line := append(body, hashKey+r.Hash+"\"}\n"...)
	if len(line) > maxLine {
		return nil, Record{}, fmt.Errorf("audit entry is larger than %d bytes", maxLine)
	}
	return line, r, nil
}

const hashKey = `,"hash":"`

// decode reads one line without its newline and checks the line's own hash.
func decode(line []byte) (Record, error) {
	suffix := len(hashKey) + 2*sha256.Size + len(`"}`)
	if len(line) < suffix+1 {
		return Record{}, errors.New("not a record")
	}
	body, rest := line[:len(line)-suffix], line[len(line)-suffix:]
	var r Record
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("not a record: %w", err)
	}
	if d.InputOffset() != int64(len(line)) || !bytes.HasPrefix(rest, []byte(hashKey)) {
		return Record{}, errors.New("not a record")
	}
	sum := sha256.Sum256(body)
	if hex.EncodeToString(sum[:]) != r.Hash {
		return Record{}, errors.New("it was changed: its hash does not fit")
	}
	return r, nil
}

// readTail returns the last whole record and what follows it without a newline.
func readTail(f *os.File) (end tail, torn []byte, err error) {
	info, err := f.Stat()
	if err != nil {
		return tail{}, nil, err
	}
	b := backward{file: f, at: info.Size()}
	torn, err = b.remainder()
	if err != nil {
		return tail{}, nil, err
	}
	end.size = info.Size() - int64(len(torn))
	line, err := b.line()
	if errors.Is(err, io.EOF) {
		return end, torn, nil
	}
	if err != nil {
		return tail{}, nil, err
	}
	end.last, err = decode(line)
	if err != nil {
		return tail{}, nil, fmt.Errorf("last record: %w", err)
	}
	return end, torn, nil
}

// HeadPath is where the head of the log at path is kept.
func HeadPath(path string) string { return path + ".head" }

func readHead(path string) (Head, error) {
	b, err := os.ReadFile(HeadPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return Head{Hash: genesis}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("read head of audit log: %w", err)
	}
	var h Head
	if err := json.Unmarshal(b, &h); err != nil {
		return Head{}, fmt.Errorf("%w: %s: %w", ErrBroken, HeadPath(path), err)
	}
	return h, nil
}

func writeHead(path string, h Head) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// A head that a power cut could bring back from several records ago would look like one that was tampered with.
	if err := durable.Replace(HeadPath(path), append(b, '\n')); err != nil {
		return fmt.Errorf("write head of audit log: %w", err)
	}
	return nil
}

// lock takes the file's lock. It asks repeatedly instead of blocking in the kernel, where ctx could not reach it.
func lock(ctx context.Context, f *os.File) error {
	wait := 200 * time.Microsecond
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Millisecond)
		}
	}
}
