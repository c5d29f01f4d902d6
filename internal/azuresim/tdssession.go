package azuresim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
)

// Tokens of an answer ([MS-TDS] 2.2.7).
const (
	tokenColumns      = 0x81
	tokenError        = 0xaa
	tokenInfo         = 0xab
	tokenReturnStatus = 0x79
	tokenLoginAck     = 0xad
	tokenFeatureAck   = 0xae
	tokenRow          = 0xd1
	tokenEnvChange    = 0xe3
	tokenFedAuthInfo  = 0xee
	tokenDone         = 0xfd
	tokenDoneProc     = 0xfe
	tokenDoneInProc   = 0xff
)

const (
	doneMore      = 1
	doneError     = 2
	doneCount     = 0x10
	doneAttention = 0x20
)

// sqlError is an error as the server words and numbers it.
type sqlError struct {
	Number int32
	Class  byte
	State  byte
	Text   string
}

// Error tells the number and the text.
func (e *sqlError) Error() string { return fmt.Sprintf("%s (%d)", e.Text, e.Number) }

func sqlFail(number int32, class byte, format string, args ...any) *sqlError {
	return &sqlError{Number: number, Class: class, State: 1, Text: fmt.Sprintf(format, args...)}
}

// sqlColumn is a column of a result or of a table.
type sqlColumn struct {
	Name     string  `json:"name"`
	Type     sqlType `json:"type"`
	Nullable bool    `json:"nullable,omitempty"`
	Key      bool    `json:"key,omitempty"`
}

// sqlResult is what one statement gives: rows, or how many it touched, or an error.
type sqlResult struct {
	columns []sqlColumn // nil when the statement has no rows
	rows    [][]any
	count   int // touched rows; negative when the statement does not count
	err     *sqlError
}

// sqlEngine signs in and runs statements. One connection is one engine session.
type sqlEngine interface {
	// signIn checks who wants in and opens the database.
	signIn(l tdsLogin) (sqlSession, *sqlError)
}

// sqlSession runs statements as somebody in a database.
type sqlSession interface {
	// database is the name of the database that is open.
	database() string
	// run executes a batch. It stops at the first error that ends a batch.
	run(text string, params []tdsParameter) []sqlResult
}

// serveTDS speaks to one client until it leaves. The connection is encrypted already.
func serveTDS(conn net.Conn, server, authority string, engine sqlEngine) error {
	defer conn.Close()
	c := &tdsConn{rw: conn, size: 4096}
	session, err := tdsSignIn(c, server, authority, engine)
	if err != nil || session == nil {
		return err
	}
	for {
		kind, message, err := c.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.write(tdsAnswer(kind, message, server, session)); err != nil {
			return err
		}
	}
}

// tdsSignIn does the prelogin and the login. The session is nil when the client was refused, which it has been told.
func tdsSignIn(c *tdsConn, server, authority string, engine sqlEngine) (sqlSession, error) {
	kind, message, err := c.read()
	if err != nil {
		return nil, err
	}
	if kind != packetPrelogin {
		return nil, fmt.Errorf("%w: a client must begin with a prelogin", errBadTDS)
	}
	asked, err := parsePrelogin(message)
	if err != nil {
		return nil, err
	}
	if err := c.write(preloginAnswer(asked)); err != nil {
		return nil, err
	}
	if kind, message, err = c.read(); err != nil {
		return nil, err
	}
	if kind != packetLogin {
		return nil, fmt.Errorf("%w: a login was expected", errBadTDS)
	}
	login, err := parseLogin(message)
	if err != nil {
		return nil, err
	}
	if login.library == fedAuthADAL {
		if err := c.write(fedAuthInfo(authority)); err != nil {
			return nil, err
		}
		if kind, message, err = c.read(); err != nil {
			return nil, err
		}
		if kind != packetFedAuth {
			return nil, fmt.Errorf("%w: a token was expected", errBadTDS)
		}
		if login.token, err = parseFedAuth(message); err != nil {
			return nil, err
		}
	}
	session, refused := engine.signIn(login)
	if refused != nil {
		return nil, c.write(appendDone(appendError(nil, refused, server), tokenDone, doneError, 0))
	}
	if login.packet >= 512 && login.packet <= 32767 {
		c.size = login.packet
	}
	return session, c.write(loginAnswer(login, session.database(), c.size))
}

// fedAuthInfo asks for a token: where to get it and for which service.
func fedAuthInfo(authority string) []byte {
	url, spn := toUTF16(authority), toUTF16("https://database.windows.net/")
	const head = 4 + 2*9
	body := binary.LittleEndian.AppendUint32(nil, 2)
	body = binary.LittleEndian.AppendUint32(append(body, 1), uint32(len(url)))
	body = binary.LittleEndian.AppendUint32(body, head)
	body = binary.LittleEndian.AppendUint32(append(body, 2), uint32(len(spn)))
	body = binary.LittleEndian.AppendUint32(body, uint32(head+len(url)))
	body = append(append(body, url...), spn...)
	return append(binary.LittleEndian.AppendUint32([]byte{tokenFedAuthInfo}, uint32(len(body))), body...)
}

func loginAnswer(l tdsLogin, database string, size int) []byte {
	b := appendEnvChange(nil, 1, database, "master")
	b = appendMessage(b, tokenInfo, &sqlError{Number: 5701, State: 2, Text: "Changed database context to '" + database + "'."}, l.server)
	b = appendEnvChange(b, 4, fmt.Sprint(size), "4096")
	program := toUTF16("Microsoft SQL Server")
	ack := binary.BigEndian.AppendUint32([]byte{1}, l.version)
	ack = append(append(ack, byte(len(program)/2)), program...)
	ack = append(ack, 12, 0, 0x13, 0x88)
	b = append(binary.LittleEndian.AppendUint16(append(b, tokenLoginAck), uint16(len(ack))), ack...)
	b = append(b, tokenFeatureAck, 2, 0, 0, 0, 0, 0xff)
	return appendDone(b, tokenDone, 0, 0)
}

// tdsAnswer runs what a message asks for.
func tdsAnswer(kind byte, message []byte, server string, session sqlSession) []byte {
	switch kind {
	case packetAttention:
		return appendDone(nil, tokenDone, doneAttention, 0)
	case packetBatch:
		text, err := parseBatch(message)
		if err != nil {
			return tdsRefusal(server, err)
		}
		return appendResults(nil, session.run(text, nil), server, tokenDone)
	case packetRPC:
		name, params, err := parseCall(message)
		if err != nil {
			return tdsRefusal(server, err)
		}
		if name != "sp_executesql" || len(params) == 0 {
			return tdsRefusal(server, fmt.Errorf("the call of %s is not simulated", name))
		}
		text, ok := params[0].value.(string)
		if !ok {
			return tdsRefusal(server, errBadTDS)
		}
		b := appendResults(nil, session.run(text, params[min(2, len(params)):]), server, tokenDoneInProc)
		b = binary.LittleEndian.AppendUint32(append(b, tokenReturnStatus), 0)
		return appendDone(b, tokenDoneProc, 0, 0)
	case packetTransaction:
		return tdsRefusal(server, errors.New("transactions are not simulated"))
	}
	return tdsRefusal(server, fmt.Errorf("TDS messages of kind %d are not simulated", kind))
}

// tdsRefusal says that the simulation does not do something: never silently.
func tdsRefusal(server string, err error) []byte {
	e := sqlFail(40517, 16, "The simulated SQL server does not do this: %v.", err)
	return appendDone(appendError(nil, e, server), tokenDone, doneError, 0)
}

func appendResults(b []byte, results []sqlResult, server string, done byte) []byte {
	if len(results) == 0 {
		results = []sqlResult{{count: -1}}
	}
	for i, r := range results {
		var status uint16
		if i < len(results)-1 || done == tokenDoneInProc {
			status |= doneMore
		}
		if r.err != nil {
			b = appendError(b, r.err, server)
			b = appendDone(b, done, status|doneError, 0)
			continue
		}
		if r.columns != nil {
			b = appendRows(b, r)
			r.count = len(r.rows)
		}
		if r.count >= 0 {
			status |= doneCount
		}
		b = appendDone(b, done, status, max(r.count, 0))
	}
	return b
}

func appendRows(b []byte, r sqlResult) []byte {
	b = binary.LittleEndian.AppendUint16(append(b, tokenColumns), uint16(len(r.columns)))
	for _, c := range r.columns {
		b = append(b, 0, 0, 0, 0) // user type
		b = binary.LittleEndian.AppendUint16(b, uint16(btoi(c.Nullable))|8)
		b = c.Type.appendType(b)
		b = appendName(b, c.Name)
	}
	for _, row := range r.rows {
		b = append(b, tokenRow)
		for i, v := range row {
			b = r.columns[i].Type.appendValue(b, v)
		}
	}
	return b
}

func appendError(b []byte, e *sqlError, server string) []byte {
	return appendMessage(b, tokenError, e, server)
}

func appendMessage(b []byte, token byte, e *sqlError, server string) []byte {
	text := toUTF16(e.Text)
	body := binary.LittleEndian.AppendUint32(nil, uint32(e.Number))
	body = append(body, e.State, e.Class)
	body = append(binary.LittleEndian.AppendUint16(body, uint16(len(text)/2)), text...)
	body = appendName(appendName(body, server), "")
	body = binary.LittleEndian.AppendUint32(body, 1) // line
	return append(binary.LittleEndian.AppendUint16(append(b, token), uint16(len(body))), body...)
}

func appendEnvChange(b []byte, kind byte, now, before string) []byte {
	body := appendName(appendName([]byte{kind}, now), before)
	return append(binary.LittleEndian.AppendUint16(append(b, tokenEnvChange), uint16(len(body))), body...)
}

// appendName writes a text whose length in characters stands in one byte.
func appendName(b []byte, s string) []byte {
	text := toUTF16(s)
	text = text[:min(len(text), 2*math.MaxUint8)]
	return append(append(b, byte(len(text)/2)), text...)
}

func appendDone(b []byte, token byte, status uint16, count int) []byte {
	b = binary.LittleEndian.AppendUint16(append(b, token), status)
	b = append(b, 0, 0) // current command
	return binary.LittleEndian.AppendUint64(b, uint64(count))
}
