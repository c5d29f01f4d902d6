package azure

import (
	"encoding/json"
	"fmt"

	"github.com/flowehr/flowehr"
)

// Value is a string that is either known when an environment is lowered or an output of another resource. A keeper gets
// its description with every output filled in.
type Value struct {
	literal string
	output  *flowehr.OutputRef
}

// Lit is a value that is known.
func Lit(s string) Value { return Value{literal: s} }

// Out is an output of another resource.
func Out(ref flowehr.Ref, name string) Value {
	return Value{output: &flowehr.OutputRef{Ref: ref, Name: name}}
}

// String returns the known value; of one that is not known yet, its name in angle brackets.
func (v Value) String() string {
	if v.output != nil {
		return "<" + v.output.String() + ">"
	}
	return v.literal
}

// Known returns the value, and whether it is known.
func (v Value) Known() (string, bool) { return v.literal, v.output == nil }

// IsZero reports whether there is no value.
func (v Value) IsZero() bool { return v.output == nil && v.literal == "" }

// MarshalJSON writes a string, or the written form of an output.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.output != nil {
		return json.Marshal(*v.output)
	}
	return json.Marshal(v.literal)
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (v *Value) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		v.output = nil
		return json.Unmarshal(b, &v.literal)
	}
	var o flowehr.OutputRef
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("neither a string nor an output: %w", err)
	}
	*v = Value{output: &o}
	return nil
}

// Source says where the value of a secret comes from. Exactly one member is set.
type Source struct {
	Text      flowehr.Text  `json:"text,omitempty"`     // of the definition; its secrets are looked up when it is used
	Value     *Value        `json:"value,omitempty"`    // not secret in itself, such as a client id
	Vault     *VaultRef     `json:"vault,omitempty"`    // another secret
	Password  *AppPassword  `json:"password,omitempty"` // made once, for an application
	Generated *Generated    `json:"generated,omitempty"`
	Registry  *RegistryPass `json:"registry,omitempty"`
	Telemetry string        `json:"telemetry,omitempty"` // connection string of the Application Insights component of an id
}

// VaultRef names a secret in a vault.
type VaultRef struct {
	Vault string `json:"vault"` // name of the vault
	Name  string `json:"name"`
}

// AppPassword is a client secret, made when the vault does not have it and when it is rotated. It is shown once.
type AppPassword struct {
	Application Value `json:"application"` // object id of the application
	Days        int   `json:"days"`        // until it expires
}

// Generated is a random password.
type Generated struct {
	Length int `json:"length"`
}

// RegistryPass is a password of a registry's token.
type RegistryPass struct {
	Registry string `json:"registry"` // resource id
	Token    string `json:"token"`
	Days     int    `json:"days"`
}
