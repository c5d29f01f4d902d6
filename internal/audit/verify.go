package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Result is what [Verify] found.
type Result struct {
	Records int64    // good records from the beginning
	Head    Head     // of the last good record
	Problem *Problem // nil when the log is whole
}

// Problem is the first thing that is wrong with a log.
type Problem struct {
	Line int64 // 1 for the first; one more than the last line when records are missing at the end
	Text string
}

// Error returns the problem with its line.
func (p *Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Text) }

// Verify reads the whole log at path and checks every record, the chain, and that it ends where its head says. A known
// head is one that an earlier Verify reported and that was kept elsewhere: the log must still contain it. The error is
// only about reading; what is wrong with the log is in the result. A half-written last line is not a problem, it is cut
// off by the next Append.
func Verify(path string, known ...Head) (Result, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return ended(Result{Head: Head{Hash: genesis}}, path, known)
	}
	if err != nil {
		return Result{}, fmt.Errorf("verify audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	// Whoever appends holds the lock until the head is written, so both are read as they belong together.
	if err := shared(file); err != nil {
		return Result{}, fmt.Errorf("verify audit log: %w", err)
	}
	res, err := verify(file, known)
	if err != nil {
		return Result{}, fmt.Errorf("verify audit log: %w", err)
	}
	if res.Problem != nil {
		return res, nil
	}
	return ended(res, path, known)
}

// verify checks lines until the first that is wrong.
func verify(r io.Reader, known []Head) (Result, error) {
	in := bufio.NewReaderSize(r, maxLine)
	res := Result{Head: Head{Hash: genesis}}
	var last Record
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return res, nil // a torn line, if any, was never acknowledged
		}
		bad := func(format string, args ...any) (Result, error) {
			res.Problem = &Problem{res.Records + 1, fmt.Sprintf(format, args...)}
			return res, nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return bad("longer than %d bytes", maxLine)
		}
		if err != nil {
			return Result{}, err
		}
		rec, err := decode(line[:len(line)-1])
		switch {
		case err != nil:
			return bad("%v", err)
		case rec.Seq != last.Seq+1:
			return bad("record %d stands where record %d is expected: records were removed, inserted or moved", rec.Seq, last.Seq+1)
		case rec.Prev != res.Head.Hash:
			return bad("record %d does not follow the record in front of it", rec.Seq)
		case rec.At.Before(last.At):
			return bad("record %d is older than the record in front of it", rec.Seq)
		}
		for _, k := range known {
			if k.Seq == rec.Seq && k.Hash != rec.Hash {
				return bad("record %d is not the one that was seen before: the log was written anew", rec.Seq)
			}
		}
		last = rec
		res.Records++
		res.Head = Head{rec.Seq, rec.Hash}
	}
}

// ended checks the end of a log whose lines are good.
func ended(res Result, path string, known []Head) (Result, error) {
	bad := func(text string) (Result, error) {
		res.Problem = &Problem{res.Records + 1, text}
		return res, nil
	}
	for _, k := range known {
		if k.Seq > res.Records {
			return bad(fmt.Sprintf("record %d was seen before and is missing: the end was removed", k.Seq))
		}
	}
	head, err := readHead(path)
	if errors.Is(err, ErrBroken) {
		return bad("the head is damaged: " + err.Error())
	}
	if err != nil {
		return Result{}, err
	}
	switch {
	case head.Seq > res.Records:
		return bad(fmt.Sprintf("the head names record %d: the end was removed", head.Seq))
	case head.Seq == res.Records && head.Hash != res.Head.Hash:
		return bad(fmt.Sprintf("record %d is not the one that the head names", head.Seq))
	case head.Seq < res.Records-1:
		return bad(fmt.Sprintf("the head names record %d: it was changed or removed", head.Seq))
	}
	return res, nil
}

// shared takes the file's lock for reading; closing the file gives it back.
func shared(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
