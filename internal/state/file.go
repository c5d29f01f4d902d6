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

// formatVersion is the version of the format that this package writes. It changes when an older reader would misread one.
const formatVersion = 1

// file is a state as it is kept. Checksum is the SHA-256 of the state in compact form, so that the file may be indented.
type file struct {
	Version  int             `json:"flowehrState"`
	Checksum string          `json:"checksum"`
	State    json.RawMessage `json:"state"`
}

// Encode writes a state with its checksum as compact JSON. Decode reads it again, also after it was indented.
func Encode(st flowehr.State) ([]byte, error) {
	body, err := compact(st)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	b, err := compact(file{Version: formatVersion, Checksum: checksum(body), State: body})
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return b, nil
}

// compact is v as JSON. Escaping <, > and & would change the bytes that the checksum is of.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encode is Encode for a file that people may look into.
func encode(st flowehr.State) ([]byte, error) {
	whole, err := Encode(st)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, whole, "", " "); err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Decode reads what Encode wrote, nothing else: a key that is not known, more after the end or a wrong checksum is an error. The
// error of a state that a later version of the program wrote is a *[NewerError].
func Decode(b []byte) (flowehr.State, error) {
	var f file
	if len(bytes.TrimSpace(b)) == 0 {
		return flowehr.State{}, errors.New("the file is empty")
	}
	if err := whole(b, &f); err != nil {
		return flowehr.State{}, fmt.Errorf("it is not whole: %w", err)
	}
	if f.Version > formatVersion {
		return flowehr.State{}, &NewerError{Version: f.Version}
	}
	if f.Version != formatVersion {
		return flowehr.State{}, errors.New("it is not a state file")
	}
	if checksum(f.State) != f.Checksum { // it may be indented
		var body bytes.Buffer
		if err := json.Compact(&body, f.State); err != nil {
			return flowehr.State{}, err
		}
		if checksum(body.Bytes()) != f.Checksum {
			return flowehr.State{}, errors.New("its content does not match its checksum")
		}
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

// NewerError says that a later version of the program wrote the state. It is not damaged, and nothing may take its place.
type NewerError struct{ Version int }

// Error says which versions they are and what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("it has version %d and this program reads version %d: use the newer program", e.Version, formatVersion)
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
