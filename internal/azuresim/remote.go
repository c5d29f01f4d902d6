package azuresim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// controlHost is where the simulation itself is asked. Names under .invalid never exist (RFC 2606).
const controlHost = "control.azuresim.invalid"

// Remote is a simulation as its clients see it, in this process or another.
type Remote struct {
	// Transport reaches the simulation whatever host is asked for, and trusts its certificates only.
	Transport *http.Transport

	address string
	pool    *x509.CertPool
}

// Connect returns the simulation that listens at an address. It makes no connection yet.
func Connect(address string, ca []byte) (*Remote, error) {
	r := &Remote{address: address, pool: x509.NewCertPool()}
	if !r.pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the certificate of the simulation at %s is not PEM", address)
	}
	r.Transport = &http.Transport{
		DialContext:         func(ctx context.Context, network, _ string) (net.Conn, error) { return r.dial(ctx, network) },
		TLSClientConfig:     &tls.Config{RootCAs: r.pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
	}
	return r, nil
}

func (r *Remote) dial(ctx context.Context, network string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, r.address)
}

// Dial reaches the simulation whatever address is asked for, before TLS: for clients that bring their own.
func (r *Remote) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return r.dial(ctx, network)
}

// TLS is a configuration that trusts the simulation only.
func (r *Remote) TLS() *tls.Config {
	return &tls.Config{RootCAs: r.pool, MinVersion: tls.VersionTLS12}
}

// Do sends a request; with it a Remote is a transport of the Azure SDK.
func (r *Remote) Do(req *http.Request) (*http.Response, error) { return r.Transport.RoundTrip(req) }

// Now is the virtual time.
func (r *Remote) Now(ctx context.Context) (time.Time, error) {
	var out struct {
		Now time.Time `json:"now"`
	}
	err := r.control(ctx, http.MethodGet, "/now", nil, &out)
	return out.Now, err
}

// Wait lets virtual time pass.
func (r *Remote) Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	return r.control(ctx, http.MethodPost, "/wait", map[string]any{"nanoseconds": d}, nil)
}

// SetFaults replaces what goes wrong on purpose.
func (r *Remote) SetFaults(ctx context.Context, f Faults) error {
	return r.control(ctx, http.MethodPost, "/faults", f, nil)
}

// SetConditions replaces what gets in the way of deployments.
func (r *Remote) SetConditions(ctx context.Context, c Conditions) error {
	return r.control(ctx, http.MethodPost, "/conditions", c, nil)
}

// Stand puts a resource into the world as if it had always been there, with the group that it is in: what the organisation has
// beside the environment, such as its own network. body is that of a PUT.
func (r *Remote) Stand(ctx context.Context, id string, body map[string]any) error {
	return r.control(ctx, http.MethodPost, "/stand", map[string]any{"id": id, "body": body}, nil)
}

// From says where all callers of the simulation are from now on: in the virtual network with an id, which need not stand, or with
// an empty one outside of all networks, as a laptop is. Private endpoints are reached from their own network and from those that
// are peered with it. Until it is said, callers count as being wherever a peering leads to.
func (r *Remote) From(ctx context.Context, network string) error {
	return r.control(ctx, http.MethodPost, "/origin", map[string]any{"network": network}, nil)
}

// StandMetastore puts a metastore of Unity Catalog into an account of Databricks as if it had always been there. Doing it again
// changes nothing.
func (r *Remote) StandMetastore(ctx context.Context, m Metastore) error {
	return r.control(ctx, http.MethodPost, "/metastores", m, nil)
}

// StandAccountGroup puts a group into an account of Databricks as if its administrators had made it. Doing it again changes nothing.
func (r *Remote) StandAccountGroup(ctx context.Context, account, name string) error {
	return r.control(ctx, http.MethodPost, "/account-groups", map[string]any{"account": account, "name": name}, nil)
}

// Summary tells what stands in the simulated world.
func (r *Remote) Summary(ctx context.Context) (Summary, error) {
	var out Summary
	err := r.control(ctx, http.MethodGet, "/summary", nil, &out)
	return out, err
}

// World returns all that the simulation keeps, as JSON. It holds the secrets that were put into it.
func (r *Remote) World(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := r.control(ctx, http.MethodGet, "/world", nil, &out)
	return out, err
}

func (r *Remote) control(ctx context.Context, method, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+controlHost+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	res, err := r.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("simulation at %s: %w", r.address, err)
	}
	defer res.Body.Close()
	data, err = io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("simulation at %s: %w", r.address, err)
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("simulation at %s answered %s %s with %d: %s", r.address, method, path, res.StatusCode, data)
	}
	if into == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, into)
}
