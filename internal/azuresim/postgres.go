package azuresim

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
)

// PostgreSQL flexible servers stand as resources of Azure Resource Manager, and nothing of their databases is simulated. Clients
// that connect are told so in their own protocol (postgresql.org/docs/current/protocol-flow.html), rather than that the server
// was unreachable, which they would try again.

// sslRequest is what a client of PostgreSQL sends before TLS.
var sslRequest = []byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}

// postgresRefusal is what every client is told.
const postgresRefusal = "SIMULATED: the databases of PostgreSQL servers are not simulated, only the servers. Deploy to Azure to try them, or use feature_store.engine: mssql"

// greeted is a connection of which some bytes were read to see what the client speaks.
type greeted struct {
	net.Conn
	first *bytes.Reader
}

func (g *greeted) Read(p []byte) (int, error) {
	if g.first.Len() > 0 {
		return g.first.Read(p)
	}
	return g.Conn.Read(p)
}

// hail reads the beginning of a connection. A client of PostgreSQL is asked to go on with TLS; to others nothing was said.
func hail(c net.Conn) (net.Conn, error) {
	first := make([]byte, 1, len(sslRequest))
	if _, err := io.ReadFull(c, first); err != nil {
		return c, err
	}
	if first[0] != sslRequest[0] { // a handshake of TLS begins with 22
		return &greeted{c, bytes.NewReader(first)}, nil
	}
	first = first[:len(sslRequest)]
	if _, err := io.ReadFull(c, first[1:]); err != nil {
		return c, err
	}
	if bytes.Equal(first, sslRequest) {
		_, err := c.Write([]byte{'S'})
		return c, err
	}
	return &greeted{c, bytes.NewReader(first)}, nil
}

// refusePostgres reads the message that begins a session and answers it with an error.
func refusePostgres(_ context.Context, _ string, c net.Conn) {
	const most = 10_000 // bytes, as the server itself allows
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	n := int64(binary.BigEndian.Uint32(size[:])) - int64(len(size))
	if n < 0 || n > most {
		return
	}
	if _, err := io.CopyN(io.Discard, c, n); err != nil {
		return
	}
	_, _ = c.Write(postgresError("0A000", postgresRefusal)) // a client that left needs no answer
}

// postgresError is the message that ends a session: severity, code and text, each behind its letter and before a zero.
func postgresError(code, text string) []byte {
	var fields []byte
	for _, f := range []string{"SFATAL", "VFATAL", "C" + code, "M" + text} {
		fields = append(append(fields, f...), 0)
	}
	fields = append(fields, 0)
	return append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(fields)+4)), fields...)
}
