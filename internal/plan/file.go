package plan

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

// formatVersion is the version of plan files that this package writes. It changes when an older reader would misread one.
const formatVersion = 1

// file is a plan on disk. Digest is the SHA-256 of the plan's own bytes, so that a file that was cut short or edited is
// never applied.
type file struct {
	Version int             `json:"flowehrPlan"`
	Digest  string          `json:"digest"`
	Plan    json.RawMessage `json:"plan"`
}

// Encode writes p as a plan file.
func Encode(p flowehr.Plan) ([]byte, error) {
	body, err := flowehr.Canonical(p)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the digest is of the plan as it stands, and SQL has < and >
	if err := enc.Encode(file{Version: formatVersion, Digest: digest(body), Plan: body}); err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return out.Bytes(), nil
}

// Decode reads a plan file. It refuses other versions, unknown members and files that were changed.
func Decode(b []byte) (flowehr.Plan, error) {
	var f file
	if err := strict(b, &f); err != nil {
		return flowehr.Plan{}, fmt.Errorf("not a plan file: %w", err)
	}
	if f.Version != formatVersion {
		return flowehr.Plan{}, fmt.Errorf("plan file has version %d, this program reads version %d: make a new plan", f.Version, formatVersion)
	}
	if digest(f.Plan) != f.Digest {
		return flowehr.Plan{}, errors.New("plan file is damaged or was edited: make a new plan")
	}
	var p flowehr.Plan
	if err := strict(f.Plan, &p); err != nil {
		return flowehr.Plan{}, fmt.Errorf("plan file: %w", err)
	}
	id, err := identify(p)
	if err != nil {
		return flowehr.Plan{}, err
	}
	if id != p.ID {
		return flowehr.Plan{}, fmt.Errorf("plan file says that it is plan %q, its content is plan %q: make a new plan", p.ID, id)
	}
	return p, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// strict decodes exactly one JSON value.
func strict(b []byte, v any) error {
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
