package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/flowehr/flowehr"
)

// formatVersion is the version of state files that this package writes. It changes when an older reader would misread one.
const formatVersion = 1

// file is a state on disk. Checksum is the SHA-256 of the state in compact form, so that the file may be indented.
type file struct {
	Version  int             `json:"flowehrState"`
	Checksum string          `json:"checksum"`
	State    json.RawMessage `json:"state"`
}

func encode(st flowehr.State) ([]byte, error) {
	body, err := flowehr.Canonical(st)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	// Escaping <, > and & would change the bytes that the checksum is of.
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(file{Version: formatVersion, Checksum: checksum(body), State: body}); err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return b.Bytes(), nil
}

func decode(b []byte) (flowehr.State, error) {
	var f file
	if len(bytes.TrimSpace(b)) == 0 {
		return flowehr.State{}, errors.New("the file is empty")
	}
	if err := whole(b, &f); err != nil {
		return flowehr.State{}, fmt.Errorf("it is not whole: %w", err)
	}
	if f.Version > formatVersion {
		return flowehr.State{}, &newerError{f.Version}
	}
	if f.Version != formatVersion {
		return flowehr.State{}, errors.New("it is not a state file")
	}
	var body bytes.Buffer
	if err := json.Compact(&body, f.State); err != nil {
		return flowehr.State{}, err
	}
	if checksum(body.Bytes()) != f.Checksum {
		return flowehr.State{}, errors.New("its content does not match its checksum")
	}
	var st flowehr.State
	if err := whole(f.State, &st); err != nil {
		return flowehr.State{}, err
	}
	for ref, rec := range st.Records {
		if rec.Resource.Ref != ref {
			return flowehr.State{}, fmt.Errorf("record %s is about %s", ref, rec.Resource.Ref)
		}
	}
	if st.Records == nil {
		st.Records = map[flowehr.Ref]flowehr.Record{}
	}
	return st, nil
}

// newerError says that a later version of the program wrote the file. It is not damaged.
type newerError struct{ version int }

func (e *newerError) Error() string {
	return fmt.Sprintf("it has version %d and this program reads version %d: use the newer program", e.version, formatVersion)
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// whole decodes exactly one JSON value.
func whole(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after its end")
	}
	return nil
}
