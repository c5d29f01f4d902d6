package azuresim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
)

// The wire of SQL Server: packets, the messages of a sign-in and the tokens of an answer, as far as a driver with strict
// encryption needs them ([MS-TDS] sections 2.2.1 to 2.2.7; TDS 8.0 begins with TLS, so there is no handshake in packets).

// Kinds of packets.
const (
	packetBatch       = 1
	packetRPC         = 3
	packetReply       = 4
	packetAttention   = 6
	packetFedAuth     = 8
	packetTransaction = 14
	packetLogin       = 16
	packetPrelogin    = 18
)

// Limits: a packet is at most 32 KiB long by its own field; a message is bounded so that a broken client cannot fill memory.
const (
	packetHeader = 8
	maxMessage   = 4 << 20
)

var errBadTDS = errors.New("malformed TDS message")

// tdsConn reads and writes whole messages.
type tdsConn struct {
	rw   io.ReadWriter
	size int // of packets that are written
}

// read returns the next message and its kind.
func (c *tdsConn) read() (kind byte, message []byte, err error) {
	for {
		var head [packetHeader]byte
		if _, err := io.ReadFull(c.rw, head[:]); err != nil {
			return 0, nil, err
		}
		n := int(binary.BigEndian.Uint16(head[2:])) - packetHeader
		if n < 0 || len(message)+n > maxMessage {
			return 0, nil, errBadTDS
		}
		if kind != 0 && kind != head[0] {
			return 0, nil, errBadTDS
		}
		kind = head[0]
		at := len(message)
		message = append(message, make([]byte, n)...)
		if _, err := io.ReadFull(c.rw, message[at:]); err != nil {
			return 0, nil, err
		}
		if head[1]&1 != 0 { // last packet of the message
			return kind, message, nil
		}
	}
}

// write sends a message in as many packets as it needs.
func (c *tdsConn) write(message []byte) error {
	room := c.size - packetHeader
	for number := byte(1); ; number++ {
		part := message[:min(room, len(message))]
		message = message[len(part):]
		packet := make([]byte, packetHeader, packetHeader+len(part))
		packet[0], packet[6] = packetReply, number
		if len(message) == 0 {
			packet[1] = 1
		}
		binary.BigEndian.PutUint16(packet[2:], uint16(packetHeader+len(part)))
		if _, err := c.rw.Write(append(packet, part...)); err != nil {
			return err
		}
		if len(message) == 0 {
			return nil
		}
	}
}

// tdsReader takes a message apart. The first thing that does not fit spoils it, which err tells at the end.
type tdsReader struct {
	b   []byte
	err error
}

func (r *tdsReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.err, r.b = errBadTDS, nil
		return make([]byte, min(max(n, 0), 16))
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *tdsReader) byte() byte     { return r.take(1)[0] }
func (r *tdsReader) uint16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *tdsReader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *tdsReader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// text reads n bytes of UTF-16.
func (r *tdsReader) text(n int) string { return fromUTF16(r.take(n)) }

// skipHeaders passes over what precedes a batch or a call (transaction descriptor and such).
func (r *tdsReader) skipHeaders() {
	if n := int(r.uint32()); n >= 4 {
		r.take(n - 4)
		return
	}
	r.err = errBadTDS
}

func fromUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

func toUTF16(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// Options of a prelogin message.
const (
	preloginVersion    = 0
	preloginEncryption = 1
	preloginFedAuth    = 6
	preloginEnd        = 0xff
)

// parsePrelogin returns the options by number.
func parsePrelogin(m []byte) (map[byte][]byte, error) {
	options := map[byte][]byte{}
	for at := 0; ; at += 5 {
		if at >= len(m) {
			return nil, errBadTDS
		}
		if m[at] == preloginEnd {
			return options, nil
		}
		if at+5 > len(m) {
			return nil, errBadTDS
		}
		from, n := int(binary.BigEndian.Uint16(m[at+1:])), int(binary.BigEndian.Uint16(m[at+3:]))
		if from+n > len(m) {
			return nil, errBadTDS
		}
		options[m[at]] = m[from : from+n]
	}
}

// preloginAnswer offers strict encryption, and sign-in by token when the client asked for it.
func preloginAnswer(asked map[byte][]byte) []byte {
	type option struct {
		number byte
		value  []byte
	}
	options := []option{{preloginVersion, []byte{12, 0, 0x13, 0x88, 0, 0}}, {preloginEncryption, []byte{4}}}
	if _, ok := asked[preloginFedAuth]; ok {
		options = append(options, option{preloginFedAuth, []byte{1}})
	}
	var head, values []byte
	start := 5*len(options) + 1
	for _, o := range options {
		head = append(head, o.number)
		head = binary.BigEndian.AppendUint16(head, uint16(start+len(values)))
		head = binary.BigEndian.AppendUint16(head, uint16(len(o.value)))
		values = append(values, o.value...)
	}
	return append(append(head, preloginEnd), values...)
}

// Ways in which a token arrives: with the login, or asked for after it.
const (
	fedAuthToken = 1
	fedAuthADAL  = 2
)

// tdsLogin is what a client says when it signs in.
type tdsLogin struct {
	version  uint32
	packet   int
	app      string
	server   string
	database string
	user     string // of SQL authentication, which the server refuses
	library  byte   // one of the ways above; 0 when there is no federated sign-in
	token    string
}

// parseLogin reads a LOGIN7 message ([MS-TDS] 2.2.6.4).
func parseLogin(m []byte) (tdsLogin, error) {
	const fixed = 94
	if len(m) < fixed {
		return tdsLogin{}, errBadTDS
	}
	var bad error
	field := func(at int) string {
		from, n := int(binary.LittleEndian.Uint16(m[at:])), 2*int(binary.LittleEndian.Uint16(m[at+2:]))
		if from+n > len(m) {
			bad = errBadTDS
			return ""
		}
		return fromUTF16(m[from : from+n])
	}
	l := tdsLogin{version: binary.LittleEndian.Uint32(m[4:]), packet: int(binary.LittleEndian.Uint32(m[8:])),
		user: field(40), app: field(48), server: field(52), database: field(68)}
	if bad != nil {
		return l, bad
	}
	if m[27]&0x10 == 0 { // no extension
		return l, nil
	}
	at := int(binary.LittleEndian.Uint16(m[56:]))
	if at+4 > len(m) {
		return l, errBadTDS
	}
	features := int(binary.LittleEndian.Uint32(m[at:]))
	if features < 0 || features > len(m) {
		return l, errBadTDS
	}
	r := &tdsReader{b: m[features:]}
	for r.err == nil {
		id := r.byte()
		if r.err != nil || id == 0xff {
			break
		}
		data := r.take(int(r.uint32()))
		if id == 2 && len(data) > 0 && r.err == nil {
			l.library = data[0] >> 1
			if l.library == fedAuthToken {
				t := &tdsReader{b: data[1:]}
				l.token = t.text(int(t.uint32()))
				r.err = errors.Join(r.err, t.err)
			}
		}
	}
	return l, r.err
}

// parseFedAuth reads the token that a client sends when it was asked for one.
func parseFedAuth(m []byte) (string, error) {
	r := &tdsReader{b: m}
	r.uint32()
	token := r.text(int(r.uint32()))
	return token, r.err
}

// parseBatch returns the text of a batch.
func parseBatch(m []byte) (string, error) {
	r := &tdsReader{b: m}
	r.skipHeaders()
	return r.text(len(r.b) &^ 1), r.err
}

// tdsParameter is a parameter of a call.
type tdsParameter struct {
	name  string // with its @
	value any
}

// procedures that are called by number.
var procedures = map[uint16]string{10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 15: "sp_unprepare"}

// parseCall reads a remote procedure call: its name and its parameters.
func parseCall(m []byte) (string, []tdsParameter, error) {
	r := &tdsReader{b: m}
	r.skipHeaders()
	var name string
	if n := r.uint16(); n == 0xffff {
		number := r.uint16()
		if name = procedures[number]; name == "" {
			name = fmt.Sprintf("procedure %d", number)
		}
	} else {
		name = r.text(2 * int(n))
	}
	r.uint16() // flags
	var params []tdsParameter
	for r.err == nil && len(r.b) > 0 {
		p := tdsParameter{name: r.text(2 * int(r.byte()))}
		r.byte() // by reference or by value
		var err error
		if p.value, err = r.value(); err != nil {
			return name, params, err
		}
		params = append(params, p)
	}
	return name, params, r.err
}
