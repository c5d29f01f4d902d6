// Package delta keeps the transaction log of one Delta table: a numbered file per commit, a checkpoint every few
// commits, and the snapshot that replaying them gives.
//
// It speaks protocol reader 1, writer 2. It neither reads nor writes data files: Parquet belongs to the engine, which
// hands in the two things that a checkpoint needs through [Parquet].
//
// The rule that holds here: a version, once written, is never written again. A commit is a complete, synced temporary
// file that is linked to its final name, and linking fails when the name is taken; so of two writers one wins and the
// other looks again. What this package cannot honour it refuses by name with [ErrUnsupported] and never skips.
package delta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// The errors that callers branch on.
var (
	// ErrNotTable means that a directory holds no Delta log.
	ErrNotTable = errors.New("not a delta table")
	// ErrConflict means that the version was committed by someone else.
	ErrConflict = errors.New("version is already committed")
	// ErrUnsupported means that the table asks its reader or writer for something that this package does not have.
	ErrUnsupported = errors.New("not supported")
)

// Action is one line of a commit. Exactly one field is set; a line with only unknown keys has none, as the protocol
// lets newer writers add kinds that older readers may skip.
type Action struct {
	CommitInfo *CommitInfo `json:"commitInfo,omitempty"`
	Protocol   *Protocol   `json:"protocol,omitempty"`
	Metadata   *Metadata   `json:"metaData,omitempty"`
	Txn        *Txn        `json:"txn,omitempty"`
	Add        *Add        `json:"add,omitempty"`
	Remove     *Remove     `json:"remove,omitempty"`
}

// Protocol is the least that a reader and a writer of the table must know.
type Protocol struct {
	MinReaderVersion int      `json:"minReaderVersion"`
	MinWriterVersion int      `json:"minWriterVersion"`
	ReaderFeatures   []string `json:"readerFeatures,omitempty"`
	WriterFeatures   []string `json:"writerFeatures,omitempty"`
}

// Metadata is the table's identity and schema. SchemaString is a [Schema] as JSON.
type Metadata struct {
	ID               string            `json:"id"`
	Name             string            `json:"name,omitempty"`
	Description      string            `json:"description,omitempty"`
	Format           Format            `json:"format"`
	SchemaString     string            `json:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns"`
	Configuration    map[string]string `json:"configuration"`
	CreatedTime      int64             `json:"createdTime,omitempty"`
}

// Format says how data files are encoded. It is always Parquet.
type Format struct {
	Provider string            `json:"provider"`
	Options  map[string]string `json:"options"`
}

// Add puts a data file into the table. Path is relative to the table and URL-encoded.
type Add struct {
	Path             string             `json:"path"`
	PartitionValues  map[string]*string `json:"partitionValues"`
	Size             int64              `json:"size"`
	ModificationTime int64              `json:"modificationTime"`
	DataChange       bool               `json:"dataChange"`
	Stats            string             `json:"stats,omitempty"`
	DeletionVector   json.RawMessage    `json:"deletionVector,omitempty"`
}

// Remove takes a data file out of the table. The file itself stays until it is vacuumed, for readers of older versions.
type Remove struct {
	Path                 string             `json:"path"`
	DeletionTimestamp    int64              `json:"deletionTimestamp,omitempty"`
	DataChange           bool               `json:"dataChange"`
	ExtendedFileMetadata bool               `json:"extendedFileMetadata,omitempty"`
	PartitionValues      map[string]*string `json:"partitionValues,omitempty"`
	Size                 int64              `json:"size,omitempty"`
}

// Txn records that an application's write is in the table. It is what makes a repeated write recognisable: AppID is
// the caller's idempotency key and Version the table version that the first write made.
type Txn struct {
	AppID       string `json:"appId"`
	Version     int64  `json:"version"`
	LastUpdated int64  `json:"lastUpdated,omitempty"`
}

// CommitInfo says who made a commit and why. Readers of the data ignore it; people do not. Numbers inside the two maps
// are text, as other writers have them.
type CommitInfo struct {
	Timestamp           int64             `json:"timestamp"`
	Operation           string            `json:"operation"`
	OperationParameters map[string]any    `json:"operationParameters,omitempty"`
	OperationMetrics    map[string]string `json:"operationMetrics,omitempty"`
	EngineInfo          string            `json:"engineInfo,omitempty"`
	UserName            string            `json:"userName,omitempty"`
	IsBlindAppend       *bool             `json:"isBlindAppend,omitempty"`
	Pipeline            string            `json:"flowehrPipeline,omitempty"`
	RunID               string            `json:"flowehrRun,omitempty"`
	Key                 string            `json:"flowehrKey,omitempty"`
}

// Metric returns a number of the operation, or 0 when the writer did not record it.
func (c CommitInfo) Metric(name string) int64 {
	n, err := strconv.ParseInt(c.OperationMetrics[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// UnmarshalJSON takes metrics of other writers, which may be numbers, lists or objects instead of text.
func (c *CommitInfo) UnmarshalJSON(b []byte) error {
	type plain CommitInfo
	loose := struct {
		*plain
		Timestamp        json.RawMessage            `json:"timestamp"`
		OperationMetrics map[string]json.RawMessage `json:"operationMetrics"`
	}{plain: (*plain)(c)}
	if err := json.Unmarshal(b, &loose); err != nil {
		return err
	}
	if n, err := strconv.ParseInt(string(bytes.Trim(loose.Timestamp, `"`)), 10, 64); err == nil {
		c.Timestamp = n
	}
	for k, v := range loose.OperationMetrics {
		if c.OperationMetrics == nil {
			c.OperationMetrics = map[string]string{}
		}
		var text string
		if json.Unmarshal(v, &text) != nil {
			text = string(v)
		}
		c.OperationMetrics[k] = text
	}
	return nil
}

// DecodeCommit reads the actions of a commit file. An empty line is skipped; anything else must be a JSON object.
func DecodeCommit(b []byte) ([]Action, error) {
	var out []Action
	for n, line := range bytes.Split(b, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		a, err := decodeAction(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		out = append(out, a)
	}
	return out, nil
}

func decodeAction(line []byte) (Action, error) {
	var a Action
	if err := json.Unmarshal(line, &a); err != nil {
		return Action{}, err
	}
	if a.Add != nil && a.Add.Path == "" {
		return Action{}, errors.New("add without a path")
	}
	if a.Remove != nil && a.Remove.Path == "" {
		return Action{}, errors.New("remove without a path")
	}
	return a, nil
}

// EncodeCommit is the inverse of [DecodeCommit]: one line for each action.
func EncodeCommit(actions []Action) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	for _, a := range actions {
		if err := e.Encode(a); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), nil
}
