package lake

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// quarantine writes bad records to {Dir}/_quarantine/{zone}.{table}/{run}.ndjson and returns the file. It is complete
// and on the disk before the good rows are committed, so that there is no moment at which a record is in neither.
func (l *Lake) quarantine(n Name, c Commit, bad []badRecord) (string, error) {
	dir := filepath.Join(l.dir, "_quarantine", n.String())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", diskError(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, quarantineName(c)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if os.IsExist(err) { // Another write of the same run.
		f, err = os.OpenFile(filepath.Join(dir, uuid.NewString()+".ndjson"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return "", diskError(err)
	}
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, b := range bad {
		if err = e.Encode(b); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("put bad records aside: %w", diskError(err))
	}
	return f.Name(), nil
}

// quarantineName is made of the run, with what a file's name should not have replaced.
func quarantineName(c Commit) string {
	run := orElse(c.RunID, c.Key)
	if run == "" {
		run = uuid.NewString()
	}
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, run)
	if len(safe) > 100 {
		safe = safe[:100]
	}
	return safe + ".ndjson"
}
