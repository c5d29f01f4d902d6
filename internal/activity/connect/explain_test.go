package connect

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
)

// No SQL Server runs in these tests: what it says is taken from its list of errors.
func TestExplainSQLServer(t *testing.T) {
	c := Config{Name: "epr", Kind: flowehr.SourceSQLServer, Host: "sql.trust.nhs.uk", Database: "EPR", Username: "reader", Password: flowehr.NewSecret("pass-word-1")}
	tests := []struct {
		err    error
		reason Reason
		says   string
	}{
		{mssql.Error{Number: 18456, Message: "Login failed for user 'reader'."}, Login, `user "reader" was refused`},
		{mssql.Error{Number: 4060, Message: "Cannot open database"}, UnknownDatabase, `no database "EPR" on sql.trust.nhs.uk:1433`},
		{mssql.Error{Number: 208, Message: "Invalid object name 'x'."}, UnknownTable, "Invalid object name 'x'"},
		{mssql.Error{Number: 229, Message: "The SELECT permission was denied"}, Refused, "may not read"},
		{mssql.Error{Number: 102, Message: "Incorrect syntax near 'selec'."}, Other, "Incorrect syntax"},
		{mssql.Error{Number: 596, Message: "Cannot continue the execution because the session is in the kill state."}, Lost, "lost"},
		{fmt.Errorf("unable to open tcp connection: %w", &net.DNSError{Name: "sql.trust.nhs.uk", IsNotFound: true}), UnknownHost, "not known"},
		{fmt.Errorf("login error: %w", io.EOF), Lost, "lost"},
		{fmt.Errorf("TLS Handshake failed: %w", x509.UnknownAuthorityError{}), Encryption, "authority"},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "other"}}, Encryption, "not for host"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, Encryption, "does not speak TLS"},
		{errors.New("parsing sqlserver://reader:pass-word-1@host"), Other, "••••"},
	}
	for _, tt := range tests {
		t.Run(tt.err.Error(), func(t *testing.T) {
			e, ok := errors.AsType[*Error](explain(c, tt.err))
			if !ok || e.Reason != tt.reason || !strings.Contains(e.Message, tt.says) || strings.Contains(e.Message, "pass-word-1") {
				t.Errorf("got %+v, want %s saying %q", e, tt.reason, tt.says)
			}
		})
	}
}

func TestSQLServerThatIsNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	c := Config{Name: "epr", Kind: flowehr.SourceSQLServer, Host: "127.0.0.1", Port: port, Database: "EPR", Username: "re@der:/", Password: flowehr.NewSecret("p@ss:/?#%")}
	_, err = Test(t.Context(), c)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Reason != Unreachable || !strings.Contains(e.Message, "refuses connections") || strings.Contains(err.Error(), "p@ss") {
		t.Errorf("got %v", err)
	}
}

func TestQuoteCanBeReadBack(t *testing.T) {
	marks := map[flowehr.SourceKind][2]string{flowehr.SourcePostgreSQL: {`"`, `"`}, flowehr.SourceMySQL: {"`", "`"}, flowehr.SourceSQLServer: {"[", "]"}}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching("[\\x01-\\x7f\"`\\[\\]é]{1,12}").Draw(t, "name")
		for kind, m := range marks {
			got, err := Quote(kind, name)
			if err != nil {
				t.Fatal(err)
			}
			inner := strings.TrimSuffix(strings.TrimPrefix(got, m[0]), m[1])
			if strings.ReplaceAll(inner, m[1]+m[1], m[1]) != name || strings.Contains(strings.ReplaceAll(inner, m[1]+m[1], ""), m[1]) {
				t.Fatalf("%s: %q is quoted as %s", kind, name, got)
			}
		}
	})
	for _, parts := range [][]string{{}, {""}, {"a\x00b"}} {
		if got, err := Quote(flowehr.SourcePostgreSQL, parts...); err == nil {
			t.Errorf("%q was quoted as %s", parts, got)
		}
	}
}

// wire writes a number as the server does: base 10,000, least significant group last.
func wire(unscaled *big.Int, scale int) []byte {
	digits := new(big.Int).Abs(unscaled).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	whole, fraction := digits[:len(digits)-scale], digits[len(digits)-scale:]
	whole = strings.Repeat("0", (4-len(whole)%4)%4) + whole
	fraction += strings.Repeat("0", (4-len(fraction)%4)%4)
	groups := whole + fraction
	weight := len(whole)/4 - 1
	for len(groups) >= 4 && groups[:4] == "0000" {
		groups, weight = groups[4:], weight-1
	}
	for strings.HasSuffix(groups, "0000") {
		groups = groups[:len(groups)-4]
	}
	var sign uint16
	if unscaled.Sign() < 0 {
		sign = 0x4000
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(groups)/4))
	b = binary.BigEndian.AppendUint16(b, uint16(int16(weight)))
	b = binary.BigEndian.AppendUint16(b, sign)
	b = binary.BigEndian.AppendUint16(b, uint16(scale))
	for i := 0; i < len(groups); i += 4 {
		var g uint16
		fmt.Sscanf(groups[i:i+4], "%d", &g)
		b = binary.BigEndian.AppendUint16(b, g)
	}
	return b
}

func TestNumericIsReadExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := new(big.Int)
		n.SetString(rapid.StringMatching(`-?[0-9]{1,30}`).Draw(t, "unscaled"), 10)
		scale := rapid.IntRange(0, 18).Draw(t, "scale")
		got, why := numericText(wire(n, scale), 30, 18)
		if why != "" {
			t.Fatal(why)
		}
		back, ok := new(big.Rat).SetString(got.(string))
		want := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		if !ok || back.Cmp(want) != 0 {
			t.Fatalf("got %v, want %s", got, want.FloatString(scale))
		}
	})
}

func FuzzNumeric(f *testing.F) {
	f.Add(wire(big.NewInt(-1234567), 3))
	f.Add([]byte{0, 9, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, why := numericText(b, 20, 18)
		if why != "" {
			return
		}
		if _, ok := new(big.Rat).SetString(v.(string)); !ok {
			t.Errorf("%x is read as %q, which is no number", b, v)
		}
	})
}
