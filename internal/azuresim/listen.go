package azuresim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// authority makes certificates for the hosts that the simulation plays. Its key never leaves the process.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte

	mu   sync.Mutex
	made map[string]*tls.Certificate
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate("FlowEHR simulation of Azure")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{key: key, cert: cert, made: map[string]*tls.Certificate{},
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func certificate(name string) *x509.Certificate {
	now := time.Now() // clients check with their own clock, not the virtual one
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic("azuresim: no randomness: " + err.Error())
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0)}
}

// of returns the certificate of a host.
func (a *authority) of(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.made[host]; c != nil {
		return c, nil
	}
	template := certificate(host)
	template.DNSNames = []string{host}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.key}
	a.made[host] = c
	return c, nil
}

// config refuses names that the simulation does not play, as the name service would.
func (a *authority) config(s *Sim, protocols ...string) *tls.Config {
	base := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols}
	base.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if !s.known(hello.ServerName) {
			return nil, fmt.Errorf("the simulation does not play %q", hello.ServerName)
		}
		return a.of(hello.ServerName)
	}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, r := range s.conns {
			if matches(r.pattern, hello.ServerName) {
				own := base.Clone()
				own.NextProtos = []string{r.proto}
				return own, nil
			}
		}
		return nil, nil
	}
	return base
}

// accept takes connections, finds out by TLS whom they are for, and hands them on.
func (s *Sim) accept(ctx context.Context, l net.Listener, web *connListener) error {
	config := s.ca.config(s, "h2", "http/1.1")
	for {
		plain, err := l.Accept()
		if err != nil {
			return err
		}
		s.wg.Go(func() { s.greet(ctx, plain, config, web) })
	}
}

func (s *Sim) greet(ctx context.Context, plain net.Conn, config *tls.Config, web *connListener) {
	// A client that dials is about to ask for something: time stands still for it.
	s.do(func() {})
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	late := context.AfterFunc(limit, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	hailed, err := hail(plain)
	if !late() || err != nil {
		_ = plain.Close()
		return
	}
	c := tls.Server(hailed, config)
	if c.HandshakeContext(limit) != nil {
		_ = c.Close()
		return
	}
	name := c.ConnectionState().ServerName
	for _, r := range s.conns {
		if matches(r.pattern, name) {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			r.handle(ctx, name, c)
			_ = c.Close()
			return
		}
	}
	select {
	case web.conns <- c:
	case <-ctx.Done():
		_ = c.Close()
	}
}

// connListener hands connections that are already made to net/http.
type connListener struct {
	addr  net.Addr
	conns chan net.Conn
	done  <-chan struct{}
}

func (l *connListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *connListener) Close() error   { return nil }
func (l *connListener) Addr() net.Addr { return l.addr }
