package delta

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// CheckpointDue reports whether version v is one that gets a checkpoint.
func CheckpointDue(v int64) bool { return v > 0 && v%checkpointEvery == 0 }

// Checkpoint writes the snapshot as one file, so that readers need not replay what came before. It is an optimisation:
// a table without it is just as correct.
func (l *Log) Checkpoint(ctx context.Context, s *Snapshot) error {
	actions := []Action{{Protocol: &s.Protocol}, {Metadata: &s.Metadata}}
	oldest := l.Now().Add(-txnKept).UnixMilli()
	for _, k := range slices.Sorted(maps.Keys(s.Txns)) {
		t := s.Txns[k]
		if t.LastUpdated == 0 || t.LastUpdated >= oldest {
			actions = append(actions, Action{Txn: &t})
		}
	}
	for _, f := range s.Files() {
		f.DataChange = false
		actions = append(actions, Action{Add: &f})
	}
	b, err := EncodeCommit(actions)
	if err != nil {
		return err
	}
	nd, err := writeTemp(l.logDir(), b)
	if err != nil {
		return err
	}
	defer os.Remove(nd)
	pq := nd + ".parquet"
	defer os.Remove(pq)
	if err := l.Parquet.WriteActions(ctx, nd, pq); err != nil {
		return err
	}
	if err := os.Rename(pq, filepath.Join(l.logDir(), fmt.Sprintf("%020d.checkpoint.parquet", s.Version))); err != nil {
		return err
	}
	hint, err := writeTemp(l.logDir(), encodeLast(lastCheckpoint{Version: s.Version, Size: len(actions)}))
	if err != nil {
		return err
	}
	return os.Rename(hint, filepath.Join(l.logDir(), "_last_checkpoint"))
}

func (l *Log) readCheckpoint(ctx context.Context, cp checkpoint, s *Snapshot) error {
	for _, part := range cp.parts {
		err := l.Parquet.ReadActions(ctx, filepath.Join(l.logDir(), part), func(line []byte) error {
			a, err := decodeCheckpointRow(line)
			if err != nil {
				return err
			}
			a.Remove = nil // Tombstones only serve vacuum, which here goes by what is in use.
			s.apply([]Action{a})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keys is the field of each kind of action that is never null. A Parquet row has a struct for every kind, and one that
// is absent may come out as a struct of nulls.
var keys = map[string]string{"protocol": "minReaderVersion", "metaData": "id", "txn": "appId", "add": "path"}

func decodeCheckpointRow(line []byte) (Action, error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(line, &row); err != nil {
		return Action{}, err
	}
	for kind, key := range keys {
		var fields map[string]json.RawMessage
		if json.Unmarshal(row[kind], &fields) != nil || len(fields[key]) == 0 || string(fields[key]) == "null" {
			continue
		}
		if dv := (map[string]json.RawMessage{}); json.Unmarshal(fields["deletionVector"], &dv) == nil && string(dv["storageType"]) == "null" {
			delete(fields, "deletionVector")
		}
		b, err := json.Marshal(map[string]any{kind: fields})
		if err != nil {
			return Action{}, err
		}
		return decodeAction(b)
	}
	if raw, ok := row["sidecar"]; ok && string(raw) != "null" && strings.Contains(string(raw), "parquet") {
		return Action{}, fmt.Errorf("a checkpoint with sidecar files is %w", ErrUnsupported)
	}
	return Action{}, nil
}

// Vacuum deletes files of the table that no version from the newest back to keep ago uses: data files that were
// removed from the table or never committed, and temporary files of writers that died. It returns what it deleted.
func (l *Log) Vacuum(ctx context.Context, keep time.Duration) ([]string, error) {
	snap, err := l.Load(ctx, nil)
	if err != nil {
		return nil, err
	}
	limit := l.Now().Add(-keep)
	used := map[string]bool{}
	for _, f := range snap.Files() {
		p, err := f.Local(l.Dir)
		if err != nil {
			return nil, err
		}
		used[p] = true
	}
	if err := l.keepRecent(limit, used); err != nil {
		return nil, err
	}
	var gone []string
	err = filepath.WalkDir(l.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		inLog := filepath.Dir(path) == l.logDir()
		if used[path] || inLog && !strings.HasPrefix(e.Name(), ".tmp-") || !inLog && filepath.Ext(path) != ".parquet" {
			return nil
		}
		info, err := e.Info()
		if err != nil || info.ModTime().After(limit) {
			return nil // Gone already, or perhaps still being written.
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		gone = append(gone, path)
		return ctx.Err()
	})
	return gone, err
}

// keepRecent marks the files that were removed from the table only after limit: somebody may still read them.
func (l *Log) keepRecent(limit time.Time, used map[string]bool) error {
	list, err := l.list()
	if err != nil {
		return err
	}
	for _, v := range list.commits {
		actions, err := l.ReadCommit(v)
		if err != nil {
			return err
		}
		for _, a := range actions {
			if a.Remove == nil || time.UnixMilli(a.Remove.DeletionTimestamp).Before(limit) {
				continue
			}
			p, err := Add{Path: a.Remove.Path}.Local(l.Dir)
			if err != nil {
				return err
			}
			used[p] = true
		}
	}
	return nil
}
