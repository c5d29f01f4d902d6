// Package azuresim plays Azure on this machine: Entra, Azure Resource Manager, Microsoft Graph, Key Vault, Databricks, Data
// Factory, Azure SQL's front door, blobs and GitHub, well enough that the real clients of these services work against it
// over TLS. One listener plays every host. It is what `flowehr deploy --simulate` and the tests deploy to.
//
// It keeps what it is told and answers as the services are documented to, in virtual time: what takes an hour there takes
// seconds here. It runs no pipeline, stores no health data and proves nothing about Azure beyond what is written at each
// part; every response carries a header that says it is a simulation.
//
// The rule that holds here: nothing leaves the machine. Clients reach it by an address and trust only its own certificates,
// so a client that was set up for the simulation cannot reach a real service by mistake, nor a real client the simulation.
package azuresim

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Header is on every response.
const Header = "X-FlowEHR-Simulation"

// Options say what world a simulation begins with. The zero value is an empty subscription in memory.
type Options struct {
	Dir   string        // where the world is kept; empty means in memory
	Seed  uint64        // of identifiers and faults
	Start time.Time     // virtual time at the beginning of a new world; zero means now
	Quiet time.Duration // how long, really, nothing must come before virtual time jumps a little; 0 means 3 ms

	Tenant       string // empty ones are made from the seed
	Subscription string
	Identities   []Identity // who may sign in to a new world; none means [Deployer] alone

	Faults     Faults
	Conditions Conditions

	// NoStackWhatIf has stacks refuse to tell what they would change, as they do where that has not been rolled out.
	NoStackWhatIf bool
}

// Sim is a simulation. Its methods may be called by many goroutines.
type Sim struct {
	o  Options
	w  *world
	ca *authority

	hosts []hostRoute
	conns []connRoute
	saver *saver

	entra   *entra
	manager *manager
	faults  faultPlan // under the world's lock, as is the next

	requests int
	wg       sync.WaitGroup
}

type hostRoute struct {
	pattern   string // a host, or *.suffix
	audiences []string
	handle    handler
}

type connRoute struct {
	pattern string
	proto   string // of ALPN
	handle  func(ctx context.Context, host string, c net.Conn)
}

// New makes a simulation, with the world that Options.Dir holds if there is one.
func New(o Options) (*Sim, error) {
	o = o.complete()
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	s := &Sim{o: o, ca: ca, w: newWorld(o.Seed, o.Start, o.Quiet), faults: faultPlan{seed: o.Seed}}
	s.faults.reset(o.Faults)
	fresh := true
	if o.Dir != "" {
		if s.saver, fresh, err = openSaver(o.Dir, s.w); err != nil {
			return nil, err
		}
	}
	s.services()
	if fresh {
		s.w.Key = rand.Text()
		s.populate()
	}
	return s, nil
}

func (o Options) complete() Options {
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	o.Start = o.Start.UTC()
	if o.Quiet == 0 {
		o.Quiet = quietUsual
	}
	if o.Tenant == "" {
		o.Tenant = uuidOf(o.Seed, "tenant")
	}
	if o.Subscription == "" {
		o.Subscription = uuidOf(o.Seed, "subscription")
	}
	if o.Identities == nil {
		o.Identities = []Identity{Deployer()}
	}
	return o
}

// CA is the certificate that clients must trust, in PEM.
func (s *Sim) CA() []byte { return s.ca.pem }

// Tenant is the id of the directory.
func (s *Sim) Tenant() string { return s.o.Tenant }

// Subscription is the id of the subscription.
func (s *Sim) Subscription() string { return s.o.Subscription }

// host has a handler answer for a host or, written "*.suffix", for all hosts below it. When audiences are given, calls
// need a bearer token for one of them.
func (s *Sim) host(pattern string, h handler, audiences ...string) {
	s.hosts = append(s.hosts, hostRoute{pattern, audiences, h})
}

// conn has connections to a host, after TLS, served by other than HTTP.
func (s *Sim) conn(pattern, proto string, handle func(ctx context.Context, host string, c net.Conn)) {
	s.conns = append(s.conns, connRoute{pattern, proto, handle})
}

func matches(pattern, host string) bool {
	if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return pattern == host
}

// known reports whether the simulation plays a host.
func (s *Sim) known(host string) bool {
	for _, r := range s.hosts {
		if matches(r.pattern, host) {
			return true
		}
	}
	for _, r := range s.conns {
		if matches(r.pattern, host) {
			return true
		}
	}
	return false
}

// Serve answers on l until ctx ends, then closes it.
func (s *Sim) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inner := &connListener{addr: l.Addr(), conns: make(chan net.Conn), done: ctx.Done()}
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		TLSConfig:         s.ca.config(s, "h2", "http/1.1"),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections are part of the play
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close(); _ = server.Close() })
	defer stop()
	s.wg.Go(func() { _ = server.Serve(inner) }) // ends with the listener
	err := s.accept(ctx, l, inner)
	cancel()
	s.wg.Wait()
	if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close saves the world. Call it after Serve has ended.
func (s *Sim) Close() error {
	s.w.mu.Lock()
	s.w.clock.stop()
	s.w.mu.Unlock()
	if s.saver == nil {
		return nil
	}
	return s.saver.close()
}

// do runs f with the world locked and time standing still: for services that are not asked over HTTP.
func (s *Sim) do(f func()) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.clock.enter()
	defer s.w.clock.leave()
	f()
}

func (s *Sim) serveHTTP(rw http.ResponseWriter, r *http.Request) {
	s.w.mu.Lock()
	s.w.clock.enter()
	s.w.mu.Unlock()
	defer s.do(s.w.clock.leave)
	var body []byte
	var err error
	s.withClient(func() { body, err = io.ReadAll(io.LimitReader(r.Body, 64<<20)) })
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	c := &call{Method: r.Method, Host: host, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header, Body: body}
	a := s.answer(r.Context(), c)
	if s.saver != nil && s.saver.save() != nil {
		a = fail(http.StatusInternalServerError, "SimulationNotSaved", "The simulation cannot keep its world on this machine's disk.")
	}
	if a.dropped {
		panic(http.ErrAbortHandler) // net/http's way of breaking off
	}
	h := rw.Header()
	for name, values := range a.Header {
		h[name] = values
	}
	h.Set(Header, "true")
	s.withClient(func() {
		rw.WriteHeader(a.Status)
		_, _ = rw.Write(a.Body) // a client that left needs no answer
	})
}

// stalled is for how long, really, time stands still for a client that neither sends the rest of its request nor takes the
// rest of its answer.
const stalled = 500 * time.Millisecond

// withClient reads from or writes to a client whose request is in flight. Time stands still meanwhile, but not for one that was
// stopped or hangs: nobody else would get on.
func (s *Sim) withClient(f func()) {
	let := make(chan struct{})
	t := time.AfterFunc(stalled, func() {
		defer close(let)
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.w.clock.leave()
	})
	defer func() {
		if t.Stop() {
			return
		}
		<-let
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.w.clock.enter()
	}()
	f()
}

// answer finds who answers a call and asks until there is an answer.
func (s *Sim) answer(ctx context.Context, c *call) answer {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, r := range s.hosts {
		if !matches(r.pattern, c.Host) {
			continue
		}
		if refused := s.admit(c, r.audiences); refused != nil {
			return s.stamped(*refused)
		}
		return s.stamped(s.withFaults(ctx, c, r.handle))
	}
	return s.stamped(fail(http.StatusNotFound, "NotSimulated", "The simulation does not play %s.", c.Host))
}

func (s *Sim) ask(ctx context.Context, c *call, h handler) answer {
	for {
		a := h(c)
		if a.until.IsZero() {
			if c.Method != http.MethodGet && c.Host != controlHost {
				s.w.dirty()
			}
			return a
		}
		if !s.w.clock.hold(ctx, a.until) {
			return drop()
		}
		c.Again++
	}
}

func (s *Sim) stamped(a answer) answer {
	if a.Header == nil {
		a.Header = http.Header{}
	}
	s.requests++
	id := uuidOf(s.o.Seed, "request", strconv.Itoa(s.requests))
	a.Header.Set("x-ms-request-id", id)
	a.Header.Set("x-ms-correlation-request-id", id)
	a.Header.Set("Date", s.w.now().Add(s.manager.conditions.Skew).Format(http.TimeFormat))
	return a
}
