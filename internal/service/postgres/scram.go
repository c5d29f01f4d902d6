package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/flowehr/flowehr"
)

// scramVerifier is what PostgreSQL stores for a password (RFC 5803 in its own spelling). Whoever has it cannot sign in.
func scramVerifier(password flowehr.Secret) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	return scramVerifierWith(password.Reveal(), salt)
}

// ErrPassword is returned for a password that a role cannot have.
var ErrPassword = errors.New("password of a role has to be printable ASCII, and not empty")

// checkPassword refuses what clients and the server prepare in different ways before they hash it: of two correct
// clients, one could sign in and the other not.
func checkPassword(password flowehr.Secret) error {
	for _, b := range []byte(password.Reveal()) {
		if b < ' ' || b > '~' {
			return ErrPassword
		}
	}
	if password.Reveal() == "" {
		return ErrPassword
	}
	return nil
}

func scramVerifierWith(password string, salt []byte) (string, error) {
	const iterations = 4096 // as the server does; clients pay it on every connection
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", errors.New("password cannot be prepared for the server")
	}
	clientKey := sum(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(sum(salted, "Server Key"))), nil
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
