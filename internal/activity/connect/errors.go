package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	mssql "github.com/microsoft/go-mssqldb"
)

// Reason classes what went wrong, for callers that branch.
type Reason string

// Reasons.
const (
	UnknownHost     Reason = "unknown-host"
	Unreachable     Reason = "unreachable"
	Login           Reason = "login"
	UnknownDatabase Reason = "unknown-database"
	UnknownTable    Reason = "unknown-table"
	Encryption      Reason = "encryption"
	Lost            Reason = "lost"    // the connection ended while in use
	Refused         Reason = "refused" // the server or this package does not allow it
	Other           Reason = "other"
)

// Error is a problem with a source in a user's words. It never holds a password.
type Error struct {
	Reason  Reason
	Message string
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what the driver said.
func (e *Error) Unwrap() error { return e.cause }

// ValueError is a value that its column's Delta type cannot hold, such as an infinite date. Only the column and the
// reason are named, because the value may be a patient's.
type ValueError struct {
	Column string
	Why    string
}

// Error names column and reason.
func (e *ValueError) Error() string { return fmt.Sprintf("column %q: %s", e.Column, e.Why) }

// explain turns what a driver says into an *Error. An ended context stays recognisable.
func explain(c Config, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*ValueError](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	reason, text := classify(c, err)
	return &Error{Reason: reason, Message: fmt.Sprintf("data source %q: %s", c.Name, scrub(c, text)), cause: err}
}

func classify(c Config, err error) (Reason, string) {
	if reason, text := classifyServer(c, err); text != "" {
		return reason, text
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
			return Unreachable, fmt.Sprintf("looking up host %q took too long", c.Host)
		}
		return UnknownHost, fmt.Sprintf("host %q is not known", c.Host)
	}
	if text := classifyTLS(c, err); text != "" {
		return Encryption, text
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unreachable, fmt.Sprintf("%s refuses connections; is the server running, and the port right?", c.address())
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable, fmt.Sprintf("there is no route to %s", c.address())
	case errors.Is(err, os.ErrNotExist):
		return Unreachable, fmt.Sprintf("there is no socket at %s; is the server running?", c.address())
	case errors.Is(err, os.ErrPermission):
		return Unreachable, fmt.Sprintf("this user may not open %s", c.address())
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return Unreachable, fmt.Sprintf("%s does not answer", c.address())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, mysql.ErrInvalidConn):
		return Lost, "the connection was lost"
	}
	return Other, err.Error()
}

// classifyServer reads the error numbers of the three servers. The text is empty when err did not come from one.
func classifyServer(c Config, err error) (Reason, string) {
	code, said := serverCode(err)
	switch code {
	case "":
		return "", ""
	case "28P01", "28000", "1045", "1698", "18456":
		if strings.Contains(said, "no pg_hba.conf entry") {
			return Login, fmt.Sprintf("the server has no rule that lets user %q in from here to database %q", c.Username, c.Database)
		}
		return Login, fmt.Sprintf("user %q was refused: the user name or the password is wrong", c.Username)
	case "3D000", "1049":
		return UnknownDatabase, fmt.Sprintf("there is no database %q on %s", c.Database, c.address())
	case "4060", "1044":
		return UnknownDatabase, fmt.Sprintf("there is no database %q on %s, or user %q may not use it", c.Database, c.address(), c.Username)
	case "42P01", "1146", "208":
		return UnknownTable, "a table or view does not exist: " + said
	case "42501", "1142", "229":
		return Refused, fmt.Sprintf("user %q may not read this: %s", c.Username, said)
	case "25006", "1792":
		return Refused, "a data source is only read, and this statement writes: " + said
	case "57P01", "57P02", "57P03", "1053", "1927", "1317", "6005", "596":
		return Lost, "the connection was lost: " + said
	case "53300", "1040", "1203":
		return Unreachable, "the server takes no more connections: " + said
	}
	return Other, said
}

func serverCode(err error) (code, said string) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		said = e.Message
		if e.Hint != "" {
			said += " (" + e.Hint + ")"
		}
		return e.Code, said
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return fmt.Sprint(e.Number), e.Message
	}
	if e, ok := errors.AsType[mssql.Error](err); ok {
		return fmt.Sprint(e.Number), e.Message
	}
	return "", ""
}

func classifyTLS(c Config, err error) string {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = e.Err
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the server's certificate is not for host %q", c.Host)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is signed by an authority that this machine does not trust; add it, or set tls: require to encrypt without proof"
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "the server's certificate is not valid: " + err.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS on this port"
	}
	text := err.Error()
	if errors.Is(err, mysql.ErrNoTLS) || strings.Contains(text, "server refused TLS connection") {
		return "the server offers no encryption; turn it on there, or set tls: disable if the network is trusted"
	}
	if strings.Contains(text, "tls: ") || strings.Contains(text, "TLS Handshake failed") {
		return "no encrypted connection could be made: " + text
	}
	return ""
}

// scrub takes the password out of a text that a driver or server wrote. Short ones are left: replacing them would
// garble the text and tell more than it hides.
func scrub(c Config, text string) string {
	if p := c.Password.Reveal(); len(p) >= 4 {
		text = strings.ReplaceAll(text, p, "••••")
	}
	return text
}

func (c Config) address() string {
	if strings.HasPrefix(c.Host, "/") {
		return fmt.Sprintf("%s/.s.PGSQL.%d", strings.TrimSuffix(c.Host, "/"), c.port())
	}
	return net.JoinHostPort(c.Host, fmt.Sprint(c.port()))
}
